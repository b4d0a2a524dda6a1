//! Files written to: how much, and the first bytes. What a process wrote through one open file is one
//! record, made when it closes it.
//!
//! The first bytes are those of the file, as they were written last: who writes the body first and the
//! head over it at the end shows the head.

use aya_ebpf::helpers::generated::{
    bpf_d_path, bpf_ktime_get_boot_ns, bpf_probe_read_kernel, bpf_probe_read_user,
};
use aya_ebpf::macros::{fentry, fexit, lsm, map};
use aya_ebpf::maps::{Array, HashMap};
use aya_ebpf::programs::{FEntryContext, FExitContext, LsmContext};
use pyti_trace_ebpf::{
    SAMPLE, SHORT_PATH, TEXT_MAX, WriteKey, Written, has, incomplete, kind, tag,
};

use crate::entry::{BPF_NOEXIST, EEXIST};
use crate::file::set_inode;
use crate::kernel::{Ptr, inner, is_backing, load, offset, peek};
use crate::lost::{count_lost, count_missing};
use crate::memory::S_IFREG;
use crate::network::S_IFMT;
use crate::recorder::Recorder;
use crate::repeat::{UIO_MAXIOV, repeat};
use crate::track::ids;
use crate::user::{in_32_bit_call, read};
use crate::view::{is_foreign, is_internal};

/// The file may be written to (include/linux/fs.h).
const FMODE_WRITE: u32 = 2;
const MAY_WRITE: u32 = 2;
/// Files that are written to at the same time, at most.
const MAX_WRITTEN: u32 = 1024;
/// The buffer is too short for the path.
const ENAMETOOLONG: i64 = -36;
/// The file system does no such thing, and has not begun to.
const EOPNOTSUPP: i32 = -95;
/// Of [`Written::unseen`]: bytes that may lie in the sample were written and not seen,
const NOT_SEEN: u32 = 1;
/// or the whole file was rearranged, which no later sample makes good.
const REARRANGED: u32 = 2;
/// In the mode of fallocate: the file does not become longer (include/uapi/linux/falloc.h).
const FALLOC_FL_KEEP_SIZE: u32 = 1;

/// Files that a process wrote to and has not closed.
#[map]
static WRITTEN: HashMap<WriteKey, Written> = HashMap::with_max_entries(MAX_WRITTEN, 0);

/// The paths of those that have no room there.
#[map]
static LONG_PATHS: HashMap<WriteKey, [u8; TEXT_MAX]> = HashMap::with_max_entries(MAX_WRITTEN, 0);

/// A long path is put into a copy of this.
#[map]
static NO_PATH: Array<[u8; TEXT_MAX]> = Array::with_max_entries(1, 0);

/// Key of an open file, by its address.
#[inline(always)]
fn write_key(file: u64, tgid: u32) -> WriteKey {
    WriteKey { file, tgid, pad: 0 }
}

/// What tells a file from a later one whose `struct file` lies at the same address: its inode's number
/// and device, which has its bits elsewhere.
#[inline(always)]
fn identity(inode: Ptr) -> u64 {
    let sb: Ptr = load(inode, offset!(inode_sb));
    load::<u64>(inode, offset!(inode_ino))
        ^ u64::from(load::<u32>(sb, offset!(sb_dev))).rotate_right(32)
}

/// Puts the path of a file into its entry, or beside it.
#[inline(always)]
fn keep_path(entry: *mut Written, key: WriteKey, path: Ptr) {
    // SAFETY: a value of the map; the verifier checks that the second is a path.
    let short = unsafe {
        let to = (&raw mut (*entry).path).cast();
        bpf_d_path(path as *mut _, to, SHORT_PATH as u32)
    };
    // SAFETY: a value of the map.
    unsafe { (*entry).path_len = if short > 0 { short as u32 } else { 0 } };
    if short != ENAMETOOLONG {
        return;
    }
    if let Some(empty) = NO_PATH.get(0) {
        let _ = LONG_PATHS.insert(key, empty, 0);
    }
    if let Some(long) = LONG_PATHS.get_ptr_mut(key) {
        // SAFETY: as above.
        unsafe {
            let len = bpf_d_path(path as *mut _, long.cast(), TEXT_MAX as u32);
            (*entry).path_len = if len > 0 { len as u32 } else { 0 };
        }
    }
}

