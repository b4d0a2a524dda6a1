//! The first set of probes: every action of the fixture is on record, with its path, its result and
//! its process.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use pyti::cli::AccelArg;
use pyti::home::Home;
use pyti::machine::{self, Machine};
use pyti_tests::audit_package;
use serde_json::{Value, json};

/// Whether all fields of `wanted` have these values in `event`; a text that ends in `…` is a
/// beginning.
fn matches(event: &Value, wanted: &Value) -> bool {
    wanted
        .as_object()
        .expect("not an object")
        .iter()
        .all(|(field, value)| match (&event[field], value) {
            (Value::String(text), Value::String(start)) if start.ends_with('…') => {
                text.starts_with(start.trim_end_matches('…'))
            }
            (found, wanted) => found == wanted,
        })
}

#[test]
fn vm_probes_record_every_action() {
    const ENOENT: i64 = -2;
    const ENOEXEC: i64 = -8;
    const EEXIST: i64 = -17;
    const EACCES: i64 = -13;
    const ENETUNREACH: i64 = -101;
    let events = audit_package("probe/actions", &[]).events("metadata");
    let wanted = [
        json!({"kind": "mkdir", "path": "/tmp/actions", "mode": 0o750, "result": 0}),
        json!({"kind": "open", "path": "/tmp/actions/written", "asked": "written", "created": true}),
        json!({"kind": "write", "path": "/tmp/actions/written", "bytes": 11, "data": b"first bytes"}),
        json!({"kind": "open", "asked": "absent", "result": ENOENT}),
        json!({"kind": "open", "asked": "/etc/shadow", "result": EACCES}),
        json!({"kind": "rename", "path": "/tmp/actions/old", "target": "/tmp/actions/new", "result": 0}),
        json!({"kind": "unlink", "path": "/tmp/actions/doomed", "result": 0}),
        json!({"kind": "symlink", "path": "/tmp/actions/soft", "target": "written", "result": 0}),
        json!({"kind": "link", "path": "/tmp/actions/written", "target": "/tmp/actions/hard", "result": 0}),
        json!({"kind": "chmod", "path": "/tmp/actions/written", "mode": 0o711, "result": 0}),
        json!({"kind": "open", "asked": "soft", "path": "/tmp/actions/written"}),
        json!({"kind": "open", "path": "/tmp/actions/caf\\xe9 \n", "created": true}),
        json!({"kind": "exec", "path": "/usr/bin/true", "argv": ["/bin/true", "one", "two words"],
               "env": ["MARK=planted"], "cwd": "/usr", "result": 0}),
        json!({"kind": "unlink", "asked": "absent-file", "path": null, "result": ENOENT}),
        json!({"kind": "rename", "asked": "absent-old", "path": null, "result": ENOENT}),
        json!({"kind": "mkdir", "asked": "/tmp/actions", "path": null, "result": EEXIST}),
        json!({"kind": "rmdir", "asked": "absent-directory", "path": null, "result": ENOENT}),
        json!({"kind": "symlink", "asked": "soft", "target": "text", "path": null, "result": EEXIST}),
        json!({"kind": "link", "asked": "absent-link", "path": null, "result": ENOENT}),
        json!({"kind": "chmod", "path": "/home/dev/.bashrc", "mode": 0o600, "result": 0}),
        json!({"kind": "rename", "path": "/home/dev/.gitconfig", "target": "/home/dev/.gitconfig.old", "result": 0}),
        json!({"kind": "open", "path": "/home/dev/.profile", "asked": "/home/dev/.profile", "created": false}),
        json!({"kind": "write", "path": "/home/dev/.profile", "bytes": 8, "data": b"appended"}),
        json!({"kind": "mmap_exec", "path": "/tmp/actions/mapped", "flags": 5}),
        json!({"kind": "write", "path": "/tmp/actions/mapped", "bytes": null, "data": null}),
        json!({"kind": "mmap_exec", "path": null, "flags": 7}),
        json!({"kind": "dup", "fds": [-1, 0], "family": 2}),
        json!({"kind": "exec", "asked": "/tmp/actions/absent-program",
               "argv": ["absent-program", "with an argument"], "result": ENOENT}),
        json!({"kind": "exec", "asked": "/tmp/actions/written", "argv": ["written", "so"], "result": ENOEXEC}),
        json!({"kind": "exec", "asked": "./script", "argv": ["/bin/sh", "./script"], "result": 0}),
        json!({"kind": "exit", "exit_code": 3}),
        json!({"kind": "bind", "family": 2, "addr": "127.0.0.1", "result": 0}),
        json!({"kind": "listen", "result": 0}),
        json!({"kind": "connect", "family": 2, "addr": "127.0.0.1", "result": 0}),
        json!({"kind": "connect", "addr": "192.0.2.7", "port": 4444, "result": ENETUNREACH}),
        json!({"kind": "connect", "addr": "192.0.2.8", "port": 4445, "result": ENETUNREACH}),
        json!({"kind": "send", "addr": "127.0.0.1", "port": 5353, "data": b"question"}),
        json!({"kind": "connect", "family": 1, "path": "/tmp/actions/absent.sock", "result": ENOENT}),
        json!({"kind": "bind", "family": 1, "path": "/tmp/actions/present.sock"}),
    ];
    let missing: Vec<String> = wanted
        .iter()
        .filter(|wanted| !events.iter().any(|event| matches(event, wanted)))
        .map(|wanted| {
            let near: Vec<String> = events
                .iter()
                .filter(|event| event["kind"] == wanted["kind"])
                .filter(|event| event.to_string().contains("actions") || wanted["path"].is_null())
                .map(|event| format!("    {event}\n"))
                .take(12)
                .collect();
            format!("{wanted}, but there is\n{}", near.concat())
        })
        .collect();
    assert!(missing.is_empty(), "not on record:\n{}", missing.join("\n"));
    words_are_whole_up_to_4_kib(&events);
    credentials_are_told_before_and_after(&events);
    // One tree, and every doer has a process key. What happened in the fixture's own directory was
    // done by the ordinary user: only the stage's very first process begins as root.
    assert!(events.iter().all(|event| event["tree"] == 1));
    assert!(
        events
            .iter()
            .all(|event| event["process"]["start_ns"].as_u64() > Some(0))
    );
    let own = |event: &&Value| {
        event["path"]
            .as_str()
            .is_some_and(|p| p.starts_with("/tmp/actions"))
    };
    assert!(events.iter().filter(own).all(|event| event["uid"] == 1000));
}

