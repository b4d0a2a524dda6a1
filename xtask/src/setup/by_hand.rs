//! What is left to the user, where nothing is installed by apt.

use std::path::Path;
use std::process::Command;

use super::{LINKER, LLVM, NIGHTLY_LLVM, compiler_llvm, reader};
use crate::bpf;
use crate::sh::output;

/// What there is of what builds the probes, and of what builds bpf-linker.
pub(super) struct ProbeTools {
    /// The LLVM of a Rust that reaches the BPF target.
    compiler: Option<u32>,
    /// Whether there is a bpf-linker that reads what such a Rust writes.
    linker: bool,
    /// The LLVM that there is.
    llvm: Option<u32>,
    zlib: bool,
    zstd: bool,
}

impl ProbeTools {
    pub(super) fn found() -> Self {
        let header = |name: &str| Path::new("/usr/include").join(name).exists();
        // Where bpf-linker itself looks, unless it is told of another place.
        let version = output(Command::new("llvm-config").arg("--version"));
        let compiler = compiler_llvm();
        let written = compiler.unwrap_or(NIGHTLY_LLVM);
        Self {
            compiler,
            linker: bpf::linkers().any(|linker| linker.llvm >= written),
            llvm: version.ok().as_deref().and_then(major),
            zlib: header("zlib.h"),
            zstd: header("zstd.h"),
        }
    }
}

/// The major number of a whole version, such as 22.1.8.
fn major(version: &str) -> Option<u32> {
    version.trim().split('.').next()?.parse().ok()
}

/// What is to be installed by hand where apt does not: just what is missing.
pub(super) fn by_hand(mut list: Vec<String>, there: &ProbeTools) -> Option<String> {
    if !there.linker {
        let written = there.compiler.unwrap_or(NIGHTLY_LLVM);
        let installed = reader(written, there.llvm.as_slice());
        let llvm = installed.unwrap_or_else(|| written.max(*LLVM.start()));
        if installed.is_none() {
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
    if there.compiler.is_none() {
        list.push(format!(
            "a nightly Rust with rust-src (`rustup toolchain install {} --component rust-src`)",
            bpf::NIGHTLY
        ));
    }
    (!list.is_empty()).then(|| {
        format!(
            "this system is neither Debian nor Ubuntu, or has no apt-get: install these by hand, then run this again: {}",
            list.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_installed_by_hand_is_what_is_missing() {
        let whole = || ProbeTools {
            compiler: Some(22),
            linker: true,
            llvm: Some(22),
            zlib: true,
            zstd: true,
        };
        let bare = ProbeTools {
            compiler: None,
            linker: false,
            llvm: None,
            zlib: false,
            zstd: false,
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
        let nightly = "a nightly Rust with rust-src (`rustup toolchain install nightly-2026-05-20 --component rust-src`)";
        assert_eq!(list(&[], &whole()), None);
        for (missing, there, expected) in [
            (&["QEMU", "mount"][..], whole(), "QEMU, mount".to_owned()),
            (
                &[],
                ProbeTools {
                    compiler: None,
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
                    llvm: Some(23),
                    zstd: false,
                    ..whole()
                },
                format!("QEMU, the headers of zstd, {}", linker("23")),
            ),
            // What the compiler writes, this LLVM does not read.
            (
                &[],
                ProbeTools {
                    compiler: Some(23),
                    linker: false,
                    ..whole()
                },
                format!("LLVM 23 with its headers and llvm-config, {}", linker("23")),
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
    fn llvm_config_says_a_whole_version() {
        for (said, expected) in [
            ("22.1.8\n", Some(22)),
            ("21.1.0-rc2\n", Some(21)),
            ("2.2\n", Some(2)),
            ("", None),
            ("LLVM 22\n", None),
        ] {
            assert_eq!(major(said), expected, "{said}");
        }
    }
}
