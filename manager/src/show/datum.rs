//! What a stage gave: its datum.

use std::io::Write;
use std::path::Path;

use anyhow::{Result, bail};
use pyti_analyzer::report::render_datum;
use pyti_analyzer::{Style, escape};
use pyti_trace::text::escape_json;
use serde_json::Value;

use super::no_stage;
use crate::cli::Format;
use crate::run_dir::{DATUM, RunDir, RunRecord};
use crate::{judge, tasks};

/// Writes the datum of a stage, escaped: an outline of it, or its JSON.
///
/// # Errors
/// The run has no such stage, or that gave nothing; a datum that cannot be read.
pub(super) fn show(
    stage: &str,
    run_dir: &RunDir,
    record: &RunRecord,
    format: Format,
    style: Style,
    out: &mut impl Write,
) -> Result<()> {
    let facts = judge::known(run_dir, record)?;
    let can_be_asked_for = tasks::stage_names();
    let has_datum = |name: &str| run_dir.path().join(name).join(DATUM).is_file();
    let mut names: Vec<&str> = facts.iter().map(|facts| facts.name.as_str()).collect();
    for end in &record.tasks {
        let name = end.task.as_str();
        let known = can_be_asked_for.contains(&name) || has_datum(name);
        if known && !names.contains(&name) {
            names.push(name);
        }
    }
    if !names.contains(&stage) {
        return Err(no_stage(stage, &names));
    }
    let end = record.tasks.iter().find(|end| end.task == stage);
    if !has_datum(stage) {
        match end {
            Some(end) => bail!("stage {stage} gave no data: {}", end.outcome),
            None => bail!("stage {stage} gave no data"),
        }
    }
    let path = Path::new(stage).join(DATUM);
    let datum: Value = run_dir.read_json(&path.to_string_lossy())?;
    match format {
        Format::Json => {
            let json = serde_json::to_string_pretty(&datum)?;
            writeln!(out, "{}", escape_json(json))?;
        }
        Format::Table => {
            if let Some(summary) = end.and_then(|end| end.summary.as_deref()) {
                writeln!(out, "{}: {}\n", escape(stage), escape(summary))?;
            }
            write!(out, "{}", render_datum(&datum, style))?;
        }
    }
    Ok(())
}
