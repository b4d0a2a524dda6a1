//! The tools of a stage: resolved and fetched, as many of those that it only wants as can be had. None
//! of them is built, so that all of them must have wheels. Those that are installed beside the package
//! are of versions that get along with it and with what it requires, where there are such.

use std::sync::Arc;

use pyti_analyzer::escape_within;
use pyti_graph::{Action, Blame, BoxFuture, Control, Failure, Inputs, Kind, Outputs};
use pyti_index::{Beside, Closure, CoreMetadata, Options, Prepared, WheelhouseFile};
use serde::{Deserialize, Serialize};

use super::failure::until_stopped;
use super::{Audit, METADATA, WHEELHOUSE, provide, read, teller};
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
    /// They are installed beside the package.
    pub(super) beside: bool,
    pub(super) requirements: Requirements,
    pub(super) audit: Arc<Audit>,
}

impl Action for FetchTools {
    fn run(&self, inputs: Inputs, control: Control) -> BoxFuture<'_, Result<Outputs, Failure>> {
        Box::pin(async move {
            let required = (self.requirements)(&inputs)?;
            let (audit, control) = (&self.audit, &control);
            let needed = required.needed.join(", ");
            let beside = self.installed_with(&inputs)?;
            let beside = beside.as_ref();
            let resolve =
                |alone: bool, set: Vec<String>| -> BoxFuture<'_, Result<Closure, Failure>> {
                    let beside = beside.filter(|_| !alone);
                    Box::pin(async move { self.best(&set, beside, control).await })
                };
            let stages = &audit.stages;
            let gathered = match beside {
                Some(_) => gather_beside(required, resolve).await,
                None => gather(required, |set| resolve(true, set)).await,
            };
            let Gathered {
                mut closure,
                mut missing,
                conflict,
            } = match gathered {
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
            if let Some(reason) = conflict {
                let (tools, reason) = (&self.provides, escape_within(&reason, LONGEST_REASON));
                stages.note(format!(
                    "{tools}: without regard to what is installed with the package, beside which \
                     they cannot be had: {reason}"
                ));
            }
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

    /// Versions that all have wheels; else the newest ones, of which what has none is left out, since
    /// what the package's tests require may have none at all.
    async fn best(
        &self,
        set: &[String],
        beside: Option<&Beside>,
        control: &Control,
    ) -> Result<Closure, Failure> {
        let options = &self.audit.options;
        let wheels = Options {
            wheels_only: true,
            ..options.clone()
        };
        match self.resolve(set, beside, &wheels, control).await {
            Err(Failure::Failed {
                blame: Blame::Package,
                ..
            }) if !self.optional => self.resolve(set, beside, options, control).await,
            done => done,
        }
    }

    async fn resolve(
        &self,
        set: &[String],
        beside: Option<&Beside>,
        options: &Options,
        control: &Control,
    ) -> Result<Closure, Failure> {
        let (hook, teller) = (Arc::new(NoHook), teller(control));
        let resolving = pyti_index::closure(set, beside, options, hook, teller);
        until_stopped(control, async { Ok(resolving.await?) }).await
    }
}

/// Tools that can be had.
#[derive(Debug)]
struct Gathered {
    closure: Closure,
    /// Wanted requirements that cannot, and why.
    missing: Vec<(String, String)>,
    /// Why those that are needed cannot be had beside what is installed, where it is left out of account.
    conflict: Option<String>,
}

/// The closure of what can be had beside what is installed; where that is not what is needed, of what can be
/// had alone. `resolve` is told first whether it is to be alone.
async fn gather_beside<'a>(
    required: Required,
    resolve: impl Fn(bool, Vec<String>) -> BoxFuture<'a, Result<Closure, Failure>>,
) -> Result<Gathered, Failure> {
    match gather(required.clone(), |set| resolve(false, set)).await {
        Err(Failure::Failed {
            blame: Blame::Package,
            reason,
        }) => {
            let gathered = gather(required, |set| resolve(true, set)).await?;
            Ok(Gathered {
                conflict: Some(reason),
                ..gathered
            })
        }
        done => done,
    }
}

/// The closure of what is needed and of as much as can be had of what is wanted; with what cannot, and
/// why. What cannot be resolved as a whole is halved until the culprits stand alone.
async fn gather<'a>(
    required: Required,
    resolve: impl Fn(Vec<String>) -> BoxFuture<'a, Result<Closure, Failure>>,
) -> Result<Gathered, Failure> {
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
    let closure = match best {
        Some(closure) => closure,
        None => resolve(kept).await?,
    };
    Ok(Gathered {
        closure,
        missing,
        conflict: None,
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn texts(words: &str) -> Vec<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    /// What is resolved where nothing of it is a culprit; the notes say what.
    fn found(
        set: Vec<String>,
        is_culprit: impl Fn(&str) -> bool,
    ) -> BoxFuture<'static, Result<Closure, Failure>> {
        let found = match set.iter().find(|text| is_culprit(text)) {
            Some(text) => Err(Failure::package(format!("no {text}"))),
            None => Ok(Closure {
                files: vec![],
                notes: set,
            }),
        };
        Box::pin(async move { found })
    }

    /// Resolves what has none of `bad`.
    async fn gathered(needed: &str, wanted: &str, bad: &[&str]) -> (Vec<String>, Vec<String>, u32) {
        let asked = Cell::new(0);
        let resolve = |set: Vec<String>| -> BoxFuture<'_, Result<Closure, Failure>> {
            asked.set(asked.get() + 1);
            found(set, |text| bad.contains(&text))
        };
        let required = Required {
            needed: texts(needed),
            wanted: texts(wanted),
        };
        let gathered = gather(required, resolve).await.unwrap();
        let missing = gathered.missing.into_iter().map(|(text, _)| text);
        (gathered.closure.notes, missing.collect(), asked.get())
    }

    /// Resolves what has none of `bad` beside what is installed, and none of `gone` at all.
    async fn gathered_beside(bad: &str, gone: &str) -> Result<Gathered, Failure> {
        let resolve = |alone: bool, set: Vec<String>| -> BoxFuture<'_, Result<Closure, Failure>> {
            let has = |texts: &str, text: &str| texts.split_whitespace().any(|one| one == text);
            found(set, |text| !alone && has(bad, text) || has(gone, text))
        };
        let required = Required {
            needed: texts("n"),
            wanted: texts("a b"),
        };
        gather_beside(required, resolve).await
    }

    #[tokio::test]
    async fn what_is_wanted_is_left_out_where_it_does_not_get_along_with_what_is_installed() {
        let gathered = gathered_beside("b", "").await.unwrap();
        assert_eq!(gathered.closure.notes, texts("n a"));
        let reason = ("b".to_owned(), "no b".to_owned());
        assert_eq!(gathered.missing, [reason]);
        assert_eq!(gathered.conflict, None);
    }

    #[tokio::test]
    async fn what_is_needed_is_had_by_itself_where_it_does_not_get_along_with_what_is_installed() {
        let gathered = gathered_beside("n b", "a").await.unwrap();
        assert_eq!(gathered.closure.notes, texts("n b"));
        let reason = ("a".to_owned(), "no a".to_owned());
        assert_eq!(gathered.missing, [reason]);
        assert_eq!(gathered.conflict.as_deref(), Some("no n"));
        // It cannot be had at all.
        let failure = gathered_beside("", "n").await.unwrap_err();
        assert_eq!(failure.to_string(), "no n");
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
