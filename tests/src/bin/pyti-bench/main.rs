//! `cargo xtask bench`: what PyTI costs, as medians and as ratios within one run.
//!
//! Everything runs in clones of the same template; the ways of watching take turns, so that a noisy
//! machine is noisy for all of them.

mod audits;
mod workload;

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use pyti::cli::{AccelArg, LimitArgs};
use pyti::home::Home;
use pyti::interrupt::Interrupt;
use pyti::machine::{self, Machine};
use pyti::order;
use pyti::watch::{Watched, watch};
use pyti_analyzer::facts::family_name;
use pyti_analyzer::store::{self, Budget};
use pyti_analyzer::{StageStatus, escape_within};
use pyti_tests::burst::{self, Burst};
use pyti_tests::guest;
use pyti_trace::event::Family;
use pyti_vm::{Interpreter, StartOptions, Template};

use crate::workload::Workload;

/// Measures.
#[derive(Parser)]
struct Args {
    /// Repetitions of each measurement.
    #[arg(long, default_value_t = 5)]
    repeat: usize,
    /// Only the workloads whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Without strace, which takes most of the time.
    #[arg(long)]
    no_strace: bool,
    /// How long the burst of events lasts; `--only burst --burst-seconds 60` measures nothing else for
    /// a minute.
    #[arg(long, default_value_t = 30)]
    burst_seconds: u64,
}

/// Events that a burst makes at least: fewer prove nothing about a flood.
const BURST_EVENTS: u64 = 100_000;

/// Programs that are shown of those that took the longest.
const DEAREST: usize = 6;

/// Bounds that no measurement comes near.
const LIMITS: LimitArgs = LimitArgs {
    wall_seconds: 600,
    memory_mib: 1024,
    pids: 512,
    output_kib: 1024,
    events: 5_000_000,
};

/// How a command is watched.
#[derive(Clone, Copy, PartialEq)]
enum Watch {
    /// Not at all: the probes are attached, and follow another process.
    Bare,
    Traced,
    /// Traced, and the kernel counts what the probes take, which costs time itself.
    Timed,
    Strace,
    StraceSeccomp,
}

impl Watch {
    const ALL: [Self; 4] = [Self::Bare, Self::Traced, Self::Strace, Self::StraceSeccomp];

    fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Traced => "traced",
            Self::Timed => "traced and timed",
            Self::Strace => "strace -f",
            Self::StraceSeccomp => "strace -f --seccomp-bpf",
        }
    }

    /// What runs the command.
    fn before(self) -> &'static [&'static str] {
        match self {
            Self::Bare | Self::Traced | Self::Timed => &[],
            Self::Strace => &["strace", "-f", "-o", "/home/dev/trace"],
            // The same families as the probes: all other calls run at full speed.
            Self::StraceSeccomp => &[
                "strace",
                "-f",
                "--seccomp-bpf",
                "-e",
                "trace=%file,%process,%network,%creds,write,close,dup2,dup3",
                "-o",
                "/home/dev/trace",
            ],
        }
    }
}

struct Bench {
    template: Template,
    python: Interpreter,
    interrupt: Interrupt,
    scratch: tempfile::TempDir,
}

/// A stage that ended, and how long its clone took to start it.
struct Run {
    watched: Watched,
    to_started: Duration,
    directory: tempfile::TempDir,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let home = Home::find()?;
    let machine = Machine::new(&home, machine::definition(None, None)?, AccelArg::Auto)?;
    let template = machine.template(Arc::new(|_| {})).await?;
    let record = template.record();
    println!("accelerator          {}", record.accel);
    println!(
        "cold boot to ready   {:.2} s",
        seconds(Duration::from_millis(record.boot_ms))
    );
    let bench = Bench {
        python: machine.interpreter().clone(),
        template,
        interrupt: Interrupt::listen()?,
        scratch: tempfile::tempdir()?,
    };
    bench.clones(args.repeat).await?;
    for workload in workload::all(&home, &bench.python).await? {
        if workload.name.contains(&args.only) {
            bench
                .compare(&workload, args.repeat, args.no_strace)
                .await?;
        }
    }
    if "audit".contains(&args.only) {
        tokio::task::spawn_blocking(audits::split).await??;
    }
    if "burst".contains(&args.only) {
        bench.burst(args.burst_seconds).await?;
    }
    Ok(())
}

