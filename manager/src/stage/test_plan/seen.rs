//! Which files have tests, as far as their names and their texts tell.

use std::sync::LazyLock;

use regex::Regex;

use super::files::Files;
use super::framework::Framework;

/// Ends of the names of files whose examples doctest runs.
const EXAMPLES: [&str; 4] = [".py", ".rst", ".txt", ".md"];
static DOCTEST: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?m)^\s*>>> ").ok());

/// The first file that has something for this framework to run. A file that only has the name of a test
/// may be anything; one that was not read may have tests.
pub(super) fn seen(framework: Framework, files: &Files) -> Option<String> {
    if framework == Framework::Doctest {
        return examples(files).into_iter().next();
    }
    files.tests().find(|path| has_tests(path, files)).cloned()
}

/// Whether a file that is named as tests are has any; helpers for tests import frameworks too.
fn has_tests(path: &str, files: &Files) -> bool {
    !files.is_read(path) || files.text(path).contains("def test")
}

/// The files with examples, and no others: modules are imported to be searched, and some are scripts.
pub(super) fn examples(files: &Files) -> Vec<String> {
    let texts = files.texts.iter().filter(|(path, text)| {
        EXAMPLES.iter().any(|end| path.ends_with(end))
            && DOCTEST.as_ref().is_some_and(|mark| mark.is_match(text))
    });
    texts.map(|(path, _)| path.clone()).collect()
}

/// What pytest is told where it would find none of these tests by their names
/// (<https://docs.pytest.org/en/stable/explanation/goodpractices.html#conventions-for-python-test-discovery>).
pub(super) fn by_name(tests: &[&String], files: &Files) -> Option<Vec<String>> {
    let found = |path: &&String| {
        let name = path.rsplit('/').next().unwrap_or_default();
        name.starts_with("test_") || name.ends_with("_test.py")
    };
    if tests.iter().any(found) {
        return None;
    }
    // A script may have such a name too, and end the run.
    let with_tests = tests.iter().filter(|path| has_tests(path, files));
    // No file is taken for an option.
    let words: Vec<String> = with_tests.map(|path| format!("./{path}")).collect();
    (!words.is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use pyti_index::CoreMetadata;

    use super::super::{PythonVersion, plan};
    use super::*;

    #[test]
    fn what_is_only_named_as_a_test_is_none() {
        let script = Files::of(&[("test.py", "print(1)")]);
        let none = plan(&script, &CoreMetadata::default(), PythonVersion::TEST);
        assert_eq!(none.unwrap_err(), "the source distribution has no tests");
        for (files, framework, reason, last, seen) in [
            (
                &[("a/tests.py", "def test_a(): ..."), ("test.py", "exit(1)")][..],
                Framework::Pytest,
                "a/tests.py has functions named test",
                "./a/tests.py",
                Some("a/tests.py"),
            ),
            (
                &[("a.py", ">>> 1\n1\n"), ("test.py", "print(1)")],
                Framework::Doctest,
                "a.py has examples after >>>",
                "a.py",
                Some("a.py"),
            ),
        ] {
            let files = Files::of(files);
            let plan = plan(&files, &CoreMetadata::default(), PythonVersion::TEST).unwrap();
            let run = &plan.first;
            assert_eq!((run.framework, &*plan.reason), (framework, reason));
            assert_eq!(run.arguments.last().map(String::as_str), Some(last));
            assert_eq!(plan.seen.as_deref(), seen);
        }
    }

    #[test]
    fn tests_that_another_framework_was_chosen_for_are_seen() {
        let seen = |text: &str| {
            let settings = ("setup.cfg", "[nosetests]\na = 1");
            let files = Files::of(&[settings, ("a/test_utils.py", text)]);
            let plan = plan(&files, &CoreMetadata::default(), PythonVersion::TEST).unwrap();
            assert_eq!(plan.first.framework, Framework::Nose);
            plan.seen
        };
        let path = Some("a/test_utils.py".to_owned());
        assert_eq!(seen("class A:\n    def test_a(self): ..."), path);
        assert_eq!(seen("import pytest"), None);
        assert_eq!(seen("def run(app): ..."), None);
    }
}
