//! Who descends from whom, and which program each process ran when.

use std::collections::HashMap;

use pyti_trace::event::{Event, Incomplete, Kind, ProcessKey};

/// Longest chain of ancestors that is followed; a fork chain may be made longer on purpose.
const MAX_DEPTH: usize = 256;

/// A program that a process ran, from one exec to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// When it was executed, nanoseconds since boot.
    pub time_ns: u64,
    /// Path of the program.
    pub exe: Option<String>,
    /// That path is no mere name: not one in mounts or below a root of the process's own.
    pub exe_sure: bool,
    /// Arguments.
    pub argv: Option<Vec<String>>,
    /// The arguments are whole.
    pub argv_whole: bool,
    /// Working directory at exec.
    pub cwd: Option<String>,
}

impl Image {
    /// Last component of the program's path.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.exe.as_deref().map(base_name)
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// When, nanoseconds since boot.
    pub time_ns: u64,
    /// Exit status.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<u32>,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Who it is.
    pub key: ProcessKey,
    /// Its parent, as far as an event told. The one that forked it, where the fork was seen.
    pub parent: Option<ProcessKey>,
    /// When it was first seen, nanoseconds since boot.
    pub start_ns: u64,
    /// Thread name at its last event.
    pub comm: String,
    /// Programs it executed, in order. Empty: it still runs its parent's.
    pub images: Vec<Image>,
    /// How it ended; `None`: not seen to end.
    pub end: Option<End>,
    /// Number of events it caused.
    pub events: u64,
}

/// All processes of a stage, from its events. Works with what there is: where forks or execs are
/// missing, parents come from any other event and programs stay unknown.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    processes: HashMap<ProcessKey, Process>,
    /// In the order of their first event.
    order: Vec<ProcessKey>,
}

impl Tree {
    /// Builds the tree; `events` in the order of time.
    #[must_use]
    pub fn new(events: &[Event]) -> Self {
        let mut tree = Self::default();
        for event in events {
            tree.add(event);
        }
        tree
    }

    fn add(&mut self, event: &Event) {
        let process = self.entry(event.process, event.time_ns);
        process.events += 1;
        if process.comm != event.comm {
            process.comm.clone_from(&event.comm);
        }
        if process.parent.is_none() && event.parent != ProcessKey::default() {
            process.parent = Some(event.parent);
        }
        match event.kind {
            // Which program runs from now on nobody knows.
            Kind::Exec if event.outcome().is_none() => process.images.push(Image {
                time_ns: event.time_ns,
                exe: None,
                exe_sure: false,
                argv: None,
                argv_whole: false,
                cwd: event.cwd.clone(),
            }),
            Kind::Exec if event.result >= 0 => process.images.push(Image {
                time_ns: event.time_ns,
                exe: event.path.clone().or_else(|| event.asked.clone()),
                // strace, which tells no inode of what it is not sure of, is taken at its word.
                exe_sure: event.inode.is_none()
                    || !event.incomplete.contains(Incomplete::PATH_UNRESOLVED),
                argv: event.argv.clone(),
                argv_whole: !event
                    .incomplete
                    .intersects(Incomplete::ARGV_TRUNCATED | Incomplete::ARGV_UNREADABLE),
                cwd: event.cwd.clone(),
            }),
            Kind::Exit => {
                process.end = Some(End {
                    time_ns: event.time_ns,
                    code: event.exit_code,
                    signal: event.signal,
                });
            }
            Kind::Fork => {
                if let Some(child) = event.other {
                    let (parent, comm) = (event.process, event.comm.clone());
                    let child = self.entry(child, event.time_ns);
                    child.parent = Some(parent);
                    if child.comm.is_empty() {
                        child.comm = comm;
                    }
                }
            }
            _ => {}
        }
    }

