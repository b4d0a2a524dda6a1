//! What a clone is given: one tar, unpacked below `/` with the rights of the package's user.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use pyti_index::append_tar;
use pyti_vm::{Interpreter, SLOT_BYTES};

use crate::data_store::DataStore;
use crate::order::{HOME, Order, WHEELHOUSE};
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
    if let Some(state) = &order.state {
        append_state(
            BufReader::with_capacity(BUFFER, store.open(state)?),
            &mut tar,
        )
        .context("failed to read what an earlier stage left")?;
    }
    let site = format!("{HOME}/{}", python.user_site());
    tool::append(&order.tools, site.trim_start_matches('/'), &mut tar)?;
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

fn append_state(state: impl Read, out: &mut tar::Builder<impl Write>) -> Result<()> {
    for entry in Entries::of(&mut tar::Archive::new(state))? {
        let (path, mut entry) = entry?;
        let header = entry.header();
        let mut fresh = tar::Header::new_gnu();
        fresh.set_mtime(header.mtime()?);
        fresh.set_entry_type(header.entry_type());
        fresh.set_size(0);
        let mode = header.mode()? & 0o777;
        if header.entry_type().is_symlink() {
            let target = entry.link_name_bytes().unwrap_or_default().into_owned();
            anyhow::ensure!(target.len() < LONGEST_PATH, "a link's target is too long");
            fresh.set_mode(0o777);
            out.append_link(&mut fresh, &path, OsStr::from_bytes(&target))?;
        } else if header.entry_type().is_dir() {
            // Its files are still to come.
            fresh.set_mode(mode | 0o700);
            out.append_data(&mut fresh, &path, io::empty())?;
        } else {
            fresh.set_mode(mode);
            fresh.set_size(entry.size());
            out.append_data(&mut fresh, &path, &mut entry)?;
        }
    }
    Ok(())
}

/// The entries of a state with their checked paths, relative to `/`.
pub struct Entries<'a, R: Read> {
    entries: tar::Entries<'a, R>,
    left: usize,
}

impl<'a, R: Read> Entries<'a, R> {
    /// The entries of `archive`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of(archive: &'a mut tar::Archive<R>) -> Result<Self> {
        Ok(Self {
            entries: archive.entries()?,
            left: MOST_ENTRIES,
        })
    }

    fn check(&mut self, entry: tar::Entry<'a, R>) -> Result<(PathBuf, tar::Entry<'a, R>)> {
        self.left = self
            .left
            .checked_sub(1)
            .context("it has too many entries")?;
        let kind = entry.header().entry_type();
        let bytes = entry.path_bytes();
        anyhow::ensure!(bytes.len() < LONGEST_PATH, "a path of it is too long");
        let name = || bytes.escape_ascii().to_string();
        anyhow::ensure!(
            kind.is_file() || kind.is_dir() || kind.is_symlink(),
            "{} is neither file, directory nor link",
            name()
        );
        let path = PathBuf::from(OsStr::from_bytes(&bytes));
        let inside = |root: &&str| path.starts_with(root) && path != Path::new(root);
        let plain = path
            .components()
            .all(|component| matches!(component, Component::Normal(_)));
        anyhow::ensure!(
            ROOTS.iter().any(inside) && plain,
            "{} is not where a state has files",
            name()
        );
        drop(bytes);
        Ok((path, entry))
    }
}

impl<'a, R: Read> Iterator for Entries<'a, R> {
    type Item = Result<(PathBuf, tar::Entry<'a, R>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.entries.next()?;
        Some(
            entry
                .map_err(Into::into)
                .and_then(|entry| self.check(entry)),
        )
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
        Entries::of(&mut archive)?
            .map(|entry| {
                let (path, entry) = entry?;
                Ok((path.to_string_lossy().into_owned(), entry.header().mode()?))
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
                "home/dev/x is neither file, directory nor link",
            ),
            (("tmp/x", Fifo), "tmp/x is neither file, directory nor link"),
            (
                ("tmp/x", Block),
                "tmp/x is neither file, directory nor link",
            ),
        ] {
            assert_eq!(rewritten(&[entry]).unwrap_err().to_string(), reason);
        }
    }
}
