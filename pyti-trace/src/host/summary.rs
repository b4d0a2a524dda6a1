//! What is said at the end: how the command ended, what was lost, whom events referred to.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;

use serde::Serialize;

use super::before::Earlier;
use super::probes::Probes;
use crate::event::{Counters, Family};
use crate::names::family_name;
use crate::text::escape_within;

/// Characters shown of a path.
const MAX_PATH: usize = 200;

/// Everything but the events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Summary<'a> {
    /// How the command ended; `None` where it could not be started.
    pub(super) ended: Option<Ended>,
    /// Processes that outlived the command and run on, no longer followed.
    pub(super) left_behind: Vec<u32>,
    /// Each family's events.
    pub(super) events: Vec<Loss>,
    /// Runs of probes that the kernel skipped; a file or process may be unseen for each.
    pub(super) skipped_runs: u64,
    /// Processes that were not followed, as there were too many.
    pub(super) untracked: u64,
    /// Processes that events refer to, but that are not the command's.
    pub(super) before: Vec<&'a Earlier>,
    /// The Python interpreter whose stacks stand in the events.
    pub(super) python_stacks_of: Option<&'a Path>,
    /// Interpreters that ran and whose stacks do not.
    pub(super) python_stacks_unread: &'a BTreeSet<String>,
    /// Which probes are attached, and what is not seen.
    pub(super) probes: &'a Probes,
}

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ended {
    /// By itself, with this status.
    Exit(i32),
    /// By this signal.
    Signal(i32),
}

/// A family's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Loss {
    /// The family.
    pub(super) family: &'static str,
    /// What the kernel saw.
    pub(super) seen: u64,
    /// What is here.
    pub(super) stored: u64,
    /// What the probes counted as lost.
    pub(super) lost: u64,
}

impl Loss {
    /// Events that were seen and are neither here nor counted as lost.
    fn unaccounted(self) -> u64 {
        let here = self.stored.saturating_add(self.lost);
        self.seen.saturating_sub(here)
    }

    /// Events that are here, or counted as lost, and were never seen.
    fn surplus(self) -> u64 {
        let here = self.stored.saturating_add(self.lost);
        here.saturating_sub(self.seen)
    }
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exit(code),
            (None, signal) => Self::Signal(signal.unwrap_or(0)),
        }
    }
}

impl Ended {
    /// The exit status that passes it on.
    pub(super) fn status(self) -> u8 {
        let (Self::Exit(status) | Self::Signal(status)) = self;
        let base = if matches!(self, Self::Signal(_)) {
            128
        } else {
            0
        };
        u8::try_from(base + status).unwrap_or(u8::MAX)
    }
}

/// Each family of which anything was seen.
pub(super) fn losses(counters: &Counters, stored: [u64; Family::ALL.len()]) -> Vec<Loss> {
    let counted = Family::ALL.into_iter().zip(&counters.families).zip(stored);
    counted
        .map(|((family, counted), stored)| Loss {
            family: family_name(family),
            seen: counted.seen,
            stored,
            lost: counted.full.saturating_add(counted.oversize),
        })
        .filter(|loss| loss.seen > 0 || loss.stored > 0)
        .collect()
}

impl Summary<'_> {
    /// What a user should know even where only the events are looked at, a line each.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        match self.left_behind.len() {
            0 => {}
            1 => warnings
                .push("1 process outlived the command and runs on, no longer followed".to_owned()),
            count => warnings.push(format!(
                "{count} processes outlived the command and run on, no longer followed"
            )),
        }
        let told = |count: fn(Loss) -> u64| {
            let some = self.events.iter().filter(|loss| count(**loss) > 0);
            let told = some.map(|loss| {
                let Loss { family, seen, .. } = *loss;
                format!("{} of {seen} {family} events", count(*loss))
            });
            told.collect::<Vec<_>>().join(", ")
        };
        for (which, what) in [
            (told(|loss| loss.lost), "were lost"),
            (
                told(Loss::unaccounted),
                "are missing and were not counted as lost",
            ),
        ] {
            if !which.is_empty() {
                warnings.push(format!("{which} {what}"));
            }
        }
        for loss in &self.events {
            if let more @ 1.. = loss.surplus() {
                warnings.push(format!(
                    "{more} more {} events are stored or lost than the probes saw",
                    loss.family
                ));
            }
        }
        for (count, what) in [
            (
                self.skipped_runs,
                "runs of probes were skipped by the kernel",
            ),
            (self.untracked, "processes were too many to be followed"),
        ] {
            if count > 0 {
                warnings.push(format!("{count} {what}"));
            }
        }
        if !self.python_stacks_unread.is_empty() {
            let ran: Vec<String> = self
                .python_stacks_unread
                .iter()
                .map(|path| escape_within(path, MAX_PATH))
                .collect();
            warnings.push(format!(
                "Python stacks of {} are not on record: only CPython 3.13 with its library linked in says where it keeps them",
                ran.join(", ")
            ));
        }
        warnings.extend(self.probes.doubt.map(str::to_owned));
        warnings.extend(self.probes.hidden());
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::FamilyCounters;

    /// The warnings, and what stands in JSON.
    fn told(doubt: Option<&'static str>, events: Vec<Loss>) -> (Vec<String>, serde_json::Value) {
        let mut probes = Probes::none_refused();
        probes.doubt = doubt;
        let summary = Summary {
            ended: Some(Ended::Exit(0)),
            left_behind: Vec::new(),
            events,
            skipped_runs: 0,
            untracked: 0,
            before: Vec::new(),
            python_stacks_of: None,
            python_stacks_unread: &BTreeSet::new(),
            probes: &probes,
        };
        let json = serde_json::to_value(&summary).unwrap();
        (summary.warnings(), json["probes"]["doubt"].clone())
    }

    #[test]
    fn what_is_not_known_of_the_probes_is_told() {
        let told = |doubt| told(doubt, Vec::new());
        assert_eq!(told(None), (Vec::new(), serde_json::Value::Null));
        let doubt = "whether LSM probes run is not known";
        assert_eq!(told(Some(doubt)), (vec![doubt.to_owned()], doubt.into()));
    }

    #[test]
    fn what_is_here_and_was_not_seen_is_told() {
        let loss = |stored| Loss {
            family: "file",
            seen: 5,
            stored,
            lost: 1,
        };
        assert_eq!(loss(4).surplus(), 0);
        assert_eq!((loss(7).unaccounted(), loss(7).surplus()), (0, 3));
        let (warnings, _) = told(None, vec![loss(7)]);
        assert_eq!(
            warnings,
            [
                "1 of 5 file events were lost",
                "3 more file events are stored or lost than the probes saw"
            ]
        );
    }

    #[test]
    fn passes_the_status_on() {
        let status = |raw| Ended::from(ExitStatus::from_raw(raw)).status();
        assert_eq!(status(0), 0);
        assert_eq!(status(3 << 8), 3);
        assert_eq!(status(9), 137);
    }

    #[test]
    fn what_is_lost_was_counted_and_what_else_is_missing_is_told() {
        let mut counters = Counters::default();
        counters.families[Family::Process as usize] = FamilyCounters {
            seen: 5,
            submitted: 4,
            full: 1,
            oversize: 0,
        };
        let losses = losses(&counters, [0, 3, 0, 0, 0, 0]);
        let [loss] = losses[..] else {
            panic!("{losses:?}");
        };
        assert_eq!(
            (loss.family, loss.seen, loss.stored, loss.lost),
            ("process", 5, 3, 1)
        );
        assert_eq!(loss.unaccounted(), 1);
    }
}
