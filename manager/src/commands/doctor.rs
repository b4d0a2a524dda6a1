//! `pyti doctor`.

use std::io::Write;

use anyhow::Result;
use pyti_vm::{Check, Outcome, doctor};

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
            remedy: Some("apt-get install python3".to_owned()),
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
            remedy: Some("cargo xtask build".to_owned()),
        },
    });
    let mut missing = false;
    for check in &checks {
        let mark = match check.outcome {
            Outcome::Good => "ok",
            Outcome::Worse => "slow",
            Outcome::Missing => "MISSING",
        };
        missing |= check.outcome == Outcome::Missing;
        writeln!(
            out,
            "{mark:<8} {:<12} {}",
            check.name,
            pyti_analyzer::escape(&check.found)
        )?;
        if let Some(remedy) = &check.remedy {
            writeln!(out, "{:<8} {:<12} type: {remedy}", "", "")?;
        }
    }
    out.flush()?;
    Ok(if missing { 2 } else { 0 })
}
