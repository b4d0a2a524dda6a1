//! Builds the probes for the BPF target. Shared by `xtask` and `pyti-trace/build.rs`, so it uses
//! the standard library only.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What cargo sets for a build script that would steer the inner build.
const NOT_INHERITED: &[&str] = &[
    "CARGO",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_MAKEFLAGS",
    "CARGO_TARGET_DIR",
    "MAKEFLAGS",
    "RUSTC",
    "RUSTC_LINKER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
];

/// A compiler that reaches the BPF target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compiler {
    /// rustup's nightly with the component rust-src.
    Nightly,
    /// Debian's rustc-web, cargo-web and rust-web-src, told to allow unstable features.
    Debian,
}

/// Everything it takes to build the probes.
#[derive(Debug, Clone)]
pub struct Toolchain {
    /// In the order they are tried: bpf-linker cannot read what a much newer LLVM wrote, so a
    /// nightly may compile and not link.
    compilers: Vec<Compiler>,
    linker: PathBuf,
}

/// Where PyTI keeps the tools it builds for itself: `$PYTI_TOOLS`, or `~/.cache/pyti/tools`.
#[must_use]
pub fn tools_dir() -> Option<PathBuf> {
    env::var_os("PYTI_TOOLS").map(PathBuf::from).or_else(|| {
        env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
            .map(|cache| cache.join("pyti/tools"))
    })
}

/// Finds a compiler and bpf-linker.
///
/// # Errors
/// One sentence that says what is missing and which command installs it.
pub fn find() -> Result<Toolchain, String> {
    let linker = find_linker()
        .ok_or("failed to find bpf-linker, which links the probes; run `cargo xtask setup`")?;
    let compilers: Vec<Compiler> = [
        nightly_has_source().then_some(Compiler::Nightly),
        debian_has_source().then_some(Compiler::Debian),
    ]
    .into_iter()
    .flatten()
    .collect();
    if compilers.is_empty() {
        return Err(
            "failed to find a Rust compiler for the BPF target (rustup's nightly with rust-src, \
             or Debian's rustc-web with rust-web-src); run `cargo xtask setup`"
                .into(),
        );
    }
    Ok(Toolchain { compilers, linker })
}

impl Toolchain {
    /// Builds the probes into `out_dir` and returns the path of the object.
    ///
    /// # Errors
    /// The compiler's own words, where it could not be started or refused.
    pub fn build(&self, workspace_root: &Path, out_dir: &Path) -> Result<PathBuf, String> {
        let mut refusals = Vec::new();
        for compiler in &self.compilers {
            match self.build_with(*compiler, workspace_root, out_dir) {
                Ok(object) => return Ok(object),
                Err(refusal) => refusals.push(refusal),
            }
        }
        Err(refusals.join("\n"))
    }

    fn build_with(
        &self,
        compiler: Compiler,
        workspace_root: &Path,
        out_dir: &Path,
    ) -> Result<PathBuf, String> {
        let mut cargo = match compiler {
            Compiler::Nightly => {
                let mut cargo = Command::new("rustup");
                cargo.args(["run", "nightly", "cargo"]);
                cargo
            }
            Compiler::Debian => Command::new("/usr/bin/cargo"),
        };
        for name in NOT_INHERITED {
            cargo.env_remove(name);
        }
        for (name, _) in env::vars_os() {
            let foreign = name.to_str().is_some_and(|name| {
                name.starts_with("CARGO_PROFILE_") || name.starts_with("CARGO_FEATURE_")
            });
            if foreign {
                cargo.env_remove(name);
            }
        }
        if compiler == Compiler::Debian {
            cargo
                .env("RUSTC", "/usr/bin/rustc")
                .env("RUSTC_BOOTSTRAP", "1");
        }
        // BTF needs debug information; the kernel wants BTF to know each program's types.
        let flags = [
            format!("-Clinker={}", self.linker.display()),
            "-Clink-arg=--btf".into(),
            "-Cdebuginfo=2".into(),
            "-Cpanic=abort".into(),
            "--cfg=bpf_target_arch=\"x86_64\"".into(),
        ];
        cargo
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
            .current_dir(workspace_root)
            .args([
                "build",
                "--package",
                "pyti-trace-ebpf",
                "--bin",
                "pyti-trace-ebpf",
            ])
            .args([
                "--features",
                "probes",
                "--release",
                "--target",
                "bpfel-unknown-none",
            ])
            .args(["-Z", "build-std=core", "--target-dir"])
            .arg(out_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let output = cargo
            .output()
            .map_err(|error| format!("failed to start the compiler of the probes: {error}"))?;
        if !output.status.success() {
            return Err(format!(
                "failed to build the probes:\n{}",
                String::from_utf8_lossy(&output.stderr)
            ));
        }
        let object = out_dir.join("bpfel-unknown-none/release/pyti-trace-ebpf");
        if object.is_file() {
            Ok(object)
        } else {
            Err(format!(
                "failed to find the probes at {} after their build",
                object.display()
            ))
        }
    }
}

fn find_linker() -> Option<PathBuf> {
    let paths = env::var_os("PATH").unwrap_or_default();
    tools_dir()
        .map(|tools| tools.join("bin"))
        .into_iter()
        .chain(env::split_paths(&paths))
        .map(|directory| directory.join("bpf-linker"))
        .find(|candidate| candidate.is_file())
}

fn nightly_has_source() -> bool {
    sysroot(Command::new("rustup").args(["run", "nightly", "rustc"])).is_some_and(has_source)
}

fn debian_has_source() -> bool {
    Path::new("/usr/bin/cargo").is_file()
        && sysroot(&mut Command::new("/usr/bin/rustc")).is_some_and(has_source)
}

fn sysroot(rustc: &mut Command) -> Option<PathBuf> {
    for name in NOT_INHERITED {
        rustc.env_remove(name);
    }
    let output = rustc
        .args(["--print", "sysroot"])
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

fn has_source(sysroot: PathBuf) -> bool {
    fs::exists(sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml")).unwrap_or(false)
}
