//! Brings back what a stage left on the disk, so that later stages can start from it in machines of
//! their own: one tar of everything that was made or changed where the user may write. What was
//! removed of the image stands in it as the overlay file system itself keeps it: as a character
//! device of number 0:0, a whiteout
//! (<https://docs.kernel.org/filesystems/overlayfs.html#whiteouts-and-opaque-directories>).

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use walkdir::WalkDir;

use super::pump::Pump;
use crate::wire::{FileChunk, FrameKind, Keep, STATE, WireError};

/// Directories that are kept: in the writable layer, and as the package sees them.
const KEPT: [(&str, &str); 3] = [
    ("upper/home/dev", "home/dev"),
    ("upper/var/tmp", "var/tmp"),
    ("tmp", "tmp"),
];
/// With the value `y`, on a directory that hides the image's.
const OPAQUE: &CStr = c"trusted.overlay.opaque";
/// Bytes of the tar in one frame.
const PIECE: usize = 256 << 10;

/// Queues the tar of the writable layer `upper` as the file [`STATE`].
pub(super) fn keep(upper: &Path, keep: &Keep, pump: &mut Pump<'_>) -> Result<(), WireError> {
    let mut refused = Vec::new();
    let mut pieces = Pieces {
        left: keep.bytes,
        bytes: Vec::with_capacity(PIECE),
        send: |bytes: Vec<u8>, last, cut| {
            pump.make_room()?;
            let path = STATE.into();
            let piece = FileChunk {
                path,
                last,
                cut,
                bytes,
            };
            pump.port().queue(FrameKind::File, &piece.encode())
        },
    };
    let written = write(upper, keep, &mut pieces, &mut refused);
    let bytes = std::mem::take(&mut pieces.bytes);
    (pieces.send)(bytes, true, written.is_err())?;
    for message in refused
        .into_iter()
        .chain(written.err().map(|e| e.to_string()))
        .take(10)
    {
        pump.port().log(format!("state of the stage: {message}"));
    }
    Ok(())
}

/// Writes the tar; what cannot be read is left out and told.
fn write(
    upper: &Path,
    keep: &Keep,
    out: &mut impl io::Write,
    refused: &mut Vec<String>,
) -> io::Result<()> {
    let mut tar = tar::Builder::new(out);
    // A link is kept as what it is: it may point anywhere.
    tar.follow_symlinks(false);
    tar.sparse(false);
    for (layer, seen) in KEPT {
        let root = upper.join(layer);
        let left_out = |path: &Path| {
            let seen = Path::new(seen).join(path.strip_prefix(&root).unwrap_or(path));
            keep.without
                .iter()
                .any(|without| seen == Path::new(without))
        };
        let walk = WalkDir::new(&root).min_depth(1).follow_links(false);
        for entry in walk
            .into_iter()
            .filter_entry(|entry| !left_out(entry.path()))
        {
            let entry = match entry {
                Ok(entry) => entry,
                // Nothing was written there.
                Err(error) if error.depth() == 0 => break,
                Err(error) => {
                    refused.push(error.to_string());
                    continue;
                }
            };
            let kind = entry.file_type();
            let name =
                Path::new(seen).join(entry.path().strip_prefix(&root).unwrap_or(entry.path()));
            if is_whiteout(&entry) || kind.is_dir() && is_opaque(entry.path()) {
                tar.append_data(&mut whiteout(), &name, io::empty())?;
            }
            if !(kind.is_file() || kind.is_dir() || kind.is_symlink()) {
                continue;
            }
            add(&mut tar, entry.path(), &name, kind)?.unwrap_or_else(|error: io::Error| {
                refused.push(format!("{}: {error}", name.display()));
            });
        }
    }
    tar.finish()
}

/// Whether the overlay hides with it what the image has there.
fn is_whiteout(entry: &walkdir::DirEntry) -> bool {
    entry.file_type().is_char_device()
        && entry.metadata().is_ok_and(|metadata| metadata.rdev() == 0)
}

/// Whether the directory hides with its own all that the image has in one of its name.
fn is_opaque(directory: &Path) -> bool {
    let Ok(path) = CString::new(directory.as_os_str().as_bytes()) else {
        return false;
    };
    let mut value = [0u8; 1];
    // SAFETY: two strings that end in NUL, and room for the byte that is asked for.
    let read = unsafe {
        libc::lgetxattr(
            path.as_ptr(),
            OPAQUE.as_ptr(),
            value.as_mut_ptr().cast(),
            value.len(),
        )
    };
    read == 1 && value == *b"y"
}

fn whiteout() -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Char);
    header.set_size(0);
    header.set_mode(0);
    header
}

