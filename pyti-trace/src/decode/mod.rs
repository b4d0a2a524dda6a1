//! Reads the probes' records. What arrives comes from a machine in which package code ran, so
//! nothing in it is believed: every length is checked, and a wrong one is an error.

mod address;
mod credentials;
mod error;
mod frame;
mod text;

use std::mem::offset_of;

use pyti_trace_ebpf::{RECORD_SIZE, Record, TEXT_MAX, TextHead, VERSION, has, tag};

pub use self::error::DecodeError;
use self::text::{join, text, until_nul, words};
use crate::event::{CredentialChange, Credentials, Event, Incomplete, Kind, ProcessKey};

/// A record has at least this many bytes.
pub const MIN_SIZE: usize = RECORD_SIZE;
/// A record has at most this many bytes.
pub const MAX_SIZE: usize = 64 * 1024;

/// How the kernel tells itself that a signal interrupted a call: `ERESTARTSYS`, `ERESTARTNOINTR`,
/// `ERESTARTNOHAND`, `ERESTART_RESTARTBLOCK` (include/linux/errno.h). No program ever sees them.
const INTERRUPTED: [i64; 4] = [-512, -513, -514, -516];
/// Interrupted system call (include/uapi/asm-generic/errno-base.h).
const EINTR: i64 = 4;

/// Reads the first record of `bytes`: the event, and how many bytes it took.
///
/// # Errors
/// The bytes are no whole record of this layout.
pub fn decode(bytes: &[u8]) -> Result<(Event, usize), DecodeError> {
    let truncated = |need| DecodeError::Truncated {
        have: bytes.len(),
        need,
    };
    let fixed = bytes
        .first_chunk::<RECORD_SIZE>()
        .ok_or(truncated(RECORD_SIZE))?;
    let fields = Fields(fixed);
    let size = fields.u32(offset_of!(Record, size));
    let len = size as usize;
    if !(MIN_SIZE..=MAX_SIZE).contains(&len) || !len.is_multiple_of(8) {
        return Err(DecodeError::Size(size));
    }
    let version = fields.u16(offset_of!(Record, version));
    if version != VERSION {
        return Err(DecodeError::Version(version));
    }
    let record = bytes.get(..len).ok_or(truncated(len))?;
    let mut event = fields.event()?;
    let mut texts = Texts::default();
    let mut at = RECORD_SIZE;
    while at < len {
        at = texts.read(record, at, &mut event)?;
    }
    texts.finish(&mut event);
    Ok((event, len))
}

/// The events of a frame's payload, one after the other. After an error there are no more.
pub fn decode_all(payload: &[u8]) -> impl Iterator<Item = Result<Event, DecodeError>> + '_ {
    let mut rest = payload;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        Some(match decode(rest) {
            Ok((event, consumed)) => {
                rest = &rest[consumed..];
                Ok(event)
            }
            Err(error) => {
                rest = &[];
                Err(error)
            }
        })
    })
}

/// The fixed part of a record, little endian as the probes write it.
struct Fields<'a>(&'a [u8; RECORD_SIZE]);

impl Fields<'_> {
    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        // The offsets are those of `Record`'s fields, so the array always has the bytes.
        self.0
            .get(at..)
            .and_then(|rest| rest.first_chunk::<N>())
            .copied()
            .unwrap_or([0; N])
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.bytes(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }

    fn i32(&self, at: usize) -> i32 {
        i32::from_le_bytes(self.bytes(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes(at))
    }

    fn event(&self) -> Result<Event, DecodeError> {
        let number = self.u16(offset_of!(Record, kind));
        let kind = kind(number).ok_or(DecodeError::Kind(number))?;
        let set = self.u32(offset_of!(Record, has));
        let has = |bit: u32| set & bit != 0;
        let key = |tgid: usize, start: usize| ProcessKey {
            tgid: self.u32(tgid),
            start_ns: self.u64(start),
        };
        let mut incomplete =
            Incomplete::from_bits_truncate(self.u32(offset_of!(Record, incomplete)));
        let result = known_result(kind, self.u64(offset_of!(Record, result)).cast_signed());
        if result.is_none() {
            incomplete |= Incomplete::RESULT_UNKNOWN;
        }
        let comm = self.bytes::<16>(offset_of!(Record, comm));
        let comm = text(until_nul(&comm), &mut incomplete);
        Ok(Event {
            kind,
            time_ns: self.u64(offset_of!(Record, time_ns)),
            cpu: self.u32(offset_of!(Record, cpu)),
            seq: self.u64(offset_of!(Record, seq)),
            process: key(offset_of!(Record, tgid), offset_of!(Record, start_ns)),
            tid: self.u32(offset_of!(Record, tid)),
            parent: key(
                offset_of!(Record, parent_tgid),
                offset_of!(Record, parent_start_ns),
            ),
            tree: self.u32(offset_of!(Record, tree)),
            uid: self.u32(offset_of!(Record, uid)),
            caps: self.u64(offset_of!(Record, caps)),
            comm,
            result: result.unwrap_or_default(),
            incomplete,
            since_ns: has(has::SINCE).then(|| self.u64(offset_of!(Record, other_start_ns))),
            path: None,
            asked: None,
            target: None,
            flags: has(has::FLAGS).then(|| self.u64(offset_of!(Record, flags))),
            mode: has(has::MODE).then(|| self.u32(offset_of!(Record, mode))),
            created: has(has::CREATED).then(|| self.u32(offset_of!(Record, created)) != 0),
            bytes: has(has::BYTES).then(|| self.u64(offset_of!(Record, bytes))),
            dev: has(has::DEV).then(|| u64::from(self.u32(offset_of!(Record, dev)))),
            inode: has(has::INODE).then(|| self.u64(offset_of!(Record, inode))),
            nlink: has(has::NLINK).then(|| self.u32(offset_of!(Record, nlink))),
            data: None,
            argv: None,
            env: None,
            cwd: None,
            other: has(has::OTHER).then(|| {
                key(
                    offset_of!(Record, other_tgid),
                    offset_of!(Record, other_start_ns),
                )
            }),
            exit_code: has(has::EXIT_CODE).then(|| self.i32(offset_of!(Record, exit_code))),
            signal: has(has::SIGNAL).then(|| self.u32(offset_of!(Record, signal))),
            fds: has(has::FDS).then(|| {
                (
                    self.i32(offset_of!(Record, fd_old)),
                    self.i32(offset_of!(Record, fd_new)),
                )
            }),
            family: has(has::FAMILY).then(|| self.u16(offset_of!(Record, family))),
            socktype: has(has::SOCKTYPE).then(|| self.u16(offset_of!(Record, socktype))),
            addr: None,
            port: None,
            creds: None,
            python: None,
        })
    }
}

