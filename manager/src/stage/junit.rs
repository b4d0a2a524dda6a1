//! Test results as JUnit XML, which the package's tests wrote: bounded, and believed as far as any
//! word of theirs.

use std::collections::BTreeMap;

use junit_parser::{TestStatus, TestSuite};
use quick_xml::events::Event;
use serde::{Deserialize, Serialize};

/// Results kept.
const MOST: usize = 100_000;
/// Characters kept of a message.
const LONGEST: usize = 2000;
/// Suites within suites.
const DEEPEST: usize = 16;

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should.
    Passed,
    /// It found what should not be.
    Failed,
    /// It could not come to its end.
    Error,
    /// It did not run.
    Skipped,
}

/// One test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestResult {
    /// Its class, module or file.
    pub class: String,
    /// Its name.
    pub name: String,
    /// How it ended.
    pub status: Status,
    /// Wall time in seconds.
    pub seconds: f64,
    /// What it said, where it did not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The results of all files; with what could not be read.
pub(super) fn read(files: &BTreeMap<String, String>) -> (Vec<TestResult>, Vec<String>) {
    let (mut results, mut problems) = (vec![], vec![]);
    for (name, text) in files.iter().filter(|(name, _)| name.ends_with(".xml")) {
        // The parser calls itself for each suite within a suite.
        if !is_shallow(text) {
            problems.push(format!("{name} is no JUnit report, or too deep a one"));
            continue;
        }
        match junit_parser::from_reader(text.as_bytes()) {
            Ok(suites) => suites
                .suites
                .iter()
                .for_each(|suite| add(suite, 0, &mut results)),
            Err(error) => problems.push(format!("{name} is no JUnit report: {error}")),
        }
    }
    (results, problems)
}

fn is_shallow(text: &str) -> bool {
    let mut reader = quick_xml::Reader::from_str(text);
    let mut depth = 0_usize;
    loop {
        match reader.read_event() {
            Ok(Event::Start(_)) => depth += 1,
            Ok(Event::End(_)) => depth = depth.saturating_sub(1),
            Ok(Event::Eof) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
        if depth > DEEPEST {
            return false;
        }
    }
}

fn add(suite: &TestSuite, depth: usize, results: &mut Vec<TestResult>) {
    for case in &suite.cases {
        if results.len() >= MOST {
            return;
        }
        let (status, message) = match &case.status {
            TestStatus::Success => (Status::Passed, None),
            TestStatus::Failure(failure) => {
                (Status::Failed, Some((&failure.message, &failure.text)))
            }
            TestStatus::Error(error) => (Status::Error, Some((&error.message, &error.text))),
            TestStatus::Skipped(skipped) => {
                (Status::Skipped, Some((&skipped.message, &skipped.text)))
            }
        };
        let message =
            message.map(|(message, text)| if message.is_empty() { text } else { message });
        results.push(TestResult {
            class: case.classname.clone().unwrap_or_default(),
            name: case.original_name.clone(),
            status,
            seconds: if case.time.is_finite() {
                case.time
            } else {
                0.0
            },
            message: message.map(|text| text.chars().take(LONGEST).collect()),
        });
    }
    if depth < DEEPEST {
        suite
            .suites
            .iter()
            .for_each(|suite| add(suite, depth + 1, results));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_without_a_bottom_is_refused() {
        let files = BTreeMap::from([("a.xml".to_owned(), "<testsuite>".repeat(1 << 20))]);
        let (results, problems) = read(&files);
        assert!(results.is_empty());
        assert_eq!(problems, ["a.xml is no JUnit report, or too deep a one"]);
    }

    #[test]
    fn pytests_reports_are_read() {
        let xml = r#"<?xml version="1.0"?><testsuites><testsuite name="pytest" tests="3" errors="0"
            failures="1" skipped="1" time="0.1"><testcase classname="tests.test_a" name="test_x"
            time="0.01"/><testcase classname="tests.test_a" name="test_y" time="0.02"><failure
            message="assert 1 == 2">def test_y</failure></testcase><testcase classname="tests.test_a"
            name="test_z" time="0"><skipped type="pytest.skip" message="no"/></testcase></testsuite></testsuites>"#;
        let files = BTreeMap::from([
            ("junit/a.xml".to_owned(), xml.to_owned()),
            ("junit/b.xml".to_owned(), "<testsuites><".to_owned()),
        ]);
        let (results, problems) = read(&files);
        let short: Vec<_> = results
            .iter()
            .map(|result| {
                (
                    result.name.as_str(),
                    result.status,
                    result.message.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            short,
            [
                ("test_x", Status::Passed, None),
                ("test_y", Status::Failed, Some("assert 1 == 2")),
                ("test_z", Status::Skipped, Some("no")),
            ]
        );
        assert_eq!(problems.len(), 1);
    }
}
