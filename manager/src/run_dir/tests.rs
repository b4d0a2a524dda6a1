use super::*;

/// A run as another version may have written it.
fn written(run: &Value, report: Option<&Value>) -> (tempfile::TempDir, RunDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run");
    fs::create_dir(&path).unwrap();
    let run_dir = RunDir { path };
    run_dir.write_json("run.json", run).unwrap();
    if let Some(report) = report {
        run_dir.write_json(REPORT, report).unwrap();
    }
    (directory, run_dir)
}

/// `run.json` as the first versions wrote it.
fn early() -> Value {
    serde_json::json!({
        "schema": "pyti.run/1",
        "id": "1-x",
        "program": "0.0.9",
        "started": 1,
        "state": "finished",
        "target": {"name": "x"},
        "facts": {"stages": []},
        "tasks": [{"task": "install", "outcome": "skipped", "chain": [
            {"datum": "wheelhouse", "provider": "resolve", "because": "failed: no"},
        ]}],
    })
}

#[test]
fn a_run_of_an_earlier_version_is_read() {
    let (_directory, run_dir) = written(&early(), None);
    let record = run_dir.read_record().unwrap();
    let root = record.tasks[0].outcome.root();
    assert_eq!(root, Some(("resolve", "failed: no")));
    assert!(run_dir.read_report(&record).unwrap().is_none());
}

#[test]
fn a_run_that_is_not_understood_says_who_wrote_it_and_what_to_do() {
    let mut strange = early();
    strange["schema"] = "pyti.run/9".into();
    let (_directory, run_dir) = written(&strange, None);
    let error = run_dir.read_record().unwrap_err().to_string();
    for part in [
        "PyTI 0.0.9",
        "pyti.run/9",
        "reads pyti.run/1",
        "audit again",
    ] {
        assert!(error.contains(part), "no `{part}`: {error}");
    }
    let mut strange = early();
    strange["facts"] = Value::Null;
    let (_directory, run_dir) = written(&strange, None);
    let error = run_dir.read_record().unwrap_err().to_string();
    for part in ["PyTI 0.0.9", "does not understand it", "audit again"] {
        assert!(error.contains(part), "no `{part}`: {error}");
    }
}

#[test]
fn a_run_whose_stages_would_lead_elsewhere_is_refused() {
    let names = ["/etc", "..", "install/../..", "", "a\u{1b}[2J", "a b", "A"];
    for name in names {
        let mut stage = early();
        stage["facts"]["stages"] = serde_json::json!([
            {"name": "install", "status": {"state": "completed"}},
            {"name": name, "status": {"state": "completed"}},
        ]);
        let mut task = early();
        task["tasks"][0]["task"] = name.into();
        for strange in [stage, task] {
            let (_directory, run_dir) = written(&strange, None);
            let error = run_dir.read_record().unwrap_err().to_string();
            let said = format!("names a stage `{}`", pyti_analyzer::escape(name));
            assert!(error.contains(&said), "{error}");
            assert!(!error.contains('\u{1b}'), "{error:?}");
        }
    }
}

#[test]
fn every_stage_of_ours_has_a_name_that_is_taken() {
    let others = ["metadata-2", pyti_analyzer::strace::STAGE];
    for name in crate::tasks::stage_names().into_iter().chain(others) {
        assert!(is_name(name), "{name}");
    }
}

#[test]
fn a_directory_with_another_name_than_stages_have_is_none() {
    let (_directory, run_dir) = written(&early(), None);
    for name in ["install", ".git", "a\u{1b}[2J"] {
        let stage = run_dir.stage(name).unwrap();
        fs::write(stage.join("stdout"), "").unwrap();
    }
    assert_eq!(run_dir.stage_names().unwrap(), ["install"]);
}

#[test]
fn a_report_of_another_schema_is_not_shown() {
    let report = serde_json::json!({"schema": "pyti.report/9", "verdict": "unremarkable"});
    let (_directory, run_dir) = written(&early(), Some(&report));
    let record = run_dir.read_record().unwrap();
    let error = run_dir.read_report(&record).unwrap_err().to_string();
    for part in ["PyTI 0.0.9", "pyti.report/9", "reads pyti.report/1"] {
        assert!(error.contains(part), "no `{part}`: {error}");
    }
}

#[test]
fn a_run_is_live_as_long_as_it_is_held() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run");
    let run_dir = RunDir { path };
    assert!(!run_dir.is_live());
    let held = run_dir.make().unwrap();
    assert!(run_dir.is_live());
    drop(held);
    assert!(!run_dir.is_live());
}
