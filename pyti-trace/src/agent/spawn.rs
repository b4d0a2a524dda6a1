//! Starts a program as the ordinary user, held until it is let go.

use std::ffi::CString;
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

/// A program with all it is started with, in the form the kernel wants it.
pub(super) struct Program {
    path: CString,
    argv: Vec<CString>,
    envp: Vec<CString>,
    cwd: CString,
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
        let program = user::acting(|| look_up(name, path, Path::new(cwd)))?
            .ok_or_else(|| AgentError::Order(format!("no program {name:?} in {path:?}")))?;
        let env = env.iter().map(|(key, value)| format!("{key}={value}"));
        Ok(Self {
            path: text(program.as_os_str().as_bytes())?,
            argv: argv
                .iter()
                .map(|argument| text(argument.as_bytes()))
                .collect::<Result<_, _>>()?,
            envp: env
                .map(|pair| text(pair.as_bytes()))
                .collect::<Result<_, _>>()?,
            cwd: text(cwd.as_bytes())?,
        })
    }
}

fn text(bytes: &[u8]) -> Result<CString, AgentError> {
    CString::new(bytes).map_err(|_| {
        let shown = String::from_utf8_lossy(bytes);
        AgentError::Order(format!("a NUL byte in the argument or variable {shown:?}"))
    })
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

/// Makes the child, ready to execute and waiting at the gate.
pub(super) fn hold(program: &Program, place: &Place<'_>) -> Result<Held, AgentError> {
    let pipe = || pipe2(OFlag::O_CLOEXEC).doing(|| "make a pipe".into());
    let (gate_inside, gate) = pipe()?;
    let (verdict, verdict_inside) = pipe()?;
    let null = fs::File::open("/dev/null").doing(|| "open /dev/null".into())?;
    let argv = pointers(&program.argv);
    let envp = pointers(&program.envp);

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
            outer_gate: gate.as_raw_fd(),
            verdict: verdict_inside.as_raw_fd(),
        };
        inside.run(program, &argv, &envp);
    }
    let pid = Errno::result(pid).doing(|| "start a process".into())? as u32;
    // SAFETY: the kernel made this descriptor for us just now.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Held {
        pid,
        gate,
        child: Child { pidfd, verdict },
    })
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    let pointers = strings.iter().map(|string| string.as_ptr());
    pointers.chain([std::ptr::null()]).collect()
}

impl Held {
    /// Lets the child execute its program.
    pub(super) fn release(self) -> Child {
        // A child that failed before the gate is no longer there to hear it; its verdict tells.
        let _ = nix::unistd::write(&self.gate, &[1]);
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
        let mut message = [0; 5];
        let got = nix::unistd::read(&self.verdict, &mut message).ok()?;
        let [step, errno @ ..] = message;
        (got == message.len()).then(|| AgentError::Os {
            what: format!("start the command: {}", Step::name(step)),
            cause: io::Error::from_raw_os_error(i32::from_le_bytes(errno)),
        })
    }
}

/// What a child does before its program.
#[derive(Clone, Copy)]
enum Step {
    Session,
    View,
    Streams,
    Limits,
    User,
    Directory,
    Gate,
    Execute,
}

impl Step {
    fn name(number: u8) -> &'static str {
        const NAMES: [&str; 8] = [
            "begin a session",
            "enter the package's mounts",
            "set up its standard streams",
            "set its limits",
            "become the user",
            "enter the working directory",
            "wait for its release",
            "execute the program",
        ];
        NAMES
            .get(usize::from(number))
            .copied()
            .unwrap_or("an unknown step")
    }
}

/// The child between `clone3` and `execve`. It allocates nothing and calls nothing but the kernel.
struct Inside {
    streams: [libc::c_int; 3],
    view: libc::c_int,
    gate: libc::c_int,
    outer_gate: libc::c_int,
    verdict: libc::c_int,
}

impl Inside {
    fn run(
        &self,
        program: &Program,
        argv: &[*const libc::c_char],
        envp: &[*const libc::c_char],
    ) -> ! {
        let (step, errno) = self.prepare(program).err().unwrap_or_else(|| {
            // SAFETY: NUL-terminated strings and NULL-terminated arrays that outlive the call.
            unsafe { libc::execve(program.path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
            (Step::Execute, Errno::last())
        });
        let [a, b, c, d] = (errno as i32).to_le_bytes();
        let message = [step as u8, a, b, c, d];
        // SAFETY: the message outlives the call; _exit runs nothing of the agent's.
        unsafe {
            libc::write(self.verdict, message.as_ptr().cast(), message.len());
            libc::_exit(127)
        }
    }

    fn prepare(&self, program: &Program) -> Result<(), (Step, Errno)> {
        // The other end is the agent's; with it open here, the agent's end would go unnoticed.
        // SAFETY: closing our own copy of a descriptor.
        unsafe { libc::close(self.outer_gate) };
        own_session().map_err(|errno| (Step::Session, errno))?;
        // SAFETY: a descriptor and a flag.
        Errno::result(unsafe { libc::setns(self.view, libc::CLONE_NEWNS) })
            .map_err(|errno| (Step::View, errno))?;
        self.streams().map_err(|errno| (Step::Streams, errno))?;
        limits().map_err(|errno| (Step::Limits, errno))?;
        become_user().map_err(|errno| (Step::User, errno))?;
        // SAFETY: a NUL-terminated string that outlives the call.
        Errno::result(unsafe { libc::chdir(program.cwd.as_ptr()) })
            .map_err(|errno| (Step::Directory, errno))?;
        self.wait_at_gate().map_err(|errno| (Step::Gate, errno))
    }

    fn streams(&self) -> nix::Result<()> {
        for (to, from) in (0..).zip(self.streams) {
            // SAFETY: plain descriptor numbers.
            Errno::result(unsafe { libc::dup2(from, to) })?;
        }
        // Whatever else the agent has open goes away with the execution, not only what it marked.
        // SAFETY: marks descriptors, closes none.
        Errno::result(unsafe {
            libc::syscall(
                libc::SYS_close_range,
                3,
                libc::c_uint::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            )
        })?;
        Ok(())
    }

    fn wait_at_gate(&self) -> nix::Result<()> {
        let mut go = 0_u8;
        // SAFETY: one byte into a variable of one byte.
        let got = Errno::result(unsafe { libc::read(self.gate, (&raw mut go).cast(), 1) })?;
        if got == 1 {
            Ok(())
        } else {
            Err(Errno::ECANCELED)
        }
    }
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
