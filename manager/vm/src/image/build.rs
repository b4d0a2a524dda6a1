//! Builds an image with mmdebstrap, which needs no root: everything that must see the files under
//! their true owners runs in its hooks, inside its user namespace.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::{Definition, kernel, process_tree, user};
use crate::{Progress, VmError, home};

/// What a build made, beside the files.
pub(super) struct Built {
    pub kernel: String,
    pub modules: Vec<String>,
    pub root_bytes: u64,
}

/// Account of the person whose machine the guest pretends to be.
const ACCOUNT: &str = r#"
echo 'dev:x:1000:1000:Dana Devlin,,,:/home/dev:/bin/bash' >> "$1/etc/passwd"
echo 'dev:x:1000:' >> "$1/etc/group"
echo 'dev:!:20000:0:99999:7:::' >> "$1/etc/shadow""#;

/// The root file system as an erofs image: uncompressed, since under emulation the guest would pay
/// for every page it unpacks, while the host's page cache is shared by all clones. Taken through a
/// bind mount that leaves out what is mounted below: /proc, /sys and /dev.
const EROFS: &str = r#"
set -e
mkdir -p "$1/.pyti/root"
mount --bind "$1" "$1/.pyti/root"
mkfs.erofs --quiet -U 70797469-0000-4000-8000-000000000001 \
  --exclude-regex='^\.pyti' --exclude-regex='^(proc|sys|dev|run|tmp|boot)/.' \
  --exclude-regex='^var/(cache/apt|cache/debconf|lib/apt/lists|log)/.' \
  "$1/.pyti/root.erofs" "$1/.pyti/root"
umount "$1/.pyti/root""#;

/// Fetches the kernel's package without installing it: its scripts would make an initramfs that
/// nobody needs, and its files would sit in the root file system. From another suite than the
/// image's own it comes by an index that apt keeps apart, with the same mirror and keys.
fn kernel_hook(definition: &Definition) -> String {
    let package = &definition.kernel;
    let other = definition.kernel_suite.as_ref().map(|suite| {
        format!(
            r#"
mkdir -p lists/partial
sed -n 's/ {} / {suite} /p' "$1/etc/apt/sources.list" > kernel.list
test -s kernel.list
cat "$APT_CONFIG" - > apt.conf <<END
Dir::Etc::SourceList "$PWD/kernel.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "$PWD/lists";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
END
export APT_CONFIG="$PWD/apt.conf"
apt-get -qq update"#,
            definition.suite
        )
    });
    format!(
        r#"
set -e
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
mkdir -p "$1/.pyti" && cd "$1/.pyti"{}
real=$(apt-cache depends {package} | sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1)
apt-get -qq download "${{real:-{package}}}"
dpkg-deb --fsys-tarfile linux-image-*.deb > kernel.tar"#,
        other.unwrap_or_default()
    )
}

/// Installs, with the interpreter's own pip out of its wheel, what the suite has no packages of.
fn bundle_hook(definition: &Definition) -> Option<String> {
    if definition.bundled.is_empty() {
        return None;
    }
    Some(format!(
        r#"
set -e
wheel=$(cd "$1" && echo usr/share/python-wheels/pip-[0-9]*.whl)
chroot "$1" env PYTHONPATH="/$wheel" PIP_ROOT_USER_ACTION=ignore \
  {} -m pip install --quiet --no-index --no-cache-dir --disable-pip-version-check \
  --find-links /usr/share/python-wheels --ignore-installed {}"#,
        definition.interpreter,
        definition.bundled.join(" ")
    ))
}

/// Fails where the interpreter or the C library is not what the definition says.
fn check_hook(definition: &Definition) -> String {
    let Definition {
        name,
        interpreter,
        python,
        glibc,
        ..
    } = definition;
    format!(
        r#"
set -e
for stated in "{python} $(chroot "$1" {interpreter} -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')" \
  "{glibc} $(chroot "$1" ldd --version | sed -n '1s/.* //p')"; do
  case "${{stated#* }}." in
    "${{stated%% *}}".*) ;;
    *) echo "E: the definition of {name} states ${{stated%% *}}, and it has ${{stated#* }}" >&2; exit 1 ;;
  esac
done"#
    )
}

