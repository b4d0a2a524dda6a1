//! `pyti runs`.

use std::io::Write;

use anyhow::Result;
use pyti_analyzer::report::{Grid, when};
use pyti_analyzer::{Verdict, escape};
use serde::Deserialize;

use super::style;
use crate::home::Home;
use crate::run_dir::{REPORT, RunDir, State};

/// What is read of a report.
#[derive(Deserialize)]
struct Judged {
    verdict: Verdict,
}

/// Lists the runs, the oldest first: one that cannot be read with the reason.
pub fn run(home: &Home, out: &mut impl Write) -> Result<()> {
    let runs = RunDir::all(&home.runs)?;
    if runs.is_empty() {
        writeln!(
            out,
            "no run in {}: audit something first",
            escape(&home.runs.to_string_lossy())
        )?;
    }
    let grid = Grid {
        rows: runs.iter().map(row).collect(),
        text: true,
        ..Grid::titled(&["verdict", "started", "target", "run"])
    };
    if !runs.is_empty() {
        write!(out, "{}", grid.render(style().width))?;
    }
    Ok(())
}

fn row(run_dir: &RunDir) -> Vec<String> {
    let id = run_dir.path().file_name().unwrap_or_default();
    let id = escape(&id.to_string_lossy());
    let record = match run_dir.read_record() {
        Ok(record) => record,
        Err(error) => {
            let (none, error) = (String::new(), escape(&format!("{error:#}")));
            return vec![
                "not read".to_owned(),
                none.clone(),
                none,
                format!("{id}: {error}"),
            ];
        }
    };
    let verdict = match record.state {
        State::Finished => run_dir
            .read_json::<Judged>(REPORT)
            .map_or("no report", |judged| judged.verdict.name()),
        State::Running if run_dir.is_live() => "still runs",
        State::Running => "died",
    };
    vec![
        verdict.to_owned(),
        when(record.made.started),
        pyti_analyzer::escape_within(&record.target.title(), 40),
        id,
    ]
}
