//! What setuptools' `test_suite` names, and what runs that.

use pyti_analyzer::amount;
use pyti_index::keyword_text;

use super::choice::Choice;
use super::files::Files;
use super::framework::Framework;
use super::ini::Ini;
use super::seen::{for_pytest_alone, has_tests, is_found};
use super::variables::is_name;
use super::{PythonVersion, own_runner};

/// The keyword of `setup()`.
const KEYWORD: &str = "test_suite";
/// Where setup.cfg has it, by section and key.
const CONFIGURED: [(&str, &str); 3] = [
    ("options", KEYWORD),
    ("test", KEYWORD),
    ("test", "test-suite"),
];
/// Where packages lie.
const ROOTS: [&str; 3] = ["", "src/", "lib/"];

/// A suite that is named.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Suite {
    /// Its dotted name.
    name: String,
    /// Where it is named, a clause.
    reason: String,
}

/// Where a suite is.
struct Place {
    /// The directory that its name is seen from; empty, or with a slash at its end.
    root: String,
    /// The directory of its package, or the path of its module without `.py`.
    path: String,
    is_package: bool,
    /// Whether it is something in that module, such as a function.
    is_inside: bool,
}

/// Bytes of a name: each part of it is looked for in each path.
const MAX_NAME: usize = 255;

impl Suite {
    /// The suite that setup.py names in so many letters, or else setup.cfg.
    pub(super) fn of(files: &Files) -> Option<Self> {
        let config = Ini::parse(files.text("setup.cfg"));
        let mut configured = CONFIGURED.iter();
        let configured = configured.find_map(|(section, key)| config.get(section, key));
        let said = [
            ("setup.py", keyword_text(KEYWORD, files.text("setup.py"))),
            ("setup.cfg", configured.map(str::to_owned)),
        ];
        said.into_iter().find_map(|(file, name)| {
            let name = name?.trim().to_owned();
            let is_dotted = name.split('.').all(is_name);
            // Who imports setup.py sets up.
            let is_setup = name == "setup" || name.starts_with("setup.");
            (is_dotted && !is_setup && name.len() <= MAX_NAME).then(|| Self {
                reason: format!("{file} has test_suite = {name}"),
                name,
            })
        })
    }

    /// What runs it; where it is not there, what runs the `others`.
    ///
    /// # Errors
    /// There are no tests.
    pub(super) fn choice(
        &self,
        files: &Files,
        python: PythonVersion,
        others: impl FnOnce() -> Result<Choice, String>,
    ) -> Result<Choice, String> {
        let chosen = |framework, words| Choice::of(framework, self.reason.clone(), words, files);
        let name = self.name.as_str();
        let (first, _) = name.split_once('.').unwrap_or((name, ""));
        match first {
            "nose" => return Ok(chosen(Framework::Nose, None)),
            "nose2" => return Ok(chosen(Framework::Nose2, None)),
            "pytest" => return Ok(chosen(Framework::Pytest, None)),
            _ if name == "py.test" => return Ok(chosen(Framework::Pytest, None)),
            _ => {}
        }
        let Some(place) = self.place(files) else {
            let missing = format!("{}, which is not in the source distribution", self.reason);
            return match others() {
                Ok(mut choice) => {
                    choice.notes.push(missing);
                    Ok(choice)
                }
                Err(_) if self.may_be_there(files) => {
                    Ok(chosen(Framework::Unittest, Some(vec![self.name.clone()])))
                }
                Err(_) => Err(format!("{missing}; there are no other tests")),
            };
        };
        let sources = place.sources(files);
        let alone = sources.iter().find_map(|path| {
            let what = for_pytest_alone(path, files)?;
            Some(format!("{path} has {what}"))
        });
        if place.is_inside || place.says_itself(files) {
            let mut choice = chosen(Framework::Unittest, Some(vec![self.name.clone()]));
            let note = |alone: String| format!("{alone}, which test_suite = {name} may not run");
            choice.notes.extend(alone.map(note));
            if place.is_inside {
                let text = files.text(&place.file());
                let told = own_runner::told(name, text, &mut choice.first);
                choice.notes.extend(told);
            }
            return Ok(choice);
        }
        let mut choice = match alone {
            // It runs what is written for unittest too.
            Some(alone) => {
                let reason = format!("{}, and {alone}", self.reason);
                let words = Some(place.words_of_pytest(&sources, files));
                Choice::of(Framework::Pytest, reason, words, files)
            }
            None => {
                let search = place.is_package.then(|| place.search(files, python));
                let words = search.unwrap_or_else(|| vec![self.name.clone()]);
                chosen(Framework::Unittest, Some(words))
            }
        };
        choice.notes.extend(self.note_of_others(&place, files));
        Ok(choice)
    }

