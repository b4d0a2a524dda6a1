//! Carries everything out of the machine while a stage runs: records, outputs, heartbeats.
//!
//! The pump looks at the ring buffer and the pipes by the clock, not when they fill: a wake-up for
//! each record or line would slow the package down. It looks more often while much comes.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::time::{ClockId, clock_gettime};

use super::error::{AgentError, Doing as _};
use super::output::Output;
use super::port::{Port, Received};
use crate::event::Counters;
use crate::loader::{Timing, Tracer};
use crate::wire::{FrameKind, Heartbeat, ProgramRuns, WireError};

/// Between two looks while little comes.
const CALM: Duration = Duration::from_millis(50);
/// Between two looks while much comes.
const BUSY: Duration = Duration::from_millis(5);
/// What "much" is, in bytes at one look: a small part of the ring buffer or of a pipe.
const MUCH: usize = 128 << 10;
/// Bytes of records in one frame, about.
const BATCH: usize = 256 << 10;
/// How long records may wait for a frame to fill.
const BATCH_AGE: Duration = Duration::from_millis(150);
/// Between two heartbeats.
const BEAT: Duration = Duration::from_secs(1);
/// Bytes that may wait for a slow host. Beyond, the ring buffer is left to fill, where losses are
/// counted, and the package waits for its output to be read.
const BACKLOG: usize = 16 << 20;
/// How long the host's side of the port may be closed while a stage runs.
const CLOSED_MAX: Duration = Duration::from_secs(10);
/// How long a slow host may take to read what is left at the end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nanoseconds since boot, as events count them.
pub(super) fn boot_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |now| {
        now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
    })
}

/// What the probes counted so far; zeroes and a line of diagnostics where it cannot be read.
pub(super) fn counters(tracer: &Tracer, port: &mut Port) -> Option<Counters> {
    tracer.counters().inspect_err(|error| port.log(error)).ok()
}

/// Why the pump stopped watching a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    /// The first process ended.
    Ended,
    /// Time is up.
    TimedOut,
    /// The host says stop.
    Stopped,
    /// The host is gone: nobody wants to know.
    Gone,
}

/// See the module.
pub(super) struct Pump<'a> {
    tracer: &'a mut Tracer,
    port: &'a mut Port,
    outputs: [Output; 2],
    records_since: Instant,
    beat: Instant,
    closed_since: Option<Instant>,
}

impl<'a> Pump<'a> {
    /// A pump from the probes and the two outputs to the port.
    pub(super) fn new(tracer: &'a mut Tracer, port: &'a mut Port, outputs: [Output; 2]) -> Self {
        let now = Instant::now();
        Self {
            tracer,
            port,
            outputs,
            records_since: now,
            beat: now,
            closed_since: None,
        }
    }

    /// The port, for frames of other kinds.
    pub(super) fn port(&mut self) -> &mut Port {
        self.port
    }

    /// Bytes thrown away of standard output and error.
    pub(super) fn dropped(&self) -> [u64; 2] {
        [self.outputs[0].dropped(), self.outputs[1].dropped()]
    }

    /// Pumps until the process ends or something else happens.
    pub(super) fn watch(
        &mut self,
        process: BorrowedFd<'_>,
        deadline: Instant,
    ) -> Result<Pause, AgentError> {
        loop {
            let moved = self.turn()?;
            let now = Instant::now();
            if now >= deadline {
                return Ok(Pause::TimedOut);
            }
            let pace = if moved >= MUCH { BUSY } else { CALM };
            let (ended, spoken) = self.sleep(process, pace.min(deadline - now))?;
            if spoken && let Some(pause) = self.listen()? {
                return Ok(pause);
            }
            if ended {
                return Ok(Pause::Ended);
            }
        }
    }

