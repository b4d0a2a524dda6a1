//! Builds the probes for the BPF target. Shared by `xtask` and `pyti-trace/build.rs`, so it uses
//! the standard library only.

use std::env;
use std::ffi::OsStr;
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

/// Older ones do not link what these compilers write: major and minor number.
const OLDEST_LINKER: [u32; 2] = [0, 13];
/// Older ones do not compile the probes.
const OLDEST_COMPILER: [u32; 2] = [1, 95];

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
    choose(find_linker(), nightly_has_source(), debian_has_source())
}

/// The routes that what is there opens.
fn choose(linker: Option<PathBuf>, nightly: bool, debian: bool) -> Result<Toolchain, String> {
    let linker = linker
        .ok_or("failed to find bpf-linker, which links the probes; run `cargo xtask setup`")?;
    let compilers: Vec<Compiler> = [
        nightly.then_some(Compiler::Nightly),
        debian.then_some(Compiler::Debian),
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
        first_success(self.compilers.iter().map(|compiler| {
            let mut cargo = self.command(*compiler, workspace_root, out_dir);
            run(&mut cargo, out_dir)
        }))
    }

    /// The command that builds the probes by this compiler.
    fn command(&self, compiler: Compiler, workspace_root: &Path, out_dir: &Path) -> Command {
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
            .arg(out_dir);
        cargo
    }
}

/// What the first attempt that succeeds gives; else what was said of each. No further one is made.
fn first_success<T>(attempts: impl Iterator<Item = Result<T, String>>) -> Result<T, String> {
    let mut refusals = Vec::new();
    for attempt in attempts {
        match attempt {
            Ok(success) => return Ok(success),
            Err(refusal) => refusals.push(refusal),
        }
    }
    Err(refusals.join("\n"))
}

