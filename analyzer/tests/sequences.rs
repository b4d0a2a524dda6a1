//! Sequences: what is found by index is what looking at everything finds, also when flooded.

use std::fmt::Write;

use proptest::prelude::*;
use pyti_analyzer::rules::Source;
use pyti_analyzer::{RuleSet, StageFacts, StageRecord, StageStatus, Target, Vars};
use pyti_trace::event::Event;

fn rules(body: &str) -> RuleSet {
    let rule = format!(
        "id: r\nsummary: s\nseverity: high\nconfidence: high\nattack: T1059\ndescription: d\n{body}"
    );
    let source = Source {
        files: vec![("rules/r.yaml".to_owned(), rule)],
    };
    RuleSet::from_source(&source, &Vars::default()).unwrap_or_else(|errors| panic!("{errors}"))
}

fn events(rules: &RuleSet, lines: &str) -> Vec<Event> {
    rules
        .cases("t.yaml", &format!("- case: c\n  events:\n{lines}"))
        .unwrap_or_else(|errors| panic!("{errors}"))
        .remove(0)
        .events
}

/// The same of one event per line.
fn events_of(rules: &RuleSet, lines: &str) -> Vec<Event> {
    let indented: String = lines
        .lines()
        .map(|line| format!("    - {line}\n"))
        .collect();
    events(rules, &indented)
}

/// How often it fired, and whether it could not decide.
fn judge(rules: &RuleSet, events: &[Event]) -> (u64, bool) {
    let facts = StageFacts::new("install", StageStatus::Completed);
    let record = StageRecord {
        facts: &facts,
        events,
    };
    let report = rules.judge(&Target::default(), &[record]);
    let fired = report.findings.iter().map(|finding| finding.count).sum();
    (fired, !report.undecided.is_empty())
}

const DROP: &str = "sequence: {by: tree, within: 10s, steps: [{kind: write, as: w}, {kind: exec, where: {path: {same: w.path}}}], unless: [{kind: unlink, where: {path: {same: w.path}}}]}";

/// Write, unlink or exec of a path that is whole or cut, so many seconds after the one before; a write
/// began so many seconds before.
#[derive(Debug, Clone, Copy)]
struct Act {
    kind: &'static str,
    path: u8,
    cut: bool,
    after_s: u8,
    since_s: u8,
}

fn act() -> impl Strategy<Value = Act> {
    let kind = prop::sample::select(vec!["write", "write", "unlink", "exec"]);
    let times = (0..6_u8, prop::sample::select(vec![0_u8, 0, 3, 20]));
    (kind, 0..4_u8, prop::bool::weighted(0.1), times).prop_map(
        |(kind, path, cut, (after_s, since_s))| Act {
            kind,
            path,
            cut,
            after_s,
            since_s,
        },
    )
}

/// By looking at every pair: whether [`DROP`] fires, and whether it cannot decide.
fn expected(acts: &[Act]) -> (bool, bool) {
    let (mut fired, mut undecided) = (false, false);
    // Each event is a millisecond after the one before, and so much more.
    let ends = acts.iter().scan(1000_u64, |now_ms, act| {
        *now_ms += u64::from(act.after_s) * 1000 + 1;
        Some(*now_ms)
    });
    let acts: Vec<(u64, &Act)> = ends.zip(acts).collect();
    for (exec_ms, exec) in &acts {
        for (end_ms, write) in &acts {
            if (write.kind, exec.kind) != ("write", "exec") {
                continue;
            }
            let begin_ms = end_ms.saturating_sub(u64::from(write.since_s) * 1000);
            let called_off = acts.iter().any(|(now_ms, act)| {
                let between = end_ms < now_ms && now_ms < exec_ms;
                let same = act.path == write.path && !act.cut && !write.cut;
                act.kind == "unlink" && between && same
            });
            let late = exec_ms.saturating_sub(*end_ms) > 10_000;
            if called_off || late || begin_ms > *exec_ms {
                continue;
            }
            if exec.cut || write.cut {
                undecided = true;
            } else if exec.path == write.path {
                fired = true;
            }
        }
    }
    (fired, undecided && !fired)
}

