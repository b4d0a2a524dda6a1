//! The tools of a stage: resolved and fetched, as many of those that it only wants as can be had. What `test`
//! and `coverage` need or want and has no wheel is built in a clone first; the tools of checkers must have
//! wheels.
//! Those that are installed beside the package are of versions that get along with it and with what it
//! requires, where there are such.

use std::sync::Arc;

use pyti_analyzer::escape_within;
use pyti_graph::{Action, Blame, BoxFuture, Control, Failure, Inputs, Kind, Outputs};
use pyti_index::{
    Beside, Closure, CoreMetadata, DistFilename, HookRequest, MetadataHook, Options, PackageName,
    Prepared, WheelhouseFile,
};
use serde::{Deserialize, Serialize};

use super::failure::until_no_stage_runs;
use super::gather::{Gathered, Resolving, Sources, gather, gather_beside, needs_file};
use super::settling::settled;
use super::source_wheels::SourceWheels;
use super::{Audit, LONGEST_REASON, METADATA, WHEELHOUSE, provide, read, teller};
use crate::metadata_hook::NoHook;
use crate::stage::Requirements;

/// The datum `tools.STAGE`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchedTools {
    /// Wheels.
    pub files: Vec<WheelhouseFile>,
    /// Requirements that could not be had, without reasons: those differ from run to run. They are as they
    /// were wanted, or `NAME==VERSION` where they were resolved and only then left out.
    pub missing: Vec<String>,
    /// The packages of those that were left out: what is wanted in one version may be there in another.
    #[serde(default)]
    pub left_out: Vec<PackageName>,
    /// Why there are none: then the stage does not apply.
    pub unavailable: Option<String>,
}

impl FetchedTools {
    /// Leaves a file out that was resolved, and says what it is, as a requirement. The name of an old source
    /// may leave open where that of its package ends.
    fn leave_out(&mut self, file: &str) -> Result<String, Failure> {
        let file = DistFilename::parse(file, None).map_err(Failure::infrastructure)?;
        let (name, version) = (file.name(), file.version());
        self.left_out.push(name.clone());
        Ok(format!("{name}=={version}"))
    }
}

/// Resolves and fetches the tools of a stage.
pub(super) struct FetchTools {
    pub(super) provides: Kind,
    /// Where they cannot be had the stage does not apply, rather than that it failed.
    pub(super) optional: bool,
    /// They are installed beside the package.
    pub(super) beside: bool,
    pub(super) requirements: Requirements,
    /// What builds those that have no wheel, where they are worth it.
    pub(super) builder: Option<Arc<SourceWheels>>,
    pub(super) audit: Arc<Audit>,
}

impl Action for FetchTools {
    fn run(&self, inputs: Inputs, control: Control) -> BoxFuture<'_, Result<Outputs, Failure>> {
        Box::pin(async move {
            let required = (self.requirements)(&inputs)?;
            let (audit, control) = (&self.audit, &control);
            let needed = required.needed.clone();
            let beside = self.installed_with(&inputs)?;
            let beside = beside.as_ref();
            let resolve = |alone: bool, sources: bool, set: Vec<String>| -> Resolving<'_> {
                let beside = beside.filter(|_| !alone);
                Box::pin(async move { self.resolve(&set, beside, sources, control).await })
            };
            let stages = &audit.stages;
            let gathered = match beside {
                Some(_) => gather_beside(required, self.builder.is_some(), resolve).await,
                None => {
                    let resolve = |sources, set| resolve(true, sources, set);
                    gather(required, Sources::Never, resolve).await
                }
            };
            let Gathered {
                closure,
                mut missing,
                conflict,
            } = match gathered {
                Err(Failure::Failed {
                    blame: Blame::Package,
                    ..
                }) if self.optional => {
                    let (needed, python) = (needed.join(", "), stages.interpreter());
                    let reason = format!("no release of {needed} has wheels for Python {python}");
                    let none = FetchedTools {
                        unavailable: Some(reason),
                        ..FetchedTools::default()
                    };
                    return provide(self.provides.as_str(), &none);
                }
                gathered => gathered?,
            };
            if let Some(reason) = conflict {
                let (tools, reason) = (&self.provides, escape_within(&reason, LONGEST_REASON));
                stages.note(format!(
                    "{tools}: without regard to what is installed with the package, beside which \
                     they cannot be had: {reason}"
                ));
            }
            let mut fetched = FetchedTools::default();
            for file in &closure.files {
                let name = &file.filename;
                match self.wheel(file, &closure.build_files, control).await? {
                    Ok(wheel) => fetched.files.push(wheel),
                    // As where it cannot be resolved: the stage cannot do without it.
                    Err(reason) if needs_file(&needed, name) => {
                        let reason = escape_within(&reason, LONGEST_REASON);
                        let reason = format!("{name} cannot be had: {reason}");
                        return Err(Failure::package(reason));
                    }
                    Err(reason) => missing.push((fetched.leave_out(name)?, reason)),
                }
            }
            for (requirement, reason) in &missing {
                let requirement = escape_within(requirement, LONGEST_REASON);
                let reason = escape_within(reason, LONGEST_REASON);
                stages.note(format!(
                    "{}: without {requirement}: {reason}",
                    self.provides
                ));
            }
            for note in closure.notes {
                stages.note(note);
            }
            fetched.missing = missing.into_iter().map(|(text, _)| text).collect();
            provide(self.provides.as_str(), &fetched)
        })
    }
}

