//! Ending the command when the user says so.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::error::{Doing as _, HostError};

/// From Ctrl-C, which a terminal sends to the command too, to asking the command ourselves.
const COURTESY: Duration = Duration::from_secs(1);
/// From asking to killing.
const PATIENCE: Duration = Duration::from_secs(2);

/// SIGINT, SIGTERM and SIGHUP as they come, instead of their ending this process.
pub(super) struct Signals {
    fd: SignalFd,
    before: SigSet,
}

impl Signals {
    /// Begins to catch them. No other thread may run yet.
    pub(super) fn catch() -> Result<Self, HostError> {
        let before = SigSet::thread_get_mask().doing("read the signal mask")?;
        let caught: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
            .into_iter()
            .collect();
        caught.thread_block().doing("set the signal mask")?;
        let fd = SignalFd::with_flags(&caught, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .doing("catch signals")?;
        Ok(Self { fd, before })
    }

    /// The signal mask as it was, for the command.
    pub(super) fn mask_before(&self) -> SigSet {
        self.before
    }

    /// The next signal that has come.
    pub(super) fn next(&self) -> Result<Option<Signal>, HostError> {
        let info = self.fd.read_signal().doing("read a signal")?;
        Ok(info.and_then(|info| Signal::try_from(info.ssi_signo as i32).ok()))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// When the command is sent what.
#[derive(Debug, Default)]
pub(super) struct Stop {
    next: Option<(Instant, Signal)>,
}

impl Stop {
    /// The user wants an end; a second time, at once.
    pub(super) fn heard(&mut self, signal: Signal, now: Instant) {
        self.next = Some(match self.next {
            Some((_, next)) => (now, next),
            None if signal == Signal::SIGINT => (now + COURTESY, Signal::SIGTERM),
            None => (now, Signal::SIGTERM),
        });
    }

    /// What is to be sent now.
    pub(super) fn due(&mut self, now: Instant) -> Option<Signal> {
        let (_, signal) = self.next.filter(|(at, _)| *at <= now)?;
        self.next = Some((now + PATIENCE, Signal::SIGKILL));
        Some(signal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_then_kills() {
        let begin = Instant::now();
        let mut stop = Stop::default();
        assert_eq!(stop.due(begin), None);
        stop.heard(Signal::SIGINT, begin);
        assert_eq!(stop.due(begin), None);
        let asked = begin + COURTESY;
        assert_eq!(stop.due(asked), Some(Signal::SIGTERM));
        assert_eq!(stop.due(asked), None);
        assert_eq!(stop.due(asked + PATIENCE), Some(Signal::SIGKILL));
    }

    #[test]
    fn does_not_wait_where_it_is_told_twice() {
        let now = Instant::now();
        let mut stop = Stop::default();
        stop.heard(Signal::SIGINT, now);
        stop.heard(Signal::SIGINT, now);
        assert_eq!(stop.due(now), Some(Signal::SIGTERM));
        stop.heard(Signal::SIGINT, now);
        assert_eq!(stop.due(now), Some(Signal::SIGKILL));
    }

    #[test]
    fn terminates_at_once_where_it_is_told_to() {
        let now = Instant::now();
        let mut stop = Stop::default();
        stop.heard(Signal::SIGTERM, now);
        assert_eq!(stop.due(now), Some(Signal::SIGTERM));
    }
}
