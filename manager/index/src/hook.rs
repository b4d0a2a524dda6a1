//! Metadata that only the package's own build back end can tell. The caller asks it in a VM.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use crate::error::{ErrorKind, IndexError};
use crate::metadata::CoreMetadata;
use crate::wheelhouse::WheelhouseFile;

/// A future that may be sent to another thread.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the metadata hook needs.
#[derive(Debug, Clone)]
pub struct HookRequest {
    /// The source distribution, in the cache.
    pub sdist: PathBuf,
    /// Its file name: ASCII letters, digits and `._-+!` only.
    pub filename: String,
    /// Its sha256, in hexadecimal.
    pub sha256: String,
    /// The closure of its build requirements.
    pub wheelhouse: Vec<WheelhouseFile>,
    /// Its build requirements themselves (PEP 508).
    pub build_requires: Vec<String>,
    /// Requirements written down when the distribution was packed (PEP 508): true only where they
    /// do not depend on the machine, so never a substitute.
    pub hint: Option<Vec<String>>,
}

/// Why there is no metadata.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
pub struct HookError {
    /// What happened.
    pub reason: String,
    /// Whose fault it is.
    pub kind: ErrorKind,
}

/// Runs `prepare_metadata_for_build_wheel` (PEP 517) or its like where package code may run.
pub trait MetadataHook: Send + Sync {
    /// The text of the METADATA file (PEP 566 and later) of the requested distribution.
    fn metadata(&self, request: HookRequest) -> BoxFuture<'_, Result<String, HookError>>;
}

/// Asks the hook, and reads what it says.
pub(crate) async fn ask(
    hook: &dyn MetadataHook,
    request: HookRequest,
) -> Result<CoreMetadata, IndexError> {
    let file = request.filename.clone();
    let text = hook
        .metadata(request)
        .await
        .map_err(|error| IndexError::Hook {
            file: file.clone(),
            reason: crate::text::printable_lines(&error.reason, 2000),
            kind: error.kind,
        })?;
    CoreMetadata::parse(&text).map_err(|reason| IndexError::Metadata {
        file,
        reason: reason.to_owned(),
    })
}
