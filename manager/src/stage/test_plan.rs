//! How a package tests itself, told by the files of its source distribution.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use pyti_index::CoreMetadata;
use pyti_index::archive::{self, ArchiveError, Limits, MemberKind};
use pyti_index::filename::DistKind;
use pyti_index::metadata::requires_of_extra;
use regex::Regex;
use serde::{Deserialize, Serialize};

/// Bytes of a file that is read.
const MOST_BYTES: u64 = 256 << 10;
/// Files that are read.
const MOST_FILES: usize = 400;
/// Where files are read that say how tests are run.
const SETTINGS: [&str; 8] = [
    "pyproject.toml",
    "setup.cfg",
    "setup.py",
    "tox.ini",
    "pytest.ini",
    "noxfile.py",
    "manage.py",
    "runtests.py",
];
/// Optional features and dependency groups (PEP 735) that hold what tests require.
const TEST_GROUPS: [&str; 4] = ["test", "tests", "testing", "dev"];

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

/// The datum `test-plan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestPlan {
    /// What runs the tests.
    pub framework: Framework,
    /// Why it was chosen.
    pub reason: String,
    /// Arguments of the interpreter, in the source's directory; the program itself first where
    /// [`Framework::Command`] is run.
    pub arguments: Vec<String>,
    /// Sets of requirements (PEP 508), the best first: the later ones where it cannot be resolved.
    pub requirements: Vec<Vec<String>>,
}

/// The files that a plan is made of.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Every file, relative to the source's directory.
    paths: Vec<String>,
    /// The texts that were read.
    texts: BTreeMap<String, String>,
}

impl Files {
    /// Reads a source distribution.
    pub(super) fn read(path: &std::path::Path, kind: DistKind) -> Result<Self, ArchiveError> {
        let limits = Limits::default();
        let listed = archive::read(path, kind, &limits, |_| false)?;
        let root = listed.root().to_owned();
        let inside = |path: &str| {
            let rest = path.strip_prefix(&root).unwrap_or(path);
            rest.trim_start_matches('/').to_owned()
        };
        let files = listed
            .members
            .iter()
            .filter(|member| member.kind == MemberKind::File);
        let wanted: Vec<&str> = files
            .clone()
            .filter(|member| member.size <= MOST_BYTES && is_read(&inside(&member.path)))
            .map(|member| member.path.as_str())
            .take(MOST_FILES)
            .collect();
        let read = archive::read(path, kind, &limits, |member| wanted.contains(&member))?;
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        Ok(Self {
            paths: files.map(|member| inside(&member.path)).collect(),
            texts: read
                .texts
                .iter()
                .map(|(path, bytes)| (inside(path), text(bytes)))
                .collect(),
        })
    }

    fn text(&self, path: &str) -> &str {
        self.texts.get(path).map_or("", String::as_str)
    }

    fn has(&self, path: &str) -> bool {
        self.paths.iter().any(|found| found == path)
    }

    fn tests(&self) -> impl Iterator<Item = &String> {
        self.paths.iter().filter(|path| is_test(path))
    }
}

fn is_test(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let Some(stem) = name.strip_suffix(".py") else {
        return false;
    };
    let named = stem.starts_with("test") || stem.ends_with("_test") || stem.ends_with("_tests");
    named && stem != "testing" && !path.split('/').any(|part| part == "build")
}

fn is_read(path: &str) -> bool {
    SETTINGS.contains(&path)
        || path.ends_with("conftest.py")
        || is_test(path)
        || is_requirements(path)
        || path.ends_with(".py") && path.matches('/').count() <= 2
        || (path.ends_with(".rst") || path.ends_with(".txt")) && !path.contains('/')
}

/// A list of what tests require, by its name.
fn is_requirements(path: &str) -> bool {
    let name = path.to_ascii_lowercase();
    name.ends_with(".txt")
        && name.contains("require")
        && TEST_GROUPS.iter().any(|group| name.contains(group))
        && path.matches('/').count() <= 2
}

static TEST_SUITE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?m)^\s*['"]?test_suite['"]?\s*[=:]\s*['"]?([A-Za-z_][\w.]*)"#).ok()
});
static DOCTEST: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?m)^\s*>>> ").ok());

