//! Room in a directory that only grows: what was not used for longest goes, and what was left unfinished.

use std::fs;
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

/// Removes from a directory what killed runs left under way there, a day ago or earlier: what is young
/// may belong to one that still runs.
pub fn sweep_unfinished(directory: &Path) {
    let old = |entry: &fs::DirEntry| {
        let age = entry.metadata().ok()?.modified().ok()?.elapsed().ok()?;
        (age > LEFT_BEHIND).then(|| entry.path())
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
}