    fn place(&self, files: &Files) -> Option<Place> {
        let parts: Vec<&str> = self.name.split('.').collect();
        let path = parts.join("/");
        // The directory of one that has only one name may be that of another package.
        let elsewhere = (parts.len() > 1).then(|| root_of(&path, files)).flatten();
        let roots = ROOTS.iter().map(|root| (*root).to_owned());
        let mut roots = roots.chain(elsewhere);
        let whole = roots.find_map(|root| {
            let path = format!("{root}{path}");
            let is_package = is_package(&path, files)?;
            Some(Place {
                root,
                path,
                is_package,
                is_inside: false,
            })
        });
        whole.or_else(|| {
            let mut roots = ROOTS.iter();
            roots.find_map(|root| inside(root, &parts, files))
        })
    }

    /// Whether a file or a directory is called like a part of it: it may be installed elsewhere.
    fn may_be_there(&self, files: &Files) -> bool {
        let name = self.name.as_str();
        let (_, names) = name.split_once('.').unwrap_or(("", name));
        let is_named = |part: &str| {
            let part = part.strip_suffix(".py").unwrap_or(part);
            names.split('.').any(|name| name == part)
        };
        let mut paths = files.paths.iter();
        paths.any(|path| path.split('/').any(is_named))
    }

    /// What it says that there are tests that are none of these.
    fn note_of_others(&self, place: &Place, files: &Files) -> Option<String> {
        let mut others = files
            .tests()
            .filter(|path| !place.holds(path) && has_tests(path, files));
        let first = others.next()?;
        let count = 1 + others.count() as u64;
        let those = amount(count, "file with tests is", "files with tests are");
        let name = &self.name;
        Some(format!(
            "{those} not in test_suite = {name}, first of all `{first}`"
        ))
    }
}

impl Place {
    fn holds(&self, path: &str) -> bool {
        match path.strip_prefix(&self.path) {
            Some(rest) if self.is_package => rest.starts_with('/'),
            rest => rest == Some(".py"),
        }
    }

    /// The modules in it, or the module that it is.
    fn sources<'f>(&self, files: &'f Files) -> Vec<&'f String> {
        let paths = files.paths.iter();
        paths
            .filter(|path| path.ends_with(".py") && self.holds(path))
            .collect()
    }

    /// The file that is imported first.
    fn file(&self) -> String {
        match self.is_package {
            true => format!("{}/__init__.py", self.path),
            false => format!("{}.py", self.path),
        }
    }

    /// Whether it says itself what its tests are.
    fn says_itself(&self, files: &Files) -> bool {
        let file = self.file();
        let text = files.text(&file);
        text.contains("def load_tests") || text.contains("def additional_tests")
    }

    /// The search of all modules of a package that setuptools makes of it (`ScanningLoader`,
    /// setuptools/command/test.py before 72).
    fn search(&self, files: &Files, python: PythonVersion) -> Vec<String> {
        // From Python 3.5 on unittest loads each package by itself: `__init__.py` must not come again as one
        // of its modules (`TestLoader._find_tests`, Lib/unittest/loader.py).
        let pattern = if python.major == 2 {
            "*.py"
        } else {
            "*[!_].py"
        };
        let top = match self.root.trim_end_matches('/') {
            "" => ".",
            root => root,
        };
        let mut words = vec!["discover", "-s", self.path.as_str()];
        // What is no package cannot be imported from elsewhere.
        if files.has(&self.file()) {
            words.extend(["-t", top]);
        }
        words.extend(["-p", pattern]);
        words.into_iter().map(str::to_owned).collect()
    }

    /// The suite itself, with those of its files whose names do not tell pytest that they have tests.
    fn words_of_pytest(&self, sources: &[&String], files: &Files) -> Vec<String> {
        if !self.is_package {
            return vec![format!("./{}.py", self.path)];
        }
        let unnamed = sources
            .iter()
            .filter(|path| !is_found(path) && files.is_read(path) && has_tests(path, files));
        let mut words = vec![format!("./{}", self.path)];
        words.extend(unnamed.map(|path| format!("./{path}")));
        words
    }
}

