//! Traces that strace made: `strace -f -ttt -y -yy -v -s 4096 -o FILE COMMAND` is read into the same
//! events as the probes', so that the same rules judge it.
//!
//! ```text
//! text ─► line (who, when, which form) ─► call (name, arguments, result) ─► Importer ─► events
//!                                                    processes, paths, descriptors ──┘
//! ```
//!
//! What strace does not tell is unknown, never false: fields are `None` and marked
//! ([`pyti_trace::event::Incomplete`]), and a path that was only asked for, and may lead elsewhere,
//! is one name of a file that may have others. A call whose end is not shown may have been done: it is
//! an event without a result. A trace that was cut, recorded with a filter, or
//! without some of its processes is no whole record, and [`Trace::facts`] say so.
//!
//! The forms are those of strace 4.26 to 6.x; <https://strace.io> has its manual. The text is
//! hostile: a traced program names files and arguments as it likes, and whoever hands in a trace may
//! have written it. Lines, processes, descriptors, events and their texts are bounded, nothing
//! recurses further than a few levels, and whatever is no line of strace is refused.

mod arg;
mod births;
mod call;
mod changes;
mod credentials;
mod doubts;
mod files;
mod home;
mod import;
mod line;
mod lines;
mod names;
mod namespaces;
mod offsets;
mod paths;
mod processes;
mod programs;
mod record;
mod sample;
mod sockets;
mod tamper;
mod text;
mod unknown;
mod writes;

use std::io::Read;

use pyti_trace::event::Event;

use crate::facts::{StageFacts, StageStatus};

pub use doubts::ADVICE;
pub use line::LineError;

/// The name of the one stage that a trace has.
pub const STAGE: &str = "trace";

/// Bounds of an import.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the trace. What is beyond is missing.
    pub bytes: u64,
    /// Bytes of a line. A longer one is refused.
    pub line: usize,
    /// Events. What is beyond is missing.
    pub events: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 1 << 30,
            line: 4 << 20,
            events: 4_000_000,
        }
    }
}

/// A trace, read.
#[derive(Debug, Clone)]
pub struct Trace {
    /// Its events, in the order of time. Times are nanoseconds since the epoch.
    pub events: Vec<Event>,
    /// How the first process went, and what is missing.
    pub facts: StageFacts,
    /// What a reader should know of it.
    pub notes: Vec<String>,
    /// The home directory of the first program.
    pub home: Home,
    /// The first program's arguments.
    pub command: Option<Vec<String>>,
}

/// A home directory, and how it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Home {
    /// From the environment that the trace shows.
    Told(String),
    /// The one in which most paths lie.
    Guessed(String),
    /// Nothing tells.
    Unknown,
}

/// Why a trace could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StraceError {
    /// The file refuses.
    #[error("failed to read the trace: {0}")]
    Io(#[from] std::io::Error),
    /// There is no line of strace in it.
    #[error("the trace is empty: record one with `{ADVICE}`")]
    Empty,
    /// A line is none of strace's.
    #[error(
        "line {line} of the trace cannot be read: {reason}: `{}` (record with `{ADVICE}`)",
        crate::escape_within(text, 60)
    )]
    Line {
        /// Its number, from 1 on.
        line: usize,
        /// What is wrong with it.
        reason: LineError,
        /// Its beginning.
        text: String,
    },
    /// A line is too long.
    #[error("line {line} of the trace is longer than {} KiB, which strace writes for no call", limit >> 10)]
    Long {
        /// Its number, from 1 on.
        line: usize,
        /// Bytes that it may have.
        limit: usize,
    },
}

/// Reads a trace.
///
/// # Errors
/// It cannot be read, or is none.
pub fn read(input: impl Read, limits: Limits) -> Result<Trace, StraceError> {
    let mut text = Vec::new();
    let read = input
        .take(limits.bytes.saturating_add(1))
        .read_to_end(&mut text)?;
    let more = read as u64 > limits.bytes;
    if more {
        text.pop();
    }
    parse(&text, more, limits)
}

fn parse(text: &[u8], more: bool, limits: Limits) -> Result<Trace, StraceError> {
    let importer = import::Importer::read(text, more, limits)?;
    let status = match importer.end {
        Some(Ok(0)) => StageStatus::Completed,
        Some(Ok(exit)) => StageStatus::Failed { exit },
        Some(Err(signal)) => StageStatus::Signaled {
            signal: signal.try_into().unwrap_or_default(),
        },
        None => StageStatus::Stopped {
            reason: "the trace ends before its first process does".to_owned(),
        },
    };
    let mut facts = StageFacts::new(STAGE, status);
    facts.started_ns = importer.first_ns.unwrap_or_default();
    facts.wall_ns = importer.now_ns.saturating_sub(facts.started_ns);
    facts.decode_errors = importer.unreadable;
    facts.problems = importer.doubts.problems();
    facts.uncounted = true;
    let home = match importer.home {
        Some(home) => Home::Told(home),
        None => home::guess(&importer.events).map_or(Home::Unknown, Home::Guessed),
    };
    Ok(Trace {
        notes: importer.doubts.notes(),
        command: importer.command,
        events: importer.events,
        facts,
        home,
    })
}
