//! An installed distribution, by the names of its files, which are hostile.

use std::collections::BTreeSet;

use pyti_index::EntryPoints;
use serde::{Deserialize, Serialize};

use super::record::RecordedFile;

/// Where pip installs for a user; the interpreter's version stands between the two.
pub(super) const LIBRARY: &str = "home/dev/.local/lib/";
/// See [`LIBRARY`].
const PACKAGES: &str = "/site-packages/";
/// Where pip puts scripts for a user.
const SCRIPTS: &str = "home/dev/.local/bin/";
/// What an extension module's file name ends with (PEP 3149); more may stand before it.
const EXTENSION: &str = ".so";

/// An installed distribution, by its `.dist-info` directory, or the `.egg-info` one of an old pip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// Its name as the directory has it.
    pub name: String,
    /// Its version as the directory has it.
    pub version: String,
    /// Files that RECORD names.
    pub files: usize,
    /// Importable top-level modules and packages.
    pub top_level: Vec<String>,
    /// What of these has code to import: in the place of a namespace package (PEP 420), which has
    /// none, the first modules and packages below it.
    #[serde(default)]
    pub imports: Vec<String>,
    /// Extension modules, with the packages that they are in.
    pub extensions: Vec<String>,
    /// Scripts in `bin`.
    pub scripts: Vec<String>,
    /// What it offers by name, in `entry_points.txt`; `None` where there is one that cannot be read.
    #[serde(default)]
    pub entry_points: Option<EntryPoints>,
}

/// The path within site-packages.
pub(super) fn in_site(path: &str) -> Option<&str> {
    Some(path.strip_prefix(LIBRARY)?.split_once(PACKAGES)?.1)
}

/// The name and the version in the path of a `.dist-info` or `.egg-info` directory.
pub(super) fn named_by(info: &str) -> (&str, &str) {
    let directory = info.rsplit('/').next().unwrap_or(info);
    let stem = directory
        .trim_end_matches(".dist-info")
        .trim_end_matches(".egg-info");
    let (name, version) = stem.split_once('-').unwrap_or((stem, ""));
    // An egg's directory also has the version of Python.
    let version = version
        .split_once("-py")
        .map_or(version, |(version, _)| version);
    (name, version)
}

/// The distribution of this directory, by what its RECORD names.
pub(super) fn distribution(info: &str, files: &[RecordedFile]) -> Distribution {
    let (name, version) = named_by(info);
    let mut modules = BTreeSet::new();
    let mut extensions = BTreeSet::new();
    for path in files.iter().filter_map(|file| in_site(&file.path)) {
        let module = module(path);
        if path.ends_with(EXTENSION) {
            extensions.extend(module.clone());
        }
        modules.extend(module);
    }
    let first = |module: &String| module.split('.').next().unwrap_or_default().to_owned();
    let top_level: BTreeSet<String> = modules.iter().map(first).collect();
    Distribution {
        name: name.to_owned(),
        version: version.to_owned(),
        files: files.len(),
        extensions: extensions.difference(&top_level).cloned().collect(),
        top_level: top_level.into_iter().collect(),
        imports: with_code(&modules),
        scripts: files
            .iter()
            .filter_map(|file| file.path.strip_prefix(SCRIPTS))
            .filter(|script| !script.contains('/'))
            .map(str::to_owned)
            .collect(),
        entry_points: Some(EntryPoints::new()),
    }
}

/// Those of these modules that are in no other of them: what is imported first. One look at each is enough: a
/// dot comes before all else that names have, so that what is in a module stands right behind it.
fn with_code(modules: &BTreeSet<String>) -> Vec<String> {
    let mut found: Vec<String> = vec![];
    for module in modules {
        let last = found.last().map_or("", String::as_str);
        let below = module.strip_prefix(last);
        if below.is_none_or(|below| !below.starts_with('.')) {
            found.push(module.clone());
        }
    }
    found
}

/// The dotted name of the module in a file of site-packages. Bytecode alone is one too (PEP 3147), what
/// is kept of a source's is not.
fn module(path: &str) -> Option<String> {
    let (packages, file) = path.rsplit_once('/').unwrap_or(("", path));
    let (stem, suffix) = file.split_once('.')?;
    let cached = packages.rsplit('/').next() == Some("__pycache__");
    if !(["py", "pyc", "so"].contains(&suffix) || suffix.ends_with(".so")) || cached {
        return None;
    }
    let mut parts: Vec<&str> = packages
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    if stem != "__init__" {
        parts.push(stem);
    }
    let identifier =
        |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
    (!parts.is_empty() && parts.iter().all(identifier)).then(|| parts.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_no_other_module_is_imported_first() {
        for (modules, first) in [
            ("a a.b a.b.c a.d a0 a0.x b", "a a0 b"),
            // What only begins like another one is not in it.
            ("a a.b a1.b a_b.c aé.x ab", "a a1.b a_b.c ab aé.x"),
            ("a.b a.b.c a.b0 a.c.d b.a", "a.b a.b0 a.c.d b.a"),
            ("", ""),
        ] {
            let modules = modules.split_whitespace().map(str::to_owned).collect();
            assert_eq!(with_code(&modules).join(" "), first);
        }
    }

    #[test]
    fn modules_beside_each_other_with_very_many_parts_are_all_imported_first() {
        let deep = "a.".repeat(2000);
        let modules: BTreeSet<String> = (0..8000).map(|last| format!("{deep}m{last}")).collect();
        assert_eq!(with_code(&modules).len(), modules.len());
    }

    #[test]
    fn names_of_modules() {
        for (path, name) in [
            ("six.py", Some("six")),
            ("a/__init__.py", Some("a")),
            ("a/b/_c.abi3.so", Some("a.b._c")),
            ("a-1.0.dist-info/x.py", None),
            ("a/data.txt", None),
            ("a.also", None),
            ("a/b.pyc", Some("a.b")),
            ("a/__pycache__/b.pyc", None),
            ("__init__.py", None),
            ("a/$(x).py", None),
        ] {
            assert_eq!(module(path).as_deref(), name, "{path}");
        }
    }
}
