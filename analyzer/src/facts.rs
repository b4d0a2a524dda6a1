//! What the manager knows of a run besides its events.

use std::collections::BTreeMap;

use pyti_trace::event::{Counters, Event, Family};
use pyti_trace::wire::{Ending, StageResult};
use serde::{Deserialize, Serialize};

pub use pyti_trace::names::family_name;

/// What is audited.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Target {
    /// Name of the distribution, or what the user typed.
    pub name: String,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Name of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// SHA-256 of the file, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Where the file came from: an address or a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl Target {
    /// Name and version, as one writes them.
    #[must_use]
    pub fn title(&self) -> String {
        match &self.version {
            Some(version) => format!("{} {version}", self.name),
            None => self.name.clone(),
        }
    }
}

/// How a stage ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum StageStatus {
    /// With exit status 0.
    Completed,
    /// With another exit status.
    Failed {
        /// The exit status.
        exit: i32,
    },
    /// By a signal.
    Signaled {
        /// Its number.
        signal: i32,
    },
    /// Its wall time was up.
    TimedOut,
    /// The host ended it: the user interrupted, or a limit of the host was hit.
    Stopped {
        /// Why.
        reason: String,
    },
    /// It has begun, and whoever runs it is still at it.
    Running,
    /// The VM ended before the stage did.
    VmDied {
        /// What is known of it.
        reason: String,
    },
    /// It did not start.
    NotStarted {
        /// Why.
        reason: String,
    },
}

/// A stage and how it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageFacts {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub status: StageStatus,
    /// Boot time at its start, nanoseconds: reports count from here.
    #[serde(default)]
    pub started_ns: u64,
    /// Wall time, nanoseconds.
    #[serde(default)]
    pub wall_ns: u64,
    /// User CPU time, microseconds.
    #[serde(default)]
    pub user_us: u64,
    /// System CPU time, microseconds.
    #[serde(default)]
    pub system_us: u64,
    /// Peak memory, bytes.
    #[serde(default)]
    pub memory_peak: u64,
    /// Processes that the kernel killed for want of memory.
    #[serde(default)]
    pub oom_kills: u64,
    /// Forks that the limit on processes refused.
    #[serde(default)]
    pub pids_refused: u64,
    /// Processes still alive at the end of the first one.
    #[serde(default)]
    pub left_behind: u64,
    /// Bytes of standard output dropped over the bound.
    #[serde(default)]
    pub stdout_dropped: u64,
    /// Bytes of standard error dropped over the bound.
    #[serde(default)]
    pub stderr_dropped: u64,
    /// Bytes written to the VM's disk.
    #[serde(default)]
    pub disk_used: u64,
    /// The probes' last counters; `None` where none arrived, or nobody counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<Counters>,
    /// Nobody counted apart from the record: strace holds a process until a call is written down, so it
    /// loses none that it follows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uncounted: bool,
    /// Records that could not be decoded.
    #[serde(default)]
    pub decode_errors: u64,
    /// Events that arrived and were not kept, as the host's bounds were reached, by family.
    #[serde(default, skip_serializing_if = "is_none_dropped")]
    pub dropped: [u64; Family::ALL.len()],
    /// Whatever else keeps the record from being whole, one sentence each: a full disk, a store
    /// that was not finished, a probe that could not be attached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

impl StageFacts {
    /// A stage of which only the name and the status are known.
    #[must_use]
    pub fn new(name: &str, status: StageStatus) -> Self {
        Self {
            name: name.to_owned(),
            status,
            started_ns: 0,
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
            uncounted: false,
            decode_errors: 0,
            dropped: [0; Family::ALL.len()],
            problems: Vec::new(),
        }
    }

    /// What kind of stage it is, as rules name it: its name, without the number by which those differ
    /// that run more than once: `metadata` of `metadata-2`.
    #[must_use]
    pub fn kind(&self) -> &str {
        let is_number =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match self.name.rsplit_once('-') {
            Some((kind, number)) if is_number(number) => kind,
            _ => &self.name,
        }
    }

    /// A stage as the agent reported it; `started_ns` from its `Started` frame.
    #[must_use]
    pub fn from_result(name: &str, started_ns: u64, result: &StageResult) -> Self {
        let status = match result.ending {
            Ending::Exited(0) => StageStatus::Completed,
            Ending::Exited(exit) => StageStatus::Failed { exit },
            Ending::Signaled(signal) => StageStatus::Signaled { signal },
            Ending::TimedOut => StageStatus::TimedOut,
            Ending::Stopped => StageStatus::Stopped {
                reason: "the host said stop".to_owned(),
            },
            Ending::NotStarted => StageStatus::NotStarted {
                reason: "its program could not be started in the VM".to_owned(),
            },
        };
        Self {
            started_ns,
            wall_ns: result.wall_ns,
            user_us: result.user_us,
            system_us: result.system_us,
            memory_peak: result.memory_peak,
            oom_kills: result.oom_kills,
            pids_refused: result.pids_refused,
            left_behind: result.left_behind,
            stdout_dropped: result.stdout_dropped,
            stderr_dropped: result.stderr_dropped,
            disk_used: result.disk_used,
            counters: result.counters.clone(),
            ..Self::new(name, status)
        }
    }
}

