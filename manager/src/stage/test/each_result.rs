//! The results of a runner that did not come to its end, each of which `each_result.py` wrote in the guest as
//! soon as it was there.

use pyti_analyzer::escape_within;
use pyti_vm::Interpreter;
use serde::Deserialize;

use super::LONGEST;
use crate::order::HOME;
use crate::stage::junit::{Said, Status, TestResult};
use crate::stage::source::Ended;
use crate::stage::test_plan::{Framework, Run};

/// The module in the guest: a plugin of pytest, and a program that runs unittest.
pub(in crate::stage) const EACH_RESULT: &str = "each_result";
/// What it writes beside the reports of the runner itself; as in `each_result.py`.
pub(super) const RESULTS: &str = "results.jsonl";

/// Whether it writes the results of this.
pub(super) fn is_kept(framework: Framework) -> bool {
    match framework {
        Framework::Pytest
        | Framework::Doctest
        | Framework::Nose
        | Framework::Unittest
        | Framework::Django => true,
        Framework::Nose2 | Framework::Trial | Framework::Command => false,
    }
}

/// The module, with the path that the runner's interpreter finds it at.
pub(super) fn file(python: &Interpreter) -> (String, String) {
    let path = format!("{HOME}/{}/{EACH_RESULT}.py", python.user_site());
    (path, include_str!("each_result.py").to_owned())
}

/// A test that started or, with a status, one that ended.
#[derive(Debug, Deserialize)]
struct Line {
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

/// What the lines say of a command that ended so, with so many results at most, and in a sentence where it
/// broke off; `None` where no test had started.
pub(super) fn read(text: &str, run: &Run, ended: &Ended, room: usize) -> Option<(Said, String)> {
    let mut said = Said::default();
    let mut running: Option<Line> = None;
    for line in text.lines() {
        // The last one may be cut, and a package writes what it likes.
        let Ok(line) = serde_json::from_str::<Line>(line) else {
            continue;
        };
        let Some(status) = line.status else {
            running = Some(line);
            continue;
        };
        let names = (line.class.as_str(), line.name.as_str());
        let told = (line.message.as_str(), line.traceback.as_str());
        let told = (status != Status::Passed).then_some(told);
        let result = TestResult::new(names, status, line.seconds, told);
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
    let how = ended.how();
    let at = match (&running, said.results.last()) {
        (Some(line), _) => format!(", in {}", named(&line.class, &line.name)),
        (None, Some(last)) if said.beyond == 0 => {
            format!(", after {}", named(&last.class, &last.name))
        }
        (None, None) if said.beyond == 0 => return None,
        (None, _) => String::new(),
    };
    if let Some(Line { class, name, .. }) = running {
        let why = match ended.timed_out {
            true => "its time limit came while it ran".to_owned(),
            false => format!("what ran it ended: {how}"),
        };
        let names = (class.as_str(), name.as_str());
        let result = TestResult::new(names, Status::Error, 0.0, Some((why.as_str(), "")));
        add(result, room, &mut said);
    }
    Some((said, broke_off(run, ended, &at)))
}

/// That a command ended so before its runner reported, `at` which test.
pub(super) fn broke_off(run: &Run, ended: &Ended, at: &str) -> String {
    let name = escape_within(&run.name, LONGEST);
    format!("`{name}` ended before it reported: {}{at}", ended.how())
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
    use super::super::tests::{ended, run};
    use super::*;
    use crate::stage::junit::MOST;

    /// What is made of these lines of pytest that ended so: each test and how it ended, how many there are
    /// besides, and where it broke off.
    fn told(text: &str, ended: &Ended, room: usize) -> Option<(Vec<String>, usize, String)> {
        let (said, at) = read(text, &run(Framework::Pytest), ended, room)?;
        let results = said.results.iter();
        let results = results.map(|test| format!("{}:{}:{:?}", test.class, test.name, test.status));
        Some((results.collect(), said.beyond, at))
    }

    const STARTED: &str = "{\"class\": \"t\", \"name\": \"b\"}\n";
    const PASSED: &str = "{\"class\": \"t\", \"name\": \"a\", \"status\": \"passed\"}\n";
    const FAILED: &str = "{\"class\": \"t\", \"name\": \"a\", \"status\": \"error\", \
        \"seconds\": 0.5, \"message\": \"no\", \"traceback\": \"ConnectionRefusedError: x\"}\n";

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
        let (said, _) = read(&text, &run(Framework::Pytest), &ended(Some(3)), MOST).unwrap();
        let message = said.results[1].message.as_deref();
        assert_eq!(message, Some("what ran it ended: exit status 3"));
        let late = Ended {
            timed_out: true,
            ..ended(Some(2))
        };
        let (said, _) = read(&text, &run(Framework::Unittest), &late, MOST).unwrap();
        let message = said.results[1].message.as_deref();
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
        let (said, _) = read(FAILED, &run(Framework::Pytest), &ended(None), MOST).unwrap();
        assert_eq!(said.results[0].wants.as_deref(), Some("a network"));
        assert_eq!(said.results[0].seconds, 0.5);
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
    fn the_module_writes_what_is_read_and_is_where_it_is_imported_from() {
        let python = Interpreter::new("/usr/bin/python3", "3.13", "2.41").unwrap();
        let (path, source) = file(&python);
        let site = "/home/dev/.local/lib/python3.13/site-packages";
        assert_eq!(path, format!("{site}/each_result.py"));
        assert!(source.contains(&format!("RESULTS = \"{RESULTS}\"")));
    }
}
