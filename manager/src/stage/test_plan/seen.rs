//! Which files have tests, as far as their names and their texts tell.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::files::Files;
use super::framework::Framework;

/// Ends of the names of files whose examples doctest runs.
const EXAMPLES: [&str; 4] = [".py", ".rst", ".txt", ".md"];
/// Ends of the names of files that may say that examples are tests; what others tell is for readers.
const SAYING: [&str; 4] = [".py", ".cfg", ".ini", ".toml"];
/// What says so.
const DOCTEST_MARKS: [&str; 8] = [
    "import doctest",
    "from doctest",
    "testmod(",
    "testfile(",
    "DocTestSuite",
    "DocFileSuite",
    "--doctest",
    "doctest_",
];
/// What says so of files that are no modules.
const DOCTEST_FILES: [&str; 4] = ["testfile(", "DocFileSuite", "--doctest-glob", "doctest_"];
/// Functions that are called like a test of pytest and tell other runners what there is.
const NO_TESTS: [&str; 3] = ["test_suite", "test_main", "test_all"];

static EXAMPLE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?m)^\s*>>> ").ok());
static IMPORTS_PYTEST: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?m)^[ \t]*(import|from)[ \t]+pytest\b").ok());
static FUNCTION: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?m)^(?:async[ \t]+)?def[ \t]+(test_\w+)").ok());
/// A class of tests that inherits from none of unittest's.
static CLASS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?m)^class[ \t]+(Test\w*)[ \t]*(?:\([ \t]*(?:object)?[ \t]*\))?[ \t]*:").ok()
});

/// The first file that has something for this framework to run. A file that only has the name of a test
/// may be anything; one that was not read may have tests.
pub(super) fn seen(framework: Framework, files: &Files) -> Option<String> {
    if framework == Framework::Doctest {
        return examples(files).into_iter().next();
    }
    files.tests().find(|path| has_tests(path, files)).cloned()
}

/// Whether a file that is named as tests are has any; helpers for tests import frameworks too.
pub(super) fn has_tests(path: &str, files: &Files) -> bool {
    let text = files.text(path);
    let marks = ["def test", "def runTest", "def load_tests"];
    !files.is_read(path) || marks.iter().any(|mark| text.contains(mark))
}

/// What a file has, in a few words, that pytest runs and unittest does not, or does only where pytest is;
/// `None` where there is no such thing, or it is not read.
pub(super) fn for_pytest_alone(path: &str, files: &Files) -> Option<String> {
    let text = files.text(path);
    if let Some(found) = IMPORTS_PYTEST.as_ref()?.captures(text) {
        return Some(format!("`{} pytest`", found.get(1)?.as_str()));
    }
    let functions = FUNCTION.as_ref()?.captures_iter(text);
    let mut functions = functions.filter_map(|found| Some(found.get(1)?.as_str()));
    let function = functions.find(|name| !NO_TESTS.contains(name));
    let outside = |name: &str| format!("`{name}` outside of any TestCase");
    if let Some(name) = function {
        return Some(outside(name));
    }
    let bases = bases(text);
    let mut classes = CLASS.as_ref()?.captures_iter(text);
    let class = classes.find_map(|found| {
        let name = found.get(1)?.as_str();
        let body = text.get(found.get(0)?.end()..)?;
        // What others inherit is run as one of theirs.
        (!bases.contains(name) && body_has_tests(body)).then_some(name)
    });
    class.map(outside)
}

/// The words between the brackets of all classes.
fn bases(text: &str) -> BTreeSet<&str> {
    let lines = text.lines().map(str::trim_start);
    let classes = lines.filter(|line| line.starts_with("class "));
    let brackets = classes.filter_map(|line| Some(line.split_once('(')?.1));
    brackets
        .flat_map(|bases| bases.split(|c: char| !(c.is_alphanumeric() || c == '_')))
        .collect()
}

/// Whether the block at the start of this text, behind its header, has functions named test.
fn body_has_tests(text: &str) -> bool {
    let mut lines = text.lines();
    // What is left of the header.
    let header = lines.next().unwrap_or_default();
    let inside = |line: &&str| line.is_empty() || line.starts_with([' ', '\t', '#']);
    header.contains("def test")
        || lines
            .take_while(inside)
            .any(|line| line.contains("def test"))
}

