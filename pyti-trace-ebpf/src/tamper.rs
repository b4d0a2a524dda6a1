//! What touches the watcher or its kernel. Attempts are recorded; the result is not known here.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use pyti_trace_ebpf::{has, incomplete, kind, tag};

use crate::kernel::Ptr;
use crate::recorder::Recorder;

#[inline(always)]
fn tamper(name: &'static [u8], flags: u64) -> i32 {
    if let Some(mut recorder) = Recorder::begin(kind::TAMPER) {
        recorder.string::<32>(
            tag::ASKED,
            incomplete::ASKED_UNREADABLE,
            name.as_ptr().cast(),
        );
        recorder.record().flags = flags;
        recorder.record().has |= has::FLAGS;
        recorder.python();
        recorder.emit(kind::TAMPER, 0);
    }
    0
}

/// Any bpf(); flags are its command.
#[lsm(hook = "bpf")]
pub fn tamper_bpf(ctx: LsmContext) -> i32 {
    tamper(b"bpf\0", u64::from(ctx.arg::<u32>(0)))
}

/// perf_event_open; flags are the type of access asked for.
#[lsm(hook = "perf_event_open")]
pub fn tamper_perf(ctx: LsmContext) -> i32 {
    tamper(b"perf_event_open\0", u64::from(ctx.arg::<u32>(1)))
}

/// A file is read as a module, a firmware, a kernel; flags are its kind.
#[lsm(hook = "kernel_read_file")]
pub fn tamper_read(ctx: LsmContext) -> i32 {
    tamper(b"kernel_read_file\0", u64::from(ctx.arg::<u32>(1)))
}

/// A module or a kernel is loaded from memory; flags are its kind.
#[lsm(hook = "kernel_load_data")]
pub fn tamper_load(ctx: LsmContext) -> i32 {
    tamper(b"kernel_load_data\0", u64::from(ctx.arg::<u32>(0)))
}

/// A mount; flags are the mount's.
#[lsm(hook = "sb_mount")]
pub fn tamper_mount(ctx: LsmContext) -> i32 {
    if let Some(mut recorder) = Recorder::begin(kind::TAMPER) {
        let name: &'static [u8] = b"sb_mount\0";
        recorder.string::<32>(
            tag::ASKED,
            incomplete::ASKED_UNREADABLE,
            name.as_ptr().cast(),
        );
        let path: Ptr = ctx.arg(1);
        recorder.path(tag::PATH, incomplete::PATH_UNREADABLE, path);
        recorder.record().flags = ctx.arg(3);
        recorder.record().has |= has::FLAGS;
        recorder.python();
        recorder.emit(kind::TAMPER, 0);
    }
    0
}
