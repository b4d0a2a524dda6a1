//! What runs a package's tests, and what one of its environments says of that.

use std::collections::BTreeMap;

use pyti_analyzer::amount;

use super::command::{Call, Installs, call};
use super::discovery::add_searches;
use super::environment::Environment;
use super::files::Files;
use super::framework::Framework;
use super::invocation::{arguments, configured};
use super::{MOST_WORDS, PythonVersion, Run};

/// Commands of one environment that are run.
pub(super) const MOST: usize = 8;

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
    /// What the programs install that run these.
    pub installs: Installs,
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
        let mut further = vec![];
        let searches = framework == Framework::Unittest && words.is_none();
        let first = Run {
            name: framework.name().to_owned(),
            framework,
            interpreter: vec![],
            arguments: arguments(framework, words.unwrap_or_default(), 0, "", files),
            environment: BTreeMap::new(),
            requires: vec![],
        };
        let note = searches.then(|| add_searches(&mut further, &first, false, "", files));
        Self {
            first,
            further,
            reason,
            directory: String::new(),
            environment: None,
            installs: Installs::default(),
            unset: vec![],
            notes: note.flatten().into_iter().collect(),
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
    let Calls {
        directory,
        run,
        not_run,
        unknown,
        unsure,
    } = Calls::of(environment, files, python);
    let mut runs: Vec<Run> = vec![];
    // Those of unittest that are told nothing.
    let mut searching: Vec<usize> = vec![];
    let mut installs = Installs::default();
    let (mut unset, mut notes): (Vec<String>, Vec<String>) = (vec![], vec![]);
    for (at, (command, call)) in run.into_iter().enumerate() {
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
        installs.add(call.installs);
        if call.framework == Framework::Unittest && call.words.is_empty() {
            searching.push(at);
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
    notes.extend(told(&environment.origin, &not_run));
    notes.extend(unknown);
    let names: Vec<String> = runs.iter().map(|run| format!("`{}`", run.name)).collect();
    let mut reason = format!("{} runs {}", environment.origin, names.join(", then "));
    if !directory.is_empty() {
        reason.push_str(&format!(" in {directory}"));
    }
    let searching: Vec<Run> = searching
        .iter()
        .filter_map(|at| runs.get(*at).cloned())
        .collect();
    let mut runs = runs.into_iter();
    let first = runs.next()?;
    let mut further: Vec<Run> = runs.collect();
    for run in &searching {
        notes.extend(add_searches(&mut further, run, true, directory, files));
    }
    notes.extend(unsure.map(|why| format!("`{}` is run, although {why}", first.name)));
    Some(Choice {
        first,
        further,
        reason,
        directory: directory.to_owned(),
        environment: Some(index),
        installs,
        unset,
        notes,
    })
}

/// The commands of an environment that run tests.
#[derive(Default)]
struct Calls<'e> {
    /// Where those are run that are.
    directory: &'e str,
    /// Those that are run, one after the other, with what they call.
    run: Vec<(&'e [String], Call)>,
    /// Those that are not, which tell of tests that none of these runs.
    not_run: Vec<NotRun<'e>>,
    /// What it says of those that may, and that nobody knows.
    unknown: Option<String>,
    /// Why nobody knows that the package runs these, where nobody does.
    unsure: Option<&'e str>,
}

/// A command that is not run.
struct NotRun<'e> {
    command: &'e [String],
    call: Call,
    /// Why, a clause.
    why: &'e str,
}

impl<'e> Calls<'e> {
    fn of(environment: &'e Environment, files: &Files, python: PythonVersion) -> Self {
        let found: Vec<(usize, &[String], Call)> = environment
            .commands
            .iter()
            .enumerate()
            .filter_map(|(at, command)| {
                let call = call(command, environment.directory_of(at), files)?;
                Some((at, command.as_slice(), call.understood_by(python)))
            })
            .collect();
        let doubt = |at: &usize| environment.doubts.get(at);
        let mut calls = Self {
            unknown: environment.unknown_note(|at| found.iter().any(|(known, ..)| *known == at)),
            ..Self::default()
        };
        // Where nothing is run for sure, the first that may be is the likeliest.
        let sure = found.iter().any(|(at, ..)| doubt(at).is_none());
        let likeliest = found.iter().filter(|_| !sure).find_map(|(at, ..)| {
            let doubt = doubt(at)?;
            Some((doubt.block?, doubt.why.as_str()))
        });
        calls.unsure = likeliest.map(|(_, why)| why);
        let mut place: Option<(usize, &str, Vec<String>)> = None;
        for (at, command, call) in found {
            // The same again would tell nothing more.
            if calls.run.iter().any(|(_, other)| call.is_as(other)) {
                continue;
            }
            if let Some(doubt) = doubt(&at)
                && (doubt.block.is_none() || doubt.block != likeliest.map(|(block, _)| block))
            {
                calls.leave_out(command, call, &doubt.why);
                continue;
            }
            let (own, there) = (environment.script(at), environment.directory_of(at));
            let (script, directory, told) = place.get_or_insert_with(|| {
                let mut told = configured(there, files).words;
                told.truncate(MOST_WORDS);
                (own, there, told)
            });
            // Who calls another script may ask for some of the same tests only.
            let again = *script != own
                && calls
                    .run
                    .iter()
                    .any(|(_, before)| call.is_part_of(before, told));
            if again {
                continue;
            }
            if *directory != there {
                calls.leave_out(command, call, "it is run in another directory");
            } else if calls.would_make_older(&call) {
                calls.leave_out(command, call, "it needs an older pytest than another one");
            } else if calls.run.len() >= MOST {
                calls.leave_out(command, call, "there are too many");
            } else {
                calls.run.push((command, call));
            }
        }
        calls.directory = place.map_or("", |(_, directory, _)| directory);
        let Self { run, not_run, .. } = &mut calls;
        not_run.retain(|one| !run.iter().any(|(_, other)| one.call.is_as(other)));
        calls
    }

    fn leave_out(&mut self, command: &'e [String], call: Call, why: &'e str) {
        self.not_run.push(NotRun { command, call, why });
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

/// What it says that an environment tests more than is run, one sentence for each reason.
fn told(origin: &str, not_run: &[NotRun<'_>]) -> Vec<String> {
    let mut reasons: Vec<&str> = vec![];
    for one in not_run {
        if !reasons.contains(&one.why) {
            reasons.push(one.why);
        }
    }
    let sentence = |why: &str| {
        let of_this: Vec<&NotRun<'_>> = not_run.iter().filter(|one| one.why == why).collect();
        let first = of_this.first().map(|one| one.command.join(" "));
        let first = first.unwrap_or_default();
        let (one, many) = ("further test command", "further test commands");
        let count = amount(of_this.len() as u64, one, many);
        let are = if of_this.len() == 1 { "is" } else { "are" };
        format!("{count} of {origin} {are} not run, since {why}: `{first}`")
    };
    reasons.into_iter().map(sentence).collect()
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
        assert_eq!(reports, ["-m", "each_result", "-o", "{work}/junit-2"]);
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
        let told = "1 further test command of tox.ini [testenv] is not run, since it needs an older \
            pytest than another one: `nosetests b`";
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
    fn other_scripts_are_run_where_they_run_something_else() {
        let hatch = "[envs.test.scripts]\ntest = ['pytest a', 'pytest b']\ntest-slow = 'pytest -k slow a'\n\
            test-cov = 'coverage run -m pytest a'\ntest-docs = 'pytest --doctest-modules a'\n";
        let plan = planned(&[("hatch.toml", hatch)]);
        let docs = "pytest --doctest-modules a";
        assert_eq!(names(&plan), ["pytest a", "pytest b", docs]);
        assert_eq!(plan.notes, Vec::<String>::new());
    }

    #[test]
    fn what_is_not_run_for_sure_is_told_with_the_reason() {
        let told = |count: &str, why: &str, first: &str| {
            format!("{count} of noxfile.py tests {why}: `{first}`")
        };
        let nox = "def tests(s):\n    s.run('pytest', 'a')\n    if s.posargs:\n        \
            s.run('pytest', '-k', 'x')\n    for at in ['c']: s.run('pytest', '-k', at)\n    \
            for at in where:\n        s.run('pytest', '-k', 'y')\n        s.run('pytest', '-k', 'z')\n    \
            s.run(\n        'pytest', 'b')\n    if CI: s.run('pytest', 'a')\n";
        let plan = planned(&[("noxfile.py", nox)]);
        assert_eq!(names(&plan), ["pytest a", "pytest -k c", "pytest b"]);
        let one = "is not run, since `if s.posargs` does not hold here";
        let two =
            "are not run, since only running it would tell how often `for at in where` is done";
        assert_eq!(
            plan.notes,
            [
                told("1 further test command", one, "pytest -k x"),
                told("2 further test commands", two, "pytest -k y"),
            ]
        );

        let nox = "def tests(s):\n    if s.posargs:\n        s.run('pytest', 'a')\n    else:\n        \
            s.run('pytest', 'b')\n    s.run('coverage', 'report')\n";
        let plan = planned(&[("noxfile.py", nox)]);
        assert_eq!(names(&plan), ["pytest b"]);
        let note = told("1 further test command", one, "pytest a");
        assert_eq!(plan.notes, [note]);
    }

    #[test]
    fn where_nothing_is_run_for_sure_the_first_block_is_taken() {
        let nox = "def tests(s):\n    if s.posargs:\n        s.run('pytest')\n    elif CI:\n        \
            s.run('pytest', 'a')\n        s.run('pytest', 'b')\n    else:\n        s.run('nose2')\n";
        let plan = planned(&[("noxfile.py", nox)]);
        assert_eq!(names(&plan), ["pytest a", "pytest b"]);
        let why = "only running it would tell what `elif CI` comes to";
        assert_eq!(
            plan.notes,
            [
                "1 further test command of noxfile.py tests is not run, since `if s.posargs` does not hold \
                here: `pytest`"
                    .to_owned(),
                format!("1 further test command of noxfile.py tests is not run, since {why}: `nose2`"),
                format!("`pytest a` is run, although {why}"),
            ]
        );
        // What is never run is no choice.
        let nox = "def tests(s):\n    if s.posargs: s.run('nose2')\n";
        let plan = planned(&[("noxfile.py", nox), ("a/test_c.py", "import pytest")]);
        assert_eq!(plan.reason, "a/test_c.py has `import pytest`");
    }

    #[test]
    fn commands_are_run_in_the_directory_of_the_first_one() {
        let nox = "def tests(s):\n    s.run('make')\n    with s.chdir('a'):\n        \
            s.run('pytest', 'test_a.py')\n    s.run('pytest', 'b')\n";
        let plan = planned(&[("noxfile.py", nox)]);
        assert_eq!(plan.directory, "a");
        let reason = "noxfile.py tests runs `pytest test_a.py` in a";
        assert_eq!(plan.reason, reason);
        let note = "1 further test command of noxfile.py tests is not run, since it is run in another \
            directory: `pytest b`";
        assert_eq!(plan.notes, [note]);
    }

    #[test]
    fn too_many_commands_and_long_ones_are_cut_and_counted() {
        let many: String = (0..MOST + 3)
            .map(|at| format!("    pytest -k \u{1b}{at}{} a\n", "x".repeat(9000)))
            .collect();
        let plan = of_tox(&many);
        assert_eq!(plan.further.len(), MOST - 1);
        let start = "3 further test commands of tox.ini [testenv] are not run, since there are too \
            many: `pytest";
        assert!(plan.notes[0].starts_with(start), "{:?}", plan.notes);
        let texts = plan.notes.iter().chain([&plan.reason]);
        let texts = texts.chain(plan.runs().map(|run| &run.name));
        for text in texts {
            assert!(text.chars().count() <= 200 && !text.contains('\u{1b}'));
        }
    }
}
