//! What touches the watcher or its kernel. Attempts are recorded; the result is not known here.

use aya_ebpf::macros::{fexit, lsm};
use aya_ebpf::programs::{FExitContext, LsmContext};
use pyti_trace_ebpf::{has, incomplete, kind, tag};

use crate::kernel::{Ptr, load, offset};
use crate::path::{walk, walk_path};
use crate::recorder::Recorder;
use crate::user::second_argument;

/// Begins a record of this name.
#[inline(always)]
fn named(name: &'static [u8]) -> Option<Recorder> {
    let mut recorder = Recorder::begin(kind::TAMPER)?;
    recorder.string::<32>(
        tag::ASKED,
        incomplete::ASKED_UNREADABLE,
        name.as_ptr().cast(),
    );
    Some(recorder)
}

#[inline(always)]
fn tamper(name: &'static [u8], flags: u64) -> i32 {
    if let Some(mut recorder) = named(name) {
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
    if let Some(mut recorder) = named(b"sb_mount\0") {
        let path: Ptr = ctx.arg(1);
        recorder.path(tag::PATH, incomplete::PATH_UNREADABLE, path);
        // What is mounted, as it was asked for: a directory where it is bound to another place.
        let source: Ptr = ctx.arg(0);
        recorder.string::<4096>(tag::TARGET, incomplete::TARGET_UNREADABLE, source);
        recorder.record().flags = ctx.arg(3);
        recorder.record().has |= has::FLAGS;
        recorder.python();
        recorder.emit(kind::TAMPER, 0);
    }
    0
}

/// Begins a record of this name about a path, which the kernel does not give at these hooks.
#[inline(always)]
fn tree(name: &'static [u8], path: Ptr) -> Option<Recorder> {
    let mut recorder = named(name)?;
    walk_path(&mut recorder, path);
    Some(recorder)
}

/// A mount is moved to its place, such as one that was made by `open_tree`; the target is the name of
/// its root.
#[lsm(hook = "move_mount")]
pub fn tamper_move(ctx: LsmContext) -> i32 {
    if let Some(mut recorder) = tree(b"move_mount\0", ctx.arg(1)) {
        let dentry: Ptr = load(ctx.arg(0), offset!(path_dentry));
        recorder.name(tag::TARGET, incomplete::TARGET_UNREADABLE, dentry);
        recorder.emit(kind::TAMPER, 0);
    }
    0
}

/// A mount is taken away; flags are the call's.
#[lsm(hook = "sb_umount")]
pub fn tamper_umount(ctx: LsmContext) -> i32 {
    if let Some(mut recorder) = named(b"sb_umount\0") {
        let mnt: Ptr = ctx.arg(0);
        walk(&mut recorder, load(mnt, offset!(vfsmount_root)), mnt);
        recorder.record().flags = u64::from(ctx.arg::<u32>(1));
        recorder.record().has |= has::FLAGS;
        recorder.emit(kind::TAMPER, 0);
    }
    0
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
        recorder.record().flags = second_argument() & 0xffff_ffff;
        recorder.record().has |= has::FLAGS;
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
        recorder.emit(kind::TAMPER, result);
    }
    0
}

/// Another directory becomes the root of a mount namespace.
#[lsm(hook = "sb_pivotroot")]
pub fn tamper_pivot(ctx: LsmContext) -> i32 {
    if let Some(recorder) = tree(b"sb_pivotroot\0", ctx.arg(1)) {
        recorder.emit(kind::TAMPER, 0);
    }
    0
}

/// Another directory becomes the root of a process.
#[lsm(hook = "path_chroot")]
pub fn tamper_chroot(ctx: LsmContext) -> i32 {
    if let Some(recorder) = tree(b"path_chroot\0", ctx.arg(0)) {
        recorder.emit(kind::TAMPER, 0);
    }
    0
}

/// Capabilities that nobody needs who does not want to reach the kernel (linux/capability.h):
/// modules, raw devices, administration (Debian's kernel asks for it at performance events), reboot and
/// kexec, the kernel's log, performance events.
const CAPABILITIES: u64 = 1 << 16 | 1 << 17 | 1 << 21 | 1 << 22 | 1 << 34 | 1 << 38;
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
        recorder.record().flags = number;
        recorder.record().has |= has::FLAGS;
        recorder.emit(kind::TAMPER, i64::from(result));
    }
    0
}
