//! Fetched files, addressed by their content, and index pages, addressed by where they came from.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::error::IndexError;
use crate::sweep::{LEFT_BEHIND, Scratch, sweep};

/// What may be kept for later audits, bytes: of files, and of pages.
const MOST_BYTES: [(&str, u64); 2] = [("files", 16 << 30), ("pages", 1 << 30)];

/// The cache's directory: `files/ab/abcd…`, `pages/…`, `tools/…`, and `tmp` for what is under way.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    root: PathBuf,
    /// `tmp`, as long as any copy of this is there.
    _under_way: Arc<Scratch>,
}

/// An index page as it was received.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StoredPage {
    /// What the server calls this state of the page (RFC 9110, 8.8.3).
    pub etag: String,
    /// Its media type.
    pub content_type: String,
    /// Its text.
    pub body: String,
}

impl Cache {
    /// The cache under `root`, made where it is missing.
    pub(crate) fn open(root: &Path) -> Result<Self, IndexError> {
        for part in ["files", "pages", "tools"] {
            let path = root.join(part);
            std::fs::create_dir_all(&path).map_err(IndexError::io("create", &path))?;
        }
        let under_way = root.join("tmp");
        let under_way = Scratch::enter(&under_way).map_err(IndexError::io("open", &under_way))?;
        let cache = Self {
            root: root.to_owned(),
            _under_way: Arc::new(under_way),
        };
        for (part, most) in MOST_BYTES {
            let path = root.join(part);
            sweep(&path, most, LEFT_BEHIND).map_err(IndexError::io("make room in", &path))?;
        }
        Ok(cache)
    }

    pub(crate) fn tools(&self) -> PathBuf {
        self.root.join("tools")
    }

    /// A new temporary file on the cache's file system.
    pub(crate) fn temporary(&self) -> Result<NamedTempFile, IndexError> {
        let directory = self.root.join("tmp");
        NamedTempFile::new_in(&directory).map_err(IndexError::io("create a file in", &directory))
    }

    /// A new temporary directory on the cache's file system.
    pub(crate) fn temporary_directory(&self) -> Result<tempfile::TempDir, IndexError> {
        let directory = self.root.join("tmp");
        tempfile::tempdir_in(&directory)
            .map_err(IndexError::io("create a directory in", &directory))
    }

    fn file(&self, sha256: &str) -> PathBuf {
        self.root.join("files").join(&sha256[..2]).join(sha256)
    }

    /// The file of this digest, where it is there and still whole. `sha256` is 64 hex digits.
    pub(crate) fn find(&self, sha256: &str) -> Result<Option<(PathBuf, u64)>, IndexError> {
        let path = self.file(sha256);
        match digest(&path) {
            Ok((actual, bytes)) if actual == sha256 => {
                used(&path);
                Ok(Some((path, bytes)))
            }
            Ok(_) => {
                std::fs::remove_file(&path).map_err(IndexError::io("remove", &path))?;
                Ok(None)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(IndexError::io("read", &path)(error)),
        }
    }

    /// Moves a finished file under its digest.
    pub(crate) fn keep(&self, file: NamedTempFile, sha256: &str) -> Result<PathBuf, IndexError> {
        let path = self.file(sha256);
        let parent = self.root.join("files").join(&sha256[..2]);
        std::fs::create_dir_all(&parent).map_err(IndexError::io("create", &parent))?;
        file.persist(&path)
            .map_err(|error| IndexError::io("store", &path)(error.error))?;
        Ok(path)
    }

    fn page(&self, url: &str) -> PathBuf {
        self.root.join("pages").join(hex(&Sha256::digest(url)))
    }

    /// The stored page that came from `url`; a damaged one counts as missing.
    pub(crate) fn find_page(&self, url: &str) -> Option<StoredPage> {
        let path = self.page(url);
        let page = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
        used(&path);
        Some(page)
    }

    /// Stores a page.
    pub(crate) fn keep_page(&self, url: &str, page: &StoredPage) -> Result<(), IndexError> {
        let path = self.page(url);
        let mut file = self.temporary()?;
        let text = serde_json::to_vec(page)
            .map_err(|error| IndexError::io("store", &path)(error.into()))?;
        file.write_all(&text)
            .map_err(IndexError::io("store", &path))?;
        file.persist(&path)
            .map_err(|error| IndexError::io("store", &path)(error.error))?;
        Ok(())
    }
}

/// What was used last is swept last.
fn used(path: &Path) {
    let now = SystemTime::now();
    let marked = std::fs::File::open(path).and_then(|file| file.set_modified(now));
    if let Err(error) = marked {
        tracing::debug!("{} looks unused: {error}", path.display());
    }
}

/// The sha256 of the file at `path`, in hexadecimal, and its size in bytes.
pub(crate) fn digest(path: &Path) -> std::io::Result<(String, u64)> {
    let mut file = std::fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut bytes = 0_u64;
    let mut buffer = vec![0; 256 << 10];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((hex(&hash.finalize()), bytes));
        }
        hash.update(&buffer[..count]);
        bytes += count as u64;
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_dropped() {
        let home = tempfile::tempdir().unwrap();
        let cache = Cache::open(home.path()).unwrap();
        let mut file = cache.temporary().unwrap();
        file.write_all(b"abc").unwrap();
        let (sha256, bytes) = digest(file.path()).unwrap();
        assert_eq!(
            sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(bytes, 3);
        let path = cache.keep(file, &sha256).unwrap();
        assert_eq!(cache.find(&sha256).unwrap(), Some((path.clone(), 3)));

        let old = SystemTime::now() - 2 * LEFT_BEHIND;
        let file = std::fs::File::open(&path).unwrap();
        file.set_modified(old).unwrap();
        assert!(cache.find(&sha256).unwrap().is_some());
        let modified = file.metadata().unwrap().modified().unwrap();
        assert!(modified > old + LEFT_BEHIND, "what is found is in use");

        std::fs::write(&path, "abd").unwrap();
        assert_eq!(cache.find(&sha256).unwrap(), None);
        assert!(!path.exists());
    }
}
