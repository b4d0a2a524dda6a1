//! Which framework a command runs, and on what: the words of a command that a package's configuration
//! has, as far as they are ours to keep.

use super::files::Files;
use super::framework::Framework;
use super::variables::assignment;

/// Commands within commands, as in `coverage run -m pytest`.
const DEEPEST: usize = 8;

/// A command that runs tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    /// By what.
    pub framework: Framework,
    /// What it is told, options that need plugins left out; a script of the package's own first
    /// where that runs the tests.
    pub words: Vec<String>,
    /// Variables that are assigned before it, as they are written.
    pub variables: Vec<(String, String)>,
}

/// Options of pytest's own that say which tests are run, with whether a value follows
/// (<https://docs.pytest.org/en/stable/reference/reference.html#command-line-flags>).
const PYTEST: [(&str, bool); 9] = [
    ("-k", true),
    ("-m", true),
    ("--ignore", true),
    ("--ignore-glob", true),
    ("--deselect", true),
    ("--import-mode", true),
    ("--doctest-glob", true),
    ("--doctest-modules", false),
    ("--pyargs", false),
];
/// Options of pytest and common plugins that are left out with the value that follows them.
const PYTEST_VALUES: [&str; 18] = [
    "-c",
    "-n",
    "-o",
    "-p",
    "-r",
    "-W",
    "--basetemp",
    "--cov-config",
    "--cov-report",
    "--dist",
    "--durations",
    "--junitxml",
    "--junit-xml",
    "--log-level",
    "--maxfail",
    "--numprocesses",
    "--rootdir",
    "--tb",
];

/// What a command runs, where that is a framework that is known here. `directory` is where it runs,
/// relative to the source.
pub(super) fn call(words: &[String], directory: &str, files: &Files) -> Option<Call> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
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
    let again = |words: &[&str]| program(words, directory, files, depth + 1);
    let name = first.rsplit('/').next().unwrap_or(first);
    match name {
        "env" | "time" | "xvfb-run" => again(rest),
        "uv" | "poetry" | "pdm" | "pipenv" | "hatch" if rest.first() == Some(&"run") => again(
            after_options(&rest[1..], &["--group", "--extra", "--with", "--python"]),
        ),
        "hatch" if rest.first() == Some(&"test") => Some(Call {
            framework: Framework::Pytest,
            words: vec![],
            variables: vec![],
        }),
        "coverage" | "coverage3" if rest.first() == Some(&"run") => {
            let options = ["--source", "--rcfile", "--omit", "--include", "--context"];
            script(after_options(&rest[1..], &options), directory, files, depth)
        }
        _ if is_python(name) => script(after_options(rest, &["-W", "-X"]), directory, files, depth),
        _ => module(name, rest, directory, files, depth)
            .or_else(|| of_script(first, rest, directory, files)),
    }
}

fn is_python(name: &str) -> bool {
    let version = name
        .strip_prefix("python")
        .or_else(|| name.strip_prefix("pypy"));
    name == "py"
        || version.is_some_and(|version| version.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

/// What stands after the options of an interpreter or of coverage.py, `-m` left in.
fn after_options<'a>(mut words: &'a [&'a str], values: &[&str]) -> &'a [&'a str] {
    while let Some(word) = words.first() {
        if !word.starts_with('-') || word.starts_with("-m") && !word.starts_with("--") {
            break;
        }
        let skip = 1 + usize::from(values.contains(word));
        words = words.get(skip..).unwrap_or_default();
    }
    words
}

/// What an interpreter is told to run: `-m module`, `-mmodule`, or a file.
fn script(words: &[&str], directory: &str, files: &Files, depth: usize) -> Option<Call> {
    let (first, rest) = words.split_first()?;
    if *first == "-m" {
        let (name, rest) = rest.split_first()?;
        return module(name, rest, directory, files, depth);
    }
    if let Some(name) = first.strip_prefix("-m") {
        return module(name, rest, directory, files, depth);
    }
    // A script that the framework installed, or a file of the package's own.
    let name = first.rsplit('/').next().unwrap_or(first);
    of_script(first, rest, directory, files).or_else(|| module(name, rest, directory, files, depth))
}

fn module(name: &str, rest: &[&str], directory: &str, files: &Files, depth: usize) -> Option<Call> {
    let keep = |framework, words: Vec<String>| {
        Some(Call {
            framework,
            words,
            variables: vec![],
        })
    };
    let at = |word: &str| place(word, directory, files);
    match name {
        "pytest" | "py.test" => keep(Framework::Pytest, pytest(rest, directory, files)),
        "coverage" => program(&[&["coverage"], rest].concat(), directory, files, depth + 1),
        "nosetests" | "nosetests3" | "nose" | "nose.core" => keep(
            Framework::Nose,
            rest.iter().filter_map(|word| at(word)).collect(),
        ),
        "doctest" => keep(
            Framework::Doctest,
            rest.iter().filter_map(|word| at(word)).collect(),
        ),
        "nose2" => keep(Framework::Nose2, start(rest, directory, files)),
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
    let path = place(first, directory, files)?;
    let name = path.rsplit('/').next()?;
    let test = name == "manage.py" && rest.first() == Some(&"test")
        || ["runtests.py", "run_tests.py"].contains(&name) && files.text(&path).contains("django");
    let words = [path.as_str()].into_iter().chain(rest.iter().copied());
    test.then(|| Call {
        framework: Framework::Django,
        words: django(words),
        variables: vec![],
    })
}

/// The words after pytest that say which tests are run.
pub(super) fn pytest(words: &[&str], directory: &str, files: &Files) -> Vec<String> {
    let packages = words.contains(&"--pyargs");
    let mut kept = vec![];
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        if let Some(rest) = word.strip_prefix('-')
            && !rest.is_empty()
        {
            let (option, joined) = match word.split_once('=') {
                Some((option, value)) if word.starts_with("--") => (option, Some(value)),
                _ => (word, None),
            };
            let known = PYTEST.iter().find(|(known, _)| *known == option);
            match known {
                Some((_, false)) => kept.push(option.to_owned()),
                Some((_, true)) => {
                    let Some(value) = joined.or_else(|| words.next()) else {
                        break;
                    };
                    // Joined, so that a value is never taken for an option.
                    let value = if option.starts_with("--ignore") || option == "--deselect" {
                        plain(value)
                    } else {
                        value.to_owned()
                    };
                    if option.starts_with("--") {
                        kept.push(format!("{option}={value}"));
                    } else {
                        kept.extend([option.to_owned(), value]);
                    }
                }
                None if joined.is_none() && PYTEST_VALUES.contains(&option) => {
                    if option == "-p"
                        && let Some(value) = words.next()
                        && value.starts_with("no:")
                    {
                        kept.push(format!("-p{value}"));
                    } else if option != "-p" {
                        words.next();
                    }
                }
                None => {}
            }
        } else if let Some(path) = place(word, directory, files) {
            kept.push(path);
        } else if packages && is_dotted(word) {
            kept.push(word.to_owned());
        }
    }
    let directories = kept.iter().any(|word| !word.starts_with('-'));
    if !directories && !directory.is_empty() {
        kept.extend(place(".", directory, files));
    }
    kept
}

/// Where nose2 is told to start.
fn start(words: &[&str], directory: &str, files: &Files) -> Vec<String> {
    let mut kept = vec![];
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        let (option, joined) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value)),
            None => (word, None),
        };
        let starts = ["-s", "--start-dir", "-t", "--top-level-directory"];
        if starts.contains(&option) {
            let value = joined.or_else(|| words.next()).unwrap_or_default();
            if let Some(value) = place(value, directory, files) {
                kept.extend([option.to_owned(), value]);
            }
        } else if ["--plugin", "-c", "--config", "-N", "--log-level"].contains(&option) {
            if joined.is_none() {
                words.next();
            }
        } else if !word.starts_with('-') && is_dotted(word) {
            kept.push(word.to_owned());
        }
    }
    kept
}

