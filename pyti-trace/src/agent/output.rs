//! What a stage prints.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;

use super::error::{AgentError, Doing as _};
use super::port::Port;
use crate::wire::{FrameKind, WireError};

/// Bytes that the package can print between two looks at the pipe without waiting.
const PIPE: libc::c_int = 1 << 20;
/// Bytes in one frame.
const PIECE: usize = 64 << 10;
/// Bytes taken at one look, so that a flood does not keep the agent from anything else.
const LOOK: usize = 1 << 20;

/// One of the two outputs.
pub(super) struct Output {
    kind: FrameKind,
    pipe: File,
    left: u64,
    dropped: u64,
    open: bool,
}

impl Output {
    /// An output of which nothing is kept until it has a bound, and the end that the package writes
    /// to.
    pub(super) fn make(kind: FrameKind) -> Result<(Self, OwnedFd), AgentError> {
        let (outside, inside) = pipe2(OFlag::O_CLOEXEC).doing(|| "make a pipe".into())?;
        fcntl(&outside, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).doing(|| "set up a pipe".into())?;
        // SAFETY: no pointers. A smaller pipe would do as well.
        let _ = Errno::result(unsafe { libc::fcntl(inside.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE) });
        let pipe = File::from(outside);
        Ok((
            Self {
                kind,
                pipe,
                left: 0,
                dropped: 0,
                open: true,
            },
            inside,
        ))
    }

    /// Keeps so many bytes from now on.
    pub(super) fn bound(&mut self, bytes: u64) {
        self.left = bytes;
    }

    /// Takes what has been printed; returns how much that was. What is over the bound is counted
    /// and thrown away, so that the package goes on as if it were read.
    pub(super) fn drain(&mut self, port: &mut Port) -> Result<usize, WireError> {
        let mut buffer = [0; PIECE];
        let mut taken = 0;
        while self.open && taken < LOOK {
            match self.pipe.read(&mut buffer) {
                Ok(0) => self.open = false,
                Ok(n) => {
                    taken += n;
                    let kept = self.left.min(n as u64);
                    self.left -= kept;
                    self.dropped += n as u64 - kept;
                    if kept > 0 {
                        port.queue(self.kind, &buffer[..kept as usize])?;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(taken)
    }

    /// Bytes thrown away so far.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}