/// How a call ended, where it is settled: one that a signal interrupted fails, or is made anew when the signal
/// has been handled. Of an execution that is one and the same, since it did not take place.
fn known_result(kind: Kind, result: i64) -> Option<i64> {
    if !INTERRUPTED.contains(&result) {
        return Some(result);
    }
    (kind == Kind::Exec).then_some(-EINTR)
}

/// Texts that only make sense together with a later one.
#[derive(Default)]
struct Texts<'a> {
    path_name: Option<&'a [u8]>,
    target_name: Option<&'a [u8]>,
    walked: Vec<&'a [u8]>,
    walked_cwd: Vec<&'a [u8]>,
    old_credentials: Option<Credentials>,
    new_credentials: Option<Credentials>,
}

impl<'a> Texts<'a> {
    /// Reads the text at `at` and returns where the next one begins.
    fn read(
        &mut self,
        record: &'a [u8],
        at: usize,
        event: &mut Event,
    ) -> Result<usize, DecodeError> {
        let head: [u8; size_of::<TextHead>()] = record
            .get(at..)
            .and_then(|rest| rest.first_chunk())
            .copied()
            .ok_or(DecodeError::Truncated {
                have: record.len(),
                need: at + 8,
            })?;
        let [tag_low, tag_high, len_low, len_high, full @ ..] = head;
        let tag = u16::from_le_bytes([tag_low, tag_high]);
        let len = usize::from(u16::from_le_bytes([len_low, len_high]));
        let full = u32::from_le_bytes(full) as usize;
        let begin = at + size_of::<TextHead>();
        let end = begin + len;
        let bytes =
            record
                .get(begin..end)
                .filter(|_| len <= TEXT_MAX)
                .ok_or(DecodeError::Text {
                    at,
                    len,
                    size: record.len(),
                })?;
        // A string of the greatest length ends with the NUL that the helper put there. What is no string
        // of the kernel's is cut where it says so.
        let is_string = !matches!(tag, tag::ARGV | tag::ENV | tag::DATA);
        let cut = full > len || (len == TEXT_MAX && is_string);
        let incomplete = &mut event.incomplete;
        let mut mark = |bit| {
            if cut {
                *incomplete |= bit;
            }
        };
        match tag {
            tag::PATH => {
                mark(Incomplete::PATH_TRUNCATED);
                event.path = Some(text(until_nul(bytes), incomplete));
            }
            tag::PATH_NAME => self.path_name = Some(until_nul(bytes)),
            tag::ASKED => {
                mark(Incomplete::ASKED_TRUNCATED);
                event.asked = Some(text(until_nul(bytes), incomplete));
            }
            tag::TARGET => {
                mark(Incomplete::TARGET_TRUNCATED);
                event.target = Some(text(until_nul(bytes), incomplete));
            }
            tag::TARGET_NAME => self.target_name = Some(until_nul(bytes)),
            tag::ARGV => {
                mark(Incomplete::ARGV_TRUNCATED);
                event.argv = Some(words(bytes, incomplete));
            }
            tag::ENV => {
                mark(Incomplete::ENV_TRUNCATED);
                event.env = Some(words(bytes, incomplete));
            }
            tag::CWD => {
                mark(Incomplete::CWD_INCOMPLETE);
                event.cwd = Some(text(until_nul(bytes), incomplete));
            }
            tag::DATA => {
                mark(Incomplete::DATA_INCOMPLETE);
                event.data = Some(bytes.to_vec());
            }
            tag::SOCKADDR => address::apply(event, bytes),
            tag::FRAME_FILE => frame::file(event, bytes)?,
            tag::FRAME_FUNCTION => frame::function(event, bytes)?,
            tag::OLD_CREDENTIALS => self.old_credentials = credentials::read(bytes),
            tag::NEW_CREDENTIALS => self.new_credentials = credentials::read(bytes),
            tag::WALKED => self.walked.push(until_nul(bytes)),
            tag::WALKED_CWD => self.walked_cwd.push(until_nul(bytes)),
            other => return Err(DecodeError::Tag(other)),
        }
        Ok(end.next_multiple_of(8))
    }

