//! The port to the host: frames in both directions, never blocking while a stage runs.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;

use super::error::{AgentError, Doing as _};
use crate::wire::{self, Frame, FrameKind, HEADER_LEN, PORT_NAME, StageSpec, WireError};

/// The virtio console driver takes no more at a time.
const WRITE_MAX: usize = 32 << 10;
/// How often to look again at a port whose other side is closed: polling would not wait.
const CLOSED_PAUSE: Duration = Duration::from_millis(20);
/// How long the other side may be closed. A clone's port opens a moment after the clone runs.
const CLOSED_MAX: Duration = Duration::from_secs(10);
/// Bytes that may be sent and not yet thrown away: what stands behind them is moved each time.
const SENT_MAX: usize = 1 << 20;
/// Longest line of diagnostics, bytes.
const LOG_MAX: usize = 4 << 10;

/// What came from the host.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Nothing, or not a whole frame yet.
    Nothing,
    /// One frame.
    Frame(Frame),
    /// The other side is closed.
    Closed,
}

/// The port. `S` is a socket in tests.
pub(super) struct Port<S = File> {
    stream: S,
    /// Bytes to send, from `sent` on.
    outbox: Vec<u8>,
    sent: usize,
    /// Where the frame of records begins that is still being filled: the last one, not to be sent yet.
    filling: Option<usize>,
    inbox: Vec<u8>,
}

/// Finds and opens the port by its name; there is no udev to make a link to it.
pub(super) fn open() -> Result<Port, AgentError> {
    let class = Path::new("/sys/class/virtio-ports");
    for entry in fs::read_dir(class).doing(|| format!("list {}", class.display()))? {
        let entry = entry.doing(|| format!("list {}", class.display()))?;
        let name = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        if name.trim_end() == PORT_NAME {
            let device = Path::new("/dev").join(entry.file_name());
            let stream = File::options()
                .read(true)
                .write(true)
                .custom_flags(libc::O_NONBLOCK)
                .open(&device)
                .doing(|| format!("open the port {}", device.display()))?;
            return Ok(Port::new(stream));
        }
    }
    Err(AgentError::Order(format!(
        "this machine has no virtio-serial port named {PORT_NAME}"
    )))
}

