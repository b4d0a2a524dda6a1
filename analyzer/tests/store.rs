//! Events survive: whole, after a kill, and when the disk is full.

use std::fs;
use std::path::Path;

use pyti_analyzer::store::{self, JOURNAL, MAX_EVENTS, PARQUET, StoreWriter};
use pyti_analyzer::{RuleSet, Vars};
use pyti_trace::event::{Event, Family, Incomplete, ProcessKey};

/// Events with every field set somewhere.
fn events(count: usize) -> Vec<Event> {
    let trace = r#"
- case: all kinds
  events:
    - {pid: 1, exec: [/usr/bin/python3, "", "ä\u202E"], env: [A=b, C=], incomplete: ENV_TRUNCATED}
    - {open: /x, created: true, mode: 0o644, flags: 0o101}
    - {write: /x, data: "\x00\x7fELF\xff", bytes: 99}
    - {connect: "[2001:db8::7]:443", result: ENETUNREACH}
    - {dup: [4, 0]}
    - {rename: [/x, /y]}
    - {exit: -1}
"#;
    let rules = RuleSet::load(Some(Path::new("../rules")), &Vars::default())
        .unwrap_or_else(|e| panic!("{e}"));
    let some = rules
        .cases("t.yaml", trace)
        .unwrap_or_else(|e| panic!("{e}"))
        .remove(0)
        .events;
    let mut all: Vec<Event> = some.iter().cycle().take(count).cloned().collect();
    for (number, event) in all.iter_mut().enumerate() {
        event.time_ns = 1000 + number as u64;
        event.seq = number as u64;
        event.caps = u64::MAX;
        event.other = (number % 2 == 0).then_some(ProcessKey {
            tgid: 7,
            start_ns: u64::MAX,
        });
        event.incomplete |= Incomplete::from_bits_retain(1 << 31);
    }
    all
}

#[test]
fn what_is_written_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let events = events(40_000);
    let mut writer = StoreWriter::create(directory.path()).unwrap();
    // Out of order, as several CPUs deliver them.
    for batch in events.chunks(777).rev() {
        writer.append(batch).unwrap();
    }
    let stored = writer.finish();
    assert_eq!(stored.problem, None);
    assert_eq!(stored.families.iter().sum::<u64>(), 40_000);
    let files: usize = events
        .iter()
        .filter(|e| e.kind.family() == Family::File)
        .count();
    assert_eq!(stored.families[Family::File as usize], files as u64);
    assert!(!directory.path().join(JOURNAL).exists());
    let loaded = store::read(directory.path(), MAX_EVENTS).unwrap();
    assert_eq!(loaded.problem, None);
    assert!(loaded.events == events);
    let some = store::read(directory.path(), 100).unwrap();
    assert_eq!(some.events.len(), 100);
    assert!(some.problem.unwrap().contains("100 of 40000"));
}

#[test]
fn an_empty_store_is_readable() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(
        StoreWriter::create(directory.path())
            .unwrap()
            .finish()
            .problem,
        None
    );
    assert!(
        store::read(directory.path(), MAX_EVENTS)
            .unwrap()
            .events
            .is_empty()
    );
    assert!(
        StoreWriter::create(directory.path()).is_err(),
        "a finished store is not overwritten"
    );
}

#[test]
fn a_killed_writer_loses_nothing_but_a_torn_line() {
    let directory = tempfile::tempdir().unwrap();
    let events = events(100);
    let mut writer = StoreWriter::create(directory.path()).unwrap();
    writer.append(&events).unwrap();
    // A kill: no destructor of the writer does anything for the files.
    std::mem::forget(writer);
    let journal = directory.path().join(JOURNAL);
    let text = fs::read(&journal).unwrap();
    fs::write(&journal, &text[..text.len() - 10]).unwrap();
    let recovered = store::recover(directory.path()).unwrap();
    assert!(recovered.events == events[..99]);
    let problem = recovered.problem.unwrap();
    assert!(
        problem.contains("journal") && problem.contains("torn"),
        "{problem}"
    );
    assert!(directory.path().join(PARQUET).exists() && !journal.exists());
    assert!(store::read(directory.path(), MAX_EVENTS).unwrap().events == events[..99]);
}

#[test]
fn nothing_there_and_damaged_files_are_said() {
    let directory = tempfile::tempdir().unwrap();
    let error = store::read(directory.path(), MAX_EVENTS)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("no events in"), "{error}");
    for damage in [
        &b""[..],
        b"PAR1",
        b"PAR1 garbage garbage PAR1",
        &[0xff; 4096],
    ] {
        fs::write(directory.path().join(PARQUET), damage).unwrap();
        assert!(store::read(directory.path(), MAX_EVENTS).is_err());
    }
}
