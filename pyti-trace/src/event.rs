//! One thing the kernel saw, with its process, its outcome and its place in the order.

mod credentials;

use bitflags::bitflags;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use credentials::{CREDENTIAL_NAMES, CredentialChange, Credentials, Ids};

/// Version of [`Event`]'s meaning. Stored beside the events; readers refuse a newer one. Version 2
/// brought the Python stacks, version 3 all ids and capabilities of a change of credentials, and
/// results that are not known, version 4 when a write began.
pub const SCHEMA_VERSION: u32 = 4;

/// What happened. The names are those that rules, reports and the store use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A file was opened, or an open failed.
    Open,
    /// A file was written to; one event per open file, when it is closed. When it was first written to,
    /// [`Event::since_ns`] says.
    Write,
    /// A file or directory was renamed.
    Rename,
    /// A file was unlinked.
    Unlink,
    /// A directory was removed.
    Rmdir,
    /// A directory was made.
    Mkdir,
    /// A hard link was made.
    Link,
    /// A symbolic link was made.
    Symlink,
    /// A file's mode was changed.
    Chmod,
    /// A file's owner was changed.
    Chown,
    /// A file was truncated by path.
    Truncate,
    /// A program was executed, or an execution failed.
    Exec,
    /// A process (not a thread) was forked.
    Fork,
    /// A process ended.
    Exit,
    /// A socket was made.
    Socket,
    /// A socket was connected, or the connection failed.
    Connect,
    /// A socket was bound to an address.
    Bind,
    /// A socket started to listen.
    Listen,
    /// A connection was accepted.
    Accept,
    /// Bytes were sent to an address given with the call, or among the first 64 of a connection.
    Send,
    /// An anonymous file was made by `memfd_create`.
    MemfdCreate,
    /// A file descriptor was duplicated onto 0, 1 or 2, or was to be.
    Dup,
    /// Credentials changed, or were to be changed and are what they were.
    Creds,
    /// A process asked for access to another's memory or state, or gave it to its parent.
    Ptrace,
    /// A signal was sent to a process outside the sender's own.
    Signal,
    /// Memory was mapped or made executable.
    MmapExec,
    /// Somebody used bpf(), mounted, opened perf events or otherwise touched what watches it.
    Tamper,
}

/// The unit in which losses are counted and reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Family {
    /// Open, write, rename, unlink, rmdir, mkdir, link, symlink, chmod, chown, truncate.
    File = 0,
    /// Exec, fork, exit, dup, signal.
    Process = 1,
    /// Credentials.
    Privilege = 2,
    /// Memfd, ptrace, executable mappings.
    Memory = 3,
    /// Socket, connect, bind, listen, accept, send.
    Network = 4,
    /// What touches the watcher.
    Tampering = 5,
}

impl Family {
    /// Every family, in the order of its number.
    pub const ALL: [Self; 6] = [
        Self::File,
        Self::Process,
        Self::Privilege,
        Self::Memory,
        Self::Network,
        Self::Tampering,
    ];
}

impl Kind {
    /// The family whose losses concern this kind.
    #[must_use]
    pub fn family(self) -> Family {
        match self {
            Self::Open
            | Self::Write
            | Self::Rename
            | Self::Unlink
            | Self::Rmdir
            | Self::Mkdir
            | Self::Link
            | Self::Symlink
            | Self::Chmod
            | Self::Chown
            | Self::Truncate => Family::File,
            Self::Exec | Self::Fork | Self::Exit | Self::Dup | Self::Signal => Family::Process,
            Self::Creds => Family::Privilege,
            Self::MemfdCreate | Self::Ptrace | Self::MmapExec => Family::Memory,
            Self::Socket
            | Self::Connect
            | Self::Bind
            | Self::Listen
            | Self::Accept
            | Self::Send => Family::Network,
            Self::Tamper => Family::Tampering,
        }
    }
}

/// `RENAME_EXCHANGE`: include/uapi/linux/fs.h.
const RENAME_EXCHANGE: u64 = 1 << 1;

