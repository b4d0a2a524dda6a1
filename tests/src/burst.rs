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
/// The first mark.
const BEGIN: &str = "/tmp/burst-begin";
/// The second one.
const END: &str = "/tmp/burst-end";

/// What came of it, by family in the order of [`Family::ALL`].
#[derive(Debug)]
pub struct Burst {
    /// Events that the program says it made.
    pub made: [u64; 6],
    /// Of these, stored.
    pub stored: [u64; 6],
    /// Of these, counted as lost: no room in the ring buffer, or in a map, or on the host.
    pub lost: [u64; 6],
    /// Events that are not of the burst: the second mark, and what followed it.
    pub after: [u64; 6],
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

/// Whether the host's own bounds on what it stores were reached. What came then is counted as lost, and
/// the second mark with it.
#[must_use]
pub fn is_cut(ran: &Ran) -> bool {
    ran.facts.dropped.iter().any(|dropped| *dropped > 0)
}

/// Reckons up.
///
/// # Errors
/// The sums do not come out even.
pub fn reckon(ran: &Ran) -> Result<Burst> {
    guest::accounts(&ran.facts, &ran.events)?;
    let end = mark(ran, END)?.time_ns;
    reckon_until(ran, end, None)
}

/// Reckons up a burst that [`is_cut`], of which nobody saw what followed the second mark: as many events
/// of each family as are `after` that of another burst.
///
/// # Errors
/// The sums do not come out even.
pub fn reckon_cut(ran: &Ran, after: [u64; 6]) -> Result<Burst> {
    let end = mark(ran, END).map_or(u64::MAX, |event| event.time_ns);
    reckon_until(ran, end, Some(after))
}

/// Its first event, which is on record.
fn mark<'r>(ran: &'r Ran, name: &str) -> Result<&'r Event> {
    let is = |event: &&Event| event.path.as_deref() == Some(name);
    let found = ran.events.iter().find(is);
    found.with_context(|| format!("{name} is not on record"))
}

/// `end` is the time of the second mark; `ending` is what followed it, where not all of that is stored.
fn reckon_until(ran: &Ran, end: u64, ending: Option<[u64; 6]>) -> Result<Burst> {
    let counters = ran.facts.counters.as_ref().context("no counters")?;
    ensure!(
        counters.recursion_misses == 0 && counters.untracked == 0,
        "not everything was seen: {counters:?}"
    );
    let begin = mark(ran, BEGIN)?.time_ns;
    let mut burst = Burst {
        made: [0; 6],
        stored: [0; 6],
        lost: [0; 6],
        after: [0; 6],
    };
    for (index, family) in Family::ALL.into_iter().enumerate() {
        let name = family_name(family);
        let line = ran.said.lines().find_map(|line| line.strip_prefix(name));
        let made: u64 = line.context("a family is not said")?.trim().parse()?;
        let (mut before, mut inside, mut after) = (0_u64, 0_u64, 0_u64);
        for event in &ran.events {
            if event.kind.family() != family {
                continue;
            }
            if event.time_ns <= begin {
                before += 1;
            } else if event.time_ns < end {
                inside += 1;
            } else {
                after += 1;
            }
        }
        let ended = ending.map_or(after, |ending| ending[index]);
        let unstored = ended.checked_sub(after);
        let unstored = unstored.with_context(|| format!("{name}: {after} after the mark"))?;
        let counted = counters.families[index];
        let dropped = ran.facts.dropped[index];
        // What ended the program and is not stored came when the host was full, and was dropped there.
        let inside_dropped = dropped.checked_sub(unstored);
        let inside_dropped = inside_dropped
            .with_context(|| format!("{name}: {dropped} dropped, {unstored} after the mark"))?;
        let lost = counted.full + counted.oversize + inside_dropped;
        ensure!(
            inside + lost == made,
            "{name}: {made} made, {inside} stored, {lost} lost"
        );
        ensure!(
            counted.seen == made + before + ended,
            "{name}: {made} made and {} others, but {counted:?}",
            before + ended
        );
        burst.made[index] = made;
        burst.stored[index] = inside;
        burst.lost[index] = lost;
        burst.after[index] = ended;
    }
    Ok(burst)
}

