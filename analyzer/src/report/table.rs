//! The report for a reader in a terminal: the verdict first, then why, then the proof.

use std::collections::BTreeSet;

use pyti_trace::event::Family;

use super::grid::Grid;
use super::page::{BOLD, DIM, GREEN, Page, RED, YELLOW, wrap};
use super::{Finding, Report, Style, time};
use crate::facts::{StageFacts, StageStatus, family_name};
use crate::origin::Origin;
use crate::rules::Severity;
use crate::text::{escape, escape_within};
use crate::verdict::Verdict;

/// Characters shown of what a stage gave.
const LONGEST_SUMMARY: usize = 300;
/// What is not known, and what there is none of.
const UNKNOWN: &str = "?";
const NONE: &str = "–";

/// The report as text. Everything that came from outside is escaped.
#[must_use]
pub fn render(report: &Report, style: Style) -> String {
    let mut page = Page::new(style);
    page.head(report);
    let (counted, notices): (Vec<&Finding>, Vec<&Finding>) = report
        .findings
        .iter()
        .partition(|finding| finding.severity > Severity::Notice);
    for (title, findings) in [("Findings", counted), ("Notices", notices)] {
        if !findings.is_empty() {
            page.title(title);
        }
        for finding in findings {
            let number = report
                .findings
                .iter()
                .position(|other| std::ptr::eq(other, finding));
            page.finding_in_short(number.map_or(0, |number| number + 1), finding);
        }
    }
    if !report.missing.is_empty() && !report.findings.is_empty() {
        page.list("Missing from the record", &report.missing);
    }
    page.stages(&report.stages);
    page.results(report);
    page.losses(report);
    page.origins(report);
    if !report.notes.is_empty() {
        page.list("Notes", &report.notes);
    }
    page.out
}

impl Page {
    fn head(&mut self, report: &Report) {
        let colour = match report.verdict {
            Verdict::Malicious => RED,
            Verdict::Suspicious | Verdict::Inconclusive => YELLOW,
            Verdict::Unremarkable => GREEN,
        };
        let name = report.verdict.name().to_uppercase();
        let verdict = self.paint(colour, &name);
        let title = escape(&report.target.title());
        let deep = name.len() + 2;
        let mut lead = format!("{verdict}  ");
        for line in wrap(&title, self.width().saturating_sub(deep)) {
            let line = self.paint(BOLD, &line);
            self.line(&format!("{lead}{line}"));
            lead = " ".repeat(deep);
        }
        self.file(report);
        if let Some(run) = &report.run {
            self.painted(0, "", &run.made.told(), Some(DIM));
        }
        let reasons = report
            .reasons
            .iter()
            .filter(|reason| report.findings.is_empty() || !report.missing.contains(reason))
            .collect::<Vec<_>>();
        let incomplete = report.reasons.len() - reasons.len();
        for reason in reasons {
            self.paragraph(2, "• ", reason);
        }
        if incomplete > 0 {
            self.paragraph(2, "• ", "the record is not whole, see below");
        }
    }

    /// The name and the digest of what was audited. Neither is cut or broken, so that both can be copied:
    /// where they do not fit in a line each has its own.
    fn file(&mut self, report: &Report) {
        let name = report.target.filename.as_deref().map(escape);
        let digest = report.target.sha256.as_deref().map(escape);
        let digest = digest.map(|digest| format!("sha256 {digest}"));
        let both = match (&name, &digest) {
            (Some(name), Some(digest)) => Some(format!("{name}  {digest}")),
            _ => None,
        };
        let lines = match both {
            Some(both) if both.chars().count() <= self.width() => vec![both],
            _ => name.into_iter().chain(digest).collect(),
        };
        for line in lines {
            let line = self.paint(DIM, &line);
            self.line(&line);
        }
    }

    fn results(&mut self, report: &Report) {
        if report.results.is_empty() {
            return;
        }
        self.title("Results");
        let rows = report.results.iter().map(|result| {
            // What keeps stages from running is told at the head.
            let above = result.outcome == "failed"
                && (report.missing.iter()).any(|missing| missing.ends_with(&result.summary));
            let summary = match above {
                true => "why is said above".to_owned(),
                false => escape_within(&result.summary, LONGEST_SUMMARY),
            };
            vec![escape(&result.task), escape(&result.outcome), summary]
        });
        self.grid(Grid {
            indent: 4,
            rows: rows.collect(),
            text: true,
            ..Grid::default()
        });
        let more =
            "more of each: pyti show RUN --stage STAGE, or data.json in its directory of the run";
        self.painted(4, "", more, Some(DIM));
    }