/// Whether what is at this path is a package or a module; `None` where it is neither.
fn is_package(path: &str, files: &Files) -> Option<bool> {
    if files.has(&format!("{path}/__init__.py")) {
        return Some(true);
    }
    if files.has(&format!("{path}.py")) {
        return Some(false);
    }
    let start = format!("{path}/");
    let mut paths = files.paths.iter();
    let inside = |found: &String| found.starts_with(&start) && found.ends_with(".py");
    paths.any(inside).then_some(true)
}

/// The directory that a module or a package of this path lies in, wherever that is.
fn root_of(path: &str, files: &Files) -> Option<String> {
    let (package, module) = (format!("/{path}/"), format!("/{path}.py"));
    let mut paths = files.paths.iter();
    paths.find_map(|found| {
        let at = found.find(&package);
        let at = at.or_else(|| found.strip_suffix(&module).map(str::len))?;
        // No directory is taken for an option.
        let root = found.get(..=at).filter(|root| !root.starts_with('-'))?;
        Some(root.to_owned())
    })
}

/// The module that a class, a function or a method is in.
fn inside(root: &str, parts: &[&str], files: &Files) -> Option<Place> {
    (1..=2).find_map(|count| {
        let at = parts.len().checked_sub(count).filter(|at| *at > 0)?;
        let (module, names) = parts.split_at(at);
        let path = format!("{root}{}", module.join("/"));
        let place = Place {
            root: root.to_owned(),
            is_package: is_package(&path, files)?,
            path,
            is_inside: true,
        };
        let file = place.file();
        let name = names.first()?;
        let may_have =
            files.has(&file) && (!files.is_read(&file) || files.text(&file).contains(*name));
        may_have.then_some(place)
    })
}

#[cfg(test)]
mod tests {
    use pyti_index::CoreMetadata;

    use super::super::{TestPlan, plan};
    use super::*;

    const CASE: &str = "class A(unittest.TestCase):\n    def test_a(self): ...\n";

    fn planned(files: &[(&str, &str)], python: PythonVersion) -> Result<TestPlan, String> {
        plan(&Files::of(files), &CoreMetadata::default(), python)
    }

    fn of(files: &[(&str, &str)]) -> TestPlan {
        planned(files, PythonVersion::TEST).unwrap()
    }

    /// Asserts what is run, behind what reports.
    fn assert_runs(plan: &TestPlan, words: &str) {
        let arguments = plan.first.arguments.join(" ");
        assert!(arguments.ends_with(&format!(" {words}")), "{arguments}");
    }

    #[test]
    fn a_package_as_a_test_suite_is_searched_as_setuptools_does() {
        let setup = ("setup.py", "setup(test_suite=\"a.test\")");
        let package = [setup, ("a/test/__init__.py", ""), ("a/test/test_b.py", "")];
        assert_runs(&of(&package), "discover -s a/test -t . -p *[!_].py");
        let two = planned(&package, PythonVersion { major: 2, minor: 7 }).unwrap();
        assert_runs(&two, "discover -s a/test -t . -p *.py");
        let own = "def load_tests(loader, tests, pattern): ...";
        for (file, words) in [
            (("a/test/__init__.py", own), "a.test"),
            (("a/test.py", ""), "a.test"),
            (("a/__init__.py", "def test(): ..."), "a.test"),
            (
                ("python/a/test/__init__.py", ""),
                "discover -s python/a/test -t python -p *[!_].py",
            ),
            (
                ("src/a/test/test_b.py", CASE),
                "discover -s src/a/test -p *[!_].py",
            ),
        ] {
            assert_runs(&of(&[setup, file]), words);
        }
    }

    #[test]
    fn a_name_that_is_too_long_names_nothing() {
        let case = ("tests/test_a.py", CASE);
        for parts in [127, 128] {
            let setup = format!("setup(test_suite=\"q{}\")", ".a".repeat(parts));
            let plan = of(&[("setup.py", &setup), case, ("q/a.py", "")]);
            let mut notes = plan.notes.iter();
            assert_eq!(notes.any(|note| note.contains("q.a.a")), parts == 127);
        }
    }

