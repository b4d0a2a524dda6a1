//! Where images and templates are kept, and how what a killed program left there is cleared away.

use std::{
    env,
    fs::{self, File, OpenOptions, TryLockError},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::VmError;

/// The age at which the lock of a stage that is not there belongs to nobody: it is made just before its
/// directory, and removed just after.
const LONE_LOCK: Duration = Duration::from_secs(60);

/// Hears what is being done, for a person who waits.
pub trait Progress: Send + Sync {
    /// A new step began.
    fn step(&self, message: &str);

    /// Whether that person waits no longer: then what takes long is not brought to its end.
    fn is_abandoned(&self) -> bool {
        false
    }
}

impl<F: Fn(&str) + Send + Sync> Progress for F {
    fn step(&self, message: &str) {
        self(message);
    }
}

/// The directory of images and templates: `$PYTI_HOME`, `$XDG_CACHE_HOME/pyti` or `~/.cache/pyti`.
#[derive(Debug, Clone)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// The directory that the environment names. What an interrupted program left there is removed.
    ///
    /// # Errors
    /// No home directory, or one that cannot be written.
    pub fn from_env() -> Result<Self, VmError> {
        let set = |name| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let root = set("PYTI_HOME")
            .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("pyti")))
            .or_else(|| set("HOME").map(|home| home.join(".cache/pyti")))
            .ok_or_else(|| VmError::Damaged {
                what: "the environment".into(),
                reason: "neither PYTI_HOME, XDG_CACHE_HOME nor HOME is set; set PYTI_HOME".into(),
            })?;
        Self::at(root)
    }

    /// A directory of the caller's choice.
    ///
    /// # Errors
    /// One that cannot be made or written.
    pub fn at(root: impl Into<PathBuf>) -> Result<Self, VmError> {
        let root =
            std::path::absolute(root.into()).map_err(VmError::io("find the cache directory"))?;
        let home = Self { root };
        for directory in [
            home.images(),
            home.templates(),
            home.scratch(),
            home.locks(),
        ] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(&directory)
                .map_err(VmError::io(format!("make {}", directory.display())))?;
        }
        home.clear_leftovers();
        Ok(home)
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    pub(crate) fn templates(&self) -> PathBuf {
        self.root.join("templates")
    }

    /// Where things are made before they are renamed to their place: on the same file system.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.root.join("stages")
    }

    fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }

    /// Waits for the lock of this name; the kernel releases it when the holder ends in any way.
    pub(crate) fn lock(&self, name: &str) -> Result<File, VmError> {
        let path = self.locks().join(name);
        let file = open_lock(&path)?;
        file.lock()
            .map_err(VmError::io(format!("lock {}", path.display())))?;
        Ok(file)
    }

    /// A new directory below [`Home::scratch`], removed when dropped, and at the next start of any
    /// program where this one was killed.
    pub(crate) fn stage(&self) -> Result<Stage, VmError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = self
            .scratch()
            .join(format!("{}-{number}", std::process::id()));
        // The lock is taken before the directory exists: the sweep never sees it unlocked.
        let lock_path = path.with_extension("lock");
        let lock = open_lock(&lock_path)?;
        lock.lock()
            .map_err(VmError::io(format!("lock {}", lock_path.display())))?;
        fs::create_dir(&path).map_err(VmError::io(format!("make {}", path.display())))?;
        Ok(Stage {
            path,
            lock_path,
            _lock: lock,
        })
    }

    /// Removes stages whose maker is gone: their lock is free.
    fn clear_leftovers(&self) {
        let Ok(entries) = fs::read_dir(self.scratch()) else {
            return;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path
                .extension()
                .is_some_and(|extension| extension == "lock")
            {
                clear_lone_lock(&path);
                continue;
            }
            let lock_path = path.with_extension("lock");
            let Ok(lock) = open_lock(&lock_path) else {
                continue;
            };
            if let Err(TryLockError::WouldBlock) = lock.try_lock() {
                continue;
            }
            if let Err(error) = remove(&path).and_then(|()| fs::remove_file(&lock_path)) {
                tracing::warn!("failed to remove {}: {error}", path.display());
            }
        }
    }
}

fn open_lock(path: &Path) -> Result<File, VmError> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(VmError::io(format!("open {}", path.display())))
}

/// Removes the lock of a maker that was killed when its directory was not there yet, or no longer.
fn clear_lone_lock(path: &Path) {
    let age = || fs::metadata(path).ok()?.modified().ok()?.elapsed().ok();
    if path.with_extension("").exists() || age().is_none_or(|age| age < LONE_LOCK) {
        return;
    }
    if let Ok(lock) = open_lock(path)
        && lock.try_lock().is_ok()
        && let Err(error) = fs::remove_file(path)
    {
        tracing::warn!("failed to remove {}: {error}", path.display());
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

/// A directory in the making.
#[derive(Debug)]
pub(crate) struct Stage {
    path: PathBuf,
    lock_path: PathBuf,
    _lock: File,
}

impl Stage {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the finished directory in its place, at once and whole.
    pub(crate) fn publish(self, place: &Path) -> Result<(), VmError> {
        fs::rename(&self.path, place)
            .map_err(VmError::io(format!("put {} in its place", place.display())))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // After `publish` there is nothing left to remove.
        let _ = fs::remove_dir_all(&self.path);
        let _ = fs::remove_file(&self.lock_path);
    }
}

/// The whole of a small file of ours.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, VmError> {
    fs::read(path).map_err(VmError::io(format!("read {}", path.display())))
}

/// Writes a file.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), VmError> {
    fs::write(path, bytes).map_err(VmError::io(format!("write {}", path.display())))
}

/// Opens a file for reading.
pub(crate) fn open(path: &Path) -> Result<File, VmError> {
    File::open(path).map_err(VmError::io(format!("open {}", path.display())))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn leftovers_go_and_live_stages_stay() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path()).unwrap();
        let live = home.stage().unwrap();
        fs::create_dir(home.scratch().join("1-7")).unwrap();
        fs::write(home.scratch().join("1-7/half"), b"x").unwrap();
        Home::at(directory.path()).unwrap();
        assert!(live.path().is_dir());
        assert!(!home.scratch().join("1-7").exists());
        let path = live.path().to_owned();
        drop(live);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(home.scratch()).unwrap().count(), 0);
    }

    #[test]
    fn a_lock_without_its_stage_goes_when_nobody_can_be_about_to_make_it() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path()).unwrap();
        let lock = |name: &str, age| {
            let path = home.scratch().join(name);
            let lock = open_lock(&path).unwrap();
            lock.set_modified(SystemTime::now() - age).unwrap();
            (path, lock)
        };
        let (young, _) = lock("1-1.lock", Duration::ZERO);
        let (old, _) = lock("1-2.lock", 2 * LONE_LOCK);
        let (held, holder) = lock("1-3.lock", 2 * LONE_LOCK);
        holder.lock().unwrap();
        let live = home.stage().unwrap();
        let aged = File::options().append(true).open(&live.lock_path);
        let then = SystemTime::now() - 2 * LONE_LOCK;
        aged.unwrap().set_modified(then).unwrap();
        Home::at(directory.path()).unwrap();
        assert!(young.exists() && !old.exists() && held.exists());
        assert!(live.path().exists() && live.lock_path.exists());
    }
}
