//! Test results as JUnit XML, which the package's tests wrote: bounded, and believed as far as any
//! word of theirs.

use std::collections::BTreeMap;

use junit_parser::{TestStatus, TestSuite};
use quick_xml::Writer;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesCData, Event};
use serde::{Deserialize, Serialize};

use super::wanting;

/// Results of one stage that are kept, however many commands and reports they are of.
pub(super) const MOST: usize = 100_000;
/// Characters kept of a name or a message.
const LONGEST: usize = 2000;
/// Suites within suites.
const DEEPEST: usize = 16;
/// Elements of one report: each takes forty times the memory that the shortest of them takes as text.
const MOST_ELEMENTS: usize = 5 * MOST;

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
    /// The end of its traceback, or what else its framework said, where that is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceback: Option<String>,
    /// What it lacked, where it failed for want of a service, a network or a plugin's fixture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wants: Option<String>,
    /// Which of several commands ran it; 0 is the first.
    #[serde(default, skip_serializing_if = "is_first")]
    pub run: usize,
}

fn is_first(run: &usize) -> bool {
    *run == 0
}

impl TestResult {
    /// A test, by its class and its name, that ended so and said this: a message, and a traceback or the
    /// like.
    pub(super) fn new(
        (class, name): (&str, &str),
        status: Status,
        seconds: f64,
        said: Option<(&str, &str)>,
    ) -> Self {
        let wants = said.and_then(|(message, text)| wanting::of(status, message, text));
        let (message, traceback) = match said {
            Some(("", text)) => (Some(text), None),
            Some((message, text)) => (Some(message), Some(text.trim_end())),
            None => (None, None),
        };
        Self {
            class: first(class),
            name: first(name),
            status,
            seconds: if seconds.is_finite() { seconds } else { 0.0 },
            message: message.map(first),
            // What failed stands at its end.
            traceback: traceback.filter(|text| !text.is_empty()).map(last),
            wants,
            run: 0,
        }
    }
}

/// Numbers of tests.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// See [`Status`].
    pub passed: usize,
    /// See [`Status`].
    pub failed: usize,
    /// See [`Status`].
    pub errors: usize,
    /// See [`Status`].
    pub skipped: usize,
}

impl Counts {
    /// How many of these ended how.
    pub(super) fn of(results: &[TestResult]) -> Self {
        let count = |status| {
            let results = results.iter();
            results.filter(|result| result.status == status).count()
        };
        Self {
            passed: count(Status::Passed),
            failed: count(Status::Failed),
            errors: count(Status::Error),
            skipped: count(Status::Skipped),
        }
    }
}

/// What reports say.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The results that there is room for.
    pub results: Vec<TestResult>,
    /// How many there are besides.
    pub beyond: usize,
    /// What could not be read.
    pub problems: Vec<String>,
}

/// What all files of this kind say, with so many results at most.
pub(super) fn read(files: &BTreeMap<String, String>, room: usize) -> Said {
    let mut said = Said::default();
    for (name, text) in files.iter().filter(|(name, _)| name.ends_with(".xml")) {
        let Some(text) = prepared(text) else {
            let problem = format!("{name} is no JUnit report, or too deep or too long a one");
            said.problems.push(problem);
            continue;
        };
        match junit_parser::from_reader(&*text) {
            Ok(suites) => {
                for suite in &suites.suites {
                    said.beyond += add(suite, 0, room, &mut said.results);
                }
            }
            Err(error) => {
                let problem = format!("{name} is no JUnit report: {error}");
                said.problems.push(problem);
            }
        }
    }
    said
}

