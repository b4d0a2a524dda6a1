//! Verdicts and reports.

mod narrow;

use std::path::Path;

use pyti_analyzer::report::{event_lines, event_table, process_tree, render};
use pyti_analyzer::{
    Origins, Report, RuleSet, StageFacts, StageRecord, StageStatus, Style, Target, Tree, Vars,
    Verdict,
};
use pyti_trace::event::{Counters, Event, Family, Frame};

const BAD: &str = r#"
- case: a bad package
  events:
    - {pid: 1, exec: [/usr/bin/python3.13, -m, pip, install, --no-index, x]}
    - {pid: 2, exec: [/usr/bin/python3.13, setup.py, egg_info]}
    - {open: ~/.ssh/id_rsa}
    - {open: ~/.aws/credentials, result: ENOENT}
    - {connect: "127.0.0.1:53", socktype: 2}
    - {send: "127.0.0.1:53", asks: "get.example.org"}
    - {write: /tmp/.updater, data: "\x7fELF\x02", bytes: 44016}
    - {pid: 3, parent: 2, exec: ["/tmp/.updater", "\e[31mred", "\u202Eevil"], path: /tmp/.updater}
    - {exit: 0}
    - {pid: 2, exit: 0}
    - {pid: 1, exit: 0}
"#;

const GOOD: &str = "
- case: a good package
  events:
    - {pid: 1, exec: [/usr/bin/python3.13, -m, pip, install, x]}
    - {open: /etc/passwd}
    - {exit: 0}
";

fn rules() -> RuleSet {
    RuleSet::load(Some(Path::new("../rules")), &Vars::default()).unwrap_or_else(|e| panic!("{e}"))
}

fn events(text: &str) -> Vec<Event> {
    rules()
        .cases("case.yaml", text)
        .unwrap_or_else(|e| panic!("{e}"))
        .remove(0)
        .events
}

/// A stage that went well, its counters saying that nothing was lost.
fn facts(events: &[Event]) -> StageFacts {
    let mut counters = Counters::default();
    for event in events {
        let family = &mut counters.families[event.kind.family() as usize];
        family.seen += 1;
        family.submitted += 1;
    }
    StageFacts {
        started_ns: 1_000_000_000,
        wall_ns: 21_400_000_000,
        user_us: 12_000_000,
        system_us: 3_500_000,
        memory_peak: 143 << 20,
        counters: Some(counters),
        ..StageFacts::new("install", StageStatus::Completed)
    }
}

fn target() -> Target {
    Target {
        name: "x\u{1b}[2J".to_owned(),
        version: Some("1.0".to_owned()),
        filename: Some("x-1.0.tar.gz".to_owned()),
        sha256: Some("ab".repeat(32)),
        source: None,
    }
}

fn judge(facts: &StageFacts, events: &[Event]) -> Report {
    rules().judge(&target(), &[StageRecord { facts, events }])
}

/// What the second process does once it runs is asked for by a function of a setup script, by way of
/// the standard library.
fn steal(events: &mut [Event]) {
    let frame = |file: &str, line, function: &str| Frame {
        file: file.to_owned(),
        line: Some(line),
        function: function.to_owned(),
    };
    let own = events.iter_mut().filter(|event| event.process.tgid == 2);
    for event in own.skip(1) {
        event.python = Some(vec![
            frame("/usr/lib/python3.13/pathlib/_local.py", 537, "Path.open"),
            frame("/tmp/pip-install-1/evil_2/setup.py", 14, "steal\u{1b}[2J"),
            frame("/tmp/pip-install-1/evil_2/setup.py", 20, "<module>"),
        ]);
    }
}

#[test]
fn a_report_reads_well() {
    let mut events = events(BAD);
    steal(&mut events);
    let report = judge(&facts(&events), &events);
    insta::assert_snapshot!(render(
        &report,
        Style {
            width: 100,
            colour: false
        }
    ));
}

#[test]
fn nothing_wider_than_asked_for() {
    let events = events(BAD);
    let report = judge(&facts(&events), &events);
    for width in [60, 80, 140] {
        for line in render(
            &report,
            Style {
                width,
                colour: false,
            },
        )
        .lines()
        // A digest is never broken.
        .filter(|line| !line.starts_with("sha256"))
        {
            assert!(
                line.chars().count() <= usize::from(width),
                "{width}: {line}"
            );
        }
    }
}