    fn entry(&mut self, key: ProcessKey, time_ns: u64) -> &mut Process {
        let order = &mut self.order;
        self.processes.entry(key).or_insert_with(|| {
            order.push(key);
            Process {
                key,
                parent: None,
                start_ns: time_ns,
                comm: String::new(),
                images: Vec::new(),
                end: None,
                events: 0,
            }
        })
    }

    /// The process, where any event told of it.
    #[must_use]
    pub fn get(&self, key: ProcessKey) -> Option<&Process> {
        self.processes.get(&key)
    }

    /// All processes, in the order of their first event.
    pub fn iter(&self) -> impl Iterator<Item = &Process> {
        self.order.iter().filter_map(|key| self.processes.get(key))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Processes whose parent is not among them, in the order of their first event.
    pub fn roots(&self) -> impl Iterator<Item = &Process> {
        self.iter().filter(|process| {
            process
                .parent
                .is_none_or(|parent| parent == process.key || !self.processes.contains_key(&parent))
        })
    }

    /// Children by parent, each in the order of their first event.
    #[must_use]
    pub fn children(&self) -> HashMap<ProcessKey, Vec<&Process>> {
        let mut children: HashMap<ProcessKey, Vec<&Process>> = HashMap::new();
        for process in self.iter() {
            if let Some(parent) = process.parent.filter(|parent| *parent != process.key) {
                children.entry(parent).or_default().push(process);
            }
        }
        children
    }

    /// The program that the process ran just before `time_ns`, inherited from its parent where it
    /// had executed none yet.
    #[must_use]
    pub fn image(&self, key: ProcessKey, time_ns: u64) -> Option<&Image> {
        let (mut key, mut time_ns) = (key, time_ns);
        for _ in 0..MAX_DEPTH {
            let process = self.processes.get(&key)?;
            let before = process
                .images
                .partition_point(|image| image.time_ns < time_ns);
            if before > 0 {
                return process.images.get(before - 1);
            }
            time_ns = time_ns.min(process.start_ns);
            key = process.parent.filter(|parent| *parent != key)?;
        }
        None
    }

    /// The ancestors, nearest first, without the process itself. Not all of one that
    /// [`Self::is_deep`].
    pub fn ancestors(&self, key: ProcessKey) -> impl Iterator<Item = &Process> {
        let mut next = self.get(key).and_then(|process| process.parent);
        let mut last = key;
        let mut left = MAX_DEPTH;
        std::iter::from_fn(move || {
            let key = next.filter(|key| *key != last && left > 0)?;
            left -= 1;
            last = key;
            let process = self.get(key)?;
            next = process.parent;
            Some(process)
        })
    }

    /// It has more ancestors than are followed: nothing is known of those.
    #[must_use]
    pub fn is_deep(&self, key: ProcessKey) -> bool {
        let last = self.ancestors(key).nth(MAX_DEPTH - 1);
        last.is_some_and(|last| last.parent.is_some_and(|parent| parent != last.key))
    }

    /// `key` is `ancestor` or descends from it; `None`: its ancestors were not followed that far.
    #[must_use]
    pub fn descends(&self, key: ProcessKey, ancestor: ProcessKey) -> Option<bool> {
        if key == ancestor || self.ancestors(key).any(|process| process.key == ancestor) {
            return Some(true);
        }
        (!self.is_deep(key)).then_some(false)
    }

    /// The program that did it: the one that its process ran when the event began, whatever it executes
    /// before the event ends.
    #[must_use]
    pub fn doer(&self, event: &Event) -> Option<&Image> {
        self.image(event.process, event.began_ns())
    }

    /// A short name for the process at that time: its program's, or its thread's.
    #[must_use]
    pub fn name(&self, key: ProcessKey, time_ns: u64) -> String {
        self.image(key, time_ns)
            .and_then(Image::name)
            .or_else(|| self.get(key).map(|process| process.comm.as_str()))
            .unwrap_or("?")
            .to_owned()
    }
}

/// The last component of a path.
#[must_use]
pub fn base_name(path: &str) -> &str {
    path.trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The agent, which nobody watches: it forks the first process of every tree.
    const AGENT: ProcessKey = ProcessKey {
        tgid: 1,
        start_ns: 0,
    };

    fn key(tgid: u32) -> ProcessKey {
        ProcessKey { tgid, start_ns: 5 }
    }

    fn event(kind: Kind, process: ProcessKey, parent: ProcessKey, tree: u32) -> Event {
        Event {
            parent,
            tree,
            ..Event::new(kind, process, 10)
        }
    }

    fn numbers<'t>(processes: impl Iterator<Item = &'t Process>) -> Vec<u32> {
        processes.map(|process| process.key.tgid).collect()
    }

