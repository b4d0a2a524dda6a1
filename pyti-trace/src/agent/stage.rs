//! Runs one stage.

use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::statfs::fstatfs;
use nix::sys::time::{TimeVal, TimeValLike as _};

use super::boot::Machine;
use super::cgroup::{Cgroup, Usage};
use super::error::AgentError;
use super::namespace::View;
use super::output::Output;
use super::port::Port;
use super::pump::{Pause, Pump, boot_ns};
use super::spawn::{self, Child, End, Held, Place, Program};
use super::{collect, identity, pump, slots, state};
use crate::loader::Tracer;
use crate::wire::{Ending, FrameKind, StageResult, StageSpec, Started};

/// Tree id of the stage's first process.
const TREE: u32 = 1;
/// How long other processes may outlive the first one.
const SETTLE: Duration = Duration::from_secs(2);
/// How long the kernel may take to end what is left of a stage.
const KILL: Duration = Duration::from_secs(10);

/// The stage's process before it knows what to do, watched already.
pub(super) struct Waiting {
    held: Held,
    outputs: [Output; 2],
    /// What it took to make it, which is not the stage's.
    used: Usage,
}

/// Makes the process. Done before the template is saved.
pub(super) fn wait(
    tracer: &mut Tracer,
    cgroup: &Cgroup,
    view: &View,
) -> Result<Waiting, AgentError> {
    let (out, stdout) = Output::make(FrameKind::Stdout)?;
    let (error, stderr) = Output::make(FrameKind::Stderr)?;
    let group = cgroup.open()?;
    let held = spawn::hold(&Place {
        stdout: stdout.as_fd(),
        stderr: stderr.as_fd(),
        view: view.as_fd(),
        cgroup: Some(group.as_fd()),
    })?;
    tracer
        .track(held.pid, TREE)
        .map_err(|error| AgentError::Order(format!("failed to watch the stage: {error}")))?;
    Ok(Waiting {
        held,
        outputs: [out, error],
        used: cgroup.usage(),
    })
}

/// Runs the stage and queues everything but the result. A stage that could not be started is a
/// result, and the log says why; an error is one of talking to the host.
pub(super) fn run(
    machine: &mut Machine,
    port: &mut Port,
    spec: &StageSpec,
) -> Result<StageResult, AgentError> {
    match prepare(machine, port, spec) {
        Ok((waiting, program)) => Stage { machine, spec }.run(port, waiting, &program),
        Err(error) => {
            port.log(error);
            Ok(StageResult {
                counters: pump::counters(&machine.tracer, port),
                ..nothing()
            })
        }
    }
}

fn prepare(
    machine: &mut Machine,
    port: &mut Port,
    spec: &StageSpec,
) -> Result<(Waiting, Program), AgentError> {
    identity::take(spec)?;
    for slot in &spec.slots {
        slots::unpack(slot, &machine.hidden.devices)?;
    }
    for (path, content) in &spec.files {
        slots::plant(path, content)?;
    }
    slots::make_directory(&spec.cwd)?;
    machine.cgroup.limit(spec.memory_bytes, spec.pids)?;
    let program = Program::find(&spec.argv, &spec.env, &spec.cwd)?;
    let mut waiting = machine
        .waiting
        .take()
        .ok_or_else(|| AgentError::Order("this machine has had its stage".into()))?;
    for output in &mut waiting.outputs {
        output.bound(spec.output_bytes);
    }
    let held = &waiting.held;
    if !spec.traced {
        let tracer = &mut machine.tracer;
        tracer
            .forget(held.pid)
            .and_then(|()| tracer.detach())
            .map_err(|error| AgentError::Order(error.to_string()))?;
    }
    port.queue_json(
        FrameKind::Started,
        &Started {
            boot_ns: boot_ns(),
            tgid: held.pid,
        },
    )?;
    Ok((waiting, program))
}

/// A stage that runs.
struct Stage<'a> {
    machine: &'a mut Machine,
    spec: &'a StageSpec,
}

