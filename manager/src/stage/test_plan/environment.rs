//! What a package's configuration says of the environment that its tests run in: `tox`, `nox`,
//! `hatch` and `pdm`, read, never run.

use super::files::Files;
use super::{PythonVersion, hatch, nox, tox};

/// Environments of one package that are looked at.
const MOST: usize = 64;

/// An environment.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Environment {
    /// Where it is written, for messages.
    pub origin: String,
    /// What is run in it, word by word.
    pub commands: Vec<Vec<String>>,
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
