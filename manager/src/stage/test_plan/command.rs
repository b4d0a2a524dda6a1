//! Which framework a command runs, and on what: the words of a command that a package's configuration
//! has, as far as they are ours to keep.

mod interpreter;
mod no_tests;
mod options;
mod others;
mod place;
mod pytest;
mod runner;
mod selection;

use super::files::Files;
use super::framework::Framework;
use super::variables::assignment;
use interpreter::{Before, of_coverage};
pub(super) use no_tests::runs_no_tests;
pub(super) use options::{Kept, left_out};
use others::{django, doctest, nose, nose2, trial, unittest};
pub(super) use place::plain;
use place::{inside, place};
pub(super) use pytest::configured;
use pytest::pytest;
use runner::Runner;
pub(super) use runner::{DEV, Installs, is_open, synced};

/// Commands within commands, as in `coverage run -m pytest`.
const DEEPEST: usize = 8;

/// Options at which what runs tests only tells something.
const TELLING: [&str; 13] = [
    "-h",
    "--help",
    "-V",
    "--version",
    "--cache-show",
    "--co",
    "--collect-only",
    "--collectonly",
    "--fixtures",
    "--fixtures-per-test",
    "--funcargs",
    "--markers",
    "--setup-plan",
];

/// A command that runs tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    /// By what.
    pub framework: Framework,
    /// Options of the interpreter itself that change what tests see.
    pub interpreter: Vec<String>,
    /// What it is told, options that need plugins left out; a script of the package's own first
    /// where that runs the tests.
    pub words: Vec<String>,
    /// Options that may matter and that it is not told.
    pub left_out: Vec<String>,
    /// Variables that are assigned before it, as they are written.
    pub variables: Vec<(String, String)>,
    /// What is installed for it by what runs it.
    pub installs: Installs,
}

impl Call {
    /// A call with what is made of the words after the framework's name.
    fn of(framework: Framework, kept: Kept) -> Self {
        Self {
            framework,
            interpreter: vec![],
            words: kept.words,
            left_out: kept.left_out,
            variables: vec![],
            installs: Installs::default(),
        }
    }

    /// Whether both come to the same as far as they are kept.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        self.is_run_as(other) && self.words == other.words
    }

    /// Whether both are run by the same, whatever that is told.
    fn is_run_as(&self, other: &Self) -> bool {
        (self.framework, &self.interpreter, &self.variables)
            == (other.framework, &other.interpreter, &other.variables)
    }

    /// What it says that options of the command `of` are left out, where any are.
    pub(super) fn note(&self, of: &str) -> Option<String> {
        left_out(&self.left_out, of)
    }
}

/// What a command runs, where that is a framework that is known here. `directory` is where it runs,
/// relative to the source.
pub(super) fn call(words: &[String], directory: &str, files: &Files) -> Option<Call> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if words.iter().any(|word| TELLING.contains(word)) {
        return None;
    }
    program(&words, directory, files, 0)
}

fn program(words: &[&str], directory: &str, files: &Files, depth: usize) -> Option<Call> {
    let assigned = words.iter().map_while(|word| assignment(word));
    let variables: Vec<(String, String)> = assigned.collect();
    let mut call = named(&words[variables.len()..], directory, files, depth)?;
    call.variables.splice(0..0, variables);
    Some(call)
}

fn named(words: &[&str], directory: &str, files: &Files, depth: usize) -> Option<Call> {
    let (first, rest) = words.split_first()?;
    if depth > DEEPEST {
        return None;
    }
    let name = first.rsplit('/').next().unwrap_or(first);
    if let Some(runner) = Runner::of(name, rest) {
        let call = match (runner.module, runner.run) {
            (true, [name, rest @ ..]) => module(name, rest, directory, files, depth)?,
            (_, run) => program(run, directory, files, depth + 1)?,
        };
        return Some(runner.put_before(call));
    }
    match name {
        "hatch" if rest.first() == Some(&"test") => hatch_test(&rest[1..], directory, files),
        "coverage" | "coverage3" if rest.first() == Some(&"run") => {
            let (left_out, run) = of_coverage(&rest[1..]);
            let mut call = script(&run, directory, files, depth)?;
            call.left_out.splice(0..0, left_out);
            Some(call)
        }
        _ if is_python(name) => {
            let (before, run) = Before::of_python(rest)?;
            let call = script(&run, directory, files, depth)?;
            Some(before.put_before(call))
        }
        _ => module(name, rest, directory, files, depth)
            .or_else(|| of_script(first, rest, directory, files)),
    }
}

