//! What is being done, for whoever wants to show it.

/// One step of the preparation. Names are escaped and may be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// A file begins to be fetched; its size in bytes where the index tells it.
    Fetching {
        /// The file's name.
        file: String,
        /// Its size in bytes.
        size: Option<u64>,
    },
    /// So many bytes of a file have arrived; told about every MiB.
    Received {
        /// The file's name.
        file: String,
        /// Bytes so far.
        bytes: u64,
    },
    /// A file is in the cache, checked.
    Fetched {
        /// The file's name.
        file: String,
        /// Its size in bytes.
        bytes: u64,
    },
    /// A file was in the cache already.
    Cached {
        /// The file's name.
        file: String,
    },
    /// The requirements of a target, or of a build, are being resolved.
    Resolving {
        /// Whose requirements.
        what: String,
    },
    /// A package's own build back end is being asked for its requirements, in the VM.
    Hook {
        /// The source distribution.
        file: String,
    },
    /// Something failed and is tried again.
    Retry {
        /// The address, without credentials.
        url: String,
        /// Why.
        reason: String,
    },
}

/// Listens to the steps. Called from several tasks; must not block.
pub trait Progress: Send + Sync {
    /// Something began, moved on or ended.
    fn step(&self, step: Step);
}

/// A listener that keeps quiet.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn step(&self, _: Step) {}
}

impl<F: Fn(Step) + Send + Sync> Progress for F {
    fn step(&self, step: Step) {
        self(step);
    }
}
