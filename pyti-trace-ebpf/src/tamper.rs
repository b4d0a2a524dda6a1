//! What touches the watcher or its kernel. Where a hook stands before the outcome is known, another one
//! at the call's end tells it, or the record says that it is not known.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::{bpf_get_func_arg, bpf_get_func_arg_cnt, bpf_get_func_ret};
use aya_ebpf::macros::{fexit, lsm};
use aya_ebpf::programs::{FExitContext, LsmContext};
use pyti_trace_ebpf::{has, incomplete, kind, tag};

use crate::kernel::{Ptr, load, offset};
use crate::path::{walk, walk_path};
use crate::recorder::{OF_MOUNT, Recorder};
use crate::user::second_argument;
use crate::view::forget_mounts;

/// What a record that waits for its result is about, lest the end of another call gives it one.
const MOUNT: u64 = 1;
const MOVE: u64 = 2;
const UMOUNT: u64 = 3;
const PIVOT: u64 = 4;

/// What was called, in the place of a path.
#[inline(always)]
pub fn set_name(recorder: &mut Recorder, name: &'static [u8]) {
    recorder.string::<32>(
        tag::ASKED,
        incomplete::ASKED_UNREADABLE,
        name.as_ptr().cast(),
    );
}

#[inline(always)]
fn set_flags(recorder: &mut Recorder, flags: u64) {
    recorder.record().flags = flags;
    recorder.record().has |= has::FLAGS;
}

/// Begins a record of this name.
#[inline(always)]
fn named(name: &'static [u8]) -> Option<Recorder> {
    let mut recorder = Recorder::begin(kind::TAMPER)?;
    set_name(&mut recorder, name);
    Some(recorder)
}

/// Begins a record of this name that waits for its result: see [`ended`].
#[inline(always)]
fn begun(name: &'static [u8], call: u64) -> Option<Recorder> {
    let mut recorder = Recorder::begin_mount()?;
    recorder.set_subject(call);
    set_name(&mut recorder, name);
    Some(recorder)
}

/// Knows the result of what was [`begun`].
#[inline(always)]
fn ended(call: u64, result: i64) -> i32 {
    if let Some(mut recorder) = Recorder::running(OF_MOUNT)
        && recorder.subject() == call
    {
        recorder.python();
        recorder.emit(kind::TAMPER, result);
    }
    0
}

/// Any bpf(); flags are its command. Its second argument takes two places among them, so the result is
/// asked for.
#[fexit(function = "__sys_bpf")]
pub fn tamper_bpf(ctx: FExitContext) -> i32 {
    if let Some(mut recorder) = named(b"bpf\0") {
        let mut result = 0u64;
        // SAFETY: the helper writes one u64.
        unsafe { bpf_get_func_ret(ctx.as_ptr(), &raw mut result) };
        set_flags(&mut recorder, u64::from(ctx.arg::<u32>(0)));
        recorder.python();
        recorder.emit(kind::TAMPER, i64::from(result as i32));
    }
    0
}

/// Of what may wreck the machine the attempt is on record before it is done, without its outcome.
#[inline(always)]
fn tried(name: &'static [u8], flags: u64) -> i32 {
    if let Some(mut recorder) = named(name) {
        set_flags(&mut recorder, flags);
        recorder.mark(incomplete::RESULT_UNKNOWN);
        recorder.python();
        recorder.emit(kind::TAMPER, 0);
    }
    0
}

/// perf_event_open; flags are the type of access asked for. One call may ask for several. The type is the
/// last argument: some kernels have the event's attributes before it, others nothing.
#[lsm(hook = "perf_event_open")]
pub fn tamper_perf(ctx: LsmContext) -> i32 {
    let mut access = 0u64;
    // SAFETY: the first helper reads the hook's context, the second writes one u64.
    unsafe {
        let last = bpf_get_func_arg_cnt(ctx.as_ptr()) - 1;
        bpf_get_func_arg(ctx.as_ptr(), last as u32, &raw mut access);
    }
    tried(b"perf_event_open\0", u64::from(access as u32))
}

