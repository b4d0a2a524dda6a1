//! PyTI's host program: what an unknown Python package really does, before anyone installs it.
//!
//! ```text
//! target ─ fetch ─ metadata* ─ resolve ─ wheelhouse ─ install* ─ judge ─ report     * in a clone
//! ```
//!
//! `tasks` says what there is to do, as a graph of data; `audit` runs it. `stages` runs what needs a
//! VM, `watch` keeps what comes out of it, `judge` reads it back and applies the rules. Everything
//! of a run is in its directory (`run_dir`).

pub mod audit;
pub mod cli;
pub mod commands;
pub mod data_store;
pub mod described;
pub mod home;
mod host_memory;
pub mod input;
pub mod interrupt;
pub mod judge;
pub mod machine;
pub mod memo;
pub mod metadata_hook;
pub mod order;
pub mod output_file;
pub mod performance;
pub mod progress;
mod recorder;
pub mod run_dir;
mod running;
pub mod show;
pub mod stage;
pub mod stages;
pub mod tasks;
pub mod tool;
pub mod watch;
