//! The commands: from the command line to an exit status.

mod analyze;
mod doctor;
mod image;
mod output;
mod rules;
mod runs;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use pyti_analyzer::Style;
use pyti_analyzer::report::render;

use crate::audit::{self, Audited, audit};
use crate::cli::{AuditArgs, Command, Format, PlanFormat};
use crate::home::Home;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::{order, show};
use output::Output;

/// How long what an interruption cut short may take to remove what it had made so far.
const CLEARING: Duration = Duration::from_secs(5);

/// Runs a command; the result is the exit status.
///
/// # Errors
/// The tool or its input failed: exit status 2.
pub fn run(command: Command) -> Result<u8> {
    let home = Home::find()?;
    let mut out = Output::standard();
    match command {
        Command::Audit(args) => return run_audit(args, &home, &mut out),
        Command::Plan(args) => {
            let plan = audit::plan(&args.what, &home)?;
            let text = match args.format {
                PlanFormat::Text => pyti_graph::text(&plan),
                PlanFormat::Dot => pyti_graph::dot(&plan),
                PlanFormat::Mermaid => pyti_graph::mermaid(&plan),
                PlanFormat::Json => format!("{:#}\n", pyti_graph::json(&plan)),
            };
            out.write_all(text.as_bytes())?;
        }
        Command::Show(args) => show::show(&args, &home, style(), &mut out)?,
        Command::Runs => runs::run(&home, &mut out)?,
        Command::Analyze(args) => return analyze::run(&args, &mut out),
        Command::Rules(command) => return rules::run(&command, &mut out),
        Command::Image(command) => {
            let runtime = runtime()?;
            let done = runtime.block_on(image::run(command, &home, &mut out));
            runtime.shutdown_timeout(CLEARING);
            done?;
        }
        Command::Doctor => return doctor::run(&home, &mut out),
    }
    out.flush()?;
    Ok(0)
}

fn run_audit(args: AuditArgs, home: &Home, out: &mut impl Write) -> Result<u8> {
    let format = args.format;
    let rules = rules::load(args.rules.as_deref(), &order::vars())?;
    let progress = Arc::new(Progress::new(args.progress));
    let runtime = runtime()?;
    let audited = runtime.block_on(async {
        let interrupt = Interrupt::listen().context("failed to listen for Ctrl-C")?;
        audit(args, home, &rules, interrupt, progress).await
    });
    // What still runs in the background serves nobody now, but clears up what it was making.
    runtime.shutdown_timeout(CLEARING);
    let Audited { report, run } = audited?;
    match format {
        Format::Json => writeln!(out, "{}", report.to_json()?)?,
        Format::Table => {
            write!(out, "{}", render(&report, style()))?;
            let run = pyti_analyzer::escape(&run.display().to_string());
            writeln!(out, "run: {run}")?;
        }
    }
    out.flush()?;
    Ok(report.verdict.exit_status())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start the asynchronous runtime")
}

/// How what is printed looks, here and now.
fn style() -> Style {
    let terminal = std::io::stdout().is_terminal();
    let width = terminal_size::terminal_size().map(|(width, _)| width.0);
    style_for(terminal, width, |name| std::env::var_os(name))
}

/// The width of the terminal, or else `COLUMNS`; colours where standard output is a terminal and
/// `NO_COLOR` is not set.
fn style_for(
    terminal: bool,
    width: Option<u16>,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Style {
    let told = || environment("COLUMNS")?.to_str()?.parse().ok();
    let width = width.or_else(told).unwrap_or(100);
    Style {
        width: width.clamp(60, 200),
        colour: terminal && environment("NO_COLOR").is_none_or(|value| value.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn style(terminal: bool, width: Option<u16>, variables: &[(&str, &str)]) -> Style {
        style_for(terminal, width, |name| {
            let (_, value) = variables.iter().find(|(key, _)| *key == name)?;
            Some(OsString::from(*value))
        })
    }

    #[test]
    fn only_a_terminal_gets_colours_and_only_where_nobody_forbids_them() {
        let colour = |terminal, variables: &[(&str, &str)]| style(terminal, None, variables).colour;
        assert!(colour(true, &[]));
        assert!(colour(true, &[("NO_COLOR", "")]), "it is not set then");
        for forbidden in ["1", "0"] {
            assert!(!colour(true, &[("NO_COLOR", forbidden)]));
        }
        assert!(!colour(false, &[]) && !colour(false, &[("NO_COLOR", "")]));
    }

    #[test]
    fn the_terminal_says_its_width_before_the_environment_does() {
        let width = |width, variables: &[(&str, &str)]| style(true, width, variables).width;
        let columns = [("COLUMNS", "120")];
        assert_eq!(width(Some(80), &columns), 80);
        assert_eq!(width(None, &columns), 120);
        assert_eq!(width(None, &[]), 100);
        for wrong in ["", "wide", "-1", "70000"] {
            assert_eq!(width(None, &[("COLUMNS", wrong)]), 100, "{wrong}");
        }
        assert_eq!(width(Some(20), &[]), 60, "narrower is of no use");
        assert_eq!(width(None, &[("COLUMNS", "1000")]), 200);
    }
}
