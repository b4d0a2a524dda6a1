//! What a machine sent of a stage, judged by the rules that are built in, and reported.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pyti_analyzer::report::{event_table, process_tree, render};
use pyti_analyzer::{
    Origins, RuleSet, StageFacts, StageRecord, StageStatus, Style, Target, Tree, Vars,
};
use pyti_trace::decode::decode_all;
use pyti_trace::wire::{FrameKind, Heartbeat, StageResult, read_frame};

static RULES: LazyLock<RuleSet> =
    LazyLock::new(|| RuleSet::load(None, &Vars::default()).expect("rules"));

fuzz_target!(|bytes: &[u8]| {
    let mut input = bytes;
    let mut events = Vec::new();
    let mut facts = StageFacts::new("install", StageStatus::Completed);
    while let Ok(Some(frame)) = read_frame(&mut input) {
        let payload = &frame.payload;
        match frame.kind {
            FrameKind::Events => events.extend(decode_all(payload).flatten()),
            FrameKind::Heartbeat => {
                if let Ok(beat) = serde_json::from_slice::<Heartbeat>(payload) {
                    facts.counters = beat.counters;
                }
            }
            FrameKind::Done => {
                if let Ok(result) = serde_json::from_slice::<StageResult>(payload) {
                    facts = StageFacts::from_result("install", 0, &result);
                }
            }
            _ => {}
        }
    }
    events.sort_by_key(|event| (event.time_ns, event.cpu, event.seq));
    let record = StageRecord {
        facts: &facts,
        events: &events,
    };
    let report = RULES.judge(&Target::default(), &[record]);
    report.to_json().expect("a report as JSON");
    let (style, vars) = (Style::default(), Vars::default());
    let (tree, origins) = (Tree::new(&events), Origins::new(&events, &vars.work));
    for text in [
        render(&report, style),
        event_table(&events, &origins, 0, style),
        process_tree(&tree, &origins, 0, style),
    ] {
        // What is printed drives no terminal.
        assert!(
            !text.contains(|c: char| c.is_control() && c != '\n'),
            "{text:?}"
        );
    }
});