proptest! {
    #[test]
    fn the_index_finds_what_looking_at_everything_finds(acts in prop::collection::vec(act(), 1..30)) {
        let rules = rules(DROP);
        let mut lines = String::new();
        for act in &acts {
            let Act { kind, path, after_s, .. } = act;
            let since_s = if *kind == "write" { act.since_s } else { 0 };
            let cut = if act.cut { ", incomplete: PATH_TRUNCATED" } else { "" };
            let object = if *kind == "exec" { format!("[/{path}]") } else { format!("/{path}") };
            writeln!(lines, "    - {{{kind}: {object}, after: {after_s}s, since: {since_s}s{cut}}}").unwrap();
        }
        let (fired, undecided) = judge(&rules, &events(&rules, &lines));
        prop_assert_eq!((fired > 0, undecided), expected(&acts), "{}", lines);
    }
}

#[test]
fn a_flood_hides_no_sequence() {
    let rules = rules(&DROP.replace("10s", "10m"));
    let mut all = events(
        &rules,
        "    - {write: /tmp/x}\n    - {open: /x}\n    - {exec: [/tmp/x]}\n",
    );
    let (exec, first) = (all.remove(2), all[0].clone());
    // Other files between, then the same one over and over.
    for number in 0..50_000 {
        all.push(Event {
            path: Some(format!("/tmp/{number}")),
            ..first.clone()
        });
    }
    all.extend(std::iter::repeat_n(first, 100_000));
    all.push(exec);
    assert_eq!(judge(&rules, &all), (1, false));
    // More different ones than can be kept: it says so.
    let exec = all.pop();
    for number in 0..70_000 {
        all.push(Event {
            path: Some(format!("/var/{number}")),
            ..all[0].clone()
        });
    }
    all.extend(exec);
    assert_eq!(judge(&rules, &all), (0, true));
}

/// A file that is kept open is written to before what happens meanwhile, and after it.
#[test]
fn what_happens_while_a_file_is_written_to_comes_before_and_after() {
    let sequence = |steps: &str| {
        rules(&format!(
            "sequence: {{by: tree, within: 10s, steps: [{steps}]}}"
        ))
    };
    let write_first = sequence("{kind: write}, {kind: exec}");
    let write_last = sequence("{kind: exec}, {kind: write}");
    for (since, before) in [("0s", 0), ("3ms", 0), ("6ms", 1), ("1m", 1)] {
        let lines =
            format!("    - {{exec: [/x]}}\n    - {{write: /a, after: 5ms, since: {since}}}\n");
        let events = events(&write_first, &lines);
        assert_eq!(judge(&write_first, &events), (before, false), "{since}");
        assert_eq!(judge(&write_last, &events), (1, false), "{since}");
    }
    // Two that lie over each other come in either order, though both may be the first one.
    let two = sequence("{kind: write}, {kind: write, where: {path: /a}}");
    for (since, fired) in [("9ms", 1), ("4ms", 0)] {
        let lines =
            format!("    - {{write: /b}}\n    - {{write: /a, after: 5ms, since: {since}}}\n");
        let both = lines.replace("write: /b", "write: /b, since: 1ms");
        assert_eq!(judge(&two, &events(&two, &lines)), (1, false), "{since}");
        assert_eq!(judge(&two, &events(&two, &both)), (1, false), "{since}");
        let turned = lines.replace("/a", "/c").replace("/b", "/a");
        assert_eq!(
            judge(&two, &events(&two, &turned)),
            (fired, false),
            "{since}"
        );
    }
    // In the middle it has to have been going on.
    let program = |path: &str| format!("{{kind: exec, where: {{path: {path}}}}}");
    let between = sequence(&format!(
        "{}, {{kind: write}}, {}",
        program("/a"),
        program("/b")
    ));
    for (programs, fired) in [(["/a", "/b"], 1), (["/b", "/a"], 0)] {
        let [one, two] = programs;
        let lines = format!(
            "    - {{exec: [{one}]}}\n    - {{exec: [{two}]}}\n    - {{write: /x, since: 10ms}}\n"
        );
        let events = events(&between, &lines);
        assert_eq!(judge(&between, &events), (fired, false), "{programs:?}");
    }
}

