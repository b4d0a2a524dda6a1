//! Where unittest searches for tests.

use std::collections::BTreeSet;

use pyti_analyzer::amount;

use super::Run;
use super::choice::MOST;
use super::files::Files;
use super::invocation::{arguments, below};
use super::seen::has_tests;

/// Directories above one another that are looked at.
const DEEPEST: usize = 64;
/// The patterns of the names of files, the one that unittest has by itself first.
const PATTERNS: [&str; 2] = ["test*.py", "*_test*.py"];

/// A search.
#[derive(Debug, PartialEq, Eq)]
struct Search {
    /// The directory that it starts in.
    start: String,
    /// What unittest is told.
    words: Vec<String>,
    /// Whether it is a part of the search from where it is run, which unittest does when it is told nothing:
    /// it comes there through packages.
    is_usual: bool,
}

impl Search {
    /// A search from a directory of these files.
    fn of(start: &str, pattern: &str, files: &Files) -> Self {
        let mut words = vec!["discover", "-s", start, "-p", pattern];
        // A package of tests imports its neighbours by their full names.
        if files.has(&format!("{start}/__init__.py")) {
            let top = if start.starts_with("src/") {
                "src"
            } else {
                "."
            };
            words.extend(["-t", top]);
        }
        let is_here = |above: &str| above == ".";
        Self {
            start: start.to_owned(),
            words: words.into_iter().map(str::to_owned).collect(),
            is_usual: pattern == PATTERNS[0]
                && (is_here(start) || is_reached(start, files, is_here)),
        }
    }
}

/// What unittest is told where nothing says what it is to run: the likeliest of its searches.
pub(super) fn discovery(directory: &str, files: &Files) -> Vec<String> {
    let first = searches(directory, files).into_iter().next();
    let first = first.unwrap_or_else(|| Search::of(".", PATTERNS[0], files));
    first.words
}

/// Adds the further searches that find all tests, where `run` is the first of them; `usual` says that
/// the package itself runs unittest without telling it anything, so that it runs no others than those which
/// unittest then finds. Tells what is not searched, since there is too much.
pub(super) fn add_searches(
    further: &mut Vec<Run>,
    run: &Run,
    usual: bool,
    directory: &str,
    files: &Files,
) -> Option<String> {
    let mut left_out = vec![];
    let searches = searches(directory, files).into_iter().skip(1);
    for search in searches.filter(|search| search.is_usual || !usual) {
        let at = 1 + further.len();
        if at >= MOST {
            left_out.push(search.start);
            continue;
        }
        further.push(Run {
            name: format!("{} in {}", run.name, search.start),
            arguments: arguments(run.framework, search.words, at, directory, files),
            ..run.clone()
        });
    }
    let first = left_out.first()?;
    let (one, many) = ("directory is", "directories are");
    let those = amount(left_out.len() as u64, one, many);
    Some(format!(
        "{those} not searched for tests, since there are too many: `{first}`"
    ))
}

/// The searches that find all files with tests, seen from the directory that they are run in: the usual
/// ones first, then those that start highest.
fn searches(directory: &str, files: &Files) -> Vec<Search> {
    let inside = below(directory, files);
    let seen = inside.as_ref().unwrap_or(files);
    let is_test = |path: &&String| match directory {
        "" => has_tests(path, files),
        directory => has_tests(&format!("{directory}/{path}"), files),
    };
    let mut tests: Vec<&String> = seen.tests().filter(is_test).collect();
    // What they inherit may have all the tests.
    if tests.is_empty() {
        tests = seen.tests().collect();
    }
    let is_named = |path: &&String| {
        let name = path.rsplit('/').next();
        name.is_some_and(|name| name.starts_with("test"))
    };
    let (usual, others): (Vec<&String>, Vec<&String>) = tests.into_iter().partition(is_named);
    let mut found: Vec<Search> = [usual, others]
        .into_iter()
        .zip(PATTERNS)
        .flat_map(|(tests, pattern)| {
            let starts = starts(&tests, seen).into_iter();
            starts.map(move |start| Search::of(start, pattern, seen))
        })
        .collect();
    found.sort_by_key(|search| {
        let depth = search.start.matches('/').count();
        // What is called otherwise stays behind.
        let other = search.words.get(4).is_some_and(|word| word == PATTERNS[1]);
        (other, !search.is_usual, search.start != ".", depth)
    });
    found
}

/// The directories of these files, save those that unittest comes to from another one of them.
fn starts<'f>(tests: &[&'f String], files: &Files) -> Vec<&'f str> {
    let directories = tests.iter().copied().map(|path| parent(path));
    let directories: BTreeSet<&str> = directories.collect();
    let is_start = |above: &str| directories.contains(above);
    directories
        .iter()
        .copied()
        .filter(|directory| !is_reached(directory, files, is_start))
        .collect()
}

/// Whether unittest comes to a directory from one above it: it goes through packages only.
fn is_reached(directory: &str, files: &Files, is_start: impl Fn(&str) -> bool) -> bool {
    let mut at = directory;
    for _ in 0..DEEPEST {
        if at == "." || !files.has(&format!("{at}/__init__.py")) {
            return false;
        }
        at = parent(at);
        if is_start(at) {
            return true;
        }
    }
    false
}

