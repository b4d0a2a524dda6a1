//! Test suites of other frameworks than the usual ones, by what really runs them.

use std::collections::BTreeMap;

use pyti_tests::audit_package;
use serde_json::{Value, json};

/// How each test ended, by its name.
fn statuses(tests: &Value) -> BTreeMap<&str, &str> {
    let results = tests["results"].as_array().into_iter().flatten();
    results
        .filter_map(|result| Some((result["name"].as_str()?, result["status"].as_str()?)))
        .collect()
}

#[test]
fn vm_suites_in_noses_layout_run_with_its_names_and_fixtures() {
    let audit = audit_package("stages/nose-layout", &["--stage", "test"]);
    let tests = audit.datum("test");
    assert_eq!(tests["framework"], "nose", "{tests:#}");
    assert_eq!(tests["reason"], "setup.cfg has [nosetests]");
    assert_eq!(
        statuses(&tests),
        BTreeMap::from([
            ("regression_test_of_old", "passed"),
            ("test_fails", "failed"),
            ("test_module_was_set_up", "passed"),
            ("test_was_set_up", "passed"),
        ]),
        "{tests:#}"
    );
}

#[test]
fn vm_suites_of_trial_are_run_by_trial_with_what_can_be_had() {
    let audit = audit_package("stages/trial-suite", &["--stage", "test"]);
    let tests = audit.datum("test");
    assert_eq!(tests["framework"], "trial", "{tests:#}");
    let reason = "tox.ini [testenv] runs `bin/trial ticks`";
    assert_eq!(tests["reason"], reason);
    assert_eq!(
        statuses(&tests),
        BTreeMap::from([
            ("test_fails", "error"),
            ("test_later", "passed"),
            ("test_leaves_a_call_behind", "error"),
            ("test_skips", "skipped"),
            ("test_waits", "passed"),
            ("test_wants_a_server", "error"),
        ]),
        "{tests:#}"
    );
    assert_eq!(tests["wants"], json!({"a network": 1}));
    assert_eq!(tests["missing"], json!(["pyti-fixture-no-such-package"]));
    let notes = audit.report["notes"].to_string();
    assert!(
        notes.contains("tools.test: without pyti-fixture-no-such-package"),
        "{notes}"
    );
    assert!(audit.run().join("test/junit.xml").is_file());
}

#[test]
fn vm_suites_of_django_report_what_their_own_runner_ran() {
    let audit = audit_package("stages/django-app", &["--stage", "test"]);
    let tests = audit.datum("test");
    assert_eq!(tests["framework"], "django", "{tests:#}");
    assert_eq!(
        statuses(&tests),
        BTreeMap::from([
            ("test_none_is_there", "failed"),
            ("test_one_is_kept", "passed")
        ]),
        "{tests:#}"
    );
    let metadata = std::fs::read(audit.run().join("metadata/data.json")).expect("no metadata");
    let metadata: Value = serde_json::from_slice(&metadata).expect("no JSON");
    assert_eq!(metadata["metadata"]["requires_dist"], json!(["django"]));
    assert_eq!(metadata["asked"], true);
}
