//! Reports in narrow terminals, and how much of a finding they show.

use pyti_analyzer::report::{Finding, Made, RunInfo, TaskResult, render, render_finding};
use pyti_analyzer::{Report, StageFacts, StageRecord, StageStatus, Style};
use pyti_trace::event::Counters;

use super::{BAD, events, facts, rules, steal, target};

/// A report of many stages, wide texts and a run: what a narrow terminal has to take.
fn crowded() -> Report {
    let mut events = events(BAD);
    steal(&mut events);
    let install = facts(&events);
    let named = |name: &str, status| StageFacts {
        name: name.to_owned(),
        status,
        memory_peak: 0,
        wall_ns: 0,
        counters: Some(Counters::default()),
        ..install.clone()
    };
    let reason =
        "metadata failed: exit status 1: Error: pg_config executable not found.".to_owned();
    let all = [
        named("quality-pyflakes", StageStatus::Failed { exit: 1 }),
        StageFacts::new("coverage", StageStatus::NotStarted { reason }),
        install,
    ];
    let records: Vec<StageRecord<'_>> = all
        .iter()
        .map(|facts| StageRecord {
            facts,
            events: match &*facts.name {
                "install" => &events,
                _ => &[],
            },
        })
        .collect();
    let mut report = rules().judge(&target(), &records);
    let result = |task: &str, outcome: &str, summary: &str| TaskResult {
        task: task.to_owned(),
        outcome: outcome.to_owned(),
        summary: summary.to_owned(),
    };
    report.results = vec![
        result(
            "metadata",
            "failed",
            "exit status 1: Error: pg_config executable not found.",
        ),
        result("quality-pyflakes", "done", "40 remarks"),
        result(
            "quality-wheel",
            "not applicable",
            "there is no wheel: no build was asked for (--stage build), or it gave no result",
        ),
        result("install", "skipped", "metadata failed"),
    ];
    report.run = Some(RunInfo {
        id: Some("1-x".to_owned()),
        directory: Some("/runs/1-x".to_owned()),
        made: Made {
            started: 1_795_634_771,
            program: "0.1.0".to_owned(),
            python: Some("3.13".to_owned()),
            image: Some("trixie".to_owned()),
            accel: Some("tcg".to_owned()),
            index: Some("https://pypi.org/simple/".to_owned()),
        },
    });
    report
}

#[test]
fn a_narrow_terminal_breaks_no_word_no_number_and_no_digest() {
    let report = crowded();
    for width in [60, 80] {
        let style = Style {
            width,
            colour: false,
        };
        let text = render(&report, style);
        insta::assert_snapshot!(format!("crowded_{width}"), text);
        for line in text.lines().filter(|line| !line.contains("sha256")) {
            assert!(line.chars().count() <= usize::from(width), "{line}");
        }
        if width == 80 {
            assert!(
                text.contains(&format!("\nsha256 {}\n", "ab".repeat(32))),
                "{text}"
            );
        }
    }
}

#[test]
fn one_finding_has_all_of_its_proof() {
    let mut finding: Finding = crowded().findings.remove(0);
    let evidence = finding.evidence[0].clone();
    finding.evidence = vec![evidence; 20];
    finding.clauses = (0..15)
        .map(|number| format!("path name $list{number}"))
        .collect();
    finding.count = 31;
    let report = Report {
        findings: vec![finding.clone()],
        ..crowded()
    };
    let style = Style::default();
    let whole = render(&report, style);
    for part in [
        "and 8 more: pyti show RUN --finding 1",
        "and 3 more: pyti show RUN --finding 1",
        "of 31, the first 20 events are kept",
    ] {
        assert!(whole.contains(part), "no `{part}`: {whole}");
    }
    let alone = render_finding(1, &finding, style);
    assert_eq!(alone.matches(" #3 ").count(), 20, "{alone}");
    assert!(alone.contains("path name $list14"), "{alone}");
    assert!(
        alone.contains("of 31, the first 20 events are kept"),
        "{alone}"
    );
    assert!(!alone.contains(" more:"), "{alone}");
}

#[test]
fn a_long_title_wraps() {
    let mut report = crowded();
    report.target.name = "python3 -m pip install --no-index ".repeat(6);
    let style = Style {
        width: 80,
        colour: false,
    };
    for line in render(&report, style).lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}
