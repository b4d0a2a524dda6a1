//! What a package's configuration says of the environment that its tests run in: `tox`, `nox`,
//! `hatch` and `pdm`, read, never run.

use std::collections::BTreeMap;
use std::mem;

use pyti_analyzer::amount;

use super::command::{Installs, runs_no_tests};
use super::files::Files;
use super::variables::Variables;
use super::{PythonVersion, hatch, nox, pdm, tox};

/// Environments of one package that are looked at.
const MOST: usize = 64;

/// An environment.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Environment {
    /// Where it is written, for messages.
    pub origin: String,
    /// Whether its tool has it where nothing is written of it: what else the package says tells more.
    pub assumed: bool,
    /// What is run in it, word by word, after the variables that are for that command alone.
    pub commands: Vec<Vec<String>>,
    /// By the places of commands: which of several scripts they are of. All others are of one.
    pub scripts: BTreeMap<usize, usize>,
    /// By the places of commands: why they are not run always.
    pub doubts: BTreeMap<usize, Doubt>,
    /// By the places of commands: how those are written of which only running it would tell which program
    /// they run.
    pub unknown: BTreeMap<usize, String>,
    /// By the places of commands: where they are run, where that is not [`Self::directory`].
    pub directories: BTreeMap<usize, String>,
    /// Variables of all of it, and which of them are left out.
    pub variables: Variables,
    /// Where, relative to the source; empty for the source itself.
    pub directory: String,
    /// What is installed before, each as the arguments of one `pip install`.
    pub installs: Vec<Vec<String>>,
    /// What its commands install besides, which is not asked for by name.
    pub synced: Installs,
    /// Optional features of the package itself.
    pub extras: Vec<String>,
    /// Dependency groups (PEP 735).
    pub groups: Vec<String>,
    /// What could not be understood, one sentence each.
    pub skipped: Vec<String>,
}

impl Environment {
    /// Which of its scripts the command at this place is of.
    pub(super) fn script(&self, at: usize) -> usize {
        self.scripts.get(&at).copied().unwrap_or_default()
    }

    /// Where the command at this place is run, relative to the source.
    pub(super) fn directory_of(&self, at: usize) -> &str {
        self.directories.get(&at).unwrap_or(&self.directory)
    }

    /// What it says of its commands that are not known, where there are any; `is_run` tells of a place
    /// whether the command there is run nevertheless.
    pub(super) fn unknown_note(&self, is_run: impl Fn(usize) -> bool) -> Option<String> {
        let mut unknown = self.unknown.iter().filter(|(at, _)| !is_run(**at));
        let (_, first) = unknown.next()?;
        let count = 1 + unknown.count();
        let (are, which) = match count {
            1 => ("is", "which one"),
            _ => ("are", "which ones"),
        };
        let commands = amount(count as u64, "command", "commands");
        let origin = &self.origin;
        Some(format!(
            "{commands} of {origin} {are} not run, since only running it would tell {which}: `{first}`"
        ))
    }

    /// What it says of its commands whose programs are not known here, where there are any that may run tests.
    fn foreign_note(&self) -> Option<String> {
        let may_test = |at: usize, words: &[String]| {
            let doubt = self.doubts.get(&at);
            let never = doubt.is_some_and(|doubt| doubt.block.is_none());
            !never && !self.unknown.contains_key(&at) && !runs_no_tests(words)
        };
        let commands = self.commands.iter().enumerate();
        let mut foreign = commands.filter(|(at, words)| may_test(*at, words));
        let (_, first) = foreign.next()?;
        let count = 1 + foreign.count();
        let (are, what) = match count {
            1 => ("is", "what it runs"),
            _ => ("are", "what they run"),
        };
        let commands = amount(count as u64, "command", "commands");
        let (origin, first) = (&self.origin, first.join(" "));
        Some(format!(
            "{commands} of {origin} {are} not run, since {what} is not known here: `{first}`"
        ))
    }

    /// Adds what a command of it installs.
    pub(super) fn install(&mut self, mut installs: Installs) {
        let asked = mem::take(&mut installs.asked);
        if !asked.is_empty() {
            self.installs.push(asked);
        }
        self.synced.add(installs);
    }

    /// Whether it is written and may be for tests by its name.
    fn may_test(&self) -> bool {
        let mut names = self.origin.split(|c: char| !c.is_ascii_alphanumeric());
        !self.assumed && !names.any(|name| OTHERS.contains(&name))
    }
}

