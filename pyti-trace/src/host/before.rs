//! Processes that events refer to but that are not the command's: what ran before, from /proc.

use std::collections::{BTreeSet, HashMap, HashSet};

use procfs::process::{Process, all_processes};
use serde::Serialize;

use crate::event::{Event, Kind, ProcessKey};

/// Processes told of at most, their ancestors among them.
const MAX_TOLD: usize = 1000;
/// Longest chain of ancestors that is followed.
const MAX_DEPTH: usize = 64;
/// States of a process that has ended, in its `stat`.
const ENDED: [char; 3] = ['Z', 'X', 'x'];

/// A process as /proc has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Earlier {
    /// Its number.
    pub(super) pid: u32,
    /// Its parent's.
    pub(super) parent: u32,
    /// When it started, nanoseconds since boot, in hundredths of a second.
    pub(super) start_ns: u64,
    /// Name of its first thread.
    pub(super) name: String,
    /// Its program; `None` for the kernel's own.
    pub(super) exe: Option<String>,
    /// Its arguments, as they are now in its memory.
    pub(super) cmdline: Vec<String>,
}

/// The processes that ran when the trace began, and which of them events referred to.
#[derive(Debug, Default)]
pub(super) struct Before {
    running: HashMap<u32, Earlier>,
    /// Processes of the command.
    own: HashSet<ProcessKey>,
    /// Processes that events referred to.
    told: BTreeSet<u32>,
    ticks_per_second: u64,
}

impl Before {
    /// Reads all of /proc. A process that ends meanwhile is left out.
    pub(super) fn read() -> Self {
        let mut before = Self {
            ticks_per_second: procfs::ticks_per_second().max(1),
            ..Self::default()
        };
        for process in all_processes().into_iter().flatten().flatten() {
            before.enter(&process);
        }
        before
    }

    fn enter(&mut self, process: &Process) -> Option<()> {
        let stat = process.stat().ok()?;
        let number = |pid: i32| u32::try_from(pid).ok();
        let pid = number(process.pid)?;
        let earlier = Earlier {
            pid,
            parent: number(stat.ppid)?,
            start_ns: self.ns(stat.starttime),
            name: stat.comm,
            exe: process.exe().ok().map(|path| path.to_string_lossy().into()),
            cmdline: process.cmdline().unwrap_or_default(),
        };
        self.running.insert(pid, earlier);
        Some(())
    }

    fn ns(&self, ticks: u64) -> u64 {
        (u128::from(ticks) * 1_000_000_000 / u128::from(self.ticks_per_second))
            .try_into()
            .unwrap_or(u64::MAX)
    }

    /// Notes whom an event refers to.
    pub(super) fn meet(&mut self, event: &Event) {
        self.own.insert(event.process);
        match (event.kind, event.other) {
            (Kind::Fork, Some(child)) => {
                self.own.insert(child);
            }
            (_, Some(other)) => self.refer(other),
            _ => {}
        }
        self.refer(event.parent);
    }

    fn refer(&mut self, key: ProcessKey) {
        if key.tgid == 0 || self.own.contains(&key) || self.told.len() >= MAX_TOLD {
            return;
        }
        if self.find(key).is_none()
            && let Ok(pid) = i32::try_from(key.tgid)
            && let Ok(process) = Process::new(pid)
        {
            // It started after the trace, but not as the command's.
            self.enter(&process);
        }
        if self.find(key).is_some() {
            self.told.insert(key.tgid);
        }
    }

    /// The process, where it is not the command's and was there to be read.
    pub(super) fn find(&self, key: ProcessKey) -> Option<&Earlier> {
        let earlier = self.running.get(&key.tgid)?;
        // The probes do not know when the parent of the first process started.
        let same = key.start_ns == 0 || {
            let tick = 1_000_000_000 / self.ticks_per_second;
            key.start_ns.abs_diff(earlier.start_ns) <= tick
        };
        (same && !self.own.contains(&key)).then_some(earlier)
    }

    /// Those that events referred to, and their ancestors, by number.
    pub(super) fn told(&self) -> Vec<&Earlier> {
        let mut told = self.told.clone();
        for pid in &self.told {
            let mut pid = *pid;
            for _ in 0..MAX_DEPTH {
                let Some(parent) = self.running.get(&pid).map(|earlier| earlier.parent) else {
                    break;
                };
                if parent == 0 || !told.insert(parent) {
                    break;
                }
                pid = parent;
            }
        }
        told.iter()
            .filter_map(|pid| self.running.get(pid))
            .collect()
    }
}

/// Whether a process has not ended.
pub(super) fn is_alive(pid: u32) -> bool {
    i32::try_from(pid)
        .ok()
        .and_then(|pid| Process::new(pid).ok()?.stat().ok())
        .is_some_and(|stat| !ENDED.contains(&stat.state))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_key() -> ProcessKey {
        let me = std::process::id();
        let before = Before::read();
        let start_ns = before.running[&me].start_ns;
        ProcessKey { tgid: me, start_ns }
    }

    #[test]
    fn tells_of_whom_events_refer_to_with_their_ancestors() {
        let mut before = Before::read();
        let stranger = ProcessKey {
            tgid: u32::MAX,
            start_ns: 1,
        };
        let mut event = Event::new(Kind::Signal, stranger, 0);
        event.other = Some(own_key());
        before.meet(&event);
        let told = before.told();
        let own = told.iter().find(|earlier| earlier.pid == own_key().tgid);
        let own = own.expect("this process is told of");
        assert_eq!(
            own.exe.as_deref(),
            std::env::current_exe().unwrap().to_str()
        );
        assert!(told.iter().any(|earlier| earlier.pid == own.parent));
        assert!(is_alive(own.pid));
    }

    #[test]
    fn a_later_process_of_the_same_number_is_another() {
        let mut before = Before::read();
        let mut later = own_key();
        later.start_ns += 60_000_000_000;
        before.refer(later);
        assert!(before.told().is_empty());
    }

    #[test]
    fn the_commands_own_are_not_told_of() {
        let mut before = Before::read();
        let mut event = Event::new(Kind::Fork, own_key(), 0);
        event.other = Some(ProcessKey {
            tgid: 1,
            start_ns: 0,
        });
        before.meet(&event);
        before.refer(own_key());
        assert!(before.told().is_empty());
    }
}
