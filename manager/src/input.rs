//! What a clone is given: one tar, unpacked below `/` with the rights of the package's user.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use pyti_index::append_tar;
use pyti_vm::{Interpreter, SLOT_BYTES};
use tar::EntryType;

use crate::data_store::DataStore;
use crate::order::{Order, WHEELHOUSE};
use crate::tool;

/// Bytes written at a time.
const BUFFER: usize = 1 << 20;
/// Where a state may put files; `state.rs` of the agent keeps these.
const ROOTS: [&str; 3] = ["home/dev", "var/tmp", "tmp"];
/// Entries of a state: the agent's disk has no more inodes (`nr_inodes=300k`).
const MOST_ENTRIES: usize = 307_200;
/// Longest path of a state, `PATH_MAX` of linux/limits.h.
const LONGEST_PATH: usize = 4096;

/// Writes the tar: the wheelhouse of an order, the state that an earlier stage left, where there is
/// one, tools installed over it for `python`, other files.
///
/// # Errors
/// The disk refuses, something is not in the store, or the state, which comes from a VM in which the
/// package ran, is not what the agent makes.
pub fn write(order: &Order, python: &Interpreter, store: &DataStore, out: &mut File) -> Result<()> {
    let mut tar = tar::Builder::new(Bounded {
        out: BufWriter::with_capacity(BUFFER, out),
        left: SLOT_BYTES,
    });
    let directory = WHEELHOUSE.trim_start_matches('/');
    append_tar(&order.wheelhouse, directory, &mut tar).context("failed to write the wheelhouse")?;
    let mut there = BTreeSet::new();
    if let Some(state) = &order.state {
        there = append_state(
            BufReader::with_capacity(BUFFER, store.open(state)?),
            &mut tar,
        )
        .context("failed to read what an earlier stage left")?;
    }
    tool::append(&order.tools, python, &there, &mut tar)?;
    for (path, blob) in &order.blobs {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(blob.bytes);
        let content = store.open(blob)?.take(blob.bytes);
        tar.append_data(&mut header, path.trim_start_matches('/'), content)
            .with_context(|| format!("failed to write {path} for the VM"))?;
    }
    tar.into_inner()
        .and_then(|mut writer| writer.flush())
        .context("failed to write the input of a stage")
}

/// A writer of no more than the guest's device holds: what is unpacked for it may be a bomb.
struct Bounded<W> {
    out: W,
    left: u64,
}

impl<W: Write> Write for Bounded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.ok_or_else(|| {
            io::Error::other(format!(
                "it is larger than the device of {SLOT_BYTES} bytes"
            ))
        })?;
        self.out.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Returns the paths of its commands, and of no more: a state may have as many files as a disk holds.
fn append_state(state: impl Read, out: &mut tar::Builder<impl Write>) -> Result<BTreeSet<PathBuf>> {
    let mut paths = BTreeSet::new();
    for member in Members::of(&mut tar::Archive::new(state))? {
        let Member {
            path,
            link,
            mut entry,
        } = member?;
        let header = entry.header();
        let mut fresh = tar::Header::new_gnu();
        fresh.set_mtime(header.mtime()?);
        fresh.set_entry_type(header.entry_type());
        fresh.set_size(0);
        let mode = header.mode()? & 0o777;
        let removed = header.entry_type().is_character_special();
        if removed {
            out.append_data(&mut fresh, &path, io::empty())?;
        } else if header.entry_type().is_symlink() {
            fresh.set_mode(0o777);
            out.append_link(&mut fresh, &path, OsStr::from_bytes(&link))?;
        } else if header.entry_type().is_dir() {
            // Its files are still to come.
            fresh.set_mode(mode | 0o700);
            out.append_data(&mut fresh, &path, io::empty())?;
        } else {
            fresh.set_mode(mode);
            fresh.set_size(entry.size());
            out.append_data(&mut fresh, &path, &mut entry)?;
        }
        if path.parent() == Some(Path::new(tool::COMMANDS)) && !removed {
            paths.insert(path);
        }
    }
    Ok(paths)
}

