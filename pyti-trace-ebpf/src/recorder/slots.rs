//! Which slot the running hook fills, and whose it is.

use pyti_trace_ebpf::Process;

use super::{EMPTY, EXECS, NOTHING, OF_EXEC, OF_THREAD, SLOTS, Slot};
use crate::kernel::{current, process_key};
use crate::track::ids;

/// Key of a thread's slot.
#[inline(always)]
pub fn slot_key(tid: u32, place: u32) -> u64 {
    u64::from(place) << 32 | u64::from(tid)
}

/// The running thread's slot of this place, or its process's, if there is one.
#[inline(always)]
pub(super) fn find_slot(place: u32) -> Option<*mut Slot> {
    let (tgid, tid) = ids();
    if place == OF_EXEC {
        EXECS.get_ptr_mut(tgid)
    } else {
        SLOTS.get_ptr_mut(slot_key(tid, place))
    }
}

/// The same; a new one where there is none and there is room.
#[inline(always)]
pub(super) fn slot_at(place: u32) -> Option<*mut Slot> {
    if let Some(slot) = find_slot(place) {
        return Some(slot);
    }
    let empty = EMPTY.get(0)?;
    let (tgid, tid) = ids();
    let _ = if place == OF_EXEC {
        EXECS.insert(tgid, empty, 0)
    } else {
        SLOTS.insert(slot_key(tid, place), empty, 0)
    };
    let slot = find_slot(place)?;
    // SAFETY: a value of the map.
    unsafe { (*slot).place = place };
    Some(slot)
}

/// Whether a record is held in a slot for another hook.
#[inline(always)]
pub(super) fn is_held(slot: *mut Slot) -> bool {
    // SAFETY: a value of the map, this thread's own.
    unsafe { (*slot).held != NOTHING }
}

/// The running thread's slot where its record says already which process it is of, which then is
/// tracked: a process is for as long as it lives.
#[inline(always)]
pub(super) fn own_slot() -> Option<*mut Slot> {
    let slot = find_slot(OF_THREAD)?;
    let (tgid, start_ns) = process_key(current());
    // SAFETY: a value of the map, this thread's own.
    let is_its = unsafe { (*slot).record.tgid == tgid && (*slot).record.start_ns == start_ns };
    is_its.then_some(slot)
}

/// Says in a slot's record which process it is of.
#[inline(always)]
pub(super) fn set_process(slot: *mut Slot, process: *const Process) {
    // SAFETY: values of maps; a slot is of the running thread.
    unsafe {
        (*slot).record.tgid = ids().0;
        (*slot).record.start_ns = (*process).start_ns;
        (*slot).record.parent_tgid = (*process).parent_tgid;
        (*slot).record.parent_start_ns = (*process).parent_start_ns;
        (*slot).record.tree = (*process).tree;
    }
}
