//! Builds an image with mmdebstrap, which needs no root: everything that must see the files under
//! their true owners runs in its hooks, inside its user namespace.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use super::{Definition, kernel, user};
use crate::{Progress, VmError, error::printable, home};

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
/// nobody needs, and its files would sit in the root file system.
fn kernel_hook(package: &str) -> String {
    format!(
        r#"
set -e
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
mkdir -p "$1/.pyti" && cd "$1/.pyti"
real=$(apt-cache depends {package} | sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1)
apt-get -qq download "${{real:-{package}}}"
dpkg-deb --fsys-tarfile linux-image-*.deb > kernel.tar"#
    )
}

/// Makes `root.erofs`, `vmlinuz` and `modules/` in `stage`.
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
        .arg(format!(
            "--customize-hook={}",
            kernel_hook(&definition.kernel)
        ))
        .arg("--customize-hook=download /.pyti/kernel.tar kernel.tar")
        .arg(r#"--customize-hook=rm -r "$1/.pyti""#)
        .arg(format!("--customize-hook={ACCOUNT}"))
        .arg("--customize-hook=tar-in user.tar /")
        .arg(format!("--customize-hook={EROFS}"))
        .arg("--customize-hook=download /.pyti/root.erofs root.erofs")
        .args([&definition.suite, "-", &definition.mirror]);
    run(command, "mmdebstrap", "mmdebstrap", progress)
}

/// Runs a program to its end, and ends it with us: mmdebstrap cleans up on SIGTERM.
fn run(
    mut command: Command,
    program: &'static str,
    package: &'static str,
    progress: &dyn Progress,
) -> Result<(), VmError> {
    command.stderr(Stdio::piped());
    // SAFETY: prctl is async-signal-safe and touches no memory of ours.
    unsafe {
        command.pre_exec(|| {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) == 0 {
                Ok(())
            } else {
                Err(io::Error::last_os_error())
            }
        });
    }
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => VmError::Program { program, package },
        _ => VmError::Io {
            action: format!("run {program}"),
            source: error,
        },
    })?;
    let mut tail = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let mut lines = BufReader::new(stderr);
        let mut line = Vec::new();
        while (&mut lines)
            .take(64 << 10)
            .read_until(b'\n', &mut line)
            .is_ok_and(|n| n > 0)
        {
            if let Some(message) = line.strip_prefix(b"I: ") {
                // A hook is announced with its whole text.
                if !message.starts_with(b"running") {
                    progress.step(&printable(message, 1));
                }
            }
            tail.append(&mut line);
            let excess = tail.len().saturating_sub(16 << 10);
            tail.drain(..excess);
        }
    }
    let status = child
        .wait()
        .map_err(VmError::io(format!("wait for {program}")))?;
    if status.success() {
        return Ok(());
    }
    Err(VmError::Failed {
        program,
        status: status.to_string(),
        tail: printable(&tail, 20),
    })
}
