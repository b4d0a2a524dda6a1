//! How each framework is run so that it reports.

use std::collections::BTreeSet;

use super::command::{self, Kept};
use super::discovery::discovery;
use super::files::Files;
use super::framework::Framework;
use super::ini::Ini;
use crate::stage::test::{EACH_RESULT, EACH_RESULT_NOSE2, EACH_RESULT_TRIAL};

/// The program in the guest that runs Django's tests.
pub(in crate::stage) const RUN_DJANGO: (&str, &str) = (
    "/home/dev/.cache/build/run_django.py",
    include_str!("run_django.py"),
);

/// The directory in `{work}` for the reports of one of several commands; 0 is the first.
pub(in crate::stage) fn reports(at: usize) -> String {
    match at {
        0 => "junit".to_owned(),
        at => format!("junit-{}", at + 1),
    }
}

/// Arguments of the interpreter that run the tests, as the command of the number `at`; `words` is what
/// the package's own command says of them. They are run in `directory`, relative to the source.
pub(super) fn arguments(
    framework: Framework,
    words: Vec<String>,
    at: usize,
    directory: &str,
    files: &Files,
) -> Vec<String> {
    let reports = format!("{{work}}/{}", reports(at));
    let these =
        |words: &[&str]| -> Vec<String> { words.iter().map(|&word| word.to_owned()).collect() };
    let inside = below(directory, files);
    let seen = inside.as_ref().unwrap_or(files);
    let or = |words: Vec<String>, other: &dyn Fn() -> Vec<String>| {
        if words.is_empty() { other() } else { words }
    };
    match framework {
        Framework::Pytest => [pytest(&reports), configured(directory, files).words, words].concat(),
        Framework::Nose => [pytest(&reports), nose(seen), words].concat(),
        Framework::Doctest => {
            let globs = [
                "--doctest-modules",
                "--doctest-glob=*.rst",
                "--doctest-glob=*.txt",
                "--doctest-glob=*.md",
            ];
            [pytest(&reports), these(&globs), words].concat()
        }
        Framework::Nose2 => {
            let report = [
                "-m",
                "nose2",
                "--plugin",
                EACH_RESULT_NOSE2,
                "--plugin",
                "nose2.plugins.junitxml",
                "--junit-xml",
                "--junit-xml-path",
                &format!("{reports}/nose2.xml"),
            ];
            [these(&report), words].concat()
        }
        Framework::Trial => {
            let report = ["-m", EACH_RESULT_TRIAL, &reports, "--reporter=subunit"];
            [these(&report), or(words, &|| trial(seen))].concat()
        }
        Framework::Django => [these(&[RUN_DJANGO.0, &reports]), words].concat(),
        Framework::Unittest => {
            let report = ["-m", EACH_RESULT, "-o", &reports];
            [these(&report), or(words, &|| discovery(directory, files))].concat()
        }
        Framework::Command => vec![],
    }
}

fn pytest(reports: &str) -> Vec<String> {
    // Options of the package's own would ask for plugins that are not there.
    [
        "-m",
        "pytest",
        "-q",
        "-o",
        "addopts=",
        "-o",
        "required_plugins=",
        // Not in the source; without its plugin a `cache_dir` of the package's own may be an error.
        "-o",
        "cache_dir={work}/cache",
        "-p",
        EACH_RESULT,
        // A file that cannot be imported says nothing of the others.
        "--continue-on-collection-errors",
        &format!("--junitxml={reports}/pytest.xml"),
    ]
    .map(str::to_owned)
    .to_vec()
}

/// What it says that options which are configured are left out, where any are.
pub(super) fn left_out(framework: Framework, directory: &str, files: &Files) -> Option<String> {
    let pytest = framework == Framework::Pytest;
    let kept = pytest.then(|| configured(directory, files))?;
    command::left_out(&kept.left_out, "pytest's addopts")
}

/// The paths of what is in a directory, as they are seen from there; `None` for the source's own.
pub(super) fn below(directory: &str, files: &Files) -> Option<Files> {
    let start = match directory {
        "" => return None,
        directory => format!("{directory}/"),
    };
    let paths = files.paths.iter();
    let paths = paths.filter_map(|path| path.strip_prefix(start.as_str()));
    Some(Files {
        paths: paths.map(str::to_owned).collect(),
        ..Files::default()
    })
}

