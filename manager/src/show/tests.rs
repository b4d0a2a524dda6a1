use std::fs;
use std::path::Path;

use pyti_analyzer::{StageFacts, StageStatus, Target};
use pyti_graph::{Blame, Outcome};

use super::*;
use crate::run_dir::TaskEnd;

/// A finished run of a stage that gave a datum and of one that failed.
fn run() -> (tempfile::TempDir, ShowArgs) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run");
    let (run_dir, id) = RunDir::reserve(Some(&path), Path::new(""), "x").unwrap();
    let _ = run_dir.make().unwrap();
    let mut record = RunRecord::new(id, Target::default());
    record.state = State::Finished;
    record.facts.stages = vec![StageFacts::new("install", StageStatus::Completed)];
    let end = |task: &str, outcome, summary: Option<&str>| TaskEnd {
        task: task.to_owned(),
        outcome,
        summary: summary.map(str::to_owned),
    };
    let failed = Outcome::Failed {
        blame: Blame::Package,
        reason: "no wheel".to_owned(),
    };
    record.tasks = vec![
        end("fetch", Outcome::Done { remembered: false }, None),
        end(
            "install",
            Outcome::Done { remembered: false },
            Some("2 files"),
        ),
        end("build", failed, None),
    ];
    let stage = run_dir.stage("install").unwrap();
    fs::write(stage.join("data.json"), r#"{"files": ["a", "\u001b[2Jb"]}"#).unwrap();
    run_dir.write_record(&record).unwrap();
    let args = ShowArgs {
        run: path.to_string_lossy().into_owned(),
        tree: false,
        events: false,
        output: false,
        stage: None,
        finding: None,
        format: Format::Table,
    };
    (directory, args)
}

fn shown(args: &ShowArgs) -> Result<String> {
    let home = Home {
        cache: "/nonexistent".into(),
        runs: "/nonexistent".into(),
    };
    let mut out = vec![];
    show(args, &home, Style::default(), &mut out)?;
    Ok(String::from_utf8(out)?)
}

#[test]
fn a_stage_alone_shows_what_it_gave() {
    let (_directory, mut args) = run();
    args.stage = Some("install".into());
    let table = shown(&args).unwrap();
    assert_eq!(
        table,
        "install: 2 files\n\nfiles:\n  • a\n  • \\u{1b}[2Jb\n"
    );
    args.format = Format::Json;
    let json = shown(&args).unwrap();
    assert!(!json.contains('\u{1b}'), "{json}");
    let datum: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(datum["files"][1], "\u{1b}[2Jb");
}

#[test]
fn a_stage_that_gave_nothing_or_is_not_there_is_an_error() {
    let (_directory, mut args) = run();
    let mut refused = |stage: &str| {
        args.stage = Some(stage.to_owned());
        shown(&args).unwrap_err().to_string()
    };
    assert_eq!(
        refused("build"),
        "stage build gave no data: failed: no wheel"
    );
    let none = "the run has no stage `nonsense`: it has install, build";
    assert_eq!(refused("nonsense"), none);
    assert!(refused("../run/install").contains("has no stage"));
}

#[test]
fn what_is_gone_is_not_shown_as_nothing() {
    let (_directory, args) = run();
    let gone = |args: &ShowArgs, what: &str| {
        let error = shown(args).unwrap_err().to_string();
        let start = format!("{what} of stage install are gone from /");
        assert!(error.starts_with(&start), "{error}");
    };
    for events in [true, false] {
        let args = ShowArgs {
            events,
            tree: !events,
            ..args.clone()
        };
        gone(&args, "events");
    }
    let output = ShowArgs {
        output: true,
        ..args.clone()
    };
    gone(&output, "stdout and stderr");
    // Without its report the run is judged anew, and cannot be.
    gone(&args, "events");
}

#[test]
fn a_report_that_is_gone_is_judged_anew() {
    let (_directory, args) = run();
    let stage = Path::new(&args.run).join("install");
    let store = pyti_analyzer::store::StoreWriter::create(&stage).unwrap();
    assert_eq!(store.finish().problem, None);
    let text = shown(&args).unwrap();
    assert!(text.starts_with("INCONCLUSIVE"), "{text}");
    assert!(text.contains("report.json is gone"), "{text}");
    let events = ShowArgs {
        events: true,
        ..args.clone()
    };
    let table = shown(&events).unwrap();
    assert!(!table.ends_with("\n\n"), "{table:?}");
}

#[test]
fn a_tree_is_not_for_programs() {
    let (_directory, args) = run();
    let args = ShowArgs {
        tree: true,
        format: Format::Json,
        ..args
    };
    let error = shown(&args).unwrap_err().to_string();
    assert!(error.contains("--events --format json"), "{error}");
}
