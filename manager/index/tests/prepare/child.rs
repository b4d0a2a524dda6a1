//! The client in another process: how servers are reached is said by the environment of a whole process.

use std::ffi::OsStr;
use std::process::Command;

use pyti_index::IndexConfig;

use super::fixture::Bench;
use super::server::unresolved;

/// What comes of a fetch that succeeds.
pub const FETCHED: &str = "fetched target-1.0.tar.gz";

/// What the other process is told: the index, and where to write what came of it.
const INDEX: &str = "PYTI_TEST_INDEX";
const OUTCOME: &str = "PYTI_TEST_OUTCOME";

/// The test that is the client where it finds itself in the other process, which it asks first of all.
const CLIENT: &str = "certificates::an_authority_is_known_by_the_system_or_not_at_all";

/// Names and values.
pub type Variables<'a> = [(&'a str, &'a dyn AsRef<OsStr>)];

/// What comes of fetching the package `target` from `index` where these variables are set and nothing
/// else says how servers are reached.
pub fn outcome(index: &str, variables: &Variables<'_>) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("outcome");
    let kept = ["PATH", "TMPDIR"].map(|name| (name, std::env::var_os(name)));
    let kept = kept
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", CLIENT])
        .env_clear()
        .envs(kept)
        .env("HOME", directory.path())
        .env("PIP_CONFIG_FILE", "/dev/null")
        .envs(variables.iter().copied())
        .env(INDEX, index)
        .env(OUTCOME, &file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    std::fs::read_to_string(&file).unwrap()
}

/// Whether this is the other process; then all is done that it is there for.
pub async fn is_done() -> bool {
    let Some(outcome) = std::env::var_os(OUTCOME) else {
        return false;
    };
    let index = std::env::var(INDEX).unwrap();
    let told = match IndexConfig::discover(Some(index.as_str()), &[]) {
        Ok(index) => fetch(index).await,
        Err(error) => error.to_string(),
    };
    std::fs::write(outcome, told).unwrap();
    true
}

async fn fetch(index: IndexConfig) -> String {
    match unresolved(Bench::of(index)).prepare("target").await {
        Ok(prepared) => format!("fetched {}", prepared.target.file.filename),
        Err(error) => error.to_string(),
    }
}
