//! Reading the kernel's own structures.

use core::ffi::c_void;
use core::ptr::read_volatile;

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_probe_read_kernel};
use pyti_trace_ebpf::{MISSING, Offsets};

/// Set by the loader before the programs are loaded. The map that holds it is frozen, so the
/// verifier knows the values and checks field accesses as if they were constants.
#[unsafe(no_mangle)]
pub static OFFSETS: Offsets = Offsets::UNSET;

/// A pointer into the kernel.
pub type Ptr = *const c_void;

/// Reads one field of [`OFFSETS`]; volatile, since the compiler believes it to be 0.
macro_rules! offset {
    ($field:ident) => {
        // SAFETY: a static that lives as long as the program.
        unsafe { core::ptr::read_volatile(&raw const $crate::kernel::OFFSETS.$field) as usize }
    };
}
pub(crate) use offset;

/// Loads a field through a pointer whose type the verifier knows; a bad pointer reads as 0.
#[inline(always)]
pub fn load<T: Copy>(base: Ptr, offset: usize) -> T {
    // SAFETY: the verifier accepts only reads inside the structure; faults read as 0.
    unsafe { read_volatile(base.cast::<u8>().add(offset).cast::<T>()) }
}

/// The address of a structure inside another one.
#[inline(always)]
pub fn inner(base: Ptr, offset: usize) -> Ptr {
    // SAFETY: pointer arithmetic that the verifier checks at the access.
    unsafe { base.cast::<u8>().add(offset).cast() }
}

/// Copies a field through a pointer that the verifier knows nothing of.
#[inline(always)]
pub fn peek<T: Copy + Default>(base: Ptr, offset: usize) -> T {
    let mut value = T::default();
    // Of a pointer that it knows, the verifier lets nobody go as far as a missing field. Here it
    // would not mind, so more is asked for than there is room. No branch: it would tempt the compiler
    // to do sums with pointers that the verifier does not allow.
    let too_much = (offset >> MISSING.ilog2()) << 16;
    // SAFETY: the helper checks the address; the destination is a local of that size.
    unsafe {
        bpf_probe_read_kernel(
            (&raw mut value).cast(),
            (size_of::<T>() + too_much) as u32,
            base.cast::<u8>().wrapping_add(offset).cast(),
        );
    }
    value
}

/// The same, for a field that is a pointer.
#[inline(always)]
pub fn peek_ptr(base: Ptr, offset: usize) -> Ptr {
    peek::<usize>(base, offset) as Ptr
}

/// An argument of a hook as a number. The verifier believes that a pointer is never null, and takes a
/// plain comparison away.
#[inline(always)]
pub fn number(context: &impl EbpfContext, argument: usize) -> u64 {
    peek(context.as_ptr().cast_const(), argument * size_of::<u64>())
}

/// The error that stands in the place of a pointer, or 0 (include/linux/err.h).
#[inline(always)]
pub fn error_of(pointer: u64) -> i64 {
    const MAX_ERRNO: u64 = 4095;
    if pointer >= 0u64.wrapping_sub(MAX_ERRNO) {
        pointer as i64
    } else {
        0
    }
}

/// The running task.
#[inline(always)]
pub fn current() -> Ptr {
    // SAFETY: has no preconditions.
    unsafe { bpf_get_current_task_btf() as Ptr }
}

/// Thread group and start of a task's group leader.
#[inline(always)]
pub fn process_key(task: Ptr) -> (u32, u64) {
    let leader: Ptr = load(task, offset!(task_leader));
    (
        load(task, offset!(task_tgid)),
        load(leader, offset!(task_start)),
    )
}

/// Whether a stacked file system opened this file below the one that was asked for, under that one's
/// path (`backing_file_open` in fs/file_table.c and fs/open.c, `open_with_fake_path` before it): then
/// it has another inode than its path. `FMODE_BACKING` is another bit from one kernel to the next.
#[inline(always)]
pub fn is_backing(file: Ptr) -> bool {
    let dentry: Ptr = load(inner(file, offset!(file_path)), offset!(path_dentry));
    load::<usize>(dentry, offset!(dentry_inode)) != load::<usize>(file, offset!(file_inode))
}

/// From here on what stands for a mount's namespace is an error: the mount is one of the kernel's own
/// (fs/mount.h).
pub const INTERNAL: usize = usize::MAX - 4096;
/// The mount of a file system that the kernel mounts for itself (include/linux/fs.h).
const SB_KERNMOUNT: u64 = 1 << 22;

/// Namespace of a `struct vfsmount`, by its address: none where it was taken away, [`INTERNAL`] and above
/// where no program ever sees it.
#[inline(always)]
pub fn namespace_of(mnt: usize) -> usize {
    let mount = mnt.wrapping_sub(offset!(mount_mnt)) as Ptr;
    peek(mount, offset!(mount_ns))
}

/// Whether a `struct vfsmount`, by its address, is a stacked file system's own, which no program ever sees
/// (`clone_private_mount` in fs/namespace.c). `sb` is its file system: those of the kernel's own lie on such
/// mounts too, and say so.
#[inline(always)]
pub fn is_private(mnt: usize, sb: Ptr) -> bool {
    namespace_of(mnt) >= INTERNAL && load::<u64>(sb, offset!(sb_flags)) & SB_KERNMOUNT == 0
}
