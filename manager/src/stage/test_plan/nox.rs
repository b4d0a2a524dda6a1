//! `noxfile.py` (<https://nox.thea.codes>), which is a program: read as text for the calls whose
//! arguments are written out, in the blocks of which it is written out that they are run; never executed.

mod blocks;
mod call;
mod condition;
mod env;
mod names;
mod text;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use super::PythonVersion;
use super::command::plain;
use super::environment::{Doubt, Environment};
use super::variables::is_name;
use blocks::{Line, Statement, lines, statements};
use call::Arguments;
use condition::Scope;
use env::not_written_out;
use names::{Known, Names, writes};
use text::{argument, keyword, skip_space, word};

/// Sessions that are read.
const MOST_SESSIONS: usize = 64;
/// Calls of one session, and arguments of one call.
const MOST: usize = 200;
/// Statements of one session, those in loops each time.
const MOST_STATEMENTS: usize = 5000;
/// Bytes of one session: of its statements, those in loops each time, and of what its calls are told.
const MOST_BYTES: usize = 256 << 10;
/// Bytes of one call.
const LONGEST: usize = 16 << 10;
/// Bytes of a directory's path (`PATH_MAX`).
const LONGEST_PATH: usize = 4096;
/// Characters of what opens a block, where that is told.
const BRIEF: usize = 60;

static SESSION: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^(?:async )?def[ \t]+(\w+)[ \t]*\(\s*(\w+)").ok());
static CALL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"\b(\w+)\.(run|install|run_always|run_install|chdir|cd)[ \t]*\(").ok()
});

/// The sessions of a file, those whose names tell of tests first.
pub(super) fn environments(text: &str, python: PythonVersion) -> Vec<Environment> {
    let Some(definition) = &*SESSION else {
        return vec![];
    };
    let mut lines = lines(text);
    lines.retain(|line| line.indent == 0);
    let names = Names::of_file(text, &lines);
    let definitions = lines.iter().enumerate().filter_map(|(number, line)| {
        let session = definition.captures(line.text)?;
        Some((number, line.at, session.get(1)?, session.get(2)?))
    });
    let mut found: Vec<Environment> = vec![];
    for (number, at, name, own) in definitions.take(MOST_SESSIONS) {
        let end = lines.get(number + 1).map_or(text.len(), |next| next.at);
        let body = &text[at..end];
        let before = lines.get(..number).unwrap_or_default();
        let session = Session {
            name: name.as_str(),
            own: own.as_str(),
            python: version(before, &names, python),
            writes: writes(body),
            environment: Environment {
                origin: format!("noxfile.py {}", name.as_str()),
                ..Environment::default()
            },
            directory: String::new(),
            read: BTreeMap::new(),
            statements: MOST_STATEMENTS,
            calls: MOST,
            bytes: MOST_BYTES,
            blocks: 0,
        };
        found.push(session.of(body, names.clone()));
    }
    found.sort_by_key(|environment| !environment.origin.contains("test"));
    found
}

/// The version of Python that a session is run for which is defined after these lines, where it is said to
/// be for this one.
fn version(before: &[Line<'_>], names: &Names, python: PythonVersion) -> Option<String> {
    let this = format!("{}.{}", python.major, python.minor);
    let decorator = |line: &&Line<'_>| line.text.starts_with('@');
    for line in before.iter().rev().take_while(decorator) {
        let mut rest = line.text.split_once('(').map_or("", |(_, said)| said);
        for _ in 0..MOST {
            rest = skip_space(rest);
            let (said, after, end) = argument(rest);
            if let Some(("python", value)) = keyword(said.trim()) {
                let named = match names.known(value, "")? {
                    Known::Text(one) => one == this,
                    Known::List(all) => all.contains(&this),
                };
                return named.then_some(this);
            }
            if end {
                break;
            }
            rest = after;
        }
    }
    None
}

/// A session that is read.
struct Session<'t> {
    name: &'t str,
    /// Its name for itself.
    own: &'t str,
    /// See [`version`].
    python: Option<String>,
    /// How often names are given something in it.
    writes: BTreeMap<&'t str, usize>,
    /// What it tells.
    environment: Environment,
    /// Where what comes next is run, relative to the source.
    directory: String,
    /// Statements that may be run, by where they stand.
    read: BTreeMap<usize, &'t str>,
    /// How many more statements are read.
    statements: usize,
    /// How many more calls are.
    calls: usize,
    /// How many more bytes are, see [`MOST_BYTES`].
    bytes: usize,
    /// How many blocks there are so far of which nobody knows whether they are run.
    blocks: usize,
}

