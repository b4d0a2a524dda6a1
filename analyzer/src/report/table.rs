//! The report for a reader in a terminal: the verdict first, then why, then the proof.

use std::collections::BTreeSet;
use std::fmt::Write;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use pyti_trace::event::Family;

use super::events::trimmed;
use super::{Finding, Report, Style, TaskResult, time};
use crate::facts::{StageFacts, StageStatus, family_name};
use crate::origin::Origin;
use crate::rules::Severity;
use crate::text::{escape, escape_within};
use crate::verdict::Verdict;

/// Clauses and events shown per finding; the JSON report has more.
const MAX_LINES: usize = 12;
/// Characters shown of what a stage gave.
const LONGEST_SUMMARY: usize = 300;

/// The report as text. Everything that came from outside is escaped.
#[must_use]
pub fn render(report: &Report, style: Style) -> String {
    let mut page = Page {
        out: String::new(),
        style,
    };
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
            page.finding(number.map_or(0, |number| number + 1), finding);
        }
    }
    if !report.missing.is_empty() && !report.findings.is_empty() {
        page.list("Missing from the record", &report.missing);
    }
    page.stages(&report.stages);
    page.results(&report.results);
    page.losses(report);
    page.origins(report);
    if !report.notes.is_empty() {
        page.list("Notes", &report.notes);
    }
    page.out
}

/// One finding with its proof as text, under its `number` in the report.
#[must_use]
pub fn render_finding(number: usize, finding: &Finding, style: Style) -> String {
    let mut page = Page {
        out: String::new(),
        style,
    };
    page.finding(number, finding);
    page.out
}

struct Page {
    out: String,
    style: Style,
}

/// ANSI colours, `\x1b[..m`.
const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const GREEN: &str = "1;32";
const BLUE: &str = "1;34";

