//! Whom the probes watch: the processes of the stage's trees.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{HashMap, PerCpuArray};
use pyti_trace_ebpf::{CpuCounters, Process};

use crate::kernel::{current, load, offset, process_key};

/// Tracked processes by thread group. The loader enters the first; fork does the others.
#[map]
pub static TRACKED: HashMap<u32, Process> = HashMap::with_max_entries(16384, 0);

/// What was seen and lost.
#[map]
pub static COUNTERS: PerCpuArray<CpuCounters> = PerCpuArray::with_max_entries(1, 0);

/// Thread group and thread that run now.
#[inline(always)]
pub fn ids() -> (u32, u32) {
    let task = current();
    (
        load(task, offset!(task_tgid)),
        load(task, offset!(task_pid)),
    )
}

/// The running process, if it is tracked. The loader does not know when the first one started.
#[inline(always)]
pub fn tracked(tgid: u32) -> Option<*const Process> {
    let process = TRACKED.get_ptr_mut(tgid)?;
    // SAFETY: a value of the map; every writer writes the same start.
    unsafe {
        if (*process).start_ns == 0 {
            (*process).start_ns = process_key(current()).1;
        }
    }
    Some(process)
}

/// Whether the running process is tracked.
#[inline(always)]
pub fn watching() -> bool {
    tracked(ids().0).is_some()
}

/// Counts a process that found no room.
#[inline(always)]
pub fn count_untracked() {
    if let Some(counters) = COUNTERS.get_ptr_mut(0) {
        // SAFETY: this CPU's own value.
        unsafe { (*counters).untracked += 1 };
    }
}
