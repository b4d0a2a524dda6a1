//! `noxfile.py` (<https://nox.thea.codes>), which is a program: read as text for the calls whose
//! arguments are written out, in the blocks of which it is written out that they are run; never executed.

mod blocks;
mod call;
mod condition;
mod env;
mod names;
mod text;
mod walk;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use super::PythonVersion;
use super::command::{is_open, plain};
use super::environment::{Doubt, Environment};
use super::installing::installs;
use super::variables::is_name;
use blocks::{Line, Statement, lines, statements};
use call::Arguments;
use env::not_written_out;
use names::{Known, Names, writes};
use text::{argument, keyword, skip_space};
use walk::brief;

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
/// Characters of a statement or of what opens a block, where that is told.
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
            loops: vec![],
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
    /// Why the loops may not be done that are being read, the innermost last.
    loops: Vec<Option<Doubt>>,
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

    /// Reads the calls of a statement.
    fn calls(&mut self, statement: &Statement<'t>, names: &Names, doubt: Option<&Doubt>) {
        let never = is_never(doubt);
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
            let what = what.as_str();
            let nothing = what == "run" && said.unknown > 0 && is_open(&said.words);
            let open = nothing || what == "run" && said.open;
            let open = open.then(|| brief(&statement.text[whole.start()..]));
            // Where no more is said, that it is not run is all there is to tell.
            if said.unknown > 0 && !never && !nothing {
                let name = self.name;
                self.skip(format!(
                    "{} of {what} is not written out in {name} of noxfile.py",
                    said.unknown
                ));
            }
            match what {
                "chdir" | "cd" if never => {}
                "chdir" | "cd" => self.change_directory(&said.words, doubt),
                what => self.call(what, said, open, doubt),
            }
        }
    }

    /// Reads what a call runs or installs. `open` is how it is written where nobody knows which program it
    /// runs.
    fn call(&mut self, what: &str, said: Arguments, open: Option<String>, doubt: Option<&Doubt>) {
        let never = is_never(doubt);
        let environment = &mut self.environment;
        let at = environment.commands.len();
        if !never {
            environment.groups.extend(said.groups);
        }
        match (what, installs(&said.words)) {
            // What is installed where a branch does not hold.
            ("install", _) | (_, Some(_)) if never => {}
            ("install", _) => environment.installs.push(said.words),
            (_, Some(installs)) => environment.install(installs),
            (_, None) => environment.commands.push(said.words),
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
        if let Some(open) = open {
            environment.unknown.insert(at, open);
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

/// Whether something is known not to be done.
fn is_never(doubt: Option<&Doubt>) -> bool {
    doubt.is_some_and(|doubt| doubt.block.is_none())
}

#[cfg(test)]
mod tests;
