//! The protocol between the host and the agent: length-prefixed, versioned frames over one
//! virtio-serial port, in both directions.
//!
//! A frame is an 8-byte little-endian header and a payload:
//!
//! ```text
//! u32 length of the payload | u8 version | u8 kind | u16 reserved, 0 | payload
//! ```
//!
//! The host never trusts what arrives: once package code runs, the VM is hostile. [`FrameReader`]
//! bounds every length, and an unknown kind or version ends the stream with an error.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use crate::event::Counters;

/// Version of the frame format.
pub const VERSION: u8 = 4;
/// Longest payload in bytes.
pub const MAX_PAYLOAD: usize = 1 << 20;
/// Bytes of a frame's header.
pub const HEADER_LEN: usize = 8;
/// Name of the virtio-serial port.
pub const PORT_NAME: &str = "data.0";
/// Name under which a stage's [`Keep`] comes back, as pieces of a file.
pub const STATE: &str = "state.tar";

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// Host to agent: a [`StageSpec`], see [`StageSpec::encode`]; run it.
    Start = 1,
    /// Host to agent: end the stage now, report what there is.
    Stop = 2,
    /// Agent to host: a [`Ready`] as JSON; the template can be saved.
    Ready = 16,
    /// Agent to host: a [`Started`] as JSON; the stage's first process was released.
    Started = 17,
    /// Agent to host: records of the probes, whole ones, one after the other.
    Events = 18,
    /// Agent to host: bytes the stage wrote to standard output.
    Stdout = 19,
    /// Agent to host: bytes the stage wrote to standard error.
    Stderr = 20,
    /// Agent to host: a [`Heartbeat`] as JSON, at least once a second.
    Heartbeat = 21,
    /// Agent to host: a piece of a file the stage spec asked for, see [`FileChunk`].
    File = 22,
    /// Agent to host: a [`StageResult`] as JSON; always the last frame.
    Done = 23,
    /// Agent to host: a line of the agent's own diagnostics, UTF-8.
    Log = 24,
}

impl FrameKind {
    /// The kind with this number.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Start,
            2 => Self::Stop,
            16 => Self::Ready,
            17 => Self::Started,
            18 => Self::Events,
            19 => Self::Stdout,
            20 => Self::Stderr,
            21 => Self::Heartbeat,
            22 => Self::File,
            23 => Self::Done,
            24 => Self::Log,
            _ => return None,
        })
    }
}

