//! What this host has and lacks for running virtual machines.

use std::{
    env,
    ffi::CString,
    fs, io, mem,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use crate::{
    Home, Image,
    accel::{KVM, Proof, kvm_opens},
    qemu::first_line,
};

/// Bytes that an image, a template and their making take.
const DISK_NEEDED: u64 = 4 << 30;

/// Who may have which subordinate ids (subuid(5), subgid(5)).
const SUBORDINATE: [&str; 2] = ["/etc/subuid", "/etc/subgid"];

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

/// Looks at this host. Starts nothing but `--version`s and id(1).
#[must_use]
pub fn doctor(home: &Home) -> Vec<Check> {
    // SAFETY: geteuid has no preconditions and cannot fail.
    look(home, unsafe { libc::geteuid() })
}

/// Looks at this host for a user of this number.
fn look(home: &Home, uid: u32) -> Vec<Check> {
    let qemu = program("QEMU", "qemu-system-x86_64", "--version", "qemu-system-x86");
    let kvm = kvm(kvm_opens(Path::new(KVM)), Proof::recall(home, &qemu.found));
    let mut checks = vec![
        qemu,
        kvm,
        program("mmdebstrap", "mmdebstrap", "--version", "mmdebstrap"),
        program("apt-get", "apt-get", "--version", "apt"),
        program("apt-cache", "apt-cache", "--version", "apt"),
        program("dpkg-deb", "dpkg-deb", "--version", "dpkg"),
        program("mkfs.erofs", "mkfs.erofs", "-V", "erofs-utils"),
        program("gpgv", "gpgv", "--version", "gpgv"),
        program("mount", "mount", "--version", "mount"),
        keyring(),
    ];
    if uid != 0 {
        checks.extend(mapping(uid));
    }
    checks.extend([disk(home.root()), image(home)]);
    checks
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

/// Of a device that opens, or why it does not, and of what was proven since this host booted.
fn kvm(opens: Result<(), String>, proof: Option<Proof>) -> Check {
    // A proof also fails where the host is too busy, or has no memory.
    let again = "emulation is used, and is slower; `--accel kvm` tries KVM again, and where it works then, \
                 it is used from then on";
    let join = "where /dev/kvm exists, `usermod -aG kvm $USER` and a new login open it; else emulation \
                is used, and is slower";
    let (outcome, found, remedy) = match (opens, proof) {
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
            Some(Remedy::Advice(again.to_owned())),
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

/// What mmdebstrap makes the image's owners with where it is not run by root.
fn mapping(uid: u32) -> [Check; 2] {
    let path = env::var_os("PATH").unwrap_or_default();
    let program = env::split_paths(&path)
        .map(|directory| directory.join("newuidmap"))
        .find(|candidate| candidate.is_file());
    let uid = uid.to_string();
    let user = first_line("id", "-un").unwrap_or_else(|_| uid.clone());
    let files = SUBORDINATE.map(|file| fs::read_to_string(file).unwrap_or_default());
    [newuidmap(program), subordinate_ids(&user, &uid, &files)]
}

/// It has no option that only asks for its version.
fn newuidmap(program: Option<PathBuf>) -> Check {
    let name = "newuidmap";
    match program {
        Some(path) => Check {
            name,
            outcome: Outcome::Good,
            found: path.display().to_string(),
            remedy: None,
        },
        None => Check {
            name,
            outcome: Outcome::Missing,
            found: "no newuidmap on the PATH".to_owned(),
            remedy: Some(Remedy::Type("apt-get install uidmap".to_owned())),
        },
    }
}

/// Whether each of the texts of [`SUBORDINATE`] gives ids to the user of this name or number.
fn subordinate_ids(user: &str, uid: &str, texts: &[String; 2]) -> Check {
    let gives = |text: &String| {
        let mut owners = text.lines().filter_map(|line| line.split(':').next());
        owners.any(|owner| owner == user || owner == uid)
    };
    let without: Vec<&str> = SUBORDINATE
        .into_iter()
        .zip(texts)
        .filter_map(|(file, text)| (!gives(text)).then_some(file))
        .collect();
    let name = "subordinate ids";
    if without.is_empty() {
        return Check {
            name,
            outcome: Outcome::Good,
            found: format!("{} give {user} some", SUBORDINATE.join(" and ")),
            remedy: None,
        };
    }
    Check {
        name,
        outcome: Outcome::Missing,
        found: format!("none for {user} in {}", without.join(" and ")),
        remedy: Some(Remedy::Type(format!(
            "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
        ))),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// How a check came out, and what was found.
    fn said(check: &Check) -> (Outcome, &str) {
        (check.outcome, check.found.as_str())
    }

    fn typed(command: &str) -> Option<Remedy> {
        Some(Remedy::Type(command.to_owned()))
    }

    #[test]
    fn kvm_that_did_not_work_is_worth_another_try() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path()).unwrap();
        let version = "QEMU 7.2";
        let check = || kvm(Ok(()), Proof::recall(&home, version));
        let unproven = check();
        let found = "/dev/kvm opens; the first audit will prove it by a boot";
        assert_eq!(said(&unproven), (Outcome::Good, found));
        assert_eq!(unproven.remedy, None);

        Proof::remember(&home, version, Some("it was not ready in time".into())).unwrap();
        let broken = check();
        let found = "/dev/kvm opens and does not work: it was not ready in time";
        assert_eq!(said(&broken), (Outcome::Worse, found));
        let again = "emulation is used, and is slower; `--accel kvm` tries KVM again, and where it works \
                     then, it is used from then on";
        assert_eq!(broken.remedy, Some(Remedy::Advice(again.to_owned())));

        Proof::remember(&home, version, None).unwrap();
        let works = check();
        assert_eq!(said(&works), (Outcome::Good, "works, proven by a boot"));
        assert_eq!(works.remedy, None);
    }

    /// mmdebstrap runs an image's hooks on the host, with the host's programs.
    #[test]
    fn the_programs_that_build_an_image_are_looked_for() {
        let directory = tempfile::tempdir().unwrap();
        let checks = look(&Home::at(directory.path()).unwrap(), 0);
        for name in [
            "mmdebstrap",
            "apt-get",
            "apt-cache",
            "dpkg-deb",
            "mkfs.erofs",
            "gpgv",
            "mount",
        ] {
            let of_it = checks.iter().filter(|check| check.name == name);
            assert_eq!(of_it.count(), 1, "{name}: {checks:?}");
        }
    }

    #[test]
    fn a_user_without_newuidmap_is_told_its_package() {
        let there = newuidmap(Some("/usr/bin/newuidmap".into()));
        assert_eq!(said(&there), (Outcome::Good, "/usr/bin/newuidmap"));
        assert_eq!(there.remedy, None);
        let missing = newuidmap(None);
        assert_eq!(
            said(&missing),
            (Outcome::Missing, "no newuidmap on the PATH")
        );
        assert_eq!(missing.remedy, typed("apt-get install uidmap"));
    }

    #[test]
    fn a_user_needs_subordinate_ids_of_both_kinds() {
        let both = "alice:100000:65536\n1001:165536:65536\n";
        let check = |user, uid, subuid: &str, subgid: &str| {
            subordinate_ids(user, uid, &[subuid.to_owned(), subgid.to_owned()])
        };
        for (user, uid) in [("alice", "1000"), ("bob", "1001")] {
            let given = check(user, uid, both, both);
            let found = format!("/etc/subuid and /etc/subgid give {user} some");
            assert_eq!(said(&given), (Outcome::Good, found.as_str()));
            assert_eq!(given.remedy, None);
        }
        for (subuid, subgid, found) in [
            (both, "", "none for alice in /etc/subgid"),
            ("", both, "none for alice in /etc/subuid"),
            (
                "alicia:100000:65536\n",
                "10000:100000:65536\n",
                "none for alice in /etc/subuid and /etc/subgid",
            ),
        ] {
            let missing = check("alice", "1000", subuid, subgid);
            assert_eq!(said(&missing), (Outcome::Missing, found));
            let remedy = "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 alice";
            assert_eq!(missing.remedy, typed(remedy));
        }
    }

    #[test]
    fn only_an_ordinary_user_needs_ids_to_be_mapped() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path()).unwrap();
        let names = |uid| -> Vec<&str> {
            let checks = look(&home, uid);
            checks.iter().map(|check| check.name).collect()
        };
        let (root, user) = (names(0), names(1000));
        for name in ["newuidmap", "subordinate ids"] {
            assert!(!root.contains(&name), "{name}: {root:?}");
            assert!(user.contains(&name), "{name}: {user:?}");
        }
        assert_eq!(user.len(), root.len() + 2);
    }
}
