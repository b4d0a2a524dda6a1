//! Files written to by copies inside the kernel: sendfile, copy_file_range and splice, by a system call
//! or a ring. All of them fill a pipe and write it out.

use core::ptr::read_volatile;

use aya_ebpf::macros::{fentry, fexit, map};
use aya_ebpf::maps::LruHashMap;
use aya_ebpf::programs::{FEntryContext, FExitContext};
use pyti_trace_ebpf::SAMPLE;

use crate::kernel::{Ptr, load, offset, peek};
use crate::page::address_of;
use crate::repeat::repeat;
use crate::track::{ids, watching};
use crate::view::is_internal;
use crate::write::{Memory, Piece, add, count_unseen, is_written, next_piece, sample};

/// Size of `struct pipe_buffer`, which begins with its page, offset and length
/// (include/linux/pipe_fs_i.h).
const PIPE_BUFFER: u64 = 40;
/// Buffers that are sampled, as many as a pipe has (`PIPE_DEF_BUFFERS`); of those that somebody made
/// smaller the sample is short.
const MOST_BUFFERS: u32 = 16;

/// A copy that a thread makes.
#[repr(C)]
#[derive(Clone, Copy)]
struct Copy {
    /// The file that it was asked to write to; an overlay file system writes to another one.
    file: u64,
    /// Bytes of it that came out of a pipe.
    piped: u64,
    /// Bytes that were sampled of what is on its way now.
    sampled: u64,
}

/// The copies that threads are making. One that is forgotten is a file of which the bytes are not known.
#[map]
static COPIES: LruHashMap<u32, Copy> = LruHashMap::with_max_entries(4096, 0);

#[inline(always)]
fn begin(file: Ptr) -> i32 {
    // A file system asks again, for the file behind.
    if watching() && !is_internal(file) {
        let copy = Copy {
            file: file as u64,
            piped: 0,
            sampled: 0,
        };
        let _ = COPIES.insert(ids().1, copy, 0);
    }
    0
}

/// The copy to this file is made: what the kernel writes next by the same road, such as a file that it
/// copies up from a lower layer, is another's. Says how much came out of pipes.
#[inline(always)]
fn end(file: Ptr) -> Option<u64> {
    let thread = ids().1;
    let copy = COPIES.get_ptr(thread)?;
    // SAFETY: a value of the map; other threads have others.
    let Copy {
        file: asked, piped, ..
    } = unsafe { *copy };
    if asked != file as u64 {
        return None;
    }
    let _ = COPIES.remove(thread);
    Some(piped)
}

/// copy_file_range.
#[fentry(function = "vfs_copy_file_range")]
pub fn copy_begin(ctx: FEntryContext) -> i32 {
    begin(ctx.arg(2))
}

/// sendfile.
#[fentry(function = "do_splice_direct")]
pub fn sendfile_begin(ctx: FEntryContext) -> i32 {
    begin(ctx.arg(2))
}

/// splice.
#[fentry(function = "do_splice")]
pub fn splice_begin(ctx: FEntryContext) -> i32 {
    begin(ctx.arg(2))
}

/// See [`sendfile_begin`].
#[fexit(function = "do_splice_direct")]
pub fn sendfile_end(ctx: FExitContext) -> i32 {
    end(ctx.arg(2));
    0
}

/// See [`splice_begin`].
#[fexit(function = "do_splice")]
pub fn splice_end(ctx: FExitContext) -> i32 {
    end(ctx.arg(2));
    0
}

/// The file that the running thread was asked to write to where the kernel writes to this one.
#[inline(always)]
fn asked(file: Ptr) -> u64 {
    if is_written(file as u64) {
        return file as u64;
    }
    match COPIES.get_ptr(ids().1) {
        // SAFETY: a value of the map; other threads have others.
        Some(copy) => unsafe { (*copy).file },
        None => 0,
    }
}

/// A walk through the buffers of a pipe.
#[repr(C)]
struct Flow {
    piece: Piece,
    /// Address of the array of `struct pipe_buffer`, a ring.
    buffers: u64,
    /// Number of the first one, counted on for ever.
    first: u32,
    /// A power of two less one.
    mask: u32,
    /// How many there are.
    filled: u32,
    /// Bytes that are written and were not looked at.
    left: u64,
}

/// Samples what a pipe holds before it is written out.
#[fentry(function = "iter_file_splice_write")]
pub fn splice_sample(ctx: FEntryContext) -> i32 {
    let position: Ptr = ctx.arg(2);
    let Some(piece) = next_piece(asked(ctx.arg(1)), peek(position, 0)) else {
        return 0;
    };
    let pipe: Ptr = ctx.arg(0);
    let first: u32 = load(pipe, offset!(pipe_tail));
    let len: u64 = ctx.arg(3);
    let mut flow = Flow {
        piece,
        buffers: load(pipe, offset!(pipe_bufs)),
        first,
        mask: load::<u32>(pipe, offset!(pipe_ring_size)).wrapping_sub(1),
        filled: load::<u32>(pipe, offset!(pipe_head)).wrapping_sub(first),
        left: len,
    };
    repeat(MOST_BUFFERS, sample_buffer, &mut flow);
    if let Some(copy) = COPIES.get_ptr_mut(ids().1) {
        // SAFETY: locals, of which the compiler does not see that the loop writes them; a value of the
        // map, and other threads have others.
        unsafe { (*copy).sampled = len.wrapping_sub(read_volatile(&raw const flow.left)) };
    }
    0
}

unsafe extern "C" fn sample_buffer(index: u32, flow: *mut Flow) -> i64 {
    // SAFETY: `splice_sample` gives it its own.
    let flow = unsafe { &mut *flow };
    if index >= flow.filled {
        return 1;
    }
    let at = u64::from(flow.first.wrapping_add(index) & flow.mask) * PIPE_BUFFER;
    let buffer = flow.buffers.wrapping_add(at) as usize as Ptr;
    let [page, place]: [u64; 2] = peek(buffer, 0);
    let (offset, len) = (place & 0xffff_ffff, place >> 32);
    let len = if len > flow.left { flow.left } else { len };
    flow.left -= len;
    let from = address_of(page).wrapping_add(offset);
    i64::from(!sample(&mut flow.piece, Memory::Kernel, from, len) || flow.left == 0)
}

/// Counts what was written out. What was sampled on its way and then refused is not in the file.
#[fexit(function = "iter_file_splice_write")]
pub fn splice_count(ctx: FExitContext) -> i32 {
    let result: i64 = ctx.arg(5);
    let written = if result > 0 { result as u64 } else { 0 };
    let file = asked(ctx.arg(1));
    let mut sampled = u64::MAX;
    if let Some(copy) = COPIES.get_ptr_mut(ids().1) {
        // SAFETY: a value of the map; other threads have others.
        unsafe {
            sampled = (*copy).sampled;
            (*copy).piped += written;
        }
    }
    // No more than a sample's room was taken of it.
    add(file, written, written < sampled && written < SAMPLE as u64);
    0
}

/// Counts the bytes of copies that a file system made by itself: what came through no pipe.
#[fexit(function = "vfs_copy_file_range")]
pub fn copy_count(ctx: FExitContext) -> i32 {
    let file: Ptr = ctx.arg(2);
    let written: i64 = ctx.arg(6);
    if let Some(piped) = end(file) {
        let at = ctx.arg::<u64>(3).wrapping_add(piped);
        count_unseen(file, written.wrapping_sub(piped as i64), at);
    }
    0
}
