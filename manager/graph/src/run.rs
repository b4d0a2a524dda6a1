//! The dispatcher. It alone owns the state and puts all changes in one order; who reports listens.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::data::{Datum, Inputs, Kind, Outputs};
use crate::memo::{Memo, MemoKey};
use crate::outcome::{Blame, Failure, Missing, Outcome};
use crate::plan::Plan;
use crate::task::{Need, Resources, Task};

/// How a plan is run.
#[derive(Clone)]
pub struct Options {
    /// What all tasks that run at a time may occupy.
    pub resources: Resources,
    /// Where done tasks are remembered.
    pub memo: Option<Arc<dyn Memo>>,
    /// Nothing is recalled; what is done is still kept.
    pub fresh: bool,
    /// How often a task is tried again that failed by its infrastructure.
    pub retries: u32,
    /// How long a task that was told to stop may take, before it is dropped.
    pub grace: Duration,
}

/// A task's line to the dispatcher.
#[derive(Debug, Clone)]
pub struct Control {
    task: usize,
    stop: watch::Receiver<bool>,
    details: mpsc::UnboundedSender<(usize, String)>,
}

impl Control {
    /// Ends when the task is to stop: the run was cancelled, or its time is up.
    pub async fn stopped(&self) {
        let mut stop = self.stop.clone();
        if stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Tells what the task is doing.
    pub fn say(&self, detail: impl Into<String>) {
        // Where the dispatcher is gone nobody listens.
        let _ = self.details.send((self.task, detail.into()));
    }
}

/// A change of the state, in the one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<'a> {
    /// A task started; `attempt` counts from 1.
    Started {
        /// The task.
        task: &'a str,
        /// Which try.
        attempt: u32,
    },
    /// What a running task is doing.
    Detail {
        /// The task.
        task: &'a str,
        /// Its words.
        text: &'a str,
    },
    /// A task failed by its infrastructure and is tried again.
    Retry {
        /// The task.
        task: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A task ended.
    Ended {
        /// The task.
        task: &'a str,
        /// How.
        outcome: &'a Outcome,
    },
}

/// A plan that was run.
#[derive(Debug)]
pub struct Execution {
    /// How each task ended, in the plan's order.
    pub outcomes: Vec<(String, Outcome)>,
    /// The data there are.
    pub data: BTreeMap<Kind, Datum>,
}

/// Runs a plan to its end. `cancel` turning true stops it: running tasks are told, and dropped where
/// they do not end within the grace; the rest does not start.
pub async fn execute(
    plan: &Plan,
    options: &Options,
    mut cancel: watch::Receiver<bool>,
    listen: &mut (dyn FnMut(Change<'_>) + Send),
) -> Execution {
    let (details, mut said) = mpsc::unbounded_channel();
    let mut dispatcher = Dispatcher {
        plan,
        options,
        listen,
        details,
        cancelled: *cancel.borrow(),
        outcomes: vec![None; plan.tasks().len()],
        data: BTreeMap::new(),
        taken: Resources::default(),
        running: HashMap::new(),
        set: JoinSet::new(),
    };
    let mut heard = true;
    loop {
        dispatcher.settle();
        if dispatcher.running.is_empty() {
            break;
        }
        let alarm = dispatcher.alarm();
        let sleep = async {
            match alarm {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some((task, text)) = said.recv() => dispatcher.detail(task, &text),
            Some(ended) = dispatcher.set.join_next_with_id() => dispatcher.joined(ended),
            changed = cancel.changed(), if heard => {
                // Without a sender nobody can cancel any more.
                heard = changed.is_ok();
                if *cancel.borrow() {
                    dispatcher.cancel();
                }
            }
            () = sleep => dispatcher.ring(),
        }
    }
    let outcomes = plan
        .tasks()
        .iter()
        .zip(dispatcher.outcomes)
        .map(|(task, outcome)| (task.name.clone(), outcome.unwrap_or(Outcome::Cancelled)))
        .collect();
    Execution {
        outcomes,
        data: dispatcher.data,
    }
}

/// Why a running task was told to stop.
#[derive(Clone, Copy, PartialEq)]
enum Stop {
    Cancelled,
    TimedOut(Duration),
}

struct Running {
    task: usize,
    attempt: u32,
    stop: watch::Sender<bool>,
    abort: AbortHandle,
    /// When its time, or the grace after it, is up.
    alarm: Option<Instant>,
    stopping: Option<Stop>,
}

struct Dispatcher<'a> {
    plan: &'a Plan,
    options: &'a Options,
    listen: &'a mut (dyn FnMut(Change<'_>) + Send),
    details: mpsc::UnboundedSender<(usize, String)>,
    cancelled: bool,
    outcomes: Vec<Option<Outcome>>,
    data: BTreeMap<Kind, Datum>,
    taken: Resources,
    running: HashMap<Id, Running>,
    set: JoinSet<Attempt>,
}

/// What a try gave.
type Attempt = (bool, Result<Outputs, Failure>);

impl Dispatcher<'_> {
    /// Ends what cannot run or is of no use any more, and starts what can, in the plan's order.
    fn settle(&mut self) {
        // The order is topological: one pass sees every consequence of what it ends itself.
        for task in self.waiting() {
            if self.cancelled {
                self.end(task, Outcome::Cancelled);
                continue;
            }
            match self.ready(task) {
                Some(Err(chain)) => self.end(task, Outcome::Skipped { chain }),
                Some(Ok(_)) if !self.ever_fits(task) => {
                    let cost = self.plan.tasks()[task].cost;
                    let reason = format!("it needs more than there is: {cost:?}");
                    let blame = Blame::Infrastructure;
                    self.end(task, Outcome::Failed { blame, reason });
                }
                _ => {}
            }
        }
        self.drop_useless();
        for task in self.waiting() {
            if let Some(Ok(inputs)) = self.ready(task) {
                self.try_start(task, inputs);
            }
        }
    }

