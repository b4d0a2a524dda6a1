//! A finding with its proof: who did it, the events, the clauses of the rule that held.

use super::grid::Grid;
use super::page::{BLUE, BOLD, DIM, Page, RED, YELLOW};
use super::{Finding, Style, time};
use crate::rules::Severity;
use crate::text::{escape, escape_within};

/// Clauses and events shown of each finding of a report.
const MAX_LINES: usize = 12;

/// One finding with all of its proof as text, under its `number` in the report.
#[must_use]
pub fn render_finding(number: usize, finding: &Finding, style: Style) -> String {
    let mut page = Page::new(style);
    page.finding(number, finding, usize::MAX);
    page.out.split_off(usize::from(page.out.starts_with('\n')))
}

impl Page {
    /// A finding of a report, with the first lines of its proof.
    pub(super) fn finding_in_short(&mut self, number: usize, finding: &Finding) {
        self.finding(number, finding, MAX_LINES);
    }

    /// A finding with so many lines of each part of its proof.
    fn finding(&mut self, number: usize, finding: &Finding, most: usize) {
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
        self.evidence(number, finding, most);
        for (number, clause) in finding.clauses.iter().take(most).enumerate() {
            if number == 0 {
                let because = self.paint(DIM, "   because");
                self.out.push('\n');
                self.line(&because);
            }
            self.paragraph(5, "", clause);
        }
        self.more(number, finding.clauses.len().saturating_sub(most));
        if finding.clauses.iter().any(|clause| clause.contains('$')) {
            let note = "($NAME is a list of the rules' shared.yaml)";
            self.painted(5, "", note, Some(DIM));
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

    fn evidence(&mut self, number: usize, finding: &Finding, most: usize) {
        let rows = finding.evidence.iter().take(most).map(|evidence| {
            let process = escape_within(&evidence.name, 24);
            vec![
                time(evidence.since_ns.unwrap_or(evidence.time_ns)),
                format!("#{}", evidence.index),
                format!("{} {process}", evidence.process.tgid),
                escape(&match &evidence.python {
                    Some(place) => format!("{}, by {place}", evidence.text),
                    None => evidence.text.clone(),
                }),
            ]
        });
        self.grid(Grid {
            indent: 4,
            rows: rows.collect(),
            right: &[0, 1],
            text: true,
            ..Grid::default()
        });
        let kept = finding.evidence.len();
        self.more(number, kept.saturating_sub(most));
        if finding.count > kept as u64 {
            let note = format!("of {}, the first {kept} events are kept", finding.count);
            self.paragraph(5, "", &note);
        }
    }

    /// How much of a finding is not shown, and how it is.
    fn more(&mut self, number: usize, lines: usize) {
        if lines > 0 {
            let text = format!("and {lines} more: pyti show RUN --finding {number}");
            self.paragraph(5, "", &text);
        }
    }
}
