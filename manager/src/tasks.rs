//! The tasks of an audit, by the data they need and provide: those of the host here, the stages in
//! [`crate::stage`].
//!
//! ```text
//! fetch ─ distribution ─ examine ─ source ─ metadata* ─ metadata ─ resolve ─ wheelhouse ─ install* …
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use pyti_analyzer::StageFacts;
use pyti_graph::{
    Action, Blame, BoxFuture, Control, Datum, Failure, Inputs, Kind, Need, Outputs, Place, Plan,
    PlanError, Resources, Task,
};
use pyti_index::{
    CoreMetadata, DistFilename, ErrorKind, Fetched, IndexError, Source, Step, WheelhouseFile,
};
use pyti_vm::Interpreter;
use serde::{Deserialize, Serialize};

use crate::fetch_tools::{FetchTools, FetchedTools};
use crate::metadata_hook::VmHook;
use crate::performance;
use crate::stage::{self, Installed, Ran, Stage};
use crate::stages::Stages;

/// The target's file, in the cache: a [`Fetched`].
pub const DISTRIBUTION: &str = "distribution";
/// What is known of it without running it, and what its build requires: a [`Source`].
pub const SOURCE: &str = "source";
/// The machine that clones come from: a [`Guest`].
pub const TEMPLATE: &str = "template";
/// What it says of itself: a [`CoreMetadata`].
pub const METADATA: &str = "metadata";
/// Everything that the VM is given to install it: a [`pyti_index::Prepared`].
pub const WHEELHOUSE: &str = "wheelhouse";
/// What the installation left: a [`crate::stage::Installed`].
pub const INSTALLED: &str = "installed";
/// How its tests are run: a [`crate::stage::TestPlan`].
pub const TEST_PLAN: &str = "test-plan";
/// What building its wheel gave.
pub const BUILD: &str = "build";
/// What all stages used, by stage: a [`performance::Usage`] each.
pub const PERFORMANCE: &str = "performance";
/// Characters of the reason for which a stage gave nothing.
const LONGEST_REASON: usize = 1000;
/// Before the name of a stage: what it used, as [`pyti_analyzer::StageFacts`].
pub const RESOURCES: &str = "resources.";

/// The datum [`TEMPLATE`].
#[derive(Debug, Serialize, Deserialize)]
struct Guest {
    /// The digest of all that shaped it.
    key: String,
    /// The Python in it.
    python: Interpreter,
}

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
    /// What runs the tests, where the user knows better.
    pub test_command: Option<Vec<String>>,
}

/// The plan of an audit that comes to the end of these stages. Where the image must be built, which
/// takes minutes, the target must be there first; a template alone is made meanwhile.
///
/// # Errors
/// The tasks contradict each other, which the tests exclude.
pub fn plan(audit: &Arc<Audit>, image_is_built: bool, stages: &[&str]) -> Result<Plan, PlanError> {
    let template_needs = if image_is_built {
        vec![]
    } else {
        vec![Need::All(DISTRIBUTION.into())]
    };
    let needs = |kinds: &[&str]| -> Vec<Need> {
        kinds.iter().map(|&kind| Need::All(kind.into())).collect()
    };
    let network = Resources {
        network: 1,
        ..Resources::default()
    };
    let machine = Resources {
        vms: 1,
        ..Resources::default()
    };
    let host = |name: &str, needs, provides: &str, cost, action: Arc<dyn Action>| Task {
        name: name.to_owned(),
        needs,
        provides: vec![provides.into()],
        place: Place::Host,
        version: None,
        cost,
        timeout: None,
        action,
    };
    let mut tasks = vec![
        host(
            "fetch",
            vec![],
            DISTRIBUTION,
            network,
            Arc::new(Fetch(audit.clone())),
        ),
        host(
            "template",
            template_needs,
            TEMPLATE,
            machine,
            Arc::new(MakeTemplate(audit.clone())),
        ),
        host(
            "examine",
            needs(&[DISTRIBUTION]),
            SOURCE,
            network,
            Arc::new(Examine(audit.clone())),
        ),
        Task {
            place: Place::Vm,
            ..host(
                "metadata",
                needs(&[DISTRIBUTION, SOURCE, TEMPLATE]),
                METADATA,
                machine,
                Arc::new(AskMetadata(audit.clone())),
            )
        },
        host(
            "resolve",
            needs(&[DISTRIBUTION, SOURCE, METADATA]),
            WHEELHOUSE,
            network,
            Arc::new(Resolve(audit.clone())),
        ),
        host(
            "detect",
            needs(&[DISTRIBUTION, METADATA]),
            TEST_PLAN,
            Resources::default(),
            Arc::new(Detect(audit.clone())),
        ),
    ];
    // Where the program cannot tell its version, nothing is remembered.
    let version = audit.stages.version().ok();
    let mut goals: Vec<Kind> = vec![];
    for stage in stage::all() {
        let mut needs = stage.needs();
        needs.push(Need::All(TEMPLATE.into()));
        if let Some(tools) = stage.tools() {
            let name = format!("tools-{}", stage.name());
            needs.push(Need::All(tools_of(stage.name())));
            let provides = tools_of(stage.name());
            let fetch = Arc::new(FetchTools {
                provides: provides.clone(),
                optional: !is_watched(stage.name()),
                requirements: tools.requirements,
                audit: audit.clone(),
            });
            tasks.push(host(&name, tools.needs, provides.as_str(), network, fetch));
        }
        let resources = resources(stage.name());
        if stages.contains(&stage.name()) {
            goals.push(resources.clone());
        }
        tasks.push(Task {
            name: stage.name().to_owned(),
            needs,
            provides: vec![stage.provides().into(), resources],
            place: Place::Vm,
            version: version.clone(),
            cost: machine,
            timeout: None,
            action: Arc::new(RunStage {
                stage,
                audit: audit.clone(),
            }),
        });
    }
    if stages.contains(&PERFORMANCE) {
        goals.push(PERFORMANCE.into());
    }
    let each = vec![Need::Each(format!("{RESOURCES}*"))];
    let measure = Arc::new(Measure(audit.clone()));
    tasks.push(host(
        PERFORMANCE,
        each,
        PERFORMANCE,
        Resources::default(),
        measure,
    ));
    Plan::new(tasks, &goals)
}

