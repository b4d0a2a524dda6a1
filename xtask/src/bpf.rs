//! Builds the probes for the BPF target. Shared by `xtask` and `pyti-trace/build.rs`, so it uses
//! the standard library only.

use std::env;
use std::ffi::OsStr;
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

/// The nightly that set-up installs. Not just the last one: some day that one has an LLVM whose output
/// no bpf-linker reads that can be had.
pub const NIGHTLY: &str = "nightly-2026-05-20";

/// Which compilers are used, in the order they are tried.
const ROUTES: [Route; 3] = [
    Route::Nightly("nightly"),
    Route::Nightly(NIGHTLY),
    Route::Debian,
];

/// Where a compiler that reaches the BPF target comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    /// rustup's nightly of this name, with the component rust-src.
    Nightly(&'static str),
    /// Debian's rustc-web, cargo-web and rust-web-src, told to allow unstable features.
    Debian,
}

/// A compiler that is there and reaches the BPF target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compiler {
    route: Route,
    /// The version of its LLVM. What it writes is read by this one and by later ones.
    pub llvm: u32,
}

/// A bpf-linker that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linker {
    path: PathBuf,
    /// The version of its LLVM.
    pub llvm: u32,
}

/// Everything it takes to build the probes.
#[derive(Debug, Clone)]
pub struct Toolchain {
    /// In the order they are tried. The linker reads what any of them writes.
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

/// Finds a compiler, and a bpf-linker that reads what it writes.
///
/// # Errors
/// One sentence that says what is missing and which command installs it.
pub fn find() -> Result<Toolchain, String> {
    choose(compilers(), linkers())
}

/// The routes that what is there opens.
fn choose(
    mut compilers: Vec<Compiler>,
    mut linkers: impl Iterator<Item = Linker>,
) -> Result<Toolchain, String> {
    let oldest = compilers.iter().map(|compiler| compiler.llvm).min().ok_or(
        "failed to find a Rust compiler for the BPF target (rustup's nightly with rust-src, \
         or Debian's rustc-web with rust-web-src); run `cargo xtask setup`",
    )?;
    let linker = linkers
        .find(|linker| linker.llvm >= oldest)
        .ok_or_else(|| {
            format!(
                "failed to find a bpf-linker with LLVM {oldest} or later, which links the probes; \
                 run `cargo xtask setup`"
            )
        })?;
    compilers.retain(|compiler| compiler.llvm <= linker.llvm);
    Ok(Toolchain {
        compilers,
        linker: linker.path,
    })
}

impl Toolchain {
    /// Builds the probes into `out_dir` and returns the path of the object.
    ///
    /// # Errors
    /// The compiler's own words, where it could not be started or refused.
    pub fn build(&self, workspace_root: &Path, out_dir: &Path) -> Result<PathBuf, String> {
        first_success(self.compilers.iter().map(|compiler| {
            let mut cargo = self.command(compiler.route, workspace_root, out_dir);
            run(&mut cargo, out_dir)
        }))
    }

