//! Wheels of what a package's tests require and no index has a wheel of. Each is built in a clone, traced, by
//! pip and with what its build requires, and is unpacked where the tests run as any other wheel is. Nothing of
//! it runs on the host. That a build fails is what this finds out, and no failure of its stage: the tests run
//! without it.

mod flaw;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pyti_analyzer::{StageFacts, StageStatus, escape_within};
use pyti_graph::{Datum, Outputs};
use pyti_index::hook::BoxFuture;
use pyti_index::{
    BuiltWheel, DistFilename, ErrorKind, HookError, HookRequest, MetadataHook, Options,
    WheelhouseFile,
};
use pyti_vm::Interpreter;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::{Audit, LONGEST_REASON};
use crate::cli::LimitArgs;
use crate::data_store::{Blob, DataStore};
use crate::memo::StageMemo;
use crate::metadata_hook::key;
use crate::order::{self, Order, RESULT};
use crate::stage::Ran;
use crate::stages::Stages;
use flaw::flaw;

/// The stage that builds the target's own; these are `build-2` and so on, and are judged by its rules.
const STAGE: &str = "build";
/// The program in the guest.
const SOURCE: &str = include_str!("source_wheel.py");
/// Where that is.
const PROGRAM: &str = "/home/dev/.cache/build/source_wheel.py";
/// Where it puts the wheel.
const WHEEL: &str = "/home/dev/.cache/build/built.whl";
/// Largest wheel that is brought back, bytes.
const WHEEL_BYTES: u64 = 48 << 20;
/// Bytes of what the program tells.
const TOLD_BYTES: u64 = 64 << 10;
/// What the memo keeps: a [`Made`].
const MADE: &str = "source-wheel.made";
/// The moment that builds are told, seconds: 1980-01-01, the oldest that a wheel can hold. With it what is
/// built again is hardly ever another wheel, and the tests need not run again.
const SOURCE_DATE_EPOCH: u64 = 315_532_800;

/// Sources that are built in one audit.
const MOST_BUILDS: usize = 24;
/// Releases of one package that are built: one that never fits leaves the others theirs.
const MOST_RELEASES: usize = 3;
/// How long all of them may take before no more is begun.
const LONGEST: Duration = Duration::from_secs(45 * 60);
/// Seconds that one of them may take, whatever the limits of its stage are. With this for the last one all
/// are done before the resolver gives up, which waits for an hour.
const LONGEST_BUILD: u64 = 600;
/// The same for the stage.
const LONGEST_WALL: u64 = LONGEST_BUILD + ASIDE;
/// Seconds that one of them has at least.
const SHORTEST_BUILD: u64 = 10;
/// Seconds that a stage keeps of its wall time to tell how the build ended.
const ASIDE: u64 = 30;

/// What came of a source: its wheel, or why there is none.
pub(super) type Built = Result<BuiltWheel, String>;

/// Builds them.
pub(super) struct SourceWheels {
    stages: Arc<Stages>,
    memo: Arc<StageMemo>,
    /// Each is built, whatever came of it in an earlier audit.
    fresh: bool,
    options: Options,
    /// One at a time: each is a virtual machine. What several stages require is built once.
    building: Mutex<Building>,
}

#[derive(Default)]
struct Building {
    /// What came of those that were tried, by the digests of the sources.
    known: BTreeMap<String, Built>,
    /// How many of them are of which package.
    releases: BTreeMap<String, usize>,
    /// How long that took.
    spent: Duration,
    /// Names of the stages that were begun, whether they are on record or were dropped before.
    names: BTreeSet<String>,
}

impl Building {
    /// Why no more is built of this package, where that is so.
    fn refusal(&self, package: &str) -> Option<String> {
        if self.known.len() >= MOST_BUILDS {
            return Some(format!(
                "it has no wheel, and {MOST_BUILDS} others were to be built before it"
            ));
        }
        let releases = self.releases.get(package);
        if releases.is_some_and(|count| *count >= MOST_RELEASES) {
            return Some(format!(
                "it has no wheel, and {MOST_RELEASES} of its releases were built before it"
            ));
        }
        let minutes = LONGEST.as_secs() / 60;
        let late =
            || format!("it has no wheel, and building others took more than {minutes} minutes");
        (self.spent >= LONGEST).then(late)
    }

    /// What came of the source with this digest, of this package.
    fn add(&mut self, package: String, sha256: String, built: Built) {
        *self.releases.entry(package).or_default() += 1;
        self.known.insert(sha256, built);
    }

    /// The name of the next stage. What was dropped before it ended leaves a directory that nothing else is to
    /// write to.
    fn name(&mut self, on_record: &[StageFacts]) -> String {
        let mut number = 2;
        loop {
            let name = format!("{STAGE}-{number}");
            let is_there = on_record.iter().any(|facts| facts.name == name);
            if !is_there && self.names.insert(name.clone()) {
                return name;
            }
            number += 1;
        }
    }
}