#[test]
fn only_our_own_colours_reach_the_terminal() {
    let events = events(BAD);
    let report = judge(&facts(&events), &events);
    for c in render(&report, Style::default()).chars() {
        assert!(c == '\n' || (!c.is_control() && c != '\u{202e}'), "{c:?}");
    }
    let coloured = render(
        &report,
        Style {
            width: 100,
            colour: true,
        },
    );
    assert!(coloured.contains("\u{1b}[1;31mMALICIOUS\u{1b}[0m"));
    assert!(!coloured.contains("[31mred\u{1b}") && !coloured.contains("\u{1b}[31m"));
    let json = report.to_json().unwrap();
    assert!(!json.contains('\u{202e}') && !json.contains('\u{1b}'));
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}

#[test]
fn json_has_its_schema_and_status() {
    let events = events(BAD);
    let report: serde_json::Value =
        serde_json::from_str(&judge(&facts(&events), &events).to_json().unwrap()).unwrap();
    assert_eq!(report["schema"], "pyti.report/1");
    assert_eq!(report["verdict"], "malicious");
    assert_eq!(report["stages"][0]["status"]["state"], "completed");
    assert_eq!(report["losses"]["install"]["file"]["lost"], 0);
    let fired: Vec<&str> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|f| f["rule"].as_str())
        .collect();
    assert_eq!(
        fired,
        ["credential-file-read", "dropped-program", "name-lookup"]
    );
    assert_eq!(report["findings"][0]["count"], 2);
    assert_eq!(
        report["findings"][0]["evidence"].as_array().unwrap().len(),
        2
    );
}

#[test]
fn the_tree_and_the_events() {
    let mut events = events(BAD);
    steal(&mut events);
    let origins = Origins::new(&events, "/work");
    let style = Style {
        width: 90,
        colour: false,
    };
    insta::assert_snapshot!(
        "tree",
        process_tree(&Tree::new(&events), &origins, 1_000_000_000, style)
    );
    insta::assert_snapshot!(
        "events",
        event_table(&events, &origins, 1_000_000_000, style)
    );
    let mut lines = Vec::new();
    event_lines("install", &events, &origins, &mut lines).unwrap();
    let text = String::from_utf8(lines).unwrap();
    let read: Vec<Event> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(read, events);
    let second: serde_json::Value = serde_json::from_str(text.lines().nth(3).unwrap()).unwrap();
    assert_eq!(
        (&second["stage"], &second["index"], &second["origin"]),
        (&"install".into(), &3.into(), &"package".into())
    );
    assert!(!text.contains('\u{202e}'));
}

#[test]
fn a_whole_record_without_findings_is_unremarkable() {
    let events = events(GOOD);
    let report = judge(&facts(&events), &events);
    assert_eq!(report.verdict, Verdict::Unremarkable);
    assert!(report.undecided.is_empty() && report.missing.is_empty());
}

#[test]
fn whatever_is_missing_makes_it_inconclusive() {
    let events = events(GOOD);
    let whole = facts(&events);
    let inconclusive = |change: &dyn Fn(&mut StageFacts), reason: &str| {
        let mut facts = whole.clone();
        change(&mut facts);
        let report = judge(&facts, &events);
        assert_eq!(report.verdict, Verdict::Inconclusive, "{reason}");
        assert!(
            report.reasons.iter().any(|r| r.contains(reason)),
            "{reason}: {:?}",
            report.reasons
        );
    };
    inconclusive(
        &|f| f.status = StageStatus::Failed { exit: 1 },
        "exit status 1",
    );
    inconclusive(&|f| f.status = StageStatus::TimedOut, "timed out");
    inconclusive(
        &|f| f.status = StageStatus::Signaled { signal: 9 },
        "signal 9",
    );
    inconclusive(&|f| f.oom_kills = 1, "memory");
    inconclusive(&|f| f.pids_refused = 3, "refused 3 forks");
    inconclusive(&|f| f.decode_errors = 2, "2 records could not be decoded");
    inconclusive(&|f| f.counters = None, "counters did not arrive");
    inconclusive(
        &|f| f.problems.push("the disk was full".into()),
        "the disk was full",
    );
    inconclusive(
        &|f| {
            if let Some(counters) = &mut f.counters {
                counters.families[Family::Network as usize].seen += 5;
                counters.families[Family::Network as usize].full += 5;
            }
        },
        "5 of 5 network events were lost",
    );
    inconclusive(
        &|f| {
            if let Some(counters) = &mut f.counters {
                counters.families[Family::Network as usize].seen += 5;
            }
        },
        "5 of 5 network events are missing and were not counted as lost",
    );
    inconclusive(
        &|f| {
            if let Some(counters) = &mut f.counters {
                counters.families[Family::File as usize].seen -= 1;
            }
        },
        "1 more file events are stored or lost than the probes saw",
    );
}

