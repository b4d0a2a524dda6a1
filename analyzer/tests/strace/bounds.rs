//! Bad input, limits, and bytes that nobody wrote as a trace.

use super::*;

#[test]
fn bad_input_is_told_by_its_line() {
    let error = |text: &str| match read(text.as_bytes(), Limits::default()) {
        Err(error) => error.to_string(),
        Ok(trace) => panic!("{trace:?}"),
    };
    assert_eq!(
        error(""),
        "the trace is empty: record one with `strace -f -ttt -y -yy -v -s 4096 -o FILE COMMAND`"
    );
    let told = error(&format!("{BEGIN}hello \u{1b}[31m\n{END}"));
    assert!(
        told.starts_with("line 8 of the trace cannot be read: it has no time"),
        "{told}"
    );
    assert!(told.contains("`hello \\u{1b}[31m`"), "{told}");
    let told = error("execve(\"/bin/true\", [\"true\"], 0x1 /* 2 vars */) = 0\n");
    assert!(told.contains("line 1") && told.contains("-ttt"), "{told}");
    let small = Limits {
        line: 100,
        ..Limits::default()
    };
    let long = format!("9 1.1 write(1, \"{}\", 1) = 1\n", "x".repeat(200));
    let told = read(long.as_bytes(), small).unwrap_err();
    assert!(matches!(told, StraceError::Long { line: 1, .. }), "{told}");
}

#[test]
fn a_file_may_be_called_like_what_strace_says() {
    let trace = whole(
        r#"9 1.1 openat(AT_FDCWD</tmp>, "<pid changed to ...", O_RDONLY|O_CREAT, 0666) = 3</tmp/\74pid changed to ...>
9 1.2 openat(AT_FDCWD</tmp>, "<pid changed to 7 ...", O_RDONLY|O_CREAT, 0666) = 4</tmp/\74pid changed to 7 ...>
"#,
    );
    let opens = of(&trace, Kind::Open);
    let paths: Vec<_> = opens.iter().map(|open| open.path.as_deref()).collect();
    assert_eq!(
        paths[1..],
        [
            Some("/tmp/<pid changed to ..."),
            Some("/tmp/<pid changed to 7 ...")
        ]
    );
    assert_eq!(trace.facts.decode_errors, 0);
}

#[test]
fn limits_cut_and_say_so() {
    let few = Limits {
        events: 2,
        ..Limits::default()
    };
    let text = format!("{BEGIN}{END}");
    let trace = read(text.as_bytes(), few).unwrap();
    assert_eq!(trace.events.len(), 2);
    assert!(
        trace.facts.problems[0].contains("only the first 2 events"),
        "{:?}",
        trace.facts
    );
    let short = Limits {
        bytes: 500,
        ..Limits::default()
    };
    let trace = read(text.as_bytes(), short).unwrap();
    assert!(matches!(trace.facts.status, StageStatus::Stopped { .. }));
    assert_eq!(judge(&trace).verdict, Verdict::Inconclusive);
}

mod hostile {
    use super::*;
    use proptest::prelude::*;

    /// Real lines with bytes changed, left out, and doubled.
    fn mangled() -> impl Strategy<Value = Vec<u8>> {
        let text = std::fs::read("../tests/traces/actions.strace").unwrap();
        let length = text.len();
        let change = (0..length, any::<u8>(), 0..4_usize);
        proptest::collection::vec(change, 0..40).prop_map(move |changes| {
            let mut text = text.clone();
            for (at, byte, what) in changes {
                let at = at % text.len();
                match what {
                    0 => text[at] = byte,
                    1 => drop(text.remove(at)),
                    2 => text.insert(at, byte),
                    _ => text.extend_from_within(at..text.len().min(at + 500)),
                }
            }
            text
        })
    }

    fn judged(text: &[u8]) {
        if let Ok(trace) = read(text, Limits::default()) {
            assert!(trace.events.is_sorted_by(|a, b| a.time_ns < b.time_ns));
            let mut begun = trace.events.iter();
            assert!(begun.all(|event| event.since_ns.is_none_or(|since| since <= event.time_ns)));
            judge(&trace);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn mangled_traces_do_no_harm(text in mangled()) {
            judged(&text);
        }

        #[test]
        fn lines_of_anything_do_no_harm(lines in proptest::collection::vec("[ -~]{0,80}", 0..8)) {
            let lines: String = lines.iter().map(|line| format!("9 1.1 {line}\n")).collect();
            judged(format!("{BEGIN}{lines}{END}").as_bytes());
        }

        #[test]
        fn calls_of_anything_do_no_harm(
            name in "open|openat|execve|write|pwritev2|lseek|io_submit|sendmsg|connect|clone3|dup2|rename|\
                     newfstatat|close_range|shmat|pidfd_getfd|setfsuid",
            args in r#"([a-zA-Z0-9_|"<>\[\]{}=,(). /\\-]{0,60})"#,
            result in "[-0-9?]{1,20}",
        ) {
            judged(format!("{BEGIN}9 1.1 {name}({args}) = {result}\n{END}").as_bytes());
        }
    }
}
