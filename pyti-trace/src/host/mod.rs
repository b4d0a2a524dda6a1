//! The program `pyti-trace`: runs a command on the host itself and shows what the kernel saw of it
//! and of its children.
//!
//! A host's kernel is somebody's own: it may refuse probes, or lack what they read. Those that it
//! takes are used, and what is not seen without the others is said.

mod args;
mod before;
mod command;
mod error;
mod output;
mod probes;
mod python;
mod require;
mod stop;
mod summary;
mod table;
mod watch;
mod wrap;

use std::error::Error as _;
use std::process::ExitCode;

use clap::Parser as _;

use self::error::HostError;
use crate::internal_error;
use crate::text::escape;

/// Exit status where the tracer itself failed; clap ends with the same.
const FAILED: u8 = 2;

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    internal_error::tell_as("pyti-trace");
    let args = args::Args::parse();
    match internal_error::catch(|| watch::run(&args)) {
        Some(Ok(code)) => ExitCode::from(code),
        Some(Err(error)) => {
            complain(&error);
            ExitCode::from(FAILED)
        }
        None => ExitCode::from(FAILED),
    }
}

/// Says on standard error what failed and why.
fn complain(error: &HostError) {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let reason = error.to_string();
        // Some errors tell their source's reason as their own.
        if !text.ends_with(&reason) {
            text = format!("{text}: {reason}");
        }
        source = error.source();
    }
    say(&escape(&text));
}

/// Says something on standard error. Where that is gone there is nobody to tell.
fn say(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "pyti-trace: {}", text.trim_end());
}
