//! Test suites of other frameworks than the usual ones, by what really runs them.

use std::collections::BTreeMap;

use pyti_tests::{Audit, audit_package};
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
            // A file that cannot be imported does not end the others.
            ("checks.broken_test", "error"),
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

#[test]
fn vm_suites_of_nose2_report_and_what_is_installed_is_covered() {
    let stages = ["--stage", "test", "--stage", "coverage"];
    let audit = audit_package("stages/nose2-suite", &stages);
    let tests = audit.datum("test");
    assert_eq!(tests["framework"], "nose2", "{tests:#}");
    let expected = BTreeMap::from([("test_fails", "failed"), ("test_up", "passed")]);
    assert_eq!(statuses(&tests), expected, "{tests:#}");
    let covered = audit.datum("coverage");
    let measured = covered["files"]["steps/__init__.py"].as_f64();
    assert!(
        measured.is_some_and(|percent| percent > 40.0),
        "{covered:#}"
    );
    assert_eq!(covered["files"]["src/steps/__init__.py"], Value::Null);
    assert_eq!(covered["package"].as_f64(), measured);
}

#[test]
fn vm_suites_run_in_the_directory_that_tox_says() {
    let stages = ["--stage", "test", "--stage", "coverage"];
    let audit = audit_package("stages/changed-directory", &stages);
    let tests = audit.datum("test");
    let command = "pytest --cov rooms --every-door {source}/checks";
    let further = "python -X dev -b -W error -m unittest unit_rooms";
    let reason = format!("tox.ini [testenv] runs `{command}`, then `{further}` in checks");
    assert_eq!(tests["reason"], reason, "{tests:#}");
    let expected = BTreeMap::from([
        ("test_it_runs_where_tox_says", "passed"),
        ("test_nothing_is_behind_the_door", "failed"),
        ("test_the_interpreter_has_its_options", "passed"),
        ("test_what_lies_beside_it_is_there", "passed"),
    ]);
    assert_eq!(statuses(&tests), expected, "{tests:#}");
    // Each command is told, and each result is of one of them.
    let parts = tests["parts"].as_array().into_iter().flatten();
    let parts: Vec<Value> = parts
        .map(|part| json!([part["name"], part["framework"], part["counts"]["passed"]]))
        .collect();
    assert_eq!(
        parts,
        [
            json!([command, "pytest", 2]),
            json!([further, "unittest", 1])
        ],
        "{tests:#}"
    );
    let results = tests["results"].as_array().into_iter().flatten();
    let of_further = results.filter(|result| result["run"] == 1);
    assert_eq!(of_further.count(), 2, "{tests:#}");
    let junit = std::fs::read_to_string(audit.run().join("test/junit.xml")).expect("no report");
    for name in [command, further] {
        let suite = format!("<testsuite name=\"{name}\" tests=\"2\"");
        assert!(junit.contains(&suite), "{junit}");
    }
    let notes = audit.report["notes"].to_string();
    for note in [
        "1 option of the test command is left out: `--every-door`".to_owned(),
        format!("1 option of `{further}` is left out: `-W error`"),
    ] {
        assert!(notes.contains(&note), "{notes}");
    }
    // What is installed was run, though a directory beside the tests is called like it.
    let covered = audit.datum("coverage");
    let measured = covered["package"].as_f64();
    assert!(
        measured.is_some_and(|percent| percent > 90.0),
        "{covered:#}"
    );
    assert_eq!(covered["copies"], "installed", "{covered:#}");
    assert_eq!(covered["files"]["checks/unit_rooms.py"], 100.0);
}

#[test]
fn vm_suites_of_a_users_command_report_where_their_framework_is_known() {
    let command = [
        "--stage",
        "test",
        "--test-command",
        "python -m pytest tests",
    ];
    let audit = audit_package("stages/nose2-suite", &command);
    let tests = audit.datum("test");
    assert_eq!(tests["framework"], "pytest", "{tests:#}");
    let expected = BTreeMap::from([("test_fails", "failed"), ("test_up", "passed")]);
    assert_eq!(statuses(&tests), expected, "{tests:#}");
    let results = tests["results"].as_array().into_iter().flatten();
    let mut tracebacks = results.filter_map(|result| result["traceback"].as_str());
    assert!(
        tracebacks.any(|text| text.contains("!= '<down>'")),
        "{tests:#}"
    );
}

#[test]
fn vm_suites_of_doctest_are_run_by_pytest() {
    let audit = audit_package("stages/doctest-only", &["--stage", "test"]);
    let tests = audit.datum("test");
    assert_eq!(tests["framework"], "doctest", "{tests:#}");
    let expected = BTreeMap::from([("halves", "passed"), ("halves.half", "failed")]);
    assert_eq!(statuses(&tests), expected, "{tests:#}");
    // They are written nowhere but in what its back end made for pip.
    let metadata = audit.datum("metadata");
    assert_eq!(metadata["asked"], true);
    let expected = json!({
        "console_scripts": {"halve": "halves:half"},
        "gui_scripts": {"halve-window": "halves:half"},
        "halves.kinds": {"whole": "halves:half [more]"},
    });
    assert_eq!(metadata["entry_points"], expected, "{metadata:#}");
}

