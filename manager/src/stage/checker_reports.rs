//! The reports of quality checkers, which the package's own code may have forged.

use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use super::quality::CheckFinding;

/// Files that one finding names.
const MOST_NAMED: usize = 50;

/// A report: the checker's own score, and what it found.
pub(super) type Report = (Option<String>, Vec<CheckFinding>);

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
        file: file.map(shown),
        line,
        message: message.to_owned(),
        severity: severity.to_owned(),
    }
}

/// A path in the guest, relative to what was checked.
fn shown(path: &str) -> String {
    let roots = ["/site-packages/", "/home/dev/source/"];
    let rest = roots
        .iter()
        .find_map(|root| path.split_once(root))
        .map(|(_, rest)| rest);
    rest.unwrap_or(path).to_owned()
}

/// <https://pylint.readthedocs.io/en/stable/user_guide/usage/output.html>, json2; or json, which is
/// the messages alone, and where there are none nothing at all.
pub(super) fn pylint(output: &str) -> Option<Report> {
    if output.is_empty() {
        return Some((None, vec![]));
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Output {
        Json2(Whole),
        Json(Vec<Message>),
    }
    #[derive(Deserialize)]
    struct Whole {
        messages: Vec<Message>,
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
    let (messages, score) = match serde_json::from_str(output).ok()? {
        Output::Json2(whole) => (whole.messages, whole.statistics.score),
        Output::Json(messages) => (messages, None),
    };
    let findings = messages.iter().map(|said| {
        finding(
            &said.symbol,
            Some(&said.path),
            said.line,
            &said.message,
            &said.r#type,
        )
    });
    let score = score.map(|score| format!("score {score:.2} of 10"));
    Some((score, findings.collect()))
}

pub(super) fn ruff(output: &str) -> Option<Report> {
    let all: Vec<Value> = serde_json::from_str(output).ok()?;
    let findings = all.iter().map(|said| {
        let line = said["location"]["row"]
            .as_u64()
            .and_then(|line| u32::try_from(line).ok());
        let message = said["message"].as_str().unwrap_or_default();
        let rule = said["code"].as_str().unwrap_or("syntax");
        finding(rule, said["filename"].as_str(), line, message, "warning")
    });
    Some((None, findings.collect()))
}

pub(super) fn bandit(output: &str) -> Option<Report> {
    let whole: Value = serde_json::from_str(output).ok()?;
    let findings = whole["results"].as_array()?.iter().map(|said| {
        let line = said["line_number"]
            .as_u64()
            .and_then(|line| u32::try_from(line).ok());
        let text = |name: &str| said[name].as_str().unwrap_or_default();
        let severity = text("issue_severity").to_lowercase();
        finding(
            text("test_id"),
            said["filename"].as_str(),
            line,
            text("issue_text"),
            &severity,
        )
    });
    Some((None, findings.collect()))
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
    Some((None, findings.collect()))
}

/// The files that a finding is about follow it, indented.
pub(super) fn check_wheel_contents(output: &str) -> Option<Report> {
    static LINE: LazyLock<Option<Regex>> =
        LazyLock::new(|| pattern(r"^.*\.whl: (?P<rule>W\d+): (?P<message>.+)$"));
    let line = LINE.as_ref()?;
    let mut findings: Vec<CheckFinding> = vec![];
    let mut named = 0;
    for text in output.lines() {
        if let Some(found) = line.captures(text) {
            let (rule, message) = (&found["rule"], &found["message"]);
            findings.push(finding(rule, None, None, message, "warning"));
            named = 0;
        } else if text.starts_with(' ')
            && let Some(finding) = findings.last_mut()
        {
            let file = text.trim().trim_start_matches("- ");
            if named == 0 {
                finding.file = Some(shown(file));
            }
            if named < MOST_NAMED {
                let joint = if named == 0 { " " } else { ", " };
                finding.message.push_str(&format!("{joint}{file}"));
            }
            named += 1;
        }
    }
    output.contains(".whl: ").then_some((None, findings))
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
    Some((Some(score.to_owned()), findings.collect()))
}

/// Its problems, where it has any, stand between the second line of dashes and the next.
pub(super) fn pyroma(output: &str) -> Option<Report> {
    let rating = output
        .lines()
        .find_map(|line| line.strip_prefix("Final rating: "))?;
    let mut parts = output.split("------------------------------");
    let problems = parts.nth(2).unwrap_or_default();
    let findings = problems
        .lines()
        .map(str::trim)
        // What stands below the rating is a word on it.
        .take_while(|line| !line.starts_with("Final rating"))
        .filter(|line| !line.is_empty())
        .map(|line| finding("", None, None, line, "warning"));
    Some((Some(format!("rating {rating}")), findings.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read() {
        let (score, found) = pylint(
            r#"{"messages":[{"type":"convention","symbol":"line-too-long","messageId":"C0301",
            "message":"Line too long","line":3,"column":0,"path":"/home/dev/.local/lib/python3.13/site-packages/a.py"}],
            "statistics":{"score":7.5}}"#,
        )
        .unwrap();
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

        let (score, found) = pylint(
            r#"[{"type":"error","module":"a","obj":"","line":1,"column":0,"path":"/home/dev/x.py",
            "symbol":"syntax-error","message":"invalid syntax","message-id":"E0001"}]"#,
        )
        .unwrap();
        assert_eq!(
            (score, found),
            (
                None,
                vec![finding(
                    "syntax-error",
                    Some("/home/dev/x.py"),
                    Some(1),
                    "invalid syntax",
                    "error"
                )]
            )
        );

        let (_, found) = ruff(r#"[{"code":"F401","message":"unused","filename":"/home/dev/source/a-1/a.py","location":{"row":2}}]"#).unwrap();
        assert_eq!(
            found,
            [finding(
                "F401",
                Some("a-1/a.py"),
                Some(2),
                "unused",
                "warning"
            )]
        );

        let (_, found) = pyflakes(
            "/home/dev/source/a.py:2:1: 'os' imported but unused\n",
            "/home/dev/source/b.py:3:7: invalid syntax\nprint 'x'\n      ^\n",
        )
        .unwrap();
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

        let (_, found) = check_wheel_contents(
            "a-1-py3-none-any.whl: W009: Wheel contains multiple toplevel library entries:\n  a/\n  tests/\n\
            a-1-py3-none-any.whl: W007: Wheel library is empty\n",
        )
        .unwrap();
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
            let (score, found) = twine(output).unwrap();
            assert_eq!(score.as_deref(), Some("passed"));
            let missing = "`long_description` missing.";
            assert_eq!(found, [finding("", None, None, missing, "warning")]);
        }

        let text = "------------------------------\nChecking /x\nFound a\n------------------------------\nYou have no classifiers.\n------------------------------\nFinal rating: 8/10\nSolid\n------------------------------\n";
        let (score, found) = pyroma(text).unwrap();
        assert_eq!(score.as_deref(), Some("rating 8/10"));
        assert_eq!(
            found,
            [finding(
                "",
                None,
                None,
                "You have no classifiers.",
                "warning"
            )]
        );
        let fresh = "------------------------------\nChecking /x\nFound a\n------------------------------\nFinal rating: 10/10\nYour cheese is so fresh\n------------------------------\n";
        let (score, found) = pyroma(fresh).unwrap();
        assert_eq!(score.as_deref(), Some("rating 10/10"));
        assert_eq!(found, []);
    }
}
