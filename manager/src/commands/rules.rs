//! `pyti rules`.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use pyti_analyzer::RuleSet;

use crate::cli::RulesCommand;
use crate::order;

/// Checks, tests or lists; exit status 2 where a test fails.
pub fn run(command: &RulesCommand, out: &mut impl Write) -> Result<u8> {
    let load = |dir: Option<&Path>| RuleSet::load(dir, &order::vars());
    let mut status = 0;
    match command {
        RulesCommand::Check { dir } => {
            let rules = load(dir.as_deref())?;
            writeln!(
                out,
                "{} rules, nothing wrong with them",
                rules.rules().len()
            )?;
        }
        RulesCommand::Test { dir } => {
            let summary = load(dir.as_deref())?.test()?;
            for failure in &summary.failures {
                writeln!(out, "{failure}")?;
            }
            writeln!(
                out,
                "{} rules, {} traces that must fire, {} that must not, {} failures",
                summary.rules,
                summary.fires,
                summary.quiet,
                summary.failures.len()
            )?;
            status = if summary.failures.is_empty() { 0 } else { 2 };
        }
        RulesCommand::List { dir } => {
            for rule in load(dir.as_deref())?.rules() {
                let meaning = rule.description.lines().next().unwrap_or_default();
                writeln!(
                    out,
                    "{:<10} {:<28} {meaning}",
                    rule.severity.name(),
                    rule.id
                )?;
            }
        }
    }
    out.flush()?;
    Ok(status)
}
