//! The tasks of an audit, by the data they need and provide. A new stage is a new task here.
//!
//! ```text
//! fetch ─ distribution ─ resolve ─ wheelhouse ─┐
//!              template ──── template ─────────┴─ install ─ stage.install
//! ```

use std::sync::Arc;

use anyhow::Context as _;
use pyti_graph::{
    Action, Blame, BoxFuture, Control, Datum, Failure, Inputs, Kind, Need, Outputs, Place, Plan,
    PlanError, Resources, Task,
};
use pyti_index::{ErrorKind, Fetched, IndexError, Prepared, Step, write_tar};
use serde::Serialize;

use crate::metadata_hook::VmHook;
use crate::order;
use crate::stages::Stages;

/// The target's file, in the cache: a [`Fetched`].
pub const DISTRIBUTION: &str = "distribution";
/// The machine that clones come from: its key.
pub const TEMPLATE: &str = "template";
/// Everything that the VM is given: a [`Prepared`].
pub const WHEELHOUSE: &str = "wheelhouse";
/// What the install stage was: its exit status and times, as the run records them.
pub const STAGE_INSTALL: &str = "stage.install";

/// What the tasks of an audit work with.
pub struct Audit {
    /// What the user asked for.
    pub target: pyti_index::Target,
    /// How it is fetched and resolved.
    pub options: pyti_index::Options,
    /// What runs stages and keeps what they leave.
    pub stages: Arc<Stages>,
    /// Asks build back ends for metadata.
    pub hook: Arc<VmHook>,
}

/// What an audit asks for.
#[must_use]
pub fn goals() -> Vec<Kind> {
    vec![STAGE_INSTALL.into()]
}

/// The plan of an audit. Where the image must be built, which takes minutes, the target must be
/// there first; a template alone is made meanwhile.
///
/// # Errors
/// The tasks contradict each other, which the tests exclude.
pub fn plan(audit: &Arc<Audit>, image_is_built: bool) -> Result<Plan, PlanError> {
    let template_needs = if image_is_built {
        vec![]
    } else {
        vec![Need::All(DISTRIBUTION.into())]
    };
    let network = Resources {
        network: 1,
        ..Resources::default()
    };
    let machine = Resources {
        vms: 1,
        ..Resources::default()
    };
    let tasks = vec![
        task("fetch", vec![], DISTRIBUTION, network, Fetch(audit.clone())),
        task(
            "template",
            template_needs,
            TEMPLATE,
            machine,
            MakeTemplate(audit.clone()),
        ),
        task(
            "resolve",
            vec![Need::All(DISTRIBUTION.into())],
            WHEELHOUSE,
            network,
            Resolve(audit.clone()),
        ),
        Task {
            place: Place::Vm,
            ..task(
                order::INSTALL,
                vec![Need::All(WHEELHOUSE.into()), Need::All(TEMPLATE.into())],
                STAGE_INSTALL,
                machine,
                Install(audit.clone()),
            )
        },
    ];
    Plan::new(tasks, &goals())
}

fn task(
    name: &str,
    needs: Vec<Need>,
    provides: &str,
    cost: Resources,
    action: impl Action + 'static,
) -> Task {
    Task {
        name: name.to_owned(),
        needs,
        provides: vec![provides.into()],
        place: Place::Host,
        version: None,
        cost,
        timeout: None,
        action: Arc::new(action),
    }
}

struct Fetch(Arc<Audit>);

impl Action for Fetch {
    fn run(&self, _: Inputs, control: Control) -> BoxFuture<'_, Result<Outputs, Failure>> {
        Box::pin(async move {
            let listener = teller(&control);
            let fetching = pyti_index::fetch(&self.0.target, &self.0.options, listener);
            let fetched = until_stopped(&control, async { Ok(fetching.await?) }).await?;
            provide(DISTRIBUTION, &fetched)
        })
    }
}

struct Resolve(Arc<Audit>);

