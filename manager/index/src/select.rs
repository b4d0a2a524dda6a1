//! Which of an index' files is taken.

use std::collections::BTreeMap;
use std::str::FromStr;

use pep440_rs::{Version, VersionSpecifiers};

use crate::error::IndexError;
use crate::filename::PythonPlatform;
use crate::page::{IndexFile, ProjectPage};

/// A moment; files uploaded later are treated as if they were not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cutoff(String);

impl Cutoff {
    /// `2026-01-31` (its end) or `2026-01-31T12:00:00Z`, in UTC.
    ///
    /// # Errors
    ///
    /// [`IndexError::BadSetting`] where the text is neither.
    pub fn parse(text: &str) -> Result<Self, IndexError> {
        let shape: String = text
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        match shape.as_str() {
            "0000-00-00" => Ok(Self(format!("{text}T23:59:59"))),
            "0000-00-00T00:00:00Z" => Ok(Self(text.trim_end_matches('Z').to_owned())),
            _ => Err(IndexError::BadSetting {
                setting: "the cut-off date".to_owned(),
                reason: "write it as 2026-01-31 or 2026-01-31T12:00:00Z".to_owned(),
            }),
        }
    }

    /// Whether the file was there at that moment. One without a time is taken for later.
    fn admits(&self, file: &IndexFile) -> bool {
        let time = file
            .upload_time
            .as_deref()
            .filter(|time| time.ends_with('Z'));
        time.and_then(|time| time.get(..19))
            .is_some_and(|time| time <= self.0.as_str())
    }
}

/// The rules by which files are chosen.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    pub platform: PythonPlatform,
    pub cutoff: Option<Cutoff>,
    /// Take no source for a dependency.
    pub wheels_only: bool,
}

impl Selection {
    fn admits(&self, file: &IndexFile) -> bool {
        self.cutoff
            .as_ref()
            .is_none_or(|cutoff| cutoff.admits(file))
    }

    /// Whether the file says that it runs on this Python. What cannot be read forbids nothing.
    fn runs(&self, file: &IndexFile) -> bool {
        let python = self.platform.version();
        let range = file
            .requires_python
            .as_deref()
            .map(VersionSpecifiers::from_str);
        !range.is_some_and(|range| range.is_ok_and(|range| !range.contains(&python)))
    }

