//! Finds what is missing on this machine and installs it.
//!
//! The BPF toolchain comes by one of two routes, see [`crate::bpf`]: a rustup nightly that has
//! rust-src, or Debian's rustc-web, cargo-web and rust-web-src.

mod by_hand;

use std::ops::RangeInclusive;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use self::by_hand::{ProbeTools, by_hand};
use crate::sh::{Rights, as_root, cargo, id, on_path, output, rights, run, say};
use crate::{apt, bpf};

/// What is needed: a name, a file or program that shows it is there, Debian's package.
struct Need {
    what: &'static str,
    there: fn() -> bool,
    package: &'static str,
}

const NEEDS: &[Need] = &[
    Need {
        what: "a C compiler",
        there: || on_path("cc") && on_path("c++"),
        package: "build-essential",
    },
    Need {
        what: "QEMU",
        there: || on_path("qemu-system-x86_64"),
        package: "qemu-system-x86",
    },
    Need {
        what: "mmdebstrap",
        there: || on_path("mmdebstrap"),
        package: "mmdebstrap",
    },
    // mmdebstrap runs them, and so do the hooks that fetch the guest's kernel.
    Need {
        what: "apt",
        there: || on_path("apt-get") && on_path("apt-cache"),
        package: "apt",
    },
    Need {
        what: "dpkg",
        there: || on_path("dpkg-deb"),
        package: "dpkg",
    },
    Need {
        what: "mkfs.erofs",
        there: || on_path("mkfs.erofs"),
        package: "erofs-utils",
    },
    Need {
        what: "Debian's archive keys",
        there: debian_keyring,
        package: "debian-archive-keyring",
    },
    Need {
        what: "Python 3",
        there: || Path::new("/usr/bin/python3").exists(),
        package: "python3",
    },
    Need {
        what: "certificates",
        there: || Path::new("/etc/ssl/certs/ca-certificates.crt").exists(),
        package: "ca-certificates",
    },
    // apt, which mmdebstrap runs, checks signatures with it.
    Need {
        what: "gpgv",
        there: || on_path("gpgv"),
        package: "gpgv",
    },
    // Every Debian but the smallest ones has it.
    Need {
        what: "mount",
        there: || on_path("mount"),
        package: "mount",
    },
    // mmdebstrap maps user ids with it where it is not run by root.
    Need {
        what: "newuidmap",
        there: || rights() == Rights::Root || on_path("newuidmap"),
        package: "uidmap",
    },
];

fn debian_keyring() -> bool {
    Path::new("/usr/share/keyrings/debian-archive-keyring.gpg").exists()
}

/// Version of bpf-linker.
const LINKER: &str = "0.13.0";

/// The versions of LLVM that it has features for, `llvm-21` and so on.
const LLVM: RangeInclusive<u32> = 21..=23;

/// The LLVM of [`bpf::NIGHTLY`].
const NIGHTLY_LLVM: u32 = 22;

/// Debian's compiler, cargo and source of `core`.
const DEBIAN_RUST: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];

/// What usermod(8) is told to give a user subordinate ids.
const SUBORDINATE_IDS: &[&str] = &[
    "--add-subuids",
    "100000-165535",
    "--add-subgids",
    "100000-165535",
];

/// Installs what is missing; says nothing and takes no time where nothing is.
pub fn setup() -> Result<()> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !(need.there)()).collect();
    missing
        .iter()
        .for_each(|need| say(&format!("{} is missing", need.what)));
    let without_ids = user_without_subordinate_ids()?;
    if !apt::here() {
        let mut names: Vec<String> = missing.iter().map(|need| need.what.into()).collect();
        names.extend(without_ids.map(|user| {
            let options = SUBORDINATE_IDS.join(" ");
            format!("subordinate user ids (`usermod {options} {user}`)")
        }));
        return match by_hand(names, &ProbeTools::found()) {
            Some(list) => Err(anyhow::Error::msg(list)),
            None => Ok(()),
        };
    }
    if !missing.is_empty() {
        let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
        apt::install(&packages)?;
    }
    if let Some(user) = without_ids {
        say(&format!("{user} has no subordinate user ids"));
        let options = [SUBORDINATE_IDS, &[user.as_str()]].concat();
        run(&mut as_root(rights(), "usermod", &options)?)?;
    }
    bpf_toolchain()
}

/// The oldest LLVM of the Rusts that reach the BPF target; nothing where no bpf-linker would read what
/// they write.
fn compiler_llvm() -> Option<u32> {
    let compilers = bpf::compilers();
    let oldest = compilers.iter().map(|compiler| compiler.llvm).min();
    oldest.filter(|llvm| llvm <= LLVM.end())
}

