//! Reads a trace line by line and keeps what happened as events.

use std::collections::{HashMap, HashSet, VecDeque};

use pyti_trace::event::{Event, Incomplete, Kind};

use super::arg::{Arg, Shown};
use super::births::{Birth, births, fork_flags, sharing};
use super::call::{self, Call};
use super::doubts::Doubts;
use super::line::{self, What};
use super::lines::Lines;
use super::offsets::Offsets;
use super::paths::Paths;
use super::processes::{Processes, Sharing};
use super::tamper::EPERM;
use super::writes::gives_content;
use super::{Limits, StraceError};

/// Who makes a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Who {
    /// Number of the process.
    pub process: usize,
    /// The thread.
    pub tid: u32,
}

/// The beginning of a call that has not returned.
#[derive(Debug)]
pub(super) struct Pending {
    /// See [`Importer::begun_ns`].
    pub begun_ns: u64,
    pub text: Vec<u8>,
}

/// The state of an import.
#[derive(Debug)]
pub(super) struct Importer {
    pub limits: Limits,
    pub processes: Processes,
    pub paths: Paths,
    pub offsets: Offsets,
    pub doubts: Doubts,
    pub events: Vec<Event>,
    /// Bytes of texts in the events.
    pub text: usize,
    /// The time of the next event: it only grows.
    pub now_ns: u64,
    /// That time when the call began that is looked at.
    pub begun_ns: u64,
    /// The time of the first line.
    pub first_ns: Option<u64>,
    /// Calls that could not be read.
    pub unreadable: u64,
    /// How the first process ended: exit status or signal.
    pub end: Option<Result<i32, u32>>,
    /// `HOME` of the first program, where its environment is shown.
    pub home: Option<String>,
    /// The first program's arguments.
    pub command: Option<Vec<String>>,
    /// Some file without a name was there to be executed.
    pub nameless: bool,
    /// By thread.
    pub pending: HashMap<u32, Pending>,
    /// What came of the call that is looked at the trace does not tell.
    pub unknown: bool,
    /// By child, in the order of their return.
    births: HashMap<u32, VecDeque<Birth>>,
    /// Children of which no line has told yet.
    silent: HashSet<u32>,
    line: usize,
}

impl Importer {
    /// Reads all of it. `more` says that the trace goes on behind `text`.
    pub fn read(text: &[u8], more: bool, limits: Limits) -> Result<Self, StraceError> {
        let mut importer = Self {
            limits,
            processes: Processes::default(),
            paths: Paths::default(),
            offsets: Offsets::default(),
            doubts: Doubts::default(),
            events: Vec::new(),
            text: 0,
            now_ns: 0,
            begun_ns: 0,
            first_ns: None,
            unreadable: 0,
            end: None,
            home: None,
            command: None,
            nameless: false,
            pending: HashMap::new(),
            unknown: false,
            births: births(text),
            silent: HashSet::new(),
            line: 0,
        };
        let mut lines = Lines::new(text);
        while let Some((number, line, whole)) = lines.next_line() {
            importer.line = number;
            let last = lines.rest.is_empty();
            if line.len() > importer.limits.line {
                return Err(StraceError::Long {
                    line: number,
                    limit: importer.limits.line,
                });
            }
            match line::parse(&line) {
                Ok(Some(read)) => importer.see(&read),
                Ok(None) => {}
                Err(_) if last && (!whole || more) && importer.first_ns.is_some() => {
                    importer.doubts.torn = true;
                }
                Err(reason) => {
                    return Err(StraceError::Line {
                        line: number,
                        reason,
                        text: String::from_utf8_lossy(&line[..line.len().min(200)]).into_owned(),
                    });
                }
            }
            importer.doubts.torn |= last && !whole && !more;
        }
        if more {
            importer.doubts.limit.get_or_insert_with(|| {
                format!("only its first {} MiB were read", text.len() >> 20)
            });
        }
        if importer.first_ns.is_none() {
            return Err(StraceError::Empty);
        }
        importer.finish();
        Ok(importer)
    }

