//! The resolver: the program `uv`, pinned, from PyPI. It runs with an environment of its own, talks
//! to this process only, is never allowed to build, and dies with this process.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use pep440_rs::Version;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::archive::extract_member;
use crate::cache::digest;
use crate::error::{IndexError, blocking};
use crate::filename::PythonPlatform;
use crate::index::Index;
use crate::name::PackageName;
use crate::page::{IndexFile, Metadata, ProjectPage};
use crate::text::printable_lines;

/// The pinned version of `uv`.
pub const UV_VERSION: &str = "0.13.9";

const WHEEL: &str = "uv-0.13.9-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
const WHEEL_SHA256: &str = "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19";
const MEMBER: &str = "uv-0.13.9.data/scripts/uv";
const BINARY_SHA256: &str = "b73acdf73b96c3ac9e56d2fa933427b3ee6a901e3cce6ba1e3ecb3f91ca0d86a";
const BINARY_BYTES: u64 = 256 << 20;

/// Resolving includes metadata hooks, which run in an emulated machine.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// Bytes of explanation that are kept.
const EXPLANATION: usize = 4000;

/// The resolver, ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Uv {
    program: PathBuf,
    python: PathBuf,
    /// How long it may take.
    patience: Duration,
}

/// A Python 3 of this host. `uv` asks it for the facts that environment markers speak of, before
/// it replaces them with those of the image; any version that `uv` supports will do.
#[must_use]
pub fn host_python() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|directory| directory.join("python3"));
    std::iter::once(PathBuf::from("/usr/bin/python3"))
        .chain(on_path)
        .find(|path| path.is_file())
}

impl Uv {
    /// Finds or fetches the resolver.
    pub(crate) async fn ensure(
        index: &Index,
        program: Option<PathBuf>,
        python: Option<PathBuf>,
    ) -> Result<Self, IndexError> {
        let python = python.or_else(host_python).ok_or_else(|| {
            IndexError::Tool("no python3 on this host; install one (apt install python3)".into())
        })?;
        let program = match program {
            Some(program) => program,
            None => fetch(index).await?,
        };
        Ok(Self {
            program,
            python,
            patience: TIMEOUT,
        })
    }

    /// Resolves `requirements`, one per line and checked, against the index at `index_url`. The
    /// result is the pinned closure. `what` stands in messages.
    pub(crate) async fn compile(
        &self,
        requirements: &[String],
        index_url: &str,
        platform: PythonPlatform,
        directory: &Path,
        what: &str,
    ) -> Result<Vec<(PackageName, Version)>, IndexError> {
        let input = directory.join("requirements.in");
        std::fs::write(&input, requirements.join("\n")).map_err(IndexError::io("write", &input))?;
        let mut command = Command::new(&self.program);
        command
            .args([
                "pip",
                "compile",
                "requirements.in",
                "--no-config",
                "--no-cache",
            ])
            .args(["--no-python-downloads", "--no-build"])
            .args([
                "--no-header",
                "--no-annotate",
                "--no-progress",
                "--color",
                "never",
            ])
            .args([
                "--python-platform",
                "x86_64-manylinux_2_28",
                "--python-version",
            ])
            .arg(platform.to_string())
            .arg("--python")
            .arg(&self.python)
            .args(["--default-index", index_url])
            .env_clear()
            // A hook may keep the resolver waiting for its metadata.
            .env("UV_HTTP_TIMEOUT", TIMEOUT.as_secs().to_string())
            .env("HOME", directory)
            .env("TMPDIR", directory)
            .env("NO_PROXY", "127.0.0.1")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is this process's to hear: it is no answer of the resolver's.
            .process_group(0)
            .kill_on_drop(true);
        let run = async { start(command).await?.wait_with_output().await };
        let ended = tokio::time::timeout(self.patience, run).await;
        let Ok(output) = ended else {
            // Of the same requirements it would hardly come to an end at once, either. What back ends
            // said until then is remembered, for when the user tries again.
            return Err(IndexError::Unresolvable {
                what: what.to_owned(),
                reason: format!(
                    "uv has not come to an end within {} s",
                    self.patience.as_secs_f64()
                ),
            });
        };
        let output = output.map_err(IndexError::io("run", &self.program))?;
        if !output.status.success() {
            let told = String::from_utf8_lossy(&output.stderr);
            let reason = printable_lines(told.trim(), EXPLANATION);
            return Err(IndexError::Unresolvable {
                what: what.to_owned(),
                reason,
            });
        }
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines()
            .filter(|line| !line.trim().is_empty())
            .map(pin)
            .collect()
    }
}

