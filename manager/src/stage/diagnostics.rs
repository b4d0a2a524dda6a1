//! What compilers say, read from a build's output (GNU coding standards, "Errors").

use std::sync::OnceLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

/// Diagnostics listed; the output has all.
const MOST: usize = 5000;
/// Longest line that is read: what is longer is no diagnostic.
const LONGEST: usize = 4096;

/// One diagnostic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// The file as the compiler names it.
    pub file: String,
    /// Its line.
    pub line: u32,
    /// The column, where it is told.
    pub column: Option<u32>,
    /// `error`, `warning` or `note`.
    pub severity: String,
    /// What it says.
    pub message: String,
    /// The option that asked for it, without `-W`.
    pub option: Option<String>,
}

/// The diagnostics in an output.
pub(super) fn read(output: &str) -> Vec<Diagnostic> {
    let Some(pattern) = pattern() else {
        return vec![];
    };
    output
        .lines()
        .filter(|line| line.len() <= LONGEST)
        .filter_map(|line| {
            let found = pattern.captures(line)?;
            let text = |name| found.name(name).map(|found| found.as_str().to_owned());
            Some(Diagnostic {
                file: text("file")?,
                line: text("line")?.parse().ok()?,
                column: text("column").and_then(|column| column.parse().ok()),
                severity: match text("severity")?.as_str() {
                    "fatal error" => "error".to_owned(),
                    other => other.to_owned(),
                },
                message: text("message")?,
                option: text("option"),
            })
        })
        .take(MOST)
        .collect()
}

fn pattern() -> Option<&'static Regex> {
    static PATTERN: OnceLock<Option<Regex>> = OnceLock::new();
    let make = || {
        Regex::new(
            r"^\s*(?P<file>[^\s:][^:]*):(?P<line>\d+):(?:(?P<column>\d+):)? (?P<severity>fatal error|error|warning|note): (?P<message>.*?)(?: \[-W(?P<option>[^\]]+)\])?$",
        )
        .ok()
    };
    PATTERN.get_or_init(make).as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gcc_is_understood() {
        let output = "running build_ext\n\
            src/a.c: In function ‘f’:\n\
            src/a.c:12:7: warning: unused variable ‘x’ [-Wunused-variable]\n\
            src/a.c:3:10: fatal error: missing.h: No such file or directory\n\
            b.c:9: error: old style\n\
            12:30:01: warning of the clock\n";
        let found = read(output);
        let short: Vec<_> = found
            .iter()
            .map(|d| {
                (
                    d.file.as_str(),
                    d.line,
                    d.column,
                    d.severity.as_str(),
                    d.option.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            short,
            [
                ("src/a.c", 12, Some(7), "warning", Some("unused-variable")),
                ("src/a.c", 3, Some(10), "error", None),
                ("b.c", 9, None, "error", None),
            ]
        );
        assert_eq!(found[1].message, "missing.h: No such file or directory");
    }
}
