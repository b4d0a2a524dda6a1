//! A burst of events of every family, and what became of them.

use std::time::Duration;

use anyhow::{Result, ensure};
use pyti_analyzer::facts::family_name;
use pyti_tests::burst::{self, Burst};
use pyti_tests::guest;
use pyti_trace::event::Family;

/// Events that a burst makes at least: fewer prove nothing about a flood.
const BURST_EVENTS: u64 = 100_000;

/// A burst of events of every family, on a host that keeps up and on one that does not: what was
/// done is stored or counted as lost, exactly.
///
/// # Errors
/// There is no machine, fewer events than [`BURST_EVENTS`] were made, or the sums do not come out even.
pub async fn measure(seconds: u64) -> Result<()> {
    let spec = burst::stage(seconds, 5, 20)?;
    let ran = guest::run(&spec).await?;
    let burst = burst::reckon(&ran)?;
    say("burst", &burst, seconds);
    let made: u64 = burst.made.iter().sum();
    ensure!(
        made >= BURST_EVENTS,
        "the burst made {made} events, fewer than {BURST_EVENTS}: --burst-seconds makes it longer"
    );
    let spec = burst::stage(seconds, 30, 3000)?;
    let slow = move || burst::run_slowly(&spec, Duration::from_secs(seconds.min(30)));
    let ran = tokio::task::spawn_blocking(slow).await??;
    say("burst, slow host", &burst::reckon(&ran)?, seconds);
    Ok(())
}

fn say(name: &str, burst: &Burst, seconds: u64) {
    let sum = |counts: &[u64; 6]| counts.iter().sum::<u64>();
    println!(
        "{name:<20} {} events made = {} stored + {} lost, in every family; {} a second",
        sum(&burst.made),
        sum(&burst.stored),
        sum(&burst.lost),
        sum(&burst.made) / seconds.max(1)
    );
    for (index, family) in Family::ALL.into_iter().enumerate() {
        println!(
            "    {:<12} {:>9} = {:>9} + {:>9}",
            family_name(family),
            burst.made[index],
            burst.stored[index],
            burst.lost[index]
        );
    }
}
