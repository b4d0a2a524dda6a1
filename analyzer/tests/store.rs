//! Events survive: whole, after a kill, and when the disk is full.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use pyti_analyzer::store::{self, Budget, JOURNAL, MAX_EVENTS, PARQUET, StoreWriter};
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
        event.since_ns = (number % 3 == 0).then_some(number as u64);
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
fn what_takes_too_much_memory_is_left_out_and_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut events = events(2_000);
    for event in &mut events {
        event.argv = Some(vec!["x".to_owned(); 512]);
    }
    let mut writer = StoreWriter::create(directory.path()).unwrap();
    for batch in events.chunks(100) {
        writer.append(batch).unwrap();
    }
    let megabytes = |bytes: usize| Budget {
        bytes: bytes << 20,
        ..Budget::default()
    };
    let read = |bytes| store::read_within(directory.path(), &mut megabytes(bytes)).unwrap();
    // A journal is read within the same bounds.
    let journal = read(10);
    assert_eq!(writer.finish().problem, None);
    for (loaded, told) in [
        (journal, "only the first"),
        (read(10), "of 2000 events were read"),
    ] {
        let count = loaded.events.len();
        assert!((200..1000).contains(&count), "{count}");
        let problem = loaded.problem.unwrap();
        assert!(
            problem.contains(&format!("only the first {count} ")),
            "{problem}"
        );
        assert!(problem.contains(told), "{problem}");
    }
    assert_eq!(read(500).problem, None);
    // What one stage took is not there for the next one.
    let mut budget = megabytes(50);
    for whole in [true, false] {
        let loaded = store::read_within(directory.path(), &mut budget).unwrap();
        assert_eq!(loaded.problem.is_none(), whole);
    }
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
    let loaded = store::read(directory.path(), MAX_EVENTS).unwrap();
    assert!(loaded.events == events[..99]);
    let problem = loaded.problem.unwrap();
    assert!(
        problem.contains("journal") && problem.contains("torn"),
        "{problem}"
    );
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

/// Where the process that may write only small files has its store.
const SMALL: &str = "PYTI_TEST_STORE_WITH_SMALL_FILES";

/// The limit on a file's size fails a write after its first bytes, as a full disk does, and needs
/// no privilege. It holds for a process, so the store is written by one of its own.
#[test]
fn what_was_stored_before_the_disk_was_full_stays() {
    let directory = tempfile::tempdir().unwrap();
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 200; exec \"$0\" \"$@\""])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "--ignored", "writes_until_no_more_fits"])
        .env(SMALL, directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&child.stderr)
    );
    let loaded = store::read(directory.path(), MAX_EVENTS).unwrap();
    let written = events(4_000);
    assert!(loaded.events.len() > 1 && loaded.events.len() < written.len());
    let (last, first) = loaded.events.split_last().unwrap();
    assert!(first == &written[..first.len()]);
    assert_eq!(Some(last), written.last(), "stored when there was room");
}

#[test]
#[ignore = "run by the test above, under a limit"]
fn writes_until_no_more_fits() {
    let Some(directory) = env::var_os(SMALL) else {
        return;
    };
    let events = events(4_000);
    let mut writer = StoreWriter::create(Path::new(&directory)).unwrap();
    let mut refused = 0;
    for batch in events[..3_990].chunks(30) {
        if let Err(error) = writer.append(batch) {
            let text = error.to_string();
            assert!(
                text.starts_with("failed to write") && text.contains("events.journal"),
                "{text}"
            );
            refused += batch.len();
        }
    }
    assert!(refused > 0, "the limit held nothing back");
    // A small batch fits behind the last whole one: no half line is in its way.
    writer.append(&events[3_999..]).unwrap();
    let journal = store::read(Path::new(&directory), MAX_EVENTS).unwrap();
    assert_eq!(journal.events.len(), 3_990 - refused + 1);
    assert!(!journal.problem.unwrap().contains("torn"));
    let stored = writer.finish();
    assert_eq!(
        stored.families.iter().sum::<u64>() as usize,
        3_990 - refused + 1
    );
    let problem = stored.problem.unwrap();
    assert!(
        problem.starts_with(&format!("{refused} events could not be stored")),
        "{problem}"
    );
}

#[test]
fn without_room_for_the_parquet_file_the_journal_has_all() {
    let directory = tempfile::tempdir().unwrap();
    symlink("/dev/full", directory.path().join("events.parquet.part")).unwrap();
    let events = events(100);
    let mut writer = StoreWriter::create(directory.path()).unwrap();
    writer.append(&events).unwrap();
    let problem = writer.finish().problem.unwrap();
    assert!(
        problem.contains("only in the journal") && problem.contains("No space left"),
        "{problem}"
    );
    assert!(!directory.path().join(PARQUET).exists());
    let loaded = store::read(directory.path(), MAX_EVENTS).unwrap();
    assert!(loaded.events == events);
    assert!(loaded.problem.unwrap().contains("journal"));
}