impl Stage<'_> {
    fn run(
        self,
        port: &mut Port,
        waiting: Waiting,
        program: &Program,
    ) -> Result<StageResult, AgentError> {
        let Machine {
            tracer,
            cgroup,
            hidden,
            ..
        } = self.machine;
        let Waiting {
            held,
            outputs,
            used,
        } = waiting;
        // Counted until the last process of the stage is gone.
        let timing = self.spec.timed.then(|| tracer.time_runs()).transpose();
        let timing = timing.map_err(|error| AgentError::Order(error.to_string()))?;
        let mut pump = Pump::new(tracer, port, outputs);
        let used_before = own_time_us();
        let begun = Instant::now();
        let child = held.release(program);
        let wall = Duration::from_secs(self.spec.wall_seconds);
        let pause = pump.watch(child.pidfd(), begun + wall)?;
        let wall_ns = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);

        let ended = (pause == Pause::Ended).then(|| child.ended()).flatten();
        if ended.is_some() {
            // What is about to end by itself is not left behind.
            pump.wait(SETTLE, || cgroup.processes() > 0)?;
        }
        let left_behind = if ended.is_some() {
            cgroup.processes()
        } else {
            0
        };
        if let Err(error) = cgroup.kill() {
            pump.port().log(error);
        }
        if !pump.wait(KILL, || cgroup.populated())? {
            pump.port()
                .log("processes of the stage are left that cannot be killed");
        }
        if pause == Pause::Gone {
            return Err(AgentError::Order(
                "the host went away while the stage ran".into(),
            ));
        }
        pump.finish()?;
        let agent_us = own_time_us().saturating_sub(used_before);
        let runs = timing.map_or_else(Vec::new, |timing| pump.runs(timing));
        let ending = ending(pause, ended, &child, &mut pump);
        let usage = cgroup.usage();
        let disk_used = fstatfs(&hidden.upper).map_or(0, |disk| {
            (disk.blocks() - disk.blocks_free()) * disk.block_size() as u64
        });
        for (path, bound) in &self.spec.collect {
            collect::collect(path, *bound, &mut pump)?;
        }
        if let Some(keep) = &self.spec.keep
            && ending == Ending::Exited(0)
        {
            state::keep(&proc_path(&hidden.upper), keep, &mut pump)?;
        }
        let [stdout_dropped, stderr_dropped] = pump.dropped();
        Ok(StageResult {
            ending,
            wall_ns,
            user_us: usage.user_us.saturating_sub(used.user_us),
            system_us: usage.system_us.saturating_sub(used.system_us),
            memory_peak: usage.memory_peak,
            oom_kills: usage.oom_kills,
            pids_refused: usage.pids_refused,
            left_behind,
            stdout_dropped,
            stderr_dropped,
            disk_used,
            counters: pump.counters(),
            agent_us,
            runs,
        })
    }
}

fn ending(pause: Pause, ended: Option<End>, child: &Child, pump: &mut Pump<'_>) -> Ending {
    match (pause, ended) {
        (Pause::TimedOut, _) => Ending::TimedOut,
        (Pause::Stopped | Pause::Gone, _) => Ending::Stopped,
        (Pause::Ended, ended) => match ended.or_else(|| child.ended()) {
            Some(End::Exited(status)) => Ending::Exited(status),
            Some(End::Signaled(signal)) => Ending::Signaled(signal),
            Some(End::Failed(error)) => {
                pump.port().log(error);
                Ending::NotStarted
            }
            None => {
                pump.port()
                    .log("the first process ended, but has no status");
                Ending::NotStarted
            }
        },
    }
}

/// User and system time of the agent, microseconds; 0 where the kernel does not tell.
fn own_time_us() -> u64 {
    let microseconds = |time: TimeVal| u64::try_from(time.num_microseconds()).unwrap_or(0);
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| {
        microseconds(usage.user_time()) + microseconds(usage.system_time())
    })
}

/// The directory that is open here, which has no name any more. The agent is outside the package's
/// mounts, its own `/proc` shows its own descriptors.
fn proc_path(directory: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()))
}

fn nothing() -> StageResult {
    StageResult {
        ending: Ending::NotStarted,
        wall_ns: 0,
        user_us: 0,
        system_us: 0,
        memory_peak: 0,
        oom_kills: 0,
        pids_refused: 0,
        left_behind: 0,
        stdout_dropped: 0,
        stderr_dropped: 0,
        disk_used: 0,
        counters: None,
        agent_us: 0,
        runs: vec![],
    }
}
