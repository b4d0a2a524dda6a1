//! What runs a package's tests, and what one of its environments says of that.

use std::collections::BTreeMap;

use pyti_analyzer::amount;

use super::command::{Call, call};
use super::environment::Environment;
use super::files::Files;
use super::framework::Framework;
use super::invocation::arguments;
use super::{PythonVersion, Run};

/// Commands of one environment that are run.
const MOST: usize = 8;

/// What runs a package's tests.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// The command that does.
    pub first: Run,
    /// Those that follow it.
    pub further: Vec<Run>,
    /// Why these.
    pub reason: String,
    /// Where they run, relative to the source.
    pub directory: String,
    /// Which of the package's environments says so.
    pub environment: Option<usize>,
    /// What of their variables is not set, one sentence each.
    pub unset: Vec<String>,
    /// What of the tests is not run, one sentence each.
    pub notes: Vec<String>,
}

impl Choice {
    /// One framework, told these words, in the source's own directory.
    pub(super) fn of(
        framework: Framework,
        reason: String,
        words: Option<Vec<String>>,
        files: &Files,
    ) -> Self {
        Self {
            first: Run {
                name: framework.name().to_owned(),
                framework,
                interpreter: vec![],
                arguments: arguments(framework, words.unwrap_or_default(), 0, "", files),
                environment: BTreeMap::new(),
                requires: vec![],
            },
            further: vec![],
            reason,
            directory: String::new(),
            environment: None,
            unset: vec![],
            notes: vec![],
        }
    }
}

/// What an environment runs, where any of its commands runs tests; `index` is its place among all.
pub(super) fn of_environment(
    index: usize,
    environment: &Environment,
    files: &Files,
    python: PythonVersion,
) -> Option<Choice> {
    let directory = environment.directory.as_str();
    let calls = Calls::of(environment, files, python);
    let mut runs: Vec<Run> = vec![];
    let (mut unset, mut notes): (Vec<String>, Vec<String>) = (vec![], vec![]);
    for (at, (command, call)) in calls.run.into_iter().enumerate() {
        let name = command.join(" ");
        notes.extend(match at {
            0 => call.note("the test command"),
            _ => call.note(&format!("`{name}`")),
        });
        let mut variables = environment.variables.clone();
        for (name, value) in &call.variables {
            variables.add(name, value);
        }
        for note in variables.notes() {
            if !unset.contains(&note) {
                unset.push(note);
            }
        }
        runs.push(Run {
            name,
            framework: call.framework,
            interpreter: call.interpreter,
            arguments: arguments(call.framework, call.words, at, directory, files),
            environment: variables.set,
            requires: vec![],
        });
    }
    notes.extend(told(&environment.origin, &calls.not_run));
    let names: Vec<String> = runs.iter().map(|run| format!("`{}`", run.name)).collect();
    let mut reason = format!("{} runs {}", environment.origin, names.join(", then "));
    if !directory.is_empty() {
        reason.push_str(&format!(" in {directory}"));
    }
    let mut runs = runs.into_iter();
    Some(Choice {
        first: runs.next()?,
        further: runs.collect(),
        reason,
        directory: directory.to_owned(),
        environment: Some(index),
        unset,
        notes,
    })
}

/// The commands of an environment that run tests.
#[derive(Default)]
struct Calls<'e> {
    /// Those that are run, one after the other, with what they call.
    run: Vec<(&'e [String], Call)>,
    /// Those that are not: they do not follow the first one, need an older pytest than one that they
    /// follow, or are too many.
    not_run: Vec<&'e [String]>,
}

impl<'e> Calls<'e> {
    fn of(environment: &'e Environment, files: &Files, python: PythonVersion) -> Self {
        let mut calls = Self::default();
        let mut script = None;
        for (at, command) in environment.commands.iter().enumerate() {
            let Some(call) = call(command, &environment.directory, files) else {
                continue;
            };
            let call = call.understood_by(python);
            // The same again would tell nothing more.
            if calls.run.iter().any(|(_, other)| call.is_as(other)) {
                continue;
            }
            let own = environment.script(at);
            let follows = *script.get_or_insert(own) == own && calls.run.len() < MOST;
            if follows && !calls.would_make_older(&call) {
                calls.run.push((command.as_slice(), call));
            } else {
                calls.not_run.push(command.as_slice());
            }
        }
        calls
    }

