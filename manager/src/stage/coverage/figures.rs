//! The figures of coverage.py's report, which the package's tests may have forged, by file and of the
//! package itself.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

/// coverage.py's JSON report
/// (<https://coverage.readthedocs.io/en/latest/commands/cmd_json.html>), what is used of it.
#[derive(Deserialize)]
pub(super) struct Report {
    files: BTreeMap<String, File>,
}

/// What it says of a file.
#[derive(Deserialize)]
struct File {
    summary: Summary,
}

/// Numbers of a file.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct Summary {
    num_statements: u64,
    covered_lines: u64,
    #[serde(default)]
    num_branches: u64,
    #[serde(default)]
    covered_branches: u64,
}

impl Summary {
    fn covered(self) -> u64 {
        self.covered_lines.saturating_add(self.covered_branches)
    }

    fn all(self) -> u64 {
        self.num_statements.saturating_add(self.num_branches)
    }

    /// Both added up.
    pub fn and(self, other: Self) -> Self {
        Self {
            num_statements: self.num_statements.saturating_add(other.num_statements),
            covered_lines: self.covered_lines.saturating_add(other.covered_lines),
            num_branches: self.num_branches.saturating_add(other.num_branches),
            covered_branches: self.covered_branches.saturating_add(other.covered_branches),
        }
    }

    /// As coverage.py has it: nothing is covered wholly.
    pub fn percent(self) -> f64 {
        match self.all() {
            0 => 100.0,
            all => self.covered() as f64 * 100.0 / all as f64,
        }
    }
}

/// A file that was measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    /// Its numbers.
    pub summary: Summary,
    /// It is what is installed, and not in the source.
    installed: bool,
}

/// Which copy of a package was run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Copies {
    /// That in its source.
    Source,
    /// What is installed.
    Installed,
    /// Some of its files in the source, others installed.
    Both,
}

impl Copies {
    /// After "the package", for a reader.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Source => " in its source",
            Self::Installed => " as installed",
            Self::Both => ", partly in its source and partly as installed",
        }
    }
}

/// Modules, to find their files by.
pub(super) struct Modules(HashSet<String>);

impl Modules {
    /// Those of these names, which have dots within a namespace package.
    pub(super) fn of(names: &[String]) -> Self {
        Self(names.iter().map(|name| name.replace('.', "/")).collect())
    }

    /// Whether a file, as seen from where they are imported, is one of theirs.
    fn have(&self, path: &str) -> bool {
        /// `PATH_MAX` (include/uapi/linux/limits.h): a longer one is no file's.
        const MAX_PATH: usize = 4096;
        if path.len() > MAX_PATH {
            return false;
        }
        let path = path.strip_suffix(".py").unwrap_or(path);
        let above = path.match_indices('/').map(|(at, _)| &path[..at]);
        above.chain([path]).any(|module| self.0.contains(module))
    }
}

/// The files of a report by the names that their packages give them: of one that is both in the
/// source and installed, the copy that was run.
pub(super) fn by_name(report: Report, modules: &Modules) -> BTreeMap<String, Measured> {
    let mut files: BTreeMap<String, Measured> = BTreeMap::new();
    for (path, File { summary }) in report.files {
        let measured = Measured {
            summary,
            installed: in_site(&path).is_some(),
        };
        let known = files.entry(named(&path, modules).to_owned());
        let known = known.or_insert(measured);
        if summary.covered() > known.summary.covered() {
            *known = measured;
        }
    }
    files
}

/// The path of an installed file within site-packages.
fn in_site(path: &str) -> Option<&str> {
    path.split_once("/site-packages/").map(|(_, rest)| rest)
}

/// A file of these modules as seen from where they are imported; any other as it stands.
fn named<'a>(path: &'a str, modules: &Modules) -> &'a str {
    let inside = in_site(path).unwrap_or(path);
    let below = ["src/", "lib/"]
        .iter()
        .find_map(|root| inside.strip_prefix(root));
    below.filter(|rest| modules.have(rest)).unwrap_or(inside)
}

/// The files of the package itself.
fn own<'a>(
    files: &'a BTreeMap<String, Measured>,
    modules: &'a Modules,
) -> impl Iterator<Item = Measured> + 'a {
    let own = files
        .iter()
        .filter(move |(path, _)| modules.have(path) && !is_test(path));
    own.map(|(_, measured)| *measured)
}

/// The files of the package itself, added up.
pub(super) fn package(files: &BTreeMap<String, Measured>, modules: &Modules) -> Option<Summary> {
    own(files, modules)
        .map(|measured| measured.summary)
        .reduce(Summary::and)
}

/// Which copy of the package itself was run.
pub(super) fn copies(files: &BTreeMap<String, Measured>, modules: &Modules) -> Option<Copies> {
    let run = own(files, modules).filter(|measured| measured.summary.covered() > 0);
    let (installed, source): (Vec<Measured>, Vec<Measured>) =
        run.partition(|measured| measured.installed);
    match (source.is_empty(), installed.is_empty()) {
        (true, true) => None,
        (false, true) => Some(Copies::Source),
        (true, false) => Some(Copies::Installed),
        (false, false) => Some(Copies::Both),
    }
}

