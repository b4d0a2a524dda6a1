//! What the host does: fetching, resolving, finding out how tests are run, making the template,
//! adding up. None of it runs package code, save by asking in the VM.

use std::collections::BTreeMap;
use std::sync::Arc;

use pyti_analyzer::{StageFacts, StageStatus};
use pyti_graph::{Action, BoxFuture, Control, Failure, Inputs, Outputs};
use pyti_index::{CoreMetadata, Fetched, MetadataHook, PythonPlatform, Source};

use super::failure::{blame, until_no_stage_runs, until_stopped};
use super::settling::settled;
use super::{
    Audit, DETECT, DISTRIBUTION, Guest, METADATA, PERFORMANCE, SOURCE, TEMPLATE, TEST_PLAN,
    WHEELHOUSE, provide, read, teller,
};
use crate::described::Described;
use crate::stage::PythonVersion;
use crate::{performance, stage};

pub(super) struct Fetch(pub(super) Arc<Audit>);

impl Action for Fetch {
    fn run(&self, _: Inputs, control: Control) -> BoxFuture<'_, Result<Outputs, Failure>> {
        Box::pin(async move {
            let listener = teller(&control);
            let fetching = pyti_index::fetch(&self.0.target, &self.0.options, listener);
            let fetched = until_stopped(&control, async { Ok(fetching.await?) }).await?;
            // Whatever fails later, the report says of which file.
            let mut record = self.0.stages.record();
            record.target.filename = Some(fetched.file.filename.clone());
            record.target.sha256 = Some(fetched.file.sha256.clone());
            drop(record);
            provide(DISTRIBUTION, &fetched)
        })
    }
}

pub(super) struct Examine(pub(super) Arc<Audit>);

impl Action for Examine {
    fn run(&self, inputs: Inputs, control: Control) -> BoxFuture<'_, Result<Outputs, Failure>> {
        Box::pin(async move {
            let fetched: Fetched = read(&inputs, DISTRIBUTION)?;
            let Audit {
                options,
                stages,
                hook,
                ..
            } = &*self.0;
            let hook: Arc<dyn MetadataHook> = hook.clone();
            let examining = settled(hook, |hook| {
                pyti_index::examine(&fetched, options, hook, teller(&control))
            });
            let source = until_no_stage_runs(&control, stages, examining).await?;
            provide(SOURCE, &source)
        })
    }
}

pub(super) struct AskMetadata(pub(super) Arc<Audit>);

impl Action for AskMetadata {
    fn run(&self, inputs: Inputs, _: Control) -> BoxFuture<'_, Result<Outputs, Failure>> {
        Box::pin(async move {
            let fetched: Fetched = read(&inputs, DISTRIBUTION)?;
            let source: Source = read(&inputs, SOURCE)?;
            let metadata = pyti_index::metadata(&fetched, &source, &*self.0.hook).await;
            let metadata = metadata.map_err(|error| blame(error.into()))?;
            let made = self.0.hook.entry_points();
            let mut described = Described::of(&metadata, &source, made);
            described.notes.extend(self.0.hook.unknown());
            let stages = &self.0.stages;
            for note in &described.notes {
                stages.note(format!("{METADATA}: {note}"));
            }
            stages.summarise(METADATA, Some(described.summary()));
            stages.keep_datum(METADATA, &described).map_err(blame)?;
            provide(METADATA, &metadata)
        })
    }
}

pub(super) struct Resolve(pub(super) Arc<Audit>);

impl Action for Resolve {
    fn run(&self, inputs: Inputs, control: Control) -> BoxFuture<'_, Result<Outputs, Failure>> {
        Box::pin(async move {
            let fetched: Fetched = read(&inputs, DISTRIBUTION)?;
            let source: Source = read(&inputs, SOURCE)?;
            let metadata: CoreMetadata = read(&inputs, METADATA)?;
            let Audit {
                options,
                stages,
                hook,
                ..
            } = &*self.0;
            let hook: Arc<dyn MetadataHook> = hook.clone();
            let teller = teller(&control);
            let resolving = settled(hook, |hook| {
                pyti_index::resolve(&fetched, &source, metadata, options, hook, teller)
            });
            let prepared = until_no_stage_runs(&control, stages, resolving).await?;
            stages.describe(&prepared);
            provide(WHEELHOUSE, &prepared)
        })
    }
}

/// Adds up what the stages used.
pub(super) struct Measure(pub(super) Arc<Audit>);

impl Action for Measure {
    fn run(&self, _: Inputs, _: Control) -> BoxFuture<'_, Result<Outputs, Failure>> {
        Box::pin(async move {
            // Failed stages took their time too, and so did those of build back ends, which no task tells.
            let ran: Vec<StageFacts> = self.0.stages.record().facts.stages.clone();
            let started =
                |facts: &StageFacts| !matches!(facts.status, StageStatus::NotStarted { .. });
            let mut stages = BTreeMap::new();
            for facts in ran.into_iter().filter(started) {
                let usage = performance::usage(&facts, self.0.stages.directory());
                let usage = usage.map_err(Failure::infrastructure)?;
                stages.insert(facts.name, usage);
            }
            let picture = self.0.stages.directory().join(performance::PICTURE);
            performance::draw(&stages, &picture).map_err(Failure::infrastructure)?;
            let Self(audit) = self;
            audit
                .stages
                .summarise(PERFORMANCE, Some(performance::summary(&stages)));
            audit
                .stages
                .keep_datum(PERFORMANCE, &stages)
                .map_err(blame)?;
            provide(PERFORMANCE, &stages)
        })
    }
}

/// Finds out how the package is tested.
pub(super) struct Detect(pub(super) Arc<Audit>);

impl Action for Detect {
    fn run(&self, inputs: Inputs, _: Control) -> BoxFuture<'_, Result<Outputs, Failure>> {
        Box::pin(async move {
            let fetched: Fetched = read(&inputs, DISTRIBUTION)?;
            let metadata: CoreMetadata = read(&inputs, METADATA)?;
            let command = self.0.test_command.clone();
            let PythonPlatform { major, minor, .. } = self.0.options.platform;
            let python = PythonVersion { major, minor };
            let detecting =
                move || stage::test_plan(&fetched, &metadata, python, command.as_deref());
            let detected = tokio::task::spawn_blocking(detecting).await;
            let plan = detected.map_err(Failure::infrastructure)??;
            let stages = &self.0.stages;
            for note in &plan.notes {
                stages.note(format!("tests: {note}"));
            }
            stages.summarise(DETECT, Some(plan.summary()));
            stages.keep_datum(DETECT, &plan).map_err(blame)?;
            provide(TEST_PLAN, &plan)
        })
    }
}

pub(super) struct MakeTemplate(pub(super) Arc<Audit>);

impl Action for MakeTemplate {
    fn run(&self, _: Inputs, control: Control) -> BoxFuture<'_, Result<Outputs, Failure>> {
        Box::pin(async move {
            let teller = control.clone();
            let listener = Arc::new(move |message: &str| teller.say(message));
            let making = self.0.stages.template(listener);
            let template = until_stopped(&control, making).await?;
            let guest = Guest {
                key: template.record().key.clone(),
                python: self.0.stages.interpreter().clone(),
            };
            provide(TEMPLATE, &guest)
        })
    }
}