    /// Tasks that have neither started nor ended, in the plan's order.
    fn waiting(&self) -> Vec<usize> {
        let runs = |task| self.running.values().any(|running| running.task == task);
        (0..self.plan.tasks().len())
            .filter(|&task| self.outcomes[task].is_none() && !runs(task))
            .collect()
    }

    /// Stops what serves no goal any more: whoever needed it has ended without it.
    fn drop_useless(&mut self) {
        let tasks = self.plan.tasks();
        let mut useful = vec![false; tasks.len()];
        for task in (0..tasks.len()).rev() {
            if self.outcomes[task].is_some() {
                continue;
            }
            let mut provides = tasks[task].provides.iter();
            useful[task] |= provides.any(|kind| self.plan.goals().contains(kind));
            if useful[task] {
                for (before, _) in self.plan.edges(task) {
                    useful[before] = true;
                }
            }
        }
        for task in self.waiting() {
            if !useful[task] {
                self.end(task, Outcome::Cancelled);
            }
        }
        let grace = Instant::now() + self.options.grace;
        for running in self.in_order() {
            if !useful[running.task] {
                running.stop(Stop::Cancelled, grace);
            }
        }
    }

    /// `None` while something is waited for; then the inputs, or why there are none.
    fn ready(&self, task: usize) -> Option<Result<Inputs, Vec<Missing>>> {
        let needs = &self.plan.tasks()[task].needs;
        let mut inputs = Inputs::default();
        let mut waits = false;
        for (provider, kind) in self.plan.edges(task) {
            match self.data.get(&kind) {
                Some(datum) => {
                    inputs.0.insert(kind, datum.clone());
                }
                None if self.outcomes[provider].is_none() => waits = true,
                // One datum that will never be there decides, whatever else is waited for.
                None if needs.contains(&Need::All(kind.clone())) => {
                    return Some(Err(self.chain(provider, kind)));
                }
                None => {}
            }
        }
        (!waits).then_some(Ok(inputs))
    }

    fn chain(&self, provider: usize, datum: Kind) -> Vec<Missing> {
        let outcome = self.outcomes[provider].as_ref();
        let because = match outcome {
            Some(Outcome::Skipped { .. }) => "was skipped".to_owned(),
            Some(Outcome::NotApplicable { reason }) => format!("was not applicable: {reason}"),
            Some(Outcome::Cancelled) => "was cancelled".to_owned(),
            Some(outcome) => outcome.to_string(),
            None => "has not ended".to_owned(),
        };
        let mut chain = vec![Missing {
            datum,
            provider: self.plan.tasks()[provider].name.clone(),
            because,
            not_applicable: matches!(outcome, Some(Outcome::NotApplicable { .. })),
        }];
        if let Some(Outcome::Skipped { chain: before }) = outcome {
            chain.extend(before.iter().cloned());
        }
        chain
    }

    /// Whether there is enough for it where nothing else runs.
    fn ever_fits(&self, task: usize) -> bool {
        let cost = self.plan.tasks()[task].cost;
        self.options.resources.fit(&Resources::default(), &cost)
    }

    fn try_start(&mut self, task: usize, inputs: Inputs) {
        let cost = self.plan.tasks()[task].cost;
        if self.options.resources.fit(&self.taken, &cost) {
            self.taken.take(&cost);
            self.start(task, inputs, 1);
        }
    }

    fn start(&mut self, task: usize, inputs: Inputs, attempt: u32) {
        let declared = &self.plan.tasks()[task];
        (self.listen)(Change::Started {
            task: &declared.name,
            attempt,
        });
        let (stop, stopped) = watch::channel(false);
        let control = Control {
            task,
            stop: stopped,
            details: self.details.clone(),
        };
        let work = attempt_of(declared.clone(), inputs, control, self.options.clone());
        let abort = self.set.spawn(work);
        self.running.insert(
            abort.id(),
            Running {
                task,
                attempt,
                stop,
                abort,
                alarm: declared.timeout.map(|limit| Instant::now() + limit),
                stopping: None,
            },
        );
    }

