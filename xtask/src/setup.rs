//! Finds what is missing on this machine and installs it.
//!
//! The BPF toolchain comes by one of two routes, see [`crate::bpf`]: a rustup nightly that has
//! rust-src, or Debian's rustc-web, cargo-web and rust-web-src.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::bpf;
use crate::sh::{cargo, on_path, output, run, say};

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
        there: || is_root() || on_path("newuidmap"),
        package: "uidmap",
    },
];

fn debian_keyring() -> bool {
    Path::new("/usr/share/keyrings/debian-archive-keyring.gpg").exists()
}

/// Newest first; bpf-linker has a feature of the same name for each.
const LLVM: &[&str] = &["22", "21", "20"];

/// Version of bpf-linker.
const LINKER: &str = "0.13.0";

/// Installs what is missing; says nothing and takes no time where nothing is.
pub fn setup() -> Result<()> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !(need.there)()).collect();
    missing
        .iter()
        .for_each(|need| say(&format!("{} is missing", need.what)));
    if !on_path("apt-get") {
        let names: Vec<&str> = missing.iter().map(|need| need.what).collect();
        return match by_hand(&names, linker_there()?, bpf::find().is_ok()) {
            Some(list) => Err(anyhow::Error::msg(list)),
            None => Ok(()),
        };
    }
    if !missing.is_empty() {
        let packages: Vec<String> = missing.iter().map(|need| need.package.into()).collect();
        apt_install(&packages)?;
    }
    if !is_root() {
        subordinate_ids()?;
    }
    bpf_toolchain()
}

/// What is to be installed by hand where there is no apt-get: just what is missing.
fn by_hand(missing: &[&str], linker: bool, toolchain: bool) -> Option<String> {
    let mut list: Vec<String> = missing.iter().map(ToString::to_string).collect();
    if !toolchain && !linker {
        list.extend([
            "LLVM 22 with its headers".into(),
            "the headers of zlib and zstd".into(),
            format!(
                "bpf-linker (`cargo install bpf-linker --version ={LINKER} --locked --no-default-features --features llvm-22`)"
            ),
        ]);
    }
    if !toolchain {
        list.push(
            "a nightly Rust with rust-src (`rustup toolchain install nightly --component rust-src`)"
                .into(),
        );
    }
    (!list.is_empty()).then(|| {
        format!(
            "this system has no apt-get: install these by hand, then run this again: {}",
            list.join(", ")
        )
    })
}

fn linker_there() -> Result<bool> {
    Ok(on_path("bpf-linker") || tools()?.join("bin/bpf-linker").is_file())
}

fn bpf_toolchain() -> Result<()> {
    if bpf::find().is_ok() {
        return Ok(());
    }
    if !linker_there()? {
        linker()?;
    }
    if bpf::find().is_err() {
        compiler()?;
    }
    bpf::find().map(|_| ()).map_err(anyhow::Error::msg)
}

/// A Rust that builds `core` for the BPF target: Debian's where it is new enough, else rustup's.
fn compiler() -> Result<()> {
    say("no Rust for the BPF target");
    run(sudo("apt-get").arg("update").stdout(Stdio::null()))?;
    if available("rust-web-src") && available("rustc-web") {
        return apt_install(&[
            "rustc-web".into(),
            "cargo-web".into(),
            "rust-web-src".into(),
        ]);
    }
    if on_path("rustup") {
        return run(Command::new("rustup").args([
            "toolchain",
            "install",
            "nightly",
            "--profile",
            "minimal",
            "--component",
            "rust-src",
        ]));
    }
    bail!(
        "this system offers no rustc-web and has no rustup: install rustup (your distribution has it, or https://rustup.rs), then run this again"
    )
}