    /// The file to install for one version of a dependency: the best wheel, else the source.
    fn installable<'a>(&self, files: &[&'a IndexFile]) -> Option<&'a IndexFile> {
        let source = || source(files).filter(|_| !self.wheels_only);
        best_wheel(&self.platform, files).or_else(source)
    }

    /// For each version, the file that would be installed.
    pub(crate) fn candidates<'a>(
        &self,
        page: &'a ProjectPage,
    ) -> BTreeMap<&'a Version, &'a IndexFile> {
        let files = page
            .files
            .iter()
            .filter(|file| self.admits(file) && self.runs(file));
        by_version(files)
            .into_iter()
            .filter_map(|(version, files)| Some((version, self.installable(&files)?)))
            .collect()
    }

    /// The file of the target itself: source, or with `wheel` the best wheel, of `version` or else
    /// the newest that is stable.
    pub(crate) fn target<'a>(
        &self,
        page: &'a ProjectPage,
        version: Option<&Version>,
        wheel: bool,
        pre: bool,
    ) -> Result<&'a IndexFile, IndexError> {
        let versions = by_version(page.files.iter().filter(|file| self.admits(file)));
        if let Some(version) = version
            && !(page.files.iter()).any(|file| file.filename.version() == version)
            && let Some(mut reason) = page.unread.told(Some(version))
        {
            if !versions.is_empty() {
                reason = format!("{reason}; {}", near(version, versions.keys().copied()));
            }
            return Err(no_file(&format!("{} {version}", page.name), &reason));
        }
        if versions.is_empty() {
            let unread = page.unread.told(None);
            let reason = match (&self.cutoff, &unread) {
                (Some(_), _) if !page.files.is_empty() => {
                    "none is known to be older than the cut-off date"
                }
                (_, Some(unread)) => unread.as_str(),
                (_, None) => "the index has no sdist and no wheel of it",
            };
            return Err(no_file(page.name.as_str(), reason));
        }
        let (version, files) = match version {
            Some(version) => match versions.get_key_value(version) {
                Some((version, files)) => (*version, files),
                None => {
                    return Err(IndexError::UnknownVersion {
                        name: page.name.clone(),
                        version: version.to_string(),
                        near: near(version, versions.keys().copied()),
                    });
                }
            },
            None => self.newest(page, &versions, pre)?,
        };
        let what = format!("{} {version}", page.name);
        let runnable: Vec<&IndexFile> = files
            .iter()
            .copied()
            .filter(|file| self.runs(file))
            .collect();
        if let (true, Some(file)) = (runnable.is_empty(), files.first()) {
            let range = file.requires_python.as_deref().unwrap_or_default();
            let range = crate::text::printable(range, 80);
            let python = self.platform;
            let reason = format!("it requires Python {range}, the image has {python}");
            return Err(no_file(&what, &reason));
        }
        if wheel {
            let reason = "it has no wheel that fits the image; leave --wheel out to use the sdist";
            best_wheel(&self.platform, &runnable).ok_or_else(|| no_file(&what, reason))
        } else {
            let lacks = || match page.unread.source(version) {
                Some(ending) => {
                    format!("its source distribution is in a format that is not read ({ending})")
                }
                None => "it has no source distribution".to_owned(),
            };
            let reason = || format!("{}; use --wheel to audit the wheel", lacks());
            source(&runnable).ok_or_else(|| no_file(&what, &reason()))
        }
    }

    /// As pip: no yanked version, a pre-release only where it is asked for or nothing else is
    /// there, and only what could be installed.
    fn newest<'a, 'b>(
        &self,
        page: &ProjectPage,
        versions: &'b BTreeMap<&'a Version, Vec<&'a IndexFile>>,
        pre: bool,
    ) -> Result<(&'a Version, &'b Vec<&'a IndexFile>), IndexError> {
        let mut usable = versions.iter().rev().filter(|(_, files)| {
            let sound: Vec<&IndexFile> = files
                .iter()
                .copied()
                .filter(|file| !file.yanked && self.runs(file))
                .collect();
            self.installable(&sound).is_some()
        });
        let first = usable.next();
        let stable = |found: &(&&Version, &Vec<&IndexFile>)| pre || !found.0.any_prerelease();
        let chosen = first
            .filter(stable)
            .or_else(|| usable.find(stable))
            .or(first);
        let reason = "every version is yanked or does not fit the image; name one with ==version";
        let (version, files) = chosen.ok_or_else(|| no_file(page.name.as_str(), reason))?;
        Ok((*version, files))
    }
}

fn by_version<'a>(
    files: impl Iterator<Item = &'a IndexFile>,
) -> BTreeMap<&'a Version, Vec<&'a IndexFile>> {
    let mut versions: BTreeMap<&Version, Vec<&IndexFile>> = BTreeMap::new();
    for file in files {
        versions
            .entry(file.filename.version())
            .or_default()
            .push(file);
    }
    versions
}

fn best_wheel<'a>(platform: &PythonPlatform, files: &[&'a IndexFile]) -> Option<&'a IndexFile> {
    let fits = files
        .iter()
        .filter_map(|file| Some((platform.fit(&file.filename)?, *file)));
    fits.max_by(|(a, _), (b, _)| a.cmp(b)).map(|(_, file)| file)
}

fn source<'a>(files: &[&'a IndexFile]) -> Option<&'a IndexFile> {
    use crate::filename::DistKind::{SdistTarGz, SdistZip};
    let of = |kind| {
        files
            .iter()
            .copied()
            .find(|file| file.filename.kind() == kind)
    };
    of(SdistTarGz).or_else(|| of(SdistZip))
}

