//! Frames of a Python stack in a record: see [`crate::python`].

use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_user};
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use pyti_trace_ebpf::{FRAME_HEAD, FrameHead, MAX_FILE, MAX_FUNCTION, TextHead, incomplete};

use super::{CUT, LAST_TEXT, Recorder, UNREADABLE, WHOLE};
use crate::kernel::Ptr;

/// Bytes of a frame's two names in a record, with what stands before each; a multiple of 8.
const FRAME_BYTES: usize =
    2 * (size_of::<TextHead>() + FRAME_HEAD) + MAX_FILE as usize + MAX_FUNCTION as usize;

/// Frames that are known on each processor.
const KNOWN_FRAMES: u32 = 1 << KNOWN_BITS;
const KNOWN_BITS: u32 = 11;

/// Frames that were read: nearly every stack of a process has its outer frames in common with the one
/// before. Each lies where its number says, in the place of the one that lay there.
#[map]
static FRAMES: PerCpuArray<KnownFrame> = PerCpuArray::with_max_entries(KNOWN_FRAMES, 0);

/// What tells a frame from all others.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// Address of the code object.
    pub code: u64,
    /// Number of the instruction.
    pub instruction: u32,
    /// The process, by number and by when it began, nanoseconds of boot time: one could make code that
    /// is taken for another's.
    pub tgid: u32,
    pub process_start: u64,
    /// Address of the name of its file: importing sets it right after the object was made.
    pub file: u64,
    /// `co_version`: the interpreter gives each code object that it makes a number of its own, which
    /// tells it from another one that lay where it lies. 0 where it has none left.
    pub version: u64,
}

impl Code {
    /// Where a frame of it lies, if it is known.
    #[inline(always)]
    fn place(&self) -> u32 {
        /// The golden ratio of 2^32: neighbours go far apart.
        const FAR: u32 = 0x9e37_79b1;
        // Objects lie 16 bytes apart.
        let object = (self.code >> 4) as u32 ^ self.tgid;
        let mixed = object.wrapping_mul(FAR) ^ self.instruction;
        mixed.wrapping_mul(FAR) >> (u32::BITS - KNOWN_BITS)
    }
}

/// A frame as it stands in a record.
#[repr(C)]
struct KnownFrame {
    /// Odd while it is written, and another one afterwards: a kernel may be built to let another thread
    /// have the processor at any time.
    generation: u64,
    /// Which it is.
    code: Code,
    /// Bytes that are used.
    len: u64,
    texts: [u64; FRAME_BYTES / 8],
}

impl Recorder {
    /// Appends the first `max` of `len` bytes of user memory after `head`, and says how much of it:
    /// [`WHOLE`], [`CUT`], [`UNREADABLE`]. Both of the latter are marked.
    #[inline(always)]
    pub fn frame_name(&mut self, tag: u16, max: u32, head: FrameHead, from: u64, len: u64) -> u32 {
        let is_cut = len > u64::from(max);
        let kept = if is_cut { u64::from(max) } else { len };
        let mut done = UNREADABLE;
        self.text(tag, incomplete::PYTHON_INCOMPLETE, |at| {
            // SAFETY: the verifier checks the room at `at`; the helper checks the source.
            let error = unsafe {
                write_volatile(at.cast(), head);
                let at = at.cast::<u8>().add(FRAME_HEAD).cast();
                bpf_probe_read_user(at, kept as u32, from as usize as Ptr)
            };
            if error != 0 {
                return error;
            }
            done = if is_cut { CUT } else { WHOLE };
            kept as i64 + FRAME_HEAD as i64
        });
        if is_cut {
            self.mark(incomplete::PYTHON_INCOMPLETE);
        }
        done
    }

    /// Remembers the frame that was appended from this offset of the record on.
    #[inline(always)]
    pub fn know_frame(&mut self, begin: usize, code: Code) {
        let Some(known) = FRAMES.get_ptr_mut(code.place()) else {
            return;
        };
        // SAFETY: a value of the map, this processor's own; the record has the room behind its last text.
        unsafe {
            let generation = read_volatile(&raw const (*known).generation);
            if generation & 1 != 0 {
                return;
            }
            write_volatile(&raw mut (*known).generation, generation + 1);
            write_volatile(&raw mut (*known).code, code);
            write_volatile(&raw mut (*known).len, (self.size() - begin) as u64);
            let begin = if begin > LAST_TEXT { LAST_TEXT } else { begin };
            let from = (&raw const (*self.slot).record).cast::<u8>().add(begin);
            bpf_probe_read_kernel(
                (&raw mut (*known).texts).cast(),
                FRAME_BYTES as u32,
                from.cast(),
            );
            write_volatile(&raw mut (*known).generation, generation + 2);
        }
    }

    /// Appends a frame if it is known, and says whether it is.
    #[inline(always)]
    pub fn append_known(&mut self, code: &Code) -> bool {
        let Some(known) = FRAMES.get_ptr(code.place()) else {
            return false;
        };
        // SAFETY: values of maps; the record has room for more than a frame behind LAST_TEXT.
        unsafe {
            let generation = read_volatile(&raw const (*known).generation);
            if generation & 1 != 0 || read_volatile(&raw const (*known).code) != *code {
                return false;
            }
            let at = self.size();
            if at > LAST_TEXT {
                self.mark(incomplete::PYTHON_INCOMPLETE);
                return true;
            }
            let len = (*known).len;
            let len = if len > FRAME_BYTES as u64 {
                FRAME_BYTES as u64
            } else {
                len
            };
            let to = (&raw mut (*self.slot).record).cast::<u8>().add(at);
            bpf_probe_read_kernel(to.cast(), len as u32, (&raw const (*known).texts).cast());
            if read_volatile(&raw const (*known).generation) != generation {
                return false;
            }
            write_volatile(&raw mut (*self.slot).record.size, at as u32 + len as u32);
        }
        true
    }
}
