//! The stages beyond the installation, on one package that has a bit of everything; each gives its
//! datum, and a second audit runs nothing.

use std::collections::BTreeMap;
use std::path::Path;

use pyti_tests::{Audit, audit_package, package, pyti, text};
use serde_json::Value;

const STAGES: [&str; 6] = ["startup", "import", "scripts", "build", "test", "coverage"];

fn outcome(audit: &Audit, task: &str) -> (String, String) {
    let results = audit.report["results"].as_array().expect("no results");
    let found = results.iter().find(|result| result["task"] == task);
    let found = found.unwrap_or_else(|| panic!("no {task}: {}", audit.everything()));
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    (text("outcome"), text("summary"))
}

#[test]
fn vm_stages_give_their_data_and_are_remembered() {
    let arguments: Vec<&str> = STAGES.iter().flat_map(|stage| ["--stage", stage]).collect();
    let home = tempfile::tempdir().expect("failed to make a directory");
    let audit = audit_package("stages/whole", &arguments);
    assert_eq!(audit.verdict(), "unremarkable", "{}", audit.everything());
    let run = audit.run();

    // As its setup.py told them, which is written nowhere else.
    let described = audit.datum("metadata");
    assert_eq!(
        described["entry_points"],
        serde_json::json!({"console_scripts": {"whole-hello": "whole:hello"}}),
        "{described:#}"
    );

    let installed = audit.datum("install");
    let distribution = &installed["distributions"][0];
    assert_eq!(distribution["name"], "pyti_fixture_whole");
    assert_eq!(
        distribution["extensions"],
        serde_json::json!(["whole._fast"])
    );
    assert_eq!(distribution["scripts"], serde_json::json!(["whole-hello"]));
    assert_eq!(installed["unrecorded"], serde_json::json!([]));
    assert_eq!(
        installed["removed"],
        serde_json::json!(["/home/dev/Downloads"])
    );

    let imported = audit.datum("import");
    let modules: Vec<(&str, bool)> = imported
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|module| Some((module["module"].as_str()?, module["success"].as_bool()?)))
        .collect();
    assert_eq!(
        modules,
        [
            ("spread.part", true),
            ("whole", true),
            ("whole_broken", false),
            ("whole._fast", true)
        ]
    );
    assert_eq!(
        imported[2]["error"], "RuntimeError: broken as it says",
        "{imported:#}"
    );
    let pulled = imported[1]["pulled_in"].as_array().expect("no list");
    assert!(pulled.contains(&Value::from("whole._fast")), "{imported:#}");
    assert!(imported[1]["seconds"].as_f64() > Some(0.0), "{imported:#}");

    // A bare start of it opens what is there to be looked at, and does nothing else.
    let started = audit.datum("startup");
    assert_eq!(started["changed"], serde_json::json!([]), "{started:#}");
    assert_eq!(started["executed"], serde_json::json!([]), "{started:#}");
    assert_eq!(started["connected"], serde_json::json!([]), "{started:#}");

    let calls = audit.datum("scripts");
    let exits: Vec<(Option<&str>, Option<i64>)> = calls
        .as_array()
        .into_iter()
        .flatten()
        .map(|call| (call["name"].as_str(), call["exit"].as_i64()))
        .collect();
    assert_eq!(
        exits,
        [
            (Some("whole-hello --help"), Some(0)),
            (Some("whole-hello"), Some(3))
        ]
    );
    assert_eq!(calls[0]["stdout"], "usage: whole-hello\n");
    assert_eq!(calls[1]["stdout"], "hello 42\n");

    let built = audit.datum("build");
    assert_eq!(built["reproducible"], true, "{}", built["builds"]);
    let sources: Vec<&Value> = built["compilation_database"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| &entry["file"])
        .collect();
    assert_eq!(sources, ["whole/_fast.c", "whole/_gone.c"]);
    let database = std::fs::read(run.join("build/compile_commands.json")).expect("no database");
    let database: Value = serde_json::from_slice(&database).expect("no JSON");
    assert_eq!(database, built["compilation_database"]);
    for part in ["directory", "arguments", "output"] {
        assert!(!database[0][part].is_null(), "{part}: {database:#}");
    }
    let driver = built["calls"].as_array().into_iter().flatten();
    let mut driver = driver.filter(|call| call["role"] == "compiler");
    let driver = driver.next().expect("no compiler");
    assert_eq!(driver["sources"], serde_json::json!(["whole/_fast.c"]));
    assert!(driver["seconds"].as_f64() > Some(0.0), "{driver:#}");
    let words = driver["arguments"].as_array().expect("no arguments");
    assert!(words.contains(&Value::from("-c")), "{driver:#}");
    let failed: Vec<(Option<&str>, Option<u64>)> = built["failed"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|part| (part["part"].as_str(), part["build"].as_u64()))
        .collect();
    let part = Some("whole/_gone.c");
    assert_eq!(failed, [(part, Some(1)), (part, Some(2))], "{built:#}");
    let reason = built["failed"][0]["reason"].as_str();
    assert!(
        reason.is_some_and(|reason| reason.contains("no such machine")),
        "{built:#}"
    );
    // A call has what was said of its source in its build; the second build is not counted again.
    let of_build = |number: u64| {
        let calls = built["calls"].as_array().into_iter().flatten();
        calls.filter(move |call| call["build"] == number)
    };
    for number in [1, 2] {
        let said = of_build(number).filter_map(|call| call["diagnostics"].as_array());
        let said = said.flatten().filter(|said| said["build"] == number);
        let warned = said.filter(|said| said["option"] == "unused-variable");
        assert_eq!(warned.count(), 1, "{number}: {built:#}");
    }
    let said = &driver["diagnostics"][0];
    assert_eq!(said["option"], "unused-variable", "{driver:#}");
    let compilers = of_build(1).filter(|call| call["role"] == "compiler");
    let counted = format!("; {} compiler calls, 1 warning;", compilers.count());
    let summary = outcome(&audit, "build").1;
    assert!(summary.contains(&counted), "{summary}: {counted}");
    for role in ["compiler", "translator", "assembler", "linker"] {
        let calls = built["calls"].as_array().into_iter().flatten();
        let ended = calls.filter(|call| call["role"] == role && call["exit"] == 0);
        assert!(ended.count() >= 2, "{role}: {}", built["calls"]);
    }

    // Why it was chosen is told without the stage that runs it.
    let why = "tests/test_whole.py has `import unittest`";
    let detected = ("done".to_owned(), format!("unittest: {why}"));
    assert_eq!(outcome(&audit, "detect"), detected);
    assert_eq!(audit.datum("detect")["reason"], why);
    let tests = audit.datum("test");
    assert_eq!(tests["framework"], "unittest");
    let counts = serde_json::json!({"passed": 1, "failed": 1, "errors": 1, "skipped": 1});
    assert_eq!(tests["counts"], counts, "{tests:#}");
    assert_eq!(tests["wanted_service"], 1);

    let covered = audit.datum("coverage");
    let percent = covered["files"]["whole/__init__.py"]
        .as_f64()
        .expect("not measured");
    assert!((10.0..90.0).contains(&percent), "{covered:#}");
    let percent = covered["package"].as_f64().expect("not measured");
    assert!((10.0..90.0).contains(&percent), "{covered:#}");
    let kept = |name: &str| std::fs::read(run.join("coverage").join(name)).expect("not kept");
    assert!(text(&kept("coverage.xml")).contains("line-rate="));
    assert!(kept("coverage.data").starts_with(b"SQLite format 3\0"));

    // What was done is not done again: nothing is started, so that it takes next to no time.
    let again = pyti()
        .args(["audit", "--format", "json", "--out"])
        .arg(home.path().join("again"))
        .args(&arguments)
        .arg(package("stages/whole"))
        .output()
        .expect("failed to start pyti");
    let report: Value = serde_json::from_slice(&again.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&again.stderr)));
    let notes = report["notes"].to_string();
    for stage in STAGES.iter().chain(&["metadata", "install"]) {
        assert!(
            notes.contains(&format!("stage {stage} was run before")),
            "{stage}: {notes}"
        );
    }
    assert_eq!(report["results"], audit.report["results"]);
    assert_eq!(report["losses"], audit.report["losses"]);
    let recalled = remembered(&home.path().join("again"));
    for stage in STAGES.iter().chain(&["install"]) {
        assert!(recalled[*stage], "{stage}: {recalled:?}");
    }

    // Unless it is asked for, which gives the same.
    let fresh = audit_package("stages/whole", &["--stage", "startup"]);
    let notes = fresh.report["notes"].to_string();
    assert!(!notes.contains("was run before"), "{notes}");
    let recalled = remembered(&fresh.run());
    for stage in ["install", "startup"] {
        assert!(!recalled[stage], "{stage}: {recalled:?}");
        assert_eq!(outcome(&fresh, stage).0, "done");
    }
    assert_eq!(outcome(&fresh, "install"), outcome(&audit, "install"));
    for list in ["changed", "executed", "connected"] {
        assert_eq!(fresh.datum("startup")[list], started[list]);
    }
    assert_eq!(fresh.verdict(), audit.verdict());
}

