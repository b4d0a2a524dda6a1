//! What a distribution says of itself, learnt without running it.

mod project;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::archive::{self, Archive, Limits};
use crate::entry_points::{self, EntryPoints};
use crate::error::IndexError;
use crate::filename::DistKind;
use crate::pyproject::{self, Pyproject};
use crate::requirement;
use crate::setup_requires;
use crate::text::printable;

/// More requirements than this are not honest.
pub(crate) const MOST_FIELDS: usize = 10_000;
/// People, addresses, keywords and files of the licence that are kept, of each.
const MOST_TEXTS: usize = 50;
/// Characters kept of one, and of a description.
const LONGEST: usize = 500;
/// Where an installer finds a wheel's entry points.
const ENTRY_POINTS: &str = "entry_points.txt";
/// Files beside an sdist's sources that are read.
const TOLD_BY: [&str; 4] = ["PKG-INFO", "pyproject.toml", "setup.py", "setup.cfg"];

/// Core metadata (<https://packaging.python.org/en/latest/specifications/core-metadata/>), the
/// fields that matter here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoreMetadata {
    /// `Metadata-Version`.
    pub metadata_version: String,
    /// `Name`, as written.
    pub name: String,
    /// `Version`, as written.
    pub version: String,
    /// `Requires-Dist`, as written.
    pub requires_dist: Vec<String>,
    /// `Requires-Python`.
    pub requires_python: Option<String>,
    /// `Provides-Extra`.
    pub provides_extra: Vec<String>,
    /// `Dynamic`, in lower case.
    pub dynamic: Vec<String>,
    /// `Summary`.
    pub summary: Option<String>,
    /// Who made it and who looks after it: names and addresses of `Author`, `Author-email`,
    /// `Maintainer` and `Maintainer-email`.
    #[serde(default)]
    pub people: Vec<String>,
    /// `Project-URL`, a label and an address each, and `Home-page`.
    #[serde(default)]
    pub urls: Vec<String>,
    /// `Keywords`.
    #[serde(default)]
    pub keywords: Vec<String>,
    /// The beginning of the description, in one line.
    #[serde(default)]
    pub description: Option<String>,
    /// `License-Expression` (PEP 639), or `License` where there is none.
    pub license: Option<String>,
    /// `License-Expression`.
    #[serde(default)]
    pub license_expression: Option<String>,
    /// `License-File` (PEP 639): the files that hold the licence, relative to the source or, in a wheel, to
    /// its directory of licences.
    #[serde(default)]
    pub license_files: Vec<String>,
    /// `Classifier`.
    pub classifiers: Vec<String>,
}

