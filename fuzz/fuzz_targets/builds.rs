//! What a build leaves in the VM: the programs that it executed, a line each, and behind a NUL what it
//! printed. A line that begins with `!` is of one that could not be executed, one with a blank of one that
//! the program before it started; `-` begins the second build.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use pyti::data_store::DataStore;
use pyti::order::RESULT;
use pyti::stage::{Ran, all};
use pyti_analyzer::report::render_datum;
use pyti_analyzer::store::StoreWriter;
use pyti_analyzer::{StageFacts, StageStatus, Style};
use pyti_graph::Inputs;
use pyti_trace::event::{Event, Kind, ProcessKey};
use serde_json::{Value, json};

/// Where it is built in the guest.
const DIRECTORY: &str = "/home/dev/build";
/// Lines that are read.
const MOST_LINES: usize = 200;
/// Diagnostics of a build that are listed.
const MOST_DIAGNOSTICS: usize = 5000;

fn event(kind: Kind, tgid: u32, time_ns: u64) -> Event {
    let process = ProcessKey { tgid, start_ns: 0 };
    Event::new(kind, process, time_ns)
}

/// What the kernel saw of these programs, each of which fails.
fn events(lines: &str) -> Vec<Event> {
    let mut events = vec![event(Kind::Exec, 1, 0)];
    for (line, tgid) in lines.lines().take(MOST_LINES).zip(2..) {
        let time = 2 * u64::from(tgid);
        if line == "-" {
            events.push(Event {
                path: Some(DIRECTORY.to_owned()),
                ..event(Kind::Rmdir, 1, time)
            });
            continue;
        }
        let words = line.trim_start_matches(['!', ' ']).split(' ');
        let words: Vec<String> = words.map(str::to_owned).collect();
        let failed = line.starts_with('!');
        let parent = if line.starts_with(' ') { tgid - 1 } else { 1 };
        events.push(Event {
            result: if failed { -2 } else { 0 },
            path: words.first().filter(|_| !failed).cloned(),
            asked: words.first().cloned(),
            argv: Some(words),
            cwd: Some(format!("{DIRECTORY}/source")),
            parent: ProcessKey {
                tgid: parent,
                start_ns: 0,
            },
            ..event(Kind::Exec, tgid, time)
        });
    }
    let ends = (2..).take(MOST_LINES).map(|tgid| Event {
        exit_code: Some(1),
        ..event(Kind::Exit, tgid, 1 << 20)
    });
    events.extend(ends);
    events
}

fuzz_target!(|text: &str| {
    let (programs, printed) = text.split_once('\0').unwrap_or((text, ""));
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().to_owned();
    let mut writer = StoreWriter::create(&place).expect("a store");
    writer.append(&events(programs)).expect("stored events");
    assert_eq!(writer.finish().problem, None);
    std::fs::write(place.join("stdout"), printed).expect("a written file");
    let wheel = json!({"filename": "a-1-py3-none-any.whl", "bytes": 1, "sha256": ""});
    let build = json!({"exit": 0, "seconds": 1.0, "source": DIRECTORY, "wheels": [wheel]});
    let result = json!([build, build]).to_string().into_bytes();
    let ran = Ran {
        facts: StageFacts::new("build", StageStatus::Completed),
        files: BTreeMap::from([(RESULT.to_owned(), result)]),
        state: None,
        store: DataStore::at(place.clone()),
        directory: place.clone(),
    };
    let stages = all();
    let stage = stages.iter().find(|stage| stage.name() == "build");
    let stage = stage.expect("a stage of this name");
    let datum = stage.read(&ran, &Inputs::default()).expect("a datum");
    assert!(stage.summary(&datum).is_some(), "{datum}");

    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let calls = list(&datum["calls"]);
    assert!(calls.len() <= programs.lines().count(), "{datum}");
    assert!(list(&datum["failed"]).len() <= calls.len(), "{datum}");
    // None is given to more than one call.
    let mut said: Vec<Value> = calls
        .iter()
        .flat_map(|call| list(&call["diagnostics"]))
        .collect();
    said.extend(list(&datum["diagnostics"]));
    assert!(said.len() <= printed.lines().count(), "{datum}");
    for build in [1, 2] {
        let of_build = said.iter().filter(|said| said["build"] == build);
        assert!(of_build.count() <= MOST_DIAGNOSTICS);
    }
    for said in &said {
        let severity = said["severity"].as_str().unwrap_or_default();
        assert!(["error", "warning", "note"].contains(&severity), "{said}");
    }
    // What tools read has entries that are whole.
    let database = std::fs::read(place.join("compile_commands.json")).expect("a database");
    let database: Vec<Value> = serde_json::from_slice(&database).expect("a list");
    for entry in &database {
        let mut calls = calls.iter();
        assert!(calls.any(|call| call["arguments"] == entry["arguments"]));
        assert!(entry["directory"].is_string(), "{entry}");
    }
    // What is printed drives no terminal.
    let shown = render_datum(&datum, Style::default());
    assert!(
        !shown.contains(|c: char| c.is_control() && c != '\n'),
        "{shown:?}"
    );
});
