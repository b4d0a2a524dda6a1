//! The event ABI: the layout of the records that the probes write and user space decodes, the
//! kernel fields that the probes read, and the hooks they sit on.
//!
//! A record is a [`Record`] followed by texts. A text is a [`TextHead`], its bytes, and padding up
//! to the next multiple of 8. `Record::size` counts all of it, so records that follow one another
//! need nothing between them.
#![no_std]

mod hooks;
mod interpreter;
mod offsets;
mod record;

pub use hooks::{Attach, HOOKS, Hook, Role, Subject};
pub use interpreter::{
    AFTER_LINE_TABLE, COOKIE, FRAME_HEAD, FrameHead, Interpreter, MAX_BLOCK, MAX_FILE, MAX_FRAMES,
    MAX_FUNCTION, MAX_LINE_TABLE,
};
pub use offsets::{MISSING, OFFSET_PATHS, Offsets, Pages};
pub use record::{
    CREDENTIALS_SIZE, CpuCounters, Credentials, FAMILIES, FamilyCount, Process, RECORD_SIZE,
    RING_BYTES, Record, SAMPLE, SHORT_PATH, TEXT_MAX, TextHead, VERSION, WAKE_BYTES, WriteKey,
    Written, has, incomplete, kind, tag,
};
