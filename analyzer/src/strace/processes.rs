//! Processes, their threads, working directories and descriptors, as far as a trace tells.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use pyti_trace::event::ProcessKey;

use super::offsets::Road;
use super::paths::Resolved;
use super::sample::Sample;

/// Processes kept apart. What is beyond is left out, and said to be.
const MAX_PROCESSES: usize = 100_000;
/// Descriptors kept of one process.
const MAX_DESCRIPTORS: usize = 4096;
/// Descriptors copied because a child changed its own. Beyond, children forget what they inherited.
const MAX_COPIES: usize = 4_000_000;

/// A descriptor.
#[derive(Debug, Clone, Default)]
pub struct Descriptor {
    /// The file, where it is one.
    pub path: Option<Rc<str>>,
    /// The file has no name, as a memfd has none.
    pub nameless: bool,
    /// It is closed when a program is executed.
    pub cloexec: bool,
    /// Family and type, where it is a socket.
    pub socket: Option<(Option<u16>, Option<u16>)>,
    /// Whom the socket talks to.
    pub peer: Option<(String, u16)>,
    /// Bytes sent since it was connected.
    pub sent: u64,
    /// Where what is written goes.
    pub road: Road,
}

/// What a process wrote through a descriptor since it was opened.
#[derive(Debug, Clone)]
pub struct Writing {
    /// The file.
    pub path: String,
    /// When the first call began that wrote to it.
    pub since_ns: u64,
    /// Bytes so far; `None` where a call did not tell.
    pub bytes: Option<u64>,
    /// The first bytes.
    pub sample: Sample,
}

/// A process.
#[derive(Debug)]
pub struct Process {
    /// Who it is; the start is when it was first seen.
    pub key: ProcessKey,
    /// Number of the process that forked it.
    pub parent: Option<usize>,
    /// Threads that have not ended.
    threads: HashSet<u32>,
    /// Thread name, as exec and prctl set it.
    pub comm: Option<String>,
    /// Effective user id, where a call told it.
    pub uid: Option<u32>,
    /// It is in a user namespace of its own: the ids that calls tell there are none of the machine's.
    pub own_ids: bool,
    /// It executed a program, or descends from one that did.
    pub executed: bool,
    /// The event of its last exec, while its working directory then is not known and still the same.
    pub here: Option<usize>,
    /// Place of its working directory, which processes may share.
    directory: usize,
    /// Place of its descriptors, which processes may share.
    table: usize,
    /// Another process shares them.
    shared: bool,
    /// By descriptor.
    pub writings: HashMap<i32, Writing>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Processes {
    all: Vec<Process>,
    /// By thread: the number of its process.
    threads: HashMap<u32, usize>,
    directories: Vec<Option<Rc<Resolved>>>,
    tables: Vec<Rc<HashMap<i32, Descriptor>>>,
    copies: usize,
    /// Some were left out.
    pub overflowed: bool,
    /// Descriptors were left out, or cannot be told from those of another thread.
    pub forgot: bool,
}

impl Process {
    /// Its threads that have not ended.
    pub fn threads(&self) -> impl Iterator<Item = u32> {
        self.threads.iter().copied()
    }
}

/// What a child shares with its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sharing {
    /// It is a thread of the same process.
    pub thread: bool,
    /// Working directory.
    pub directory: bool,
    /// Descriptors.
    pub descriptors: bool,
    /// Nothing of user ids: it is in a user namespace of its own.
    pub own_ids: bool,
}

impl Processes {
    /// The number of a thread's process.
    pub fn of(&self, tid: u32) -> Option<usize> {
        self.threads.get(&tid).copied()
    }

    /// The process of this number.
    pub fn get(&self, number: usize) -> Option<&Process> {
        self.all.get(number)
    }

