//! Helpers shared by the end-to-end tests: they run the built `pyti` as a user would.
#![expect(clippy::expect_used, reason = "what fails in a helper fails the test")]

pub mod burst;
pub mod guest;
pub mod matrix;
pub mod place;
pub mod process;
pub mod slow_index;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// The program under test: `$PYTI_BIN`, which `cargo xtask test` sets.
///
/// # Panics
/// Where the variable is not set.
#[must_use]
pub fn pyti() -> Command {
    let path = std::env::var_os("PYTI_BIN").expect("run the tests with `cargo xtask test`");
    Command::new(path)
}

/// The directory of a fixture package, such as `bad/writes-pth`.
///
/// # Panics
/// Where there is no such package.
#[must_use]
pub fn package(name: &str) -> PathBuf {
    // As cargo tells it: the path known when this was compiled may be that of another clone.
    let tests =
        std::env::var_os("CARGO_MANIFEST_DIR").expect("run the tests with `cargo xtask test`");
    let path = Path::new(&tests).join("packages").join(name);
    assert!(path.is_dir(), "no fixture package {}", path.display());
    path
}

/// A copy of a fixture package whose setup.py the installation is the first to run. It has the PKG-INFO of
/// a source distribution, which states what would otherwise have to be asked of setup.py beforehand.
///
/// # Panics
/// Where there is no such package, or the disk refuses.
#[must_use]
pub fn package_for_install(name: &str) -> TempDir {
    let original = package(name);
    let copy = tempfile::tempdir().expect("failed to make a directory");
    for entry in original.read_dir().expect("unreadable package") {
        let entry = entry.expect("unreadable package");
        let place = copy.path().join(entry.file_name());
        std::fs::copy(entry.path(), place).expect("failed to copy");
    }
    let called = original.file_name().unwrap_or_default().to_string_lossy();
    let stated = format!("Metadata-Version: 2.2\nName: pyti-fixture-{called}\nVersion: 1.0\n");
    std::fs::write(copy.path().join("PKG-INFO"), stated).expect("failed to write");
    copy
}

/// What an audit gave.
pub struct Audit {
    /// Exit status.
    pub status: i32,
    /// The JSON report; null where there was none.
    pub report: Value,
    /// Standard error.
    pub stderr: String,
    /// The run's directory is `run` in it.
    pub directory: TempDir,
}

impl Audit {
    /// The verdict.
    #[must_use]
    pub fn verdict(&self) -> &str {
        self.report["verdict"].as_str().unwrap_or("none")
    }

    /// The ids of the rules that fired, sorted, each once.
    #[must_use]
    pub fn rules(&self) -> Vec<&str> {
        let mut rules: Vec<&str> = self.report["findings"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|finding| finding["rule"].as_str())
            .collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }

    /// The run's directory.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    /// The datum of a stage.
    ///
    /// # Panics
    /// Where the stage left none.
    #[must_use]
    pub fn datum(&self, stage: &str) -> Value {
        let path = self.run().join(stage).join("data.json");
        let bytes = std::fs::read(&path)
            .unwrap_or_else(|error| panic!("{}: {error}\n{}", path.display(), self.everything()));
        serde_json::from_slice(&bytes).expect("no JSON")
    }

    /// The events of a stage, as `pyti show --events` has them.
    ///
    /// # Panics
    /// Where they cannot be read.
    #[must_use]
    pub fn events(&self, stage: &str) -> Vec<Value> {
        let run_dir = self.run();
        let path = run_dir.to_string_lossy();
        let output = run(&[
            "show", "--events", "--format", "json", "--stage", stage, &path,
        ]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line is not JSON"))
            .collect()
    }

    /// Everything, for the message of an assertion.
    #[must_use]
    pub fn everything(&self) -> String {
        format!("status {}\n{}\n{:#}", self.status, self.stderr, self.report)
    }
}

/// Runs `pyti audit --fresh --format json TARGET ARGS`.
///
/// # Panics
/// Where the program cannot be started or prints something that is not JSON.
#[must_use]
pub fn audit(target: &str, args: &[&str]) -> Audit {
    let directory = tempfile::tempdir().expect("failed to make a directory");
    let output = pyti()
        .args(["audit", "--fresh", "--format", "json", "--out"])
        .arg(directory.path().join("run"))
        .args(args)
        .arg(target)
        .output()
        .expect("failed to start pyti");
    let stdout = text(&output.stdout);
    Audit {
        status: output.status.code().unwrap_or(-1),
        report: if stdout.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&stdout).expect("standard output is not JSON")
        },
        stderr: text(&output.stderr),
        directory,
    }
}

/// Audits a fixture package.
#[must_use]
pub fn audit_package(name: &str, args: &[&str]) -> Audit {
    audit(&package(name).to_string_lossy(), args)
}

/// Runs `pyti` with these arguments.
///
/// # Panics
/// Where the program cannot be started.
#[must_use]
pub fn run(args: &[&str]) -> Output {
    pyti().args(args).output().expect("failed to start pyti")
}

/// Bytes as text.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
