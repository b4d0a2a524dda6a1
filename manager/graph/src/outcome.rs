//! How tasks end.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::data::Kind;

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// The package's: it would fail again.
    Package,
    /// The host's, the network's, the tool's: it is tried again.
    Infrastructure,
    /// Nobody can tell: a time-out, losses.
    Inconclusive,
}

/// Why an action did not provide its data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It failed.
    #[error("{reason}")]
    Failed {
        /// Whose fault it is.
        blame: Blame,
        /// Why.
        reason: String,
    },
    /// There is nothing here for it to do.
    #[error("not applicable: {0}")]
    NotApplicable(String),
    /// It was told to stop, and did.
    #[error("cancelled")]
    Cancelled,
}

impl Failure {
    /// A failure that is the package's own.
    pub fn package(reason: impl fmt::Display) -> Self {
        Self::of(Blame::Package, reason)
    }

    /// A failure of what runs it.
    pub fn infrastructure(reason: impl fmt::Display) -> Self {
        Self::of(Blame::Infrastructure, reason)
    }

    /// A failure that proves nothing.
    pub fn inconclusive(reason: impl fmt::Display) -> Self {
        Self::of(Blame::Inconclusive, reason)
    }

    fn of(blame: Blame, reason: impl fmt::Display) -> Self {
        Self::Failed {
            blame,
            reason: reason.to_string(),
        }
    }
}

/// A datum that was not there, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The datum.
    pub datum: Kind,
    /// The task that would have provided it.
    pub provider: String,
    /// How that task ended.
    pub because: String,
    /// That task had nothing to do, which is no failure. Runs of earlier versions do not tell.
    #[serde(default)]
    pub not_applicable: bool,
}

/// How a task ended. Each task of a plan has exactly one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It provided its data.
    Done {
        /// They were remembered from an earlier run.
        remembered: bool,
    },
    /// It could not provide its data.
    Failed {
        /// Whose fault it is.
        blame: Blame,
        /// Why.
        reason: String,
    },
    /// It was not run, since a datum was missing: from its own need to the root cause.
    Skipped {
        /// The missing data, the nearest first.
        chain: Vec<Missing>,
    },
    /// There was nothing for it to do.
    NotApplicable {
        /// Why.
        reason: String,
    },
    /// The run was cancelled before it ended.
    Cancelled,
}

impl Outcome {
    /// Whether its data are there.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done { .. })
    }

    /// Whether there was nothing to do, for it or for the task whose data it lacks.
    #[must_use]
    pub fn is_not_applicable(&self) -> bool {
        match self {
            Self::NotApplicable { .. } => true,
            Self::Skipped { chain } => chain.last().is_some_and(|root| root.not_applicable),
            _ => false,
        }
    }

    /// The task whose end is the cause of this one, and how it ended: that of a skipped task.
    #[must_use]
    pub fn root(&self) -> Option<(&str, &str)> {
        let Self::Skipped { chain } = self else {
            return None;
        };
        let root = chain.last()?;
        Some((&root.provider, &root.because))
    }

    /// As displayed, but without the reason at the end of a chain, for where that is told apart.
    #[must_use]
    pub fn brief(&self) -> String {
        let told = self.to_string();
        let reason = self
            .root()
            .and_then(|(_, because)| because.split_once(": "));
        let brief = reason.and_then(|(_, reason)| told.strip_suffix(reason));
        brief.map_or_else(
            || told.clone(),
            |brief| brief.trim_end_matches(": ").to_owned(),
        )
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done { remembered: false } => f.write_str("done"),
            Self::Done { remembered: true } => f.write_str("done before"),
            Self::Failed { reason, .. } => write!(f, "failed: {reason}"),
            Self::Skipped { chain } => {
                f.write_str("skipped: ")?;
                for (at, missing) in chain.iter().enumerate() {
                    let Missing {
                        datum,
                        provider,
                        because,
                        ..
                    } = missing;
                    let joint = if at == 0 { "" } else { "; " };
                    write!(f, "{joint}no {datum}, since {provider} {because}")?;
                }
                Ok(())
            }
            Self::NotApplicable { reason } => write!(f, "not applicable: {reason}"),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}
