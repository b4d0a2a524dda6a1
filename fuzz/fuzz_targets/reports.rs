//! Reports of tests, of coverage and of checkers, as a stage brings them back from the VM. The first byte
//! says whose it is.
#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pyti::data_store::DataStore;
use pyti::order::RESULT;
use pyti::stage::{Ran, all};
use pyti::tasks::{INSTALLED, TEMPLATE, TEST_PLAN};
use pyti_analyzer::{StageFacts, StageStatus};
use pyti_graph::{Datum, Inputs, Kind};
use serde_json::json;

/// Stages, each with a file in which it has a report.
const REPORTS: [(&str, &str); 10] = [
    ("test", "junit/pytest.xml"),
    ("test", "junit/trial.subunit"),
    ("coverage", "coverage.numbers.json"),
    ("quality-pylint", "output"),
    ("quality-ruff", "output"),
    ("quality-pyflakes", "output"),
    ("quality-bandit", "output"),
    ("quality-wheel", "output"),
    ("quality-twine", "output"),
    ("quality-pyroma", "output"),
];
/// As many commands as any of them runs.
const COMMANDS: usize = 6;

/// What the host knows of them.
static INPUTS: LazyLock<Inputs> = LazyLock::new(|| {
    let python =
        json!({"path": "/usr/bin/python3", "major": 3, "minor": 13, "micro": 0, "glibc_minor": 41});
    let package = json!({"name": "a", "version": "1", "files": 1, "top_level": ["a"], "extensions": [], "scripts": []});
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

fuzz_target!(|bytes: &[u8]| {
    let Some((which, report)) = bytes.split_first() else {
        return;
    };
    let (name, file) = REPORTS[usize::from(*which) % REPORTS.len()];
    let stages = all();
    let stage = stages.iter().find(|stage| stage.name() == name);
    let stage = stage.expect("a stage of this name");
    let report = String::from_utf8_lossy(report);
    let ended = json!({"exit": 1, "signal": null, "timed_out": false, "seconds": 1.0});
    let result = json!({
        "commands": vec![ended; COMMANDS],
        "results": BTreeMap::from([(file, &*report)]),
    });
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().to_owned();
    std::fs::write(place.join("stderr"), &*report).expect("a written file");
    let ran = Ran {
        facts: StageFacts::new(name, StageStatus::Completed),
        files: BTreeMap::from([(RESULT.to_owned(), result.to_string().into_bytes())]),
        state: None,
        store: DataStore::at(place.clone()),
        directory: place,
    };
    if let Ok(datum) = stage.read(&ran, &INPUTS) {
        let _ = stage.summary(&datum);
        let _ = stage.cut_short(&datum);
    }
});
