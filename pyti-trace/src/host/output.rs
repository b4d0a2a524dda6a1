//! Where events go: a file or standard output, as a table or as JSON lines.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};

use serde::Serialize;

use super::args::{Args, Format};
use super::before::Before;
use super::error::HostError;
use super::summary::Summary;
use super::table::Table;
use crate::event::Event;
use crate::text::escape_json;

/// Columns of a table that is not read in a terminal, and the bounds of those of one that is.
const WIDTH: u16 = 120;
const NARROWEST: u16 = 60;
const WIDEST: u16 = 200;

/// The events' way out. After an error nothing more is written; [`Output::finish`] tells of it.
pub(super) struct Output {
    to: Box<dyn Write>,
    table: Option<Table>,
    width: u16,
    failed: Option<io::Error>,
}

/// The last line of JSON.
#[derive(Serialize)]
struct Last<'a> {
    summary: &'a Summary<'a>,
}

impl Output {
    /// Opens what the user asked for.
    pub(super) fn open(args: &Args) -> Result<Self, HostError> {
        let (to, terminal): (Box<dyn Write>, bool) = match &args.output {
            Some(path) => {
                let file = File::create(path).map_err(|source| HostError::Create {
                    path: path.clone(),
                    source,
                })?;
                (Box::new(BufWriter::new(file)), false)
            }
            None => {
                let out = io::stdout();
                let terminal = out.is_terminal();
                (Box::new(BufWriter::new(out)), terminal)
            }
        };
        let width = terminal
            .then(terminal_size::terminal_size)
            .flatten()
            .map_or(WIDTH, |(width, _)| width.0.clamp(NARROWEST, WIDEST));
        Ok(Self {
            to,
            table: (args.format == Format::Table).then(Table::default),
            width,
            failed: None,
        })
    }

    /// One event.
    pub(super) fn event(&mut self, event: &Event, started_ns: u64, before: &Before) {
        match &mut self.table {
            Some(table) => {
                let other = event.other.and_then(|other| before.find(other));
                table.add(event, started_ns, other);
            }
            None => self.line(event),
        }
    }

    /// What has been written is there to be read.
    pub(super) fn flush(&mut self) {
        if self.failed.is_none() {
            self.failed = self.to.flush().err();
        }
    }

    /// Writes the rest.
    pub(super) fn finish(
        mut self,
        summary: &Summary<'_>,
        started_ns: u64,
    ) -> Result<(), HostError> {
        match self.table.take() {
            Some(table) => {
                let text = table.render(summary, started_ns, self.width);
                self.write(&text);
            }
            None => self.line(&Last { summary }),
        }
        self.flush();
        self.failed
            .map_or(Ok(()), |error| Err(HostError::Write(error)))
    }

    fn line(&mut self, value: &impl Serialize) {
        match serde_json::to_string(value) {
            Ok(json) => self.write(&(escape_json(json) + "\n")),
            Err(error) => self.failed = self.failed.take().or(Some(error.into())),
        }
    }

    fn write(&mut self, text: &str) {
        if self.failed.is_none() {
            self.failed = self.to.write_all(text.as_bytes()).err();
        }
    }
}