impl Page {
    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.style.colour {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// `text`, escaped, wrapped at blanks, every line after `indent` blanks.
    fn paragraph(&mut self, indent: usize, bullet: &str, text: &str) {
        let room = usize::from(self.style.width)
            .saturating_sub(indent + bullet.chars().count())
            .max(20);
        let mut lead = format!("{}{bullet}", " ".repeat(indent));
        let rest = " ".repeat(indent + bullet.chars().count());
        let mut line = String::new();
        for word in escape(text).split(' ') {
            let mut word: &str = word;
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room {
                self.line(&format!("{lead}{line}"));
                lead.clone_from(&rest);
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            // A word longer than a line is broken where the line ends.
            while word.chars().count() > room {
                let at = word
                    .char_indices()
                    .nth(room)
                    .map_or(word.len(), |(at, _)| at);
                let (head, tail) = word.split_at(at);
                self.line(&format!("{lead}{head}"));
                lead.clone_from(&rest);
                word = tail;
            }
            line.push_str(word);
        }
        self.line(&format!("{lead}{line}"));
    }

    fn title(&mut self, title: &str) {
        let title = self.paint(BOLD, title);
        self.line("");
        self.line(&title);
    }

    fn list(&mut self, title: &str, items: &[String]) {
        self.title(title);
        for item in items {
            self.paragraph(2, "• ", item);
        }
    }

    fn head(&mut self, report: &Report) {
        let colour = match report.verdict {
            Verdict::Malicious => RED,
            Verdict::Suspicious | Verdict::Inconclusive => YELLOW,
            Verdict::Unremarkable => GREEN,
        };
        let verdict = self.paint(colour, &report.verdict.name().to_uppercase());
        let title = self.paint(BOLD, &escape(&report.target.title()));
        self.line(&format!("{verdict}  {title}"));
        if let Some(filename) = &report.target.filename {
            let mut line = escape(filename);
            if let Some(sha256) = &report.target.sha256 {
                let _ = write!(line, "  sha256 {}", escape(sha256));
            }
            let line = self.paint(
                DIM,
                &escape_within(&line, usize::from(self.style.width).max(40)),
            );
            self.line(&line);
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

    fn finding(&mut self, number: usize, finding: &Finding) {
        let colour = match finding.severity {
            Severity::Critical | Severity::High => RED,
            Severity::Medium | Severity::Low => YELLOW,
            Severity::Notice => BLUE,
        };
        self.line("");
        let severity = self.paint(colour, &finding.severity.name().to_uppercase());
        let rule = self.paint(BOLD, &finding.rule);
        let times = if finding.count > 1 {
            format!(", {} times", finding.count)
        } else {
            String::new()
        };
        let details = format!(
            "{} confidence, {}, stage {}{times}",
            finding.confidence.name(),
            finding.attack.join(" "),
            escape(&finding.stage)
        );
        let head =
            number.to_string().len() + finding.severity.name().len() + finding.rule.len() + 6;
        let head_line = format!("{number}. {severity}  {rule}");
        if head + details.chars().count() <= usize::from(self.style.width) {
            let details = self.paint(DIM, &details);
            self.line(&format!("{head_line}  {details}"));
        } else {
            self.line(&head_line);
            self.paragraph(3, "", &details);
        }
        self.paragraph(3, "", &finding.summary);
        self.out.push('\n');
        self.processes(finding);
        self.out.push('\n');
        self.evidence(finding);
        for (number, clause) in finding.clauses.iter().take(MAX_LINES).enumerate() {
            if number == 0 {
                let because = self.paint(DIM, "   because");
                self.out.push('\n');
                self.line(&because);
            }
            self.paragraph(5, "", clause);
        }
    }

    fn processes(&mut self, finding: &Finding) {
        for (position, process) in finding.processes.iter().enumerate() {
            let mut branch = String::new();
            for depth in 1..=process.depth {
                // Whether, of the processes below, one hangs at this depth before the tree goes
                // back above it.
                let more = finding.processes[position + 1..]
                    .iter()
                    .take_while(|other| other.depth >= depth)
                    .any(|other| other.depth == depth);
                branch.push_str(match (depth == process.depth, more) {
                    (true, true) => "├─ ",
                    (true, false) => "└─ ",
                    (false, true) => "│  ",
                    (false, false) => "   ",
                });
            }
            let command = if process.argv.is_empty() {
                format!("({})", process.name)
            } else {
                process.argv.join(" ")
            };
            let head = format!("     {branch}{} ", process.process.tgid);
            let room = usize::from(self.style.width)
                .saturating_sub(head.chars().count())
                .max(24);
            self.line(&format!("{head}{}", escape_within(&command, room)));
        }
    }

    fn evidence(&mut self, finding: &Finding) {
        let shown = finding.evidence.len().min(MAX_LINES);
        let mut table = self.table();
        for evidence in &finding.evidence[..shown] {
            table.add_row([
                String::new(),
                time(evidence.time_ns),
                format!("#{}", evidence.index),
                format!(
                    "{} {}",
                    evidence.process.tgid,
                    escape_within(&evidence.name, 24)
                ),
                escape(&match &evidence.python {
                    Some(place) => format!("{}, by {place}", evidence.text),
                    None => evidence.text.clone(),
                }),
            ]);
        }
        self.put(&mut table, &[1, 2]);
        let more = finding.evidence.len() - shown;
        if more > 0 {
            self.line(&format!("     and {more} more in the JSON report"));
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table
            .load_style(NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(self.style.width.max(40));
        table
    }

    /// Prints a table, the columns of these numbers aligned to the right.
    fn put(&mut self, table: &mut Table, right: &[usize]) {
        for number in right {
            if let Some(column) = table.column_mut(*number) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let text = trimmed(&table.to_string());
        self.out.push_str(&text);
    }

    fn results(&mut self, results: &[TaskResult]) {
        if results.is_empty() {
            return;
        }
        self.title("Results");
        let mut table = self.table();
        for result in results {
            table.add_row([
                String::new(),
                escape(&result.task),
                escape(&result.outcome),
                escape_within(&result.summary, LONGEST_SUMMARY),
            ]);
        }
        self.put(&mut table, &[]);
    }

    fn stages(&mut self, stages: &[StageFacts]) {
        if stages.is_empty() {
            return;
        }
        self.title("Stages");
        let mut table = self.table();
        table.set_header([
            "",
            "stage",
            "ended",
            "wall",
            "CPU",
            "peak memory",
            "disk",
            "left behind",
        ]);
        for stage in stages {
            table.add_row([
                String::new(),
                escape(&stage.name),
                status(&stage.status),
                time(stage.wall_ns),
                time((stage.user_us + stage.system_us).saturating_mul(1000)),
                size(stage.memory_peak),
                size(stage.disk_used),
                stage.left_behind.to_string(),
            ]);
        }
        self.put(&mut table, &[3, 4, 5, 6, 7]);
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
        let mut table = self.table();
        let names = all.iter().map(|origin| origin.name());
        table.set_header(["", "stage"].into_iter().chain(names));
        for stage in &report.stages {
            let Some(counts) = report.origins.get(&stage.name).filter(|of| !of.is_empty()) else {
                continue;
            };
            let numbers = all
                .iter()
                .map(|origin| counts.get(origin).copied().unwrap_or(0));
            let cells = [String::new(), escape(&stage.name)].into_iter();
            table.add_row(cells.chain(numbers.map(|number| number.to_string())));
        }
        self.put(&mut table, &(2..all.len() + 2).collect::<Vec<_>>());
    }

    fn losses(&mut self, report: &Report) {
        if report.losses.is_empty() {
            return;
        }
        self.title("Events");
        let mut table = self.table();
        table.set_header(["", "stage", "family", "seen", "stored", "lost"]);
        let unknown =
            |number: Option<u64>| number.map_or("?".to_owned(), |number| number.to_string());
        for stage in &report.stages {
            let Some(losses) = report.losses.get(&stage.name) else {
                continue;
            };
            for family in Family::ALL.map(family_name) {
                let Some(loss) = losses.get(family) else {
                    continue;
                };
                if loss.stored > 0 || loss.seen.is_some_and(|seen| seen > 0) {
                    table.add_row([
                        String::new(),
                        escape(&stage.name),
                        family.to_owned(),
                        unknown(loss.seen),
                        loss.stored.to_string(),
                        unknown(loss.lost),
                    ]);
                }
            }
        }
        self.put(&mut table, &[3, 4, 5]);
    }
}

fn status(status: &StageStatus) -> String {
    match status {
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
