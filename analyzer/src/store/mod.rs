//! Events on disk.
//!
//! While a stage runs, each batch goes to `events.journal` (an event as JSON per line) with one
//! write, and into the row groups of `events.parquet.part`. A Parquet file is unreadable without its
//! footer; the journal is what survives a kill or a full disk. When the stage ends the Parquet
//! file is finished, synced and renamed to `events.parquet`, and the journal goes. So
//! `events.parquet` is always whole, and a journal says that something went wrong: [`read`] then
//! reads what it holds.

mod budget;
mod columns;
mod credentials;
mod journal;
mod parquet;
mod writer;

use std::io;
use std::path::{Path, PathBuf};

use pyti_trace::event::Event;

pub use budget::{Budget, MAX_BYTES, MAX_EVENTS};
pub use writer::{StoreWriter, Stored};

/// The finished file.
pub const PARQUET: &str = "events.parquet";
/// The Parquet file as long as it has no footer.
const PART: &str = "events.parquet.part";
/// The journal.
pub const JOURNAL: &str = "events.journal";

/// Why events could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refuses.
    #[error("failed to {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Not a Parquet file that this program wrote, or a full disk while writing one.
    #[error("failed to {what} {}: {message}", path.display())]
    Parquet {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        message: String,
    },
    /// Neither Parquet file nor journal.
    #[error("no events in {}: neither {PARQUET} nor {JOURNAL} is there", .0.display())]
    Nothing(PathBuf),
}

/// Events as they were stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loaded {
    /// The events, in the order of time, CPU and number.
    pub events: Vec<Event>,
    /// What keeps them from being all: for [`crate::StageFacts::problems`].
    pub problem: Option<String>,
}

/// Reads a stage's events: the Parquet file where it was finished, else the journal. At most
/// `limit` events ([`MAX_EVENTS`] is a good one), and no more than [`MAX_BYTES`] of memory hold.
///
/// # Errors
/// Nothing is there, or it cannot be read.
pub fn read(directory: &Path, limit: usize) -> Result<Loaded, StoreError> {
    let mut budget = Budget {
        events: limit,
        ..Budget::default()
    };
    read_within(directory, &mut budget)
}

/// Reads a stage's events as [`read`] does, as many as the budget allows, and takes from it what they
/// need.
///
/// # Errors
/// Nothing is there, or it cannot be read.
pub fn read_within(directory: &Path, budget: &mut Budget) -> Result<Loaded, StoreError> {
    let mut loaded = if directory.join(PARQUET).exists() {
        parquet::read(&directory.join(PARQUET), budget)?
    } else if directory.join(JOURNAL).exists() {
        journal::read(&directory.join(JOURNAL), budget)?
    } else {
        return Err(StoreError::Nothing(directory.to_owned()));
    };
    loaded
        .events
        .sort_by_key(|event| (event.time_ns, event.cpu, event.seq));
    Ok(loaded)
}

fn io_error<'p>(what: &'static str, path: &'p Path) -> impl Fn(io::Error) -> StoreError + use<'p> {
    move |source| StoreError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}
