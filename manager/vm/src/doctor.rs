//! What this host has and lacks for running virtual machines.

use std::{ffi::CString, io, mem, os::unix::ffi::OsStrExt, path::Path};

use crate::{
    Home, Image,
    accel::{KVM, Proof, kvm_opens},
    qemu::first_line,
};

/// Bytes that an image, a template and their making take.
const DISK_NEEDED: u64 = 4 << 30;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What it is.
    pub name: &'static str,
    /// How it looks.
    pub outcome: Outcome,
    /// What was found.
    pub found: String,
    /// What to do, where something is to be done.
    pub remedy: Option<Remedy>,
}

/// What mends a thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// A command to type.
    Type(String),
    /// A sentence.
    Advice(String),
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Good,
    /// It works without, but worse.
    Worse,
    /// It does not work without.
    Missing,
}

/// Looks at this host. Starts nothing but `--version`s.
#[must_use]
pub fn doctor(home: &Home) -> Vec<Check> {
    let qemu = program("QEMU", "qemu-system-x86_64", "--version", "qemu-system-x86");
    let kvm = kvm(home, &qemu.found);
    vec![
        qemu,
        kvm,
        program("mmdebstrap", "mmdebstrap", "--version", "mmdebstrap"),
        program("mkfs.erofs", "mkfs.erofs", "-V", "erofs-utils"),
        keyring(),
        disk(home.root()),
        image(home),
    ]
}

fn program(name: &'static str, program: &str, argument: &str, package: &str) -> Check {
    match first_line(program, argument) {
        Ok(found) => Check {
            name,
            outcome: Outcome::Good,
            found,
            remedy: None,
        },
        Err(error) => Check {
            name,
            outcome: Outcome::Missing,
            found: error.to_string(),
            remedy: Some(Remedy::Type(format!("apt-get install {package}"))),
        },
    }
}

fn kvm(home: &Home, qemu: &str) -> Check {
    let emulate = "nothing is to be done: emulation is used, and is slower";
    let join = "where /dev/kvm exists, `usermod -aG kvm $USER` and a new login open it; else emulation \
                is used, and is slower";
    let (outcome, found, remedy) = match (kvm_opens(Path::new(KVM)), Proof::recall(home, qemu)) {
        (Err(reason), _) => (
            Outcome::Worse,
            reason,
            Some(Remedy::Advice(join.to_owned())),
        ),
        (Ok(()), None) => (
            Outcome::Good,
            "/dev/kvm opens; the first audit will prove it by a boot".into(),
            None,
        ),
        (Ok(()), Some(Proof { broken: None, .. })) => {
            (Outcome::Good, "works, proven by a boot".into(), None)
        }
        (
            Ok(()),
            Some(Proof {
                broken: Some(reason),
                ..
            }),
        ) => (
            Outcome::Worse,
            format!("/dev/kvm opens and does not work: {reason}"),
            Some(Remedy::Advice(emulate.to_owned())),
        ),
    };
    Check {
        name: "KVM",
        outcome,
        found,
        remedy,
    }
}

/// Debian's keys: without them mmdebstrap on another distribution cannot check what it fetches.
fn keyring() -> Check {
    let path = Path::new("/usr/share/keyrings/debian-archive-keyring.gpg");
    let there = path.exists();
    Check {
        name: "Debian's archive keys",
        outcome: if there {
            Outcome::Good
        } else {
            Outcome::Missing
        },
        found: if there {
            path.display().to_string()
        } else {
            format!("no {}", path.display())
        },
        remedy: (!there).then(|| Remedy::Type("apt-get install debian-archive-keyring".to_owned())),
    }
}

fn disk(root: &Path) -> Check {
    let (outcome, found) = match free_bytes(root) {
        Ok(free) => (
            if free >= DISK_NEEDED {
                Outcome::Good
            } else {
                Outcome::Missing
            },
            format!(
                "{:.1} GiB free in {}",
                free as f64 / f64::from(1 << 30),
                root.display()
            ),
        ),
        Err(error) => (Outcome::Missing, error.to_string()),
    };
    let remedy = (outcome == Outcome::Missing).then(|| {
        Remedy::Advice(format!(
            "set PYTI_HOME to a directory with {} GiB free",
            DISK_NEEDED >> 30
        ))
    });
    Check {
        name: "disk space",
        outcome,
        found,
        remedy,
    }
}

/// The guest images. None is needed before an audit, which builds its own.
fn image(home: &Home) -> Check {
    let check = |outcome, found, remedy| Check {
        name: "guest images",
        outcome,
        found,
        remedy,
    };
    match Image::list(home) {
        Err(error) => check(Outcome::Missing, error.to_string(), None),
        Ok(images) if images.is_empty() => check(
            Outcome::Good,
            "none is built: the first audit builds one, which takes minutes".to_owned(),
            Some(Remedy::Type("pyti image build".to_owned())),
        ),
        Ok(images) => {
            let names: Vec<String> = images.iter().map(Image::id).collect();
            check(Outcome::Good, names.join(", "), None)
        }
    }
}

fn free_bytes(path: &Path) -> io::Result<u64> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)?;
    // SAFETY: all-zero is a valid value of this structure of integers.
    let mut stat: libc::statvfs = unsafe { mem::zeroed() };
    // SAFETY: the path is zero-terminated and the structure is ours to write.
    if unsafe { libc::statvfs(path.as_ptr(), &raw mut stat) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(stat.f_bavail * stat.f_frsize)
}
