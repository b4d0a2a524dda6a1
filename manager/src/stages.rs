//! Runs stages in clones of one template and keeps what each leaves.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use pyti_analyzer::{StageFacts, Target};
use pyti_index::Prepared;
use pyti_vm::{Interpreter, StartOptions, Template};
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use crate::cli::LimitArgs;
use crate::data_store::{Blob, DataStore};
use crate::input;
use crate::interrupt::Interrupt;
use crate::machine::{Listener, Machine};
use crate::memo::Done;
use crate::order::Order;
use crate::run_dir::{DATUM, RunDir, RunRecord};
use crate::running::Running;
use crate::stage::Ran;
use crate::watch::{Watched, watch};

/// What a clone may live beyond its stage's wall limit.
const WATCHDOG: Duration = Duration::from_secs(120);

/// What runs the stages of one run.
#[derive(Debug)]
pub struct Stages {
    machine: Machine,
    template: OnceCell<Template>,
    run_dir: RunDir,
    store: DataStore,
    record: Mutex<RunRecord>,
    timings: Mutex<Vec<Timing>>,
    /// States of the disk that stages left, by stage.
    states: Mutex<HashMap<String, Blob>>,
    summaries: Mutex<HashMap<String, String>>,
    begun: AtomicBool,
    running: Running,
    limits: LimitArgs,
    interrupt: Interrupt,
}

/// Characters of what a stage gave, in a few words.
const LONGEST_SUMMARY: usize = 1000;

/// Whoever panicked had the value whole: it is only replaced field by field.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poison| poison.into_inner())
}