    fn finish(&mut self) {
        self.all_unfinished();
        let doubts = &mut self.doubts;
        doubts.unfollowed = self.silent.len() as u64;
        doubts.unended = self
            .processes
            .iter()
            .skip(1)
            .filter(|process| process.threads().any(|tid| !self.silent.contains(&tid)))
            .count() as u64;
        if self.processes.overflowed {
            doubts
                .limit
                .get_or_insert_with(|| "it has more processes than can be told apart".to_owned());
        }
    }

    fn see(&mut self, line: &line::Line<'_>) {
        self.first_ns.get_or_insert(line.time_ns);
        self.now_ns = self.now_ns.max(line.time_ns);
        self.doubts.mixed |= line.mixed;
        self.doubts.unnumbered |= line.tid.is_none();
        let Some(who) = self.who(line.tid) else {
            self.doubts.unassigned += u64::from(!self.processes.overflowed);
            return;
        };
        self.silent.remove(&who.tid);
        self.begun_ns = self.now_ns;
        match line.what {
            What::Call(text) => self.call(who, text),
            What::Begun(text, moved) => {
                self.began(who, text);
                let tid = moved.unwrap_or(who.tid);
                // What the thread did whose number it takes has no end.
                self.unfinished(Who { tid, ..who });
                let begun = Pending {
                    begun_ns: self.now_ns,
                    text: text.to_vec(),
                };
                self.pending.insert(tid, begun);
            }
            What::Rest(name, rest) => {
                if let Some(mut begun) = self.pending.remove(&who.tid) {
                    if call::name(&begun.text) == Some(name) {
                        begun.text.extend_from_slice(rest);
                        self.returned(who, &begun);
                    } else {
                        self.unreadable += 1;
                    }
                }
            }
            What::Exited(status) => self.ended(who, Ok(status)),
            What::Killed(signal) => self.ended(who, Err(signal)),
            What::Superseded(by) => {
                // What that one executes goes on under this number.
                if let Some(begun) = self.pending.remove(&by) {
                    self.unfinished(who);
                    self.pending.insert(who.tid, begun);
                }
                self.alone(who);
            }
            What::Remark => {}
        }
    }

    /// Whose line it is. A thread that is new was forked by somebody, is the first, or a stranger.
    fn who(&mut self, tid: Option<u32>) -> Option<Who> {
        let Some(tid) = tid else {
            let tid = match self.processes.only() {
                Some(tid) => tid,
                // Without -f and -o strace does not name it.
                None if self.processes.len() == 0 => {
                    self.processes.root(0, self.now_ns)?;
                    0
                }
                None => return None,
            };
            let process = self.processes.of(tid)?;
            return Some(Who { process, tid });
        };
        if let Some(process) = self.processes.of(tid) {
            return Some(Who { process, tid });
        }
        let birth = self.births.get_mut(&tid).and_then(VecDeque::pop_front);
        if let Some(birth) = birth
            && let Some(parent) = self.parent(birth.parent)
        {
            let process = self.born(tid, parent, birth.sharing)?;
            return Some(Who { process, tid });
        }
        // The first process, which strace did not name as long as it was alone.
        if let Some(process) = self.processes.of(0) {
            self.name_first(tid);
            return Some(Who { process, tid });
        }
        let stranger = self.processes.len() > 0;
        self.doubts.strangers += u64::from(stranger);
        self.offsets.untold |= stranger;
        let process = self.processes.root(tid, self.now_ns)?;
        Some(Who { process, tid })
    }

    /// The first process has this number.
    pub(super) fn name_first(&mut self, tid: u32) {
        let Some((old, new)) = self.processes.rename_first(tid) else {
            return;
        };
        for event in &mut self.events {
            let doers = [&mut event.process, &mut event.parent].into_iter();
            for key in doers.chain(event.other.iter_mut()) {
                if *key == old {
                    *key = new;
                }
            }
            if event.tid == 0 {
                event.tid = tid;
            }
        }
        if let Some(begun) = self.pending.remove(&0) {
            self.pending.insert(tid, begun);
        }
    }

