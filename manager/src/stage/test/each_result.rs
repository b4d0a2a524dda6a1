//! The results of a runner that did not come to its end, or has no report or one that is too long, each of which
//! `each_result.py` wrote in the guest as soon as it was there.

use pyti_analyzer::escape_within;
use pyti_vm::Interpreter;
use serde::Deserialize;

use super::LONGEST;
use crate::order::HOME;
use crate::stage::junit::{Said, Status, TestResult};
use crate::stage::source::Ended;
use crate::stage::test_plan::{Framework, Run, TestPlan};

/// The module in the guest: a plugin of pytest, and a program that runs unittest.
pub(in crate::stage) const EACH_RESULT: &str = "each_result";
/// The plugin of nose2 in the guest.
pub(in crate::stage) const EACH_RESULT_NOSE2: &str = "each_result_nose2";
/// The program in the guest that runs trial.
pub(in crate::stage) const EACH_RESULT_TRIAL: &str = "each_result_trial";
/// What they write beside the reports of the runner itself; as in `each_result.py`.
pub(super) const RESULTS: &str = "results.jsonl";

/// Whether they write the results of this.
pub(super) fn is_kept(framework: Framework) -> bool {
    match framework {
        Framework::Pytest
        | Framework::Doctest
        | Framework::Nose
        | Framework::Nose2
        | Framework::Trial
        | Framework::Unittest
        | Framework::Django => true,
        Framework::Command => false,
    }
}

/// The modules that the commands of a plan want, each with the path that the runner's interpreter finds it
/// at.
pub(super) fn files(python: &Interpreter, plan: &TestPlan) -> Vec<(String, String)> {
    let kept = |run: &Run| is_kept(run.framework);
    let nose2 = |run: &Run| run.framework == Framework::Nose2;
    let trial = |run: &Run| run.framework == Framework::Trial;
    let mut modules = vec![];
    if plan.runs().any(kept) {
        modules.push((EACH_RESULT, include_str!("each_result.py")));
    }
    if plan.runs().any(nose2) {
        modules.push((EACH_RESULT_NOSE2, include_str!("each_result_nose2.py")));
    }
    if plan.runs().any(trial) {
        modules.push((EACH_RESULT_TRIAL, include_str!("each_result_trial.py")));
    }
    let site = format!("{HOME}/{}", python.user_site());
    let modules = modules.into_iter();
    modules
        .map(|(name, source)| (format!("{site}/{name}.py"), source.to_owned()))
        .collect()
}

/// What one line says.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Test(Told),
    /// Why its runner does not come to its end, in its words.
    BrokeOff {
        broke_off: String,
    },
    /// What ran the tests before it came to its end, and writes no report of its own that can be brought back.
    Whole {
        whole: bool,
    },
}

/// A test that started or, with a status, one that ended.
#[derive(Debug, Deserialize)]
struct Told {
    class: String,
    name: String,
    status: Option<Status>,
    #[serde(default)]
    seconds: f64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    traceback: String,
}

/// What the lines say.
#[derive(Debug)]
pub(super) struct Early {
    /// The results.
    pub said: Said,
    /// That there may be more, and where it broke off, in a sentence.
    pub broke_off: Option<String>,
}

/// What the lines say of a command that ended so, with so many results at most.
///
/// # Errors
/// No test had started: why its runner says that it broke off, if it does.
pub(super) fn read(
    text: &str,
    run: &Run,
    ended: &Ended,
    room: usize,
) -> Result<Early, Option<String>> {
    let mut said = Said::default();
    let mut running: Option<Told> = None;
    let (mut whole, mut why): (bool, Option<String>) = (false, None);
    for line in text.lines() {
        // The last one may be cut, and a package writes what it likes.
        let Ok(line) = serde_json::from_str::<Line>(line) else {
            continue;
        };
        let test = match line {
            Line::Test(test) => test,
            Line::BrokeOff { broke_off } => {
                why.get_or_insert(broke_off);
                continue;
            }
            Line::Whole { whole: is_whole } => {
                whole = is_whole;
                continue;
            }
        };
        // Of what follows that is not known.
        whole = false;
        let Some(status) = test.status else {
            running = Some(test);
            continue;
        };
        let names = (test.class.as_str(), test.name.as_str());
        let told = (test.message.as_str(), test.traceback.as_str());
        let told = (status != Status::Passed).then_some(told);
        let result = TestResult::new(names, status, test.seconds, told);
        // A part of the same test, or its end, which may fail as well.
        let again = running.take().is_none();
        let same = |last: &TestResult| last.class == result.class && last.name == result.name;
        if again && said.results.last().is_some_and(same) {
            let last = said.results.last_mut();
            if let Some(last) = last.filter(|last| last.status == Status::Passed) {
                *last = result;
            }
        } else {
            add(result, room, &mut said);
        }
    }
    if whole && why.is_none() {
        return Ok(Early {
            said,
            broke_off: None,
        });
    }
    let at = match (&running, said.results.last()) {
        (Some(test), _) => format!(", in {}", named(&test.class, &test.name)),
        (None, Some(last)) if said.beyond == 0 => {
            format!(", after {}", named(&last.class, &last.name))
        }
        (None, None) if said.beyond == 0 => return Err(why),
        (None, _) => String::new(),
    };
    if let Some(Told { class, name, .. }) = running {
        let message = match ended.timed_out {
            true => "its time limit came while it ran".to_owned(),
            false => format!("what ran it ended: {}", ended.how()),
        };
        let names = (class.as_str(), name.as_str());
        let result = TestResult::new(names, Status::Error, 0.0, Some((message.as_str(), "")));
        add(result, room, &mut said);
    }
    Ok(Early {
        said,
        broke_off: Some(broke_off(run, ended, &at, why.as_deref())),
    })
}