impl Action for Resolve {
    fn run(&self, inputs: Inputs, control: Control) -> BoxFuture<'_, Result<Outputs, Failure>> {
        Box::pin(async move {
            let fetched: Fetched = read(&inputs, DISTRIBUTION)?;
            // One for all tries: a stage that ran keeps its name and its place in the run.
            let hook = Arc::clone(&self.0.hook);
            let options = &self.0.options;
            let resolving = pyti_index::resolve(&fetched, options, hook, teller(&control));
            let resolving = async { Ok(resolving.await?) };
            let stages = &self.0.stages;
            let prepared = tokio::select! {
                prepared = resolving => prepared.map_err(blame)?,
                () = stopped_before_a_stage(&control, stages) => return Err(Failure::Cancelled),
            };
            stages.describe(&prepared);
            provide(WHEELHOUSE, &prepared)
        })
    }
}

/// A stage that runs hears an interruption itself, ends, and its record is judged.
async fn stopped_before_a_stage(control: &Control, stages: &Stages) {
    control.stopped().await;
    if stages.begun() {
        std::future::pending::<()>().await;
    }
}

struct MakeTemplate(Arc<Audit>);

impl Action for MakeTemplate {
    fn run(&self, _: Inputs, control: Control) -> BoxFuture<'_, Result<Outputs, Failure>> {
        Box::pin(async move {
            let teller = control.clone();
            let listener = Arc::new(move |message: &str| teller.say(message));
            let making = self.0.stages.template(listener);
            let template = until_stopped(&control, making).await?;
            provide(TEMPLATE, &template.record().key)
        })
    }
}

struct Install(Arc<Audit>);

impl Action for Install {
    fn run(&self, inputs: Inputs, control: Control) -> BoxFuture<'_, Result<Outputs, Failure>> {
        Box::pin(async move {
            let prepared: Prepared = read(&inputs, WHEELHOUSE)?;
            control.say(format!("{} files in the wheelhouse", prepared.files.len()));
            let facts = self.install(&prepared).await.map_err(blame)?;
            provide(STAGE_INSTALL, &facts)
        })
    }
}

impl Install {
    async fn install(&self, prepared: &Prepared) -> anyhow::Result<pyti_analyzer::StageFacts> {
        let stages = &self.0.stages;
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
        Ok(stages.run(&order, input).await?.facts)
    }
}

/// Does the work, and drops it when the task is to stop.
async fn until_stopped<T>(
    control: &Control,
    work: impl Future<Output = anyhow::Result<T>>,
) -> Result<T, Failure> {
    tokio::select! {
        done = work => done.map_err(blame),
        () = control.stopped() => Err(Failure::Cancelled),
    }
}

/// Whose fault an error is: the package's where the index client says so, else that of what runs it.
fn blame(error: anyhow::Error) -> Failure {
    let kind = error.downcast_ref::<IndexError>().map(IndexError::kind);
    let blame = match kind {
        Some(ErrorKind::Package | ErrorKind::Input) => Blame::Package,
        Some(ErrorKind::Infrastructure) | None => Blame::Infrastructure,
    };
    Failure::Failed {
        blame,
        reason: format!("{error:#}"),
    }
}

fn read<T: serde::de::DeserializeOwned>(inputs: &Inputs, kind: &str) -> Result<T, Failure> {
    inputs.get(kind).map_err(Failure::infrastructure)
}

fn provide(kind: &str, value: &impl Serialize) -> Result<Outputs, Failure> {
    let datum = Datum::of(value).map_err(Failure::infrastructure)?;
    Ok(Outputs::from([(kind.into(), datum)]))
}

fn teller(control: &Control) -> Arc<impl Fn(Step) + Send + Sync + 'static> {
    let control = control.clone();
    Arc::new(move |step: Step| match step {
        Step::Fetching { file, .. } => control.say(format!("fetching {file}")),
        Step::Received { file, bytes } => {
            control.say(format!("fetching {file}, {} MiB", bytes >> 20));
        }
        Step::Resolving { what } => control.say(format!("resolving {what}")),
        Step::Hook { file } => control.say(format!("asking {file} for its metadata in the VM")),
        Step::Retry { url, reason } => control.say(format!("trying {url} again: {reason}")),
        _ => {}
    })
}
