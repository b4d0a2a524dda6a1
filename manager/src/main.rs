//! `pyti`: reads the command line, runs the command, sets the exit status.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use pyti::cli::Cli;
use pyti::commands;
use pyti_trace::internal_error;

/// The tool or its input failed.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    internal_error::tell_as("pyti");
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let asked = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            // Nobody to tell where the terminal is gone.
            let _ = error.print();
            return if asked {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(FAILED)
            };
        }
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("PYTI_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("off")),
        )
        .init();
    let code = match internal_error::catch(|| commands::run(cli.command)) {
        // A panic may have cost no more than a task: then a finding stands, but no success is claimed.
        Some(Ok(0)) if internal_error::came() => FAILED,
        Some(Ok(code)) => code,
        Some(Err(error)) => {
            for line in format!("{error:#}").lines() {
                // Nobody to tell where the terminal is gone.
                let _ = writeln!(std::io::stderr(), "pyti: {}", pyti_analyzer::escape(line));
            }
            FAILED
        }
        None => FAILED,
    };
    ExitCode::from(code)
}
