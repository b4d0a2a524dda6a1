//! Starts a process as the ordinary user, held until it is told which program to execute.
//!
//! The stage's process is made before the template is saved: in a clone, where all code is emulated
//! for the first time, making it would take half of the time to the stage's start.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{AccessFlags, faccessat, pipe2};

use super::error::{AgentError, Doing as _};
use super::user;

/// Where programs are looked for when the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// Open files at most, soft and hard: what systemd gives to a login.
const OPEN_FILES: (u64, u64) = (1024, 524_288);
/// linux/sched.h; `libc` still has it in too narrow a type.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
/// Highest capability there may be (linux/capability.h: 40 in 6.12); dropping a higher one fails.
const CAPABILITIES_MAX: libc::c_ulong = 63;

/// Bytes of an order at most; the kernel's own limit on arguments is 2 MiB.
const ORDER_MAX: usize = 1 << 20;
/// Arguments and variables of an order at most, together.
const STRINGS_MAX: usize = 8192;

/// A program with all it is started with, as the held process reads it: the length of what follows
/// and the number of arguments, as `u32`; then path, working directory, arguments and variables,
/// each ended by a NUL byte.
pub(super) struct Program {
    order: Vec<u8>,
}

impl Program {
    /// Finds the program in the `PATH` of its environment, as the user would.
    pub(super) fn find(
        argv: &[String],
        env: &[(String, String)],
        cwd: &str,
    ) -> Result<Self, AgentError> {
        let name = argv.first().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| AgentError::Order("the stage has no command".into()))?;
        let path = env.iter().find(|(key, _)| key == "PATH");
        let path = path.map_or(DEFAULT_PATH, |(_, value)| value);
        let found = if name.starts_with('/') {
            // Whether it is there, the execution tells.
            Some(PathBuf::from(name))
        } else {
            user::acting(|| look_up(name, path, Path::new(cwd)))?
        };
        let program =
            found.ok_or_else(|| AgentError::Order(format!("no program {name:?} in {path:?}")))?;
        let mut strings = Vec::new();
        let mut add = |bytes: &[u8]| {
            strings.extend_from_slice(bytes);
            strings.push(0);
        };
        add(program.as_os_str().as_bytes());
        add(cwd.as_bytes());
        argv.iter().for_each(|argument| add(argument.as_bytes()));
        env.iter()
            .for_each(|(key, value)| add(format!("{key}={value}").as_bytes()));
        let count = 2 + argv.len() + env.len();
        if strings.iter().filter(|&&byte| byte == 0).count() != count {
            return Err(AgentError::Order(
                "a NUL byte in an argument or variable".into(),
            ));
        }
        if strings.len() > ORDER_MAX || count > STRINGS_MAX {
            return Err(AgentError::Order(format!(
                "{} bytes in {count} arguments and variables are too many",
                strings.len()
            )));
        }
        // Small enough by what was checked above.
        let mut order = (strings.len() as u32).to_le_bytes().to_vec();
        order.extend_from_slice(&(argv.len() as u32).to_le_bytes());
        order.append(&mut strings);
        Ok(Self { order })
    }
}

fn look_up(name: &str, path: &str, cwd: &Path) -> Option<PathBuf> {
    let runs = |candidate: &PathBuf| {
        fs::metadata(candidate).is_ok_and(|found| found.is_file())
            && faccessat(AT_FDCWD, candidate, AccessFlags::X_OK, AtFlags::AT_EACCESS).is_ok()
    };
    if name.contains('/') {
        return Some(cwd.join(name)).filter(runs);
    }
    path.split(':')
        .map(|directory| cwd.join(directory).join(name))
        .find(runs)
}

/// A child that has done all but execute its program.
pub(super) struct Held {
    /// Its process id, outside the package's PID namespace.
    pub(super) pid: u32,
    gate: OwnedFd,
    child: Child,
}

/// A child that was let go.
pub(super) struct Child {
    pidfd: OwnedFd,
    verdict: OwnedFd,
}

/// How a child ended.
pub(super) enum End {
    /// By itself, with this status.
    Exited(i32),
    /// By a signal.
    Signaled(i32),
    /// Before its program ran.
    Failed(AgentError),
}

