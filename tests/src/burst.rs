//! A burst of events: `programs/burst.c` says how many of each family it made, and exactly so many are
//! stored or counted where they were lost.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pyti_analyzer::facts::family_name;
use pyti_trace::event::{Event, Family};
use pyti_trace::wire::StageSpec;
use pyti_vm::StartOptions;

use crate::guest::{self, Ran};

const SOURCE: &str = include_str!("../programs/burst.c");

/// What came of it, by family in the order of [`Family::ALL`].
#[derive(Debug)]
pub struct Burst {
    /// Events that the program says it made.
    pub made: [u64; 6],
    /// Of these, stored.
    pub stored: [u64; 6],
    /// Of these, counted as lost: no room in the ring buffer, or in a map.
    pub lost: [u64; 6],
}

/// A stage that makes events for `seconds` and is quiet for `settle` seconds; names that are not there
/// have `length` bytes.
///
/// # Errors
/// The host has no entropy.
pub fn stage(seconds: u64, settle: u64, length: u64) -> Result<StageSpec> {
    let command = format!("exec /tmp/run-burst {seconds} {settle} {length}");
    guest::stage(&[("burst", SOURCE)], &command)
}

/// A stage has started by then, on any machine.
const STARTED: Duration = Duration::from_secs(3);

/// Runs a stage on a slow host: once the stage has started, everything but the storing, which one
/// thread does, is kept from its work for `busy`. What is not read stays in the port, then in the agent,
/// then in the ring buffer, which overflows. Then the host catches up.
///
/// # Errors
/// There is no machine, or the stage did not end by itself with exit status 0.
pub fn run_slowly(spec: &StageSpec, busy: Duration) -> Result<Ran> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build()?.block_on(async {
        let template = guest::template().await?;
        let vm = template.start(StartOptions::default()).await?;
        let hold_up = async {
            tokio::time::sleep(STARTED).await;
            std::thread::sleep(busy);
        };
        tokio::join!(guest::run_in(vm, spec), hold_up).0
    })
}

/// Reckons up.
///
/// # Errors
/// The sums do not come out even.
pub fn reckon(ran: &Ran) -> Result<Burst> {
    let counters = ran.facts.counters.as_ref().context("no counters")?;
    ensure!(
        counters.recursion_misses == 0 && counters.untracked == 0,
        "not everything was seen: {counters:?}"
    );
    guest::accounts(&ran.facts, &ran.events)?;
    let mark = |name: &str| {
        let is = |event: &&Event| event.path.as_deref() == Some(name);
        let found = ran.events.iter().find(is);
        found.with_context(|| format!("{name} is not on record"))
    };
    let (begin, end) = (mark("/tmp/burst-begin")?, mark("/tmp/burst-end")?);
    let mut burst = Burst {
        made: [0; 6],
        stored: [0; 6],
        lost: [0; 6],
    };
    for (index, family) in Family::ALL.into_iter().enumerate() {
        let name = family_name(family);
        let line = ran.said.lines().find_map(|line| line.strip_prefix(name));
        let made: u64 = line.context("a family is not said")?.trim().parse()?;
        let of = ran
            .events
            .iter()
            .filter(|event| event.kind.family() == family);
        let (inside, outside): (Vec<&Event>, Vec<&Event>) =
            of.partition(|event| begin.time_ns < event.time_ns && event.time_ns < end.time_ns);
        let counted = counters.families[index];
        let lost = counted.full + counted.oversize;
        ensure!(
            inside.len() as u64 + lost == made,
            "{name}: {made} made, {} stored, {lost} lost",
            inside.len()
        );
        ensure!(
            counted.seen == made + outside.len() as u64,
            "{name}: {made} made and {} others, but {counted:?}",
            outside.len()
        );
        burst.made[index] = made;
        burst.stored[index] = inside.len() as u64;
        burst.lost[index] = lost;
    }
    Ok(burst)
}