    fn joined(&mut self, joined: Result<(Id, Attempt), JoinError>) {
        let (id, result) = match joined {
            Ok((id, attempt)) => (id, Ok(attempt)),
            Err(error) => (error.id(), Err(error)),
        };
        let Some(ended) = self.running.remove(&id) else {
            return;
        };
        let declared = &self.plan.tasks()[ended.task];
        let outcome = match (result, ended.stopping) {
            // What came in time counts, also when the task had been told to stop.
            (Ok((remembered, Ok(outputs))), _) => match self.accept(declared, outputs) {
                Ok(()) => Outcome::Done { remembered },
                Err(reason) => Outcome::Failed {
                    blame: Blame::Infrastructure,
                    reason,
                },
            },
            (_, Some(Stop::Cancelled)) => Outcome::Cancelled,
            (_, Some(Stop::TimedOut(limit))) => Outcome::Failed {
                blame: Blame::Inconclusive,
                reason: format!("timed out after {} s", limit.as_secs_f64()),
            },
            (Ok((_, Err(Failure::NotApplicable(reason)))), None) => {
                Outcome::NotApplicable { reason }
            }
            (Ok((_, Err(Failure::Cancelled))), None) => Outcome::Cancelled,
            (Ok((_, Err(Failure::Failed { blame, reason }))), None) => {
                if blame == Blame::Infrastructure && ended.attempt <= self.options.retries {
                    (self.listen)(Change::Retry {
                        task: &declared.name,
                        reason: &reason,
                    });
                    if let Some(Ok(inputs)) = self.ready(ended.task) {
                        return self.start(ended.task, inputs, ended.attempt + 1);
                    }
                }
                Outcome::Failed { blame, reason }
            }
            (Err(error), None) => Outcome::Failed {
                blame: Blame::Infrastructure,
                reason: format!("its code panicked: {}", panic_message(error)),
            },
        };
        self.taken.give_back(&declared.cost);
        self.end(ended.task, outcome);
    }

    /// Takes what a task provides, if it is what it said it would.
    fn accept(&mut self, task: &Task, outputs: Outputs) -> Result<(), String> {
        if let Some(kind) = task
            .provides
            .iter()
            .find(|kind| !outputs.contains_key(*kind))
        {
            return Err(format!("it ended without providing {kind}"));
        }
        if let Some(kind) = outputs.keys().find(|kind| !task.provides.contains(kind)) {
            return Err(format!("it provided {kind}, which it does not declare"));
        }
        self.data.extend(outputs);
        Ok(())
    }

    fn end(&mut self, task: usize, outcome: Outcome) {
        (self.listen)(Change::Ended {
            task: &self.plan.tasks()[task].name,
            outcome: &outcome,
        });
        self.outcomes[task] = Some(outcome);
    }

    fn detail(&mut self, task: usize, text: &str) {
        (self.listen)(Change::Detail {
            task: &self.plan.tasks()[task].name,
            text,
        });
    }

    fn cancel(&mut self) {
        self.cancelled = true;
        let grace = Instant::now() + self.options.grace;
        for running in self.in_order() {
            running.stop(Stop::Cancelled, grace);
        }
    }

    fn alarm(&self) -> Option<Instant> {
        self.running
            .values()
            .filter_map(|running| running.alarm)
            .min()
    }

    /// What runs, in the plan's order, in which it then ends.
    fn in_order(&mut self) -> Vec<&mut Running> {
        let mut all: Vec<_> = self.running.values_mut().collect();
        all.sort_by_key(|running| running.task);
        all
    }

    /// Tells tasks whose time is up to stop, and drops those that had been told.
    fn ring(&mut self) {
        let (now, plan) = (Instant::now(), self.plan);
        let grace = now + self.options.grace;
        for running in self.in_order() {
            if running.alarm.is_none_or(|alarm| alarm > now) {
                continue;
            }
            if running.stopping.is_some() {
                running.alarm = None;
                running.abort.abort();
            } else {
                let limit = plan.tasks()[running.task].timeout.unwrap_or_default();
                running.stop(Stop::TimedOut(limit), grace);
            }
        }
    }
}

fn panic_message(error: JoinError) -> String {
    let payload = match error.try_into_panic() {
        Ok(payload) => payload,
        Err(error) => return error.to_string(),
    };
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".into())
}

impl Running {
    fn stop(&mut self, why: Stop, grace: Instant) {
        if self.stopping.is_none() {
            self.stopping = Some(why);
            self.alarm = Some(grace);
            self.stop.send_replace(true);
        }
    }
}

/// One try: recalled where it can be, else done and kept.
async fn attempt_of(task: Task, inputs: Inputs, control: Control, options: Options) -> Attempt {
    let known = options
        .memo
        .zip(MemoKey::of(&task, &inputs))
        .map(|(memo, key)| (memo, key, task.name.clone()));
    if let Some((memo, key, name)) = known.clone()
        && !options.fresh
    {
        let recalled = tokio::task::spawn_blocking(move || memo.recall(&name, &key)).await;
        if let Ok(Some(outputs)) = recalled {
            return (true, Ok(outputs));
        }
    }
    let result = task.action.run(inputs, control).await;
    if let (Ok(outputs), Some((memo, key, name))) = (&result, known) {
        let outputs = outputs.clone();
        // Where it cannot be kept it is done again next time.
        let _ = tokio::task::spawn_blocking(move || memo.keep(&name, &key, &outputs)).await;
    }
    (false, result)
}
