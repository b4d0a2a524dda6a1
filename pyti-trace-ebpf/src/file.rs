//! Files opened, and programs that could not be.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::bpf_get_func_ret;
use aya_ebpf::macros::{fexit, lsm};
use aya_ebpf::programs::{FExitContext, LsmContext};
use pyti_trace_ebpf::{has, incomplete, kind, tag};

use crate::exec::words_asked;
use crate::kernel::{Ptr, inner, is_backing, load, number, offset};
use crate::path::walk_cwd;
use crate::recorder::Recorder;
use crate::view::is_internal;

const MAX_ERRNO: u64 = 4095;
const EAGAIN: i64 = -11;
/// `__FMODE_EXEC` in open flags: the kernel opens a program to execute it.
const FMODE_EXEC: u32 = 0x20;
/// The open made the file (include/linux/fs.h).
const FMODE_CREATED: u32 = 1 << 20;
/// io_uring's first try, which must not block (include/linux/namei.h).
const LOOKUP_CACHED: u32 = 1 << 21;
const O_ACCMODE: u32 = 3;
/// `__O_TMPFILE`.
const TMPFILE: u32 = 0o20_000_000;
const O_CREAT_OR_TMPFILE: u32 = 0o100 | TMPFILE;

/// Resolves the path while the kernel still may be asked for it.
#[lsm(hook = "file_open")]
pub fn open_resolve(ctx: LsmContext) -> i32 {
    let file: Ptr = ctx.arg(0);
    if load::<u32>(file, offset!(file_flags)) & FMODE_EXEC != 0
        || is_backing(file)
        || is_internal(file)
    {
        return 0;
    }
    let Some(mut recorder) = Recorder::hold(kind::OPEN) else {
        return 0;
    };
    recorder.set_subject(file as u64);
    recorder.path(
        tag::PATH,
        incomplete::PATH_UNREADABLE,
        inner(file, offset!(file_path)),
    );
    0
}

/// Every open by name ends here, also those of 32-bit calls and io_uring, also failed ones.
#[fexit(function = "do_filp_open")]
pub fn open_emit(ctx: FExitContext) -> i32 {
    let name: Ptr = load(ctx.arg(1), offset!(filename_name));
    opened(&ctx, name)
}

/// Opens by handle, and those that the kernel makes below a directory.
#[fexit(function = "do_file_open_root")]
pub fn open_root_emit(ctx: FExitContext) -> i32 {
    opened(&ctx, ctx.arg(1))
}

/// Opens without a name: the other end of a terminal, message queues, event files of the kernel's.
#[fexit(function = "dentry_open")]
pub fn open_inner_emit(ctx: FExitContext) -> i32 {
    let Some(mut recorder) = Recorder::resume(kind::OPEN) else {
        return 0;
    };
    // Not that of an open by name, in the middle of which the kernel opens something for itself.
    if recorder.subject() != number(&ctx, 3) {
        return 0;
    }
    let file: Ptr = ctx.arg(3);
    let inode: Ptr = load(file, offset!(file_inode));
    recorder.mark(incomplete::ASKED_UNREADABLE);
    let record = recorder.record();
    record.flags = u64::from(ctx.arg::<u32>(1));
    record.has |= has::FLAGS;
    set_inode(&mut recorder, inode);
    recorder.python();
    recorder.emit(kind::OPEN, 0);
    0
}