/// The oldest LLVM of these that bpf-linker takes and that reads what a compiler's LLVM writes.
fn reader(compiler: u32, of: &[u32]) -> Option<u32> {
    let readers = of.iter().copied();
    readers
        .filter(|llvm| LLVM.contains(llvm) && *llvm >= compiler)
        .min()
}

fn bpf_toolchain() -> Result<()> {
    if bpf::find().is_ok() {
        return Ok(());
    }
    // The compiler first: bpf-linker is built against an LLVM that reads what it writes.
    if compiler_llvm().is_none() {
        compiler()?;
    }
    if bpf::find().is_err() {
        linker()?;
    }
    bpf::find().map(|_| ()).map_err(anyhow::Error::msg)
}

/// Where a Rust that builds `core` for the BPF target is to be had.
#[derive(Debug, PartialEq, Eq)]
enum Rust {
    Debian,
    Nightly,
}

/// Debian's where it is new enough to be offered, else rustup's.
fn rust(offered: impl Fn(&str) -> bool, rustup: bool) -> Option<Rust> {
    if DEBIAN_RUST.iter().all(|package| offered(package)) {
        return Some(Rust::Debian);
    }
    rustup.then_some(Rust::Nightly)
}

/// Installs a Rust that builds `core` for the BPF target.
fn compiler() -> Result<()> {
    say("no Rust for the BPF target whose LLVM bpf-linker takes");
    apt::update()?;
    match rust(apt::offers, on_path("rustup")) {
        Some(Rust::Debian) => apt::install(DEBIAN_RUST),
        Some(Rust::Nightly) => run(Command::new("rustup").args([
            "toolchain",
            "install",
            bpf::NIGHTLY,
            "--profile",
            "minimal",
            "--component",
            "rust-src",
        ])),
        None => bail!(
            "this system offers no rustc-web and has no rustup: install rustup (your distribution has it, or https://rustup.rs), then run this again"
        ),
    }
}

/// An LLVM to build bpf-linker against.
#[derive(Debug, PartialEq, Eq)]
enum Llvm {
    Installed(u32),
    Offered(u32),
}

/// The oldest LLVM that reads what a compiler's LLVM writes, of those that are installed, else of those
/// that the system offers.
fn llvm(
    compiler: u32,
    installed: &[u32],
    offered: impl FnOnce() -> Result<Vec<u32>>,
) -> Result<Llvm> {
    if let Some(version) = reader(compiler, installed) {
        return Ok(Llvm::Installed(version));
    }
    let version = reader(compiler, &offered()?).with_context(|| {
        let wanted = LLVM.filter(|version| *version >= compiler);
        let wanted: Vec<String> = wanted.map(headers).collect();
        // Of several compilers that are there the oldest LLVM counts.
        let older = if compiler > NIGHTLY_LLVM {
            format!(
                ", or install an older Rust beside it (`rustup toolchain install {} --profile minimal --component rust-src`)",
                bpf::NIGHTLY
            )
        } else {
            String::new()
        };
        format!(
            "this system offers no {}, and the Rust for the BPF target has LLVM {compiler}: add bookworm-security (Debian 12) or apt.llvm.org's repository to apt's sources{older}, and run this again",
            wanted.join(" or ")
        )
    })?;
    Ok(Llvm::Offered(version))
}

/// Debian's package of an LLVM to build against.
fn headers(llvm: u32) -> String {
    format!("llvm-{llvm}-dev")
}

/// bpf-linker, built against an LLVM that reads what the compiler writes.
fn linker() -> Result<()> {
    let compiler = compiler_llvm().with_context(|| {
        format!(
            "failed to find a Rust for the BPF target that is neither too old for the probes nor, with an LLVM after {}, too new for bpf-linker {LINKER}",
            LLVM.end()
        )
    })?;
    say(&format!("no bpf-linker with LLVM {compiler} or later"));
    let is_installed =
        |version: &u32| Path::new(&format!("/usr/lib/llvm-{version}/include/llvm")).exists();
    let installed: Vec<u32> = LLVM.filter(is_installed).collect();
    let offered = || -> Result<Vec<u32>> {
        apt::update()?;
        Ok(LLVM
            .filter(|version| apt::offers(&headers(*version)))
            .collect())
    };
    let version = match llvm(compiler, &installed, offered)? {
        Llvm::Installed(version) => version,
        Llvm::Offered(version) => {
            apt::install(&[&headers(version)])?;
            version
        }
    };
    apt::install(&["libzstd-dev", "zlib1g-dev"])?;
    let root =
        bpf::tools_dir().context("failed to find a place for tools: set HOME or PYTI_TOOLS")?;
    say(&format!(
        "building bpf-linker against LLVM {version} into {}",
        root.display()
    ));
    run(cargo()
        .args([
            "install",
            "--quiet",
            "bpf-linker",
            "--version",
            &format!("={LINKER}"),
            "--locked",
            // The one that is there does not do.
            "--force",
            "--no-default-features",
        ])
        .args(["--features", &format!("llvm-{version}"), "--root"])
        .arg(root)
        .env("LLVM_PREFIX", format!("/usr/lib/llvm-{version}"))
        .env_remove("CARGO_TARGET_DIR"))
}