/// Builds the probes and finds them.
fn run(cargo: &mut Command, out_dir: &Path) -> Result<PathBuf, String> {
    let output = cargo
        .stdin(Stdio::null())
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

/// The bpf-linker that is used: PyTI's own before one on the `PATH`.
#[must_use]
pub fn find_linker() -> Option<PathBuf> {
    let paths = env::var_os("PATH").unwrap_or_default();
    tools_dir()
        .map(|tools| tools.join("bin"))
        .into_iter()
        .chain(env::split_paths(&paths))
        .map(|directory| directory.join("bpf-linker"))
        .find(|candidate| candidate.is_file() && is_new(candidate.as_ref(), OLDEST_LINKER))
}

/// Whether a program says that it is of this version or a later one.
fn is_new(program: &OsStr, oldest: [u32; 2]) -> bool {
    let said = said(Command::new(program).arg("--version"));
    said.and_then(|said| version(&said)) >= Some(oldest)
}

/// Major and minor number in what a program says of itself: its name, then its version.
fn version(said: &str) -> Option<[u32; 2]> {
    let mut numbers = said.split_whitespace().nth(1)?.split('.');
    let mut number = || numbers.next()?.parse().ok();
    Some([number()?, number()?])
}

/// Whether rustup has a nightly that builds `core`.
pub fn nightly_has_source() -> bool {
    sysroot(Command::new("rustup").args(["run", "nightly", "rustc"])).is_some_and(has_source)
}

/// Whether Debian's compiler is there and builds `core`.
pub fn debian_has_source() -> bool {
    Path::new("/usr/bin/cargo").is_file()
        && is_new("/usr/bin/rustc".as_ref(), OLDEST_COMPILER)
        && sysroot(&mut Command::new("/usr/bin/rustc")).is_some_and(has_source)
}

fn sysroot(rustc: &mut Command) -> Option<PathBuf> {
    for name in NOT_INHERITED {
        rustc.env_remove(name);
    }
    let said = said(rustc.args(["--print", "sysroot"]))?;
    Some(PathBuf::from(said.trim()))
}

/// What a program says; nothing where it fails.
fn said(program: &mut Command) -> Option<String> {
    let output = program.stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then_some(text)
}

fn has_source(sysroot: PathBuf) -> bool {
    fs::exists(sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml")).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchain(nightly: bool, debian: bool) -> Toolchain {
        choose(Some("/tools/bpf-linker".into()), nightly, debian).unwrap()
    }

    #[test]
    fn a_nightly_is_tried_before_debians_compiler() {
        let routes = |nightly, debian| toolchain(nightly, debian).compilers;
        assert_eq!(routes(true, true), [Compiler::Nightly, Compiler::Debian]);
        assert_eq!(routes(true, false), [Compiler::Nightly]);
        assert_eq!(routes(false, true), [Compiler::Debian]);
    }

    #[test]
    fn old_tools_are_as_good_as_none() {
        for (said, expected) in [
            ("bpf-linker 0.13.0\n", Some([0, 13])),
            (
                "rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)",
                Some([1, 96]),
            ),
            ("rustc 1.97.0-nightly (e50aa6fba 2026-05-19)", Some([1, 97])),
            ("rustc", None),
            ("rustc x.y", None),
            ("", None),
        ] {
            assert_eq!(version(said), expected, "{said}");
        }
        // It says another thing first.
        assert!(!is_new("/bin/true".as_ref(), [0, 0]));
        assert!(!is_new("/nonexistent/bpf-linker".as_ref(), [0, 0]));
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        assert!(is_new(&cargo, [1, 95]) && !is_new(&cargo, [1000, 0]));
    }

    #[test]
    fn the_next_route_is_taken_where_one_fails() {
        let tried = std::cell::Cell::new(0);
        let attempts = [Err("one".to_owned()), Ok(2), Ok(3)].into_iter();
        let attempts = attempts.inspect(|_| tried.set(tried.get() + 1));
        assert_eq!((first_success(attempts), tried.get()), (Ok(2), 2));
        let refusals = ["one", "two"].map(|refusal| Err::<(), _>(refusal.to_owned()));
        let all = first_success(refusals.into_iter());
        assert_eq!(all, Err("one\ntwo".to_owned()));
    }

    #[test]
    fn what_is_missing_is_named_with_the_command_that_installs_it() {
        let no_linker = choose(None, true, true).unwrap_err();
        let no_compiler = choose(Some("/tools/bpf-linker".into()), false, false).unwrap_err();
        assert!(no_linker.contains("bpf-linker"), "{no_linker}");
        for route in ["nightly with rust-src", "rustc-web with rust-web-src"] {
            assert!(no_compiler.contains(route), "{no_compiler}");
        }
        for message in [no_linker, no_compiler] {
            assert!(message.ends_with("; run `cargo xtask setup`"), "{message}");
        }
    }

    /// The whole line of a command.
    fn line(command: &Command) -> String {
        let parts = std::iter::once(command.get_program()).chain(command.get_args());
        let parts: Vec<_> = parts.map(|part| part.to_string_lossy()).collect();
        parts.join(" ")
    }

    /// What a command sets a variable to; nothing where it takes it away.
    fn set(command: &Command, name: &str) -> Option<String> {
        let (_, value) = command.get_envs().find(|(key, _)| *key == name)?;
        Some(value?.to_string_lossy().into_owned())
    }

    #[test]
    fn both_routes_build_the_probes_and_only_debians_compiler_is_told_to_allow_it() {
        let toolchain = toolchain(true, true);
        let command = |compiler| toolchain.command(compiler, Path::new("/root"), Path::new("/out"));
        let (nightly, debian) = (command(Compiler::Nightly), command(Compiler::Debian));
        let build = "build --package pyti-trace-ebpf --bin pyti-trace-ebpf --features probes \
                     --release --target bpfel-unknown-none -Z build-std=core --target-dir /out";
        assert_eq!(line(&nightly), format!("rustup run nightly cargo {build}"));
        assert_eq!(line(&debian), format!("/usr/bin/cargo {build}"));
        for command in [&nightly, &debian] {
            let flags = set(command, "CARGO_ENCODED_RUSTFLAGS").unwrap();
            let flags: Vec<&str> = flags.split('\u{1f}').collect();
            assert!(flags.contains(&"-Clinker=/tools/bpf-linker"), "{flags:?}");
            assert_eq!(command.get_current_dir(), Some(Path::new("/root")));
            let removed: Vec<_> = command
                .get_envs()
                .filter(|(_, value)| value.is_none())
                .map(|(name, _)| name)
                .collect();
            for name in ["RUSTFLAGS", "RUSTUP_TOOLCHAIN", "CARGO_TARGET_DIR"] {
                assert!(removed.contains(&name.as_ref()), "{removed:?}");
            }
        }
        let told = |command| (set(command, "RUSTC"), set(command, "RUSTC_BOOTSTRAP"));
        assert_eq!(told(&nightly), (None, None));
        assert_eq!(
            told(&debian),
            (Some("/usr/bin/rustc".into()), Some("1".into()))
        );
    }
}
