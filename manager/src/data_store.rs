//! What stages leave, by its hash: states that later stages start from, and what was done before.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use cacache::{Integrity, SyncReader, WriteOpts};
use pyti_index::Scratch;
use serde::{Deserialize, Serialize};

/// Where cacache has contents (its version 2).
const CONTENT: &str = "content-v2";
/// Where it has what is not written to its end.
const UNFINISHED: &str = "tmp";
/// What nobody used for so long is no audit's that still runs.
const LONG_UNUSED: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A content-addressed store in a directory of the cache, made where it is missing.
#[derive(Debug, Clone)]
pub struct DataStore {
    directory: PathBuf,
}

/// The address of something stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// Its hash, in the form of Subresource Integrity (W3C): `sha256-…`.
    pub integrity: String,
    /// Its size in bytes.
    pub bytes: u64,
}

impl Blob {
    fn address(&self) -> Result<Integrity> {
        Integrity::from_str(&self.integrity)
            .with_context(|| format!("{:?} is no address of stored data", self.integrity))
    }
}

impl DataStore {
    /// The store in this directory.
    #[must_use]
    pub fn at(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Begins to work in it, until what this gives is dropped: what killed runs left unfinished there
    /// goes, and only what was long unused is swept meanwhile.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn enter(&self) -> Result<Scratch> {
        Scratch::enter(&self.directory.join(UNFINISHED)).with_context(|| self.failed())
    }

    /// Stores what `content` holds.
    ///
    /// # Errors
    /// It cannot be read, or the disk refuses.
    pub fn put(&self, mut content: impl Read) -> Result<Blob> {
        let mut writer = WriteOpts::new()
            .open_hash_sync(&self.directory)
            .with_context(|| self.failed())?;
        let bytes = io::copy(&mut content, &mut writer).with_context(|| self.failed())?;
        let integrity = writer.commit().with_context(|| self.failed())?.to_string();
        Ok(Blob { integrity, bytes })
    }

    /// Stores a file.
    ///
    /// # Errors
    /// See [`Self::put`].
    pub fn put_file(&self, path: &Path) -> Result<Blob> {
        let file =
            File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
        self.put(file)
    }

    /// Whether it is there; who asks is about to use it.
    #[must_use]
    pub fn has(&self, blob: &Blob) -> bool {
        blob.address().is_ok_and(|address| {
            self.used(&address);
            cacache::exists_sync(&self.directory, &address)
        })
    }

    /// Reads something stored.
    ///
    /// # Errors
    /// It is not there.
    pub fn open(&self, blob: &Blob) -> Result<impl Read + use<>> {
        let address = blob.address()?;
        self.used(&address);
        SyncReader::open_hash(&self.directory, address)
            .with_context(|| format!("{} is not in the data store", blob.integrity))
    }

    /// Copies something stored to a file, and checks it.
    ///
    /// # Errors
    /// It is not there or was damaged, or the disk refuses.
    pub fn copy_to(&self, blob: &Blob, path: &Path) -> Result<()> {
        let address = blob.address()?;
        self.used(&address);
        cacache::copy_hash_sync(&self.directory, &address, path)
            .with_context(|| format!("failed to copy {} to {}", blob.integrity, path.display()))?;
        Ok(())
    }

