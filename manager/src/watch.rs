//! Watches one stage: sends the order, takes the frames, keeps what arrives.
//!
//! The VM is hostile once the package runs: every frame is bounded, what is malformed is counted,
//! and a VM that falls silent or dies leaves a stage that says so.

mod beats;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use pyti_analyzer::facts::family_name;
use pyti_analyzer::{StageFacts, StageStatus};
use pyti_trace::event::{Counters, Family, FamilyCounters};
use pyti_trace::wire::{
    Ending, FileChunk, Frame, FrameKind, Heartbeat, ProgramRuns, STATE, StageResult, StageSpec,
    Started,
};
use pyti_vm::{Usage, Vm};
use tokio::time::{Instant, timeout_at};

use crate::interrupt::Interrupt;
use crate::output_file::OutputFile;
use crate::recorder::{Kept, Recorder};
use beats::Beats;

/// An agent that sends nothing for so long is dead or starved; it beats once a second.
const SILENCE: Duration = Duration::from_secs(60);
/// What the host allows over the agent's own wall limit before it ends the VM itself.
const GRACE: Duration = Duration::from_secs(45);
/// How long an interrupted stage may take to report what there is.
const STOP: Duration = Duration::from_secs(5);
/// Bytes of collected files kept in all.
const COLLECTED: usize = 64 << 20;
/// Lines of the agent's log kept.
const LOG_LINES: usize = 200;

/// What is left of a stage.
#[derive(Debug)]
pub struct Watched {
    /// For the report.
    pub facts: StageFacts,
    /// The files that the stage was asked for, whole ones only.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The state of the disk, where it was asked for and came whole: a file without a name, to be read
    /// from its beginning.
    pub state: Option<File>,
    /// From the order to the release of the stage's first process; `None` where it never came.
    pub to_start: Option<Duration>,
    /// What the machine used; `None` where it ended by itself.
    pub usage: Option<Usage>,
    /// CPU time of the agent while the stage ran, as the VM says.
    pub agent: Duration,
    /// What the probes took, where the order asked for it.
    pub runs: Vec<ProgramRuns>,
}

/// Runs `spec` in `vm` and keeps events and outputs in `directory`.
///
/// # Errors
/// The disk refuses before the stage starts. Whatever happens later is in the facts.
pub async fn watch(
    mut vm: Vm,
    spec: &StageSpec,
    directory: &Path,
    max_events: u64,
    interrupt: &Interrupt,
) -> Result<Watched> {
    let recorder = Recorder::start(directory, max_events)?;
    let mut stage = Stage::new(spec, directory)?;
    let order = spec.encode().context("failed to write the stage's order")?;
    let sent = Instant::now();
    let end = match vm.send(FrameKind::Start, &order).await {
        Ok(()) => stage.take_all(&mut vm, &recorder, sent, interrupt).await,
        Err(error) => End::Died(error.to_string()),
    };
    let exit = vm.kill().await;
    if let End::Died(_) = end {
        stage.problems.push(exit.describe());
    }
    let kept = recorder.finish().await;
    Ok(stage.finish(end, kept, exit.usage))
}

/// Why no more frames are read.
enum End {
    Done(Box<StageResult>),
    Died(String),
    Stopped(String),
}

struct Stage {
    name: String,
    /// Its processes are watched.
    traced: bool,
    deadline: Instant,
    stdout: OutputFile,
    stderr: OutputFile,
    started: Option<Started>,
    to_start: Option<Duration>,
    /// As of the heartbeats so far.
    counters: Option<Counters>,
    chunks: BTreeMap<String, Vec<u8>>,
    files: BTreeMap<String, Vec<u8>>,
    wanted: Vec<String>,
    collected: usize,
    state: Option<StateFile>,
    log: Vec<String>,
    problems: Vec<String>,
}

impl Stage {
    fn new(spec: &StageSpec, directory: &Path) -> Result<Self> {
        let output = |name: &str| {
            let path = directory.join(name);
            OutputFile::create(&path, spec.output_bytes)
                .with_context(|| format!("failed to make {}", path.display()))
        };
        Ok(Self {
            name: spec.stage.clone(),
            traced: spec.traced,
            deadline: Instant::now() + Duration::from_secs(spec.wall_seconds) + GRACE,
            stdout: output("stdout")?,
            stderr: output("stderr")?,
            started: None,
            to_start: None,
            counters: None,
            chunks: BTreeMap::new(),
            files: BTreeMap::new(),
            wanted: spec.collect.iter().map(|(path, _)| path.clone()).collect(),
            collected: 0,
            state: StateFile::expected(spec, directory)?,
            log: vec![],
            problems: vec![],
        })
    }