    fn parent(&self, tid: Option<u32>) -> Option<Who> {
        let tid = match tid {
            Some(tid) if self.processes.of(tid).is_some() => tid,
            Some(_) => 0,
            None => self.processes.only()?,
        };
        let process = self.processes.of(tid)?;
        Some(Who { process, tid })
    }

    fn born(&mut self, tid: u32, parent: Who, sharing: Sharing) -> Option<usize> {
        self.doubts.user_namespace |= sharing.own_ids;
        let child = self
            .processes
            .child(tid, parent.process, sharing, self.now_ns)?;
        if !sharing.thread {
            let mut draft = self.draft(Kind::Fork, parent.process, parent.tid, 0);
            draft.other = Some(child);
            self.keep(draft);
        }
        Some(child)
    }

    /// A fork returned: its child may have spoken before.
    fn forked(&mut self, who: Who, call: &Call<'_>) {
        if call.result == Some(EPERM) {
            self.refuse_namespaces(who, fork_flags(call));
        }
        let Some(child) = call.result.and_then(|child| u32::try_from(child).ok()) else {
            return;
        };
        if child == 0 {
            return;
        }
        let due = self
            .births
            .get_mut(&child)
            .filter(|births| births.front().is_some_and(|birth| birth.line == self.line));
        if let Some(births) = due {
            births.pop_front();
            if self.processes.of(child).is_none() {
                self.born(child, who, sharing(call));
                self.silent.insert(child);
            }
        }
    }

    fn ended(&mut self, who: Who, end: Result<i32, u32>) {
        self.doubts.any_end |= end.is_ok();
        self.unfinished(who);
        let Some((process, true)) = self.processes.ended(who.tid) else {
            return;
        };
        self.flush_where(who, |_, _| true);
        if process == 0 {
            self.end = Some(end);
        }
        let mut draft = self.draft(Kind::Exit, process, who.tid, 0);
        match end {
            Ok(status) => draft.event.exit_code = Some(status),
            Err(signal) => draft.event.signal = Some(signal),
        }
        self.keep(draft);
    }

    /// The trace's first call begins it: a program that is executed, or it is not the beginning.
    fn began(&mut self, who: Who, text: &[u8]) {
        let first = self.processes.get(who.process);
        if who.process == 0
            && first.is_some_and(|first| !first.executed)
            && !text.starts_with(b"execve")
        {
            self.doubts.attached = true;
        }
    }

    /// A call that had begun before, with its end behind it.
    pub(super) fn returned(&mut self, who: Who, call: &Pending) {
        self.begun_ns = call.begun_ns;
        self.call(who, &call.text);
    }

    fn call(&mut self, who: Who, text: &[u8]) {
        let Some(name) = call::name(text) else {
            self.unreadable += 1;
            return;
        };
        self.began(who, text);
        self.doubts.call(name);
        if !self.doubts.any_failed {
            self.doubts.any_failed = text.windows(7).any(|part| part == b" = -1 E");
        }
        let Some(handler) = handler(name).filter(|_| self.matters(who, name, text)) else {
            return;
        };
        let Ok(call) = call::parse(text) else {
            self.unreadable += 1;
            return;
        };
        self.learn(&call);
        if call.result.is_some() {
            handler(self, who, &call);
        } else {
            self.uncertain(who, call, handler);
        }
    }

    /// Whether more of a call than its name is looked at.
    fn matters(&self, who: Who, name: &str, text: &[u8]) -> bool {
        match name {
            "ioctl" => gives_content(text),
            "read" | "readv" | "preadv2" => self.has_position(who, text),
            _ => true,
        }
    }

    /// Learns from what stands for descriptors.
    fn learn(&mut self, call: &Call<'_>) {
        let shown = call.args.iter().filter_map(Arg::shown);
        for shown in shown {
            self.doubts.any_shown = true;
            if let Shown::File { path, deleted, .. } = shown {
                if !deleted {
                    self.paths.saw(path);
                } else {
                    self.nameless = true;
                }
            }
        }
    }

