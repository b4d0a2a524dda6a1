//! The files of a source distribution that tell how it is tested.

use std::collections::BTreeMap;

use pyti_index::archive::{self, ArchiveError, Limits, MemberKind};
use pyti_index::filename::DistKind;

use super::requirements::is_requirements;

/// Bytes of a file that is read.
const MOST_BYTES: u64 = 256 << 10;
/// Files that are read.
const MOST_FILES: usize = 400;
/// Where files are read that say how tests are run.
const SETTINGS: [&str; 8] = [
    "pyproject.toml",
    "setup.cfg",
    "setup.py",
    "tox.ini",
    "pytest.ini",
    "noxfile.py",
    "manage.py",
    "runtests.py",
];

/// The files that a plan is made of.
#[derive(Debug, Default)]
pub(in crate::stage) struct Files {
    /// Every file, relative to the source's directory.
    pub(super) paths: Vec<String>,
    /// The texts that were read.
    pub(super) texts: BTreeMap<String, String>,
}

impl Files {
    /// Reads a source distribution.
    pub(in crate::stage) fn read(
        path: &std::path::Path,
        kind: DistKind,
    ) -> Result<Self, ArchiveError> {
        let limits = Limits::default();
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
        let wanted: Vec<&str> = files
            .clone()
            .filter(|member| member.size <= MOST_BYTES && is_read(&inside(&member.path)))
            .map(|member| member.path.as_str())
            .take(MOST_FILES)
            .collect();
        let read = archive::read(path, kind, &limits, |member| wanted.contains(&member))?;
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        Ok(Self {
            paths: files.map(|member| inside(&member.path)).collect(),
            texts: read
                .texts
                .iter()
                .map(|(path, bytes)| (inside(path), text(bytes)))
                .collect(),
        })
    }

    pub(super) fn text(&self, path: &str) -> &str {
        self.texts.get(path).map_or("", String::as_str)
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.paths.iter().any(|found| found == path)
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

fn is_read(path: &str) -> bool {
    SETTINGS.contains(&path)
        || path.ends_with("conftest.py")
        || is_test(path)
        || is_requirements(path)
        || path.ends_with(".py") && path.matches('/').count() <= 2
        || (path.ends_with(".rst") || path.ends_with(".txt")) && !path.contains('/')
}

#[cfg(test)]
impl Files {
    /// Files of these texts.
    pub(super) fn of(texts: &[(&str, &str)]) -> Self {
        Self {
            paths: texts.iter().map(|(path, _)| (*path).to_owned()).collect(),
            texts: texts
                .iter()
                .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
                .collect(),
        }
    }
}
