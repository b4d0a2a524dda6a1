//! The reports of quality checkers, which the package's own code may have forged.

use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;

use super::few::Few;
use super::quality::CheckFinding;

/// Findings kept.
const MOST: usize = 50_000;
/// Files that one finding names.
const MOST_NAMED: usize = 50;

/// What a checker said.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Report {
    /// Its own score.
    pub score: Option<String>,
    /// What it found first.
    pub findings: Vec<CheckFinding>,
    /// How much more it found.
    pub more: usize,
}

impl Report {
    fn of(score: Option<String>, mut findings: impl Iterator<Item = CheckFinding>) -> Self {
        Self {
            score,
            findings: findings.by_ref().take(MOST).collect(),
            more: findings.count(),
        }
    }

    fn of_few<T>(
        score: Option<String>,
        said: &Few<T, MOST>,
        finding: impl Fn(&T) -> CheckFinding,
    ) -> Self {
        Self {
            score,
            findings: said.first.iter().map(finding).collect(),
            more: said.more,
        }
    }

    /// The same with its files seen from the source's directory, or from where modules are installed,
    /// however its checker names them. A wheel's are seen from its own root anyway.
    pub fn seen_from(mut self, source: &str) -> Self {
        let files = self.findings.iter_mut();
        for file in files.filter_map(|finding| finding.file.as_mut()) {
            *file = relative(file, source).to_owned();
        }
        self
    }
}

/// A path in the guest as seen from the source's directory, which may not be known, or from where
/// modules are installed; one that leads to neither as it stands.
fn relative<'a>(path: &'a str, source: &str) -> &'a str {
    if !path.starts_with('/') {
        return path;
    }
    let below = Some(source)
        .filter(|source| !source.is_empty())
        .and_then(|source| path.strip_prefix(source)?.strip_prefix('/'));
    let installed = || path.split_once("/site-packages/").map(|(_, rest)| rest);
    below.or_else(installed).unwrap_or(path)
}

fn finding(
    rule: &str,
    file: Option<&str>,
    line: Option<u32>,
    message: &str,
    severity: &str,
) -> CheckFinding {
    CheckFinding {
        tool: String::new(),
        rule: rule.to_owned(),
        file: file.map(str::to_owned),
        line,
        message: message.to_owned(),
        severity: severity.to_owned(),
    }
}

