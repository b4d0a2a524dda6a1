//! What changes names: rename, unlink, rmdir, mkdir, mknod, link, symlink. The entry of the system
//! call's common function knows the names as they were asked for, the LSM hook the resolved paths, the
//! exit of that function the result. What fails before the LSM hook, such as the deletion of a file that
//! is not there, has its name and its result.

use aya_ebpf::macros::{fentry, fexit, lsm};
use aya_ebpf::programs::{FEntryContext, FExitContext, LsmContext};
use pyti_trace_ebpf::{has, incomplete, kind, tag};

use crate::kernel::{Ptr, current, inner, load, offset, peek_ptr};
use crate::lost::count_missing;
use crate::recorder::{CUT, Recorder, WHOLE};
use crate::view::is_on_foreign;

/// Components that a walk up a dentry follows.
const MAX_COMPONENTS: usize = 24;
/// What mknod does, in flags of open.
const O_CREAT: u64 = 0o100;
const O_EXCL: u64 = 0o200;
/// In the place of the file that an open resolves.
const MKNOD: u64 = 1;

/// The call begins; `filename` is a `struct filename`, or an error, of which nothing can be read.
#[inline(always)]
fn begin_asked(kind: u16, filename: Ptr) -> Option<Recorder> {
    let mut recorder = Recorder::hold(kind)?;
    let name: Ptr = load(filename, offset!(filename_name));
    recorder.asked(tag::ASKED, incomplete::ASKED_UNREADABLE, name);
    Some(recorder)
}

#[inline(always)]
fn asked(kind: u16, filename: Ptr) -> i32 {
    let _ = begin_asked(kind, filename);
    0
}

/// The record that the call began; a new one where the kernel came here by another road.
#[inline(always)]
fn begin_at(kind: u16, directory: Ptr, dentry: Ptr) -> Option<Recorder> {
    let begun = Recorder::resume(kind);
    let mut recorder = begun.or_else(|| Recorder::hold(kind))?;
    recorder.path(tag::PATH, incomplete::PATH_UNREADABLE, directory);
    recorder.name(tag::PATH_NAME, incomplete::PATH_UNREADABLE, dentry);
    Some(recorder)
}

#[inline(always)]
fn target_at(recorder: &mut Recorder, directory: Ptr, dentry: Ptr) {
    recorder.path(tag::TARGET, incomplete::TARGET_UNREADABLE, directory);
    recorder.name(tag::TARGET_NAME, incomplete::TARGET_UNREADABLE, dentry);
}

/// Whether two `struct path` are of the same directory by the same mount.
#[inline(always)]
fn is_same(one: Ptr, other: Ptr) -> bool {
    load::<usize>(one, offset!(path_dentry)) == load::<usize>(other, offset!(path_dentry))
        && load::<usize>(one, offset!(path_mnt)) == load::<usize>(other, offset!(path_mnt))
}

/// Ends a call, which began its record at once.
#[inline(always)]
fn finish(kind: u16, result: i32) -> i32 {
    if !finished(kind, result) {
        count_missing(kind);
    }
    0
}

/// Emits the record of a call, and says whether there was one.
#[inline(always)]
fn finished(kind: u16, result: i32) -> bool {
    let Some(mut recorder) = Recorder::resume(kind) else {
        return false;
    };
    recorder.python();
    recorder.emit(kind, i64::from(result));
    true
}

/// Knows the name as it was asked for.
#[fentry(function = "do_renameat2")]
pub fn rename_begin(ctx: FEntryContext) -> i32 {
    asked(kind::RENAME, ctx.arg(1))
}

/// Resolves both paths.
#[lsm(hook = "path_rename")]
pub fn rename_resolve(ctx: LsmContext) -> i32 {
    if let Some(mut recorder) = begin_at(kind::RENAME, ctx.arg(0), ctx.arg(1)) {
        let (from, to): (Ptr, Ptr) = (ctx.arg(0), ctx.arg(2));
        if is_same(from, to) {
            recorder.name(tag::TARGET_NAME, incomplete::TARGET_UNREADABLE, ctx.arg(3));
        } else {
            target_at(&mut recorder, to, ctx.arg(3));
        }
        recorder.record().flags = u64::from(ctx.arg::<u32>(4));
        recorder.record().has |= has::FLAGS;
    }
    0
}

/// Knows the result.
#[fexit(function = "do_renameat2")]
pub fn rename_emit(ctx: FExitContext) -> i32 {
    finish(kind::RENAME, ctx.arg(5))
}

/// Knows the name as it was asked for.
#[fentry(function = "do_unlinkat")]
pub fn unlink_begin(ctx: FEntryContext) -> i32 {
    asked(kind::UNLINK, ctx.arg(1))
}

