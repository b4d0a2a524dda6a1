//! Gzipped tar archives. The stream is walked once, header by header; extension headers are read
//! here, since a library that reads them for us reads them whole, however long they say they are.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use tar::EntryType;

use super::{Archive, ArchiveError, Limits, Member, MemberKind, Meter, from_io, over, paths};

/// No honest extension header is longer: it holds one path or a few attributes.
const EXTENSION_BYTES: u64 = 64 << 10;

/// A reader that ends with an error where the archive expands beyond its limits.
struct Metered<'a, R> {
    inner: R,
    limits: &'a Limits,
    compressed: u64,
    expanded: u64,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.expanded = self.expanded.saturating_add(count as u64);
        match over(self.limits, self.expanded, self.compressed) {
            Some(reason) => Err(io::Error::new(io::ErrorKind::QuotaExceeded, reason)),
            None => Ok(count),
        }
    }
}

/// What extension headers said of the member that follows them.
#[derive(Default)]
struct Extensions {
    path: Option<String>,
    link: Option<String>,
}

pub(super) fn read(
    file: File,
    compressed: u64,
    limits: &Limits,
    want: &impl Fn(&str) -> bool,
) -> Result<Archive, ArchiveError> {
    if compressed == 0 {
        return Err(ArchiveError::Truncated);
    }
    let gzip = MultiGzDecoder::new(BufReader::with_capacity(64 << 10, file));
    let mut stream = tar::Archive::new(Metered {
        inner: gzip,
        limits,
        compressed,
        expanded: 0,
    });
    let mut meter = Meter::new(limits, compressed);
    let mut archive = Archive::default();
    let mut texts = HashSet::new();
    let mut extensions = Extensions::default();
    for entry in stream.entries().map_err(from_io)?.raw(true) {
        let mut entry = entry.map_err(from_io)?;
        let kind = entry.header().entry_type();
        let size = entry.header().entry_size().map_err(from_io)?;
        if is_extension(kind) {
            meter.member("extension header", 0)?;
            let text = extension_text(&mut entry, size)?;
            apply(kind, &text, &mut extensions)?;
            continue;
        }
        let Extensions { path, link } = std::mem::take(&mut extensions);
        let raw = path.unwrap_or_else(|| lossy(&entry.path_bytes()));
        meter.member(&raw, size)?;
        let path = paths::clean(&raw, limits)?;
        let link = || link.or_else(|| entry.link_name_bytes().map(|name| lossy(&name)));
        let kind = match kind {
            EntryType::Regular | EntryType::Continuous if raw.ends_with('/') => {
                MemberKind::Directory
            }
            EntryType::Regular | EntryType::Continuous => MemberKind::File,
            EntryType::Directory => MemberKind::Directory,
            EntryType::Symlink => MemberKind::Symlink(link().unwrap_or_default()),
            EntryType::Link => MemberKind::Hardlink(link().unwrap_or_default()),
            EntryType::Char | EntryType::Block => {
                return Err(ArchiveError::dangerous(&raw, "is a device"));
            }
            EntryType::Fifo => return Err(ArchiveError::dangerous(&raw, "is a pipe")),
            _ => return Err(ArchiveError::dangerous(&raw, "is of an unknown kind")),
        };
        if path.is_empty() {
            if kind == MemberKind::Directory {
                continue;
            }
            return Err(ArchiveError::dangerous(&raw, "has no name"));
        }
        if kind != MemberKind::Directory && want(&path) {
            // Which of two would count depends on who unpacks: a way to show a reviewer one text
            // and pip another.
            if !texts.insert(path.clone()) {
                return Err(ArchiveError::dangerous(&raw, "is there twice"));
            }
            if kind == MemberKind::File {
                let text = text(&mut entry, &raw, size, limits)?;
                meter.keep(text.len() as u64)?;
                archive.texts.insert(path.clone(), text);
            }
        }
        archive.members.push(Member { path, size, kind });
    }
    // To the end, so that a cut or damaged tail is noticed by gzip's checksum.
    io::copy(&mut stream.into_inner(), &mut io::sink()).map_err(from_io)?;
    Ok(archive)
}

fn is_extension(kind: EntryType) -> bool {
    matches!(
        kind,
        EntryType::XHeader
            | EntryType::XGlobalHeader
            | EntryType::GNULongName
            | EntryType::GNULongLink
    )
}

fn extension_text(entry: &mut impl Read, size: u64) -> Result<Vec<u8>, ArchiveError> {
    if size > EXTENSION_BYTES {
        return Err(ArchiveError::Limit(format!(
            "an extension header has more than {EXTENSION_BYTES} bytes"
        )));
    }
    let mut text = Vec::new();
    entry.read_to_end(&mut text).map_err(from_io)?;
    Ok(text)
}

fn apply(kind: EntryType, text: &[u8], extensions: &mut Extensions) -> Result<(), ArchiveError> {
    let until_nul = || lossy(text.split(|byte| *byte == 0).next().unwrap_or_default());
    match kind {
        EntryType::GNULongName => extensions.path = Some(until_nul()),
        EntryType::GNULongLink => extensions.link = Some(until_nul()),
        _ => {
            for (key, value) in pax_records(text)? {
                let refuse = |reason| Err(ArchiveError::dangerous("extension header", reason));
                match key {
                    "path" | "linkpath" if kind == EntryType::XGlobalHeader => {
                        return refuse("gives one path to every member");
                    }
                    "path" => extensions.path = Some(lossy(value)),
                    "linkpath" => extensions.link = Some(lossy(value)),
                    // Programs differ in whether they heed these, and so would see other members.
                    "size" => return refuse("overrides a member's size"),
                    key if key.starts_with("GNU.sparse") => {
                        return refuse("makes a sparse file");
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(())
}

/// Splits `length key=value\n` records by their lengths (POSIX.1-2017, pax, "Extended Header"); a
/// split at line ends would see records that a value only contains.
fn pax_records(mut text: &[u8]) -> Result<Vec<PaxRecord<'_>>, ArchiveError> {
    let mut records = Vec::new();
    while !text.is_empty() {
        let (record, rest) = pax_record(text)
            .ok_or_else(|| ArchiveError::Corrupt("an extension header is malformed".to_owned()))?;
        records.push(record);
        text = rest;
    }
    Ok(records)
}

type PaxRecord<'a> = (&'a str, &'a [u8]);

fn pax_record(text: &[u8]) -> Option<(PaxRecord<'_>, &[u8])> {
    let space = text.iter().take(8).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&text[..space]).ok()?.parse().ok()?;
    let body = text.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    let key = std::str::from_utf8(&body[..equals]).ok()?;
    Some(((key, &body[equals + 1..]), &text[length..]))
}

fn text(
    entry: &mut impl Read,
    raw: &str,
    size: u64,
    limits: &Limits,
) -> Result<Vec<u8>, ArchiveError> {
    if size > limits.text_bytes {
        return Err(ArchiveError::dangerous(
            raw,
            "is metadata larger than the limit",
        ));
    }
    let mut text = Vec::new();
    entry.read_to_end(&mut text).map_err(from_io)?;
    Ok(text)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
