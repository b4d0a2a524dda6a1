//! Room in a directory that only grows: what was not used for longest goes, and what was left unfinished.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The age at which a temporary file belongs to nobody any more, and no audit that still runs has found
/// a stored one.
pub(crate) const LEFT_BEHIND: Duration = Duration::from_secs(24 * 3600);

/// Removes the files below `root` that were not changed for longest and for more than `age`, until no
/// more than `most` bytes are left. Links are not followed.
///
/// # Errors
///
/// The disk refuses. What another program removes at the same time is no error.
pub fn sweep(root: &Path, most: u64, age: Duration) -> io::Result<()> {
    let mut found = files(root)?;
    found.sort();
    let mut total: u64 = found.iter().map(|(_, bytes, _)| bytes).sum();
    for (modified, bytes, path) in found {
        let old = modified.elapsed().is_ok_and(|since| since >= age);
        if total <= most || !old {
            break;
        }
        gone(fs::remove_file(&path))?;
        total -= bytes;
    }
    Ok(())
}

fn files(root: &Path) -> io::Result<Vec<(SystemTime, u64, PathBuf)>> {
    let mut found = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        let Some(entries) = gone(fs::read_dir(&directory))? else {
            continue;
        };
        for entry in entries {
            let entry = entry?;
            let Some(metadata) = gone(entry.metadata())? else {
                continue;
            };
            if metadata.is_dir() {
                pending.push(entry.path());
            } else if metadata.is_file() {
                found.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
    }
    Ok(found)
}

/// `None`: it is not there any more.
fn gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// A directory for what is under way, for as long as one works in it.
#[derive(Debug)]
#[must_use]
pub struct Scratch {
    /// The directory, locked together with all others who work there; the kernel unlocks it when the
    /// program dies.
    _directory: File,
}

impl Scratch {
    /// Begins to work in the directory, which is made where it is missing. What killed runs left under
    /// way there goes: all of it where nobody else works there, otherwise what is a day old.
    ///
    /// # Errors
    ///
    /// The disk refuses.
    pub fn enter(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let held = File::open(directory)?;
        // Where the file system has no locks, it looks as if somebody else worked there.
        let alone = held.try_lock().is_ok();
        let age = if alone { Duration::ZERO } else { LEFT_BEHIND };
        sweep_unfinished(directory, age);
        // Who comes in between the two locks finds nothing of ours.
        let shared = held.unlock().and_then(|()| held.lock_shared());
        if let Err(error) = shared {
            tracing::debug!("{} is not locked: {error}", directory.display());
        }
        Ok(Self { _directory: held })
    }
}

/// Removes what lies in a directory and was not changed for `age`.
fn sweep_unfinished(directory: &Path, age: Duration) {
    let old = |entry: &fs::DirEntry| {
        let since = entry.metadata().ok()?.modified().ok()?.elapsed();
        (since.unwrap_or_default() >= age).then(|| entry.path())
    };
    let entries = fs::read_dir(directory).into_iter().flatten();
    for path in entries.filter_map(|entry| old(&entry.ok()?)) {
        let removed = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        if let Err(error) = removed {
            // Another run may have been quicker; nothing depends on it.
            tracing::debug!("{} stays: {error}", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str, days: u64| {
            let path = home.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "four").unwrap();
            let then = SystemTime::now() - Duration::from_secs(days * 24 * 3600);
            fs::File::open(&path).unwrap().set_modified(then).unwrap();
            path
        };
        let day = Duration::from_secs(24 * 3600);
        let paths = [at("a/old", 3), at("b/older", 9), at("new", 0)];
        let there = || paths.each_ref().map(|path| path.exists());
        sweep(home.path(), 12, day).unwrap();
        assert_eq!(there(), [true, true, true]);
        sweep(home.path(), 11, day).unwrap();
        assert_eq!(there(), [true, false, true]);
        sweep(home.path(), 0, day).unwrap();
        assert_eq!(there(), [false, false, true], "young files stay");
        sweep(&home.path().join("nowhere"), 0, day).unwrap();
    }

    #[test]
    fn what_is_under_way_goes_when_nobody_works_there() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("tmp");
        let left = |name: &str, then: SystemTime| {
            let path = directory.join(name);
            fs::write(&path, "half").unwrap();
            File::open(&path).unwrap().set_modified(then).unwrap();
            path
        };
        let first = Scratch::enter(&directory).unwrap();
        let now = SystemTime::now();
        let (young, old) = (left("young", now), left("old", now - 2 * LEFT_BEHIND));
        let future = left("future", now + LEFT_BEHIND);
        fs::create_dir(directory.join("tree")).unwrap();
        fs::write(directory.join("tree/file"), "half").unwrap();
        let second = Scratch::enter(&directory).unwrap();
        assert!(young.exists() && !old.exists() && future.exists());
        drop(first);
        let third = Scratch::enter(&directory).unwrap();
        assert!(young.exists(), "the second still works there");
        drop((second, third));
        let _alone = Scratch::enter(&directory).unwrap();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    }
}