/// <https://pylint.readthedocs.io/en/stable/user_guide/usage/output.html>, json2; or json, which is
/// the messages alone, and where there are none nothing at all, with the score beside it.
pub(super) fn pylint(output: &str, errors: &str) -> Option<Report> {
    let mut lines = errors.lines().rev();
    let beside = lines.find_map(|line| line.strip_prefix("score ")?.parse::<f64>().ok());
    let told = |score: Option<f64>| score.map(|score| format!("score {score:.2} of 10"));
    if output.is_empty() {
        return Some(Report {
            score: told(beside),
            ..Report::default()
        });
    }
    #[derive(Deserialize)]
    struct Whole {
        messages: Few<Message, MOST>,
        statistics: Statistics,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Message {
        r#type: String,
        symbol: String,
        message: String,
        line: Option<u32>,
        path: String,
    }
    #[derive(Deserialize)]
    struct Statistics {
        score: Option<f64>,
    }
    let (messages, score) = if output.trim_start().starts_with('[') {
        (serde_json::from_str(output).ok()?, beside)
    } else {
        let whole: Whole = serde_json::from_str(output).ok()?;
        (whole.messages, whole.statistics.score)
    };
    Some(Report::of_few(told(score), &messages, |said: &Message| {
        finding(
            &said.symbol,
            Some(&said.path),
            said.line,
            &said.message,
            &said.r#type,
        )
    }))
}

pub(super) fn ruff(output: &str) -> Option<Report> {
    #[derive(Deserialize)]
    struct Said {
        code: Option<String>,
        message: Option<String>,
        filename: Option<String>,
        location: Option<Location>,
    }
    #[derive(Deserialize)]
    struct Location {
        row: Option<u32>,
    }
    let all: Few<Said, MOST> = serde_json::from_str(output).ok()?;
    Some(Report::of_few(None, &all, |said| {
        finding(
            said.code.as_deref().unwrap_or("syntax"),
            said.filename.as_deref(),
            said.location.as_ref().and_then(|location| location.row),
            said.message.as_deref().unwrap_or_default(),
            "warning",
        )
    }))
}

pub(super) fn bandit(output: &str) -> Option<Report> {
    #[derive(Deserialize)]
    struct Whole {
        results: Few<Said, MOST>,
    }
    #[derive(Deserialize)]
    struct Said {
        #[serde(default)]
        test_id: String,
        #[serde(default)]
        issue_text: String,
        #[serde(default)]
        issue_severity: String,
        filename: Option<String>,
        line_number: Option<u32>,
    }
    let whole: Whole = serde_json::from_str(output).ok()?;
    Some(Report::of_few(None, &whole.results, |said| {
        finding(
            &said.test_id,
            said.filename.as_deref(),
            said.line_number,
            &said.issue_text,
            &said.issue_severity.to_lowercase(),
        )
    }))
}

fn pattern(text: &str) -> Option<Regex> {
    Regex::new(text).ok()
}

/// What cannot be compiled it writes to standard error, with the line and a mark below it.
pub(super) fn pyflakes(output: &str, errors: &str) -> Option<Report> {
    static LINE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        pattern(r"(?m)^(?P<file>[^:\n]+):(?P<line>\d+):(?:\d+:?)? (?P<message>.+)$")
    });
    let line = LINE.as_ref()?;
    let findings = [(output, "warning"), (errors, "error")];
    let findings = findings.into_iter().flat_map(|(text, severity)| {
        line.captures_iter(text).map(move |found| {
            let line = found["line"].parse().ok();
            finding("", Some(&found["file"]), line, &found["message"], severity)
        })
    });
    Some(Report::of(None, findings))
}

/// The files that a finding is about follow it, indented.
pub(super) fn check_wheel_contents(output: &str) -> Option<Report> {
    static LINE: LazyLock<Option<Regex>> =
        LazyLock::new(|| pattern(r"^.*\.whl: (?P<rule>W\d+): (?P<message>.+)$"));
    let line = LINE.as_ref()?;
    let mut report = Report::default();
    let mut named = 0;
    for text in output.lines() {
        if let Some(found) = line.captures(text) {
            let (rule, message) = (&found["rule"], &found["message"]);
            if report.findings.len() < MOST {
                let found = finding(rule, None, None, message, "warning");
                report.findings.push(found);
            } else {
                report.more += 1;
            }
            named = 0;
        } else if text.starts_with(' ')
            && report.more == 0
            && let Some(finding) = report.findings.last_mut()
        {
            let file = text.trim().trim_start_matches("- ");
            if named == 0 {
                finding.file = Some(file.to_owned());
            }
            if named < MOST_NAMED {
                let joint = if named == 0 { " " } else { ", " };
                finding.message.push_str(&format!("{joint}{file}"));
            }
            named += 1;
        }
    }
    output.contains(".whl: ").then_some(report)
}

pub(super) fn twine(output: &str) -> Option<Report> {
    static LINE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        pattern(r"(?m)^(?P<severity>WARNING|ERROR|  warning:)\s+(?P<message>.+)$")
    });
    let passed = output.contains("PASSED");
    if !passed && !output.contains("FAILED") {
        return None;
    }
    let lines = LINE.as_ref()?.captures_iter(output);
    let findings = lines.map(|found| {
        let severity = found["severity"].trim_matches([' ', ':']).to_lowercase();
        finding("", None, None, found["message"].trim(), &severity)
    });
    let score = if passed { "passed" } else { "failed" };
    Some(Report::of(Some(score.to_owned()), findings))
}

