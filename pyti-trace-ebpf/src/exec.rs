//! Programs executed. A program that could not even be opened is seen in `file`.

use aya_ebpf::macros::{btf_tracepoint, fexit, lsm};
use aya_ebpf::programs::{BtfTracePointContext, FExitContext, LsmContext};
use pyti_trace_ebpf::{has, incomplete, kind, tag};

use crate::file::set_inode;
use crate::kernel::{Ptr, current, inner, load, offset};
use crate::recorder::{EXECS, Recorder};
use crate::track::{ids, watching};

/// Bytes kept of the arguments, and of the environment.
const MAX_WORDS: u32 = 4096;

/// Fires for the program, and again for the interpreter that a `#!` line names.
#[lsm(hook = "bprm_check_security")]
pub fn exec_resolve(ctx: LsmContext) -> i32 {
    let bprm: Ptr = ctx.arg(0);
    let file: Ptr = load(bprm, offset!(bprm_file));
    if let Some(mut recorder) = Recorder::resume_exec()
        && recorder.subject() == bprm as u64
    {
        recorder.path(
            tag::TARGET,
            incomplete::TARGET_UNREADABLE,
            inner(file, offset!(file_path)),
        );
        return 0;
    }
    let Some(mut recorder) = Recorder::begin_exec() else {
        return 0;
    };
    recorder.set_subject(bprm as u64);
    recorder.path(
        tag::PATH,
        incomplete::PATH_UNREADABLE,
        inner(file, offset!(file_path)),
    );
    let fs: Ptr = load(current(), offset!(task_fs));
    recorder.path(
        tag::CWD,
        incomplete::CWD_INCOMPLETE,
        inner(fs, offset!(fs_pwd)),
    );
    let asked: Ptr = load(bprm, offset!(bprm_filename));
    recorder.string::<4096>(tag::ASKED, incomplete::ASKED_UNREADABLE, asked);
    let inode: Ptr = load(file, offset!(file_inode));
    set_inode(&mut recorder, inode);
    let record = recorder.record();
    record.nlink = load(inode, offset!(inode_nlink));
    record.mode = u32::from(load::<u16>(inode, offset!(inode_mode))) & 0o7777;
    record.has |= has::NLINK | has::MODE;
    0
}

/// The new program is in place: its arguments lie on its stack.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn exec_emit(_ctx: BtfTracePointContext) -> i32 {
    let Some(mut recorder) = Recorder::resume_exec() else {
        return 0;
    };
    let mm: Ptr = load(current(), offset!(task_mm));
    let start: u64 = load(mm, offset!(mm_arg_start));
    let end: u64 = load(mm, offset!(mm_arg_end));
    recorder.user::<MAX_WORDS>(
        tag::ARGV,
        incomplete::ARGV_UNREADABLE,
        start as usize as Ptr,
        end.saturating_sub(start),
    );
    let start: u64 = load(mm, offset!(mm_env_start));
    let end: u64 = load(mm, offset!(mm_env_end));
    recorder.user::<MAX_WORDS>(
        tag::ENV,
        incomplete::ENV_UNREADABLE,
        start as usize as Ptr,
        end.saturating_sub(start),
    );
    recorder.emit(kind::EXEC, 0);
    let _ = EXECS.remove(ids().0);
    0
}

/// The program was opened, but could not be executed.
#[fexit(function = "bprm_execve")]
pub fn exec_fail(ctx: FExitContext) -> i32 {
    let result: i32 = ctx.arg(1);
    if result >= 0 || !watching() {
        return 0;
    }
    let recorder = match Recorder::resume_exec() {
        Some(recorder) => recorder,
        None => {
            let Some(mut recorder) = Recorder::begin_exec() else {
                return 0;
            };
            let asked: Ptr = load(ctx.arg(0), offset!(bprm_filename));
            recorder.string::<4096>(tag::ASKED, incomplete::ASKED_UNREADABLE, asked);
            recorder
        }
    };
    recorder.emit(kind::EXEC, i64::from(result));
    let _ = EXECS.remove(ids().0);
    0
}
