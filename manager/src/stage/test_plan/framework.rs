//! Which framework a package's tests are written for.

use pyti_analyzer::{amount, escape_within};
use serde::{Deserialize, Serialize};

use super::choice::{Choice, of_environment};
use super::environment::{Environment, passed_over};
use super::files::Files;
use super::ini::Ini;
use super::seen::{by_name, examples, says_doctest, with_examples};
use super::suite::Suite;
use super::{LONGEST, PythonVersion};

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
    /// nose, which no current Python runs: its layouts are run by the last pytest that knew them.
    Nose,
    /// Twisted's trial, by itself: it alone looks after the reactor between tests.
    Trial,
    /// Django's runner, with results by unittest-xml-reporting.
    Django,
    /// What the user said.
    Command,
}

impl Framework {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pytest => "pytest",
            Self::Unittest => "unittest",
            Self::Doctest => "doctest",
            Self::Nose2 => "nose2",
            Self::Nose => "nose",
            Self::Trial => "trial",
            Self::Django => "django",
            Self::Command => "command",
        }
    }
}

/// Where pytest is configured
/// (<https://docs.pytest.org/en/stable/reference/customize.html#configuration-file-formats>).
const PYTEST: [(&str, &str); 5] = [
    ("pyproject.toml", "[tool.pytest"),
    ("setup.cfg", "[tool:pytest]"),
    ("tox.ini", "[pytest]"),
    ("pytest.ini", "[pytest]"),
    ("pytest.toml", "[pytest]"),
];
/// What a test file imports that is written for a framework, the most telling first.
const IMPORTS: [(&[&str], Framework); 5] = [
    (&["import pytest", "from pytest"], Framework::Pytest),
    (
        &["from twisted.trial", "import twisted.trial"],
        Framework::Trial,
    ),
    (&["import nose2", "from nose2"], Framework::Nose2),
    (&["import nose", "from nose"], Framework::Nose),
    (&["import unittest", "from unittest"], Framework::Unittest),
];

/// The framework: what the package's own tools run, what is configured, what its tests import. What a tool
/// runs where nothing is written of it counts only where the others tell of the same.
///
/// # Errors
/// It has no tests.
pub(super) fn choose(
    files: &Files,
    environments: &[Environment],
    python: PythonVersion,
) -> Result<Choice, String> {
    let found = environments
        .iter()
        .enumerate()
        .find_map(|(index, environment)| of_environment(index, environment, files, python));
    let is_assumed = |choice: &Choice| {
        let environment = choice.environment.and_then(|at| environments.get(at));
        environment.is_some_and(|environment| environment.assumed)
    };
    let mut choice = match found {
        Some(choice) if !is_assumed(&choice) => choice,
        assumed => {
            let told = by_files(files, python).map_err(|none| {
                match passed_over(environments).first() {
                    Some(note) => format!("{none}; {}", escape_within(note, LONGEST)),
                    None => none,
                }
            })?;
            let same = |choice: &Choice| choice.first.framework == told.first.framework;
            assumed.filter(same).unwrap_or(told)
        }
    };
    let looked_at = choice.environment.unwrap_or(environments.len());
    let before = environments.get(..looked_at).unwrap_or_default();
    choice.notes.extend(passed_over(before));
    Ok(choice)
}

/// The framework, where no tool of the package's own tells it.
///
/// # Errors
/// It has no tests.
fn by_files(files: &Files, python: PythonVersion) -> Result<Choice, String> {
    let chosen = |framework, reason: String, words: Option<Vec<String>>| {
        Ok(Choice::of(framework, reason, words, files))
    };
    for (file, mark) in PYTEST {
        if files.text(file).contains(mark) {
            return chosen(Framework::Pytest, format!("{file} has {mark}"), None);
        }
    }
    if Ini::parse(files.text("setup.cfg")).has("nosetests") {
        let reason = "setup.cfg has [nosetests]".to_owned();
        return chosen(Framework::Nose, reason, None);
    }
    for file in ["unittest.cfg", "nose2.cfg"] {
        if Ini::parse(files.text(file)).has("unittest") {
            let reason = format!("{file} has [unittest]");
            return chosen(Framework::Nose2, reason, None);
        }
    }
    match Suite::of(files) {
        Some(suite) => suite.choice(files, python, || by_tests(files)),
        None => by_tests(files),
    }
}

