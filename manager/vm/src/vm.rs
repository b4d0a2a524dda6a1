//! A running virtual machine and its one stream of frames.

use std::{
    fs::File,
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    process::ExitStatus,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use pyti_trace::wire::{self, Frame, FrameKind, HEADER_LEN};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    VmError,
    error::printable,
    qemu::{Channels, Launch, Machine, control::Control, process::Process},
};

/// Bytes kept of what the guest's kernel and the hypervisor print.
const TAIL_BYTES: usize = 64 << 10;
/// How long a hypervisor that was asked to quit may take.
const QUIT_GRACE: Duration = Duration::from_millis(500);
/// Bytes asked of the port at a time.
const READ_BYTES: usize = 256 << 10;

/// A running virtual machine. It is killed and reaped when dropped, and dies with this program.
#[derive(Debug)]
pub struct Vm {
    process: Process,
    control: Option<Control>,
    port: UnixStream,
    inbox: Vec<u8>,
    console: Tail,
    errors: Tail,
    watchdog: Watchdog,
    usage: Option<Usage>,
    status: Option<ExitStatus>,
}

/// How a machine ended.
#[derive(Debug, Clone)]
pub struct ExitReport {
    /// Exit status of the hypervisor; `None` while it runs.
    pub status: Option<ExitStatus>,
    /// It was killed because its wall time was up.
    pub wall_limit: bool,
    /// The last lines that the guest's kernel printed, escaped. A kernel panic is seen here.
    pub console: String,
    /// The last lines that the hypervisor printed, escaped.
    pub errors: String,
    /// What the hypervisor's process used, taken just before it was asked to end.
    pub usage: Option<Usage>,
    /// Bytes of a frame that was not finished when the stream ended.
    pub unfinished: usize,
}

/// What a hypervisor's process used: memory from `/proc/PID/smaps_rollup`, bytes, and CPU time from
/// `/proc/PID/stat` (proc(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// All pages that are mapped.
    pub resident: u64,
    /// The same, with each shared page divided among those who map it.
    pub proportional: u64,
    /// Pages that nobody else has: what one more clone costs.
    pub private: u64,
    /// Time on CPUs, of all its threads, user and system.
    pub cpu: Duration,
}

impl Vm {
    /// Starts a machine. It is given `wall` from now on.
    pub(crate) async fn launch<'a>(
        machine: &dyn Machine,
        launch: impl FnOnce(Channels<File>) -> Launch<'a>,
        wall: Duration,
    ) -> Result<(Self, std::os::fd::RawFd), VmError> {
        let pair = || -> io::Result<(UnixStream, File)> {
            let (ours, theirs) = StdStream::pair()?;
            ours.set_nonblocking(true)?;
            Ok((
                UnixStream::from_std(ours)?,
                File::from(OwnedFd::from(theirs)),
            ))
        };
        let pairs = || Ok::<_, io::Error>((pair()?, pair()?, pair()?, pair()?));
        let ((control, c), (port, p), (console, s), (errors, e)) =
            pairs().map_err(VmError::io("make the machine's channels"))?;
        let launch = launch(Channels {
            control: c,
            port: p,
            console: s,
            errors: e,
        });
        let spawn = machine.command(&launch)?;
        let state = spawn.state;
        // What the child holds must be held by nobody here: else its end would not be seen.
        drop(launch);
        let process = Process::spawn(spawn)
            .await
            .map_err(VmError::io("start the hypervisor"))?;
        let watchdog = Watchdog::start(&process, wall);
        let vm = Self {
            control: Some(Control::new(control)),
            port,
            inbox: Vec::new(),
            console: Tail::of(console),
            errors: Tail::of(errors),
            watchdog,
            usage: None,
            status: None,
            process,
        };
        Ok((vm, state))
    }

    pub(crate) fn control(&mut self) -> Result<&mut Control, VmError> {
        self.control
            .as_mut()
            .ok_or_else(|| VmError::Control("the machine has ended".into()))
    }

    /// Hands the control channel over, to one who interferes while another watches the machine; such
    /// as a test of what is left of a guest whose kernel panics. The machine's end is a kill then.
    pub fn take_control(&mut self) -> Option<Control> {
        self.control.take()
    }

    /// Process id of the hypervisor.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends a frame to the agent.
    ///
    /// # Errors
    /// Too long a payload, or a machine that has ended.
    pub async fn send(&mut self, kind: FrameKind, payload: &[u8]) -> Result<(), VmError> {
        let header = wire::header(kind, payload.len())?;
        let mut bytes = Vec::with_capacity(HEADER_LEN + payload.len());
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(payload);
        self.port.write_all(&bytes).await.map_err(|error| {
            if self.watchdog.fired() {
                self.watchdog.error()
            } else {
                wire::WireError::Io(error).into()
            }
        })
    }

    /// The next frame; `None` when the machine has ended. Where the caller is slow the guest waits.
    /// The future may be dropped and made again without losing anything.
    ///
    /// # Errors
    /// The wall time was up, or the stream broke the protocol; then the machine should be killed.
    pub async fn next_frame(&mut self) -> Result<Option<Frame>, VmError> {
        loop {
            let missing = match self.inbox.first_chunk::<HEADER_LEN>() {
                None => HEADER_LEN - self.inbox.len(),
                Some(header) => {
                    let (kind, length) = wire::parse_header(*header)?;
                    let end = HEADER_LEN + length;
                    if self.inbox.len() >= end {
                        let rest = self.inbox.split_off(end);
                        let mut payload = std::mem::replace(&mut self.inbox, rest);
                        payload.drain(..HEADER_LEN);
                        return Ok(Some(Frame { kind, payload }));
                    }
                    end - self.inbox.len()
                }
            };
            self.inbox.reserve(missing.max(READ_BYTES));
            // A reset is how a killed hypervisor's end of the stream looks.
            let got = self
                .port
                .read_buf(&mut self.inbox)
                .await
                .unwrap_or_default();
            if got == 0 {
                return if self.watchdog.fired() {
                    Err(self.watchdog.error())
                } else {
                    Ok(None)
                };
            }
        }
    }

    /// Ends the machine: asks it to quit, and kills it where it does not within half a second.
    pub async fn kill(&mut self) -> ExitReport {
        if self.status.is_none() {
            self.usage = self.usage.or_else(|| Usage::of(self.process.id()));
            let quit = async {
                match self.control.take() {
                    Some(mut control) => {
                        let _ = control.quit().await;
                        timeout(QUIT_GRACE, self.process.wait()).await.is_ok()
                    }
                    None => false,
                }
            };
            if !quit.await {
                self.process.handle().kill();
            }
            self.finish().await;
        }
        self.exit_report()
    }

    /// Waits for a machine that ends by itself.
    pub(crate) async fn finish(&mut self) {
        self.status = Some(self.process.wait().await);
        self.watchdog.stop();
        self.console.drain().await;
        self.errors.drain().await;
    }

    /// What is known of the machine's end so far; complete after [`Vm::kill`].
    #[must_use]
    pub fn exit_report(&self) -> ExitReport {
        ExitReport {
            status: self.status,
            wall_limit: self.watchdog.fired(),
            console: self.console.text(),
            errors: self.errors.text(),
            usage: self.usage,
            unfinished: self.inbox.len(),
        }
    }

    /// What the hypervisor's process has used so far.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.status
            .is_none()
            .then(|| Usage::of(self.process.id()))
            .flatten()
    }
}

