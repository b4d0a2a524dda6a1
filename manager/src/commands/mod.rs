//! The commands: from the command line to an exit status.

mod analyze;
mod doctor;
mod image;
mod output;
mod rules;
mod runs;

use std::io::{IsTerminal, Write};
use std::sync::Arc;

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
        Command::Image(command) => runtime()?.block_on(image::run(command, &home, &mut out))?,
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
    // What still runs in the background serves nobody now.
    runtime.shutdown_background();
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

/// The width of the terminal, or else `COLUMNS`; colours where standard output is a terminal and
/// `NO_COLOR` is not set.
fn style() -> Style {
    let terminal = std::io::stdout().is_terminal();
    let told = || std::env::var("COLUMNS").ok()?.parse().ok();
    let width = terminal_size::terminal_size().map(|(width, _)| width.0);
    let width = width.or_else(told).unwrap_or(100);
    Style {
        width: width.clamp(60, 200),
        colour: terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    }
}
