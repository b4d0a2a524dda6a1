//! The rule language: what it refuses and how it says so, and its three-valued logic.

use pyti_analyzer::rules::Source;
use pyti_analyzer::{RuleSet, StageFacts, StageRecord, StageStatus, Target, Vars};

fn load(body: &str) -> Result<RuleSet, String> {
    let rule = format!(
        "id: r\nsummary: s\nseverity: high\nconfidence: high\nattack: T1059\ndescription: d\n{body}"
    );
    let source = Source {
        files: vec![("rules/r.yaml".to_owned(), rule)],
    };
    RuleSet::from_source(&source, &Vars::default()).map_err(|errors| errors.to_string())
}

/// What fires for a rule with this body on these events: `Some(true)` fired, `None` undecided.
fn fire(body: &str, events: &str) -> Option<bool> {
    let rules = load(body).unwrap_or_else(|error| panic!("{error}"));
    let trace = format!(
        "- case: c\n  events:\n    - {}",
        events.trim().replace('\n', "\n    - ")
    );
    let fired = rules
        .fire("t.yaml", &trace)
        .unwrap_or_else(|errors| panic!("{errors}"))
        .remove(0);
    match (fired.rules.is_empty(), fired.undecided.is_empty()) {
        (false, _) => Some(true),
        (true, true) => Some(false),
        (true, false) => None,
    }
}

#[test]
fn errors_say_where_and_what_is_allowed() {
    for (body, error) in [
        (
            "match: {kind: open, where: {pth: /x}}",
            "rules/r.yaml:7:29: there is no field `pth` (did you mean `path`?)",
        ),
        (
            "match: {kind: opn}",
            "rules/r.yaml:7:15: no event is of kind `opn` (did you mean `open`?)",
        ),
        (
            "match: {kind: unlink, where: {argv: {first: x}}}",
            "rules/r.yaml:7:31: no `unlink` event has a field `argv`; these have: exec",
        ),
        (
            "match: {kind: open, where: {path: id_rsa}}",
            "`path` is an absolute path and never `id_rsa`",
        ),
        (
            "match: {kind: open, where: {path: {name: a/b}}}",
            "never holds a slash",
        ),
        (
            "match: {kind: connect, where: {port: 70000}}",
            "`port` is never 70000",
        ),
        (
            "match: {kind: connect, where: {addr: 300.1.1.1}}",
            "no IP address or network",
        ),
        (
            "match: {kind: open, where: {result: ENOENTT}}",
            "no result is called `ENOENTT` (did you mean `ENOENT`?)",
        ),
        (
            "match: {kind: open, where: {uid: {under: /x}}}",
            "`uid` is of type integer, which has no test `under`",
        ),
        (
            "match: {kind: open, where: {path: {matches: '('}}}",
            "not a regular expression",
        ),
        (
            "match: {kind: open, where: {path: {glob: $nothing}}}",
            "there is no list `nothing`",
        ),
        (
            "match: {kind: open, where: {macro: nothing}}",
            "there is no macro `nothing`",
        ),
        (
            "match: {kind: open}\nserverity: x",
            "unknown key `serverity` (did you mean `severity`?)",
        ),
        (
            "sequence: {by: tree, within: 1s, steps: [{kind: open}]}",
            "two steps or more",
        ),
        (
            "sequence: {by: tree, within: 1x, steps: [{kind: open}, {kind: open}]}",
            "a time looks like",
        ),
        (
            "sequence: {by: tree, within: 1s, steps: [{kind: open, as: a}, {kind: open, where: {path: {same: b.path}}}]}",
            "no earlier step is called `b` (did you mean `a`?)",
        ),
        ("description: again", "rules/r.yaml:7:1:"),
        ("", "a rule needs `match`, `sequence` or `count`"),
        ("match: [", "rules/r.yaml:"),
    ] {
        let message = load(body).expect_err(body);
        assert!(
            message.contains(error),
            "{body}\n got: {message}\nwant: {error}"
        );
    }
}