/// `hatch test`, which gives pytest all that is no option of its own: those only say in which of its
/// environments, how often and how many at once, and that coverage is measured
/// (<https://hatch.pypa.io/latest/cli/reference/#hatch-test>). `None` where it only shows the environments.
fn hatch_test(words: &[&str], directory: &str, files: &Files) -> Option<Call> {
    let with_value = [
        "--retries",
        "--retry-delay",
        "-py",
        "--python",
        "-i",
        "--include",
        "-x",
        "--exclude",
    ];
    let alone = [
        "-r",
        "--randomize",
        "-p",
        "--parallel",
        "-c",
        "--cover",
        "--cover-quiet",
        "-a",
        "--all",
    ];
    let mut given = vec![];
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        match word {
            "--" => given.extend(words.by_ref()),
            "-s" | "--show" => return None,
            _ if with_value.contains(&word) => drop(words.next()),
            _ if alone.contains(&word) => {}
            _ => given.push(word),
        }
    }
    let told = pytest(&given, directory, files);
    Some(Call::of(Framework::Pytest, told))
}

/// Whether a program is an interpreter by its name.
pub(super) fn is_python(name: &str) -> bool {
    let version = name
        .strip_prefix("python")
        .or_else(|| name.strip_prefix("pypy"));
    name == "py"
        || version.is_some_and(|version| version.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

/// What an interpreter is told to run: `-m` and a module, or a file.
fn script(words: &[&str], directory: &str, files: &Files, depth: usize) -> Option<Call> {
    let (first, rest) = words.split_first()?;
    if *first == "-m" {
        let (name, rest) = rest.split_first()?;
        return module(name, rest, directory, files, depth);
    }
    // A script that the framework installed, or a file of the package's own.
    let name = first.rsplit('/').next().unwrap_or(first);
    of_script(first, rest, directory, files).or_else(|| module(name, rest, directory, files, depth))
}

fn module(name: &str, rest: &[&str], directory: &str, files: &Files, depth: usize) -> Option<Call> {
    let keep = |framework, kept| Some(Call::of(framework, kept));
    match name {
        "pytest" | "py.test" => keep(Framework::Pytest, pytest(rest, directory, files)),
        "coverage" => program(&[&["coverage"], rest].concat(), directory, files, depth + 1),
        "nosetests" | "nosetests3" | "nose" | "nose.core" => {
            keep(Framework::Nose, nose(rest, directory, files))
        }
        "doctest" => keep(Framework::Doctest, doctest(rest, directory, files)),
        "nose2" => keep(Framework::Nose2, nose2(rest, directory, files)),
        "unittest" | "unittest2" | "unit2" | "xmlrunner" => {
            keep(Framework::Unittest, unittest(rest))
        }
        "trial" | "twisted.trial" => keep(Framework::Trial, trial(rest, directory, files)),
        "django" | "django-admin" | "django-admin.py" => {
            let words = ["-m", "django"].into_iter().chain(rest.iter().copied());
            let test = rest.first() == Some(&"test");
            test.then(|| keep(Framework::Django, django(words)))?
        }
        _ => None,
    }
}

/// A script of the package's own: Django's `manage.py test` and the `runtests.py` of applications.
fn of_script(first: &str, rest: &[&str], directory: &str, files: &Files) -> Option<Call> {
    let word = place(first, directory, files)?;
    let path = inside(first, directory)?;
    let name = path.rsplit('/').next()?;
    let test = name == "manage.py" && rest.first() == Some(&"test")
        || ["runtests.py", "run_tests.py"].contains(&name) && files.text(&path).contains("django");
    let words = [word.as_str()].into_iter().chain(rest.iter().copied());
    test.then(|| Call::of(Framework::Django, django(words)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_tell_the_framework_and_what_it_runs() {
        use Framework::{Django, Nose, Nose2, Pytest, Trial, Unittest};
        let files = Files::of(&[
            ("tests/test_a.py", ""),
            ("t/unit/test_b.py", ""),
            ("manage.py", ""),
            ("mypkg/__init__.py", ""),
            ("runtests.py", "import django"),
        ]);
        for (command, framework, words) in [
            ("pytest -n auto --cov=x tests", Pytest, "tests"),
            ("pytest --cov mypkg", Pytest, ""),
            ("pytest --cov mypkg tests", Pytest, "tests"),
            ("pytest --cov --cov-report term -- ./tests", Pytest, "tests"),
            (
                "pytest --ds tests.settings --asyncio-mode=auto --dc=Dev .",
                Pytest,
                "-o|DJANGO_SETTINGS_MODULE=tests.settings|-o|asyncio_mode=auto|\
                    -o|DJANGO_CONFIGURATION=Dev|.",
            ),
            (
                "pytest -W error -Wignore::X --pythonwarnings=once -p no:a -pno:b -p c",
                Pytest,
                "-Werror|-Wignore::X|-Wonce|-pno:a|-pno:b",
            ),
            (
                "pytest -vvs -n4 -ra '-mnot slow' -k=x",
                Pytest,
                "-m|not slow|-k|x",
            ),
            (
                "coverage run -p -m pytest {work} -k 'not x' --tb short ./tests/",
                Pytest,
                "-k|not x|tests",
            ),
            (
                "python3.9 -W error -mpytest --pyargs attr --doctest-modules",
                Pytest,
                "-Werror|--pyargs|attr|--doctest-modules",
            ),
            (
                "env A=b py.test tests/test_a.py::X --ignore ./t",
                Pytest,
                "tests/test_a.py::X|--ignore=t",
            ),
            ("uv run --group dev pytest", Pytest, ""),
            ("uv run --package a -m pytest tests", Pytest, "tests"),
            (
                "python -m unittest discover -v -s ./tests",
                Unittest,
                "discover|-s|tests",
            ),
            (
                "python -bb -m coverage run --source x -m unittest",
                Unittest,
                "",
            ),
            ("nosetests -v --with-doctest tests missing", Nose, "tests"),
            ("nosetests --cover-package mypkg", Nose, ""),
            (
                "nosetests --with-coverage --cover-package -v --where=tests",
                Nose,
                "tests",
            ),
            ("nose2 --coverage mypkg", Nose2, ""),
            ("nose2 -C --coverage -v mypkg", Nose2, "mypkg"),
            (
                "coverage run bin/nose2 -v --plugin nose2.plugins.mp -s tests",
                Nose2,
                "-s|tests",
            ),
            (
                "trial --reporter text -j 2 a.test tests/test_a.py",
                Trial,
                "a.test|tests/test_a.py",
            ),
            ("coverage run bin/trial a", Trial, "a"),
            (
                "python manage.py test app -v 2 --settings=s",
                Django,
                "manage.py|test|app|--settings=s",
            ),
            (
                "django-admin test --settings s",
                Django,
                "-m|django|test|--settings|s",
            ),
            (
                "python manage.py test --parallel --settings=tests.settings",
                Django,
                "manage.py|test|--settings=tests.settings",
            ),
            (
                "django-admin test --parallel auto -v2 --testrunner a.B app",
                Django,
                "-m|django|test|app",
            ),
            (
                "python ./runtests.py --parallel 1 x",
                Django,
                "runtests.py|x",
            ),
        ] {
            let words_of = shlex::split(command).unwrap();
            let found = call(&words_of, "", &files).unwrap_or_else(|| panic!("{command}"));
            assert_eq!(
                (found.framework, &*found.words.join("|")),
                (framework, words),
                "{command}"
            );
        }
        for command in [
            "",
            "mypy src",
            "python setup.py sdist",
            "coverage report",
            "-",
            "python",
            "django-admin check",
            "pytest --version",
            "python -m pytest --collect-only tests",
            "manage.py test -h",
            "hatch test --show",
        ] {
            let words = shlex::split(command).unwrap();
            assert_eq!(call(&words, "", &files), None, "{command}");
        }
    }

    #[test]
    fn words_are_seen_from_where_the_command_runs() {
        let files = Files::of(&[
            ("tests/test_a.py", ""),
            ("t/unit/test_b.py", ""),
            ("manage.py", ""),
            ("t/runtests.py", "import django"),
        ]);
        for (command, directory, words) in [
            ("pytest", "t", ""),
            ("pytest unit tests", "t", "unit"),
            (
                "pytest -k x ../tests {source}/t",
                "t",
                "-k|x|../tests|{source}/t",
            ),
            (
                "pytest --pyargs a {source}/tests t",
                "{work}",
                "--pyargs|a|{source}/tests|t",
            ),
            ("nosetests unit/test_b.py", "t", "unit/test_b.py"),
            ("nosetests pkg", "t", "--pyargs|pkg"),
            ("hatch test -i a=b -k x -- -x unit", "t", "-k|x|unit"),
            (
                "python -m unittest discover -s ./unit",
                "t",
                "discover|-s|unit",
            ),
            ("nose2 -s unit", "t", "-s|unit"),
            ("python runtests.py x", "t", "runtests.py|x"),
            ("{source}/manage.py test", "t", "{source}/manage.py|test"),
        ] {
            let words_of = shlex::split(command).unwrap();
            let found = call(&words_of, directory, &files).unwrap_or_else(|| panic!("{command}"));
            assert_eq!(found.words.join("|"), words, "{command}");
        }
        let not_there = ["manage.py".to_owned(), "test".to_owned()];
        assert_eq!(call(&not_there, "t", &files), None);
    }

    #[test]
    fn options_that_may_matter_are_not_left_out_in_silence() {
        let files = Files::of(&[("tests/test_a.py", ""), ("manage.py", "")]);
        for (command, left_out) in [
            (
                "pytest -v -xq --cov x --tb=short -n 2 -k x -W error --ds=s tests",
                "",
            ),
            (
                "pytest --runslow -c x.ini -p a.b --timeout 3 --foo=1 -o a=b tests",
                "--runslow|-c x.ini|-p a.b|--timeout=3|--foo=1|-o a=b",
            ),
            (
                "nosetests -v -a slow --with-doctest --cover-erase -w gone",
                "-a slow|--with-doctest|-w gone",
            ),
            ("python -m doctest -v -o ELLIPSIS a.rst", "-o ELLIPSIS"),
            (
                "nose2 -v --plugin a.b -A c --coverage-report term",
                "--plugin=a.b|-A c",
            ),
            ("trial -j 2 -r select --reporter text a", "-r select"),
            (
                "manage.py test -v 2 --testrunner=a.B --testrunner c",
                "--testrunner=a.B|--testrunner=c",
            ),
            ("hatch test --cover -py 3.12 -k x -- --foo tests", "--foo"),
            ("python -m unittest -v", ""),
            (
                "python -I -m coverage run --omit x -m pytest --foo",
                "-I|--omit=x|--foo",
            ),
        ] {
            let words_of = shlex::split(command).unwrap();
            let found = call(&words_of, "", &files).unwrap_or_else(|| panic!("{command}"));
            assert_eq!(found.left_out.join("|"), left_out, "{command}");
        }
        let call = |command: &str| call(&shlex::split(command).unwrap(), "", &files).unwrap();
        let note = "1 option of the test command is left out: `--a`";
        let told = |command: &str| call(command).note("the test command");
        assert_eq!(told("pytest --a tests").as_deref(), Some(note));
        let note = "2 options of the test command are left out: `--a --b=c`";
        assert_eq!(told("pytest --a --b=c").as_deref(), Some(note));
        assert_eq!(told("pytest -v"), None);
        assert!(call("pytest --a tests").is_as(&call("pytest tests")));
    }

    #[test]
    fn variables_are_read_before_a_command() {
        let files = Files::of(&[("tests/test_a.py", "")]);
        let many = format!("{}pytest", "A=b ".repeat(100));
        for (command, count, last) in [
            ("A=b env C=/d/e pytest tests", 2, ("C", "/d/e")),
            ("env -- A=b pytest", 0, ("", "")),
            ("A-B=c A='b c' time pytest", 2, ("A", "b c")),
            ("coverage run -m pytest A=b", 0, ("", "")),
            (many.as_str(), 100, ("A", "b")),
        ] {
            let words = shlex::split(command).unwrap();
            let found = call(&words, "", &files).map(|call| call.variables);
            let found = found.unwrap_or_default();
            let named = found.last().map(|(name, value)| (&**name, &**value));
            assert_eq!((found.len(), named.unwrap_or_default()), (count, last));
        }
        let words = ["A=tests/pytest".to_owned(), "tests".to_owned()];
        assert_eq!(call(&words, "", &files), None);
    }
}
