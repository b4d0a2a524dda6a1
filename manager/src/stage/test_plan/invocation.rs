//! How each framework is run so that it reports.

use std::collections::BTreeSet;

use super::command;
use super::files::Files;
use super::framework::Framework;
use super::ini::Ini;

/// The program in the guest that runs Django's tests.
pub(in crate::stage) const RUN_DJANGO: (&str, &str) = (
    "/home/dev/.cache/build/run_django.py",
    include_str!("run_django.py"),
);

/// Arguments of the interpreter that run the tests; `words` is what the package's own command says
/// of them.
pub(super) fn arguments(framework: Framework, words: Vec<String>, files: &Files) -> Vec<String> {
    let these =
        |words: &[&str]| -> Vec<String> { words.iter().map(|&word| word.to_owned()).collect() };
    let or = |words: Vec<String>, other: &dyn Fn() -> Vec<String>| {
        if words.is_empty() { other() } else { words }
    };
    match framework {
        Framework::Pytest => [pytest(), configured(files), words].concat(),
        Framework::Nose => [pytest(), nose(files), words].concat(),
        Framework::Doctest => {
            let globs = [
                "--doctest-modules",
                "--doctest-glob=*.rst",
                "--doctest-glob=*.txt",
                "--doctest-glob=*.md",
            ];
            [pytest(), these(&globs), words].concat()
        }
        Framework::Nose2 => {
            let report = [
                "-m",
                "nose2",
                "--plugin",
                "nose2.plugins.junitxml",
                "--junit-xml",
                "--junit-xml-path",
                "{work}/junit/nose2.xml",
            ];
            [these(&report), words].concat()
        }
        Framework::Trial => {
            let report = ["-m", "twisted.trial", "--reporter=subunit"];
            [these(&report), or(words, &|| trial(files))].concat()
        }
        Framework::Django => [these(&[RUN_DJANGO.0, "{work}/junit"]), words].concat(),
        Framework::Unittest => {
            let report = ["-m", "xmlrunner", "-o", "{work}/junit"];
            [these(&report), or(words, &|| discovery(files))].concat()
        }
        Framework::Command => vec![],
    }
}

fn pytest() -> Vec<String> {
    // Options of the package's own would ask for plugins that are not there.
    [
        "-m",
        "pytest",
        "-q",
        "-o",
        "addopts=",
        "-o",
        "required_plugins=",
        "-p",
        "no:cacheprovider",
        // A file that cannot be imported says nothing of the others.
        "--continue-on-collection-errors",
        "--junitxml={work}/junit/pytest.xml",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// What of pytest's configured options says which tests are run.
fn configured(files: &Files) -> Vec<String> {
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
    let mut kept = command::pytest(&words, "", files);
    // Which of them are run is said by the command or by `testpaths`.
    kept.retain(|word| word.starts_with('-') || !files.has_directory(word));
    kept
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unittest_starts_in_the_highest_directory() {
        let tests = Files::of(&[
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
        let files = Files::of(&[
            (
                "pyproject.toml",
                "[tool.pytest.ini_options]\naddopts = ['--cov', '-m', 'not slow', '--ignore=x']\n",
            ),
            ("tests/a.py", ""),
        ]);
        assert_eq!(configured(&files), ["-m", "not slow", "--ignore=x"]);
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
}
