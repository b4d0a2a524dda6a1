//! Whatever the files of a package hold, the plan is made, and soon.

use proptest::prelude::*;
use pyti_index::CoreMetadata;

use super::{Files, PythonVersion, plan};

/// Every file that is read for its form.
const FILES: [&str; 10] = [
    "tox.ini",
    "tox.toml",
    "setup.cfg",
    "setup.py",
    "pyproject.toml",
    "noxfile.py",
    "hatch.toml",
    "unittest.cfg",
    "requirements-test.txt",
    "test_a.py",
];
/// What their grammars are made of.
const WORDS: [&str; 86] = [
    "[testenv]",
    "[testenv:",
    "[tox]",
    "[options]",
    "[nosetests]",
    "[pytest]",
    "[tool.tox]",
    "[dependency-groups]",
    "[tool.hatch.envs.test]",
    "envlist",
    "env_list",
    "deps",
    "commands",
    "extras",
    "changedir",
    "tests_require",
    "addopts",
    "scripts",
    "test",
    "py3{9,13}",
    "pytest",
    "nose2",
    "{posargs:",
    "{[testenv]deps}",
    "{env:",
    "}",
    "{",
    "[",
    "]",
    "(",
    ")",
    "=",
    ": ",
    ",",
    "\n",
    "\n    ",
    "\\\n",
    "'",
    "\"",
    "\"\"\"",
    "#",
    "-r requirements-test.txt",
    "-c ",
    "a>1",
    "b[x]",
    "def tests(session):",
    "session.run(",
    "session.install(",
    "session.env[",
    "session.env.update(",
    "env={",
    "setenv",
    "[tool.hatch.envs.test.env-vars]",
    "{env:A}",
    "A=b ",
    "f'",
    "é",
    "\0",
    "]",
    "if session.posargs:",
    "elif CI:",
    "else:",
    "for a in ['b', \"c\"]:",
    "with session.chdir(\"a\"):",
    "return",
    "session.run(\"pytest\", ",
    "*a",
    "a = ",
    "\n        ",
    "[tool.pdm.scripts]",
    "test = {composite = [",
    "shell = ",
    "{args:a}",
    "[[tool.hatch.envs.test.matrix]]",
    "[tool.hatch.envs.test.overrides.matrix.a]",
    "[tool.hatch.envs.test.scripts]",
    "{matrix:a}",
    "    break",
    "    continue",
    "session.run(*a())",
    "uv run --with b,c ",
    "[tool.hatch.envs.hatch-test]",
    "commands_pre",
    "pip install -r ",
    "session.run('uv', 'sync', ",
    "\n    [",
];

fn plans(text: &str) {
    for file in FILES {
        let files = Files::of(&[(file, text), ("test_b.py", "import unittest")]);
        let _ = plan(&files, &CoreMetadata::default(), PythonVersion::TEST);
    }
    together(text);
}

fn together(text: &str) {
    let all: Vec<(&str, &str)> = FILES.iter().map(|file| (*file, text)).collect();
    let _ = plan(
        &Files::of(&all),
        &CoreMetadata::default(),
        PythonVersion::TEST,
    );
}

proptest! {
    #[test]
    fn any_text_is_read(text in any::<String>()) {
        plans(&text);
    }

    #[test]
    fn any_words_are_read(words in prop::collection::vec(prop::sample::select(&WORDS[..]), 0..60)) {
        plans(&words.concat());
    }
}

#[test]
fn a_group_that_is_asked_for_again_and_again_is_read_once() {
    let asked = "test ".repeat(9999);
    let items = "'a', ".repeat(600);
    let files = Files::of(&[
        (
            "tox.ini",
            &format!("[testenv]\ndependency_groups = {asked}\ncommands = pytest\n"),
        ),
        (
            "pyproject.toml",
            &format!("[dependency-groups]\ntest = [{items}]\n"),
        ),
        ("test_b.py", "import unittest"),
    ]);
    let plan = plan(&files, &CoreMetadata::default(), PythonVersion::TEST).unwrap();
    assert_eq!(plan.wanted, ["a"]);
    let notes = plan.notes.iter();
    assert_eq!(notes.filter(|note| note.contains("`test`")).count(), 1);
}

#[test]
fn long_files_of_one_word_are_read() {
    for word in WORDS {
        for text in [
            word.repeat((64 << 10) / word.len()),
            format!("[testenv]\ndeps = {}", word.repeat((60 << 10) / word.len())),
            format!("[tox]\nenvlist = {}", word.repeat((60 << 10) / word.len())),
            format!(
                "[testenv]\nsetenv = A = {}",
                word.repeat((60 << 10) / word.len())
            ),
            format!(
                "def t(session):\n  session.run({}",
                word.repeat((60 << 10) / word.len())
            ),
            format!(
                "[dependency-groups]\ntest = {}",
                word.repeat((60 << 10) / word.len())
            ),
        ] {
            together(&text);
        }
    }
}