    /// The command that builds the probes by this compiler.
    fn command(&self, route: Route, workspace_root: &Path, out_dir: &Path) -> Command {
        let mut cargo = route.program("cargo");
        for (name, _) in env::vars_os() {
            let foreign = name.to_str().is_some_and(|name| {
                name.starts_with("CARGO_PROFILE_") || name.starts_with("CARGO_FEATURE_")
            });
            if foreign {
                cargo.env_remove(name);
            }
        }
        if route == Route::Debian {
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

/// The compilers that are there and reach the BPF target, in the order they are tried.
#[must_use]
pub fn compilers() -> Vec<Compiler> {
    let there = ROUTES.map(|route| {
        let llvm = route.llvm()?;
        Some(Compiler { route, llvm })
    });
    there.into_iter().flatten().collect()
}

/// The bpf-linkers that are there: PyTI's own before those on the `PATH`.
pub fn linkers() -> impl Iterator<Item = Linker> {
    let paths = env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = env::split_paths(&paths).collect();
    tools_dir()
        .map(|tools| tools.join("bin"))
        .into_iter()
        .chain(on_path)
        .filter_map(|directory| linker_at(directory.join("bpf-linker")))
}

fn linker_at(path: PathBuf) -> Option<Linker> {
    if !is_new(path.as_ref(), OLDEST_LINKER) {
        return None;
    }
    // LLVM itself answers, before the linker does anything.
    let told = said(Command::new(&path).args([
        "--llvm-args=--version",
        "--output",
        "/dev/null",
        "/dev/null",
    ]))?;
    let llvm = llvm_version(&told)?;
    Some(Linker { path, llvm })
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

/// The version of LLVM in what a compiler or bpf-linker says of itself.
fn llvm_version(said: &str) -> Option<u32> {
    let (_, version) = said.split_once("LLVM version")?;
    let version = version.trim_start_matches([':', ' ']);
    version
        .split(|character: char| !character.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

impl Route {
    /// A program of this toolchain.
    fn program(self, name: &str) -> Command {
        let mut command = match self {
            Self::Nightly(toolchain) => {
                let mut rustup = Command::new("rustup");
                rustup.args(["run", toolchain, name]);
                rustup
            }
            Self::Debian => Command::new(Path::new("/usr/bin").join(name)),
        };
        for name in NOT_INHERITED {
            command.env_remove(name);
        }
        command
    }

    /// The LLVM of this toolchain, where it is there, new enough and has the source of `core`.
    fn llvm(self) -> Option<u32> {
        let rustc = said(self.program("rustc").arg("-vV"))?;
        let sysroot = said(self.program("rustc").args(["--print", "sysroot"]))?;
        said(self.program("cargo").arg("--version"))?;
        let library = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library");
        if version(&rustc) < Some(OLDEST_COMPILER) || !library.join("core/Cargo.toml").is_file() {
            return None;
        }
        llvm_version(&rustc)
    }
}

/// What a program says; nothing where it fails.
fn said(program: &mut Command) -> Option<String> {
    let output = program.stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nightly(llvm: u32) -> Compiler {
        let route = Route::Nightly("nightly");
        Compiler { route, llvm }
    }

    fn debian(llvm: u32) -> Compiler {
        let route = Route::Debian;
        Compiler { route, llvm }
    }

    /// What is chosen, where bpf-linkers of these versions of LLVM are there.
    fn chosen(compilers: &[Compiler], linkers: &[u32]) -> Result<Toolchain, String> {
        let linkers = linkers.iter().map(|llvm| Linker {
            path: format!("/tools/{llvm}/bpf-linker").into(),
            llvm: *llvm,
        });
        choose(compilers.to_vec(), linkers)
    }

    #[test]
    fn a_linker_is_used_for_the_compilers_whose_llvm_it_reads() {
        for (compilers, linkers, used, linker) in [
            (&[debian(22)][..], &[22][..], &[debian(22)][..], "22"),
            // A nightly is tried before Debian's compiler.
            (
                &[nightly(22), debian(22)],
                &[22],
                &[nightly(22), debian(22)],
                "22",
            ),
            (&[nightly(23), debian(22)], &[22], &[debian(22)], "22"),
            (
                &[nightly(22), debian(23)],
                &[23],
                &[nightly(22), debian(23)],
                "23",
            ),
            // The first one that reads it, not the first one.
            (&[debian(22)], &[21, 23, 22], &[debian(22)], "23"),
        ] {
            let chosen = chosen(compilers, linkers).unwrap();
            assert_eq!(chosen.compilers, used);
            let linker = format!("/tools/{linker}/bpf-linker");
            assert_eq!(chosen.linker, Path::new(&linker));
        }
        // Set-up hears of it, and builds another one.
        let old = chosen(&[nightly(23), debian(22)], &[21]).unwrap_err();
        assert!(old.contains("bpf-linker with LLVM 22 or later"), "{old}");
    }

    #[test]
    fn compilers_and_linkers_say_which_llvm_they_have() {
        for (said, expected) in [
            (
                "rustc 1.96.0 (ac68faa20 2026-05-25)\nrelease: 1.96.0\nLLVM version: 22.1.8\n",
                Some(22),
            ),
            (
                "Debian LLVM version 21.1.0-rc2\n  Optimized build.\n",
                Some(21),
            ),
            ("LLVM (http://llvm.org/):\n  LLVM version 23.1\n", Some(23)),
            ("bpf-linker 0.13.0\n", None),
            ("LLVM version: unknown\n", None),
            ("", None),
        ] {
            assert_eq!(llvm_version(said), expected, "{said}");
        }
        assert_eq!(linker_at("/bin/true".into()), None);
        assert_eq!(linker_at("/nonexistent/bpf-linker".into()), None);
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
        let no_linker = chosen(&[debian(22)], &[]).unwrap_err();
        let no_compiler = chosen(&[], &[22]).unwrap_err();
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
        let toolchain = Toolchain {
            compilers: Vec::new(),
            linker: "/tools/bpf-linker".into(),
        };
        let command = |route| toolchain.command(route, Path::new("/root"), Path::new("/out"));
        let nightly = command(Route::Nightly(NIGHTLY));
        let debian = command(Route::Debian);
        let build = "build --package pyti-trace-ebpf --bin pyti-trace-ebpf --features probes \
                     --release --target bpfel-unknown-none -Z build-std=core --target-dir /out";
        assert_eq!(
            line(&nightly),
            format!("rustup run nightly-2026-05-20 cargo {build}")
        );
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
