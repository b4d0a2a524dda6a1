//! Two names that change places: one event that rules judge from either name, and that is told once.

use pyti_analyzer::report::Finding;
use pyti_analyzer::rules::Source;
use pyti_analyzer::{Report, RuleSet, StageFacts, StageRecord, StageStatus, Target, Vars};

/// What a rule with this body says of these events, one per line.
fn judged(body: &str, events: &str) -> Report {
    let rule = format!(
        "id: r\nsummary: '{{file}} became {{target}}'\nseverity: high\nconfidence: high\nattack: T1036\ndescription: d\n{body}"
    );
    let source = Source {
        files: vec![("rules/r.yaml".to_owned(), rule)],
    };
    let rules =
        RuleSet::from_source(&source, &Vars::default()).unwrap_or_else(|errors| panic!("{errors}"));
    let lines = events.trim().replace('\n', "\n    - ");
    let events = rules
        .cases("t.yaml", &format!("- case: c\n  events:\n    - {lines}"))
        .unwrap_or_else(|errors| panic!("{errors}"))
        .remove(0)
        .events;
    let facts = StageFacts::new("install", StageStatus::Completed);
    let record = StageRecord {
        facts: &facts,
        events: &events,
    };
    rules.judge(&Target::default(), &[record])
}

/// The only finding, with the numbers of the events that prove it.
fn only(report: &Report) -> (&Finding, Vec<usize>) {
    let [finding] = &report.findings[..] else {
        panic!("{:#?}", report.findings);
    };
    let evidence = finding.evidence.iter().map(|one| one.index);
    (finding, evidence.collect())
}

#[test]
fn either_name_is_the_new_one() {
    let body = "match: {kind: rename, where: {target: /a}}";
    for (events, summary) in [
        ("{rename: [/b, /a], flags: 2}", "/b became /a"),
        ("{rename: [/a, /b], flags: 2}", "/b became /a"),
        // It may have been refused.
        (
            "{rename: [/a, /b], flags: 2, result: EACCES}",
            "/b became /a",
        ),
    ] {
        let report = judged(body, events);
        let (finding, evidence) = only(&report);
        assert_eq!(finding.summary, summary, "{events}");
        assert_eq!((finding.count, evidence), (1, vec![0]), "{events}");
        assert!(finding.evidence[0].text.contains('⇄'), "{events}");
    }
    for events in ["{rename: [/a, /b]}", "{rename: [/a, /b], flags: 1}"] {
        assert!(judged(body, events).findings.is_empty(), "{events}");
    }
}

#[test]
fn what_excepts_holds_for_the_name_that_is_looked_from() {
    let body = "match: {kind: rename, where: {target: {under: /s}, not: {file: {under: /s}}}}";
    for events in [
        "{rename: [/s/a, /x], flags: 2}",
        "{rename: [/x, /s/a], flags: 2}",
    ] {
        let report = judged(body, events);
        assert_eq!(only(&report).0.summary, "/x became /s/a", "{events}");
    }
    let within = judged(body, "{rename: [/s/a, /s/b], flags: 2}");
    assert!(within.findings.is_empty() && within.undecided.is_empty());
}

#[test]
fn one_event_is_told_once() {
    let body = "match: {kind: rename, where: {target: {under: /s}}}";
    let report = judged(
        body,
        "{open: /x}\n{rename: [/s/a, /s/b], flags: 2}\n{rename: [/s/c, /x], flags: 2}",
    );
    let (finding, evidence) = only(&report);
    assert_eq!((finding.count, evidence), (2, vec![1, 2]));
    assert_eq!(finding.captures["target"], ["/s/b", "/s/a", "/s/c"]);
    // Both names are among those that are counted, and the event is shown once.
    let body = "count: {kind: rename, by: tree, within: 1s, distinct: file, at_least: 2, where: {file: {under: /s}}}";
    let report = judged(body, "{rename: [/s/a, /s/b], flags: 2}");
    let (finding, evidence) = only(&report);
    assert_eq!((finding.count, evidence), (2, vec![0]));
    let one = judged(body, "{rename: [/s/a, /x], flags: 2}");
    assert!(one.findings.is_empty());
}

#[test]
fn one_event_is_one_step_of_a_sequence() {
    let body = "sequence: {by: tree, within: 10s, steps: [{kind: rename, as: one}, {kind: rename, where: {file: {same: one.target}}}]}";
    let exchange = "{rename: [/a, /b], flags: 2}";
    assert!(judged(body, exchange).findings.is_empty());
    for then in ["{rename: [/a, /c]}", "{rename: [/b, /c]}"] {
        let report = judged(body, &format!("{exchange}\n{then}"));
        let (finding, evidence) = only(&report);
        assert_eq!((finding.count, evidence), (1, vec![0, 1]), "{then}");
    }
}

#[test]
fn what_stands_at_either_name_afterwards_is_not_known_to_be_made_here() {
    let body = "match: {kind: unlink, summary: '{file} is gone', where: {born_here: false}}";
    let made = "{open: /made, created: true, writes: true}";
    for (events, undecided) in [
        (format!("{made}\n{{unlink: /made}}"), false),
        (
            format!("{made}\n{{rename: [/made, /old], flags: 2}}\n{{unlink: /made}}"),
            true,
        ),
        (
            format!("{made}\n{{rename: [/old, /made], flags: 2}}\n{{unlink: /old}}"),
            true,
        ),
    ] {
        let report = judged(body, &events);
        assert!(report.findings.is_empty(), "{events}");
        assert_eq!(!report.undecided.is_empty(), undecided, "{events}");
    }
}
