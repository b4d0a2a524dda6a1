//! Packages that attack the watcher or its resources, when they are asked for their metadata and when they
//! are installed: each ends within its limits, the verdict is not clean, says why, and every event that
//! had left the VM is kept. Where the kernel refuses the attack, the record says so and all goes on.

use std::time::{Duration, Instant};

use pyti::cli::LimitArgs;
use pyti::order::{INSTALL, order};
use pyti_tests::{Audit, audit, audit_package, guest, package_for_install, run, text};
use serde_json::{Value, json};

/// The stage that asks a setup.py for its metadata.
const METADATA: &str = "metadata";
/// What a stage says that the kernel ended for want of memory.
const OUT_OF_MEMORY: &str = "it ran out of memory, and the kernel killed";

/// Audits a package, whose setup.py runs in this stage first.
fn audit_in(stage: &str, name: &str, args: &[&str]) -> Audit {
    let name = format!("hostile/{name}");
    if stage == INSTALL {
        let package = package_for_install(&name);
        audit(&package.path().to_string_lossy(), args)
    } else {
        audit_package(&name, args)
    }
}

/// Audits the package within a deadline. Its setup.py runs in this stage and no other, for which the
/// report names one of these reasons (several where it depends on the machine's speed which limit comes
/// first), and events were kept.
fn bounded(stage: &str, name: &str, args: &[&str], seconds: u64, causes: &[&str]) -> Audit {
    let started = Instant::now();
    let audit = audit_in(stage, name, args);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(seconds), "{name} took {took:?}");
    assert_eq!(audit.verdict(), "inconclusive", "{}", audit.everything());
    assert_eq!(audit.status, 3, "{}", audit.everything());
    let reasons = audit.report["reasons"].to_string();
    let named = |cause: &&str| reasons.contains(&format!("stage {stage}: {cause}"));
    assert!(
        causes.iter().any(named),
        "none of {causes:?}: {}",
        audit.everything()
    );
    let stages = audit.report["stages"].as_array().expect("no stages");
    let ran = stages
        .iter()
        .filter(|stage| stage["status"]["state"] != "not_started");
    let ran: Vec<&Value> = ran.map(|stage| &stage["name"]).collect();
    assert_eq!(ran, [stage], "{}", audit.everything());
    let kept = events(&audit);
    assert!(!kept.is_empty(), "no events kept: {}", audit.everything());
    audit
}

/// A stage as the report has it.
fn facts<'a>(audit: &'a Audit, stage: &str) -> &'a Value {
    let stages = audit.report["stages"].as_array().expect("no stages");
    let found = stages.iter().find(|facts| facts["name"] == stage);
    found.unwrap_or_else(|| panic!("no stage {stage}: {}", audit.everything()))
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

/// Of each behaviour two tests: where setup.py is asked for metadata, and where it is installed. The same
/// bounds are kept in both by the same code.
macro_rules! in_both_stages {
    ($($behaviour:ident: $metadata:ident, $install:ident;)*) => {$(
        #[test]
        #[ignore = "continuous integration has no time for all: cargo xtask test --images"]
        fn $metadata() {
            $behaviour(METADATA);
        }

        #[test]
        fn $install() {
            $behaviour(INSTALL);
        }
    )*};
}

in_both_stages! {
    forks_without_end: vm_hostile_forks_without_end, vm_hostile_install_forks_without_end;
    fills_disk: vm_hostile_fills_disk, vm_hostile_install_fills_disk;
    allocates_memory: vm_hostile_allocates_memory, vm_hostile_install_allocates_memory;
    kills_everything: vm_hostile_kills_everything, vm_hostile_install_kills_everything;
    prints_escapes: vm_hostile_prints_escapes, vm_hostile_install_prints_escapes;
}

fn forks_without_end(stage: &str) {
    // Time enough to come as far as setup.py beside another VM.
    let limits = ["--wall", "30", "--pids", "128"];
    let audit = bounded(stage, "forks-without-end", &limits, 240, &["it timed out"]);
    let refused = facts(&audit, stage)["pids_refused"].as_u64();
    assert!(refused > Some(0), "{}", audit.everything());
}

fn fills_disk(stage: &str) {
    // The disk is in memory, of which there is more here, so that the disk is full first.
    let limit = ["--memory", "1536"];
    let causes = ["it failed with exit status 1"];
    let audit = bounded(stage, "fills-disk", &limit, 300, &causes);
    let used = facts(&audit, stage)["disk_used"].as_u64();
    assert!(used > Some(512 << 20), "{}", audit.everything());
    let results = audit.report["results"].to_string();
    assert!(results.contains("No space left on device"), "{results}");
    // What was on record before the end is kept.
    let made = json!({"kind": "open", "path": "/home/dev/fill", "created": true});
    assert!(recorded(&events(&audit), &made), "{}", audit.everything());
}

