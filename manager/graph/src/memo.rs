//! What was done before need not be done again.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::data::{Inputs, Outputs, hex};
use crate::task::Task;

/// Identifies a task with everything that shapes its outputs: SHA-256 over its name, its version
/// and the digest of each of its inputs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MemoKey(String);

impl MemoKey {
    /// The key of a task with these inputs; `None` where it has no version.
    #[must_use]
    pub fn of(task: &Task, inputs: &Inputs) -> Option<Self> {
        let version = task.version.as_ref()?;
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        add(&task.name);
        add(version);
        for (kind, datum) in inputs.iter() {
            add(kind.as_str());
            add(&datum.digest());
        }
        Some(Self(hex(&hash.finalize())))
    }

    /// The key as a name that a file may have.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Remembers what tasks provided. What it cannot read it does not have, and what it cannot keep is
/// done again: it has no errors that matter to a run.
pub trait Memo: Send + Sync {
    /// What was kept under the key, with everything that it names still there.
    fn recall(&self, task: &str, key: &MemoKey) -> Option<Outputs>;

    /// Keeps what a task provided.
    fn keep(&self, task: &str, key: &MemoKey, outputs: &Outputs);
}
