//! The task that resolves and fetches what a stage runs with. None of it is built, so that all of it
//! must have wheels.

use std::sync::Arc;

use pyti_graph::{Action, Blame, BoxFuture, Control, Failure, Inputs, Kind, Outputs};
use pyti_index::{Closure, Options, WheelhouseFile};
use serde::{Deserialize, Serialize};

use crate::metadata_hook::NoHook;
use crate::stage::Requirements;
use crate::tasks::{Audit, provide, teller, until_stopped};

/// The tools of a stage.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FetchedTools {
    /// Their wheels.
    pub files: Vec<WheelhouseFile>,
    /// Why there are none: then the stage does not apply.
    pub unavailable: Option<String>,
}

/// Resolves and fetches the tools of a stage.
pub(crate) struct FetchTools {
    /// Name of its datum, [`FetchedTools`].
    pub provides: Kind,
    /// Where they cannot be had the stage does not apply, rather than that it failed.
    pub optional: bool,
    /// What they are.
    pub requirements: Requirements,
    /// What it works with.
    pub audit: Arc<Audit>,
}

impl Action for FetchTools {
    fn run(&self, inputs: Inputs, control: Control) -> BoxFuture<'_, Result<Outputs, Failure>> {
        Box::pin(async move {
            let sets = (self.requirements)(&inputs)?;
            let stages = &self.audit.stages;
            let mut closure = match self.best(&sets, &control).await {
                Err(Failure::NotApplicable(reason)) => {
                    let none = FetchedTools {
                        files: vec![],
                        unavailable: Some(reason),
                    };
                    return provide(self.provides.as_str(), &none);
                }
                closure => closure?,
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
            let tools = FetchedTools {
                files: closure.files,
                unavailable: None,
            };
            provide(self.provides.as_str(), &tools)
        })
    }
}

impl FetchTools {
    /// The first of the sets that can be resolved.
    async fn best(&self, sets: &[Vec<String>], control: &Control) -> Result<Closure, Failure> {
        let stages = &self.audit.stages;
        let none = vec![];
        let (last, others) = sets.split_last().unwrap_or((&none, &[]));
        for set in others {
            match self.one(set, control).await {
                Err(Failure::Failed {
                    blame: Blame::Package,
                    reason,
                }) => stages.note(format!("{}: {reason}; it runs without", self.provides)),
                done => return done,
            }
        }
        match self.one(last, control).await {
            Err(Failure::Failed {
                blame: Blame::Package,
                ..
            }) if self.optional => Err(Failure::NotApplicable(format!(
                "no release of {} has wheels for Python {}",
                last.join(", "),
                stages.interpreter()
            ))),
            done => done,
        }
    }

    /// Versions that all have wheels; else the newest ones, of which what has none is left out, since
    /// what the package's tests require may have none at all.
    async fn one(&self, set: &[String], control: &Control) -> Result<Closure, Failure> {
        let options = &self.audit.options;
        let wheels = Options {
            wheels_only: true,
            ..options.clone()
        };
        match self.resolve(set, &wheels, control).await {
            Err(Failure::Failed {
                blame: Blame::Package,
                ..
            }) if !self.optional => self.resolve(set, options, control).await,
            done => done,
        }
    }

    async fn resolve(
        &self,
        set: &[String],
        options: &Options,
        control: &Control,
    ) -> Result<Closure, Failure> {
        let teller = teller(control);
        let resolving = pyti_index::closure(set, options, Arc::new(NoHook), teller);
        until_stopped(control, async { Ok(resolving.await?) }).await
    }
}