#[cfg(test)]
mod tests {
    use pyti_analyzer::{StageFacts, StageStatus};
    use pyti_trace::event::{Counters, Kind, ProcessKey};

    use super::*;

    const FILE: usize = Family::File as usize;
    const PROCESS: usize = Family::Process as usize;

    fn event(kind: Kind, time_ns: u64, path: Option<&str>) -> Event {
        Event {
            path: path.map(str::to_owned),
            ..Event::new(kind, ProcessKey::default(), time_ns)
        }
    }

    /// Ten opens between the marks, of which the ring buffer lost two; before them the execution, after
    /// them the exit.
    fn ran() -> Ran {
        let mut events = vec![
            event(Kind::Exec, 1, None),
            event(Kind::Mkdir, 2, Some(BEGIN)),
        ];
        events.extend((3..11).map(|time| event(Kind::Open, time, None)));
        events.push(event(Kind::Mkdir, 11, Some(END)));
        events.push(event(Kind::Exit, 12, None));
        let mut counters = Counters::default();
        counters.families[FILE].seen = 12;
        counters.families[FILE].submitted = 10;
        counters.families[FILE].full = 2;
        counters.families[PROCESS].seen = 2;
        counters.families[PROCESS].submitted = 2;
        let mut facts = StageFacts::new("programs", StageStatus::Completed);
        facts.counters = Some(counters);
        let said = Family::ALL.map(|family| match family {
            Family::File => "file 10\n".to_owned(),
            other => format!("{} 0\n", family_name(other)),
        });
        Ran {
            facts,
            events,
            said: said.concat(),
        }
    }

    /// The same where the host stored so many events and dropped the others.
    fn full_after(stored: usize) -> Ran {
        let mut ran = ran();
        for event in ran.events.split_off(stored) {
            ran.facts.dropped[event.kind.family() as usize] += 1;
        }
        ran
    }

    #[test]
    fn what_was_made_is_stored_or_lost() {
        let burst = reckon(&ran()).unwrap();
        assert_eq!(burst.made[FILE], 10);
        assert_eq!((burst.stored[FILE], burst.lost[FILE]), (8, 2));
        assert_eq!((burst.after[FILE], burst.after[PROCESS]), (1, 1));
        assert!(!is_cut(&ran()));
    }

    #[test]
    fn one_event_too_few_or_too_many_does_not_come_out_even() {
        let mut fewer = ran();
        fewer.events.remove(5);
        assert!(reckon(&fewer).is_err());
        let mut more = ran();
        more.events.push(event(Kind::Open, 5, None));
        assert!(reckon(&more).is_err());
        // What is said to be made is not what was seen, although that is accounted for.
        let mut unseen = ran();
        unseen.said = unseen.said.replace("file 10", "file 11");
        assert!(reckon(&unseen).is_err());
        let mut missed = ran();
        missed.facts.counters.as_mut().unwrap().recursion_misses = 1;
        assert!(reckon(&missed).is_err());
    }

    #[test]
    fn what_a_full_host_drops_is_lost_to_the_event() {
        let after = reckon(&ran()).unwrap().after;
        // Between the marks, at the second one, and behind it.
        for (stored, inside) in [(6, 4), (10, 8), (11, 8)] {
            let mut cut = full_after(stored);
            assert!(is_cut(&cut) && reckon(&cut).is_err(), "{stored}");
            let burst = reckon_cut(&cut, after).unwrap();
            assert_eq!(burst.made[FILE], 10);
            assert_eq!(
                (burst.stored[FILE], burst.lost[FILE]),
                (inside, 10 - inside)
            );
            cut.facts.dropped[FILE] += 1;
            assert!(reckon_cut(&cut, after).is_err(), "{stored}");
        }
        let mut silent = full_after(6);
        silent.facts.dropped[FILE] -= 1;
        assert!(reckon_cut(&silent, after).is_err());
    }
}