/// Whether a file is one of tests, wherever it stands.
fn is_test(path: &str) -> bool {
    let (directories, file) = path.rsplit_once('/').unwrap_or(("", path));
    let mut directories = directories.split('/');
    directories.any(|directory| ["test", "tests", "testing"].contains(&directory))
        || file.starts_with("test_")
        || file.ends_with("_test.py")
        || ["tests.py", "conftest.py"].contains(&file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_no_file_can_have_is_of_no_module() {
        let modules = modules(&["a"]);
        assert!(modules.have("a/b.py"));
        assert!(modules.have(&format!("a{}", "/b".repeat(2047))));
        assert!(!modules.have(&format!("a{}", "/b".repeat(2048))));
    }

    fn modules(names: &[&str]) -> Modules {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        Modules::of(&names)
    }

    fn report(files: &[(&str, u64, u64)]) -> Report {
        let files = files.iter().map(|&(path, num_statements, covered_lines)| {
            let summary = Summary {
                num_statements,
                covered_lines,
                ..Summary::default()
            };
            (path.to_owned(), File { summary })
        });
        Report {
            files: files.collect(),
        }
    }

    #[test]
    fn a_file_counts_once_as_it_was_run() {
        let own = modules(&["a", "six"]);
        let report = report(&[
            (
                "/home/dev/.local/lib/python3.13/site-packages/a/b.py",
                10,
                5,
            ),
            ("src/a/b.py", 10, 0),
            ("src/a/tests/test_b.py", 10, 10),
            ("six.py", 10, 10),
            ("lib/x.py", 4, 0),
            ("tests/test_a.py", 6, 6),
        ]);
        let files = by_name(report, &own);
        let names: Vec<(&str, f64)> = files
            .iter()
            .map(|(name, measured)| (name.as_str(), measured.summary.percent()))
            .collect();
        assert_eq!(
            names,
            [
                ("a/b.py", 50.0),
                ("a/tests/test_b.py", 100.0),
                ("lib/x.py", 0.0),
                ("six.py", 100.0),
                ("tests/test_a.py", 100.0),
            ]
        );
        let percent = package(&files, &own).map(Summary::percent);
        assert_eq!(percent, Some(75.0));
        assert!(package(&files, &modules(&["z"])).is_none());
        assert_eq!(Summary::default().percent(), 100.0);
    }

    #[test]
    fn of_a_namespace_package_only_its_own_part_is_the_package() {
        const SITE: &str = "/home/dev/.local/lib/python3.13/site-packages";
        let installed = |path: &str| format!("{SITE}/{path}");
        let other = installed("space/other/__init__.py");
        let module = installed("space/deep/event.py");
        let beside = installed("space/deep/events.py");
        let report = report(&[
            ("src/space/part/__init__.py", 10, 10),
            ("src/space/part/more.py", 10, 0),
            ("src/space/other.py", 10, 10),
            (other.as_str(), 10, 10),
            (module.as_str(), 20, 10),
            (beside.as_str(), 10, 10),
        ]);
        let own = modules(&["space.part", "space.deep.event"]);
        let files = by_name(report, &own);
        let names: Vec<&String> = files.keys().collect();
        assert_eq!(
            names,
            [
                "space/deep/event.py",
                "space/deep/events.py",
                "space/other/__init__.py",
                "space/part/__init__.py",
                "space/part/more.py",
                "src/space/other.py",
            ]
        );
        let percent = package(&files, &own).map(Summary::percent);
        assert_eq!(percent, Some(50.0));
        assert_eq!(copies(&files, &own), Some(Copies::Both));
    }

    #[test]
    fn it_is_known_which_copy_was_run() {
        const SITE: &str = "/home/dev/.local/lib/python3.13/site-packages";
        let told = |files: &[(&str, u64)]| {
            let files: Vec<(String, u64)> = files
                .iter()
                .map(|(path, covered)| (path.replace("SITE", SITE), *covered))
                .collect();
            let files: Vec<(&str, u64, u64)> = files
                .iter()
                .map(|(path, covered)| (path.as_str(), 10, *covered))
                .collect();
            let own = modules(&["a"]);
            copies(&by_name(report(&files), &own), &own)
        };
        let source = [("SITE/a/b.py", 0), ("a/b.py", 5), ("a/c.py", 0)];
        assert_eq!(told(&source), Some(Copies::Source));
        // Its tests and others' files were run from the source.
        let installed = [
            ("SITE/a/b.py", 5),
            ("a/b.py", 0),
            ("a/tests/test_b.py", 9),
            ("tests/test_a.py", 9),
            ("setup.py", 9),
        ];
        assert_eq!(told(&installed), Some(Copies::Installed));
        let both = [("SITE/a/b.py", 5), ("src/a/c.py", 5)];
        assert_eq!(told(&both), Some(Copies::Both));
        assert_eq!(told(&[("a/b.py", 0), ("tests/test_a.py", 9)]), None);
    }

    #[test]
    fn nothing_overflows_that_a_package_forges() {
        let most = Summary {
            num_statements: u64::MAX,
            covered_lines: u64::MAX,
            num_branches: u64::MAX,
            covered_branches: u64::MAX,
        };
        assert_eq!(most.and(most).percent(), 100.0);
    }
}