/// A file, directory or link of a state, or what was removed of the image: a character device.
pub struct Member<'a, R: Read> {
    /// Its path, relative to `/`, where a state may have files.
    pub path: PathBuf,
    /// Where a link points to.
    pub link: Vec<u8>,
    /// Its header and content.
    pub entry: tar::Entry<'a, R>,
}

/// The members of a state, checked. Long names stand before the member that they belong to, as
/// members of their own (GNU tar); they are read here, since the library reads them whole, however
/// long they are.
pub struct Members<'a, R: Read> {
    entries: tar::Entries<'a, R>,
    left: usize,
}

impl<'a, R: Read> Members<'a, R> {
    /// The members of `archive`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of(archive: &'a mut tar::Archive<R>) -> Result<Self> {
        Ok(Self {
            entries: archive.entries()?.raw(true),
            left: MOST_ENTRIES,
        })
    }

    fn read(&mut self) -> Result<Option<Member<'a, R>>> {
        let (mut long_path, mut long_link) = (None, None);
        loop {
            let Some(entry) = self.entries.next() else {
                return Ok(None);
            };
            let mut entry = entry?;
            self.left = self
                .left
                .checked_sub(1)
                .context("it has too many entries")?;
            match entry.header().entry_type() {
                EntryType::GNULongName => {
                    long_path = Some(name(&mut entry).context("a path of it is too long")?);
                }
                EntryType::GNULongLink => {
                    long_link = Some(name(&mut entry).context("a link's target is too long")?);
                }
                _ => {
                    let path = long_path.unwrap_or_else(|| entry.path_bytes().into_owned());
                    let link = long_link.or_else(|| entry.link_name_bytes().map(Cow::into_owned));
                    let path = checked(path, entry.header().entry_type())?;
                    let link = link.unwrap_or_default();
                    return Ok(Some(Member { path, link, entry }));
                }
            }
        }
    }
}

/// A long name, where it is no longer than one can be.
fn name(entry: &mut impl Read) -> Option<Vec<u8>> {
    let mut bytes = vec![];
    // One more for the zero at its end.
    let most = LONGEST_PATH as u64 + 1;
    entry.take(most).read_to_end(&mut bytes).ok()?;
    let end = bytes.iter().position(|byte| *byte == 0);
    bytes.truncate(end.unwrap_or(bytes.len()));
    (bytes.len() < LONGEST_PATH).then_some(bytes)
}

/// The path of a member, where a state may have such a one.
fn checked(bytes: Vec<u8>, kind: EntryType) -> Result<PathBuf> {
    anyhow::ensure!(
        kind.is_file() || kind.is_dir() || kind.is_symlink() || kind.is_character_special(),
        "{} is neither file, directory, link nor removal",
        bytes.escape_ascii()
    );
    let path = PathBuf::from(OsStr::from_bytes(&bytes));
    let inside = |root: &&str| path.starts_with(root) && path != Path::new(root);
    let plain = path
        .components()
        .all(|component| matches!(component, Component::Normal(_)));
    anyhow::ensure!(
        ROOTS.iter().any(inside) && plain,
        "{} is not where a state has files",
        bytes.escape_ascii()
    );
    Ok(path)
}

