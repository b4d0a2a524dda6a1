//! Runs a program that starts many others, such that none of them outlives it, or us.

use std::{
    io::{self, BufRead, BufReader, PipeReader, Read},
    os::unix::process::CommandExt,
    panic,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use crate::{Progress, VmError, error::printable};

/// How long it may go unnoticed that the program has ended, or that nobody waits for it any more.
const PAUSE: Duration = Duration::from_millis(50);

/// Ends the group of processes that it leads, and then itself, when nobody has the other end of its
/// standard input any more.
const GUARD: &str = "read closed; trap '' TERM; kill -s TERM 0";

/// Runs a program to its end, or until nobody waits for it any more. Nothing that it started goes on
/// after that, or when we are killed. mmdebstrap does not see to it: on a signal it waits for what it
/// has started, which may be the whole installation.
pub(super) fn run(
    mut command: Command,
    program: &'static str,
    package: &'static str,
    progress: &dyn Progress,
) -> Result<(), VmError> {
    let (said, standard_error) = io::pipe().map_err(VmError::io("make a pipe"))?;
    command.stderr(standard_error);
    let (status, tail) = thread::scope(|scope| {
        // The namespaces are this thread's, and end with it.
        let ended = scope.spawn(move || run_to_end(command, program, package, progress));
        let tail = listen(said, progress);
        let status = ended.join();
        let status = status.unwrap_or_else(|panicked| panic::resume_unwind(panicked));
        (status, tail)
    });
    let status = status?;
    if status.success() {
        return Ok(());
    }
    Err(VmError::Failed {
        program,
        status: status.to_string(),
        tail: printable(&tail, 20),
    })
}

fn run_to_end(
    mut command: Command,
    program: &'static str,
    package: &'static str,
    progress: &dyn Progress,
) -> Result<ExitStatus, VmError> {
    // SAFETY: geteuid has no preconditions and cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    if root {
        isolate().map_err(VmError::io(format!("make namespaces for {program}")))?;
    }
    let mut guard = Guard::start().map_err(VmError::io("run sh"))?;
    // In a PID namespace its first process has this number.
    let group = if root { 1 } else { guard.id() };
    let spawned = command.process_group(group).spawn();
    // Standard error ends when no process has it any more, and this one has it too.
    drop(command);
    let mut child = spawned.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => VmError::Program { program, package },
        _ => VmError::Io {
            action: format!("run {program}"),
            source: error,
        },
    })?;
    while matches!(child.try_wait(), Ok(None)) && !progress.is_abandoned() {
        thread::sleep(PAUSE);
    }
    guard.end_group();
    // Before the guard is waited for: the first process of a namespace is not gone before all others
    // are, and this one is ours to wait for.
    let status = child.wait();
    drop(guard);
    status.map_err(VmError::io(format!("wait for {program}")))
}

/// Gives this thread's children namespaces of their own; for an ordinary user mmdebstrap makes such
/// ones itself. When the first process of the PID namespace ends, the kernel kills all others, and
/// what they mounted is gone with them. Root's mmdebstrap mounts parts of the host's /dev in the tree:
/// who removes a tree that was left behind must not walk into them.
fn isolate() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS)?;
    // On most hosts a new mount namespace still shares what is mounted with the old one.
    let flags = MsFlags::MS_REC | MsFlags::MS_SLAVE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)?;
    Ok(())
}

/// The leader of a group of processes, which it ends when it is told to, and when we end, however we
/// end: then the kernel closes our end of the pipe. A parent-death signal reaches one process only.
struct Guard(Child);

impl Guard {
    fn start() -> io::Result<Self> {
        let mut command = Command::new("sh");
        command
            .args(["-c", GUARD])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        command.spawn().map(Self)
    }

    fn id(&self) -> i32 {
        self.0.id().cast_signed()
    }

    fn end_group(&mut self) {
        drop(self.0.stdin.take());
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.end_group();
        let _ = self.0.wait();
    }
}

/// Tells what mmdebstrap says until no process has the pipe any more; gives its last words.
fn listen(said: PipeReader, progress: &dyn Progress) -> Vec<u8> {
    let mut tail = Vec::new();
    let mut lines = BufReader::new(said);
    let mut line = Vec::new();
    while (&mut lines)
        .take(64 << 10)
        .read_until(b'\n', &mut line)
        .is_ok_and(|n| n > 0)
    {
        if let Some(message) = line.strip_prefix(b"I: ") {
            // A hook is announced with its whole text.
            if !message.starts_with(b"running") {
                progress.step(&printable(message, 1));
            }
        }
        tail.append(&mut line);
        let excess = tail.len().saturating_sub(16 << 10);
        tail.drain(..excess);
    }
    tail
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        time::Instant,
    };

    use super::*;

    /// Somebody who waits until the program has said something.
    #[derive(Default)]
    struct Impatient(AtomicBool);

    impl Progress for Impatient {
        fn step(&self, _: &str) {
            self.0.store(true, Ordering::Relaxed);
        }

        fn is_abandoned(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }
    }

    /// Runs a script to the end of all that has its standard error, which must come soon.
    fn ended(script: &str, progress: &dyn Progress) -> Result<(), VmError> {
        let began = Instant::now();
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null());
        let result = run(command, "sh", "dash", progress);
        assert!(began.elapsed() < Duration::from_secs(30), "{result:?}");
        result
    }

    #[test]
    fn what_nobody_waits_for_ends_with_all_that_it_started() {
        let script = "sleep 60 & echo 'I: started' >&2; wait";
        let result = ended(script, &Impatient::default());
        assert!(matches!(result, Err(VmError::Failed { .. })), "{result:?}");
    }

    #[test]
    fn what_a_program_leaves_running_ends_with_it() {
        ended("sleep 60 &", &|_: &str| {}).unwrap();
    }

    #[test]
    fn how_a_program_failed_is_told() {
        let result = ended("echo 'E: no mirror' >&2; exit 3", &|_: &str| {});
        let expected = "`sh` failed (exit status: 3); its last words:\nE: no mirror";
        assert_eq!(result.unwrap_err().to_string(), expected);
        let missing = Command::new("/nonexistent/program");
        let result = run(missing, "program", "package", &|_: &str| {});
        let expected = "failed to run `program`: not found; type `apt-get install package`";
        assert_eq!(result.unwrap_err().to_string(), expected);
    }
}
