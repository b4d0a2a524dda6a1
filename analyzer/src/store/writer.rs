//! Writes events as they arrive.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pyti_trace::event::{Event, Family};

use super::budget::weight;
use super::journal::Journal;
use super::{JOURNAL, PARQUET, PART, StoreError, io_error, parquet};

/// Events of a row group at most.
const ROW_GROUP: usize = 16_384;
/// Memory of a row group's events, bytes: with as many it is written even if they are few.
const ROW_GROUP_BYTES: usize = 32 << 20;
/// A row group is written after this time even if it is smaller.
const PATIENCE: Duration = Duration::from_secs(2);

/// Stores the events of one stage.
#[derive(Debug)]
pub struct StoreWriter {
    directory: PathBuf,
    journal: Journal,
    parquet: Option<parquet::Writer>,
    buffer: Vec<Event>,
    buffered_bytes: usize,
    buffered_since: Instant,
    stored: [u64; Family::ALL.len()],
    dropped: u64,
    failure: Option<String>,
}

/// What a finished store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Events by family, in the order of [`Family::ALL`].
    pub families: [u64; Family::ALL.len()],
    /// Why not all are there, or why only the journal holds them; for
    /// [`crate::StageFacts::problems`].
    pub problem: Option<String>,
}

impl StoreWriter {
    /// Starts a store in `directory`, which must exist and hold none.
    ///
    /// # Errors
    /// It holds events already, or the disk refuses.
    pub fn create(directory: &Path) -> Result<Self, StoreError> {
        let finished = directory.join(PARQUET);
        if finished.exists() {
            return Err(StoreError::Io {
                what: "start a store beside",
                path: finished,
                source: std::io::ErrorKind::AlreadyExists.into(),
            });
        }
        Ok(Self {
            journal: Journal::create(&directory.join(JOURNAL))?,
            parquet: Some(parquet::Writer::create(&directory.join(PART))?),
            directory: directory.to_owned(),
            buffer: Vec::new(),
            buffered_bytes: 0,
            buffered_since: Instant::now(),
            stored: [0; Family::ALL.len()],
            dropped: 0,
            failure: None,
        })
    }

    /// Stores a batch, such as the events of one frame: when this returns, the operating system has
    /// them, and they survive the end of this program.
    ///
    /// # Errors
    /// The disk refuses, now or before. What was stored before stays; the caller may go on and
    /// calls [`StoreWriter::finish`] in any case.
    pub fn append(&mut self, events: &[Event]) -> Result<(), StoreError> {
        if let Err(error) = self.journal.append(events) {
            self.dropped += events.len() as u64;
            self.failure.get_or_insert_with(|| error.to_string());
            return Err(error);
        }
        for event in events {
            self.stored[event.kind.family() as usize] += 1;
        }
        if self.buffer.is_empty() {
            self.buffered_since = Instant::now();
        }
        self.buffer.extend_from_slice(events);
        self.buffered_bytes += events.iter().map(weight).sum::<usize>();
        if self.buffer.len() >= ROW_GROUP
            || self.buffered_bytes >= ROW_GROUP_BYTES
            || self.buffered_since.elapsed() >= PATIENCE
        {
            self.write_out();
        }
        Ok(())
    }

    /// Bytes that the events take on disk, as long as the store is not finished; there they are twice,
    /// the second time compressed.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.journal.length()
    }

    /// Writes the buffered events as a row group. Where that fails the journal has them.
    fn write_out(&mut self) {
        if let Some(parquet) = &mut self.parquet
            && let Err(error) = parquet.write(&self.buffer)
        {
            self.failure.get_or_insert_with(|| error.to_string());
            self.parquet = None;
        }
        self.buffer.clear();
        self.buffered_bytes = 0;
    }

    /// Finishes the Parquet file and removes the journal; where that fails the journal stays. The
    /// result says why, and how many events the disk refused.
    #[must_use]
    pub fn finish(mut self) -> Stored {
        if !self.buffer.is_empty() {
            self.write_out();
        }
        if let Some(parquet) = self.parquet.take()
            && let Err(error) = parquet.finish().and_then(|()| publish(&self.directory))
        {
            self.failure.get_or_insert_with(|| error.to_string());
        }
        // A part without footer helps nobody and may be what filled the disk.
        let _ = fs::remove_file(self.directory.join(PART));
        let problem = self.failure.map(|failure| match self.dropped {
            0 => format!("the events are only in the journal: {failure}"),
            dropped => format!("{dropped} events could not be stored: {failure}"),
        });
        Stored {
            families: self.stored,
            problem,
        }
    }
}

/// Gives the finished Parquet file its name, for good, and removes the journal.
fn publish(directory: &Path) -> Result<(), StoreError> {
    let (part, path) = (directory.join(PART), directory.join(PARQUET));
    fs::rename(&part, &path).map_err(io_error("rename", &part))?;
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(io_error("sync", directory))?;
    let journal = directory.join(JOURNAL);
    fs::remove_file(&journal).map_err(io_error("remove", &journal))
}
