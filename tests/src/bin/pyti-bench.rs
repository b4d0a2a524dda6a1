//! `cargo xtask bench`: what PyTI costs, as medians and as ratios within one run.
//!
//! Every install runs in a clone of the same template; traced, untraced and `strace -f` take turns,
//! so that a noisy machine is noisy for all of them.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use pyti::cli::{AccelArg, LimitArgs};
use pyti::data_store::DataStore;
use pyti::home::Home;
use pyti::interrupt::Interrupt;
use pyti::machine::{self, Machine};
use pyti::order::{self, Order};
use pyti::watch::{Watched, watch};
use pyti_analyzer::{StageStatus, facts, store};
use pyti_index::{IndexConfig, Prepared};
use pyti_trace::event::Family;
use pyti_vm::{Interpreter, StartOptions, Template};

/// Measures.
#[derive(Parser)]
struct Args {
    /// Repetitions of each measurement.
    #[arg(long, default_value_t = 5)]
    repeat: usize,
}

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
    Bare,
    Traced,
    Strace,
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
    private_bytes: u64,
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
    for (name, target) in [
        ("pure Python", "docopt==0.6.2"),
        ("C extension", "simplejson==3.19.3"),
    ] {
        bench.install(name, &home, target, args.repeat).await?;
    }
    bench.burst().await
}

impl Bench {
    /// A stage in a fresh clone.
    async fn run(&self, argv: Vec<String>, input: Option<File>, watching: Watch) -> Result<Run> {
        let argv = match watching {
            Watch::Strace => ["strace", "-f", "-o", "/home/dev/trace"]
                .map(str::to_owned)
                .into_iter()
                .chain(argv)
                .collect(),
            Watch::Bare | Watch::Traced => argv,
        };
        let mut order = order::order("bench", argv, &LIMITS)?;
        order.traced = watching == Watch::Traced;
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
            private_bytes: watched.private_bytes,
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
            memory.push(run.private_bytes as f64 / (1 << 20) as f64);
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

    /// The same install bare, traced and under strace.
    async fn install(&self, name: &str, home: &Home, target: &str, repeat: usize) -> Result<()> {
        let prepared = prepare(home, target).await?;
        let file = format!("{}/{}", order::WHEELHOUSE, prepared.target.file.filename);
        let mut order = Order::new("input", vec![], &LIMITS)?;
        order.wheelhouse.clone_from(&prepared.files);
        let store = DataStore::at(self.scratch.path().join("data"));
        let mut times: [Vec<f64>; 3] = Default::default();
        for _ in 0..repeat {
            for (times, watching) in
                times
                    .iter_mut()
                    .zip([Watch::Bare, Watch::Traced, Watch::Strace])
            {
                let mut input = tempfile::tempfile_in(self.scratch.path())?;
                pyti::input::write(&order, &self.python, &store, &mut input)?;
                let argv = order::pip_install(&self.python, &[], &file);
                let run = self.run(argv, Some(input), watching).await?;
                completed(&run).with_context(|| format!("install of {target}"))?;
                times.push(run.watched.facts.wall_ns as f64 / 1e9);
            }
        }
        let [bare, traced, strace] = &mut times;
        // Ratios of neighbours: what slows the machine down slows both.
        let ratio = |times: &[f64]| {
            let mut ratios: Vec<f64> = times.iter().zip(bare.iter()).map(|(a, b)| a / b).collect();
            median(&mut ratios)
        };
        let (traced_ratio, strace_ratio) = (ratio(traced), ratio(strace));
        println!(
            "{name:<20} bare {:.1} s, traced {:.1} s ({traced_ratio:.3}), strace -f {:.1} s ({strace_ratio:.2})  {target}, median of {repeat}",
            median(bare),
            median(traced),
            median(strace),
        );
        Ok(())
    }

    /// A burst of events: what the probes saw is what is stored and what is reported lost.
    async fn burst(&self) -> Result<()> {
        let program = "import os\nfor n in range(150_000):\n try: os.open('/tmp/missing', 0)\n except OSError: pass";
        let argv = ["python3", "-S", "-c", program].map(str::to_owned).to_vec();
        let run = self.run(argv, None, Watch::Traced).await?;
        completed(&run)?;
        let facts = &run.watched.facts;
        let loaded = store::read(run.directory.path(), store::MAX_EVENTS)?;
        let losses = facts::losses(facts, &loaded.events);
        let file = losses[Family::File as usize];
        let (seen, lost) = (
            file.seen.context("no counters")?,
            file.lost.context("no counters")?,
        );
        let seconds = facts.wall_ns as f64 / 1e9;
        println!(
            "burst                seen {seen} = stored {} + lost {lost}, {:.0} events a second",
            file.stored,
            seen as f64 / seconds
        );
        ensure!(seen >= 100_000, "the burst was smaller than meant");
        ensure!(seen == file.stored + lost, "the accounts do not add up");
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

async fn prepare(home: &Home, target: &str) -> Result<Prepared> {
    let target = pyti_index::Target::parse(target)?;
    let index = IndexConfig::discover(None, &[])?;
    let options = pyti_index::Options::new(home.cache.clone(), index);
    let progress = Arc::new(pyti_index::Quiet);
    Ok(pyti_index::prepare(&target, &options, Arc::new(NoRequirements), progress).await?)
}

/// The measured packages require nothing; what their back ends would say is known.
struct NoRequirements;

impl pyti_index::MetadataHook for NoRequirements {
    fn metadata(
        &self,
        request: pyti_index::HookRequest,
    ) -> pyti_index::hook::BoxFuture<'_, Result<String, pyti_index::HookError>> {
        Box::pin(async move {
            let stem = request.filename.trim_end_matches(".tar.gz");
            let (name, version) = stem.rsplit_once('-').unwrap_or((stem, "0"));
            Ok(format!(
                "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            ))
        })
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