/// The path of a file that was written to, and its length.
#[inline(always)]
fn kept_path(entry: *const Written, key: WriteKey) -> (Ptr, u32) {
    // SAFETY: a value of the map.
    let len = unsafe { (*entry).path_len };
    if len <= SHORT_PATH as u32 {
        // SAFETY: as above.
        return (unsafe { (&raw const (*entry).path).cast() }, len);
    }
    match LONG_PATHS.get_ptr(key) {
        Some(long) => (long.cast(), len),
        None => (core::ptr::null(), 0),
    }
}

/// Forgets a file.
#[inline(always)]
fn forget(entry: *const Written, key: WriteKey) {
    // SAFETY: a value of the map.
    if unsafe { (*entry).path_len } > SHORT_PATH as u32 {
        let _ = LONG_PATHS.remove(key);
    }
    let _ = WRITTEN.remove(key);
}

/// Every way to write asks here first: write, writev, splice, sendfile, copy_file_range, io_uring.
#[fentry(function = "security_file_permission")]
pub fn write_mark(ctx: FEntryContext) -> i32 {
    if ctx.arg::<u32>(1) & MAY_WRITE == 0 {
        return 0;
    }
    if !Recorder::watches() {
        return 0;
    }
    let file: Ptr = ctx.arg(0);
    let inode: Ptr = load(file, offset!(file_inode));
    if load::<u16>(inode, offset!(inode_mode)) & S_IFMT != S_IFREG || is_backing(file) {
        return 0;
    }
    let key = write_key(file as u64, ids().0);
    let identity = identity(inode);
    let before = WRITTEN.get_ptr(key);
    // SAFETY: a value of the map.
    if before.is_some_and(|entry| unsafe { (*entry).inode } == identity) {
        return 0;
    }
    if is_internal(file) {
        return 0;
    }
    if let Some(before) = before {
        // Closed by who shares this process's descriptors: nobody will tell of it any more.
        count_lost(kind::WRITE);
        forget(before, key);
    }
    // What is in the scratch is copied at once: nothing is looked for again.
    let Some(entry) = Recorder::scratch_of_thread() else {
        count_missing(kind::WRITE);
        return 0;
    };
    let entry = entry.cast::<Written>();
    let path = inner(file, offset!(file_path));
    // SAFETY: the scratch is longer, which the verifier checks; a helper without preconditions.
    unsafe {
        (*entry).bytes = 0;
        (*entry).inode = identity;
        (*entry).sample_at = 0;
        (*entry).sample_len = 0;
        (*entry).incomplete = if is_foreign(path) {
            incomplete::PATH_UNRESOLVED
        } else {
            0
        };
        (*entry).unseen = 0;
        (*entry).refused = 0;
        (*entry).since_ns = bpf_ktime_get_boot_ns();
    }
    // close() passes no hook where the kernel may be asked for a path: it is asked here.
    keep_path(entry, key, path);
    // SAFETY: a value of a map.
    let entry: &Written = unsafe { &*entry };
    let made = WRITTEN.insert(key, entry, BPF_NOEXIST);
    // Else another thread was first.
    if made.is_err() && made != Err(EEXIST) {
        count_lost(kind::WRITE);
        if entry.path_len > SHORT_PATH as u32 {
            let _ = LONG_PATHS.remove(key);
        }
    }
    0
}

/// What a write leaves to be sampled: bytes of the file from this offset on.
#[repr(C)]
pub struct Piece {
    entry: *mut Written,
    /// Offset in the file.
    at: u64,
}

/// Whether the running process was asked to write to this file.
#[inline(always)]
pub fn is_written(file: u64) -> bool {
    WRITTEN.get_ptr(write_key(file, ids().0)).is_some()
}

/// What the running process writes next to a file, from this offset on.
#[inline(always)]
pub fn next_piece(file: u64, at: u64) -> Option<Piece> {
    let entry = WRITTEN.get_ptr_mut(write_key(file, ids().0))?;
    // SAFETY: a value of the map.
    unsafe {
        // The file's head tells what it is: a sample of what lies behind makes way for it.
        if (*entry).bytes == 0 || at < (*entry).sample_at {
            (*entry).sample_at = at;
            (*entry).sample_len = 0;
            (*entry).unseen &= REARRANGED;
        }
    }
    Some(Piece { entry, at })
}

