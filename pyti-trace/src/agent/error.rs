use std::io;

use crate::wire::WireError;

/// Why the agent could not do something.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The kernel refused.
    #[error("failed to {what}: {cause}")]
    Os {
        /// What was tried, and on what.
        what: String,
        /// The kernel's answer.
        cause: io::Error,
    },
    /// The probes could not be loaded.
    #[error("failed to load the probes: {0}")]
    Probes(String),
    /// The host asked for something that cannot be.
    #[error("{0}")]
    Order(String),
    /// The port to the host failed.
    #[error("failed to talk to the host: {0}")]
    Wire(#[from] WireError),
}

/// Says what was being done when the kernel refused.
pub(super) trait Doing<T> {
    /// `what` completes the sentence "failed to …".
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, AgentError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, AgentError> {
        self.map_err(|cause| AgentError::Os {
            what: what(),
            cause: cause.into(),
        })
    }
}
