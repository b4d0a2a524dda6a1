//! Builds the probes where the loader needs them.

#[path = "../xtask/src/bpf.rs"]
mod bpf;

use std::env;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_LOADER").is_none() {
        return;
    }
    for path in [
        "../xtask/src/bpf.rs",
        "../pyti-trace-ebpf/src",
        "../pyti-trace-ebpf/Cargo.toml",
        "../Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={path}");
    }
    for name in ["PYTI_TOOLS", "PATH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    if let Err(message) = build() {
        for line in message.lines() {
            println!("cargo::error={line}");
        }
    }
}

fn build() -> Result<(), String> {
    let out_dir = env::var_os("OUT_DIR").ok_or("failed to read OUT_DIR; build with cargo")?;
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .ok_or("failed to read CARGO_MANIFEST_DIR; build with cargo")?;
    let root = Path::new(&manifest)
        .parent()
        .ok_or("failed to find the workspace's root")?;
    let out_dir = Path::new(&out_dir);
    let object = bpf::find()?.build(root, &shared_dir(out_dir))?;
    std::fs::copy(&object, out_dir.join("probes"))
        .map_err(|error| format!("failed to copy {}: {error}", object.display()))?;
    Ok(())
}

/// A directory beside the profiles' own, so that core is compiled once for all of them:
/// `target/debug/build/pyti-trace-…/out` becomes `target/probes`.
fn shared_dir(out_dir: &Path) -> std::path::PathBuf {
    match out_dir
        .ancestors()
        .find(|dir| dir.file_name().is_some_and(|name| name == "build"))
    {
        Some(build) => match build.parent().and_then(Path::parent) {
            Some(target) => target.join("probes"),
            None => out_dir.join("probes-build"),
        },
        None => out_dir.join("probes-build"),
    }
}
