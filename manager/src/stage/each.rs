//! Commands that run one after the other in one clone, each bounded: `each.py` in the guest.

use pyti_graph::Failure;
use pyti_vm::Interpreter;
use serde::{Deserialize, Serialize};

use super::{Ran, program};
use crate::cli::LimitArgs;
use crate::data_store::Blob;
use crate::order::Order;

/// The program in the guest.
const SOURCE: &str = include_str!("each.py");

/// A command.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Command {
    /// What its outcome is called.
    pub name: String,
    /// Program and arguments; `{answer}` stands for a file that it may write JSON to.
    pub argv: Vec<String>,
    /// Wall time that it may take.
    pub seconds: u64,
}

/// How a command ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ended {
    /// See [`Command::name`].
    pub name: String,
    /// Its exit status, where it ended by itself.
    pub exit: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Its time was up, and it was killed.
    pub timed_out: bool,
    /// Why it could not be started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Wall time in seconds.
    pub seconds: f64,
    /// The beginning of its standard output.
    pub stdout: String,
    /// The beginning of its standard error.
    pub stderr: String,
    /// An output was longer than what is kept.
    pub cut: bool,
    /// What it wrote as its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Vec<String>>,
}

/// The order to run the commands from a state.
pub(super) fn order(
    python: &Interpreter,
    stage: &str,
    commands: &[Command],
    state: Blob,
    limits: &LimitArgs,
) -> Result<Order, Failure> {
    program(python, stage, SOURCE, &commands, Some(state), limits).map_err(Failure::infrastructure)
}

/// How the commands ended.
pub(super) fn read(ran: &Ran) -> Result<Vec<Ended>, Failure> {
    ran.completed()?;
    ran.result()
}

/// The commands that were not watched to their end.
pub(super) fn cut_short(ended: &[Ended]) -> Vec<String> {
    let late = ended.iter().filter(|command| command.timed_out);
    late.map(|command| format!("`{}` was cut short by its time limit", command.name))
        .collect()
}