impl FetchTools {
    /// What they are installed beside, if anything.
    fn installed_with(&self, inputs: &Inputs) -> Result<Option<Beside>, Failure> {
        if !self.beside {
            return Ok(None);
        }
        let prepared: Prepared = read(inputs, WHEELHOUSE)?;
        let metadata: CoreMetadata = read(inputs, METADATA)?;
        let beside = Beside::of(&prepared, metadata).map_err(Failure::infrastructure)?;
        Ok(Some(beside))
    }

    /// Resolves a set, `sources` among it or wheels alone.
    async fn resolve(
        &self,
        set: &[String],
        beside: Option<&Beside>,
        sources: bool,
        control: &Control,
    ) -> Result<Closure, Failure> {
        let Audit {
            options, stages, ..
        } = &*self.audit;
        let options = Options {
            wheels_only: !sources,
            ..options.clone()
        };
        let hook: Arc<dyn MetadataHook> = match &self.builder {
            Some(builder) => builder.clone(),
            None => Arc::new(NoHook),
        };
        let resolving = settled(hook, |hook| {
            pyti_index::closure(set, beside, &options, hook, teller(control))
        });
        until_no_stage_runs(control, stages, resolving).await
    }

    /// A file as it is installed: a wheel, if need be one that is built of it; or why there is none.
    async fn wheel(
        &self,
        file: &WheelhouseFile,
        build_files: &[WheelhouseFile],
        control: &Control,
    ) -> Result<Result<WheelhouseFile, String>, Failure> {
        let stages = &self.audit.stages;
        if file.filename.ends_with(".whl") {
            return Ok(Ok(file.clone()));
        }
        let Some(builder) = &self.builder else {
            return Ok(Err("it has no wheel".to_owned()));
        };
        control.say(format!("building {} in the VM", file.filename));
        let request = HookRequest {
            sdist: file.path.clone(),
            filename: file.filename.clone(),
            sha256: file.sha256.clone(),
            wheelhouse: build_files.to_vec(),
            build_requires: vec![],
            hint: None,
        };
        let building = builder.wheel(&request);
        let built = until_no_stage_runs(control, stages, building).await?;
        Ok(built.map(|wheel| wheel.file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_after_it_was_resolved_is_named_as_a_requirement() {
        let mut tools = FetchedTools::default();
        for (file, requirement) in [
            ("A_b-1.0.tar.gz", "a-b==1.0"),
            ("c.d-2.0RC1.zip", "c-d==2.0rc1"),
            ("e-1!3.0+x.4-py3-none-any.whl", "e==1!3.0+x.4"),
        ] {
            assert_eq!(tools.leave_out(file).as_deref(), Ok(requirement));
        }
        let names = ["a-b", "c-d", "e"].map(|name| name.parse::<PackageName>().unwrap());
        assert_eq!(tools.left_out, names);
    }
}
