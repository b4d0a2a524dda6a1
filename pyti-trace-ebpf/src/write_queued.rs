//! Writes that a ring or io_submit was asked for: what was written is what they return, or what they
//! were asked for where that comes later.

use core::ptr::read_volatile;

use aya_ebpf::macros::{fentry, fexit};
use aya_ebpf::programs::{FEntryContext, FExitContext};
use pyti_trace_ebpf::MISSING;

use crate::kernel::{Ptr, offset, peek, peek_ptr};
use crate::repeat::{UIO_MAXIOV, repeat};
use crate::track::{ids, tracked};
use crate::write::{Memory, buffer, count, count_unseen, sample, sample_vector};

/// Operations of io_uring (include/uapi/linux/io_uring.h).
const IORING_OP_WRITEV: u8 = 2;
const IORING_OP_WRITE_FIXED: u8 = 5;
const IORING_OP_WRITE: u8 = 23;
/// The write is on its way (include/linux/errno.h).
const EIOCBQUEUED: i64 = -529;
/// `IOCB_APPEND` (include/linux/fs.h).
const IOCB_APPEND: u32 = 0x10;
/// Offset of `aio_buf` in `struct iocb`, which `aio_nbytes` and `aio_offset` follow
/// (include/uapi/linux/aio_abi.h).
const IOCB_BUF: usize = 24;

/// Counts and samples what io_uring wrote at once or in a thread of its own; and of a write around the
/// page cache, which ends later in an interrupt, what it was asked to write.
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
    // The request begins with its `struct io_rw`, and that with its `struct kiocb`.
    let position: u64 = peek(request, offset!(kiocb_pos));
    let from: u64 = peek(request, offset!(io_rw_addr));
    let asked: u32 = peek(request, offset!(io_rw_len));
    let later = written == EIOCBQUEUED;
    let buffers = Buffers {
        from,
        many: operation == IORING_OP_WRITEV,
        of_32_bits: is_of_32_bits(request),
    };
    let (written, at) = if later {
        (buffers.bytes(u64::from(asked)), position)
    } else {
        (written, position.wrapping_sub(written as u64))
    };
    let file = peek_ptr(request, offset!(io_file));
    if operation == IORING_OP_WRITE_FIXED {
        // From pages that were registered, whatever lies at their address by now.
        count_unseen(file, written, at);
        return 0;
    }
    buffers.count(file, written, at)
}

/// Whether a request's ring was set up by a call of 32 bits, whose structures it then takes: how the
/// call came here that this runs in says nothing.
#[inline(always)]
fn is_of_32_bits(request: Ptr) -> bool {
    let bit = offset!(ring_compat_bit);
    // Where there is no such bit this is no place either.
    let at = (bit / 32 * 4) | (bit & MISSING as usize);
    let word: u32 = peek(peek_ptr(request, offset!(io_ring)), at);
    word >> (bit % 32) & 1 != 0
}

/// Counts and samples what io_submit was asked to write: what came of it an interrupt may tell, later.
#[fexit(function = "aio_write")]
pub fn write_count_aio(ctx: FExitContext) -> i32 {
    if ctx.arg::<i32>(4) < 0 || tracked(ids().0).is_none() {
        return 0;
    }
    let kiocb: Ptr = ctx.arg(0);
    let [from, asked, at]: [u64; 3] = peek(ctx.arg(1), IOCB_BUF);
    let buffers = Buffers {
        from,
        many: ctx.arg::<u32>(2) & 1 != 0,
        of_32_bits: ctx.arg::<u32>(3) & 1 != 0,
    };
    // At the file's end, wherever it was asked for: as the kernel found it, or just behind.
    let at = if peek::<u32>(kiocb, offset!(kiocb_flags)) & IOCB_APPEND != 0 {
        peek(kiocb, offset!(kiocb_pos))
    } else {
        at
    };
    buffers.count(
        peek_ptr(kiocb, offset!(kiocb_file)),
        buffers.bytes(asked),
        at,
    )
}

/// What was written from: one buffer, or an array of `struct iovec`.
struct Buffers {
    from: u64,
    many: bool,
    of_32_bits: bool,
}

impl Buffers {
    /// How many bytes they have; `asked` is that, or the length of the array.
    #[inline(always)]
    fn bytes(&self, asked: u64) -> i64 {
        if self.many {
            total(self.from, asked as u32, self.of_32_bits)
        } else {
            asked as i64
        }
    }

    /// Counts and samples.
    #[inline(always)]
    fn count(&self, file: Ptr, written: i64, at: u64) -> i32 {
        if let Some(mut piece) = count(file, written, at) {
            if self.many {
                sample_vector(piece, self.from, written as u64, self.of_32_bits);
            } else {
                sample(&mut piece, Memory::User, self.from, written as u64);
            }
        }
        0
    }
}

/// A sum of the lengths of buffers.
#[repr(C)]
struct Total {
    vector: u64,
    bytes: u64,
    of_32_bits: bool,
}

/// Bytes in all of `buffers` buffers.
#[inline(always)]
fn total(vector: u64, buffers: u32, of_32_bits: bool) -> i64 {
    let mut total = Total {
        vector,
        bytes: 0,
        of_32_bits,
    };
    let buffers = if buffers > UIO_MAXIOV {
        UIO_MAXIOV
    } else {
        buffers
    };
    repeat(buffers, add_next, &mut total);
    // SAFETY: a local; the compiler does not see that the loop writes it.
    unsafe { read_volatile(&raw const total.bytes) as i64 }
}

unsafe extern "C" fn add_next(index: u32, total: *mut Total) -> i64 {
    // SAFETY: `total` gives it its own.
    let total = unsafe { &mut *total };
    let [_, len] = buffer(total.vector, index, total.of_32_bits);
    total.bytes = total.bytes.wrapping_add(len);
    0
}
