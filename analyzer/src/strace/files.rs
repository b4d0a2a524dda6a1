//! Files that are opened, descriptors, and what is learnt of files in passing.

use std::rc::Rc;

use pyti_trace::event::{Incomplete, Kind};

use super::arg::{Arg, Shown};
use super::call::Call;
use super::changes::understood;
use super::import::{Importer, Who};
use super::names::{
    O_CLOEXEC, O_CREAT, O_EXCL, O_NOFOLLOW, O_TMPFILE, O_TRUNC, OPEN_FLAGS, flags, number,
};
use super::offsets::Road;
use super::paths::{Identity, Last, Resolved};
use super::processes::Descriptor;
use super::text::text;
use crate::rules::is_terminal;

/// Types of files (include/uapi/linux/stat.h).
const S_IFIFO: u32 = 0o010_000;
const S_IFCHR: u32 = 0o020_000;
/// `/dev/null`, as every system has it.
const NULL: u32 = S_IFCHR | 0o666;
/// No socket, and no more is told: a named pipe looks like a file, and a block device's type has the bit of
/// a character device's in it.
const NO_SOCKET: u32 = 0;
const ENOENT: i64 = -2;
const EINVAL: i64 = -22;

impl Importer {
    pub(super) fn open(&mut self, who: Who, call: &Call<'_>) {
        let Some(result) = call.result else { return };
        let (at, path, how, mode) = match call.name {
            "open" => (None, call.arg(0), call.word(1), call.arg(2)),
            "creat" => (
                None,
                call.arg(0),
                Some("O_WRONLY|O_CREAT|O_TRUNC"),
                call.arg(1),
            ),
            "openat" => (call.arg(0), call.arg(1), call.word(2), call.arg(3)),
            "openat2" => {
                let field = |name| call.arg(2).and_then(|how| how.field(name));
                let how = field("flags").and_then(Arg::word);
                (call.arg(0), call.arg(1), how, field("mode"))
            }
            // open_by_handle_at: the file is named by a number.
            _ => (call.arg(0), None, call.word(2), None),
        };
        let flags = how.and_then(|how| flags(how, OPEN_FLAGS));
        let has = |bit: u64| flags.is_some_and(|flags| flags & bit == bit);
        let itself = has(O_NOFOLLOW) || has(O_CREAT | O_EXCL);
        let last = if itself { Last::Itself } else { Last::Followed };
        let asked = self.asked(who.process, at, path, last);
        let mut draft = self.draft(Kind::Open, who.process, who.tid, result);
        asked.apply(&mut draft.event);
        draft.event.flags = flags;
        // What is made has no name: the path is that of the directory.
        if has(O_TMPFILE) && draft.event.path.take().is_some() {
            draft.event.incomplete.remove(Incomplete::PATH_UNRESOLVED);
            draft.event.incomplete |= Incomplete::PATH_UNREADABLE;
        }
        if has(O_CREAT) || has(O_TMPFILE) {
            draft.event.mode = mode
                .and_then(Arg::word)
                .and_then(number)
                .map(|mode| mode as u32);
        }
        if result < 0 {
            if result == ENOENT
                && let Some(resolved) = &asked.resolved
            {
                self.paths.missed(&resolved.path);
            }
            let may = |bit: u64| self.unknown && flags.is_none_or(|flags| flags & bit != 0);
            let (may_make, may_cut) = (may(O_CREAT), may(O_TRUNC));
            if may_make {
                self.paths.doubt(asked.resolved.as_ref());
            } else if self.unknown && !has(O_TMPFILE) {
                draft.event.created = Some(false);
            }
            if may_cut {
                self.offsets.shrank(None);
            }
            self.keep(draft);
            return;
        }
        if let Some(shown) = &call.shown {
            self.doubts.any_shown = true;
            let incomplete = &mut draft.event.incomplete;
            incomplete.remove(Incomplete::PATH_UNRESOLVED | Incomplete::PATH_UNREADABLE);
            incomplete.remove(Incomplete::PATH_TRUNCATED);
            draft.event.path = name_of(shown);
            incomplete.set(Incomplete::PATH_UNREADABLE, draft.event.path.is_none());
        }
        // One that is made by this was no longer before.
        let new = O_CREAT | O_EXCL;
        if flags.is_none_or(|flags| flags & O_TRUNC != 0 && flags & new != new) {
            let at = match &call.shown {
                Some(Shown::File { path, .. }) if !self.paths.is_shifted() => Some(&**path),
                _ => None,
            };
            self.offsets.shrank(at);
        }
        let deleted = matches!(call.shown, Some(Shown::File { deleted: true, .. }));
        let device = matches!(
            call.shown,
            Some(Shown::File {
                device: Some(_),
                ..
            })
        );
        self.nameless |= deleted;
        let path = draft.event.path.clone().filter(|_| !deleted);
        draft.event.created = match (&path, flags) {
            (_, None) => None,
            (_, Some(flags)) if flags & O_TMPFILE != 0 => Some(true),
            (_, Some(flags)) if flags & O_CREAT == 0 || device => Some(false),
            (_, Some(flags)) if flags & O_EXCL != 0 => Some(true),
            (Some(path), Some(_)) => self.paths.is_new(path),
            (None, Some(_)) => None,
        };
        if let Some(path) = &path
            && let Some(identity) = self.paths.identity(path)
            && draft.event.created == Some(false)
        {
            (draft.event.dev, draft.event.inode) = (Some(identity.dev), Some(identity.inode));
        }
        if call.shown.is_some()
            && let Some(path) = &path
        {
            self.paths.saw(path);
        }
        if let Ok(fd) = i32::try_from(result) {
            self.flush(who, fd);
            let descriptor = Descriptor {
                path: draft.event.path.as_deref().map(Rc::from),
                nameless: deleted,
                cloexec: has(O_CLOEXEC),
                road: Road::opened(flags),
                ..Descriptor::default()
            };
            // A path that was not resolved is none to tell a descriptor by.
            if call.shown.is_some() {
                self.processes
                    .change(who.process, fd, |old| *old = descriptor);
            } else {
                self.processes.close(who.process, fd);
            }
        }
        self.keep(draft);
    }