impl<'a, R: Read> Iterator for Members<'a, R> {
    type Item = Result<Member<'a, R>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(entries: &[(&str, tar::EntryType)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(vec![]);
        for (name, kind) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o4555);
            header.set_size(0);
            if kind.is_symlink() || kind.is_hard_link() {
                header.set_link_name_literal("/etc/passwd").unwrap();
            }
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, io::empty()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn rewritten(entries: &[(&str, tar::EntryType)]) -> Result<Vec<(String, u32)>> {
        let mut out = tar::Builder::new(vec![]);
        append_state(&state(entries)[..], &mut out)?;
        let bytes = out.into_inner()?;
        let mut archive = tar::Archive::new(&bytes[..]);
        Members::of(&mut archive)?
            .map(|member| {
                let member = member?;
                let path = member.path.to_string_lossy().into_owned();
                Ok((path, member.entry.header().mode()?))
            })
            .collect()
    }

    #[test]
    fn a_state_keeps_its_paths_and_loses_special_modes() {
        use tar::EntryType::{Directory, Regular, Symlink};
        let kept = rewritten(&[
            ("home/dev/.local", Directory),
            ("home/dev/.local/x", Regular),
            ("tmp/link", Symlink),
        ]);
        assert_eq!(
            kept.unwrap(),
            [
                ("home/dev/.local".to_owned(), 0o755),
                ("home/dev/.local/x".to_owned(), 0o555),
                ("tmp/link".to_owned(), 0o777),
            ]
        );
    }

    #[test]
    fn a_state_that_the_agent_does_not_make_is_refused() {
        use tar::EntryType::{Block, Fifo, Link, Regular};
        for (entry, reason) in [
            (
                ("home/dev/../../etc/x", Regular),
                "home/dev/../../etc/x is not where a state has files",
            ),
            (
                ("/home/dev/x", Regular),
                "/home/dev/x is not where a state has files",
            ),
            (
                ("home/developer/x", Regular),
                "home/developer/x is not where a state has files",
            ),
            (
                ("home/dev", Regular),
                "home/dev is not where a state has files",
            ),
            (
                ("home/dev/x", Link),
                "home/dev/x is neither file, directory, link nor removal",
            ),
            (
                ("tmp/x", Fifo),
                "tmp/x is neither file, directory, link nor removal",
            ),
            (
                ("tmp/x", Block),
                "tmp/x is neither file, directory, link nor removal",
            ),
        ] {
            assert_eq!(rewritten(&[entry]).unwrap_err().to_string(), reason);
        }
    }

    /// A state with one long name of this many bytes, and then a file.
    struct LongName {
        header: Vec<u8>,
        left: u64,
        read: std::rc::Rc<std::cell::Cell<u64>>,
    }

    impl Read for LongName {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = if self.header.is_empty() {
                let count = self.left.min(buffer.len() as u64) as usize;
                buffer[..count].fill(b'a');
                self.left -= count as u64;
                count
            } else {
                let count = self.header.len().min(buffer.len());
                buffer[..count].copy_from_slice(&self.header[..count]);
                self.header.drain(..count);
                count
            };
            self.read.set(self.read.get() + count as u64);
            Ok(count)
        }
    }

    #[test]
    fn a_long_name_is_not_read_beyond_the_longest() {
        for (kind, reason) in [
            (EntryType::GNULongName, "a path of it is too long"),
            (EntryType::GNULongLink, "a link's target is too long"),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(1 << 40);
            header.set_cksum();
            let read = std::rc::Rc::default();
            let state = LongName {
                header: header.as_bytes().to_vec(),
                left: 1 << 40,
                read: std::rc::Rc::clone(&read),
            };
            let mut out = tar::Builder::new(vec![]);
            let error = append_state(state, &mut out).unwrap_err();
            assert_eq!(error.to_string(), reason);
            assert!(read.get() < 64 << 10, "{} bytes were read", read.get());
        }
    }

    #[test]
    fn long_names_belong_to_the_member_after_them() {
        let long = format!("home/dev/{}/x", "d".repeat(200));
        let target = "t".repeat(300);
        let mut builder = tar::Builder::new(vec![]);
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_size(0);
        builder
            .append_data(&mut header.clone(), &long, io::empty())
            .unwrap();
        header.set_entry_type(EntryType::Symlink);
        builder
            .append_link(&mut header, format!("{long}-link"), &target)
            .unwrap();
        let bytes = builder.into_inner().unwrap();
        let mut out = tar::Builder::new(vec![]);
        append_state(&bytes[..], &mut out).unwrap();
        let bytes = out.into_inner().unwrap();
        let found: Vec<(String, usize)> = Members::of(&mut tar::Archive::new(&bytes[..]))
            .unwrap()
            .map(|member| member.unwrap())
            .map(|member| (member.path.display().to_string(), member.link.len()))
            .collect();
        assert_eq!(found, [(long.clone(), 0), (format!("{long}-link"), 300)]);
    }
}
