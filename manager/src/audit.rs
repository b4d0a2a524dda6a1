//! `pyti audit`: runs the plan, judges what there is.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use pyti_analyzer::{Report, RuleSet, StageFacts, StageStatus, Target};
use pyti_graph::{Blame, Change, Execution, Options, Outcome, Plan, Resources, execute};
use pyti_index::{IndexConfig, PythonPlatform};
use pyti_vm::SLOT_BYTES;
use serde::Serialize;

use crate::cli::{AuditArgs, TargetArgs};
use crate::data_store::DataStore;
use crate::home::Home;
use crate::host_memory;
use crate::interrupt::Interrupt;
use crate::judge;
use crate::machine::{self, Machine};
use crate::memo::StageMemo;
use crate::metadata_hook::VmHook;
use crate::progress::Progress;
use crate::run_dir::{REPORT, RunDir, RunRecord, State, TaskEnd};
use crate::stages::{Stages, Timing};
use crate::tasks;

/// How long a task may take to end after an interruption: a stage reports what there is.
const GRACE: Duration = Duration::from_secs(30);
/// What all stages that were ever run may keep for later ones, bytes.
const STORE_BYTES: u64 = 8 << 30;
/// What was used in this time stays, whatever it takes: it may be another audit's, which still runs, where
/// the file system has no locks that tell.
const STORE_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// How often a task is tried again that failed by its infrastructure.
const RETRIES: u32 = 1;

/// Where an audit's time went; `timings.json` of the run.
#[derive(Debug, Serialize)]
struct Timings {
    tasks: Vec<(String, Duration)>,
    /// The parts of the tasks that ran in clones.
    stages: Vec<Timing>,
    analysis: Duration,
    total: Duration,
}

/// A finished audit.
#[derive(Debug)]
pub struct Audited {
    /// The judgement.
    pub report: Report,
    /// The run's directory.
    pub run: PathBuf,
}

/// An audit that was asked for, of which nothing has run yet.
struct Asked {
    plan: Plan,
    run_dir: RunDir,
    stages: Arc<Stages>,
    memo: Arc<StageMemo>,
}

/// The plan of auditing what `args` name.
///
/// # Errors
/// The target or a setting is not understood.
pub fn plan(args: &TargetArgs, home: &Home) -> Result<Plan> {
    Ok(ask(args, None, home, Interrupt::never())?.plan)
}

/// Checks all that can be checked before anything runs or is written.
fn ask(args: &TargetArgs, out: Option<&Path>, home: &Home, interrupt: Interrupt) -> Result<Asked> {
    let target = pyti_index::Target::parse(&args.target)?;
    let asked_for = args.stages.names();
    let tests = ["test", "coverage"];
    if args.test_command.is_some() && !tests.iter().any(|stage| asked_for.contains(stage)) {
        bail!(
            "--test-command is for the stages test and coverage: ask for one of them, --stage test"
        );
    }
    if args.wheel && !may_be_wheel(&target) {
        bail!("--wheel is for a package of an index: leave it out, or give the path of a wheel");
    }
    let index = IndexConfig::discover(args.index_url.as_deref(), &[])?;
    let indexes = index.shown();
    let mut options = pyti_index::Options::new(home.cache.clone(), index);
    options.wheel = args.wheel;
    options.closure_bytes = SLOT_BYTES;
    options.build_requires.clone_from(&args.build_requires);
    let definition = machine::definition(args.image.as_deref(), args.python.as_deref())?;
    let image = definition.name.clone();
    let machine =
        Machine::new(home, definition, args.accel)?.with_stage_memory(args.limits.memory_mib)?;
    let python = machine.interpreter();
    options.platform = PythonPlatform {
        major: python.major,
        minor: python.minor,
        micro: python.micro,
        glibc_minor: python.glibc_minor,
    };
    let built = machine.is_built();
    let (run_dir, id) = RunDir::reserve(out, &home.runs, &args.target)?;
    let named = Target {
        name: args.target.clone(),
        ..Target::default()
    };
    let mut record = RunRecord::new(id, named);
    record.made.python = Some(machine.interpreter().to_string());
    record.made.image = Some(image);
    record.made.index = Some(indexes);
    let limits = args.limits.clone();
    let store = DataStore::at(home.cache.join("data"));
    let stages = Stages::new(
        machine,
        run_dir.clone(),
        store.clone(),
        record,
        limits,
        interrupt,
    );
    let stages = Arc::new(stages);
    let memo = Arc::new(StageMemo {
        stages: Arc::clone(&stages),
        store,
    });
    let hook = Arc::new(VmHook {
        stages: Arc::clone(&stages),
        memo: Arc::clone(&memo),
        fresh: args.fresh,
        asked: Mutex::default(),
    });
    let audit = Arc::new(tasks::Audit {
        target,
        options,
        stages: Arc::clone(&stages),
        hook,
        test_command: args.test_command.as_deref().map(words).transpose()?,
    });
    Ok(Asked {
        plan: tasks::plan(&audit, built, &asked_for)?,
        run_dir,
        stages,
        memo,
    })
}

