//! Reading the memory of the running program.

use aya_ebpf::helpers::generated::{bpf_probe_read_user, bpf_task_pt_regs};

use crate::kernel::{Ptr, current, inner, load, offset, peek};

/// A 32-bit call (arch/x86/include/asm/thread_info.h).
const TS_COMPAT: u32 = 2;

/// Whether the running thread is in a system call of 32 bits, whose structures are smaller.
#[inline(always)]
pub fn in_32_bit_call() -> bool {
    let thread_info = inner(current(), offset!(task_thread_info));
    load::<u32>(thread_info, offset!(thread_info_status)) & TS_COMPAT != 0
}

/// Number of the running system call, by the task's registers: the kernel takes the lower half of one,
/// whatever the program has put into the upper half.
#[inline(always)]
pub fn call_number(regs: Ptr) -> i32 {
    peek(regs, offset!(regs_orig_ax))
}

/// Whether the running system call has one of these numbers: of a call of 64 bits, or of one of 32
/// (arch/x86/entry/syscalls).
#[inline(always)]
pub fn in_call<const LONG: usize, const SHORT: usize>(
    long: [i32; LONG],
    short: [i32; SHORT],
) -> bool {
    // SAFETY: the running task.
    let regs = unsafe { bpf_task_pt_regs(current() as *mut _) } as Ptr;
    let call = call_number(regs);
    if in_32_bit_call() {
        short.contains(&call)
    } else {
        long.contains(&call)
    }
}

/// Whether the running system call is mmap(), of 32 bits the old one or the other.
#[inline(always)]
pub fn in_mmap() -> bool {
    in_call([9], [90, 192])
}

/// The second argument of the running system call.
#[inline(always)]
pub fn second_argument() -> u64 {
    // SAFETY: the running task.
    let regs = unsafe { bpf_task_pt_regs(current() as *mut _) } as Ptr;
    if in_32_bit_call() {
        u64::from(peek::<u32>(regs, offset!(regs_cx)))
    } else {
        peek(regs, offset!(regs_si))
    }
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
