//! Where the time of whole audits goes, by the program itself: `timings.json` of each run.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pyti_analyzer::Loss;
use pyti_tests::{pyti, text};
use serde_json::Value;

/// A C extension, pure Python, and one with requirements.
const TARGETS: [&str; 3] = ["simplejson==3.19.3", "docopt==0.6.2", "requests==2.32.3"];

/// Audits each of them twice, so that the second time everything is fetched, and prints the second
/// one's parts.
///
/// # Errors
/// An audit failed, or an event of one is neither stored nor counted as lost.
pub fn split() -> Result<()> {
    for target in TARGETS {
        audit(target)?;
        let timings = audit(target)?;
        let of = |name: &str| seconds(&timings[name]);
        println!(
            "audit of {target}: {:.2} s, of which judging {:.2} s",
            of("total"),
            of("analysis")
        );
        for task in timings["tasks"].as_array().into_iter().flatten() {
            let name = task[0].as_str().unwrap_or_default();
            println!("    task  {name:<12} {:7.2} s", seconds(&task[1]));
        }
        for stage in timings["stages"].as_array().into_iter().flatten() {
            let name = stage["stage"].as_str().unwrap_or_default();
            let part = |name: &str| seconds(&stage[name]);
            println!(
                "    stage {name:<12} {:7.2} s: input {:.2}, clone {:.2}, start {:.2}",
                part("stage_total"),
                part("input"),
                part("clone"),
                part("start"),
            );
        }
    }
    Ok(())
}

/// `timings.json` of a new audit in which nothing is recalled, and which accounts for every event.
fn audit(target: &str) -> Result<Value> {
    let directory = tempfile::tempdir()?;
    let run = directory.path().join("run");
    let mut command = pyti();
    command.args(["audit", "--fresh", "--progress", "none", "--out"]);
    let output = command.arg(&run).arg(target).output()?;
    let timings = std::fs::read(run.join("timings.json"));
    ensure!(timings.is_ok(), "{target}: {}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(run.join("report.json"))?)
        .context("report.json is no JSON")?;
    let losses: Losses =
        serde_json::from_value(report["losses"].clone()).context("report.json has no losses")?;
    accounts(&losses).with_context(|| target.to_owned())?;
    serde_json::from_slice(&timings?).context("timings.json is no JSON")
}

/// By stage and family.
type Losses = BTreeMap<String, BTreeMap<String, Loss>>;

/// In every stage and family each event that the probes saw is stored or counted as lost.
fn accounts(losses: &Losses) -> Result<()> {
    for (stage, families) in losses {
        for (family, loss) in families {
            ensure!(
                loss.seen.is_some() && loss.unaccounted() == 0 && loss.surplus() == 0,
                "{stage}, {family}: {loss:?}"
            );
        }
    }
    Ok(())
}

/// A duration as serde writes it; 0 where there is none.
fn seconds(value: &Value) -> f64 {
    let part = |name: &str| value[name].as_u64().unwrap_or_default();
    let nanos = u32::try_from(part("nanos")).unwrap_or_default();
    Duration::new(part("secs"), nanos).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_install(seen: Option<u64>, stored: u64, lost: Option<u64>) -> Losses {
        let loss = Loss { seen, stored, lost };
        let families = BTreeMap::from([("file".to_owned(), loss)]);
        BTreeMap::from([("install".to_owned(), families)])
    }

    #[test]
    fn what_is_neither_stored_nor_counted_as_lost_is_told() {
        assert!(accounts(&of_install(Some(5), 4, Some(1))).is_ok());
        for losses in [
            of_install(Some(5), 4, Some(0)),
            of_install(Some(5), 5, Some(1)),
            of_install(None, 5, None),
        ] {
            let error = accounts(&losses).unwrap_err().to_string();
            assert!(error.starts_with("install, file: "), "{error}");
        }
    }
}
