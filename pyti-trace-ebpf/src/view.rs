//! Whether a path is a name in the tree that the stage began with. In a user namespace of its own any
//! process may mount a directory elsewhere or take one for its root: what it then opens there has a
//! path that says nothing of where it really is. And which files the kernel opens for itself, by the mount
//! that they lie on.

use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use pyti_trace_ebpf::incomplete;

use crate::kernel::{INTERNAL, Ptr, current, inner, is_private, load, namespace_of, offset};

/// The tree: mount namespace and root. All zeroes until the stage's first program is executed.
#[repr(C)]
struct View {
    namespace: usize,
    mount: usize,
    dentry: usize,
    /// Mounts that were found in the namespace, the first ones since one was last taken away: another one
    /// may come to lie at its address.
    mounts: [usize; KNOWN_MOUNTS],
}

/// Mounts that are known: that of /tmp, that of the home directory, and some.
const KNOWN_MOUNTS: usize = 4;

#[map]
static VIEW: Array<View> = Array::with_max_entries(1, 0);

/// Remembers the tree of the running process, where none is known yet.
#[inline(always)]
pub fn learn() {
    if let Some(view) = VIEW.get_ptr_mut(0) {
        let task = current();
        let root = inner(load(task, offset!(task_fs)), offset!(fs_root));
        let mount = load(root, offset!(path_mnt));
        let dentry = load(root, offset!(path_dentry));
        let namespace = load(load(task, offset!(task_nsproxy)), offset!(nsproxy_mnt));
        // SAFETY: a value of the map; the first program of a stage runs alone.
        unsafe {
            if (*view).namespace == 0 {
                (*view).mount = mount;
                (*view).dentry = dentry;
                (*view).namespace = namespace;
            }
        }
    }
}

/// Whether a `struct path` is seen by another root, or lies on a mount of another tree.
#[inline(always)]
pub fn is_foreign(path: Ptr) -> bool {
    let Some(view) = VIEW.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: a value of the map, written once.
    let (namespace, mount, dentry) = unsafe { ((*view).namespace, (*view).mount, (*view).dentry) };
    if namespace == 0 {
        return false;
    }
    let root = inner(load(current(), offset!(task_fs)), offset!(fs_root));
    let on: usize = load(path, offset!(path_mnt));
    load::<usize>(root, offset!(path_dentry)) != dentry
        || load::<usize>(root, offset!(path_mnt)) != mount
        // Most files lie on the mount that the root lies on, of which all is known.
        || on != mount && is_foreign_mount(view, on)
}

/// Whether a mount, by its address, is of another tree than the one that the stage began with.
#[inline(always)]
pub fn is_on_foreign(mount: Ptr) -> bool {
    let Some(view) = VIEW.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: a value of the map, written once.
    let is_known = unsafe { (*view).namespace != 0 };
    is_known && is_foreign_mount(view, mount as usize)
}

/// Forgets the mounts that were found: one was taken away.
#[inline(always)]
pub fn forget_mounts() {
    if let Some(view) = VIEW.get_ptr_mut(0) {
        // SAFETY: a value of the map.
        unsafe { (*view).mounts = [0; KNOWN_MOUNTS] };
    }
}

/// Whether a mount was found in the namespace before.
#[inline(always)]
fn is_known(view: *mut View, on: usize) -> bool {
    // SAFETY: a value of the map.
    for known in unsafe { &(*view).mounts } {
        if *known == on {
            return true;
        }
    }
    false
}

/// Whether the kernel opens or writes this file for itself, below what a program asked for: a stacked file
/// system does so through a mount of its own.
#[inline(always)]
pub fn is_internal(file: Ptr) -> bool {
    let on: usize = load(inner(file, offset!(file_path)), offset!(path_mnt));
    if let Some(view) = VIEW.get_ptr_mut(0) {
        // SAFETY: a value of the map, written once.
        if unsafe { (*view).mount } == on || is_known(view, on) {
            return false;
        }
    }
    let inode: Ptr = load(file, offset!(file_inode));
    is_private(on, load(inode, offset!(inode_sb)))
}

#[inline(always)]
fn is_foreign_mount(view: *mut View, on: usize) -> bool {
    // It could not be read; and an entry that is not used is none.
    if on == 0 {
        return true;
    }
    if is_known(view, on) {
        return false;
    }
    // SAFETY: a value of the map.
    let (mounts, namespace) = unsafe { (&mut (*view).mounts, (*view).namespace) };
    let of = namespace_of(on);
    if of != namespace {
        return of < INTERNAL;
    }
    for known in mounts {
        if *known == 0 {
            *known = on;
            break;
        }
    }
    false
}

/// What marks a text as a mere name, by what marks it as unreadable.
#[inline(always)]
pub const fn unresolved(unreadable: u32) -> u32 {
    match unreadable {
        incomplete::PATH_UNREADABLE => incomplete::PATH_UNRESOLVED,
        incomplete::TARGET_UNREADABLE => incomplete::TARGET_UNRESOLVED,
        other => other,
    }
}
