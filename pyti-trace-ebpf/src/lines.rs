//! The line of an instruction, by its function's table of lines (Objects/locations.md in CPython's
//! sources).

use core::ptr::{read_unaligned, read_volatile};

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use pyti_trace_ebpf::{AFTER_LINE_TABLE, Interpreter, MAX_LINE_TABLE};

use crate::kernel::Ptr;
use crate::recorder::Recorder;
use crate::repeat::repeat;
use crate::user::read;

/// A table of lines and how far it was read (Objects/locations.md in CPython's sources).
#[repr(C)]
struct Lines {
    /// The table's copy, with [`AFTER_LINE_TABLE`] zeroes behind it.
    table: *const u8,
    /// Bytes of it.
    len: u32,
    /// Where reading goes on.
    at: u32,
    /// The instruction that is looked for, and the first one after the entries that were read.
    instruction: u32,
    after: u32,
    /// Of the last entry that was read.
    line: u32,
    /// 1: that entry has no line.
    without: u32,
}

/// The line of an instruction by a function's table; 0 where it has none or it cannot be read.
#[inline(always)]
pub fn line_of(
    recorder: &mut Recorder,
    python: &Interpreter,
    table: u64,
    first: u32,
    instruction: u32,
) -> u32 {
    let size: u64 = read(table.wrapping_add(python.bytes_size));
    let len = if size > MAX_LINE_TABLE as u64 {
        MAX_LINE_TABLE as u32
    } else {
        size as u32
    };
    let copy = recorder.scratch();
    for word in 0..=AFTER_LINE_TABLE / 8 {
        // SAFETY: the scratch has this room behind the word in which the longest table ends.
        unsafe { copy.add(len as usize / 8 + word).write(0) };
    }
    // SAFETY: the scratch has this room, the helper checks the source.
    let failed = unsafe {
        let from = table.wrapping_add(python.bytes_value) as usize as Ptr;
        bpf_probe_read_user(copy.cast(), len, from)
    };
    if failed != 0 {
        return 0;
    }
    let mut lines = Lines {
        table: copy.cast(),
        len,
        at: 0,
        instruction,
        after: 0,
        line: first,
        without: 0,
    };
    repeat(MAX_LINE_TABLE as u32, read_entry, &mut lines);
    // SAFETY: a local; the compiler does not see that the loop writes it.
    let lines = unsafe { read_volatile(&raw const lines) };
    if lines.after > instruction && lines.without == 0 {
        lines.line
    } else {
        0
    }
}

/// Reads one more entry of a table, or goes on in a long one to the next. Returns 1 when there is
/// nothing more to be done.
///
/// Sums instead of branches: of what a branch sets to a number, the verifier tries each.
unsafe extern "C" fn read_entry(_: u32, lines: *mut Lines) -> i64 {
    // SAFETY: `line_of` gives it its own.
    let lines = unsafe { &mut *lines };
    if lines.at >= lines.len {
        return 1;
    }
    // Less than the length, which is no more than a power of two: so the verifier sees it too.
    let at = lines.at as usize & (MAX_LINE_TABLE - 1);
    // SAFETY: in the copy and what stands behind it.
    let bytes = unsafe { read_unaligned(lines.table.add(at).cast::<u64>()) };
    // Only the first byte of an entry has its highest bit set. Looked at are those after this one.
    let first_bytes = bytes >> 8 & 0x80_8080_8080_8080 | 1 << 63;
    lines.at += 1 + first_bytes.trailing_zeros() / 8;
    let head = bytes as u32 & 0xff;
    if head & 0x80 == 0 {
        return 0;
    }
    let code = head >> 3 & 15;
    lines.line = lines.line.wrapping_add(match code {
        11 => 1,
        12 => 2,
        13 | 14 => signed(bytes >> 8),
        _ => 0,
    });
    lines.without = (code + 1) >> 4;
    lines.after += (head & 7) + 1;
    i64::from(lines.after > lines.instruction)
}

/// A number in six bits a byte, each but the last with the next bit set, the lowest bit being the sign.
#[inline(always)]
fn signed(bytes: u64) -> u32 {
    let mut value = 0;
    let mut goes_on = u64::MAX;
    for index in 0..6 {
        let byte = bytes >> (8 * index);
        value |= (byte & 0x3f) << (6 * index) & goes_on;
        goes_on &= 0u64.wrapping_sub(byte >> 6 & 1);
    }
    let sign = 0u32.wrapping_sub(value as u32 & 1);
    (((value >> 1) as u32) ^ sign).wrapping_sub(sign)
}
