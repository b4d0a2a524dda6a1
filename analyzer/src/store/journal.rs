//! The journal: an event as JSON per line, appended with one write per batch.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use pyti_trace::event::Event;

use super::{Budget, Loaded, StoreError, io_error};
use crate::open_regular;

/// A longer line is no event: the wire's frames are shorter.
const MAX_LINE: u64 = 8 << 20;

#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// Length up to the last whole batch.
    length: u64,
    batch: Vec<u8>,
}

impl Journal {
    pub(super) fn create(path: &Path) -> Result<Self, StoreError> {
        let file = File::options()
            .create_new(true)
            .append(true)
            .open(path)
            .map_err(io_error("create", path))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            length: 0,
            batch: Vec::new(),
        })
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn append(&mut self, events: &[Event]) -> Result<(), StoreError> {
        self.batch.clear();
        for event in events {
            serde_json::to_writer(&mut self.batch, event)
                .map_err(|error| io_error("write", &self.path)(error.into()))?;
            self.batch.push(b'\n');
        }
        match self.file.write_all(&self.batch) {
            Ok(()) => {
                self.length += self.batch.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Half a batch would be a torn line; without it the journal goes on cleanly when
                // there is room again. Where cutting fails too, the reader bears the torn line.
                let _ = self.file.set_len(self.length);
                Err(io_error("write", &self.path)(error))
            }
        }
    }
}

/// Reads a journal; what a writer that died left half written is told, not guessed.
pub(super) fn read(path: &Path, budget: &mut Budget) -> Result<Loaded, StoreError> {
    let failed = io_error("read", path);
    let mut input = BufReader::new(open_regular(path).map_err(&failed)?);
    let mut events = Vec::new();
    let mut line = Vec::new();
    let mut torn = 0_u64;
    let mut cut = false;
    loop {
        line.clear();
        let read = (&mut input)
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)
            .map_err(&failed)?;
        if read == 0 {
            break;
        }
        match serde_json::from_slice(&line) {
            Ok(event) if line.ends_with(b"\n") => {
                if !budget.take(&event) {
                    cut = true;
                    break;
                }
                events.push(event);
            }
            _ => torn += read as u64,
        }
    }
    let mut problem =
        "the events come from the journal of a program that did not end properly".to_owned();
    if torn > 0 {
        problem.push_str(&format!("; {torn} bytes of it are torn and were left out"));
    }
    if cut {
        problem.push_str(&format!(
            "; only the first {} events were read",
            events.len()
        ));
    }
    Ok(Loaded {
        events,
        problem: Some(problem),
    })
}