/// The file that says that examples are tests, with what it says.
pub(super) fn says_doctest(files: &Files) -> Option<(&str, &'static str)> {
    told(files, &DOCTEST_MARKS)
}

fn told<'f>(files: &'f Files, marks: &[&'static str]) -> Option<(&'f str, &'static str)> {
    let texts = files.texts.iter();
    let mut saying = texts.filter(|(path, _)| SAYING.iter().any(|end| path.ends_with(end)));
    saying.find_map(|(path, text)| {
        let mark = marks.iter().find(|mark| text.contains(**mark))?;
        Some((path.as_str(), *mark))
    })
}

/// The files whose examples are tests, and no others: modules are imported to be searched, and some are
/// scripts. Other files than modules are among them where that is said, or where there are no modules.
pub(super) fn examples(files: &Files) -> Vec<String> {
    let mut all = with_examples(files);
    let is_module = |path: &String| path.ends_with(".py");
    if all.iter().any(is_module) && told(files, &DOCTEST_FILES).is_none() {
        all.retain(is_module);
    }
    all
}

/// The files that have examples, whether or not they are tests.
pub(super) fn with_examples(files: &Files) -> Vec<String> {
    let texts = files.texts.iter().filter(|(path, text)| {
        EXAMPLES.iter().any(|end| path.ends_with(end))
            && EXAMPLE.as_ref().is_some_and(|mark| mark.is_match(text))
    });
    texts.map(|(path, _)| path.clone()).collect()
}

/// What pytest is told where it would find none of these tests by their names.
pub(super) fn by_name(tests: &[&String], files: &Files) -> Option<Vec<String>> {
    if tests.iter().any(|path| is_found(path)) {
        return None;
    }
    // A script may have such a name too, and end the run.
    let with_tests = tests.iter().filter(|path| has_tests(path, files));
    // No file is taken for an option.
    let words: Vec<String> = with_tests.map(|path| format!("./{path}")).collect();
    (!words.is_empty()).then_some(words)
}

/// Whether pytest finds a file of tests by its name
/// (<https://docs.pytest.org/en/stable/explanation/goodpractices.html#conventions-for-python-test-discovery>).
pub(super) fn is_found(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.starts_with("test_") || name.ends_with("_test.py")
}

#[cfg(test)]
mod tests {
    use pyti_index::CoreMetadata;

    use super::super::{PythonVersion, plan};
    use super::*;

    #[test]
    fn what_is_only_named_as_a_test_is_none() {
        let script = Files::of(&[("test.py", "print(1)")]);
        let none = plan(&script, &CoreMetadata::default(), PythonVersion::TEST);
        assert_eq!(none.unwrap_err(), "the source distribution has no tests");
        for (files, framework, reason, last, seen) in [
            (
                &[("a/tests.py", "def test_a(): ..."), ("test.py", "exit(1)")][..],
                Framework::Pytest,
                "a/tests.py has functions named test",
                "./a/tests.py",
                Some("a/tests.py"),
            ),
            (
                &[
                    ("a.py", ">>> 1\n1\nimport doctest"),
                    ("test.py", "print(1)"),
                ],
                Framework::Doctest,
                "a.py has `import doctest`, and a.py examples after >>>",
                "a.py",
                Some("a.py"),
            ),
        ] {
            let files = Files::of(files);
            let plan = plan(&files, &CoreMetadata::default(), PythonVersion::TEST).unwrap();
            let run = &plan.first;
            assert_eq!((run.framework, &*plan.reason), (framework, reason));
            assert_eq!(run.arguments.last().map(String::as_str), Some(last));
            assert_eq!(plan.seen.as_deref(), seen);
        }
    }

