//! What a package says of itself, as the datum of the metadata task.

use std::collections::BTreeSet;

use pyti_analyzer::amount;
use pyti_index::{CoreMetadata, EntryPoints, Source};
use serde::{Deserialize, Serialize};

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
    /// The licence that it declares: an expression, a text, or what its classifiers say.
    pub licence: Option<String>,
    /// The Pythons that its classifiers name, such as `3.13`.
    pub pythons: Vec<String>,
    /// Its entry points by their groups, commands among them: as its build back end made them, or else as
    /// they are written down. `None` where neither tells: the installation's `data.json` has them then.
    pub entry_points: Option<EntryPoints>,
}

impl Described {
    /// What is known once `metadata` is, with the entry points that its build back end told.
    #[must_use]
    pub fn of(metadata: &CoreMetadata, source: &Source, told: Option<EntryPoints>) -> Self {
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
            asked: source.metadata.is_none(),
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
            // What lies in the archive may be of another time.
            entry_points: told.or_else(|| source.entry_points.clone()),
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
        let licence = self.licence.as_deref().map(short);
        let python = self.metadata.requires_python.as_deref().map(short);
        let mut words = vec![
            format!("licence {}", licence.as_deref().unwrap_or("not stated")),
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
        let known = source(Some(metadata.clone()), Some(points));
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
            "licence not stated, Python not stated, 0 requirements"
        );
    }

    #[test]
    fn what_a_back_end_made_comes_before_what_lies_in_the_archive() {
        let parse = pyti_index::entry_points::parse;
        let packed = parse("[console_scripts]\nold = a:b\n");
        let told = parse("[console_scripts]\nnew = a:b\n[gui_scripts]\nw = a:c\n[x]\ny = a:d\n");
        let of = |told: Option<EntryPoints>, packed: Option<EntryPoints>| {
            let source = source(None, packed);
            Described::of(&CoreMetadata::default(), &source, told)
        };
        let described = of(Some(told.clone()), Some(packed.clone()));
        assert_eq!(described.entry_points, Some(told));
        let summary = described.summary();
        let end = ", 2 commands, 1 other entry point";
        assert!(summary.ends_with(end), "{summary}");
        let described = of(None, Some(packed.clone()));
        assert_eq!(described.entry_points, Some(packed.clone()));
        // That it made none is known, and is not that nobody knows.
        let described = of(Some(EntryPoints::new()), Some(packed));
        assert_eq!(described.entry_points, Some(EntryPoints::new()));
        let summary = described.summary();
        assert!(summary.ends_with(", 0 commands"), "{summary}");
    }
}
