//! An event as JSON.

use pyti_trace::event::{
    CredentialChange, Credentials, Event, Frame, Ids, Incomplete, Kind, ProcessKey,
};

const PROCESS: ProcessKey = ProcessKey {
    tgid: 1,
    start_ns: 2,
};

/// Each field is named here: one that JSON leaves out is found.
#[test]
fn json_keeps_every_field() {
    let ids = Ids {
        real: 3,
        effective: 4,
        saved: 5,
    };
    let credentials = Credentials {
        uid: ids,
        gid: ids,
        permitted: 6,
        effective: 7,
    };
    let event = Event {
        kind: Kind::Creds,
        time_ns: 8,
        cpu: 9,
        seq: 10,
        process: PROCESS,
        tid: 11,
        parent: PROCESS,
        tree: 12,
        uid: 13,
        caps: 14,
        comm: "comm".into(),
        result: -15,
        incomplete: Incomplete::ESCAPED | Incomplete::PATH_RACED,
        since_ns: Some(7),
        path: Some("path".into()),
        asked: Some("asked".into()),
        target: Some("target".into()),
        flags: Some(16),
        mode: Some(17),
        created: Some(true),
        bytes: Some(18),
        dev: Some(19),
        inode: Some(20),
        nlink: Some(21),
        data: Some(vec![22]),
        argv: Some(vec!["argv".into()]),
        env: Some(vec!["env".into()]),
        cwd: Some("cwd".into()),
        other: Some(PROCESS),
        exit_code: Some(23),
        signal: Some(24),
        fds: Some((25, 26)),
        family: Some(27),
        socktype: Some(28),
        addr: Some("addr".into()),
        port: Some(29),
        creds: Some(Box::new(CredentialChange {
            old: credentials,
            new: credentials,
        })),
        python: Some(vec![Frame {
            file: "file".into(),
            line: Some(30),
            function: "function".into(),
        }]),
    };
    let json = serde_json::to_string(&event).unwrap();
    assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event);
}

/// What began after its end did not.
#[test]
fn an_event_began_when_it_says_and_not_after_its_end() {
    let mut event = Event::new(Kind::Write, PROCESS, 9);
    for (since_ns, began_ns) in [(None, 9), (Some(4), 4), (Some(9), 9), (Some(u64::MAX), 9)] {
        event.since_ns = since_ns;
        assert_eq!(event.began_ns(), began_ns, "{since_ns:?}");
    }
}

#[test]
fn what_is_none_is_left_out() {
    let event = Event::new(Kind::Tamper, PROCESS, 1);
    let json = serde_json::to_value(&event).unwrap();
    assert_eq!(json["result"], 0);
    assert_eq!((json.get("path"), json.get("since_ns")), (None, None));
}

/// A refused call whose refusal nobody saw must not read as a success.
#[test]
fn a_result_that_is_not_known_is_null() {
    let mut event = Event::new(Kind::Tamper, PROCESS, 1);
    event.incomplete = Incomplete::RESULT_UNKNOWN;
    assert_eq!(event.outcome(), None);
    let json = serde_json::to_string(&event).unwrap();
    assert!(json.contains(r#""result":null"#), "{json}");
    assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event);
}
