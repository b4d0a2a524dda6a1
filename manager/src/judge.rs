//! From a run on disk to its report: for fresh runs, interrupted ones and old ones.

use std::path::Path;

use anyhow::{Result, bail};
use pyti_analyzer::report::TaskResult;
use pyti_analyzer::store::{self, Budget, Loaded, StoreError};
use pyti_analyzer::{Report, RuleSet, StageFacts, StageRecord, StageStatus};
use pyti_graph::Outcome;

use crate::order::INSTALL;
use crate::run_dir::{RunDir, RunRecord, State, TaskEnd};

/// Reads the stages' events and judges them.
///
/// # Errors
/// A store that cannot be read.
pub fn judge(run_dir: &RunDir, record: &RunRecord, rules: &RuleSet) -> Result<Report> {
    let stages = stages(run_dir, record)?;
    let records: Vec<StageRecord<'_>> = stages
        .iter()
        .map(|(facts, events)| StageRecord {
            facts,
            events: &events.events,
        })
        .collect();
    let mut report = rules.judge(&record.target, &records);
    report.run = Some(run_dir.info(record));
    report.notes.extend(record.facts.notes.iter().cloned());
    report.results = record.tasks.iter().filter_map(result).collect();
    Ok(report)
}

/// What the report says of a task: what a stage gave, and what anything else did not.
fn result(end: &TaskEnd) -> Option<TaskResult> {
    if end.outcome.is_done() && end.summary.is_none() {
        return None;
    }
    let outcome = match &end.outcome {
        Outcome::Done { .. } => "done",
        Outcome::Failed { .. } => "failed",
        Outcome::Skipped { .. } => "skipped",
        Outcome::NotApplicable { .. } => "not applicable",
        Outcome::Cancelled => "cancelled",
    };
    let reason = || why(&end.outcome);
    Some(TaskResult {
        task: end.task.clone(),
        outcome: outcome.to_owned(),
        summary: end.summary.clone().unwrap_or_else(reason),
    })
}

/// Adds the stages that have begun and that nobody lived to describe, each told by its directory.
///
/// # Errors
/// The run's directory cannot be read.
pub fn add_undescribed(run_dir: &RunDir, stages: &mut Vec<StageFacts>, reason: &str) -> Result<()> {
    for name in run_dir.stage_names()? {
        if stages.iter().all(|stage| stage.name != name) {
            let reason = reason.to_owned();
            stages.push(StageFacts::new(&name, StageStatus::Stopped { reason }));
        }
    }
    Ok(())
}

/// Why there is nothing of a task. Of those that a failed one keeps from running each names it, and it
/// alone tells its reason.
fn why(outcome: &Outcome) -> String {
    if let Some((provider, because)) = outcome.root() {
        let how = because.split_once(": ").map_or(because, |(how, _)| how);
        return format!("{provider} {how}");
    }
    let told = outcome.to_string();
    let reason = told.split_once(": ").map(|(_, reason)| reason.to_owned());
    reason.unwrap_or(told)
}

/// Every stage that is known of, in the order of the plan. In a run that is not finished, those that it
/// had begun are told by their directories.
///
/// # Errors
/// The run's directory cannot be read.
pub fn known(run_dir: &RunDir, record: &RunRecord) -> Result<Vec<StageFacts>> {
    let mut all = record.facts.stages.clone();
    if record.state == State::Running {
        let live = run_dir.is_live();
        add_undescribed(
            run_dir,
            &mut all,
            "the program that ran it ended before it did",
        )?;
        let described = |name: &str| record.facts.stages.iter().any(|stage| stage.name == name);
        for stage in all
            .iter_mut()
            .filter(|stage| live && !described(&stage.name))
        {
            stage.status = StageStatus::Running;
        }
        if all.iter().all(|stage| stage.name != INSTALL) {
            let reason = match live {
                true => "the run still goes on, and it has not begun",
                false => "the program ended before it ran",
            };
            let reason = reason.to_owned();
            all.push(StageFacts::new(INSTALL, StageStatus::NotStarted { reason }));
        }
    }
    // As planned, not as they happened to end.
    let place = |stage: &StageFacts| {
        let mut tasks = record.tasks.iter();
        let place = tasks.position(|end| end.task == stage.kind());
        // What the tests require may be built in a run that does not build the package.
        place.unwrap_or(usize::MAX)
    };
    all.sort_by_key(place);
    Ok(all)
}

/// Every stage with its events.
///
/// # Errors
/// A store that cannot be read, or is gone.
pub fn stages(run_dir: &RunDir, record: &RunRecord) -> Result<Vec<(StageFacts, Loaded)>> {
    let mut budget = Budget::default();
    let all = known(run_dir, record)?.into_iter();
    all.map(|mut facts| {
        let directory = run_dir.path().join(&facts.name);
        let loaded = load(&facts, record.state, &directory, &mut budget)?;
        facts.problems.extend(loaded.problem.clone());
        Ok((facts, loaded))
    })
    .collect()
}

