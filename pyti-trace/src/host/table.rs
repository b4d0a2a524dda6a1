//! Events and summary for a reader.

use std::fmt::Write as _;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table as Cells};

use super::before::Earlier;
use super::summary::Summary;
use crate::describe::{describe, place, time};
use crate::event::Event;
use crate::text::{escape, escape_within};

/// Events shown; all are in JSON lines. What a table keeps until the end must not grow for ever.
const MAX_ROWS: usize = 100_000;
/// Characters shown of an event, and of a command line.
const MAX_EVENT: usize = 400;
const MAX_LINE: usize = 80;

/// The rows of the events so far.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<[String; 4]>,
    /// Events beyond those.
    more: u64,
}

impl Table {
    /// Adds an event, whose times are shown from `started_ns` on; `other` is the process that it is
    /// about, where that is not the command's.
    pub(super) fn add(&mut self, event: &Event, started_ns: u64, other: Option<&Earlier>) {
        if self.rows.len() >= MAX_ROWS {
            self.more += 1;
            return;
        }
        let mut text = describe(event);
        if let Some(other) = other {
            // Writing to a String cannot fail.
            let _ = write!(text, " ({})", other.name);
        }
        if let Some(frame) = event.python.as_deref().and_then(<[_]>::first) {
            let _ = write!(text, ", by {}", place(frame));
        }
        self.rows.push([
            time(event.time_ns.saturating_sub(started_ns)),
            event.process.tgid.to_string(),
            escape(&event.comm),
            escape_within(&text, MAX_EVENT),
        ]);
    }

    /// Everything as text, in lines of `width` columns where that is possible.
    pub(super) fn render(&self, summary: &Summary<'_>, started_ns: u64, width: u16) -> String {
        let mut out = print(
            ["time", "pid", "process", "event"],
            &self.rows,
            &[0, 1],
            width,
        );
        let mut note = |text: &str| {
            let _ = writeln!(out, "{text}");
        };
        if self.more > 0 {
            note(&format!(
                "and {} more; --format json has them all",
                self.more
            ));
        }
        if !summary.before.is_empty() {
            note("\nRan before");
            let rows: Vec<_> = summary
                .before
                .iter()
                .map(|earlier| row(earlier, started_ns))
                .collect();
            let header = ["pid", "parent", "since", "program", "command line"];
            note(print(header, &rows, &[0, 1, 2], width).trim_end());
        }
        if !summary.events.is_empty() {
            note("\nEvents");
            let rows: Vec<_> = summary
                .events
                .iter()
                .map(|loss| {
                    let [seen, stored, lost] =
                        [loss.seen, loss.stored, loss.lost].map(|number| number.to_string());
                    [loss.family.to_owned(), seen, stored, lost]
                })
                .collect();
            let header = ["family", "seen", "stored", "lost"];
            note(print(header, &rows, &[1, 2, 3], width).trim_end());
        }
        let blind_spots = summary.probes.blind_spots("");
        let warnings = summary.warnings();
        if !blind_spots.is_empty() || !warnings.is_empty() {
            note("");
        }
        for warning in warnings {
            note(&warning);
        }
        out + &blind_spots
    }
}

fn row(earlier: &Earlier, started_ns: u64) -> [String; 5] {
    let seconds = started_ns.saturating_sub(earlier.start_ns) / 1_000_000_000;
    // The kernel's own threads have no program; their names stand in brackets, as ps has them.
    let program = earlier
        .exe
        .clone()
        .unwrap_or_else(|| format!("[{}]", earlier.name));
    [
        earlier.pid.to_string(),
        earlier.parent.to_string(),
        format!(
            "{}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        ),
        escape_within(&program, MAX_LINE),
        escape_within(&earlier.cmdline.join(" "), MAX_LINE),
    ]
}

/// The cells as a table without lines, and without the blanks that it leaves at ends of lines.
fn print<const N: usize>(
    header: [&str; N],
    rows: &[[String; N]],
    numbers: &[usize],
    width: u16,
) -> String {
    let mut cells = Cells::new();
    cells
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width)
        .set_header(header);
    for row in rows {
        cells.add_row(row);
    }
    for column in numbers {
        if let Some(column) = cells.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let text = cells.to_string();
    text.lines()
        .flat_map(|line| [line.trim_end(), "\n"])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::probes::Probes;
    use super::super::summary::{Ended, Loss};
    use super::*;
    use crate::event::{Frame, Kind, ProcessKey};

    #[test]
    fn shows_hostile_text_escaped() {
        let process = ProcessKey {
            tgid: 71,
            start_ns: 5_000_000_000,
        };
        let mut exec = Event::new(Kind::Exec, process, 5_010_000_000);
        exec.comm = "sh".into();
        exec.path = Some("/bin/sh".into());
        exec.argv = Some(
            ["sh", "-c", "echo \u{1b}[2J\u{202e}"]
                .map(String::from)
                .into(),
        );
        exec.python = Some(vec![Frame {
            file: "/tmp/x/setup.py\u{1b}".into(),
            line: Some(3),
            function: "steal".into(),
        }]);
        let mut signal = Event::new(Kind::Signal, process, 5_020_000_000);
        signal.comm = "a\nb".into();
        signal.signal = Some(15);
        signal.other = Some(ProcessKey {
            tgid: 2,
            start_ns: 1,
        });
        let earlier = Earlier {
            pid: 2,
            parent: 0,
            start_ns: 0,
            name: "evil\u{1b}]0;".into(),
            exe: None,
            cmdline: vec!["a\u{7}".into()],
        };
        let probes = Probes::none_refused();
        let unread = ["/usr/bin/python3.11\u{1b}".to_owned()].into();
        let summary = Summary {
            ended: Some(Ended::Exit(0)),
            left_behind: vec![80, 81],
            events: vec![Loss {
                family: "process",
                seen: 3,
                stored: 2,
                lost: 1,
            }],
            skipped_runs: 4,
            untracked: 0,
            before: vec![&earlier],
            python_stacks_of: None,
            python_stacks_unread: &unread,
            probes: &probes,
        };
        let mut table = Table::default();
        table.add(&exec, 5_000_000_000, None);
        table.add(&signal, 5_000_000_000, Some(&earlier));
        insta::assert_snapshot!(table.render(&summary, 5_000_000_000, 100));
    }

    #[test]
    fn what_is_not_shown_is_counted() {
        let mut table = Table::default();
        let event = Event::new(Kind::Exit, ProcessKey::default(), 0);
        for _ in 0..MAX_ROWS + 3 {
            table.add(&event, 0, None);
        }
        assert_eq!((table.rows.len(), table.more), (MAX_ROWS, 3));
    }
}
