//! The record: one event as the probes lay it out.

/// Version of the layout. User space refuses any other.
pub const VERSION: u16 = 3;
/// Bytes of a [`Record`] without its texts.
pub const RECORD_SIZE: usize = size_of::<Record>();
/// Longest text, bytes.
pub const TEXT_MAX: usize = 4096;
/// Number of families that are counted apart.
pub const FAMILIES: usize = 6;
/// Bytes of the ring buffer.
pub const RING_BYTES: u32 = 8 << 20;
/// Bytes of records after which a processor's probes wake a waiting reader. Below it the reader polls: a
/// wake-up per event costs more than the event.
pub const WAKE_BYTES: u64 = 256 * 1024;

/// The fixed part of an event. Numbers that the kind does not have are not in [`Record::has`], and
/// hold anything.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Record {
    /// Bytes of the whole record with its texts, a multiple of 8.
    pub size: u32,
    /// [`VERSION`].
    pub version: u16,
    /// One of [`kind`].
    pub kind: u16,
    /// CPU that wrote the record.
    pub cpu: u32,
    /// Bits of [`incomplete`].
    pub incomplete: u32,
    /// Number of the event on its CPU.
    pub seq: u64,
    /// `CLOCK_BOOTTIME`, nanoseconds.
    pub time_ns: u64,
    /// Thread group of the doer, in the initial PID namespace.
    pub tgid: u32,
    /// Thread of the doer.
    pub tid: u32,
    /// Start of the group's leader, nanoseconds of boot time.
    pub start_ns: u64,
    /// Thread group that forked the doer.
    pub parent_tgid: u32,
    /// Tree that the doer belongs to.
    pub tree: u32,
    /// Start of the parent's leader.
    pub parent_start_ns: u64,
    /// Effective user id.
    pub uid: u32,
    /// Bits of [`has`]: which of the numbers below are set.
    pub has: u32,
    /// Effective capabilities.
    pub caps: u64,
    /// Name of the thread, NUL-padded.
    pub comm: [u8; 16],
    /// 0 or the positive result; a negative errno. Nothing where [`incomplete`] has
    /// `RESULT_UNKNOWN`.
    pub result: i64,
    /// Flags, by kind.
    pub flags: u64,
    /// Bytes written or sent.
    pub bytes: u64,
    /// Inode number.
    pub inode: u64,
    /// Start of the other process; of a write, when the file was first written to.
    pub other_start_ns: u64,
    /// Thread group of the other process.
    pub other_tgid: u32,
    /// Device number as the kernel keeps it: major << 20 | minor.
    pub dev: u32,
    /// File mode.
    pub mode: u32,
    /// Link count.
    pub nlink: u32,
    /// Exit code.
    pub exit_code: i32,
    /// Signal.
    pub signal: u32,
    /// Old descriptor of dup, -1 where it is not known.
    pub fd_old: i32,
    /// New descriptor of dup.
    pub fd_new: i32,
    /// Address family.
    pub family: u16,
    /// Socket type.
    pub socktype: u16,
    /// Open made the file.
    pub created: u32,
}

/// What stands before the bytes of a text.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct TextHead {
    /// One of [`tag`].
    pub tag: u16,
    /// Bytes that follow, at most [`TEXT_MAX`].
    pub len: u16,
    /// Bytes that there were; more than `len` where the text was cut.
    pub full: u32,
}

/// Ids and capabilities as the kernel has them (`struct cred`, include/linux/cred.h).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Credentials {
    /// A user id in the lower half and a group id in the upper one of each: real, saved, effective, of
    /// the file system.
    pub ids: [u64; 4],
    /// Inheritable, permitted, effective.
    pub capabilities: [u64; 3],
}

/// Bytes of [`Credentials`].
pub const CREDENTIALS_SIZE: usize = size_of::<Credentials>();

