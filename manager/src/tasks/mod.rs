//! The tasks of an audit, by the data they need and provide: the plan here, what the host does in
//! `host`, how a stage of [`crate::stage`] becomes a task in `vm`.
//!
//! ```text
//! fetch ─ distribution ─ examine ─ source ─ metadata* ─ metadata ─ resolve ─ wheelhouse ─ install* …
//! ```

pub(crate) mod failure;
mod gather;
mod host;
mod settling;
mod source_wheels;
mod tools;
mod vm;

use std::sync::Arc;
use std::time::Duration;

use pyti_graph::{
    Action, Control, Datum, Failure, Inputs, Kind, Need, Outputs, Place, Plan, PlanError,
    Resources, Task,
};
use pyti_index::Step;
use pyti_vm::Interpreter;
use serde::{Deserialize, Serialize};

use crate::metadata_hook::VmHook;
use crate::stage;
use crate::stages::Stages;
use host::{AskMetadata, Detect, Examine, Fetch, MakeTemplate, Measure, Resolve};
use source_wheels::SourceWheels;
use tools::FetchTools;
pub use tools::FetchedTools;
use vm::RunStage;

/// The target's file, in the cache: a [`pyti_index::Fetched`].
pub const DISTRIBUTION: &str = "distribution";
/// What is known of it without running it, and what its build requires: a [`pyti_index::Source`].
pub const SOURCE: &str = "source";
/// The machine that clones come from: a [`Guest`].
pub const TEMPLATE: &str = "template";
/// What it says of itself: a [`pyti_index::CoreMetadata`].
pub const METADATA: &str = "metadata";
/// Everything that the VM is given to install it: a [`pyti_index::Prepared`].
pub const WHEELHOUSE: &str = "wheelhouse";
/// What the installation left: a [`crate::stage::Installed`].
pub const INSTALLED: &str = "installed";
/// How its tests are run: a [`crate::stage::TestPlan`].
pub const TEST_PLAN: &str = "test-plan";
/// What building its wheel gave.
pub const BUILD: &str = "build";
/// What all stages used, by stage: a [`crate::performance::Usage`] each.
pub const PERFORMANCE: &str = "performance";
/// Before the name of a stage: what it used, as [`pyti_analyzer::StageFacts`].
pub const RESOURCES: &str = "resources.";
/// The task that finds out how the package is tested.
const DETECT: &str = "detect";

/// How long one task may resolve and fetch, with all that build back ends are asked for on the way: each of
/// thousands of packages may require something else to be built.
const RESOLVING: Duration = Duration::from_secs(2 * 60 * 60);
/// Characters of a reason that is told, such as why a requirement cannot be had.
const LONGEST_REASON: usize = 300;

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
        memory_mib: audit.stages.memory_mib(),
        ..Resources::default()
    };
    // What is required may be a source distribution that is asked for its metadata, in a VM.
    let asking = Resources {
        network: 1,
        ..machine
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
    let resolving = |name: &str, needs, provides: &str, cost, action: Arc<dyn Action>| Task {
        timeout: Some(RESOLVING),
        ..host(name, needs, provides, cost, action)
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
        resolving(
            "examine",
            needs(&[DISTRIBUTION]),
            SOURCE,
            asking,
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
        resolving(
            "resolve",
            needs(&[DISTRIBUTION, SOURCE, METADATA]),
            WHEELHOUSE,
            asking,
            Arc::new(Resolve(audit.clone())),
        ),
        host(
            DETECT,
            needs(&[DISTRIBUTION, METADATA]),
            TEST_PLAN,
            Resources::default(),
            Arc::new(Detect(audit.clone())),
        ),
    ];
    if let Some(note) = lacks_pychecker(audit.stages.interpreter(), stages) {
        audit.stages.note(note.to_owned());
    }
    // Where the program cannot tell its version, nothing is remembered.
    let version = audit.stages.version().ok();
    let builder = Arc::new(SourceWheels::of(audit));
    let mut goals: Vec<Kind> = vec![];
    for stage in stage::all() {
        let mut needs = stage.needs();
        needs.push(Need::All(TEMPLATE.into()));
        if let Some(mut tools) = stage.tools() {
            let beside = needs.contains(&Need::All(INSTALLED.into()));
            if beside {
                let brought = [WHEELHOUSE, METADATA].map(|kind| Need::All(kind.into()));
                tools.needs.extend(brought);
            }
            // The package's own tests may require what has no wheel, which is built in a VM then.
            let builds = beside && is_watched(stage.name());
            let name = format!("tools-{}", stage.name());
            needs.push(Need::All(tools_of(stage.name())));
            let provides = tools_of(stage.name());
            let fetch = Arc::new(FetchTools {
                provides: provides.clone(),
                optional: !is_watched(stage.name()),
                beside,
                requirements: tools.requirements,
                builder: builds.then(|| builder.clone()),
                audit: audit.clone(),
            });
            let cost = if builds { asking } else { network };
            let provides = provides.as_str();
            tasks.push(resolving(&name, tools.needs, provides, cost, fetch));
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
    stage != PERFORMANCE && !is_checker(stage)
}

fn is_checker(stage: &str) -> bool {
    stage.starts_with("quality-")
}

/// What is told of the checker that is for Python 2 and has no stage, where these stages are asked for.
fn lacks_pychecker(python: &Interpreter, stages: &[&str]) -> Option<&'static str> {
    let wanted = python.is_python2() && stages.iter().any(|stage| is_checker(stage));
    wanted.then_some("quality-pychecker: not applicable: no index has a file of pychecker")
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

/// What a stage runs with.
pub(crate) fn fetched_tools(inputs: &Inputs, stage: &str) -> Result<FetchedTools, Failure> {
    read(inputs, tools_of(stage).as_str())
}

/// The requirements that a stage wanted to run with and runs without.
pub(crate) fn missing_tools(inputs: &Inputs, stage: &str) -> Result<Vec<String>, Failure> {
    Ok(fetched_tools(inputs, stage)?.missing)
}

fn provide(kind: &str, value: &impl Serialize) -> Result<Outputs, Failure> {
    let datum = Datum::of(value).map_err(Failure::infrastructure)?;
    Ok(Outputs::from([(kind.into(), datum)]))
}

/// Tells what the index client does.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_pychecker_cannot_be_had_is_told_to_whom_it_concerns() {
        let python = |version: &str| Interpreter::new("/usr/bin/python", version, "2.31").unwrap();
        let told =
            |version: &str, stages: &[&str]| lacks_pychecker(&python(version), stages).is_some();
        assert!(told("2.7.18", &["install", "quality-pylint"]));
        assert!(!told("2.7.18", &["install", "test"]));
        assert!(!told("3.13", &["install", "quality-pylint"]));
    }
}