/// The directory of a file or of a directory.
fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or(".", |(parent, _)| parent)
}

#[cfg(test)]
mod tests {
    use pyti_index::CoreMetadata;

    use super::super::{Framework, PythonVersion, TestPlan, plan};
    use super::*;

    const CASE: &str = "import unittest\nclass A(unittest.TestCase):\n    def test_a(self): ...\n";

    /// The searches, each as what it is told behind `discover`.
    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let searches = searches("", &Files::of(files)).into_iter();
        searches.map(|search| search.words[1..].join(" ")).collect()
    }

    fn planned(files: &[(&str, &str)]) -> TestPlan {
        let files = Files::of(files);
        plan(&files, &CoreMetadata::default(), PythonVersion::TEST).unwrap()
    }

    #[test]
    fn a_search_starts_wherever_no_other_one_comes() {
        let package = [
            ("a/tests/__init__.py", ""),
            ("a/tests/test_x.py", CASE),
            ("a/tests/deep/__init__.py", ""),
            ("a/tests/deep/test_y.py", CASE),
        ];
        assert_eq!(found(&package), ["-s a/tests -p test*.py -t ."]);
        let no_package = [("t/test_x.py", CASE), ("t/deep/test_y.py", CASE)];
        let two = ["-s t -p test*.py", "-s t/deep -p test*.py"];
        assert_eq!(found(&no_package), two);
        let several = [("a/tests/test_x.py", CASE), ("b/tests/test_y.py", CASE)];
        let two = ["-s a/tests -p test*.py", "-s b/tests -p test*.py"];
        assert_eq!(found(&several), two);
        let top = [
            ("test_x.py", CASE),
            ("a/__init__.py", ""),
            ("a/test_y.py", CASE),
        ];
        assert_eq!(found(&top), ["-s . -p test*.py"]);
        let named_otherwise = [("a/test_x.py", CASE), ("a/y_test.py", CASE)];
        let two = ["-s a -p test*.py", "-s a -p *_test*.py"];
        assert_eq!(found(&named_otherwise), two);
    }

    #[test]
    fn files_without_tests_begin_no_search() {
        let helper = ("pkg/testutils.py", "import unittest\ndef helper(): ...\n");
        let files = [helper, ("tests/unit/test_b.py", CASE)];
        assert_eq!(found(&files), ["-s tests/unit -p test*.py"]);
        // Where no file has any of its own, some inherit theirs.
        let inherited = "from .base import Base\nclass A(Base): ...\n";
        let files = [("tests/test_b.py", inherited)];
        assert_eq!(found(&files), ["-s tests -p test*.py"]);
        assert_eq!(found(&[]), Vec::<String>::new());
        let words = discovery("", &Files::default());
        assert_eq!(words.join(" "), "discover -s . -p test*.py");
    }

    #[test]
    fn each_search_is_a_run() {
        let plan = planned(&[("a/tests/test_x.py", CASE), ("b/tests/test_y.py", CASE)]);
        assert_eq!(plan.first.framework, Framework::Unittest);
        let names: Vec<&str> = plan.runs().map(|run| run.name.as_str()).collect();
        assert_eq!(names, ["unittest", "unittest in b/tests"]);
        let ends = |run: &Run, start: &str, reports: &str| {
            let arguments = run.arguments.join(" ");
            let search = format!(" discover -s {start} -p test*.py");
            arguments.ends_with(&search) && arguments.contains(&format!("{{work}}/{reports}"))
        };
        assert!(ends(&plan.first, "a/tests", "junit"), "{plan:?}");
        assert!(ends(&plan.further[0], "b/tests", "junit-2"), "{plan:?}");
        assert_eq!(plan.notes, Vec::<String>::new());
    }

    #[test]
    fn too_many_searches_are_told() {
        let paths: Vec<String> = (0..MOST + 2).map(|at| format!("a{at}/test_x.py")).collect();
        let files: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), CASE)).collect();
        let plan = planned(&files);
        assert_eq!(plan.runs().count(), MOST);
        let note = "2 directories are not searched for tests, since there are too many: `a8`";
        assert_eq!(plan.notes, [note]);
    }

    #[test]
    fn a_command_of_the_package_searches_what_it_comes_to() {
        let tox = ("tox.ini", "[testenv]\ncommands = python -m unittest\n");
        let files = [
            tox,
            ("a/__init__.py", ""),
            ("a/test_x.py", CASE),
            ("b/__init__.py", ""),
            ("b/test_y.py", CASE),
            ("0/test_z.py", CASE),
        ];
        let plan = planned(&files);
        let names: Vec<&str> = plan.runs().map(|run| run.name.as_str()).collect();
        let command = "python -m unittest";
        assert_eq!(names, [command, "python -m unittest in b"]);
        assert_eq!(plan.reason, format!("tox.ini [testenv] runs `{command}`"));
        let first = plan.first.arguments.join(" ");
        assert!(
            first.ends_with(" discover -s a -p test*.py -t ."),
            "{first}"
        );
    }
}