impl Bench {
    /// A stage in a fresh clone.
    async fn run(&self, argv: Vec<String>, input: Option<File>, watching: Watch) -> Result<Run> {
        let before = watching.before().iter().map(|&word| word.to_owned());
        let argv = before.chain(argv).collect();
        let mut order = order::order("bench", argv, &LIMITS)?;
        order.traced = matches!(watching, Watch::Traced | Watch::Timed);
        order.timed = watching == Watch::Timed;
        if input.is_none() {
            order.slots.clear();
        }
        let directory = tempfile::tempdir_in(self.scratch.path())?;
        let began = Instant::now();
        let options = StartOptions {
            input,
            ..StartOptions::default()
        };
        let vm = self.template.start(options).await?;
        let cloned = began.elapsed();
        let watched = watch(vm, &order, directory.path(), LIMITS.events, &self.interrupt).await?;
        Ok(Run {
            to_started: cloned + watched.to_start.unwrap_or_default(),
            watched,
            directory,
        })
    }

    /// From asking for a clone to the release of a stage's first process, and a clone's memory.
    async fn clones(&self, repeat: usize) -> Result<()> {
        let mut times = vec![];
        let mut memory = vec![];
        for _ in 0..repeat.max(5) {
            let run = self
                .run(vec!["/usr/bin/true".into()], None, Watch::Traced)
                .await?;
            completed(&run)?;
            times.push(seconds(run.to_started));
            let usage = run.watched.usage.context("the clone ended by itself")?;
            memory.push(usage.private as f64 / (1 << 20) as f64);
        }
        println!(
            "clone to started     {:.3} s (median of {})",
            median(&mut times),
            times.len()
        );
        println!(
            "memory of a clone    {:.0} MiB private",
            median(&mut memory)
        );
        Ok(())
    }

    /// The same work, watched in each way. Wall time is the work's own in the guest; CPU time is that
    /// of the whole machine on the host, which other programs disturb less.
    async fn compare(&self, work: &Workload, repeat: usize, no_strace: bool) -> Result<()> {
        let ways = if no_strace { 2 } else { 4 };
        let ways = &Watch::ALL[..ways];
        let mut walls: Vec<Vec<f64>> = vec![vec![]; ways.len()];
        let mut cpus = walls.clone();
        let mut events = 0;
        for turn in 0..repeat {
            for place in 0..ways.len() {
                // Who comes first is not always the same: what one leaves behind slows the next down.
                let index = (place + turn) % ways.len();
                let way = &ways[index];
                let input = work.input(&self.python, self.scratch.path())?;
                let run = self.run(work.argv.clone(), input, *way).await?;
                completed(&run).with_context(|| format!("{}, {}", work.name, way.name()))?;
                let usage = run.watched.usage.context("the clone ended by itself")?;
                walls[index].push(run.watched.facts.wall_ns as f64 / 1e9);
                cpus[index].push(seconds(usage.cpu));
                if *way == Watch::Traced {
                    events = accounts(&run)?;
                }
            }
        }
        println!(
            "{}, median of {repeat} (ratio to bare: median of the pairs, of the best), {events} events",
            work.name
        );
        // Ratios of neighbours: what slows the machine down slows both.
        let ratio = |times: &[Vec<f64>], index: usize| {
            let pairs = times[index].iter().zip(&times[0]);
            median(
                &mut pairs
                    .map(|(watched, bare)| watched / bare)
                    .collect::<Vec<_>>(),
            )
        };
        // Ratios of the best: noise only ever adds.
        let best = |times: &[Vec<f64>], index: usize| minimum(&times[index]) / minimum(&times[0]);
        for (index, way) in ways.iter().enumerate() {
            println!(
                "    {:<24} wall {:7.2} s ({:.3}, {:.3})   CPU {:7.2} s ({:.3}, {:.3})",
                way.name(),
                median(&mut walls[index].clone()),
                ratio(&walls, index),
                best(&walls, index),
                median(&mut cpus[index].clone()),
                ratio(&cpus, index),
                best(&cpus, index),
            );
        }
        for (what, times) in [("wall", &walls), ("CPU", &cpus)] {
            let cost = |way: Watch| {
                let index = ways.iter().position(|other| *other == way)?;
                Some(ratio(times, index))
            };
            let Some(traced) = cost(Watch::Traced) else {
                continue;
            };
            aim(what, traced, work.aim);
            match cost(Watch::StraceSeccomp) {
                Some(strace) => {
                    println!(", and below strace's {strace:.3}: {}", met(traced < strace))
                }
                None => println!(),
            }
        }
        self.price(work).await
    }