/// Adds to the bytes that the running process wrote to a file. Where some that were sampled were
/// refused the sample says nothing.
#[inline(always)]
pub fn add(file: u64, written: u64, refused: bool) {
    if let Some(entry) = WRITTEN.get_ptr_mut(write_key(file, ids().0)) {
        // SAFETY: a value of the map.
        unsafe {
            (*entry).bytes += written;
            if refused {
                (*entry).unseen |= NOT_SEEN;
            }
        }
    }
}

/// Counts what the running process wrote to a file from this offset on, and gives what is to be
/// sampled.
#[inline(always)]
pub fn count(file: Ptr, written: i64, at: u64) -> Option<Piece> {
    if written <= 0 {
        return None;
    }
    let piece = next_piece(file as u64, at)?;
    // SAFETY: a value of the map.
    unsafe { (*piece.entry).bytes += written as u64 };
    Some(piece)
}

/// Whose memory is sampled.
#[derive(Clone, Copy)]
pub enum Memory {
    /// The running process's.
    User,
    /// The kernel's.
    Kernel,
}

/// Puts `len` bytes of memory into the sample, as far as they lie in it, and goes on behind them.
/// Says whether more may follow.
#[inline(always)]
pub fn sample(piece: &mut Piece, memory: Memory, from: u64, len: u64) -> bool {
    let entry = piece.entry;
    // SAFETY: a value of the map; the helper checks the source.
    unsafe {
        let begin = piece.at.wrapping_sub((*entry).sample_at);
        // Nothing is put behind a gap.
        if begin >= SAMPLE as u64 || begin > u64::from((*entry).sample_len) {
            return false;
        }
        // The same number: so the verifier sees it too.
        let begin = begin as usize & (SAMPLE - 1);
        let room = (SAMPLE - begin) as u64;
        let whole = len < room;
        let len = if whole { len } else { room };
        let to = (&raw mut (*entry).sample).cast::<u8>().add(begin);
        let from = from as usize as Ptr;
        let failed = match memory {
            Memory::User => bpf_probe_read_user(to.cast(), len as u32, from),
            Memory::Kernel => bpf_probe_read_kernel(to.cast(), len as u32, from),
        };
        if failed != 0 {
            (*entry).unseen |= NOT_SEEN;
            return false;
        }
        let end = begin as u32 + len as u32;
        if end > (*entry).sample_len {
            (*entry).sample_len = end;
        }
        piece.at += len;
        whole
    }
}

/// Counts what the kernel wrote by itself, whose bytes are nowhere to be read: what of the sample it
/// may have changed is not known any more.
#[inline(always)]
pub fn count_unseen(file: Ptr, written: i64, at: u64) {
    if let Some(piece) = count(file, written, at) {
        // SAFETY: a value of the map.
        unsafe {
            if at.wrapping_sub((*piece.entry).sample_at) < SAMPLE as u64 {
                (*piece.entry).unseen |= NOT_SEEN;
            }
        }
    }
}

/// fallocate takes bytes out of a file, puts some in, or makes holes of them: what is sampled of it may lie
/// elsewhere now, or nowhere.
#[fexit(function = "vfs_fallocate")]
pub fn write_rearranged(ctx: FExitContext) -> i32 {
    let only_room = ctx.arg::<u32>(1) & !FALLOC_FL_KEEP_SIZE == 0;
    if only_room || ctx.arg::<i32>(4) == EOPNOTSUPP {
        return 0;
    }
    let file: Ptr = ctx.arg(0);
    if let Some(entry) = WRITTEN.get_ptr_mut(write_key(file as u64, ids().0)) {
        // SAFETY: a value of the map.
        unsafe { (*entry).unseen |= REARRANGED };
    }
    0
}

/// Keeps how a write was refused: that is how all ended, where nothing was written at all.
#[inline(always)]
fn refused(file: Ptr, result: i64) -> i32 {
    if result < 0
        && let Some(entry) = WRITTEN.get_ptr_mut(write_key(file as u64, ids().0))
    {
        // SAFETY: a value of the map.
        unsafe { (*entry).refused = result };
    }
    0
}

/// Counts the bytes, and samples the first ones, of writes from one buffer. The position is already
/// behind them.
#[fexit(function = "vfs_write")]
pub fn write_count(ctx: FExitContext) -> i32 {
    let written: i64 = ctx.arg(4);
    if written <= 0 {
        return refused(ctx.arg(0), written);
    }
    if let Some(mut piece) = count(ctx.arg(0), written, before(ctx.arg(3), written)) {
        sample(&mut piece, Memory::User, ctx.arg(1), written as u64);
    }
    0
}