/// Where a child starts.
pub(super) struct Place<'a> {
    /// Its standard output.
    pub(super) stdout: BorrowedFd<'a>,
    /// Its standard error.
    pub(super) stderr: BorrowedFd<'a>,
    /// The mount namespace it lives in.
    pub(super) view: BorrowedFd<'a>,
    /// The directory of its control group; the agent's own where there is none.
    pub(super) cgroup: Option<BorrowedFd<'a>>,
}

/// Makes the child. When this returns it has done all that it does before it executes, and waits.
pub(super) fn hold(place: &Place<'_>) -> Result<Held, AgentError> {
    let pipe = || pipe2(OFlag::O_CLOEXEC).doing(|| "make a pipe".into());
    let (gate_inside, gate) = pipe()?;
    let (verdict, verdict_inside) = pipe()?;
    let null = fs::File::open("/dev/null").doing(|| "open /dev/null".into())?;
    // The child allocates nothing: all that it needs is made before it.
    let mut order = vec![0; ORDER_MAX];
    let mut pointers = vec![std::ptr::null(); STRINGS_MAX + 2];

    let mut pidfd: libc::c_int = -1;
    // SAFETY: clone_args is plain data, for which all zeroes is a value.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = libc::CLONE_PIDFD as u64;
    arguments.pidfd = &raw mut pidfd as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = place.cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM this is a fork, and the agent has one thread; the arguments outlive
    // the call, and the kernel writes the descriptor to `pidfd`.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut arguments,
            size_of::<libc::clone_args>(),
        )
    };
    if pid == 0 {
        let inside = Inside {
            streams: [
                null.as_raw_fd(),
                place.stdout.as_raw_fd(),
                place.stderr.as_raw_fd(),
            ],
            view: place.view.as_raw_fd(),
            gate: gate_inside.as_raw_fd(),
            verdict: verdict_inside.as_raw_fd(),
        };
        inside.run(&mut order, &mut pointers);
    }
    let pid = Errno::result(pid).doing(|| "start a process".into())? as u32;
    // SAFETY: the kernel made this descriptor for us just now.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    // With our copy open, the child's end would go unnoticed.
    drop(verdict_inside);
    let child = Child { pidfd, verdict };
    match child.message() {
        Some((READY, _)) => Ok(Held { pid, gate, child }),
        Some((step, errno)) => Err(failure(step, errno)),
        None => Err(AgentError::Order(
            "the stage's process ended before it was ready".into(),
        )),
    }
}

impl Held {
    /// Lets the child execute a program.
    pub(super) fn release(self, program: &Program) -> Child {
        let mut left = &program.order[..];
        while !left.is_empty() {
            match nix::unistd::write(&self.gate, left) {
                Ok(written) => left = &left[written..],
                Err(Errno::EINTR) => {}
                // A child that is gone does not hear it; its verdict tells.
                Err(_) => break,
            }
        }
        self.child
    }
}

impl Child {
    /// Readable once the child has ended.
    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// How the child ended; `None` while it lives.
    pub(super) fn ended(&self) -> Option<End> {
        let status = waitid(
            Id::PIDFd(self.pidfd.as_fd()),
            WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG,
        );
        let end = match status {
            Ok(WaitStatus::Exited(_, code)) => End::Exited(code),
            Ok(WaitStatus::Signaled(_, signal, _)) => End::Signaled(signal as i32),
            Err(Errno::ECHILD) => End::Failed(AgentError::Order("the process was lost".into())),
            _ => return None,
        };
        Some(self.failure().map_or(end, End::Failed))
    }

    /// What the child said before it could execute its program. All its copies of the pipe are
    /// closed by now: by the execution, or by its end.
    fn failure(&self) -> Option<AgentError> {
        self.message().map(|(step, errno)| failure(step, errno))
    }

    /// The child's next message; `None` where its end of the pipe is closed.
    fn message(&self) -> Option<(u8, i32)> {
        let mut message = [0; 5];
        let got = nix::unistd::read(&self.verdict, &mut message).ok()?;
        let [step, errno @ ..] = message;
        (got == message.len()).then(|| (step, i32::from_le_bytes(errno)))
    }
}