    /// Pumps for as long as `living` says that there is something to wait for, at most `within`;
    /// returns whether it stopped saying so.
    pub(super) fn wait(
        &mut self,
        within: Duration,
        living: impl Fn() -> bool,
    ) -> Result<bool, WireError> {
        let deadline = Instant::now() + within;
        while living() {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            self.turn()?;
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(true)
    }

    /// Takes all that is left; nothing of the stage may be alive any more.
    pub(super) fn finish(&mut self) -> Result<(), WireError> {
        loop {
            self.make_room()?;
            if self.take_records()? + self.take_outputs()? == 0 {
                break;
            }
        }
        self.port.close()?;
        self.port.send()
    }

    /// Waits until a slow host has read enough for more to be queued.
    pub(super) fn make_room(&mut self) -> Result<(), WireError> {
        if self.port.backlog() > BACKLOG {
            self.port.flush(PATIENCE)
        } else {
            self.port.send()
        }
    }

    /// What the probes counted so far.
    pub(super) fn counters(&mut self) -> Option<Counters> {
        counters(self.tracer, self.port)
    }

    /// What the probes' programs took since `timing` began.
    pub(super) fn runs(&self, timing: Timing) -> Vec<ProgramRuns> {
        self.tracer.runs(timing)
    }

    /// One look at everything; returns the bytes that came.
    fn turn(&mut self) -> Result<usize, WireError> {
        self.port.send()?;
        let mut moved = 0;
        if self.port.backlog() <= BACKLOG {
            moved = self.take_records()? + self.take_outputs()?;
        }
        if self.records_since.elapsed() >= BATCH_AGE {
            self.records_since = Instant::now();
            self.port.close()?;
        }
        if self.beat.elapsed() >= BEAT {
            self.beat = Instant::now();
            let beat = Heartbeat {
                boot_ns: boot_ns(),
                counters: self
                    .tracer
                    .tally()
                    .inspect_err(|error| self.port.log(error))
                    .ok(),
            };
            self.port.queue_json(FrameKind::Heartbeat, &beat)?;
        }
        self.port.send()?;
        Ok(moved)
    }

    fn take_records(&mut self) -> Result<usize, WireError> {
        let Self { tracer, port, .. } = self;
        let mut taken = 0;
        let mut closed = Ok(());
        tracer.drain(|record| {
            taken += record.len();
            if port.fill(record) >= BATCH {
                closed = std::mem::replace(&mut closed, Ok(())).and(port.close());
            }
        });
        closed?;
        Ok(taken)
    }

    fn take_outputs(&mut self) -> Result<usize, WireError> {
        let [out, error] = &mut self.outputs;
        Ok(out.drain(self.port)? + error.drain(self.port)?)
    }

    /// Sleeps until the process ended, the host can be heard or written to, or time is up. Returns
    /// whether the first and whether the second is the case.
    fn sleep(&self, process: BorrowedFd<'_>, time: Duration) -> Result<(bool, bool), AgentError> {
        let mut fds = [PollFd::new(process, PollFlags::POLLIN), self.port.poll_fd()];
        // A port whose other side is closed is always ready: then only the clock counts.
        let watched = if self.closed_since.is_some() { 1 } else { 2 };
        // Rounded up: a wait of zero milliseconds would spin.
        let time = time + Duration::from_millis(1);
        let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds[..watched], timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).doing(|| "wait for the stage".into()),
        }
        let ready = |fd: &PollFd<'_>, flags| fd.revents().is_some_and(|got| got.intersects(flags));
        let heard = PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR;
        Ok((
            ready(&fds[0], PollFlags::POLLIN),
            watched == 1 || ready(&fds[1], heard),
        ))
    }

    fn listen(&mut self) -> Result<Option<Pause>, WireError> {
        match self.port.receive()? {
            Received::Frame(frame) if frame.kind == FrameKind::Stop => {
                return Ok(Some(Pause::Stopped));
            }
            Received::Frame(frame) => {
                self.port.log(format!(
                    "ignored a frame of kind {:?} in a stage",
                    frame.kind
                ));
            }
            Received::Nothing => self.closed_since = None,
            Received::Closed => {
                let since = *self.closed_since.get_or_insert_with(Instant::now);
                return Ok((since.elapsed() > CLOSED_MAX).then_some(Pause::Gone));
            }
        }
        Ok(None)
    }
}
