//! Anonymous files, executable and written mappings, and access to other processes' memory.

use aya_ebpf::macros::{fexit, lsm};
use aya_ebpf::programs::{FExitContext, LsmContext};
use pyti_trace_ebpf::{has, incomplete, kind, tag};

use crate::file::set_inode;
use crate::kernel::{
    Ptr, error_of, inner, is_private, load, number, offset, peek, peek_ptr, process_key,
};
use crate::network::S_IFMT;
use crate::path::walk;
use crate::recorder::Recorder;
use crate::track::{ids, tracked, watching};
use crate::user::{in_mmap, second_argument};

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
/// `VM_SHARED` (include/linux/mm.h); `VM_WRITE` and `VM_EXEC` are the same numbers as their protections.
const VM_SHARED: u64 = 8;
pub const S_IFREG: u16 = 0o100_000;

/// What a mapping is on record for, if for anything. What cannot be written to may be by other roads,
/// such as /proc/PID/mem.
#[inline(always)]
fn kind_of(prot: u64, shared: bool, anonymous: bool) -> Option<u16> {
    if prot & EXEC != 0 {
        Some(kind::MMAP_EXEC)
    } else if prot & WRITE != 0 && shared && !anonymous {
        Some(kind::WRITE)
    } else {
        None
    }
}

/// Whether a mapping of this file is of interest: for execution, what the system did not bring
/// (its files are root's, and libraries are mapped by the dozen), or what is not the file's: a copy that is,
/// or may be, `changed`, or a device's; for writing, a regular file.
#[inline(always)]
fn is_of_interest(kind: u16, file: Ptr, changed: bool) -> bool {
    let inode: Ptr = load(file, offset!(file_inode));
    let regular = load::<u16>(inode, offset!(inode_mode)) & S_IFMT == S_IFREG;
    if kind == kind::MMAP_EXEC {
        changed || !regular || load::<u32>(inode, offset!(inode_uid)) != 0
    } else {
        regular
    }
}

#[inline(always)]
fn set_protection(recorder: &mut Recorder, kind: u16, prot: u64) {
    let record = recorder.record();
    record.flags = prot;
    record.has |= has::FLAGS;
    if kind == kind::WRITE {
        // What is written is never seen.
        recorder.mark(incomplete::DATA_INCOMPLETE);
    }
}

#[inline(always)]
fn emit_mapping(mut recorder: Recorder, kind: u16, result: i64) {
    recorder.python();
    if kind == kind::WRITE {
        recorder.emit(kind::WRITE, result);
    } else {
        recorder.emit(kind::MMAP_EXEC, result);
    }
}

/// A mapping is asked for. How mmap() ends, [`mmap_end`] tells. By any other road, such as shmat() or an
/// execution, the kernel may still give up without coming by there.
#[lsm(hook = "mmap_file")]
pub fn mmap(ctx: LsmContext) -> i32 {
    let prot: u64 = ctx.arg(2);
    let flags: u64 = ctx.arg(3);
    let shared = matches!(flags & MAP_TYPE, MAP_SHARED | MAP_SHARED_VALIDATE);
    let anonymous = number(&ctx, 0) == 0;
    let Some(kind) = kind_of(prot, shared, anonymous) else {
        return 0;
    };
    // Only where it is not null may it be read.
    let file: Ptr = ctx.arg(0);
    if !watching() || !anonymous && !is_of_interest(kind, file, prot & WRITE != 0) {
        return 0;
    }
    let result_is_told = in_mmap();
    let begun = if result_is_told {
        Recorder::hold_or_lose(kind)
    } else {
        Recorder::begin(kind)
    };
    let Some(mut recorder) = begun else {
        return 0;
    };
    if !anonymous {
        recorder.path(
            tag::PATH,
            incomplete::PATH_UNREADABLE,
            inner(file, offset!(file_path)),
        );
        set_inode(&mut recorder, load(file, offset!(file_inode)));
    }
    set_protection(&mut recorder, kind, prot);
    if !result_is_told {
        recorder.mark(incomplete::RESULT_UNKNOWN);
        emit_mapping(recorder, kind, 0);
    }
    0
}

/// Knows the result.
#[fexit(function = "vm_mmap_pgoff")]
pub fn mmap_end(ctx: FExitContext) -> i32 {
    mapped(0, error_of(ctx.arg(6)))
}

/// Gives the mapping that is held its result: of a new one the subject is 0, else it is what had its
/// protection changed.
#[inline(always)]
fn mapped(subject: u64, result: i64) -> i32 {
    if let Some(recorder) = Recorder::resume(kind::MMAP_EXEC) {
        if recorder.subject() == subject {
            emit_mapping(recorder, kind::MMAP_EXEC, result);
        }
    } else if let Some(recorder) = Recorder::resume(kind::WRITE)
        && recorder.subject() == subject
    {
        emit_mapping(recorder, kind::WRITE, result);
    }
    0
}

