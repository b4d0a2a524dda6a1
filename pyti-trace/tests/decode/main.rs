//! Decoding the probes' records, honest and hostile ones.

use std::mem::offset_of;

use proptest::prelude::*;
use pyti_trace::decode::{DecodeError, MAX_SIZE, decode, decode_all};
use pyti_trace::event::{Credentials, Ids, Incomplete, Kind};
use pyti_trace_ebpf::{MAX_FRAMES, RECORD_SIZE, Record, VERSION, has, incomplete, kind, tag};

mod paths;

/// A record in the making, written field by field as the C layout has it.
struct Builder {
    bytes: Vec<u8>,
}

impl Builder {
    fn new(kind: u16) -> Self {
        let mut builder = Self {
            bytes: vec![0; RECORD_SIZE],
        };
        builder.set(4, &VERSION.to_le_bytes());
        builder.set(6, &kind.to_le_bytes());
        builder.set(16, &7u64.to_le_bytes());
        builder.set(32, &42u32.to_le_bytes());
        builder.set(40, &1234u64.to_le_bytes());
        builder.set(80, b"python3\0garbage!");
        builder
    }

    fn set(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn has(mut self, bits: u32) -> Self {
        self.set(68, &bits.to_le_bytes());
        self
    }

    fn result(mut self, result: i64) -> Self {
        self.set(96, &result.to_le_bytes());
        self
    }

    fn text(self, tag: u16, bytes: &[u8]) -> Self {
        let full = bytes.len();
        self.cut_text(tag, bytes, full)
    }

    fn cut_text(mut self, tag: u16, bytes: &[u8], full: usize) -> Self {
        self.bytes.extend(tag.to_le_bytes());
        self.bytes.extend((bytes.len() as u16).to_le_bytes());
        self.bytes.extend((full as u32).to_le_bytes());
        self.bytes.extend(bytes);
        self.bytes
            .resize(self.bytes.len().next_multiple_of(8), 0xaa);
        self
    }

    fn build(mut self) -> Vec<u8> {
        let size = self.bytes.len() as u32;
        self.set(0, &size.to_le_bytes());
        self.bytes
    }
}

#[test]
fn words_of_which_one_could_not_be_read_are_not_whole() {
    for (unreadable, cut) in [
        (incomplete::ARGV_UNREADABLE, Incomplete::ARGV_TRUNCATED),
        (incomplete::ENV_UNREADABLE, Incomplete::ENV_TRUNCATED),
    ] {
        let mut record = Builder::new(kind::EXEC)
            .result(-2)
            .text(tag::ARGV, b"sh\0-c\0")
            .text(tag::ENV, b"A=1\0");
        record.set(12, &unreadable.to_le_bytes());
        let (event, _) = decode(&record.build()).unwrap();
        assert_eq!(event.argv.unwrap(), ["sh", "-c"]);
        assert_eq!(event.env.unwrap(), ["A=1"]);
        let unreadable = Incomplete::from_bits_retain(unreadable);
        assert_eq!(event.incomplete, unreadable | cut);
    }
}

#[test]
fn words_are_cut_where_the_record_cut_them_and_nowhere_else() {
    for (bytes, count) in [
        (b"x\0".repeat(2048), 2048),
        (b"\0".repeat(4096), 4096),
        ([b"x".repeat(4095), vec![0]].concat(), 1),
        (b"x".repeat(4096), 1),
    ] {
        for (full, marks) in [
            (4096, Incomplete::empty()),
            (4097, Incomplete::ARGV_TRUNCATED | Incomplete::ENV_TRUNCATED),
        ] {
            let record = Builder::new(kind::EXEC)
                .cut_text(tag::ARGV, &bytes, full)
                .cut_text(tag::ENV, &bytes, full);
            let (event, _) = decode(&record.build()).unwrap();
            assert_eq!(event.argv.map(|words| words.len()), Some(count));
            assert_eq!(event.env.map(|words| words.len()), Some(count));
            assert_eq!(event.incomplete, marks, "{count} words");
        }
    }
}

#[test]
fn an_empty_word_is_one_and_no_word_is_none() {
    let record = Builder::new(kind::EXEC)
        .text(tag::ARGV, b"\0")
        .text(tag::ENV, b"");
    let (event, _) = decode(&record.build()).unwrap();
    assert_eq!(event.argv.unwrap(), [""]);
    assert!(event.env.unwrap().is_empty());
}

#[test]
fn a_change_of_credentials() {
    // Pairs of user and group: real, saved, effective, of the file system. Then the capabilities:
    // inheritable, permitted, effective.
    let bytes = |first: u32, capabilities: [u64; 3]| -> Vec<u8> {
        let ids = (first..first + 8).flat_map(u32::to_le_bytes);
        ids.chain(capabilities.into_iter().flat_map(u64::to_le_bytes))
            .collect()
    };
    let old = bytes(1000, [1, 2, 3]);
    let new = bytes(2000, [4, 1 << 40, 6]);
    let record = Builder::new(kind::CREDS)
        .text(tag::OLD_CREDENTIALS, &old)
        .text(tag::NEW_CREDENTIALS, &new);
    let change = decode(&record.build()).unwrap().0.creds.unwrap();
    let told = |credentials: Credentials| {
        let ids = |ids: Ids| [ids.real, ids.effective, ids.saved];
        (
            ids(credentials.uid),
            ids(credentials.gid),
            credentials.permitted,
            credentials.effective,
        )
    };
    assert_eq!(
        told(change.old),
        ([1000, 1004, 1002], [1001, 1005, 1003], 2, 3)
    );
    assert_eq!(
        told(change.new),
        ([2000, 2004, 2002], [2001, 2005, 2003], 1 << 40, 6)
    );
    for half in [
        Builder::new(kind::CREDS).text(tag::OLD_CREDENTIALS, &old),
        (Builder::new(kind::CREDS).text(tag::OLD_CREDENTIALS, &old))
            .text(tag::NEW_CREDENTIALS, &new[1..]),
    ] {
        assert_eq!(decode(&half.build()).unwrap().0.creds, None);
    }
}

/// A text of a frame: its line, how many bytes a character has, and the name.
fn frame(line: u32, width: u32, name: &[u8]) -> Vec<u8> {
    [&line.to_le_bytes()[..], &width.to_le_bytes(), name].concat()
}

#[test]
fn a_python_stack() {
    let wide: Vec<u8> = "ж.py".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let bytes = Builder::new(kind::CONNECT)
        .text(tag::FRAME_FILE, &frame(14, 1, b"/x/\xe9.py"))
        .text(tag::FRAME_FUNCTION, &frame(0, 1, b"steal"))
        .text(tag::FRAME_FILE, &frame(0, 2, &wide))
        .text(
            tag::FRAME_FUNCTION,
            &frame(0, 4, &[0, 0xd8, 0, 0, 0x41, 0, 0, 0]),
        )
        .build();
    let (event, _) = decode(&bytes).unwrap();
    let stack = event.python.unwrap();
    let told: Vec<_> = stack
        .iter()
        .map(|frame| (frame.file.as_str(), frame.line, frame.function.as_str()))
        .collect();
    assert_eq!(
        told,
        [("/x/é.py", Some(14), "steal"), ("ж.py", None, "\u{fffd}A")]
    );
    assert!(event.incomplete.is_empty());
}

#[test]
fn python_stacks_that_no_probe_makes() {
    let function = frame(0, 1, b"f");
    let orphan = Builder::new(kind::CONNECT).text(tag::FRAME_FUNCTION, &function);
    let short = Builder::new(kind::CONNECT).text(tag::FRAME_FILE, b"1234567");
    let mut deep = Builder::new(kind::CONNECT);
    for _ in 0..=MAX_FRAMES {
        deep = deep.text(tag::FRAME_FILE, &frame(1, 1, b"x"));
    }
    for record in [orphan, short, deep] {
        assert_eq!(decode(&record.build()), Err(DecodeError::Frames));
    }
    let unready = Builder::new(kind::CONNECT).text(tag::FRAME_FILE, &frame(1, 0, b"x"));
    let (event, _) = decode(&unready.build()).unwrap();
    assert!(event.incomplete.contains(Incomplete::PYTHON_INCOMPLETE));
}

#[test]
fn an_open_that_failed() {
    let bytes = Builder::new(kind::OPEN)
        .result(-2)
        .text(tag::ASKED, b"/home/dev/.ssh/id_rsa\0")
        .build();
    let (event, consumed) = decode(&bytes).unwrap();
    assert_eq!(consumed, bytes.len());
    assert_eq!(event.kind, Kind::Open);
    assert_eq!(event.result, -2);
    assert_eq!(event.seq, 7);
    assert_eq!(event.process.tgid, 42);
    assert_eq!(event.process.start_ns, 1234);
    assert_eq!(event.comm, "python3");
    assert_eq!(event.asked.as_deref(), Some("/home/dev/.ssh/id_rsa"));
    assert_eq!((event.path, event.flags, event.inode), (None, None, None));
    assert!(event.incomplete.is_empty());
}

#[test]
fn only_numbers_that_are_set_are_believed() {
    let mut builder = Builder::new(kind::EXEC).has(has::NLINK | has::DEV);
    builder.set(104, &u64::MAX.to_le_bytes());
    let (event, _) = decode(&builder.build()).unwrap();
    assert_eq!(event.nlink, Some(0));
    assert_eq!(event.dev, Some(0));
    assert_eq!(event.flags, None);
    for (bits, since_ns) in [(has::SINCE, Some(5)), (0, None)] {
        let mut builder = Builder::new(kind::WRITE).has(bits);
        builder.set(offset_of!(Record, other_start_ns), &5u64.to_le_bytes());
        let (event, _) = decode(&builder.build()).unwrap();
        assert_eq!((event.since_ns, event.other), (since_ns, None));
    }
}

#[test]
fn arguments_and_environment() {
    let bytes = Builder::new(kind::EXEC)
        .text(tag::ARGV, b"sh\0-c\0\0two words\0")
        .cut_text(tag::ENV, b"A=1\0B=2", 9000)
        .build();
    let (event, _) = decode(&bytes).unwrap();
    assert_eq!(event.argv.unwrap(), ["sh", "-c", "", "two words"]);
    assert_eq!(event.env.unwrap(), ["A=1", "B=2"]);
    assert_eq!(event.incomplete, Incomplete::ENV_TRUNCATED);
}

#[test]
fn bytes_that_are_not_utf8_are_escaped_and_marked() {
    let bytes = Builder::new(kind::UNLINK)
        .text(tag::PATH, b"/x\xff\xc3\xa9\0")
        .build();
    let (event, _) = decode(&bytes).unwrap();
    assert_eq!(event.path.as_deref(), Some("/x\\xffé"));
    assert_eq!(event.incomplete, Incomplete::ESCAPED);
}

#[test]
fn addresses() {
    let of = |raw: &[u8]| {
        let (event, _) =
            decode(&Builder::new(kind::CONNECT).text(tag::SOCKADDR, raw).build()).unwrap();
        (event.family, event.addr, event.port, event.path)
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        of(&[2, 0, 1, 187, 1, 2, 3, 4]),
        (Some(2), text("1.2.3.4"), Some(443), None)
    );
    let mut six = vec![10, 0, 0, 53, 0, 0, 0, 0];
    six.extend(
        "2001:db8::1"
            .parse::<std::net::Ipv6Addr>()
            .unwrap()
            .octets(),
    );
    assert_eq!(of(&six), (Some(10), text("2001:db8::1"), Some(53), None));
    let mut mapped = vec![10, 0, 0, 53, 0, 0, 0, 0];
    mapped.extend(
        "::ffff:9.8.7.6"
            .parse::<std::net::Ipv6Addr>()
            .unwrap()
            .octets(),
    );
    assert_eq!(of(&mapped), (Some(10), text("9.8.7.6"), Some(53), None));
    assert_eq!(of(b"\x01\0/run/x\0"), (Some(1), None, None, text("/run/x")));
    assert_eq!(
        of(b"\x01\0\0hidden"),
        (Some(1), None, None, text("@hidden"))
    );
    assert_eq!(of(&[2, 0, 1]), (Some(2), None, None, None));
    assert_eq!(of(&[2]), (None, None, None, None));
}

#[test]
fn a_relative_unix_address_begins_at_the_working_directory() {
    let of = |mark: u32, walked: &[&[u8]]| {
        let mut builder = Builder::new(kind::CONNECT);
        builder.set(offset_of!(Record, incomplete), &mark.to_le_bytes());
        let mut builder = builder.text(tag::SOCKADDR, b"\x01\0x.sock\0");
        for name in walked {
            builder = builder.text(tag::WALKED_CWD, name);
        }
        let (event, _) = decode(&builder.build()).unwrap();
        (event.path, event.asked, event.cwd, event.incomplete)
    };
    let text = |text: &str| Some(text.to_owned());
    let none = Incomplete::empty();
    assert_eq!(
        of(0, &[b"run\0", b"srv\0", b"\0"]),
        (
            text("/srv/run/x.sock"),
            text("x.sock"),
            text("/srv/run"),
            none
        )
    );
    assert_eq!(
        of(0, &[b"\0"]),
        (text("/x.sock"), text("x.sock"), text("/"), none)
    );
    // A walk that did not come to the root says nothing.
    let cut = Incomplete::CWD_INCOMPLETE;
    assert_eq!(
        of(cut.bits(), &[b"run\0", b"\0"]),
        (
            None,
            text("x.sock"),
            None,
            cut | Incomplete::PATH_UNREADABLE
        )
    );
    assert_eq!(of(0, &[]), (text("x.sock"), None, None, none));
}

#[test]
fn an_execution_that_finds_no_program_has_the_walked_directory() {
    let bytes = Builder::new(kind::EXEC)
        .text(tag::ASKED, b"./x\0")
        .text(tag::WALKED_CWD, b"tmp\0")
        .text(tag::WALKED_CWD, b"\0")
        .build();
    let (event, _) = decode(&bytes).unwrap();
    assert_eq!(event.asked.as_deref(), Some("./x"));
    assert_eq!(event.cwd.as_deref(), Some("/tmp"));
    assert_eq!(event.path, None);
}

#[test]
fn records_follow_one_another() {
    let mut payload = Builder::new(kind::FORK).build();
    payload.extend(Builder::new(kind::EXIT).text(tag::ASKED, b"odd\0").build());
    let kinds: Vec<Kind> = decode_all(&payload)
        .map(|event| event.unwrap().kind)
        .collect();
    assert_eq!(kinds, [Kind::Fork, Kind::Exit]);
}

#[test]
fn an_error_ends_the_payload() {
    let mut payload = Builder::new(kind::FORK).build();
    payload.extend(Builder::new(999).build());
    payload.extend(Builder::new(kind::FORK).build());
    let results: Vec<_> = decode_all(&payload).collect();
    assert_eq!(results.len(), 2);
    assert_eq!(results[1], Err(DecodeError::Kind(999)));
}

#[test]
fn lies_about_sizes_are_errors() {
    let good = Builder::new(kind::OPEN)
        .text(tag::PATH, b"/etc/passwd\0")
        .build();
    for len in 0..good.len() {
        assert!(
            matches!(decode(&good[..len]), Err(DecodeError::Truncated { .. })),
            "{len}"
        );
    }
    for size in [
        0,
        8,
        RECORD_SIZE as u32 - 8,
        RECORD_SIZE as u32 + 1,
        MAX_SIZE as u32 + 8,
        u32::MAX,
    ] {
        let mut bad = good.clone();
        bad[..4].copy_from_slice(&size.to_le_bytes());
        assert_eq!(decode(&bad), Err(DecodeError::Size(size)));
    }
    let mut bad = good.clone();
    bad[RECORD_SIZE + 2..RECORD_SIZE + 4].copy_from_slice(&100u16.to_le_bytes());
    assert!(matches!(
        decode(&bad),
        Err(DecodeError::Text { len: 100, .. })
    ));
    let mut bad = good.clone();
    bad[RECORD_SIZE..RECORD_SIZE + 2].copy_from_slice(&77u16.to_le_bytes());
    assert_eq!(decode(&bad), Err(DecodeError::Tag(77)));
    let mut bad = good;
    bad[4] ^= 0x40;
    assert!(matches!(decode(&bad), Err(DecodeError::Version(_))));
}

#[test]
fn a_result_that_the_probe_could_not_know_is_none() {
    let known = Builder::new(kind::TAMPER).result(-1).build();
    assert_eq!(decode(&known).unwrap().0.outcome(), Some(-1));
    let mut unknown = Builder::new(kind::TAMPER);
    unknown.set(12, &incomplete::RESULT_UNKNOWN.to_le_bytes());
    let (event, _) = decode(&unknown.build()).unwrap();
    assert_eq!(event.outcome(), None);
}

#[test]
fn how_an_interrupted_call_ends_is_not_settled() {
    let of = |kind, result| {
        let (event, _) = decode(&Builder::new(kind).result(result).build()).unwrap();
        (event.outcome(), event.result)
    };
    for interrupted in [-512, -513, -514, -516] {
        assert_eq!(of(kind::ACCEPT, interrupted), (None, 0), "{interrupted}");
        // It did not take place, whichever it is.
        assert_eq!(of(kind::EXEC, interrupted), (Some(-4), -4), "{interrupted}");
    }
    for other in [-511, -515, -517, 512] {
        assert_eq!(of(kind::ACCEPT, other), (Some(other), other));
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        for event in decode_all(&bytes) {
            let _ = event;
        }
    }

    /// Random bytes rarely get past the fixed part; these do.
    #[test]
    fn no_texts_make_it_panic(
        number in 0u16..40,
        bits in any::<u32>(),
        tail in prop::collection::vec(any::<u8>(), 0..1024),
        texts in prop::collection::vec((0u16..18, prop::collection::vec(any::<u8>(), 0..64), any::<u32>()), 0..8),
    ) {
        let mut builder = Builder::new(number).has(bits);
        for (tag, bytes, full) in texts {
            builder = builder.cut_text(tag, &bytes, full as usize);
        }
        builder.bytes.extend(&tail);
        builder.bytes.resize(builder.bytes.len().next_multiple_of(8), 0);
        let bytes = builder.build();
        if let Ok((event, consumed)) = decode(&bytes) {
            prop_assert_eq!(consumed, bytes.len());
            // What was decoded survives the store.
            let json = serde_json::to_string(&event).unwrap();
            prop_assert_eq!(serde_json::from_str::<pyti_trace::event::Event>(&json).unwrap(), event);
        }
    }
}