/// The datum of such a stage.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Made {
    /// File name of the source.
    sdist: String,
    /// The wheel: its name and its content.
    wheel: Option<(String, Blob)>,
    /// Why there is none, or why this one was refused.
    failed: Option<String>,
    /// Its time limit ended it: what it would have done then was not watched.
    cut_short: bool,
}

/// What the program in the guest tells; hostile.
#[derive(Debug, Deserialize)]
struct Told {
    /// Exit status of pip, below zero the signal that ended it; none where its time was up.
    status: Option<i32>,
    /// File name of the wheel.
    wheel: Option<String>,
}

impl SourceWheels {
    /// Those of an audit.
    pub(super) fn of(audit: &Audit) -> Self {
        Self {
            stages: Arc::clone(&audit.stages),
            memo: Arc::clone(&audit.hook.memo),
            fresh: audit.hook.fresh,
            options: audit.options.clone(),
            building: Mutex::default(),
        }
    }

    /// The wheel of a source, or why there is none.
    ///
    /// # Errors
    /// The template, the clone or the disk.
    pub(super) async fn wheel(&self, request: &HookRequest) -> anyhow::Result<Built> {
        let mut building = self.building.lock().await;
        if let Some(known) = building.known.get(&request.sha256) {
            return Ok(known.clone());
        }
        let package = package(&request.filename);
        if let Some(reason) = building.refusal(&package) {
            return Ok(Err(reason));
        }
        let name = building.name(&self.stages.record().facts.stages);
        let began = Instant::now();
        let built = self.built(&name, request).await;
        building.spent += began.elapsed();
        if built.is_err() && !self.is_on_record(&name) {
            // One that never ran is tried again under its name.
            building.names.remove(&name);
        }
        let built = built?.map_err(|reason| {
            format!("it has no wheel, and none could be built (stage {name}): {reason}")
        });
        let sdist = &request.filename;
        // Of one that fails nothing else may tell: the resolver may take another release then.
        self.stages.note(match &built {
            Ok(_) => format!("{sdist} has no wheel: one was built in the VM (stage {name})"),
            Err(reason) => format!("{sdist}: {}", escape_within(reason, LONGEST_REASON)),
        });
        building.add(package, request.sha256.clone(), built.clone());
        Ok(built)
    }

    fn is_on_record(&self, name: &str) -> bool {
        let record = self.stages.record();
        record.facts.stages.iter().any(|facts| facts.name == name)
    }

    /// What comes or came of the source, as the stage of this name.
    async fn built(&self, name: &str, request: &HookRequest) -> anyhow::Result<Built> {
        let template = self.stages.template(Arc::new(|_| {})).await?;
        let key = key(
            MADE,
            request,
            &template.record().key,
            &self.stages.version()?,
        )?;
        let known = (!self.fresh)
            .then(|| self.memo.recall_datum(name, &key, MADE))
            .flatten();
        if let Some(mut made) = known {
            return self.check(&mut made).await;
        }
        // Nobody drops this between the end of the stage and what is kept of it.
        let _running = self.stages.running().begin();
        let ran = self.stages.run(self.order(name, request)?).await?;
        let completed = ran.facts.status == StageStatus::Completed;
        let mut made = made(ran, request)?;
        let built = self.check(&mut made).await;
        // A stage whose own time was up says so itself.
        if made.cut_short && completed {
            // Such a stage is not whole, and the memo does not keep it.
            let problem = cut_short(self.stages.limits());
            self.stages.add_problems(name, vec![problem]);
        }
        self.stages.keep_datum(name, &made)?;
        let outputs = Outputs::from([(MADE.into(), Datum::of(&made)?)]);
        self.memo.keep(name, &key, &outputs);
        built
    }

    async fn check(&self, made: &mut Made) -> anyhow::Result<Built> {
        let python = self.stages.interpreter();
        checked(made, &self.memo.store, &self.options, python).await
    }

    /// What the clone is to do.
    fn order(&self, name: &str, request: &HookRequest) -> anyhow::Result<Order> {
        let limits = self.stages.limits();
        let seconds = build_seconds(limits).to_string();
        let sdist = format!("{}/{}", order::WHEELHOUSE, request.filename);
        let words = [
            self.stages.interpreter().path.as_str(),
            PROGRAM,
            &sdist,
            order::WHEELHOUSE,
            &seconds,
            WHEEL,
            RESULT,
        ];
        let argv = words.into_iter().map(str::to_owned).collect();
        let mut order = Order::new(name, argv, limits)?;
        // The program that keeps to the limit is at the mercy of what it builds.
        let wall = &mut order.spec.wall_seconds;
        *wall = LONGEST_WALL.min(*wall);
        let program = order::guest_program(SOURCE);
        order.spec.files.push((PROGRAM.to_owned(), program));
        order.keep_to_wheelhouse();
        let date = SOURCE_DATE_EPOCH.to_string();
        order.spec.env.push(("SOURCE_DATE_EPOCH".to_owned(), date));
        order.spec.collect.extend([
            (RESULT.to_owned(), TOLD_BYTES),
            (WHEEL.to_owned(), WHEEL_BYTES),
        ]);
        order.wheelhouse.clone_from(&request.wheelhouse);
        let is_it = |file: &WheelhouseFile| file.filename == request.filename;
        // Building another one may require it.
        if !order.wheelhouse.iter().any(is_it) {
            order.wheelhouse.push(WheelhouseFile {
                filename: request.filename.clone(),
                path: request.sdist.clone(),
                sha256: request.sha256.clone(),
                bytes: std::fs::metadata(&request.sdist)?.len(),
            });
        }
        Ok(order)
    }
}

