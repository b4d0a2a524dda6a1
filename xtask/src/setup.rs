//! Finds what is missing on this machine and installs it.
//!
//! The BPF toolchain comes by one of two routes, see [`crate::bpf`]: a rustup nightly that has
//! rust-src, or Debian's rustc-web, cargo-web and rust-web-src.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

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

/// Newest first; bpf-linker has a feature of the same name for each.
const LLVM: &[&str] = &["22", "21"];

/// Version of bpf-linker.
const LINKER: &str = "0.13.0";

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

/// What there is of what builds the probes, and of what builds bpf-linker.
struct ProbeTools {
    linker: bool,
    /// The version of LLVM, of those that bpf-linker takes.
    llvm: Option<&'static str>,
    zlib: bool,
    zstd: bool,
    /// A Rust that reaches the BPF target.
    compiler: bool,
}

impl ProbeTools {
    fn found() -> Self {
        let header = |name: &str| Path::new("/usr/include").join(name).exists();
        // Where bpf-linker itself looks, unless it is told of another place.
        let version = output(Command::new("llvm-config").arg("--version"));
        Self {
            linker: bpf::find_linker().is_some(),
            llvm: version.ok().as_deref().and_then(taken_llvm),
            zlib: header("zlib.h"),
            zstd: header("zstd.h"),
            compiler: bpf::nightly_has_source() || bpf::debian_has_source(),
        }
    }
}

/// The LLVM of this whole version, such as 22.1.8, where bpf-linker takes it.
fn taken_llvm(version: &str) -> Option<&'static str> {
    let major = version.trim().split('.').next();
    newest_llvm(|taken| major == Some(taken))
}

/// What is to be installed by hand where apt does not: just what is missing.
fn by_hand(mut list: Vec<String>, there: &ProbeTools) -> Option<String> {
    if !there.linker {
        let llvm = there.llvm.unwrap_or(LLVM[0]);
        if there.llvm.is_none() {
            list.push(format!("LLVM {llvm} with its headers and llvm-config"));
        }
        for (library, is_there) in [("zlib", there.zlib), ("zstd", there.zstd)] {
            if !is_there {
                list.push(format!("the headers of {library}"));
            }
        }
        list.push(format!(
            "bpf-linker (`cargo install bpf-linker --version ={LINKER} --locked --no-default-features --features llvm-{llvm}`)"
        ));
    }
    if !there.compiler {
        list.push(
            "a nightly Rust with rust-src (`rustup toolchain install nightly --component rust-src`)"
                .into(),
        );
    }
    (!list.is_empty()).then(|| {
        format!(
            "this system is neither Debian nor Ubuntu, or has no apt-get: install these by hand, then run this again: {}",
            list.join(", ")
        )
    })
}

fn bpf_toolchain() -> Result<()> {
    if bpf::find().is_ok() {
        return Ok(());
    }
    if bpf::find_linker().is_none() {
        linker()?;
    }
    if bpf::find().is_err() {
        compiler()?;
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
    say("no Rust for the BPF target");
    apt::update()?;
    match rust(apt::offers, on_path("rustup")) {
        Some(Rust::Debian) => apt::install(DEBIAN_RUST),
        Some(Rust::Nightly) => run(Command::new("rustup").args([
            "toolchain",
            "install",
            "nightly",
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

/// The newest LLVM of those that bpf-linker takes and that are there.
fn newest_llvm(there: impl Fn(&str) -> bool) -> Option<&'static str> {
    LLVM.iter().copied().find(|version| there(version))
}

/// bpf-linker, built against the newest LLVM that the system has, else offers.
fn linker() -> Result<()> {
    say("no bpf-linker");
    let installed =
        |version: &str| Path::new(&format!("/usr/lib/llvm-{version}/include/llvm")).exists();
    let version = match newest_llvm(installed) {
        Some(version) => version,
        None => {
            apt::update()?;
            let version = newest_llvm(|version| apt::offers(&format!("llvm-{version}-dev")))
                .context("this system offers no llvm-21-dev or llvm-22-dev: add bookworm-security (Debian 12) or apt.llvm.org's repository to apt's sources, and run this again")?;
            apt::install(&[&format!("llvm-{version}-dev")])?;
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
    fn what_is_installed_by_hand_is_what_is_missing() {
        let whole = || ProbeTools {
            linker: true,
            llvm: Some("22"),
            zlib: true,
            zstd: true,
            compiler: true,
        };
        let bare = ProbeTools {
            linker: false,
            llvm: None,
            zlib: false,
            zstd: false,
            compiler: false,
        };
        let list = |missing: &[&str], there: &ProbeTools| {
            let missing = missing.iter().map(ToString::to_string).collect();
            by_hand(missing, there)
        };
        let begin = "this system is neither Debian nor Ubuntu, or has no apt-get: install these by \
                     hand, then run this again: ";
        let linker = |llvm: &str| {
            format!(
                "bpf-linker (`cargo install bpf-linker --version =0.13.0 --locked --no-default-features --features llvm-{llvm}`)"
            )
        };
        let nightly = "a nightly Rust with rust-src (`rustup toolchain install nightly --component rust-src`)";
        assert_eq!(list(&[], &whole()), None);
        for (missing, there, expected) in [
            (&["QEMU", "mount"][..], whole(), "QEMU, mount".to_owned()),
            (
                &[],
                ProbeTools {
                    compiler: false,
                    ..whole()
                },
                nightly.to_owned(),
            ),
            (
                &[],
                ProbeTools {
                    linker: false,
                    ..whole()
                },
                linker("22"),
            ),
            (
                &["QEMU"],
                ProbeTools {
                    linker: false,
                    llvm: Some("21"),
                    zstd: false,
                    ..whole()
                },
                format!("QEMU, the headers of zstd, {}", linker("21")),
            ),
            // Nobody needs to build what is there.
            (
                &[],
                ProbeTools {
                    linker: true,
                    ..bare
                },
                nightly.to_owned(),
            ),
            (
                &["QEMU"],
                bare,
                format!(
                    "QEMU, LLVM 22 with its headers and llvm-config, the headers of zlib, the headers of zstd, {}, {nightly}",
                    linker("22")
                ),
            ),
        ] {
            assert_eq!(list(missing, &there), Some(format!("{begin}{expected}")));
        }
    }

    #[test]
    fn the_llvm_that_is_there_is_used_where_bpf_linker_takes_it() {
        assert_eq!(taken_llvm("22.1.8\n"), Some("22"));
        assert_eq!(taken_llvm("21.1.0-rc2\n"), Some("21"));
        for other in ["14.0.6\n", "2.2\n", "221.0\n", ""] {
            assert_eq!(taken_llvm(other), None, "{other}");
        }
    }

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
    fn the_newest_llvm_is_taken_that_bpf_linker_has_a_feature_for() {
        let of = |there: &[&str]| newest_llvm(|version| there.contains(&version));
        assert_eq!(of(&["19", "21", "22", "23"]), Some("22"));
        assert_eq!(of(&["20", "21"]), Some("21"));
        assert_eq!(of(&["14", "20"]), None);
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