/// The framework, where nothing but the tests themselves tells it.
///
/// # Errors
/// It has no tests.
fn by_tests(files: &Files) -> Result<Choice, String> {
    let chosen = |framework, reason: String, words: Option<Vec<String>>| {
        Ok(Choice::of(framework, reason, words, files))
    };
    if let Some((words, reason)) = django(files) {
        return chosen(Framework::Django, reason, Some(words));
    }
    let tests: Vec<&String> = files.tests().collect();
    for (marks, framework) in IMPORTS {
        for path in &tests {
            let text = files.text(path);
            if let Some(mark) = marks.iter().find(|mark| text.contains(**mark)) {
                let words = by_name(&tests, files).filter(|_| framework == Framework::Pytest);
                return chosen(framework, format!("{path} has `{mark}`"), words);
            }
        }
    }
    if let Some(path) = tests
        .iter()
        .find(|path| files.text(path).contains("def test"))
    {
        let reason = format!("{path} has functions named test");
        return chosen(Framework::Pytest, reason, by_name(&tests, files));
    }
    // pytest runs what is written for most of the others too.
    let mut unread = tests.iter().filter(|path| !files.is_read(path));
    if let Some(path) = unread.next() {
        let reason = format!("{path} is named as tests are, and is not read");
        return chosen(Framework::Pytest, reason, by_name(&tests, files));
    }
    let examples = examples(files);
    if let (Some(path), Some((said, mark))) = (examples.first(), says_doctest(files)) {
        let reason = format!("{said} has `{mark}`, and {path} examples after >>>");
        return chosen(Framework::Doctest, reason, Some(examples));
    }
    let none = "the source distribution has no tests".to_owned();
    // In most texts they are for readers.
    Err(match with_examples(files).len() as u64 {
        0 => none,
        count => {
            let files = amount(count, "file has", "files have");
            format!("{none}; {files} examples after >>> that nobody says are tests")
        }
    })
}

/// What runs the tests of a Django application, where its files say that it is one.
fn django(files: &Files) -> Option<(Vec<String>, String)> {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    if files.text("runtests.py").contains("django") {
        return Some((
            words(&["runtests.py"]),
            "runtests.py names django".to_owned(),
        ));
    }
    let path = files.tests().find(|path| {
        let text = files.text(path);
        text.contains("from django") || text.contains("import django")
    })?;
    if files.has("manage.py") {
        let reason = format!("there is manage.py, and {path} names django");
        return Some((words(&["manage.py", "test"]), reason));
    }
    if files.text("tests/settings.py").contains("INSTALLED_APPS") {
        let reason = format!("there is tests/settings.py, and {path} names django");
        let command = ["-m", "django", "test", "--settings=tests.settings"];
        return Some((words(&command), reason));
    }
    None
}

#[cfg(test)]
mod tests {
    use pyti_index::CoreMetadata;

    use super::super::plan;
    use super::*;

    fn chosen(texts: &[(&str, &str)]) -> (Framework, String) {
        let plan = plan(
            &Files::of(texts),
            &CoreMetadata::default(),
            PythonVersion::TEST,
        )
        .unwrap();
        (plan.first.framework, plan.reason)
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
                &[
                    ("setup.py", "setup(\n    test_suite=\"a.tests\","),
                    ("a/tests.py", ""),
                ],
                Framework::Unittest,
                "setup.py has test_suite = a.tests",
            ),
            (
                &[("tox.ini", "[testenv]\ncommands = nose2 -v")],
                Framework::Nose2,
                "tox.ini [testenv] runs `nose2 -v`",
            ),
            (
                &[
                    ("noxfile.py", "def t(session):\n    session.run('pytest')\n"),
                    ("setup.cfg", "[nosetests]\nverbosity = 1"),
                ],
                Framework::Pytest,
                "noxfile.py t runs `pytest`",
            ),
            (
                &[("setup.cfg", "[nosetests]\nverbosity = 1")],
                Framework::Nose,
                "setup.cfg has [nosetests]",
            ),
            (
                &[("unittest.cfg", "[unittest]\nplugins = x")],
                Framework::Nose2,
                "unittest.cfg has [unittest]",
            ),
            (
                &[("runtests.py", "import django")],
                Framework::Django,
                "runtests.py names django",
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
                "there is manage.py, and a/tests.py names django",
            ),
            (
                &[("test_a.py", "def test_it():")],
                Framework::Pytest,
                "test_a.py has functions named test",
            ),
            (
                &[
                    ("a.py", "'''\n    >>> 1\n    1\n'''"),
                    ("b.py", "import doctest"),
                ],
                Framework::Doctest,
                "b.py has `import doctest`, and a.py examples after >>>",
            ),
        ] {
            assert_eq!(chosen(texts), (framework, reason.to_owned()));
        }
        let none = plan(
            &Files::of(&[("a.py", "x = 1")]),
            &CoreMetadata::default(),
            PythonVersion::TEST,
        );
        assert_eq!(none, Err("the source distribution has no tests".to_owned()));
    }
}
