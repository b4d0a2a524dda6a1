//! Files that an index lists in formats which are not read here. A version that has no others is there all
//! the same: whoever asks for it is told so.

use std::collections::BTreeSet;

use pep440_rs::Version;

use crate::filename::LONGEST;
use crate::name::PackageName;

/// How sources end that are not read.
const SOURCES: &[&str] = &[
    ".tar.bz2",
    ".tbz",
    ".tar.xz",
    ".txz",
    ".tar.lzma",
    ".tar.z",
    ".tar",
];
/// How distributions end that were built, and are no wheels.
const BUILT: &[&str] = &[".egg", ".exe", ".msi", ".rpm", ".dmg"];
/// What stands behind the version of a file that was built for one platform, where no `-` does.
const PLATFORMS: &[&str] = &[".win", ".linux", ".macosx"];
/// More of them are not remembered: no package has as many.
const MOST: usize = 10_000;
/// Longer versions are not remembered.
const LONGEST_VERSION: usize = 64;
/// About what one takes in memory, with a version of as many parts as it may have.
const BYTES: usize = 2048;

/// What is remembered of such files of a package: nothing of their names is kept but versions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unread(BTreeSet<UnreadFile>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct UnreadFile {
    version: Version,
    ending: &'static str,
    is_source: bool,
}

impl Unread {
    /// Remembers a file, where it is in such a format and one of this package.
    pub(crate) fn note(&mut self, raw: &str, package: &PackageName) {
        if self.0.len() < MOST {
            self.0.extend(UnreadFile::parse(raw, package));
        }
    }

    /// What is said of a version, or of the whole package, that has no other files; nothing where it has
    /// none of these.
    pub(crate) fn told(&self, version: Option<&Version>) -> Option<String> {
        let files = self.0.iter();
        let meant = files.filter(|file| version.is_none_or(|version| file.version == *version));
        let meant: Vec<&UnreadFile> = meant.collect();
        let endings: BTreeSet<&str> = meant.iter().map(|file| file.ending).collect();
        if endings.is_empty() {
            return None;
        }
        let unpack = match meant.iter().any(|file| file.is_source) {
            true => ": unpack a source and give its directory",
            false => "",
        };
        let endings = Vec::from_iter(endings).join(", ");
        Some(format!(
            "the index has it only in formats that are not read ({endings}){unpack}"
        ))
    }

    /// How the source of this version ends.
    pub(crate) fn source(&self, version: &Version) -> Option<&'static str> {
        let mut files = self.0.iter();
        let source = files.find(|file| file.is_source && file.version == *version);
        source.map(|file| file.ending)
    }

    /// About what it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.0.len() * BYTES
    }
}

impl UnreadFile {
    fn parse(raw: &str, package: &PackageName) -> Option<Self> {
        if raw.len() > LONGEST {
            return None;
        }
        let lower = raw.to_ascii_lowercase();
        let mut endings = SOURCES.iter().chain(BUILT);
        let (stem, ending) =
            endings.find_map(|&ending| Some((lower.strip_suffix(ending)?, ending)))?;
        let stem = match ending {
            // An RPM has a number of its own behind its version, which would be read as a post-release.
            ".rpm" => stem.rsplit_once('-')?.0,
            _ => stem,
        };
        stem.match_indices('-').find_map(|(at, _)| {
            let name: PackageName = stem.get(..at)?.parse().ok()?;
            if name != *package {
                return None;
            }
            let (version, is_all) = leading_version(stem.get(at + 1..)?)?;
            Some(Self {
                version,
                ending,
                is_source: is_all && SOURCES.contains(&ending),
            })
        })
    }
}