/// The position before so many bytes were written.
#[inline(always)]
fn before(position: Ptr, written: i64) -> u64 {
    peek::<u64>(position, 0).wrapping_sub(written as u64)
}

/// The same of writes from several buffers.
#[fexit(function = "vfs_writev")]
pub fn write_count_vector(ctx: FExitContext) -> i32 {
    let written: i64 = ctx.arg(5);
    if written <= 0 {
        return refused(ctx.arg(0), written);
    }
    if let Some(piece) = count(ctx.arg(0), written, before(ctx.arg(3), written)) {
        sample_vector(piece, ctx.arg(1), written as u64, in_32_bit_call());
    }
    0
}

/// A walk through the buffers of a write.
#[repr(C)]
struct Gather {
    piece: Piece,
    /// An array of `struct iovec`, or of its 32-bit kind.
    vector: u64,
    /// Bytes that were written and not looked at.
    left: u64,
    of_32_bits: bool,
}

/// Samples what was written from an array of `struct iovec`.
#[inline(always)]
pub fn sample_vector(piece: Piece, vector: u64, written: u64, of_32_bits: bool) {
    let mut gather = Gather {
        piece,
        vector,
        left: written,
        of_32_bits,
    };
    repeat(UIO_MAXIOV, sample_next, &mut gather);
}

unsafe extern "C" fn sample_next(index: u32, gather: *mut Gather) -> i64 {
    // SAFETY: `sample_vector` gives it its own.
    let gather = unsafe { &mut *gather };
    let [from, len] = buffer(gather.vector, index, gather.of_32_bits);
    let len = if len > gather.left { gather.left } else { len };
    gather.left -= len;
    i64::from(!sample(&mut gather.piece, Memory::User, from, len) || gather.left == 0)
}

/// Address and length of the buffer at `index` of an array of `struct iovec`.
#[inline(always)]
pub fn buffer(vector: u64, index: u32, of_32_bits: bool) -> [u64; 2] {
    if of_32_bits {
        let [from, len]: [u32; 2] = read(vector.wrapping_add(u64::from(index) * 8));
        [u64::from(from), u64::from(len)]
    } else {
        read(vector.wrapping_add(u64::from(index) * 16))
    }
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
    let key = write_key(file as u64, tgid);
    let Some(entry) = WRITTEN.get_ptr(key) else {
        return 0;
    };
    // SAFETY: a value of the map.
    if unsafe { (*entry).inode } != identity(load(file, offset!(file_inode))) {
        forget(entry, key);
        count_lost(kind::WRITE);
        return 0;
    }
    let Some(mut recorder) = Recorder::begin(kind::WRITE) else {
        // It was counted as lost, if its process is still tracked, and is not to be again when the file
        // goes away.
        forget(entry, key);
        return 0;
    };
    let (path, path_len) = kept_path(entry, key);
    if path_len > 0 {
        let unreadable = incomplete::PATH_UNREADABLE;
        recorder.kernel::<{ TEXT_MAX as u32 }>(tag::PATH, unreadable, path, path_len);
    } else {
        recorder.mark(incomplete::PATH_UNREADABLE);
    }
    // SAFETY: a value of the map.
    let result = unsafe {
        recorder.mark((*entry).incomplete);
        recorder.record().other_start_ns = (*entry).since_ns;
        recorder.record().has |= has::SINCE;
        let len = (*entry).sample_len;
        if (*entry).bytes > 0 {
            recorder.record().bytes = (*entry).bytes;
            recorder.record().has |= has::BYTES;
        }
        // Where something was written unseen they are not known, however few they are.
        let len = if (*entry).unseen == 0 { len } else { 0 };
        if len > 0 {
            recorder.kernel::<{ SAMPLE as u32 }>(
                tag::DATA,
                incomplete::DATA_INCOMPLETE,
                (&raw const (*entry).sample).cast(),
                len,
            );
        }
        if u64::from(len) != (*entry).bytes || len == 0 {
            recorder.mark(incomplete::DATA_INCOMPLETE);
        }
        match (*entry).bytes {
            0 => (*entry).refused,
            _ => 0,
        }
    };
    let inode: Ptr = load(file, offset!(file_inode));
    set_inode(&mut recorder, inode);
    forget(entry, key);
    // Once a file, where it is closed: there Python writes out what it held back until then.
    recorder.python();
    recorder.emit(kind::WRITE, result);
    0
}
