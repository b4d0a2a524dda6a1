//! `pyti rules`.

use std::io::Write;
use std::path::Path;

use anyhow::{Result, bail};
use pyti_analyzer::report::Grid;
use pyti_analyzer::rules::Source;
use pyti_analyzer::{RuleSet, Vars, amount, strace};

use super::style;
use crate::cli::RulesCommand;
use crate::{order, stage, tasks};

/// Checks, tests or lists; exit status 2 where a test fails.
pub fn run(command: &RulesCommand, out: &mut impl Write) -> Result<u8> {
    let load = |dir: Option<&Path>| load(dir, &order::vars());
    let mut status = 0;
    match command {
        RulesCommand::Check { dir } => {
            let rules = load(dir.as_deref())?;
            let (count, them) = match rules.rules().len() {
                1 => ("1 rule".to_owned(), "it"),
                count => (format!("{count} rules"), "them"),
            };
            writeln!(out, "{count}, nothing wrong with {them}")?;
        }
        RulesCommand::Test { dir } => {
            let summary = load(dir.as_deref())?.test()?;
            for failure in &summary.failures {
                writeln!(out, "{failure}")?;
            }
            writeln!(
                out,
                "{}, {} that must fire, {} that must not, {}",
                amount(summary.rules as u64, "rule", "rules"),
                amount(summary.fires as u64, "trace", "traces"),
                summary.quiet,
                amount(summary.failures.len() as u64, "failure", "failures")
            )?;
            status = if summary.failures.is_empty() { 0 } else { 2 };
        }
        RulesCommand::List { dir } => {
            let rules = load(dir.as_deref())?;
            let rows = rules.rules().iter().map(|rule| {
                let meaning = rule.description.lines().next().unwrap_or_default();
                vec![
                    rule.severity.name().to_owned(),
                    rule.id.clone(),
                    pyti_analyzer::escape(meaning),
                ]
            });
            let grid = Grid {
                rows: rows.collect(),
                text: true,
                ..Grid::default()
            };
            write!(out, "{}", grid.render(style().width))?;
        }
    }
    out.flush()?;
    Ok(status)
}

/// The rules of a directory, that of one file with what stands beside it for it, or the built-in ones.
///
/// # Errors
/// There is no such place, or something is wrong with its rules, such as the name of a stage.
pub(super) fn load(path: Option<&Path>, vars: &Vars) -> Result<RuleSet> {
    let rules = read(path, vars)?;
    rules.check_stages(&stage_kinds())?;
    Ok(rules)
}

/// What rules may be for: every stage, those that ask build back ends for metadata, and a trace that was
/// made elsewhere.
fn stage_kinds() -> Vec<&'static str> {
    let mut kinds: Vec<_> = stage::all().iter().map(|stage| stage.name()).collect();
    kinds.extend([tasks::METADATA, strace::STAGE]);
    kinds
}

fn read(path: Option<&Path>, vars: &Vars) -> Result<RuleSet> {
    let Some(path) = path else {
        return Ok(RuleSet::load(None, vars)?);
    };
    if path.is_dir() {
        return Ok(RuleSet::load(Some(path), vars)?);
    }
    if !path.is_file() {
        bail!(
            "no rules at {}: give a directory of rule files, or one of them",
            path.display()
        );
    }
    let is_rule = path
        .extension()
        .is_some_and(|extension| extension == "yaml");
    let (Some(stem), true) = (path.file_stem(), is_rule) else {
        bail!(
            "{} is no rule file: its name is that of its rule, ID.yaml",
            path.display()
        );
    };
    let beside = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut source = Source::directory(beside)?;
    source.files.retain(|(other, _)| {
        let other = Path::new(other);
        let name = other.file_name().unwrap_or_default();
        let inside = other.parent().and_then(Path::file_name) == Some(stem);
        let traces = inside && other.parent().and_then(Path::parent) == Some(beside);
        let here = other.parent() == Some(beside);
        let shared = name.to_string_lossy().starts_with("shared");
        traces || here && (shared || Some(name) == path.file_name())
    });
    Ok(RuleSet::from_source(&source, vars)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rule_is_taken_with_its_traces_and_what_is_shared() {
        let path = Path::new("../rules/reverse-shell.yaml");
        let rules = load(Some(path), &Vars::default()).unwrap();
        let names: Vec<&str> = rules.rules().iter().map(|rule| rule.id.as_str()).collect();
        assert_eq!(names, ["reverse-shell"]);
        let summary = rules.test().unwrap();
        assert!(summary.fires > 0 && summary.failures.is_empty());
    }

    #[test]
    fn rules_are_for_stages_that_there_are() {
        load(None, &Vars::default()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("r.yaml");
        let loaded = |stages: &str| {
            let rule = format!(
                "id: r\nsummary: s\nseverity: low\nconfidence: low\nattack: T1059\ndescription: d\n\
                 stages: {stages}\nmatch: {{kind: open}}\n"
            );
            std::fs::write(&path, rule).unwrap();
            load(Some(&path), &Vars::default()).map_err(|error| error.to_string())
        };
        assert!(loaded("[metadata, install, quality-pylint, trace]").is_ok());
        let refused = loaded("[import, instal]").unwrap_err();
        let expected = format!(
            "{}:7:18: no stage is called `instal` (did you mean `install`?)",
            path.display()
        );
        assert_eq!(refused, expected);
    }

    #[test]
    fn what_is_no_place_of_rules_gets_one_sentence() {
        let refused = |path: &str| {
            let loaded = load(Some(Path::new(path)), &Vars::default());
            loaded.unwrap_err().to_string()
        };
        assert_eq!(
            refused("/no/such"),
            "no rules at /no/such: give a directory of rule files, or one of them"
        );
        let other = refused("Cargo.toml");
        assert!(other.starts_with("Cargo.toml is no rule file"), "{other}");
    }
}
