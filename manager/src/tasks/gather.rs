//! As many of a stage's tools as can be had, found by resolving sets of them.

use pyti_graph::{Blame, BoxFuture, Failure};
use pyti_index::Closure;

use crate::stage::{Required, is_file_of};

/// How many parts of the wanted set are tried to find what cannot be had.
const TRIES: u32 = 24;

/// A set that is being resolved.
pub(super) type Resolving<'a> = BoxFuture<'a, Result<Closure, Failure>>;

/// For which tools a source may be taken, where there are no wheels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sources {
    /// For none.
    Never,
    /// For all of a set with what is wanted, where what is needed has wheels by itself.
    Wanted,
    /// For all.
    All,
}

/// Tools that can be had.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) closure: Closure,
    /// Wanted requirements that cannot, and why.
    pub(super) missing: Vec<(String, String)>,
    /// Why those that are needed cannot be had beside what is installed, where it is left out of account.
    pub(super) conflict: Option<String>,
}

impl From<Closure> for Gathered {
    fn from(closure: Closure) -> Self {
        Self {
            closure,
            ..Self::default()
        }
    }
}

/// The closure of what can be had beside what is installed; where that is not what is needed, of what can be
/// had alone. `resolve` is told first whether it is to be alone, and then as by [`gather`]; what has no wheel
/// may be `built`.
pub(super) async fn gather_beside<'a>(
    required: Required,
    built: bool,
    resolve: impl Fn(bool, bool, Vec<String>) -> Resolving<'a>,
) -> Result<Gathered, Failure> {
    // An old release of what is needed may have no wheel, and get along with anything: the newest one
    // alone is better than that.
    let [beside, alone] = match built {
        true => [Sources::Wanted, Sources::All],
        false => [Sources::Never; 2],
    };
    let resolve = &resolve;
    let first = gather(required.clone(), beside, |sources, set| {
        resolve(false, sources, set)
    });
    match first.await {
        Err(failure) => {
            let conflict = Some(reason(failure)?);
            let alone = gather(required, alone, |sources, set| resolve(true, sources, set));
            Ok(Gathered {
                conflict,
                ..alone.await?
            })
        }
        done => done,
    }
}

/// The closure of what is needed and of as much as can be had of what is wanted; with what cannot, and
/// why. Where not even what is needed can be had, this is found out at once. Else what cannot be resolved
/// as a whole is halved until the culprits stand alone. `resolve` is told whether sources may be taken, which
/// is tried where wheels alone do not do.
pub(super) async fn gather<'a>(
    required: Required,
    sources: Sources,
    resolve: impl Fn(bool, Vec<String>) -> Resolving<'a>,
) -> Result<Gathered, Failure> {
    let Required { needed, wanted } = required;
    let all = [&needed[..], &wanted].concat();
    let mut why = match resolve(false, all.clone()).await {
        Ok(closure) => return Ok(closure.into()),
        Err(failure) => reason(failure)?,
    };
    let by_itself = match wanted.is_empty() {
        true => Err(Failure::package(&why)),
        false => resolve(false, needed.clone()).await,
    };
    let mut closure = match by_itself {
        Err(failure) if sources == Sources::All => {
            reason(failure)?;
            resolve(true, needed.clone()).await?
        }
        by_itself => by_itself?,
    };
    if wanted.is_empty() {
        return Ok(closure.into());
    }
    if sources != Sources::Never {
        match resolve(true, all).await {
            Ok(closure) => return Ok(closure.into()),
            Err(failure) => why = reason(failure)?,
        }
    }
    let (mut kept, mut parts, mut missing) = (needed, vec![], vec![]);
    take_apart(wanted, why, &mut parts, &mut missing);
    let mut tries = TRIES;
    while let Some(mut part) = parts.pop() {
        if tries == 0 {
            let untried = |text| (text, "too much of the rest cannot be resolved".to_owned());
            missing.extend(part.into_iter().map(untried));
            continue;
        }
        tries -= 1;
        let set = [&kept[..], &part].concat();
        let found = match resolve(false, set.clone()).await {
            Err(failure) if sources != Sources::Never => {
                reason(failure)?;
                resolve(true, set).await
            }
            found => found,
        };
        match found {
            Ok(found) => {
                kept.append(&mut part);
                closure = found;
            }
            Err(failure) => take_apart(part, reason(failure)?, &mut parts, &mut missing),
        }
    }
    Ok(Gathered {
        missing,
        ..closure.into()
    })
}

/// Halves what cannot be had together; what is one alone is missing, for that reason.
fn take_apart(
    part: Vec<String>,
    why: String,
    parts: &mut Vec<Vec<String>>,
    missing: &mut Vec<(String, String)>,
) {
    match <[String; 1]>::try_from(part) {
        Ok([one]) => missing.push((one, why)),
        Err(mut part) => {
            let rest = part.split_off(part.len() / 2);
            parts.extend([rest, part]);
        }
    }
}

/// Whether a file is of one of the distributions that are needed themselves.
pub(super) fn needs_file(needed: &[String], file: &str) -> bool {
    needed.iter().any(|text| is_file_of(file, text))
}

/// Why a set cannot be had; a failure that is not its own stays one.
fn reason(failure: Failure) -> Result<String, Failure> {
    match failure {
        Failure::Failed {
            blame: Blame::Package,
            reason,
        } => Ok(reason),
        other => Err(other),
    }
}

#[cfg(test)]
mod tests;
