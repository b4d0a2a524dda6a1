//! Where the time of whole audits goes: `timings.json` of each run, which is the program's own word, and
//! what the program takes beside it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pyti_analyzer::Loss;
use pyti_tests::{pyti, text};
use serde_json::Value;

use crate::median;

/// A C extension, pure Python, and one with requirements.
const TARGETS: [&str; 3] = ["simplejson==3.19.3", "docopt==0.6.2", "requests==2.32.3"];

/// Seconds of an audit by its parts, in the order in which they are shown.
type Split = Vec<(String, f64)>;

/// Audits each of them once, with what is not fetched yet, then `repeat` times, when everything is.
///
/// # Errors
/// An audit failed, or an event of one is neither stored nor counted as lost.
pub fn split(repeat: usize) -> Result<()> {
    for target in TARGETS {
        let first = audit(target)?;
        let later: Vec<Split> = (0..repeat.max(1))
            .map(|_| audit(target))
            .collect::<Result<_>>()?;
        println!(
            "audit of {target}: the first, which fetches what is missing, and the median of {} more",
            later.len()
        );
        for (part, seconds) in &first {
            let mut times: Vec<f64> = later.iter().filter_map(|split| of(split, part)).collect();
            println!(
                "    {part:<24} {seconds:7.2} s {:7.2} s",
                median(&mut times)
            );
        }
    }
    Ok(())
}

fn of(split: &[(String, f64)], part: &str) -> Option<f64> {
    let found = split.iter().find(|(name, _)| name == part);
    found.map(|(_, seconds)| *seconds)
}

/// The parts of a new audit in which nothing is recalled, and which accounts for every event.
fn audit(target: &str) -> Result<Split> {
    let directory = tempfile::tempdir()?;
    let run = directory.path().join("run");
    let mut command = pyti();
    command.args(["audit", "--fresh", "--progress", "none", "--out"]);
    command.arg(&run).arg(target);
    let began = Instant::now();
    let output = command.output()?;
    let whole = began.elapsed();
    let timings = std::fs::read(run.join("timings.json"));
    ensure!(timings.is_ok(), "{target}: {}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(run.join("report.json"))?)
        .context("report.json is no JSON")?;
    let losses: Losses =
        serde_json::from_value(report["losses"].clone()).context("report.json has no losses")?;
    accounts(&losses).with_context(|| target.to_owned())?;
    let timings: Value = serde_json::from_slice(&timings?).context("timings.json is no JSON")?;
    Ok(parts(whole, &timings))
}

/// The parts of an audit by a program that took so long as a whole. Tasks that run at the same time
/// overlap, and those of stages hold the stage's own parts.
fn parts(whole: Duration, timings: &Value) -> Split {
    let whole = whole.as_secs_f64();
    let list = |name: &str| timings[name].as_array().into_iter().flatten();
    let mut parts = vec![("whole".to_owned(), whole)];
    for task in list("tasks") {
        let name = task[0].as_str().unwrap_or_default();
        parts.push((format!("task {name}"), seconds(&task[1])));
    }
    for stage in list("stages") {
        let name = stage["stage"].as_str().unwrap_or_default();
        for part in ["input", "clone", "start"] {
            parts.push((format!("stage {name}, {part}"), seconds(&stage[part])));
        }
        parts.push((format!("stage {name}"), seconds(&stage["stage_total"])));
    }
    parts.push(("judging".to_owned(), seconds(&timings["analysis"])));
    // The total is taken before the report is written and printed, and before the store is swept.
    let rest = whole - seconds(&timings["total"]);
    parts.push(("report and start-up".to_owned(), rest));
    parts
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
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_program_does_not_time_itself_is_the_rest_of_its_whole_time() {
        let time = |millis: u64| json!({"secs": millis / 1000, "nanos": millis % 1000 * 1_000_000});
        let timings = json!({
            "tasks": [["fetch", time(500)], ["install", time(6250)]],
            "stages": [{
                "stage": "install",
                "input": time(250),
                "clone": time(125),
                "start": null,
                "stage_total": time(5750),
            }],
            "analysis": time(1500),
            "total": time(8500),
        });
        let parts = parts(Duration::from_millis(8750), &timings);
        let parts: Vec<(&str, f64)> = parts
            .iter()
            .map(|(name, seconds)| (name.as_str(), *seconds))
            .collect();
        let expected = [
            ("whole", 8.75),
            ("task fetch", 0.5),
            ("task install", 6.25),
            ("stage install, input", 0.25),
            ("stage install, clone", 0.125),
            ("stage install, start", 0.0),
            ("stage install", 5.75),
            ("judging", 1.5),
            ("report and start-up", 0.25),
        ];
        assert_eq!(parts, expected);
    }

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
