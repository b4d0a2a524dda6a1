//! How a stage becomes a task: it runs in a clone, its datum is read and kept.

use std::sync::Arc;

use pyti_graph::{Action, BoxFuture, Control, Datum, Failure, Inputs, Outputs};
use pyti_index::{DistFilename, WheelhouseFile};

use super::failure::{blame, not_again};
use super::{Audit, INSTALLED, fetched_tools, provide, read, resources};
use crate::stage::{Installed, Ran, Stage};

/// Runs a stage in a clone.
pub(super) struct RunStage {
    pub(super) stage: Arc<dyn Stage>,
    pub(super) audit: Arc<Audit>,
}

impl Action for RunStage {
    fn run(&self, inputs: Inputs, _: Control) -> BoxFuture<'_, Result<Outputs, Failure>> {
        Box::pin(async move {
            let Self { stage, audit } = self;
            // It may look into an archive.
            let order = || stage.order(&inputs, audit.stages.limits());
            let mut order = tokio::task::block_in_place(order)?;
            if stage.tools().is_some() {
                let tools = fetched_tools(&inputs, stage.name())?;
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