    #[test]
    fn examples_are_tests_where_something_says_so() {
        let example = ">>> 1\n1\n";
        let plan = |files: &[(&str, &str)]| {
            let plan = plan(
                &Files::of(files),
                &CoreMetadata::default(),
                PythonVersion::TEST,
            );
            plan.map(|plan| (plan.first.framework, plan.reason))
        };
        let none = plan(&[("README.rst", example), ("a.py", example)]);
        let told = "the source distribution has no tests; 2 files have examples after >>> that nobody \
            says are tests";
        assert_eq!(none.unwrap_err(), told);
        let none = plan(&[("README.rst", ">>> import doctest\n"), ("a.py", "")]);
        let told = "the source distribution has no tests; 1 file has examples after >>> that nobody says \
            are tests";
        assert_eq!(none.unwrap_err(), told);
        for (path, text, mark) in [
            ("b.py", "import doctest\n", "import doctest"),
            ("b.py", "doctest.testmod()", "testmod("),
            ("noxfile.py", "# pytest --doctest-modules", "--doctest"),
            ("tox.ini", "[x]\ndoctest_optionflags = A\n", "doctest_"),
        ] {
            let found = plan(&[("a.py", example), (path, text)]).unwrap();
            let reason = format!("{path} has `{mark}`, and a.py examples after >>>");
            assert_eq!(found, (Framework::Doctest, reason));
        }
    }

    #[test]
    fn only_files_whose_examples_are_tests_are_searched_for_them() {
        let example = ">>> 1\n1\n";
        let of = |says: &str| {
            let files = [
                ("README.md", example),
                ("a.py", example),
                ("says.py", says),
                ("examples/script.py", "import sys\nsys.exit(1)"),
                ("data.json", example),
            ];
            examples(&Files::of(&files))
        };
        assert_eq!(of("import doctest\ndoctest.testmod()"), ["a.py"]);
        let all = ["README.md", "a.py"];
        assert_eq!(of("import doctest\ndoctest.testfile('README.md')"), all);
        let readme = Files::of(&[("README.md", example), ("says.py", "import doctest")]);
        assert_eq!(examples(&readme), ["README.md"]);
    }

    #[test]
    fn what_only_pytest_runs_is_seen() {
        let case = "class TestA(unittest.TestCase):\n    def test_a(self): ...\n";
        for (text, expected) in [
            ("import pytest\n", Some("`import pytest`")),
            ("    from pytest import x\n", Some("`from pytest`")),
            ("import pytest_httpbin\n# import pytest\n", None),
            (case, None),
            (
                "def test_a(x): ...\n",
                Some("`test_a` outside of any TestCase"),
            ),
            (
                "async def test_b(): ...\n",
                Some("`test_b` outside of any TestCase"),
            ),
            ("def test_suite(): ...\ndef test_main(): ...\n", None),
            ("def test(): ...\n    def test_a(self): ...\n", None),
            (
                "class TestA:\n\n    x = 1\n    def test_a(self): ...\n",
                Some("`TestA` outside of any TestCase"),
            ),
            (
                "class TestB(object):\n    def test_a(self): ...\n",
                Some("`TestB` outside of any TestCase"),
            ),
            ("class TestB(object):\n    def helper(self): ...\n", None),
            (
                "class TestB:\n    x = 1\nclass C(TestCase):\n    def test_a(self): ...\n",
                None,
            ),
            (
                "class TestB(object):\n    def test_a(self): ...\nclass C(TestB, TestCase): ...\n",
                None,
            ),
        ] {
            let files = Files::of(&[("t.py", text)]);
            let found = for_pytest_alone("t.py", &files);
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn tests_that_another_framework_was_chosen_for_are_seen() {
        let seen = |text: &str| {
            let settings = ("setup.cfg", "[nosetests]\na = 1");
            let files = Files::of(&[settings, ("a/test_utils.py", text)]);
            let plan = plan(&files, &CoreMetadata::default(), PythonVersion::TEST).unwrap();
            assert_eq!(plan.first.framework, Framework::Nose);
            plan.seen
        };
        let path = Some("a/test_utils.py".to_owned());
        assert_eq!(seen("class A:\n    def test_a(self): ..."), path);
        assert_eq!(seen("import pytest"), None);
        assert_eq!(seen("def run(app): ..."), None);
    }
}
