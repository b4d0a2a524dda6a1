//! tox's names of environments: lists with alternatives in braces, and the factors that they are
//! made of (<https://tox.wiki/en/latest/config.html#conditional-settings>).

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

/// How much an environment's name looks like that of the tests with CPython 3.`minor`: the greatest
/// is the best.
pub(super) fn likeness(name: &str, minor: u16) -> (u8, bool, std::cmp::Reverse<usize>) {
    let factors: Vec<&str> = name.split('-').collect();
    let test = factors.iter().any(|factor| TESTS.contains(factor));
    let of = |factor: &&str| match python(factor) {
        Some(Python::Minor(own)) if own == minor => 4,
        Some(Python::Any) => 3,
        Some(Python::Minor(_)) => 2,
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
    Minor(u16),
    Any,
    Other,
}

/// The interpreter that a factor stands for.
fn python(factor: &str) -> Option<Python> {
    if factor == "py" || factor == "py3" {
        return Some(Python::Any);
    }
    if factor.starts_with("pypy") || factor.starts_with("jython") || factor.starts_with("graalpy") {
        return Some(Python::Other);
    }
    let rest = ["cpython", "python", "py"]
        .iter()
        .find_map(|prefix| factor.strip_prefix(prefix))
        .unwrap_or(factor);
    let (major, minor) = rest.split_once('.').or_else(|| rest.split_at_checked(1))?;
    let minor = minor.parse().ok()?;
    match major {
        "3" => Some(Python::Minor(minor)),
        "2" => Some(Python::Other),
        _ => None,
    }
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
        names.sort_by_key(|name| std::cmp::Reverse(likeness(name, 13)));
        assert_eq!(names[..2], ["py313-tests", "py313-tests-extra"]);
        assert_eq!(names.last().map(String::as_str), Some("py27"));
        assert!(likeness("py3.13", 13) > likeness("py3.14", 13));
        assert!(likeness("tests", 13) > likeness("lint", 13));
    }
}
