//! Which slot the running hook fills, and whose it is.
//!
//! Slots lie in an array, which the kernel finds its way in without a call. A thread's lies at the
//! thread's number, as far as that goes: only where another one lies there already it lies elsewhere.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap};
use pyti_trace_ebpf::Process;

use super::copies::KnownThread;
use super::{NOTHING, OF_EXEC, OF_THREAD, Slot};
use crate::entry::BPF_NOEXIST;
use crate::kernel::{current, process_key};
use crate::repeat::repeat;
use crate::track::ids;

/// Slots: one per thread that made an event, freed with the thread; and others while it needs them.
const SLOT_COUNT: u32 = 1024;
/// Places that are tried for a slot.
const TRIES: u32 = 64;
/// From one of them to the next: odd, so that they are all different.
const STRIDE: u32 = 167;
/// In the place of the key: the slot is nobody's.
const NOBODY: u64 = 0;

#[map]
static SLOTS: Array<Slot> = Array::with_max_entries(SLOT_COUNT, 0);

/// Which slots are somebody's. Two that want the same one want it here, where only one of them makes the
/// entry.
#[map]
static TAKEN: HashMap<u32, u8> = HashMap::with_max_entries(SLOT_COUNT, 0);

/// The slots that do not lie at the number of who has them.
#[map]
static ELSEWHERE: HashMap<u64, u32> = HashMap::with_max_entries(SLOT_COUNT, 0);

/// Key of the slot of a thread, or of a process where an execution is recorded. Never 0: no place is.
#[inline(always)]
fn slot_key(number: u32, place: u32) -> u64 {
    u64::from(place) << 32 | u64::from(number)
}

/// Number that the running thread has the slot of this place by.
#[inline(always)]
fn number_at(place: u32) -> u32 {
    let (tgid, tid) = ids();
    if place == OF_EXEC { tgid } else { tid }
}

/// The slot with this key, and its index.
#[inline(always)]
fn find(number: u32, place: u32) -> Option<(*mut Slot, u32)> {
    let key = slot_key(number, place);
    let mut index = number % SLOT_COUNT;
    // SAFETY: a value of the map.
    if unsafe { (*SLOTS.get_ptr(index)?).owner } != key {
        // SAFETY: a value of the map.
        index = unsafe { *ELSEWHERE.get_ptr(key)? };
    }
    Some((SLOTS.get_ptr_mut(index)?, index))
}

/// The running thread's slot of this place, or its process's, if there is one.
#[inline(always)]
pub(super) fn find_slot(place: u32) -> Option<*mut Slot> {
    Some(find(number_at(place), place)?.0)
}

/// The same; a new one where there is none and there is room.
#[inline(always)]
pub(super) fn slot_at(place: u32) -> Option<*mut Slot> {
    if let Some(slot) = find_slot(place) {
        return Some(slot);
    }
    take_slot(place);
    find_slot(place)
}

/// A search for a slot that is nobody's.
#[repr(C)]
struct Search {
    /// The place that is tried next; in the end the one that was found.
    index: u32,
    /// Not 0: one was found.
    found: u32,
}

unsafe extern "C" fn try_slot(_: u32, search: *mut Search) -> i64 {
    // SAFETY: `take_slot` gives it its own.
    let search = unsafe { &mut *search };
    if TAKEN.insert(search.index, 1, BPF_NOEXIST).is_ok() {
        search.found = 1;
        return 1;
    }
    search.index = (search.index + STRIDE) % SLOT_COUNT;
    0
}

/// Takes a slot for the running thread, or its process, where there is room. A function that the verifier
/// looks at once, whoever calls it, as those in `python`.
#[unsafe(no_mangle)]
extern "C" fn take_slot(place: u32) -> u32 {
    let number = number_at(place);
    let key = slot_key(number, place);
    let first = number % SLOT_COUNT;
    let mut search = Search {
        index: first,
        found: 0,
    };
    repeat(TRIES, try_slot, &mut search);
    // SAFETY: a local; the compiler does not see that the loop writes it.
    let (index, found) = unsafe {
        (
            core::ptr::read_volatile(&raw const search.index),
            core::ptr::read_volatile(&raw const search.found),
        )
    };
    if found == 0 {
        return 0;
    }
    let is_known = index == first || ELSEWHERE.insert(key, index, 0).is_ok();
    let Some(slot) = SLOTS.get_ptr_mut(index).filter(|_| is_known) else {
        let _ = TAKEN.remove(index);
        return 0;
    };
    // SAFETY: a value of the map, this thread's own from here on.
    unsafe {
        (*slot).held = NOTHING;
        (*slot).place = place;
        (*slot).known = KnownThread::UNKNOWN;
        (*slot).owner = key;
    }
    1
}

/// Gives the running thread's slot of this place back.
#[inline(always)]
pub(super) fn give_back(place: u32) {
    free_slot(number_at(place), place);
}

/// Frees the slot of a thread, or of a process, if it has one.
#[inline(always)]
pub fn free_slot(number: u32, place: u32) {
    let Some((slot, index)) = find(number, place) else {
        return;
    };
    if index != number % SLOT_COUNT {
        let _ = ELSEWHERE.remove(slot_key(number, place));
    }
    // SAFETY: a value of the map.
    unsafe { (*slot).owner = NOBODY };
    let _ = TAKEN.remove(index);
}

/// Whether a record is held in a slot for another hook.
#[inline(always)]
pub(super) fn is_held(slot: *mut Slot) -> bool {
    // SAFETY: a value of the map, this thread's own.
    unsafe { (*slot).held != NOTHING }
}

/// The running thread's slot where its record says already which process it is of, which then is
/// tracked: a process is for as long as it lives, or until the loader forgets it at the end.
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