bitflags! {
    /// What in an event is incomplete. A truncated field holds its first bytes; an unreadable one is `None`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
    #[serde(transparent)]
    pub struct Incomplete: u32 {
        /// [`Event::path`] was cut.
        const PATH_TRUNCATED = 1;
        /// [`Event::path`] could not be read.
        const PATH_UNREADABLE = 1 << 1;
        /// [`Event::asked`] was cut.
        const ASKED_TRUNCATED = 1 << 2;
        /// [`Event::asked`] could not be read.
        const ASKED_UNREADABLE = 1 << 3;
        /// [`Event::target`] was cut.
        const TARGET_TRUNCATED = 1 << 4;
        /// [`Event::target`] could not be read.
        const TARGET_UNREADABLE = 1 << 5;
        /// [`Event::argv`] was cut.
        const ARGV_TRUNCATED = 1 << 6;
        /// [`Event::argv`] could not be read.
        const ARGV_UNREADABLE = 1 << 7;
        /// [`Event::env`] was cut.
        const ENV_TRUNCATED = 1 << 8;
        /// [`Event::env`] could not be read.
        const ENV_UNREADABLE = 1 << 9;
        /// [`Event::cwd`] was cut or could not be read.
        const CWD_INCOMPLETE = 1 << 10;
        /// [`Event::data`] was cut (it is a sample by design) or could not be read.
        const DATA_INCOMPLETE = 1 << 11;
        /// A dentry walk raced with a rename: the path may mix two moments.
        const PATH_RACED = 1 << 12;
        /// A text held bytes that are not UTF-8; they stand as `\xNN`.
        const ESCAPED = 1 << 13;
        /// [`Event::python`] has lost outer frames, or a part of a name.
        const PYTHON_INCOMPLETE = 1 << 14;
        /// How it ended is not known: [`Event::result`] says nothing, see [`Event::outcome`].
        const RESULT_UNKNOWN = 1 << 15;

        // From here on what traces made elsewhere leave open, or a kernel that refuses probes; all probes
        // set the last two for a path in mounts or below a root of a process's own.

        /// [`Event::uid`] and [`Event::caps`] are not known.
        const UID_UNKNOWN = 1 << 28;
        /// [`Event::comm`] is not known.
        const COMM_UNKNOWN = 1 << 29;
        /// [`Event::path`] is a name of the object that was not resolved: there may be a symbolic
        /// link on it, and the object may have another name. Without a path: where [`Event::asked`]
        /// starts from is not known.
        const PATH_UNRESOLVED = 1 << 30;
        /// [`Event::target`] was not resolved, like [`Self::PATH_UNRESOLVED`].
        const TARGET_UNRESOLVED = 1 << 31;
    }
}

/// A process for as long as the machine runs: pids recycle, the pair does not.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct ProcessKey {
    /// Thread group id in the initial PID namespace.
    pub tgid: u32,
    /// Start of the group's leader, nanoseconds of boot time.
    pub start_ns: u64,
}

/// One event. The first fields are always there; an `Option` is `None` where the kind has no such
/// field or where it could not be read (see [`Event::incomplete`]).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Event {
    /// What happened.
    pub kind: Kind,
    /// When, in nanoseconds since boot (`CLOCK_BOOTTIME`); of what takes time, its end.
    pub time_ns: u64,
    /// The CPU that recorded it.
    pub cpu: u32,
    /// Its number among the events of this CPU, without gaps unless events were lost.
    pub seq: u64,
    /// Who did it.
    pub process: ProcessKey,
    /// Thread id of the doer.
    pub tid: u32,
    /// The doer's parent.
    pub parent: ProcessKey,
    /// The tree that the doer belongs to, inherited at fork: 1 is the stage's first process.
    pub tree: u32,
    /// Effective user id.
    pub uid: u32,
    /// Effective capabilities.
    pub caps: u64,
    /// Name of the doing thread.
    pub comm: String,
    /// 0 or the call's positive result; a negative errno where it failed. Of ptrace and signal whether
    /// it was permitted. 0 as well where it is not known, which [`Event::outcome`] tells apart.
    #[serde(deserialize_with = "zero_where_null")]
    pub result: i64,
    /// What is cut or missing.
    pub incomplete: Incomplete,

    /// When what the event tells began, on the same clock as [`Self::time_ns`]: of a write when the file
    /// was first written to. See [`Self::began_ns`].
    pub since_ns: Option<u64>,
    /// Resolved absolute path of the object (file kinds, exec's executable, memfd name, unix socket).
    pub path: Option<String>,
    /// Path as it was asked for; a unix address that begins at the working directory. What was done, of
    /// tamper; the call, of a change of credentials that was refused.
    pub asked: Option<String>,
    /// New path of rename, link; text of symlink; interpreter of exec where it differs.
    pub target: Option<String>,
    /// Open flags (`O_*`), flags of rename (`RENAME_*`), mmap protection, bpf command, new effective
    /// capabilities of creds and of the child of fork, by kind.
    pub flags: Option<u64>,
    /// File mode for open with create, mkdir, chmod; new effective user id of creds and of the child of
    /// fork.
    pub mode: Option<u32>,
    /// Open made the file.
    pub created: Option<bool>,
    /// Bytes written or sent.
    pub bytes: Option<u64>,
    /// Device number as `stat` gives it (major << 20 | minor).
    pub dev: Option<u64>,
    /// Inode number.
    pub inode: Option<u64>,
    /// Link count; 0 on exec says the program has no file name any more.
    pub nlink: Option<u32>,
    /// First bytes written or sent.
    pub data: Option<Vec<u8>>,
    /// Arguments of exec; of one that failed, as they were in the caller's memory at its end.
    pub argv: Option<Vec<String>>,
    /// Environment of exec, `NAME=value`; of one that failed, like [`Self::argv`].
    pub env: Option<Vec<String>>,
    /// Working directory at exec. In a trace made elsewhere also where the relative path of a call
    /// that failed starts from.
    pub cwd: Option<String>,
    /// The process that the event is about: fork's child, ptrace's or signal's target.
    pub other: Option<ProcessKey>,
    /// Exit code (exit).
    pub exit_code: Option<i32>,
    /// Signal number (exit by signal, signal).
    pub signal: Option<u32>,
    /// Old and new file descriptor of dup.
    pub fds: Option<(i32, i32)>,
    /// Address family (`AF_*`): 1 unix, 2 inet, 10 inet6, 16 netlink, 17 packet.
    pub family: Option<u16>,
    /// Socket type (`SOCK_*`): 1 stream, 2 dgram, 3 raw.
    pub socktype: Option<u16>,
    /// Address in its usual text form; IPv4-mapped IPv6 addresses as IPv4. Unix paths stand in `path`.
    pub addr: Option<String>,
    /// Port, host order.
    pub port: Option<u16>,
    /// What the doer had and what it is given (creds): the same where that was refused.
    pub creds: Option<Box<CredentialChange>>,
    /// The Python stack of the doing thread, the innermost frame first; between fork and exec that
    /// of the thread that forked. As the interpreter's memory had it, which the package can write:
    /// it tells where to look and proves nothing. `None` where the doer ran no Python that is known
    /// (CPython 3.13), and in kinds for which nobody asks.
    pub python: Option<Vec<Frame>>,
}

