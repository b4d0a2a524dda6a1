//! `pyti audit`: fetch, resolve, install in a clone, judge.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use pyti_analyzer::{Report, RuleSet, RunFacts, StageFacts, StageStatus, Target};
use pyti_index::{IndexConfig, Prepared, Step, write_tar};
use serde::Serialize;

use crate::cli::AuditArgs;
use crate::home::Home;
use crate::interrupt::Interrupt;
use crate::judge;
use crate::machine::Machine;
use crate::metadata_hook::VmHook;
use crate::order;
use crate::progress::Progress;
use crate::run_dir::{RunDir, RunRecord, SCHEMA, State, now};
use crate::stages::{Stages, Timing};

/// Where an audit's time went; `timings.json` of the run.
#[derive(Debug, Serialize)]
struct Timings {
    fetch: Duration,
    resolve: Duration,
    metadata_hooks: Duration,
    stages: Vec<Timing>,
    analysis: Duration,
    total: Duration,
}

/// A finished audit.
#[derive(Debug)]
pub struct Audited {
    /// The judgement.
    pub report: Report,
    /// The run's directory.
    pub run: PathBuf,
}

/// Audits what `args` name.
///
/// # Errors
/// The input, the index, the host or the disk; what the package does is in the report.
pub async fn audit(
    args: AuditArgs,
    home: &Home,
    rules: &RuleSet,
    interrupt: Interrupt,
    progress: Arc<Progress>,
) -> Result<Audited> {
    let began = Instant::now();
    let wanted = pyti_index::Target::parse(&args.target)?;
    let index = IndexConfig::discover(args.index_url.as_deref(), &[])?;
    let machine = Machine::new(home, &args.image, args.accel)?;
    let (run_dir, id) = RunDir::create(args.out.as_deref(), &home.runs, &args.target)?;
    let record = RunRecord {
        schema: SCHEMA.to_owned(),
        id,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        started: now(),
        state: State::Running,
        target: Target {
            name: args.target.clone(),
            ..Target::default()
        },
        facts: RunFacts::default(),
    };
    run_dir.write_record(&record)?;
    let built = machine.is_built();
    let stages = Arc::new(Stages::new(
        machine,
        run_dir.clone(),
        record,
        args.limits.clone(),
        interrupt.clone(),
        Arc::clone(&progress),
    ));
    if built {
        // What is missing of it is made while the package is fetched.
        let early = Arc::clone(&stages);
        tokio::spawn(async move { early.template().await.map(|_| ()) });
    }

    progress.step(format!("fetch and resolve {}", args.target));
    let mut options = pyti_index::Options::new(home.cache.clone(), index);
    options.wheel = args.wheel;
    let hook = Arc::new(VmHook {
        stages: Arc::clone(&stages),
        count: Mutex::new(0),
    });
    let listener = Arc::clone(&progress);
    let listener = Arc::new(move |step: Step| show_step(&listener, &step));
    let prepared = tokio::select! {
        prepared = pyti_index::prepare(&wanted, &options, hook, listener) => prepared,
        () = interrupted_early(&interrupt, &stages) => {
            discard(&run_dir);
            anyhow::bail!("interrupted before anything ran");
        }
    };
    let (timings, installed) = match prepared {
        Ok(prepared) => {
            let timings = prepared.timings;
            describe_target(&stages, &prepared);
            (Some(timings), install(&stages, &prepared).await)
        }
        Err(error) => (None, Err(error.into())),
    };
    if let Err(error) = installed {
        // Without a stage there is nothing to judge: the input or the host is at fault.
        if stages.record().facts.stages.is_empty() {
            discard(&run_dir);
            return Err(error);
        }
        let reason = format!("{error:#}");
        stages.record().facts.stages.push(StageFacts::new(
            order::INSTALL,
            StageStatus::NotStarted { reason },
        ));
    }

    progress.step("judge");
    let judging = Instant::now();
    let mut record = stages.record().clone();
    let mut report = judge::judge(&run_dir, &record, rules)?;
    record.state = State::Finished;
    let timings = Timings {
        fetch: timings.map_or(Duration::ZERO, |timings| timings.fetch),
        resolve: timings.map_or(Duration::ZERO, |t| t.resolve.saturating_sub(t.hooks)),
        metadata_hooks: timings.map_or(Duration::ZERO, |timings| timings.hooks),
        stages: stages.timings(),
        analysis: judging.elapsed(),
        total: began.elapsed(),
    };
    let kept = run_dir
        .write_json("report.json", &report)
        .and_then(|()| run_dir.write_record(&record))
        .and_then(|()| run_dir.write_json("timings.json", &timings));
    if let Err(error) = kept {
        // A full disk must not cost the user the judgement.
        report
            .notes
            .push(format!("this report is not kept: {error:#}"));
    }
    progress.finish();
    Ok(Audited {
        report,
        run: run_dir.path().to_owned(),
    })
}

/// Ends when a signal comes before any stage has begun. A stage that runs hears it itself, ends,
/// and its record is judged.
async fn interrupted_early(interrupt: &Interrupt, stages: &Stages) {
    interrupt.wait().await;
    if stages.begun() {
        std::future::pending::<()>().await;
    }
}

async fn install(stages: &Stages, prepared: &Prepared) -> Result<()> {
    let mut input = stages.scratch_file()?;
    write_tar(&prepared.files, &mut input).context("failed to write the wheelhouse")?;
    let extras: Vec<String> = prepared
        .target
        .extras
        .iter()
        .map(ToString::to_string)
        .collect();
    let mut file = format!("{}/{}", order::WHEELHOUSE, prepared.target.file.filename);
    if !extras.is_empty() {
        file.push_str(&format!("[{}]", extras.join(",")));
    }
    let order = order::order(
        order::INSTALL,
        order::pip_install(&["--ignore-installed"], &file),
        stages.limits(),
    )?;
    stages.run(&order, input).await.map(|_| ())
}

fn describe_target(stages: &Stages, prepared: &Prepared) {
    let target = &prepared.target;
    let mut record = stages.record();
    record.target = Target {
        name: target.name.to_string(),
        version: Some(target.version.clone()),
        filename: Some(target.file.filename.clone()),
        sha256: Some(target.file.sha256.clone()),
        source: None,
    };
    record.facts.notes.clone_from(&prepared.notes);
}

/// Removes the run's directory of an audit in which nothing ran.
fn discard(run_dir: &RunDir) {
    if let Err(error) = std::fs::remove_dir_all(run_dir.path()) {
        tracing::warn!("failed to remove {}: {error}", run_dir.path().display());
    }
}

fn show_step(progress: &Progress, step: &Step) {
    match step {
        Step::Fetching { file, .. } => progress.detail(&format!("fetching {file}")),
        Step::Received { file, bytes } => {
            progress.detail(&format!("fetching {file}, {} MiB", bytes >> 20));
        }
        Step::Resolving { what } => progress.detail(&format!("resolving {what}")),
        Step::Hook { file } => {
            progress.detail(&format!("asking {file} for its metadata in the VM"))
        }
        Step::Retry { url, reason } => progress.line(&format!("trying {url} again: {reason}")),
        _ => {}
    }
}
