//! Open and write.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::{bpf_d_path, bpf_get_func_ret, bpf_probe_read_user};
use aya_ebpf::macros::{fentry, fexit, lsm, map};
use aya_ebpf::maps::{Array, HashMap};
use aya_ebpf::programs::{FEntryContext, FExitContext, LsmContext};
use pyti_trace_ebpf::{SAMPLE, TEXT_MAX, WriteKey, Written, has, incomplete, kind, tag};

use crate::exec::arguments_asked;
use crate::kernel::{Ptr, inner, is_internal, load, offset};
use crate::recorder::{Recorder, count_lost};
use crate::track::{ids, tracked, watching};
use crate::view::is_foreign;

const MAX_ERRNO: u64 = 4095;
const EAGAIN: i64 = -11;
/// `__FMODE_EXEC` in open flags: the kernel opens a program to execute it.
const FMODE_EXEC: u32 = 0x20;
/// The file may be written to (include/linux/fs.h).
const FMODE_WRITE: u32 = 2;
/// The open made the file (include/linux/fs.h).
const FMODE_CREATED: u32 = 1 << 20;
/// A file that a stacked file system opened below another one (include/linux/fs.h).
const FMODE_BACKING: u32 = 1 << 25;
/// io_uring's first try, which must not block (include/linux/namei.h).
const LOOKUP_CACHED: u32 = 1 << 21;
const O_ACCMODE: u32 = 3;
const O_CREAT_OR_TMPFILE: u32 = 0o100 | 0o20_000_000;
const MAY_WRITE: u32 = 2;
const S_IFMT: u32 = 0o170_000;
const S_IFREG: u32 = 0o100_000;

/// Resolves the path while the kernel still may be asked for it.
#[lsm(hook = "file_open")]
pub fn open_resolve(ctx: LsmContext) -> i32 {
    let file: Ptr = ctx.arg(0);
    if load::<u32>(file, offset!(file_mode)) & FMODE_BACKING != 0
        || load::<u32>(file, offset!(file_flags)) & FMODE_EXEC != 0
        || !watching()
        || is_internal(file)
    {
        return 0;
    }
    let Some(mut recorder) = Recorder::begin(kind::OPEN) else {
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
    if !watching() {
        return 0;
    }
    let name: Ptr = load(ctx.arg(1), offset!(filename_name));
    opened(&ctx, name)
}

/// Opens by handle, and those that the kernel makes below a directory.
#[fexit(function = "do_file_open_root")]
pub fn open_root_emit(ctx: FExitContext) -> i32 {
    if !watching() {
        return 0;
    }
    opened(&ctx, ctx.arg(1))
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
            // The program to execute was not found or not allowed: nothing later would tell.
            let Some(mut recorder) = Recorder::begin(kind::EXEC) else {
                return 0;
            };
            recorder.string::<4096>(tag::ASKED, incomplete::ASKED_UNREADABLE, name);
            arguments_asked(&mut recorder);
            recorder.python();
            recorder.emit(kind::EXEC, result);
            return 0;
        }
        let Some(mut recorder) = Recorder::begin(kind::OPEN) else {
            return 0;
        };
        recorder.string::<4096>(tag::ASKED, incomplete::ASKED_UNREADABLE, name);
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
            let Some(mut recorder) = Recorder::begin(kind::OPEN) else {
                return 0;
            };
            recorder.mark(incomplete::PATH_UNREADABLE);
            recorder
        }
    };
    recorder.string::<4096>(tag::ASKED, incomplete::ASKED_UNREADABLE, name);
    set_flags(&mut recorder, op, flags);
    let file: Ptr = ctx.arg(3);
    let created = load::<u32>(file, offset!(file_mode)) & FMODE_CREATED;
    let inode: Ptr = load(file, offset!(file_inode));
    let record = recorder.record();
    record.created = created;
    record.has |= has::CREATED;
    set_inode(&mut recorder, inode);
    python_of_open(&mut recorder, flags);
    recorder.emit(kind::OPEN, 0);
    0
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

/// Files that a process wrote to and has not closed.
#[map]
static WRITTEN: HashMap<WriteKey, Written> = HashMap::with_max_entries(1024, 0);

/// A new entry is a copy of this one.
#[map]
static UNWRITTEN: Array<Written> = Array::with_max_entries(1, 0);

#[inline(always)]
fn write_key(file: Ptr, tgid: u32) -> WriteKey {
    WriteKey {
        file: file as u64,
        tgid,
        pad: 0,
    }
}