/// Bits of [`Record::has`].
pub mod has {
    #![expect(
        missing_docs,
        reason = "each but one is named after the field of the record it stands for"
    )]
    pub const FLAGS: u32 = 1;
    pub const BYTES: u32 = 1 << 1;
    pub const INODE: u32 = 1 << 2;
    pub const OTHER: u32 = 1 << 3;
    pub const DEV: u32 = 1 << 4;
    pub const MODE: u32 = 1 << 5;
    pub const NLINK: u32 = 1 << 6;
    pub const EXIT_CODE: u32 = 1 << 7;
    pub const SIGNAL: u32 = 1 << 8;
    pub const FDS: u32 = 1 << 9;
    pub const FAMILY: u32 = 1 << 10;
    pub const SOCKTYPE: u32 = 1 << 11;
    pub const CREATED: u32 = 1 << 12;
    /// [`super::Record::other_start_ns`] is when the file was first written to.
    pub const SINCE: u32 = 1 << 13;
}

/// Bits of [`Record::incomplete`], the same numbers as `pyti_trace::event::Incomplete`.
pub mod incomplete {
    #![expect(missing_docs, reason = "described at `pyti_trace::event::Incomplete`")]
    pub const PATH_TRUNCATED: u32 = 1;
    pub const PATH_UNREADABLE: u32 = 1 << 1;
    pub const ASKED_UNREADABLE: u32 = 1 << 3;
    pub const TARGET_UNREADABLE: u32 = 1 << 5;
    pub const ARGV_TRUNCATED: u32 = 1 << 6;
    pub const ARGV_UNREADABLE: u32 = 1 << 7;
    pub const ENV_TRUNCATED: u32 = 1 << 8;
    pub const ENV_UNREADABLE: u32 = 1 << 9;
    pub const CWD_INCOMPLETE: u32 = 1 << 10;
    pub const DATA_INCOMPLETE: u32 = 1 << 11;
    pub const PATH_RACED: u32 = 1 << 12;
    pub const PYTHON_INCOMPLETE: u32 = 1 << 14;
    pub const RESULT_UNKNOWN: u32 = 1 << 15;
    pub const PATH_UNRESOLVED: u32 = 1 << 30;
    pub const TARGET_UNRESOLVED: u32 = 1 << 31;
}

/// What a text is.
pub mod tag {
    /// A whole path, or the directory where [`PATH_NAME`] follows.
    pub const PATH: u16 = 1;
    /// Last component of the path.
    pub const PATH_NAME: u16 = 2;
    /// The path as it was asked for.
    pub const ASKED: u16 = 3;
    /// The target's path, or its directory where [`TARGET_NAME`] follows.
    pub const TARGET: u16 = 4;
    /// Last component of the target. Where no [`TARGET`] stands before it, and none is marked as
    /// unreadable, its directory is that of [`PATH`].
    pub const TARGET_NAME: u16 = 5;
    /// Arguments, NUL after each.
    pub const ARGV: u16 = 6;
    /// Environment, NUL after each.
    pub const ENV: u16 = 7;
    /// Working directory.
    pub const CWD: u16 = 8;
    /// First bytes written or sent.
    pub const DATA: u16 = 9;
    /// A `sockaddr` as the kernel has it.
    pub const SOCKADDR: u16 = 10;
    /// One component of a path that was walked from its end: the last component comes first.
    pub const WALKED: u16 = 11;
    /// A [`FrameHead`](crate::FrameHead), then the name of the file of a Python frame. The innermost
    /// frame comes first.
    pub const FRAME_FILE: u16 = 12;
    /// The same with the name of the frame's function; follows [`FRAME_FILE`].
    pub const FRAME_FUNCTION: u16 = 13;
    /// [`Credentials`](crate::Credentials) before they were changed.
    pub const OLD_CREDENTIALS: u16 = 14;
    /// [`Credentials`](crate::Credentials) that they were changed to.
    pub const NEW_CREDENTIALS: u16 = 15;
    /// One component of the working directory, walked as [`WALKED`]; an empty one for the root.
    pub const WALKED_CWD: u16 = 16;
}

