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
    /// How many modules it looked at, where it tells.
    pub looked_at: Option<u64>,
}

impl Report {
    fn of(score: Option<String>, mut findings: impl Iterator<Item = CheckFinding>) -> Self {
        Self {
            score,
            findings: findings.by_ref().take(MOST).collect(),
            more: findings.count(),
            looked_at: None,
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
            looked_at: None,
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
/// the messages alone, and where there are none nothing at all, with the score and how many modules it
/// looked at beside it. What it does not find, such as a namespace package, it passes over in silence.
pub(super) fn pylint(output: &str, errors: &str) -> Option<Report> {
    let mut lines = errors.lines().rev();
    let beside = lines.find_map(|line| line.strip_prefix("score ")?.parse::<f64>().ok());
    let mut lines = errors.lines().rev();
    let modules = lines.find_map(|line| line.strip_prefix("modules ")?.parse::<u64>().ok());
    let told = |score: Option<f64>| score.map(|score| format!("score {score:.2} of 10"));
    if output.is_empty() {
        return Some(Report {
            score: told(beside),
            looked_at: modules,
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
    #[serde(rename_all = "camelCase")]
    struct Statistics {
        score: Option<f64>,
        modules_linted: Option<u64>,
    }
    let (messages, score, looked_at) = if output.trim_start().starts_with('[') {
        (serde_json::from_str(output).ok()?, beside, modules)
    } else {
        let whole: Whole = serde_json::from_str(output).ok()?;
        let statistics = whole.statistics;
        (whole.messages, statistics.score, statistics.modules_linted)
    };
    let report = Report::of_few(told(score), &messages, |said: &Message| {
        finding(
            &said.symbol,
            Some(&said.path),
            said.line,
            &said.message,
            &said.r#type,
        )
    });
    Some(Report {
        looked_at,
        ..report
    })
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

/// Its verdict is the word behind the file's path, which has no colon, and may be wrapped; what is
/// quoted of the description comes later.
pub(super) fn twine(output: &str, exit: Option<i32>) -> Option<Report> {
    static VERDICT: LazyLock<Option<Regex>> =
        LazyLock::new(|| pattern(r"(?m)^Checking\s+[^:]+:\s*(?P<word>\w*)"));
    static LINE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        pattern(r"(?m)^(?P<severity>WARNING|ERROR|  warning:)\s+(?P<message>.+)$")
    });
    let score = match &VERDICT.as_ref()?.captures(output)?["word"] {
        "PASSED" if exit == Some(0) => "passed",
        "FAILED" => "failed",
        _ => return None,
    };
    let lines = LINE.as_ref()?.captures_iter(output);
    let findings = lines.map(|found| {
        let severity = found["severity"].trim_matches([' ', ':']).to_lowercase();
        finding("", None, None, found["message"].trim(), &severity)
    });
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
mod tests;
