//! The files of a source distribution that tell how it is tested.

use std::collections::{BTreeMap, BTreeSet};

use pyti_index::archive::{self, ArchiveError, Limits, MemberKind};
use pyti_index::filename::DistKind;

use super::requirements::is_list;

/// Bytes of a file that is read.
const MOST_BYTES: u64 = 256 << 10;
/// Files that are read.
const MOST_FILES: usize = 400;
/// Where files are read that say how tests are run.
const SETTINGS: [&str; 14] = [
    "pyproject.toml",
    "setup.cfg",
    "setup.py",
    "tox.ini",
    "tox.toml",
    "pytest.ini",
    "pytest.toml",
    "noxfile.py",
    "hatch.toml",
    "unittest.cfg",
    "nose2.cfg",
    "manage.py",
    "runtests.py",
    "tests/settings.py",
];

/// The files that a plan is made of.
#[derive(Debug, Default)]
pub(in crate::stage) struct Files {
    /// Every file, relative to the source's directory, sorted: a hostile one has a hundred thousand.
    pub(super) paths: Vec<String>,
    /// The texts that were read.
    pub(super) texts: BTreeMap<String, String>,
    /// How many may tell something too and were not read.
    pub(super) unread: usize,
}

impl Files {
    /// Reads a source distribution.
    pub(in crate::stage) fn read(
        path: &std::path::Path,
        kind: DistKind,
    ) -> Result<Self, ArchiveError> {
        let limits = Limits {
            kept_bytes: MOST_BYTES * MOST_FILES as u64,
            ..Limits::default()
        };
        let listed = archive::read(path, kind, &limits, |_| false)?;
        let root = listed.root().to_owned();
        let inside = |path: &str| {
            let rest = path.strip_prefix(&root).unwrap_or(path);
            rest.trim_start_matches('/').to_owned()
        };
        let files = listed
            .members
            .iter()
            .filter(|member| member.kind == MemberKind::File);
        let mut wanted: Vec<(u8, &str)> = files
            .clone()
            .filter(|member| member.size <= MOST_BYTES)
            .filter_map(|member| Some((rank(&inside(&member.path))?, member.path.as_str())))
            .collect();
        wanted.sort_by_key(|(rank, _)| *rank);
        let unread = wanted.len().saturating_sub(MOST_FILES);
        let wanted: BTreeSet<&str> = wanted
            .into_iter()
            .map(|(_, path)| path)
            .take(MOST_FILES)
            .collect();
        let read = archive::read(path, kind, &limits, |member| wanted.contains(member))?;
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        let mut paths: Vec<String> = files.map(|member| inside(&member.path)).collect();
        paths.sort();
        Ok(Self {
            paths,
            texts: read
                .texts
                .iter()
                .map(|(path, bytes)| (inside(path), text(bytes)))
                .collect(),
            unread,
        })
    }

    pub(super) fn text(&self, path: &str) -> &str {
        self.texts.get(path).map_or("", String::as_str)
    }

    pub(super) fn has(&self, path: &str) -> bool {
        let found = self
            .paths
            .binary_search_by(|found| found.as_str().cmp(path));
        found.is_ok()
    }

    /// Whether anything is in such a directory; the empty one is the source's own.
    pub(super) fn has_directory(&self, path: &str) -> bool {
        let start = format!("{path}/");
        let at = self.paths.partition_point(|found| *found < start);
        path.is_empty()
            || self
                .paths
                .get(at)
                .is_some_and(|found| found.starts_with(&start))
    }

    /// A TOML file; one that cannot be read says nothing.
    pub(super) fn toml(&self, path: &str) -> toml::Table {
        toml::from_str(self.text(path)).unwrap_or_default()
    }

    pub(super) fn tests(&self) -> impl Iterator<Item = &String> {
        self.paths.iter().filter(|path| is_test(path))
    }
}

fn is_test(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let Some(stem) = name.strip_suffix(".py") else {
        return false;
    };
    let named = stem.starts_with("test") || stem.ends_with("_test") || stem.ends_with("_tests");
    named && stem != "testing" && !path.split('/').any(|part| part == "build")
}

/// Which files are read, the most telling first.
fn rank(path: &str) -> Option<u8> {
    if SETTINGS.contains(&path) {
        return Some(0);
    }
    let depth = path.matches('/').count();
    if is_list(path) {
        return Some(1);
    }
    if is_test(path) || path.ends_with("conftest.py") {
        return Some(2);
    }
    let read = path.ends_with(".py") && depth <= 2
        || (path.ends_with(".rst") || path.ends_with(".txt")) && depth == 0;
    read.then_some(3)
}

#[cfg(test)]
impl Files {
    /// Files of these texts.
    pub(super) fn of(texts: &[(&str, &str)]) -> Self {
        let mut paths: Vec<String> = texts.iter().map(|(path, _)| (*path).to_owned()).collect();
        paths.sort();
        Self {
            paths,
            texts: texts
                .iter()
                .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
                .collect(),
            unread: 0,
        }
    }
}