/// What unittest is told, save how much it says.
fn unittest(words: &[&str]) -> Vec<String> {
    let told = words.iter().filter(|word| {
        !["-v", "-q", "-b", "-vv", "--verbose", "--quiet", "--buffer"].contains(word)
    });
    told.map(|word| match word.contains('/') {
        true => plain(word),
        false => (*word).to_owned(),
    })
    .collect()
}

/// The files, modules and packages that trial is told to run.
fn trial(words: &[&str], directory: &str, files: &Files) -> Vec<String> {
    let values = [
        "-j",
        "--jobs",
        "-r",
        "--reactor",
        "--reporter",
        "--random",
        "-z",
        "--temp-directory",
        "-l",
        "--logfile",
        "--order",
        "-o",
    ];
    let mut kept = vec![];
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        if values.contains(&word) {
            words.next();
        } else if word.starts_with('-') {
        } else if is_dotted(word) {
            kept.push(word.to_owned());
        } else {
            kept.extend(place(word, directory, files));
        }
    }
    kept
}

/// What Django's runner is told, save by whom it is run and how much it says.
fn django<'a>(words: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut kept = vec![];
    let mut words = words;
    while let Some(word) = words.next() {
        if ["-v", "--verbosity", "--testrunner", "--parallel"].contains(&word) {
            words.next();
        } else if !["--testrunner=", "--parallel=", "--verbosity=", "-v"]
            .iter()
            .any(|left_out| word.starts_with(left_out))
        {
            kept.push(word.to_owned());
        }
    }
    kept
}

/// The path of a word as seen from the source, where something is there.
fn place(word: &str, directory: &str, files: &Files) -> Option<String> {
    let (word, node) = match word.split_once("::") {
        Some((word, node)) => (word, format!("::{node}")),
        None => (word, String::new()),
    };
    let path = plain(&format!("{directory}/{word}"));
    let path = path.trim_start_matches('/').to_owned();
    (files.has(&path) || files.has_directory(&path)).then(|| path + &node)
}

/// A path without `.` and repeated or ending slashes.
pub(super) fn plain(path: &str) -> String {
    let start = if path.starts_with('/') { "/" } else { "" };
    let parts = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".");
    format!("{start}{}", parts.collect::<Vec<_>>().join("/"))
}

fn is_dotted(word: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    word.split('.').all(part) && !word.ends_with(".py")
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
            ("runtests.py", "import django"),
        ]);
        for (command, framework, words) in [
            ("pytest -n auto --cov=x tests", Pytest, "tests"),
            (
                "coverage run -p -m pytest {work} -k 'not x' --tb short ./tests/",
                Pytest,
                "-k|not x|tests",
            ),
            (
                "python3.9 -W error -mpytest --pyargs attr --doctest-modules",
                Pytest,
                "--pyargs|attr|--doctest-modules",
            ),
            (
                "env A=b py.test tests/test_a.py::X --ignore ./t",
                Pytest,
                "tests/test_a.py::X|--ignore=t",
            ),
            ("uv run --group dev pytest", Pytest, ""),
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
        ] {
            let words = shlex::split(command).unwrap();
            assert_eq!(call(&words, "", &files), None, "{command}");
        }
        let inside = call(&["pytest".into(), "unit".into()], "t", &files).unwrap();
        assert_eq!(inside.words, ["t/unit"]);
        let there = call(&["pytest".into()], "t", &files).unwrap();
        assert_eq!(there.words, ["t"]);
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