impl CoreMetadata {
    /// Reads the header fields of a `METADATA` or `PKG-INFO` text.
    ///
    /// # Errors
    ///
    /// One phrase where a field that must be there is missing, or there are too many.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut fields: Vec<(String, String)> = Vec::new();
        let mut lines = text.lines();
        for line in lines.by_ref() {
            if line.is_empty() {
                break;
            }
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = fields.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
            } else if let Some((key, value)) = line.split_once(':') {
                fields.push((key.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
            if fields.len() > MOST_FIELDS {
                return Err("it has too many fields");
            }
        }
        let mut metadata = Self::default();
        for (key, value) in fields {
            match key.as_str() {
                "metadata-version" => metadata.metadata_version = value,
                "name" => metadata.name = value,
                "version" => metadata.version = value,
                "requires-dist" => metadata.requires_dist.push(value),
                "requires-python" => metadata.requires_python = Some(value),
                "provides-extra" => metadata.provides_extra.push(value),
                "dynamic" => metadata.dynamic.push(value.to_ascii_lowercase()),
                "summary" => metadata.summary = Some(value),
                "author" | "author-email" | "maintainer" | "maintainer-email" => {
                    push(&mut metadata.people, &value);
                }
                "project-url" => push(&mut metadata.urls, &value),
                "home-page" => push(&mut metadata.urls, &format!("Homepage, {value}")),
                "keywords" => {
                    let words = value.split(',').map(str::trim);
                    words.for_each(|word| push(&mut metadata.keywords, word));
                }
                "description" => metadata.description = beginning(value.split_whitespace()),
                "license" => metadata.license = stated(value),
                "license-expression" => metadata.license_expression = stated(value),
                "license-file" => push(&mut metadata.license_files, &value),
                "classifier" => metadata.classifiers.push(value),
                _ => {}
            }
        }
        // From 2.1 on it stands below the header.
        let body = beginning(lines.flat_map(str::split_whitespace));
        metadata.description = metadata.description.or(body);
        metadata.license = metadata.license_expression.clone().or(metadata.license);
        if metadata.metadata_version.is_empty() || metadata.name.is_empty() {
            return Err("it has no Metadata-Version or no Name");
        }
        Ok(metadata)
    }

    /// Bytes of memory that its texts take, those left aside that are bounded anyway.
    pub(crate) fn bytes(&self) -> usize {
        let several = [
            &self.requires_dist,
            &self.provides_extra,
            &self.dynamic,
            &self.classifiers,
        ];
        let single = [
            &self.requires_python,
            &self.summary,
            &self.license,
            &self.license_expression,
        ];
        let texts = several.into_iter().flatten();
        let texts = texts.chain(single.into_iter().flatten());
        texts.map(|text| size_of::<String>() + text.len()).sum()
    }

    /// Whether an sdist's requirements may be believed: from 2.2 on, what is not called dynamic
    /// is the same in every wheel (PEP 643).
    fn binds_requirements(&self) -> bool {
        let mut parts = self
            .metadata_version
            .split('.')
            .map(|part| part.parse::<u32>().ok());
        let version = (parts.next().flatten(), parts.next().flatten());
        let new = version >= (Some(2), Some(2));
        let dynamic = ["requires-dist", "provides-extra"];
        new && !self
            .dynamic
            .iter()
            .any(|field| dynamic.contains(&field.as_str()))
    }
}

/// A value, unless it is how an old setuptools writes that there is none.
fn stated(value: String) -> Option<String> {
    (!["", "UNKNOWN"].contains(&value.as_str())).then_some(value)
}

/// Adds a text, where there is one, within bounds.
fn push(texts: &mut Vec<String>, text: &str) {
    let known = ["", "UNKNOWN", "Homepage, UNKNOWN"].contains(&text);
    let text: String = text.chars().take(LONGEST).collect();
    if !known && texts.len() < MOST_TEXTS && !texts.contains(&text) {
        texts.push(text);
    }
}

/// The first words, in one line.
fn beginning<'a>(words: impl Iterator<Item = &'a str>) -> Option<String> {
    let words: Vec<&str> = words.take(LONGEST).collect();
    let text: String = words.join(" ").chars().take(LONGEST).collect();
    (!text.is_empty()).then_some(text)
}

/// What is known of a distribution without running it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Static {
    /// All that is needed.
    Known(Box<CoreMetadata>),
    /// Only its build back end can tell what it requires.
    NeedsHook {
        /// Requirements that were written down when it was packed, if any: not to be relied on.
        hint: Option<Vec<String>>,
    },
}

/// A distribution's archive, read and found harmless.
#[derive(Debug, Clone)]
pub(crate) struct Examined {
    /// Its metadata, or that it needs the hook.
    pub metadata: Static,
    /// What building it requires (PEP 508); empty for a wheel.
    pub build_requires: Vec<String>,
    /// What its setup.py asks for besides, as far as that can be read: it may not do so when it runs.
    pub setup_requires: Vec<String>,
    /// Its entry points, where it states them.
    pub entry_points: Option<EntryPoints>,
}

/// Reads the distribution at `path`; `file` is its name in messages.
///
/// # Errors
///
/// [`IndexError::Archive`] where the archive is broken or dangerous, [`IndexError::Metadata`]
/// where its metadata is.
pub(crate) fn examine(
    path: &Path,
    file: &str,
    kind: DistKind,
    limits: &Limits,
) -> Result<Examined, IndexError> {
    let archive =
        archive::read(path, kind, limits, |member| wanted(kind, member)).map_err(|reason| {
            IndexError::Archive {
                file: printable(file, 200),
                reason,
            }
        })?;
    let examined = if kind.is_sdist() {
        examine_sdist(&archive)
    } else {
        examine_wheel(&archive)
    };
    examined.map_err(|reason| IndexError::Metadata {
        file: printable(file, 200),
        reason,
    })
}

fn wanted(kind: DistKind, member: &str) -> bool {
    let parts: Vec<&str> = member.split('/').collect();
    if kind == DistKind::Wheel {
        return matches!(parts.as_slice(), [info, "METADATA" | ENTRY_POINTS] if info.ends_with(".dist-info"));
    }
    match parts.as_slice() {
        [name] | [_, name] if TOLD_BY.contains(name) => true,
        [.., info, name] if parts.len() <= 4 && info.ends_with(".egg-info") => {
            ["requires.txt", "setup_requires.txt", ENTRY_POINTS].contains(name)
        }
        _ => false,
    }
}

