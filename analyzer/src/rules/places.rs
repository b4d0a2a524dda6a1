//! Paths, and whether another one is one of them or below one. The time that this takes grows with the
//! length of a path alone: whoever is watched chooses paths, and has many of them.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};

/// A set of paths.
#[derive(Debug, Default)]
pub(super) struct Places<'a> {
    paths: HashSet<&'a str>,
    /// Their hashes, which are made of those of the directories above.
    hashes: HashSet<u64>,
    keys: RandomState,
}

impl<'a> Places<'a> {
    /// Adds a path.
    pub(super) fn insert(&mut self, path: &'a str) {
        if self.paths.insert(path)
            && let Some((_, hash)) = prefixes(path, &self.keys).last()
        {
            self.hashes.insert(hash);
        }
    }

    /// Whether `path` is among them, or one of the directories above it is.
    pub(super) fn hold(&self, path: &str) -> bool {
        !self.paths.is_empty()
            && prefixes(path, &self.keys)
                .any(|(prefix, hash)| self.hashes.contains(&hash) && self.paths.contains(prefix))
    }
}

/// The directories above a path from the first one on, then the path, each with its hash.
fn prefixes<'p>(path: &'p str, keys: &RandomState) -> impl Iterator<Item = (&'p str, u64)> {
    let mut hasher = keys.build_hasher();
    let mut begin = 0;
    let slashes = path.match_indices('/').map(|(at, _)| at);
    slashes
        .skip_while(|at| *at == 0)
        .chain([path.len()])
        .map(move |end| {
            hasher.write(&path.as_bytes()[begin..end]);
            begin = end;
            (&path[..end], hasher.clone().finish())
        })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn what_is_below_a_place_is_held() {
        let mut places = Places::default();
        assert!(!places.hold("/a"));
        for path in ["/a/b", "/c/", "relative/x", "/"] {
            places.insert(path);
        }
        for (path, held) in [
            ("/a/b", true),
            ("/a/b/c/d", true),
            ("/a/b/", true),
            ("/a", false),
            ("/a/bc", false),
            ("/c//d", true),
            ("/c/d", false),
            ("relative/x/y", true),
            ("relative", false),
            ("/", true),
            ("", false),
        ] {
            assert_eq!(places.hold(path), held, "{path}");
        }
    }

    #[test]
    fn a_long_path_costs_no_more_than_its_length() {
        let mut places = Places::default();
        places.insert("/b");
        let long = "/a".repeat(1 << 19);
        let began = Instant::now();
        places.insert(&long);
        assert!(!places.hold(&long[..long.len() - 2]));
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}