/// Why a command is not run always.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Doubt {
    /// The reason, a clause.
    pub why: String,
    /// Which of the blocks it is of that are run under a condition which is not known: what is in one of
    /// them is run together. `None` where it is known not to be run.
    pub block: Option<usize>,
}

impl Doubt {
    /// That something is known not to be run.
    pub(super) fn never(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            block: None,
        }
    }
}

/// What is named in environments that have nothing to do with tests.
const OTHERS: [&str; 20] = [
    "lint", "linters", "format", "fmt", "style", "flake8", "black", "ruff", "isort", "pylint",
    "mypy", "pyright", "typing", "type", "types", "docs", "doc", "build", "release", "publish",
];

/// The best of these, in their order, that may be for tests by its name: where none of the commands is
/// understood, its requirements still are what tests want.
pub(super) fn for_tests(environments: &[Environment]) -> Option<&Environment> {
    environments
        .iter()
        .find(|environment| environment.may_test())
}

/// What it says of these, none of which runs tests as far as is known, where they may be for tests: their
/// commands that are not known may run some.
pub(super) fn passed_over(environments: &[Environment]) -> Vec<String> {
    let candidates = || environments.iter().filter(|one| one.may_test());
    let unknown = candidates().filter_map(|one| one.unknown_note(|_| false));
    // Most have the same, each for another Python.
    let foreign = candidates().find_map(Environment::foreign_note);
    unknown.chain(foreign).collect()
}

/// The environments of a package, the one that most looks like that of its tests first. `python`
/// is the version of the interpreter that runs them.
pub(super) fn environments(files: &Files, python: PythonVersion) -> Vec<Environment> {
    let mut all = tox::environments(files, python);
    all.truncate(MOST);
    all.extend(nox::environments(files.text("noxfile.py"), python));
    all.extend(hatch::environments(files, python));
    all.extend(pdm::environments(files));
    all.extend(hatch::unwritten(files, python));
    all.truncate(2 * MOST);
    all
}

#[cfg(test)]
mod tests {
    use pyti_index::CoreMetadata;

    use super::super::plan;
    use super::*;

    fn first(files: &[(&str, &str)]) -> Environment {
        environments(&Files::of(files), PythonVersion::TEST).remove(0)
    }

    #[test]
    fn commands_of_tox_run_in_the_directory_that_is_said() {
        let of = |said: &str| {
            let commands = "commands = pytest {toxinidir}/a {changedir}/b\n";
            let found = first(&[("tox.ini", &format!("[testenv]\n{said}\n{commands}"))]);
            let command = found.commands[0].join(" ");
            (found.directory, command, found.skipped)
        };
        let elsewhere = "pytest {source}/a ./b";
        for (said, directory, command) in [
            ("", "", "pytest ./a ./b"),
            ("changedir = ./", "", "pytest ./a ./b"),
            ("change_dir = {tox_root}/t/", "t", elsewhere),
            ("changedir = {envtmpdir}/x", ".tox/py/tmp/x", elsewhere),
            ("changedir = .tmp/{envname}", ".tmp/py313", elsewhere),
        ] {
            let expected = (directory.to_owned(), command.to_owned(), vec![]);
            assert_eq!(of(said), expected, "{said}");
        }
        let (directory, _, skipped) = of("changedir = {envbin}/x");
        assert_eq!(directory, "");
        let note = "tox's directory `{envbin}/x` is not understood for {envbin}";
        assert_eq!(skipped, [note]);
        let toml = "env_run_base = {change_dir = 't', commands = [['pytest', '{tox_root}/a']]}\n";
        let found = first(&[("tox.toml", toml)]);
        assert_eq!(found.directory, "t");
        assert_eq!(found.commands, [["pytest", "{source}/a"]]);
    }

    #[test]
    fn what_changes_the_directory_elsewhere_is_followed_or_told() {
        let of = |body: &str| {
            let found = first(&[("noxfile.py", &format!("def tests(s):\n{body}"))]);
            let last = found.commands.len() - 1;
            (found.directory_of(last).to_owned(), found.skipped)
        };
        let run = "    s.run('pytest')\n";
        for (body, directory, skipped) in [
            (
                format!("    s.chdir('./a')\n    s.cd('b')\n{run}"),
                "a/b",
                None,
            ),
            (format!("{run}    s.chdir('a')\n"), "", None),
            (
                format!("    with s.chdir('a'):\n        s.run('make')\n{run}"),
                "",
                None,
            ),
            (format!("    with s.chdir('a'):\n    {run}"), "a", None),
            (
                format!("    s.chdir(where)\n{run}"),
                "",
                Some("1 of chdir is not written out in tests of noxfile.py".to_owned()),
            ),
        ] {
            let expected = (directory.to_owned(), Vec::from_iter(skipped));
            assert_eq!(of(&body), expected, "{body}");
        }
    }