/// bpf-linker, built against the newest LLVM that the system offers.
fn linker() -> Result<()> {
    say("no bpf-linker");
    let llvm =
        |version: &&&str| Path::new(&format!("/usr/lib/llvm-{version}/include/llvm")).exists();
    let version = match LLVM.iter().find(llvm) {
        Some(version) => version,
        None => {
            run(sudo("apt-get").arg("update").stdout(Stdio::null()))?;
            let version = LLVM
                .iter()
                .find(|version| available(&format!("llvm-{version}-dev")))
                .context("this system offers no llvm-20-dev or newer: add bookworm-security (Debian 12) or apt.llvm.org's repository to apt's sources, and run this again")?;
            apt_install(&[format!("llvm-{version}-dev")])?;
            version
        }
    };
    apt_install(&["libzstd-dev".into(), "zlib1g-dev".into()])?;
    let root = tools()?;
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
    } else if on_path("apt-get") {
        apt_install(&["rustfmt-web".into(), "rust-web-clippy".into()])
    } else {
        bail!("failed to find rustfmt and clippy: install those of your Rust, then run this again")
    }
}

/// Where the tools go that no package manager of the system keeps.
fn tools() -> Result<PathBuf> {
    bpf::tools_dir().context("failed to find a place for tools: set HOME or PYTI_TOOLS")
}

fn available(package: &str) -> bool {
    output(Command::new("apt-cache").args(["policy", package])).is_ok_and(|text| {
        text.lines()
            .any(|l| l.contains("Candidate:") && !l.contains("(none)"))
    })
}

fn apt_install(packages: &[String]) -> Result<()> {
    say(&format!("installing {}", packages.join(" ")));
    let install = || {
        run(sudo("apt-get")
            .args(["install", "--yes", "--quiet", "--no-install-recommends"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null()))
    };
    // The package lists of a fresh machine are empty or old.
    install().or_else(|_| {
        run(sudo("apt-get").arg("update").stdout(Stdio::null()))?;
        install()
    })
}

fn is_root() -> bool {
    id("-u").is_ok_and(|id| id == "0")
}

fn id(option: &str) -> Result<String> {
    Ok(output(Command::new("id").arg(option))?.trim().to_owned())
}

/// mmdebstrap, where it is not run by root, makes the image's owners out of the user's subordinate
/// ids (subuid(5)). Most distributions give 65,536 of them to each user; some give none.
fn subordinate_ids() -> Result<()> {
    let (user, number) = (id("-un")?, id("-u")?);
    let given = |file: &str| {
        std::fs::read_to_string(file).is_ok_and(|text| {
            text.lines()
                .filter_map(|line| line.split(':').next())
                .any(|owner| owner == user || owner == number)
        })
    };
    if given("/etc/subuid") && given("/etc/subgid") {
        return Ok(());
    }
    say(&format!("{user} has no subordinate user ids"));
    run(sudo("usermod")
        .args([
            "--add-subuids",
            "100000-165535",
            "--add-subgids",
            "100000-165535",
        ])
        .arg(&user))
}

fn sudo(program: &str) -> Command {
    if is_root() {
        Command::new(program)
    } else {
        let mut command = Command::new("sudo");
        // sudo clears the environment.
        command.args(["env", "DEBIAN_FRONTEND=noninteractive", program]);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::by_hand;

    #[test]
    fn what_is_installed_by_hand_is_what_is_missing() {
        assert_eq!(by_hand(&[], true, true), None);
        let list =
            |missing: &[&str], linker, toolchain| by_hand(missing, linker, toolchain).unwrap();
        let begin = "this system has no apt-get: install these by hand, then run this again: ";
        assert_eq!(
            list(&["QEMU", "mount"], false, true),
            format!("{begin}QEMU, mount")
        );
        assert_eq!(
            list(&[], true, false),
            format!(
                "{begin}a nightly Rust with rust-src (`rustup toolchain install nightly --component rust-src`)"
            )
        );
        let all = list(&["QEMU"], false, false);
        for part in ["QEMU, LLVM 22", "zlib and zstd", "bpf-linker", "nightly"] {
            assert!(all.contains(part), "{part}: {all}");
        }
    }
}
