//! `noxfile.py` (<https://nox.thea.codes>), which is a program: read as text for the calls whose
//! arguments are written out, never executed.

use std::sync::LazyLock;

use regex::Regex;

use super::command::plain;
use super::environment::Environment;
use super::variables::{Variables, is_name};

/// Sessions that are read.
const MOST_SESSIONS: usize = 64;
/// Calls of one session, and arguments of one call.
const MOST: usize = 200;
/// Bytes of one call.
const LONGEST: usize = 16 << 10;

static SESSION: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?m)^(?:async )?def[ \t]+(\w+)[ \t]*\([ \t\n]*(\w+)").ok());
static TOP_LEVEL: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?m)^[@A-Za-z_]").ok());
static CALL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"\b(\w+)\.(run|install|run_always|run_install|chdir|cd)[ \t]*\(").ok()
});
/// Where a session's own variables are set, one or several.
static VARIABLES: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\b(\w+)\.env(?:(\[)|\.update[ \t]*\()").ok());

/// The sessions of a file, those whose names tell of tests first.
pub(super) fn environments(text: &str) -> Vec<Environment> {
    let (Some(session), Some(top), Some(call)) = (&*SESSION, &*TOP_LEVEL, &*CALL) else {
        return vec![];
    };
    let mut found: Vec<Environment> = vec![];
    for definition in session.captures_iter(text).take(MOST_SESSIONS) {
        let (Some(whole), Some(name), Some(own)) =
            (definition.get(0), definition.get(1), definition.get(2))
        else {
            continue;
        };
        let rest = &text[whole.end()..];
        let body = &rest[..top.find(rest).map_or(rest.len(), |next| next.start())];
        let mut environment = Environment {
            origin: format!("noxfile.py {}", name.as_str()),
            ..Environment::default()
        };
        let calls = call.captures_iter(body).take(MOST);
        let calls = calls.filter_map(|found| Some((found.get(0)?, found.get(1)?, found.get(2)?)));
        let calls: Vec<_> = calls
            .filter(|(_, on, _)| on.as_str() == own.as_str())
            .collect();
        let lines = calls
            .iter()
            .map(|(whole, ..)| line_before(body, whole.start()));
        let outermost = lines.map(indentation).min().unwrap_or_default();
        for (whole, _, what) in calls {
            let said = arguments(&body[whole.end()..]);
            if said.unknown > 0 {
                environment.skipped.push(format!(
                    "{} of {} is not written out in {} of noxfile.py",
                    said.unknown,
                    what.as_str(),
                    name.as_str()
                ));
            }
            let line = line_before(body, whole.start());
            if ["chdir", "cd"].contains(&what.as_str()) {
                let block = line.trim_start().starts_with("with ");
                change_directory(&said.words, block, name.as_str(), &mut environment);
                continue;
            }
            environment.groups.extend(said.groups);
            let before = environment.commands.len();
            match (what.as_str(), said.words.first().map(String::as_str)) {
                (_, Some("uv" | "poetry" | "pdm")) if what.as_str() != "install" => {
                    synchronise(&said.words, &mut environment);
                }
                ("run", _) => environment.commands.push(said.words),
                ("install", _) => environment.installs.push(said.words),
                _ => {}
            }
            if let Some(command) = environment.commands.get_mut(before) {
                // Whether it is run at all only running it would tell.
                if indentation(line) > outermost || line.contains(':') {
                    environment.scripts.insert(before, before + 1);
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
                not_written_out(said.unset, what.as_str(), name.as_str(), variables);
            }
        }
        set(
            body,
            own.as_str(),
            name.as_str(),
            &mut environment.variables,
        );
        found.push(environment);
    }
    found.sort_by_key(|environment| !environment.origin.contains("test"));
    found
}

/// What stands before a place in its line.
fn line_before(text: &str, at: usize) -> &str {
    text[..at].rsplit('\n').next().unwrap_or_default()
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Follows a change of the directory where that is for all commands. `block` says that it is for those of
/// a block alone.
fn change_directory(words: &[String], block: bool, name: &str, environment: &mut Environment) {
    // What is not written out is told already.
    let Some(there) = words.first() else {
        return;
    };
    if block || !environment.commands.is_empty() {
        let why = match block {
            true => "it is for some of its commands",
            false => "it is not before all commands",
        };
        environment.skipped.push(format!(
            "the change of the directory in {name} of noxfile.py is not followed: {why}"
        ));
        return;
    }
    environment.directory = match environment.directory.as_str() {
        from if !from.is_empty() && !there.starts_with('/') => plain(&format!("{from}/{there}")),
        _ => plain(there),
    };
}

/// The variables that a session itself sets, on which `own` is its name for itself.
fn set(body: &str, own: &str, name: &str, variables: &mut Variables) {
    let mut unset = 0;
    let found = VARIABLES.iter().flat_map(|found| found.captures_iter(body));
    for found in found.take(MOST) {
        let (Some(whole), Some(on)) = (found.get(0), found.get(1)) else {
            continue;
        };
        if on.as_str() != own {
            continue;
        }
        let rest = &body[whole.end()..];
        let rest = &rest[..rest.floor_char_boundary(LONGEST)];
        let (pairs, unknown) = match found.get(2) {
            Some(_) => item(rest),
            None => dictionary(rest),
        };
        unset += unknown;
        for (name, value) in pairs {
            variables.add(&name, &value);
        }
    }
    not_written_out(unset, "env", name, variables);
}

fn not_written_out(count: usize, of: &str, name: &str, variables: &mut Variables) {
    if count > 0 {
        variables.skip(format!(
            "variables of {of} that are not written out in {name} of noxfile.py: {count}"
        ));
    }
}

/// The variable that is set by what goes on after `session.env[`, where any is, and how many are not
/// written out.
fn item(rest: &str) -> (Vec<(String, String)>, usize) {
    let line = rest.split('\n').next().unwrap_or_default();
    let (key, _, _) = argument(line);
    let after = line.get(key.len() + 1..).unwrap_or_default().trim_start();
    let assigned = after.strip_prefix('=');
    let value = match assigned.filter(|value| !value.starts_with('=')) {
        Some(value) => literal(value.trim()),
        None if after.starts_with("+=") => None,
        None => return (vec![], 0),
    };
    match (literal(key.trim()), value) {
        (Some((key, _)), Some((value, _))) => (vec![(key, value)], 0),
        _ => (vec![], 1),
    }
}

/// The entries of the dictionary at the start of `text` that are written out, and how many are not.
fn dictionary(text: &str) -> (Vec<(String, String)>, usize) {
    let Some(mut rest) = skip_space(text).strip_prefix('{') else {
        return (vec![], 1);
    };
    let (mut found, mut unknown) = (vec![], 0);
    for _ in 0..MOST {
        rest = skip_space(rest);
        let (entry, after, end) = argument(rest);
        match entry_of(entry.trim()) {
            Some(pair) => found.push(pair),
            None if entry.trim().is_empty() => {}
            None => unknown += 1,
        }
        if end {
            break;
        }
        rest = after;
    }
    (found, unknown)
}

/// A name and a value that are both written out.
fn entry_of(entry: &str) -> Option<(String, String)> {
    if !entry.starts_with(['"', '\'']) {
        return None;
    }
    let (name, rest) = quoted(entry)?;
    let (value, _) = literal(skip_space(rest).strip_prefix(':')?.trim())?;
    Some((name, value))
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

/// The arguments of a call.
#[derive(Debug, Default, PartialEq, Eq)]
struct Arguments {
    /// Those that are written out.
    words: Vec<String>,
    /// Dependency groups that are asked for by name.
    groups: Vec<String>,
    /// Variables of that call.
    variables: Vec<(String, String)>,
    /// How many of these only running it would tell.
    unset: usize,
    /// Those that only running it would tell.
    unknown: usize,
}

/// The arguments at the start of `text`, to the bracket that closes the call.
fn arguments(text: &str) -> Arguments {
    let mut found = Arguments::default();
    let mut rest = &text[..text.floor_char_boundary(LONGEST)];
    for _ in 0..MOST {
        rest = skip_space(rest);
        let (argument, after, end) = argument(rest);
        let bare = argument.trim();
        match literal(bare) {
            Some((word, "")) => found.words.push(word),
            _ if bare.is_empty() => {}
            _ if keyword(bare).is_some() => {
                if let Some(("env", value)) = keyword(bare) {
                    (found.variables, found.unset) = dictionary(value);
                }
            }
            _ if bare.contains("dependency_groups(") => {
                let groups = literals(bare).into_iter();
                found
                    .groups
                    .extend(groups.filter(|group| !group.ends_with(".toml")));
            }
            // What is run where the user adds nothing.
            _ if bare.contains("posargs") => found.words.extend(literals(bare)),
            _ => found.unknown += 1,
        }
        if end {
            break;
        }
        rest = after;
    }
    found
}

fn skip_space(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        match text.strip_prefix('#') {
            Some(comment) => text = comment.split_once('\n').map_or("", |(_, rest)| rest),
            None => return text,
        }
    }
}

/// The text of the next argument, what follows it, and whether it was the last.
fn argument(text: &str) -> (&str, &str, bool) {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(letter) = text[at..].chars().next() {
        match letter {
            '"' | '\'' => {
                let Some((_, after)) = quoted(&text[at..]) else {
                    return (text, "", true);
                };
                at = text.len() - after.len();
                continue;
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => return (&text[..at], "", true),
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => return (&text[..at], &text[at + 1..], false),
            _ => {}
        }
        at += letter.len_utf8();
    }
    (text, "", true)
}

/// The name and the value of a keyword argument.
fn keyword(argument: &str) -> Option<(&str, &str)> {
    let (name, value) = argument.split_once('=')?;
    let name = name.trim();
    let named = name.chars().all(|c| c.is_alphanumeric() || c == '_');
    (named && !value.starts_with('=')).then_some((name, value))
}

/// The string literals of an expression.
fn literals(text: &str) -> Vec<String> {
    let mut found = vec![];
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\'']) {
        let Some((word, after)) = quoted(&rest[at..]) else {
            break;
        };
        found.push(word);
        rest = after;
    }
    found
}

/// A string literal at the start of `text`, with the literals that it is joined to; no format.
fn literal(text: &str) -> Option<(String, &str)> {
    let mut whole = String::new();
    let mut rest = text;
    loop {
        let start = rest.find(['"', '\''])?;
        let prefix = rest[..start].to_ascii_lowercase();
        if prefix.len() > 2 || !prefix.chars().all(|c| "rbuf".contains(c)) {
            return None;
        }
        let (word, after) = quoted(&rest[start..])?;
        if prefix.contains('f') && word.contains('{') {
            return None;
        }
        whole.push_str(&word);
        rest = skip_space(after);
        if rest.is_empty() {
            return Some((whole, rest));
        }
    }
}

/// A quoted text, its common escapes undone, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.get(..1)?;
    let quote = if text.starts_with(&quote.repeat(3)) {
        quote.repeat(3)
    } else {
        quote.to_owned()
    };
    let inside = text.get(quote.len()..)?;
    let mut word = String::new();
    let mut letters = inside.char_indices();
    while let Some((at, letter)) = letters.next() {
        if inside[at..].starts_with(&quote) {
            return Some((word, &inside[at + quote.len()..]));
        }
        match letter {
            '\\' => word.extend(letters.next().map(|(_, letter)| letter)),
            '\n' if quote.len() == 1 => return None,
            letter => word.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_where_they_are_written_out() {
        let found = environments(
            "import nox\n\n@nox.session\ndef lint(session):\n    session.install('ruff')\n\n\
            @nox.session(python=['3.12'])\ndef tests(s: nox.Session) -> None:\n    s.install(\n        '-r', \"req.txt\",  # all, of them\n        'a' '>=1', f'b=={v}', silent=True)\n\
            \x20   s.install(*nox.project.dependency_groups(PYPROJECT, 'test'))\n\
            \x20   s.run('pytest', *(s.posargs or ['tests']), env={'A': ')'})\n    other.run('no')\n\
            \x20   s.run_install('uv', 'sync', '--extra', 'x', '--group=y')\n",
        );
        let tests = &found[0];
        assert_eq!(tests.origin, "noxfile.py tests");
        assert_eq!(tests.installs, [vec!["-r", "req.txt", "a>=1"], vec![]]);
        assert_eq!(tests.commands, [["A=)", "pytest", "tests"]]);
        assert_eq!(tests.groups, ["test", "y"]);
        assert_eq!(tests.extras, ["x"]);
        assert_eq!(
            tests.skipped,
            ["1 of install is not written out in tests of noxfile.py"]
        );
        assert_eq!(found[1].installs, [["ruff"]]);
    }

    #[test]
    fn variables_are_read_where_they_are_written_out() {
        let found = environments(
            "def tests(session):\n    session.env['A'] = 'b' 'c'  # why\n    session.env[key] = 'd'\n    \
            session.env['PATH'] = 'x'\n    other.env['E'] = 'f'\n    if session.env['A'] == 'g':\n        \
            session.env.update({'H': 'i', **more,})\n    session.env['J'] += 'k'\n    \
            session.run(\n        'pytest',\n        env={\n            'L': 'm n',  # don't\n            \
            \"O\": str(1), '=': 'p', 'Q': f'{r}',\n        },\n    )\n    session.run('pytest', env=env)\n",
        );
        let variables = &found[0].variables;
        let set: Vec<(&str, &str)> = variables
            .set
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(set, [("A", "bc"), ("H", "i")]);
        assert_eq!(found[0].commands, [vec!["L=m n", "pytest"], vec!["pytest"]]);
        assert_eq!(
            variables.notes(),
            [
                "the variable `=` is not set: that is no name of a variable",
                "variables of run that are not written out in tests of noxfile.py: 2",
                "variables of run that are not written out in tests of noxfile.py: 1",
                "the variable `PATH` is not set: the stage has its own",
                "variables of env that are not written out in tests of noxfile.py: 3",
            ]
        );
    }

    #[test]
    fn many_variables_of_hostile_sizes_come_to_an_end() {
        let long = "x".repeat(LONGEST * 2);
        let many = "'A': 'b', ".repeat(10_000);
        let texts = [
            format!("session.env['{long}'] = '{long}'\n    "),
            format!("session.env.update({{{many}}})\n    "),
            format!("session.run('pytest', env={{{many}}})\n    "),
            format!("session.run('pytest', env={{'A': '{long}'}})\n    "),
            "session.env[".repeat(10_000),
            "session.run(env={".repeat(10_000),
            "session.env['A'] = ''\n    ".repeat(10_000),
        ];
        for text in texts {
            let found = environments(&format!("def tests(session):\n    {text}"));
            assert!(found[0].variables.set.len() <= 1);
            let words = found[0].commands.iter().map(Vec::len);
            assert!(words.max().unwrap_or_default() <= MOST + 1);
        }
    }

    #[test]
    fn a_call_that_is_cut_off_says_what_it_can() {
        let said = arguments("'a', 'b");
        assert_eq!(said.words, ["a"]);
        assert_eq!(arguments("'é', \"\"\"b\nc\"\"\")").words, ["é", "b\nc"]);
    }
}
