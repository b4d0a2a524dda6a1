//! Runs stages in clones of one template and keeps what each leaves.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use pyti_analyzer::{StageFacts, Target};
use pyti_index::Prepared;
use pyti_trace::wire::StageSpec;
use pyti_vm::{StartOptions, Template};
use tokio::sync::OnceCell;

use crate::cli::LimitArgs;
use crate::interrupt::Interrupt;
use crate::machine::{Listener, Machine};
use crate::run_dir::{RunDir, RunRecord};
use crate::watch::{Watched, watch};

/// What a clone may live beyond its stage's wall limit.
const WATCHDOG: Duration = Duration::from_secs(120);

/// What runs the stages of one run.
#[derive(Debug)]
pub struct Stages {
    machine: Machine,
    template: OnceCell<Template>,
    run_dir: RunDir,
    record: Mutex<RunRecord>,
    timings: Mutex<Vec<Timing>>,
    begun: AtomicBool,
    limits: LimitArgs,
    interrupt: Interrupt,
}

/// A stage that ran, however it ended.
#[derive(Debug)]
pub struct Ran {
    /// What it was.
    pub facts: StageFacts,
    /// What it brought back, by path in the guest.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// How long the parts of a stage took.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Timing {
    /// Name of the stage.
    pub stage: String,
    /// Until the clone ran.
    pub clone: Duration,
    /// From the order to the release of the stage's first process, unpacking included.
    pub start: Option<Duration>,
    /// From the order to the end, with what was left drained and stored.
    pub stage_total: Duration,
}

impl Stages {
    /// Stages of the run in `run_dir`.
    #[must_use]
    pub fn new(
        machine: Machine,
        run_dir: RunDir,
        record: RunRecord,
        limits: LimitArgs,
        interrupt: Interrupt,
    ) -> Self {
        Self {
            machine,
            template: OnceCell::new(),
            run_dir,
            record: Mutex::new(record),
            timings: Mutex::default(),
            begun: AtomicBool::new(false),
            limits,
            interrupt,
        }
    }

    /// The bounds of each stage.
    #[must_use]
    pub fn limits(&self) -> &LimitArgs {
        &self.limits
    }

    /// What is known of the run so far.
    pub fn record(&self) -> MutexGuard<'_, RunRecord> {
        // Whoever panicked had the record whole: it is only replaced field by field.
        self.record
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
    }

    /// Whether a stage has begun, ended or not.
    #[must_use]
    pub fn begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// How long the stages took.
    #[must_use]
    pub fn timings(&self) -> Vec<Timing> {
        self.timings
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
            .clone()
    }

    /// A file for a stage's input that has no name, so that nothing is left of it.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn scratch_file(&self) -> Result<File> {
        tempfile::tempfile_in(self.run_dir.path())
            .with_context(|| format!("failed to make a file in {}", self.run_dir.path().display()))
    }

    /// What is audited, once it is known, and what there is to say of it.
    pub fn describe(&self, prepared: &Prepared) {
        let target = &prepared.target;
        let mut record = self.record();
        record.target = Target {
            name: target.name.to_string(),
            version: Some(target.version.clone()),
            filename: Some(target.file.filename.clone()),
            sha256: Some(target.file.sha256.clone()),
            source: None,
        };
        record.facts.notes.clone_from(&prepared.notes);
    }

    /// Runs one stage with `input` in its slot. What it was goes into the run's record too.
    ///
    /// # Errors
    /// The template, the clone or the disk; whatever happens once the clone runs is in the facts.
    pub async fn run(&self, order: &StageSpec, input: File) -> Result<Ran> {
        let template = self.template(Arc::new(|_| {})).await?;
        if self.interrupt.came() {
            anyhow::bail!("interrupted");
        }
        self.begun.store(true, Ordering::Relaxed);
        let directory = self.run_dir.stage(&order.stage)?;
        let began = Instant::now();
        let options = StartOptions {
            input: Some(input),
            // The last resort: over what the agent and then `watch` allow.
            wall: Some(Duration::from_secs(order.wall_seconds) + WATCHDOG),
        };
        let vm = template
            .start(options)
            .await
            .context("failed to start a clone")?;
        let clone = began.elapsed();
        let watched = watch(vm, order, &directory, self.limits.events, &self.interrupt).await?;
        let Watched {
            mut facts,
            files,
            to_start,
            ..
        } = watched;
        self.timings
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
            .push(Timing {
                stage: order.stage.clone(),
                clone,
                start: to_start,
                stage_total: began.elapsed(),
            });
        let refused = &template.record().ready.refused;
        facts.problems.extend(
            refused
                .iter()
                .map(|(hook, _)| format!("probe {hook} could not be attached")),
        );
        self.keep(facts.clone());
        if self.interrupt.came() {
            anyhow::bail!("interrupted");
        }
        Ok(Ran { facts, files })
    }

    /// Where the disk refuses, the facts are still judged, and say so.
    fn keep(&self, facts: StageFacts) {
        let mut record = self.record();
        record.facts.stages.push(facts);
        if let Err(error) = self.run_dir.write_record(&record)
            && let Some(facts) = record.facts.stages.last_mut()
        {
            facts.problems.push(format!("{error:#}"));
        }
    }

    /// The template, made ready by whoever asks first.
    ///
    /// # Errors
    /// The image or the template cannot be made.
    pub async fn template(&self, listener: Listener) -> Result<&Template> {
        self.template
            .get_or_try_init(|| self.machine.template(listener))
            .await
    }
}
