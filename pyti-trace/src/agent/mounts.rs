//! The file tree: the image below a bounded writable layer, and what a system mounts on it.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{chdir, chroot};

use super::error::{AgentError, Doing as _};

/// Bound of everything that is written below `/`, and of its number of files.
const DISK: &str = "size=1g,nr_inodes=300k,mode=755";
/// Bound of `/dev/shm`.
const SHM: &str = "size=64m,nr_inodes=8k,mode=1777";
/// The disk that holds the image.
const ROOT_DISK: &str = "/dev/vda";
/// Where the tree is put together before it becomes `/`.
const TREE: &str = "/tree";
/// Harmless devices: name, major, minor (Documentation/admin-guide/devices.txt).
const DEVICES: &[(&str, u64, u64)] = &[
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];
/// Links that programs expect in `/dev`.
const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// What the agent keeps of the mounts that the package cannot see.
pub(super) struct Hidden {
    /// The kernel's device nodes.
    pub(super) devices: File,
    /// The writable layer.
    pub(super) upper: File,
}

/// What the initramfs needs to go on: device nodes, `/proc`, `/sys`.
pub(super) fn early() -> Result<(), AgentError> {
    put(
        "devtmpfs",
        "/dev",
        "mode=755",
        MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC,
    )?;
    put("proc", "/proc", "", quiet())?;
    put("sysfs", "/sys", "", quiet())
}

/// Builds the tree that stages see and makes it `/`; `/proc` is still to come, since it belongs to
/// the package's PID namespace. What the initramfs held is deleted.
pub(super) fn enter_tree() -> Result<Hidden, AgentError> {
    image_under_tmpfs()?;
    put(
        "tmpfs",
        "/tree/dev",
        "mode=755,size=64k,nr_inodes=64",
        MsFlags::MS_NOSUID,
    )?;
    safe_devices()?;
    put("sysfs", "/tree/sys", "", quiet() | MsFlags::MS_RDONLY)?;
    put("cgroup2", "/tree/sys/fs/cgroup", "", quiet())?;
    // Temporary files skip the overlay, for speed, but count as the same disk.
    bind("/rw/tmp", "/tree/tmp")?;
    let hidden = Hidden {
        devices: open_directory("/dev")?,
        upper: open_directory("/rw")?,
    };
    for gone in ["/rw", "/lower", "/sys"] {
        umount2(gone, MntFlags::MNT_DETACH).doing(|| format!("hide {gone}"))?;
    }
    forget_initramfs()?;
    chdir(TREE).doing(|| format!("enter {TREE}"))?;
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)
        .doing(|| format!("move {TREE} to /"))?;
    chroot(".").doing(|| "make the tree the root".into())?;
    chdir("/").doing(|| "enter the root".into())?;
    Ok(hidden)
}

/// Mounts `/proc` for the PID namespace of the caller.
pub(super) fn proc() -> Result<(), AgentError> {
    put("proc", "/proc", "", quiet())
}

fn quiet() -> MsFlags {
    MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC
}

fn image_under_tmpfs() -> Result<(), AgentError> {
    make_directory("/lower")?;
    mount(
        Some(ROOT_DISK),
        "/lower",
        Some("erofs"),
        MsFlags::MS_RDONLY,
        None::<&str>,
    )
    .doing(|| format!("mount the image on {ROOT_DISK}"))?;
    put("tmpfs", "/rw", DISK, MsFlags::empty())?;
    for directory in ["/rw/upper", "/rw/work", "/rw/tmp"] {
        make_directory(directory)?;
    }
    set_mode("/rw/tmp", 0o1777)?;
    let layers = "lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/work,index=off,metacopy=off";
    put("overlay", TREE, layers, MsFlags::empty())
}

fn safe_devices() -> Result<(), AgentError> {
    let everyone = Mode::from_bits_truncate(0o666);
    for &(name, major, minor) in DEVICES {
        let path = format!("{TREE}/dev/{name}");
        mknod(
            path.as_str(),
            SFlag::S_IFCHR,
            everyone,
            makedev(major, minor),
        )
        .doing(|| format!("make the device {path}"))?;
        // The umask had its say.
        set_mode(&path, 0o666)?;
    }
    for (name, target) in LINKS {
        symlink(target, format!("{TREE}/dev/{name}")).doing(|| format!("link /dev/{name}"))?;
    }
    put(
        "devpts",
        "/tree/dev/pts",
        "gid=5,mode=620,ptmxmode=666",
        MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC,
    )?;
    put(
        "tmpfs",
        "/tree/dev/shm",
        SHM,
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
    )
}

/// The initramfs cannot be unmounted; its files would keep their memory.
fn forget_initramfs() -> Result<(), AgentError> {
    for gone in ["/init", "/interpreter", "/modules"] {
        let path = Path::new(gone);
        let done = if path.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        };
        done.doing(|| format!("delete {gone} of the initramfs"))?;
    }
    Ok(())
}

fn put(kind: &str, target: &str, data: &str, flags: MsFlags) -> Result<(), AgentError> {
    make_directory(target)?;
    mount(Some(kind), target, Some(kind), flags, Some(data))
        .doing(|| format!("mount {kind} on {target}"))
}

fn bind(source: &str, target: &str) -> Result<(), AgentError> {
    make_directory(target)?;
    mount(
        Some(source),
        target,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
    .doing(|| format!("bind {source} to {target}"))
}

fn make_directory(path: &str) -> Result<(), AgentError> {
    // The kernel's own trees (/sys/fs/cgroup) have theirs already, and refuse to make any.
    if Path::new(path).is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).doing(|| format!("make the directory {path}"))
}

fn open_directory(path: &str) -> Result<File, AgentError> {
    File::open(path).doing(|| format!("open {path}"))
}

fn set_mode(path: &str, mode: u32) -> Result<(), AgentError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .doing(|| format!("set the mode of {path}"))
}
