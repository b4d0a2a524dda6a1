//! How a package tests itself, told by the files of its source distribution, none of which is
//! executed.

mod choice;
mod command;
mod discovery;
mod environment;
mod factors;
mod files;
mod framework;
mod groups;
mod hatch;
#[cfg(test)]
mod hostile;
mod ini;
mod installing;
mod invocation;
mod lists;
mod nox;
mod own_runner;
mod pdm;
mod requirements;
mod seen;
mod shell;
mod substitution;
mod suite;
mod tox;
mod variables;

use std::collections::BTreeMap;

use pyti_analyzer::{amount, escape_within};
use pyti_index::{CoreMetadata, asks_for_2to3};
use serde::{Deserialize, Serialize};

use choice::Choice;
use discovery::add_searches;
use environment::{environments, for_tests};
pub(super) use files::Files;
pub use framework::Framework;
use framework::choose;
use invocation::arguments;
pub(super) use invocation::{RUN_DJANGO, reports};
pub(crate) use requirements::is_file_of;
use requirements::{Wanted, own, wanted};
use seen::seen;
use variables::Variables;

/// Characters kept of a reason or a note, which quote the package's files.
const LONGEST: usize = 200;
/// Notes that are kept.
const MOST: usize = 50;
/// Words of a command that are kept: each names a file at most.
const MOST_WORDS: usize = 500;

/// The version of an interpreter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PythonVersion {
    /// Major version.
    pub major: u16,
    /// Minor version.
    pub minor: u16,
}

#[cfg(test)]
impl PythonVersion {
    const TEST: Self = Self {
        major: 3,
        minor: 13,
    };
}

/// A command that runs tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The command as the package has it, or else its framework.
    #[serde(default)]
    pub name: String,
    /// What runs the tests.
    pub framework: Framework,
    /// Options of the interpreter that stand before all others.
    #[serde(default)]
    pub interpreter: Vec<String>,
    /// Arguments of the interpreter, in [`TestPlan::directory`]; the program itself first where
    /// [`Framework::Command`] is run.
    pub arguments: Vec<String>,
    /// Environment variables that the package sets for them; `{source}` and `{work}` in a value stand
    /// for places in the guest.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Requirements (PEP 508) of the framework of a further command, which is not run where one of them
    /// cannot be had; those of the first are in [`TestPlan::needed`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
}

/// The datum `test-plan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestPlan {
    /// What runs the tests.
    #[serde(flatten)]
    pub first: Run,
    /// What runs further ones, one command after the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<Run>,
    /// Why these were chosen.
    pub reason: String,
    /// A file that seems to have tests for the first: where there is one, no run proves that there are
    /// none.
    #[serde(default)]
    pub seen: Option<String>,
    /// Where they are run, relative to the source's directory; empty for the source's directory itself.
    #[serde(default)]
    pub directory: String,
    /// It asks for 2to3, and this Python has a setuptools that still has it: what is installed may be Python 3
    /// that was made of the sources.
    #[serde(default)]
    pub converted: bool,
    /// Requirements (PEP 508) without which the first command cannot be run.
    pub needed: Vec<String>,
    /// What the package says that its tests require, and after that what further commands do: it must
    /// not cost the first one its results.
    pub wanted: Vec<String>,
    /// Where the package says so.
    pub wanted_by: Vec<String>,
    /// What of its files is not understood or not followed, and what of its tests is not run, one
    /// sentence each.
    pub notes: Vec<String>,
}

impl TestPlan {
    /// The commands, in their order.
    pub(super) fn runs(&self) -> impl Iterator<Item = &Run> {
        std::iter::once(&self.first).chain(&self.further)
    }

    /// What runs the tests, and why, in a few words.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut names: Vec<&str> = vec![];
        for run in self.runs() {
            let name = run.framework.name();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        format!("{}: {}", names.join(", "), self.reason)
    }