fn allocates_memory(stage: &str) {
    let limit = ["--memory", "256"];
    let audit = bounded(stage, "allocates-memory", &limit, 300, &[OUT_OF_MEMORY]);
    let kills = facts(&audit, stage)["oom_kills"].as_u64();
    assert!(kills > Some(0), "{}", audit.everything());
}

#[test]
fn vm_hostile_sleeps() {
    let limit = ["--wall", "15"];
    bounded(METADATA, "sleeps", &limit, 120, &["it timed out"]);
}

fn kills_everything(stage: &str) {
    let causes = ["it was ended by signal 9"];
    let audit = bounded(stage, "kills-everything", &[], 120, &causes);
    // It reaches pip, and neither the agent nor the machine.
    let ended = json!({"state": "signaled", "signal": 9});
    let status = &facts(&audit, stage)["status"];
    assert_eq!(*status, ended, "{}", audit.everything());
    let sent = json!({"kind": "signal", "signal": 9, "result": 0});
    assert!(recorded(&events(&audit), &sent), "{}", audit.everything());
}

#[test]
fn vm_hostile_prints_a_gigabyte() {
    let audit = bounded(
        METADATA,
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

/// pip holds back what a setup.py prints, unless that fails: then it shows all of it.
#[test]
fn vm_hostile_install_output_is_cut_at_its_bound() {
    let limit = ["--output", "4"];
    let causes = ["it failed with exit status 1"];
    let audit = bounded(INSTALL, "prints-and-fails", &limit, 120, &causes);
    let dropped = facts(&audit, INSTALL)["stderr_dropped"].as_u64();
    let dropped = dropped.expect("no count");
    assert!(dropped >= 12 << 10, "{}", audit.everything());
    let kept = std::fs::read(audit.run().join(INSTALL).join("stderr")).expect("no output");
    let mark = format!("\n[pyti: cut here, {dropped} more bytes]\n");
    let kept = kept.strip_suffix(mark.as_bytes());
    let kept = kept.unwrap_or_else(|| panic!("the cut is not marked: {}", audit.everything()));
    assert_eq!(kept.len(), 4 << 10);
    assert!(text(kept).contains("xxxxxxxx"), "{}", text(kept));
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

fn prints_escapes(stage: &str) {
    let causes = ["it failed with exit status 1"];
    let audit = bounded(stage, "prints-escapes", &[], 120, &causes);
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

/// An ordinary user may not: each attempt is refused and on record, and the stages go on to their end.
#[test]
fn vm_hostile_crashes_kernel() {
    let attempt = "/proc/sysrq-trigger";
    let audit = audit_package("hostile/crashes-kernel", &[]);
    assert_eq!(audit.verdict(), "suspicious", "{}", audit.everything());
    assert_eq!(audit.status, 1, "{}", audit.everything());
    assert_eq!(
        audit.rules(),
        ["privilege-attempt"],
        "{}",
        audit.everything()
    );
    let kept = events(&audit);
    for stage in [METADATA, INSTALL] {
        let status = &facts(&audit, stage)["status"];
        let completed = json!({"state": "completed"});
        assert_eq!(*status, completed, "{}", audit.everything());
        let refused = json!({"stage": stage, "kind": "open", "asked": attempt, "result": -13});
        assert!(recorded(&kept, &refused), "{stage}: {kept}");
    }
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
    assert!(number("seen") > 100_000, "{losses}");
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

/// What is over the limit on events is counted, to the last one, and the install that it hides is not
/// called unremarkable.
#[test]
fn vm_hostile_install_floods_events_over_their_limit() {
    const LIMIT: u64 = 1000;
    let limit = LIMIT.to_string();
    let audit = audit_in(INSTALL, "floods-events", &["--events", &limit]);
    assert_eq!(audit.verdict(), "inconclusive", "{}", audit.everything());
    let status = &facts(&audit, INSTALL)["status"]["state"];
    assert_eq!(status, "completed", "{}", audit.everything());
    let losses = &audit.report["losses"][INSTALL];
    let sum = |name: &str| -> u64 {
        let families = losses.as_object().into_iter().flatten();
        families.filter_map(|(_, loss)| loss[name].as_u64()).sum()
    };
    assert!(sum("seen") > 100_000, "{losses}");
    assert_eq!(sum("stored"), LIMIT, "{losses}");
    assert_eq!(sum("lost"), sum("seen") - LIMIT, "{losses}");
    assert_eq!(events(&audit).lines().count() as u64, LIMIT);
}