/// A stage's events. That there are none is believed of a stage that was not started; what another one
/// did is not known where they are gone.
fn load(facts: &StageFacts, state: State, directory: &Path, budget: &mut Budget) -> Result<Loaded> {
    let nothing = match store::read_within(directory, budget) {
        // That it is not whole yet the stage itself tells.
        Ok(loaded) if facts.status == StageStatus::Running => {
            return Ok(Loaded {
                problem: None,
                ..loaded
            });
        }
        Ok(loaded) => return Ok(loaded),
        Err(StoreError::Nothing(nothing)) => nothing,
        Err(error) => return Err(error.into()),
    };
    match &facts.status {
        StageStatus::NotStarted { .. } => Ok(Loaded::default()),
        // It was over, or is not yet, before its store was made.
        StageStatus::Stopped { .. } | StageStatus::Running if state == State::Running => {
            Ok(Loaded {
                problem: Some("no event of it was stored".to_owned()),
                ..Loaded::default()
            })
        }
        _ => bail!(
            "events of stage {} are gone from {}",
            facts.name,
            nothing.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use pyti_analyzer::{RunFacts, Target, Verdict};
    use pyti_graph::Missing;

    use super::*;

    /// A finished run of an installation, of which nothing but `run.json` is left.
    fn emptied(status: StageStatus) -> (tempfile::TempDir, RunDir, RunRecord) {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("run");
        let (run_dir, id) = RunDir::reserve(Some(&out), Path::new(""), "x").unwrap();
        let _ = run_dir.make().unwrap();
        let mut record = RunRecord::new(id, Target::default());
        record.state = State::Finished;
        record.facts = RunFacts {
            stages: vec![StageFacts::new("install", status)],
            notes: vec![],
        };
        (directory, run_dir, record)
    }

    #[test]
    fn events_that_are_gone_are_not_taken_for_none() {
        let (_directory, run_dir, record) = emptied(StageStatus::Completed);
        let error = stages(&run_dir, &record).unwrap_err().to_string();
        assert!(
            error.starts_with("events of stage install are gone from /"),
            "{error}"
        );
        let reason = "metadata failed".to_owned();
        let (_directory, run_dir, record) = emptied(StageStatus::NotStarted { reason });
        assert_eq!(stages(&run_dir, &record).unwrap()[0].1, Loaded::default());
    }

    #[test]
    fn a_run_that_still_goes_on_is_not_called_stopped() {
        let (_directory, run_dir, mut record) = emptied(StageStatus::Completed);
        record.state = State::Running;
        record.facts.stages.clear();
        let stage = run_dir.stage("install").unwrap();
        std::fs::write(stage.join("stdout"), "").unwrap();
        let status = |run_dir: &RunDir| {
            let rules = RuleSet::load(None, &crate::order::vars()).unwrap();
            let report = judge(run_dir, &record, &rules).unwrap();
            assert_eq!(report.verdict, Verdict::Inconclusive);
            report.stages[0].status.clone()
        };
        assert!(matches!(status(&run_dir), StageStatus::Stopped { .. }));
        let directory = std::fs::File::open(run_dir.path()).unwrap();
        directory.lock().unwrap();
        assert_eq!(status(&run_dir), StageStatus::Running);
    }

    #[test]
    fn stages_are_in_the_order_of_the_plan() {
        let (_directory, run_dir, mut record) = emptied(StageStatus::Completed);
        let ended = |name: &str| StageFacts::new(name, StageStatus::Completed);
        let names = ["test", "build", "metadata", "install", "metadata-2"];
        record.facts.stages = names.map(ended).to_vec();
        let planned = |name: &str| TaskEnd {
            task: name.to_owned(),
            outcome: Outcome::Done { remembered: false },
            summary: None,
        };
        let tasks = ["fetch", "metadata", "install", "build", "test"];
        record.tasks = tasks.map(planned).to_vec();
        let facts = known(&run_dir, &record).unwrap();
        let names: Vec<&str> = facts.iter().map(|facts| facts.name.as_str()).collect();
        let sorted = ["metadata", "metadata-2", "install", "build", "test"];
        assert_eq!(names, sorted);
    }

    #[test]
    fn who_could_not_run_names_the_root_alone() {
        let missing = |datum: &str, provider: &str, because: &str| Missing {
            datum: datum.into(),
            provider: provider.into(),
            because: because.into(),
            not_applicable: false,
        };
        let outcome = Outcome::Skipped {
            chain: vec![
                missing("wheelhouse", "resolve", "was skipped"),
                missing(
                    "metadata",
                    "metadata",
                    "failed: exit status 1: no pg_config",
                ),
            ],
        };
        assert_eq!(why(&outcome), "metadata failed");
        let reason = "exit status 1: no".to_owned();
        let failed = Outcome::Failed {
            blame: pyti_graph::Blame::Package,
            reason,
        };
        assert_eq!(why(&failed), "exit status 1: no");
        assert_eq!(why(&Outcome::Cancelled), "cancelled");
    }
}