    /// Whether one that is run before would be run by an older pytest for the sake of this one: there is one
    /// for all of them.
    fn would_make_older(&self, call: &Call) -> bool {
        let of_pytest = |(_, before): &(&[String], Call)| {
            matches!(before.framework, Framework::Pytest | Framework::Doctest)
        };
        call.framework == Framework::Nose && self.run.iter().any(of_pytest)
    }
}

/// What it says that an environment tests more than is run.
fn told(origin: &str, commands: &[&[String]]) -> Option<String> {
    let first = commands.first()?.join(" ");
    let (one, many) = ("further test command", "further test commands");
    let count = amount(commands.len() as u64, one, many);
    let are = if commands.len() == 1 { "is" } else { "are" };
    Some(format!("{count} of {origin} {are} not run: `{first}`"))
}

#[cfg(test)]
mod tests {
    use pyti_index::CoreMetadata;

    use super::super::{TestPlan, plan};
    use super::*;

    fn planned(files: &[(&str, &str)]) -> TestPlan {
        let files = [files, &[("a/test_a.py", ""), ("b/test_b.py", "")]].concat();
        let files = Files::of(&files);
        plan(&files, &CoreMetadata::default(), PythonVersion::TEST).unwrap()
    }

    fn of_tox(commands: &str) -> TestPlan {
        let tox = format!("[testenv]\ncommands =\n{commands}");
        planned(&[("tox.ini", &tox)])
    }

    /// The commands, each as the package has it.
    fn names(plan: &TestPlan) -> Vec<&str> {
        plan.runs().map(|run| run.name.as_str()).collect()
    }

    #[test]
    fn commands_of_an_environment_are_run_one_after_the_other() {
        let plan = of_tox("    pytest a\n    mypy a\n    python -O -m unittest\n    ruff check\n");
        assert_eq!(names(&plan), ["pytest a", "python -O -m unittest"]);
        assert_eq!(plan.notes, Vec::<String>::new());
        assert_eq!(
            plan.reason,
            "tox.ini [testenv] runs `pytest a`, then `python -O -m unittest`"
        );
        let last = &plan.further[0];
        assert_eq!(last.framework, Framework::Unittest);
        assert_eq!(last.interpreter, ["-O"]);
        let reports = &last.arguments[..4];
        assert_eq!(reports, ["-m", "xmlrunner", "-o", "{work}/junit-2"]);
    }

    #[test]
    fn what_only_a_further_command_needs_is_no_more_than_wanted() {
        let plan = of_tox("    pytest a\n    python -m unittest\n    trial b\n    pytest b\n");
        assert_eq!(plan.needed, ["pytest"]);
        let wanted = ["unittest-xml-reporting", "twisted", "python-subunit"];
        assert_eq!(plan.wanted, wanted);
        assert_eq!(plan.first.requires, Vec::<String>::new());
        let requires: Vec<String> = plan
            .further
            .iter()
            .map(|run| run.requires.join("|"))
            .collect();
        let expected = ["unittest-xml-reporting", "twisted|python-subunit", "pytest"];
        assert_eq!(requires, expected);
        // What the package says comes first, and nothing is there twice.
        let tox = "[testenv]\ndeps = nose2\n    zest\ncommands =\n    pytest a\n    nose2\n    \
            python -m unittest\n";
        let plan = planned(&[("tox.ini", tox)]);
        assert_eq!(plan.wanted, ["nose2", "zest", "unittest-xml-reporting"]);
    }

    #[test]
    fn a_further_command_changes_no_pytest_of_one_before_it() {
        let plan = of_tox("    pytest a\n    nosetests b\n    nose2\n");
        assert_eq!(names(&plan), ["pytest a", "nose2"]);
        let told = "1 further test command of tox.ini [testenv] is not run: `nosetests b`";
        assert_eq!(plan.notes, [told]);
        assert_eq!((plan.needed.len(), plan.wanted.len()), (1, 1), "{plan:?}");
        // Where no pytest is before it, its own is nobody else's.
        let plan = of_tox("    python -m unittest\n    nosetests b\n");
        assert_eq!(names(&plan), ["python -m unittest", "nosetests b"]);
        assert_eq!(plan.wanted, ["pytest<8"]);
        let plan = of_tox("    nosetests a\n    pytest b\n");
        assert_eq!(names(&plan), ["nosetests a", "pytest b"]);
        assert_eq!(plan.needed, ["pytest<8"]);
    }

