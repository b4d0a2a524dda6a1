//! Builds the programs and the guest image.

use std::convert::Infallible;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::sh::{cargo, run, say, target};

/// The agent is linked statically for this target, so the guest's libc does not matter.
const AGENT_TARGET: &str = "x86_64-unknown-linux-gnu";

/// Everything that is not compiled into `pyti` itself.
const FEATURES: &str = "pyti-trace/agent,pyti-trace/host";

/// What is compiled together. One choice of packages and features for `pyti`, the tests and their
/// programs: with another one, each of our libraries, and polars too, would be compiled a second time.
pub const TOGETHER: &[&str] = &[
    "--quiet",
    "--release",
    "--workspace",
    "--features",
    FEATURES,
];

/// Builds the agent (with the probes in it) and `pyti`, side by side in `target/release`.
///
/// Both at the same time: they share nothing, and each has long stretches on one core.
pub fn build() -> Result<()> {
    say("building the agent with its probes, and pyti");
    let agent_dir = target().join("agent");
    let mut agent_build = cargo();
    agent_build
        .args([
            "build",
            "--quiet",
            "--release",
            "--package",
            "pyti-trace",
            "--no-default-features",
            "--features",
            "agent",
        ])
        .args([
            "--bin",
            "pyti-agent",
            "--target",
            AGENT_TARGET,
            "--target-dir",
        ])
        .arg(&agent_dir)
        .env(
            "RUSTFLAGS",
            "-C target-feature=+crt-static -C strip=debuginfo",
        );
    let mut agent_building = agent_build.spawn().context("failed to start cargo")?;
    let pyti_built = run(cargo().arg("build").args(TOGETHER).args(["--bin", "pyti"]));
    let agent_built = agent_building.wait().context("failed to wait for cargo")?;
    pyti_built?;
    ensure!(
        agent_built.success(),
        "the build of the agent ended with {agent_built}"
    );
    let built = agent_dir.join(AGENT_TARGET).join("release/pyti-agent");
    let beside = agent();
    // An unchanged agent keeps its file, and with it the template made from it.
    if std::fs::read(&built).ok() != std::fs::read(&beside).ok() {
        std::fs::copy(&built, &beside)
            .with_context(|| format!("failed to copy the agent to {}", beside.display()))?;
    }
    Ok(())
}

/// Builds the guest image and its template where they are missing.
pub fn image() -> Result<()> {
    say("guest image and template");
    run(Command::new(pyti()).args(["image", "build"]))
}

/// Becomes `pyti`: its signals, its last words and its exit status are nobody else's. Returns only where
/// that fails.
pub fn become_pyti(command: &str, args: &[String]) -> Result<Infallible> {
    let program = pyti();
    say(&format!("pyti {command} {}", args.join(" ")));
    let error = Command::new(&program).arg(command).args(args).exec();
    Err(error).with_context(|| format!("failed to start {}", program.display()))
}

/// The built program.
pub fn pyti() -> PathBuf {
    target().join("release/pyti")
}

/// The built agent, where `pyti` looks for it. It has a name of its own there: a `pyti-agent` in
/// that directory is what cargo builds for tests, and that one is not static.
pub fn agent() -> PathBuf {
    target().join("release/pyti-guest-agent")
}