/// A program to start, the runtime that is to wait for it, and who asked for it.
type Job = (Command, Handle, oneshot::Sender<io::Result<Child>>);

/// Starts a program that the kernel kills when this process ends, however it ends.
async fn start(mut command: Command) -> io::Result<Child> {
    let parent = std::process::id();
    // SAFETY: between fork and exec only async-signal-safe system calls are made, and nothing is
    // allocated or locked.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // It may have ended before that.
            if u32::try_from(libc::getppid()) != Ok(parent) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
    let gone = || io::Error::other("the thread that starts programs is gone");
    let (reply, answer) = oneshot::channel();
    let queue = starter().ok_or_else(gone)?;
    queue
        .send((command, Handle::current(), reply))
        .map_err(|_| gone())?;
    answer.await.map_err(|_| gone())?
}

/// The parent-death signal is tied to the thread that forked, not to the process. No thread of tokio's
/// will do: one that blocks in place may lose its work to another, becomes a thread for blocking work,
/// and those end when they have been idle for some seconds; `uv` would be killed while it waits for a
/// hook. So one thread of our own forks, which lives as long as the program.
fn starter() -> Option<&'static mpsc::Sender<Job>> {
    static STARTER: OnceLock<Option<mpsc::Sender<Job>>> = OnceLock::new();
    STARTER
        .get_or_init(|| {
            let (queue, jobs) = mpsc::channel::<Job>();
            let thread = thread::Builder::new()
                .name("uv-starter".into())
                .spawn(move || {
                    for (mut command, runtime, reply) in jobs {
                        // Its end and its output are waited for there.
                        let _entered = runtime.enter();
                        // Where nobody waits any more it is dropped, and that kills it.
                        let _ = reply.send(command.spawn());
                    }
                });
            thread.ok().map(|_| queue)
        })
        .as_ref()
}

/// A line `name[extra]==version` of the resolver's answer.
fn pin(line: &str) -> Result<(PackageName, Version), IndexError> {
    let parsed = line.split_once("==").and_then(|(name, version)| {
        let name = name.split('[').next()?.trim().parse().ok()?;
        let version = version.split(';').next()?.trim();
        Some((name, Version::from_str(version).ok()?))
    });
    parsed.ok_or_else(|| {
        IndexError::Tool(format!(
            "uv answered '{}'",
            crate::text::printable(line, 200)
        ))
    })
}

/// Whether this is the pinned program.
fn is_pinned(program: &Path) -> bool {
    digest(program).is_ok_and(|(sha256, _)| sha256 == BINARY_SHA256)
}

/// The pinned program on the `PATH`, as `pip install uv` puts it there.
fn on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut programs = std::env::split_paths(&path).map(|directory| directory.join("uv"));
    programs.find(|program| program.is_file() && is_pinned(program))
}

/// Where the pinned wheel can be fetched: from the configured indexes, else from PyPI.
async fn wheel(index: &Index) -> Result<IndexFile, IndexError> {
    let name: PackageName = "uv"
        .parse()
        .map_err(|_| IndexError::Tool("no name".to_owned()))?;
    let listed = |page: &ProjectPage| {
        let mut files = page.files.iter();
        files.find(|file| file.filename.as_str() == WHEEL).cloned()
    };
    match index.project(&name).await {
        Ok(page) => {
            if let Some(file) = listed(&page) {
                return Ok(file);
            }
        }
        Err(IndexError::UnknownPackage { .. }) => {}
        Err(error) => return Err(error),
    }
    let advice = |reason: &str| {
        IndexError::Tool(format!(
            "the index has no {WHEEL}, and {reason}; what `pip install uv=={UV_VERSION}` puts on the PATH \
             is taken too"
        ))
    };
    let page = index.project_of_pypi(&name).await;
    let page = page.map_err(|error| advice(&error.to_string()))?;
    page.as_ref()
        .and_then(listed)
        .ok_or_else(|| advice("PyPI has none"))
}

