//! `pyti doctor`.

use std::io::Write;

use anyhow::Result;
use pyti_analyzer::report::Grid;
use pyti_vm::{Check, Outcome, Remedy, doctor};

use crate::home::Home;

/// Writes what this host has and lacks; exit status 2 where something is missing.
pub fn run(home: &Home, out: &mut impl Write) -> Result<u8> {
    let mut checks = doctor(&pyti_vm::Home::at(&home.cache)?);
    checks.push(match pyti_index::host_python() {
        Some(path) => Check {
            name: "Python",
            outcome: Outcome::Good,
            found: format!("{} (the resolver asks it for its version)", path.display()),
            remedy: None,
        },
        None => Check {
            name: "Python",
            outcome: Outcome::Missing,
            found: "no python3".to_owned(),
            remedy: Some(Remedy::Type("apt-get install python3".to_owned())),
        },
    });
    checks.push(match pyti_index::certificates() {
        Ok(()) => Check {
            name: "certificates",
            outcome: Outcome::Good,
            found: "those of authorities can be read".to_owned(),
            remedy: None,
        },
        // It says what to do.
        Err(error) => Check {
            name: "certificates",
            outcome: Outcome::Missing,
            found: error.to_string(),
            remedy: None,
        },
    });
    checks.push(match crate::machine::agent() {
        Ok(path) => Check {
            name: "agent",
            outcome: Outcome::Good,
            found: path.display().to_string(),
            remedy: None,
        },
        Err(error) => Check {
            name: "agent",
            outcome: Outcome::Missing,
            found: error.to_string(),
            remedy: Some(Remedy::Type("cargo xtask build".to_owned())),
        },
    });
    let missing = checks.iter().any(|check| check.outcome == Outcome::Missing);
    let grid = Grid {
        rows: checks.iter().flat_map(rows).collect(),
        text: true,
        ..Grid::default()
    };
    write!(out, "{}", grid.render(super::style().width))?;
    out.flush()?;
    Ok(if missing { 2 } else { 0 })
}

/// What was found, and below it what to do.
fn rows(check: &Check) -> Vec<Vec<String>> {
    let mark = match check.outcome {
        Outcome::Good => "ok",
        Outcome::Worse => "slow",
        Outcome::Missing => "MISSING",
    };
    let row = |mark: &str, name: &str, text: &str| {
        vec![
            mark.to_owned(),
            name.to_owned(),
            pyti_analyzer::escape(text),
        ]
    };
    let remedy = check.remedy.as_ref().map(|remedy| match remedy {
        Remedy::Type(command) => row("", "", &format!("type: {command}")),
        Remedy::Advice(advice) => row("", "", advice),
    });
    let found = row(mark, check.name, &check.found);
    std::iter::once(found).chain(remedy).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_command_is_to_be_typed() {
        let with = |remedy| Check {
            name: "disk space",
            outcome: Outcome::Missing,
            found: "none".to_owned(),
            remedy: Some(remedy),
        };
        let typed = rows(&with(Remedy::Type("apt-get install x".to_owned())));
        assert_eq!(typed[0], ["MISSING", "disk space", "none"]);
        assert_eq!(typed[1], ["", "", "type: apt-get install x"]);
        let told = rows(&with(Remedy::Advice("set PYTI_HOME".to_owned())));
        assert_eq!(told[1][2], "set PYTI_HOME");
    }
}