    #[test]
    fn pytest_runs_a_suite_with_tests_that_unittest_does_not_see() {
        let setup = ("setup.py", "setup(test_suite='tests')");
        let package = ("tests/__init__.py", "");
        for (path, text, what) in [
            ("tests/test_a.py", "import pytest\n", "`import pytest`"),
            (
                "tests/test_a.py",
                "def test_a(): ...\n",
                "`test_a` outside of any TestCase",
            ),
            (
                "tests/conftest.py",
                "from pytest import x\n",
                "`from pytest`",
            ),
        ] {
            let plan = of(&[setup, package, (path, text), ("tests/cases.py", CASE)]);
            assert_eq!(plan.first.framework, Framework::Pytest);
            let reason = format!("setup.py has test_suite = tests, and {path} has {what}");
            assert_eq!(plan.reason, reason);
            // It would not find that one by its name.
            assert_runs(&plan, "./tests ./tests/cases.py");
            assert_eq!(plan.notes, Vec::<String>::new());
        }
        let plan = of(&[setup, package, ("tests/test_a.py", CASE)]);
        assert_eq!(plan.first.framework, Framework::Unittest);
        let plan = of(&[setup, ("tests.py", "import pytest")]);
        assert_eq!(plan.first.framework, Framework::Pytest);
        assert_runs(&plan, "./tests.py");
    }

    #[test]
    fn what_a_suite_leaves_out_is_told() {
        let setup = ("setup.py", "setup(test_suite='tests')");
        let package = ("tests/__init__.py", "");
        let other = ("a/test_b.py", CASE);
        let plan = of(&[setup, package, ("tests/test_a.py", CASE), other]);
        let note = "1 file with tests is not in test_suite = tests, first of all `a/test_b.py`";
        assert_eq!(plan.notes, [note]);
        let own = ("tests/__init__.py", "def load_tests(a, b, c): ...");
        let plan = of(&[setup, own, ("tests/test_a.py", "import pytest")]);
        assert_eq!(plan.first.framework, Framework::Unittest);
        let note = "tests/test_a.py has `import pytest`, which test_suite = tests may not run";
        assert_eq!(plan.notes, [note]);
    }

    #[test]
    fn only_a_name_that_is_written_out_is_a_suite() {
        let test = ("t/test_a.py", "import pytest");
        for setup in [
            "def suite():\n    test_suite = loader.discover('t')\n    return test_suite\n\
            setup(test_suite='setup.suite')",
            "setup(test_suite=get_suite())",
            "setup(test_suite=None)",
            "setup(test_suite='a b')",
            "setup(test_suite='../a')",
        ] {
            let plan = of(&[("setup.py", setup), test]);
            assert_eq!(plan.reason, "t/test_a.py has `import pytest`", "{setup}");
            assert_eq!(plan.notes, Vec::<String>::new(), "{setup}");
        }
        let config = ("setup.cfg", "[options]\ntest_suite = t.test_a\n");
        let module = ("t/test_a.py", CASE);
        let plan = of(&[("setup.py", "setup(test_suite=x())"), config, module]);
        assert_eq!(plan.reason, "setup.cfg has test_suite = t.test_a");
        for (name, framework) in [
            ("nose.collector", Framework::Nose),
            ("nose2.collector.collector", Framework::Nose2),
            ("py.test", Framework::Pytest),
        ] {
            let plan = of(&[("setup.py", &format!("setup(test_suite='{name}')")), test]);
            assert_eq!(plan.first.framework, framework);
            assert_eq!(plan.reason, format!("setup.py has test_suite = {name}"));
        }
    }

    #[test]
    fn a_suite_that_is_not_there_gives_way_to_the_tests_that_are() {
        let setup = ("setup.py", "setup(test_suite='tests')");
        let missing = "setup.py has test_suite = tests, which is not in the source distribution";
        let test = ("a/tests/test_b.py", "import pytest");
        let plan = of(&[setup, ("a/__init__.py", ""), test]);
        assert_eq!(plan.reason, "a/tests/test_b.py has `import pytest`");
        assert_eq!(plan.notes, [missing]);
        let none = planned(&[setup, ("a.py", "")], PythonVersion::TEST);
        let expected = format!("{missing}; there are no other tests");
        assert_eq!(none.unwrap_err(), expected);
        // As a package that is installed under another name than that of its directory.
        let plan = of(&[
            ("setup.py", "setup(test_suite='a.checks')"),
            ("code/checks/b.py", CASE),
        ]);
        assert_eq!(plan.first.framework, Framework::Unittest);
        assert_runs(&plan, "a.checks");
    }
}
