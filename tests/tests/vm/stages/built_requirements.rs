//! What tests require and no index has a wheel of.

mod local_index;

use local_index::LocalIndex;
use pyti_tests::{Audit, audit_package, package, pyti, text};
use serde_json::{Value, json};

/// Whether an event is about a setup.py.
fn of_a_setup(event: &Value) -> bool {
    event.to_string().contains("/setup.py")
}

#[test]
fn vm_what_tests_require_is_built_where_it_has_no_wheel() {
    let stages = ["--stage", "test", "--stage", "coverage"];
    let audit = audit_package("stages/built-requirement", &stages);
    assert_eq!(audit.verdict(), "unremarkable", "{}", audit.everything());
    let tests = audit.datum("test");
    assert_eq!(tests["counts"]["passed"], 1, "{tests:#}");
    assert_eq!(tests["missing"], json!([]), "{tests:#}");
    let covered = audit.datum("coverage");
    assert!(covered["package"].is_f64(), "{covered:#}");
    // It was built once, in a clone of its own, and watched there.
    let built = audit.datum("build-2");
    assert_eq!(built["sdist"], "docopt-0.6.2.tar.gz", "{built:#}");
    assert_eq!(built["failed"], Value::Null, "{built:#}");
    assert!(!audit.run().join("build-3").exists());
    assert!(audit.events("build-2").iter().any(of_a_setup));
    let notes = audit.report["notes"].to_string();
    let note = "docopt-0.6.2.tar.gz has no wheel: one was built in the VM (stage build-2)";
    assert!(notes.contains(note), "{notes}");
}

/// One of these only its build could tell what it requires, so that it is built while that is resolved; the
/// other is built afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn vm_what_tests_require_and_cannot_be_built_is_watched_and_told() {
    let sources = ["requirement-never-ends", "requirement-fails"];
    let sources = sources.map(|name| package(&format!("stages/{name}")));
    let index = LocalIndex::of(&sources).await.expect("no index");
    // A build has 30 seconds less.
    let arguments = ["--stage", "test", "--wall", "90"];
    let audit = audit_asking(&index, "stages/unbuilt-requirements", &arguments);

    // What was not watched to its end is no clean build. That one fails is what it tells.
    assert_eq!(audit.verdict(), "inconclusive", "{}", audit.everything());
    let cut_short = "stage build-2: its build was cut short by its time limit of 60 seconds: \
        --wall SECONDS raises it, to 600 at most";
    assert_eq!(
        audit.report["missing"],
        json!([cut_short]),
        "{}",
        audit.everything()
    );
    assert_eq!(audit.report["reasons"], audit.report["missing"]);
    let stages = audit.report["stages"].as_array().into_iter().flatten();
    let ran: Vec<Value> = stages
        .map(|stage| json!([stage["name"], stage["status"]["state"]]))
        .collect();
    // Each is built once, however often it is asked for.
    let completed =
        ["install", "test", "build-2", "build-3"].map(|name| json!([name, "completed"]));
    assert_eq!(ran, completed, "{}", audit.everything());

    let [never_ends, fails] = ["build-2", "build-3"].map(|stage| audit.datum(stage));
    let [endless, failing] = [
        "pyti_fixture_requirement_never_ends-1.0.tar.gz",
        "pyti_fixture_requirement_fails-1.0.tar.gz",
    ];
    let late = json!({
        "sdist": endless,
        "wheel": null,
        "failed": "timed out",
        "cut_short": true,
    });
    assert_eq!(never_ends, late);
    let why = "exit status 1: RuntimeError: no frost.h on this machine";
    let failed = json!({
        "sdist": failing,
        "wheel": null,
        "failed": why,
        "cut_short": false,
    });
    assert_eq!(fails, failed);

    // What they did until then is on record, and is judged as any other build is.
    let began = |event: &Value| {
        let path = event["path"].as_str().unwrap_or_default();
        event["kind"] == "open" && event["created"] == true && path.ends_with("/began")
    };
    assert!(audit.events("build-2").iter().any(began));
    assert!(audit.events("build-3").iter().any(of_a_setup));
    let findings = audit.report["findings"].as_array().expect("no findings");
    for finding in findings {
        let fired = json!([finding["rule"], finding["severity"], finding["stage"]]);
        assert_eq!(fired, json!(["name-lookup", "notice", "build-3"]));
    }
    let asks = |finding: &Value| {
        let summary = finding["summary"].as_str().unwrap_or_default();
        summary.contains("downloads.example.org") && !finding["evidence"][0].is_null()
    };
    assert!(findings.iter().any(asks), "{}", audit.everything());

    // The tests run without them, and tell so.
    let tests = audit.datum("test");
    let counts = json!({"passed": 1, "failed": 1, "errors": 0, "skipped": 0});
    assert_eq!(tests["counts"], counts, "{tests:#}");
    let [never_ends, fails] = [
        "pyti-fixture-requirement-never-ends==1.0",
        "pyti-fixture-requirement-fails==1.0",
    ];
    assert_eq!(tests["missing"], json!([never_ends, fails]), "{tests:#}");
    let results = audit.report["results"].as_array().into_iter().flatten();
    let mut of_tests = results.filter(|result| result["task"] == "test");
    let result = of_tests.next().expect("no result of the tests");
    assert_eq!(result["outcome"], "done", "{result:#}");
    let without = format!("; without 2 requirements ({never_ends}, {fails})");
    let summary = result["summary"].as_str().unwrap_or_default();
    assert!(summary.ends_with(&without), "{summary}");
    let notes = audit.report["notes"].as_array().into_iter().flatten();
    let notes: Vec<&str> = notes.filter_map(Value::as_str).collect();
    for (missing, sdist, stage, why) in [
        (never_ends, endless, "build-2", "timed out"),
        (fails, failing, "build-3", why),
    ] {
        let start = format!("tools.test: without {missing}: ");
        let end = format!("it has no wheel, and none could be built (stage {stage}): {why}");
        let told = |note: &&str| note.starts_with(&start) && note.ends_with(&end);
        assert!(notes.iter().any(told), "{missing}: {notes:#?}");
        let told = format!("{sdist}: {end}");
        assert!(notes.contains(&told.as_str()), "{sdist}: {notes:#?}");
    }
}

/// Audits a fixture package whose requirements an index has besides those that are set.
fn audit_asking(index: &LocalIndex, name: &str, args: &[&str]) -> Audit {
    let directory = tempfile::tempdir().expect("failed to make a directory");
    let output = pyti()
        .args(["audit", "--fresh", "--format", "json", "--out"])
        .arg(directory.path().join("run"))
        .args(args)
        .arg(package(name))
        // It is asked before the usual one.
        .env("UV_INDEX", index.url())
        .env("NO_PROXY", "127.0.0.1")
        .output()
        .expect("failed to start pyti");
    Audit {
        status: output.status.code().unwrap_or(-1),
        report: serde_json::from_slice(&output.stdout).unwrap_or_default(),
        stderr: text(&output.stderr),
        directory,
    }
}