/// Whether a wheel of the target can be audited: an index may have one, a file is one or is none.
fn may_be_wheel(target: &pyti_index::Target) -> bool {
    match target {
        pyti_index::Target::Package { .. } => true,
        pyti_index::Target::File(path) => path
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("whl")),
        pyti_index::Target::Directory(_) => false,
    }
}

/// The words of a command as a POSIX shell splits them.
fn words(command: &str) -> Result<Vec<String>> {
    let words = shlex::split(command).filter(|words| !words.is_empty());
    words
        .with_context(|| format!("--test-command {command:?} is no command: is a quote left open?"))
}

/// Audits what `args` name.
///
/// # Errors
/// The input, the index, the host or the disk; what the package does is in the report.
pub async fn audit(
    args: AuditArgs,
    home: &Home,
    rules: &RuleSet,
    interrupt: Interrupt,
    progress: Arc<Progress>,
) -> Result<Audited> {
    let began = Instant::now();
    let asked = ask(&args.what, args.out.as_deref(), home, interrupt.clone())?;
    let Asked {
        plan,
        run_dir,
        stages,
        memo,
    } = asked;
    let working = memo.store.enter()?;
    let _held = run_dir.make()?;
    run_dir.write_record(&stages.record())?;

    let options = Options {
        memo: Some(memo.clone()),
        fresh: args.what.fresh,
        ..options(args.what.vms, stages.memory_mib())
    };
    progress.plan(&plan);
    let (execution, times) = run(&plan, &options, &interrupt, &progress).await;
    let mut record = stages.record().clone();
    if record.facts.stages.is_empty() && !stages.begun() {
        // Without a stage there is nothing to judge: the input or the host is at fault.
        progress.over();
        discard(&run_dir);
        let mut failures = execution.outcomes.into_iter().filter_map(failure);
        let interrupted = || "interrupted before anything ran".into();
        return Err(anyhow::Error::msg(
            failures.next().unwrap_or_else(interrupted),
        ));
    }
    // What a task that was dropped had begun is recorded, and is judged.
    let reason = "it was dropped before it ended";
    judge::add_undescribed(&run_dir, &mut record.facts.stages, reason)?;
    for stage in args.what.stages.names() {
        let outcome = execution.outcomes.iter().find(|(task, _)| task == stage);
        if tasks::is_watched(stage)
            && let Some((_, outcome)) = outcome
        {
            add_unwatched(&mut record.facts.stages, stage, outcome);
        }
    }
    let mut summaries = stages.summaries();
    let ends = execution.outcomes.into_iter();
    record.tasks = ends
        .map(|(task, outcome)| TaskEnd {
            summary: summaries.remove(&task),
            task,
            outcome,
        })
        .collect();

    progress.start("judge");
    let judging = Instant::now();
    let mut report = judge::judge(&run_dir, &record, rules)?;
    record.state = State::Finished;
    let timings = Timings {
        tasks: times,
        stages: stages.timings(),
        analysis: judging.elapsed(),
        total: began.elapsed(),
    };
    let kept = run_dir
        .write_json(REPORT, &report)
        .and_then(|()| run_dir.write_record(&record))
        .and_then(|()| run_dir.write_json("timings.json", &timings));
    if let Err(error) = kept {
        // A full disk must not cost the user the judgement.
        report
            .notes
            .push(format!("this report is not kept: {error:#}"));
    }
    progress.end("judge", "done");
    // Nobody but other audits works in the store now.
    drop(working);
    let swept = tokio::task::block_in_place(|| memo.store.sweep(STORE_BYTES, STORE_AGE));
    if let Err(error) = swept {
        tracing::warn!("{error:#}");
    }
    progress.over();
    Ok(Audited {
        report,
        run: run_dir.path().to_owned(),
    })
}

