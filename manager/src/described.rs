//! What a package says of itself, as the datum of the metadata task.

use std::collections::BTreeSet;

use pyti_analyzer::amount;
use pyti_index::{CoreMetadata, EntryPoints, Source};
use serde::{Deserialize, Serialize};

use crate::metadata_hook::Made;

/// Characters of a field in a summary.
const LONGEST: usize = 80;
/// Groups of entry points that hold commands.
const SCRIPTS: [&str; 2] = ["console_scripts", "gui_scripts"];

/// The datum `metadata`, `data.json` of the task. All of it is the package's own word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    /// Its core metadata.
    pub metadata: CoreMetadata,
    /// Whether its build back end was asked, in the VM.
    pub asked: bool,
    /// The licence that it declares: an expression, a text, or what its classifiers say. The files that
    /// hold it are in its core metadata.
    pub licence: Option<String>,
    /// The Pythons that its classifiers name, such as `3.13`.
    pub pythons: Vec<String>,
    /// Its entry points by their groups, commands among them: as its build back end made them where that
    /// was asked, or else as they are written down. `None` where they are not known: the installation's
    /// `data.json` has them then.
    pub entry_points: Option<EntryPoints>,
    /// What is not known that its build back end was asked, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Described {
    /// What is known once `metadata` is, with the entry points that its build back end made, where that was
    /// asked.
    #[must_use]
    pub fn of(metadata: &CoreMetadata, source: &Source, made: Option<Made>) -> Self {
        let asked = source.metadata.is_none();
        let (entry_points, unknown) = match made {
            Some(Ok(points)) => (Some(points), None),
            Some(Err(why)) => (None, Some(why)),
            // What lies in the archive may be of another time: it is no word of a back end.
            None => (source.entry_points.clone().filter(|_| !asked), None),
        };
        let note = |why: String| {
            format!("the entry points that its build back end made are not known: {why}")
        };
        let classified = |start: &str| {
            let classifiers = metadata.classifiers.iter();
            classifiers
                .filter_map(|classifier| classifier.strip_prefix(start))
                .map(str::trim)
                .collect::<Vec<_>>()
        };
        let licences: Vec<&str> = classified("License ::")
            .into_iter()
            .map(|licence| licence.trim_start_matches("OSI Approved ::").trim())
            .collect();
        let by_classifiers = (!licences.is_empty()).then(|| licences.join(", "));
        // A whole licence is often put where its name belongs.
        let text = metadata.license.clone().filter(|text| !text.is_empty());
        let name = text.clone().filter(|text| text.chars().count() <= LONGEST);
        let pythons: BTreeSet<(u16, u16)> = classified("Programming Language :: Python ::")
            .into_iter()
            .filter_map(|version| {
                let (major, minor) = version.split_once('.')?;
                Some((major.parse().ok()?, minor.parse().ok()?))
            })
            .collect();
        Self {
            metadata: metadata.clone(),
            asked,
            licence: metadata
                .license_expression
                .clone()
                .or(name)
                .or(by_classifiers)
                .or(text),
            pythons: pythons
                .into_iter()
                .map(|(major, minor)| format!("{major}.{minor}"))
                .collect(),
            entry_points,
            notes: unknown.map(note).into_iter().collect(),
        }
    }

    /// In a few words.
    #[must_use]
    pub fn summary(&self) -> String {
        let counted = |number: usize, one, many| amount(number as u64, one, many);
        let short = |text: &str| match text.chars().count() <= LONGEST {
            true => text.to_owned(),
            false => text.chars().take(LONGEST).chain(['…']).collect(),
        };
        let licence = match (&self.licence, self.metadata.license_files.as_slice()) {
            (Some(licence), _) => short(licence),
            (None, []) => "not stated".to_owned(),
            (None, [file]) => format!("in {}", short(file)),
            (None, files) => format!("in {} files", files.len()),
        };
        let python = self.metadata.requires_python.as_deref().map(short);
        let mut words = vec![
            format!("licence {licence}"),
            format!("Python {}", python.as_deref().unwrap_or("not stated")),
            counted(
                self.metadata.requires_dist.len(),
                "requirement",
                "requirements",
            ),
        ];
        if let Some(points) = &self.entry_points {
            let scripts = SCRIPTS.iter().filter_map(|group| points.get(*group));
            let scripts: usize = scripts.map(|points| points.len()).sum();
            let all: usize = points.values().map(|points| points.len()).sum();
            words.push(counted(scripts, "command", "commands"));
            if all > scripts {
                words.push(counted(
                    all - scripts,
                    "other entry point",
                    "other entry points",
                ));
            }
        } else if self.asked {
            words.push("entry points not known".to_owned());
        }
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(metadata: Option<CoreMetadata>, entry_points: Option<EntryPoints>) -> Source {
        Source {
            metadata,
            hint: None,
            build_requires: vec![],
            entry_points,
            build_files: vec![],
            notes: vec![],
        }
    }

    #[test]
    fn a_package_is_described_in_a_few_words() {
        let metadata = CoreMetadata {
            requires_dist: vec!["a".into(), "b".into()],
            requires_python: Some(">=3.8".into()),
            license: Some("MIT License\nCopyright ".repeat(20)),
            classifiers: [
                "License :: OSI Approved :: MIT License",
                "Programming Language :: Python :: 3.10",
                "Programming Language :: Python :: 3.9",
                "Programming Language :: Python :: 3",
                "Programming Language :: Python :: Implementation :: CPython",
            ]
            .map(str::to_owned)
            .to_vec(),
            ..CoreMetadata::default()
        };
        let points =
            pyti_index::entry_points::parse("[console_scripts]\na = b\n[x]\nc = d\ne = f\n");
        let known = source(Some(metadata.clone()), points);
        let described = Described::of(&metadata, &known, None);
        assert_eq!(described.pythons, ["3.9", "3.10"]);
        assert!(!described.asked);
        assert_eq!(
            described.summary(),
            "licence MIT License, Python >=3.8, 2 requirements, 1 command, 2 other entry points"
        );
        let nothing = Described::of(&CoreMetadata::default(), &source(None, None), None);
        assert!(nothing.asked);
        assert_eq!(
            nothing.summary(),
            "licence not stated, Python not stated, 0 requirements, entry points not known"
        );
        let mut in_files = CoreMetadata {
            license_files: vec!["COPYING".to_owned()],
            ..CoreMetadata::default()
        };
        let of = |metadata: &CoreMetadata| {
            let summary = Described::of(metadata, &source(None, None), None).summary();
            summary.split(',').next().map(str::to_owned)
        };
        assert_eq!(of(&in_files).as_deref(), Some("licence in COPYING"));
        in_files.license_files.push("NOTICE".to_owned());
        assert_eq!(of(&in_files).as_deref(), Some("licence in 2 files"));
        in_files.license = Some("MIT".to_owned());
        assert_eq!(of(&in_files).as_deref(), Some("licence MIT"));
        let written = source(Some(CoreMetadata::default()), None);
        let summary = Described::of(&CoreMetadata::default(), &written, None).summary();
        let stated = "licence not stated, Python not stated, 0 requirements";
        assert_eq!(summary, stated);
    }

    #[test]
    fn what_a_back_end_made_is_told_and_not_what_lies_in_the_archive() {
        let parse = |text| pyti_index::entry_points::parse(text).unwrap();
        let packed = parse("[console_scripts]\nold = a:b\n");
        let told = parse("[console_scripts]\nnew = a:b\n[gui_scripts]\nw = a:c\n[x]\ny = a:d\n");
        let of = |made: Option<Made>| {
            let source = source(None, Some(packed.clone()));
            Described::of(&CoreMetadata::default(), &source, made)
        };
        let described = of(Some(Ok(told.clone())));
        assert_eq!(described.entry_points, Some(told));
        let summary = described.summary();
        let end = ", 2 commands, 1 other entry point";
        assert!(summary.ends_with(end), "{summary}");
        assert_eq!(described.notes, Vec::<String>::new());
        // That it made none is known, and is not that nobody knows.
        let described = of(Some(Ok(EntryPoints::new())));
        assert_eq!(described.entry_points, Some(EntryPoints::new()));
        let summary = described.summary();
        assert!(summary.ends_with(", 0 commands"), "{summary}");
        let why = "entry_points.txt is no plain file";
        let described = of(Some(Err(why.to_owned())));
        assert_eq!(described.entry_points, None);
        let note = "the entry points that its build back end made are not known: entry_points.txt is no \
            plain file";
        assert_eq!(described.notes, [note]);
        let summary = described.summary();
        assert!(summary.ends_with(", entry points not known"), "{summary}");
        assert_eq!(of(None).entry_points, None);
        // It was not asked.
        let source = source(Some(CoreMetadata::default()), Some(packed.clone()));
        let described = Described::of(&CoreMetadata::default(), &source, None);
        assert_eq!(described.entry_points, Some(packed));
    }
}
