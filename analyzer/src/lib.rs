//! PyTI's analyzer: it stores events, judges them by rules, and reports.
//!
//! The way of the data:
//!
//! ```text
//! events ─► store::StoreWriter ─► events.parquet ─► store::read ─┐
//!                                                                ├─► RuleSet::judge ─► Report ─► report::render
//!                 StageFacts (how each stage went, its losses) ──┘                          └─► Report::to_json
//! ```
//!
//! - [`store`] keeps every event that left the VM, whatever happens to this program or the disk.
//! - [`strace`] reads traces that strace made elsewhere into the same events.
//! - [`schema`] says what a rule may ask of which event; [`tree`] derives who descends from whom.
//! - [`rules`] reads rule files, checks them against the schema, runs them, tests them against
//!   their traces. Conditions are three-valued: what could not be read is unknown, and a rule that
//!   needs it says so.
//! - [`origin`] says who is behind an event: the package, or what installs and builds it.
//! - [`verdict`] weighs findings and what is missing.
//! - [`report`] is the outcome: a structure, JSON, text for a terminal.
//!
//! The analyzer knows no VM and no package index. Everything in an event is hostile: lengths are
//! bounded, work per rule is bounded, and all text is escaped before it is printed ([`escape`]).

pub mod facts;
mod moments;
pub mod origin;
mod regular_file;
pub mod report;
pub mod rules;
pub mod schema;
pub mod store;
pub mod strace;
mod text;
pub mod tree;
pub mod verdict;

pub use facts::{Loss, RunFacts, StageFacts, StageStatus, Target};
pub use origin::{Origin, Origins};
pub use regular_file::open_regular;
pub use report::{Report, Style};
pub use rules::{RuleErrors, RuleSet, StageRecord, Vars};
pub use text::{amount, escape, escape_within};
pub use tree::Tree;
pub use verdict::Verdict;
