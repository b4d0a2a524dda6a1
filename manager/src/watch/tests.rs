//! What an agent says that is not the agent any more.

use super::*;

fn spec(traced: bool) -> StageSpec {
    StageSpec {
        stage: "install".into(),
        argv: vec![],
        env: vec![],
        cwd: "/".into(),
        traced,
        timed: false,
        wall_seconds: 1,
        memory_bytes: 0,
        pids: 0,
        output_bytes: 100,
        hostname: String::new(),
        unix_time_ns: 0,
        entropy: String::new(),
        slots: vec![],
        files: vec![],
        collect: vec![],
        keep: None,
    }
}

fn counters(seen: u64, full: u64) -> Counters {
    let mut counters = Counters::default();
    counters.families[0] = FamilyCounters {
        seen,
        submitted: seen - full,
        full,
        oversize: 0,
    };
    counters
}

fn beat(counters: Counters) -> (FrameKind, serde_json::Value) {
    let beat = Heartbeat {
        boot_ns: 2,
        counters: Some(counters),
    };
    (FrameKind::Heartbeat, serde_json::to_value(beat).unwrap())
}

fn started() -> (FrameKind, serde_json::Value) {
    let started = Started {
        boot_ns: 1,
        tgid: 42,
    };
    (FrameKind::Started, serde_json::to_value(started).unwrap())
}

fn done(counters: Counters) -> (FrameKind, serde_json::Value) {
    let result = serde_json::json!({
        "ending": Ending::Exited(0), "wall_ns": 0, "user_us": 0, "system_us": 0, "memory_peak": 0,
        "oom_kills": 0, "pids_refused": 0, "left_behind": 0, "stdout_dropped": 0,
        "stderr_dropped": 0, "disk_used": 0, "counters": counters,
    });
    (FrameKind::Done, result)
}

/// What is said of a stage after these frames; its record has what these processes executed.
async fn problems(
    spec: StageSpec,
    frames: Vec<(FrameKind, serde_json::Value)>,
    executed: &[u32],
) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let recorder = Recorder::start(directory.path(), 1).unwrap();
    let mut stage = Stage::new(&spec, directory.path()).unwrap();
    for (kind, payload) in frames {
        let payload = serde_json::to_vec(&payload).unwrap();
        let frame = Frame { kind, payload };
        if let Some(end) = stage.take(frame, &recorder, Instant::now()).await {
            let kept = Kept {
                executed: executed.iter().copied().collect(),
                ..Kept::default()
            };
            let facts = stage.finish(end, kept, None).facts;
            assert_eq!(facts.status, StageStatus::Completed);
            return facts.problems;
        }
    }
    panic!("the stage did not end");
}

#[tokio::test]
async fn an_honest_end_is_believed() {
    let frames = || {
        vec![
            started(),
            beat(counters(5, 0)),
            beat(counters(9, 1)),
            done(counters(9, 1)),
        ]
    };
    let none: [String; 0] = [];
    assert_eq!(problems(spec(true), frames(), &[42]).await, none);
    assert_eq!(problems(spec(false), frames(), &[]).await, none);
}

#[tokio::test]
async fn losses_that_were_told_are_not_taken_back() {
    let back = ["the agent took back what it had counted before"];
    for frames in [
        vec![started(), beat(counters(9, 3)), done(counters(9, 0))],
        vec![started(), beat(counters(9, 0)), done(counters(0, 0))],
        vec![
            started(),
            beat(counters(9, 3)),
            beat(counters(0, 0)),
            done(counters(0, 0)),
        ],
    ] {
        assert_eq!(problems(spec(true), frames, &[42]).await, back);
    }
}

#[tokio::test]
async fn an_end_without_a_beginning_is_not_believed() {
    let never = problems(spec(true), vec![done(counters(0, 0))], &[]).await;
    assert_eq!(never, ["the agent reported an end, but never the start"]);
    let nothing = problems(spec(true), vec![started(), done(counters(0, 0))], &[7]).await;
    assert_eq!(
        nothing,
        ["what the stage's first process executed is not on record"]
    );
    let twice = vec![started(), started(), done(counters(0, 0))];
    let twice = problems(spec(true), twice, &[42]).await;
    assert_eq!(twice, ["the agent said twice that the stage had started"]);
}