    /// Marks arguments or bytes as cut.
    pub(super) fn note_cut(&mut self, event: &Event) {
        self.doubts.cut |= event.incomplete.contains(Incomplete::ARGV_TRUNCATED);
        self.doubts.cut |= event.incomplete.contains(Incomplete::ENV_TRUNCATED);
    }
}

/// What is made of a call.
pub(super) type Handler = for<'c> fn(&mut Importer, Who, &Call<'c>);

/// Which calls are looked at, and by what.
fn handler(name: &str) -> Option<Handler> {
    Some(match name {
        "fork" | "vfork" | "clone" | "clone3" => Importer::forked,
        "execve" | "execveat" => Importer::exec,
        "open" | "openat" | "openat2" | "creat" | "open_by_handle_at" => Importer::open,
        "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2" | "sendfile" | "sendfile64"
        | "copy_file_range" | "splice" => Importer::write,
        "read" | "readv" | "preadv2" => Importer::consume,
        "lseek" | "_llseek" => Importer::seek,
        "ioctl" => Importer::clone_file,
        "io_submit" => Importer::submit,
        "close" | "close_range" => Importer::close,
        "dup" | "dup2" | "dup3" | "fcntl" | "fcntl64" => Importer::duplicate,
        "chdir" | "fchdir" => Importer::change_directory,
        "unlink" | "unlinkat" | "rmdir" | "mkdir" | "mkdirat" | "chmod" | "fchmod" | "fchmodat"
        | "fchmodat2" | "chown" | "lchown" | "fchown" | "fchownat" | "chown32" | "lchown32"
        | "fchown32" | "truncate" | "truncate64" | "ftruncate" | "ftruncate64" => Importer::change,
        "mknod" | "mknodat" => Importer::make_node,
        "mq_open" => Importer::open_queue,
        "fallocate" => Importer::give_room,
        "rename" | "renameat" | "renameat2" | "link" | "linkat" => Importer::change_names,
        "symlink" | "symlinkat" => Importer::symlink,
        "stat" | "stat64" | "lstat" | "lstat64" | "newfstatat" | "fstatat64" | "fstat"
        | "fstat64" | "statx" | "access" | "faccessat" | "faccessat2" | "readlink"
        | "readlinkat" => Importer::look,
        "socket" => Importer::socket,
        "socketpair" => Importer::socket_pair,
        "connect" | "bind" => Importer::name_socket,
        "listen" => Importer::listen,
        "accept" | "accept4" => Importer::accept,
        "sendto" | "send" | "sendmsg" | "sendmmsg" => Importer::send,
        "chroot" | "pivot_root" | "mount" | "umount" | "umount2" | "move_mount"
        | "mount_setattr" => Importer::mount,
        "unshare" => Importer::unshare,
        "setns" => Importer::setns,
        "bpf" => Importer::bpf,
        "perf_event_open" | "init_module" | "finit_module" | "delete_module" | "kexec_load"
        | "kexec_file_load" | "reboot" | "syslog" => Importer::govern,
        "io_uring_setup" => Importer::ring,
        "prctl" | "set_tid_address" => Importer::name_thread,
        "geteuid" | "geteuid32" | "setuid" | "setuid32" | "setreuid" | "setreuid32"
        | "setresuid" | "setresuid32" | "setgid" | "setgid32" | "setregid" | "setregid32"
        | "setresgid" | "setresgid32" | "setfsuid" | "setfsuid32" | "setfsgid" | "setfsgid32"
        | "setgroups" | "setgroups32" | "capset" => Importer::credentials,
        "kill" | "tkill" | "tgkill" | "rt_sigqueueinfo" | "rt_tgsigqueueinfo"
        | "pidfd_send_signal" => Importer::signal,
        "ptrace" | "process_vm_readv" | "process_vm_writev" => Importer::ptrace,
        "pidfd_getfd" => Importer::take_descriptor,
        "memfd_create" => Importer::memfd,
        "mmap" | "mmap2" | "mprotect" | "pkey_mprotect" => Importer::map,
        "shmat" => Importer::attach_memory,
        _ => return None,
    })
}
