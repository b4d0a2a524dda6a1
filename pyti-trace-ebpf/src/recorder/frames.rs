//! Frames of a Python stack in a record: see [`crate::python`].

use core::ptr::write_volatile;

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_user};
use pyti_trace_ebpf::{FRAME_HEAD, FrameHead, MAX_FILE, MAX_FUNCTION, TextHead, incomplete};

use super::{CUT, LAST_TEXT, Recorder, UNREADABLE, WHOLE};
use crate::kernel::Ptr;

/// Bytes of a frame's two names in a record, with what stands before each; a multiple of 8.
const FRAME_BYTES: usize =
    2 * (size_of::<TextHead>() + FRAME_HEAD) + MAX_FILE as usize + MAX_FUNCTION as usize;

/// What tells a code object from another one that lay where it lies.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// When the process began, nanoseconds of boot time.
    pub process_start: u64,
    /// Address of the name of its file: importing sets it right after the object was made.
    pub file: u64,
    /// `co_version`: the interpreter gives each code object that it makes a number of its own. 0 where
    /// it has none left.
    pub version: u64,
}

/// A frame as it stands in a record.
#[repr(C)]
pub struct KnownFrame {
    /// Whose it is.
    pub code: Code,
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

    /// A copy of the frame that was appended from this offset of the record on, for
    /// [`Recorder::append_known`]. It lies in the scratch.
    #[inline(always)]
    pub fn known_frame(&mut self, begin: usize, code: Code) -> *const KnownFrame {
        let known = self.scratch().cast::<KnownFrame>();
        // SAFETY: the scratch has this room, and so has the record behind its last text.
        unsafe {
            write_volatile(&raw mut (*known).code, code);
            write_volatile(&raw mut (*known).len, (self.size() - begin) as u64);
            let begin = if begin > LAST_TEXT { LAST_TEXT } else { begin };
            let from = (&raw const (*self.slot).record).cast::<u8>().add(begin);
            bpf_probe_read_kernel(
                (&raw mut (*known).texts).cast(),
                FRAME_BYTES as u32,
                from.cast(),
            );
        }
        known
    }

    /// Appends a frame that is known.
    #[inline(always)]
    pub fn append_known(&mut self, known: *const KnownFrame) {
        let at = self.size();
        if at > LAST_TEXT {
            self.mark(incomplete::PYTHON_INCOMPLETE);
            return;
        }
        // SAFETY: values of maps; the record has room for more than a frame behind LAST_TEXT.
        unsafe {
            let len = (*known).len;
            let len = if len > FRAME_BYTES as u64 {
                FRAME_BYTES as u64
            } else {
                len
            };
            let to = (&raw mut (*self.slot).record).cast::<u8>().add(at);
            bpf_probe_read_kernel(to.cast(), len as u32, (&raw const (*known).texts).cast());
            write_volatile(&raw mut (*self.slot).record.size, at as u32 + len as u32);
        }
    }
}
