//! Events for a reader, and for programs.

use pyti_trace::event::Event;
use pyti_trace::text::{escape, escape_json};
use serde::Serialize;

use super::grid::Grid;
use super::{Style, describe, place, time};
use crate::origin::{Origin, Origins};
use crate::tree::Tree;

/// The events as a table, times from `started_ns` (the stage's start) on, each with who is behind it.
#[must_use]
pub fn event_table(events: &[Event], origins: &Origins, started_ns: u64, style: Style) -> String {
    let tree = Tree::new(events);
    let rows = events.iter().enumerate().map(|(number, event)| {
        vec![
            number.to_string(),
            time(event.time_ns.saturating_sub(started_ns)),
            event.process.tgid.to_string(),
            escape(&tree.name(event.process, event.began_ns())),
            origins.event(number).map_or("", Origin::name).to_owned(),
            escape(&match origins.frame(event) {
                Some(frame) => format!("{}, by {}", describe(event), place(frame)),
                None => describe(event),
            }),
        ]
    });
    Grid {
        rows: rows.collect(),
        right: &[0, 1, 2],
        text: true,
        ..Grid::titled(&["#", "time", "pid", "process", "by", "event"])
    }
    .render(style.width)
}

/// An event, and what its own record does not tell.
#[derive(Serialize)]
struct Line<'e> {
    stage: &'e str,
    /// Its number among the stage's events, as a finding's evidence has it.
    index: usize,
    origin: Option<Origin>,
    #[serde(flatten)]
    event: &'e Event,
}

/// The events of a stage as JSON, one per line, each with its number and who is behind it.
/// Characters that could drive a terminal stand as `\uXXXX`.
///
/// # Errors
/// The writer's own.
pub fn event_lines(
    stage: &str,
    events: &[Event],
    origins: &Origins,
    out: &mut impl std::io::Write,
) -> std::io::Result<()> {
    for (index, event) in events.iter().enumerate() {
        let line = Line {
            stage,
            index,
            origin: origins.event(index),
            event,
        };
        writeln!(out, "{}", escape_json(serde_json::to_string(&line)?))?;
    }
    Ok(())
}