/// A file is read as a module, a firmware, a kernel; flags are its kind.
#[lsm(hook = "kernel_read_file")]
pub fn tamper_read(ctx: LsmContext) -> i32 {
    tried(b"kernel_read_file\0", u64::from(ctx.arg::<u32>(1)))
}

/// A module or a kernel is loaded from memory; flags are its kind.
#[lsm(hook = "kernel_load_data")]
pub fn tamper_load(ctx: LsmContext) -> i32 {
    tried(b"kernel_load_data\0", u64::from(ctx.arg::<u32>(0)))
}

/// A mount; flags are the mount's.
#[lsm(hook = "sb_mount")]
pub fn tamper_mount(ctx: LsmContext) -> i32 {
    if let Some(mut recorder) = begun(b"sb_mount\0", MOUNT) {
        let path: Ptr = ctx.arg(1);
        recorder.path(tag::PATH, incomplete::PATH_UNREADABLE, path);
        // What is mounted, as it was asked for: a directory where it is bound to another place.
        let source: Ptr = ctx.arg(0);
        recorder.asked(tag::TARGET, incomplete::TARGET_UNREADABLE, source);
        set_flags(&mut recorder, ctx.arg(3));
    }
    0
}

/// Knows the result.
#[fexit(function = "path_mount")]
pub fn tamper_mount_end(ctx: FExitContext) -> i32 {
    ended(MOUNT, i64::from(ctx.arg::<i32>(5)))
}

/// A mount is moved to its place, such as one that was made by `open_tree`; the target is the name of
/// its root. The kernel gives no path here.
#[lsm(hook = "move_mount")]
pub fn tamper_move(ctx: LsmContext) -> i32 {
    if let Some(mut recorder) = begun(b"move_mount\0", MOVE) {
        walk_path(&mut recorder, ctx.arg(1));
        let dentry: Ptr = load(ctx.arg(0), offset!(path_dentry));
        recorder.name(tag::TARGET, incomplete::TARGET_UNREADABLE, dentry);
    }
    0
}

/// Knows the result.
#[fexit(function = "__x64_sys_move_mount")]
pub fn tamper_move_end(ctx: FExitContext) -> i32 {
    ended(MOVE, ctx.arg(1))
}

/// By a call of 32 bits.
#[fexit(function = "__ia32_sys_move_mount")]
pub fn tamper_move_end_32(ctx: FExitContext) -> i32 {
    ended(MOVE, ctx.arg(1))
}

/// A mount is taken away; flags are the call's.
#[lsm(hook = "sb_umount")]
pub fn tamper_umount(ctx: LsmContext) -> i32 {
    if let Some(mut recorder) = begun(b"sb_umount\0", UMOUNT) {
        let mnt: Ptr = ctx.arg(0);
        walk(&mut recorder, load(mnt, offset!(vfsmount_root)), mnt);
        set_flags(&mut recorder, u64::from(ctx.arg::<u32>(1)));
    }
    0
}

/// Knows the result. Whoever took it away, watched or not.
#[fexit(function = "path_umount")]
pub fn tamper_umount_end(ctx: FExitContext) -> i32 {
    let result: i32 = ctx.arg(2);
    if result == 0 {
        forget_mounts();
    }
    ended(UMOUNT, i64::from(result))
}

/// A process enters other namespaces; flags are which (`CLONE_NEW*`), 0 those that a descriptor is of.
/// Nothing below the call itself may be hooked; its arguments lie in registers, which nobody changes.
#[fexit(function = "__x64_sys_setns")]
pub fn tamper_setns(ctx: FExitContext) -> i32 {
    setns(ctx.arg(1))
}

/// By a call of 32 bits.
#[fexit(function = "__ia32_sys_setns")]
pub fn tamper_setns_32(ctx: FExitContext) -> i32 {
    setns(ctx.arg(1))
}

