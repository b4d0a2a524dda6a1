//! Guest memory: written by one machine when the template is made, then mapped privately by clones.
//!
//! QEMU opens the memory of a private mapping for writing too. So that a clone which broke out into
//! its QEMU cannot alter what the next clones start from, clones get a copy in a memfd whose content
//! is sealed: the kernel then refuses every write and shared writable mapping, for good, while
//! private mappings still work.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::fs::FileExt,
    },
};

const PAGE: usize = 4096;

/// Anonymous memory of `size` bytes that can be passed to a child and opened there by any user.
pub(crate) fn anonymous(size: u64) -> io::Result<File> {
    // SAFETY: the name is a zero-terminated string; the result is checked before it is owned.
    let fd = unsafe {
        libc::memfd_create(
            c"pyti".as_ptr(),
            libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open and nobody else has it.
    let file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    file.set_len(size)?;
    Ok(file)
}

/// Copies the pages of `memory` that are not zero to `target`, which stays sparse. Returns the bytes
/// that were written.
pub(crate) fn save(memory: &File, target: &File) -> io::Result<u64> {
    let size = memory.metadata()?.len();
    target.set_len(size)?;
    let mut buffer = vec![0; 1 << 20];
    let mut written = 0;
    for extent in data_extents(memory, size)? {
        let mut at = extent.start;
        while at < extent.end {
            let want = usize::try_from(extent.end - at)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let block = &mut buffer[..want];
            memory.read_exact_at(block, at)?;
            let mut from = 0;
            while from < want {
                let zero = is_zero(&block[from..(from + PAGE).min(want)]);
                let mut to = from;
                while to < want && is_zero(&block[to..(to + PAGE).min(want)]) == zero {
                    to = (to + PAGE).min(want);
                }
                if !zero {
                    target.write_all_at(&block[from..to], at + from as u64)?;
                    written += (to - from) as u64;
                }
                from = to;
            }
            at += want as u64;
        }
    }
    Ok(written)
}

/// A sealed copy of a file that [`save`] wrote.
pub(crate) fn load(source: &File) -> io::Result<File> {
    let size = source.metadata()?.len();
    let mut memory = anonymous(size)?;
    for extent in data_extents(source, size)? {
        let mut from: &File = source;
        from.seek(SeekFrom::Start(extent.start))?;
        memory.seek(SeekFrom::Start(extent.start))?;
        let length = extent.end - extent.start;
        // Between two files this is sendfile: one copy, out of the page cache.
        if io::copy(&mut from.take(length), &mut memory)? != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    seal(&memory)?;
    Ok(memory)
}

fn seal(memory: &File) -> io::Result<()> {
    let seals = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
    // SAFETY: the descriptor is open; the command takes an integer.
    if unsafe { libc::fcntl(memory.as_raw_fd(), libc::F_ADD_SEALS, seals) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn is_zero(page: &[u8]) -> bool {
    // SAFETY: any sixteen bytes are a u128.
    let (head, middle, tail) = unsafe { page.align_to::<u128>() };
    middle.iter().all(|&word| word == 0) && head.iter().chain(tail).all(|&byte| byte == 0)
}

/// The parts of a sparse file that hold data.
fn data_extents(file: &File, size: u64) -> io::Result<Vec<Range<u64>>> {
    let mut extents = Vec::new();
    let mut at = 0;
    while at < size {
        let Some(start) = seek(file, at, libc::SEEK_DATA)? else {
            break;
        };
        let end = seek(file, start, libc::SEEK_HOLE)?.unwrap_or(size);
        extents.push(start..end);
        at = end;
    }
    Ok(extents)
}

/// `None` where no data follow.
fn seek(file: &File, from: u64, whence: libc::c_int) -> io::Result<Option<u64>> {
    let from = libc::off_t::try_from(from).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open and only its offset changes.
    let found = unsafe { libc::lseek(file.as_raw_fd(), from, whence) };
    match u64::try_from(found) {
        Ok(offset) => Ok(Some(offset)),
        Err(_) => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
            error => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::OpenOptions, os::unix::fs::MetadataExt};

    use super::*;

    #[test]
    fn a_sealed_copy_is_equal_sparse_and_cannot_be_written() {
        let size = 64 << 20;
        let memory = anonymous(size).unwrap();
        memory.write_all_at(&[1; 5000], 3 * 4096).unwrap();
        memory.write_all_at(&[0; 1 << 20], 8 << 20).unwrap();
        memory.write_all_at(&[2; 100], size - 100).unwrap();
        let disk = tempfile::tempfile().unwrap();
        assert_eq!(save(&memory, &disk).unwrap(), 3 * 4096);
        let copy = load(&disk).unwrap();
        let (mut a, mut b) = (vec![0; size as usize], vec![0; size as usize]);
        memory.read_exact_at(&mut a, 0).unwrap();
        copy.read_exact_at(&mut b, 0).unwrap();
        assert!(a == b);
        assert!(copy.metadata().unwrap().blocks() * 512 < 1 << 20);
        let again = OpenOptions::new()
            .read(true)
            .write(true)
            .open(format!("/proc/self/fd/{}", copy.as_raw_fd()))
            .unwrap();
        assert_eq!(
            again.write_at(b"x", 0).unwrap_err().raw_os_error(),
            Some(libc::EPERM)
        );
        assert!(again.set_len(1).is_err());
    }
}
