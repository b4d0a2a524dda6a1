//! Entries of maps.

/// An entry is made only where there is none (include/uapi/linux/bpf.h).
pub const BPF_NOEXIST: u64 = 1;
/// There is one.
pub const EEXIST: i32 = -17;