#[test]
fn unknown_is_never_false() {
    let under = "match: {kind: open, where: {path: {under: ~/.ssh}}}";
    assert_eq!(fire(under, "{open: ~/.ssh/x}"), Some(true));
    assert_eq!(fire(under, "{open: /etc/passwd}"), Some(false));
    // A cut path: its beginning may prove or disprove, or neither.
    assert_eq!(
        fire(under, "{open: ~/.ssh/lo, incomplete: PATH_TRUNCATED}"),
        Some(true)
    );
    assert_eq!(
        fire(under, "{open: /etc/pas, incomplete: PATH_TRUNCATED}"),
        Some(false)
    );
    assert_eq!(
        fire(under, "{open: /home/d, incomplete: PATH_TRUNCATED}"),
        None
    );
    let not = "match: {kind: open, where: {path: {not: {name: '*.txt'}}}}";
    assert_eq!(fire(not, "{open: /a.tx, incomplete: PATH_TRUNCATED}"), None);
    // Another clause that is false decides all the same.
    let and = "match: {kind: open, where: {path: {name: x}, result: failed}}";
    assert_eq!(
        fire(and, "{open: /a, incomplete: PATH_TRUNCATED}"),
        Some(false)
    );
}

/// A message that is cut before its name may be a question or none.
#[test]
fn a_question_that_is_not_on_record_is_neither_asked_nor_not() {
    let none = "match: {kind: send, where: {not: {query: {matches: '^'}}}}";
    let told = |sent: &str, data: &str, cut: bool| {
        let cut = if cut {
            ", incomplete: DATA_INCOMPLETE"
        } else {
            ""
        };
        fire(none, &format!(r#"{{send: {sent}, data: "{data}"{cut}}}"#))
    };
    let datagram = r#""8.8.8.8:53", socktype: 2"#;
    let head = r"\x12\x34\x01\0\0\x01\0\0\0\0\0\0";
    for (behind, cut, whole) in [
        ("", None, true),
        (r"\x05", None, true),
        (r"\x05f", Some(false), false),
        (r"\x05files", Some(false), false),
        // The root's name is empty.
        (r"\0\0\x02\0\x01", Some(false), false),
        // No label is as long.
        (r"\xff", Some(true), true),
    ] {
        let data = format!("{head}{behind}");
        assert_eq!(told(datagram, &data, true), cut, "{data}, cut");
        assert_eq!(told(datagram, &data, false), Some(whole), "{data}");
    }
    assert_eq!(told(datagram, "", true), None);
    assert_eq!(told(datagram, r"\x12\x34", true), None);
    assert_eq!(told(datagram, r"\x12\x34", false), Some(true));
    // An answer, what is no message at all, and another port.
    assert_eq!(told(datagram, r"\x12\x34\x81", true), Some(true));
    assert_eq!(told(datagram, "secret", true), Some(true));
    let other = r#""8.8.8.8:443", socktype: 2"#;
    assert_eq!(told(other, r"\x12\x34", true), Some(true));
    // By a stream the length comes first, often by itself.
    let stream = r#""8.8.8.8:53", socktype: 1"#;
    assert_eq!(told(stream, r"\0\x21", true), None);
    assert_eq!(told(stream, r"\0\x21secret", true), Some(true));
    let unseen = "{send: \"8.8.8.8:53\", socktype: 2, incomplete: DATA_INCOMPLETE}";
    assert_eq!(fire(none, unseen), None);
}

/// A call that may have been refused is neither a success nor a failure.
#[test]
fn a_result_that_is_not_known_is_neither() {
    for test in ["result: ok", "result: failed", "not: {result: EPERM}"] {
        let body = format!("match: {{kind: tamper, where: {{asked: x, {test}}}}}");
        let unknown = "{tamper: /x, asked: x, incomplete: RESULT_UNKNOWN}";
        assert_eq!(fire(&body, unknown), None, "{test}");
        let other = "{tamper: /x, asked: y, incomplete: RESULT_UNKNOWN}";
        assert_eq!(fire(&body, other), Some(false), "{test}");
    }
    let ok = "match: {kind: tamper, where: {result: ok}}";
    assert_eq!(fire(ok, "{tamper: /x}"), Some(true));
    assert_eq!(fire(ok, "{tamper: /x, result: EPERM}"), Some(false));
    // Whatever it was to run may not run, and what it was to make may be missing.
    let exec = "match: {kind: exec, where: {path: /x}}";
    assert_eq!(fire(exec, "{exec: [/x]}"), Some(true));
    assert_eq!(fire(exec, "{exec: [/x], incomplete: RESULT_UNKNOWN}"), None);
    let there = "match: {kind: unlink, where: {born_here: false}}";
    for (ends, told) in [
        ("result: 0", Some(false)),
        ("result: EACCES", Some(true)),
        ("incomplete: RESULT_UNKNOWN", None),
    ] {
        let events = format!("{{mkdir: /d, {ends}}}\n{{unlink: /d/x}}");
        assert_eq!(fire(there, &events), told, "{ends}");
    }
}

/// Its interpreter was not there, or not executed: its own arguments are none of that one's.
#[test]
fn a_script_that_was_not_executed_is_no_interpreter() {
    let rule = "match: {kind: exec, where: {script: /x}}";
    let exec = "exec: [/tool, /x], target: /usr/bin/python3";
    assert_eq!(fire(rule, &format!("{{{exec}}}")), Some(true));
    let failed = format!("{{{exec}, result: ENOENT}}");
    assert_eq!(fire(rule, &failed), Some(false));
    let absent = format!("{{{exec}, result: ENOENT, incomplete: TARGET_UNRESOLVED}}");
    assert_eq!(fire(rule, &absent), Some(false));
}

/// It is the one that is named there, and no other; of one that was executed the name may be another's.
#[test]
fn an_interpreter_that_is_missing_is_known_by_its_name() {
    let rule = "match: {kind: exec, where: {path: /x, target: {starts: /, not: {glob: '**/sh'}}}}";
    for (ends, target, told) in [
        ("ENOENT", "/bin/zsh", Some(true)),
        ("ENOENT", "/bin/sh", Some(false)),
        ("ENOENT", "zsh", None),
        ("0", "/bin/zsh", None),
    ] {
        let exec = format!(
            "{{exec: [/x], result: {ends}, target: {target}, incomplete: TARGET_UNRESOLVED}}"
        );
        assert_eq!(fire(rule, &exec), told, "{ends} {target}");
    }
}

/// A device is no terminal for being one, and a terminal none the less for being everybody's.
#[test]
fn a_terminal_is_told_by_its_name_or_its_permissions() {
    let body = "match: {kind: dup, where: {terminal: true}}";
    for (dup, told) in [
        ("mode: 0o020620", Some(true)),
        ("mode: 0o020666", Some(false)),
        ("mode: 0o020666, path: /dev/tty", Some(true)),
        ("mode: 0o020620, path: /dev/kmsg", Some(false)),
        ("mode: 0o060660", Some(false)),
        ("family: 2", Some(false)),
    ] {
        assert_eq!(
            fire(body, &format!("{{dup: [5, 0], {dup}}}")),
            told,
            "{dup}"
        );
    }
    let named = "{open: /dev/tty, inode: 9}\n{dup: [5, 0], mode: 0o020666, inode: 9}";
    assert_eq!(fire(body, named), Some(true));
}

#[test]
fn a_sequence_that_hangs_on_an_unknown_is_undecided_only_if_all_else_holds() {
    let body = r#"sequence: {by: tree, within: 10s, steps: [{kind: write, as: w, where: {data: {starts: "\x7fELF"}}}, {kind: exec, where: {path: {same: w.path}}}]}"#;
    let unseen = "{pid: 1, write: /tmp/x, incomplete: DATA_INCOMPLETE}\n";
    assert_eq!(
        fire(body, &format!("{unseen}{{exec: [/tmp/y]}}")),
        Some(false)
    );
    assert_eq!(fire(body, &format!("{unseen}{{exec: [/tmp/x]}}")), None);
    assert_eq!(
        fire(body, &format!("{unseen}{{exec: [/tmp/x], after: 11s}}")),
        Some(false)
    );
    assert_eq!(
        fire(
            body,
            "{write: /tmp/x, data: \"\\x7fELF\"}\n{exec: [/tmp/x]}"
        ),
        Some(true)
    );
}

#[test]
fn counts_within_their_window() {
    let body = "count: {kind: unlink, by: process, within: 1s, distinct: path, at_least: 3}";
    let three = "{unlink: /a}\n{unlink: /b}\n{unlink: /c}";
    assert_eq!(fire(body, three), Some(true));
    assert_eq!(
        fire(body, "{unlink: /a}\n{unlink: /b}\n{unlink: /a}"),
        Some(false)
    );
    assert_eq!(
        fire(body, "{unlink: /a}\n{unlink: /b}\n{unlink: /c, after: 2s}"),
        Some(false)
    );
    assert_eq!(
        fire(body, "{unlink: /a}\n{unlink: /b}\n{pid: 2, unlink: /c}"),
        Some(false)
    );
}

#[test]
fn an_exception_holds_until_its_day() {
    let body = |day: &str| {
        format!(
            "match: {{kind: open, where: {{path: {{under: /x}}}}}}\nexceptions: [{{reason: known, expires: {day}, where: {{path: /x/ok}}}}]"
        )
    };
    assert_eq!(fire(&body("2999-01-01"), "{open: /x/ok}"), Some(false));
    assert_eq!(fire(&body("2999-01-01"), "{open: /x/other}"), Some(true));
    assert_eq!(fire(&body("2001-01-01"), "{open: /x/ok}"), Some(true));
    let failures = load(&body("2001-01-01")).unwrap().test().unwrap().failures;
    let text: Vec<String> = failures.iter().map(ToString::to_string).collect();
    assert!(
        text.iter().any(|t| t.contains("expired on 2001-01-01")),
        "{text:?}"
    );
    assert!(
        text.iter()
            .any(|t| t == "rules/r/fires.yaml: missing: rule r needs a trace that fires it"),
        "{text:?}"
    );
}

#[test]
fn ancestors_and_variables() {
    let body = "match: {kind: open, where: {path: {under: $HOME/x}, process.ancestor.name: pip}}";
    let tree = "{pid: 1, exec: [/usr/bin/pip]}\n{pid: 2, exec: [/bin/sh]}\n{pid: 3, parent: 2, exec: [/bin/cat]}\n{open: ~/x/y}";
    assert_eq!(fire(body, tree), Some(true));
    assert_eq!(
        fire(body, "{pid: 1, exec: [/usr/bin/pip]}\n{open: ~/x/y}"),
        Some(false)
    );
}

/// Back ends are asked for metadata as often as need be, each time in a stage of its own.
#[test]
fn a_rule_judges_every_stage_of_a_kind() {
    let rules = load("stages: [metadata]\nmatch: {kind: open, where: {path: /x}}").unwrap();
    let cases = rules.cases("t.yaml", "- case: c\n  events: [{open: /x}]");
    let events = cases.unwrap().remove(0).events;
    let fired_in = |stage: &str| {
        let facts = StageFacts::new(stage, StageStatus::Completed);
        let record = StageRecord {
            facts: &facts,
            events: &events,
        };
        let findings = rules.judge(&Target::default(), &[record]).findings;
        let stages = findings.into_iter().map(|finding| finding.stage);
        stages.collect::<Vec<String>>()
    };
    for stage in ["metadata", "metadata-2", "metadata-17"] {
        assert_eq!(fired_in(stage), [stage]);
    }
    for stage in ["install", "metadata-", "metadata-x", "metadata-2-x", "2"] {
        assert_eq!(fired_in(stage), [""; 0], "{stage}");
    }
}

#[test]
fn stages_that_nobody_runs_are_refused() {
    let rules = |stages: &str| load(&format!("stages: {stages}\nmatch: {{kind: open}}")).unwrap();
    let known = ["metadata", "install", "quality-pylint"];
    for stages in ["[]", "install", "[install, quality-pylint]"] {
        assert_eq!(rules(stages).check_stages(&known), Ok(()), "{stages}");
    }
    for (stages, errors) in [
        (
            "[install, instal]",
            "rules/r.yaml:7:19: no stage is called `instal` (did you mean `install`?)",
        ),
        // All of a kind are meant, or none.
        (
            "metadata-2",
            "rules/r.yaml:7:9: no stage is called `metadata-2` (did you mean `metadata`?)",
        ),
        (
            "[x, y]",
            "rules/r.yaml:7:10: no stage is called `x` (known: metadata, install, quality-pylint)\n\
             rules/r.yaml:7:13: no stage is called `y` (known: metadata, install, quality-pylint)",
        ),
    ] {
        let refused = rules(stages).check_stages(&known).unwrap_err();
        assert_eq!(refused.to_string(), errors);
    }
}

#[test]
fn a_clause_is_told_on_one_line() {
    let body = "match:\n  kind: open\n  where:\n    path:\n      matches: >-\n        (?x)^/a\n          ( x | y )\n        $";
    let rules = load(body).unwrap();
    let cases = rules.cases("t.yaml", "- case: c\n  events: [{open: /ax}]");
    let events = cases.unwrap().remove(0).events;
    let facts = StageFacts::new("install", StageStatus::Completed);
    let record = StageRecord {
        facts: &facts,
        events: &events,
    };
    let finding = rules
        .judge(&Target::default(), &[record])
        .findings
        .remove(0);
    assert_eq!(finding.clauses, ["path matches (?x)^/a ( x | y ) $"]);
}

/// A rule for installations, with this trace that must fire it and this one that must not.
fn with_traces(fires: &str, quiet: &str) -> RuleSet {
    let rule = "id: r\nsummary: s\nseverity: high\nconfidence: high\nattack: T1059\ndescription: d\nstages: [install]\nmatch: {kind: open, where: {path: /x}}";
    let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let source = Source {
        files: vec![
            file("rules/r.yaml", rule),
            file("rules/r/fires.yaml", fires),
            file("rules/r/quiet.yaml", quiet),
        ],
    };
    RuleSet::from_source(&source, &Vars::default()).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn a_trace_of_a_stage_is_judged_by_the_rules_for_it() {
    let case = |stage: &str| format!("- case: c\n{stage}  events: [{{open: /x}}]");
    let (any, own, other) = (
        case(""),
        case("  stage: install\n"),
        case("  stage: import\n"),
    );
    let rules = with_traces(&own, &other);
    for (trace, fired) in [(&any, true), (&own, true), (&other, false)] {
        let cases = rules.fire("t.yaml", trace).unwrap();
        let by: Vec<bool> = cases.iter().map(|case| !case.rules.is_empty()).collect();
        assert_eq!(by, [fired], "{trace}");
    }
    let failures = rules.test().unwrap().failures;
    assert!(failures.is_empty(), "{failures:?}");
    let failures = with_traces(&other, &own).test().unwrap().failures;
    let failures: Vec<String> = failures.iter().map(ToString::to_string).collect();
    assert_eq!(
        failures,
        [
            r#"rules/r/fires.yaml: case "c": rule r must fire and did not"#,
            r#"rules/r/quiet.yaml: case "c": rule r must not fire and did"#,
        ]
    );
}

#[test]
fn traces_of_stages_that_nobody_runs_are_refused() {
    let fires = "- case: c\n  stage: install\n  events: [{open: /x}]";
    let quiet = "- case: c\n  stage: instal\n  events: [{open: /x}]";
    let refused = with_traces(fires, quiet).check_stages(&["metadata", "install"]);
    assert_eq!(
        refused.unwrap_err().to_string(),
        "rules/r/quiet.yaml:2:10: no stage is called `instal` (did you mean `install`?)"
    );
    let rules = with_traces(fires, fires);
    assert_eq!(rules.check_stages(&["metadata", "install"]), Ok(()));
}

#[test]
fn failures_of_traces_say_file_rule_and_what_was_expected() {
    let rule = "id: r\nsummary: s\nseverity: high\nconfidence: high\nattack: T1059\ndescription: d\nmatch: {kind: open, where: {path: /x}}";
    let quiet = "- case: fired\n  events: [{open: /x}]\n- case: unknown\n  events: [{open: /, incomplete: PATH_TRUNCATED}]";
    let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let source = Source {
        files: vec![
            file("rules/r.yaml", rule),
            file(
                "rules/r/fires.yaml",
                "- case: silent\n  events: [{open: /y}]",
            ),
            file("rules/r/quiet.yaml", quiet),
        ],
    };
    let rules = RuleSet::from_source(&source, &Vars::default()).unwrap();
    let failures: Vec<String> = rules
        .test()
        .unwrap()
        .failures
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        failures,
        [
            r#"rules/r/fires.yaml: case "silent": rule r must fire and did not"#,
            r#"rules/r/quiet.yaml: case "fired": rule r must not fire and did"#,
            r#"rules/r/quiet.yaml: case "unknown": rule r must not fire and could not decide"#,
        ]
    );
}
