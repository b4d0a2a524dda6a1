//! What the host hands to the stage: tar archives on block devices, and small files.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use super::error::{AgentError, Doing as _};
use super::user;
use crate::wire::Slot;

/// `_IO(0x12, 97)`, linux/fs.h.
const BLKFLSBUF: libc::c_ulong = 0x1261;
/// Bytes read from a device at a time.
const READ: usize = 1 << 20;

/// Unpacks the slot's archive as the user. Its size is bounded by the writable layer, which also
/// bounds the number of files.
pub(super) fn unpack(slot: &Slot, devices: &File) -> Result<(), AgentError> {
    let device = open(&slot.serial, devices)?;
    let what = || format!("unpack slot {:?} into {}", slot.serial, slot.directory);
    user::acting(|| unpack_archive(device, Path::new(&slot.directory)))?.doing(what)
}

/// Makes the working directory, if it is missing.
pub(super) fn make_directory(path: &str) -> Result<(), AgentError> {
    // Most stages begin in the user's home, and the stage waits for what is done before it.
    if Path::new(path).is_dir() {
        return Ok(());
    }
    let made = user::acting(|| directories(Path::new(path), 0o755))?;
    made.doing(|| format!("make the directory {path} as the user"))
}

/// Plants a file that only the user may read, as secrets are kept.
pub(super) fn plant(path: &str, content: &str) -> Result<(), AgentError> {
    let planted = user::acting(|| {
        let path = Path::new(path);
        directories(path.parent().unwrap_or(path), 0o700)?;
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.custom_flags(libc::O_NOFOLLOW);
        options.open(path)?.write_all(content.as_bytes())
    })?;
    planted.doing(|| format!("plant {path} as the user"))
}

fn directories(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)
}

fn open(serial: &str, devices: &File) -> Result<File, AgentError> {
    let name = device_name(serial, Path::new("/sys/block"))
        .ok_or_else(|| AgentError::Order(format!("no block device with serial {serial:?}")))?;
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let device = openat(devices, name.as_str(), flags, Mode::empty())
        .doing(|| format!("open the block device {name}"))?;
    // The kernel looked for partitions when the template booted; what it read then is still cached.
    // SAFETY: takes no argument.
    let flushed = unsafe { libc::ioctl(device.as_raw_fd(), BLKFLSBUF as _, 0) };
    Errno::result(flushed).doing(|| format!("drop what is cached of {name}"))?;
    Ok(File::from(device))
}

fn device_name(serial: &str, block: &Path) -> Option<String> {
    let entries = fs::read_dir(block).ok()?;
    entries.flatten().find_map(|entry| {
        let found = fs::read_to_string(entry.path().join("serial")).ok()?;
        (found.trim_end() == serial).then(|| entry.file_name().into_string().ok())?
    })
}

/// Files, directories, symbolic links, and what is to be removed; `tar` lets nothing be made outside the directory, and the
/// user's rights would not let it be made where it matters.
fn unpack_archive(archive: impl io::Read, into: &Path) -> io::Result<()> {
    directories(into, 0o755)?;
    let mut archive = tar::Archive::new(BufReader::with_capacity(READ, archive));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        let path = entry.path()?;
        let plain = |part| matches!(part, Component::Normal(_));
        if kind.is_character_special() && path.components().all(plain) {
            remove(&into.join(path))?;
            continue;
        }
        let allowed = kind.is_file() || kind.is_dir() || kind.is_symlink();
        if !allowed || !entry.unpack_in(into)? {
            let name = entry.path_bytes().escape_ascii().to_string();
            let message = format!("entry {name} of kind {kind:?} would not stay in its place");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
    }
    Ok(())
}

/// What an earlier stage removed of the image is removed here too: see `state`.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for &(name, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(0o644);
            if kind.is_symlink() || kind.is_hard_link() {
                header.set_size(0);
                header.set_link_name_literal(content).expect("a link name");
            } else {
                header.set_size(content.len() as u64);
            }
            // Past the checks that `append_data` makes.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            let data = if kind.is_file() {
                content.as_bytes()
            } else {
                b""
            };
            builder.append(&header, data).expect("an entry");
        }
        builder.into_inner().expect("an archive")
    }

    #[test]
    fn files_directories_and_links_are_unpacked_and_the_rest_of_the_device_is_ignored() {
        let mut bytes = archive(&[
            ("a", tar::EntryType::Directory, ""),
            ("a/one", tar::EntryType::Regular, "1"),
            ("two", tar::EntryType::Symlink, "a/one"),
        ]);
        bytes.resize(bytes.len() + (1 << 20), 0);
        let into = tempfile::tempdir().expect("a directory");
        let into = into.path().join("made/too");
        unpack_archive(&bytes[..], &into).expect("unpacked");
        assert_eq!(fs::read_to_string(into.join("two")).expect("a file"), "1");
    }

    #[test]
    fn what_was_removed_is_removed() {
        let bytes = archive(&[
            ("a", tar::EntryType::Directory, ""),
            ("a/one", tar::EntryType::Regular, "1"),
            ("two", tar::EntryType::Regular, "2"),
            ("a", tar::EntryType::Char, ""),
            ("two", tar::EntryType::Char, ""),
            ("never", tar::EntryType::Char, ""),
        ]);
        let into = tempfile::tempdir().expect("a directory");
        unpack_archive(&bytes[..], into.path()).expect("unpacked");
        assert_eq!(fs::read_dir(into.path()).expect("a directory").count(), 0);
    }

    #[test]
    fn an_empty_device_is_an_empty_archive() {
        let into = tempfile::tempdir().expect("a directory");
        unpack_archive(&[0; 4096][..], into.path()).expect("unpacked");
        assert_eq!(fs::read_dir(into.path()).expect("a directory").count(), 0);
    }

    #[test]
    fn nothing_leaves_its_place() {
        use tar::EntryType::{Link, Regular, Symlink};
        let outside = tempfile::tempdir().expect("a directory");
        let away = outside.path().to_str().expect("a plain path");
        let hostile: [&[(&str, tar::EntryType, &str)]; 5] = [
            &[("../up", Regular, "x")],
            &[("door", Symlink, away), ("door/up", Regular, "x")],
            &[("hard", Link, "/etc/passwd")],
            &[("fifo", tar::EntryType::Fifo, "")],
            &[("../up", tar::EntryType::Char, "")],
        ];
        for entries in hostile {
            let parent = tempfile::tempdir().expect("a directory");
            let into = parent.path().join("in");
            assert!(
                unpack_archive(&archive(entries)[..], &into).is_err(),
                "{entries:?}"
            );
            assert!(!parent.path().join("up").exists());
            assert!(!outside.path().join("up").exists());
        }
    }

    #[test]
    fn a_torn_archive_is_an_error() {
        let bytes = archive(&[("one", tar::EntryType::Regular, &"1".repeat(2000))]);
        let into = tempfile::tempdir().expect("a directory");
        assert!(unpack_archive(&bytes[..1000], into.path()).is_err());
    }

    #[test]
    fn devices_are_found_by_serial() {
        let block = tempfile::tempdir().expect("a directory");
        for (name, serial) in [("vda", ""), ("vdb", "in0\n")] {
            let device = block.path().join(name);
            fs::create_dir(&device).expect("a directory");
            fs::write(device.join("serial"), serial).expect("a file");
        }
        assert_eq!(device_name("in0", block.path()).as_deref(), Some("vdb"));
        assert_eq!(device_name("in1", block.path()), None);
    }
}