    fn stages(&mut self, stages: &[StageFacts]) {
        if stages.is_empty() {
            return;
        }
        self.title("Stages");
        self.grid(Grid {
            indent: 4,
            rows: stages.iter().map(used).collect(),
            right: &[2, 3, 4, 5, 6],
            // Processes that were left behind are a reason of the verdict.
            spare: &[6, 5, 3],
            ..Grid::titled(&[
                "stage",
                "ended",
                "wall",
                "CPU",
                "peak memory",
                "disk",
                "left behind",
            ])
        });
        for stage in stages {
            for (name, dropped) in [
                ("output", stage.stdout_dropped),
                ("error", stage.stderr_dropped),
            ] {
                if dropped > 0 {
                    let text = format!(
                        "{}: standard {name} went over its bound, and {} of it were not kept",
                        stage.name,
                        size(dropped)
                    );
                    self.paragraph(2, "", &text);
                }
            }
        }
    }

    /// Who is behind the events, where any of it is known.
    fn origins(&mut self, report: &Report) {
        let all: BTreeSet<Origin> = report
            .origins
            .values()
            .flat_map(|of| of.keys().copied())
            .collect();
        if all.len() < 2 {
            return;
        }
        self.title("Events by who is behind them");
        let rows = report.stages.iter().filter_map(|stage| {
            let counts = report
                .origins
                .get(&stage.name)
                .filter(|of| !of.is_empty())?;
            let numbers = all.iter().map(|origin| counts.get(origin).unwrap_or(&0));
            let cells = std::iter::once(escape(&stage.name));
            Some(cells.chain(numbers.map(u64::to_string)).collect())
        });
        let names = all.iter().map(|origin| origin.name());
        let titles: Vec<&str> = std::iter::once("stage").chain(names).collect();
        self.grid(Grid {
            indent: 4,
            rows: rows.collect(),
            right: &[1, 2, 3, 4, 5, 6, 7],
            ..Grid::titled(&titles)
        });
        let legend = "docs/attribution.md says who is meant";
        self.painted(4, "", legend, Some(DIM));
    }

    fn losses(&mut self, report: &Report) {
        if report.losses.is_empty() {
            return;
        }
        self.title("Events");
        let unknown =
            |number: Option<u64>| number.map_or(UNKNOWN.to_owned(), |number| number.to_string());
        let mut rows = vec![];
        for stage in &report.stages {
            let Some(losses) = report.losses.get(&stage.name) else {
                continue;
            };
            for family in Family::ALL.map(family_name) {
                let Some(loss) = losses.get(family) else {
                    continue;
                };
                if loss.stored > 0 || loss.seen.is_some_and(|seen| seen > 0) {
                    rows.push(vec![
                        escape(&stage.name),
                        family.to_owned(),
                        unknown(loss.seen),
                        loss.stored.to_string(),
                        unknown(loss.lost),
                    ]);
                }
            }
        }
        self.grid(Grid {
            indent: 4,
            rows,
            right: &[2, 3, 4],
            ..Grid::titled(&["stage", "family", "seen", "stored", "lost"])
        });
    }
}

/// What a stage used. What nobody counted is not known to be nothing.
fn used(stage: &StageFacts) -> Vec<String> {
    let started = !matches!(stage.status, StageStatus::NotStarted { .. });
    // No process runs without memory: the rest of what is counted with it did not come either.
    let counted = !stage.uncounted && stage.memory_peak > 0;
    let known = |known: bool, text: String| match (started, known) {
        (false, _) => NONE.to_owned(),
        (true, false) => UNKNOWN.to_owned(),
        (true, true) => text,
    };
    let cpu = (stage.user_us.saturating_add(stage.system_us)).saturating_mul(1000);
    vec![
        escape(&stage.name),
        status(&stage.status),
        known(stage.wall_ns > 0, time(stage.wall_ns)),
        known(counted, time(cpu)),
        known(counted, size(stage.memory_peak)),
        known(counted, size(stage.disk_used)),
        known(
            counted || stage.left_behind > 0,
            stage.left_behind.to_string(),
        ),
    ]
}

fn status(status: &StageStatus) -> String {
    match status {
        StageStatus::Running => "still runs".to_owned(),
        StageStatus::Completed => "completed".to_owned(),
        StageStatus::Failed { exit } => format!("exit status {exit}"),
        StageStatus::Signaled { signal } => format!("signal {signal}"),
        StageStatus::TimedOut => "timed out".to_owned(),
        StageStatus::Stopped { .. } => "stopped".to_owned(),
        StageStatus::VmDied { .. } => "VM died".to_owned(),
        StageStatus::NotStarted { .. } => "not started".to_owned(),
    }
}

/// Bytes in mebibytes.
fn size(bytes: u64) -> String {
    format!("{}.{} MiB", bytes >> 20, ((bytes % (1 << 20)) * 10) >> 20)
}