    #[test]
    fn what_differs_only_in_what_the_interpreter_is_not_told_is_the_same() {
        let tox = "[testenv]\ncommands =\n    python -X dev -m pytest a\n    pytest a\n";
        let files = Files::of(&[("tox.ini", tox), ("a/test_a.py", "")]);
        let of = |major, minor| {
            let python = PythonVersion { major, minor };
            plan(&files, &CoreMetadata::default(), python).unwrap()
        };
        let two = of(2, 7);
        assert_eq!(names(&two), ["python -X dev -m pytest a"]);
        assert_eq!(two.first.interpreter, Vec::<String>::new());
        let told = "1 option of the test command is left out: `-X dev`";
        assert_eq!(two.notes, [told]);
        let three = of(3, 9);
        assert_eq!(three.first.interpreter, ["-Xdev"]);
        assert_eq!(three.further.len(), 1);
    }

    #[test]
    fn the_same_command_again_is_not_run_again() {
        // With and without its coverage.
        let plan = of_tox("    coverage run -m pytest a\n    pytest -v a\n    pytest a\n");
        assert_eq!(names(&plan), ["coverage run -m pytest a"]);
        assert_eq!(plan.notes, Vec::<String>::new());
        let plan = of_tox("    pytest a\n    env A=1 pytest a\n    python -O -m pytest a\n");
        assert_eq!(plan.further.len(), 2);
        assert_eq!(plan.further[0].environment["A"], "1");
        assert!(plan.first.environment.is_empty());
    }

    #[test]
    fn what_is_left_out_of_a_further_command_is_told_of_it() {
        let plan = of_tox("    pytest --slow a\n    env PATH=x pytest --fast b\n");
        assert_eq!(
            plan.notes,
            [
                "1 option of the test command is left out: `--slow`",
                "1 option of `env PATH=x pytest --fast b` is left out: `--fast`",
                "the variable `PATH` is not set: the stage has its own",
            ]
        );
    }

    #[test]
    fn what_does_not_follow_is_told_and_not_run() {
        let hatch =
            "[envs.test.scripts]\ntest = ['pytest a', 'pytest b']\ntest-slow = 'pytest -k slow'\n";
        let plan = planned(&[("hatch.toml", hatch)]);
        assert_eq!(names(&plan), ["pytest a", "pytest b"]);
        let origin = "hatch.toml hatch's envs.test";
        let told = format!("1 further test command of {origin} is not run: `pytest -k slow`");
        assert_eq!(plan.notes, [told]);

        let nox = "def tests(s):\n    s.run('pytest', 'a')\n    if s.posargs:\n        \
            s.run('pytest', '-k', 'x')\n    for at in ['c']: s.run('pytest', '-k', 'y')\n    \
            s.run(\n        'pytest', 'b')\n";
        let plan = planned(&[("noxfile.py", nox)]);
        assert_eq!(names(&plan), ["pytest a", "pytest b"]);
        let told = "2 further test commands of noxfile.py tests are not run: `pytest -k x`";
        assert_eq!(plan.notes, [told]);

        // Of branches only the first is.
        let nox = "def tests(s):\n    if s.posargs:\n        s.run('pytest', 'a')\n    else:\n        \
            s.run('pytest', 'b')\n    s.run('coverage', 'report')\n";
        let plan = planned(&[("noxfile.py", nox)]);
        assert_eq!(names(&plan), ["pytest a"]);
        assert_eq!(plan.notes.len(), 1, "{:?}", plan.notes);
    }

    #[test]
    fn too_many_commands_and_long_ones_are_cut_and_counted() {
        let many: String = (0..MOST + 3)
            .map(|at| format!("    pytest -k \u{1b}{at}{} a\n", "x".repeat(9000)))
            .collect();
        let plan = of_tox(&many);
        assert_eq!(plan.further.len(), MOST - 1);
        let start = "3 further test commands of tox.ini [testenv] are not run: `pytest";
        assert!(plan.notes[0].starts_with(start), "{:?}", plan.notes);
        let texts = plan.notes.iter().chain([&plan.reason]);
        let texts = texts.chain(plan.runs().map(|run| &run.name));
        for text in texts {
            assert!(text.chars().count() <= 200 && !text.contains('\u{1b}'));
        }
    }
}
