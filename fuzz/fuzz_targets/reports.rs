//! What stages bring back from the VM: reports of tests, of coverage and of checkers, or the whole result
//! that the stage's program writes and the package may forge. The first byte says whose it is.
#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pyti::data_store::DataStore;
use pyti::order::RESULT;
use pyti::stage::{Ran, all};
use pyti::tasks::{INSTALLED, TEMPLATE, TEST_PLAN};
use pyti_analyzer::report::render_datum;
use pyti_analyzer::{StageFacts, StageStatus, Style};
use pyti_graph::{Datum, Inputs, Kind};
use serde_json::{Value, json};

/// Stages, each with a file in which it has a report; without one the result is fuzzed as a whole.
const REPORTS: [(&str, Option<&str>); 15] = [
    ("test", Some(PYTEST)),
    ("test", Some("junit/trial.subunit")),
    ("coverage", Some("coverage.numbers.json")),
    ("quality-pylint", Some("output")),
    ("quality-ruff", Some("output")),
    ("quality-pyflakes", Some("output")),
    ("quality-bandit", Some("output")),
    ("quality-wheel", Some("output")),
    ("quality-twine", Some("output")),
    ("quality-pyroma", Some("output")),
    ("import", None),
    ("scripts", None),
    ("test", None),
    ("coverage", None),
    ("quality-ruff", None),
];
/// The report of pytest.
const PYTEST: &str = "junit/pytest.xml";
/// What the stage of tests writes.
const JUNIT: &str = "junit.xml";
/// As many commands as any of them runs.
const COMMANDS: usize = 6;
/// Results of tests, and remarks of a checker, that are kept.
const MOST: [(&str, usize); 2] = [("results", 100_000), ("findings", 50_000)];

/// What the host knows of them.
static INPUTS: LazyLock<Inputs> = LazyLock::new(|| {
    let python =
        json!({"path": "/usr/bin/python3", "major": 3, "minor": 13, "micro": 0, "glibc_minor": 41});
    let package = json!({"name": "a", "version": "1", "files": 1, "top_level": ["a"], "imports": ["a"],
        "extensions": ["a._b"], "scripts": ["a"]});
    let inputs = [
        (TEMPLATE, json!({"key": "", "python": python})),
        (
            TEST_PLAN,
            json!({"framework": "pytest", "reason": "", "arguments": [], "needed": [], "wanted": [],
                "wanted_by": [], "notes": []}),
        ),
        (
            "tools.test",
            json!({"files": [], "missing": [], "unavailable": null}),
        ),
        (
            INSTALLED,
            json!({"state": {"integrity": "", "bytes": 0}, "name": "a", "distributions": [package],
                "pth": [], "unrecorded": [], "elsewhere": []}),
        ),
    ];
    let inputs = inputs.into_iter();
    inputs
        .map(|(kind, value)| (Kind::from(kind), Datum::of(&value).expect("a datum")))
        .collect()
});

/// What a stage makes of a report, where it is none, of its whole result; and the JUnit report that it
/// writes, where it does.
fn read(name: &str, file: Option<&str>, report: &str) -> Option<(Value, Option<String>)> {
    let stages = all();
    let stage = stages.iter().find(|stage| stage.name() == name);
    let stage = stage.expect("a stage of this name");
    let ended = json!({"exit": 1, "signal": null, "timed_out": false, "seconds": 1.0});
    let result = match file {
        Some(file) => json!({
            "commands": vec![ended; COMMANDS],
            "results": BTreeMap::from([(file, report)]),
        })
        .to_string(),
        None => report.to_owned(),
    };
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().to_owned();
    std::fs::write(place.join("stderr"), report).expect("a written file");
    let ran = Ran {
        facts: StageFacts::new(name, StageStatus::Completed),
        files: BTreeMap::from([(RESULT.to_owned(), result.into_bytes())]),
        state: None,
        store: DataStore::at(place.clone()),
        directory: place.clone(),
    };
    let datum = stage.read(&ran, &INPUTS).ok()?;
    // It understands its own datum.
    assert!(stage.summary(&datum).is_some(), "{datum}");
    let _ = stage.cut_short(&datum);
    let written = std::fs::read_to_string(place.join(JUNIT));
    Some((datum, written.ok()))
}

/// How the tests of a datum ended.
fn outcomes(datum: &Value) -> Vec<Value> {
    let results = datum["results"].as_array().into_iter().flatten();
    results.map(|result| result["status"].clone()).collect()
}

fuzz_target!(|bytes: &[u8]| {
    let Some((which, report)) = bytes.split_first() else {
        return;
    };
    let (name, file) = REPORTS[usize::from(*which) % REPORTS.len()];
    let Some((datum, written)) = read(name, file, &String::from_utf8_lossy(report)) else {
        return;
    };
    for (list, most) in MOST {
        assert!(datum[list].as_array().is_none_or(|all| all.len() <= most));
    }
    // What is printed drives no terminal.
    let shown = render_datum(&datum, Style::default());
    assert!(
        !shown.contains(|c: char| c.is_control() && c != '\n'),
        "{shown:?}"
    );
    // Whatever tests say of themselves, what is written of it is a report that says the same.
    let told = outcomes(&datum);
    if let Some(written) = written.filter(|_| !told.is_empty()) {
        let (again, _) = read(name, Some(PYTEST), &written).expect("a report");
        assert_eq!(outcomes(&again), told, "{written}");
    }
});
