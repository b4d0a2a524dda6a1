//! The stages beyond the installation, on one package that has a bit of everything; each gives its
//! datum, and a second audit runs nothing.

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
    assert_eq!(
        built["diagnostics"][0]["option"], "unused-variable",
        "{}",
        built["diagnostics"]
    );
    for role in ["compiler", "translator", "assembler", "linker"] {
        let calls = built["calls"].as_array().into_iter().flatten();
        let ended = calls.filter(|call| call["role"] == role && call["exit"] == 0);
        assert!(ended.count() >= 2, "{role}: {}", built["calls"]);
    }

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
}

#[test]
fn vm_stages_after_a_failed_install_are_skipped_with_the_chain() {
    let stages = ["--stage", "import", "--stage", "quality-pyflakes"];
    let audit = audit_package("stages/install-fails", &stages);
    assert_eq!(audit.verdict(), "inconclusive", "{}", audit.everything());
    let (outcome_of_install, why) = outcome(&audit, "install");
    assert_eq!(outcome_of_install, "failed");
    assert!(why.starts_with("exit status 1"), "{why}");
    let (outcome_of_import, why) = outcome(&audit, "import");
    assert_eq!(outcome_of_import, "skipped");
    assert_eq!(why, "install failed");
    // What looks only at its files does not wait for it.
    let (checked, why) = outcome(&audit, "quality-pyflakes");
    assert_eq!(checked, "done", "{why}");
    // The cause itself is told once, whatever it keeps from starting.
    let told = audit.report["reasons"].to_string();
    assert!(
        told.contains("stage import: it was not started: install failed: exit status 1"),
        "{told}"
    );
}
