//! Rules: read from files, checked against the schema, run over events, tested against traces.

mod access;
mod arguments;
mod changed;
mod condition;
mod credentials;
mod derived;
mod descriptors;
mod engine;
mod error;
mod exception;
mod executed;
mod judge;
mod operators;
mod places;
mod query;
mod rule;
mod set;
mod source;
mod template;
mod test;
mod trace;
mod traces;
mod truth;
mod value;
mod waiting;
mod yaml;

pub use condition::Vars;
pub use error::{Place, RuleError, RuleErrors};
pub use rule::{Confidence, Rule, Severity};
pub(crate) use set::date;
pub use set::{RuleSet, StageRecord};
pub use source::Source;
pub use trace::Case;
pub use traces::{Expectation, Fired, TraceFailure, TraceSummary};
