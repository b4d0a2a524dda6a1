//! Reading the memory of the running program.

use aya_ebpf::helpers::generated::bpf_probe_read_user;

use crate::kernel::{Ptr, current, inner, load, offset};

/// A 32-bit call (arch/x86/include/asm/thread_info.h).
const TS_COMPAT: u32 = 2;

/// Whether the running thread is in a system call of 32 bits, whose structures are smaller.
#[inline(always)]
pub fn in_32_bit_call() -> bool {
    let thread_info = inner(current(), offset!(task_thread_info));
    load::<u32>(thread_info, offset!(thread_info_status)) & TS_COMPAT != 0
}

/// A value of user memory; its default where it cannot be read. (No `Option`: its empty half would be
/// a register that nobody set, which the verifier refuses to see stored.)
#[inline(always)]
pub fn read<T: Copy + Default>(at: u64) -> T {
    let mut value = T::default();
    // SAFETY: the helper checks the address, and zeroes the destination, a local of that size, where
    // it cannot read.
    unsafe {
        bpf_probe_read_user(
            (&raw mut value).cast(),
            size_of::<T>() as u32,
            at as usize as Ptr,
        );
    }
    value
}