#[test]
fn vm_suites_that_never_ran_are_failures_that_say_why() {
    let audit = audit_package("stages/suite-breaks", &["--stage", "test"]);
    assert_eq!(audit.verdict(), "inconclusive", "{}", audit.everything());
    let (outcome, summary) = outcome(&audit);
    assert_eq!(outcome, "failed", "{summary}");
    let start = "pytest reported no test, exit status 4: ";
    assert!(summary.starts_with(start), "{summary}");
    assert!(summary.contains("no_such_module"), "{summary}");
}

#[test]
fn vm_suites_that_end_as_if_there_were_none_are_not_believed() {
    let audit = audit_package("stages/suite-hides", &["--stage", "test"]);
    assert_eq!(audit.verdict(), "inconclusive", "{}", audit.everything());
    let (outcome, summary) = outcome(&audit);
    assert_eq!(outcome, "failed", "{summary}");
    let start = "pytest reported no test, exit status 5, though its source has `tests/test_it.py`";
    assert!(summary.starts_with(start), "{summary}");
}

#[test]
fn vm_suites_that_die_or_are_cut_short_keep_what_ran_until_then() {
    let arguments = ["--stage", "test", "--wall", "120"];
    let audit = audit_package("stages/suite-cut", &arguments);
    assert_eq!(audit.verdict(), "inconclusive", "{}", audit.everything());
    let tests = audit.datum("test");
    let expected = BTreeMap::from([
        ("test_dies", "error"),
        ("test_ends", "passed"),
        ("test_lives", "passed"),
        ("test_sleeps", "error"),
    ]);
    assert_eq!(statuses(&tests), expected, "{tests:#}");
    let [died, cut] = [0_usize, 1].map(|at| &tests["parts"][at]["ended"]);
    assert_eq!(died["exit"], 3, "{tests:#}");
    assert_eq!(cut["timed_out"], true, "{tests:#}");
    let at =
        "`pytest test_dies.py` ended before it reported: exit status 3, in `test_dies.test_dies`";
    assert_eq!(tests["cut"], at);
}

#[test]
fn vm_suites_that_break_off_say_where_whatever_their_runner_reported() {
    let audit = audit_package("stages/suite-breaks-off", &["--stage", "test"]);
    assert_eq!(audit.verdict(), "inconclusive", "{}", audit.everything());
    let tests = audit.datum("test");
    let expected = BTreeMap::from([
        ("test_a_fails", "error"),
        ("test_a_is_inside", "passed"),
        ("test_a_lives", "passed"),
        ("test_a_passes", "passed"),
        ("test_b_breaks", "passed"),
        ("test_b_dies", "error"),
        ("test_b_exits", "error"),
        ("test_b_stops", "error"),
    ]);
    assert_eq!(statuses(&tests), expected, "{tests:#}");
    let broke_off = |at: usize| tests["parts"][at]["broke_off"].as_str().unwrap_or_default();
    let exits = broke_off(0);
    let start = "`pytest test_exits.py` broke off: exit status 0, in `test_exits.test_b_exits`: ";
    assert!(exits.starts_with(start), "{tests:#}");
    assert!(exits.ends_with("Exit: enough"), "{exits}");
    assert_eq!(tests["cut"], exits);
    let breaks = "`pytest inside` broke off: exit status 3, after \
        `inside.test_inside.test_b_breaks`: INTERNALERROR: RuntimeError: no more";
    assert_eq!(broke_off(1), breaks);
    let dies = "`nose2 test_dies` ended before it reported: ended by signal 9, in \
        `test_dies.Dies.test_b_dies`";
    assert_eq!(broke_off(2), dies);
    let stops = "`trial test_stops` ended before it reported: exit status 0, in \
        `test_stops.Stops.test_b_stops`";
    assert_eq!(broke_off(3), stops);
}

#[test]
fn vm_suites_that_run_themselves_where_setup_py_names_them_report() {
    let audit = audit_package("stages/suite-runs-itself", &["--stage", "test"]);
    let tests = audit.datum("test");
    assert_eq!(tests["framework"], "unittest", "{tests:#}");
    let reason = "setup.py has test_suite = runtests.runtests";
    assert_eq!(tests["reason"], reason);
    let expected = BTreeMap::from([
        ("test_three_cost_nine", "passed"),
        ("test_two_cost_nothing", "failed"),
    ]);
    assert_eq!(statuses(&tests), expected, "{tests:#}");
    assert_eq!(tests["ended"]["exit"], 1, "{tests:#}");
    assert_eq!(tests["cut"], Value::Null, "{tests:#}");
    let notes = audit.report["notes"].to_string();
    let note = "test_suite = runtests.runtests seems to run its tests by itself";
    assert!(notes.contains(note), "{notes}");
}

/// How the stage ended, and in what words.
fn outcome(audit: &Audit) -> (String, String) {
    let results = audit.report["results"].as_array().into_iter().flatten();
    let found = results.clone().find(|result| result["task"] == "test");
    let found = found.unwrap_or_else(|| panic!("no test: {}", audit.everything()));
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    (text("outcome"), text("summary"))
}