/// How the tests among these files are run.
///
/// # Errors
/// There are none.
pub(super) fn plan(files: &Files, metadata: &CoreMetadata) -> Result<TestPlan, String> {
    let (framework, reason, arguments) = choose(files)?;
    let own: Vec<String> = match framework {
        Framework::Pytest | Framework::Nose | Framework::Doctest => vec!["pytest"],
        Framework::Trial => vec!["pytest", "twisted"],
        Framework::Unittest | Framework::Django => vec!["unittest-xml-reporting"],
        Framework::Nose2 => vec!["nose2"],
        Framework::Command => vec![],
    }
    .into_iter()
    .map(str::to_owned)
    .collect();
    let wanted = requirements(files, metadata);
    let all: Vec<String> = own.iter().chain(&wanted).cloned().collect();
    Ok(TestPlan {
        framework,
        reason,
        arguments,
        requirements: if wanted.is_empty() {
            vec![own]
        } else {
            vec![all, own]
        },
    })
}

/// The plan of a command that the user gave.
pub(super) fn of_command(command: &[String], files: &Files, metadata: &CoreMetadata) -> TestPlan {
    TestPlan {
        framework: Framework::Command,
        reason: "the user said so".into(),
        arguments: command.to_vec(),
        requirements: vec![requirements(files, metadata), vec![]],
    }
}

type Choice = (Framework, String, Vec<String>);

