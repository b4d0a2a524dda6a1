//! Programs executed. A program that could not even be opened is seen in `file`.

use aya_ebpf::helpers::generated::bpf_task_pt_regs;
use aya_ebpf::macros::{btf_tracepoint, fexit, lsm};
use aya_ebpf::programs::{BtfTracePointContext, FExitContext, LsmContext};
use pyti_trace_ebpf::{has, incomplete, kind, tag};

use crate::file::set_inode;
use crate::kernel::{Ptr, current, inner, load, offset, peek};
use crate::lost::count_missing;
use crate::path::{walk_cwd, walk_file};
use crate::recorder::Recorder;
use crate::track::watching;
use crate::user::{call_number, in_32_bit_call};
use crate::view;

/// Bytes kept of the arguments, and of the environment.
const MAX_WORDS: u32 = 4096;
/// What marks them as cut, and as unreadable.
const ARGV_MARKS: [u32; 2] = [incomplete::ARGV_TRUNCATED, incomplete::ARGV_UNREADABLE];
const ENV_MARKS: [u32; 2] = [incomplete::ENV_TRUNCATED, incomplete::ENV_UNREADABLE];

/// Numbers of the system calls (arch/x86/entry/syscalls).
const EXECVE: i32 = 59;
const EXECVEAT: i32 = 322;
const EXECVE_32: i32 = 11;
const EXECVEAT_32: i32 = 358;

/// Appends arguments and environment of an execution that failed before the kernel copied them, or that
/// gave back the stack which they were copied to: they are where the system call found them, unless
/// another thread has changed them since.
#[inline(always)]
pub fn words_asked(recorder: &mut Recorder) {
    let task = current();
    // SAFETY: the running task.
    let regs = unsafe { bpf_task_pt_regs(task as *mut _) } as Ptr;
    let call = call_number(regs);
    // All of them first: chosen among are numbers then, and not places that a pointer is to go to.
    let si: u64 = peek(regs, offset!(regs_si));
    let dx: u64 = peek(regs, offset!(regs_dx));
    let cx: u64 = peek(regs, offset!(regs_cx));
    let r10: u64 = peek(regs, offset!(regs_r10));
    let short = in_32_bit_call();
    let (argv, env) = match (short, call) {
        (false, EXECVE) => (si, dx),
        (false, EXECVEAT) => (dx, r10),
        (true, EXECVE_32) => (cx, dx),
        (true, EXECVEAT_32) => (dx, si),
        _ => {
            recorder.mark(incomplete::ARGV_UNREADABLE | incomplete::ENV_UNREADABLE);
            return;
        }
    };
    let (width, bits) = if short {
        (4, u64::from(u32::MAX))
    } else {
        (8, u64::MAX)
    };
    recorder.words(tag::ARGV, ARGV_MARKS, argv & bits, width);
    recorder.words(tag::ENV, ENV_MARKS, env & bits, width);
}

/// Fires for the program, and again for the interpreter that a `#!` line names.
#[lsm(hook = "bprm_check_security")]
pub fn exec_resolve(ctx: LsmContext) -> i32 {
    let bprm: Ptr = ctx.arg(0);
    let file: Ptr = load(bprm, offset!(bprm_file));
    let asked: Ptr = load(bprm, offset!(bprm_filename));
    let interpreter: Ptr = load(bprm, offset!(bprm_interp));
    // They are the same until a `#!` line is read: a record that is there all the same is of an execution that
    // failed, where the kernel refused [`exec_fail`] and has the same address for another one.
    if interpreter != asked
        && let Some(mut recorder) = Recorder::resume_exec(bprm as u64)
    {
        recorder.path(
            tag::TARGET,
            incomplete::TARGET_UNREADABLE,
            inner(file, offset!(file_path)),
        );
        return 0;
    }
    let Some(mut recorder) = Recorder::begin_exec(bprm as u64) else {
        return 0;
    };
    view::learn();
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
    recorder.asked(tag::ASKED, incomplete::ASKED_UNREADABLE, asked);
    describe_program(&mut recorder, file);
    // The memory is still that of the program which asked.
    recorder.python();
    0
}

