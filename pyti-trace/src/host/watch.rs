//! From the command line to the exit status.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::kill;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use super::args::{Args, Format};
use super::before::{Before, is_alive};
use super::command::hold;
use super::error::{Doing as _, HostError};
use super::output::Output;
use super::probes::Probes;
use super::python::Python;
use super::stop::{Signals, Stop};
use super::summary::{Ended, Summary, losses};
use super::{require, say};
use crate::decode::decode_all;
use crate::event::{Counters, Family};
use crate::loader::Tracer;

/// Between two looks at the records and at the command.
const LOOK: u8 = 10;
/// How long processes that are about to end with the command are waited for.
const AFTERMATH: Duration = Duration::from_millis(300);

/// The tree that the command is.
const TREE: u32 = 1;

/// Traces the command and returns the exit status to end with.
pub(super) fn run(args: &Args) -> Result<u8, HostError> {
    require::check()?;
    let mut tracer = Tracer::load_what_attaches()?;
    let probes = Probes::of(&tracer);
    if let Some(reason) = probes.blind() {
        return Err(HostError::Blind { reason });
    }
    if let Some(refusals) = probes.refusals() {
        say(&refusals);
    }
    let python = Python::of(&args.command, &mut tracer)?;
    let signals = Signals::catch()?;
    let mut watch = Watch {
        tracer,
        python,
        output: Output::open(args)?,
        before: Before::read(),
        stored: [0; Family::ALL.len()],
        undecoded: None,
        started_ns: boot_ns()?,
    };
    let held = hold(&args.command, args.output.is_none(), signals.mask_before())?;
    watch.tracer.track(held.pid(), TREE)?;
    let status = held
        .release()
        .and_then(|child| watch.until_ended(child, &signals));
    let (left_behind, counters) = watch.let_go()?;
    let summary = Summary {
        ended: status.as_ref().ok().copied().map(Ended::from),
        left_behind,
        events: losses(&counters, watch.stored),
        skipped_runs: counters.recursion_misses,
        untracked: counters.untracked,
        before: watch.before.told(),
        python_stacks_of: watch.python.read(),
        python_stacks_unread: watch.python.unread(),
        probes: &probes,
    };
    // A table on standard output has them already.
    if args.format == Format::Json || args.output.is_some() {
        for warning in summary.warnings() {
            say(&warning);
        }
    }
    if let Some(error) = watch.undecoded {
        say(&format!("a record could not be read: {error}"));
    }
    let written = watch.output.finish(&summary, watch.started_ns);
    let status = status?;
    written?;
    Ok(Ended::from(status).status())
}

struct Watch {
    tracer: Tracer,
    python: Python,
    output: Output,
    before: Before,
    /// Events that came, by family.
    stored: [u64; Family::ALL.len()],
    /// Why a record was no event.
    undecoded: Option<String>,
    started_ns: u64,
}

impl Watch {
    /// Takes records until the command has ended, and ends it where the user says so.
    fn until_ended(
        &mut self,
        mut child: Child,
        signals: &Signals,
    ) -> Result<ExitStatus, HostError> {
        let pid = Pid::from_raw(child.id().cast_signed());
        let mut stop = Stop::default();
        loop {
            self.wait(signals)?;
            self.take();
            while let Some(signal) = signals.next()? {
                stop.heard(signal, Instant::now());
            }
            if let Some(signal) = stop.due(Instant::now()) {
                // Where it has just ended there is nobody to be told.
                let _ = kill(pid, signal);
            }
            if let Some(status) = child.try_wait().doing("wait for the command")? {
                return Ok(status);
            }
        }
    }

    fn wait(&self, signals: &Signals) -> Result<(), HostError> {
        // SAFETY: the tracer, which is borrowed, keeps its descriptor open.
        let records = unsafe { BorrowedFd::borrow_raw(self.tracer.as_raw_fd()) };
        let mut ready = [records, signals.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut ready, PollTimeout::from(LOOK)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error).doing("wait for records"),
        }
    }

    /// Takes the records that are ready.
    fn take(&mut self) {
        let Self {
            tracer,
            python,
            output,
            before,
            stored,
            undecoded,
            started_ns,
        } = self;
        tracer.drain(|record| {
            for event in decode_all(record) {
                match event {
                    Ok(event) => {
                        stored[event.kind.family() as usize] += 1;
                        before.meet(&event);
                        python.meet(&event);
                        output.event(&event, *started_ns, before);
                    }
                    Err(error) => *undecoded = Some(error.to_string()),
                }
            }
        });
        output.flush();
        // Without it the stacks are missing, which is told.
        let _ = python.adopt(tracer);
    }

    /// Follows nobody any more, takes the last records, and tells who runs on and what was counted.
    fn let_go(&mut self) -> Result<(Vec<u32>, Counters), HostError> {
        let deadline = Instant::now() + AFTERMATH;
        let left_behind = loop {
            self.take();
            let alive = self.tracer.tracked_processes();
            let alive: Vec<u32> = alive.into_iter().filter(|pid| is_alive(*pid)).collect();
            if alive.is_empty() || Instant::now() >= deadline {
                break alive;
            }
            std::thread::sleep(Duration::from_millis(LOOK.into()));
        };
        for pid in self.tracer.tracked_processes() {
            // It may have ended meanwhile, which is as good.
            let _ = self.tracer.forget(pid);
        }
        // The kernel counts them for each program, as long as it has it.
        let recursion_misses = self.tracer.recursion_misses().unwrap_or_else(|error| {
            say(&format!("skipped runs of probes are not known: {error}"));
            0
        });
        if !left_behind.is_empty() {
            self.detach();
        }
        // A probe that runs now may still hand over what it began.
        std::thread::sleep(Duration::from_millis(LOOK.into()));
        let counters = Counters {
            recursion_misses,
            ..self.tracer.final_tally()?
        };
        self.take();
        Ok((left_behind, counters))
    }

    /// Takes the probes out of the kernel: a thread that has made an event is recorded as long as they are
    /// there, and may go on to make some faster than there is room for.
    fn detach(&mut self) {
        for hook in Tracer::leaving() {
            if let Err(error) = self.tracer.unload(hook) {
                say(&error.to_string());
            }
            self.take();
        }
    }
}

/// Nanoseconds since boot, as events count them.
fn boot_ns() -> Result<u64, HostError> {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).doing("read the clock")?;
    Ok(now.tv_sec().cast_unsigned() * 1_000_000_000 + now.tv_nsec().cast_unsigned())
}