/// Every way to write asks here first: write, writev, splice, sendfile, copy_file_range, io_uring.
#[fentry(function = "security_file_permission")]
pub fn write_mark(ctx: FEntryContext) -> i32 {
    if ctx.arg::<u32>(1) & MAY_WRITE == 0 {
        return 0;
    }
    let (tgid, _) = ids();
    if tracked(tgid).is_none() {
        return 0;
    }
    let file: Ptr = ctx.arg(0);
    let inode: Ptr = load(file, offset!(file_inode));
    if u32::from(load::<u16>(inode, offset!(inode_mode))) & S_IFMT != S_IFREG
        || load::<u32>(file, offset!(file_mode)) & FMODE_BACKING != 0
    {
        return 0;
    }
    let key = write_key(file, tgid);
    let number: u64 = load(inode, offset!(inode_ino));
    if let Some(entry) = WRITTEN.get_ptr(key)
        // SAFETY: a value of the map.
        && unsafe { (*entry).inode } == number
    {
        return 0;
    }
    if is_internal(file) {
        return 0;
    }
    if let Some(unwritten) = UNWRITTEN.get(0) {
        let _ = WRITTEN.insert(key, unwritten, 0);
    }
    let Some(entry) = WRITTEN.get_ptr_mut(key) else {
        count_lost(kind::WRITE);
        return 0;
    };
    // close() passes no hook where the kernel may be asked for a path: it is asked here.
    // SAFETY: a value of the map; the verifier checks that the second is a path.
    unsafe {
        (*entry).inode = number;
        let path = inner(file, offset!(file_path));
        let len = bpf_d_path(
            path as *mut _,
            (&raw mut (*entry).path).cast(),
            TEXT_MAX as u32,
        );
        if len > 0 {
            (*entry).path_len = len as u32;
        }
        if is_foreign(path) {
            (*entry).incomplete = incomplete::PATH_UNRESOLVED;
        }
    }
    0
}

/// Counts the bytes, and samples the first ones, of plain writes.
#[fexit(function = "vfs_write")]
pub fn write_count(ctx: FExitContext) -> i32 {
    let written: i64 = ctx.arg(4);
    if written <= 0 {
        return 0;
    }
    let (tgid, _) = ids();
    let Some(entry) = WRITTEN.get_ptr_mut(write_key(ctx.arg(0), tgid)) else {
        return 0;
    };
    // SAFETY: a value of the map; the helper checks the source.
    unsafe {
        (*entry).bytes += written as u64;
        if (*entry).sample_len == 0 {
            let len = if written > SAMPLE as i64 {
                SAMPLE as u32
            } else {
                written as u32
            };
            if bpf_probe_read_user((&raw mut (*entry).sample).cast(), len, ctx.arg(1)) == 0 {
                (*entry).sample_len = len;
            }
        }
    }
    0
}

/// Counts the bytes of copies inside the kernel, where the file system does them by itself: others
/// come to [`write_count_sendfile`] on their way.
#[fexit(function = "vfs_copy_file_range")]
pub fn write_count_copy(ctx: FExitContext) -> i32 {
    let file: Ptr = ctx.arg(2);
    let operations: Ptr = load(file, offset!(file_op));
    if load::<usize>(operations, offset!(operations_copy)) == 0 {
        return 0;
    }
    count_only(file, ctx.arg(6))
}

/// Counts the bytes of sendfile.
#[fexit(function = "do_splice_direct")]
pub fn write_count_sendfile(ctx: FExitContext) -> i32 {
    count_only(ctx.arg(2), ctx.arg(6))
}

#[inline(always)]
fn count_only(file: Ptr, written: i64) -> i32 {
    let (tgid, _) = ids();
    if written > 0
        && let Some(entry) = WRITTEN.get_ptr_mut(write_key(file, tgid))
    {
        // SAFETY: a value of the map.
        unsafe { (*entry).bytes += written as u64 };
    }
    0
}

/// A descriptor is closed, by close() or else: what its process wrote through the file is complete.
#[fentry(function = "filp_flush")]
pub fn write_emit(ctx: FEntryContext) -> i32 {
    written(ctx.arg(0))
}

/// A file goes away that perhaps had no descriptor, such as those that io_uring keeps for itself.
#[lsm(hook = "file_release")]
pub fn write_release(ctx: LsmContext) -> i32 {
    written(ctx.arg(0))
}

#[inline(always)]
fn written(file: Ptr) -> i32 {
    if load::<u32>(file, offset!(file_mode)) & FMODE_WRITE == 0 {
        return 0;
    }
    let (tgid, _) = ids();
    let key = write_key(file, tgid);
    let Some(entry) = WRITTEN.get_ptr(key) else {
        return 0;
    };
    let Some(mut recorder) = Recorder::begin(kind::WRITE) else {
        return 0;
    };
    // SAFETY: a value of the map.
    unsafe {
        let path_len = (*entry).path_len;
        if path_len > 0 {
            let path = (&raw const (*entry).path).cast();
            recorder.kernel::<{ TEXT_MAX as u32 }>(tag::PATH, path, path_len);
        } else {
            recorder.mark(incomplete::PATH_UNREADABLE);
        }
        recorder.mark((*entry).incomplete);
        let len = (*entry).sample_len;
        if (*entry).bytes > 0 {
            recorder.record().bytes = (*entry).bytes;
            recorder.record().has |= has::BYTES;
        }
        if len > 0 {
            recorder.kernel::<{ SAMPLE as u32 }>(
                tag::DATA,
                (&raw const (*entry).sample).cast(),
                len,
            );
        }
        if u64::from(len) != (*entry).bytes || len == 0 {
            recorder.mark(incomplete::DATA_INCOMPLETE);
        }
    }
    let inode: Ptr = load(file, offset!(file_inode));
    set_inode(&mut recorder, inode);
    let _ = WRITTEN.remove(key);
    recorder.emit(kind::WRITE, 0);
    0
}
