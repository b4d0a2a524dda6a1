//! The command, held back until it is followed.

use std::ffi::OsString;
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use nix::sys::signal::SigSet;

use super::error::{Doing as _, HostError};

/// A process that becomes the command when it is released. Dropped, it ends without doing so.
pub(super) struct Held {
    pid: u32,
    program: String,
    release: PipeWriter,
    spawner: JoinHandle<io::Result<Child>>,
}

/// Starts the process. Its signal mask is `mask`; where `apart`, its standard output goes where its
/// standard error goes, so that ours has nothing but events.
pub(super) fn hold(command: &[OsString], apart: bool, mask: SigSet) -> Result<Held, HostError> {
    let (program, arguments) = command.split_first().ok_or(HostError::Command {
        program: String::new(),
        source: io::ErrorKind::InvalidInput.into(),
    })?;
    let mut child = Command::new(program);
    child.args(arguments);
    if apart {
        let error = io::stderr().as_fd().try_clone_to_owned();
        child.stdout(Stdio::from(error.doing("duplicate standard error")?));
    }
    let (report, mut tell) = io::pipe().doing("make a pipe")?;
    let (mut gate, release) = io::pipe().doing("make a pipe")?;
    let ours = release.as_raw_fd();
    let before = move || {
        tell.write_all(&std::process::id().to_ne_bytes())?;
        // SAFETY: the child's copy of our end, which nothing else in the child uses: with it open,
        // the read below would not end where we do.
        unsafe { libc::close(ours) };
        gate.read_exact(&mut [0])?;
        mask.thread_set_mask()?;
        Ok(())
    };
    // SAFETY: only system calls that are safe between fork and exec.
    unsafe { child.pre_exec(before) };
    // `spawn` returns after exec, which waits to be released: another thread spawns.
    let spawner = thread::spawn(move || child.spawn());
    let held = |pid| Held {
        pid,
        program: program.to_string_lossy().into_owned(),
        release,
        spawner,
    };
    match read_pid(report) {
        Ok(pid) => Ok(held(pid)),
        // The process could not be made: the thread says why.
        Err(source) => Err(match held(0).join() {
            Err(error) => error,
            Ok(_) => HostError::Io {
                doing: "hold the command back",
                source,
            },
        }),
    }
}

fn read_pid(mut report: PipeReader) -> io::Result<u32> {
    let mut pid = [0; 4];
    report.read_exact(&mut pid)?;
    Ok(u32::from_ne_bytes(pid))
}

impl Held {
    /// The process.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Lets it become the command.
    pub(super) fn release(self) -> Result<Child, HostError> {
        (&self.release)
            .write_all(&[1])
            .doing("release the command")?;
        self.join()
    }

    fn join(self) -> Result<Child, HostError> {
        drop(self.release);
        let failed = |source| HostError::Command {
            program: self.program,
            source,
        };
        match self.spawner.join() {
            Ok(Ok(child)) => Ok(child),
            Ok(Err(source)) => Err(failed(source)),
            Err(_) => Err(failed(io::Error::other("the thread that starts it ended"))),
        }
    }
}