    #[test]
    fn two_trees_have_two_roots_and_nothing_in_common() {
        let fork = |process, child, tree| Event {
            other: Some(child),
            ..event(Kind::Fork, process, AGENT, tree)
        };
        let events = [
            event(Kind::Exec, key(70), AGENT, 1),
            event(Kind::Exec, key(80), AGENT, 2),
            fork(key(70), key(71), 1),
            fork(key(80), key(81), 2),
            event(Kind::Open, key(71), key(70), 1),
            event(Kind::Open, key(81), key(80), 2),
        ];
        let tree = Tree::new(&events);
        assert_eq!(numbers(tree.roots()), [70, 80]);
        let children = tree.children();
        for (root, child, other) in [(70, 71, 80), (80, 81, 70)] {
            let own = &children[&key(root)];
            assert_eq!(numbers(own.iter().copied()), [child]);
            assert_eq!(numbers(tree.ancestors(key(child))), [root]);
            assert_eq!(tree.descends(key(child), key(root)), Some(true));
            for stranger in [other, other + 1] {
                assert_eq!(tree.descends(key(child), key(stranger)), Some(false));
                assert_eq!(tree.descends(key(root), key(stranger)), Some(false));
            }
        }
    }

    /// A child writes to a file that it leaves open, executes the linker, and is killed later.
    #[test]
    fn what_was_begun_is_done_by_the_program_that_began_it() {
        let at = |time_ns, kind, process: u32| Event {
            parent: key(process - 1),
            ..Event::new(kind, key(process), time_ns)
        };
        let exec = |time_ns, process, path: &str| Event {
            path: Some(path.to_owned()),
            ..at(time_ns, Kind::Exec, process)
        };
        let write = |since_ns| Event {
            since_ns,
            ..at(40, Kind::Write, 71)
        };
        let fork = Event {
            other: Some(key(71)),
            ..at(20, Kind::Fork, 70)
        };
        let events = [
            exec(10, 70, "/usr/bin/python3"),
            fork,
            exec(30, 71, "/usr/bin/ld"),
            write(Some(25)),
        ];
        let tree = Tree::new(&events);
        for (since_ns, program) in [
            (Some(25), "python3"),
            (Some(30), "python3"),
            (Some(31), "ld"),
            (Some(50), "ld"),
            (None, "ld"),
        ] {
            let doer = tree.doer(&write(since_ns)).and_then(Image::name);
            assert_eq!(doer, Some(program), "{since_ns:?}");
        }
    }

    #[test]
    fn a_program_in_mounts_of_ones_own_has_a_mere_name() {
        let exec = |inode: Option<u64>, incomplete| Event {
            path: Some("/usr/bin/ld".to_owned()),
            inode,
            incomplete,
            ..event(Kind::Exec, key(70), AGENT, 1)
        };
        for (inode, incomplete, sure) in [
            (Some(7), Incomplete::default(), true),
            (Some(7), Incomplete::PATH_UNRESOLVED, false),
            (None, Incomplete::PATH_UNRESOLVED, true),
        ] {
            let tree = Tree::new(&[exec(inode, incomplete)]);
            let image = tree.image(key(70), 11).map(|image| image.exe_sure);
            assert_eq!(image, Some(sure), "{inode:?} {incomplete:?}");
        }
    }
}