/// How long the parts of a stage took.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Timing {
    /// Name of the stage.
    pub stage: String,
    /// Until its input was written.
    pub input: Duration,
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
        store: DataStore,
        record: RunRecord,
        limits: LimitArgs,
        interrupt: Interrupt,
    ) -> Self {
        Self {
            machine,
            template: OnceCell::new(),
            run_dir,
            store,
            record: Mutex::new(record),
            timings: Mutex::default(),
            states: Mutex::default(),
            summaries: Mutex::default(),
            begun: AtomicBool::new(false),
            running: Running::default(),
            limits,
            interrupt,
        }
    }

    /// The bounds of each stage.
    #[must_use]
    pub fn limits(&self) -> &LimitArgs {
        &self.limits
    }

    /// The Python that packages are run with.
    #[must_use]
    pub fn interpreter(&self) -> &Interpreter {
        self.machine.interpreter()
    }

    /// Memory of each clone, MiB.
    #[must_use]
    pub fn memory_mib(&self) -> u64 {
        self.machine.memory_mib()
    }

    /// What is known of the run so far.
    pub fn record(&self) -> MutexGuard<'_, RunRecord> {
        lock(&self.record)
    }

    /// Whether a stage has begun, ended or not.
    #[must_use]
    pub fn begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// The stages that run at the moment.
    #[must_use]
    pub(crate) fn running(&self) -> &Running {
        &self.running
    }

    /// How long the stages took.
    #[must_use]
    pub fn timings(&self) -> Vec<Timing> {
        lock(&self.timings).clone()
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
        record.facts.notes.extend(prepared.notes.iter().cloned());
    }

    /// The run's directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.run_dir.path()
    }

    /// What a stage gave, in a few words.
    pub fn summarise(&self, stage: &str, summary: Option<String>) {
        if let Some(summary) = summary {
            // Names and messages of the package's own are in it.
            let summary: String = summary.chars().take(LONGEST_SUMMARY).collect();
            lock(&self.summaries).insert(stage.to_owned(), summary);
        }
    }

    /// What the stages gave, in a few words each.
    #[must_use]
    pub fn summaries(&self) -> HashMap<String, String> {
        lock(&self.summaries).clone()
    }

    /// Something that the report should say.
    pub fn note(&self, note: String) {
        self.record().facts.notes.push(note);
    }

    /// Runs one stage. What it was goes into the run's record too.
    ///
    /// # Errors
    /// The template, the clone or the disk; whatever happens once the clone runs is in the facts.
    pub async fn run(&self, order: Order) -> Result<Ran> {
        let template = self.template(Arc::new(|_| {})).await?;
        if self.interrupt.came() {
            anyhow::bail!("interrupted");
        }
        self.begun.store(true, Ordering::Relaxed);
        let _running = self.running.begin();
        let began = Instant::now();
        let spec = order.spec.clone();
        let options = StartOptions {
            input: Some(self.input(order).await?),
            // The last resort: over what the agent and then `watch` allow.
            wall: Some(Duration::from_secs(spec.wall_seconds) + WATCHDOG),
        };
        let directory = self.run_dir.stage(&spec.stage)?;
        let input = began.elapsed();
        let vm = template
            .start(options)
            .await
            .context("failed to start a clone")?;
        let clone = began.elapsed().saturating_sub(input);
        let watched = watch(vm, &spec, &directory, self.limits.events, &self.interrupt).await?;
        let Watched {
            mut facts,
            files,
            state,
            to_start,
            ..
        } = watched;
        lock(&self.timings).push(Timing {
            stage: spec.stage.clone(),
            input,
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
        // Later stages and later runs find it in the data store.
        let state = state.and_then(|file| {
            let stored = tokio::task::block_in_place(|| self.store.put(file));
            // A stage that needs it says that it is missing.
            stored.inspect_err(|error| tracing::warn!("{error:#}")).ok()
        });
        if let Some(state) = &state {
            lock(&self.states).insert(spec.stage.clone(), state.clone());
        }
        self.keep(facts.clone());
        if self.interrupt.came() {
            anyhow::bail!("interrupted");
        }
        Ok(Ran {
            facts,
            files,
            state,
            store: self.store.clone(),
            directory,
        })
    }

    /// Writes an order's input to a file that has no name, so that nothing is left of it.
    async fn input(&self, order: Order) -> Result<File> {
        let (directory, store) = (self.run_dir.path().to_owned(), self.store.clone());
        let python = self.interpreter().clone();
        let write = move || -> Result<File> {
            let mut input = tempfile::tempfile_in(&directory)
                .with_context(|| format!("failed to make a file in {}", directory.display()))?;
            input::write(&order, &python, &store, &mut input)?;
            Ok(input)
        };
        tokio::task::spawn_blocking(write).await?
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

    /// Everything besides its inputs that shapes what a stage leaves: this program and the limits.
    ///
    /// # Errors
    /// The program's own file cannot be read.
    pub fn version(&self) -> Result<String> {
        static PROGRAM: OnceLock<String> = OnceLock::new();
        if PROGRAM.get().is_none() {
            let mut hash = Sha256::new();
            let program = File::open("/proc/self/exe").and_then(|mut program| {
                std::io::copy(&mut program, &mut hash)?;
                Ok(hash
                    .finalize()
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect())
            });
            let program = program.context("failed to read this program's own file")?;
            PROGRAM.get_or_init(|| program);
        }
        let program = PROGRAM.get().map_or("", String::as_str);
        Ok(format!("{program} {:?}", self.limits))
    }

    /// What of a stage was not watched to its end.
    pub fn add_problems(&self, stage: &str, problems: Vec<String>) {
        let mut record = self.record();
        let facts = record
            .facts
            .stages
            .iter_mut()
            .find(|facts| facts.name == stage);
        if let Some(facts) = facts {
            facts.problems.extend(problems);
        }
    }

    /// Keeps a stage's datum in its directory.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn keep_datum(&self, stage: &str, datum: &impl serde::Serialize) -> Result<()> {
        self.run_dir.stage(stage)?;
        self.run_dir.write_json(&format!("{stage}/{DATUM}"), datum)
    }

    /// A stage of this run that was done, with all its files in the data store.
    ///
    /// # Errors
    /// It was not done, or the disk refuses.
    pub fn done(&self, stage: &str) -> Result<Done> {
        let record = self.record();
        let mut stages = record.facts.stages.iter();
        let facts = stages.find(|facts| facts.name == stage).cloned();
        let facts = facts.with_context(|| format!("stage {stage} was not run"))?;
        let run = record.id.clone();
        drop(record);
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(self.run_dir.stage(stage)?)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                files.insert(name, self.store.put_file(&entry.path())?);
            }
        }
        let states = lock(&self.states);
        Ok(Done {
            facts,
            files,
            state: states.get(stage).cloned(),
            summary: lock(&self.summaries).get(stage).cloned(),
            run,
        })
    }

    /// Makes a stage that was done in another run one of this run.
    ///
    /// # Errors
    /// What it left is not there any more, or the disk refuses.
    pub fn restore(&self, stage: &str, done: Done) -> Result<()> {
        let directory = self.run_dir.stage(stage)?;
        let copied = self.copy_files(&done, &directory);
        if let Err(error) = copied {
            // The stage will be run, in a directory of its own.
            std::fs::remove_dir_all(&directory)
                .with_context(|| format!("failed to remove {}", directory.display()))?;
            return Err(error);
        }
        self.summarise(stage, done.summary);
        if let Some(state) = done.state {
            lock(&self.states).insert(stage.to_owned(), state);
        }
        self.keep(StageFacts {
            name: stage.to_owned(),
            ..done.facts
        });
        self.record().facts.notes.push(format!(
            "stage {stage} was run before ({}) and nothing that shapes it has changed since; --fresh runs it again",
            done.run
        ));
        Ok(())
    }

    fn copy_files(&self, done: &Done, directory: &Path) -> Result<()> {
        for (name, blob) in &done.files {
            let name = Path::new(name)
                .file_name()
                .context("a file without a name")?;
            self.store.copy_to(blob, &directory.join(name))?;
        }
        Ok(())
    }

    /// The template, made ready by whoever asks first. What it runs on goes into the run's record.
    ///
    /// # Errors
    /// The image or the template cannot be made.
    pub async fn template(&self, listener: Listener) -> Result<&Template> {
        let make = || async {
            let template = self.machine.template(listener).await?;
            self.record().made.accel = Some(template.record().accel.clone());
            anyhow::Ok(template)
        };
        self.template.get_or_try_init(make).await
    }
}