fn no_file(name: &str, reason: &str) -> IndexError {
    IndexError::NoFile {
        name: name.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Up to three versions below and above `version`, and the newest.
fn near<'a>(
    version: &Version,
    all: impl DoubleEndedIterator<Item = &'a Version> + Clone,
) -> String {
    let mut below: Vec<&Version> = all.clone().rev().filter(|v| *v < version).take(3).collect();
    below.reverse();
    let above = all.clone().filter(|v| *v > version).take(3);
    let list: Vec<String> = below
        .into_iter()
        .chain(above)
        .map(Version::to_string)
        .collect();
    let newest = all.last().map(Version::to_string).unwrap_or_default();
    format!("near it are {}; the newest is {newest}", list.join(", "))
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    /// Why nothing is taken of a page that lists these files, as JSON and as HTML.
    fn refused(names: &[&str], version: Option<&str>, cutoff: Option<&str>) -> String {
        let selection = Selection {
            platform: PythonPlatform::default(),
            cutoff: cutoff.map(|cutoff| Cutoff::parse(cutoff).unwrap()),
            wheels_only: false,
        };
        let version: Option<Version> = version.map(|version| version.parse().unwrap());
        let file = |name: &&str| format!(r#"{{"filename":"{name}","url":"f"}}"#);
        let files: Vec<String> = names.iter().map(file).collect();
        let json = format!(
            r#"{{"meta":{{"api-version":"1.0"}},"files":[{}]}}"#,
            files.join(",")
        );
        let link = |name: &&str| format!("<a href=f>{name}</a>");
        let html: String = names.iter().map(link).collect();
        let told = [
            ("application/vnd.pypi.simple.v1+json", json),
            ("text/html", html),
        ]
        .map(|(content_type, body)| {
            let url = Url::parse("https://index.test/simple/a/").unwrap();
            let page = ProjectPage::parse(&"a".parse().unwrap(), content_type, &body, &url);
            let page = page.unwrap();
            let chosen = selection.target(&page, version.as_ref(), false, false);
            chosen.unwrap_err().to_string()
        });
        assert_eq!(told[0], told[1]);
        let [told, _] = told;
        told
    }

    #[test]
    fn a_version_in_formats_that_are_not_read_is_not_called_missing() {
        let old = ["a-1.0.tar.bz2", "a-1.0.win32-py2.6.exe"];
        let and_new = [&old[..], &["a-2.0.tar.gz"]].concat();
        let none = ["a-1.0.txt"];
        for (names, version, expected) in [
            (
                &old[..],
                Some("1.0"),
                "failed to choose a file of a 1.0: the index has it only in formats that are not read (.exe, \
                 .tar.bz2): unpack a source and give its directory",
            ),
            (
                &old[..],
                None,
                "failed to choose a file of a: the index has it only in formats that are not read (.exe, \
                 .tar.bz2): unpack a source and give its directory",
            ),
            (
                &and_new[..],
                Some("1.0"),
                "failed to choose a file of a 1.0: the index has it only in formats that are not read (.exe, \
                 .tar.bz2): unpack a source and give its directory; near it are 2.0; the newest is 2.0",
            ),
            (
                &and_new[..],
                Some("3.0"),
                "failed to find a 3.0: no such version; near it are 2.0; the newest is 2.0",
            ),
            (
                &none[..],
                Some("1.0"),
                "failed to choose a file of a: the index has no sdist and no wheel of it",
            ),
        ] {
            assert_eq!(refused(names, version, None), expected);
        }
    }

    #[test]
    fn a_version_that_is_too_new_is_not_said_to_be_in_a_format_that_is_not_read() {
        let names = ["a-1.0.tar.gz", "a-1.0.tar.bz2"];
        assert_eq!(
            refused(&names, Some("1.0"), Some("2020-01-01")),
            "failed to choose a file of a: none is known to be older than the cut-off date"
        );
    }

    #[test]
    fn a_source_that_is_not_read_is_not_called_missing() {
        let wheel = "a-1.0-py3-none-any.whl";
        for (other, expected) in [
            (
                "a-1.0.tar.xz",
                "its source distribution is in a format that is not read (.tar.xz)",
            ),
            ("a-1.0.linux-i686.tar.xz", "it has no source distribution"),
            ("a-1.1.tar.xz", "it has no source distribution"),
        ] {
            assert_eq!(
                refused(&[wheel, other], Some("1.0"), None),
                format!(
                    "failed to choose a file of a 1.0: {expected}; use --wheel to audit the wheel"
                )
            );
        }
    }
}