/// Finds the pinned program, or fetches it.
pub(crate) async fn fetch(index: &Index) -> Result<PathBuf, IndexError> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Err(IndexError::Tool(format!(
            "the pinned uv {UV_VERSION} is for x86-64 Linux"
        )));
    }
    let program = index
        .cache
        .tools()
        .join(format!("uv-{UV_VERSION}"))
        .join("uv");
    let known = {
        let program = program.clone();
        blocking(move || {
            let known = is_pinned(&program).then_some(program);
            Ok(known.or_else(on_path))
        })
    };
    if let Some(program) = known.await? {
        return Ok(program);
    }
    let file = wheel(index).await?;
    // What counts is our own pin, whatever the index says.
    let pinned = IndexFile {
        sha256: Some(WHEEL_SHA256.to_owned()),
        metadata: Metadata::Missing,
        ..file
    };
    let wheel = index.fetch(&pinned).await?;
    let cache = index.cache.clone();
    blocking(move || {
        let mut out = cache.temporary()?;
        extract_member(&wheel.path, MEMBER, BINARY_BYTES, &mut out).map_err(|reason| {
            IndexError::Archive {
                file: WHEEL.to_owned(),
                reason,
            }
        })?;
        out.flush().map_err(IndexError::io("write", out.path()))?;
        let (actual, _) = digest(out.path()).map_err(IndexError::io("read", out.path()))?;
        if actual != BINARY_SHA256 {
            let (file, expected) = (MEMBER.to_owned(), BINARY_SHA256.to_owned());
            return Err(IndexError::HashMismatch {
                file,
                expected,
                actual,
            });
        }
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(out.path(), mode).map_err(IndexError::io("mark", out.path()))?;
        let parent = program.parent().unwrap_or(&program);
        std::fs::create_dir_all(parent).map_err(IndexError::io("create", parent))?;
        out.persist(&program)
            .map_err(|error| IndexError::io("store", &program)(error.error))?;
        Ok(program)
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::error::ErrorKind;

    fn wait_for(what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !condition() {
            assert!(Instant::now() < deadline, "waited in vain for {what}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// A shell in place of the resolver: it takes uv's first argument, `pip`, for a script's name.
    fn shell(patience: Duration) -> Uv {
        Uv {
            program: "/bin/sh".into(),
            python: "/nonexistent".into(),
            patience,
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_not_resolved_in_time_is_not_tried_again() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("pip"), "exec sleep 60\n").unwrap();
        let shell = shell(Duration::from_millis(500));
        let platform = PythonPlatform::default();
        let error = shell
            .compile(&[], "", platform, home.path(), "a==1")
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to resolve the requirements of a==1: uv has not come to an end within 0.5 s"
        );
        assert_eq!(error.kind(), ErrorKind::Package);
    }

    /// The process that resolves is this same test in another one, told by its environment.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_resolver_dies_with_this_process() {
        const DIRECTORY: &str = "PYTI_TEST_RESOLVES_IN";
        if let Some(directory) = std::env::var_os(DIRECTORY) {
            let shell = shell(TIMEOUT);
            let platform = PythonPlatform::default();
            let resolving = shell.compile(&[], "", platform, Path::new(&directory), "nothing");
            let _ = resolving.await;
            return;
        }
        let home = tempfile::tempdir().unwrap();
        let script = "echo $$ > starting\nmv starting started\nexec sleep 60\n";
        std::fs::write(home.path().join("pip"), script).unwrap();
        let mut owner = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "uv::tests::the_resolver_dies_with_this_process"])
            .env(DIRECTORY, home.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let started = home.path().join("started");
        wait_for("the resolver to start", || started.exists());
        let pid = std::fs::read_to_string(started).unwrap();
        let program = Path::new("/proc").join(pid.trim()).join("exe");
        assert!(program.exists());
        owner.kill().unwrap();
        owner.wait().unwrap();
        // One that is dead and not yet waited for has no program.
        wait_for("the resolver to die", || !program.exists());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_started_outlives_the_thread_that_asked_for_it() {
        let runtime = Handle::current();
        let asking = thread::spawn(move || {
            let mut command = Command::new("/bin/sh");
            command
                .args(["-c", "sleep 0.5; echo lived"])
                .stdout(Stdio::piped())
                .kill_on_drop(true);
            runtime.block_on(start(command)).unwrap()
        });
        let child = asking.join().unwrap();
        let output = child.wait_with_output().await.unwrap();
        assert!(output.status.success(), "{}", output.status);
        assert_eq!(output.stdout, b"lived\n");
    }
}