    /// What the probes take by the kernel's own count, which no noise of the machine disturbs.
    async fn price(&self, work: &Workload) -> Result<()> {
        let input = work.input(&self.python, self.scratch.path())?;
        let run = self.run(work.argv.clone(), input, Watch::Timed).await?;
        completed(&run).with_context(|| format!("{}, timed", work.name))?;
        let runs = &run.watched.runs;
        // The VM says so, where a package has run: sums and names of its choosing.
        let nanoseconds: f64 = runs.iter().map(|runs| runs.ns as f64).sum();
        let facts = &run.watched.facts;
        let cpu = (facts.user_us + facts.system_us) as f64 / 1e6;
        let probes = nanoseconds / 1e9;
        println!(
            "    by the kernel's count: the probes {probes:.3} s of the stage's {cpu:.2} s of CPU ({:.1} %), {} runs; the agent {:.3} s",
            100.0 * probes / cpu,
            runs.iter().map(|runs| runs.count as f64).sum::<f64>(),
            seconds(run.watched.agent),
        );
        aim(
            "the probes by the kernel's count,",
            cpu / (cpu - probes),
            work.aim,
        );
        println!();
        for runs in runs.iter().take(DEAREST) {
            println!(
                "        {:<24} {:>8.3} s {:>9} runs {:>7.1} us each",
                escape_within(&runs.program, 24),
                runs.ns as f64 / 1e9,
                runs.count,
                runs.ns as f64 / 1e3 / runs.count as f64
            );
        }
        Ok(())
    }

    /// A burst of events of every family, on a host that keeps up and on one that does not: what was
    /// done is stored or counted as lost, exactly.
    async fn burst(&self, seconds: u64) -> Result<()> {
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

/// Says whether a ratio to bare is within its bound.
fn aim(what: &str, ratio: f64, bound: f64) {
    print!(
        "    aim: {what} {ratio:.3} is at most {bound}: {}",
        met(ratio <= bound)
    );
}

fn met(met: bool) -> &'static str {
    if met { "met" } else { "NOT MET" }
}

/// How many events the probes saw, each of which is stored or counted as lost.
fn accounts(run: &Run) -> Result<u64> {
    let loaded = store::read_within(run.directory.path(), &mut Budget::everything())?;
    guest::accounts(&run.watched.facts, &loaded.events)
}

fn completed(run: &Run) -> Result<()> {
    let facts = &run.watched.facts;
    let log = std::fs::read_to_string(run.directory.path().join("stderr")).unwrap_or_default();
    ensure!(
        facts.status == StageStatus::Completed,
        "the stage ended as {facts:?}: {log}"
    );
    Ok(())
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

fn minimum(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
