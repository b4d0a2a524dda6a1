//! What changes attributes: chmod, chown, truncate. They come by name or by descriptor, and what both
//! come to knows the path only as it was resolved.
//!
//! The name is there where the system call looks it up. It is read from the caller's memory just after
//! the kernel has copied it: only then it is certain to be there. Another thread may have changed it
//! since; the resolved path is what counts. A lookup that fails is the end of the call.

use aya_ebpf::macros::{fexit, lsm};
use aya_ebpf::programs::{FExitContext, LsmContext};
use pyti_trace_ebpf::{has, incomplete, kind, tag};

use crate::file::set_inode;
use crate::kernel::{Ptr, load, offset};
use crate::path::{set_mode, walk_file};
use crate::recorder::Recorder;
use crate::track::watching;
use crate::user::in_call;

/// A name was looked up for a system call of this kind.
#[inline(always)]
fn looked_up(ctx: &FExitContext, kind: u16) -> i32 {
    let result: i32 = ctx.arg(4);
    let begun = if result == 0 {
        Recorder::hold(kind)
    } else {
        Recorder::begin(kind)
    };
    let Some(mut recorder) = begun else {
        return 0;
    };
    let name: u64 = ctx.arg(1);
    recorder.user_string(
        tag::ASKED,
        incomplete::ASKED_UNREADABLE,
        name as usize as Ptr,
    );
    if result != 0 {
        recorder.python();
        recorder.emit(kind, i64::from(result));
    }
    0
}

/// A call ends that perhaps was emitted at its lookup.
#[inline(always)]
fn ended(kind: u16, result: i32) -> i32 {
    let Some(mut recorder) = Recorder::resume(kind) else {
        return 0;
    };
    // Then the kernel refused the hook that resolves.
    if result >= 0 && recorder.record().has & has::INODE == 0 {
        recorder.mark(incomplete::PATH_UNREADABLE);
    }
    recorder.python();
    recorder.emit(kind, i64::from(result));
    0
}

#[inline(always)]
fn set_path(recorder: &mut Recorder, path: Ptr) {
    recorder.path(tag::PATH, incomplete::PATH_UNREADABLE, path);
    let dentry: Ptr = load(path, offset!(path_dentry));
    let inode: Ptr = load(dentry, offset!(dentry_inode));
    set_inode(recorder, inode);
}

/// Knows the name as it was asked for.
#[fexit(function = "user_path_at")]
pub fn chmod_lookup(ctx: FExitContext) -> i32 {
    // chmod, fchmodat, fchmodat2.
    if watching() && in_call([90, 268, 452], [15, 306, 452]) {
        return looked_up(&ctx, kind::CHMOD);
    }
    0
}

/// Resolves the path.
#[lsm(hook = "path_chmod")]
pub fn chmod_resolve(ctx: LsmContext) -> i32 {
    let begun = Recorder::resume(kind::CHMOD);
    if let Some(mut recorder) = begun.or_else(|| Recorder::hold_or_lose(kind::CHMOD)) {
        set_path(&mut recorder, ctx.arg(0));
        set_mode(&mut recorder, ctx.arg(1));
    }
    0
}

/// Knows the result.
#[fexit(function = "chmod_common")]
pub fn chmod_emit(ctx: FExitContext) -> i32 {
    ended(kind::CHMOD, ctx.arg(2))
}

/// Knows the name as it was asked for.
#[fexit(function = "user_path_at")]
pub fn chown_lookup(ctx: FExitContext) -> i32 {
    // chown, lchown, fchownat, and those of 16 bits.
    if watching() && in_call([92, 94, 260], [16, 182, 198, 212, 298]) {
        return looked_up(&ctx, kind::CHOWN);
    }
    0
}

/// Resolves the path; flags are `uid << 32 | gid`, all ones where one is left as it is.
#[lsm(hook = "path_chown")]
pub fn chown_resolve(ctx: LsmContext) -> i32 {
    let begun = Recorder::resume(kind::CHOWN);
    if let Some(mut recorder) = begun.or_else(|| Recorder::hold_or_lose(kind::CHOWN)) {
        set_path(&mut recorder, ctx.arg(0));
        let record = recorder.record();
        record.flags = u64::from(ctx.arg::<u32>(1)) << 32 | u64::from(ctx.arg::<u32>(2));
        record.has |= has::FLAGS;
    }
    0
}

/// Knows the result.
#[fexit(function = "chown_common")]
pub fn chown_emit(ctx: FExitContext) -> i32 {
    ended(kind::CHOWN, ctx.arg(3))
}

/// Knows the result of what was refused between the lookup and the rest, as on a file system that is
/// read-only.
#[fexit(function = "do_fchownat")]
pub fn chown_end(ctx: FExitContext) -> i32 {
    ended(kind::CHOWN, ctx.arg(5))
}

/// Knows the name as it was asked for.
#[fexit(function = "user_path_at")]
pub fn truncate_lookup(ctx: FExitContext) -> i32 {
    // truncate, and truncate64 of 32 bits.
    if watching() && in_call([76], [92, 193]) {
        return looked_up(&ctx, kind::TRUNCATE);
    }
    0
}

/// Truncation by path; here the kernel may be asked for the path and knows the result.
#[fexit(function = "vfs_truncate")]
pub fn truncate(ctx: FExitContext) -> i32 {
    let begun = Recorder::resume(kind::TRUNCATE);
    if let Some(mut recorder) = begun.or_else(|| Recorder::begin(kind::TRUNCATE)) {
        set_path(&mut recorder, ctx.arg(0));
        recorder.record().bytes = ctx.arg(1);
        recorder.record().has |= has::BYTES;
        recorder.python();
        recorder.emit(kind::TRUNCATE, ctx.arg(2));
    }
    0
}

/// Truncation by descriptor, where the kernel gives no path.
#[fexit(function = "do_ftruncate")]
pub fn ftruncate(ctx: FExitContext) -> i32 {
    let Some(mut recorder) = Recorder::begin(kind::TRUNCATE) else {
        return 0;
    };
    let file: Ptr = ctx.arg(0);
    walk_file(&mut recorder, file);
    let inode: Ptr = load(file, offset!(file_inode));
    set_inode(&mut recorder, inode);
    recorder.record().bytes = ctx.arg(1);
    recorder.record().has |= has::BYTES;
    recorder.python();
    recorder.emit(kind::TRUNCATE, i64::from(ctx.arg::<i32>(3)));
    0
}