/// The protection of a mapping is changed. The kernel gives no path here. One call may change several,
/// one after the other.
#[lsm(hook = "file_mprotect")]
pub fn mprotect(ctx: LsmContext) -> i32 {
    let prot: u64 = ctx.arg(2);
    let vma: Ptr = ctx.arg(0);
    let flags: u64 = load(vma, offset!(vma_flags));
    let file: Ptr = load(vma, offset!(vma_file));
    // Of a copy, which is a number: with a pointer the compiler may do sums that the verifier forbids.
    let anonymous = peek_ptr(vma, offset!(vma_file)).is_null();
    let Some(kind) = kind_of(prot, flags & VM_SHARED != 0, anonymous) else {
        return 0;
    };
    // What could be executed and now can be written to as well is new too.
    let nothing_new = prot & !flags & (WRITE | EXEC) == 0;
    if nothing_new && kind == kind::MMAP_EXEC || !watching() {
        return 0;
    }
    // Pages of its own, which it has since one was written to.
    let changed = prot & WRITE != 0 || load::<usize>(vma, offset!(vma_anon)) != 0;
    if !anonymous && !is_of_interest(kind, file, changed) {
        return 0;
    }
    let Some(mut recorder) = Recorder::hold_or_lose(kind) else {
        return 0;
    };
    recorder.set_subject(number(&ctx, 0));
    if !anonymous {
        describe_mapped(&mut recorder, file);
    }
    set_protection(&mut recorder, kind, prot);
    0
}

/// The file of a mapping, by the name that it was opened by. A stacked file system maps the file below,
/// through a mount of its own, and the name stands behind that file (`struct backing_file` in
/// fs/file_table.c).
#[inline(always)]
fn describe_mapped(recorder: &mut Recorder, file: Ptr) {
    let inode: Ptr = load(file, offset!(file_inode));
    let sb: Ptr = load(inode, offset!(inode_sb));
    let own = inner(file, offset!(file_path));
    let path = if is_private(load(own, offset!(path_mnt)), sb) {
        (file as usize).wrapping_add(offset!(file_size))
    } else {
        own as usize
    };
    let path = path as Ptr;
    let dentry = peek_ptr(path, offset!(path_dentry));
    let inode = peek_ptr(dentry, offset!(dentry_inode));
    let sb = peek_ptr(inode, offset!(inode_sb));
    let record = recorder.record();
    record.inode = peek(inode, offset!(inode_ino));
    record.dev = peek(sb, offset!(sb_dev));
    record.has |= has::INODE | has::DEV;
    walk(recorder, dentry, peek_ptr(path, offset!(path_mnt)));
}

/// Knows the result of each: that of the call is an error as well where only the last one failed.
#[fexit(function = "mprotect_fixup")]
pub fn mprotect_end(ctx: FExitContext) -> i32 {
    mapped(number(&ctx, 2), i64::from(ctx.arg::<i32>(7)))
}

/// memfd_create makes its file here, as other parts of the kernel do.
#[fexit(function = "shmem_file_setup")]
pub fn memfd(ctx: FExitContext) -> i32 {
    anonymous_file(ctx.arg(0), number(&ctx, 3))
}

/// And here, of huge pages (`MFD_HUGETLB`).
#[fexit(function = "hugetlb_file_setup")]
pub fn memfd_huge(ctx: FExitContext) -> i32 {
    anonymous_file(ctx.arg(0), number(&ctx, 5))
}

#[inline(always)]
fn anonymous_file(name: Ptr, file: u64) -> i32 {
    if !watching() {
        return 0;
    }
    if peek::<[u8; 6]>(name, 0) != MEMFD_PREFIX {
        return 0;
    }
    if let Some(mut recorder) = Recorder::begin(kind::MEMFD_CREATE) {
        recorder.string::<256>(tag::PATH, incomplete::PATH_UNREADABLE, name);
        // Only the call itself makes a file of this name, and its flags are not given here.
        recorder.record().flags = second_argument();
        recorder.record().has |= has::FLAGS;
        recorder.python();
        recorder.emit(kind::MEMFD_CREATE, error_of(file));
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
    let other = process_key(ctx.arg(0));
    if other.0 == tgid {
        return 0;
    }
    access(other, mode, ctx.arg(2))
}

/// A process lets its parent trace it (`PTRACE_TRACEME`): flags are 0. Behind this question nothing can
/// fail.
#[fexit(function = "security_ptrace_traceme")]
pub fn traceme(ctx: FExitContext) -> i32 {
    access(process_key(ctx.arg(0)), 0, ctx.arg(1))
}

#[inline(always)]
fn access(other: (u32, u64), flags: u32, result: i32) -> i32 {
    if let Some(mut recorder) = Recorder::begin(kind::PTRACE) {
        let record = recorder.record();
        record.flags = u64::from(flags);
        (record.other_tgid, record.other_start_ns) = other;
        record.has |= has::FLAGS | has::OTHER;
        recorder.python();
        recorder.emit(kind::PTRACE, i64::from(result));
    }
    0
}