fn examine_wheel(archive: &Archive) -> Result<Examined, String> {
    let named = |name: &str| {
        let mut found = archive
            .texts
            .iter()
            .filter(|(path, _)| path.ends_with(name));
        found.next().map(|(_, text)| (text, found.next().is_none()))
    };
    let Some((text, true)) = named("/METADATA") else {
        return Err("it has not exactly one .dist-info/METADATA".to_owned());
    };
    let metadata = CoreMetadata::parse(&String::from_utf8_lossy(text))?;
    Ok(Examined {
        metadata: Static::Known(Box::new(metadata)),
        build_requires: Vec::new(),
        setup_requires: Vec::new(),
        entry_points: match named(ENTRY_POINTS) {
            Some((text, true)) => entry_points::parse_bytes(text),
            Some((_, false)) => None,
            None => Some(EntryPoints::new()),
        },
    })
}

fn examine_sdist(archive: &Archive) -> Result<Examined, String> {
    let pyproject = archive
        .text("pyproject.toml")
        .map(|text| Pyproject::parse(&text));
    let pyproject = pyproject.transpose()?;
    // A PKG-INFO that cannot be read is as good as none; pip ignores it too.
    let pkg_info = archive
        .text("PKG-INFO")
        .and_then(|text| CoreMetadata::parse(&text).ok());
    let text = |name| archive.text(name).unwrap_or_default();
    let mut build_requires =
        pyproject::build_requires(pyproject.as_ref(), &text("setup.py"), &text("setup.cfg"));
    let setuptools = pyproject.as_ref().is_none_or(Pyproject::is_of_setuptools);
    let mut setup_requires = vec![];
    if let Some(told) = egg_info(archive, "setup_requires.txt") {
        if told.len() > MOST_FIELDS {
            return Err(format!(
                "setup_requires.txt has more than {MOST_FIELDS} entries"
            ));
        }
        build_requires.extend(told);
    } else if setuptools {
        setup_requires = setup_requires::written_out(&text("setup.py"), &text("setup.cfg"));
    }
    let project = pyproject
        .as_ref()
        .and_then(|pyproject| pyproject.project.as_ref());
    let metadata = match (pkg_info, project) {
        (Some(info), _) if info.binds_requirements() => Static::Known(Box::new(info)),
        (info, Some(project)) => match project::metadata(project, archive, info.as_ref())? {
            Some(metadata) => Static::Known(Box::new(metadata)),
            None => needs_hook(archive, info),
        },
        (info, None) => needs_hook(archive, info),
    };
    // setuptools writes down what it was told when it packs, wherever that was told.
    let packed = || match in_egg_info(archive, ENTRY_POINTS) {
        Some(text) => entry_points::parse_bytes(text),
        None => archive
            .members
            .iter()
            .any(|member| member.path.ends_with(".egg-info/PKG-INFO"))
            .then(EntryPoints::new),
    };
    Ok(Examined {
        metadata,
        build_requires,
        setup_requires,
        entry_points: project
            .and_then(pyproject::Project::entry_points)
            .or_else(packed),
    })
}

fn needs_hook(archive: &Archive, info: Option<CoreMetadata>) -> Static {
    let listed = info
        .map(|info| info.requires_dist)
        .filter(|list| !list.is_empty());
    Static::NeedsHook {
        hint: listed.or_else(|| egg_info(archive, "requires.txt")),
    }
}

/// The requirements before the first section of a list that setuptools wrote, one more than there may be at
/// most.
fn egg_info(archive: &Archive, name: &str) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(in_egg_info(archive, name)?);
    let lines = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with('['));
    Some(
        lines
            .filter(|line| !line.is_empty())
            .take(MOST_FIELDS + 1)
            .map(str::to_owned)
            .collect(),
    )
}

/// A file that setuptools wrote beside an sdist's sources.
fn in_egg_info<'a>(archive: &'a Archive, name: &str) -> Option<&'a [u8]> {
    let (_, text) = archive.texts.iter().find(|(path, _)| {
        path.strip_suffix(name)
            .is_some_and(|parent| parent.ends_with(".egg-info/"))
    })?;
    Some(text.as_slice())
}

