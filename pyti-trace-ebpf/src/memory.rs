//! Anonymous files, executable and written mappings, and access to other processes' memory.

use aya_ebpf::macros::{fexit, lsm};
use aya_ebpf::programs::{FExitContext, LsmContext};
use pyti_trace_ebpf::{has, incomplete, kind, tag};

use crate::file::set_inode;
use crate::kernel::{Ptr, inner, load, offset, peek, peek_ptr, process_key};
use crate::network::S_IFMT;
use crate::path::walk_file;
use crate::recorder::Recorder;
use crate::track::{ids, tracked, watching};

/// `PTRACE_MODE_ATTACH` (include/linux/ptrace.h); reading /proc asks for less.
const ATTACH: u32 = 2;
/// The kernel names a memfd's file by this prefix and the name that the program gave (mm/memfd.c).
const MEMFD_PREFIX: [u8; 6] = *b"memfd:";

/// `PROT_WRITE`, `PROT_EXEC` (include/uapi/asm-generic/mman-common.h).
const WRITE: u64 = 2;
const EXEC: u64 = 4;
/// `MAP_TYPE`, and the two types that reach the file (include/uapi/linux/mman.h).
const MAP_TYPE: u64 = 0xf;
const MAP_SHARED: u64 = 1;
const MAP_SHARED_VALIDATE: u64 = 3;
/// `VM_EXEC`, `VM_SHARED` (include/linux/mm.h).
const VM_EXEC: u64 = 4;
const VM_SHARED: u64 = 8;
pub const S_IFREG: u16 = 0o100_000;

/// What a mapping is on record for, if for anything.
#[inline(always)]
fn kind_of(prot: u64, shared: bool, anonymous: bool) -> Option<u16> {
    if prot & EXEC != 0 && (!anonymous || prot & WRITE != 0) {
        Some(kind::MMAP_EXEC)
    } else if prot & WRITE != 0 && shared && !anonymous {
        Some(kind::WRITE)
    } else {
        None
    }
}

/// Whether a mapping of this file is of interest: for execution, what the system did not bring
/// (its files are root's, and libraries are mapped by the dozen); for writing, a regular file.
#[inline(always)]
fn is_of_interest(kind: u16, inode: Ptr) -> bool {
    if kind == kind::MMAP_EXEC {
        load::<u32>(inode, offset!(inode_uid)) != 0
    } else {
        load::<u16>(inode, offset!(inode_mode)) & S_IFMT == S_IFREG
    }
}

#[inline(always)]
fn emit_mapping(mut recorder: Recorder, kind: u16, prot: u64) {
    let record = recorder.record();
    record.flags = prot;
    record.has |= has::FLAGS;
    if kind == kind::WRITE {
        // What is written is never seen.
        recorder.mark(incomplete::DATA_INCOMPLETE);
        recorder.emit(kind::WRITE, 0);
    } else {
        recorder.python();
        recorder.emit(kind::MMAP_EXEC, 0);
    }
}

/// A mapping is asked for.
#[lsm(hook = "mmap_file")]
pub fn mmap(ctx: LsmContext) -> i32 {
    let prot: u64 = ctx.arg(2);
    let flags: u64 = ctx.arg(3);
    let shared = matches!(flags & MAP_TYPE, MAP_SHARED | MAP_SHARED_VALIDATE);
    if kind_of(prot, shared, false).is_none() || !watching() {
        return 0;
    }
    let file: Ptr = ctx.arg(0);
    let Some(mut recorder) = Recorder::begin(kind::MMAP_EXEC) else {
        return 0;
    };
    recorder.set_subject(file as u64);
    // Without a file the pointer is null, which the verifier does not believe of an argument: it
    // takes a plain check away. Of what comes back from a map it knows nothing.
    let anonymous = recorder.subject() == 0;
    let Some(kind) = kind_of(prot, shared, anonymous) else {
        return 0;
    };
    if !anonymous {
        let inode: Ptr = load(file, offset!(file_inode));
        if !is_of_interest(kind, inode) {
            return 0;
        }
        recorder.path(
            tag::PATH,
            incomplete::PATH_UNREADABLE,
            inner(file, offset!(file_path)),
        );
        set_inode(&mut recorder, inode);
    }
    recorder.record().kind = kind;
    emit_mapping(recorder, kind, prot);
    0
}

/// The protection of a mapping is changed. The kernel gives no path here.
#[lsm(hook = "file_mprotect")]
pub fn mprotect(ctx: LsmContext) -> i32 {
    let prot: u64 = ctx.arg(2);
    let vma: Ptr = ctx.arg(0);
    let flags: u64 = load(vma, offset!(vma_flags));
    let file: Ptr = load(vma, offset!(vma_file));
    // Of a copy, which is a number: with a pointer the compiler may do sums that the verifier forbids.
    let anonymous = peek_ptr(vma, offset!(vma_file)).is_null();
    let executed_before = flags & VM_EXEC != 0;
    let Some(kind) = kind_of(prot, flags & VM_SHARED != 0, anonymous) else {
        return 0;
    };
    if executed_before && kind == kind::MMAP_EXEC || !watching() {
        return 0;
    }
    let Some(mut recorder) = Recorder::begin(kind) else {
        return 0;
    };
    if !anonymous {
        let inode: Ptr = load(file, offset!(file_inode));
        if !is_of_interest(kind, inode) {
            return 0;
        }
        set_inode(&mut recorder, inode);
        walk_file(&mut recorder, file);
    }
    emit_mapping(recorder, kind, prot);
    0
}

/// memfd_create makes its file here, as other parts of the kernel do.
#[fexit(function = "shmem_file_setup")]
pub fn memfd(ctx: FExitContext) -> i32 {
    if !watching() {
        return 0;
    }
    let name: Ptr = ctx.arg(0);
    if peek::<[u8; 6]>(name, 0) != MEMFD_PREFIX {
        return 0;
    }
    if let Some(mut recorder) = Recorder::begin(kind::MEMFD_CREATE) {
        recorder.string::<256>(tag::PATH, incomplete::PATH_UNREADABLE, name);
        recorder.python();
        recorder.emit(kind::MEMFD_CREATE, 0);
    }
    0
}

/// A process asks for access to another one: ptrace, process_vm_readv, /proc/PID/mem; allowed or
/// refused.
#[fexit(function = "__ptrace_may_access")]
pub fn ptrace(ctx: FExitContext) -> i32 {
    let mode: u32 = ctx.arg(1);
    let (tgid, _) = ids();
    if mode & ATTACH == 0 || tracked(tgid).is_none() {
        return 0;
    }
    let (other, start) = process_key(ctx.arg(0));
    if other == tgid {
        return 0;
    }
    if let Some(mut recorder) = Recorder::begin(kind::PTRACE) {
        let record = recorder.record();
        record.flags = u64::from(mode);
        record.other_tgid = other;
        record.other_start_ns = start;
        record.has |= has::FLAGS | has::OTHER;
        recorder.python();
        recorder.emit(kind::PTRACE, i64::from(ctx.arg::<i32>(2)));
    }
    0
}
