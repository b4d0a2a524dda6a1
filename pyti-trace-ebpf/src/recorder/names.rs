//! Names that the kernel has copied from who asked.
//!
//! The helper for strings goes byte by byte. Words are looked through for a name's end in a fraction of
//! that: two of them at once, since many names are short, and more of a longer one in a function that is
//! made as those in `python`, for the verifier's sake.

use core::ffi::c_void;
use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_kernel_str};
use pyti_trace_ebpf::TEXT_MAX;

use super::Recorder;
use crate::kernel::Ptr;

/// Words of a short name.
const SHORT: usize = 2;
/// Bytes of a longer one that are copied at once. What lies behind its end is copied too, and goes to nobody.
const CHUNK: usize = 64;
/// So many are looked through for the end; the helper takes what is longer still.
const CHUNKS: usize = 4;
/// Bytes of a word.
const WORD: usize = size_of::<u64>();
/// The lowest bit of each byte of a word, and the highest.
const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

impl Recorder {
    /// Appends a name as it was asked for, a string of kernel memory.
    #[inline(always)]
    pub fn asked(&mut self, tag: u16, unreadable: u32, name: Ptr) {
        let mut head = [0_u64; SHORT];
        // SAFETY: the helper checks the source; the destination has that size.
        let error = unsafe {
            bpf_probe_read_kernel((&raw mut head).cast(), size_of_val(&head) as u32, name)
        };
        if error == 0 {
            for (before, word) in head.iter().enumerate() {
                if let Some((bytes, kept)) = end_in(*word) {
                    self.text(tag, unreadable, |at| {
                        // SAFETY: the verifier checks the room.
                        unsafe {
                            write_volatile(at.cast(), head);
                            write_volatile(at.cast::<u64>().add(before), kept);
                        }
                        (before * WORD + bytes) as i64
                    });
                    return;
                }
            }
        }
        // Through the map: to some kernels what points to a name is no number, and they give no such
        // function anything else.
        // SAFETY: a value of the map, this thread's own.
        unsafe { write_volatile(self.scratch(), name as u64) };
        append_name(self.place(), tag, unreadable);
    }
}

/// Bytes of a word up to the first NUL, with it; and the word with nothing behind that.
#[inline(always)]
fn end_in(word: u64) -> Option<(usize, u64)> {
    // Of the bytes that are 0 the lowest one is the lowest whose highest bit stays.
    let zeros = word.wrapping_sub(LOW) & !word & HIGH;
    let lowest = zeros & zeros.wrapping_neg();
    let kept = word & lowest.wrapping_sub(1);
    (zeros != 0).then(|| (zeros.trailing_zeros() as usize / 8 + 1, kept))
}

/// Appends the string of kernel memory whose address stands in the scratch to the record at this place.
#[unsafe(no_mangle)]
extern "C" fn append_name(place: u32, tag: u16, unreadable: u32) -> u32 {
    if let Some(mut recorder) = Recorder::running(place) {
        // SAFETY: a value of the map, this thread's own.
        let name = unsafe { read_volatile(recorder.scratch()) };
        recorder.text(tag, unreadable, |at| copy_name(at, name as usize as Ptr));
    }
    0
}

/// Copies a string, and says how many bytes it has with its NUL; or an error.
#[inline(always)]
fn copy_name(to: *mut c_void, name: Ptr) -> i64 {
    for chunk in 0..CHUNKS {
        let at = to.wrapping_byte_add(chunk * CHUNK);
        let from = name.wrapping_byte_add(chunk * CHUNK);
        // SAFETY: the helper checks the source, the verifier the destination.
        if unsafe { bpf_probe_read_kernel(at, CHUNK as u32, from) } != 0 {
            // Perhaps the name ends before what cannot be read.
            break;
        }
        for word in 0..CHUNK / WORD {
            // SAFETY: lies in what was just copied.
            let value = unsafe { read_volatile(at.cast::<u64>().add(word)) };
            if let Some((bytes, kept)) = end_in(value) {
                // SAFETY: as above.
                unsafe { write_volatile(at.cast::<u64>().add(word), kept) };
                return (chunk * CHUNK + word * WORD + bytes) as i64;
            }
        }
    }
    // SAFETY: the helper checks the source, the verifier the destination.
    unsafe { bpf_probe_read_kernel_str(to, TEXT_MAX as u32, name) }
}
