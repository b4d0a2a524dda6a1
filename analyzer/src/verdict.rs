//! The verdict, and what it rests on.
//!
//! | findings (notices apart) | record whole | record not whole |
//! |---|---|---|
//! | high or critical, confidence medium or high | malicious | malicious |
//! | any other | suspicious | suspicious |
//! | none | unremarkable | inconclusive |
//!
//! A record is not whole where events were lost, a limit was hit, the VM died, or a stage did not
//! end with exit status 0: a package whose install failed has not shown what its install does. A
//! finding stands however much is missing; the report then still says what is missing. What a stage
//! printed is no evidence: output that went over its bound is a remark and no reason.

use serde::{Deserialize, Serialize};

use crate::facts::{Loss, StageFacts, StageStatus, family_name};
use crate::report::{Finding, Undecided};
use crate::rules::{Confidence, Severity};
use crate::text::amount;
use pyti_trace::event::Family;

/// The judgement. Nothing is ever called safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It does what no honest package does.
    Malicious,
    /// It does what honest packages hardly do.
    Suspicious,
    /// Nothing stood out in a record that is whole.
    Unremarkable,
    /// Nothing stood out, and something is missing.
    Inconclusive,
}

impl Verdict {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Malicious => "malicious",
            Self::Suspicious => "suspicious",
            Self::Unremarkable => "unremarkable",
            Self::Inconclusive => "inconclusive",
        }
    }

    /// The exit status that tells it: 0 unremarkable, 1 suspicious or malicious, 3 inconclusive.
    #[must_use]
    pub fn exit_status(self) -> u8 {
        match self {
            Self::Unremarkable => 0,
            Self::Malicious | Self::Suspicious => 1,
            Self::Inconclusive => 3,
        }
    }
}

/// The verdict on these findings, given that `missing` is missing, with its reasons. Of a record that
/// is `uncounted` nobody can say that nothing is missing.
#[must_use]
pub fn verdict(
    findings: &[Finding],
    missing: &[String],
    uncounted: bool,
) -> (Verdict, Vec<String>) {
    let convicts = |finding: &Finding| {
        finding.severity >= Severity::High && finding.confidence >= Confidence::Medium
    };
    let counts: Vec<&Finding> = findings
        .iter()
        .filter(|finding| finding.severity > Severity::Notice)
        .collect();
    let verdict = if counts.iter().any(|finding| convicts(finding)) {
        Verdict::Malicious
    } else if !counts.is_empty() {
        Verdict::Suspicious
    } else if missing.is_empty() {
        Verdict::Unremarkable
    } else {
        Verdict::Inconclusive
    };
    let mut reasons = Vec::new();
    for severity in [
        Severity::Critical,
        Severity::High,
        Severity::Medium,
        Severity::Low,
    ] {
        let number = counts
            .iter()
            .filter(|finding| finding.severity == severity)
            .count();
        if number > 0 {
            let plural = if number == 1 { "" } else { "s" };
            reasons.push(format!(
                "{number} finding{plural} of {} severity",
                severity.name()
            ));
        }
    }
    if reasons.is_empty() && missing.is_empty() {
        let fired = match findings {
            [] => "no rule fired",
            _ => "no rule fired but for notices",
        };
        let rest = match uncounted {
            false => ", and nothing that the rules need is missing",
            true => "; the notes say what a trace does not tell",
        };
        reasons.push(format!("{fired}{rest}"));
    }
    reasons.extend(missing.iter().cloned());
    (verdict, reasons)
}