    /// `mknod`: a file is made, as by an open.
    pub(super) fn make_node(&mut self, who: Who, call: &Call<'_>) {
        let Some(result) = understood(call) else {
            return;
        };
        let (at, path, mode) = match call.name {
            "mknod" => (None, call.arg(0), call.word(1)),
            _ => (call.arg(0), call.arg(1), call.word(2)),
        };
        let asked = self.asked(who.process, at, path, Last::Itself);
        let mut draft = self.draft(Kind::Open, who.process, who.tid, result);
        asked.apply(&mut draft.event);
        // As the probes have it: what mknod does, in flags of open.
        draft.event.flags = Some(O_CREAT | O_EXCL);
        let permissions = mode.and_then(|mode| mode.split('|').find_map(number));
        draft.event.mode = permissions.map(|mode| mode as u32 & 0o7777);
        if result >= 0 {
            draft.event.created = Some(true);
            match &asked.resolved {
                Some(at) if at.sure => self.paths.saw(&at.path),
                at => self.paths.doubt(at.as_ref()),
            }
        } else if self.unknown {
            self.paths.doubt(asked.resolved.as_ref());
        }
        self.keep(draft);
    }

    /// `mq_open`: a queue of messages is a file of a file system of its own, and told by its name there. What
    /// is refused comes to no file, as in the probes' record.
    pub(super) fn open_queue(&mut self, who: Who, call: &Call<'_>) {
        let done = |result: &i64| *result >= 0 || self.unknown;
        let Some(result) = call.result.filter(done) else {
            return;
        };
        let mut draft = self.draft(Kind::Open, who.process, who.tid, result);
        let event = &mut draft.event;
        event.incomplete |= Incomplete::ASKED_UNREADABLE;
        event.flags = call.word(1).and_then(|word| flags(word, OPEN_FLAGS));
        match call.arg(0) {
            Some(Arg::Text(name, cut)) => {
                let (name, escaped) = text(name);
                event.path = Some(format!("/{name}"));
                event.incomplete.set(Incomplete::PATH_TRUNCATED, *cut);
                if escaped {
                    event.incomplete |= Incomplete::ESCAPED;
                }
            }
            _ => event.incomplete |= Incomplete::PATH_UNREADABLE,
        }
        if let Ok(fd @ 0..) = i32::try_from(result) {
            self.flush(who, fd);
            self.processes.change(who.process, fd, |one| {
                *one = Descriptor {
                    cloexec: true,
                    ..Descriptor::default()
                };
            });
        }
        self.keep(draft);
    }

