//! The files of a source distribution that tell how it is tested.

use std::collections::{BTreeMap, BTreeSet};

use pyti_analyzer::amount;
use pyti_index::archive::{self, ArchiveError, Limits, Member, MemberKind};
use pyti_index::filename::DistKind;

use super::ini::Ini;
use super::requirements::is_list;

/// Bytes of a file that is read.
const MOST_BYTES: u64 = 256 << 10;
/// Files that are read.
const MOST_FILES: usize = 400;
/// Files of one rank that are read before further ones of any other.
const SHARE: usize = 90;
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
/// Those of them that are INI files.
const INI: [&str; 5] = [
    "setup.cfg",
    "tox.ini",
    "pytest.ini",
    "unittest.cfg",
    "nose2.cfg",
];

/// The files that a plan is made of.
#[derive(Debug, Default)]
pub(in crate::stage) struct Files {
    /// Every file, relative to the source's directory, sorted: a hostile one has a hundred thousand.
    pub(super) paths: Vec<String>,
    /// The texts that were read.
    pub(super) texts: BTreeMap<String, String>,
    /// Those that may tell something too and were not read, the most telling first: there are too many,
    /// or they are too large.
    pub(super) unread: Vec<String>,
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
        let telling = files
            .clone()
            .filter_map(|member| Some((rank(&inside(&member.path))?, member)));
        let (wanted, unread) = divided(telling);
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
            unread: unread.into_iter().map(inside).collect(),
        })
    }

    /// What is not known since it was not read, in a sentence.
    pub(super) fn unread_note(&self) -> Option<String> {
        let first = self.unread.first()?;
        let (one, many) = ("file is", "files are");
        let files = amount(self.unread.len() as u64, one, many);
        let kib = MOST_BYTES >> 10;
        Some(format!(
            "{files} not read that may tell of its tests (the limit is {MOST_FILES} files of {kib} KiB \
             each), first of all `{first}`"
        ))
    }

    /// Which settings say nothing since their file cannot be read, one sentence each.
    pub(super) fn unreadable_notes(&self) -> Vec<String> {
        let told = |file: &&str| {
            let why = Ini::read(self.text(file)).err()?;
            Some(format!("{file} cannot be read: {why}"))
        };
        INI.iter().filter_map(told).collect()
    }

    pub(super) fn text(&self, path: &str) -> &str {
        self.texts.get(path).map_or("", String::as_str)
    }

    /// Whether its text is there.
    pub(super) fn is_read(&self, path: &str) -> bool {
        self.texts.contains_key(path)
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
    if is_test(path) || path.ends_with("conftest.py") {
        return Some(1);
    }
    if is_list(path) {
        let path = path.to_ascii_lowercase();
        // Others may be the data of tests.
        let named = path.contains("requir") || path.contains("constrain");
        return Some(if named { 2 } else { 3 });
    }
    let read = path.ends_with(".py") && depth <= 2
        || (path.ends_with(".rst") || path.ends_with(".txt")) && depth == 0;
    read.then_some(4)
}

/// Of these members, each with its rank, those that are read, and those that are not, the most telling
/// first. Every rank has its share, so that many files of one do not hide those of another.
fn divided<'a>(
    telling: impl Iterator<Item = (u8, &'a Member)>,
) -> (BTreeSet<&'a str>, Vec<&'a str>) {
    let mut of_rank: BTreeMap<u8, usize> = BTreeMap::new();
    let (mut unread, mut read, mut further) = (vec![], vec![], vec![]);
    for (rank, member) in telling {
        let path = member.path.as_str();
        if member.size > MOST_BYTES {
            unread.push((rank, path));
            continue;
        }
        let so_far = of_rank.entry(rank).or_default();
        *so_far += 1;
        if *so_far <= SHARE {
            read.push((rank, path));
        } else {
            further.push((rank, path));
        }
    }
    further.sort_by_key(|(rank, _)| *rank);
    read.extend(further);
    unread.extend(read.split_off(read.len().min(MOST_FILES)));
    unread.sort_by_key(|(rank, _)| *rank);
    (
        read.into_iter().map(|(_, path)| path).collect(),
        unread.into_iter().map(|(_, path)| path).collect(),
    )
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
            unread: vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use pyti_index::CoreMetadata;
    use zip::write::{SimpleFileOptions, ZipWriter};

    use super::super::{Framework, PythonVersion, TestPlan, plan};
    use super::*;

    /// What is read of an archive of these files.
    fn read(texts: &[(&str, &str)]) -> Files {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut zip = ZipWriter::new(file.reopen().unwrap());
        for (path, text) in texts {
            let path = format!("a-1/{path}");
            zip.start_file(path, SimpleFileOptions::default()).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
        Files::read(file.path(), DistKind::SdistZip).unwrap()
    }

    fn planned(files: &Files) -> TestPlan {
        plan(files, &CoreMetadata::default(), PythonVersion::TEST).unwrap()
    }

    #[test]
    fn data_of_tests_do_not_hide_the_tests() {
        let data: Vec<String> = (0..400).map(|n| format!("tests/data/{n}.txt")).collect();
        let mut texts: Vec<(&str, &str)> = data.iter().map(|path| (&**path, "")).collect();
        texts.push(("requirements-test.txt", "a>1\n"));
        texts.push(("tests/test_a.py", "import pytest"));
        let files = read(&texts);
        assert_eq!(files.texts.len(), MOST_FILES);
        let plan = planned(&files);
        assert_eq!(plan.reason, "tests/test_a.py has `import pytest`");
        assert_eq!(plan.wanted, ["a>1"]);
        assert_eq!(
            plan.notes,
            [
                "2 files are not read that may tell of its tests (the limit is 400 files of 256 KiB \
                each), first of all `tests/data/398.txt`"
            ]
        );
    }

    #[test]
    fn many_tests_do_not_hide_what_they_require() {
        let tests: Vec<String> = (0..500).map(|n| format!("tests/test_{n}.py")).collect();
        let mut texts: Vec<(&str, &str)> = tests.iter().map(|path| (&**path, "")).collect();
        texts.push(("requirements-test.txt", "a>1\n"));
        texts.push(("tox.ini", "[testenv]\ncommands = nose2"));
        let files = read(&texts);
        assert_eq!((files.texts.len(), files.unread.len()), (MOST_FILES, 102));
        let plan = planned(&files);
        assert_eq!(plan.first.framework, Framework::Nose2);
        assert_eq!(plan.wanted, ["a>1"]);
    }

    #[test]
    fn tests_and_settings_that_are_too_large_are_not_none() {
        let long = "#".repeat(300 << 10);
        let files = read(&[
            ("README.rst", ">>> 1\n1\n"),
            ("test_a.py", &long),
            ("tox.ini", &long),
        ]);
        let plan = planned(&files);
        assert_eq!(plan.first.framework, Framework::Pytest);
        let reason = "test_a.py is named as tests are, and is not read";
        assert_eq!(plan.reason, reason);
        assert_eq!(plan.seen.as_deref(), Some("test_a.py"));
        assert_eq!(
            plan.notes,
            [
                "2 files are not read that may tell of its tests (the limit is 400 files of 256 KiB \
                each), first of all `tox.ini`"
            ]
        );
    }
}