/// What a Python thread was executing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Frame {
    /// The code's file as it was compiled (`co_filename`).
    pub file: String,
    /// Line, from 1; `None` where the code has none or it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Qualified name of the function (`co_qualname`).
    pub function: String,
}

impl Event {
    /// An event of this kind, by this process, that succeeded and of which nothing else is known.
    #[must_use]
    pub fn new(kind: Kind, process: ProcessKey, time_ns: u64) -> Self {
        Self {
            kind,
            time_ns,
            cpu: 0,
            seq: 0,
            process,
            tid: process.tgid,
            parent: ProcessKey::default(),
            tree: 1,
            uid: 0,
            caps: 0,
            comm: String::new(),
            result: 0,
            incomplete: Incomplete::default(),
            since_ns: None,
            path: None,
            asked: None,
            target: None,
            flags: None,
            mode: None,
            created: None,
            bytes: None,
            dev: None,
            inode: None,
            nlink: None,
            data: None,
            argv: None,
            env: None,
            cwd: None,
            other: None,
            exit_code: None,
            signal: None,
            fds: None,
            family: None,
            socktype: None,
            addr: None,
            port: None,
            creds: None,
            python: None,
        }
    }

    /// How it ended: [`Event::result`]; `None` where that is not known.
    #[must_use]
    pub fn outcome(&self) -> Option<i64> {
        let known = !self.incomplete.contains(Incomplete::RESULT_UNKNOWN);
        known.then_some(self.result)
    }

    /// It is a renaming by which two names change places, or were to: what [`Event::path`] named is named
    /// [`Event::target`] then, and the other way round.
    #[must_use]
    pub fn is_exchange(&self) -> bool {
        let flags = self.flags.unwrap_or_default();
        self.kind == Kind::Rename && flags & RENAME_EXCHANGE != 0
    }

    /// When it began: [`Event::since_ns`], or [`Event::time_ns`] where nothing says that it was earlier.
    #[must_use]
    pub fn began_ns(&self) -> u64 {
        let since_ns = self.since_ns.unwrap_or(self.time_ns);
        since_ns.min(self.time_ns)
    }
}

/// A result that is not known is null. What else is `None` is left out.
impl Serialize for Event {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        macro_rules! always {
            ($($field:ident)*) => {
                $(map.serialize_entry(stringify!($field), &self.$field)?;)*
            };
        }
        macro_rules! where_some {
            ($($field:ident)*) => {
                $(if let Some(value) = &self.$field {
                    map.serialize_entry(stringify!($field), value)?;
                })*
            };
        }
        always!(kind time_ns cpu seq process tid parent tree uid caps comm);
        map.serialize_entry("result", &self.outcome())?;
        always!(incomplete);
        where_some!(since_ns path asked target flags mode created bytes dev inode nlink data);
        where_some!(argv env cwd other exit_code signal fds family socktype addr port creds python);
        map.end()
    }
}

fn zero_where_null<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

/// Counters of one family, summed over CPUs. `seen == submitted + full + oversize + missed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FamilyCounters {
    /// Hook hits that had to become an event.
    pub seen: u64,
    /// Records handed to the ring buffer.
    pub submitted: u64,
    /// Lost because the ring buffer was full.
    pub full: u64,
    /// Lost because the record did not fit any size class or a scratch map was full.
    pub oversize: u64,
}

/// What the probes counted since the stage started.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// By family, in the order of [`Family::ALL`].
    pub families: [FamilyCounters; 6],
    /// Runs of a probe that the kernel skipped because it was already running on that CPU
    /// (`recursion_misses` of `bpf_prog_info`), over all programs.
    pub recursion_misses: u64,
    /// Processes that could not be entered into the tracked set.
    pub untracked: u64,
}
