//! How an event finds the unfinished sequences that it may continue, without looking at all.
//!
//! A step that says `path: {same: drop.path}` can only hold for sequences whose `drop` had the
//! event's path. Such a comparison is a [`Probe`]: sequences are kept by the earlier step's value,
//! and the event's value finds them. What a value cannot tell apart (unreadable, cut) stays a
//! candidate: probes narrow the search and never decide.

use std::net::IpAddr;

use pyti_trace::event::ProcessKey;

use super::condition::Condition;
use super::test::Test;
use super::value::{Value, View};
use crate::schema::Field;

/// A comparison that must not be false for a step to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// The event's field.
    pub field: Field,
    /// An item of it is compared, not the whole.
    item: bool,
    /// The earlier step.
    step: usize,
    /// Its field.
    earlier: Field,
}

/// A value as a key: equal keys stand for values that no test tells apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    Text(String, bool),
    OneName(String),
    Int(i64),
    Bool(bool),
    Bytes(Vec<u8>, bool),
    List(Vec<String>, bool),
    Addr(IpAddr),
    Many(Vec<Key>),
    Process(ProcessKey),
    Absent,
    Unknown,
}

impl From<&Value<'_>> for Key {
    fn from(value: &Value<'_>) -> Self {
        match value {
            Value::Text(text, whole) => Self::Text(text.to_string(), *whole),
            Value::OneName(text) => Self::OneName(text.to_string()),
            Value::Int(value) => Self::Int(*value),
            Value::Bool(value) => Self::Bool(*value),
            Value::Bytes(bytes, all) => Self::Bytes(bytes.to_vec(), *all),
            Value::List(list, whole) => Self::List(list.to_vec(), *whole),
            Value::Addr(addr) => Self::Addr(*addr),
            Value::Many(values) => Self::Many(values.iter().map(Self::from).collect()),
            Value::Absent => Self::Absent,
            Value::Unknown => Self::Unknown,
        }
    }
}

/// What an event's value says of the sequences that a probe keeps.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Only those under these keys, and those under [`Key::Unknown`].
    Under(Vec<Key>),
    /// Nothing: all are candidates.
    All,
}

impl Probe {
    /// The key that a sequence is kept under; `None` where no event can compare equal.
    pub fn place(&self, view: &View<'_>, captured: &[usize]) -> Option<Key> {
        let value = match captured.get(self.step) {
            Some(index) => view.value(*index, self.earlier),
            None => Value::Unknown,
        };
        match &value {
            Value::Absent => None,
            Value::Text(_, true) | Value::Int(_) | Value::Bool(_) | Value::Addr(_) => {
                Some(Key::from(&value))
            }
            _ => Some(Key::Unknown),
        }
    }

    /// The keys that an event asks for.
    pub fn find(&self, view: &View<'_>, index: usize) -> Found {
        let mut keys = Vec::new();
        if self.collect(&view.value(index, self.field), &mut keys) {
            Found::Under(keys)
        } else {
            Found::All
        }
    }

    /// Whether only a process that is still there can hold what is asked.
    pub fn is_pid(&self) -> bool {
        self.field == Field::Pid && self.earlier == Field::Pid
    }

    fn collect(&self, value: &Value<'_>, keys: &mut Vec<Key>) -> bool {
        match value {
            Value::Absent => true,
            Value::Many(values) => values.iter().all(|value| self.collect(value, keys)),
            Value::List(items, true) if self.item => {
                keys.extend(items.iter().map(|item| Key::Text(item.clone(), true)));
                true
            }
            Value::Text(_, true) | Value::Int(_) | Value::Bool(_) | Value::Addr(_) => {
                keys.push(Key::from(value));
                true
            }
            _ => false,
        }
    }

    /// The better, the lower: how few sequences share a value of the field.
    fn rank(&self) -> u8 {
        match self.earlier {
            Field::Path | Field::File | Field::Target | Field::Inode | Field::Pid => 0,
            _ => 1,
        }
    }
}

/// Probes of which one must find a sequence if the step is to hold; `None`: it may always hold.
pub type Probes = Option<Vec<Probe>>;

/// Of parts that must all hold, the best one's probes.
fn best(parts: impl Iterator<Item = Probes>) -> Probes {
    parts.flatten().min_by_key(|probes| {
        let worst = probes.iter().map(Probe::rank).max();
        (worst, probes.len())
    })
}

/// Of parts of which one must hold, those of all.
fn each(parts: impl Iterator<Item = Probes>) -> Probes {
    let mut out: Vec<Probe> = Vec::new();
    for probe in parts.collect::<Option<Vec<_>>>()?.into_iter().flatten() {
        if !out.contains(&probe) {
            out.push(probe);
        }
    }
    Some(out)
}

impl Condition {
    /// How events find the sequences for which it may hold.
    pub fn probes(&self) -> Probes {
        match self {
            Self::All(parts) => best(parts.iter().map(Self::probes)),
            Self::Any(parts) => each(parts.iter().map(Self::probes)),
            Self::Not(_) => None,
            Self::Clause(clause) => clause.test.probes(clause.field, false),
        }
    }

    /// Adds every field of an earlier step that it compares with.
    pub fn references(&self, out: &mut Vec<(usize, Field)>) {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                for part in parts {
                    part.references(out);
                }
            }
            Self::Not(part) => part.references(out),
            Self::Clause(clause) => clause.test.references(out),
        }
    }
}

impl Test {
    fn probes(&self, field: Field, item: bool) -> Probes {
        match self {
            Self::All(tests) => best(tests.iter().map(|test| test.probes(field, item))),
            Self::Any(tests) => each(tests.iter().map(|test| test.probes(field, item))),
            Self::Item(test) => test.probes(field, true),
            Self::Same(step, earlier) => Some(vec![Probe {
                field,
                item,
                step: *step,
                earlier: *earlier,
            }]),
            _ => None,
        }
    }

    fn references(&self, out: &mut Vec<(usize, Field)>) {
        match self {
            Self::All(tests) | Self::Any(tests) => {
                for test in tests {
                    test.references(out);
                }
            }
            Self::Not(test) | Self::Item(test) | Self::First(test) | Self::Line(test) => {
                test.references(out);
            }
            Self::Same(step, field) => out.push((*step, *field)),
            _ => {}
        }
    }
}
