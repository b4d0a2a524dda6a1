//! Events for a reader, and for programs.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use pyti_trace::event::Event;
use pyti_trace::text::{escape, escape_json};

use super::{Style, describe, place, time};
use crate::origin::{Origin, Origins};
use crate::tree::Tree;

/// The events as a table, times from `started_ns` (the stage's start) on, each with who is behind it.
#[must_use]
pub fn event_table(events: &[Event], origins: &Origins, started_ns: u64, style: Style) -> String {
    let tree = Tree::new(events);
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(style.width)
        .set_header(["#", "time", "pid", "process", "by", "event"]);
    for (number, event) in events.iter().enumerate() {
        table.add_row([
            number.to_string(),
            time(event.time_ns.saturating_sub(started_ns)),
            event.process.tgid.to_string(),
            escape(&tree.name(event.process, event.time_ns)),
            origins.event(number).map_or("", Origin::name).to_owned(),
            escape(&match origins.frame(event) {
                Some(frame) => format!("{}, by {}", describe(event), place(frame)),
                None => describe(event),
            }),
        ]);
    }
    for column in 0..3 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    trimmed(&table.to_string())
}

/// The events as JSON, one per line. Characters that could drive a terminal stand as `\uXXXX`.
///
/// # Errors
/// The writer's own.
pub fn event_lines(events: &[Event], out: &mut impl std::io::Write) -> std::io::Result<()> {
    for event in events {
        writeln!(out, "{}", escape_json(serde_json::to_string(event)?))?;
    }
    Ok(())
}

/// Without the blanks that a table leaves at the ends of its lines.
pub(super) fn trimmed(text: &str) -> String {
    let mut out: String = text
        .lines()
        .flat_map(|line| [line.trim_end(), "\n"])
        .collect();
    if out.is_empty() {
        out.push('\n');
    }
    out
}