/// Whether each task that was done was remembered from an earlier run.
fn remembered(run: &Path) -> BTreeMap<String, bool> {
    let record = std::fs::read(run.join("run.json")).expect("no record");
    let record: Value = serde_json::from_slice(&record).expect("no JSON");
    let tasks = record["tasks"].as_array().expect("no tasks").iter();
    tasks
        .filter_map(|end| {
            Some((
                end["task"].as_str()?.to_owned(),
                end["remembered"].as_bool()?,
            ))
        })
        .collect()
}

/// Seconds after the start of the audit at which a task started and ended, as its log tells.
fn ran_from_to(audit: &Audit, task: &str) -> (f64, f64) {
    let at = |what: &str| {
        let what = format!("{task} {what}");
        let line = audit.stderr.lines().find_map(|line| {
            let (at, told) = line.trim_start().split_once(' ')?;
            told.starts_with(&what).then(|| at.parse::<f64>())
        });
        let line = line.unwrap_or_else(|| panic!("no {what:?}: {}", audit.everything()));
        line.expect("no time")
    };
    (at("starts"), at("done after"))
}

/// Needs a host with memory for two machines.
#[test]
fn vm_stages_at_the_same_time_do_not_see_each_other_and_suites_have_what_they_ask_for() {
    let arguments = ["--vms", "2", "--progress", "log"];
    let stages = ["--stage", "import", "--stage", "test"];
    let audit = audit_package("stages/apart", &[arguments, stages].concat());
    assert_eq!(audit.verdict(), "unremarkable", "{}", audit.everything());

    let imported = audit.datum("import");
    assert_eq!(imported[0]["module"], "apart", "{imported:#}");
    assert_eq!(imported[0]["success"], true, "{imported:#}");
    // The machines themselves are there after a second or two.
    let (import, test) = (ran_from_to(&audit, "import"), ran_from_to(&audit, "test"));
    let together = import.1.min(test.1) - import.0.max(test.0);
    assert!(together > 4.0, "import {import:?}, test {test:?}");

    // What was installed for the suite is no part of the installation.
    let installed = audit.datum("install");
    let installed = installed["distributions"].as_array().expect("no list");
    let names: Vec<&Value> = installed.iter().map(|found| &found["name"]).collect();
    assert_eq!(names, ["pyti_fixture_apart"]);
    let tests = audit.datum("test");
    assert_eq!(tests["framework"], "pytest", "{tests:#}");
    assert_eq!(tests["reason"], "noxfile.py tests runs `pytest suite`");
    assert_eq!(tests["missing"], serde_json::json!([]));
    let results = tests["results"].as_array().expect("no results").iter();
    let ended: BTreeMap<&str, &str> = results
        .filter_map(|result| Some((result["name"].as_str()?, result["status"].as_str()?)))
        .collect();
    let passed = [
        "test_an_extra_of_its_own_is_there",
        "test_groups_that_it_includes_are_there",
        "test_nothing_of_the_import_is_here",
    ];
    let passed = BTreeMap::from(passed.map(|name| (name, "passed")));
    assert_eq!(ended, passed, "{tests:#}");
}