/// Numbers of the kinds, in the order of `pyti_trace::event::Kind`.
pub mod kind {
    #![expect(missing_docs, reason = "described at `pyti_trace::event::Kind`")]
    pub const OPEN: u16 = 0;
    pub const WRITE: u16 = 1;
    pub const RENAME: u16 = 2;
    pub const UNLINK: u16 = 3;
    pub const RMDIR: u16 = 4;
    pub const MKDIR: u16 = 5;
    pub const LINK: u16 = 6;
    pub const SYMLINK: u16 = 7;
    pub const CHMOD: u16 = 8;
    pub const CHOWN: u16 = 9;
    pub const TRUNCATE: u16 = 10;
    pub const EXEC: u16 = 11;
    pub const FORK: u16 = 12;
    pub const EXIT: u16 = 13;
    pub const SOCKET: u16 = 14;
    pub const CONNECT: u16 = 15;
    pub const BIND: u16 = 16;
    pub const LISTEN: u16 = 17;
    pub const ACCEPT: u16 = 18;
    pub const SEND: u16 = 19;
    pub const MEMFD_CREATE: u16 = 20;
    pub const DUP: u16 = 21;
    pub const CREDS: u16 = 22;
    pub const PTRACE: u16 = 23;
    pub const SIGNAL: u16 = 24;
    pub const MMAP_EXEC: u16 = 25;
    pub const TAMPER: u16 = 26;

    /// Index of the family that counts the kind, as in `pyti_trace::event::Family`.
    #[must_use]
    #[inline(always)]
    pub const fn family(kind: u16) -> usize {
        match kind {
            OPEN..=TRUNCATE => 0,
            EXEC..=EXIT | DUP | SIGNAL => 1,
            CREDS => 2,
            MEMFD_CREATE | PTRACE | MMAP_EXEC => 3,
            SOCKET..=SEND => 4,
            _ => 5,
        }
    }
}

/// Key of a file that a process wrote to and has not closed.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct WriteKey {
    /// Address of the kernel's `struct file`.
    pub file: u64,
    /// Thread group.
    pub tgid: u32,
    /// Nothing.
    pub pad: u32,
}

/// Bytes of a path, with its NUL, that stand beside what else is known of such a file.
pub const SHORT_PATH: usize = 256;
/// Bytes kept of what was written first.
pub const SAMPLE: usize = 64;

/// What is known of such a file.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Written {
    /// Bytes written so far.
    pub bytes: u64,
    /// Tells the file from a later one at the same address.
    pub inode: u64,
    /// Offset in the file of the first byte of the sample: the lowest one that was written to.
    pub sample_at: u64,
    /// Bytes of the path with its NUL; 0 where it could not be read.
    pub path_len: u32,
    /// Bytes of the sample.
    pub sample_len: u32,
    /// Bits of [`incomplete`] that the path has.
    pub incomplete: u32,
    /// Not 0: something was written there that nobody saw. The sample says nothing.
    pub unseen: u32,
    /// What the last refused write returned.
    pub refused: i64,
    /// When it was first written to, nanoseconds of boot time.
    pub since_ns: u64,
    /// What the file has there, as it was written last.
    pub sample: [u8; SAMPLE],
    /// The path when it was first written to, where it has room here. An entry is copied when it is
    /// made, and few paths are longer.
    pub path: [u8; SHORT_PATH],
}

/// A tracked process.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Process {
    /// Start of the leader, nanoseconds of boot time.
    pub start_ns: u64,
    /// Start of the leader of the process that forked it.
    pub parent_start_ns: u64,
    /// The process that forked it.
    pub parent_tgid: u32,
    /// Tree, inherited at fork.
    pub tree: u32,
}

/// What one CPU counted of one family.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct FamilyCount {
    /// Hook hits that had to become an event.
    pub seen: u64,
    /// Records handed to the ring buffer.
    pub submitted: u64,
    /// Lost: the ring buffer was full.
    pub full: u64,
    /// Lost: no slot or no room for a file that is written to, or the record too long.
    pub oversize: u64,
}

/// What one CPU counted.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct CpuCounters {
    /// Number of the next event.
    pub seq: u64,
    /// Processes that did not fit the tracked set.
    pub untracked: u64,
    /// Bytes of records since the reader was last woken.
    pub since_wake: u64,
    /// By family.
    pub families: [FamilyCount; FAMILIES],
}