/// A stage that was asked for and did not come about keeps a run from having been watched to its end,
/// unless the package has nothing for it to do.
fn add_unwatched(stages: &mut Vec<StageFacts>, stage: &str, outcome: &Outcome) {
    if outcome.is_done() || outcome.is_not_applicable() {
        return;
    }
    let reason = match outcome.root() {
        Some((cause, because)) => format!("{cause} {because}"),
        None => outcome.to_string(),
    };
    match stages.iter_mut().find(|facts| facts.name == stage) {
        None => stages.push(StageFacts::new(stage, StageStatus::NotStarted { reason })),
        // Where it did not end well, the reason is told already.
        Some(facts) if facts.status == StageStatus::Completed => facts.problems.push(reason),
        Some(_) => {}
    }
}

/// How plans are run here, with as many VMs of so much memory at a time.
fn options(vms: u32, memory_mib: u64) -> Options {
    Options {
        resources: Resources {
            vms,
            memory_mib: host_memory::for_machines_mib().max(memory_mib),
            network: 4,
        },
        memo: None,
        fresh: false,
        retries: RETRIES,
        grace: GRACE,
    }
}

/// Runs the plan; the times of its tasks are in the order of their ends.
async fn run(
    plan: &Plan,
    options: &Options,
    interrupt: &Interrupt,
    progress: &Progress,
) -> (Execution, Vec<(String, Duration)>) {
    let mut began: HashMap<String, Instant> = HashMap::new();
    let mut times = vec![];
    let mut listen = |change: Change<'_>| {
        match &change {
            Change::Started { task, .. } => {
                began.entry((*task).to_owned()).or_insert_with(Instant::now);
            }
            Change::Ended { task, .. } => {
                times.extend(
                    began
                        .get(*task)
                        .map(|at| ((*task).to_owned(), at.elapsed())),
                );
            }
            Change::Detail { .. } | Change::Retry { .. } => {}
        }
        progress.change(&change);
    };
    let execution = execute(plan, options, interrupt.heard(), &mut listen).await;
    (execution, times)
}

/// What a task says that failed by itself, or is said of it where it ran out of time.
fn failure((task, outcome): (String, Outcome)) -> Option<String> {
    match outcome {
        Outcome::Failed {
            reason,
            blame: Blame::Inconclusive,
        } => Some(format!("{task} {reason}")),
        Outcome::Failed { reason, .. } => Some(reason),
        _ => None,
    }
}

/// Removes the run's directory of an audit in which nothing ran.
fn discard(run_dir: &RunDir) {
    if let Err(error) = std::fs::remove_dir_all(run_dir.path()) {
        tracing::warn!("failed to remove {}: {error}", run_dir.path().display());
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use pyti_graph::Missing;

    use super::*;
    use crate::cli::{Cli, Command};

    /// A stage that is skipped since a task ended without providing its datum.
    fn skipped(because: &str, not_applicable: bool) -> Outcome {
        let missing = Missing {
            datum: "test-plan".into(),
            provider: "detect".into(),
            because: because.into(),
            not_applicable,
        };
        Outcome::Skipped {
            chain: vec![missing],
        }
    }

    #[test]
    fn only_a_stage_with_something_to_do_is_missed() {
        let mut stages = vec![];
        let outcome = skipped("was not applicable: it has no tests", true);
        add_unwatched(&mut stages, "test", &outcome);
        assert_eq!(stages, []);
        add_unwatched(&mut stages, "test", &skipped("failed: no memory", false));
        let reason = "detect failed: no memory".to_owned();
        let expected = StageFacts::new("test", StageStatus::NotStarted { reason });
        assert_eq!(stages, [expected]);
    }

    #[test]
    fn a_wheel_is_asked_for_of_an_index_or_given_as_a_file() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
        let [sdist, wheel, tree] = ["a-1.tar.gz", "a-1-py3-none-any.WHL", "tree"].map(path);
        std::fs::write(&sdist, "").unwrap();
        std::fs::write(&wheel, "").unwrap();
        std::fs::create_dir(&tree).unwrap();
        let home = Home {
            cache: place.path().join("cache"),
            runs: place.path().join("runs"),
        };
        for target in [&sdist, &tree] {
            let cli = Cli::try_parse_from(["pyti", "plan", "--wheel", target.as_str()]).unwrap();
            let Command::Plan(args) = cli.command else {
                panic!("{target}: another command");
            };
            let refusal = plan(&args.what, &home).err();
            assert_eq!(
                refusal.map(|error| error.to_string()).as_deref(),
                Some(
                    "--wheel is for a package of an index: leave it out, or give the path of a wheel"
                ),
                "{target}"
            );
        }
        for target in ["a", "a==1", "pkg:pypi/a@1", wheel.as_str()] {
            let parsed = pyti_index::Target::parse(target).unwrap();
            assert!(may_be_wheel(&parsed), "{target}");
        }
    }
}