fn failure(step: u8, errno: i32) -> AgentError {
    AgentError::Os {
        what: format!("start the command: {}", Step::name(step)),
        cause: io::Error::from_raw_os_error(errno),
    }
}

/// In the place of a step: the child is ready.
const READY: u8 = u8::MAX;

/// What a child does before its program.
#[derive(Clone, Copy)]
enum Step {
    Session,
    View,
    Streams,
    Limits,
    User,
    Ready,
    Gate,
    Directory,
    Execute,
}

impl Step {
    fn name(number: u8) -> &'static str {
        const NAMES: [&str; 9] = [
            "begin a session",
            "enter the package's mounts",
            "set up its standard streams",
            "set its limits",
            "become the user",
            "say that it is ready",
            "wait for its order",
            "enter the working directory",
            "execute the program",
        ];
        NAMES
            .get(usize::from(number))
            .copied()
            .unwrap_or("an unknown step")
    }
}

/// A pointer to each string of an order, with a null one after the arguments and the variables.
type Pointers = [*const libc::c_char];

/// The child between `clone3` and `execve`. It allocates nothing and calls nothing but the kernel.
struct Inside {
    streams: [libc::c_int; 3],
    view: libc::c_int,
    gate: libc::c_int,
    verdict: libc::c_int,
}

impl Inside {
    fn run(&self, order: &mut [u8], pointers: &mut Pointers) -> ! {
        let done = self.prepare().and_then(|()| self.execute(order, pointers));
        if let Err((step, errno)) = done {
            let _ = self.tell(step as u8, errno as i32);
        }
        // SAFETY: runs nothing of the agent's.
        unsafe { libc::_exit(127) }
    }

    fn tell(&self, step: u8, errno: i32) -> nix::Result<()> {
        let [a, b, c, d] = errno.to_le_bytes();
        let message = [step, a, b, c, d];
        // SAFETY: the message outlives the call.
        let written = unsafe { libc::write(self.verdict, message.as_ptr().cast(), message.len()) };
        Errno::result(written).map(drop)
    }

    /// Reads the order and does it; returns only where that fails.
    fn execute(&self, order: &mut [u8], pointers: &mut Pointers) -> Result<(), (Step, Errno)> {
        let at_gate = |errno| (Step::Gate, errno);
        let mut head = [0; 8];
        self.read(&mut head).map_err(at_gate)?;
        let [a, b, c, d, e, f, g, h] = head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let arguments = u32::from_le_bytes([e, f, g, h]) as usize;
        let order = order.get_mut(..length).ok_or((Step::Gate, Errno::E2BIG))?;
        self.read(order).map_err(at_gate)?;
        let lines = order.split_inclusive(|&byte| byte == 0);
        let mut strings = lines.map(|line| line.as_ptr().cast::<libc::c_char>());
        let (Some(path), Some(cwd)) = (strings.next(), strings.next()) else {
            return Err((Step::Gate, Errno::EINVAL));
        };
        let mut at = 0;
        let mut put = |pointer| {
            let place = pointers.get_mut(at).ok_or((Step::Gate, Errno::E2BIG))?;
            *place = pointer;
            at += 1;
            Ok(())
        };
        for _ in 0..arguments {
            put(strings.next().ok_or((Step::Gate, Errno::EINVAL))?)?;
        }
        put(std::ptr::null())?;
        for variable in strings {
            put(variable)?;
        }
        put(std::ptr::null())?;
        // SAFETY: a NUL-terminated string that outlives the call.
        Errno::result(unsafe { libc::chdir(cwd) }).map_err(|errno| (Step::Directory, errno))?;
        let (argv, envp) = pointers.split_at(arguments + 1);
        // SAFETY: NUL-terminated strings and NULL-terminated arrays that outlive the call.
        unsafe { libc::execve(path, argv.as_ptr(), envp.as_ptr()) };
        Err((Step::Execute, Errno::last()))
    }