/// Why a stream of frames ended early.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Reading or writing failed.
    #[error("failed to read or write a frame")]
    Io(#[from] io::Error),
    /// The other side speaks another version.
    #[error("frame of version {0}, this program speaks version {VERSION}")]
    Version(u8),
    /// A frame of an unknown kind.
    #[error("frame of unknown kind {0}")]
    Kind(u8),
    /// A frame longer than [`MAX_PAYLOAD`].
    #[error("frame of {0} bytes, at most {MAX_PAYLOAD} are allowed")]
    TooLong(usize),
    /// A payload that is not what its kind promises.
    #[error("a frame's payload is malformed")]
    Payload(#[from] postcard::Error),
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it holds.
    pub kind: FrameKind,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// The header of a frame with `len` bytes of payload.
///
/// # Errors
/// [`WireError::TooLong`] where `len` exceeds [`MAX_PAYLOAD`].
pub fn header(kind: FrameKind, len: usize) -> Result<[u8; HEADER_LEN], WireError> {
    let length = u32::try_from(len)
        .ok()
        .filter(|_| len <= MAX_PAYLOAD)
        .ok_or(WireError::TooLong(len))?;
    let [a, b, c, d] = length.to_le_bytes();
    Ok([a, b, c, d, VERSION, kind as u8, 0, 0])
}

/// Reads a header: the kind and the length of the payload that follows.
///
/// # Errors
/// Unknown version or kind, or too long a payload.
pub fn parse_header(bytes: [u8; HEADER_LEN]) -> Result<(FrameKind, usize), WireError> {
    let [a, b, c, d, version, kind, _, _] = bytes;
    if version != VERSION {
        return Err(WireError::Version(version));
    }
    let kind = FrameKind::from_u8(kind).ok_or(WireError::Kind(kind))?;
    let len = u32::from_le_bytes([a, b, c, d]) as usize;
    if len > MAX_PAYLOAD {
        return Err(WireError::TooLong(len));
    }
    Ok((kind, len))
}

/// Writes one frame.
///
/// # Errors
/// Too long a payload, or the writer's own error.
pub fn write_frame(out: &mut impl Write, kind: FrameKind, payload: &[u8]) -> Result<(), WireError> {
    out.write_all(&header(kind, payload.len())?)?;
    out.write_all(payload)?;
    Ok(())
}

/// Reads one frame; `None` at a clean end of the stream.
///
/// # Errors
/// Unknown version or kind, too long a payload, or a stream that ends inside a frame.
pub fn read_frame(input: &mut impl Read) -> Result<Option<Frame>, WireError> {
    let mut head = [0; HEADER_LEN];
    let mut got = 0;
    while got < HEADER_LEN {
        match input.read(&mut head[got..]) {
            Ok(0) if got == 0 => return Ok(None),
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(n) => got += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let (kind, len) = parse_header(head)?;
    let mut payload = vec![0; len];
    input.read_exact(&mut payload)?;
    Ok(Some(Frame { kind, payload }))
}

/// The agent is up, its probes are attached, the interpreter is warm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Version of the agent's package.
    pub agent: String,
    /// `uname -r`.
    pub kernel: String,
    /// Probes that are attached, by hook name.
    pub attached: Vec<String>,
    /// Probes that the kernel refused, with its reason.
    pub refused: Vec<(String, String)>,
    /// Programs and how many instructions the verifier walked through to accept each
    /// (`bpf_prog_info.verified_insns`): what makes it refuse one that grows.
    #[serde(default)]
    pub verified: Vec<(String, u32)>,
}

/// A stage as the host orders it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageSpec {
    /// Name of the stage, for messages.
    pub stage: String,
    /// Program and arguments; the program is looked up in the `PATH` of `env`.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Working directory; made if missing, owned by the user.
    pub cwd: String,
    /// Whether the probes watch. The benchmark also runs without, and then they are taken out of the
    /// kernel: what is compared with them has none.
    pub traced: bool,
    /// Whether the kernel counts how often and how long the probes run (for the benchmark: counting
    /// costs time itself).
    pub timed: bool,
    /// Wall time after which the stage is ended.
    pub wall_seconds: u64,
    /// `memory.max` of the stage's cgroup, bytes.
    pub memory_bytes: u64,
    /// `pids.max` of the stage's cgroup.
    pub pids: u64,
    /// Bytes kept of each of the two outputs; the rest is counted and dropped.
    pub output_bytes: u64,
    /// Host name that the clone takes.
    pub hostname: String,
    /// Wall clock that the clone takes, nanoseconds since the epoch.
    pub unix_time_ns: u64,
    /// Fresh entropy from the host, hexadecimal, at least 32 bytes.
    pub entropy: String,
    /// Read-only block devices that hold a tar at offset 0, with the directory to unpack into
    /// (below the user's home, owned by the user).
    pub slots: Vec<Slot>,
    /// Small text files to plant before the stage starts, owned by the user: path and content.
    pub files: Vec<(String, String)>,
    /// Files to bring back after the stage ended, absolute paths, with a bound each in bytes.
    pub collect: Vec<(String, u64)>,
    /// Bring back what the stage left on the disk, as the file [`STATE`], where it ended with exit
    /// status 0.
    pub keep: Option<Keep>,
}

impl StageSpec {
    /// The payload of a Start frame. Unlike what the agent sends, this is postcard and no JSON: a
    /// fresh clone reads it with code that is emulated for the first time, and a JSON parser has a
    /// lot of it (23 ms of 165).
    ///
    /// # Errors
    /// None is known; serialising is fallible by its signature.
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        Ok(postcard::to_allocvec(self)?)
    }

    /// The spec in the payload of a Start frame.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(payload: &[u8]) -> Result<Self, WireError> {
        Ok(postcard::from_bytes(payload)?)
    }
}

/// What to bring back of the disk: a tar of what was made or changed below the user's home and the
/// directories for temporary files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// Bound of the tar in bytes.
    pub bytes: u64,
    /// Paths that are left out, relative to `/`.
    pub without: Vec<String>,
}