#[test]
fn a_file_that_is_kept_open_is_written_to_whenever_it_matters() {
    let rules = rules(DROP);
    for (lines, fired) in [
        // Long before it is closed, and long after it was opened.
        ("{exec: [/a]}\n{write: /a, after: 5m, since: 10m}", 1),
        ("{write: /a, since: 10m}\n{exec: [/a], after: 9s}", 1),
        ("{write: /a, since: 10m}\n{exec: [/a], after: 11s}", 0),
        // What is done meanwhile may not be the last that is done to it.
        ("{unlink: /a}\n{exec: [/a]}\n{write: /a, since: 10ms}", 1),
        ("{write: /a, since: 10ms}\n{unlink: /a}\n{exec: [/a]}", 0),
        // Nothing says that it began before.
        ("{exec: [/a]}\n{write: /a}", 0),
    ] {
        assert_eq!(
            judge(&rules, &events_of(&rules, lines)),
            (fired, false),
            "{lines}"
        );
    }
}

/// What calls a sequence off has to lie between its steps, from beginning to end.
#[test]
fn a_write_calls_off_what_was_done_before_it_began() {
    let rules = rules(
        "sequence: {by: tree, within: 10s, steps: [{kind: write, where: {path: /a}}, {kind: exec}], unless: [{kind: write, where: {path: /b}}]}",
    );
    for (lines, fired) in [
        (
            "{write: /a}\n{write: /b, after: 5ms, since: 5ms}\n{exec: [/x]}",
            0,
        ),
        (
            "{write: /a}\n{write: /b, after: 5ms, since: 7ms}\n{exec: [/x]}",
            1,
        ),
        (
            "{write: /a}\n{exec: [/x], after: 5ms}\n{write: /b, since: 3ms}",
            1,
        ),
    ] {
        assert_eq!(
            judge(&rules, &events_of(&rules, lines)),
            (fired, false),
            "{lines}"
        );
    }
}

/// Who overwrites many files and closes them one by one overwrote them at once.
#[test]
fn what_is_counted_is_counted_from_its_beginning() {
    let rules = rules("count: {kind: write, by: process, within: 1s, at_least: 3}");
    for (since, fired) in [("0s", 0), ("500ms", 0), ("4s", 3)] {
        let later = format!("{{write: /x, after: 2s, since: {since}}}");
        let lines = format!("    - {{write: /a}}\n    - {later}\n    - {later}\n");
        assert_eq!(
            judge(&rules, &events(&rules, &lines)),
            (fired, false),
            "{since}"
        );
    }
}

#[test]
fn a_flood_of_files_that_are_kept_open_hides_no_sequence() {
    let rules = rules(&DROP.replace("10s", "10m"));
    let mut all = events(
        &rules,
        "    - {open: /x}\n    - {exec: [/tmp/x]}\n    - {write: /tmp/x, since: 5ms}\n",
    );
    let write = all[2].clone();
    for number in 1..50_000 {
        all.push(Event {
            path: Some(format!("/tmp/{number}")),
            time_ns: write.time_ns + number,
            ..write.clone()
        });
    }
    assert_eq!(judge(&rules, &all), (1, false));
}

#[test]
fn sequences_of_a_process_end_with_it() {
    let rules = rules(
        "sequence: {by: process, within: 10s, steps: [{kind: write}, {kind: exec, where: {path: /x}}]}",
    );
    let until = |end: &str| {
        let lines = format!(
            "    - {{pid: 1, open: /}}\n    - {{pid: 2, write: /a}}\n{end}    - {{pid: 2, exec: [/x]}}\n"
        );
        judge(&rules, &events(&rules, &lines))
    };
    assert_eq!(until(""), (1, false));
    assert_eq!(until("    - {pid: 3, exit: 0}\n"), (1, false));
    assert_eq!(until("    - {pid: 2, exit: 0}\n"), (0, false));
}

#[test]
fn items_and_unreadable_values_find_their_sequences() {
    let rules = rules(
        "sequence: {by: tree, within: 10s, steps: [{kind: write, as: w}, {kind: exec, where: {any: [{path: {same: w.path}}, {argv: {item: {same: w.path}}}]}}]}",
    );
    let after = |exec: &str| {
        let lines = format!("    - {{write: /a}}\n    - {{write: /b}}\n    - {exec}\n");
        judge(&rules, &events(&rules, &lines))
    };
    assert_eq!(after("{exec: [/a]}"), (1, false));
    assert_eq!(after("{exec: [sh, /b], path: /bin/sh}"), (1, false));
    assert_eq!(after("{exec: [sh, /a, /b], path: /bin/sh}"), (2, false));
    assert_eq!(after("{exec: [sh, /c], path: /bin/sh}"), (0, false));
    let cut = "{exec: [sh, /c], path: /bin/sh, incomplete: ARGV_TRUNCATED}";
    assert_eq!(after(cut), (0, true));
}