#[test]
fn a_hole_in_the_numbers_is_missing_although_the_sums_come_out_even() {
    let mut events = events(GOOD);
    let facts = facts(&events);
    if let Some(last) = events.last_mut() {
        last.seq += 2;
    }
    let report = judge(&facts, &events);
    assert_eq!(report.verdict, Verdict::Inconclusive);
    let reason = "2 events are missing by the events' numbers, more than were counted as lost";
    assert!(report.missing[0].contains(reason), "{:?}", report.missing);
}

#[test]
fn what_kept_many_stages_from_starting_is_told_once() {
    let not_started = |name: &str, reason: &str| {
        let reason = reason.to_owned();
        StageFacts::new(name, StageStatus::NotStarted { reason })
    };
    let all = [
        not_started("install", "metadata failed: exit status 1"),
        not_started("build", "metadata failed: exit status 1"),
        not_started("test", "cancelled"),
    ];
    let records: Vec<StageRecord<'_>> = all
        .iter()
        .map(|facts| StageRecord { facts, events: &[] })
        .collect();
    let report = rules().judge(&target(), &records);
    assert_eq!(
        report.reasons,
        [
            "stages install, build: not started: metadata failed: exit status 1",
            "stage test: it was not started: cancelled"
        ]
    );
}

#[test]
fn output_over_its_bound_is_a_remark_and_no_reason() {
    let events = events(GOOD);
    let facts = StageFacts {
        stdout_dropped: 3 << 20,
        ..facts(&events)
    };
    let report = judge(&facts, &events);
    assert_eq!(report.verdict, Verdict::Unremarkable);
    assert!(report.missing.is_empty(), "{:?}", report.missing);
    let text = render(&report, Style::default());
    assert!(
        text.contains("standard output went over its bound, and 3.0 MiB"),
        "{text}"
    );
}

#[test]
fn losses_leave_only_the_rules_undecided_that_need_them() {
    let events = events(GOOD);
    let mut facts = facts(&events);
    if let Some(counters) = &mut facts.counters {
        counters.families[Family::Network as usize].seen += 1;
    }
    let report = judge(&facts, &events);
    let undecided: Vec<&str> = report.undecided.iter().map(|u| u.rule.as_str()).collect();
    assert!(undecided.contains(&"cloud-metadata") && undecided.contains(&"reverse-shell"));
    assert!(
        !undecided.contains(&"credential-file-read"),
        "{undecided:?}"
    );
}

#[test]
fn a_finding_stands_though_the_record_is_cut() {
    let events = events(BAD);
    let facts = StageFacts {
        status: StageStatus::TimedOut,
        ..facts(&events)
    };
    let report = judge(&facts, &events);
    assert_eq!(report.verdict, Verdict::Malicious);
    assert!(report.missing[0].contains("timed out"));
    assert!(render(&report, Style::default()).contains("Missing from the record"));
}

#[test]
fn what_nobody_counted_is_no_zero() {
    let events = events(GOOD);
    let facts = StageFacts {
        uncounted: true,
        counters: None,
        memory_peak: 0,
        ..facts(&events)
    };
    let report = judge(&facts, &events);
    assert_eq!(report.verdict, Verdict::Unremarkable);
    assert_eq!(
        report.reasons,
        ["no rule fired; the notes say what a trace does not tell"]
    );
    let text = render(&report, Style::default());
    let row = text
        .lines()
        .find(|line| line.contains("completed"))
        .unwrap();
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(
        cells,
        ["install", "completed", "21.400", "s", "?", "?", "?", "?"]
    );
}