/// A read-only block device with a tar at offset 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Serial number of the virtio-blk device.
    pub serial: String,
    /// Directory to unpack into.
    pub directory: String,
}

/// The stage's first process was released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Boot time of the release, nanoseconds: event times are relative to it in reports.
    pub boot_ns: u64,
    /// Thread group id of the stage's first process, in the initial PID namespace.
    pub tgid: u32,
}

/// Memory of a stage's processes, where the user does not say otherwise, bytes.
pub const USUAL_MEMORY_BYTES: u64 = 1 << 30;
/// Processes and threads of a stage at a time, where the user does not say otherwise.
pub const USUAL_PIDS: u64 = 512;

/// The agent lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Boot time, nanoseconds.
    pub boot_ns: u64,
    /// What the probes have counted so far; `None` where they could not be read.
    pub counters: Option<Counters>,
}

/// How the stage's first process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It exited with this status.
    Exited(i32),
    /// A signal ended it.
    Signaled(i32),
    /// The agent ended it: wall time was up.
    TimedOut,
    /// The agent ended it: the host said stop.
    Stopped,
    /// It could not be started: the reason is in the log.
    NotStarted,
}

/// What the agent knows of a stage that ended. Always the last frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageResult {
    /// How it ended.
    pub ending: Ending,
    /// Wall time, nanoseconds.
    pub wall_ns: u64,
    /// User and system time of the stage's cgroup, microseconds.
    pub user_us: u64,
    /// See `user_us`.
    pub system_us: u64,
    /// `memory.peak` of the stage's cgroup, bytes.
    pub memory_peak: u64,
    /// `oom_kill` of the stage's cgroup.
    pub oom_kills: u64,
    /// How often `pids.max` refused a fork.
    pub pids_refused: u64,
    /// Processes that were still alive when the first one had ended, and were killed.
    pub left_behind: u64,
    /// Bytes of standard output and error that were dropped over the bound.
    pub stdout_dropped: u64,
    /// See `stdout_dropped`.
    pub stderr_dropped: u64,
    /// Bytes of the overlay's writable layer in use at the end.
    pub disk_used: u64,
    /// The probes' final counters; `None` where they could not be read. All their records have been
    /// sent before this frame.
    pub counters: Option<Counters>,
    /// User and system time of the agent itself while the stage ran, microseconds.
    #[serde(default)]
    pub agent_us: u64,
    /// The probes' programs that ran, where [`StageSpec::timed`] asked for it.
    #[serde(default)]
    pub runs: Vec<ProgramRuns>,
}

/// What running a probe's program took (`run_cnt` and `run_time_ns` of `bpf_prog_info`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramRuns {
    /// Name of the program.
    pub program: String,
    /// How often it ran.
    pub count: u64,
    /// Nanoseconds in all.
    pub ns: u64,
}

/// A piece of a file that the stage spec asked for: `u16` length of the path, path, `u8` 1 if this
/// is the last piece, `u8` 1 if the file was longer than its bound, bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChunk {
    /// Path as the stage spec gave it.
    pub path: String,
    /// No more pieces follow.
    pub last: bool,
    /// The file was longer than its bound and is cut here.
    pub cut: bool,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl FileChunk {
    /// The payload of a [`FrameKind::File`] frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let path = &self.path.as_bytes()[..self.path.len().min(usize::from(u16::MAX))];
        let mut out = Vec::with_capacity(4 + path.len() + self.bytes.len());
        out.extend_from_slice(&(path.len() as u16).to_le_bytes());
        out.extend_from_slice(path);
        out.push(u8::from(self.last));
        out.push(u8::from(self.cut));
        out.extend_from_slice(&self.bytes);
        out
    }

    /// Reads the payload of a [`FrameKind::File`] frame; `None` where it is malformed.
    #[must_use]
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let (len, rest) = payload.split_first_chunk::<2>()?;
        let (path, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
        let ([last, cut], bytes) = rest.split_first_chunk::<2>()?;
        Some(Self {
            path: String::from_utf8(path.to_vec()).ok()?,
            last: *last != 0,
            cut: *cut != 0,
            bytes: bytes.to_vec(),
        })
    }
}
