//! What the programs say, and the marks that they leave in the record: failed opens of certain names.

use std::collections::HashMap;

use pyti_trace::event::{Event, Kind, ProcessKey};

/// Below it lie the names; see `programs/matrix.h`.
const MARK: &str = "/tmp/matrix/mark/";

/// The field that says of how many events the others are.
pub(super) const EVENTS: &str = "events";

/// What a program says of a cell.
pub(super) struct Said<'a> {
    /// Which of the marks are its own.
    pub(super) cell: &'a str,
    pub(super) action: &'a str,
    pub(super) road: &'a str,
    /// Number of the doing process, in its namespace.
    pub(super) pid: &'a str,
    /// What the call returned.
    pub(super) result: i64,
    /// What the event has to say.
    pub(super) fields: Vec<(&'a str, &'a str)>,
}

impl<'a> Said<'a> {
    pub(super) fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.split('\t');
        let mut word = || words.next();
        let (cell, action, road, pid) = (word()?, word()?, word()?, word()?);
        let result = word()?.parse().ok()?;
        let fields = words
            .filter(|word| !word.is_empty())
            .map(|word| word.split_once('='))
            .collect::<Option<_>>()?;
        Some(Self {
            cell,
            action,
            road,
            pid,
            result,
            fields,
        })
    }

    pub(super) fn field(&self, name: &str) -> Option<&'a str> {
        let named = self.fields.iter().find(|(field, _)| *field == name);
        named.map(|(_, value)| *value)
    }

    /// How many events it has, all of which say the same: one, where the program does not say.
    pub(super) fn events(&self) -> usize {
        let said = self.field(EVENTS).and_then(|many| many.parse().ok());
        said.unwrap_or(1)
    }
}

/// The name of a mark.
fn mark(event: &Event) -> Option<&str> {
    if event.kind != Kind::Open {
        return None;
    }
    event.asked.as_deref()?.strip_prefix(MARK)
}

pub(super) fn is_mark(event: &Event) -> bool {
    mark(event).is_some()
}

/// All marks of a record.
pub(super) struct Marks<'a> {
    begins: HashMap<&'a str, u64>,
    ends: HashMap<&'a str, u64>,
    processes: HashMap<&'a str, ProcessKey>,
}

impl<'a> Marks<'a> {
    pub(super) fn of(events: &'a [Event]) -> Self {
        let mut marks = Self {
            begins: HashMap::new(),
            ends: HashMap::new(),
            processes: HashMap::new(),
        };
        for event in events {
            let Some((what, which)) = mark(event).and_then(|mark| mark.split_once('.')) else {
                continue;
            };
            match what {
                "begin" => _ = marks.begins.insert(which, event.time_ns),
                // Who tells of a cell twice ends it at the first time.
                "end" => {
                    let end = marks.ends.entry(which).or_insert(event.time_ns);
                    *end = event.time_ns.min(*end);
                }
                "pid" => _ = marks.processes.insert(which, event.process),
                _ => {}
            }
        }
        marks
    }

    /// When a cell began and ended.
    pub(super) fn of_cell(&self, cell: &str) -> Option<(u64, u64)> {
        Some((*self.begins.get(cell)?, *self.ends.get(cell)?))
    }

    /// Number of a process in its namespace.
    pub(super) fn pid(&self, process: ProcessKey) -> Option<&'a str> {
        let found = self.processes.iter().find(|(_, key)| **key == process);
        found.map(|(pid, _)| *pid)
    }
}