    async fn take_all(
        &mut self,
        vm: &mut Vm,
        recorder: &Recorder,
        sent: Instant,
        interrupt: &Interrupt,
    ) -> End {
        let mut stopping = false;
        let mut beats = Beats::default();
        loop {
            let asked = Instant::now();
            let silence = asked + if stopping { STOP } else { SILENCE };
            let next = timeout_at(silence.min(self.deadline), vm.next_frame());
            let frame = tokio::select! {
                frame = next => frame,
                () = interrupt.wait(), if !stopping => {
                    stopping = true;
                    self.deadline = Instant::now() + STOP;
                    if let Err(error) = vm.send(FrameKind::Stop, &[]).await {
                        return End::Stopped(format!("interrupted; {error}"));
                    }
                    continue;
                }
            };
            let frame = match frame {
                Err(_) if stopping => return End::Stopped("interrupted".into()),
                Err(_) if Instant::now() >= self.deadline => {
                    return End::Stopped(
                        "the agent did not end it at its wall limit, so the VM was ended".into(),
                    );
                }
                Err(_) => {
                    return End::Died(format!(
                        "the agent was silent for {} seconds",
                        SILENCE.as_secs()
                    ));
                }
                Ok(Err(error)) => return End::Died(describe(&error)),
                Ok(Ok(None)) => return End::Died("it ended before the stage did".into()),
                Ok(Ok(Some(frame))) => frame,
            };
            if !beats.hear(frame.kind, asked.elapsed()) {
                return End::Died(format!(
                    "the agent's heartbeat stopped: none came for {} seconds",
                    SILENCE.as_secs()
                ));
            }
            match self.take(frame, recorder, sent).await {
                Some(End::Done(_)) if stopping => return End::Stopped("interrupted".into()),
                Some(end) => return end,
                None => {}
            }
        }
    }

    async fn take(&mut self, frame: Frame, recorder: &Recorder, sent: Instant) -> Option<End> {
        let Frame { kind, payload } = frame;
        match kind {
            FrameKind::Events => {
                if !recorder.push(payload).await {
                    return Some(End::Stopped("the events could not be stored".into()));
                }
            }
            FrameKind::Stdout => keep(&mut self.problems, self.stdout.push(&payload)),
            FrameKind::Stderr => keep(&mut self.problems, self.stderr.push(&payload)),
            FrameKind::Started => {
                if self.to_start.is_some() {
                    self.problem("the agent said twice that the stage had started".into());
                    return None;
                }
                self.started = self.json(&payload);
                self.to_start = Some(sent.elapsed());
            }
            FrameKind::Heartbeat => {
                let beat: Option<Heartbeat> = self.json(&payload);
                if let Some(counters) = beat.and_then(|beat| beat.counters)
                    && !self.shrinks(&counters)
                {
                    self.counters = Some(counters);
                }
            }
            FrameKind::File => self.take_file(&payload),
            FrameKind::Log => {
                if self.log.len() < LOG_LINES {
                    let line: String = String::from_utf8_lossy(&payload)
                        .chars()
                        .take(400)
                        .collect();
                    tracing::debug!("agent: {}", pyti_analyzer::escape(&line));
                    if self.to_start.is_some() {
                        self.problem(format!("the agent said: {line}"));
                    }
                    self.log.push(line);
                }
            }
            FrameKind::Done => {
                let result: Option<StageResult> = self.json(&payload);
                return Some(match result {
                    Some(result) => End::Done(Box::new(result)),
                    None => End::Died("its last report could not be read".into()),
                });
            }
            FrameKind::Start | FrameKind::Stop | FrameKind::Ready => {
                self.problem("the agent sent a frame that only the host sends".into());
            }
        }
        None
    }

    fn take_file(&mut self, payload: &[u8]) {
        let Some(chunk) = FileChunk::decode(payload) else {
            return self.problem("the agent sent a malformed piece of a file".into());
        };
        if chunk.path == STATE
            && let Some(state) = &mut self.state
        {
            let taken = state.take(&chunk);
            return keep(&mut self.problems, taken);
        }
        self.collected = self.collected.saturating_add(chunk.bytes.len());
        if !self.wanted.contains(&chunk.path) || self.collected > COLLECTED {
            return self.problem("the agent sent a file that nobody asked for".into());
        }
        let bytes = self.chunks.entry(chunk.path.clone()).or_default();
        bytes.extend_from_slice(&chunk.bytes);
        if chunk.last
            && let Some(bytes) = self.chunks.remove(&chunk.path)
            && !chunk.cut
        {
            self.files.insert(chunk.path, bytes);
        }
    }

    fn json<T: serde::de::DeserializeOwned>(&mut self, payload: &[u8]) -> Option<T> {
        serde_json::from_slice(payload)
            .inspect_err(|_| self.problem("the agent sent a report that could not be read".into()))
            .ok()
    }

