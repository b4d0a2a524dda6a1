//! Why a command could not be traced.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::loader::LoadError;

/// Why a command could not be traced, or its trace not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum HostError {
    /// Not root.
    #[error(
        "only root may load probes into the kernel; run this as root, for instance with `sudo pyti-trace -- COMMAND`"
    )]
    NotRoot,
    /// The probes number processes otherwise than this program sees them.
    #[error(
        "the probes know processes by their numbers in the host's first PID namespace, and this is another one; run this outside of the container, or in one that shares the host's PID namespace"
    )]
    PidNamespace,
    /// No BTF.
    #[error(
        "this kernel does not describe its types in {path}, which the probes need; boot a kernel that was built with CONFIG_DEBUG_INFO_BTF, as those of most distributions are"
    )]
    NoBtf {
        /// Where it should be.
        path: &'static str,
        /// Why it could not be read.
        source: io::Error,
    },
    /// Nothing was attached.
    #[error(
        "this kernel refused every probe ({reason}), so nothing of the command can be seen here; run this where the kernel lets root load BPF programs of the tracing kind"
    )]
    Blind {
        /// The first reason.
        reason: String,
    },
    /// Not even the probes' memory is allowed.
    #[error(
        "the kernel lets nothing be loaded here; run this as root with the host's own capabilities (in a container at least CAP_BPF and CAP_PERFMON), on a kernel with CONFIG_BPF_SYSCALL"
    )]
    NothingLoads(#[source] Box<aya::EbpfError>),
    /// The probes could not be loaded or read.
    #[error(transparent)]
    Probes(LoadError),
    /// The command could not be started.
    #[error("failed to run {program:?}")]
    Command {
        /// What was to be run.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A system call of the tracer's own.
    #[error("failed to {doing}")]
    System {
        /// What it was for.
        doing: &'static str,
        /// Why.
        source: Errno,
    },
    /// The same, told by the standard library.
    #[error("failed to {doing}")]
    Io {
        /// What it was for.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The file for the events.
    #[error("failed to create {}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Events could not be written.
    #[error("failed to write the events")]
    Write(#[source] io::Error),
}

impl From<LoadError> for HostError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::ReadBtf { path, source } => Self::NoBtf { path, source },
            LoadError::Object(source) => Self::NothingLoads(source),
            error => Self::Probes(error),
        }
    }
}

/// What a call was for, where it failed.
pub(super) trait Doing<T> {
    /// Says what.
    fn doing(self, doing: &'static str) -> Result<T, HostError>;
}

impl<T> Doing<T> for nix::Result<T> {
    fn doing(self, doing: &'static str) -> Result<T, HostError> {
        self.map_err(|source| HostError::System { doing, source })
    }
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &'static str) -> Result<T, HostError> {
        self.map_err(|source| HostError::Io { doing, source })
    }
}