/// What of pytest's configured options says which tests are run and how; it stands before what a command
/// says, as pytest has it.
pub(super) fn configured(directory: &str, files: &Files) -> Kept {
    let ini = |file: &str, section: &str| {
        let ini = Ini::parse(files.text(file));
        shlex::split(ini.get(section, "addopts")?)
    };
    let pyproject = || {
        let project = files.toml("pyproject.toml");
        let table = project.get("tool")?.get("pytest")?;
        let table = table.get("ini_options").unwrap_or(table);
        match table.get("addopts")? {
            toml::Value::String(text) => shlex::split(text),
            toml::Value::Array(words) => {
                let words = words.iter().filter_map(toml::Value::as_str);
                Some(words.map(str::to_owned).collect())
            }
            _ => None,
        }
    };
    let words = ini("pytest.ini", "pytest")
        .or_else(pyproject)
        .or_else(|| ini("tox.ini", "pytest"))
        .or_else(|| ini("setup.cfg", "tool:pytest"))
        .unwrap_or_default();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    command::configured(&words, directory, files)
}

/// nose's names of tests, `(?:^|[\b_\./-])[Tt]est`, as pytest has them
/// (<https://nose.readthedocs.io/en/latest/finding_tests.html>), and what `[nosetests]` says.
fn nose(files: &Files) -> Vec<String> {
    let mut words: Vec<String> = [
        "python_files=[Tt]est*.py *[_.-][Tt]est*.py",
        "python_classes=[Tt]est* *_[Tt]est*",
        "python_functions=[Tt]est* *_[Tt]est*",
    ]
    .iter()
    .flat_map(|option| ["-o".to_owned(), (*option).to_owned()])
    .collect();
    let setup = Ini::parse(files.text("setup.cfg"));
    let value = |key: &str| setup.get("nosetests", key);
    let yes = ["1", "true", "yes", "on"];
    if value("with-doctest").is_some_and(|value| yes.contains(&&*value.to_lowercase())) {
        words.push("--doctest-modules".to_owned());
    }
    let places = value("tests").or_else(|| value("where"));
    let places = places.unwrap_or_default().split([',', '\n', ' ']);
    let places = places.map(|place| command::plain(place.trim()));
    words.extend(
        places
            .filter(|place| !place.is_empty() && (files.has(place) || files.has_directory(place))),
    );
    words
}

/// What trial runs where nothing is said: packages of tests by their names, other tests by their
/// files, which it takes for names unless they begin with a dot.
fn trial(files: &Files) -> Vec<String> {
    let mut packages = BTreeSet::new();
    let mut single = vec![];
    for path in files.tests() {
        let directory = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        match package(directory, files) {
            Some(package) => drop(packages.insert(package)),
            None => single.push(format!("./{path}")),
        }
    }
    // A package's tests are run with those of the package that it is in.
    let all = packages.clone();
    packages.retain(|package| {
        let mut above = package.match_indices('.').map(|(at, _)| &package[..at]);
        !above.any(|above| all.contains(above))
    });
    packages.into_iter().chain(single).collect()
}

