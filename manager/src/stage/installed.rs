//! What an installation left on the disk, read from the state of the clone, which is hostile.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Read};

use anyhow::{Result, ensure};
use pyti_graph::Failure;
use pyti_index::{EntryPoints, PackageName, entry_points};
use serde::{Deserialize, Serialize};

use super::distribution::{Distribution, LIBRARY, distribution, in_site, named_by};
use super::record::{Budget, RecordedFile, record};
use crate::data_store::{Blob, DataStore};
use crate::input::{Member, Members};

/// Bytes of a RECORD or METADATA that are read.
const MOST_BYTES: u64 = 16 << 20;
/// Files that all RECORDs together may name: as many as the guest's disk can hold.
const MOST_LINES: usize = 307_200;
/// Bytes of their paths.
const MOST_RESOLVED: usize = 64 << 20;
/// Paths listed of each kind.
const MOST_PATHS: usize = 2000;

/// The datum `installed`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Installed {
    /// The disk as the installation left it.
    pub state: Blob,
    /// The package that was to be installed.
    pub name: String,
    /// What was installed, the target among it.
    pub distributions: Vec<Distribution>,
    /// `.pth` files: every interpreter of this user runs them when it starts.
    pub pth: Vec<String>,
    /// Files below the user's installation that no RECORD names.
    pub unrecorded: Vec<String>,
    /// Other files that were made or changed.
    pub elsewhere: Vec<String>,
    /// Files and directories of the image that were removed.
    #[serde(default)]
    pub removed: Vec<String>,
    /// Files of the package itself, as its RECORD has them.
    #[serde(default)]
    pub files: Vec<RecordedFile>,
    /// By the name of a list of these: how many paths were too many for it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cut: BTreeMap<String, usize>,
}

impl Installed {
    /// Reads a state.
    ///
    /// # Errors
    /// It is not what the agent makes.
    pub fn read(store: &DataStore, state: Blob, name: &PackageName) -> Result<Self, Failure> {
        let listing = store
            .open(&state)
            .and_then(|content| Listing::read(BufReader::new(content)))
            .map_err(|error| Failure::package(format!("its files cannot be read: {error:#}")))?;
        Ok(listing.installed(state, name))
    }

    /// The distribution that was to be installed; where several directories claim its name, all that
    /// they name.
    ///
    /// # Errors
    /// None has its name, so that nobody knows what to look at.
    pub fn target(&self) -> Result<Distribution, Failure> {
        let named = |found: &&Distribution| {
            let name: Result<PackageName, _> = found.name.parse();
            name.is_ok_and(|name| name.as_str() == self.name)
        };
        let all = self.distributions.iter().filter(named).cloned();
        let mut several = false;
        let target = all.reduce(|mut one, other| {
            several = true;
            one.files += other.files;
            for (into, from) in [
                (&mut one.top_level, other.top_level),
                (&mut one.imports, other.imports),
                (&mut one.extensions, other.extensions),
                (&mut one.scripts, other.scripts),
            ] {
                into.extend(from);
            }
            // What one of them does not tell is not told by the others.
            one.entry_points = match (one.entry_points, other.entry_points) {
                (Some(mut all), Some(others)) => {
                    for (group, points) in others {
                        all.entry(group).or_default().extend(points);
                    }
                    Some(all)
                }
                _ => None,
            };
            one
        });
        let mut target = target.ok_or_else(|| {
            Failure::inconclusive(format!(
                "nothing that was installed is called {}",
                self.name
            ))
        })?;
        if several {
            // Once, and not for each of them: there may be thousands.
            for list in [
                &mut target.top_level,
                &mut target.imports,
                &mut target.extensions,
                &mut target.scripts,
            ] {
                list.sort();
                list.dedup();
            }
        }
        Ok(target)
    }
}

/// The files of a state.
#[derive(Default)]
struct Listing {
    files: BTreeSet<String>,
    /// What the image had and the installation removed.
    removed: BTreeSet<String>,
    /// By the path of the `.dist-info` or `.egg-info` directory: the files that it names.
    records: BTreeMap<String, Vec<RecordedFile>>,
    /// By the same: what `entry_points.txt` says, where it can be read.
    entry_points: BTreeMap<String, Option<EntryPoints>>,
}

