//! What a package's configuration says of the environment that its tests run in: `tox`, `nox`,
//! `hatch` and `pdm`, read, never run.

use super::files::Files;
use super::variables::Variables;
use super::{PythonVersion, hatch, nox, tox};

/// Environments of one package that are looked at.
const MOST: usize = 64;

/// An environment.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Environment {
    /// Where it is written, for messages.
    pub origin: String,
    /// What is run in it, word by word, after the variables that are for that command alone.
    pub commands: Vec<Vec<String>>,
    /// Variables of all of it, and which of them are left out.
    pub variables: Variables,
    /// Where, relative to the source; empty for the source itself.
    pub directory: String,
    /// What is installed before, each as the arguments of one `pip install`.
    pub installs: Vec<Vec<String>>,
    /// Optional features of the package itself.
    pub extras: Vec<String>,
    /// Dependency groups (PEP 735).
    pub groups: Vec<String>,
    /// What could not be understood, one sentence each.
    pub skipped: Vec<String>,
}

/// What is named in environments that have nothing to do with tests.
const OTHERS: [&str; 20] = [
    "lint", "linters", "format", "fmt", "style", "flake8", "black", "ruff", "isort", "pylint",
    "mypy", "pyright", "typing", "type", "types", "docs", "doc", "build", "release", "publish",
];

/// The best of these, in their order, that may be for tests by its name: where none of the commands is
/// understood, its requirements still are what tests want.
pub(super) fn for_tests(environments: &[Environment]) -> Option<&Environment> {
    environments.iter().find(|environment| {
        let origin = environment.origin.as_str();
        let mut names = origin.split(|c: char| !c.is_ascii_alphanumeric());
        !names.any(|name| OTHERS.contains(&name))
    })
}

/// The environments of a package, the one that most looks like that of its tests first. `python`
/// is the version of the interpreter that runs them.
pub(super) fn environments(files: &Files, python: PythonVersion) -> Vec<Environment> {
    let mut all = tox::environments(files, python);
    all.truncate(MOST);
    all.extend(nox::environments(files.text("noxfile.py")));
    all.extend(hatch::environments(files));
    all.truncate(2 * MOST);
    all
}