impl MetadataHook for SourceWheels {
    /// What the wheel says: who is asked for its metadata is to be installed as well.
    fn metadata(&self, request: HookRequest) -> BoxFuture<'_, Result<String, HookError>> {
        Box::pin(async move {
            let (reason, kind) = match self.wheel(&request).await {
                Ok(Ok(wheel)) => return Ok(wheel.metadata),
                Ok(Err(reason)) => (reason, ErrorKind::Package),
                Err(error) => (format!("{error:#}"), ErrorKind::Infrastructure),
            };
            Err(HookError { reason, kind })
        })
    }
}

/// The wheel that was made, checked, at a place that its content alone tells: what runs with it is remembered
/// by that. Where it is refused, `made` says why instead.
async fn checked(
    made: &mut Made,
    store: &DataStore,
    options: &Options,
    python: &Interpreter,
) -> anyhow::Result<Built> {
    let (Some((filename, blob)), None) = (&made.wheel, &made.failed) else {
        return Ok(Err(made.failed.clone().unwrap_or_default()));
    };
    let mut content = vec![];
    let stored = store.open(blob)?;
    stored.take(WHEEL_BYTES).read_to_end(&mut content)?;
    let kept = pyti_index::keep_wheel(&made.sdist, filename, content, options).await;
    let refused = match kept {
        // What cannot be unpacked would fail the stage that it is for.
        Ok(wheel) => match flaw(&wheel.file, python).await? {
            None => return Ok(Ok(wheel)),
            Some(flaw) => flaw,
        },
        Err(error) if matches!(error.kind(), ErrorKind::Package | ErrorKind::Input) => {
            error.to_string()
        }
        Err(error) => return Err(error.into()),
    };
    // It is kept: who asks why wants to look at it.
    made.failed = Some(refused.clone());
    Ok(Err(refused))
}

/// Seconds that a build may take within these limits of its stage.
fn build_seconds(limits: &LimitArgs) -> u64 {
    let seconds = limits.wall_seconds.saturating_sub(ASIDE);
    seconds.clamp(SHORTEST_BUILD, LONGEST_BUILD)
}

/// What is said of a build that its time limit ended.
fn cut_short(limits: &LimitArgs) -> String {
    let seconds = build_seconds(limits);
    let raise = match seconds < LONGEST_BUILD {
        true => format!(": --wall SECONDS raises it, to {LONGEST_BUILD} at most"),
        false => String::new(),
    };
    format!("its build was cut short by its time limit of {seconds} seconds{raise}")
}

/// The package that a source is of, as far as its file name tells: an old one's may leave open where that
/// of its package ends.
fn package(filename: &str) -> String {
    match DistFilename::parse(filename, None) {
        Ok(filename) => filename.name().to_string(),
        Err(_) => filename.to_owned(),
    }
}

/// What was made of a source, by what its clone left.
fn made(mut ran: Ran, request: &HookRequest) -> anyhow::Result<Made> {
    let sdist = request.filename.clone();
    let name = wheel_name(&mut ran);
    let cut_short = ran.facts.status == StageStatus::TimedOut;
    let (wheel, failed) = match name {
        Ok(name) => match ran.files.get(WHEEL) {
            Some(content) => (Some((name, ran.store.put(content.as_slice())?)), None),
            None => {
                let most = WHEEL_BYTES >> 20;
                (None, Some(format!("its wheel has more than {most} MiB")))
            }
        },
        Err(why) => (None, Some(why)),
    };
    Ok(Made {
        sdist,
        wheel,
        failed,
        cut_short,
    })
}

/// The file name of the wheel that was built, or why there is none.
fn wheel_name(ran: &mut Ran) -> Result<String, String> {
    let told = match ran.result::<Told>() {
        Ok((told, None)) => told,
        Ok((_, Some(why))) => return Err(why),
        Err(failure) => return Err(failure.to_string()),
    };
    // What it printed is pip's, which tells why it failed as where it is all that a stage runs.
    ran.facts.status = match told.status {
        None => StageStatus::TimedOut,
        Some(0) => StageStatus::Completed,
        Some(exit @ 1..) => StageStatus::Failed { exit },
        Some(signal) => StageStatus::Signaled {
            signal: signal.saturating_neg(),
        },
    };
    ran.completed().map_err(|failure| failure.to_string())?;
    told.wheel
        .ok_or_else(|| "its build gave not exactly one wheel".to_owned())
}

#[cfg(test)]
mod tests;
