//! Fork, exit, dup and signals.

use aya_ebpf::macros::{btf_tracepoint, fentry, fexit, lsm, map};
use aya_ebpf::maps::HashMap;
use aya_ebpf::programs::{BtfTracePointContext, FEntryContext, FExitContext, LsmContext};
use pyti_trace_ebpf::{Process, has, kind};

use crate::entry::{BPF_NOEXIST, EEXIST};
use crate::kernel::{Ptr, current, load, number, offset, peek, peek_ptr, process_key};
use crate::network::{End, S_IFMT, S_IFSOCK, address, describe, describe_file};
use crate::recorder::{OF_EXEC, OF_MOUNT, OF_THREAD, Recorder, free_slot};
use crate::track::{TRACKED, count_untracked, ids, tracked, watching};

/// `signal_struct.flags`: the whole group exits with `group_exit_code`.
const SIGNAL_GROUP_EXIT: u32 = 4;
/// In the place of a signal's sender (include/linux/sched/signal.h).
const SEND_SIG_PRIV: u64 = 1;

/// Processes that ended and were not let go yet. Two threads that end at the same time both find
/// that they are the last.
#[map]
static ENDED: HashMap<u32, u32> = HashMap::with_max_entries(16384, 0);

/// The child is entered before it runs its first instruction.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn fork(ctx: BtfTracePointContext) -> i32 {
    let (tgid, _) = ids();
    let Some(parent) = tracked(tgid) else {
        return 0;
    };
    let child: Ptr = ctx.arg(1);
    let (child_tgid, child_start) = process_key(child);
    if child_tgid != load::<u32>(child, offset!(task_pid)) {
        return 0;
    }
    // SAFETY: a value of the map.
    let process = unsafe {
        Process {
            start_ns: child_start,
            parent_start_ns: (*parent).start_ns,
            parent_tgid: tgid,
            tree: (*parent).tree,
        }
    };
    if TRACKED.insert(child_tgid, process, 0).is_err() {
        count_untracked();
    }
    let Some(mut recorder) = Recorder::begin(kind::FORK) else {
        return 0;
    };
    // A new user namespace gives the child other capabilities than its parent has.
    let cred: Ptr = load(child, offset!(task_cred));
    let record = recorder.record();
    record.other_tgid = child_tgid;
    record.other_start_ns = child_start;
    record.mode = load(cred, offset!(cred_euid));
    record.flags = load(cred, offset!(cred_caps));
    record.has |= has::OTHER | has::MODE | has::FLAGS;
    recorder.emit(kind::FORK, 0);
    0
}

/// Fires for each thread; the process ends with the last one.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn exit(ctx: BtfTracePointContext) -> i32 {
    let (tgid, _) = ids();
    if tracked(tgid).is_none() {
        return 0;
    }
    let task: Ptr = ctx.arg(0);
    let group: Ptr = load(task, offset!(task_signal));
    if load::<i32>(group, offset!(signal_live)) > 0 {
        return 0;
    }
    if let Err(error) = ENDED.insert(tgid, 0, BPF_NOEXIST)
        && error == EEXIST
    {
        return 0;
    }
    let code: i32 = if load::<u32>(group, offset!(signal_flags)) & SIGNAL_GROUP_EXIT != 0 {
        load(group, offset!(signal_group_exit_code))
    } else {
        load(task, offset!(task_exit_code))
    };
    let Some(mut recorder) = Recorder::begin(kind::EXIT) else {
        return 0;
    };
    let record = recorder.record();
    let signal = (code & 0x7f) as u32;
    if signal != 0 {
        record.signal = signal;
        record.has |= has::SIGNAL;
    } else {
        record.exit_code = (code >> 8) & 0xff;
        record.has |= has::EXIT_CODE;
    }
    recorder.emit(kind::EXIT, 0);
    0
}

/// A dead thread is let go. Files are closed after `sched_process_exit`, so tracking ends here.
#[btf_tracepoint(function = "sched_process_free")]
pub fn free(ctx: BtfTracePointContext) -> i32 {
    let task: Ptr = ctx.arg(0);
    let tid: u32 = load(task, offset!(task_pid));
    let tgid: u32 = load(task, offset!(task_tgid));
    // Whatever is tracked: the processors let go in their own time, and the leader perhaps before this
    // one.
    free_slot(tid, OF_THREAD);
    let Some(process) = TRACKED.get_ptr(tgid) else {
        return 0;
    };
    free_slot(tid, OF_MOUNT);
    // SAFETY: a value of the map.
    if tid == tgid && unsafe { (*process).start_ns } == load::<u64>(task, offset!(task_start)) {
        free_slot(tgid, OF_EXEC);
        let _ = ENDED.remove(tgid);
        let _ = TRACKED.remove(tgid);
    }
    0
}