    fn problem(&mut self, problem: String) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn finish(mut self, end: End, kept: Kept, usage: Option<Usage>) -> Watched {
        let mut agent = Duration::ZERO;
        let mut runs = vec![];
        let mut facts = match end {
            End::Done(mut result) => {
                agent = Duration::from_micros(result.agent_us);
                runs.append(&mut result.runs);
                self.doubt(&result, &kept);
                StageFacts::from_result(&self.name, self.started_ns(), &result)
            }
            End::Died(reason) => self.unfinished(StageStatus::VmDied { reason }),
            End::Stopped(reason) => self.unfinished(StageStatus::Stopped { reason }),
        };
        if let StageStatus::NotStarted { reason } = &mut facts.status
            && let Some(last) = self.log.last()
        {
            *reason = last.clone();
        }
        for (output, dropped) in [
            (self.stdout, &mut facts.stdout_dropped),
            (self.stderr, &mut facts.stderr_dropped),
        ] {
            match output.finish(*dropped) {
                Ok(missing) => *dropped = missing,
                Err(error) => self.problems.push(disk(&error)),
            }
        }
        let state = match self.state.map(StateFile::finish) {
            Some(Ok(file)) => Some(file),
            Some(Err(reason)) => {
                // Where the stage itself was cut short, that is said already.
                if facts.status == StageStatus::Completed {
                    self.problems.push(reason);
                }
                None
            }
            None => None,
        };
        facts.decode_errors = kept.malformed;
        facts.dropped = kept.dropped;
        facts.problems = self.problems;
        facts.problems.extend(kept.problem);
        Watched {
            facts,
            files: self.files,
            state,
            to_start: self.to_start,
            usage,
            agent,
            runs,
        }
    }

    /// Whether these counters are lower than those before, which those of probes never are.
    fn shrinks(&mut self, now: &Counters) -> bool {
        let all = |counters: &Counters| {
            let families = counters.families.map(|family| {
                let FamilyCounters {
                    seen,
                    submitted,
                    full,
                    oversize,
                } = family;
                [seen, submitted, full, oversize]
            });
            let mut all = families.concat();
            all.push(counters.untracked);
            all
        };
        let before = self.counters.as_ref().map(all).unwrap_or_default();
        let shrinks = before
            .iter()
            .zip(all(now))
            .any(|(before, now)| now < *before);
        if shrinks {
            self.problem("the agent took back what it had counted before".into());
        }
        shrinks
    }

    /// Whoever took over the VM can send a last report that tells of no loss; it must fit what came
    /// before it.
    fn doubt(&mut self, result: &StageResult, kept: &Kept) {
        if let Some(counters) = &result.counters {
            self.shrinks(counters);
        }
        if !matches!(result.ending, Ending::Exited(_) | Ending::Signaled(_)) {
            return;
        }
        let first = self.started.as_ref().map(|started| started.tgid);
        match first {
            None => self.problem("the agent reported an end, but never the start".into()),
            Some(first)
                if self.traced && !kept.executed.contains(&first) && kept.dropped_none() =>
            {
                self.problem("what the stage's first process executed is not on record".into());
            }
            Some(_) => {}
        }
    }

    fn started_ns(&self) -> u64 {
        self.started.as_ref().map_or(0, |started| started.boot_ns)
    }

    /// The last heartbeat's counters are not the last ones: what they say of losses is a lower bound.
    fn unfinished(&mut self, status: StageStatus) -> StageFacts {
        let counted = self.counters.take().unwrap_or_default();
        for (family, counted) in Family::ALL.into_iter().zip(&counted.families) {
            if let lost @ 1.. = counted.full.saturating_add(counted.oversize) {
                let family = family_name(family);
                self.problem(format!("at least {lost} {family} events were lost"));
            }
        }
        StageFacts {
            started_ns: self.started_ns(),
            ..StageFacts::new(&self.name, status)
        }
    }
}

/// The state of the disk as it comes in. Its file has no name: whatever ends this program, half a state
/// is not left behind.
struct StateFile {
    file: File,
    left: u64,
    whole: bool,
}

impl StateFile {
    fn expected(spec: &StageSpec, directory: &Path) -> Result<Option<Self>> {
        let Some(keep) = &spec.keep else {
            return Ok(None);
        };
        let file = tempfile::tempfile_in(directory)
            .with_context(|| format!("failed to make a file in {}", directory.display()))?;
        Ok(Some(Self {
            file,
            left: keep.bytes,
            whole: false,
        }))
    }

    fn take(&mut self, chunk: &FileChunk) -> io::Result<()> {
        let left = self.left.checked_sub(chunk.bytes.len() as u64);
        self.left = left.ok_or_else(|| io::Error::other("the state is larger than agreed"))?;
        self.file.write_all(&chunk.bytes)?;
        self.whole = chunk.last && !chunk.cut;
        Ok(())
    }

    fn finish(mut self) -> Result<File, String> {
        // Half a state serves nobody.
        if self.whole && self.file.rewind().is_ok() {
            return Ok(self.file);
        }
        Err("the files that it left could not be brought back whole".into())
    }
}

fn keep(problems: &mut Vec<String>, result: std::io::Result<()>) {
    if let Err(error) = result {
        let problem = disk(&error);
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
}

fn disk(error: &std::io::Error) -> String {
    format!("an output could not be kept: {error}")
}

/// An error with its causes, in one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