impl<S> Port<S>
where
    S: AsFd,
    for<'a> &'a S: Read + Write,
{
    /// A port over a stream that does not block.
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            outbox: Vec::new(),
            sent: 0,
            filling: None,
            inbox: Vec::new(),
        }
    }

    /// Appends a record to the frame of records that is being filled, and returns the bytes in it. It is
    /// sent once it is closed, by [`Port::close`] or because another frame comes.
    pub(super) fn fill(&mut self, record: &[u8]) -> usize {
        let begin = *self.filling.get_or_insert_with(|| {
            let begin = self.outbox.len();
            self.outbox.extend_from_slice(&[0; HEADER_LEN]);
            begin
        });
        self.outbox.extend_from_slice(record);
        self.outbox.len() - begin - HEADER_LEN
    }

    /// Closes the frame of records that is being filled, if there is one.
    pub(super) fn close(&mut self) -> Result<(), WireError> {
        if let Some(begin) = self.filling.take() {
            let length = self.outbox.len() - begin - HEADER_LEN;
            let header = wire::header(FrameKind::Events, length)?;
            self.outbox[begin..begin + HEADER_LEN].copy_from_slice(&header);
        }
        Ok(())
    }

    /// Appends a frame to what will be sent.
    pub(super) fn queue(&mut self, kind: FrameKind, payload: &[u8]) -> Result<(), WireError> {
        self.close()?;
        self.outbox
            .extend_from_slice(&wire::header(kind, payload.len())?);
        self.outbox.extend_from_slice(payload);
        Ok(())
    }

    /// Appends a frame with a value as JSON.
    pub(super) fn queue_json(
        &mut self,
        kind: FrameKind,
        value: &impl Serialize,
    ) -> Result<(), WireError> {
        let payload = serde_json::to_vec(value).map_err(io::Error::from)?;
        self.queue(kind, &payload)
    }

    /// Appends a line of diagnostics.
    pub(super) fn log(&mut self, message: impl std::fmt::Display) {
        let mut message = message.to_string();
        message.truncate(message.floor_char_boundary(LOG_MAX));
        // Short enough by construction.
        let _ = self.queue(FrameKind::Log, message.as_bytes());
    }

    /// Bytes that wait to be sent.
    pub(super) fn backlog(&self) -> usize {
        self.ready() - self.sent
    }

    /// Where that ends which may be sent.
    fn ready(&self) -> usize {
        self.filling.unwrap_or(self.outbox.len())
    }

    /// Sends what the host takes now.
    pub(super) fn send(&mut self) -> Result<(), WireError> {
        let ready = self.ready();
        while self.sent < ready {
            let end = ready.min(self.sent + WRITE_MAX);
            match (&self.stream).write(&self.outbox[self.sent..end]) {
                Ok(0) => return Err(io::Error::from(ErrorKind::WriteZero).into()),
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        if self.sent == self.outbox.len() {
            self.outbox.clear();
            self.sent = 0;
        } else if self.sent > SENT_MAX.max(self.outbox.len() / 2) {
            self.outbox.drain(..self.sent);
            self.filling = self.filling.map(|begin| begin - self.sent);
            self.sent = 0;
        }
        Ok(())
    }

    /// Sends all, waiting for the host for at most `within`.
    pub(super) fn flush(&mut self, within: Duration) -> Result<(), WireError> {
        let deadline = Instant::now() + within;
        loop {
            self.send()?;
            if self.backlog() == 0 {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::from(ErrorKind::TimedOut).into());
            }
            if !self.wait(PollFlags::POLLOUT, left)? {
                std::thread::sleep(CLOSED_PAUSE.min(left));
            }
        }
    }

    /// The descriptor and the readiness to poll for.
    pub(super) fn poll_fd(&self) -> PollFd<'_> {
        let mut flags = PollFlags::POLLIN;
        flags.set(PollFlags::POLLOUT, self.backlog() > 0);
        PollFd::new(self.stream.as_fd(), flags)
    }

    /// What has come from the host.
    pub(super) fn receive(&mut self) -> Result<Received, WireError> {
        let mut buffer = [0; 16 << 10];
        loop {
            if let Some(frame) = self.next_frame()? {
                return Ok(Received::Frame(frame));
            }
            match (&self.stream).read(&mut buffer) {
                Ok(0) => return Ok(Received::Closed),
                Ok(n) => self.inbox.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(Received::Nothing);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits, as long as it takes, for the order to run a stage; `None` where the host went away.
    pub(super) fn wait_for_start(&mut self) -> Result<Option<StageSpec>, AgentError> {
        while let Some(frame) = self.wait_for_frame()? {
            match frame.kind {
                FrameKind::Start => {
                    return Ok(Some(StageSpec::decode(&frame.payload)?));
                }
                other => self.log(format!(
                    "ignored a frame of kind {other:?} before the start"
                )),
            }
            self.send()?;
        }
        Ok(None)
    }

    /// Waits until the host goes away. There is one stage in the life of a machine.
    pub(super) fn wait_for_end(&mut self) -> Result<(), AgentError> {
        while self.wait_for_frame()?.is_some() {}
        Ok(())
    }

    fn wait_for_frame(&mut self) -> Result<Option<Frame>, WireError> {
        let mut closed_since: Option<Instant> = None;
        loop {
            match self.receive()? {
                Received::Frame(frame) => return Ok(Some(frame)),
                Received::Nothing => {
                    closed_since = None;
                    self.wait(PollFlags::POLLIN, Duration::MAX)?;
                }
                Received::Closed => {
                    if closed_since.get_or_insert_with(Instant::now).elapsed() > CLOSED_MAX {
                        return Ok(None);
                    }
                    std::thread::sleep(CLOSED_PAUSE);
                }
            }
        }
    }

    /// Waits for readiness; false where the other side is closed and waiting is no use.
    fn wait(&self, flags: PollFlags, within: Duration) -> Result<bool, WireError> {
        let mut fds = [PollFd::new(self.stream.as_fd(), flags)];
        let timeout = PollTimeout::try_from(within).unwrap_or(PollTimeout::NONE);
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
        let got = fds[0].revents().unwrap_or(PollFlags::empty());
        Ok(!got.contains(PollFlags::POLLHUP))
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, WireError> {
        let Some(head) = self.inbox.first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let (kind, len) = wire::parse_header(*head)?;
        if self.inbox.len() < HEADER_LEN + len {
            return Ok(None);
        }
        let rest = self.inbox.split_off(HEADER_LEN + len);
        let payload = std::mem::replace(&mut self.inbox, rest).split_off(HEADER_LEN);
        Ok(Some(Frame { kind, payload }))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (Port<UnixStream>, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        ours.set_nonblocking(true)
            .expect("a socket that does not block");
        (Port::new(ours), theirs)
    }

    #[test]
    fn frames_arrive_whole_however_they_were_cut() {
        let (mut port, mut host) = pair();
        let mut bytes = Vec::new();
        wire::write_frame(&mut bytes, FrameKind::Stop, b"").expect("a frame");
        wire::write_frame(&mut bytes, FrameKind::Start, b"{}").expect("a frame");
        let mut kinds = Vec::new();
        for byte in bytes {
            host.write_all(&[byte]).expect("a byte sent");
            if let Received::Frame(frame) = port.receive().expect("a good stream") {
                kinds.push((frame.kind, frame.payload));
            }
        }
        assert_eq!(
            kinds,
            [
                (FrameKind::Stop, vec![]),
                (FrameKind::Start, b"{}".to_vec())
            ]
        );
        assert_eq!(port.receive().expect("a good stream"), Received::Nothing);
        drop(host);
        assert_eq!(port.receive().expect("a good stream"), Received::Closed);
    }

    #[test]
    fn a_host_that_does_not_read_does_not_block_and_loses_nothing() {
        let (mut port, mut host) = pair();
        let piece = vec![7; 200 << 10];
        for _ in 0..10 {
            port.queue(FrameKind::Events, &piece).expect("a frame");
            port.send().expect("no error when full");
        }
        assert!(port.backlog() > 0, "the socket took 2 MB at once");
        let reader = std::thread::spawn(move || {
            (0..10).all(|_| {
                let frame = wire::read_frame(&mut host).ok().flatten();
                frame
                    .is_some_and(|f| f.kind == FrameKind::Events && f.payload == vec![7; 200 << 10])
            })
        });
        port.flush(Duration::from_secs(10)).expect("all sent");
        assert!(
            reader.join().expect("a reader"),
            "a frame was lost or changed"
        );
        assert_eq!(port.backlog(), 0);
    }

    #[test]
    fn records_are_sent_whole_and_before_what_came_after_them() {
        let (mut port, mut host) = pair();
        let record = [3; 1000];
        // More than is kept of what was sent, so that what is being filled is moved.
        let frames = 2 * SENT_MAX / (4 * record.len());
        let reader = std::thread::spawn(move || {
            let mut sizes = Vec::new();
            while let Some(frame) = wire::read_frame(&mut host).expect("a good stream") {
                assert!(frame.payload.iter().all(|byte| *byte == 3));
                sizes.push((frame.kind, frame.payload.len()));
            }
            sizes
        });
        for _ in 0..frames {
            for count in 1..=4 {
                assert_eq!(port.fill(&record), count * record.len());
            }
            port.close().expect("a frame");
            assert_eq!(port.fill(&record), record.len());
            // Nothing of a frame that is not closed leaves.
            port.flush(Duration::from_secs(10)).expect("all sent");
            assert_eq!(port.backlog(), 0);
            port.queue(FrameKind::Log, &[3; 5]).expect("a frame");
        }
        port.flush(Duration::from_secs(10)).expect("all sent");
        drop(port);
        let wanted = [
            (FrameKind::Events, 4 * record.len()),
            (FrameKind::Events, record.len()),
            (FrameKind::Log, 5),
        ];
        assert_eq!(reader.join().expect("a reader"), wanted.repeat(frames));
    }

    #[test]
    fn flush_gives_up_on_a_host_that_never_reads() {
        let (mut port, _host) = pair();
        for _ in 0..10 {
            port.queue(FrameKind::Events, &vec![0; 500 << 10])
                .expect("a frame");
        }
        assert!(port.flush(Duration::from_millis(50)).is_err());
    }

    #[test]
    fn a_log_line_is_cut_at_a_character() {
        let (mut port, _host) = pair();
        port.log("ä".repeat(LOG_MAX));
        assert_eq!(port.backlog(), HEADER_LEN + LOG_MAX);
        port.log(format!("a{}", "ä".repeat(LOG_MAX)));
        assert_eq!(port.backlog(), 2 * (HEADER_LEN + LOG_MAX) - 1);
    }

    #[test]
    fn a_malformed_stream_is_an_error() {
        let (mut port, mut host) = pair();
        host.write_all(&[0, 0, 0, 0, 99, 1, 0, 0])
            .expect("bytes sent");
        assert!(matches!(port.receive(), Err(WireError::Version(99))));
    }
}
