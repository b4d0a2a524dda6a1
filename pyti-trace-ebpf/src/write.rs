//! Files written to: how much, and the first bytes. What a process wrote through one open file is one
//! record, made when it closes it.

use aya_ebpf::helpers::generated::{bpf_d_path, bpf_probe_read_user};
use aya_ebpf::macros::{fentry, fexit, lsm, map};
use aya_ebpf::maps::{Array, HashMap};
use aya_ebpf::programs::{FEntryContext, FExitContext, LsmContext};
use pyti_trace_ebpf::{SAMPLE, TEXT_MAX, WriteKey, Written, has, incomplete, kind, tag};

use crate::file::{FMODE_BACKING, set_inode};
use crate::kernel::{Ptr, inner, is_internal, load, offset, peek, peek_ptr};
use crate::memory::S_IFREG;
use crate::network::S_IFMT;
use crate::recorder::{Recorder, count_lost};
use crate::repeat::repeat;
use crate::track::{ids, tracked};
use crate::user::{in_32_bit_call, read};
use crate::view::is_foreign;

/// The file may be written to (include/linux/fs.h).
const FMODE_WRITE: u32 = 2;
const MAY_WRITE: u32 = 2;
/// Buffers of one write (include/uapi/linux/uio.h).
const UIO_MAXIOV: u32 = 1024;
/// Operations of io_uring (include/uapi/linux/io_uring.h).
const IORING_OP_WRITEV: u8 = 2;
const IORING_OP_WRITE_FIXED: u8 = 5;
const IORING_OP_WRITE: u8 = 23;

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
    if load::<u16>(inode, offset!(inode_mode)) & S_IFMT != S_IFREG
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

/// Counts what the running process wrote to a file, and gives what is known of the file if the sample
/// ends where this write began.
#[inline(always)]
fn count(file: Ptr, written: i64) -> Option<*mut Written> {
    if written <= 0 {
        return None;
    }
    let entry = WRITTEN.get_ptr_mut(write_key(file, ids().0))?;
    // SAFETY: a value of the map.
    let goes_on = unsafe {
        let before = (*entry).bytes;
        (*entry).bytes = before + written as u64;
        before == u64::from((*entry).sample_len)
    };
    goes_on.then_some(entry)
}

/// Adds the first of `len` bytes of user memory to the sample, as far as it has room, and says whether
/// it has more and they could be read: else nothing may follow them.
#[inline(always)]
fn sample(entry: *mut Written, from: u64, len: u64) -> bool {
    // SAFETY: a value of the map; the helper checks the source.
    unsafe {
        let have = (*entry).sample_len as usize;
        if have >= SAMPLE {
            return false;
        }
        let room = (SAMPLE - have) as u64;
        let len = if len > room { room } else { len };
        let to = (&raw mut (*entry).sample).cast::<u8>().add(have);
        if bpf_probe_read_user(to.cast(), len as u32, from as usize as Ptr) != 0 {
            return false;
        }
        (*entry).sample_len = have as u32 + len as u32;
        len < room
    }
}

/// Counts the bytes, and samples the first ones, of writes from one buffer.
#[fexit(function = "vfs_write")]
pub fn write_count(ctx: FExitContext) -> i32 {
    let written: i64 = ctx.arg(4);
    if let Some(entry) = count(ctx.arg(0), written) {
        sample(entry, ctx.arg(1), written as u64);
    }
    0
}

/// The same of writes from several buffers.
#[fexit(function = "vfs_writev")]
pub fn write_count_vector(ctx: FExitContext) -> i32 {
    let written: i64 = ctx.arg(5);
    if let Some(entry) = count(ctx.arg(0), written) {
        sample_vector(entry, ctx.arg(1), written as u64, in_32_bit_call());
    }
    0
}

/// A walk through the buffers of a write.
#[repr(C)]
struct Gather {
    entry: *mut Written,
    /// An array of `struct iovec`, or of its 32-bit kind.
    vector: u64,
    /// Bytes that were written and not looked at.
    left: u64,
    of_32_bits: bool,
}

/// Samples what was written from an array of `struct iovec`.
#[inline(always)]
fn sample_vector(entry: *mut Written, vector: u64, written: u64, of_32_bits: bool) {
    let mut gather = Gather {
        entry,
        vector,
        left: written,
        of_32_bits,
    };
    repeat(UIO_MAXIOV, sample_next, &mut gather);
}

unsafe extern "C" fn sample_next(index: u32, gather: *mut Gather) -> i64 {
    // SAFETY: `sample_vector` gives it its own.
    let gather = unsafe { &mut *gather };
    let (from, len) = if gather.of_32_bits {
        let [from, len]: [u32; 2] = read(gather.vector.wrapping_add(u64::from(index) * 8));
        (u64::from(from), u64::from(len))
    } else {
        let [from, len]: [u64; 2] = read(gather.vector.wrapping_add(u64::from(index) * 16));
        (from, len)
    };
    let len = if len > gather.left { gather.left } else { len };
    gather.left -= len;
    i64::from(!sample(gather.entry, from, len) || gather.left == 0)
}

/// Counts and samples what io_uring wrote at once or in a thread of its own. (Of a write around the
/// page cache only the completion, in an interrupt, knows how many bytes it were.)
#[fentry(function = "kiocb_done")]
pub fn write_count_uring(ctx: FEntryContext) -> i32 {
    let request: Ptr = ctx.arg(0);
    let written: i64 = ctx.arg(1);
    let operation: u8 = peek(request, offset!(io_opcode));
    if !matches!(
        operation,
        IORING_OP_WRITEV | IORING_OP_WRITE_FIXED | IORING_OP_WRITE
    ) {
        return 0;
    }
    if let Some(entry) = count(peek_ptr(request, offset!(io_file)), written) {
        let from: u64 = peek(request, offset!(io_rw_addr));
        if operation == IORING_OP_WRITEV {
            // Of a ring of 32 bits, whose array is another, this reads addresses that there are none
            // of. How the call came here says nothing: the ring was set up by another one.
            sample_vector(entry, from, written as u64, false);
        } else {
            sample(entry, from, written as u64);
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
    count(file, ctx.arg(6));
    0
}

/// Counts the bytes of sendfile.
#[fexit(function = "do_splice_direct")]
pub fn write_count_sendfile(ctx: FExitContext) -> i32 {
    count(ctx.arg(2), ctx.arg(6));
    0
}

/// Counts the bytes that come out of a pipe.
#[fexit(function = "do_splice")]
pub fn write_count_splice(ctx: FExitContext) -> i32 {
    count(ctx.arg(2), ctx.arg(6));
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
