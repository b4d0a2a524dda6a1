//! What was done before: the outputs of a stage with everything that it left in its run, kept by
//! the digests of all that shaped it.

use std::collections::BTreeMap;
use std::sync::Arc;

use pyti_analyzer::{StageFacts, StageStatus};
use pyti_graph::{Memo, MemoKey, Outputs};
use serde::{Deserialize, Serialize};

use crate::data_store::{Blob, DataStore};
use crate::stages::Stages;

/// The memo of a run's stages.
#[derive(Debug)]
pub struct StageMemo {
    /// What runs them.
    pub stages: Arc<Stages>,
    /// Where it is kept.
    pub store: DataStore,
}

/// A stage that was done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Done {
    /// How it went.
    pub facts: StageFacts,
    /// The files of its directory, by name.
    pub files: BTreeMap<String, Blob>,
    /// The state of the disk that it left, where it was asked for.
    pub state: Option<Blob>,
    /// What it gave, in a few words.
    pub summary: Option<String>,
    /// The run that it was done in.
    pub run: String,
}

/// What is kept under a key.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    outputs: Outputs,
    stage: Done,
}

impl StageMemo {
    /// What a stage provided, by any key that tells all that shaped it; the stage is one of this run
    /// then.
    #[must_use]
    pub fn recall(&self, stage: &str, key: &str) -> Option<Outputs> {
        let kept: Kept = serde_json::from_slice(&self.store.recall(key)?).ok()?;
        let Done { files, state, .. } = &kept.stage;
        if !files.values().chain(state).all(|blob| self.store.has(blob)) {
            return None;
        }
        self.stages
            .restore(stage, kept.stage)
            .inspect_err(|error| tracing::warn!("{stage} is run again: {error:#}"))
            .ok()?;
        Some(kept.outputs)
    }

    /// Keeps what a stage of this run provided.
    pub fn keep(&self, stage: &str, key: &str, outputs: &Outputs) {
        let keep = || -> anyhow::Result<()> {
            let done = self.stages.done(stage)?;
            if !is_whole(&done.facts) {
                return Ok(());
            }
            let kept = Kept {
                outputs: outputs.clone(),
                stage: done,
            };
            self.store.keep(key, &serde_json::to_vec(&kept)?)
        };
        if let Err(error) = keep() {
            tracing::warn!("{stage} is not remembered: {error:#}");
        }
    }
}

/// Whether nothing would be won by running it again: a stage that was cut short, or of which events
/// were lost, may do better.
fn is_whole(facts: &StageFacts) -> bool {
    let counted = facts.counters.as_ref().is_some_and(|counters| {
        let mut families = counters.families.iter();
        counters.recursion_misses == 0
            && counters.untracked == 0
            && families.all(|family| family.full == 0 && family.oversize == 0)
    });
    let kept = facts.problems.is_empty() && facts.dropped.iter().all(|count| *count == 0);
    facts.status == StageStatus::Completed && kept && counted
}

impl Memo for StageMemo {
    fn recall(&self, task: &str, key: &MemoKey) -> Option<Outputs> {
        self.recall(task, key.as_str())
    }

    fn keep(&self, task: &str, key: &MemoKey, outputs: &Outputs) {
        self.keep(task, key.as_str(), outputs);
    }
}
