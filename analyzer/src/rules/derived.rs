//! What rules may ask of an execution that no probe records as such.

use pyti_trace::event::{Event, Incomplete};

use super::arguments::{Script, downloads, script};
use super::value::{Value, View, missing};
use crate::schema::Field;

impl View<'_> {
    /// [`Field::Script`]. A `#!` line's interpreter stands in `target`. One that was not executed has no
    /// arguments: those of the event are the script's.
    pub(super) fn script<'s>(&self, event: &'s Event) -> Value<'s> {
        let failed = event.outcome().is_some_and(|result| result < 0);
        let interpreter = event.target.as_deref().filter(|_| !failed);
        let Some(program) = interpreter.or_else(|| program(event)) else {
            return missing(event);
        };
        let Some(argv) = event.argv.as_deref() else {
            return Value::Unknown;
        };
        match script(program, argv, !is_cut(event)) {
            Some(Script::File(name)) => {
                // Where the arguments were cut, so may have been the last of them.
                let last = argv
                    .last()
                    .is_some_and(|last| std::ptr::eq(last.as_str(), name));
                self.absolute(event, name, !(last && is_cut(event)))
            }
            Some(Script::Input) => Value::Text("-".into(), true),
            Some(Script::Cut) => Value::Unknown,
            Some(Script::Elsewhere) | None => Value::Absent,
        }
    }

    /// [`Field::Downloads`].
    pub(super) fn downloads<'s>(&self, event: &'s Event) -> Value<'s> {
        let Some(program) = program(event) else {
            return missing(event);
        };
        let Some(argv) = event.argv.as_deref() else {
            return Value::Unknown;
        };
        Value::Many(
            downloads(program, argv)
                .iter()
                .map(|name| self.absolute(event, name, true))
                .collect(),
        )
    }

    /// What is known of descriptor `place` of the program executed at `index`.
    pub(super) fn standard(&self, index: usize, place: usize, field: Field) -> Value<'_> {
        let Some(index) = self.descriptors.standard(index, place) else {
            return Value::Absent;
        };
        let event = self.events.get(index);
        if event.is_none_or(|event| event.outcome().is_none()) {
            return Value::Unknown;
        }
        if field == Field::AddrFamily {
            return self.value(index, field);
        }
        match (
            self.value(index, Field::Dev),
            self.value(index, Field::Inode),
        ) {
            (Value::Int(dev), Value::Int(inode)) => {
                Value::Text(format!("{dev}:{inode}").into(), true)
            }
            (Value::Absent, _) | (_, Value::Absent) => Value::Absent,
            _ => Value::Unknown,
        }
    }

    /// [`Field::Terminal`].
    pub(super) fn terminal<'e>(&self, index: usize, event: &'e Event) -> Value<'e> {
        match self.terminals.get(&index) {
            Some(is_one) => Value::Bool(*is_one),
            // A socket, or another type of file.
            None if event.family.is_some() || event.mode.is_some() => Value::Bool(false),
            None => missing(event),
        }
    }
}

/// The program that was executed, or that should have been.
fn program(event: &Event) -> Option<&str> {
    event.path.as_deref().or(event.asked.as_deref())
}

/// The arguments are not all there.
fn is_cut(event: &Event) -> bool {
    event
        .incomplete
        .intersects(Incomplete::ARGV_TRUNCATED | Incomplete::ARGV_UNREADABLE)
}
