//! The environment variables that a session of a noxfile sets.

use std::sync::LazyLock;

use regex::Regex;

use super::text::{argument, literal, quoted, skip_space};
use super::{LONGEST, MOST};
use crate::stage::test_plan::variables::Variables;

/// Where a session's own variables are set, one or several.
static VARIABLES: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\b(\w+)\.env(?:(\[)|\.update[ \t]*\()").ok());

/// The variables that a session itself sets in these statements. `own` is its name for itself.
pub(super) fn set<'t>(
    statements: impl Iterator<Item = &'t str>,
    own: &str,
    name: &str,
    variables: &mut Variables,
) {
    let Some(pattern) = &*VARIABLES else {
        return;
    };
    let found =
        statements.flat_map(|text| pattern.captures_iter(text).map(move |found| (text, found)));
    let mut unset = 0;
    for (text, found) in found.take(MOST) {
        let (Some(whole), Some(on)) = (found.get(0), found.get(1)) else {
            continue;
        };
        if on.as_str() != own {
            continue;
        }
        let rest = &text[whole.end()..];
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

/// Says how many variables are not written out.
pub(super) fn not_written_out(count: usize, of: &str, name: &str, variables: &mut Variables) {
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
pub(super) fn dictionary(text: &str) -> (Vec<(String, String)>, usize) {
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

#[cfg(test)]
mod tests {
    use super::super::environments;
    use super::*;
    use crate::stage::test_plan::PythonVersion;
    use crate::stage::test_plan::environment::Environment;

    fn sessions(text: &str) -> Vec<Environment> {
        environments(text, PythonVersion::TEST)
    }

    #[test]
    fn variables_are_read_where_they_are_written_out() {
        let found = sessions(
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
            let found = sessions(&format!("def tests(session):\n    {text}"));
            assert!(found[0].variables.set.len() <= 1);
            let words = found[0].commands.iter().map(Vec::len);
            assert!(words.max().unwrap_or_default() <= MOST + 1);
        }
    }
}
