//! The execution manager: tasks as a graph whose edges are the data they need and provide.
//!
//! A [`Task`] says what it needs and provides, never which task comes before it. A [`Plan`] is
//! checked before anything runs: each datum has one provider, none is unknown, nothing waits for
//! itself; and it is pruned to the goals asked for. [`execute`] then runs what is ready, as far as
//! the [`Resources`] reach, and gives each task exactly one [`Outcome`]. If B fails, A that needs
//! its datum is skipped and says why.

mod data;
mod draw;
mod memo;
mod outcome;
mod plan;
mod run;
mod task;

pub use data::{Datum, Inputs, Kind, Outputs, WrongDatum};
pub use draw::{dot, json, mermaid, text};
pub use memo::{Memo, MemoKey};
pub use outcome::{Blame, Failure, Missing, Outcome};
pub use plan::{Plan, PlanError};
pub use run::{Change, Control, Execution, Options, execute};
pub use task::{Action, BoxFuture, Need, Place, Resources, Task};