/// The results as JUnit XML, which is well formed whatever the tests said: a suite for each command that
/// left any, named as in `names`, and one at least.
pub(super) fn write(results: &[TestResult], names: &[&str]) -> Vec<u8> {
    let of_one = |one: &TestResult, other: &TestResult| one.run == other.run;
    let mut suites: Vec<&[TestResult]> = results.chunk_by(of_one).collect();
    if suites.is_empty() {
        suites.push(&[]);
    }
    let mut writer = Writer::new_with_indent(vec![], b' ', 1);
    // Memory takes what is written to it.
    let _ = writer
        .create_element("testsuites")
        .write_inner_content(|writer| {
            for suite in &suites {
                let run = suite.first().map_or(0, |result| result.run);
                let name = names.get(run).copied().unwrap_or("tests");
                write_suite(&plain(name), suite, writer)?;
            }
            Ok(())
        });
    writer.into_inner()
}

fn write_suite(
    name: &str,
    results: &[TestResult],
    writer: &mut Writer<Vec<u8>>,
) -> std::io::Result<()> {
    let counts = Counts::of(results);
    let suite = writer.create_element("testsuite").with_attributes([
        ("name", name),
        ("tests", &*results.len().to_string()),
        ("failures", &*counts.failed.to_string()),
        ("errors", &*counts.errors.to_string()),
        ("skipped", &*counts.skipped.to_string()),
    ]);
    suite.write_inner_content(|writer| {
        for result in results {
            write_one(result, writer)?;
        }
        Ok(())
    })?;
    Ok(())
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
    let traceback = plain(result.traceback.as_deref().unwrap_or_default());
    case.write_inner_content(|writer| {
        let element = writer.create_element(element);
        let element = element.with_attribute(("message", &*message));
        if traceback.is_empty() {
            element.write_empty()?;
        } else {
            element.write_inner_content(|writer| {
                BytesCData::escaped(&traceback)
                    .try_for_each(|part| writer.write_event(Event::CData(part)))
            })?;
        }
        Ok(())
    })
    .map(drop)
}

/// Without what XML cannot hold, escaped or not (<https://www.w3.org/TR/xml/#charsets>).
fn plain(text: &str) -> String {
    let holds = |c: &char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    text.chars().filter(holds).collect()
}

/// The last characters of a message.
pub(super) fn last(text: &str) -> String {
    let beyond = text.chars().count().saturating_sub(LONGEST);
    text.chars().skip(beyond).collect()
}

/// The report with each text as CDATA, since the parser drops what stands for a character (`&lt;`)
/// from texts. `None` where it is no XML, or too deep or too long: the parser calls itself for each suite
/// within a suite, and keeps every element.
fn prepared(text: &str) -> Option<Vec<u8>> {
    let mut reader = quick_xml::Reader::from_str(text);
    let mut writer = Writer::new(vec![]);
    let (mut depth, mut elements) = (0_usize, 0_usize);
    let mut said = String::new();
    loop {
        let event = reader.read_event().ok()?;
        match &event {
            Event::Text(text) => said.push_str(text),
            Event::CData(text) => said.push_str(text),
            Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                Ok(Some(character)) => said.push(character),
                _ => said.push_str(resolve_predefined_entity(reference).unwrap_or_default()),
            },
            _ => {
                for part in BytesCData::escaped(said.trim()).filter(|part| !part.is_empty()) {
                    writer.write_event(Event::CData(part)).ok()?;
                }
                said.clear();
                match &event {
                    Event::Start(_) => (depth, elements) = (depth + 1, elements + 1),
                    Event::Empty(_) => elements += 1,
                    Event::End(_) => depth = depth.saturating_sub(1),
                    Event::Eof => return Some(writer.into_inner()),
                    _ => {}
                }
                if depth > DEEPEST || elements > MOST_ELEMENTS {
                    return None;
                }
                writer.write_event(event).ok()?;
            }
        }
    }
}

