//! The tools of a stage: resolved and fetched, as many of those that it only wants as can be had. None
//! of them is built, so that all of them must have wheels.

use std::sync::Arc;

use pyti_analyzer::escape_within;
use pyti_graph::{Action, Blame, BoxFuture, Control, Failure, Inputs, Kind, Outputs};
use pyti_index::{Closure, Options, WheelhouseFile};
use serde::{Deserialize, Serialize};

use super::failure::until_stopped;
use super::{Audit, provide, teller};
use crate::metadata_hook::NoHook;
use crate::stage::{Required, Requirements};

/// How often the wanted set is taken apart to find what cannot be had.
const TRIES: u32 = 24;
/// Characters of a reason in a note.
const LONGEST_REASON: usize = 300;

/// The datum `tools.STAGE`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchedTools {
    /// Wheels.
    pub files: Vec<WheelhouseFile>,
    /// Wanted requirements that could not be had, without reasons: those differ from run to run.
    pub missing: Vec<String>,
    /// Why there are none: then the stage does not apply.
    pub unavailable: Option<String>,
}

/// Resolves and fetches the tools of a stage.
pub(super) struct FetchTools {
    pub(super) provides: Kind,
    /// Where they cannot be had the stage does not apply, rather than that it failed.
    pub(super) optional: bool,
    pub(super) requirements: Requirements,
    pub(super) audit: Arc<Audit>,
}

impl Action for FetchTools {
    fn run(&self, inputs: Inputs, control: Control) -> BoxFuture<'_, Result<Outputs, Failure>> {
        Box::pin(async move {
            let required = (self.requirements)(&inputs)?;
            let (audit, control) = (&self.audit, &control);
            let needed = required.needed.join(", ");
            let resolve = |set: Vec<String>| -> BoxFuture<'_, Result<Closure, Failure>> {
                Box::pin(async move { self.best(&set, control).await })
            };
            let stages = &audit.stages;
            let (mut closure, mut missing) = match gather(required, resolve).await {
                Err(Failure::Failed {
                    blame: Blame::Package,
                    ..
                }) if self.optional => {
                    let python = stages.interpreter();
                    let reason = format!("no release of {needed} has wheels for Python {python}");
                    let none = FetchedTools {
                        unavailable: Some(reason),
                        ..FetchedTools::default()
                    };
                    return provide(self.provides.as_str(), &none);
                }
                gathered => gathered?,
            };
            for (requirement, reason) in &missing {
                let requirement = escape_within(requirement, LONGEST_REASON);
                let reason = escape_within(reason, LONGEST_REASON);
                stages.note(format!(
                    "{}: without {requirement}: {reason}",
                    self.provides
                ));
            }
            closure.files.retain(|file| {
                let wheel = file.filename.ends_with(".whl");
                if !wheel {
                    let (tools, file) = (&self.provides, &file.filename);
                    stages.note(format!("{tools}: {file} is no wheel and is left out"));
                    missing.push((file.clone(), String::new()));
                }
                wheel
            });
            closure.notes.drain(..).for_each(|note| stages.note(note));
            let fetched = FetchedTools {
                files: closure.files,
                missing: missing.into_iter().map(|(text, _)| text).collect(),
                unavailable: None,
            };
            provide(self.provides.as_str(), &fetched)
        })
    }
}

impl FetchTools {
    /// Versions that all have wheels; else the newest ones, of which what has none is left out, since
    /// what the package's tests require may have none at all.
    async fn best(&self, set: &[String], control: &Control) -> Result<Closure, Failure> {
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
        let resolving = pyti_index::closure(set, options, Arc::new(NoHook), teller(control));
        until_stopped(control, async { Ok(resolving.await?) }).await
    }
}

/// The closure of what is needed and of as much as can be had of what is wanted; with what cannot, and
/// why. What cannot be resolved as a whole is halved until the culprits stand alone.
async fn gather<'a>(
    required: Required,
    resolve: impl Fn(Vec<String>) -> BoxFuture<'a, Result<Closure, Failure>>,
) -> Result<(Closure, Vec<(String, String)>), Failure> {
    let Required { needed, wanted } = required;
    let (mut kept, mut missing, mut best) = (needed, vec![], None);
    let mut parts = vec![wanted];
    let mut tries = TRIES;
    while let Some(mut part) = parts.pop() {
        if part.is_empty() {
            continue;
        }
        if tries == 0 {
            let untried = |text| (text, "too much of the rest cannot be resolved".to_owned());
            missing.extend(part.into_iter().map(untried));
            continue;
        }
        tries -= 1;
        match resolve([&kept[..], &part].concat()).await {
            Ok(closure) => {
                kept.append(&mut part);
                best = Some(closure);
            }
            Err(Failure::Failed {
                blame: Blame::Package,
                reason,
            }) => match <[String; 1]>::try_from(part) {
                Ok([one]) => missing.push((one, reason)),
                Err(mut part) => {
                    let rest = part.split_off(part.len() / 2);
                    parts.extend([rest, part]);
                }
            },
            Err(other) => return Err(other),
        }
    }
    match best {
        Some(closure) => Ok((closure, missing)),
        None => Ok((resolve(kept).await?, missing)),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn texts(words: &str) -> Vec<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    /// Resolves what has none of `bad`; the notes say what.
    async fn gathered(needed: &str, wanted: &str, bad: &[&str]) -> (Vec<String>, Vec<String>, u32) {
        let asked = Cell::new(0);
        let resolve = |set: Vec<String>| -> BoxFuture<'_, Result<Closure, Failure>> {
            asked.set(asked.get() + 1);
            let found = match set.iter().find(|text| bad.contains(&text.as_str())) {
                Some(text) => Err(Failure::package(format!("no {text}"))),
                None => Ok(Closure {
                    files: vec![],
                    notes: set,
                }),
            };
            Box::pin(async move { found })
        };
        let required = Required {
            needed: texts(needed),
            wanted: texts(wanted),
        };
        let (closure, missing) = gather(required, resolve).await.unwrap();
        let missing = missing.into_iter().map(|(text, _)| text).collect();
        (closure.notes, missing, asked.get())
    }

    #[tokio::test]
    async fn what_can_be_had_is_kept() {
        let all = gathered("n", "a b c", &[]).await;
        assert_eq!(all, (texts("n a b c"), vec![], 1));
        let (kept, missing, _) = gathered("n", "a b c d e f", &["c", "f"]).await;
        assert_eq!((kept, missing), (texts("n a b d e"), texts("c f")));
        let (kept, missing, _) = gathered("n", "a b", &["a", "b"]).await;
        assert_eq!((kept, missing), (texts("n"), texts("a b")));
        assert_eq!(gathered("n", "", &[]).await, (texts("n"), vec![], 1));
    }

    #[tokio::test]
    async fn it_does_not_go_on_for_ever() {
        let wanted: Vec<String> = (0..500).map(|number| format!("a{number}")).collect();
        let bad: Vec<&str> = wanted.iter().map(String::as_str).collect();
        let (kept, missing, asked) = gathered("n", &wanted.join(" "), &bad).await;
        assert_eq!((kept, missing.len(), asked), (texts("n"), 500, TRIES + 1));
    }
}
