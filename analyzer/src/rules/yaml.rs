//! YAML with the place of every node, so that each error can say where it is.

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};

use super::error::{Place, RuleError};

/// Files longer than this are refused: no rule file needs as much.
pub const MAX_FILE: usize = 1 << 20;
/// Deeper nesting is refused, so that no recursion over a file can exhaust the stack.
const MAX_DEPTH: usize = 64;

/// A YAML node and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where it starts.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub enum Value {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer; YAML 1.2 writes octal as `0o755`.
    Int(i64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// The value.
    pub value: Node,
}

impl Node {
    /// Reads a file's text, which must be one YAML document.
    ///
    /// # Errors
    /// It is too long, not YAML, not one document, or uses a key that is not text.
    pub fn parse(file: &str, text: &str) -> Result<Self, RuleError> {
        let start = Place::new(file, 1, 1);
        if text.len() > MAX_FILE {
            return Err(start.error(format!("the file is longer than {MAX_FILE} bytes")));
        }
        let mut documents = MarkedYaml::load_from_str(text).map_err(|error| {
            let mark = error.marker();
            Place::new(file, mark.line(), mark.col() + 1).error(error.info())
        })?;
        if documents.len() != 1 {
            return Err(start.error(format!(
                "expected one YAML document, found {}",
                documents.len()
            )));
        }
        Self::convert(file, documents.remove(0), 0)
    }

    fn convert(file: &str, node: MarkedYaml<'_>, depth: usize) -> Result<Self, RuleError> {
        let place = Place::new(file, node.span.start.line(), node.span.start.col() + 1);
        if depth > MAX_DEPTH {
            return Err(place.error("nested too deeply"));
        }
        let value = match node.data {
            YamlData::Value(Scalar::Null) => Value::Null,
            YamlData::Value(Scalar::Boolean(value)) => Value::Bool(value),
            YamlData::Value(Scalar::Integer(value)) => Value::Int(value),
            YamlData::Value(Scalar::FloatingPoint(value)) => Value::Text(value.to_string()),
            YamlData::Value(Scalar::String(value)) => Value::Text(value.into_owned()),
            YamlData::Sequence(items) => Value::List(
                items
                    .into_iter()
                    .map(|item| Self::convert(file, item, depth + 1))
                    .collect::<Result<_, _>>()?,
            ),
            YamlData::Mapping(entries) => {
                let mut map: Vec<Entry> = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    let key = Self::convert(file, key, depth + 1)?;
                    let name = match key.value {
                        Value::Text(name) => name,
                        Value::Bool(_) | Value::Int(_) | Value::Null => {
                            return Err(key.place.error("a key must be text: quote it"));
                        }
                        Value::List(_) | Value::Map(_) => {
                            return Err(key.place.error("a key must be text"));
                        }
                    };
                    if map.iter().any(|entry| entry.key == name) {
                        return Err(key.place.error(format!("`{name}` is given twice")));
                    }
                    map.push(Entry {
                        key: name,
                        place: key.place,
                        value: Self::convert(file, value, depth + 1)?,
                    });
                }
                Value::Map(map)
            }
            YamlData::Tagged(..) | YamlData::Alias(_) => {
                return Err(place.error("YAML tags and unresolved aliases are not supported"));
            }
            YamlData::Representation(..) | YamlData::BadValue => {
                return Err(place.error("not a valid YAML value"));
            }
        };
        Ok(Self { place, value })
    }

    /// What the node is, for messages.
    #[must_use]
    pub fn what(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a truth value",
            Value::Int(_) => "an integer",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The text.
    ///
    /// # Errors
    /// It is no text.
    pub fn text(&self) -> Result<&str, RuleError> {
        match &self.value {
            Value::Text(text) => Ok(text),
            _ => Err(self.expected("a text")),
        }
    }

    /// The integer.
    ///
    /// # Errors
    /// It is no integer.
    pub fn int(&self) -> Result<i64, RuleError> {
        match self.value {
            Value::Int(value) => Ok(value),
            _ => Err(self.expected("an integer")),
        }
    }

    /// The entries.
    ///
    /// # Errors
    /// It is no mapping.
    pub fn map(&self) -> Result<&[Entry], RuleError> {
        match &self.value {
            Value::Map(entries) => Ok(entries),
            _ => Err(self.expected("a mapping")),
        }
    }

    /// The items of a list; anything else stands for a list of itself.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    /// The items as texts; a single text stands for a list of one.
    ///
    /// # Errors
    /// An item is no text.
    pub fn texts(&self) -> Result<Vec<String>, RuleError> {
        self.items()
            .iter()
            .map(|item| item.text().map(str::to_owned))
            .collect()
    }

    /// The value of `key`, where the node is a mapping that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries
                .iter()
                .find(|entry| entry.key == key)
                .map(|entry| &entry.value),
            _ => None,
        }
    }

    /// The error that says what was expected here.
    #[must_use]
    pub fn expected(&self, what: &str) -> RuleError {
        self.place
            .error(format!("expected {what}, found {}", self.what()))
    }
}