    /// The process of this number.
    pub fn get_mut(&mut self, number: usize) -> Option<&mut Process> {
        self.all.get_mut(number)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// All, in the order in which they were first seen.
    pub fn iter(&self) -> impl Iterator<Item = &Process> {
        self.all.iter()
    }

    /// The only thread that has not ended, where there is one.
    pub fn only(&self) -> Option<u32> {
        match self.threads.len() {
            1 => self.threads.keys().next().copied(),
            _ => None,
        }
    }

    /// Gives the first process, which strace did not name, its number; its key before and after.
    pub fn rename_first(&mut self, tid: u32) -> Option<(ProcessKey, ProcessKey)> {
        let number = self.threads.remove(&0)?;
        self.threads.insert(tid, number);
        let process = self.all.get_mut(number)?;
        process.threads.remove(&0);
        process.threads.insert(tid);
        let old = process.key;
        process.key.tgid = tid;
        Some((old, process.key))
    }

    /// A process that nobody in the trace forked.
    pub fn root(&mut self, tid: u32, start_ns: u64) -> Option<usize> {
        if self.all.len() >= MAX_PROCESSES {
            self.overflowed = true;
            return None;
        }
        self.directories.push(None);
        self.tables.push(Rc::default());
        let number = self.all.len();
        self.all.push(Process {
            key: ProcessKey {
                tgid: tid,
                start_ns,
            },
            parent: None,
            threads: HashSet::from([tid]),
            comm: None,
            uid: None,
            own_ids: false,
            executed: false,
            here: None,
            directory: self.directories.len() - 1,
            table: self.tables.len() - 1,
            shared: false,
            writings: HashMap::new(),
        });
        self.threads.insert(tid, number);
        Some(number)
    }

    /// A child of the process `parent`; a thread becomes part of it.
    pub fn child(
        &mut self,
        tid: u32,
        parent: usize,
        sharing: Sharing,
        start_ns: u64,
    ) -> Option<usize> {
        if sharing.thread {
            if self.threads.len() >= MAX_PROCESSES {
                self.overflowed = true;
                return None;
            }
            self.forgot |= !sharing.descriptors;
            self.all.get_mut(parent)?.threads.insert(tid);
            self.threads.insert(tid, parent);
            return Some(parent);
        }
        let (directory, table) = (self.all.get(parent)?.directory, self.all.get(parent)?.table);
        let number = self.root(tid, start_ns)?;
        let above = self.all.get_mut(parent)?;
        above.shared |= sharing.descriptors;
        let (comm, uid, executed) = (above.comm.clone(), above.uid, above.executed);
        let own_ids = above.own_ids || sharing.own_ids;
        let child = self.all.get_mut(number)?;
        (child.comm, child.uid, child.executed) = (comm, uid, executed);
        child.own_ids = own_ids;
        child.parent = Some(parent);
        if sharing.directory {
            child.directory = directory;
        } else {
            self.directories[child.directory] = self.directories[directory].clone();
        }
        if sharing.descriptors {
            child.table = table;
            child.shared = true;
        } else {
            self.tables[child.table] = Rc::clone(&self.tables[table]);
        }
        Some(number)
    }

    /// A thread ended. True: it was the last of its process.
    pub fn ended(&mut self, tid: u32) -> Option<(usize, bool)> {
        let number = self.threads.remove(&tid)?;
        let process = self.all.get_mut(number)?;
        process.threads.remove(&tid);
        Some((number, process.threads.is_empty()))
    }

    /// The process executed a program: of its threads only `tid` is left.
    pub fn alone(&mut self, number: usize, tid: u32) {
        let Some(process) = self.all.get_mut(number) else {
            return;
        };
        for thread in process.threads.drain() {
            self.threads.remove(&thread);
        }
        process.threads.insert(tid);
        self.threads.insert(tid, number);
        // Descriptors that were shared are its own from here on.
        if std::mem::take(&mut process.shared) {
            let table = Rc::clone(&self.tables[process.table]);
            self.tables.push(table);
            process.table = self.tables.len() - 1;
        }
    }

    fn table(&mut self, place: usize) -> &mut HashMap<i32, Descriptor> {
        let table = &mut self.tables[place];
        if Rc::strong_count(table) > 1 {
            self.copies += table.len();
            if self.copies > MAX_COPIES {
                *table = Rc::default();
                self.forgot = true;
            }
        }
        Rc::make_mut(table)
    }

    /// Working directory.
    pub fn directory(&self, number: usize) -> Option<&Resolved> {
        let place = self.all.get(number)?.directory;
        self.directories.get(place)?.as_deref()
    }

    /// Sets the working directory.
    pub fn set_directory(&mut self, number: usize, directory: Option<Resolved>) {
        if let Some(process) = self.all.get(number) {
            self.directories[process.directory] = directory.map(Rc::new);
        }
    }

    /// A descriptor.
    pub fn descriptor(&self, number: usize, fd: i32) -> Option<&Descriptor> {
        self.tables.get(self.all.get(number)?.table)?.get(&fd)
    }

    /// Changes a descriptor, which is made where it is missing.
    pub fn change(&mut self, number: usize, fd: i32, change: impl FnOnce(&mut Descriptor)) {
        let Some(process) = self.all.get(number) else {
            return;
        };
        let place = process.table;
        let table = &self.tables[place];
        if table.len() < MAX_DESCRIPTORS || table.contains_key(&fd) {
            change(self.table(place).entry(fd).or_default());
        } else {
            self.forgot = true;
        }
    }

    /// Forgets a descriptor.
    pub fn close(&mut self, number: usize, fd: i32) {
        if let Some(process) = self.all.get(number)
            && self.tables[process.table].contains_key(&fd)
        {
            let place = process.table;
            self.table(place).remove(&fd);
        }
    }

    /// Forgets the descriptors for which `is_closed` holds, and names those that were written to.
    pub fn close_where(
        &mut self,
        number: usize,
        is_closed: impl Fn(i32, Option<&Descriptor>) -> bool,
    ) -> Vec<i32> {
        let Some(process) = self.all.get(number) else {
            return Vec::new();
        };
        let place = process.table;
        let table = &self.tables[place];
        let mut written: Vec<i32> = process.writings.keys().copied().collect();
        written.retain(|fd| is_closed(*fd, table.get(fd)));
        written.sort_unstable();
        if table.iter().any(|(fd, one)| is_closed(*fd, Some(one))) {
            self.table(place)
                .retain(|fd, one| !is_closed(*fd, Some(one)));
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_and_forks_share_what_they_share() {
        let mut all = Processes::default();
        let root = all.root(1, 10).unwrap();
        let here = |path: &str| {
            Some(Resolved {
                path: path.to_owned(),
                sure: true,
            })
        };
        all.set_directory(root, here("/a"));
        all.change(root, 3, |fd| fd.cloexec = true);
        let thread = Sharing {
            thread: true,
            ..Sharing::default()
        };
        assert_eq!(all.child(2, root, thread, 20), Some(root));
        let forked = all.child(5, root, Sharing::default(), 30).unwrap();
        let shares = Sharing {
            directory: true,
            ..Sharing::default()
        };
        let with_us = all.child(6, root, shares, 40).unwrap();
        all.set_directory(root, here("/b"));
        assert_eq!(all.directory(forked).map(|at| &*at.path), Some("/a"));
        assert_eq!(all.directory(with_us).map(|at| &*at.path), Some("/b"));
        all.close(root, 3);
        assert!(all.descriptor(forked, 3).is_some());
        assert_eq!(all.ended(2), Some((root, false)));
        assert_eq!(all.only(), None);
        assert_eq!(all.ended(1), Some((root, true)));
        assert_eq!(all.ended(1), None);
        assert_eq!(
            all.close_where(forked, |_, fd| fd.is_some_and(|fd| fd.cloexec)),
            [] as [i32; 0]
        );
        assert!(all.descriptor(forked, 3).is_none());
    }
}