/// Whether the verdict rests on a stage that was asked for: what a checker says of the code does not
/// tell what the code does.
#[must_use]
pub fn is_watched(stage: &str) -> bool {
    stage != PERFORMANCE && !stage.starts_with("quality-")
}

/// What an audit can be asked for, by name.
#[must_use]
pub fn stage_names() -> Vec<&'static str> {
    let mut names: Vec<_> = stage::all().iter().map(|stage| stage.name()).collect();
    names.push(PERFORMANCE);
    names
}

fn resources(stage: &str) -> Kind {
    Kind::new(format!("{RESOURCES}{stage}"))
}

fn tools_of(stage: &str) -> Kind {
    Kind::new(format!("tools.{stage}"))
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

struct Examine(Arc<Audit>);

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
            let hook = Arc::clone(hook);
            let examining = pyti_index::examine(&fetched, options, hook, teller(&control));
            let source = until_no_stage_runs(&control, stages, examining).await?;
            provide(SOURCE, &source)
        })
    }
}

struct AskMetadata(Arc<Audit>);

impl Action for AskMetadata {
    fn run(&self, inputs: Inputs, _: Control) -> BoxFuture<'_, Result<Outputs, Failure>> {
        Box::pin(async move {
            let fetched: Fetched = read(&inputs, DISTRIBUTION)?;
            let source: Source = read(&inputs, SOURCE)?;
            let metadata = pyti_index::metadata(&fetched, &source, &*self.0.hook).await;
            provide(METADATA, &metadata.map_err(|error| blame(error.into()))?)
        })
    }
}

struct Resolve(Arc<Audit>);

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
            let (hook, teller) = (Arc::clone(hook), teller(&control));
            let resolving = pyti_index::resolve(&fetched, &source, metadata, options, hook, teller);
            let prepared = until_no_stage_runs(&control, stages, resolving).await?;
            stages.describe(&prepared);
            provide(WHEELHOUSE, &prepared)
        })
    }
}

/// Adds up what the stages used.
struct Measure(Arc<Audit>);

impl Action for Measure {
    fn run(&self, inputs: Inputs, _: Control) -> BoxFuture<'_, Result<Outputs, Failure>> {
        Box::pin(async move {
            let mut stages = BTreeMap::new();
            for (kind, _) in inputs.iter() {
                let facts: StageFacts = read(&inputs, kind.as_str())?;
                let usage = performance::usage(&facts, self.0.stages.directory());
                let usage = usage.map_err(Failure::infrastructure)?;
                stages.insert(facts.name, usage);
            }
            let picture = self.0.stages.directory().join(performance::PICTURE);
            performance::draw(&stages, &picture).map_err(Failure::infrastructure)?;
            provide(PERFORMANCE, &stages)
        })
    }
}

/// Finds out how the package is tested.
struct Detect(Arc<Audit>);