/// Adds the results of a suite and of those within it, until there are `most`; returns how many were too
/// many.
fn add(suite: &TestSuite, depth: usize, most: usize, results: &mut Vec<TestResult>) -> usize {
    // pytest that is ended in a test leaves that without a name, and as if it had passed.
    let cases = suite.cases.iter();
    let named = cases.filter(|case| !case.original_name.is_empty());
    let (room, all) = (most.saturating_sub(results.len()), named.clone().count());
    for case in named.take(room) {
        let (status, said) = match &case.status {
            TestStatus::Success => (Status::Passed, None),
            TestStatus::Failure(failure) => {
                (Status::Failed, Some((&failure.message, &failure.text)))
            }
            TestStatus::Error(error) => (Status::Error, Some((&error.message, &error.text))),
            TestStatus::Skipped(skipped) => {
                (Status::Skipped, Some((&skipped.message, &skipped.text)))
            }
        };
        let said = said.map(|(message, text)| (message.as_str(), text.as_str()));
        let class = case.classname.as_deref().unwrap_or_default();
        let names = (class, case.original_name.as_str());
        results.push(TestResult::new(names, status, case.time, said));
    }
    let mut beyond = all.saturating_sub(room);
    if depth < DEEPEST {
        let within = suite.suites.iter();
        beyond += within
            .map(|suite| add(suite, depth + 1, most, results))
            .sum::<usize>();
    }
    beyond
}