/// What the optional feature `extra` requires besides, free of the condition on the extra.
#[must_use]
pub fn requires_of_extra(metadata: &CoreMetadata, extra: &str) -> Vec<String> {
    let requires = metadata.requires_dist.iter();
    requires
        .filter_map(|text| requirement::only_of_extra(text, extra))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_for_people_are_read() {
        let text = "Metadata-Version: 2.1\nName: a\nVersion: 1\nAuthor: Ann\nAuthor-email: ann@a.org\n\
            Home-page: UNKNOWN\nProject-URL: Source, https://a.org/s\nKeywords: x, y\n\n\
            # A\n\nDoes a.\n";
        let metadata = CoreMetadata::parse(text).unwrap();
        assert_eq!(metadata.people, ["Ann", "ann@a.org"]);
        assert_eq!(metadata.urls, ["Source, https://a.org/s"]);
        assert_eq!(metadata.keywords, ["x", "y"]);
        assert_eq!(metadata.description.as_deref(), Some("# A Does a."));

        let many = format!("{text}{}", "w ".repeat(9999));
        let many = CoreMetadata::parse(&many).unwrap();
        let description = many.description.unwrap();
        assert_eq!(description.chars().count(), LONGEST);
    }

    #[test]
    fn what_setuptools_wrote_down_is_read() {
        let texts = [
            ("a-1/a.egg-info/setup_requires.txt", "b>=2\n\n[x]\nc\n"),
            (
                "a-1/a.egg-info/entry_points.txt",
                "[console_scripts]\nrun = a:main\n",
            ),
        ];
        let archive = Archive {
            members: vec![],
            texts: texts
                .map(|(path, text)| (path.to_owned(), text.into()))
                .into(),
        };
        let examined = examine_sdist(&archive).unwrap();
        assert!(
            examined.build_requires.contains(&"b>=2".to_owned()),
            "{examined:?}"
        );
        assert!(!examined.build_requires.contains(&"c".to_owned()));
        let points = examined.entry_points.unwrap();
        assert_eq!(points["console_scripts"]["run"], "a:main");
        let mut long = archive.clone();
        let list = "/000001\n".repeat(100_000);
        long.texts.insert(texts[0].0.to_owned(), list.into());
        let refused = examine_sdist(&long).unwrap_err();
        assert_eq!(refused, "setup_requires.txt has more than 10000 entries");
        let mut broken = archive;
        broken.texts.insert(texts[1].0.to_owned(), "[x".into());
        assert_eq!(examine_sdist(&broken).unwrap().entry_points, None);

        let nothing = Archive {
            members: vec![],
            texts: [].into(),
        };
        assert_eq!(examine_sdist(&nothing).unwrap().entry_points, None);
    }

    #[test]
    fn a_setup_py_is_read_where_it_is_run_and_nothing_is_written_down() {
        let read = |others: &[(&str, &str)]| {
            let setup = ("a-1/setup.py", "setup(setup_requires=['b'])");
            let texts = [&[setup][..], others].concat().into_iter();
            let member = |path: &str| archive::Member {
                path: path.to_owned(),
                size: 0,
                kind: archive::MemberKind::File,
            };
            let archive = Archive {
                members: texts.clone().map(|(path, _)| member(path)).collect(),
                texts: texts
                    .map(|(path, text)| (path.to_owned(), text.into()))
                    .collect(),
            };
            examine_sdist(&archive).unwrap().setup_requires
        };
        assert_eq!(read(&[]), ["b"]);
        let settings = ("a-1/setup.cfg", "[options]\nsetup_requires = c\n");
        assert_eq!(read(&[settings]), ["b", "c"]);
        let written = ("a-1/a.egg-info/setup_requires.txt", "c\n");
        assert_eq!(read(&[written]), Vec::<String>::new());
        let backend =
            |name: &str| format!("[build-system]\nrequires = []\nbuild-backend = '{name}'\n");
        let other = backend("hatchling.build");
        assert_eq!(
            read(&[("a-1/pyproject.toml", &other)]),
            Vec::<String>::new()
        );
        let same = backend("setuptools.build_meta");
        assert_eq!(read(&[("a-1/pyproject.toml", &same)]), ["b"]);
    }

    #[test]
    fn a_licence_is_read_with_its_files() {
        let text = "Metadata-Version: 2.4\nName: a\nVersion: 1\nLicense-Expression: MIT AND BSD-2-Clause\n\
            License-File: LICENSE\nLicense-File: src/b/COPYING\nLicense-File: LICENSE\n";
        let metadata = CoreMetadata::parse(text).unwrap();
        assert_eq!(metadata.license.as_deref(), Some("MIT AND BSD-2-Clause"));
        assert_eq!(metadata.license_expression, metadata.license);
        assert_eq!(metadata.license_files, ["LICENSE", "src/b/COPYING"]);

        let old = "Metadata-Version: 2.1\nName: a\nVersion: 1\nLicense: UNKNOWN\n";
        assert_eq!(CoreMetadata::parse(old).unwrap().license, None);
        let files: String = (0..999).map(|n| format!("License-File: {n}\n")).collect();
        let many = CoreMetadata::parse(&format!("{old}{files}")).unwrap();
        assert_eq!(many.license_files.len(), MOST_TEXTS);
    }
}