fn choose(files: &Files) -> Result<Choice, String> {
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

fn xmlrunner() -> Vec<String> {
    ["-m", "xmlrunner", "-o", "{work}/junit"]
        .map(str::to_owned)
        .to_vec()
}

fn arguments(framework: Framework, files: &Files) -> Vec<String> {
    let words = |words: &[&str]| {
        words
            .iter()
            .map(|&word| word.to_owned())
            .collect::<Vec<_>>()
    };
    // Options of the package's own would ask for plugins that are not there.
    let pytest = [
        "-m",
        "pytest",
        "-q",
        "-o",
        "addopts=",
        "-p",
        "no:cacheprovider",
    ];
    let report = "--junitxml={work}/junit/pytest.xml";
    match framework {
        Framework::Pytest | Framework::Nose | Framework::Trial => {
            words(&[&pytest[..], &[report]].concat())
        }
        Framework::Doctest => {
            let globs = [
                "--doctest-modules",
                "--doctest-glob=*.rst",
                "--doctest-glob=*.txt",
            ];
            words(&[&pytest[..], &globs, &[report]].concat())
        }
        Framework::Nose2 => words(&[
            "-m",
            "nose2",
            "--plugin",
            "nose2.plugins.junitxml",
            "--junit-xml",
            "--junit-xml-path",
            "{work}/junit/nose2.xml",
        ]),
        Framework::Django => words(&[
            "manage.py",
            "test",
            "--testrunner",
            "xmlrunner.extra.djangotestrunner.XMLTestRunner",
        ]),
        Framework::Unittest => [xmlrunner(), discovery(files)].concat(),
        Framework::Command => vec![],
    }
}

/// Where unittest finds the tests: in the highest directory that holds any.
fn discovery(files: &Files) -> Vec<String> {
    let tests: Vec<&String> = files.tests().collect();
    let directory = |path: &str| {
        path.rsplit_once('/')
            .map_or(".", |(parent, _)| parent)
            .to_owned()
    };
    let start = tests
        .iter()
        .map(|path| directory(path))
        .min_by_key(|directory| (directory.matches('/').count(), directory.clone()))
        .unwrap_or_else(|| ".".to_owned());
    let usual = tests.iter().any(|path| {
        path.rsplit('/')
            .next()
            .is_some_and(|name| name.starts_with("test"))
    });
    let pattern = if usual { "test*.py" } else { "*_test*.py" };
    let mut words = vec![
        "discover".into(),
        "-s".into(),
        start.clone(),
        "-p".into(),
        pattern.into(),
    ];
    // A package of tests imports its neighbours by their full names.
    if files.has(&format!("{start}/__init__.py")) {
        let top = if start.starts_with("src/") {
            "src"
        } else {
            "."
        };
        words.extend(["-t".to_owned(), top.to_owned()]);
    }
    words
}

/// What the tests require, by the first source that says: the package's extras, its dependency
/// groups, tox, lists.
fn requirements(files: &Files, metadata: &CoreMetadata) -> Vec<String> {
    let groups = || TEST_GROUPS.iter();
    let extras = groups().flat_map(|extra| requires_of_extra(metadata, extra));
    let from_groups = || -> Vec<String> {
        let Ok(project) = toml::from_str::<toml::Table>(files.text("pyproject.toml")) else {
            return vec![];
        };
        let table = project
            .get("dependency-groups")
            .and_then(toml::Value::as_table);
        groups()
            .filter_map(|group| table?.get(*group)?.as_array())
            .flatten()
            .filter_map(|requirement| requirement.as_str().map(str::to_owned))
            .collect()
    };
    let from_lists = || -> Vec<String> {
        let lists = files.texts.iter().filter(|(path, _)| is_requirements(path));
        lists
            .flat_map(|(_, text)| text.lines().filter_map(line))
            .collect()
    };
    let mut found: Vec<String> = extras.collect();
    for other in [
        &from_groups as &dyn Fn() -> Vec<String>,
        &|| tox(files.text("tox.ini")),
        &from_lists,
    ] {
        if found.is_empty() {
            found = other();
        }
    }
    found.sort();
    found.dedup();
    found
}

/// A requirement on a line of a list or of tox's `deps`: no option, file or variable.
fn line(line: &str) -> Option<String> {
    let line = line.split(" #").next()?.trim();
    let plain =
        line.starts_with(|c: char| c.is_ascii_alphanumeric()) && !line.contains(['{', '/', '$']);
    // A factor of tox: only for some environments.
    (plain && !line.contains(": ")).then(|| line.to_owned())
}

fn tox(text: &str) -> Vec<String> {
    let mut lines = text
        .lines()
        .skip_while(|line| line.trim() != "[testenv]")
        .skip(1);
    let mut found = vec![];
    let mut within = false;
    for text in lines.by_ref().take_while(|line| !line.starts_with('[')) {
        let indented = text.starts_with([' ', '\t']);
        if !indented {
            within = text.starts_with("deps");
            let first = text.split_once('=').map_or("", |(_, first)| first);
            found.extend(line(first).filter(|_| within));
        } else if within {
            found.extend(line(text));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(texts: &[(&str, &str)]) -> Files {
        Files {
            paths: texts.iter().map(|(path, _)| (*path).to_owned()).collect(),
            texts: texts
                .iter()
                .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
                .collect(),
        }
    }

    fn chosen(texts: &[(&str, &str)]) -> (Framework, String) {
        let plan = plan(&files(texts), &CoreMetadata::default()).unwrap();
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
        let none = plan(&files(&[("a.py", "x = 1")]), &CoreMetadata::default());
        assert_eq!(none, Err("the source distribution has no tests".to_owned()));
    }

    #[test]
    fn unittest_starts_in_the_highest_directory() {
        let tests = files(&[
            ("a/tests/__init__.py", ""),
            ("a/tests/test_x.py", ""),
            ("a/tests/deep/test_y.py", ""),
        ]);
        assert_eq!(
            discovery(&tests),
            ["discover", "-s", "a/tests", "-p", "test*.py", "-t", "."]
        );
    }

    #[test]
    fn requirements_come_from_the_first_that_says() {
        let metadata = CoreMetadata {
            requires_dist: vec!["b ; extra == 'tests'".into(), "c".into()],
            ..CoreMetadata::default()
        };
        let tox = files(&[(
            "tox.ini",
            "[tox]\n[testenv]\ndeps =\n    pytest\n    py27: mock\n    -rx.txt\n    {env:A}\ncommands = x\n    y",
        )]);
        assert_eq!(requirements(&tox, &metadata), ["b"]);
        assert_eq!(requirements(&tox, &CoreMetadata::default()), ["pytest"]);
        let groups = files(&[(
            "pyproject.toml",
            "[dependency-groups]\ntest = ['d', {include-group = 'x'}]\n",
        )]);
        assert_eq!(requirements(&groups, &CoreMetadata::default()), ["d"]);
    }
}