/// What keeps a stage's record from being whole, one sentence each. `holes` are the events that are
/// missing by the numbers of the others.
#[must_use]
pub fn missing(
    stage: &StageFacts,
    losses: &[Loss; 6],
    holes: u64,
    undecided: &[Undecided],
) -> Vec<String> {
    let mut out = Vec::new();
    let mut say = |text: String| out.push(format!("stage {}: {text}", stage.name));
    match &stage.status {
        StageStatus::Completed => {}
        StageStatus::Failed { exit } => say(format!(
            "it failed with exit status {exit}, so what the package does after that was not seen"
        )),
        StageStatus::Signaled { signal } => say(format!("it was ended by signal {signal}")),
        StageStatus::TimedOut => {
            say("it timed out, so what the package does later was not seen: --wall SECONDS gives it more time".into())
        }
        StageStatus::Running => {
            say("it still runs, so what the package does later was not seen".into());
        }
        StageStatus::Stopped { reason } => say(format!("it was stopped: {reason}")),
        StageStatus::VmDied { reason } => say(format!("the VM died: {reason}")),
        // See `not_started`.
        StageStatus::NotStarted { .. } => {}
    }
    if stage.oom_kills > 0 {
        say(format!(
            "it ran out of memory, and the kernel killed {}: --memory MIB gives it more",
            amount(stage.oom_kills, "process", "processes")
        ));
    }
    if stage.pids_refused > 0 {
        say(format!(
            "the limit on processes refused {}: --pids COUNT raises it",
            amount(stage.pids_refused, "fork", "forks")
        ));
    }
    if stage.left_behind > 0 {
        say(format!(
            "{} still ran when it ended and had to be killed, so what they do later was not seen",
            amount(stage.left_behind, "process", "processes")
        ));
    }
    let started = !matches!(stage.status, StageStatus::NotStarted { .. });
    match &stage.counters {
        Some(counters) => {
            for (family, loss) in Family::ALL.into_iter().zip(losses) {
                let (family, seen) = (family_name(family), loss.seen.unwrap_or_default());
                if let Some(lost @ 1..) = loss.lost {
                    say(format!("{lost} of {seen} {family} events were lost"));
                }
                if let missing @ 1.. = loss.unaccounted() {
                    say(format!(
                        "{missing} of {seen} {family} events are missing and were not counted as lost"
                    ));
                }
                if let more @ 1.. = loss.surplus() {
                    say(format!(
                        "{more} more {family} events are stored or lost than the probes saw"
                    ));
                }
            }
            let lost = losses.iter().filter_map(|loss| loss.lost);
            if holes > lost.fold(0, u64::saturating_add) {
                say(format!(
                    "{} by the events' numbers, more than were counted as lost",
                    amount(holes, "event is missing", "events are missing")
                ));
            }
            if counters.recursion_misses > 0 {
                say(format!(
                    "the kernel skipped {} of a probe",
                    amount(counters.recursion_misses, "run", "runs")
                ));
            }
            if counters.untracked > 0 {
                say(format!(
                    "{} could not be followed",
                    amount(counters.untracked, "process", "processes")
                ));
            }
        }
        None if started && !stage.uncounted => {
            say("the probes' last counters did not arrive, so losses are not known".into());
            if holes > 0 {
                say(format!(
                    "at least {} by the events' numbers",
                    amount(holes, "event is missing", "events are missing")
                ));
            }
        }
        None => {}
    }
    if stage.decode_errors > 0 {
        say(format!(
            "{} could not be decoded",
            amount(stage.decode_errors, "record", "records")
        ));
    }
    for problem in &stage.problems {
        say(problem.clone());
    }
    for undecided in undecided {
        if undecided.stage == stage.name && undecided.severity > Severity::Notice {
            say(format!(
                "rule {} could not decide: {}",
                undecided.rule, undecided.reason
            ));
        }
    }
    out
}

/// The stages that were not started, one sentence for each cause.
#[must_use]
pub fn not_started<'a>(stages: impl Iterator<Item = &'a StageFacts>) -> Vec<String> {
    let mut causes: Vec<(&str, Vec<&str>)> = Vec::new();
    for stage in stages {
        let StageStatus::NotStarted { reason } = &stage.status else {
            continue;
        };
        match causes.iter_mut().find(|(cause, _)| cause == reason) {
            Some((_, names)) => names.push(&stage.name),
            None => causes.push((reason, vec![&stage.name])),
        }
    }
    let sentence = |(cause, names): (&str, Vec<&str>)| match &*names {
        [name] => format!("stage {name}: it was not started: {cause}"),
        _ => format!("stages {}: not started: {cause}", names.join(", ")),
    };
    causes.into_iter().map(sentence).collect()
}