/// Makes `root.erofs`, `vmlinuz` and `modules/` in `stage`; fails where nobody waits for them any
/// more.
pub(super) fn build(
    stage: &Path,
    definition: &Definition,
    progress: &dyn Progress,
) -> Result<Built, VmError> {
    home::write(&stage.join("user.tar"), &user::archive()?)?;
    progress.step(&format!(
        "building the root file system ({}, about a minute)",
        definition.suite
    ));
    mmdebstrap(stage, definition, progress)?;
    progress.step("taking the kernel and its modules");
    let kernel = kernel::extract(&stage.join("kernel.tar"), stage, &definition.modules)?;
    for name in ["kernel.tar", "user.tar"] {
        fs::remove_file(stage.join(name)).map_err(VmError::io(format!("remove {name}")))?;
    }
    let root = fs::metadata(stage.join("root.erofs")).map_err(VmError::io("find root.erofs"))?;
    Ok(Built {
        kernel: kernel.version,
        modules: kernel.modules,
        root_bytes: root.len(),
    })
}

fn mmdebstrap(
    stage: &Path,
    definition: &Definition,
    progress: &dyn Progress,
) -> Result<(), VmError> {
    // SAFETY: geteuid has no preconditions and cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    let mut command = Command::new("mmdebstrap");
    command
        .current_dir(stage)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    if root {
        // So that what a killed build leaves behind is swept with our own stage.
        command.env("TMPDIR", stage);
    }
    command
        .arg(format!("--mode={}", if root { "root" } else { "unshare" }))
        .args([
            "--variant=minbase",
            "--format=null",
            "--architectures=amd64",
            "--components=main",
        ])
        .arg(format!("--include={}", definition.packages.join(",")))
        .arg(r#"--aptopt=APT::Install-Recommends "false""#)
        .arg(r#"--aptopt=Acquire::Retries "3""#)
        .arg("--dpkgopt=path-exclude=/usr/share/man/*")
        .arg("--dpkgopt=path-exclude=/usr/share/doc/*")
        .arg("--dpkgopt=path-exclude=/usr/share/info/*")
        .arg("--dpkgopt=path-exclude=/usr/share/locale/*")
        .arg("--dpkgopt=path-exclude=/usr/lib/udev/hwdb.d/*")
        .arg(format!("--customize-hook={}", kernel_hook(definition)))
        .arg("--customize-hook=download /.pyti/kernel.tar kernel.tar")
        .arg(r#"--customize-hook=rm -r "$1/.pyti""#)
        .args(bundle_hook(definition).map(|hook| format!("--customize-hook={hook}")))
        .arg(format!("--customize-hook={}", check_hook(definition)))
        .arg(format!("--customize-hook={ACCOUNT}"))
        .arg("--customize-hook=tar-in user.tar /")
        .arg(format!("--customize-hook={EROFS}"))
        .arg("--customize-hook=download /.pyti/root.erofs root.erofs")
        .args([&definition.suite, "-", &definition.mirror]);
    process_tree::run(command, "mmdebstrap", "mmdebstrap", progress)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn hooks_are_what_a_shell_reads() {
        for definition in Definition::builtin().unwrap() {
            let hooks = [kernel_hook(&definition), check_hook(&definition)];
            for hook in hooks.into_iter().chain(bundle_hook(&definition)) {
                let read = Command::new("sh")
                    .args(["-n", "-c", &hook])
                    .output()
                    .unwrap();
                let said = String::from_utf8_lossy(&read.stderr);
                assert!(read.status.success(), "{}: {said}\n{hook}", definition.name);
            }
        }
    }

    /// What the check says of trixie's definition where its programs say this.
    fn checked(python: &str, glibc: &str) -> (bool, String) {
        let directory = tempfile::tempdir().unwrap();
        let chroot = directory.path().join("chroot");
        let said = format!(
            "#!/bin/sh\ncase $2 in ldd) echo 'ldd (Debian GLIBC {glibc}-12) {glibc}';; \
             *) echo {python};; esac\n"
        );
        fs::write(&chroot, said).unwrap();
        fs::set_permissions(&chroot, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", directory.path().display());
        let hook = check_hook(&Definition::builtin().unwrap()[0]);
        let ran = Command::new("sh")
            .args(["-c", &hook, "sh", "/root"])
            .env("PATH", path)
            .output()
            .unwrap();
        (
            ran.status.success(),
            String::from_utf8_lossy(&ran.stderr).trim().to_owned(),
        )
    }

    #[test]
    fn an_image_that_is_not_what_it_says_is_not_built() {
        assert_eq!(checked("3.13.5", "2.41"), (true, String::new()));
        for (python, glibc, has) in [
            ("3.12.5", "2.41", "states 3.13, and it has 3.12.5"),
            ("3.1.35", "2.41", "states 3.13, and it has 3.1.35"),
            ("3.13.5", "2.4", "states 2.41, and it has 2.4"),
        ] {
            let expected = format!("E: the definition of trixie {has}");
            assert_eq!(checked(python, glibc), (false, expected));
        }
    }
}
