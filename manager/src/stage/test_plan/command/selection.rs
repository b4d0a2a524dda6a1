//! Whether the tests that a command runs are among those of another one.

use super::Call;
use crate::stage::test_plan::Framework;

/// Options that leave tests out.
const WITHOUT: [&str; 3] = ["--deselect=", "--ignore=", "--ignore-glob="];

/// What pytest is told of which tests it runs.
#[derive(Debug, Default)]
struct Selection<'w> {
    /// The last `-k`, and the last `-m`: those count.
    named: [Option<&'w str>; 2],
    /// What is left out.
    without: Vec<&'w str>,
    /// Files and directories, and tests in them.
    places: Vec<&'w str>,
    /// All others, in their order.
    others: Vec<&'w str>,
}

impl<'w> Selection<'w> {
    fn of(words: impl Iterator<Item = &'w String>) -> Self {
        let mut found = Self::default();
        let mut words = words.map(String::as_str);
        while let Some(word) = words.next() {
            match word {
                "-k" => found.named[0] = words.next(),
                "-m" => found.named[1] = words.next(),
                "-o" => found.others.extend([word].into_iter().chain(words.next())),
                _ if WITHOUT.iter().any(|option| word.starts_with(option)) => {
                    found.without.push(word);
                }
                _ if word.starts_with('-') => found.others.push(word),
                _ => found.places.push(word),
            }
        }
        found
    }

    /// Whether all that is selected is selected by `other` too.
    fn is_part_of(&self, other: &Self) -> bool {
        let mut named = other.named.iter().zip(&self.named);
        let within = |place: &&str| {
            let mut places = other.places.iter();
            places.any(|whole| {
                let rest = place.strip_prefix(whole);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':']))
            })
        };
        self.others == other.others
            && named.all(|(whole, part)| whole.is_none() || whole == part)
            && other.without.iter().all(|word| self.without.contains(word))
            && self.places.is_empty() == other.places.is_empty()
            && self.places.iter().all(within)
    }
}

impl Call {
    /// Whether it is known that all of its tests are run by `other` too, and in the same way. `configured`
    /// is what pytest is told before the words of either.
    pub(in crate::stage::test_plan) fn is_part_of<'c>(
        &'c self,
        other: &'c Self,
        configured: &'c [String],
    ) -> bool {
        let selection = |call: &'c Self| Selection::of(configured.iter().chain(&call.words));
        self.framework == Framework::Pytest
            && self.is_run_as(other)
            && selection(self).is_part_of(&selection(other))
    }
}

#[cfg(test)]
mod tests {
    use super::super::call;
    use crate::stage::test_plan::Files;

    #[test]
    fn what_selects_less_is_a_part() {
        let files = Files::of(&[("a/b/test_c.py", ""), ("ab/test_d.py", "")]);
        let call = |command: &str| call(&shlex::split(command).unwrap(), "", &files).unwrap();
        for (part, whole, configured, expected) in [
            ("pytest -m slow", "pytest", "", true),
            ("pytest -k 'x or y' --cov", "pytest", "", true),
            ("pytest --ignore=a", "pytest", "", true),
            ("pytest a/b", "pytest a", "", true),
            ("pytest a/b/test_c.py::x -m y", "pytest a ab", "", true),
            ("pytest a -m slow", "pytest a -m slow", "", true),
            ("pytest", "pytest -m slow", "", false),
            ("pytest -m slow", "pytest -m 'not slow'", "", false),
            // What is configured holds where nothing else is said.
            ("pytest -m slow", "pytest", "-m|not slow", false),
            ("pytest -k x", "pytest", "-m|not slow", true),
            ("pytest a/b", "pytest", "a", true),
            ("pytest ab", "pytest", "a", false),
            ("pytest", "pytest --ignore=a", "", false),
            ("pytest a", "pytest a/b", "", false),
            ("pytest ab", "pytest a", "", false),
            // Where nothing is said it may be less than all.
            ("pytest a", "pytest", "", false),
            ("pytest", "pytest a", "", false),
            ("pytest --doctest-modules", "pytest", "", false),
            ("pytest -W error", "pytest", "", false),
            ("A=b pytest -m slow", "pytest", "", false),
            ("python -O -m pytest -m slow", "pytest", "", false),
            ("python -m unittest a", "python -m unittest", "", false),
        ] {
            let configured: Vec<String> = configured
                .split('|')
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect();
            let found = call(part).is_part_of(&call(whole), &configured);
            assert_eq!(found, expected, "{part} of {whole}");
        }
    }
}
