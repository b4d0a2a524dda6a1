//! Lint, test, bench.

use std::convert::Infallible;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::build::{TOGETHER, agent, pyti};
use crate::sh::{cargo, run, say, target};

/// Tested by itself: the virtual clock of its tests is a feature of tokio, and with it everything
/// that stands on tokio, polars too, would be compiled a second time.
const GRAPH: &str = "pyti-graph";

/// Formatting and clippy, warnings as errors. In the release profile, so that build scripts and
/// procedural macros are compiled once for lint, build and tests.
pub fn lint() -> Result<()> {
    say("cargo fmt --check");
    run(cargo().args(["fmt", "--all", "--check"]))?;
    say("cargo clippy");
    run(cargo()
        .arg("clippy")
        .args(TOGETHER)
        .args(["--all-targets", "--", "-D", "warnings"]))?;
    // Their own target has no clippy in every toolchain; what it looks at is the same.
    say("cargo clippy of the probes, as a program of this machine");
    run(cargo()
        .arg("clippy")
        .args(TOGETHER)
        .args(["--features", "pyti-trace-ebpf/probes"])
        .args(["--bin", "pyti-trace-ebpf"])
        .args(["--", "-C", "panic=abort", "-D", "warnings"]))
}

/// Every test that needs no VM.
pub fn test_without_vm(filter: Option<&str>) -> Result<()> {
    say("tests without a VM");
    run(cargo()
        .args(["test", "--quiet", "--release", "--package", GRAPH])
        .args(filter.as_slice()))?;
    run(test_command(filter).args(["--skip", "vm_"]))
}

/// The tests of other images than the usual one, each of which takes minutes where it is not built.
const OF_IMAGES: &str = "vm_image_";

/// Which tests of other images are run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Images {
    /// None.
    None,
    /// Those that are worth their time on every change.
    Usual,
    /// All.
    All,
}

/// The tests that start VMs, two at a time: each has two CPUs and most wait for theirs.
pub fn test_with_vm(filter: Option<&str>, images: Images) -> Result<()> {
    say("tests in VMs");
    let mut command = test_command(filter.or(Some("vm_")));
    command.args(["--test-threads", "2"]);
    match images {
        Images::None => command.args(["--skip", OF_IMAGES]),
        Images::Usual => &mut command,
        Images::All => command.arg("--include-ignored"),
    };
    run(&mut command)
}

fn test_command(filter: Option<&str>) -> Command {
    let mut command = cargo();
    command
        .arg("test")
        .args(TOGETHER)
        .args(["--exclude", GRAPH])
        .args(filter.as_slice())
        .arg("--")
        .env("PYTI_BIN", pyti())
        .env("PYTI_AGENT", agent());
    command
}

/// Runs the benchmark.
pub fn bench(args: &[String]) -> Result<Infallible> {
    become_program("pyti-bench", args)
}

/// Prints the matrix of actions.
pub fn matrix() -> Result<Infallible> {
    become_program("pyti-matrix", &[])
}

/// Becomes a program of the tests' package, whose exit status is its own.
fn become_program(name: &str, args: &[String]) -> Result<Infallible> {
    run(cargo().arg("build").args(TOGETHER).args(["--bin", name]))?;
    let program = target().join("release").join(name);
    let error = Command::new(&program)
        .args(args)
        .env("PYTI_BIN", pyti())
        .env("PYTI_AGENT", agent())
        .exec();
    Err(error).with_context(|| format!("failed to start {}", program.display()))
}