#[test]
fn vm_stages_of_an_old_package_have_what_its_setup_py_asks_for() {
    let audit = audit_package("old/setup-requires", &[]);
    assert_eq!(audit.verdict(), "unremarkable", "{}", audit.everything());
    assert_eq!(outcome(&audit, "install").0, "done");
    let notes = audit.report["notes"].to_string();
    let note = "with six>=1.10, which its setup_requires names";
    assert!(notes.contains(note), "{notes}");
    // It was there to build with, and is not installed.
    let installed = audit.datum("install");
    let installed = installed["distributions"].as_array().expect("no list");
    let names: Vec<&Value> = installed.iter().map(|found| &found["name"]).collect();
    assert_eq!(names, ["pyti_fixture_setup_requires"]);
}

/// What a build asks for only when it runs cannot be had then; the report says how it can.
#[test]
fn vm_stages_have_what_the_user_says_that_the_build_asks_for() {
    let package = "old/setup-requires-computed";
    let audit = audit_package(package, &[]);
    assert_eq!(audit.verdict(), "inconclusive", "{}", audit.everything());
    let reasons = audit.report["reasons"].to_string();
    let remedy = "; --build-requires 'six>=1.10' fetches it beforehand";
    assert!(reasons.contains(remedy), "{reasons}");
    let audit = audit_package(package, &["--build-requires", "six>=1.10"]);
    assert_eq!(audit.verdict(), "unremarkable", "{}", audit.everything());
    assert_eq!(outcome(&audit, "install").0, "done");
    let notes = audit.report["notes"].to_string();
    assert!(notes.contains("with six>=1.10, as was asked"), "{notes}");
}