impl Action for Detect {
    fn run(&self, inputs: Inputs, _: Control) -> BoxFuture<'_, Result<Outputs, Failure>> {
        Box::pin(async move {
            let fetched: Fetched = read(&inputs, DISTRIBUTION)?;
            let metadata: CoreMetadata = read(&inputs, METADATA)?;
            let command = self.0.test_command.clone();
            let detecting = move || stage::test_plan(&fetched, &metadata, command.as_deref());
            let detected = tokio::task::spawn_blocking(detecting).await;
            let plan = detected.map_err(Failure::infrastructure)??;
            provide(TEST_PLAN, &plan)
        })
    }
}

/// Does the work, and drops it when the task is to stop, unless a stage has begun: that one hears an
/// interruption itself, ends, and its record is judged.
async fn until_no_stage_runs<T>(
    control: &Control,
    stages: &Stages,
    work: impl Future<Output = Result<T, IndexError>>,
) -> Result<T, Failure> {
    let stopped = async {
        control.stopped().await;
        if stages.begun() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        done = work => done.map_err(|error| blame(error.into())),
        () = stopped => Err(Failure::Cancelled),
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
            let guest = Guest {
                key: template.record().key.clone(),
                python: self.0.stages.interpreter().clone(),
            };
            provide(TEMPLATE, &guest)
        })
    }
}

/// Runs a stage in a clone.
struct RunStage {
    stage: Arc<dyn Stage>,
    audit: Arc<Audit>,
}

impl Action for RunStage {
    fn run(&self, inputs: Inputs, _: Control) -> BoxFuture<'_, Result<Outputs, Failure>> {
        Box::pin(async move {
            let Self { stage, audit } = self;
            let mut order = stage.order(&inputs, audit.stages.limits())?;
            if stage.tools().is_some() {
                let tools: FetchedTools = read(&inputs, tools_of(stage.name()).as_str())?;
                if let Some(reason) = tools.unavailable {
                    return Err(Failure::NotApplicable(reason));
                }
                order.tools = tools.files;
                if order.state.is_some() {
                    let installed: Installed = read(&inputs, INSTALLED)?;
                    order.tools.retain(|tool| !brings(&installed, tool));
                }
            }
            let ran = audit.stages.run(order).await.map_err(blame)?;
            self.outputs(&ran, &inputs).map_err(not_again)
        })
    }
}

/// Whether what is audited brings this package itself: then a tool's is not put over it.
fn brings(installed: &Installed, tool: &WheelhouseFile) -> bool {
    let tool = DistFilename::parse(&tool.filename, None);
    let mut found = installed.distributions.iter();
    tool.is_ok_and(|tool| {
        found.any(|found| found.name.parse().is_ok_and(|name| *tool.name() == name))
    })
}

impl RunStage {
    fn outputs(&self, ran: &Ran, inputs: &Inputs) -> Result<Outputs, Failure> {
        let Self { stage, audit } = self;
        let datum = tokio::task::block_in_place(|| stage.read(ran, inputs))?;
        audit
            .stages
            .add_problems(stage.name(), stage.cut_short(&datum));
        audit.stages.summarise(stage.name(), stage.summary(&datum));
        audit
            .stages
            .keep_datum(stage.name(), &datum)
            .map_err(blame)?;
        let mut outputs = provide(stage.provides(), &datum)?;
        let facts = Datum::of(&ran.facts).map_err(Failure::infrastructure)?;
        outputs.insert(resources(stage.name()), facts);
        Ok(outputs)
    }
}

/// A stage that ran is on record: it is not tried again, whatever is made of it.
fn not_again(failure: Failure) -> Failure {
    match failure {
        Failure::Failed { blame, reason } => Failure::Failed {
            blame: match blame {
                Blame::Infrastructure => Blame::Inconclusive,
                other => other,
            },
            // It may quote what the VM sent.
            reason: reason.chars().take(LONGEST_REASON).collect(),
        },
        other => other,
    }
}

/// Does the work, and drops it when the task is to stop.
pub(crate) async fn until_stopped<T>(
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

/// The datum of this kind, which the plan says is there.
pub(crate) fn read<T: serde::de::DeserializeOwned>(
    inputs: &Inputs,
    kind: &str,
) -> Result<T, Failure> {
    inputs.get(kind).map_err(Failure::infrastructure)
}

/// The Python of the machine that a stage runs in.
pub(crate) fn python(inputs: &Inputs) -> Result<Interpreter, Failure> {
    read::<Guest>(inputs, TEMPLATE).map(|guest| guest.python)
}

pub(crate) fn provide(kind: &str, value: &impl Serialize) -> Result<Outputs, Failure> {
    let datum = Datum::of(value).map_err(Failure::infrastructure)?;
    Ok(Outputs::from([(kind.into(), datum)]))
}

pub(crate) fn teller(control: &Control) -> Arc<impl Fn(Step) + Send + Sync + 'static> {
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