impl Listing {
    fn read(state: impl Read) -> Result<Self> {
        let mut listing = Self::default();
        let mut budget = Budget {
            lines: MOST_LINES,
            bytes: MOST_RESOLVED,
        };
        let mut left = MOST_BYTES;
        for member in Members::of(&mut tar::Archive::new(state))? {
            let Member { path, entry, .. } = member?;
            // For listing only: Python's own names are text.
            let path = path.to_string_lossy().into_owned();
            let kind = entry.header().entry_type();
            if kind.is_character_special() {
                listing.removed.insert(path);
                continue;
            }
            if kind.is_dir() {
                continue;
            }
            // Of an old pip, where it could not make a wheel, the paths are relative to `.egg-info`.
            let dist = in_info(&path, ".dist-info/RECORD");
            let egg = in_info(&path, ".egg-info/installed-files.txt").map(|(_, info)| (info, info));
            if let Some((relative_to, info)) = dist.or(egg) {
                // What it does not name would be a package's own and looked at by nobody.
                ensure!(
                    entry.size() <= MOST_BYTES,
                    "the list of files in /{} has more than {MOST_BYTES} bytes",
                    pyti_analyzer::escape_within(&path, 200)
                );
                let named = record(entry.take(MOST_BYTES), relative_to, &mut budget)?;
                listing.records.insert(info.to_owned(), named);
            } else if let Some((_, info)) = in_info(&path, ".dist-info/entry_points.txt")
                .or(in_info(&path, ".egg-info/entry_points.txt"))
            {
                let size = entry.size();
                // Of a link nobody knows what it would lead to.
                let readable =
                    kind.is_file() && size <= left.min(entry_points::LONGEST_FILE as u64);
                let mut points = None;
                if readable {
                    let mut bytes = vec![];
                    entry.take(size).read_to_end(&mut bytes)?;
                    left -= size;
                    points = entry_points::parse_bytes(&bytes);
                }
                listing.entry_points.insert(info.to_owned(), points);
            }
            listing.files.insert(path);
        }
        Ok(listing)
    }

    fn installed(&self, state: Blob, name: &PackageName) -> Installed {
        let named: BTreeSet<&str> = self
            .records
            .values()
            .flatten()
            .map(|file| file.path.as_str())
            .collect();
        // Bytecode of a module that is named belongs to it, also where it was compiled later.
        let belongs = |path: &str| {
            named.contains(path) || source_of(path).is_some_and(|source| named.contains(&*source))
        };
        let (inside, elsewhere): (Vec<&String>, Vec<&String>) = self
            .files
            .iter()
            .partition(|path| path.starts_with("home/dev/.local/"));
        let mut cut = BTreeMap::new();
        let mut bounded = |list: &str, count: usize| {
            if count > MOST_PATHS {
                cut.insert(list.to_owned(), count - MOST_PATHS);
            }
        };
        let mut listed = |list: &str, paths: Vec<&String>| -> Vec<String> {
            bounded(list, paths.len());
            let paths = paths.into_iter().take(MOST_PATHS);
            paths.map(|path| format!("/{path}")).collect()
        };
        let pth = |path: &&String| in_site(path).is_some() && path.ends_with(".pth");
        let pth = listed("pth", self.files.iter().filter(pth).collect());
        let unrecorded = inside.into_iter().filter(|path| !belongs(path));
        let unrecorded = listed("unrecorded", unrecorded.collect());
        let elsewhere = listed("elsewhere", elsewhere);
        let removed = listed("removed", self.removed.iter().collect());
        let own = self.records.iter().filter(|(info, _)| {
            let own: Result<PackageName, _> = named_by(info).0.parse();
            own.is_ok_and(|own| own == *name)
        });
        let own: Vec<&RecordedFile> = own.flat_map(|(_, files)| files).collect();
        bounded("files", own.len());
        let own = own.into_iter().take(MOST_PATHS).map(|file| RecordedFile {
            path: format!("/{}", file.path),
            ..file.clone()
        });
        let distributions = self.records.iter().map(|(info, files)| Distribution {
            entry_points: match self.entry_points.get(info) {
                Some(points) => points.clone(),
                None => Some(EntryPoints::new()),
            },
            ..distribution(info, files)
        });
        Installed {
            state,
            name: name.to_string(),
            distributions: distributions.collect(),
            pth,
            unrecorded,
            elsewhere,
            removed,
            files: own.collect(),
            cut,
        }
    }
}

/// The directory of packages and the distribution's own in it, of a path that ends so:
/// `.dist-info/RECORD`.
fn in_info<'a>(path: &'a str, end: &str) -> Option<(&'a str, &'a str)> {
    path.strip_suffix(end)?;
    let (info, _) = path.rsplit_once('/')?;
    let (root, _) = info.rsplit_once('/')?;
    is_site(root).then_some((root, info))
}

/// Whether it is the directory of some interpreter's packages.
fn is_site(root: &str) -> bool {
    let version = root
        .strip_prefix(LIBRARY)
        .and_then(|rest| rest.strip_suffix("/site-packages"));
    version.is_some_and(|version| !version.contains('/'))
}

