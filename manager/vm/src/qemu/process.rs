//! The hypervisor's process: without privileges, without a network, and gone when we are gone.

use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    process::{Child, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
};

use tokio::{io::unix::AsyncFd, sync::oneshot};

use super::{Limits, Spawn};

/// Users of machines that root starts; far above any real user and below `i32::MAX`.
const FIRST_UID: u32 = 0x7000_0000;

/// User and group `nobody`; the kernel's default for what a namespace does not map.
const NOBODY: u32 = 65_534;

/// A running hypervisor. Killed and reaped when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pidfd: AsyncFd<Handle>,
    status: Option<ExitStatus>,
}

/// A handle that never means another process, however old.
#[derive(Debug, Clone)]
pub(crate) struct Handle(Arc<OwnedFd>);

impl AsRawFd for Handle {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Handle {
    fn open(pid: u32) -> io::Result<Self> {
        // SAFETY: pidfd_open(2) takes two integers; the result is checked before it is owned.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, libc::PIDFD_NONBLOCK) };
        let fd = RawFd::try_from(fd)
            .ok()
            .filter(|&fd| fd >= 0)
            .ok_or_else(io::Error::last_os_error)?;
        // SAFETY: the descriptor is new and nobody else has it.
        Ok(Self(Arc::new(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// SIGKILL; nothing where the process is gone.
    pub(crate) fn kill(&self) {
        let no_info = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: the descriptor is open; a null siginfo means that of kill(2).
        unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.as_raw_fd(),
                libc::SIGKILL,
                no_info,
                0,
            )
        };
    }
}

impl Process {
    /// Starts the hypervisor.
    pub(crate) async fn spawn(spawn: Spawn) -> io::Result<Self> {
        let (reply, answer) = oneshot::channel();
        let queue = spawner().ok_or_else(|| io::Error::other("the spawning thread is gone"))?;
        queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send((spawn, reply))
            .map_err(|_| io::Error::other("the spawning thread is gone"))?;
        let child = answer
            .await
            .map_err(|_| io::Error::other("the spawning thread is gone"))??;
        let handle = Handle::open(child.id()).and_then(|handle| {
            // SAFETY: the handle owns its descriptor, always names the same one, and is not taken
            // out of the AsyncFd.
            unsafe { AsyncFd::register(handle) }.map_err(io::Error::from)
        });
        match handle {
            Ok(pidfd) => Ok(Self {
                child,
                pidfd,
                status: None,
            }),
            Err(error) => {
                let mut child = child;
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn handle(&self) -> Handle {
        self.pidfd.get_ref().clone()
    }

    /// Waits for its end; may be dropped and called again.
    pub(crate) async fn wait(&mut self) -> ExitStatus {
        if let Some(status) = self.status {
            return status;
        }
        // A pidfd becomes readable when the process has ended; where that fails, waiting blocks.
        let _ = self.pidfd.readable().await;
        self.reap()
    }

    fn reap(&mut self) -> ExitStatus {
        // It can only fail where somebody else reaped our child; report that as a kill.
        let status = self
            .child
            .wait()
            .unwrap_or_else(|_| ExitStatus::from_raw(libc::SIGKILL));
        *self.status.insert(status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.status.is_none() {
            self.pidfd.get_ref().kill();
            self.reap();
        }
    }
}

type Job = (Spawn, oneshot::Sender<io::Result<Child>>);

/// The parent-death signal is tied to the thread that forked, not to the process: all machines are
/// forked by one thread that lives as long as the program.
fn spawner() -> Option<&'static Mutex<mpsc::Sender<Job>>> {
    static SPAWNER: OnceLock<Option<Mutex<mpsc::Sender<Job>>>> = OnceLock::new();
    SPAWNER
        .get_or_init(|| {
            let (queue, jobs) = mpsc::channel::<Job>();
            let thread = thread::Builder::new()
                .name("vm-spawner".into())
                .spawn(move || {
                    for (spawn, reply) in jobs {
                        if let Err(Ok(mut unwanted)) = reply.send(start(spawn)) {
                            let _ = unwanted.kill();
                            let _ = unwanted.wait();
                        }
                    }
                });
            thread.ok().map(|_| Mutex::new(queue))
        })
        .as_ref()
}

fn start(spawn: Spawn) -> io::Result<Child> {
    let Spawn {
        mut command,
        files,
        limits,
        group,
        ..
    } = spawn;
    let numbers: Vec<RawFd> = files.iter().map(AsRawFd::as_raw_fd).collect();
    // SAFETY: getpid and geteuid have no preconditions.
    let (parent, root) = unsafe { (libc::getpid(), libc::geteuid() == 0) };
    let user = unused_uid();
    let group = group.unwrap_or(user);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    // SAFETY: between fork and exec only async-signal-safe system calls are made, and nothing is
    // allocated or locked.
    unsafe {
        command.pre_exec(move || {
            // They keep the numbers they have here: only ours stop being closed on exec.
            for &number in &numbers {
                check(libc::fcntl(number, libc::F_SETFD, 0))?;
            }
            confine(root, user, group, limits)?;
            // Last: a change of user clears it.
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
            if libc::getppid() != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
    command.spawn()
}

/// Runs in the child before exec.
fn confine(root: bool, user: u32, group: u32, limits: Limits) -> io::Result<()> {
    // SAFETY: all calls take integers or pointers to live locals, and are async-signal-safe.
    unsafe {
        check(libc::setsid())?;
        if root {
            // A container without the right to make namespaces still has no network device in the
            // machine; any other refusal is an error.
            if libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWIPC) != 0 {
                let error = io::Error::last_os_error();
                if error.raw_os_error() != Some(libc::EPERM) {
                    return Err(error);
                }
            }
            limit(libc::RLIMIT_NPROC, 256)?;
            check(libc::setgroups(0, std::ptr::null()))?;
            or_nobody(group, |group| libc::setresgid(group, group, group))?;
            or_nobody(user, |user| libc::setresuid(user, user, user))?;
        } else {
            // Many distributions refuse user namespaces to ordinary users: then do without.
            let _ = libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET | libc::CLONE_NEWIPC);
        }
        limit(libc::RLIMIT_CORE, 0)?;
        limit(libc::RLIMIT_NOFILE, 128)?;
        limit(libc::RLIMIT_MEMLOCK, 0)?;
        limit(libc::RLIMIT_AS, limits.address_space)?;
        limit(libc::RLIMIT_CPU, limits.cpu_seconds)?;
        limit(libc::RLIMIT_FSIZE, limits.file_size)?;
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    }
}

/// In a user namespace that maps few ids (a container), an id of ours is unknown (EINVAL): then
/// nobody's is taken.
fn or_nobody(id: u32, set: impl Fn(u32) -> libc::c_int) -> io::Result<()> {
    check(set(id)).or_else(|error| match error.raw_os_error() {
        Some(libc::EINVAL) => check(set(NOBODY)),
        _ => Err(error),
    })
}

fn limit(resource: libc::__rlimit_resource_t, value: u64) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    };
    // SAFETY: the structure lives through the call.
    check(unsafe { libc::setrlimit(resource, &raw const limit) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// A user that no other running machine has: 64 for each process id.
fn unused_uid() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let pid = std::process::id() & 0x3f_ffff;
    FIRST_UID + pid * 64 + NEXT.fetch_add(1, Ordering::Relaxed) % 64
}
