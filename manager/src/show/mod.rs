//! `pyti show`: a run's report, processes, events or outputs.

mod output;

use std::io::Write;

use anyhow::{Context, Result, bail};
use pyti_analyzer::report::{event_lines, event_table, process_tree, render, render_finding};
use pyti_analyzer::{Origins, Report, RuleSet, Style, Tree};
use pyti_trace::text::escape_json;

use crate::cli::{Format, ShowArgs};
use crate::home::Home;
use crate::judge;
use crate::order::WORK;
use crate::run_dir::{RunDir, State};

/// Writes what was asked for.
///
/// # Errors
/// No such run, stage or finding; a store that cannot be read; an output that is closed.
pub fn show(args: &ShowArgs, home: &Home, style: Style, out: &mut impl Write) -> Result<()> {
    let run_dir = RunDir::find(&args.run, &home.runs)?;
    let record = run_dir.read_record()?;
    if args.output {
        let stages = judge::stage_names(&run_dir, &record)?;
        for stage in chosen(stages, args.stage.as_deref(), String::as_str)? {
            output::show(&stage, &run_dir.path().join(&stage), args.format, out)?;
        }
        out.flush()?;
        return Ok(());
    }
    if !args.tree && !args.events {
        let report = match record.state {
            State::Finished => run_dir.read_json("report.json")?,
            // Its program died: what it left is judged now.
            State::Running => {
                let rules = RuleSet::load(None, &crate::order::vars())?;
                judge::judge(&run_dir, &record, &rules)?
            }
        };
        return show_report(args, &report, style, out);
    }
    let stages = judge::stages(&run_dir, &record)?;
    let stages = chosen(stages, args.stage.as_deref(), |(facts, _)| &facts.name)?;
    let several = stages.len() > 1 && args.format == Format::Table;
    for (facts, loaded) in &stages {
        if several {
            writeln!(out, "stage {}", facts.name)?;
        }
        if args.tree {
            let tree = Tree::new(&loaded.events);
            let origins = Origins::new(&loaded.events, WORK);
            let tree = process_tree(&tree, &origins, facts.started_ns, style);
            write!(out, "{tree}")?;
        } else if args.format == Format::Json {
            event_lines(&loaded.events, out)?;
        } else {
            let origins = Origins::new(&loaded.events, WORK);
            let table = event_table(&loaded.events, &origins, facts.started_ns, style);
            writeln!(out, "{table}")?;
        }
    }
    out.flush()?;
    Ok(())
}

/// Those that were asked for.
fn chosen<T>(stages: Vec<T>, wanted: Option<&str>, name: impl Fn(&T) -> &str) -> Result<Vec<T>> {
    let is_wanted = |stage: &T| wanted.is_none_or(|wanted| name(stage) == wanted);
    let stages: Vec<T> = stages.into_iter().filter(is_wanted).collect();
    if stages.is_empty() {
        match wanted {
            Some(stage) => bail!("the run has no stage `{stage}`"),
            None => bail!("no stage of the run was started"),
        }
    }
    Ok(stages)
}

fn show_report(args: &ShowArgs, report: &Report, style: Style, out: &mut impl Write) -> Result<()> {
    match (args.finding, args.format) {
        (Some(number), format) => {
            let finding = number
                .checked_sub(1)
                .and_then(|index| report.findings.get(index))
                .with_context(|| format!("the report has {} findings", report.findings.len()))?;
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
    out.flush()?;
    Ok(())
}
