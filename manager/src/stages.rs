//! Runs stages in clones of one template and keeps what each leaves.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use pyti_analyzer::StageFacts;
use pyti_trace::wire::StageSpec;
use pyti_vm::{StartOptions, Template};
use tokio::sync::OnceCell;

use crate::cli::LimitArgs;
use crate::interrupt::Interrupt;
use crate::machine::Machine;
use crate::progress::Progress;
use crate::run_dir::{RunDir, RunRecord};
use crate::watch::{Watched, watch};

/// What runs the stages of one run.
#[derive(Debug)]
pub struct Stages {
    machine: Machine,
    template: OnceCell<Template>,
    run_dir: RunDir,
    record: Mutex<RunRecord>,
    timings: Mutex<Vec<Timing>>,
    limits: LimitArgs,
    interrupt: Interrupt,
    progress: Arc<Progress>,
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
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            machine,
            template: OnceCell::new(),
            run_dir,
            record: Mutex::new(record),
            timings: Mutex::default(),
            limits,
            interrupt,
            progress,
        }
    }

    /// The bounds of each stage.
    #[must_use]
    pub fn limits(&self) -> &LimitArgs {
        &self.limits
    }

    /// What is known of the run so far.
    #[must_use]
    pub fn record(&self) -> MutexGuard<'_, RunRecord> {
        // Whoever panicked had the record whole: it is only replaced field by field.
        self.record
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
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

    /// Runs one stage with `input` in its slot; its facts go into the run's record, and what it
    /// brought back is returned.
    ///
    /// # Errors
    /// The template, the clone or the disk; whatever happens once the clone runs is in the facts.
    pub async fn run(&self, order: &StageSpec, input: File) -> Result<BTreeMap<String, Vec<u8>>> {
        let template = self.template().await?;
        let directory = self.run_dir.stage(&order.stage)?;
        self.progress
            .step(format!("stage {} in the VM", order.stage));
        let began = Instant::now();
        let options = StartOptions {
            input: Some(input),
            ..StartOptions::default()
        };
        let vm = template
            .start(options)
            .await
            .context("failed to start a clone")?;
        let clone = began.elapsed();
        let watched = watch(vm, order, &directory, self.limits.events, &self.interrupt).await?;
        let Watched {
            facts,
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
        self.keep(facts)?;
        if self.interrupt.came() {
            anyhow::bail!("interrupted");
        }
        Ok(files)
    }

    fn keep(&self, facts: StageFacts) -> Result<()> {
        let mut record = self.record();
        record.facts.stages.push(facts);
        self.run_dir.write_record(&record)
    }

    /// The template, made ready by whoever asks first.
    ///
    /// # Errors
    /// The image or the template cannot be made.
    pub async fn template(&self) -> Result<&Template> {
        self.template
            .get_or_try_init(|| self.machine.template(&self.progress))
            .await
    }
}
