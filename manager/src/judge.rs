//! From a run on disk to its report: for fresh runs, interrupted ones and old ones.

use anyhow::Result;
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
    report.notes.extend(record.facts.notes.iter().cloned());
    report.results = record.tasks.iter().filter_map(result).collect();
    // As planned, not as they happened to end.
    let place = |stage: &StageFacts| record.tasks.iter().position(|end| end.task == stage.name);
    report.stages.sort_by_key(place);
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
    // The cause of a chain is told once, by the task that failed.
    let told = end.outcome.brief();
    let reason = told.split_once(": ").map_or(&*told, |(_, reason)| reason);
    Some(TaskResult {
        task: end.task.clone(),
        outcome: outcome.to_owned(),
        summary: end.summary.clone().unwrap_or_else(|| reason.to_owned()),
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

/// Every stage that is known of. In a run whose program died, those that it had begun are told by their
/// directories.
fn known(run_dir: &RunDir, record: &RunRecord) -> Result<Vec<StageFacts>> {
    let mut all = record.facts.stages.clone();
    if record.state == State::Running {
        let reason = "the program that ran it ended before it did";
        add_undescribed(run_dir, &mut all, reason)?;
    }
    Ok(all)
}

/// Names of the stages that have begun.
///
/// # Errors
/// The run's directory cannot be read.
pub fn stage_names(run_dir: &RunDir, record: &RunRecord) -> Result<Vec<String>> {
    let known = known(run_dir, record)?.into_iter();
    Ok(known.map(|facts| facts.name).collect())
}

/// Every stage with its events.
///
/// # Errors
/// A store that cannot be read.
pub fn stages(run_dir: &RunDir, record: &RunRecord) -> Result<Vec<(StageFacts, Loaded)>> {
    let mut all = known(run_dir, record)?;
    if record.state == State::Running && all.iter().all(|stage| stage.name != INSTALL) {
        let reason = "the program ended before it ran".to_owned();
        all.push(StageFacts::new(INSTALL, StageStatus::NotStarted { reason }));
    }
    let mut budget = Budget::default();
    all.into_iter()
        .map(|mut facts| {
            let directory = run_dir.path().join(&facts.name);
            let loaded = match store::read_within(&directory, &mut budget) {
                Ok(loaded) => loaded,
                // A stage that was not started has no store.
                Err(StoreError::Nothing(_)) => Loaded::default(),
                Err(error) => return Err(error.into()),
            };
            facts.problems.extend(loaded.problem.clone());
            Ok((facts, loaded))
        })
        .collect()
}
