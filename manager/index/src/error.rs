//! What can go wrong before a VM starts.

use std::path::{Path, PathBuf};

use crate::archive::ArchiveError;
use crate::name::PackageName;

/// Whose fault an error is: decides the message's tone and whether trying again makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// What the user asked for cannot be had: trying again gives the same answer.
    Input,
    /// The package itself is at fault: its archive, its metadata, or what it requires.
    Package,
    /// The network, the index, the disk or a tool: trying again may help.
    Infrastructure,
    /// Nobody can tell: a build back end was not watched to its end.
    Inconclusive,
}

/// Why a target could not be prepared. Texts from outside are escaped, addresses carry no
/// credentials. Each says its cause itself and has none besides, or it would be told twice.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The target is not written in a form that is understood.
    #[error("failed to understand target '{target}': {reason}")]
    BadTarget {
        /// The target as typed.
        target: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting is wrong.
    #[error("failed to use {setting}: {reason}")]
    BadSetting {
        /// Where it was set.
        setting: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No index knows the package.
    #[error("failed to find package '{name}': {index} does not know it; check the spelling")]
    UnknownPackage {
        /// The package.
        name: PackageName,
        /// The indexes asked.
        index: String,
    },
    /// The package has no such version.
    #[error("failed to find {name} {version}: no such version; {near}")]
    UnknownVersion {
        /// The package.
        name: PackageName,
        /// The version asked for.
        version: String,
        /// Which versions there are.
        near: String,
    },
    /// The package is there, but no file of it fits.
    #[error("failed to choose a file of {name}: {reason}")]
    NoFile {
        /// The package, with its version where one was chosen.
        name: String,
        /// Why none fits, and what to do.
        reason: String,
    },
    /// The index could not be reached.
    #[error("failed to fetch {url}: {reason}; check the network and the index address")]
    Network {
        /// Where from.
        url: String,
        /// What happened.
        reason: String,
    },
    /// What answers may not be the index.
    #[error("failed to trust {url}: {reason}")]
    Untrusted {
        /// Where from.
        url: String,
        /// Why its certificate, or where it leads, is not believed, and what to do.
        reason: String,
    },
    /// The index answered with an error.
    #[error(
        "failed to fetch {url}: the server answered {status}{}",
        advice(*status, passed_over.as_deref())
    )]
    Status {
        /// Where from.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Which file of passwords was passed over, and why, where a password may be missing.
        passed_over: Option<String>,
    },
    /// Something is larger than is allowed.
    #[error("failed to fetch {what}: larger than the limit of {limit} bytes")]
    TooLarge {
        /// What was fetched.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// More is asked for, one after the other, than any honest closure takes.
    #[error(
        "failed to fetch {what}: with all that was fetched before, it is over the limit of {limit}"
    )]
    TooMuch {
        /// What would have been fetched next.
        what: String,
        /// The limit, with what it counts.
        limit: String,
    },
    /// A file is not the one the index promised.
    #[error("failed to trust {file}: sha256 is {actual}, the index says {expected}")]
    HashMismatch {
        /// The file.
        file: String,
        /// What the index said.
        expected: String,
        /// What was received.
        actual: String,
    },
    /// The index names no sha256.
    #[error("failed to fetch {file}: the index gives no sha256 for it, so it cannot be checked")]
    NoHash {
        /// The file.
        file: String,
    },
    /// The index' answer makes no sense.
    #[error("failed to read the index page {url}: {reason}")]
    BadPage {
        /// Which page.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An archive is broken or dangerous.
    #[error("failed to read archive {file}: {reason}")]
    Archive {
        /// The archive.
        file: String,
        /// What is wrong with it.
        reason: ArchiveError,
    },
    /// Metadata is broken.
    #[error("failed to read the metadata of {file}: {reason}")]
    Metadata {
        /// Whose metadata.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The metadata hook gave no metadata.
    #[error("failed to learn the requirements of {file} by its own build back end: {reason}")]
    Hook {
        /// The source distribution.
        file: String,
        /// What happened.
        reason: String,
        /// Whose fault that is.
        kind: ErrorKind,
    },
    /// The requirements cannot be satisfied together.
    #[error("failed to resolve the requirements of {what}: {reason}")]
    Unresolvable {
        /// Whose requirements.
        what: String,
        /// The resolver's explanation.
        reason: String,
    },
    /// The resolver could not be run.
    #[error("failed to run the resolver: {0}")]
    Tool(String),
    /// The file system refused.
    #[error("failed to {action} {}: {reason}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
}

/// What to do about a status, where something can be done.
fn advice(status: u16, passed_over: Option<&str>) -> String {
    let advice = match status {
        401 | 403 => {
            "; if it wants a password, give it as in --index-url https://user:password@host/… or in \
             ~/.netrc"
        }
        407 => "; the proxy wants a password: give it as in PIP_PROXY=http://user:password@host",
        _ => "",
    };
    match passed_over {
        Some(told) => format!("{advice}; {told}"),
        None => advice.to_owned(),
    }
}

impl IndexError {
    /// Whose fault it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::BadTarget { .. }
            | Self::BadSetting { .. }
            | Self::UnknownPackage { .. }
            | Self::UnknownVersion { .. }
            | Self::NoFile { .. } => ErrorKind::Input,
            // The system's fault, whatever the archive is.
            Self::Archive {
                reason: ArchiveError::Io(_),
                ..
            } => ErrorKind::Infrastructure,
            Self::TooMuch { .. }
            | Self::Archive { .. }
            | Self::Metadata { .. }
            | Self::Unresolvable { .. } => ErrorKind::Package,
            Self::Hook { kind, .. } => *kind,
            _ => ErrorKind::Infrastructure,
        }
    }

    /// A function for `map_err`: wraps what the system said while doing `action` with `path`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |reason| Self::Io {
            action,
            path,
            reason,
        }
    }
}

/// Runs `work`, which blocks, beside the asynchronous tasks.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, IndexError> + Send + 'static,
) -> Result<T, IndexError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(IndexError::Tool(format!("a worker stopped: {error}"))),
    }
}