/// Its problems have U+001E before them, and may have several lines; below them are a line of dashes,
/// the rating, and a word on it.
pub(super) fn pyroma(output: &str) -> Option<Report> {
    let (problems, rating) = output.rsplit_once("\nFinal rating: ")?;
    let rating = rating.lines().next()?;
    let problems = problems.trim_end_matches('-').split('\u{1e}').skip(1);
    let findings = problems.map(|text| {
        let words: Vec<&str> = text.split_whitespace().collect();
        finding("", None, None, &words.join(" "), "warning")
    });
    Some(Report::of(Some(format!("rating {rating}")), findings))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is made of a report on the source distribution a-1.
    fn read(report: Option<Report>) -> (Option<String>, Vec<CheckFinding>) {
        let Report {
            score,
            findings,
            more,
        } = report.unwrap().seen_from("/home/dev/source/a-1");
        assert_eq!(more, 0);
        (score, findings)
    }

    #[test]
    fn of_a_report_without_end_the_rest_is_counted() {
        let json = |one: &str| vec![one; MOST + 2].join(",");
        let lines = |one: &str| format!("{one}\n").repeat(MOST + 2);
        let message = r#"{"type":"e","symbol":"s","message":"m","line":1,"path":"p"}"#;
        let dashes = "------------------------------";
        for (tool, report) in [
            ("pylint", pylint(&format!("[{}]", json(message)), "")),
            (
                "pylint, json2",
                pylint(
                    &format!(
                        r#"{{"messages":[{}],"statistics":{{"score":1}}}}"#,
                        json(message)
                    ),
                    "",
                ),
            ),
            ("ruff", ruff(&format!("[{}]", json("{}")))),
            (
                "bandit",
                bandit(&format!(r#"{{"results":[{}]}}"#, json("{}"))),
            ),
            ("pyflakes", pyflakes(&lines("a.py:1:1: x"), "")),
            (
                "check-wheel-contents",
                check_wheel_contents(&lines("a.whl: W001: x\n  a")),
            ),
            ("twine", twine(&format!("PASSED\n{}", lines("WARNING  x")))),
            (
                "pyroma",
                pyroma(&format!(
                    "{dashes}\nx\n{dashes}\n{}{dashes}\nFinal rating: 1/10\n",
                    lines("\u{1e}x")
                )),
            ),
        ] {
            let report = report.unwrap_or_else(|| panic!("{tool}"));
            assert_eq!((report.findings.len(), report.more), (MOST, 2), "{tool}");
        }
    }

    #[test]
    fn files_have_one_root_whatever_names_them() {
        let source = "/home/dev/source/a-1";
        for (path, source, seen) in [
            ("/home/dev/source/a-1/a/b.py", source, "a/b.py"),
            (
                "/home/dev/source/a-1/site-packages/b.py",
                source,
                "site-packages/b.py",
            ),
            (
                "/home/dev/source/a-10/b.py",
                source,
                "/home/dev/source/a-10/b.py",
            ),
            // An archive may have no directory that holds all of it.
            ("/home/dev/source/a/b.py", "/home/dev/source", "a/b.py"),
            (
                "/home/dev/.local/lib/python3.13/site-packages/a/b.py",
                "/tmp/work-x",
                "a/b.py",
            ),
            ("/home/dev/source/a-1/b.py", "", "/home/dev/source/a-1/b.py"),
            // In a wheel.
            (
                "a/site-packages/b.py",
                "/tmp/work-x",
                "a/site-packages/b.py",
            ),
        ] {
            assert_eq!(relative(path, source), seen, "{path} {source}");
        }
    }

    #[test]
    fn reports_are_read() {
        let (score, found) = read(pylint(
            r#"{"messages":[{"type":"convention","symbol":"line-too-long","messageId":"C0301",
            "message":"Line too long","line":3,"column":0,"path":"/home/dev/.local/lib/python3.13/site-packages/a.py"}],
            "statistics":{"score":7.5}}"#,
            "",
        ));
        assert_eq!(score.as_deref(), Some("score 7.50 of 10"));
        assert_eq!(
            found,
            [finding(
                "line-too-long",
                Some("a.py"),
                Some(3),
                "Line too long",
                "convention"
            )]
        );

        let (score, found) = read(pylint(
            r#"[{"type":"error","module":"a","obj":"","line":1,"column":0,"path":"/home/dev/x.py",
            "symbol":"syntax-error","message":"invalid syntax","message-id":"E0001"}]"#,
            "a warning\n\nscore 7.5\n",
        ));
        assert_eq!(
            (score.as_deref(), found),
            (
                Some("score 7.50 of 10"),
                vec![finding(
                    "syntax-error",
                    Some("/home/dev/x.py"),
                    Some(1),
                    "invalid syntax",
                    "error"
                )]
            )
        );

        let (_, found) = read(ruff(
            r#"[{"code":"F401","message":"unused","filename":"/home/dev/source/a-1/a.py","location":{"row":2}}]"#,
        ));
        assert_eq!(
            found,
            [finding("F401", Some("a.py"), Some(2), "unused", "warning")]
        );

        let (_, found) = read(pyflakes(
            "/home/dev/source/a-1/a.py:2:1: 'os' imported but unused\n",
            "/home/dev/source/a-1/b.py:3:7: invalid syntax\nprint 'x'\n      ^\n",
        ));
        assert_eq!(
            found,
            [
                finding(
                    "",
                    Some("a.py"),
                    Some(2),
                    "'os' imported but unused",
                    "warning"
                ),
                finding("", Some("b.py"), Some(3), "invalid syntax", "error")
            ]
        );

        let (_, found) = read(check_wheel_contents(
            "a-1-py3-none-any.whl: W009: Wheel contains multiple toplevel library entries:\n  a/\n  tests/\n\
            a-1-py3-none-any.whl: W007: Wheel library is empty\n",
        ));
        assert_eq!(
            found,
            [
                finding(
                    "W009",
                    Some("a/"),
                    None,
                    "Wheel contains multiple toplevel library entries: a/, tests/",
                    "warning"
                ),
                finding("W007", None, None, "Wheel library is empty", "warning")
            ]
        );

        // Of 6, and of 1.15.
        for output in [
            "Checking a.tar.gz: PASSED with warnings\nWARNING  `long_description` missing.\n",
            "Checking a.tar.gz: PASSED, with warnings\n  warning: `long_description` missing.\n",
        ] {
            let (score, found) = read(twine(output));
            assert_eq!(score.as_deref(), Some("passed"));
            let missing = "`long_description` missing.";
            assert_eq!(found, [finding("", None, None, missing, "warning")]);
        }

        let dashes = "------------------------------\n";
        let text = format!(
            "{dashes}Checking /x\nFound a\n{dashes}\u{1e}You have no classifiers.\n\
            \u{1e}Your Description is not valid ReST:\nline 2: underline of\n\n{dashes}is short.\n\n\
            {dashes}Final rating: 8/10\nSolid\n{dashes}"
        );
        let (score, found) = read(pyroma(&text));
        assert_eq!(score.as_deref(), Some("rating 8/10"));
        let invalid = format!(
            "Your Description is not valid ReST: line 2: underline of {} is short.",
            dashes.trim_end()
        );
        let expected = ["You have no classifiers.", &invalid]
            .map(|message| finding("", None, None, message, "warning"));
        assert_eq!(found, expected);
        let fresh = "------------------------------\nChecking /x\nFound a\n------------------------------\nFinal rating: 10/10\nYour cheese is so fresh\n------------------------------\n";
        let (score, found) = read(pyroma(fresh));
        assert_eq!(score.as_deref(), Some("rating 10/10"));
        assert_eq!(found, []);
    }
}
