//! A burst of events of every family, and what became of them.

use std::time::Duration;

use anyhow::{Result, ensure};
use pyti_analyzer::facts::family_name;
use pyti_tests::burst::{self, Burst};
use pyti_tests::guest::{self, Ran};
use pyti_trace::event::Family;

/// Events that a burst makes at least: fewer prove nothing about a flood.
const BURST_EVENTS: u64 = 100_000;
/// Events a second that a burst is to make, where the machine can: one that cannot misses no aim.
const AIM: u64 = 100_000;
/// Seconds of quiet after a burst.
const SETTLE: u64 = 5;
/// Length of the names that are asked for in vain.
const LENGTH: u64 = 20;

/// A burst of events of every family, on a host that keeps up and on one that does not: what was
/// done is stored or counted as lost, exactly.
///
/// # Errors
/// There is no machine, fewer events than [`BURST_EVENTS`] were made, or the sums do not come out even.
pub async fn measure(seconds: u64) -> Result<()> {
    let spec = burst::stage(seconds, SETTLE, LENGTH)?;
    let burst = reckon(guest::run(&spec).await?).await?;
    say("burst", &burst, seconds);
    let made = sum(&burst.made);
    ensure!(
        made >= BURST_EVENTS,
        "the burst made {made} events, fewer than {BURST_EVENTS}: --burst-seconds makes it longer"
    );
    let spec = burst::stage(seconds, 30, 3000)?;
    let slow = move || burst::run_slowly(&spec, Duration::from_secs(seconds.min(30)));
    let ran = tokio::task::spawn_blocking(slow).await??;
    say("burst, slow host", &reckon(ran).await?, seconds);
    Ok(())
}

/// Reckons up. Where the host's own bounds were reached, how the program ends is not on record: a short
/// burst, which ends in the same way, tells.
async fn reckon(ran: Ran) -> Result<Burst> {
    if !burst::is_cut(&ran) {
        return burst::reckon(&ran);
    }
    let short = guest::run(&burst::stage(1, SETTLE, LENGTH)?).await?;
    burst::reckon_cut(&ran, burst::reckon(&short)?.after)
}

fn say(name: &str, burst: &Burst, seconds: u64) {
    println!(
        "{name:<20} {} events made = {} stored + {} lost, in every family; {}",
        sum(&burst.made),
        sum(&burst.stored),
        sum(&burst.lost),
        pace(sum(&burst.made), seconds)
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

fn sum(counts: &[u64; 6]) -> u64 {
    counts.iter().sum()
}

/// How fast they were made.
fn pace(made: u64, seconds: u64) -> String {
    let pace = made / seconds.max(1);
    if pace >= AIM {
        format!("{pace} a second, aim 100,000 a second: met")
    } else {
        format!("{pace} a second, as fast as this machine goes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_machine_is_told_and_misses_nothing() {
        assert_eq!(
            pace(6_000_000, 60),
            "100000 a second, aim 100,000 a second: met"
        );
        assert_eq!(
            pace(5_999_999, 60),
            "99999 a second, as fast as this machine goes"
        );
        assert_eq!(pace(7, 0), "7 a second, as fast as this machine goes");
    }
}
