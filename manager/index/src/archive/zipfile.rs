//! Zip archives: wheels and some source distributions.

use std::cell::Cell;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::rc::Rc;

use zip::ZipArchive;
use zip::result::ZipError;

use super::{Archive, ArchiveError, Limits, Member, MemberKind, Meter, from_io, paths};

/// Bytes of directory that one member may cost, generously: 46 fixed ones and its path.
const DIRECTORY_BYTES_PER_MEMBER: u64 = 320;

/// `S_IFMT` and `S_IFLNK` of `stat(2)`.
const MODE_KIND: u32 = 0o170_000;
const MODE_SYMLINK: u32 = 0o120_000;

/// A file of which only so many bytes may be read: opening a zip archive reads its whole
/// directory, however long it is.
struct Budgeted {
    inner: BufReader<File>,
    left: Rc<Cell<u64>>,
}

impl Read for Budgeted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let left = self.left.get().checked_sub(count as u64).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::QuotaExceeded,
                "too many members for one directory",
            )
        })?;
        self.left.set(left);
        Ok(count)
    }
}

impl Seek for Budgeted {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

fn open(file: File, limits: &Limits) -> Result<ZipArchive<Budgeted>, ArchiveError> {
    let entries = u64::try_from(limits.members).unwrap_or(u64::MAX);
    let left = Rc::new(Cell::new(
        entries.saturating_mul(DIRECTORY_BYTES_PER_MEMBER) + (1 << 20),
    ));
    let budgeted = Budgeted {
        inner: BufReader::new(file),
        left: Rc::clone(&left),
    };
    let zip = ZipArchive::new(budgeted).map_err(from_zip)?;
    left.set(u64::MAX);
    Ok(zip)
}

pub(super) fn read(
    mut file: File,
    compressed: u64,
    limits: &Limits,
    want: &impl Fn(&str) -> bool,
) -> Result<Archive, ArchiveError> {
    let declared = declared_members(&mut file, compressed)?;
    if declared.is_some_and(|count| count > limits.members as u64) {
        return Err(ArchiveError::Limit(format!(
            "more than {} members",
            limits.members
        )));
    }
    let mut zip = open(file, limits)?;
    if declared.is_some_and(|count| count != zip.len() as u64) {
        // The library keeps one of several members of one name.
        return Err(ArchiveError::Corrupt(
            "its directory has members of the same name, or is not of the length it says".into(),
        ));
    }
    let mut meter = Meter::new(limits, compressed);
    let mut archive = Archive::default();
    let mut seen = HashSet::new();
    let mut stored = 0_u64;
    for index in 0..zip.len() {
        let member = zip.by_index_raw(index).map_err(from_zip)?;
        let raw = member.name().to_owned();
        meter.member(&raw, member.size())?;
        stored = stored.saturating_add(member.compressed_size());
        if stored > compressed {
            return Err(ArchiveError::Limit(
                "its members overlap, like a bomb".to_owned(),
            ));
        }
        if member.encrypted() {
            return Err(ArchiveError::dangerous(&raw, "is encrypted"));
        }
        let path = paths::clean(&raw, limits)?;
        if path.is_empty() || !seen.insert(path.clone()) {
            return Err(ArchiveError::dangerous(&raw, "has no name of its own"));
        }
        let size = member.size();
        let symlink = member
            .unix_mode()
            .is_some_and(|mode| mode & MODE_KIND == MODE_SYMLINK);
        let directory = member.is_dir();
        drop(member);
        let kind = if directory {
            MemberKind::Directory
        } else if symlink {
            let target = text(&mut zip, index, &raw, limits.path_bytes as u64)?;
            MemberKind::Symlink(String::from_utf8_lossy(&target).into_owned())
        } else {
            MemberKind::File
        };
        if kind == MemberKind::File && want(&path) {
            let text = text(&mut zip, index, &raw, limits.text_bytes)?;
            meter.keep(text.len() as u64)?;
            archive.texts.insert(path.clone(), text);
        }
        archive.members.push(Member { path, size, kind });
    }
    Ok(archive)
}

fn text(
    zip: &mut ZipArchive<Budgeted>,
    index: usize,
    raw: &str,
    limit: u64,
) -> Result<Vec<u8>, ArchiveError> {
    let mut text = Vec::new();
    let member = zip.by_index(index).map_err(from_zip)?;
    member
        .take(limit.saturating_add(1))
        .read_to_end(&mut text)
        .map_err(from_io)?;
    if text.len() as u64 > limit {
        return Err(ArchiveError::dangerous(
            raw,
            "is metadata larger than the limit",
        ));
    }
    Ok(text)
}

/// The number of members that the end record declares (APPNOTE.TXT 4.3.16 and, where it says
/// 0xffff, the Zip64 record of 4.3.14), or `None` where the library must find the record itself.
fn declared_members(file: &mut File, bytes: u64) -> Result<Option<u64>, ArchiveError> {
    const END: &[u8] = b"PK\x05\x06";
    const END_BYTES: usize = 22;
    const END64: &[u8] = b"PK\x06\x06";
    let window = bytes.min(END_BYTES as u64 + 0xffff + 76);
    file.seek(SeekFrom::Start(bytes - window))
        .map_err(ArchiveError::Io)?;
    let mut tail = Vec::new();
    file.take(window)
        .read_to_end(&mut tail)
        .map_err(ArchiveError::Io)?;
    file.seek(SeekFrom::Start(0)).map_err(ArchiveError::Io)?;
    let Some(at) = tail.windows(END.len()).rposition(|four| four == END) else {
        // Without its end a zip archive has no directory.
        return if tail.starts_with(b"PK") || bytes > window {
            Err(ArchiveError::Truncated)
        } else {
            Err(ArchiveError::Corrupt("it is not a zip archive".to_owned()))
        };
    };
    let Some(count) = tail.get(at + 10..at + 12) else {
        return Err(ArchiveError::Truncated);
    };
    let count = u64::from(count[0]) | u64::from(count[1]) << 8;
    if count < 0xffff {
        let end = bytes - window + at as u64;
        check_directory(file, end, count, &tail[at..])?;
        return Ok(Some(count));
    }
    let record = tail.get(..at).and_then(|head| {
        let at = head.windows(END64.len()).rposition(|four| four == END64)?;
        head.get(at + 32..at + 40)?
            .try_into()
            .ok()
            .map(u64::from_le_bytes)
    });
    Ok(record)
}

/// Refuses a directory that does not hold exactly as many records as its end record says: some
/// programs go by the number, others by the length, and so would see other members.
fn check_directory(
    file: &mut File,
    end: u64,
    count: u64,
    record: &[u8],
) -> Result<(), ArchiveError> {
    const RECORD: &[u8] = b"PK\x01\x02";
    let corrupt = || ArchiveError::Corrupt("its directory is not of the length it says".to_owned());
    let field = record.get(12..16).and_then(|four| four.try_into().ok());
    let length = u64::from(
        field
            .map(u32::from_le_bytes)
            .ok_or(ArchiveError::Truncated)?,
    );
    let start = end.checked_sub(length).ok_or_else(corrupt)?;
    file.seek(SeekFrom::Start(start))
        .map_err(ArchiveError::Io)?;
    let mut directory = BufReader::new(&mut *file).take(length);
    for _ in 0..count {
        let mut fixed = [0; 46];
        directory.read_exact(&mut fixed).map_err(|_| corrupt())?;
        if !fixed.starts_with(RECORD) {
            return Err(corrupt());
        }
        // The lengths of name, extra field and comment.
        let two = |at: usize| u64::from(u16::from_le_bytes([fixed[at], fixed[at + 1]]));
        let rest = two(28) + two(30) + two(32);
        let skipped = io::copy(&mut directory.by_ref().take(rest), &mut io::sink());
        if skipped.map_err(ArchiveError::Io)? != rest {
            return Err(corrupt());
        }
    }
    if directory.limit() != 0 {
        return Err(corrupt());
    }
    file.seek(SeekFrom::Start(0)).map_err(ArchiveError::Io)?;
    Ok(())
}

/// Copies the member called `name` of the zip archive at `path` into `out`.
pub(crate) fn extract_member(
    path: &Path,
    name: &str,
    limit: u64,
    out: &mut impl Write,
) -> Result<(), ArchiveError> {
    let file = File::open(path).map_err(ArchiveError::Io)?;
    let mut zip = open(file, &Limits::default())?;
    let member = zip.by_name(name).map_err(from_zip)?;
    let copied = io::copy(&mut member.take(limit.saturating_add(1)), out).map_err(from_io)?;
    if copied > limit {
        return Err(ArchiveError::Limit(format!(
            "a member has more than {limit} bytes"
        )));
    }
    Ok(())
}

fn from_zip(error: ZipError) -> ArchiveError {
    match error {
        ZipError::Io(error) => from_io(error),
        other => ArchiveError::Corrupt(crate::text::printable(&other.to_string(), 200)),
    }
}