    /// The directory in the guest, where that is not the source's own; `{source}` and `{work}` in it
    /// stand for places there.
    pub(super) fn cwd(&self) -> Option<String> {
        match self.directory.as_str() {
            "" => None,
            whole if whole.starts_with(['/', '{']) => Some(whole.to_owned()),
            inside => Some(format!("{{source}}/{inside}")),
        }
    }
}

/// How the tests among these files are run, by this interpreter.
///
/// # Errors
/// There are none.
pub(in crate::stage) fn plan(
    files: &Files,
    metadata: &CoreMetadata,
    python: PythonVersion,
) -> Result<TestPlan, String> {
    let environments = environments(files, python);
    let mut choice = choose(files, &environments, python)?;
    let environment = choice.environment.and_then(|index| environments.get(index));
    let environment = environment.or_else(|| for_tests(&environments));
    let wanted = wanted(files, metadata, environment, &choice.installs);
    for run in std::iter::once(&mut choice.first).chain(&mut choice.further) {
        choice.notes.extend(cut(run));
    }
    Ok(of_choice(choice, wanted, files, python))
}

/// Cuts a command that names too many files, and says what is not tested for that.
fn cut(run: &mut Run) -> Option<String> {
    let all = run.arguments.len();
    run.arguments.truncate(MOST_WORDS);
    (all > MOST_WORDS)
        .then(|| format!("only the first {MOST_WORDS} of the {all} words of the command are used"))
}

/// The plan of a command that the user gave: by the framework that it runs, where that is known here,
/// so that there are results; else as it stands.
pub(super) fn of_command(
    command: &[String],
    files: &Files,
    metadata: &CoreMetadata,
    python: PythonVersion,
) -> TestPlan {
    let environments = environments(files, python);
    let name = command.join(" ");
    let reason = format!("the user said `{name}`");
    let mut choice = Choice::of(Framework::Command, reason, None, files);
    choice.first.name = name;
    let call = command::call(command, "", files);
    match call.map(|call| call.understood_by(python)) {
        Some(call) => {
            choice.notes.extend(call.note("the test command"));
            let mut variables = Variables::default();
            for (name, value) in &call.variables {
                variables.add(name, value);
            }
            choice.unset = variables.notes();
            choice.installs = call.installs;
            let first = &mut choice.first;
            first.framework = call.framework;
            first.interpreter = call.interpreter;
            let searches = call.framework == Framework::Unittest && call.words.is_empty();
            first.arguments = arguments(call.framework, call.words, 0, "", files);
            first.environment = variables.set;
            if searches {
                let note = add_searches(&mut choice.further, first, true, "", files);
                choice.notes.extend(note);
            }
        }
        None => choice.first.arguments = command.to_vec(),
    }
    let environment = for_tests(&environments);
    let wanted = wanted(files, metadata, environment, &choice.installs);
    of_choice(choice, wanted, files, python)
}

