//! A source tree, packed into a source distribution without asking its build back end.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use flate2::{Compression, write::GzEncoder};
use tar::{EntryType, Header};
use tempfile::NamedTempFile;

use crate::archive::Limits;
use crate::cache::Cache;
use crate::error::IndexError;
use crate::metadata::CoreMetadata;
use crate::name::PackageName;
use crate::pyproject::Pyproject;
use crate::text::printable;
use crate::wheelhouse::MOMENT;

/// What lies in source trees and is no source.
const SKIPPED: [&str; 14] = [
    ".git",
    ".hg",
    ".svn",
    ".bzr",
    ".tox",
    ".nox",
    ".venv",
    "venv",
    "node_modules",
    "__pycache__",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".eggs",
];

/// A packed tree and the file name it should have.
pub(crate) struct Packed {
    pub file: NamedTempFile,
    pub filename: String,
}

/// Packs the tree at `root` into a `.tar.gz` on the cache's file system. The same tree gives the
/// same bytes.
pub(crate) fn pack(root: &Path, cache: &Cache, limits: &Limits) -> Result<Packed, IndexError> {
    let root = fs::canonicalize(root).map_err(IndexError::io("open", root))?;
    let refuse = |reason: &str| IndexError::BadTarget {
        target: printable(&root.display().to_string(), 200),
        reason: reason.to_owned(),
    };
    if !["pyproject.toml", "setup.py", "setup.cfg"]
        .iter()
        .any(|name| root.join(name).is_file())
    {
        return Err(refuse(
            "no source tree: it has no pyproject.toml, setup.py or setup.cfg",
        ));
    }
    let stem = stem(&root, limits);
    let file = cache.temporary()?;
    let gzip = GzEncoder::new(io::BufWriter::new(&file), Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    let mut left = limits.expanded_bytes;
    let mut members = limits.members;
    // Directories still to be packed; a stack, so that a deep tree costs no call depth.
    let mut pending = vec![PathBuf::new()];
    while let Some(directory) = pending.pop() {
        for path in children(&root, &directory)? {
            members = members
                .checked_sub(1)
                .ok_or_else(|| refuse("it has too many files"))?;
            let full = root.join(&path);
            let found = fs::symlink_metadata(&full).map_err(IndexError::io("read", &full))?;
            let name = Path::new(&stem).join(&path);
            let mut header = Header::new_gnu();
            header.set_mtime(MOMENT);
            let mode = if found.permissions().mode() & 0o111 == 0 {
                0o644
            } else {
                0o755
            };
            header.set_mode(mode);
            let added = if found.is_dir() {
                header.set_entry_type(EntryType::Directory);
                header.set_size(0);
                pending.push(path);
                tar.append_data(&mut header, &name, io::empty())
            } else if found.is_symlink() {
                header.set_entry_type(EntryType::Symlink);
                header.set_size(0);
                let target = fs::read_link(&full).map_err(IndexError::io("read", &full))?;
                tar.append_link(&mut header, &name, target)
            } else if found.is_file() {
                let content = File::open(&full).map_err(IndexError::io("open", &full))?;
                let size = content
                    .metadata()
                    .map_err(IndexError::io("read", &full))?
                    .len();
                left = left
                    .checked_sub(size)
                    .ok_or_else(|| refuse("it is too large"))?;
                header.set_size(size);
                tar.append_data(&mut header, &name, content.take(size))
            } else {
                return Err(refuse("it has a device, a pipe or a socket in it"));
            };
            added.map_err(IndexError::io("pack", &full))?;
        }
    }
    let finished = tar
        .into_inner()
        .and_then(GzEncoder::finish)
        .and_then(|writer| {
            writer
                .into_inner()
                .map(drop)
                .map_err(io::IntoInnerError::into_error)
        });
    finished.map_err(IndexError::io("pack", &root))?;
    Ok(Packed {
        file,
        filename: format!("{stem}.tar.gz"),
    })
}

fn children(root: &Path, directory: &Path) -> Result<Vec<PathBuf>, IndexError> {
    let full = root.join(directory);
    let mut names = Vec::new();
    for entry in fs::read_dir(&full).map_err(IndexError::io("list", &full))? {
        let name = entry.map_err(IndexError::io("list", &full))?.file_name();
        if !SKIPPED.iter().any(|skipped| name == *skipped) {
            names.push(directory.join(name));
        }
    }
    names.sort();
    Ok(names)
}

/// `name-version` as the tree states them; the directory's name and version 0 where it does not,
/// and only its build back end could tell.
fn stem(root: &Path, limits: &Limits) -> String {
    let read = |name: &str| {
        let path = root.join(name);
        // A link may lead out of the tree, to what has no end.
        if !fs::symlink_metadata(&path).ok()?.is_file() {
            return None;
        }
        let mut text = String::new();
        let mut within = File::open(&path).ok()?.take(limits.text_bytes + 1);
        within.read_to_string(&mut text).ok()?;
        (text.len() as u64 <= limits.text_bytes).then_some(text)
    };
    let project = read("pyproject.toml").and_then(|text| Pyproject::parse(&text).ok()?.project);
    let info = read("PKG-INFO").and_then(|text| CoreMetadata::parse(&text).ok());
    let directory = || Some(root.file_name()?.to_str()?.to_owned());
    let name = project.as_ref().map(|project| project.name.clone());
    let name = name
        .or_else(|| info.as_ref().map(|info| info.name.clone()))
        .or_else(directory);
    let name = name.and_then(|name| name.parse::<PackageName>().ok());
    let version = project
        .and_then(|project| project.version)
        .or(info.map(|info| info.version));
    let version = version.and_then(|version| version.parse::<pep440_rs::Version>().ok());
    let name = name.map_or_else(|| "package".to_owned(), |name| name.escaped());
    format!(
        "{name}-{}",
        version.map_or_else(|| "0".to_owned(), |version| version.to_string())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_named_by_its_own_files_only() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("tree");
        fs::create_dir(&root).unwrap();
        let outside = home.path().join("outside.toml");
        fs::write(&outside, "[project]\nname = 'outside'\nversion = '2'\n").unwrap();
        let settings = root.join("pyproject.toml");
        std::os::unix::fs::symlink(&outside, &settings).unwrap();
        let limits = Limits::default();
        assert_eq!(stem(&root, &limits), "tree-0");

        fs::remove_file(&settings).unwrap();
        fs::copy(&outside, &settings).unwrap();
        assert_eq!(stem(&root, &limits), "outside-2");
        let small = Limits {
            text_bytes: 8,
            ..limits
        };
        assert_eq!(stem(&root, &small), "tree-0");
    }
}
