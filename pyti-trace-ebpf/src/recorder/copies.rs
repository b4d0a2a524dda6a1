//! What a slot holds beside its record, to read the memory of an interpreter with: see
//! [`crate::python`].

use core::ptr::read_volatile;

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use pyti_trace_ebpf::MAX_BLOCK;

use super::Recorder;
use crate::kernel::Ptr;

/// What does not change from one stack of a thread to the next.
#[repr(C)]
pub struct KnownThread {
    /// Address of its `PyThreadState`, as found before.
    pub state: u64,
    /// Its number in its own PID namespace.
    pub number: u32,
    pad: u32,
}

impl KnownThread {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self {
        state: 0,
        number: 0,
        pad: 0,
    };
}

impl Recorder {
    /// Room for a table of lines, and a word and [`pyti_trace_ebpf::AFTER_LINE_TABLE`] bytes behind
    /// it, that is no part of the record.
    #[inline(always)]
    pub fn scratch(&mut self) -> *mut u64 {
        // SAFETY: a value of the map.
        unsafe { (&raw mut (*self.slot).scratch).cast() }
    }

    /// What is known of the thread whose slot this is.
    #[inline(always)]
    pub fn known(&mut self) -> &mut KnownThread {
        // SAFETY: a value of the map, this thread's own.
        unsafe { &mut (*self.slot).known }
    }

    /// Copies a structure of user memory, of at most [`MAX_BLOCK`] bytes, to where [`Recorder::field`]
    /// looks for its fields, which are 0 where it cannot be read.
    #[inline(always)]
    pub fn copy_block(&mut self, from: u64, len: u64) {
        // SAFETY: the verifier checks the room, the helper the source.
        unsafe {
            bpf_probe_read_user(
                (&raw mut (*self.slot).block).cast(),
                len as u32 & MAX_BLOCK as u32,
                from as usize as Ptr,
            );
        }
    }

    /// A field, at this offset, of the structure that was copied last.
    #[inline(always)]
    pub fn field<T: Copy>(&self, offset: u64) -> T {
        // SAFETY: a value of the map; there is a word of room behind the last of these offsets.
        unsafe {
            let block = (&raw const (*self.slot).block).cast::<u8>();
            read_volatile(block.add(offset as usize & MAX_BLOCK).cast())
        }
    }
}