    #[test]
    fn commands_that_are_not_written_out_are_told() {
        let by_files = "test_a.py has `import pytest`";
        let arguments = "1 of run is not written out in tests of noxfile.py";
        let one = |call: &str| {
            format!(
                "1 command of noxfile.py tests is not run, since only running it would tell which one: \
                `{call}`"
            )
        };
        for (nox, reason, notes) in [
            (
                "def unit(s):\n    s.run('pytest')\n\ndef tests(s):\n    s.run(\n      *make_command())\n",
                "noxfile.py unit runs `pytest`",
                vec![one("s.run( *make_command())")],
            ),
            (
                "def tests(s):\n    s.run('pytest')\n    s.run('uv', 'run', *more())\n    \
                s.run('python', '-m', *more())\n    s.run('ruff', *more())\n",
                "noxfile.py tests runs `pytest`",
                vec![
                    "2 commands of noxfile.py tests are not run, since only running it would tell which \
                    ones: `s.run('uv', 'run', *more())`"
                        .to_owned(),
                    arguments.to_owned(),
                ],
            ),
            (
                "def tests(s):\n    s.run(tool, 'a')\n",
                by_files,
                vec![one("s.run(tool, 'a')"), arguments.to_owned()],
            ),
            (
                "def tests(s):\n    if CI: s.run(*make(s.posargs))\n",
                by_files,
                vec![one("s.run(*make(s.posargs))")],
            ),
            // That is run nevertheless.
            (
                "def tests(s):\n    s.run(*before, 'pytest')\n",
                "noxfile.py tests runs `pytest`",
                vec![arguments.to_owned()],
            ),
            (
                "def tests(s):\n    if s.posargs: s.run(*make())\n    s.run(*s.posargs)\n",
                by_files,
                vec![],
            ),
            ("def lint(s):\n    s.run(*make())\n", by_files, vec![]),
        ] {
            let files = Files::of(&[("noxfile.py", nox), ("test_a.py", "import pytest")]);
            let plan = plan(&files, &CoreMetadata::default(), PythonVersion::TEST).unwrap();
            assert_eq!((&*plan.reason, plan.notes), (reason, notes), "{nox}");
        }
    }

    #[test]
    fn commands_whose_programs_are_not_known_are_told() {
        let told = |tox: &str, test: &str| {
            let files = Files::of(&[("tox.ini", tox), ("test_a.py", test)]);
            plan(&files, &CoreMetadata::default(), PythonVersion::TEST).map(|plan| plan.notes)
        };
        let one = "1 command of tox.ini [testenv] is not run, since what it runs is not known here: \
            `zope-testrunner --test-path=src`";
        let two = "2 commands of tox.ini [testenv] are not run, since what they run is not known here: \
            `stestr run`";
        let lines =
            "[tox]\nenvlist = lint,py39,py313\n[testenv]\ncommands =\n    flake8 tests\n    ";
        for (commands, notes) in [
            ("zope-testrunner --test-path=src", vec![one.to_owned()]),
            (
                "stestr run\n    python tests/run_all.py",
                vec![two.to_owned()],
            ),
            ("coverage report\n    python setup.py test", vec![]),
            ("zope-testrunner\n    pytest", vec![]),
            (
                "coverage erase\n[testenv:lint]\ncommands = own-linter",
                vec![],
            ),
        ] {
            let found = told(&format!("{lines}{commands}\n"), "import pytest");
            assert_eq!(found, Ok(notes), "{commands}");
        }
        // Also where another environment is taken for it, and where there is nothing else.
        let tox = "[testenv]\ncommands = zope-testrunner --test-path=src\n";
        let bench = format!("{tox}[testenv:bench]\ncommands = pytest test_a.py\n");
        assert_eq!(told(&bench, "import pytest"), Ok(vec![one.to_owned()]));
        let none = format!("the source distribution has no tests; {one}");
        assert_eq!(told(tox, ""), Err(none));
    }
}