/// What lint wants besides the compiler: rustfmt and clippy of the toolchain that runs this.
pub fn lint_tools() -> Result<()> {
    let there =
        |tool: &str| output(cargo().args([tool, "--version"]).stderr(Stdio::null())).is_ok();
    if there("fmt") && there("clippy") {
        return Ok(());
    }
    say("no rustfmt or clippy");
    if on_path("rustup") {
        run(Command::new("rustup").args(["component", "add", "rustfmt", "clippy"]))
    } else if apt::here() {
        apt::install(&["rustfmt-web", "rust-web-clippy"])
    } else {
        bail!("failed to find rustfmt and clippy: install those of your Rust, then run this again")
    }
}

/// mmdebstrap, where it is not run by root, makes the image's owners out of the user's subordinate
/// ids (subuid(5)). Most distributions give 65,536 of them to each user; some give none.
fn user_without_subordinate_ids() -> Result<Option<String>> {
    if rights() == Rights::Root {
        return Ok(None);
    }
    let (user, number) = (id("-un")?, id("-u")?);
    let given = ["/etc/subuid", "/etc/subgid"]
        .iter()
        .all(|file| std::fs::read_to_string(file).is_ok_and(|text| has_ids(&text, &user, &number)));
    Ok((!given).then_some(user))
}

/// Whether this file gives ids to the user of this name or number.
fn has_ids(subordinate: &str, user: &str, number: &str) -> bool {
    subordinate
        .lines()
        .filter_map(|line| line.split(':').next())
        .any(|owner| owner == user || owner == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debians_rust_is_installed_where_all_of_it_is_offered_else_a_nightly() {
        let all = |_: &str| true;
        let no_source = |package: &str| package != "rust-web-src";
        assert_eq!(rust(all, false), Some(Rust::Debian));
        assert_eq!(rust(all, true), Some(Rust::Debian));
        assert_eq!(rust(no_source, true), Some(Rust::Nightly));
        assert_eq!(rust(no_source, false), None);
    }

    #[test]
    fn an_llvm_is_taken_that_reads_what_the_compiler_writes() {
        let of = |compiler, installed: &[u32], offered: &[u32]| {
            llvm(compiler, installed, || Ok(offered.to_vec()))
        };
        for (compiler, installed, offered, expected) in [
            // Debian 12 with bookworm-security, before and after.
            (22, &[][..], &[22][..], Llvm::Offered(22)),
            (22, &[22], &[22], Llvm::Installed(22)),
            (22, &[21], &[21, 22], Llvm::Offered(22)),
            (22, &[21], &[22, 23], Llvm::Offered(22)),
            (22, &[21, 22, 23], &[], Llvm::Installed(22)),
            (22, &[23], &[22], Llvm::Installed(23)),
            (23, &[21, 22], &[21, 22, 23], Llvm::Offered(23)),
            (20, &[], &[21, 22], Llvm::Offered(21)),
        ] {
            let taken = of(compiler, installed, offered).unwrap();
            assert_eq!(taken, expected, "{compiler} {installed:?} {offered:?}");
        }
        for (compiler, offered, wanted) in [
            (22, &[21, 24][..], "llvm-22-dev or llvm-23-dev"),
            (23, &[22], "llvm-23-dev"),
        ] {
            let refusal = of(compiler, &[21, 24], offered).unwrap_err().to_string();
            let said = format!(
                "this system offers no {wanted}, and the Rust for the BPF target has LLVM {compiler}: "
            );
            assert!(refusal.starts_with(&said), "{refusal}");
            // One that writes what this system's LLVM reads.
            let older = refusal.contains("rustup toolchain install nightly-2026-05-20 ");
            assert_eq!(older, compiler == 23, "{refusal}");
        }
    }

    #[test]
    fn the_lists_of_packages_are_fetched_only_where_no_llvm_is_installed() {
        let fetching = || -> Result<Vec<u32>> { bail!("fetched") };
        assert_eq!(llvm(22, &[22], fetching).unwrap(), Llvm::Installed(22));
        let fetched = llvm(22, &[21], fetching).unwrap_err();
        assert_eq!(fetched.to_string(), "fetched");
    }

    #[test]
    fn subordinate_ids_belong_to_a_name_or_a_number() {
        let file = "alice:100000:65536\n1001:165536:65536\n";
        assert!(has_ids(file, "alice", "1000"));
        assert!(has_ids(file, "bob", "1001"));
        assert!(!has_ids(file, "ali", "100"));
        assert!(!has_ids("", "alice", "1000"));
    }
}
