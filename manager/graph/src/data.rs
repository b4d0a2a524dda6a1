//! What flows between tasks.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The name of a datum: words with dots between, such as `stage.install`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kind(String);

impl Kind {
    /// The kind of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is meant by a pattern: a name, or `a.*` for every name below `a`.
    #[must_use]
    pub fn matches(&self, pattern: &str) -> bool {
        match pattern.strip_suffix('*') {
            Some(prefix) => self.0.len() > prefix.len() && self.0.starts_with(prefix),
            None => self.0 == pattern,
        }
    }
}

impl From<&str> for Kind {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A value that a task needs or provides, addressed by its hash. Files are named in it by theirs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Datum {
    value: Value,
}

/// A datum is not of the type that its reader expects: two tasks disagree.
#[derive(Debug, thiserror::Error)]
#[error("the datum {kind} is not what this task reads: {reason}")]
pub struct WrongDatum {
    kind: Kind,
    reason: String,
}

impl Datum {
    /// The datum of a value.
    ///
    /// # Errors
    /// The value cannot be written as JSON.
    pub fn of(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        serde_json::to_value(value).map(|value| Self { value })
    }

    /// SHA-256 of its JSON, hexadecimal. Keys of objects are in order there, so equal data have
    /// equal digests.
    #[must_use]
    pub fn digest(&self) -> String {
        hex(&Sha256::digest(self.value.to_string()))
    }

    /// Its value.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }
}

/// What a task was given: the data of its needs that there are.
#[derive(Debug, Clone, Default)]
pub struct Inputs(pub(crate) BTreeMap<Kind, Datum>);

impl Inputs {
    /// The datum of this kind.
    ///
    /// # Errors
    /// It is missing, which an `All` need never is, or of another type.
    pub fn get<T: DeserializeOwned>(&self, kind: &str) -> Result<T, WrongDatum> {
        self.find(kind)?.ok_or_else(|| WrongDatum {
            kind: Kind::new(kind),
            reason: "it is not there".into(),
        })
    }

    /// The datum of this kind, where there is one.
    ///
    /// # Errors
    /// It is of another type.
    pub fn find<T: DeserializeOwned>(&self, kind: &str) -> Result<Option<T>, WrongDatum> {
        let kind = Kind::new(kind);
        let Some(datum) = self.0.get(&kind) else {
            return Ok(None);
        };
        T::deserialize(&datum.value)
            .map(Some)
            .map_err(|error| WrongDatum {
                kind,
                reason: error.to_string(),
            })
    }

    /// Every datum, by kind.
    pub fn iter(&self) -> impl Iterator<Item = (&Kind, &Datum)> {
        self.0.iter()
    }
}

impl FromIterator<(Kind, Datum)> for Inputs {
    fn from_iter<I: IntoIterator<Item = (Kind, Datum)>>(data: I) -> Self {
        Self(data.into_iter().collect())
    }
}

/// What a task provides.
pub type Outputs = BTreeMap<Kind, Datum>;

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