/// The dotted name of a directory that is a package from the source's own directory on.
fn package(directory: &str, files: &Files) -> Option<String> {
    let mut path = String::new();
    for part in directory.split('/') {
        path.push_str(part);
        if part.is_empty() || !files.has(&format!("{path}/__init__.py")) {
            return None;
        }
        path.push('/');
    }
    Some(directory.replace('/', "."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_run_in_a_directory_is_seen_from_there() {
        let files = Files::of(&[
            ("setup.cfg", "[nosetests]\ntests = t\n"),
            ("t/setup.cfg", ""),
            ("t/sub/test_a.py", ""),
            ("t/sub/__init__.py", ""),
        ]);
        let last = |framework, directory: &str, count: usize| {
            let words = arguments(framework, vec![], 0, directory, &files);
            words[words.len() - count..].join(" ")
        };
        let found = last(Framework::Unittest, "t", 7);
        assert_eq!(found, "discover -s sub -p test*.py -t .");
        let found = last(Framework::Unittest, "{work}", 5);
        assert_eq!(found, "discover -s . -p test*.py");
        assert_eq!(last(Framework::Trial, "t", 1), "sub");
        assert_eq!(last(Framework::Nose, "", 1), "t");
        let found = last(Framework::Nose, "t", 1);
        assert_eq!(found, "python_functions=[Tt]est* *_[Tt]est*");
    }

    #[test]
    fn each_command_has_reports_of_its_own() {
        use Framework::{Django, Doctest, Nose, Nose2, Pytest, Trial, Unittest};
        for framework in [Django, Doctest, Nose, Nose2, Pytest, Trial, Unittest] {
            let written = |at: usize| {
                let words = arguments(framework, vec![], at, "", &Files::default());
                // All have one cache, as in the package's own environment.
                let words = words
                    .into_iter()
                    .filter(|word| !word.starts_with("cache_dir="));
                let place = words.filter_map(|word| Some(word.split_once("{work}/")?.1.to_owned()));
                place.collect::<Vec<_>>()
            };
            let inside = |directory: &str| {
                let start = format!("{directory}/");
                move |place: &String| {
                    *place == start[..start.len() - 1] || place.starts_with(&start)
                }
            };
            for (at, directory) in [(0, "junit"), (1, "junit-2"), (7, "junit-8")] {
                let places = written(at);
                assert_eq!(places.len(), 1, "{framework:?}: {places:?}");
                assert!(
                    places.iter().all(inside(directory)),
                    "{framework:?}: {places:?}"
                );
            }
        }
    }

    #[test]
    fn trial_is_told_packages_and_files() {
        let files = Files::of(&[
            ("a/__init__.py", ""),
            ("a/test/__init__.py", ""),
            ("a/test/test_x.py", ""),
            ("a/test/deep/__init__.py", ""),
            ("a/test/deep/test_y.py", ""),
            ("t/test_z.py", ""),
            ("test_top.py", ""),
        ]);
        assert_eq!(trial(&files), ["a.test", "./t/test_z.py", "./test_top.py"]);
    }

    #[test]
    fn options_that_choose_tests_are_kept() {
        let of = |addopts: &str| {
            let text = format!("[tool.pytest.ini_options]\naddopts = {addopts}\n");
            let files = Files::of(&[("pyproject.toml", &text), ("tests/a.py", "")]);
            let kept = configured("", &files);
            assert_eq!(configured("tests", &files), kept);
            let note = left_out(Framework::Pytest, "", &files);
            (kept.words.join("|"), note.unwrap_or_default())
        };
        let quiet = of("['--cov', '-m', 'not slow', '--ignore=x']");
        assert_eq!(quiet, ("-m|not slow|--ignore=x".to_owned(), String::new()));
        let settings = "-m|tests|-o|asyncio_mode=auto|-Werror".to_owned();
        let note = "2 options of pytest's addopts are left out: `--runslow -p a`".to_owned();
        assert_eq!(
            of("'-m tests --asyncio-mode=auto -W error -ra --runslow -p a'"),
            (settings, note)
        );
        let ini = ("pytest.ini", "[pytest]\naddopts = --runslow\n");
        let files = Files::of(&[ini, ("tests/a.py", "")]);
        assert_eq!(left_out(Framework::Nose, "", &files), None);
        let nose_files = Files::of(&[
            (
                "setup.cfg",
                "[nosetests]\nwith-doctest = 1\ntests = tests, gone\n",
            ),
            ("tests/a.py", ""),
        ]);
        let words = nose(&nose_files);
        assert_eq!(words[6..], ["--doctest-modules", "tests"]);
    }

    #[test]
    fn places_that_are_configured_stand_before_those_of_the_command() {
        let told = |addopts: &str, words: &[&str]| {
            let ini = format!("[pytest]\naddopts = {addopts}\n");
            let paths = ["tests/test_a.py", "beet/a.py", "b/test_c.py"];
            let mut files = vec![("pytest.ini", ini.as_str())];
            files.extend(paths.map(|path| (path, "")));
            let words = words.iter().map(|&word| word.to_owned()).collect();
            let all = arguments(Framework::Pytest, words, 0, "", &Files::of(&files));
            all[pytest("").len()..].join(" ")
        };
        let beet = "tests beet --ignore beet/b --doctest-modules";
        let kept = "tests beet --ignore=beet/b --doctest-modules";
        assert_eq!(told(beet, &[]), kept);
        assert_eq!(told(beet, &["b"]), format!("{kept} b"));
        // The first one is what coverage is measured of.
        assert_eq!(told("--cov tests tests .", &[]), "tests .");
        assert_eq!(told("tests gone", &["-k", "x"]), "tests -k x");
        // It may be the value of an option that is not known, and nothing would be found there.
        assert_eq!(told("--mine beet -m x", &[]), "-m x");
        for addopts in ["--mine beet --doctest-modules", "--mine -q beet"] {
            assert!(told(addopts, &[]).starts_with("beet"), "{addopts}");
        }
        for (addopts, kept) in [
            ("--mine beet tests", "beet tests"),
            ("--mine tests", "tests"),
            ("--mine beet/a.py", "beet/a.py"),
            ("--mine .", "."),
        ] {
            assert_eq!(told(addopts, &[]), kept);
        }
    }

    #[test]
    fn pytest_keeps_its_cache_and_puts_it_nowhere_in_the_source() {
        let files = Files::of(&[("pytest.ini", "[pytest]\naddopts = -p no:cacheprovider\n")]);
        for framework in [Framework::Pytest, Framework::Nose, Framework::Doctest] {
            let words = arguments(framework, vec![], 0, "", &files);
            let mut two = words.windows(2);
            assert!(two.any(|two| two == ["-o", "cache_dir={work}/cache"]));
            assert!(!words.iter().any(|word| word.contains("no:cacheprovider")));
        }
    }
}