/// Both functions have the flags and the result at the same places.
#[inline(always)]
fn opened(ctx: &FExitContext, name: Ptr) -> i32 {
    let mut result = 0u64;
    // SAFETY: the helper writes one u64. A plain load would be a pointer to the verifier, which it
    // does not let us compare with errors.
    unsafe { bpf_get_func_ret(ctx.as_ptr(), &raw mut result) };
    let op: Ptr = ctx.arg(2);
    let flags: u32 = load(op, offset!(open_flag));
    if result >= 0u64.wrapping_sub(MAX_ERRNO) {
        let result = result as i64;
        if result == EAGAIN && load::<u32>(op, offset!(open_lookup)) & LOOKUP_CACHED != 0 {
            return 0;
        }
        if flags & FMODE_EXEC != 0 {
            if let Some(recorder) = Recorder::begun_exec() {
                without_interpreter(recorder, name);
                return 0;
            }
            // The program to execute was not found or not allowed: nothing later would tell.
            let Some(mut recorder) = Recorder::begin(kind::EXEC) else {
                return 0;
            };
            recorder.asked(tag::ASKED, incomplete::ASKED_UNREADABLE, name);
            walk_cwd(&mut recorder);
            words_asked(&mut recorder);
            recorder.python();
            recorder.emit(kind::EXEC, result);
            return 0;
        }
        let Some(mut recorder) = Recorder::hold_or_lose(kind::OPEN) else {
            return 0;
        };
        recorder.asked(tag::ASKED, incomplete::ASKED_UNREADABLE, name);
        set_flags(&mut recorder, op, flags);
        python_of_open(&mut recorder, flags);
        recorder.emit(kind::OPEN, result);
        return 0;
    }
    if flags & FMODE_EXEC != 0 {
        return 0;
    }
    let resolved = match Recorder::resume(kind::OPEN) {
        Some(recorder) if recorder.subject() == result => Some(recorder),
        _ => None,
    };
    let mut recorder = match resolved {
        Some(recorder) => recorder,
        None => {
            // O_PATH: nothing was opened, so no hook resolved it.
            let Some(mut recorder) = Recorder::hold_or_lose(kind::OPEN) else {
                return 0;
            };
            recorder.mark(incomplete::PATH_UNREADABLE);
            recorder
        }
    };
    recorder.asked(tag::ASKED, incomplete::ASKED_UNREADABLE, name);
    set_flags(&mut recorder, op, flags);
    let file: Ptr = ctx.arg(3);
    // A file without a name is as new as one with a name, and the kernel does not mark it.
    let created = load::<u32>(file, offset!(file_mode)) & FMODE_CREATED | flags & TMPFILE;
    let inode: Ptr = load(file, offset!(file_inode));
    let record = recorder.record();
    record.created = created;
    record.has |= has::CREATED;
    set_inode(&mut recorder, inode);
    python_of_open(&mut recorder, flags);
    recorder.emit(kind::OPEN, 0);
    0
}

/// The interpreter that a script's `#!` line or a program's header names was not found or not allowed. That
/// the execution failed is told where it ends, in [`crate::exec::exec_fail`].
#[inline(always)]
fn without_interpreter(mut recorder: Recorder, name: Ptr) {
    recorder.mark(incomplete::TARGET_UNRESOLVED);
    recorder.asked(tag::TARGET, incomplete::TARGET_UNREADABLE, name);
    // It takes no second name: where the kernel refused that hook the record waits for nobody, and would
    // take that of the next program which is not found.
    recorder.record().tid = 0;
}

/// The Python stack, but for reading what the system brings: importing a module tries dozens of
/// those, and they tell nothing.
#[inline(always)]
fn python_of_open(recorder: &mut Recorder, flags: u32) {
    let first = recorder.first_bytes();
    if flags & (O_ACCMODE | O_CREAT_OR_TMPFILE) != 0
        || first != u32::from_le_bytes(*b"/usr") && first != u32::from_le_bytes(*b"/lib")
    {
        recorder.python();
    }
}

#[inline(always)]
fn set_flags(recorder: &mut Recorder, op: Ptr, flags: u32) {
    let record = recorder.record();
    record.flags = u64::from(flags);
    record.has |= has::FLAGS;
    if flags & O_CREAT_OR_TMPFILE != 0 {
        record.mode = u32::from(load::<u16>(op, offset!(open_mode))) & 0o7777;
        record.has |= has::MODE;
    }
}

/// Device and number of an inode.
#[inline(always)]
pub fn set_inode(recorder: &mut Recorder, inode: Ptr) {
    let sb: Ptr = load(inode, offset!(inode_sb));
    let record = recorder.record();
    record.inode = load(inode, offset!(inode_ino));
    record.dev = load(sb, offset!(sb_dev));
    record.has |= has::INODE | has::DEV;
}
