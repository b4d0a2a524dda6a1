//! How each framework is run so that it reports.

use super::files::Files;
use super::framework::Framework;

pub(super) fn xmlrunner() -> Vec<String> {
    ["-m", "xmlrunner", "-o", "{work}/junit"]
        .map(str::to_owned)
        .to_vec()
}

pub(super) fn arguments(framework: Framework, files: &Files) -> Vec<String> {
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
}