    /// Keeps `value` under a key.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn keep(&self, key: &str, value: &[u8]) -> Result<()> {
        cacache::write_sync(&self.directory, key, value).with_context(|| self.failed())?;
        Ok(())
    }

    /// What was kept under the key, if it is there and whole.
    #[must_use]
    pub fn recall(&self, key: &str) -> Option<Vec<u8>> {
        let kept = cacache::metadata_sync(&self.directory, key).ok()??;
        self.used(&kept.integrity);
        cacache::read_hash_sync(&self.directory, &kept.integrity).ok()
    }

    /// Removes the contents that were not used for longest and for more than `age`, until no more than
    /// `most` bytes are left; for more than a week while somebody works here, see [`Self::enter`]. What was
    /// kept under a key and is gone is simply not recalled.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn sweep(&self, most: u64, age: Duration) -> Result<()> {
        let unfinished = self.directory.join(UNFINISHED);
        fs::create_dir_all(&unfinished).with_context(|| self.failed())?;
        // Until this is dropped, who comes waits. Where the file system has no locks, age alone protects.
        let alone = File::open(&unfinished).with_context(|| self.failed())?;
        let age = match alone.try_lock() {
            Err(TryLockError::WouldBlock) => age.max(LONG_UNUSED),
            _ => age,
        };
        let contents = self.directory.join(CONTENT);
        pyti_index::sweep(&contents, most, age)
            .with_context(|| format!("failed to make room in {}", contents.display()))
    }

    /// What was used last is swept last.
    fn used(&self, address: &Integrity) {
        let path = self.content(address);
        let marked = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        if let Err(error) = marked {
            tracing::debug!("{} looks unused: {error}", path.display());
        }
    }

    /// Where cacache has a content.
    fn content(&self, address: &Integrity) -> PathBuf {
        let (algorithm, hex) = address.to_hex();
        let contents = self.directory.join(CONTENT).join(algorithm.to_string());
        contents.join(&hex[..2]).join(&hex[2..4]).join(&hex[4..])
    }

    fn failed(&self) -> String {
        format!("failed to store data in {}", self.directory.display())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    use super::{DataStore, Integrity, UNFINISHED};

    #[test]
    fn what_is_stored_is_found_by_its_address() {
        let directory = tempfile::tempdir().unwrap();
        let store = DataStore::at(directory.path().join("data"));
        let blob = store.put(&b"content"[..]).unwrap();
        assert_eq!(blob.bytes, 7);
        assert!(store.has(&blob));
        let copy = directory.path().join("copy");
        store.copy_to(&blob, &copy).unwrap();
        assert_eq!(std::fs::read(copy).unwrap(), b"content");
        let other = super::Blob {
            integrity: "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".into(),
            bytes: 1,
        };
        assert!(!store.has(&other));
        assert!(store.open(&other).is_err());
    }

    #[test]
    fn the_oldest_go_where_there_is_too_much() {
        let directory = tempfile::tempdir().unwrap();
        let store = DataStore::at(directory.path().to_owned());
        let blobs: Vec<_> = [b"one", b"two"]
            .map(|content| store.put(&content[..]).unwrap())
            .into();
        store.sweep(3, Duration::from_secs(3600)).unwrap();
        assert!(
            blobs.iter().all(|blob| store.has(blob)),
            "young contents stay"
        );
        store.sweep(3, Duration::ZERO).unwrap();
        assert_eq!(blobs.iter().filter(|blob| store.has(blob)).count(), 1);
    }

    #[test]
    fn what_was_used_stays() {
        let directory = tempfile::tempdir().unwrap();
        let store = DataStore::at(directory.path().join("data"));
        let blobs = [b"one", b"two", b"six", b"ten"];
        let blobs = blobs.map(|content| store.put(&content[..]).unwrap());
        store.keep("key", b"kept").unwrap();
        let key = cacache::metadata_sync(&store.directory, "key");
        let kept = key.unwrap().unwrap().integrity;
        let day = Duration::from_secs(24 * 3600);
        let long_ago = |address: &Integrity| {
            let content = File::open(store.content(address)).unwrap();
            content.set_modified(SystemTime::now() - 2 * day).unwrap();
        };
        let addresses = blobs.each_ref().map(|blob| blob.address().unwrap());
        addresses.iter().for_each(long_ago);
        long_ago(&kept);

        assert!(store.has(&blobs[0]));
        drop(store.open(&blobs[1]).unwrap());
        let copy = directory.path().join("copy");
        store.copy_to(&blobs[2], &copy).unwrap();
        assert!(store.recall("key").is_some());
        store.sweep(0, day).unwrap();
        let there = addresses.map(|address| store.content(&address).exists());
        assert_eq!(there, [true, true, true, false]);
        assert!(store.recall("key").is_some());
    }

    #[test]
    fn what_was_lately_used_stays_while_somebody_works_there() {
        let directory = tempfile::tempdir().unwrap();
        let store = DataStore::at(directory.path().to_owned());
        let blob = store.put(&b"content"[..]).unwrap();
        let working = store.enter().unwrap();
        let forgotten = store.put(&b"forgotten"[..]).unwrap();
        let content = File::open(store.content(&forgotten.address().unwrap())).unwrap();
        content
            .set_modified(SystemTime::now() - 2 * super::LONG_UNUSED)
            .unwrap();
        store.sweep(0, Duration::ZERO).unwrap();
        assert!(store.has(&blob) && !store.has(&forgotten));
        drop(working);
        store.sweep(0, Duration::ZERO).unwrap();
        assert!(!store.has(&blob));
    }

    #[test]
    fn what_a_killed_run_left_unfinished_goes_at_the_next_start() {
        let directory = tempfile::tempdir().unwrap();
        let store = DataStore::at(directory.path().to_owned());
        // cacache makes the directory, by the name that is told here.
        let blob = store.put(&b"kept"[..]).unwrap();
        let left = directory.path().join(UNFINISHED).join("left");
        fs::write(&left, "half").unwrap();
        let _working = store.enter().unwrap();
        assert!(!left.exists());
        assert!(store.has(&blob));
        assert!(store.has(&store.put(&b"more"[..]).unwrap()));
    }

    #[test]
    fn a_key_recalls_the_last_value() {
        let directory = tempfile::tempdir().unwrap();
        let store = DataStore::at(directory.path().to_owned());
        assert_eq!(store.recall("key"), None);
        store.keep("key", b"one").unwrap();
        store.keep("key", b"two").unwrap();
        assert_eq!(store.recall("key").as_deref(), Some(&b"two"[..]));
    }
}