/// Where a chain of `if`, `elif` and `else` stands.
#[derive(Default)]
struct Chain {
    /// Whether it is one: `else` follows other blocks too.
    conditions: bool,
    /// A branch whose condition holds.
    taken: Option<String>,
    /// A condition before of which only running it would tell.
    unsure: Option<String>,
}

impl<'t> Session<'t> {
    /// What the session tells whose definition `text` is.
    fn of(mut self, text: &'t str, mut names: Names) -> Environment {
        if let Some(definition) = statements(text).into_iter().next() {
            // What it is given may have the name of something in the file.
            let given = definition.text;
            let given = given.split(|c: char| !(c.is_alphanumeric() || c == '_'));
            given.for_each(|name| names.forget(name));
            self.walk(&definition.block.unwrap_or_default(), &mut names, None);
        }
        let variables = &mut self.environment.variables;
        env::set(self.read.into_values(), self.own, self.name, variables);
        self.environment
    }

    /// Reads statements that are run unless there is a `doubt`, and tells whether the session ends in them
    /// without one.
    fn walk(
        &mut self,
        statements: &[Statement<'t>],
        names: &mut Names,
        doubt: Option<&Doubt>,
    ) -> bool {
        let mut ended: Option<Doubt> = None;
        let mut chain = Chain::default();
        for statement in statements {
            let Some(left) = self.statements.checked_sub(1) else {
                break;
            };
            self.statements = left;
            if !self.spend(statement.text.len()) {
                break;
            }
            let kind = statement.kind();
            // What is last is done however the rest ended.
            let before = ended.as_ref().filter(|_| kind != "finally").or(doubt);
            let now = before.cloned();
            let from = self.directory.clone();
            if statement.block.is_none() && is_hedged(statement.text) {
                let hedged = self.unsure(format!(
                    "only running it would tell whether `{}` is done",
                    brief(statement.text)
                ));
                let doubt = under(now.clone(), Some(hedged));
                self.calls(statement, names, doubt.as_ref());
            } else {
                self.calls(statement, names, now.as_ref());
            }
            let Some(block) = &statement.block else {
                if now.is_none() {
                    names.bind(statement.text, &self.writes, self.own);
                    if self.ends(statement.text) {
                        ended = Some(Doubt::never("the session ends before it"));
                    }
                }
                continue;
            };
            let entered = self.directory != from;
            let header = brief(statement.text);
            if kind == "for"
                && let Some((variable, values)) = self.rounds(statement.text, names)
            {
                for value in values {
                    names.set(variable, Known::Text(value));
                    if self.walk(block, names, now.as_ref()) {
                        ended = Some(Doubt::never("the session ends before it"));
                        break;
                    }
                }
                names.forget(variable);
                chain = Chain::default();
                continue;
            }
            let inner = match kind {
                "if" | "elif" => {
                    if kind == "if" {
                        chain = Chain::default();
                    }
                    chain.conditions = true;
                    let scope = Scope {
                        names,
                        own: self.own,
                        python: self.python.as_deref(),
                    };
                    let holds = scope.holds(&statement.text[kind.len()..]);
                    self.branch(&mut chain, header, holds)
                }
                "else" if chain.conditions => self.branch(&mut chain, header, Some(true)),
                "with" | "try" | "finally" | "else" => None,
                "except" => Some(Doubt::never(format!("`{header}` is for errors"))),
                "while" | "for" => Some(self.unsure(format!(
                    "only running it would tell how often `{header}` is done"
                ))),
                _ => Some(self.unsure(format!(
                    "only running it would tell whether `{header}` is done"
                ))),
            };
            if !["if", "elif"].contains(&kind) {
                chain = Chain::default();
            }
            let inner = under(now, inner);
            if self.walk(block, names, inner.as_ref()) {
                ended = Some(Doubt::never("the session ends before it"));
            }
            if kind == "with" && entered {
                self.directory = from;
            }
        }
        ended.is_some()
    }

    /// Why a branch is not run always, where it is not.
    fn branch(&mut self, chain: &mut Chain, header: String, holds: Option<bool>) -> Option<Doubt> {
        if let Some(taken) = &chain.taken {
            return Some(Doubt::never(format!("`{taken}` holds here")));
        }
        match holds {
            Some(true) => chain.taken = Some(header),
            Some(false) => {
                let why = format!("`{header}` does not hold here");
                return Some(Doubt::never(why));
            }
            None => chain.unsure = Some(header),
        }
        let unsure = chain.unsure.as_ref()?;
        let why = format!("only running it would tell what `{unsure}` comes to");
        Some(self.unsure(why))
    }

    /// A block of which nobody knows whether it is run.
    fn unsure(&mut self, why: String) -> Doubt {
        self.blocks += 1;
        Doubt {
            why,
            block: Some(self.blocks),
        }
    }

    /// The variable of a loop and the texts that it stands for, one after the other.
    fn rounds<'s>(&self, header: &'s str, names: &Names) -> Option<(&'s str, Vec<String>)> {
        let (variable, list) = text::split(header.strip_prefix("for")?, " in ")?;
        let variable = variable.trim();
        if variable.is_empty() || word(variable) != variable {
            return None;
        }
        match names.known(list, self.own)? {
            Known::List(values) => Some((variable, values)),
            Known::Text(_) => None,
        }
    }

