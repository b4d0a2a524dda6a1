//! The hypervisor: its command line, its process, its control channel.

mod command;
pub(crate) mod control;
pub(crate) mod process;

use std::{
    fs::File,
    os::fd::RawFd,
    process::{Command, Stdio},
};

pub(crate) use self::command::Qemu;
use crate::{VmConfig, VmError, accel::Engine};

/// Bytes of the input device, the same in template and clones. Sparse: it costs nothing.
pub const SLOT_BYTES: u64 = 4 << 30;
/// Serial number of the input device.
pub const SLOT_SERIAL: &str = "in0";

/// A kind of virtual machine. Another hypervisor is another implementation.
pub(crate) trait Machine: std::fmt::Debug + Send + Sync {
    /// Name and version: part of a template's key.
    fn version(&self) -> Result<String, VmError>;

    /// Everything about a machine that its clones must share: part of a template's key.
    fn shape(&self, engine: Engine, config: &VmConfig) -> Vec<String>;

    /// The command that runs a machine on these files.
    fn command(&self, launch: &Launch) -> Result<Spawn, VmError>;
}

/// What a machine is started with. All files are open: the hypervisor finds none by name.
pub(crate) struct Launch<'a> {
    pub engine: Engine,
    pub config: &'a VmConfig,
    /// Guest memory, of the right size.
    pub memory: &'a File,
    /// The kernel and the initial RAM file system to boot, or `None` to wait for a saved state.
    pub boot: Option<(File, File)>,
    /// Where the state is written to (boot) or read from (clone).
    pub state: File,
    pub root: File,
    pub slot: File,
    pub channels: Channels<File>,
}

/// The streams between a machine and its owner.
pub(crate) struct Channels<T> {
    /// Commands to the hypervisor and its answers.
    pub control: T,
    /// The agent's port.
    pub port: T,
    /// What the guest's kernel prints.
    pub console: T,
    /// What the hypervisor prints.
    pub errors: T,
}

/// A command and the files it inherits, under the numbers that its arguments name.
pub(crate) struct Spawn {
    pub command: Command,
    pub files: Vec<File>,
    /// Number of the state file.
    pub state: RawFd,
    pub limits: Limits,
    /// Group of the process where it needs one, to open a device.
    pub group: Option<u32>,
}

/// Resource limits of the hypervisor's process, see `setrlimit(2)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Address space, bytes.
    pub address_space: u64,
    /// Processor time, seconds: the last resort where this program itself is stopped.
    pub cpu_seconds: u64,
    /// Largest file that may be written, bytes.
    pub file_size: u64,
}

/// Runs a program and returns the first line it prints.
pub(crate) fn first_line(program: &str, argument: &str) -> std::io::Result<String> {
    let output = Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .output()?;
    let text = if output.stdout.is_empty() {
        output.stderr
    } else {
        output.stdout
    };
    Ok(String::from_utf8_lossy(&text)
        .lines()
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned())
}