/// All that is known of a run besides its events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunFacts {
    /// The stages, in the order in which they ran.
    pub stages: Vec<StageFacts>,
    /// Remarks on what was prepared for them, such as a requirement that was left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

fn is_none_dropped(dropped: &[u64; Family::ALL.len()]) -> bool {
    dropped.iter().all(|count| *count == 0)
}

/// Of one family: what the kernel saw, what is stored, what is lost. Each is counted where it happens,
/// so that the sum proves something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Loss {
    /// Events that the probes saw; `None` where the last counters did not arrive or nobody counted.
    pub seen: Option<u64>,
    /// Events in the store, as far as they were read.
    pub stored: u64,
    /// Events that were counted as lost: by the probes, for want of room, and by the host, over its
    /// bounds. `None` where `seen` is.
    pub lost: Option<u64>,
}

impl Loss {
    /// Events that were seen and are neither stored nor counted as lost.
    #[must_use]
    pub fn unaccounted(&self) -> u64 {
        let here = self.stored.saturating_add(self.lost.unwrap_or(0));
        self.seen.unwrap_or(0).saturating_sub(here)
    }

    /// Events that are here, or counted as lost, and were never seen.
    #[must_use]
    pub fn surplus(&self) -> u64 {
        let here = self.stored.saturating_add(self.lost.unwrap_or(0));
        self.seen.map_or(0, |seen| here.saturating_sub(seen))
    }

    /// Whether an event is missing that the probes saw.
    #[must_use]
    pub fn lacks(&self) -> bool {
        self.lost.is_some_and(|lost| lost > 0) || self.unaccounted() > 0
    }
}

/// Losses by family, in the order of [`Family::ALL`].
#[must_use]
pub fn losses(facts: &StageFacts, events: &[Event]) -> [Loss; 6] {
    let mut losses = [Loss::default(); 6];
    for event in events {
        losses[event.kind.family() as usize].stored += 1;
    }
    if let Some(counters) = &facts.counters {
        for ((loss, counted), dropped) in
            (losses.iter_mut().zip(&counters.families)).zip(facts.dropped)
        {
            loss.seen = Some(counted.seen);
            let lost = counted.full.saturating_add(counted.oversize);
            loss.lost = Some(lost.saturating_add(dropped));
        }
    }
    losses
}

/// Events that are missing between others: every CPU numbers what it records or loses, from 0 on.
#[must_use]
pub fn holes(events: &[Event]) -> u64 {
    let mut cpus: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for event in events {
        let (count, next) = cpus.entry(event.cpu).or_default();
        *count += 1;
        *next = event.seq.saturating_add(1).max(*next);
    }
    let holes = cpus
        .values()
        .map(|(count, next)| next.saturating_sub(*count));
    holes.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use pyti_trace::event::{FamilyCounters, Kind, ProcessKey};

    use super::*;

    fn event(cpu: u32, seq: u64) -> Event {
        Event {
            cpu,
            seq,
            ..Event::new(Kind::Open, ProcessKey::default(), seq)
        }
    }

    #[test]
    fn what_is_lost_is_what_was_counted_and_not_what_is_missing() {
        let mut facts = StageFacts::new("install", StageStatus::Completed);
        let mut counters = Counters::default();
        counters.families[0] = FamilyCounters {
            seen: 10,
            submitted: 7,
            full: 2,
            oversize: 1,
        };
        facts.counters = Some(counters);
        facts.dropped[0] = 3;
        let events: Vec<Event> = (0..3).map(|seq| event(0, seq)).collect();
        let [loss, ..] = losses(&facts, &events);
        assert_eq!((loss.seen, loss.stored, loss.lost), (Some(10), 3, Some(6)));
        assert_eq!((loss.unaccounted(), loss.surplus()), (1, 0));
        let events: Vec<Event> = (0..5).map(|seq| event(0, seq)).collect();
        let [loss, ..] = losses(&facts, &events);
        assert_eq!((loss.unaccounted(), loss.surplus()), (0, 1));
        facts.counters = None;
        let [loss, ..] = losses(&facts, &events);
        assert_eq!((loss.seen, loss.lost, loss.surplus()), (None, None, 0));
    }

    #[test]
    fn holes_are_counted_by_cpu() {
        assert_eq!(holes(&[]), 0);
        assert_eq!(holes(&[event(0, 0), event(1, 0), event(0, 1)]), 0);
        assert_eq!(holes(&[event(0, 1), event(1, 4), event(1, 2)]), 1 + 3);
        assert_eq!(holes(&[event(0, u64::MAX)]), u64::MAX - 1);
    }
}