    /// Whether a session ends with a statement.
    fn ends(&self, statement: &str) -> bool {
        let of_session = statement.strip_prefix(self.own);
        ["return", "raise"].contains(&word(statement))
            || of_session
                .is_some_and(|rest| rest.starts_with(".skip(") || rest.starts_with(".error("))
    }

    /// Reads the calls of a statement.
    fn calls(&mut self, statement: &Statement<'t>, names: &Names, doubt: Option<&Doubt>) {
        let never = doubt.is_some_and(|doubt| doubt.block.is_none());
        if !never {
            self.read.insert(statement.at, statement.text);
        }
        let found = CALL
            .iter()
            .flat_map(|call| call.captures_iter(statement.text));
        for call in found {
            let (Some(whole), Some(on), Some(what)) = (call.get(0), call.get(1), call.get(2))
            else {
                continue;
            };
            if on.as_str() != self.own {
                continue;
            }
            let Some(left) = self.calls.checked_sub(1) else {
                return;
            };
            self.calls = left;
            let said = Arguments::of(&statement.text[whole.end()..], names, self.own);
            if !self.spend(said.words.iter().map(String::len).sum()) {
                return;
            }
            if said.unknown > 0 && !never {
                let (what, name) = (what.as_str(), self.name);
                self.skip(format!(
                    "{} of {what} is not written out in {name} of noxfile.py",
                    said.unknown
                ));
            }
            match what.as_str() {
                "chdir" | "cd" if never => {}
                "chdir" | "cd" => self.change_directory(&said.words, doubt),
                what => self.call(what, said, doubt, never),
            }
        }
    }