    fn prepare(&self) -> Result<(), (Step, Errno)> {
        own_session().map_err(|errno| (Step::Session, errno))?;
        // SAFETY: a descriptor and a flag.
        Errno::result(unsafe { libc::setns(self.view, libc::CLONE_NEWNS) })
            .map_err(|errno| (Step::View, errno))?;
        self.streams().map_err(|errno| (Step::Streams, errno))?;
        limits().map_err(|errno| (Step::Limits, errno))?;
        become_user().map_err(|errno| (Step::User, errno))?;
        self.tell(READY, 0).map_err(|errno| (Step::Ready, errno))
    }

    fn streams(&self) -> nix::Result<()> {
        for (to, from) in (0..).zip(self.streams) {
            // SAFETY: plain descriptor numbers.
            Errno::result(unsafe { libc::dup2(from, to) })?;
        }
        // Nothing else that the agent has open stays: its end of the gate would keep the agent's end from
        // being noticed, and the probes, when the agent takes them out, would only go when this executes.
        let (low, high) = (self.gate.min(self.verdict), self.gate.max(self.verdict));
        close_all(3, low - 1)?;
        close_all(low + 1, high - 1)?;
        close_all(high + 1, libc::c_int::MAX)
    }

    /// Fills `bytes` from the gate.
    fn read(&self, mut bytes: &mut [u8]) -> nix::Result<()> {
        while !bytes.is_empty() {
            // SAFETY: no more is read than there is room for.
            let got = unsafe { libc::read(self.gate, bytes.as_mut_ptr().cast(), bytes.len()) };
            match Errno::result(got) {
                Ok(0) => return Err(Errno::ECANCELED),
                Ok(got) => bytes = &mut bytes[got as usize..],
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}

/// Closes every descriptor from the first number to the last.
fn close_all(first: libc::c_int, last: libc::c_int) -> nix::Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: this process uses none of these any more.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

fn own_session() -> nix::Result<()> {
    // SAFETY: none of these takes a pointer that must outlive it; the signal set is initialised
    // by sigemptyset before it is read.
    unsafe {
        Errno::result(libc::setsid())?;
        libc::umask(0o022);
        // Rust ignores SIGPIPE, and ignoring is inherited.
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        Errno::result(libc::sigprocmask(
            libc::SIG_SETMASK,
            &raw const none,
            std::ptr::null_mut(),
        ))?;
    }
    Ok(())
}

fn limits() -> nix::Result<()> {
    let limit = |resource, soft, hard| {
        let limit = libc::rlimit {
            rlim_cur: soft,
            rlim_max: hard,
        };
        // SAFETY: the limit outlives the call.
        Errno::result(unsafe { libc::setrlimit(resource, &raw const limit) })
    };
    limit(libc::RLIMIT_CORE, 0, 0)?;
    limit(libc::RLIMIT_NOFILE, OPEN_FILES.0, OPEN_FILES.1)?;
    // The agent's exemption from out-of-memory kills is inherited.
    // SAFETY: NUL-terminated path; the bytes outlive the write.
    unsafe {
        let file = Errno::result(libc::open(
            c"/proc/self/oom_score_adj".as_ptr(),
            libc::O_WRONLY | libc::O_CLOEXEC,
        ))?;
        Errno::result(libc::write(file, c"0".as_ptr().cast(), 1))?;
        libc::close(file);
    }
    Ok(())
}

fn become_user() -> nix::Result<()> {
    for capability in 0..=CAPABILITIES_MAX {
        // SAFETY: no pointers. A capability that this kernel does not know cannot be had either.
        let done =
            Errno::result(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) });
        match done {
            Ok(_) => {}
            Err(Errno::EINVAL) => break,
            Err(errno) => return Err(errno),
        }
    }
    // SAFETY: no pointers but the null one for an empty list. Raw calls: the C library's would
    // look for other threads, and this process has none.
    unsafe {
        Errno::result(libc::syscall(
            libc::SYS_setgroups,
            0,
            std::ptr::null::<libc::gid_t>(),
        ))?;
        Errno::result(libc::syscall(
            libc::SYS_setresgid,
            user::GID,
            user::GID,
            user::GID,
        ))?;
        Errno::result(libc::syscall(
            libc::SYS_setresuid,
            user::UID,
            user::UID,
            user::UID,
        ))?;
    }
    Ok(())
}
