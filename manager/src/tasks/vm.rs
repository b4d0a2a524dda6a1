//! How a stage becomes a task: its tools are fetched, it runs in a clone, its datum is read and kept.

use std::sync::Arc;

use pyti_graph::{Action, Blame, BoxFuture, Control, Datum, Failure, Inputs, Kind, Outputs};
use pyti_index::{Closure, DistFilename, WheelhouseFile};

use super::failure::{blame, not_again, until_stopped};
use super::{Audit, INSTALLED, provide, read, resources, teller, tools_of};
use crate::metadata_hook::NoHook;
use crate::stage::{Installed, Ran, Requirements, Stage};

/// Resolves and fetches the tools of a stage.
pub(super) struct FetchTools {
    pub(super) provides: Kind,
    pub(super) requirements: Requirements,
    pub(super) audit: Arc<Audit>,
}

impl Action for FetchTools {
    fn run(&self, inputs: Inputs, control: Control) -> BoxFuture<'_, Result<Outputs, Failure>> {
        Box::pin(async move {
            let mut sets = (self.requirements)(&inputs)?.into_iter();
            let Audit {
                options, stages, ..
            } = &*self.audit;
            let mut set = sets.next().unwrap_or_default();
            let mut closure = loop {
                let teller = teller(&control);
                let resolving = pyti_index::closure(&set, options, Arc::new(NoHook), teller);
                let resolving = async { Ok(resolving.await?) };
                match (until_stopped(&control, resolving).await, sets.next()) {
                    (
                        Err(Failure::Failed {
                            blame: Blame::Package,
                            reason,
                        }),
                        Some(next),
                    ) => {
                        stages.note(format!("{}: {reason}; it runs without", self.provides));
                        set = next;
                    }
                    (closure, _) => break closure?,
                }
            };
            closure.files.retain(|file| {
                let wheel = file.filename.ends_with(".whl");
                if !wheel {
                    let (tools, file) = (&self.provides, &file.filename);
                    stages.note(format!("{tools}: {file} is no wheel and is left out"));
                }
                wheel
            });
            closure.notes.drain(..).for_each(|note| stages.note(note));
            provide(self.provides.as_str(), &closure)
        })
    }
}

/// Runs a stage in a clone.
pub(super) struct RunStage {
    pub(super) stage: Arc<dyn Stage>,
    pub(super) audit: Arc<Audit>,
}

impl Action for RunStage {
    fn run(&self, inputs: Inputs, _: Control) -> BoxFuture<'_, Result<Outputs, Failure>> {
        Box::pin(async move {
            let Self { stage, audit } = self;
            let mut order = stage.order(&inputs, audit.stages.limits())?;
            if stage.tools().is_some() {
                let tools: Closure = read(&inputs, tools_of(stage.name()).as_str())?;
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