/// Resolves the path.
#[lsm(hook = "path_unlink")]
pub fn unlink_resolve(ctx: LsmContext) -> i32 {
    let _ = begin_at(kind::UNLINK, ctx.arg(0), ctx.arg(1));
    0
}

/// Knows the result.
#[fexit(function = "do_unlinkat")]
pub fn unlink_emit(ctx: FExitContext) -> i32 {
    finish(kind::UNLINK, ctx.arg(2))
}

/// Knows the name as it was asked for.
#[fentry(function = "do_rmdir")]
pub fn rmdir_begin(ctx: FEntryContext) -> i32 {
    asked(kind::RMDIR, ctx.arg(1))
}

/// Resolves the path.
#[lsm(hook = "path_rmdir")]
pub fn rmdir_resolve(ctx: LsmContext) -> i32 {
    let _ = begin_at(kind::RMDIR, ctx.arg(0), ctx.arg(1));
    0
}

/// Knows the result.
#[fexit(function = "do_rmdir")]
pub fn rmdir_emit(ctx: FExitContext) -> i32 {
    finish(kind::RMDIR, ctx.arg(2))
}

/// Knows the name as it was asked for.
#[fentry(function = "do_mkdirat")]
pub fn mkdir_begin(ctx: FEntryContext) -> i32 {
    asked(kind::MKDIR, ctx.arg(1))
}

/// Resolves the path.
#[lsm(hook = "path_mkdir")]
pub fn mkdir_resolve(ctx: LsmContext) -> i32 {
    if let Some(mut recorder) = begin_at(kind::MKDIR, ctx.arg(0), ctx.arg(1)) {
        set_mode(&mut recorder, ctx.arg(2));
    }
    0
}

/// Knows the result.
#[fexit(function = "do_mkdirat")]
pub fn mkdir_emit(ctx: FExitContext) -> i32 {
    finish(kind::MKDIR, ctx.arg(3))
}

/// Knows the name as it was asked for.
#[fentry(function = "do_mknodat")]
pub fn mknod_begin(ctx: FEntryContext) -> i32 {
    if let Some(mut recorder) = begin_asked(kind::OPEN, ctx.arg(1)) {
        recorder.set_subject(MKNOD);
    }
    0
}

/// A file, a pipe or a device is made without being opened. The kernel gives no path here.
#[lsm(hook = "path_mknod")]
pub fn mknod_resolve(ctx: LsmContext) -> i32 {
    // An open that makes its file comes here too, and the binding of a socket.
    let Some(mut recorder) = Recorder::resume(kind::OPEN).filter(|one| one.subject() == MKNOD)
    else {
        return 0;
    };
    let directory: Ptr = ctx.arg(0);
    walk(
        &mut recorder,
        ctx.arg(1),
        load(directory, offset!(path_mnt)),
    );
    let record = recorder.record();
    record.flags = O_CREAT | O_EXCL;
    record.created = 1;
    record.has |= has::FLAGS | has::CREATED;
    set_mode(&mut recorder, ctx.arg(2));
    0
}

/// Knows the result.
#[fexit(function = "do_mknodat")]
pub fn mknod_emit(ctx: FExitContext) -> i32 {
    match Recorder::resume(kind::OPEN).filter(|one| one.subject() == MKNOD) {
        Some(mut recorder) => {
            recorder.python();
            recorder.emit(kind::OPEN, i64::from(ctx.arg::<i32>(4)));
        }
        None => count_missing(kind::OPEN),
    }
    0
}

/// Knows the name as it was asked for.
#[fentry(function = "do_linkat")]
pub fn link_begin(ctx: FEntryContext) -> i32 {
    asked(kind::LINK, ctx.arg(1))
}

/// Resolves the new path, and walks up the old dentry: the kernel gives no path of it here. Both
/// are on the same mount, or the kernel would have refused.
#[lsm(hook = "path_link")]
pub fn link_resolve(ctx: LsmContext) -> i32 {
    let begun = Recorder::resume(kind::LINK);
    let Some(mut recorder) = begun.or_else(|| Recorder::hold(kind::LINK)) else {
        return 0;
    };
    let directory: Ptr = ctx.arg(1);
    target_at(&mut recorder, directory, ctx.arg(2));
    let old: Ptr = ctx.arg(0);
    let mnt: Ptr = load(directory, offset!(path_mnt));
    walk(&mut recorder, old, mnt);
    0
}

/// Appends the path of a file where the kernel may not be asked for it.
#[inline(always)]
pub fn walk_file(recorder: &mut Recorder, file: Ptr) {
    walk_path(recorder, inner(file, offset!(file_path)));
}

