//! Package names, normalised.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longer names exist nowhere; PyPI itself allows no more than this.
const LONGEST: usize = 128;

/// A package's name in its normal form (PEP 503): lower case, runs of `-_.` as one `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageName(String);

/// Why a text is no package name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a package name is made of ASCII letters, digits, '-', '_' and '.', and begins and ends with a letter or digit"
)]
pub struct BadName;

impl PackageName {
    /// The normalised name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as it stands in file names (PEP 625, PEP 427): `_` instead of `-`.
    #[must_use]
    pub fn escaped(&self) -> String {
        self.0.replace('-', "_")
    }
}

impl FromStr for PackageName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bytes = text.as_bytes();
        let ends = [bytes.first(), bytes.last()];
        let framed = ends
            .iter()
            .all(|end| end.is_some_and(u8::is_ascii_alphanumeric));
        let made_of = bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte));
        if !framed || !made_of || bytes.len() > LONGEST {
            return Err(BadName);
        }
        let mut name = String::with_capacity(text.len());
        for character in text.chars() {
            match character {
                '-' | '_' | '.' if name.ends_with('-') => {}
                '-' | '_' | '.' => name.push('-'),
                other => name.push(other.to_ascii_lowercase()),
            }
        }
        Ok(Self(name))
    }
}

impl TryFrom<String> for PackageName {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<PackageName> for String {
    fn from(name: PackageName) -> Self {
        name.0
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised() {
        for spelling in ["Flask-Login", "flask_login", "FLASK.LOGIN", "flask-_.login"] {
            assert_eq!(
                spelling.parse::<PackageName>().unwrap().as_str(),
                "flask-login"
            );
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "-a",
            "a-",
            "a b",
            "a/b",
            "..",
            "é",
            "a\0",
            &"a".repeat(129),
        ] {
            assert_eq!(text.parse::<PackageName>(), Err(BadName), "{text:?}");
        }
    }
}