    fn finish(self, event: &mut Event) {
        if let (Some(old), Some(new)) = (self.old_credentials, self.new_credentials) {
            event.creds = Some(Box::new(CredentialChange { old, new }));
        }
        let incomplete = &mut event.incomplete;
        // Words of which one could not be read are not all of them.
        if event.argv.is_some() && incomplete.contains(Incomplete::ARGV_UNREADABLE) {
            *incomplete |= Incomplete::ARGV_TRUNCATED;
        }
        if event.env.is_some() && incomplete.contains(Incomplete::ENV_UNREADABLE) {
            *incomplete |= Incomplete::ENV_TRUNCATED;
        }
        if !self.walked_cwd.is_empty() {
            event.cwd = (!incomplete.contains(Incomplete::CWD_INCOMPLETE))
                .then(|| walked(&self.walked_cwd, incomplete));
            // A unix address that begins there.
            if event.family.is_some() {
                event.asked = event.path.take();
                event.path = match (&event.cwd, &event.asked) {
                    (Some(cwd), Some(asked)) => Some(join(cwd, asked)),
                    _ => None,
                };
                if event.path.is_none() {
                    *incomplete |= Incomplete::PATH_UNREADABLE;
                }
            }
        }
        // Of a walk that did not come to its end the beginning is missing, which is what rules ask for;
        // or a part between.
        let lacks = Incomplete::PATH_TRUNCATED | Incomplete::PATH_UNREADABLE;
        if !self.walked.is_empty() && event.path.is_none() && incomplete.intersects(lacks) {
            incomplete.remove(Incomplete::PATH_TRUNCATED);
            *incomplete |= Incomplete::PATH_UNREADABLE;
        } else if !self.walked.is_empty() && event.path.is_none() {
            event.path = Some(walked(&self.walked, incomplete));
        }
        // Not told again where it is the same.
        if self.target_name.is_some()
            && event.target.is_none()
            && !incomplete.contains(Incomplete::TARGET_UNREADABLE)
        {
            event.target.clone_from(&event.path);
            for (of_path, of_target) in [
                (Incomplete::PATH_TRUNCATED, Incomplete::TARGET_TRUNCATED),
                (Incomplete::PATH_UNREADABLE, Incomplete::TARGET_UNREADABLE),
                (Incomplete::PATH_UNRESOLVED, Incomplete::TARGET_UNRESOLVED),
            ] {
                if incomplete.contains(of_path) {
                    *incomplete |= of_target;
                }
            }
        }
        for (name, whole) in [
            (self.path_name, &mut event.path),
            (self.target_name, &mut event.target),
        ] {
            if let (Some(name), Some(directory)) = (name, whole.as_mut()) {
                *directory = join(directory, &text(name, incomplete));
            }
        }
    }
}

/// The path of components that were walked from its end, of which an empty one is the root.
fn walked(components: &[&[u8]], incomplete: &mut Incomplete) -> String {
    components.iter().rev().fold(String::new(), |path, name| {
        join(&path, &text(name, incomplete))
    })
}

/// The kinds in the order of their numbers in [`pyti_trace_ebpf::kind`].
const KINDS: [Kind; 27] = [
    Kind::Open,
    Kind::Write,
    Kind::Rename,
    Kind::Unlink,
    Kind::Rmdir,
    Kind::Mkdir,
    Kind::Link,
    Kind::Symlink,
    Kind::Chmod,
    Kind::Chown,
    Kind::Truncate,
    Kind::Exec,
    Kind::Fork,
    Kind::Exit,
    Kind::Socket,
    Kind::Connect,
    Kind::Bind,
    Kind::Listen,
    Kind::Accept,
    Kind::Send,
    Kind::MemfdCreate,
    Kind::Dup,
    Kind::Creds,
    Kind::Ptrace,
    Kind::Signal,
    Kind::MmapExec,
    Kind::Tamper,
];

fn kind(number: u16) -> Option<Kind> {
    KINDS.get(usize::from(number)).copied()
}