    pub(super) fn close(&mut self, who: Who, call: &Call<'_>) {
        if call.name == "close" {
            // What is written there goes on as one, if it was not closed.
            if self.unknown {
                return;
            }
            if let Some(fd) = call.int(0).and_then(|fd| i32::try_from(fd).ok()) {
                self.flush(who, fd);
                self.processes.close(who.process, fd);
            }
            return;
        }
        let (first, last) = (call.int(0), call.int(1));
        let (Some(first), Some(last)) = (first, last) else {
            return;
        };
        let only_marks = call.word(2).is_some_and(|flags| flags.contains("CLOEXEC"));
        let own = call.word(2).is_some_and(|flags| flags.contains("UNSHARE"));
        self.offsets.untold |= own && call.result == Some(0);
        if call.result == Some(0) && !only_marks {
            self.flush_where(who, |fd, _| (first..=last).contains(&i64::from(fd)));
        }
    }

    /// dup, dup2, dup3 and `F_DUPFD`; an event where one of the first three is replaced.
    pub(super) fn duplicate(&mut self, who: Who, call: &Call<'_>) {
        let command = call.word(1).unwrap_or_default();
        if call.name.starts_with("fcntl") {
            if command == "F_SETFD"
                && call.result == Some(0)
                && let Some(fd) = call.int(0).and_then(|fd| i32::try_from(fd).ok())
            {
                let cloexec = call
                    .word(2)
                    .is_some_and(|flags| flags.contains("FD_CLOEXEC"));
                self.processes
                    .change(who.process, fd, |one| one.cloexec = cloexec);
            }
            if command == "F_SETFL" {
                self.set_flags(who, call);
            }
            if !["F_DUPFD", "F_DUPFD_CLOEXEC"].contains(&command) {
                return;
            }
        }
        let old = call.int(0).and_then(|fd| i32::try_from(fd).ok());
        let new = match call.name {
            "dup2" | "dup3" if self.unknown => call.int(1),
            _ => call.result,
        };
        let new = new.and_then(|fd| i32::try_from(fd).ok());
        let (Some(old), Some(new)) = (old, new.filter(|new| *new >= 0)) else {
            self.doubts.unended_calls += u64::from(self.unknown);
            return;
        };
        if old != new && !self.unknown {
            self.flush(who, new);
            let mut copy = self
                .processes
                .descriptor(who.process, old)
                .cloned()
                .unwrap_or_default();
            let cloexec = call.word(2).is_some_and(|flags| flags.contains("CLOEXEC"));
            copy.cloexec = cloexec || command == "F_DUPFD_CLOEXEC";
            self.processes.change(who.process, new, |one| *one = copy);
        }
        if (0..=2).contains(&new) {
            let mut draft = self.draft(Kind::Dup, who.process, who.tid, 0);
            draft.event.fds = Some((old, new));
            self.describe_socket(who, call.arg(0), &mut draft.event);
            let shown = call.arg(0).and_then(Arg::shown);
            draft.event.mode = shown.and_then(mode);
            draft.event.path = shown.and_then(device_name).map(str::to_owned);
            self.keep(draft);
        }
    }

    pub(super) fn change_directory(&mut self, who: Who, call: &Call<'_>) {
        let to = match call.name {
            "chdir" => self.asked(who.process, None, call.arg(0), Last::Followed),
            _ => self.asked(who.process, call.arg(0), Some(&EMPTY), Last::Followed),
        };
        if call.result == Some(0) || self.unknown {
            let to = to.resolved.filter(|_| !self.unknown);
            self.processes.set_directory(who.process, to);
            if let Some(process) = self.processes.get_mut(who.process) {
                process.here = None;
            }
        }
    }

