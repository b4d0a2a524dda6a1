//! Brings files back that a stage was to make. The package may have put anything in their place.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};

use super::pump::Pump;
use crate::wire::{FileChunk, FrameKind, WireError};

/// Bytes of a file in one frame.
const PIECE: usize = 256 << 10;

/// Opens a file only if it is a regular one that is reached without any symbolic link: no fifo that
/// never answers, no device, no other file under a name that was asked for.
fn open(path: &Path) -> io::Result<File> {
    let how = OpenHow::new()
        .flags(
            OFlag::O_RDONLY
                | OFlag::O_NONBLOCK
                | OFlag::O_NOFOLLOW
                | OFlag::O_NOCTTY
                | OFlag::O_CLOEXEC,
        )
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let file = File::from(openat2(AT_FDCWD, path, how)?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("it is no regular file"))
    }
}

/// Sends the file, at most `bound` bytes of it, through `send`.
fn pieces(
    path: &str,
    file: File,
    bound: u64,
    mut send: impl FnMut(FileChunk) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let mut left = bound;
    loop {
        let want = left.min(PIECE as u64);
        let mut bytes = Vec::new();
        (&file).take(want).read_to_end(&mut bytes)?;
        left -= bytes.len() as u64;
        let ended = (bytes.len() as u64) < want;
        let cut = !ended && left == 0 && (&file).read(&mut [0])? > 0;
        let last = ended || left == 0;
        send(FileChunk {
            path: path.into(),
            last,
            cut,
            bytes,
        })?;
        if last {
            return Ok(());
        }
    }
}

/// Queues one file of the stage. Where there is none, the host finds it missing, and knows what that
/// means; where it cannot be had for another reason, the log says which.
pub(super) fn collect(path: &str, bound: u64, pump: &mut Pump<'_>) -> Result<(), WireError> {
    match open(Path::new(path)) {
        Ok(file) => pieces(path, file, bound, |piece| {
            pump.make_room()?;
            pump.port().queue(FrameKind::File, &piece.encode())
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => {
            pump.port()
                .log(format!("failed to collect {path}: {error}"));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn collected(path: &Path, bound: u64) -> Vec<FileChunk> {
        let mut chunks = Vec::new();
        let file = open(path).expect("a file");
        pieces("/x", file, bound, |chunk| {
            chunks.push(chunk);
            Ok(())
        })
        .expect("collected");
        chunks
    }

    #[test]
    fn files_come_in_pieces_and_are_cut_at_their_bound() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file");
        fs::write(&path, vec![1; PIECE + 10]).expect("a file");
        let shape = |bound| -> Vec<_> {
            collected(&path, bound)
                .iter()
                .map(|c| (c.bytes.len(), c.last, c.cut))
                .collect()
        };
        assert_eq!(shape(1 << 30), [(PIECE, false, false), (10, true, false)]);
        assert_eq!(
            shape(PIECE as u64 + 10),
            [(PIECE, false, false), (10, true, false)]
        );
        assert_eq!(
            shape(PIECE as u64 + 9),
            [(PIECE, false, false), (9, true, true)]
        );
        assert_eq!(shape(5), [(5, true, true)]);
        fs::write(&path, b"").expect("a file");
        assert_eq!(shape(5), [(0, true, false)]);
        assert_eq!(shape(0), [(0, true, false)]);
    }

    #[test]
    fn only_regular_files_by_their_own_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("real")).expect("a directory");
        fs::write(at("real/file"), "x").expect("a file");
        symlink(at("real/file"), at("link")).expect("a link");
        symlink(at("real"), at("door")).expect("a link");
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
        assert!(open(&at("real/file")).is_ok());
        for hostile in ["link", "door/file", "fifo", "real", "absent"] {
            assert!(open(&at(hostile)).is_err(), "{hostile}");
        }
        assert!(open(Path::new("/dev/zero")).is_err());
    }
}