    /// Reads what a call runs or installs.
    fn call(&mut self, what: &str, said: Arguments, doubt: Option<&Doubt>, never: bool) {
        let environment = &mut self.environment;
        let at = environment.commands.len();
        if !never {
            environment.groups.extend(said.groups);
        }
        let runs = said.words.iter().any(|word| word == "run");
        match (what, said.words.first().map(String::as_str)) {
            // What is installed where a branch does not hold.
            (_, Some("uv" | "poetry" | "pdm")) if what != "install" && never && !runs => {}
            (_, Some("uv" | "poetry" | "pdm")) if what != "install" => {
                synchronise(&said.words, environment);
            }
            ("run", _) => environment.commands.push(said.words),
            ("install", _) if !never => environment.installs.push(said.words),
            _ => {}
        }
        let Some(command) = environment.commands.get_mut(at) else {
            return;
        };
        if let Some(doubt) = doubt {
            environment.doubts.insert(at, doubt.clone());
        }
        if !self.directory.is_empty() {
            let there = self.directory.clone();
            environment.directories.insert(at, there);
        }
        if never {
            return;
        }
        let variables = &mut environment.variables;
        let assigned = said.variables.into_iter().filter_map(|(name, value)| {
            if !is_name(&name) {
                variables.leave_out(&name, "that is no name of a variable");
                return None;
            }
            Some(format!("{name}={value}"))
        });
        command.splice(0..0, assigned.collect::<Vec<_>>());
        not_written_out(said.unset, what, self.name, variables);
    }

    /// Follows a change of the directory, which is for all that comes after it.
    fn change_directory(&mut self, words: &[String], doubt: Option<&Doubt>) {
        // What is not written out is told already.
        let Some(there) = words.first() else {
            return;
        };
        let there = match self.directory.as_str() {
            from if !from.is_empty() && !there.starts_with('/') => {
                plain(&format!("{from}/{there}"))
            }
            _ => plain(there),
        };
        let too_long = (there.len() > LONGEST_PATH).then_some("it is too long");
        let name = self.name;
        match doubt.map(|doubt| doubt.why.as_str()).or(too_long) {
            None => self.directory = there,
            Some(why) => self.skip(format!(
                "the change of the directory in {name} of noxfile.py is not followed: {why}"
            )),
        }
    }

    /// Takes from the bytes that are still read, and says so where there are not as many.
    fn spend(&mut self, bytes: usize) -> bool {
        let Some(left) = self.bytes.checked_sub(bytes) else {
            let name = self.name;
            self.skip(format!(
                "not all that {name} of noxfile.py does is read: it is too much"
            ));
            return false;
        };
        self.bytes = left;
        true
    }

    /// Says what is not understood, once.
    fn skip(&mut self, sentence: String) {
        let skipped = &mut self.environment.skipped;
        if !skipped.contains(&sentence) {
            skipped.push(sentence);
        }
    }
}

/// Whether what a statement calls depends on something within itself.
fn is_hedged(statement: &str) -> bool {
    let operators = [" and ", " or ", " if ", "lambda"];
    statement.starts_with(['(', '[', '{'])
        || operators
            .iter()
            .any(|operator| text::split(statement, operator).is_some())
}

/// A doubt within another one.
fn under(outer: Option<Doubt>, inner: Option<Doubt>) -> Option<Doubt> {
    match (outer, inner) {
        (Some(outer), Some(inner)) if outer.block.is_some() => Some(inner),
        (Some(doubt), _) | (None, Some(doubt)) => Some(doubt),
        (None, None) => None,
    }
}

/// What opens a block, in one short line.
fn brief(header: &str) -> String {
    let line = header.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = line.char_indices().nth(BRIEF).map(|(end, _)| end);
    match end {
        Some(end) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// What `uv sync` and its like are told to install.
fn synchronise(words: &[String], environment: &mut Environment) {
    if words.iter().any(|word| word == "run") {
        environment.commands.push(words.to_vec());
        return;
    }
    if words.get(1..3) == Some(&["pip".to_owned(), "install".to_owned()]) {
        environment.installs.push(words[3..].to_vec());
        return;
    }
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (option, value) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        let mut value = || value.clone().or_else(|| words.next().cloned());
        match option {
            "--extra" | "--extras" | "-E" => environment.extras.extend(value()),
            "--group" | "--with" | "-G" | "--only-group" => environment.groups.extend(value()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
