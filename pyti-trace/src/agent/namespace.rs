//! The PID namespace of the package.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::mount::{MntFlags, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pipe2};

use super::error::{AgentError, Doing as _};
use super::mounts;

/// The mounts that the package sees.
pub(super) struct View(File);

impl AsFd for View {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Makes the PID namespace in which every later child of the agent lives, and its first process,
/// which adopts and reaps orphans. The agent itself stays outside, where it has no name.
pub(super) fn make() -> Result<View, AgentError> {
    unshare(CloneFlags::CLONE_NEWPID).doing(|| "make a PID namespace".into())?;
    let (answer, ready) = pipe2(nix::fcntl::OFlag::O_CLOEXEC).doing(|| "make a pipe".into())?;
    // SAFETY: the agent has one thread, so the child's memory is whole.
    match unsafe { fork() }.doing(|| "start the namespace's first process".into())? {
        ForkResult::Child => {
            let mounted = mounts::proc();
            if let Err(error) = &mounted {
                eprintln!("pyti-agent: {error}");
            }
            let _ = nix::unistd::write(&ready, &[u8::from(mounted.is_ok())]);
            adopt()
        }
        ForkResult::Parent { child } => {
            drop(ready);
            let mut mounted = [0];
            let got = nix::unistd::read(&answer, &mut mounted)
                .doing(|| "hear from the namespace's first process".into())?;
            if got == 1 && mounted == [1] {
                part()
            } else {
                Err(ended(child))
            }
        }
    }
}

/// The package's mounts stay with its namespace; the agent goes on in a copy with its own `/proc`,
/// where processes have the ids that the probes know them by.
fn part() -> Result<View, AgentError> {
    let view = "/proc/1/ns/mnt";
    let view = View(File::open(view).doing(|| format!("open {view}"))?);
    unshare(CloneFlags::CLONE_NEWNS).doing(|| "make a mount namespace".into())?;
    umount2("/proc", MntFlags::MNT_DETACH).doing(|| "leave the package's /proc".into())?;
    mounts::proc()?;
    Ok(view)
}

fn ended(child: Pid) -> AgentError {
    let status = waitpid(child, Some(nix::sys::wait::WaitPidFlag::WNOHANG));
    let cause = match status {
        Ok(WaitStatus::StillAlive) => "it could not mount /proc".to_owned(),
        other => format!("it ended: {other:?}"),
    };
    AgentError::Os {
        what: "start the namespace's first process".into(),
        cause: io::Error::other(cause),
    }
}

/// The life of the namespace's first process: nothing of the agent's is left open in it, nobody may
/// look into it, and the kernel reaps what it adopts.
fn adopt() -> ! {
    // SAFETY: no descriptor is used after this; the process only waits from here on.
    unsafe {
        libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, 0);
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
    }
    // SAFETY: no handler runs; SIG_IGN for SIGCHLD makes the kernel reap children by itself.
    let _ = unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) };
    loop {
        nix::unistd::pause();
    }
}