/// That a command ended so before its runner reported, `at` which test, and why as the runner says.
pub(super) fn broke_off(run: &Run, ended: &Ended, at: &str, why: Option<&str>) -> String {
    let (name, how) = (escape_within(&run.name, LONGEST), ended.how());
    match why {
        Some(why) => {
            let why = escape_within(why, LONGEST);
            format!("`{name}` broke off: {how}{at}: {why}")
        }
        None => format!("`{name}` ended before it reported: {how}{at}"),
    }
}

fn add(result: TestResult, room: usize, said: &mut Said) {
    if said.results.len() < room {
        said.results.push(result);
    } else {
        said.beyond += 1;
    }
}

/// A test in a sentence.
fn named(class: &str, name: &str) -> String {
    let dot = if class.is_empty() { "" } else { "." };
    format!(
        "`{}`",
        escape_within(&format!("{class}{dot}{name}"), LONGEST)
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ended, plan, run};
    use super::*;
    use crate::stage::junit::MOST;
    use crate::stage::source::KEPT;

    /// What is made of these lines of pytest that ended so: each test and how it ended, how many there are
    /// besides, and where it broke off.
    fn told(text: &str, ended: &Ended, room: usize) -> Option<(Vec<String>, usize, String)> {
        let Early { said, broke_off } = read(text, &run(Framework::Pytest), ended, room).ok()?;
        let results = said.results.iter();
        let results = results.map(|test| format!("{}:{}:{:?}", test.class, test.name, test.status));
        Some((
            results.collect(),
            said.beyond,
            broke_off.unwrap_or_default(),
        ))
    }

    const STARTED: &str = "{\"class\": \"t\", \"name\": \"b\"}\n";
    const PASSED: &str = "{\"class\": \"t\", \"name\": \"a\", \"status\": \"passed\"}\n";
    const FAILED: &str = "{\"class\": \"t\", \"name\": \"a\", \"status\": \"error\", \
        \"seconds\": 0.5, \"message\": \"no\", \"traceback\": \"ConnectionRefusedError: x\"}\n";
    const STOPPED: &str = "{\"broke_off\": \"Exit: \\u001bno more\"}\n";
    const WHOLE: &str = "{\"whole\": true}\n";

    #[test]
    fn the_test_that_ran_when_the_interpreter_died_is_told() {
        let text = format!("{PASSED}{STARTED}{{\"class\": \"t\", \"na");
        let (results, beyond, at) = told(&text, &ended(None), MOST).unwrap();
        assert_eq!(results, ["t:a:Passed", "t:b:Error"]);
        assert_eq!(beyond, 0);
        assert_eq!(
            at,
            "`pytest` ended before it reported: ended by signal 11, in `t.b`"
        );
        let early = read(&text, &run(Framework::Pytest), &ended(Some(3)), MOST).unwrap();
        let message = early.said.results[1].message.as_deref();
        assert_eq!(message, Some("what ran it ended: exit status 3"));
        let late = Ended {
            timed_out: true,
            ..ended(Some(2))
        };
        let early = read(&text, &run(Framework::Unittest), &late, MOST).unwrap();
        let message = early.said.results[1].message.as_deref();
        assert_eq!(message, Some("its time limit came while it ran"));
    }

    #[test]
    fn a_runner_that_dies_between_tests_broke_off_after_the_last_one() {
        let (results, _, at) = told(PASSED, &ended(Some(0)), MOST).unwrap();
        assert_eq!(results, ["t:a:Passed"]);
        assert_eq!(
            at,
            "`pytest` ended before it reported: exit status 0, after `t.a`"
        );
    }

    #[test]
    fn why_a_runner_says_that_it_broke_off_is_told() {
        let text = [PASSED, STARTED, STOPPED].concat();
        let (results, _, at) = told(&text, &ended(Some(0)), MOST).unwrap();
        assert_eq!(results, ["t:a:Passed", "t:b:Error"]);
        assert_eq!(
            at,
            "`pytest` broke off: exit status 0, in `t.b`: Exit: \\u{1b}no more"
        );
        // What tells of its tests still comes later.
        let text = [PASSED, STOPPED, FAILED, WHOLE].concat();
        let (results, _, at) = told(&text, &ended(Some(1)), MOST).unwrap();
        assert_eq!(results, ["t:a:Error"]);
        assert_eq!(
            at,
            "`pytest` broke off: exit status 1, after `t.a`: Exit: \\u{1b}no more"
        );
        // No test had started.
        let none = read(STOPPED, &run(Framework::Pytest), &ended(Some(0)), MOST).unwrap_err();
        assert_eq!(none.as_deref(), Some("Exit: \u{1b}no more"));
        let none = read("", &run(Framework::Pytest), &ended(Some(0)), MOST).unwrap_err();
        assert_eq!(none, None);
        let long = STOPPED.replace("no", &"x".repeat(9000));
        let (.., at) = told(&[PASSED, &long].concat(), &ended(None), MOST).unwrap();
        assert!(at.len() < 500, "{at}");
    }

    #[test]
    fn results_are_whole_where_what_ran_the_tests_says_so_at_last() {
        let whole = |lines: &[&str]| told(&lines.concat(), &ended(Some(1)), MOST).unwrap();
        let expected = (vec!["t:a:Passed".to_owned()], 0, String::new());
        assert_eq!(whole(&[PASSED, WHOLE]), expected);
        // Nobody knows how that one ended, and nothing broke off in it.
        assert_eq!(whole(&[PASSED, STARTED, WHOLE]), expected);
        assert_eq!(whole(&[WHOLE]), (vec![], 0, String::new()));
        let (results, _, at) = whole(&[PASSED, WHOLE, STARTED]);
        assert_eq!(results, ["t:a:Passed", "t:b:Error"]);
        assert!(at.ends_with("exit status 1, in `t.b`"), "{at}");
        let not_whole = WHOLE.replace("true", "false");
        let (.., at) = whole(&[PASSED, WHOLE, &not_whole]);
        assert!(at.ends_with("exit status 1, after `t.a`"), "{at}");
    }

    #[test]
    fn a_test_is_told_once_by_what_is_worst_of_it() {
        // It passed, and its end did not.
        let (results, ..) = told(&[PASSED, FAILED].concat(), &ended(None), MOST).unwrap();
        assert_eq!(results, ["t:a:Error"]);
        let (results, ..) = told(&[FAILED, PASSED].concat(), &ended(None), MOST).unwrap();
        assert_eq!(results, ["t:a:Error"]);
        // It ran twice.
        let start = STARTED.replace("\"b\"", "\"a\"");
        let twice = [PASSED, &start, PASSED].concat();
        let (results, ..) = told(&twice, &ended(None), MOST).unwrap();
        assert_eq!(results, ["t:a:Passed"; 2]);
        let early = read(FAILED, &run(Framework::Pytest), &ended(None), MOST).unwrap();
        let failed = &early.said.results[0];
        assert_eq!(failed.wants.as_deref(), Some("a network"));
        assert_eq!(failed.seconds, 0.5);
    }

    #[test]
    fn lines_of_a_package_are_bounded_and_may_be_anything() {
        for nothing in [
            "",
            "\n\n",
            "{}\n[]\n\u{0}{",
            "{\"class\": 1, \"name\": 2}\n",
        ] {
            assert_eq!(told(nothing, &ended(None), MOST), None);
        }
        let status = PASSED.replace("passed", "rerun");
        assert_eq!(told(&status, &ended(None), MOST), None);
        let many = [PASSED, STARTED].concat().repeat(5);
        let (results, beyond, at) = told(&many, &ended(None), 3).unwrap();
        assert_eq!((results.len(), beyond), (3, 3));
        assert!(at.ends_with(", in `t.b`"), "{at}");
        let (results, beyond, at) = told(PASSED, &ended(None), 0).unwrap();
        assert_eq!((results.len(), beyond), (0, 1));
        assert!(at.ends_with("signal 11"), "{at}");
        let name = format!("\\u001b{}", "x".repeat(9000));
        let long = STARTED.replace("\"b\"", &format!("\"{name}\""));
        let (results, _, at) = told(&long, &ended(None), MOST).unwrap();
        assert!(results[0].len() < 2100 && at.len() < 500, "{at}");
        assert!(at.contains("`t.\\u{1b}xxx"), "{at}");
    }

    #[test]
    fn the_modules_write_what_is_read_and_are_where_they_are_imported_from() {
        let python = Interpreter::new("/usr/bin/python3", "3.13", "2.41").unwrap();
        let site = "/home/dev/.local/lib/python3.13/site-packages/";
        let modules = |framework| {
            let files = files(&python, &plan(framework)).into_iter();
            let names = files.map(|(path, _)| path.strip_prefix(site).unwrap().to_owned());
            names.collect::<Vec<_>>()
        };
        assert_eq!(modules(Framework::Command), Vec::<String>::new());
        for (framework, besides) in [
            (Framework::Pytest, None),
            (Framework::Unittest, None),
            (Framework::Nose2, Some("each_result_nose2.py")),
            (Framework::Trial, Some("each_result_trial.py")),
        ] {
            let expected: Vec<&str> = ["each_result.py"].into_iter().chain(besides).collect();
            assert_eq!(modules(framework), expected);
        }
        let (_, source) = &files(&python, &plan(Framework::Pytest))[0];
        assert!(source.contains(&format!("RESULTS = \"{RESULTS}\"")));
    }

    /// As much of unittest-xml-reporting as runs a suite that is named.
    const XMLRUNNER: &str = "\
import sys
import unittest
_XMLTestResult = unittest.TextTestResult
class XMLTestRunner(unittest.TextTestRunner):
    def run(self, test):
        return super().run(test)
def XMLTestProgram(module, testLoader):
    unittest.main(module, argv=['x'] + sys.argv[3:], testLoader=testLoader)
";
    /// Functions that run tests by themselves.
    const RUNS: &str = "\
import sys
import unittest
class A(unittest.TestCase):
    def test_a(self):
        self.assertEqual(sys.argv[1:], [])
class B(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        sys.exit(0)
    def test_b(self): ...
def run(*kinds):
    load = unittest.TestLoader().loadTestsFromTestCase
    return unittest.TextTestRunner().run(unittest.TestSuite(map(load, kinds)))
def ends():
    sys.exit(not run(A).wasSuccessful())
def returns():
    run(A)
def breaks_off():
    sys.exit(not run(A, B).wasSuccessful())
";

    #[test]
    fn functions_that_run_their_tests_by_themselves_have_results() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir(at("xmlrunner")).unwrap();
        for (name, text) in [
            ("each_result.py", include_str!("each_result.py")),
            ("runs.py", RUNS),
            ("xmlrunner/__init__.py", ""),
            ("xmlrunner/runner.py", XMLRUNNER),
        ] {
            std::fs::write(at(name), text).unwrap();
        }
        for (function, exit, place) in [
            ("ends", 0, ""),
            // unittest wants tests of it.
            ("returns", 1, ""),
            (
                "breaks_off",
                0,
                "`pytest` ended before it reported: exit status 0, after `runs.A.test_a`",
            ),
        ] {
            let output = std::process::Command::new("python3")
                .args(["-m", EACH_RESULT, "-o"])
                .arg(directory.path())
                .arg(format!("runs.{function}"))
                .current_dir(directory.path())
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(exit), "{function}: {output:?}");
            let text = std::fs::read_to_string(at(RESULTS)).unwrap();
            let (results, _, at) = told(&text, &ended(Some(exit)), MOST).unwrap();
            assert_eq!(results, ["runs.A:test_a:Passed"], "{function}");
            assert_eq!(at, place, "{function}");
        }
    }

    /// Has pytest's plugin come to its end beside a report of so many bytes.
    const ENDS: &str = "\
import sys
import each_result
plugin = each_result.Plugin(sys.argv[1])
plugin.results.put(('t', 'a'), 'passed')
with open(plugin.report, 'wb') as report:
    report.truncate(int(sys.argv[2]))
class Session:
    testscollected = 0
plugin.pytest_sessionfinish(Session)
";

    #[test]
    fn results_stay_where_the_report_is_too_long_to_be_brought_back() {
        let whole = (vec!["t:a:Passed".to_owned()], 0, String::new());
        for (bytes, expected) in [(KEPT, None), (KEPT + 1, Some(whole))] {
            let directory = tempfile::tempdir().unwrap();
            let at = |name: &str| directory.path().join(name);
            std::fs::write(at("each_result.py"), include_str!("each_result.py")).unwrap();
            std::fs::create_dir(at("junit")).unwrap();
            let output = std::process::Command::new("python3")
                .args(["-c", ENDS])
                .arg(at("junit/pytest.xml"))
                .arg(bytes.to_string())
                .current_dir(directory.path())
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            let text = std::fs::read_to_string(at("junit").join(RESULTS)).ok();
            let found = text.and_then(|text| told(&text, &ended(Some(0)), MOST));
            assert_eq!(found, expected, "{bytes}");
        }
    }
}
