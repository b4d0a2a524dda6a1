//! Where the time of whole audits goes, by the program itself: `timings.json` of each run.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pyti_tests::{pyti, text};
use serde_json::Value;

/// A C extension, pure Python, and one with requirements.
const TARGETS: [&str; 3] = ["simplejson==3.19.3", "docopt==0.6.2", "requests==2.32.3"];

/// Audits each of them twice, so that the second time everything is fetched, and prints the second
/// one's parts.
///
/// # Errors
/// An audit failed.
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

/// `timings.json` of a new audit in which nothing is recalled.
fn audit(target: &str) -> Result<Value> {
    let directory = tempfile::tempdir()?;
    let run = directory.path().join("run");
    let mut command = pyti();
    command.args(["audit", "--fresh", "--progress", "none", "--out"]);
    let output = command.arg(&run).arg(target).output()?;
    let timings = std::fs::read(run.join("timings.json"));
    ensure!(timings.is_ok(), "{target}: {}", text(&output.stderr));
    serde_json::from_slice(&timings?).context("timings.json is no JSON")
}

/// A duration as serde writes it; 0 where there is none.
fn seconds(value: &Value) -> f64 {
    let part = |name: &str| value[name].as_u64().unwrap_or_default();
    let nanos = u32::try_from(part("nanos")).unwrap_or_default();
    Duration::new(part("secs"), nanos).as_secs_f64()
}
