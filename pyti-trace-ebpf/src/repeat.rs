//! Loops. The verifier walks once through what they repeat, where it would walk through each turn of
//! a plain one.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_loop;

/// Buffers of one call (include/uapi/linux/uio.h).
pub const UIO_MAXIOV: u32 = 1024;

/// Runs `turn` up to `turns` times on `state`, until it returns 1.
#[inline(always)]
pub fn repeat<T>(turns: u32, turn: unsafe extern "C" fn(u32, *mut T) -> i64, state: &mut T) {
    // SAFETY: `turn` takes what it is given here, which lives longer than the loop.
    unsafe {
        bpf_loop(turns, turn as *mut c_void, (&raw mut *state).cast(), 0);
    }
}