/// Appends a path where the kernel may not be asked for it.
#[inline(always)]
pub fn walk_path(recorder: &mut Recorder, path: Ptr) {
    walk(
        recorder,
        load(path, offset!(path_dentry)),
        load(path, offset!(path_mnt)),
    );
}

/// Appends the components of a path from its end. It may race with a rename, hence the mark.
#[inline(always)]
pub fn walk(recorder: &mut Recorder, from: Ptr, on: Ptr) {
    recorder.mark(incomplete::PATH_RACED);
    if is_on_foreign(on) {
        recorder.mark(incomplete::PATH_UNRESOLVED);
    }
    if !walk_up(recorder, tag::WALKED, incomplete::PATH_UNREADABLE, from, on) {
        recorder.mark(incomplete::PATH_TRUNCATED);
    }
}

/// Appends the working directory where the kernel may not be asked for it.
#[inline(always)]
pub fn walk_cwd(recorder: &mut Recorder) {
    if append_cwd(recorder.place()) != WHOLE {
        recorder.mark(incomplete::CWD_INCOMPLETE);
    }
}

/// Appends the working directory to the record at this place, and says whether it is whole. A function
/// that the verifier looks at once, whoever calls it, as those in `python`.
#[unsafe(no_mangle)]
extern "C" fn append_cwd(place: u32) -> u32 {
    const WALKED: u16 = tag::WALKED_CWD;
    const INCOMPLETE: u32 = incomplete::CWD_INCOMPLETE;
    let Some(mut recorder) = Recorder::running(place) else {
        return CUT;
    };
    let fs: Ptr = load(current(), offset!(task_fs));
    let cwd = inner(fs, offset!(fs_pwd));
    let on: Ptr = load(cwd, offset!(path_mnt));
    let from: Ptr = load(cwd, offset!(path_dentry));
    let whole = walk_up(&mut recorder, WALKED, INCOMPLETE, from, on);
    recorder.string::<1>(WALKED, INCOMPLETE, c"".as_ptr().cast());
    if whole && !is_on_foreign(on) {
        WHOLE
    } else {
        CUT
    }
}

/// Appends the components of a path from its end, and says whether that came to the root.
#[inline(always)]
fn walk_up(recorder: &mut Recorder, tag: u16, unreadable: u32, from: Ptr, on: Ptr) -> bool {
    let mut dentry = from as usize as Ptr;
    let mut mnt = on;
    for _ in 0..MAX_COMPONENTS {
        let parent = peek_ptr(dentry, offset!(dentry_parent));
        if dentry == peek_ptr(mnt, offset!(vfsmount_root)) || parent == dentry {
            let mount = (mnt as usize).wrapping_sub(offset!(mount_mnt)) as Ptr;
            let above = peek_ptr(mount, offset!(mount_parent));
            if above == mount {
                return true;
            }
            dentry = peek_ptr(mount, offset!(mount_point));
            mnt = (above as usize).wrapping_add(offset!(mount_mnt)) as Ptr;
            continue;
        }
        let name = peek_ptr(dentry, offset!(dentry_name) + offset!(qstr_name));
        recorder.string::<256>(tag, unreadable, name);
        dentry = parent;
    }
    false
}

/// Knows the result.
#[fexit(function = "do_linkat")]
pub fn link_emit(ctx: FExitContext) -> i32 {
    finish(kind::LINK, ctx.arg(5))
}

/// Knows the name as it was asked for, and the target, which is the text as given.
#[fentry(function = "do_symlinkat")]
pub fn symlink_begin(ctx: FEntryContext) -> i32 {
    if let Some(mut recorder) = begin_asked(kind::SYMLINK, ctx.arg(2)) {
        let target: Ptr = load(ctx.arg(0), offset!(filename_name));
        recorder.asked(tag::TARGET, incomplete::TARGET_UNREADABLE, target);
    }
    0
}

/// Resolves the path.
#[lsm(hook = "path_symlink")]
pub fn symlink_resolve(ctx: LsmContext) -> i32 {
    let _ = begin_at(kind::SYMLINK, ctx.arg(0), ctx.arg(1));
    0
}

/// Knows the result.
#[fexit(function = "do_symlinkat")]
pub fn symlink_emit(ctx: FExitContext) -> i32 {
    finish(kind::SYMLINK, ctx.arg(3))
}

/// The mode that is asked for.
#[inline(always)]
pub fn set_mode(recorder: &mut Recorder, mode: u16) {
    recorder.record().mode = u32::from(mode) & 0o7777;
    recorder.record().has |= has::MODE;
}
