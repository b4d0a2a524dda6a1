//! tox's names of environments: lists with alternatives in braces, and the factors that they are
//! made of (<https://tox.wiki/en/latest/config.html#conditional-settings>).

use super::PythonVersion;

/// Alternatives of one condition.
const MOST: usize = 50;
/// Longest of them, bytes.
const LONGEST: usize = 200;
/// What test environments are called, where they are not called by their interpreter.
const TESTS: [&str; 6] = ["test", "tests", "unit", "unittests", "pytest", "testing"];

/// The names in a list that is separated by commas or lines, alternatives expanded; no more than
/// `most`.
pub(super) fn names(list: &str, most: usize) -> Vec<String> {
    let mut found = vec![];
    let (mut depth, mut from) = (0_usize, 0);
    let ends = list.char_indices().chain([(list.len(), '\n')]);
    for (at, letter) in ends {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' | '\n' if depth == 0 || letter == '\n' => {
                let name = list.get(from..at).unwrap_or_default().trim();
                if !name.is_empty() && !name.starts_with('#') {
                    expand(name, most, &mut found);
                }
                (depth, from) = (0, at + 1);
            }
            _ => {}
        }
    }
    found
}

/// `a{b,c}-{d,e}` as `ab-d`, `ab-e`, `ac-d`, `ac-e`.
fn expand(name: &str, most: usize, found: &mut Vec<String>) {
    let mut all = vec![String::new()];
    let mut rest = name;
    while let Some((before, inside, after)) = alternatives(rest) {
        let mut next = vec![];
        for start in &all {
            for choice in inside.split(',') {
                if next.len() < most && start.len() <= LONGEST {
                    next.push(format!("{start}{before}{}", choice.trim()));
                }
            }
        }
        (all, rest) = (next, after);
    }
    let names = all.into_iter().map(|start| start + rest);
    let names = names.filter(|name| !name.is_empty() && name.len() <= LONGEST);
    found.extend(names.take(most.saturating_sub(found.len())));
}

fn alternatives(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('{')?;
    let (inside, after) = rest.split_once('}')?;
    Some((before, inside, after))
}

/// Whether a condition such as `py{38,39}-cov,!lint` holds in the environment of this name.
pub(super) fn holds(condition: &str, name: &str) -> bool {
    let has = |factor: &str| name.split('-').any(|own| own == factor);
    names(condition, MOST).iter().any(|all| {
        all.split('-').all(|factor| match factor.strip_prefix('!') {
            Some(factor) => !has(factor),
            None => has(factor),
        })
    })
}

/// How much an environment's name looks like that of the tests with this interpreter: the greatest is
/// the best.
pub(super) fn likeness(
    name: &str,
    interpreter: PythonVersion,
) -> (u8, bool, std::cmp::Reverse<usize>) {
    let factors: Vec<&str> = name.split('-').collect();
    let test = factors.iter().any(|factor| TESTS.contains(factor));
    let of = |factor: &&str| match python(factor) {
        Some(Python::Version(own)) if own == interpreter => 4,
        Some(Python::Any(major)) if major.is_none_or(|major| major == interpreter.major) => 3,
        Some(Python::Version(own)) if own.major == interpreter.major => 2,
        Some(Python::Any(_) | Python::Version(_)) => 0,
        Some(Python::Other) => 0,
        None => 1,
    };
    let pythons = || factors.iter().filter(|factor| python(factor).is_some());
    let score = match pythons().map(of).max() {
        Some(score) => score,
        None if test => 3,
        None => 1,
    };
    let others = factors.len() - pythons().count() - usize::from(test);
    (score, test, std::cmp::Reverse(others))
}

enum Python {
    Version(PythonVersion),
    /// Of this major version, or of any.
    Any(Option<u16>),
    Other,
}

/// The interpreter that a factor stands for.
fn python(factor: &str) -> Option<Python> {
    match factor {
        "py" => return Some(Python::Any(None)),
        "py2" => return Some(Python::Any(Some(2))),
        "py3" => return Some(Python::Any(Some(3))),
        _ => {}
    }
    if factor.starts_with("pypy") || factor.starts_with("jython") || factor.starts_with("graalpy") {
        return Some(Python::Other);
    }
    let rest = ["cpython", "python", "py"]
        .iter()
        .find_map(|prefix| factor.strip_prefix(prefix))
        .unwrap_or(factor);
    let (major, minor) = rest.split_once('.').or_else(|| rest.split_at_checked(1))?;
    let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
    matches!(major, 2 | 3).then_some(Python::Version(PythonVersion { major, minor }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_expanded() {
        assert_eq!(
            names("lint,\n py3{9,13}-{a,b}, docs", 9),
            ["lint", "py39-a", "py39-b", "py313-a", "py313-b", "docs"]
        );
        assert_eq!(names("py{,-x}", 9), ["py", "py-x"]);
        assert_eq!(names(&"{a,b}".repeat(40), 1000).len(), 1000);
    }

    #[test]
    fn conditions_are_about_factors() {
        for (condition, name, expected) in [
            ("py39", "py39-cov", true),
            ("py{38,39}-cov", "py39", false),
            ("!mp", "py313", true),
            ("!mp", "py313-mp", false),
            ("lint,tests", "py313-tests", true),
        ] {
            assert_eq!(holds(condition, name), expected, "{condition} in {name}");
        }
    }

    #[test]
    fn the_interpreters_own_tests_are_liked_best() {
        let mut names = names(
            "lint, docs, pypy3-tests, py27, py3{12,13}-tests, py313-mypy, py313-tests-extra, 3.14",
            99,
        );
        names.sort_by_key(|name| std::cmp::Reverse(likeness(name, PythonVersion::TEST)));
        assert_eq!(names[..2], ["py313-tests", "py313-tests-extra"]);
        assert_eq!(names.last().map(String::as_str), Some("py27"));
        assert!(likeness("py3.13", PythonVersion::TEST) > likeness("py3.14", PythonVersion::TEST));
        assert!(likeness("tests", PythonVersion::TEST) > likeness("lint", PythonVersion::TEST));
    }

    #[test]
    fn of_python_2_too() {
        let python = PythonVersion { major: 2, minor: 7 };
        let mut names = names("lint, py26, py{27,35}-tests, py3, py27", 99);
        names.sort_by_key(|name| std::cmp::Reverse(likeness(name, python)));
        assert_eq!(names[..3], ["py27-tests", "py27", "py26"]);
    }
}
