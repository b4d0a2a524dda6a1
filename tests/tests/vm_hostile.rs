//! Packages that attack the watcher or its resources: each ends within its limits, the verdict is
//! not clean, says why, and every event that had left the VM is kept.

use std::time::{Duration, Instant};

use pyti::cli::LimitArgs;
use pyti::order::order;
use pyti_tests::{Audit, audit_package, guest, run, text};
use serde_json::{Value, json};

/// What a stage says that the kernel ended for want of memory.
const OUT_OF_MEMORY: &str = "it ran out of memory, and the kernel killed";

/// Audits the package within a deadline; the report names one of these reasons (several where it depends
/// on the machine's speed which limit comes first), and events were kept.
fn bounded(name: &str, args: &[&str], seconds: u64, causes: &[&str]) -> Audit {
    let started = Instant::now();
    let audit = audit_package(&format!("hostile/{name}"), args);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(seconds), "{name} took {took:?}");
    assert_eq!(audit.verdict(), "inconclusive", "{}", audit.everything());
    assert_eq!(audit.status, 3, "{}", audit.everything());
    let reasons = audit.report["reasons"].to_string();
    assert!(
        causes.iter().any(|cause| reasons.contains(cause)),
        "none of {causes:?}: {}",
        audit.everything()
    );
    let kept = events(&audit);
    assert!(!kept.is_empty(), "no events kept: {}", audit.everything());
    audit
}

/// The stage that runs setup.py first, as the report has it.
fn metadata(audit: &Audit) -> &Value {
    let stages = audit.report["stages"].as_array().expect("no stages");
    let metadata = stages.iter().find(|stage| stage["name"] == "metadata");
    metadata.expect("no metadata stage")
}

/// What `pyti show --events` has: a line for each, as JSON.
fn events(audit: &Audit) -> String {
    let run_dir = audit.run();
    let output = run(&[
        "show",
        "--events",
        "--format",
        "json",
        &run_dir.to_string_lossy(),
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Whether one of these events has all the fields of `wanted`.
fn recorded(events: &str, wanted: &Value) -> bool {
    let wanted = wanted.as_object().expect("not an object");
    events.lines().any(|line| {
        let event: Value = serde_json::from_str(line).expect("a line is not JSON");
        wanted.iter().all(|(field, value)| event[field] == *value)
    })
}

#[test]
fn vm_hostile_forks_without_end() {
    bounded(
        "forks-without-end",
        &["--wall", "20"],
        240,
        &["it timed out"],
    );
}

#[test]
fn vm_hostile_fills_disk() {
    // The disk is in memory: which of them is full first is not said.
    let causes = [OUT_OF_MEMORY, "it failed with exit status"];
    let audit = bounded("fills-disk", &[], 300, &causes);
    let used = metadata(&audit)["disk_used"].as_u64().unwrap_or_default();
    assert!(used > 512 << 20, "{}", audit.everything());
    // What was on record before the end is kept.
    let made = json!({"kind": "open", "path": "/home/dev/fill", "created": true});
    assert!(recorded(&events(&audit), &made), "{}", audit.everything());
}

#[test]
fn vm_hostile_allocates_memory() {
    let limit = ["--memory", "256"];
    let audit = bounded("allocates-memory", &limit, 300, &[OUT_OF_MEMORY]);
    let kills = metadata(&audit)["oom_kills"].as_u64();
    assert!(kills > Some(0), "{}", audit.everything());
}

#[test]
fn vm_hostile_sleeps() {
    bounded("sleeps", &["--wall", "15"], 120, &["it timed out"]);
}

#[test]
fn vm_hostile_kills_everything() {
    let audit = bounded("kills-everything", &[], 120, &["it was ended by signal 9"]);
    // It reaches pip, and neither the agent nor the machine.
    let ended = json!({"state": "signaled", "signal": 9});
    assert_eq!(metadata(&audit)["status"], ended, "{}", audit.everything());
    let sent = json!({"kind": "signal", "signal": 9, "result": 0});
    assert!(recorded(&events(&audit), &sent), "{}", audit.everything());
}

#[test]
fn vm_hostile_prints_a_gigabyte() {
    let audit = bounded(
        "prints-a-gigabyte",
        &["--wall", "30", "--output", "64"],
        240,
        &["it timed out", OUT_OF_MEMORY],
    );
    // pip keeps it all to itself, until it has no memory any more or no time.
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

/// What pip does not hold back: a command prints more than is kept.
#[tokio::test(flavor = "multi_thread")]
async fn vm_hostile_output_is_cut_at_its_bound() {
    const PRINTED: u64 = 64 << 20;
    let limits = LimitArgs {
        output_kib: 64,
        ..guest::LIMITS
    };
    let command = format!("head -c {PRINTED} /dev/zero | tr '\\0' x");
    let argv = ["/bin/sh", "-c", &command].map(str::to_owned).to_vec();
    let mut spec = order("prints", argv, &limits).expect("no order");
    spec.slots.clear();
    let bound = spec.output_bytes;
    let ran = guest::run(&spec).await.expect("it did not end by itself");
    let dropped = PRINTED - bound;
    assert_eq!(ran.facts.stdout_dropped, dropped, "{:?}", ran.facts);
    let mark = format!("\n[pyti: cut here, {dropped} more bytes]\n");
    let kept = ran.said.strip_suffix(&mark).expect("the cut is not marked");
    assert_eq!(kept.len() as u64, bound);
    assert!(kept.bytes().all(|byte| byte == b'x'));
}

#[test]
fn vm_hostile_prints_escapes() {
    let audit = bounded(
        "prints-escapes",
        &[],
        120,
        &["it failed with exit status 1"],
    );
    let path = audit.run().to_string_lossy().into_owned();
    let show = |options: &[&str]| {
        let mut args = vec!["show", path.as_str()];
        args.extend(options);
        text(&run(&args).stdout)
    };
    for options in [
        &["--tree"][..],
        &["--events"],
        &["--output"],
        &["--output", "--format", "json"],
        &[],
    ] {
        let shown = show(options);
        assert!(!shown.is_empty());
        let bad = shown
            .chars()
            .find(|c| (c.is_control() && *c != '\n') || ('\u{202a}'..='\u{202e}').contains(c));
        assert_eq!(bad, None, "{shown}");
    }
    // It came as far as that, as pip shows what a setup.py said that failed.
    let shown = show(&["--output"]);
    for told in ["\\u{1b}[2J", "\\u{202e}gpj.exe"] {
        assert!(shown.contains(told), "no {told}: {shown}");
    }
}

#[test]
fn vm_hostile_crashes_kernel() {
    // An ordinary user may not: the install goes on, and the attempt is on record.
    let audit = audit_package("hostile/crashes-kernel", &[]);
    assert_ne!(audit.verdict(), "none", "{}", audit.everything());
    let events = events(&audit);
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
    // What came first had room.
    let first = json!({"kind": "open", "asked": "/tmp/missing-0"});
    assert!(recorded(&events(&audit), &first), "{losses}");
}
