//! Anonymous files and access to other processes' memory.

use aya_ebpf::macros::{fexit, lsm};
use aya_ebpf::programs::{FExitContext, LsmContext};
use pyti_trace_ebpf::{has, incomplete, kind, tag};

use crate::kernel::{Ptr, peek, process_key};
use crate::recorder::Recorder;
use crate::track::{ids, tracked, watching};

/// `PTRACE_MODE_ATTACH` (include/linux/ptrace.h); reading /proc asks for less.
const ATTACH: u32 = 2;
/// The kernel names a memfd's file by this prefix and the name that the program gave (mm/memfd.c).
const MEMFD_PREFIX: [u8; 6] = *b"memfd:";

/// memfd_create makes its file here, as other parts of the kernel do.
#[fexit(function = "shmem_file_setup")]
pub fn memfd(ctx: FExitContext) -> i32 {
    if !watching() {
        return 0;
    }
    let name: Ptr = ctx.arg(0);
    if peek::<[u8; 6]>(name, 0) != MEMFD_PREFIX {
        return 0;
    }
    if let Some(mut recorder) = Recorder::begin(kind::MEMFD_CREATE) {
        recorder.string::<256>(tag::PATH, incomplete::PATH_UNREADABLE, name);
        recorder.emit(kind::MEMFD_CREATE, 0);
    }
    0
}

/// A process asks for access to another one: ptrace, process_vm_readv, /proc/PID/mem. The attempt
/// is recorded: its result is not known here.
#[lsm(hook = "ptrace_access_check")]
pub fn ptrace(ctx: LsmContext) -> i32 {
    let mode: u32 = ctx.arg(1);
    let (tgid, _) = ids();
    if mode & ATTACH == 0 || tracked(tgid).is_none() {
        return 0;
    }
    let (other, start) = process_key(ctx.arg(0));
    if other == tgid {
        return 0;
    }
    if let Some(mut recorder) = Recorder::begin(kind::PTRACE) {
        let record = recorder.record();
        record.flags = u64::from(mode);
        record.other_tgid = other;
        record.other_start_ns = start;
        record.has |= has::FLAGS | has::OTHER;
        recorder.emit(kind::PTRACE, 0);
    }
    0
}
