//! `cargo xtask bench`: what PyTI costs, as medians and as ratios within one run.
//!
//! Everything runs in clones of the same template; the ways of watching take turns, so that a noisy
//! machine is noisy for all of them. What watching costs is also measured where no noise comes: on a
//! clock that counts the instructions of all processors.
//!
//! What has an aim says whether it is met, and the last lines which are not. Every event of every traced
//! run is accounted for, or the benchmark fails.

mod aims;
mod audits;
mod boot;
mod compare;
mod flood;
mod workload;

use std::fs::File;
use std::path::Path;
use std::process::ExitCode;
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
use pyti_analyzer::StageStatus;
use pyti_analyzer::store::{self, Budget};
use pyti_tests::guest;
use pyti_vm::{Interpreter, StartOptions, Template};

use crate::aims::Aims;
use crate::compare::Watch;

/// An aim is missed.
const MISSED: u8 = 1;
/// A measurement failed.
const FAILED: u8 = 2;

/// Measures.
#[derive(Parser)]
#[command(
    after_help = "Exit status: 0 where every aim is met; 1 where one is missed, the last lines say which; 2 where a measurement failed, or an event is neither stored nor counted as lost."
)]
struct Args {
    /// Repetitions of each measurement.
    #[arg(long, default_value_t = 5)]
    repeat: usize,
    /// Only the workloads whose name contains this; `cold boot`, `audit` and `burst` are such names too.
    #[arg(long, default_value = "")]
    only: String,
    /// Without strace, which takes most of the time.
    #[arg(long)]
    no_strace: bool,
    /// How many seconds the burst of events lasts; with `--only burst` no workload is measured.
    #[arg(long, default_value_t = 60)]
    burst_seconds: u64,
}

/// Bounds that no measurement comes near.
const LIMITS: LimitArgs = LimitArgs {
    wall_seconds: 600,
    memory_mib: 1024,
    pids: 512,
    output_kib: 1024,
    events: 5_000_000,
};

/// Seconds that may pass from asking for a clone to the release of a stage's first process.
const CLONE_TO_STARTED: f64 = 0.15;

struct Bench<'a> {
    template: Template,
    /// The same on a clock that counts instructions.
    counted: Template,
    python: Interpreter,
    scratch: &'a Path,
}

/// A stage that ended.
struct Run {
    watched: Watched,
    /// From asking for a clone to the hypervisor's word that it runs.
    cloned: Duration,
    /// What the probes saw, all of it stored or counted as lost; 0 where there are none.
    events: u64,
    directory: tempfile::TempDir,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    match bench(&args).await {
        Ok(aims) if aims.all_met() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(MISSED),
        Err(error) => {
            for line in format!("{error:#}").lines() {
                eprintln!("pyti-bench: {}", pyti_analyzer::escape(line));
            }
            ExitCode::from(FAILED)
        }
    }
}

/// Measures, and says what became of the aims.
async fn bench(args: &Args) -> Result<Aims> {
    let scratch = tempfile::tempdir()?;
    let interrupt = Interrupt::listen()?;
    let mut aims = Aims::default();
    let measured = tokio::select! {
        measured = measure(args, scratch.path(), &mut aims) => measured,
        () = interrupt.wait() => {
            scratch.close()?;
            eprintln!("interrupted");
            // At once: a measurement that blocks is not waited for, and machines die with this process.
            std::process::exit(130);
        }
    };
    // Also where something failed: what was measured before counts.
    println!("{aims}");
    measured.map(|()| aims)
}

async fn measure(args: &Args, scratch: &Path, aims: &mut Aims) -> Result<()> {
    let home = Home::find()?;
    let machine = |accel| Machine::new(&home, machine::definition(None, None)?, accel);
    let usual = machine(AccelArg::Auto)?;
    let bench = Bench {
        python: usual.interpreter().clone(),
        template: usual.template(Arc::new(|_| {})).await?,
        counted: machine(AccelArg::Counted)?
            .template(Arc::new(|_| {}))
            .await?,
        scratch,
    };
    let record = bench.template.record();
    println!("accelerator          {}", record.accel);
    if "cold boot".contains(&args.only) {
        let cold = boot::cold(&home, record, scratch).await?;
        println!(
            "cold boot to ready   {:.2} s (booted anew, once)",
            seconds(cold)
        );
    }
    bench.clones(args.repeat, aims).await?;
    for workload in workload::all(&home, &bench.python).await? {
        if workload.name.contains(&args.only) {
            bench
                .compare(&workload, args.repeat, args.no_strace, aims)
                .await?;
        }
    }
    if "audit".contains(&args.only) {
        let repeat = args.repeat;
        tokio::task::spawn_blocking(move || audits::split(repeat)).await??;
    }
    if "burst".contains(&args.only) {
        flood::measure(args.burst_seconds).await?;
    }
    Ok(())
}

impl Bench<'_> {
    /// A stage in a fresh clone, which must complete; where it is traced, every event is accounted for.
    async fn run(
        &self,
        template: &Template,
        argv: Vec<String>,
        input: Option<File>,
        watching: Watch,
    ) -> Result<Run> {
        let before = watching.before().iter().map(|&word| word.to_owned());
        let argv = before.chain(argv).collect();
        let mut order = order::order("bench", argv, &LIMITS)?;
        order.traced = watching.is_traced();
        order.timed = watching == Watch::Timed;
        if input.is_none() {
            order.slots.clear();
        }
        let directory = tempfile::tempdir_in(self.scratch)?;
        let began = Instant::now();
        let options = StartOptions {
            input,
            ..StartOptions::default()
        };
        let vm = template.start(options).await?;
        let cloned = began.elapsed();
        // Who interrupts a benchmark ends it.
        let never = Interrupt::never();
        let watched = watch(vm, &order, directory.path(), LIMITS.events, &never).await?;
        let mut run = Run {
            watched,
            cloned,
            events: 0,
            directory,
        };
        completed(&run)?;
        if watching.is_traced() {
            run.events = accounts(&run)?;
        }
        Ok(run)
    }

    /// From asking for a clone to the release of a stage's first process, and a clone's memory.
    async fn clones(&self, repeat: usize, aims: &mut Aims) -> Result<()> {
        let mut times = vec![];
        let mut clones = vec![];
        let mut memory = vec![];
        for _ in 0..repeat.max(5) {
            let argv = vec!["/usr/bin/true".into()];
            let run = self.run(&self.template, argv, None, Watch::Traced).await?;
            let start = run.watched.to_start.context("the stage never started")?;
            times.push(seconds(run.cloned + start));
            clones.push(seconds(run.cloned));
            let usage = run.watched.usage.context("the clone ended by itself")?;
            memory.push(mebibytes(usage.private));
        }
        let started = median(&mut times);
        println!(
            "clone to started     {started:.3} s, of which the clone {:.3} s (median of {})",
            median(&mut clones),
            times.len()
        );
        println!(
            "    {}",
            aims.at_most("a clone", "seconds to started,", started, CLONE_TO_STARTED)
        );
        println!(
            "memory of a clone    {:.0} MiB private, running /usr/bin/true",
            median(&mut memory)
        );
        Ok(())
    }
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

/// How many events the probes saw, each of which is stored or counted as lost.
fn accounts(run: &Run) -> Result<u64> {
    let loaded = store::read_within(run.directory.path(), &mut Budget::everything())?;
    guest::accounts(&run.watched.facts, &loaded.events)
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn minimum(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
