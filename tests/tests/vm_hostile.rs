//! Packages that attack the watcher or its resources: each ends within its limits, the verdict is
//! not clean, says why, and every event that had left the VM is kept.

use std::time::{Duration, Instant};

use pyti_tests::{Audit, audit_package, run, text};
use serde_json::Value;

/// Audits the package within a deadline; the report names `reason` (one of several where
/// it depends on the machine's speed which limit comes first), and events were kept.
fn bounded(name: &str, args: &[&str], seconds: u64, reason: &str) -> Audit {
    let started = Instant::now();
    let audit = audit_package(&format!("hostile/{name}"), args);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(seconds), "{name} took {took:?}");
    assert_eq!(audit.verdict(), "inconclusive", "{}", audit.everything());
    assert_eq!(audit.status, 3, "{}", audit.everything());
    let reasons = audit.report["reasons"].to_string();
    assert!(
        reason.split('|').any(|reason| reasons.contains(reason)),
        "no `{reason}`: {}",
        audit.everything()
    );
    assert!(events(&audit) > 0, "no events kept: {}", audit.everything());
    audit
}

/// How many events `pyti show --events` has.
fn events(audit: &Audit) -> usize {
    let run_dir = audit.run();
    let output = run(&[
        "show",
        "--events",
        "--format",
        "json",
        &run_dir.to_string_lossy(),
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().count()
}

#[test]
fn vm_hostile_forks_without_end() {
    bounded("forks-without-end", &["--wall", "20"], 240, "timed out");
}

#[test]
fn vm_hostile_fills_disk() {
    bounded(
        "fills-disk",
        &[],
        300,
        "ran out of memory|failed with exit status",
    );
}

#[test]
fn vm_hostile_allocates_memory() {
    bounded("allocates-memory", &["--memory", "256"], 300, "memory");
}

#[test]
fn vm_hostile_sleeps() {
    bounded("sleeps", &["--wall", "15"], 120, "timed out");
}

#[test]
fn vm_hostile_kills_everything() {
    bounded("kills-everything", &[], 120, "signal");
}

#[test]
fn vm_hostile_prints_a_gigabyte() {
    let audit = bounded(
        "prints-a-gigabyte",
        &["--wall", "30", "--output", "64"],
        240,
        "timed out|ran out of memory",
    );
    for entry in std::fs::read_dir(audit.run()).expect("no run directory") {
        let stage = entry.expect("unreadable run directory").path();
        for output in ["stdout", "stderr"] {
            let Ok(metadata) = stage.join(output).metadata() else {
                continue;
            };
            // What was cut is marked in a line at the end.
            assert!(
                metadata.len() < 66 * 1024,
                "{}: {}",
                stage.display(),
                metadata.len()
            );
        }
    }
}

#[test]
fn vm_hostile_prints_escapes() {
    let audit = bounded("prints-escapes", &[], 120, "exit");
    let run_dir = audit.run();
    for args in [
        vec!["show"],
        vec!["show", "--tree"],
        vec!["show", "--events"],
    ] {
        let mut args = args;
        let path = run_dir.to_string_lossy().into_owned();
        args.push(&path);
        let shown = text(&run(&args).stdout);
        assert!(!shown.is_empty());
        let bad = shown
            .chars()
            .find(|c| (c.is_control() && *c != '\n') || ('\u{202a}'..='\u{202e}').contains(c));
        assert_eq!(bad, None, "{shown}");
    }
}

#[test]
fn vm_hostile_crashes_kernel() {
    // An ordinary user may not: the install goes on, and the attempt is on record.
    let audit = audit_package("hostile/crashes-kernel", &[]);
    assert_ne!(audit.verdict(), "none", "{}", audit.everything());
    let run_dir = audit.run();
    let output = run(&[
        "show",
        "--events",
        "--format",
        "json",
        &run_dir.to_string_lossy(),
    ]);
    let events = text(&output.stdout);
    let attempt = events
        .lines()
        .find(|line| line.contains("sysrq-trigger") && line.contains("\"result\":-13"));
    assert!(attempt.is_some(), "{}", audit.everything());
}

#[test]
fn vm_hostile_floods_events() {
    let audit = audit_package("hostile/floods-events", &[]);
    let losses = &audit.report["losses"]["metadata"]["file"];
    let number = |name: &str| {
        losses[name]
            .as_u64()
            .unwrap_or_else(|| panic!("no {name}: {losses}"))
    };
    assert!(number("seen") > 200_000, "{losses}");
    // What the probes could not hand over they counted by themselves; no event is missing besides.
    let record = std::fs::read_to_string(audit.run().join("run.json")).expect("no record");
    let record: Value = serde_json::from_str(&record).expect("the record is not JSON");
    let stages = record["facts"]["stages"].as_array().expect("no stages");
    let stage = stages.iter().find(|stage| stage["name"] == "metadata");
    let counted = &stage.expect("no stage")["counters"]["families"][0];
    let counted = |name: &str| counted[name].as_u64().expect("no counter");
    assert_eq!(
        number("lost"),
        counted("full") + counted("oversize"),
        "{losses}"
    );
    assert_eq!(
        number("seen"),
        number("stored") + number("lost"),
        "{losses}"
    );
    if number("lost") > 0 {
        assert_eq!(audit.verdict(), "inconclusive", "{}", audit.everything());
    }
    assert!(events(&audit) > 0);
}
