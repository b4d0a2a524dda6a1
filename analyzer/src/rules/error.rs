//! What is wrong with a rule file, and where.

use std::fmt;
use std::sync::Arc;

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Path of the file as it was given.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

impl Place {
    /// A place.
    #[must_use]
    pub fn new(file: &str, line: usize, column: usize) -> Self {
        Self {
            file: file.into(),
            line,
            column,
        }
    }

    /// An error at this place.
    #[must_use]
    pub fn error(&self, message: impl Into<String>) -> RuleError {
        RuleError {
            place: self.clone(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One thing wrong with a rule file: `file:line:column: message`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct RuleError {
    /// Where.
    pub place: Place,
    /// What, and what would be right.
    pub message: String,
}

/// Everything wrong with a set of rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct RuleErrors(pub Vec<RuleError>);

impl From<RuleError> for RuleErrors {
    fn from(error: RuleError) -> Self {
        Self(vec![error])
    }
}

/// ` (did you mean …?)` where one of `known` is close to `word`, else the list of what is known.
#[must_use]
pub fn suggestion(word: &str, known: &[&str]) -> String {
    let close = known
        .iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4);
    match close {
        Some((_, candidate)) => format!(" (did you mean `{candidate}`?)"),
        None => format!(" (known: {})", known.join(", ")),
    }
}

/// Levenshtein distance, over characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(x != *y))
                .min(above + 1)
                .min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_the_closest() {
        assert_eq!(
            suggestion("pth", &["path", "mode"]),
            " (did you mean `path`?)"
        );
        assert_eq!(
            suggestion("colour", &["path", "mode"]),
            " (known: path, mode)"
        );
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
