//! Runs C programs of `programs/` in a clone, as the package's ordinary user, and gives what they said
//! and what is on record.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use pyti::cli::{AccelArg, LimitArgs};
use pyti::home::Home;
use pyti::interrupt::Interrupt;
use pyti::machine::{self, Machine};
use pyti::order::order;
use pyti::watch::watch;
use pyti_analyzer::store::{self, Budget};
use pyti_analyzer::{Report, RuleSet, StageFacts, StageRecord, StageStatus, Target};
use pyti_trace::event::{Event, Family};
use pyti_trace::wire::StageSpec;
use pyti_vm::{StartOptions, Template, Vm};

/// What all of them include.
const COMMON: &str = include_str!("../programs/guest.h");

/// Bounds that none of them comes near.
pub const LIMITS: LimitArgs = LimitArgs {
    wall_seconds: 300,
    memory_mib: 1024,
    pids: 200,
    output_kib: 1024,
    events: 8_000_000,
};

/// What came of it.
pub struct Ran {
    /// What the host and the agent know.
    pub facts: StageFacts,
    /// The record.
    pub events: Vec<Event>,
    /// Standard output.
    pub said: String,
}

/// The usual image's template.
///
/// # Errors
/// There is no machine.
pub async fn template() -> Result<Template> {
    let home = Home::find()?;
    let machine = Machine::new(&home, machine::definition(None, None)?, AccelArg::Auto)?;
    machine.template(Arc::new(|_| {})).await
}

/// A stage that compiles `sources`, by names such as `matrix`, and runs `command`; the programs are
/// `/tmp/run-NAME`.
///
/// # Errors
/// The host has no entropy.
pub fn stage(sources: &[(&str, &str)], command: &str) -> Result<StageSpec> {
    let compile: String = sources
        .iter()
        .map(|(name, _)| format!("gcc -O1 -o /tmp/run-{name} {name}.c -lpthread && "))
        .collect();
    let argv = ["/bin/sh", "-c", &format!("{compile}{command}")];
    let mut spec = order("programs", argv.map(str::to_owned).to_vec(), &LIMITS)?;
    spec.slots.clear();
    let mut plant = |name: &str, text: &str| {
        let path = format!("{}/{name}", pyti::order::HOME);
        spec.files.push((path, text.to_owned()));
    };
    plant("guest.h", COMMON);
    for (name, source) in sources {
        plant(&format!("{name}.c"), source);
    }
    Ok(spec)
}

/// Runs a stage to its end.
///
/// # Errors
/// There is no machine, or the stage did not end by itself with exit status 0.
pub async fn run(spec: &StageSpec) -> Result<Ran> {
    let vm = template().await?.start(StartOptions::default()).await?;
    run_in(vm, spec).await
}

/// The same in a machine that is there.
///
/// # Errors
/// As above.
pub async fn run_in(vm: Vm, spec: &StageSpec) -> Result<Ran> {
    let directory = tempfile::tempdir()?;
    let interrupt = Interrupt::never();
    let watched = watch(vm, spec, directory.path(), LIMITS.events, &interrupt).await?;
    let output = |name: &str| -> Result<String> {
        let bytes = std::fs::read(directory.path().join(name)).context("no output")?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    ensure!(
        watched.facts.status == StageStatus::Completed,
        "the programs ended as {:?}: {}",
        watched.facts,
        output("stderr")?
    );
    let said = output("stdout")?;
    let events = store::read_within(directory.path(), &mut Budget::everything())?.events;
    Ok(Ran {
        facts: watched.facts,
        events,
        said,
    })
}

/// The usual rules' judgement.
///
/// # Errors
/// The rules cannot be read.
pub fn judge(facts: &StageFacts, events: &[Event]) -> Result<Report> {
    let rules = RuleSet::load(None, &pyti::order::vars());
    let rules = rules.map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(rules.judge(&Target::default(), &[StageRecord { facts, events }]))
}

/// How many events the probes saw. In every family each is either stored, or counted as lost where it
/// was lost.
///
/// # Errors
/// It is not so.
pub fn accounts(facts: &StageFacts, events: &[Event]) -> Result<u64> {
    let counters = facts.counters.as_ref().context("no counters")?;
    let mut sum = 0;
    for (family, counted) in Family::ALL.iter().zip(&counters.families) {
        let of = |event: &&Event| event.kind.family() == *family;
        let stored = events.iter().filter(of).count() as u64;
        ensure!(
            counted.seen == stored + counted.full + counted.oversize,
            "{family:?}: {stored} stored, but {counted:?}"
        );
        sum += counted.seen;
    }
    Ok(sum)
}