/// Of arguments and environment 4 KiB are kept, be they many or long, of a program that ran and of one
/// that did not; and what is marked as cut is what was cut.
fn words_are_whole_up_to_4_kib(events: &[Value]) {
    let many = vec!["m"; 2000];
    let ran = [&["/bin/true"][..], &many[..]].concat();
    let large = format!("E={}", "e".repeat(4096 - 2));
    // A word has an end, which takes a byte, but for where it is cut. That of `E=` makes it three bytes.
    let whole = ("w".repeat(4095), format!("F={}", "f".repeat(4096 - 3 - 3)));
    let longer = ("w".repeat(4096), format!("F={}", "f".repeat(4096 - 3 - 2)));
    for (asked, argv, env, cut) in [
        ("/bin/true", &ran, vec![&*large], &["ENV_TRUNCATED"][..]),
        (
            "/tmp/actions/absent-many",
            &many,
            vec![&*large],
            &["ENV_TRUNCATED"],
        ),
        (
            "/tmp/actions/written",
            &many,
            vec![&*large],
            &["ENV_TRUNCATED"],
        ),
        ("/tmp/actions/absent-alone", &vec!["alone"], vec![], &[]),
        (
            "/tmp/actions/absent-whole",
            &vec![&*whole.0],
            vec!["E=", &whole.1],
            &[],
        ),
        (
            "/tmp/actions/absent-longer",
            &vec![&*longer.0],
            vec!["E=", &longer.1],
            &["ARGV_TRUNCATED", "ENV_TRUNCATED"],
        ),
    ] {
        let wanted = json!({"kind": "exec", "asked": asked, "argv": argv, "env": env});
        let event = events.iter().find(|event| matches(event, &wanted));
        let event = event.unwrap_or_else(|| panic!("no execution of {asked} with all words"));
        let marks = event["incomplete"].as_str().expect("no marks").split(" | ");
        let of_words = |mark: &&str| mark.starts_with("ARGV_") || mark.starts_with("ENV_");
        let marks: Vec<&str> = marks.filter(of_words).collect();
        assert_eq!(marks, cut, "{asked}");
    }
}

/// In a user namespace of its own a process has all capabilities, until it executes a program.
fn credentials_are_told_before_and_after(events: &[Value]) {
    /// `CAP_LAST_CAP` is 40 (include/uapi/linux/capability.h).
    const ALL: u64 = (1 << 41) - 1;
    let ids = json!({"real": 1000, "effective": 1000, "saved": 1000});
    let holding = |caps: u64| json!({"uid": ids, "gid": ids, "permitted": caps, "effective": caps});
    for (old, new) in [(0, ALL), (ALL, 0)] {
        let change = json!({"old": holding(old), "new": holding(new)});
        let changes = events.iter().filter(|event| event["kind"] == "creds");
        let changes: Vec<&Value> = changes.map(|event| &event["creds"]).collect();
        assert!(changes.contains(&&change), "no {change:#} in {changes:#?}");
    }
}

/// Programs and the instructions that the verifier walked through, a line each.
const COMPLEXITY: &str = include_str!("../../../../pyti-trace-ebpf/complexity.txt");

/// The kernel refuses a program that takes it a million instructions to verify: one that grows by a
/// quarter is looked at before it comes near. With `PYTI_UPDATE_COMPLEXITY` set the file is written.
#[tokio::test(flavor = "multi_thread")]
async fn vm_programs_are_not_much_harder_to_verify() {
    let home = Home::find().expect("no home");
    let definition = machine::definition(None, None).expect("no image");
    let machine = Machine::new(&home, definition, AccelArg::Auto).expect("no machine");
    let template = machine.template(Arc::new(|_| {})).await;
    let ready = &template.as_ref().expect("no template").record().ready;
    assert!(ready.refused.is_empty(), "refused: {:?}", ready.refused);
    let now: String = ready
        .verified
        .iter()
        .map(|(program, count)| format!("{program} {count}\n"))
        .collect();
    if std::env::var_os("PYTI_UPDATE_COMPLEXITY").is_some() {
        let tests = std::env::var_os("CARGO_MANIFEST_DIR").expect("run by cargo");
        let file = Path::new(&tests).join("../pyti-trace-ebpf/complexity.txt");
        std::fs::write(file, now).expect("failed to write the file");
        return;
    }
    let before: BTreeMap<&str, u32> = COMPLEXITY
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(program, count)| (program, count.parse().expect("no number")))
        .collect();
    let grown: Vec<_> = ready
        .verified
        .iter()
        .filter(|(program, count)| {
            let before = before.get(program.as_str()).copied();
            before.is_none_or(|before| u64::from(*count) * 4 > u64::from(before) * 5)
        })
        .collect();
    assert!(
        grown.is_empty(),
        "new or grown by a quarter: {grown:?}; now\n{now}"
    );
    assert_eq!(before.len(), ready.verified.len(), "now\n{now}");
}
