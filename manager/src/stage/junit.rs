//! Test results as JUnit XML, which the package's tests wrote: bounded, and believed as far as any
//! word of theirs.

use std::collections::BTreeMap;

use junit_parser::{TestStatus, TestSuite};
use quick_xml::Writer;
use quick_xml::events::Event;
use serde::{Deserialize, Serialize};

use super::wanting;

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
    /// What it lacked, where it failed for want of a service, a network or a plugin's fixture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wants: Option<String>,
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

/// The results as JUnit XML, which is well formed whatever the tests said.
pub(super) fn write(results: &[TestResult]) -> Vec<u8> {
    let mut writer = Writer::new_with_indent(vec![], b' ', 1);
    // Memory takes what is written to it.
    let _ = writer
        .create_element("testsuites")
        .write_inner_content(|writer| {
            let count = |status| {
                results
                    .iter()
                    .filter(|result| result.status == status)
                    .count()
            };
            let suite = writer.create_element("testsuite").with_attributes([
                ("name", "tests"),
                ("tests", &*results.len().to_string()),
                ("failures", &*count(Status::Failed).to_string()),
                ("errors", &*count(Status::Error).to_string()),
                ("skipped", &*count(Status::Skipped).to_string()),
            ]);
            suite.write_inner_content(|writer| {
                for result in results {
                    write_one(result, writer)?;
                }
                Ok(())
            })?;
            Ok(())
        });
    writer.into_inner()
}

fn write_one(result: &TestResult, writer: &mut Writer<Vec<u8>>) -> std::io::Result<()> {
    let (class, name) = (plain(&result.class), plain(&result.name));
    let case = writer.create_element("testcase").with_attributes([
        ("classname", &*class),
        ("name", &*name),
        ("time", &*format!("{:.3}", result.seconds)),
    ]);
    let element = match result.status {
        Status::Passed => return case.write_empty().map(drop),
        Status::Failed => "failure",
        Status::Error => "error",
        Status::Skipped => "skipped",
    };
    let message = plain(result.message.as_deref().unwrap_or_default());
    case.write_inner_content(|writer| {
        let element = writer.create_element(element);
        element
            .with_attribute(("message", &*message))
            .write_empty()?;
        Ok(())
    })
    .map(drop)
}

/// Without what XML cannot hold, escaped or not (<https://www.w3.org/TR/xml/#charsets>).
fn plain(text: &str) -> String {
    let holds = |c: &char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    text.chars().filter(holds).collect()
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
        let wants = message.and_then(|(message, text)| {
            wanting::of(status, message).or_else(|| wanting::of(status, text))
        });
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
            wants,
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

    #[test]
    fn what_is_written_is_read_again() {
        let result = |name: &str, status, message: Option<&str>| TestResult {
            class: "a.\"B\"".to_owned(),
            name: name.to_owned(),
            status,
            seconds: 0.5,
            message: message.map(str::to_owned),
            wants: None,
        };
        let results = [
            result("x", Status::Passed, None),
            result("<y>", Status::Failed, Some("1 < 2\u{0}\u{1b}]]>")),
            result("z", Status::Skipped, Some("é & 'why'")),
            result("e", Status::Error, Some("boom")),
        ];
        let text = String::from_utf8(write(&results)).unwrap();
        let (again, problems) = read(&BTreeMap::from([("a.xml".to_owned(), text)]));
        assert_eq!(problems, Vec::<String>::new());
        let mut expected = results.to_vec();
        expected[1].message = Some("1 < 2]]>".to_owned());
        assert_eq!(again, expected);
    }
}