    /// Learns from a lookup: that nothing is there, that it is no link, which file it is.
    pub(super) fn look(&mut self, who: Who, call: &Call<'_>) {
        let Some(result) = call.result else { return };
        let (at, path, shows) = match call.name {
            "fstat" | "fstat64" => (call.arg(0), Some(&EMPTY), call.arg(1)),
            "newfstatat" | "fstatat64" => (call.arg(0), call.arg(1), call.arg(2)),
            "statx" => (call.arg(0), call.arg(1), call.arg(4)),
            "faccessat" | "faccessat2" | "readlinkat" => (call.arg(0), call.arg(1), None),
            _ => (None, call.arg(0), call.arg(1)),
        };
        let itself = call.name.starts_with("lstat")
            || call.name.starts_with("readlink")
            || call.args.iter().any(|arg| {
                let flags = arg.word().unwrap_or_default();
                flags.split('|').any(|flag| flag == "AT_SYMLINK_NOFOLLOW")
            });
        let last = if itself { Last::Itself } else { Last::Followed };
        let Some(Resolved { path, sure }) = self.asked(who.process, at, path, last).resolved else {
            return;
        };
        if result == ENOENT {
            self.paths.missed(&path);
            return;
        }
        let reads_link = call.name.starts_with("readlink");
        if reads_link && result == EINVAL && sure {
            self.paths.saw(&path);
        }
        let Some(shows) = shows.filter(|_| result == 0 && !reads_link) else {
            return;
        };
        let field = |names: [&str; 2]| names.iter().find_map(|name| shows.field(name));
        let mode = field(["st_mode", "stx_mode"]).and_then(Arg::word);
        let is_link = mode.is_none_or(|mode| mode.starts_with("S_IFLNK"));
        if itself && sure && !is_link {
            self.paths.saw(&path);
        }
        let inode = field(["st_ino", "stx_ino"]).and_then(Arg::int);
        let dev = match shows.field("st_dev") {
            Some(Arg::Of("makedev", parts)) => device(parts.first(), parts.get(1)),
            _ => device(shows.field("stx_dev_major"), shows.field("stx_dev_minor")),
        };
        // A name that may lead elsewhere may lead to another file later.
        if let (Some(inode), Some(dev), true, false) = (inode, dev, sure, itself && is_link) {
            let nlink = field(["st_nlink", "stx_nlink"]).and_then(Arg::int);
            let identity = Identity {
                dev,
                inode: inode as u64,
                nlink: nlink.and_then(|nlink| nlink.try_into().ok()),
            };
            self.paths.identify(&path, identity);
        }
    }
}

/// An empty path: the descriptor itself.
pub(super) const EMPTY: Arg<'static> = Arg::Text(Vec::new(), false);

/// As [`pyti_trace::event::Event::dev`] has it.
fn device(major: Option<&Arg<'_>>, minor: Option<&Arg<'_>>) -> Option<u64> {
    let number = |part: Option<&Arg<'_>>| u32::try_from(part?.int()?).ok().map(u64::from);
    Some(number(major)? << 20 | number(minor)?)
}

/// The path of a file as the kernel gives it.
pub(super) fn name_of(shown: &Shown) -> Option<String> {
    match shown {
        Shown::File {
            path,
            deleted: true,
            ..
        } => Some(format!("{path} (deleted)")),
        Shown::File { path, .. } => Some(path.clone()),
        _ => None,
    }
}

/// Type and permissions of what is no socket, as far as they are told.
fn mode(shown: &Shown) -> Option<u32> {
    let (path, device) = match shown {
        Shown::File { path, device, .. } => (path.as_str(), device.as_deref()),
        Shown::Pipe => return Some(S_IFIFO),
        Shown::Process(_) | Shown::UserNamespace | Shown::Other => return Some(NO_SOCKET),
        Shown::Socket { .. } => return None,
    };
    Some(match device {
        Some("char 1:3") if path == "/dev/null" => NULL,
        Some(kind) if kind.starts_with("char ") => S_IFCHR,
        // Without -yy nothing else tells.
        None if is_terminal(path) => S_IFCHR,
        _ => NO_SOCKET,
    })
}

/// The name of a character device, by which a terminal is told from others.
fn device_name(shown: &Shown) -> Option<&str> {
    match shown {
        Shown::File { path, .. } if mode(shown)? & S_IFCHR != 0 => Some(path),
        _ => None,
    }
}

/// Neither a device nor what is no file at all.
pub(super) fn is_regular(shown: &Shown) -> bool {
    match shown {
        Shown::File {
            device: Some(_), ..
        } => false,
        Shown::File { path, .. } => !path.starts_with("/dev/") || path.starts_with("/dev/shm/"),
        _ => false,
    }
}
