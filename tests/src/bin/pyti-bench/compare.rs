//! The same work, watched in several ways.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use pyti_analyzer::escape_within;
use pyti_vm::Template;

use crate::aims::Aims;
use crate::workload::Workload;
use crate::{Bench, Run, mebibytes, median, minimum, seconds};

/// Programs that are shown of those that took the longest.
const DEAREST: usize = 6;
/// strace comes in one of so many turns: it takes most of the time, and lies far from the rest.
const TURNS_OF_STRACE: usize = 3;
/// Repetitions on the clock that counts: there is next to no noise in it.
const COUNTED: u32 = 2;

/// How a command is watched.
#[derive(Clone, Copy, PartialEq)]
pub enum Watch {
    /// Not at all: no probe is in the kernel.
    Bare,
    Traced,
    /// Traced, and the kernel counts what the probes take, which costs time itself.
    Timed,
    Strace,
    StraceSeccomp,
}

impl Watch {
    const ALL: [Self; 4] = [Self::Bare, Self::Traced, Self::Strace, Self::StraceSeccomp];

    /// So many of them come before those.
    const WITHOUT_STRACE: usize = 2;

    fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Traced => "traced",
            Self::Timed => "traced and timed",
            Self::Strace => "strace -f",
            Self::StraceSeccomp => "strace -f --seccomp-bpf",
        }
    }

    /// Whether the probes are in the kernel.
    pub fn is_traced(self) -> bool {
        matches!(self, Self::Traced | Self::Timed)
    }

    /// What runs the command.
    pub fn before(self) -> &'static [&'static str] {
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

/// Seconds that a way took, by turn.
type Times = BTreeMap<usize, f64>;

impl Bench<'_> {
    /// The same work, watched in each way. Wall time is the work's own in the guest; CPU time is that
    /// of the whole machine on the host, which other programs disturb less.
    pub async fn compare(
        &self,
        work: &Workload,
        repeat: usize,
        no_strace: bool,
        aims: &mut Aims,
    ) -> Result<()> {
        let ways = if no_strace {
            Watch::WITHOUT_STRACE
        } else {
            Watch::ALL.len()
        };
        let ways = &Watch::ALL[..ways];
        // By way, then by turn.
        let mut walls = vec![BTreeMap::new(); ways.len()];
        let mut cpus = walls.clone();
        let mut memory = vec![];
        let mut events = 0;
        for turn in 0..repeat {
            for place in 0..ways.len() {
                // Who comes first is not always the same: what one leaves behind slows the next down.
                let index = (place + turn) % ways.len();
                let way = &ways[index];
                if index >= Watch::WITHOUT_STRACE && turn % TURNS_OF_STRACE != 0 {
                    continue;
                }
                let run = self.work(&self.template, work, *way).await?;
                let usage = run.watched.usage.context("the clone ended by itself")?;
                walls[index].insert(turn, run.watched.facts.wall_ns as f64 / 1e9);
                cpus[index].insert(turn, seconds(usage.cpu));
                if *way == Watch::Traced {
                    memory.push(mebibytes(usage.private));
                    events = run.events;
                }
            }
        }
        println!(
            "{}, median of {repeat}, of strace in every third turn (ratio to bare: median of the pairs, of the best), {events} events",
            work.name
        );
        // Ratios of neighbours: what slows the machine down slows both.
        let ratio = |times: &[Times], index: usize| {
            let pairs = times[index].iter();
            let ratios = pairs.map(|(turn, watched)| watched / times[0][turn]);
            median(&mut ratios.collect::<Vec<_>>())
        };
        let all = |times: &Times| times.values().copied().collect::<Vec<_>>();
        // Ratios of the best: noise only ever adds.
        let best =
            |times: &[Times], index: usize| minimum(&all(&times[index])) / minimum(&all(&times[0]));
        for (index, way) in ways.iter().enumerate() {
            println!(
                "    {:<24} wall {:7.2} s ({:.3}, {:.3})   CPU {:7.2} s ({:.3}, {:.3})",
                way.name(),
                median(&mut all(&walls[index])),
                ratio(&walls, index),
                best(&walls, index),
                median(&mut all(&cpus[index])),
                ratio(&cpus, index),
                best(&cpus, index),
            );
        }
        println!(
            "    memory of the traced clone at its end: {:.0} MiB private",
            median(&mut memory)
        );
        for (what, times) in [("wall", &walls), ("CPU", &cpus)] {
            let cost = |way: Watch| {
                let index = ways.iter().position(|other| *other == way)?;
                Some(ratio(times, index))
            };
            let Some(traced) = cost(Watch::Traced) else {
                continue;
            };
            let mut line = aims.at_most(work.name, what, traced, work.aim);
            if let Some(strace) = cost(Watch::StraceSeccomp) {
                line += &aims.below(work.name, what, traced, "strace", strace);
            }
            println!("    {line}");
        }
        self.count(work, aims).await?;
        self.price(work, aims).await
    }

    async fn work(&self, template: &Template, work: &Workload, way: Watch) -> Result<Run> {
        let input = work.input(&self.python, self.scratch)?;
        let run = self.run(template, work.argv.clone(), input, way).await;
        run.with_context(|| format!("{}, {}", work.name, way.name()))
    }

    /// What tracing costs on a clock that counts the instructions of all processors: the probes, the
    /// kernel's way into them and the agent, and no noise of the host but what is waited for.
    async fn count(&self, work: &Workload, aims: &mut Aims) -> Result<()> {
        let mut walls = [0.0; 2];
        let mut agents = [0.0; 2];
        for (index, way) in [Watch::Bare, Watch::Traced].into_iter().enumerate() {
            for _ in 0..COUNTED {
                let run = self.work(&self.counted, work, way).await?;
                walls[index] += run.watched.facts.wall_ns as f64 / 1e9 / f64::from(COUNTED);
                agents[index] += seconds(run.watched.agent) / f64::from(COUNTED);
            }
        }
        let [bare, traced] = walls;
        println!(
            "    by counted instructions: bare {bare:.2} s, of which the agent {:.3} s; traced {traced:.2} s, {:.3} s",
            agents[0], agents[1]
        );
        let what = "by counted instructions, traced";
        println!(
            "    {}",
            aims.at_most(work.name, what, traced / bare, work.aim)
        );
        Ok(())
    }

    /// What the probes take by the kernel's own count, which no noise of the machine disturbs.
    async fn price(&self, work: &Workload, aims: &mut Aims) -> Result<()> {
        let run = self.work(&self.template, work, Watch::Timed).await?;
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
        let what = "the probes by the kernel's count,";
        println!(
            "    {}",
            aims.at_most(work.name, what, cpu / (cpu - probes), work.aim)
        );
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
}