#[test]
fn vm_stages_after_a_failed_install_are_skipped_with_the_chain() {
    let stages = ["import", "build", "quality-pyflakes", "quality-twine"];
    let stages: Vec<&str> = stages.iter().flat_map(|stage| ["--stage", stage]).collect();
    let audit = audit_package("stages/build-fails", &stages);
    assert_eq!(audit.verdict(), "inconclusive", "{}", audit.everything());
    let (outcome_of_install, why) = outcome(&audit, "install");
    assert_eq!(outcome_of_install, "failed");
    assert!(why.starts_with("exit status 1"), "{why}");
    let (outcome_of_import, why) = outcome(&audit, "import");
    assert_eq!(outcome_of_import, "skipped");
    assert_eq!(why, "install failed");
    // A build without a wheel gives its datum all the same: which native part failed, and why.
    let (outcome_of_build, why) = outcome(&audit, "build");
    assert_eq!(outcome_of_build, "done", "{why}");
    assert!(why.starts_with("exit status 1, no wheel; "), "{why}");
    let told = "; native parts that failed: 1 (a.c: #error \"no such instruction\")";
    assert!(why.ends_with(told), "{why}");
    let built = audit.datum("build");
    let failed = &built["failed"][0];
    assert_eq!(failed["part"], "a.c", "{built:#}");
    assert_eq!(failed["exit"], 1, "{built:#}");
    assert_eq!(failed["diagnostics"][0]["line"], 2, "{built:#}");
    let at = failed["call"].as_u64().expect("no call") as usize;
    let call = &built["calls"][at];
    assert_eq!(call["role"], "compiler", "{built:#}");
    assert_eq!(call["diagnostics"], failed["diagnostics"], "{built:#}");
    // What looks only at its files does not wait for it.
    let (checked, why) = outcome(&audit, "quality-pyflakes");
    assert_eq!(checked, "done", "{why}");
    // A directory is not what is uploaded.
    let (checked, why) = outcome(&audit, "quality-twine");
    assert_eq!(checked, "not applicable", "{why}");
    assert!(why.contains("without PKG-INFO"), "{why}");
    // The cause itself is told once, whatever it keeps from starting.
    let told = audit.report["reasons"].to_string();
    assert!(
        told.contains("stage import: it was not started: install failed: exit status 1"),
        "{told}"
    );
}