/// Adds one entry. The outer error is the reader's of the tar, the inner one the entry's own, of
/// which nothing was written then.
fn add(
    tar: &mut tar::Builder<impl io::Write>,
    path: &Path,
    name: &Path,
    kind: fs::FileType,
) -> io::Result<io::Result<()>> {
    let mut header = tar::Header::new_gnu();
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return Ok(Err(error)),
    };
    header.set_metadata(&metadata);
    if kind.is_symlink() {
        return match fs::read_link(path) {
            Ok(target) => tar.append_link(&mut header, name, target).map(Ok),
            Err(error) => Ok(Err(error)),
        };
    }
    if kind.is_dir() {
        return tar.append_data(&mut header, name, io::empty()).map(Ok);
    }
    match fs::File::open(path) {
        Ok(file) => tar
            .append_data(&mut header, name, io::Read::take(file, metadata.len()))
            .map(Ok),
        Err(error) => Ok(Err(error)),
    }
}

/// Cuts what is written into pieces, up to a bound.
struct Pieces<F> {
    left: u64,
    bytes: Vec<u8>,
    send: F,
}

impl<F: FnMut(Vec<u8>, bool, bool) -> Result<(), WireError>> io::Write for Pieces<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| io::Error::other("it is larger than what may be kept"))?;
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() >= PIECE {
            let piece = std::mem::replace(&mut self.bytes, Vec::with_capacity(PIECE));
            (self.send)(piece, false, false).map_err(io::Error::other)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn layer() -> tempfile::TempDir {
        let layer = tempfile::tempdir().expect("a directory");
        let at = |name: &str| layer.path().join(name);
        for directory in [
            "upper/home/dev/.local",
            "upper/home/dev/.cache/in",
            "upper/etc",
            "tmp",
        ] {
            fs::create_dir_all(at(directory)).expect("a directory");
        }
        fs::write(at("upper/home/dev/.local/run"), "#!").expect("a file");
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(at("upper/home/dev/.local/run"), mode).expect("a mode");
        fs::write(at("upper/home/dev/.cache/in/put"), "x").expect("a file");
        fs::write(at("upper/etc/passwd"), "x").expect("a file");
        symlink("/etc/shadow", at("tmp/door")).expect("a link");
        nix::unistd::mkfifo(&at("tmp/fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
        // Anybody may make one of number 0:0 (fs/namei.c, vfs_mknod).
        let kind = nix::sys::stat::SFlag::S_IFCHR;
        let none = nix::sys::stat::Mode::empty();
        nix::sys::stat::mknod(&at("upper/home/dev/.profile"), kind, none, 0).expect("a whiteout");
        layer
    }

    fn keeping(bytes: u64) -> Keep {
        Keep {
            bytes,
            without: vec!["home/dev/.cache/in".into()],
        }
    }

    #[test]
    fn what_the_user_made_is_kept_with_its_mode_and_links_stay_links() {
        let layer = layer();
        let (mut bytes, mut refused) = (Vec::new(), Vec::new());
        write(layer.path(), &keeping(1 << 20), &mut bytes, &mut refused).expect("a tar");
        assert_eq!(refused, Vec::<String>::new());
        let mut found = Vec::new();
        for entry in tar::Archive::new(&bytes[..]).entries().expect("a tar") {
            let mut entry = entry.expect("an entry");
            let mut content = String::new();
            entry.read_to_string(&mut content).expect("its content");
            let link = entry
                .link_name()
                .expect("a link")
                .map(|link| link.into_owned());
            let path = entry.path().expect("a path").into_owned();
            found.push((
                path,
                entry.header().mode().expect("a mode") & 0o777,
                content,
                link,
            ));
        }
        found.sort();
        let found: Vec<_> = found
            .iter()
            .map(|(path, mode, content, link)| {
                let link = link.as_ref().and_then(|link| link.to_str());
                (path.to_str().expect("text"), *mode, content.as_str(), link)
            })
            .collect();
        assert_eq!(
            found,
            [
                ("home/dev/.cache", 0o755, "", None),
                ("home/dev/.local", 0o755, "", None),
                ("home/dev/.local/run", 0o755, "#!", None),
                ("home/dev/.profile", 0, "", None),
                ("tmp/door", 0o777, "", Some("/etc/shadow")),
            ]
        );
    }

    #[test]
    fn what_is_over_the_bound_is_an_error() {
        let layer = layer();
        let mut pieces = Pieces {
            left: 1000,
            bytes: Vec::new(),
            send: |_, _, _| Ok(()),
        };
        let written = write(layer.path(), &keeping(1000), &mut pieces, &mut Vec::new());
        assert_eq!(
            written.map_err(|error| error.to_string()),
            Err("it is larger than what may be kept".to_owned())
        );
    }
}