/// The version that a text begins with, and whether that is all of it: a Python or a platform may follow.
fn leading_version(text: &str) -> Option<(Version, bool)> {
    let platforms = PLATFORMS.iter();
    let platform = platforms.filter_map(|&platform| text.find(platform)).min();
    let before = text.get(..platform.unwrap_or(text.len()))?;
    let mut cuts: Vec<usize> = before.match_indices('-').map(|(at, _)| at).collect();
    cuts.push(before.len());
    let mut cuts = cuts.into_iter().rev().filter(|at| *at <= LONGEST_VERSION);
    cuts.find_map(|at| {
        let version: Version = before.get(..at)?.parse().ok()?;
        Some((version, at == text.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(raw: &str) -> Option<(String, &'static str, bool)> {
        let file = UnreadFile::parse(raw, &"a-b".parse().unwrap())?;
        Some((file.version.to_string(), file.ending, file.is_source))
    }

    #[test]
    fn names_of_files_that_are_not_read_tell_their_version() {
        for (raw, version, ending, is_source) in [
            ("a-b-1.0.tar.bz2", "1.0", ".tar.bz2", true),
            ("A.B-1.0-rc1.TAR.Z", "1.0rc1", ".tar.z", true),
            ("a_b-1.0.tar", "1.0", ".tar", true),
            ("a-b-1.0.linux-i686.tar.xz", "1.0", ".tar.xz", false),
            ("a_b-1.0-py2.7.egg", "1.0", ".egg", false),
            ("a_b-1.1-py2.5-macosx-10.3-fat.egg", "1.1", ".egg", false),
            ("a-b-1.0.exe", "1.0", ".exe", false),
            ("a-b-1.0.win32-py2.6.exe", "1.0", ".exe", false),
            ("a-b-1.0.win-amd64-py2.7.msi", "1.0", ".msi", false),
            ("a-b-1.0-1.noarch.rpm", "1.0", ".rpm", false),
            ("a-b-1.0.post1-2.src.rpm", "1.0.post1", ".rpm", false),
        ] {
            let expected = Some((version.to_owned(), ending, is_source));
            assert_eq!(parse(raw), expected, "{raw}");
        }
    }

    #[test]
    fn what_names_no_version_of_the_package_is_not_remembered() {
        let long = format!("a-b-1{}.egg", ".1".repeat(LONGEST_VERSION));
        for raw in [
            "a-1.0.tar.bz2",
            "../a-b-1.0.tar.bz2",
            "a-b-1.0.tar.bz2\x1b[2J",
            "a-b-1.0.tar.gz",
            "a-b-1.0.txt",
            // Of version 1.0, perhaps.
            "a-b-1.0dev_r12-py2.5.egg",
            "a-b.egg",
            "a-b.rpm",
            ".egg",
            &long,
        ] {
            assert_eq!(parse(raw), None, "{raw:?}");
        }
    }

    #[test]
    fn not_more_is_remembered_than_packages_have() {
        let mut unread = Unread::default();
        for major in 0..=MOST {
            let raw = format!("a-{major}.egg");
            unread.note(&raw, &"a".parse().unwrap());
            // What is known already takes no more room.
            unread.note(&raw, &"a".parse().unwrap());
        }
        assert_eq!(unread.0.len(), MOST);
    }

    #[test]
    fn every_format_of_a_version_is_told_once() {
        let mut unread = Unread::default();
        for raw in [
            "a-1.0.win32-py2.6.exe",
            "a-1.0.win32-py2.7.exe",
            "a-1.0.0.tar.bz2",
            "a-2.0-py2.7.egg",
            "a-4.0.linux-x86_64.tar.bz2",
        ] {
            unread.note(raw, &"a".parse().unwrap());
        }
        let told = |version: Option<&str>| {
            let version: Option<Version> = version.map(|version| version.parse().unwrap());
            unread.told(version.as_ref())
        };
        let formats = |endings: &str| {
            Some(format!(
                "the index has it only in formats that are not read {endings}"
            ))
        };
        let unpack = "unpack a source and give its directory";
        assert_eq!(
            told(Some("1.0")),
            formats(&format!("(.exe, .tar.bz2): {unpack}"))
        );
        assert_eq!(told(Some("2")), formats("(.egg)"));
        assert_eq!(told(Some("3")), None);
        // What was built for a platform is no source, though it ends like one.
        assert_eq!(told(Some("4")), formats("(.tar.bz2)"));
        assert_eq!(
            told(None),
            formats(&format!("(.egg, .exe, .tar.bz2): {unpack}"))
        );
    }
}
