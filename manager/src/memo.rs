//! What was done before: the outputs of a stage with everything that it left in its run, kept by
//! the digests of all that shaped it.

use std::collections::BTreeMap;
use std::sync::Arc;

use pyti_analyzer::{StageFacts, StageStatus};
use pyti_graph::{Kind, Memo, MemoKey, Outputs};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
        let named = named(&kept.outputs);
        let mut blobs = files.values().chain(state).chain(&named);
        if !blobs.all(|blob| self.store.has(blob)) {
            return None;
        }
        self.stages
            .restore(stage, kept.stage)
            .inspect_err(|error| tracing::warn!("{stage} is run again: {error:#}"))
            .ok()?;
        Some(kept.outputs)
    }

    /// One datum of that; nothing where it has another form by now.
    #[must_use]
    pub fn recall_datum<T: DeserializeOwned>(
        &self,
        stage: &str,
        key: &str,
        kind: &'static str,
    ) -> Option<T> {
        let outputs = self.recall(stage, key)?;
        T::deserialize(outputs.get(&Kind::new(kind))?.value()).ok()
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

/// What data name of the data store, in fields of their own or in a list there: a state, a wheel.
fn named(outputs: &Outputs) -> Vec<Blob> {
    let objects = outputs.values();
    let objects = objects.filter_map(|datum| datum.value().as_object());
    let fields = objects.flat_map(|object| object.values());
    let values = fields.flat_map(|field| match field {
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    });
    values
        // A list of a text and a number would be read as one, too.
        .filter(|value| value.is_object())
        .filter_map(|value| Blob::deserialize(value).ok())
        .collect()
}

/// Whether nothing would be won by running it again: a stage that was cut short or wanted for something,
/// or of which events were lost, may do better.
fn is_whole(facts: &StageFacts) -> bool {
    let counted = facts.counters.as_ref().is_some_and(|counters| {
        let mut families = counters.families.iter();
        counters.recursion_misses == 0
            && counters.untracked == 0
            && families.all(|family| {
                // An event that was neither handed over nor counted as lost is missing too.
                family.full == 0 && family.oversize == 0 && family.seen == family.submitted
            })
    });
    let kept = facts.decode_errors == 0
        && facts.problems.is_empty()
        && facts.dropped.iter().all(|count| *count == 0);
    let undisturbed = facts.oom_kills == 0 && facts.pids_refused == 0 && facts.left_behind == 0;
    facts.status == StageStatus::Completed && undisturbed && kept && counted
}

impl Memo for StageMemo {
    fn recall(&self, task: &str, key: &MemoKey) -> Option<Outputs> {
        self.recall(task, key.as_str())
    }

    fn keep(&self, task: &str, key: &MemoKey, outputs: &Outputs) {
        self.keep(task, key.as_str(), outputs);
    }
}

#[cfg(test)]
mod tests {
    use pyti_graph::Datum;
    use pyti_trace::event::Counters;
    use serde_json::json;

    use super::*;

    #[test]
    fn contents_that_data_name_are_found() {
        let blob = |number: u64| Blob {
            integrity: format!("sha256-{number}"),
            bytes: number,
        };
        let data = [
            ("installed", json!({"state": blob(1), "name": "a"})),
            (
                "build",
                json!({"wheel": ["a.whl", blob(2)], "builds": [{"exit": 0}], "too_long": [["a", 1]]}),
            ),
            ("imports", json!([{"module": "a"}])),
        ];
        let data = data.map(|(kind, value)| (Kind::new(kind), Datum::of(&value).unwrap()));
        let mut found = named(&Outputs::from(data));
        found.sort_by_key(|blob| blob.bytes);
        assert_eq!(found, [blob(1), blob(2)]);
    }

    fn whole() -> StageFacts {
        StageFacts {
            counters: Some(Counters::default()),
            ..StageFacts::new("import", StageStatus::Completed)
        }
    }

    #[test]
    fn a_stage_that_was_watched_whole_is_remembered() {
        assert!(is_whole(&whole()));
    }

    #[test]
    fn a_stage_that_did_not_complete_is_run_again() {
        for status in [
            StageStatus::Failed { exit: 1 },
            StageStatus::Signaled { signal: 9 },
            StageStatus::TimedOut,
        ] {
            let facts = StageFacts { status, ..whole() };
            assert!(!is_whole(&facts), "{:?}", facts.status);
        }
    }

    /// Whether a stage is remembered that was watched whole but for this.
    fn is_remembered(but: impl FnOnce(&mut StageFacts)) -> bool {
        let mut facts = whole();
        but(&mut facts);
        is_whole(&facts)
    }

    #[test]
    fn a_stage_that_ran_out_of_memory_is_run_again() {
        assert!(!is_remembered(|facts| facts.oom_kills = 1));
    }

    #[test]
    fn a_stage_that_ran_out_of_processes_is_run_again() {
        assert!(!is_remembered(|facts| facts.pids_refused = 1));
    }

    #[test]
    fn a_stage_that_left_processes_behind_is_run_again() {
        assert!(!is_remembered(|facts| facts.left_behind = 1));
    }

    #[test]
    fn a_stage_with_records_that_could_not_be_decoded_is_run_again() {
        assert!(!is_remembered(|facts| facts.decode_errors = 1));
    }

    #[test]
    fn a_stage_with_problems_is_run_again() {
        let problem = "the disk was full".to_owned();
        assert!(!is_remembered(|facts| facts.problems.push(problem)));
    }

    #[test]
    fn a_stage_of_which_events_were_lost_is_run_again() {
        assert!(!is_remembered(|facts| facts.counters = None));
        assert!(!is_remembered(|facts| facts.dropped[1] = 1));
        let losses: [fn(&mut Counters); 5] = [
            |counters| counters.families[1].seen = 1,
            |counters| counters.families[1].full = 1,
            |counters| counters.families[1].oversize = 1,
            |counters| counters.recursion_misses = 1,
            |counters| counters.untracked = 1,
        ];
        for lose in losses {
            let mut counters = Counters::default();
            lose(&mut counters);
            let counters = Some(counters);
            assert!(!is_remembered(|facts| facts.counters = counters));
        }
    }
}
