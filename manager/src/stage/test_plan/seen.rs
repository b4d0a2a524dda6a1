//! Which files have tests, as far as their names and their texts tell.

use std::sync::LazyLock;

use regex::Regex;

use super::files::Files;
use super::framework::{Framework, IMPORTS};

/// Ends of the names of files whose examples doctest runs.
const EXAMPLES: [&str; 4] = [".py", ".rst", ".txt", ".md"];
static DOCTEST: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?m)^\s*>>> ").ok());

/// The first file that has something for this framework to run. A file that only has the name of a test
/// may be anything; one that was not read may have tests.
pub(super) fn seen(framework: Framework, files: &Files) -> Option<String> {
    if framework == Framework::Doctest {
        return examples(files).into_iter().next();
    }
    let has_tests = |path: &&String| {
        let text = files.text(path);
        let has = |marks: &[&str]| marks.iter().any(|mark| text.contains(*mark));
        !files.is_read(path) || has(&["def test"]) || IMPORTS.iter().any(|(marks, _)| has(marks))
    };
    files.tests().find(has_tests).cloned()
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
pub(super) fn by_name(tests: &[&String]) -> Option<Vec<String>> {
    let found = |path: &&String| {
        let name = path.rsplit('/').next().unwrap_or_default();
        name.starts_with("test_") || name.ends_with("_test.py")
    };
    let none = !tests.iter().any(found);
    // No file is taken for an option.
    none.then(|| tests.iter().map(|path| format!("./{path}")).collect())
}

#[cfg(test)]
mod tests {
    use pyti_index::CoreMetadata;

    use super::super::{PythonVersion, plan};
    use super::*;

    #[test]
    fn files_that_are_only_named_as_tests_are_left_to_pytest() {
        for (files, framework, reason, last, seen) in [
            (
                &[("test.py", "print(1)")][..],
                Framework::Pytest,
                "test.py is named as tests are",
                "./test.py",
                None,
            ),
            (
                &[("a/tests.py", "def test_a(): ...")],
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
            assert_eq!((plan.framework, &*plan.reason), (framework, reason));
            assert_eq!(plan.arguments.last().map(String::as_str), Some(last));
            assert_eq!(plan.seen.as_deref(), seen);
        }
    }

    #[test]
    fn tests_that_another_framework_was_chosen_for_are_seen() {
        let seen = |text: &str| {
            let settings = ("setup.cfg", "[nosetests]\na = 1");
            let files = Files::of(&[settings, ("a/test_utils.py", text)]);
            let plan = plan(&files, &CoreMetadata::default(), PythonVersion::TEST).unwrap();
            assert_eq!(plan.framework, Framework::Nose);
            plan.seen
        };
        let path = Some("a/test_utils.py".to_owned());
        assert_eq!(seen("class A:\n    def test_a(self): ..."), path);
        assert_eq!(seen("import pytest"), path);
        assert_eq!(seen("def run(app): ..."), None);
    }
}