/// The source of a bytecode file, by PEP 3147; of Python 2 it is beside it.
fn source_of(path: &str) -> Option<String> {
    let library = path.strip_prefix(LIBRARY).unwrap_or_default();
    if library.starts_with("python2.") {
        return Some(format!("{}.py", path.strip_suffix(".pyc")?));
    }
    let (directory, file) = path.rsplit_once("/__pycache__/")?;
    let module = file.strip_suffix(".pyc")?.split('.').next()?;
    Some(format!("{directory}/{module}.py"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = "home/dev/.local/lib/python3.13/site-packages";

    fn installed(files: &[(&str, &str)]) -> Installed {
        read(files).unwrap()
    }

    fn read(files: &[(&str, &str)]) -> Result<Installed, Failure> {
        let mut builder = tar::Builder::new(vec![]);
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_mtime(0);
            header.set_size(content.len() as u64);
            builder
                .append_data(&mut header, path, content.as_bytes())
                .unwrap();
        }
        let state = builder.into_inner().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let store = DataStore::at(directory.path().to_owned());
        let blob = store.put(&state[..]).unwrap();
        let name = "Spam.Egg".parse().unwrap();
        Installed::read(&store, blob, &name)
    }

    #[test]
    fn a_distribution_is_told_by_its_record() {
        let record = "spam/__init__.py,sha256=x,1\nspam/_speed.cpython-313-x86_64-linux-gnu.so,,\n\
            ../../../bin/spam,,\n\"with, comma.py\",,\nspam_egg-1.0.dist-info/RECORD,,\nspam_egg-1.0.dist-info/entry_points.txt,,\n../../../../../../../x,,\n";
        let at = |path: &str| format!("{SITE}/{path}");
        let found = installed(&[
            (&at("spam_egg-1.0.dist-info/RECORD"), record),
            (
                &at("spam_egg-1.0.dist-info/entry_points.txt"),
                "[console_scripts]\nspam = spam:main\n",
            ),
            (&at("spam/__init__.py"), ""),
            (&at("spam/__pycache__/__init__.cpython-313.pyc"), ""),
            (&at("spam/_speed.cpython-313-x86_64-linux-gnu.so"), ""),
            (&at("hidden.pth"), "import os"),
            ("home/dev/.local/bin/spam", "#!"),
            ("home/dev/.bashrc", "x"),
        ]);
        assert_eq!(
            found.target(),
            Ok(Distribution {
                name: "spam_egg".into(),
                version: "1.0".into(),
                files: 6,
                top_level: vec!["spam".into()],
                imports: vec!["spam".into()],
                extensions: vec!["spam._speed".into()],
                scripts: vec!["spam".into()],
                entry_points: entry_points::parse("[console_scripts]\nspam = spam:main\n"),
            })
        );
        assert_eq!(found.pth, [format!("/{}", at("hidden.pth"))]);
        assert_eq!(found.unrecorded, found.pth);
        assert_eq!(found.elsewhere, ["/home/dev/.bashrc"]);
        assert_eq!(found.files.len(), 6);
        let file = RecordedFile {
            path: format!("/{}", at("spam/__init__.py")),
            digest: Some("sha256=x".into()),
            bytes: Some(1),
        };
        assert_eq!(found.files[0], file);
        assert!(found.cut.is_empty());
    }

    #[test]
    fn entry_points_that_cannot_be_read_are_not_none() {
        let info = format!("{SITE}/spam_egg-1.0.dist-info");
        let (record, file) = (format!("{info}/RECORD"), format!("{info}/entry_points.txt"));
        let of = |text: &str| {
            let found = installed(&[(&record, "spam.py,,\n"), (&file, text)]);
            found.target().unwrap().entry_points
        };
        let known = entry_points::parse("[a]\nb = c\n");
        assert!(known.is_some());
        assert_eq!(of("[a]\nb = c\n"), known);
        let longest = "#".repeat(entry_points::LONGEST_FILE);
        assert_eq!(of(&longest), Some(EntryPoints::new()));
        assert_eq!(of(&format!("{longest}#")), None);
        assert_eq!(of("[a\nb = c\n"), None);
        let none = installed(&[(&record, "spam.py,,\n")]).target().unwrap();
        assert_eq!(none.entry_points, Some(EntryPoints::new()));
        // One of two directories that claim its name.
        let other = format!("{SITE}/Spam.Egg-0.dist-info/RECORD");
        let both = |text: &str| {
            let files = [(&*other, ""), (&*record, "spam.py,,\n"), (&*file, text)];
            installed(&files).target().unwrap().entry_points
        };
        assert_eq!(both("[a]\nb = c\n"), known);
        assert_eq!(both("[a"), None);
    }

    #[test]
    fn what_is_too_much_to_list_is_told() {
        let names: Vec<String> = (0..MOST_PATHS + 3)
            .map(|number| format!("home/dev/x{number}"))
            .collect();
        let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
        let found = installed(&files);
        assert_eq!(found.elsewhere.len(), MOST_PATHS);
        assert_eq!(found.cut, BTreeMap::from([("elsewhere".to_owned(), 3)]));
    }

    #[test]
    fn below_a_namespace_the_first_code_is_imported() {
        let files = [
            "zope/interface/__init__.py",
            "zope/interface/tests/__init__.py",
            "zope/deep/er/event.py",
            "six.py",
            "bare.pyc",
            "kept/__pycache__/x.pyc",
            "kept/__pycache__/y.cpython-313.pyc",
        ];
        let files = files.map(|path| RecordedFile {
            path: format!("{SITE}/{path}"),
            digest: None,
            bytes: None,
        });
        let found = distribution("x-1.dist-info", &files);
        assert_eq!(found.top_level, ["bare", "six", "zope"]);
        let imports = ["bare", "six", "zope.deep.er.event", "zope.interface"];
        assert_eq!(found.imports, imports);
    }

    #[test]
    fn what_an_old_pip_installed_is_told_too() {
        let at = |path: &str| format!("home/dev/.local/lib/python2.7/site-packages/{path}");
        let found = installed(&[
            (
                &at("spam_egg-1.0-py2.7.egg-info/installed-files.txt"),
                "../spam.py\n../spam.pyc\n../../../../bin/spam\nPKG-INFO\ninstalled-files.txt\n",
            ),
            (&at("spam_egg-1.0-py2.7.egg-info/PKG-INFO"), ""),
            (&at("spam.py"), ""),
            (&at("spam.pyc"), ""),
            (&at("ham.pyc"), ""),
            ("home/dev/.local/bin/spam", "#!"),
        ]);
        let target = found.target().unwrap();
        assert_eq!((&*target.name, &*target.version), ("spam_egg", "1.0"));
        assert_eq!(target.top_level, ["spam"]);
        assert_eq!(target.scripts, ["spam"]);
        assert_eq!(found.unrecorded, [format!("/{}", at("ham.pyc"))]);
    }

    #[test]
    fn a_second_directory_of_its_name_hides_nothing() {
        let at = |path: &str| format!("{SITE}/{path}");
        let found = installed(&[
            (&at("Spam.Egg-0.dist-info/RECORD"), ""),
            (&at("spam__egg-1.0.dist-info/RECORD"), "spam.py,,\n"),
        ]);
        assert_eq!(
            found.target().map(|target| target.top_level),
            Ok(vec!["spam".into()])
        );
        let both = installed(&[
            (
                &at("spam__egg-1.0.dist-info/RECORD"),
                "spam.py,,\nzoo.py,,\n",
            ),
            (
                &at("spam_egg-2.0.dist-info/RECORD"),
                "ham.py,,\nspam.py,,\n",
            ),
        ]);
        assert_eq!(both.target().unwrap().top_level, ["ham", "spam", "zoo"]);
        let other = installed(&[(&at("ham-1.0.dist-info/RECORD"), "ham.py,,\n")]);
        assert!(other.target().is_err());
    }

    #[test]
    fn a_record_that_is_too_long_is_not_cut() {
        let path = format!("{SITE}/spam_egg-1.0.dist-info/RECORD");
        let record = |bytes: u64| format!("{}\nspam.py,,\n", ",".repeat(bytes as usize - 11));
        let found = read(&[(&path, &record(MOST_BYTES))]).unwrap();
        assert_eq!(found.target().unwrap().top_level, ["spam"]);
        let failure = read(&[(&path, &record(MOST_BYTES + 1))]).unwrap_err();
        let said = failure.to_string();
        assert!(
            said.contains("RECORD has more than 16777216 bytes"),
            "{said}"
        );
    }

    #[test]
    fn a_record_that_names_too_much_is_refused() {
        let mut budget = Budget {
            lines: 2,
            bytes: 1 << 20,
        };
        let read = |text: &'static str, budget: &mut Budget| record(text.as_bytes(), SITE, budget);
        assert!(read("a\nb\n", &mut budget).is_ok());
        assert!(read("c\n", &mut budget).is_err());
        assert!(!is_site("home/dev/.local/lib/x/y/site-packages"));
    }
}