#[inline(always)]
fn describe_program(recorder: &mut Recorder, file: Ptr) {
    let inode: Ptr = load(file, offset!(file_inode));
    set_inode(recorder, inode);
    let record = recorder.record();
    record.nlink = load(inode, offset!(inode_nlink));
    record.mode = u32::from(load::<u16>(inode, offset!(inode_mode))) & 0o7777;
    record.has |= has::NLINK | has::MODE;
}

/// The new program is in place.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn exec_emit(ctx: BtfTracePointContext) -> i32 {
    let bprm: Ptr = ctx.arg(2);
    if let Some(recorder) = Recorder::resume_exec(bprm as u64) {
        return executed(recorder);
    }
    // The kernel refused [`exec_resolve`], or there was no room then. Of a script only the name is at
    // hand here: its file has made way for the interpreter's.
    let Some(mut recorder) = Recorder::begin_exec(bprm as u64) else {
        count_missing(kind::EXEC);
        return 0;
    };
    view::learn();
    walk_cwd(&mut recorder);
    let asked: Ptr = load(bprm, offset!(bprm_filename));
    recorder.asked(tag::ASKED, incomplete::ASKED_UNREADABLE, asked);
    let interpreter: Ptr = load(bprm, offset!(bprm_interp));
    if interpreter == asked {
        let file: Ptr = load(bprm, offset!(bprm_file));
        walk_file(&mut recorder, file);
        describe_program(&mut recorder, file);
    } else {
        recorder.mark(incomplete::PATH_UNREADABLE | incomplete::TARGET_UNRESOLVED);
        recorder.asked(tag::TARGET, incomplete::TARGET_UNREADABLE, interpreter);
    }
    executed(recorder)
}

/// Adds what lies on the new program's stack.
#[inline(always)]
fn executed(mut recorder: Recorder) -> i32 {
    let mm: Ptr = load(current(), offset!(task_mm));
    words_given(
        &mut recorder,
        tag::ARGV,
        ARGV_MARKS,
        load(mm, offset!(mm_arg_start)),
        load(mm, offset!(mm_arg_end)),
    );
    words_given(
        &mut recorder,
        tag::ENV,
        ENV_MARKS,
        load(mm, offset!(mm_env_start)),
        load(mm, offset!(mm_env_end)),
    );
    recorder.emit(kind::EXEC, 0);
    0
}

/// Appends words that the kernel has put one behind the other.
#[inline(always)]
fn words_given(
    recorder: &mut Recorder,
    tag: u16,
    [cut, unreadable]: [u32; 2],
    start: u64,
    end: u64,
) {
    let len = end.saturating_sub(start);
    recorder.user::<MAX_WORDS>(tag, unreadable, start as usize as Ptr, len);
    if len > u64::from(MAX_WORDS) {
        recorder.mark(cut);
    }
}

/// The program was opened, but could not be executed. Perhaps another thread of the process executes
/// one, and this one is being ended: the record of that is not touched.
#[fexit(function = "bprm_execve")]
pub fn exec_fail(ctx: FExitContext) -> i32 {
    let result: i32 = ctx.arg(1);
    if result >= 0 || !watching() {
        return 0;
    }
    let bprm: Ptr = ctx.arg(0);
    let mut recorder = match Recorder::resume_exec(bprm as u64) {
        Some(recorder) => recorder,
        None => {
            let Some(mut recorder) = Recorder::begin(kind::EXEC) else {
                return 0;
            };
            let asked: Ptr = load(bprm, offset!(bprm_filename));
            recorder.asked(tag::ASKED, incomplete::ASKED_UNREADABLE, asked);
            walk_cwd(&mut recorder);
            recorder.python();
            recorder
        }
    };
    words_asked(&mut recorder);
    recorder.emit(kind::EXEC, i64::from(result));
    0
}
