//! The resolver: the program `uv`, pinned, from PyPI. It runs with an environment of its own, talks
//! to this process only, and is never allowed to build.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use pep440_rs::Version;
use tokio::process::Command;

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
        Ok(Self { program, python })
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
            .kill_on_drop(true);
        let run = tokio::time::timeout(TIMEOUT, command.output()).await;
        let output = run
            .map_err(|_| IndexError::Tool("uv did not end in time".to_owned()))?
            .map_err(IndexError::io("run", &self.program))?;
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
        extract_member(&wheel.path, MEMBER, BINARY_BYTES, &mut out).map_err(|source| {
            IndexError::Archive {
                file: WHEEL.to_owned(),
                source,
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