/// A test suite with servers on the loopback that talks to thousands of children through pipes.
#[test]
fn children_with_pipes_do_not_fill_the_reverse_shell_rule() {
    let rules = RuleSet::load(None, &Vars::default()).unwrap_or_else(|errors| panic!("{errors}"));
    let mut lines = String::from("    - {pid: 1, exec: [/usr/bin/python3.13, -m, pytest]}\n");
    for port in 4000..4040 {
        writeln!(lines, "    - {{connect: \"127.0.0.1:{port}\"}}").unwrap();
    }
    for pid in 10..3010 {
        writeln!(lines, "    - {{pid: {pid}, dup: [5, 0]}}").unwrap();
        writeln!(lines, "    - {{dup: [8, 1]}}").unwrap();
        writeln!(
            lines,
            "    - {{exec: [/bin/sh, -c, x], path: /usr/bin/dash}}"
        )
        .unwrap();
        writeln!(lines, "    - {{exit: 0}}").unwrap();
    }
    assert_eq!(judge(&rules, &events(&rules, &lines)), (0, false));
}

/// Somebody forks until nobody follows the chain any more.
#[test]
fn a_long_chain_of_forks_is_not_known_to_be_unrelated() {
    let read = "{kind: open, where: {path: /secret}}";
    let sequence = |by: &str| {
        rules(&format!(
            "sequence: {{by: {by}, within: 10m, steps: [{read}, {{kind: exec, where: {{path: /x}}}}]}}"
        ))
    };
    let ancestor = rules("match: {kind: exec, where: {path: /x, process.ancestor.name: sh}}");
    let after = |rules: &RuleSet, forks: usize, program: &str| {
        let mut lines = String::from("    - {pid: 1, exec: [/bin/sh]}\n    - {open: /secret}\n");
        for pid in 2..=forks + 1 {
            writeln!(
                lines,
                "    - {{pid: {pid}, parent: {}, exec: [/bin/y]}}",
                pid - 1
            )
            .unwrap();
        }
        writeln!(lines, "    - {{exec: [{program}]}}").unwrap();
        judge(rules, &events(rules, &lines))
    };
    for rules in [&sequence("descendants"), &ancestor] {
        assert_eq!(after(rules, 200, "/x"), (1, false));
        assert_eq!(after(rules, 300, "/x"), (0, true));
        assert_eq!(after(rules, 300, "/z"), (0, false));
    }
    assert_eq!(after(&sequence("tree"), 300, "/x"), (1, false));
}

/// As an interpreter that compiles at run time makes it.
#[test]
fn executable_memory_of_no_file_is_no_file_that_cannot_be_read() {
    let rules = rules(
        "sequence: {by: tree, within: 10s, steps: [{kind: write, as: w}, {kind: mmap_exec, where: {any: [{path: {same: w.path}}, {inode: {same: w.inode}, dev: {same: w.dev}}]}}]}",
    );
    let mut events = events(&rules, "    - {write: /a}\n    - {mmap_exec: /b}\n");
    let mapped = events.last_mut().unwrap();
    (mapped.path, mapped.dev, mapped.inode) = (None, None, None);
    assert_eq!(judge(&rules, &events), (0, false));
}

/// Two trees are strangers, whatever their processes are called and however near in time they are.
#[test]
fn what_two_trees_do_is_no_sequence_of_one() {
    let rules = rules(DROP);
    for (second, fired) in [(1, 1), (2, 0)] {
        let lines = format!(
            "    - {{pid: 2, write: /a, tree: 1}}\n    - {{pid: 3, exec: [/a], tree: {second}}}\n"
        );
        assert_eq!(judge(&rules, &events(&rules, &lines)), (fired, false));
    }
}

/// In mounts of its own a process may have any program under a name of the system's.
#[test]
fn a_program_under_a_mere_name_is_not_taken_for_the_systems() {
    let rules = rules("match: {kind: open, where: {not: {process.exe: {is: /usr/bin/ld}}}}");
    for (marks, told) in [("[]", (0, false)), ("[PATH_UNRESOLVED]", (0, true))] {
        let lines = format!(
            "    - {{pid: 2, exec: [/usr/bin/ld], incomplete: {marks}}}\n    - {{open: /x}}\n"
        );
        assert_eq!(judge(&rules, &events(&rules, &lines)), told, "{marks}");
    }
}
