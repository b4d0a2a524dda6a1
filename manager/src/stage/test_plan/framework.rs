//! Which framework a package's tests are written for.

use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::files::Files;
use super::invocation::{arguments, xmlrunner};

/// What runs tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framework {
    /// pytest.
    Pytest,
    /// The standard library's unittest, with results by unittest-xml-reporting.
    Unittest,
    /// The standard library's doctest, run by pytest.
    Doctest,
    /// nose2.
    Nose2,
    /// nose, which no current Python runs: its layouts are run by pytest.
    Nose,
    /// Twisted's trial, whose test cases pytest runs.
    Trial,
    /// Django's runner, with results by unittest-xml-reporting.
    Django,
    /// What the user said.
    Command,
}

static TEST_SUITE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?m)^\s*['"]?test_suite['"]?\s*[=:]\s*['"]?([A-Za-z_][\w.]*)"#).ok()
});
static DOCTEST: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?m)^\s*>>> ").ok());

pub(super) type Choice = (Framework, String, Vec<String>);

pub(super) fn choose(files: &Files) -> Result<Choice, String> {
    let chosen =
        |framework, reason: &str| Ok((framework, reason.to_owned(), arguments(framework, files)));
    for (file, mark) in [
        ("pyproject.toml", "[tool.pytest"),
        ("setup.cfg", "[tool:pytest]"),
        ("tox.ini", "[pytest]"),
        ("pytest.ini", "[pytest]"),
    ] {
        if files.text(file).contains(mark) {
            return chosen(Framework::Pytest, &format!("{file} has {mark}"));
        }
    }
    for file in ["setup.py", "setup.cfg"] {
        let suite = TEST_SUITE
            .as_ref()
            .and_then(|suite| suite.captures(files.text(file)));
        if let Some(suite) = suite.and_then(|found| found.get(1)) {
            let reason = format!("{file} has test_suite = {}", suite.as_str());
            if suite.as_str().starts_with("nose") {
                return chosen(Framework::Nose, &reason);
            }
            let mut arguments: Vec<String> = xmlrunner();
            arguments.push(suite.as_str().to_owned());
            return Ok((Framework::Unittest, reason, arguments));
        }
    }
    for file in ["tox.ini", "noxfile.py", "setup.cfg"] {
        for (mark, framework) in [
            ("pytest", Framework::Pytest),
            ("py.test", Framework::Pytest),
            ("nose2", Framework::Nose2),
            ("nosetests", Framework::Nose),
            ("trial ", Framework::Trial),
            ("manage.py test", Framework::Django),
            ("-m unittest", Framework::Unittest),
            ("-munittest", Framework::Unittest),
        ] {
            if files.text(file).contains(mark) {
                return chosen(framework, &format!("{file} runs {}", mark.trim()));
            }
        }
    }
    let tests: Vec<&String> = files.tests().collect();
    for (marks, framework) in [
        (["import pytest", "from pytest"], Framework::Pytest),
        (
            ["from twisted.trial", "import twisted.trial"],
            Framework::Trial,
        ),
        (["import nose2", "from nose2"], Framework::Nose2),
        (["import nose", "from nose"], Framework::Nose),
        (["import unittest", "from unittest"], Framework::Unittest),
    ] {
        for path in &tests {
            let text = files.text(path);
            if let Some(mark) = marks.iter().find(|mark| text.contains(**mark)) {
                let django = files.has("manage.py") && text.contains("django");
                let framework = if django { Framework::Django } else { framework };
                return chosen(framework, &format!("{path} has `{mark}`"));
            }
        }
    }
    if let Some(path) = tests
        .iter()
        .find(|path| files.text(path).contains("def test"))
    {
        return chosen(
            Framework::Pytest,
            &format!("{path} has functions named test"),
        );
    }
    let mut texts = files.texts.iter();
    let doctest = texts.find(|(_, text)| DOCTEST.as_ref().is_some_and(|mark| mark.is_match(text)));
    match doctest {
        Some((path, _)) => chosen(
            Framework::Doctest,
            &format!("{path} has examples after >>>"),
        ),
        None => Err("the source distribution has no tests".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use pyti_index::CoreMetadata;

    use super::super::plan;
    use super::*;

    fn chosen(texts: &[(&str, &str)]) -> (Framework, String) {
        let plan = plan(&Files::of(texts), &CoreMetadata::default()).unwrap();
        (plan.framework, plan.reason)
    }

    #[test]
    fn the_framework_is_told_by_settings_then_by_imports() {
        for (texts, framework, reason) in [
            (
                &[("pyproject.toml", "[tool.pytest.ini_options]\n")][..],
                Framework::Pytest,
                "pyproject.toml has [tool.pytest",
            ),
            (
                &[("setup.py", "setup(\n    test_suite='nose.collector')")],
                Framework::Nose,
                "setup.py has test_suite = nose.collector",
            ),
            (
                &[("setup.py", "setup(\n    test_suite=\"a.tests\",")],
                Framework::Unittest,
                "setup.py has test_suite = a.tests",
            ),
            (
                &[("tox.ini", "[testenv]\ncommands = nose2 -v")],
                Framework::Nose2,
                "tox.ini runs nose2",
            ),
            (
                &[
                    ("t/test_a.py", "import unittest"),
                    ("t/test_b.py", "import pytest"),
                ],
                Framework::Pytest,
                "t/test_b.py has `import pytest`",
            ),
            (
                &[("t/test_a.py", "from twisted.trial import unittest")],
                Framework::Trial,
                "t/test_a.py has `from twisted.trial`",
            ),
            (
                &[
                    ("manage.py", ""),
                    ("a/tests.py", "from unittest import x\nimport django"),
                ],
                Framework::Django,
                "a/tests.py has `from unittest`",
            ),
            (
                &[("test_a.py", "def test_it():")],
                Framework::Pytest,
                "test_a.py has functions named test",
            ),
            (
                &[("a.py", "'''\n    >>> 1\n    1\n'''")],
                Framework::Doctest,
                "a.py has examples after >>>",
            ),
        ] {
            assert_eq!(chosen(texts), (framework, reason.to_owned()));
        }
        let none = plan(&Files::of(&[("a.py", "x = 1")]), &CoreMetadata::default());
        assert_eq!(none, Err("the source distribution has no tests".to_owned()));
    }
}
