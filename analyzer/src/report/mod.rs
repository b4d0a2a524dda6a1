//! The report: the judgement over a run's raw data, as a structure, as JSON, and for a reader.

mod datum;
mod events;
mod grid;
mod page;
mod processes;
mod proof;
mod run_info;
mod table;

use std::collections::BTreeMap;

use pyti_trace::event::{Kind, ProcessKey};
use serde::{Deserialize, Serialize};

pub use datum::render_datum;
pub use events::{event_lines, event_table};
pub use grid::Grid;
pub use processes::process_tree;
pub use proof::render_finding;
pub use pyti_trace::describe::{describe, place, time};
pub use run_info::{Made, RunInfo, when};
pub use table::render;

use crate::facts::{Loss, StageFacts, Target};
use crate::origin::Origin;
use crate::rules::{Confidence, Severity};
use crate::verdict::Verdict;

/// Schema of the JSON report.
pub const SCHEMA: &str = "pyti.report/1";

/// How reports for readers are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Columns that a line may take.
    pub width: u16,
    /// Colour with ANSI escapes.
    pub colour: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            width: 100,
            colour: false,
        }
    }
}

/// The judgement over a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// What was audited.
    pub target: Target,
    /// When, where and with what; reports of earlier versions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunInfo>,
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub reasons: Vec<String>,
    /// What keeps the record from being whole, one sentence each.
    pub missing: Vec<String>,
    /// The stages and how they went.
    pub stages: Vec<StageFacts>,
    /// What the stages gave, in the order of the plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<TaskResult>,
    /// What fired, worst first.
    pub findings: Vec<Finding>,
    /// Rules that could not decide.
    pub undecided: Vec<Undecided>,
    /// By stage and family: seen, stored, lost.
    pub losses: BTreeMap<String, BTreeMap<String, Loss>>,
    /// By stage: how many events who is behind.
    #[serde(default)]
    pub origins: BTreeMap<String, BTreeMap<Origin, u64>>,
    /// Remarks: on the rules, such as exceptions that expired; on what was prepared for the run.
    pub notes: Vec<String>,
}

/// What came of a task, for a reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskResult {
    /// The task.
    pub task: String,
    /// `done`, `failed`, `skipped`, `not applicable` or `cancelled`.
    pub outcome: String,
    /// What it gave, or why it did not.
    pub summary: String,
}

/// A rule that fired, with the events that prove it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule.
    pub rule: String,
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// MITRE ATT&CK techniques.
    pub attack: Vec<String>,
    /// The stage in which it fired.
    pub stage: String,
    /// What happened, in a sentence.
    pub summary: String,
    /// How often.
    pub count: u64,
    /// What the sentence captured, by its name there; each value once.
    pub captures: BTreeMap<String, Vec<String>>,
    /// The clauses of the rule that held.
    pub clauses: Vec<String>,
    /// The processes that did it with their ancestors, each after its parent.
    pub processes: Vec<ProofProcess>,
    /// The events, in the order in which they began; the first ones where there are many.
    pub evidence: Vec<Evidence>,
}

/// A process of a finding's proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofProcess {
    /// Who.
    pub process: ProcessKey,
    /// How many of its ancestors stand before it.
    pub depth: usize,
    /// Its program's name.
    pub name: String,
    /// Its arguments, cut where they are long.
    pub argv: Vec<String>,
}

/// An event that proves a finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Its number among the stage's events in the order of time, from 0.
    pub index: usize,
    /// Nanoseconds since the stage started; of what takes time, at its end.
    pub time_ns: u64,
    /// The same at its beginning, where that is on record: of a write when the file was first written to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ns: Option<u64>,
    /// What happened.
    pub kind: Kind,
    /// Who did it.
    pub process: ProcessKey,
    /// The doer's name.
    pub name: String,
    /// The event on one line.
    pub text: String,
    /// Who is behind it: see [`crate::origin`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Where in Python code it was asked for, as `FILE:LINE in FUNCTION()`, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
}

/// A rule that could not decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undecided {
    /// The rule.
    pub rule: String,
    /// How bad it would have been.
    pub severity: Severity,
    /// The stage.
    pub stage: String,
    /// What it missed.
    pub reason: String,
}

impl Report {
    /// The report as JSON, ending in a line end. Characters that could drive a terminal or deceive
    /// a reader stand as `\uXXXX`.
    ///
    /// # Errors
    /// None is known; serialising is fallible by its signature.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let mut out = pyti_trace::text::escape_json(serde_json::to_string_pretty(self)?);
        out.push('\n');
        Ok(out)
    }
}
