//! Running programs and finding places.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The workspace's root. Cargo tells it to what it runs; the path known when this was compiled may
/// be that of another clone that shares the target directory.
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let here = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        here.parent().map_or_else(|| here.clone(), Path::to_owned)
    })
}

/// Where [`cargo`] puts what it builds, as an absolute path.
pub fn target() -> PathBuf {
    let here = std::env::current_dir().unwrap_or_else(|_| root().to_owned());
    target_from(std::env::var_os("CARGO_TARGET_DIR"), &here)
}

/// A relative path counts from where this was started, as it did for the cargo that runs this.
fn target_from(variable: Option<OsString>, here: &Path) -> PathBuf {
    variable.map_or_else(|| root().join("target"), |directory| here.join(directory))
}

/// The cargo that runs this task. It is told where to build: a file of settings or another variable
/// may name a directory that [`target`] does not know of. It is not told which package this program is:
/// build scripts that ask would run anew, and half of all be compiled again, whenever someone types
/// `cargo build` after a task.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let ours = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        });
        if ours {
            command.env_remove(name);
        }
    }
    command
        .current_dir(root())
        .env("CARGO_TARGET_DIR", target());
    command
}

/// When this program began; the first call makes it so.
pub fn began() -> Instant {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    *BEGAN.get_or_init(Instant::now)
}

/// Says what is about to run, and how long after this program began: the time between two lines is
/// what the first of them took.
pub fn say(what: &str) {
    eprintln!("xtask: [{}] {what}", clock(began().elapsed()));
}

fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    format!("{:2} min {:02} s", seconds / 60, seconds % 60)
}

/// Runs a program to its end; an exit status other than 0 is an error that names the program.
pub fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if status != 0 {
        bail!("{} ended with status {status}", line(command));
    }
    Ok(())
}

/// Runs a program to its end and returns its exit status (128 + signal where a signal ended it).
pub fn status(command: &mut Command) -> Result<i32> {
    use std::os::unix::process::ExitStatusExt;
    let status = command
        .status()
        .with_context(|| format!("failed to start {}", line(command)))?;
    Ok(status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}

/// Standard output of a program that must succeed.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("failed to start {}", line(command)))?;
    if !output.status.success() {
        bail!("{} ended with {}", line(command), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a program of this name is on the `PATH`.
pub fn on_path(name: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(name).is_file()))
}

/// How this user gets the rights of root.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// It is root.
    Root,
    /// By sudo.
    Sudo,
    /// Not at all.
    None,
}

/// How this user gets the rights of root.
pub fn rights() -> Rights {
    if id("-u").is_ok_and(|id| id == "0") {
        Rights::Root
    } else if on_path("sudo") {
        Rights::Sudo
    } else {
        Rights::None
    }
}

/// What id(1) says of this user.
pub fn id(option: &str) -> Result<String> {
    Ok(output(Command::new("id").arg(option))?.trim().to_owned())
}

/// A command that is run by root.
pub fn as_root(rights: Rights, program: &str, arguments: &[&str]) -> Result<Command> {
    let mut command = match rights {
        Rights::Root => Command::new(program),
        Rights::Sudo => {
            let mut sudo = Command::new("sudo");
            sudo.arg(program);
            sudo
        }
        Rights::None => bail!(
            "failed to run `{program} {}`, which takes root: there is no sudo; run it as root, then this again",
            arguments.join(" ")
        ),
    };
    command.args(arguments);
    Ok(command)
}

/// The command as a line to read.
pub fn line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_is_looked_for_where_cargo_is_told_to_put_it() {
        let target = |variable: Option<&str>| {
            target_from(variable.map(OsString::from), Path::new("/clone/tests"))
        };
        assert_eq!(target(None), root().join("target"));
        assert_eq!(target(Some("/elsewhere")), Path::new("/elsewhere"));
        assert_eq!(target(Some("out")), Path::new("/clone/tests/out"));

        let cargo = cargo();
        let told = cargo
            .get_envs()
            .find_map(|(name, value)| value.filter(|_| name == "CARGO_TARGET_DIR"));
        assert_eq!(told, Some(super::target().as_os_str()));
        assert!(super::target().is_absolute());
    }

    #[test]
    fn a_line_begins_with_minutes_and_seconds() {
        let clock = |seconds| clock(Duration::from_secs(seconds));
        assert_eq!(clock(0), " 0 min 00 s");
        assert_eq!(clock(182), " 3 min 02 s");
        assert_eq!(clock(6005), "100 min 05 s");
    }
}
