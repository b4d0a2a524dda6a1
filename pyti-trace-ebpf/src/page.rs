//! Where the bytes of a page lie: what sendfile, copy_file_range and splice move is in no process's
//! memory.

use pyti_trace_ebpf::Pages;

use crate::kernel::{Ptr, peek};

/// Set by the loader before the programs are loaded.
#[unsafe(no_mangle)]
pub static PAGES: Pages = Pages::UNKNOWN;

/// Bits of an address within a page (arch/x86/include/asm/page_types.h).
const PAGE_SHIFT: u32 = 12;

macro_rules! pages {
    ($field:ident) => {
        // SAFETY: a static that lives as long as the program; volatile, since the compiler believes it
        // to be 0.
        unsafe { core::ptr::read_volatile(&raw const PAGES.$field) }
    };
}

/// Address of the first byte of a page, by its `struct page` (`page_to_virt` in
/// arch/x86/include/asm/page.h); 0, where nothing can be read, if that is not known here.
#[inline(always)]
pub fn address_of(page: u64) -> u64 {
    let size = pages!(page_size);
    if size == 0 {
        return 0;
    }
    let memory: u64 = peek(pages!(page_offset_base) as usize as Ptr, 0);
    let first: u64 = peek(pages!(vmemmap_base) as usize as Ptr, 0);
    let frame = page.wrapping_sub(first) / size;
    memory.wrapping_add(frame << PAGE_SHIFT)
}