/// dup2 and dup3. A shell on a socket begins with this.
#[fentry(function = "ksys_dup3")]
pub fn dup(ctx: FEntryContext) -> i32 {
    let new: i32 = ctx.arg(1);
    if (0..=2).contains(&new)
        && let Some(mut recorder) = Recorder::hold(kind::DUP)
    {
        recorder.record().fd_old = ctx.arg(0);
    }
    0
}

/// One of them failed before it came to [`dup_file`].
#[fexit(function = "ksys_dup3")]
pub fn dup_failed(ctx: FExitContext) -> i32 {
    if let Some(mut recorder) = Recorder::resume(kind::DUP) {
        let record = recorder.record();
        record.fd_new = ctx.arg(1);
        record.has |= has::FDS;
        recorder.python();
        recorder.emit(kind::DUP, i64::from(ctx.arg::<i32>(3)));
    }
    0
}

/// What dup2 and dup3 come to, which knows the file; others come here too.
#[fexit(function = "do_dup2")]
pub fn dup_file(ctx: FExitContext) -> i32 {
    let new: i32 = ctx.arg(2);
    if !(0..=2).contains(&new) {
        return 0;
    }
    let mut recorder = match Recorder::resume(kind::DUP) {
        Some(recorder) => recorder,
        None => {
            let Some(mut recorder) = Recorder::begin(kind::DUP) else {
                return 0;
            };
            recorder.record().fd_old = -1;
            recorder
        }
    };
    let record = recorder.record();
    record.fd_new = new;
    record.has |= has::FDS;
    describe_file(&mut recorder, ctx.arg(1));
    recorder.python();
    recorder.emit(kind::DUP, i64::from(ctx.arg::<i32>(4)));
    0
}

/// A file becomes descriptor 0, 1 or 2 by another road than dup2: after a close it is opened, made (a
/// socket, a pipe), duplicated by dup or fcntl, or sent or taken from another process.
#[fentry(function = "fd_install")]
pub fn install(ctx: FEntryContext) -> i32 {
    let fd: i32 = ctx.arg(0);
    if !(0..=2).contains(&fd) || !watching() {
        return 0;
    }
    let Some(mut recorder) = Recorder::begin(kind::DUP) else {
        return 0;
    };
    let record = recorder.record();
    record.fd_old = -1;
    record.fd_new = fd;
    record.has |= has::FDS;
    describe_file(&mut recorder, ctx.arg(1));
    recorder.python();
    recorder.emit(kind::DUP, i64::from(fd));
    0
}

/// What a program begins with as its standard input and output, where that is a socket: whoever put it
/// there, such as another process that shared the descriptors. The interpreter that a `#!` line names begins
/// with the same. It is attached later than [`crate::exec::exec_resolve`], and so runs earlier.
#[lsm(hook = "bprm_check_security")]
pub fn dup_standard(ctx: LsmContext) -> i32 {
    let bprm: Ptr = ctx.arg(0);
    if !watching() || Recorder::resume_exec(bprm as u64).is_some() {
        return 0;
    }
    let files: Ptr = load(current(), offset!(task_files));
    let table = peek_ptr(files, offset!(files_fdt));
    let open = peek_ptr(table, offset!(fdtable_fd));
    for fd in 0..2_i32 {
        if peek::<u32>(table, offset!(fdtable_max)) <= fd as u32 {
            return 0;
        }
        let file = peek_ptr(open, fd as usize * size_of::<usize>());
        let inode = peek_ptr(file, offset!(file_inode));
        let mode: u16 = peek(inode, offset!(inode_mode));
        if mode & S_IFMT != S_IFSOCK {
            continue;
        }
        let Some(mut recorder) = Recorder::begin(kind::DUP) else {
            return 0;
        };
        let record = recorder.record();
        record.fd_old = -1;
        record.fd_new = fd;
        record.mode = u32::from(mode);
        record.has |= has::FDS | has::MODE;
        let socket = peek_ptr(file, offset!(file_private));
        describe(&mut recorder, socket);
        address(
            &mut recorder,
            peek_ptr(socket, offset!(socket_sk)),
            End::Peer,
        );
        recorder.emit(kind::DUP, i64::from(fd));
    }
    0
}

/// A signal to another process, allowed or refused.
#[fexit(function = "check_kill_permission")]
pub fn signal(ctx: FExitContext) -> i32 {
    let signal: u32 = ctx.arg(0);
    // The kernel's own signals bring a small number in the place of a pointer.
    if signal == 0 || number(&ctx, 1) <= SEND_SIG_PRIV {
        return 0;
    }
    let (tgid, _) = ids();
    if tracked(tgid).is_none() {
        return 0;
    }
    let (other, start) = process_key(ctx.arg(2));
    if other == tgid {
        return 0;
    }
    let Some(mut recorder) = Recorder::begin(kind::SIGNAL) else {
        return 0;
    };
    let record = recorder.record();
    record.signal = signal;
    record.other_tgid = other;
    record.other_start_ns = start;
    record.has |= has::SIGNAL | has::OTHER;
    recorder.python();
    recorder.emit(kind::SIGNAL, i64::from(ctx.arg::<i32>(3)));
    0
}