/// The first characters of a name or a message.
fn first(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_without_a_bottom_is_refused() {
        let files = BTreeMap::from([("a.xml".to_owned(), "<testsuite>".repeat(1 << 20))]);
        let Said {
            results, problems, ..
        } = read(&files, MOST);
        assert!(results.is_empty());
        let problem = "a.xml is no JUnit report, or too deep or too long a one";
        assert_eq!(problems, [problem]);
    }

    #[test]
    fn a_report_of_too_many_elements_is_refused() {
        for (more, expected) in [(0, 0), (1, 1)] {
            let cases = "<x/>".repeat(MOST_ELEMENTS - 1 + more);
            let text = format!("<testsuite name=\"s\">{cases}</testsuite>");
            let said = read(&BTreeMap::from([("a.xml".to_owned(), text)]), MOST);
            assert_eq!(said.problems.len(), expected, "{:?}", said.problems);
        }
    }

    #[test]
    fn what_is_too_much_is_counted_and_what_is_too_long_is_cut() {
        let case = r#"<testcase classname="a" name="b" time="0"/>"#.repeat(10);
        let long = "é".repeat(LONGEST + 1);
        let long = format!(r#"<testcase classname="{long}" name="{long}" time="0"/>"#);
        let suite = |inside: &str| format!(r#"<testsuite name="s">{inside}</testsuite>"#);
        let within = suite(&format!("{}{}", suite(&case), suite(&long.repeat(2))));
        let xml = |suites: &str| format!("<testsuites>{suites}</testsuites>");
        let files = BTreeMap::from([
            ("junit/a.xml".to_owned(), xml(&suite(&long))),
            ("junit/b.xml".to_owned(), xml(&within)),
        ]);
        for (room, kept, beyond) in [(MOST, 13, 0), (10, 10, 3), (1, 1, 12)] {
            let said = read(&files, room);
            assert_eq!((said.results.len(), said.beyond), (kept, beyond));
            let first = &said.results[0];
            let lengths = [&first.class, &first.name].map(|text| text.chars().count());
            assert_eq!(lengths, [LONGEST; 2]);
            assert_eq!(said.problems, Vec::<String>::new());
        }
        let none = read(&files, 0);
        assert_eq!((none.results.len(), none.beyond), (0, 13));
    }

    #[test]
    fn pytests_reports_are_read() {
        let xml = r#"<?xml version="1.0"?><testsuites><testsuite name="pytest" tests="3" errors="0"
            failures="1" skipped="1" time="0.1"><testcase classname="tests.test_a" name="test_x"
            time="0.01"/><testcase classname="tests.test_a" name="test_y" time="0.02"><failure
            message="assert 1 == 2">def test_y():
&gt;   assert 1 &lt; &#x30;
E   no</failure></testcase><testcase classname="tests.test_a"
            name="test_z" time="0"><skipped type="pytest.skip" message="no"/></testcase></testsuite></testsuites>"#;
        let files = BTreeMap::from([
            ("junit/a.xml".to_owned(), xml.to_owned()),
            ("junit/b.xml".to_owned(), "<testsuites><".to_owned()),
        ]);
        let Said {
            results, problems, ..
        } = read(&files, MOST);
        let short: Vec<_> = results
            .iter()
            .map(|result| {
                (
                    result.name.as_str(),
                    result.status,
                    result.message.as_deref(),
                    result.traceback.as_deref(),
                )
            })
            .collect();
        let traceback = "def test_y():\n>   assert 1 < 0\nE   no";
        assert_eq!(
            short,
            [
                ("test_x", Status::Passed, None, None),
                (
                    "test_y",
                    Status::Failed,
                    Some("assert 1 == 2"),
                    Some(traceback)
                ),
                ("test_z", Status::Skipped, Some("no"), None),
            ]
        );
        assert_eq!(problems.len(), 1);
    }

    #[test]
    fn a_test_that_pytest_was_ended_in_is_none_that_passed() {
        let xml = r#"<testsuites><testsuite name="pytest" tests="1" time="1"><testcase classname="a"
            name="b" time="0"/><testcase time="0.0"/></testsuite></testsuites>"#;
        let said = read(&BTreeMap::from([("a.xml".to_owned(), xml.to_owned())]), 1);
        let names: Vec<&str> = said.results.iter().map(|test| test.name.as_str()).collect();
        assert_eq!((names, said.beyond), (vec!["b"], 0));
        assert_eq!(said.problems, Vec::<String>::new());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let result = |name: &str, status, message: Option<&str>| TestResult {
            class: "a.\"B\"".to_owned(),
            name: name.to_owned(),
            status,
            seconds: 0.5,
            message: message.map(str::to_owned),
            traceback: message.map(|_| "Traceback <here>:\n  E".to_owned()),
            wants: None,
            run: 0,
        };
        let results = [
            result("x", Status::Passed, None),
            result("<y>", Status::Failed, Some("1 < 2\u{0}\u{1b}]]>")),
            result("z", Status::Skipped, Some("é & 'why'")),
            result("e", Status::Error, Some("boom")),
        ];
        let text = String::from_utf8(write(&results, &[])).unwrap();
        let again = read(&BTreeMap::from([("a.xml".to_owned(), text)]), MOST);
        assert_eq!(again.problems, Vec::<String>::new());
        let mut expected = results.to_vec();
        expected[1].message = Some("1 < 2]]>".to_owned());
        assert_eq!(again.results, expected);
    }

    #[test]
    fn each_command_has_a_suite_of_its_own() {
        let result = |run: usize| TestResult {
            class: "A".to_owned(),
            name: "b".to_owned(),
            status: Status::Passed,
            seconds: 0.0,
            message: None,
            traceback: None,
            wants: None,
            run,
        };
        let suites = |runs: &[usize]| {
            let results: Vec<TestResult> = runs.iter().map(|&run| result(run)).collect();
            let names = ["pytest <a>", "none", "nose2"];
            let text = String::from_utf8(write(&results, &names)).unwrap();
            let suites = junit_parser::from_reader(text.as_bytes()).unwrap().suites;
            let suites = suites.into_iter();
            suites
                .map(|suite| (suite.name, suite.cases.len()))
                .collect::<Vec<_>>()
        };
        let named = |name: &str, count| (name.to_owned(), count);
        assert_eq!(
            suites(&[0, 0, 2]),
            [named("pytest <a>", 2), named("nose2", 1)]
        );
        assert_eq!(suites(&[9]), [named("tests", 1)]);
        assert_eq!(suites(&[]), [named("pytest <a>", 0)]);
    }
}