#[inline(always)]
fn setns(result: i64) -> i32 {
    if let Some(mut recorder) = named(b"setns\0") {
        set_flags(&mut recorder, second_argument() & 0xffff_ffff);
        recorder.python();
        recorder.emit(kind::TAMPER, result);
    }
    0
}

/// Attributes of a mount are changed. Of which one, only the caller's memory says.
#[fexit(function = "__x64_sys_mount_setattr")]
pub fn tamper_setattr(ctx: FExitContext) -> i32 {
    mount_setattr(ctx.arg(1))
}

/// By a call of 32 bits.
#[fexit(function = "__ia32_sys_mount_setattr")]
pub fn tamper_setattr_32(ctx: FExitContext) -> i32 {
    mount_setattr(ctx.arg(1))
}

#[inline(always)]
fn mount_setattr(result: i64) -> i32 {
    if let Some(mut recorder) = named(b"mount_setattr\0") {
        recorder.mark(incomplete::PATH_UNREADABLE);
        recorder.python();
        recorder.emit(kind::TAMPER, result);
    }
    0
}

/// Another directory becomes the root of a mount namespace.
#[lsm(hook = "sb_pivotroot")]
pub fn tamper_pivot(ctx: LsmContext) -> i32 {
    if let Some(mut recorder) = begun(b"sb_pivotroot\0", PIVOT) {
        walk_path(&mut recorder, ctx.arg(1));
    }
    0
}

/// Knows the result.
#[fexit(function = "__x64_sys_pivot_root")]
pub fn tamper_pivot_end(ctx: FExitContext) -> i32 {
    ended(PIVOT, ctx.arg(1))
}

/// By a call of 32 bits.
#[fexit(function = "__ia32_sys_pivot_root")]
pub fn tamper_pivot_end_32(ctx: FExitContext) -> i32 {
    ended(PIVOT, ctx.arg(1))
}

/// Another directory becomes the root of a process: behind this question nothing can fail.
#[fexit(function = "security_path_chroot")]
pub fn tamper_chroot(ctx: FExitContext) -> i32 {
    if let Some(mut recorder) = named(b"path_chroot\0") {
        walk_path(&mut recorder, ctx.arg(0));
        recorder.python();
        recorder.emit(kind::TAMPER, i64::from(ctx.arg::<i32>(1)));
    }
    0
}

/// Capabilities that nobody needs who does not want to reach the kernel (linux/capability.h):
/// modules, raw devices, chroot, administration (Debian's kernel asks for it at performance events),
/// reboot and kexec, the kernel's log, performance events.
const CAPABILITIES: u64 = 1 << 16 | 1 << 17 | 1 << 18 | 1 << 21 | 1 << 22 | 1 << 34 | 1 << 38;
/// Nobody asked for anything: the kernel only wants to know (include/linux/security.h).
const CAP_OPT_NOAUDIT: u32 = 2;

/// A capability is refused: what is refused for want of it comes to no other hook, and not to the LSM
/// hook of this name either, where the kernel's own module refuses first. Flags are its number. What
/// is granted is the kernel's own business, as when an overlay file system copies a file with its own
/// credentials, in the middle of another record of the thread.
#[fexit(function = "security_capable")]
pub fn tamper_capable(ctx: FExitContext) -> i32 {
    let number = u64::from(ctx.arg::<u32>(2));
    let result: i32 = ctx.arg(4);
    if result >= 0
        || number >= 64
        || CAPABILITIES >> number & 1 == 0
        || ctx.arg::<u32>(3) & CAP_OPT_NOAUDIT != 0
    {
        return 0;
    }
    if let Some(mut recorder) = named(b"capable\0") {
        set_flags(&mut recorder, number);
        recorder.python();
        recorder.emit(kind::TAMPER, i64::from(result));
    }
    0
}