fn of_choice(
    mut choice: Choice,
    mut wanted: Wanted,
    files: &Files,
    python: PythonVersion,
) -> TestPlan {
    let short = |text: &String| escape_within(text, LONGEST).to_string();
    let unread = files.unread_note();
    let unreadable = files.unreadable_notes();
    let mut needed = own(choice.first.framework, files);
    needed.append(&mut choice.first.requires);
    for run in &mut choice.further {
        run.requires = own(run.framework, files);
        for text in &run.requires {
            if !needed.contains(text) && !wanted.requirements.contains(text) {
                wanted.requirements.push(text.clone());
            }
        }
    }
    let mut options: Option<String> = None;
    for run in std::iter::once(&mut choice.first).chain(&mut choice.further) {
        run.name = short(&run.name);
        // What is configured is the same for all that pytest runs.
        options = options.or_else(|| invocation::left_out(run.framework, &choice.directory, files));
    }
    let notes = unread.iter().chain(&unreadable).chain(&choice.notes);
    let notes = notes.chain(&options);
    let notes = notes.chain(&choice.unset).chain(&wanted.notes);
    let more = notes.clone().count().saturating_sub(MOST);
    let mut notes: Vec<String> = notes.take(MOST).map(short).collect();
    if more > 0 {
        let more = amount(more as u64, "more note is", "more notes are");
        notes.push(format!("{more} left out"));
    }
    TestPlan {
        reason: short(&choice.reason),
        seen: seen(choice.first.framework, files).as_ref().map(short),
        first: choice.first,
        further: choice.further,
        directory: choice.directory,
        // Only these are given the setuptools that does it.
        converted: python.major == 3
            && python.minor < 10
            && asks_for_2to3(files.text("setup.py"), files.text("setup.cfg")),
        needed,
        wanted: wanted.requirements,
        wanted_by: wanted.by.iter().map(short).collect(),
        notes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(command: &str, files: &[(&str, &str)]) -> TestPlan {
        of_command(
            &shlex::split(command).unwrap(),
            &Files::of(files),
            &CoreMetadata::default(),
            PythonVersion::TEST,
        )
    }

    #[test]
    fn sources_are_converted_where_setuptools_still_does_that() {
        let converted = |setup: &str, minor| {
            let files = Files::of(&[("setup.py", setup), ("test_a.py", "import unittest")]);
            let python = PythonVersion { major: 3, minor };
            plan(&files, &CoreMetadata::default(), python)
                .unwrap()
                .converted
        };
        assert!(converted("setup(use_2to3=True)", 9));
        assert!(converted(
            "from distutils.command.build_py import build_py_2to3",
            9
        ));
        assert!(!converted("setup(use_2to3=True)", 11));
        assert!(!converted("setup()", 9));
    }

    #[test]
    fn a_plan_is_told_in_a_few_words() {
        let tox = "[testenv]\ncommands =\n    pytest a\n    nose2\n    pytest -k \u{1b}b a\n";
        let files = Files::of(&[("tox.ini", tox), ("a/b.py", "")]);
        let plan = plan(&files, &CoreMetadata::default(), PythonVersion::TEST).unwrap();
        let summary = "pytest, nose2: tox.ini [testenv] runs `pytest a`, then `nose2`, \
            then `pytest -k \\u{1b}b a`";
        assert_eq!(plan.summary(), summary);
    }

    #[test]
    fn a_users_command_is_run_by_the_framework_that_it_names() {
        let plan = of("python -X dev -m pytest tests", &[("tests/test_a.py", "")]);
        assert_eq!(plan.first.framework, Framework::Pytest);
        assert_eq!(plan.first.name, "python -X dev -m pytest tests");
        assert_eq!(plan.reason, "the user said `python -X dev -m pytest tests`");
        assert_eq!(plan.needed, ["pytest"]);
        assert_eq!(plan.first.interpreter, ["-Xdev"]);
        let last = plan.first.arguments.last().map(String::as_str);
        assert_eq!(last, Some("tests"));
        let other = of("make check", &[]);
        assert_eq!(other.first.framework, Framework::Command);
        assert_eq!(other.first.arguments, ["make", "check"]);
    }

    #[test]
    fn a_noxfile_tells_the_command_the_extras_and_the_groups() {
        let nox = "import nox\n\n@nox.session\ndef lint(session):\n    session.install('ruff')\n    \
            session.run('ruff', 'check')\n\n@nox.session\ndef tests(session):\n    \
            session.install('.[more]', 'a>1')\n    \
            session.install(*nox.project.dependency_groups(PYPROJECT, 'suite'))\n    \
            session.run('pytest', '-k', 'not slow', 'suite', *session.posargs)\n";
        let groups = "[dependency-groups]\nsuite = ['b', {include-group = 'deep'}]\n\
            deep = ['c']\ntest = ['never']\n";
        let files = [
            ("noxfile.py", nox),
            ("pyproject.toml", groups),
            ("suite/check_it.py", ""),
        ];
        let metadata = CoreMetadata {
            name: "own".into(),
            requires_dist: vec!["d ; extra == 'more'".into(), "e".into()],
            ..CoreMetadata::default()
        };
        let plan = plan(&Files::of(&files), &metadata, PythonVersion::TEST).unwrap();
        assert_eq!(plan.first.framework, Framework::Pytest);
        let reason = "noxfile.py tests runs `pytest -k not slow suite`";
        assert_eq!(plan.reason, reason);
        let words = ["-k", "not slow", "suite"].map(str::to_owned);
        assert!(plan.first.arguments.ends_with(&words));
        assert_eq!(plan.wanted, ["a>1", "b", "c", "d"]);
        assert_eq!(plan.wanted_by, ["noxfile.py tests"]);
    }

    #[test]
    fn a_command_of_too_many_words_is_cut_and_says_so() {
        let many = "a.py ".repeat(600);
        let tox = format!("[testenv]\ncommands = pytest {many}\n");
        let files = Files::of(&[("tox.ini", &tox), ("a.py", "")]);
        let plan = plan(&files, &CoreMetadata::default(), PythonVersion::TEST).unwrap();
        assert_eq!(plan.first.arguments.len(), MOST_WORDS);
        let start = "only the first 500 of the 6";
        assert!(plan.notes[0].starts_with(start), "{:?}", plan.notes);
    }

    #[test]
    fn a_plan_tells_where_it_runs_and_what_is_left_out() {
        let tox = "[testenv]\nchangedir = t\ncommands = pytest --cov a --slow {toxinidir}/tests\n\
            [pytest]\naddopts = -ra --mine\n";
        let files = [("tox.ini", tox), ("a/__init__.py", ""), ("tests/b.py", "")];
        let found = plan(
            &Files::of(&files),
            &CoreMetadata::default(),
            PythonVersion::TEST,
        )
        .unwrap();
        assert_eq!(
            found.reason,
            "tox.ini [testenv] runs `pytest --cov a --slow {source}/tests` in t"
        );
        assert_eq!(found.cwd().as_deref(), Some("{source}/t"));
        let last = found.first.arguments.last().map(String::as_str);
        assert_eq!(last, Some("{source}/tests"));
        let configured = "1 option of pytest's addopts is left out: `--mine`";
        assert_eq!(
            found.notes,
            [
                "1 option of the test command is left out: `--slow`",
                configured
            ]
        );
        let users = of("pytest --a tests", &files);
        assert_eq!(users.cwd(), None);
        assert_eq!(
            users.notes,
            [
                "1 option of the test command is left out: `--a`",
                configured
            ]
        );
        let long = of(&format!("pytest --\u{1b}{}", "x".repeat(9000)), &[]).notes;
        assert!(long[0].chars().count() <= LONGEST && !long[0].contains('\u{1b}'));
    }

    #[test]
    fn notes_that_are_too_many_are_counted() {
        let links = "git+https://x.test/y\n".repeat(60);
        let notes = of("make check", &[("requirements-test.txt", &links)]).notes;
        assert_eq!(notes.len(), MOST + 1);
        assert_eq!(notes[MOST], "10 more notes are left out");
    }

    #[test]
    fn requirements_come_from_no_environment_that_tests_nothing() {
        let lint = "[testenv:lint]\ndeps = ruff\ncommands = ruff check\n";
        let tests = "[testenv:tests]\ndeps = hypothesis\ncommands = make check\n";
        let plan = |tox: &str| {
            let files = [("tox.ini", tox), ("test_a.py", "import pytest")];
            of("make check", &files).wanted
        };
        assert_eq!(plan(lint), Vec::<String>::new());
        assert_eq!(plan(&format!("{lint}{tests}")), ["hypothesis"]);
    }
}
