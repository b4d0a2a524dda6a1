//! What changes attributes: chmod, chown, truncate. They come by name or by descriptor, and what both
//! come to knows the path only as it was resolved.
//!
//! Where an owner is changed by name, the entry of the system calls' common function keeps where the caller
//! has that name, the hook behind the lookup takes it from there, and the exit of that function tells of
//! what came to no such hook, such as the owner of a file that is not there. The name is read from the
//! caller's memory after the kernel has copied it: only then it is certain to be there. Another thread may
//! have changed it since; the resolved path is what counts.
//!
//! Of modes and lengths the compiler makes that function a part of each system call, so there is nothing
//! to stand on.

use aya_ebpf::macros::{fentry, fexit, lsm, map};
use aya_ebpf::maps::LruHashMap;
use aya_ebpf::programs::{FEntryContext, FExitContext, LsmContext};
use pyti_trace_ebpf::{has, incomplete, kind, tag};

use crate::file::set_inode;
use crate::kernel::{Ptr, load, offset};
use crate::path::{finished, set_mode, walk_file};
use crate::recorder::Recorder;
use crate::track::{ids, watching};

/// By thread: where the running call's name lies in user memory, until a hook behind the lookup takes it.
#[map]
static ASKED: LruHashMap<u32, u64> = LruHashMap::with_max_entries(1024, 0);

/// A call by name begins.
#[inline(always)]
fn keep_asked(name: u64) -> i32 {
    if watching() {
        let _ = ASKED.insert(ids().1, name, 0);
    }
    0
}

/// Where the name lies; 0 where there is none, or where it was taken before.
#[inline(always)]
fn take_asked() -> u64 {
    let (_, tid) = ids();
    let Some(name) = ASKED.get_ptr(tid) else {
        return 0;
    };
    // SAFETY: a value of the map, this thread's own.
    let name = unsafe { *name };
    let _ = ASKED.remove(tid);
    name
}

#[inline(always)]
fn set_asked(recorder: &mut Recorder, name: u64) {
    if name != 0 {
        recorder.user_string(
            tag::ASKED,
            incomplete::ASKED_UNREADABLE,
            name as usize as Ptr,
        );
    }
}

#[inline(always)]
fn set_path(recorder: &mut Recorder, path: Ptr) {
    recorder.path(tag::PATH, incomplete::PATH_UNREADABLE, path);
    let dentry: Ptr = load(path, offset!(path_dentry));
    let inode: Ptr = load(dentry, offset!(dentry_inode));
    set_inode(recorder, inode);
}

/// Resolves the path.
#[lsm(hook = "path_chmod")]
pub fn chmod_resolve(ctx: LsmContext) -> i32 {
    if let Some(mut recorder) = Recorder::hold_or_lose(kind::CHMOD) {
        set_path(&mut recorder, ctx.arg(0));
        set_mode(&mut recorder, ctx.arg(1));
    }
    0
}

/// Knows the result.
#[fexit(function = "chmod_common")]
pub fn chmod_emit(ctx: FExitContext) -> i32 {
    finished(kind::CHMOD, ctx.arg(2));
    0
}

/// Knows the name as it was asked for.
#[fentry(function = "do_fchownat")]
pub fn chown_begin(ctx: FEntryContext) -> i32 {
    keep_asked(ctx.arg(1))
}

/// Resolves the path; flags are `uid << 32 | gid`, all ones where one is left as it is.
#[lsm(hook = "path_chown")]
pub fn chown_resolve(ctx: LsmContext) -> i32 {
    let asked = take_asked();
    if let Some(mut recorder) = Recorder::hold_or_lose(kind::CHOWN) {
        set_asked(&mut recorder, asked);
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
    finished(kind::CHOWN, ctx.arg(3));
    0
}

/// Knows the result of what came to no hook behind the lookup. (The owner is one of the caller's user
/// namespace here.)
#[fexit(function = "do_fchownat")]
pub fn chown_end(ctx: FExitContext) -> i32 {
    let asked = take_asked();
    if asked == 0 {
        return 0;
    }
    let Some(mut recorder) = Recorder::begin(kind::CHOWN) else {
        return 0;
    };
    set_asked(&mut recorder, asked);
    let result = i64::from(ctx.arg::<i32>(5));
    // Then the kernel refused that hook.
    if result >= 0 {
        recorder.mark(incomplete::PATH_UNREADABLE);
    }
    recorder.python();
    recorder.emit(kind::CHOWN, result);
    0
}

/// Truncation by path; here the kernel may be asked for the path and knows the result.
#[fexit(function = "vfs_truncate")]
pub fn truncate(ctx: FExitContext) -> i32 {
    if let Some(mut recorder) = Recorder::begin(kind::TRUNCATE) {
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
