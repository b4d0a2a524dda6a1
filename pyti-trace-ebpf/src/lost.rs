//! Counting events that have no record.

use pyti_trace_ebpf::kind;

use crate::track::{COUNTERS, watching};

/// Counts a record that gives way to another, where the hook that would have emitted it cannot know.
/// One of the same kind was of the same call, which tried again.
#[inline(always)]
pub fn count_overwritten(before: u32, now: u32) {
    const SEND: u32 = kind::SEND as u32 + 1;
    const CHMOD: u32 = kind::CHMOD as u32 + 1;
    const CHOWN: u32 = kind::CHOWN as u32 + 1;
    const WRITE: u32 = kind::WRITE as u32 + 1;
    const MMAP_EXEC: u32 = kind::MMAP_EXEC as u32 + 1;
    if before == now {
        return;
    }
    match before {
        SEND => count_lost(kind::SEND),
        CHMOD | CHOWN | WRITE => count_lost(kind::CHMOD),
        MMAP_EXEC => count_lost(kind::MMAP_EXEC),
        _ => {}
    }
}

/// Counts an event of the running process that has no record, if that one is tracked.
#[inline(always)]
pub fn count_missing(kind: u16) {
    if watching() {
        count_lost(kind);
    }
}

/// Counts an event that found no slot.
#[inline(always)]
pub fn count_lost(kind: u16) {
    if let Some(counters) = COUNTERS.get_ptr_mut(0) {
        // SAFETY: this CPU's own value.
        unsafe {
            (*counters).seq += 1;
            let family = &raw mut (*counters).families[kind::family(kind)];
            (*family).seen += 1;
            (*family).oversize += 1;
        }
    }
}
