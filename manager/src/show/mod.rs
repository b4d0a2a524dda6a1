//! `pyti show`: a run's report, processes, events, outputs, or what a stage gave.

mod datum;
mod output;

use std::io::Write;

use anyhow::{Context, Result, bail};
use pyti_analyzer::report::{event_lines, event_table, process_tree, render, render_finding};
use pyti_analyzer::{Origins, Report, RuleSet, Style, Tree, escape};
use pyti_trace::text::escape_json;

use crate::cli::{Format, ShowArgs};
use crate::home::Home;
use crate::judge;
use crate::order::WORK;
use crate::run_dir::{REPORT, RunDir, RunRecord, State};

/// Writes what was asked for.
///
/// # Errors
/// No such run, stage or finding; a store that cannot be read; an output that is closed.
pub fn show(args: &ShowArgs, home: &Home, style: Style, out: &mut impl Write) -> Result<()> {
    if args.tree && args.format == Format::Json {
        bail!("--tree is drawn for people: --events --format json has what it is made of");
    }
    let run_dir = RunDir::find(&args.run, &home.runs)?;
    let record = run_dir.read_record()?;
    if (args.output || args.tree || args.events) && record.state == State::Running {
        notice(match run_dir.is_live() {
            true => "the run still goes on: this is what there is by now",
            false => "the run was not watched to its end: its program died, leaving this",
        });
    }
    if args.output {
        let stages = judge::known(&run_dir, &record)?;
        for facts in chosen(stages, args.stage.as_deref(), |facts| &facts.name)? {
            output::show(&facts, run_dir.path(), args.format, out)?;
        }
    } else if args.tree || args.events {
        show_events(args, &run_dir, &record, style, out)?;
    } else if let Some(stage) = &args.stage {
        datum::show(stage, &run_dir, &record, args.format, style, out)?;
    } else {
        show_report(args, &report(&run_dir, &record)?, style, out)?;
    }
    out.flush()?;
    Ok(())
}

/// The report that was kept, or else what can be judged now: of a run that goes on, of one whose program
/// died, and of one whose report is gone.
fn report(run_dir: &RunDir, record: &RunRecord) -> Result<Report> {
    let finished = record.state == State::Finished;
    if finished && let Some(report) = run_dir.read_report(record)? {
        return Ok(report);
    }
    let rules = RuleSet::load(None, &crate::order::vars())?;
    let mut report = judge::judge(run_dir, record, &rules)?;
    if finished {
        let note = format!("{REPORT} is gone: this is judged anew, by the built-in rules");
        report.notes.push(note);
    }
    Ok(report)
}

fn show_events(
    args: &ShowArgs,
    run_dir: &RunDir,
    record: &RunRecord,
    style: Style,
    out: &mut impl Write,
) -> Result<()> {
    let stages = judge::stages(run_dir, record)?;
    let stages = chosen(stages, args.stage.as_deref(), |(facts, _)| &facts.name)?;
    let several = stages.len() > 1 && args.format == Format::Table;
    for (facts, loaded) in &stages {
        if several {
            writeln!(out, "stage {}", escape(&facts.name))?;
        }
        if let Some(problem) = &loaded.problem {
            notice(&format!("stage {}: {problem}", facts.name));
        }
        let origins = Origins::new(&loaded.events, WORK);
        if args.tree {
            let tree = Tree::new(&loaded.events);
            let tree = process_tree(&tree, &origins, facts.started_ns, style);
            write!(out, "{tree}")?;
        } else if args.format == Format::Json {
            event_lines(&facts.name, &loaded.events, &origins, out)?;
        } else {
            let table = event_table(&loaded.events, &origins, facts.started_ns, style);
            write!(out, "{table}")?;
        }
    }
    Ok(())
}

/// Says on standard error why what is shown is not all. The report tells that itself; events, processes
/// and outputs have no place for it.
fn notice(text: &str) {
    // Nobody to tell where the terminal is gone.
    let _ = writeln!(std::io::stderr(), "pyti: {}", escape(text));
}

/// Those that were asked for.
fn chosen<T>(stages: Vec<T>, wanted: Option<&str>, name: impl Fn(&T) -> &str) -> Result<Vec<T>> {
    let names: Vec<&str> = stages.iter().map(&name).collect();
    match wanted {
        Some(stage) if !names.contains(&stage) => return Err(no_stage(stage, &names)),
        None if names.is_empty() => bail!("no stage of the run was started"),
        _ => {}
    }
    let is_wanted = |stage: &T| wanted.is_none_or(|wanted| name(stage) == wanted);
    Ok(stages.into_iter().filter(is_wanted).collect())
}

fn no_stage(stage: &str, names: &[&str]) -> anyhow::Error {
    let names = match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    anyhow::anyhow!("the run has no stage `{stage}`: it has {names}")
}

fn show_report(args: &ShowArgs, report: &Report, style: Style, out: &mut impl Write) -> Result<()> {
    match (args.finding, args.format) {
        (Some(number), format) => {
            let finding = number
                .checked_sub(1)
                .and_then(|index| report.findings.get(index));
            let finding = finding.with_context(|| match report.findings.len() {
                0 => "the report has no finding".to_owned(),
                1 => "the report has one finding: --finding 1".to_owned(),
                last => format!("the report has findings 1 to {last}"),
            })?;
            match format {
                Format::Json => {
                    let json = serde_json::to_string_pretty(finding)?;
                    writeln!(out, "{}", escape_json(json))?;
                }
                Format::Table => write!(out, "{}", render_finding(number, finding, style))?,
            }
        }
        (None, Format::Json) => writeln!(out, "{}", report.to_json()?)?,
        (None, Format::Table) => write!(out, "{}", render(report, style))?,
    }
    Ok(())
}

#[cfg(test)]
mod tests;
