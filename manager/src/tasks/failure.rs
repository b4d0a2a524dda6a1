//! Whose fault it is when a task fails, and how it ends when it is to stop.

use pyti_graph::{Blame, Control, Failure};
use pyti_index::{ErrorKind, IndexError};

use crate::stages::Stages;

/// Characters of the reason for which a stage gave nothing.
const LONGEST_REASON: usize = 1000;

/// A stage that ran is on record: it is not tried again, whatever is made of it.
pub(super) fn not_again(failure: Failure) -> Failure {
    match failure {
        Failure::Failed { blame, reason } => Failure::Failed {
            blame: match blame {
                Blame::Infrastructure => Blame::Inconclusive,
                other => other,
            },
            // It may quote what the VM sent.
            reason: reason.chars().take(LONGEST_REASON).collect(),
        },
        other => other,
    }
}

/// Does the work, and drops it when the task is to stop.
pub(super) async fn until_stopped<T>(
    control: &Control,
    work: impl Future<Output = anyhow::Result<T>>,
) -> Result<T, Failure> {
    tokio::select! {
        done = work => done.map_err(blame),
        () = control.stopped() => Err(Failure::Cancelled),
    }
}

/// Does the work, and drops it when the task is to stop, though not while a stage runs.
pub(super) async fn until_no_stage_runs<T, E: Into<anyhow::Error>>(
    control: &Control,
    stages: &Stages,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    let running = stages.running();
    match running.unless_stopped(control.stopped(), work).await {
        Some(done) => done.map_err(|error| blame(error.into())),
        None => Err(Failure::Cancelled),
    }
}

/// Whose fault a failure is that a build back end's stage ended in. Like any stage that ran it is not
/// tried again.
pub(crate) fn kind_of(failure: &Failure) -> ErrorKind {
    match failure {
        Failure::Failed {
            blame: Blame::Package,
            ..
        } => ErrorKind::Package,
        _ => ErrorKind::Inconclusive,
    }
}

/// Whose fault an error is: the package's where the index client says so, else that of what runs it.
pub(super) fn blame(error: anyhow::Error) -> Failure {
    let kind = error.downcast_ref::<IndexError>().map(IndexError::kind);
    let blame = match kind {
        Some(ErrorKind::Package | ErrorKind::Input) => Blame::Package,
        Some(ErrorKind::Inconclusive) => Blame::Inconclusive,
        Some(ErrorKind::Infrastructure) | None => Blame::Infrastructure,
    };
    Failure::Failed {
        blame,
        reason: format!("{error:#}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whose fault it is that a build back end gave no metadata, where its stage failed so.
    fn of_hook(kind: ErrorKind) -> Blame {
        let error = IndexError::Hook {
            file: "a-1.tar.gz".into(),
            reason: "no clone".into(),
            kind,
        };
        match blame(error.into()) {
            Failure::Failed { blame, .. } => blame,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_package_is_not_blamed_for_what_runs_it() {
        assert_eq!(of_hook(ErrorKind::Infrastructure), Blame::Infrastructure);
        let timed_out = kind_of(&Failure::inconclusive("timed out"));
        assert_eq!(of_hook(timed_out), Blame::Inconclusive);
        let not_started = kind_of(&Failure::infrastructure("not started"));
        assert_eq!(of_hook(not_started), Blame::Inconclusive);
        let failed = kind_of(&Failure::package("exit status 1"));
        assert_eq!(of_hook(failed), Blame::Package);
    }
}