impl Usage {
    fn of(pid: u32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let field = |name: &str| -> Option<u64> {
            let line = text.lines().find(|line| line.starts_with(name))?;
            line.split_ascii_whitespace()
                .nth(1)?
                .parse::<u64>()
                .ok()
                .map(|kib| kib << 10)
        };
        Some(Self {
            resident: field("Rss:")?,
            proportional: field("Pss:")?,
            private: field("Private_Clean:")? + field("Private_Dirty:")?,
            cpu: cpu_time(pid)?,
        })
    }
}

/// Fields 14 and 15 of `/proc/PID/stat`, counted behind the name in parentheses, which may hold
/// anything.
fn cpu_time(pid: u32) -> Option<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, behind) = text.rsplit_once(')')?;
    let fields = behind.split_ascii_whitespace().skip(11).take(2);
    let ticks: u64 = fields.map_while(|field| field.parse::<u64>().ok()).sum();
    // SAFETY: sysconf has no preconditions.
    let per_second = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).ok()?;
    Some(Duration::from_millis(ticks * 1000 / per_second.max(1)))
}

impl ExitReport {
    /// For messages: status and last words, on several lines.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut text = match self.status {
            _ if self.wall_limit => "its wall time was up".to_owned(),
            Some(status) => format!("the hypervisor ended with {status}"),
            None => "the hypervisor still runs".to_owned(),
        };
        for (name, lines) in [
            ("hypervisor", &self.errors),
            ("guest kernel", &self.console),
        ] {
            if !lines.is_empty() {
                text.push_str(&format!("\n{name}:\n{lines}"));
            }
        }
        text
    }
}

/// Kills the machine when its wall time is up, whatever the guest does.
#[derive(Debug)]
struct Watchdog {
    limit: Duration,
    fired: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Watchdog {
    fn start(process: &Process, limit: Duration) -> Self {
        let handle = process.handle();
        let fired = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&fired);
        let task = tokio::spawn(async move {
            sleep(limit).await;
            flag.store(true, Ordering::Release);
            handle.kill();
        });
        Self { limit, fired, task }
    }

    fn fired(&self) -> bool {
        self.fired.load(Ordering::Acquire)
    }

    fn error(&self) -> VmError {
        VmError::WallLimit(self.limit)
    }

    fn stop(&self) {
        self.task.abort();
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The end of a stream of text, read as it comes so that its writer never waits.
#[derive(Debug)]
struct Tail {
    bytes: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl Tail {
    fn of(mut stream: UnixStream) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&bytes);
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; 4096];
            while let Ok(got) = stream.read(&mut buffer).await {
                if got == 0 {
                    return;
                }
                let mut kept = sink.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&buffer[..got]);
                let excess = kept.len().saturating_sub(TAIL_BYTES);
                kept.drain(..excess);
            }
        });
        Self { bytes, task }
    }

    /// Waits until the stream has ended, which it does with its writer.
    async fn drain(&mut self) {
        let _ = timeout(QUIT_GRACE, &mut self.task).await;
    }

    /// The last lines; before them the one that says why the kernel gave up, which a long trace of
    /// calls follows.
    fn text(&self) -> String {
        const CAUSE: &[u8] = b"Kernel panic";
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let cause = lines.find(|line| line.windows(CAUSE.len()).any(|part| part == CAUSE));
        let end = printable(&bytes, 20);
        match cause.map(|line| printable(line, 1)) {
            Some(cause) if !end.contains(&cause) => format!("{cause}\n{end}"),
            _ => end,
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.task.abort();
    }
}
