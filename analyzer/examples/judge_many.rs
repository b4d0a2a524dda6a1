//! Measures the judgement: `cargo run --release --example judge_many -- 500000`.

use std::time::Instant;

use pyti_analyzer::{RuleSet, StageFacts, StageRecord, StageStatus, Target, Vars};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: usize = std::env::args()
        .nth(1)
        .map_or(Ok(500_000), |count| count.parse())?;
    let rules = RuleSet::load(None, &Vars::default())?;
    let honest = rules.cases("honest.yaml", include_str!("../tests/honest.yaml"))?;
    let some: Vec<_> = honest.into_iter().flat_map(|case| case.events).collect();
    let mut events: Vec<_> = some.iter().cycle().take(count).cloned().collect();
    for (number, event) in events.iter_mut().enumerate() {
        event.time_ns = number as u64 * 1000;
    }
    let facts = StageFacts::new("install", StageStatus::Completed);
    let started = Instant::now();
    let record = StageRecord {
        facts: &facts,
        events: &events,
    };
    let report = rules.judge(&Target::default(), &[record]);
    println!(
        "{count} events, {} findings, {:?}",
        report.findings.len(),
        started.elapsed()
    );
    for undecided in &report.undecided {
        println!("undecided: {} {}", undecided.rule, undecided.reason);
    }
    Ok(())
}
