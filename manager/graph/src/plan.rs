//! The plan: checked, pruned and ordered before anything runs.

use std::collections::{BTreeMap, BTreeSet};

use crate::data::Kind;
use crate::task::{Need, Task};

/// Why tasks make no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Two tasks of one name.
    #[error("two tasks are named {0}")]
    SameName(String),
    /// Two tasks provide the same datum.
    #[error("{kind} is provided by both {first} and {second}")]
    TwoProviders {
        /// The datum.
        kind: Kind,
        /// The one.
        first: String,
        /// The other.
        second: String,
    },
    /// Nobody provides a datum that is needed.
    #[error("no task provides {kind}, which {by} needs")]
    Unknown {
        /// The datum.
        kind: Kind,
        /// Who needs it; `the goal` where the caller asked for it.
        by: String,
    },
    /// Tasks that wait for each other.
    #[error("tasks wait for each other: {}", .0.join(" → "))]
    Cycle(Vec<String>),
}

/// Tasks in an order in which they may run.
#[derive(Debug, Clone)]
pub struct Plan {
    tasks: Vec<Task>,
    providers: BTreeMap<Kind, usize>,
    goals: BTreeSet<Kind>,
}

impl Plan {
    /// Checks all `tasks`, keeps those that the goals ask for, and orders them: topologically, and
    /// as they were given where that leaves a choice. What is needed by `All` is asked for; an
    /// `Optional` or `Each` need is served by what is planned anyway.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn new(tasks: Vec<Task>, goals: &[Kind]) -> Result<Self, PlanError> {
        let providers = providers(&tasks)?;
        for task in &tasks {
            for need in &task.needs {
                if let Need::All(kind) | Need::Optional(kind) = need
                    && !providers.contains_key(kind)
                {
                    return Err(PlanError::Unknown {
                        kind: kind.clone(),
                        by: task.name.clone(),
                    });
                }
            }
        }
        order(&tasks, &providers)?;
        let mut tasks = pruned(tasks, &providers, goals)?;
        let providers_kept = self::providers(&tasks)?;
        let order = order(&tasks, &providers_kept)?;
        let mut slots: Vec<Option<Task>> = tasks.drain(..).map(Some).collect();
        let tasks: Vec<Task> = order
            .into_iter()
            .filter_map(|at| slots.get_mut(at).and_then(Option::take))
            .collect();
        Ok(Self {
            providers: self::providers(&tasks)?,
            tasks,
            goals: goals.iter().cloned().collect(),
        })
    }

    /// The tasks, each after all that it waits for.
    #[must_use]
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// The data asked for.
    #[must_use]
    pub fn goals(&self) -> &BTreeSet<Kind> {
        &self.goals
    }

    /// Index of the task that provides a datum.
    #[must_use]
    pub fn provider(&self, kind: &Kind) -> Option<usize> {
        self.providers.get(kind).copied()
    }

    /// The tasks that a task waits for, with the datum, in the order of its needs.
    #[must_use]
    pub fn edges(&self, task: usize) -> Vec<(usize, Kind)> {
        self.tasks
            .get(task)
            .map(|task| edges(task, &self.providers))
            .unwrap_or_default()
    }
}

fn providers(tasks: &[Task]) -> Result<BTreeMap<Kind, usize>, PlanError> {
    let mut names = BTreeSet::new();
    let mut providers: BTreeMap<Kind, usize> = BTreeMap::new();
    for (at, task) in tasks.iter().enumerate() {
        if !names.insert(&task.name) {
            return Err(PlanError::SameName(task.name.clone()));
        }
        for kind in &task.provides {
            if let Some(first) = providers.insert(kind.clone(), at) {
                return Err(PlanError::TwoProviders {
                    kind: kind.clone(),
                    first: tasks[first].name.clone(),
                    second: task.name.clone(),
                });
            }
        }
    }
    Ok(providers)
}

fn edges(task: &Task, providers: &BTreeMap<Kind, usize>) -> Vec<(usize, Kind)> {
    let mut found = Vec::new();
    for need in &task.needs {
        match need {
            Need::All(kind) | Need::Optional(kind) => {
                found.extend(providers.get(kind).map(|&at| (at, kind.clone())));
            }
            Need::Each(pattern) => found.extend(
                providers
                    .iter()
                    .filter(|(kind, _)| kind.matches(pattern) && !task.provides.contains(kind))
                    .map(|(kind, &at)| (at, kind.clone())),
            ),
        }
    }
    found
}

fn pruned(
    tasks: Vec<Task>,
    providers: &BTreeMap<Kind, usize>,
    goals: &[Kind],
) -> Result<Vec<Task>, PlanError> {
    let mut wanted = BTreeSet::new();
    let mut open = Vec::new();
    for kind in goals {
        open.push(*providers.get(kind).ok_or_else(|| PlanError::Unknown {
            kind: kind.clone(),
            by: "the goal".into(),
        })?);
    }
    while let Some(at) = open.pop() {
        if wanted.insert(at) {
            open.extend(tasks[at].needs.iter().filter_map(|need| match need {
                Need::All(kind) => providers.get(kind).copied(),
                Need::Optional(_) | Need::Each(_) => None,
            }));
        }
    }
    Ok(tasks
        .into_iter()
        .enumerate()
        .filter(|(at, _)| wanted.contains(at))
        .map(|(_, task)| task)
        .collect())
}

/// Kahn's algorithm; of what may come next, the first given comes first.
fn order(tasks: &[Task], providers: &BTreeMap<Kind, usize>) -> Result<Vec<usize>, PlanError> {
    let waits: Vec<BTreeSet<usize>> = tasks
        .iter()
        .map(|task| {
            edges(task, providers)
                .into_iter()
                .map(|(at, _)| at)
                .collect()
        })
        .collect();
    let mut done = BTreeSet::new();
    let mut order = Vec::with_capacity(tasks.len());
    while order.len() < tasks.len() {
        let next = (0..tasks.len()).find(|at| !done.contains(at) && waits[*at].is_subset(&done));
        let Some(next) = next else {
            return Err(PlanError::Cycle(cycle(tasks, &waits, &done)));
        };
        done.insert(next);
        order.push(next);
    }
    Ok(order)
}

/// Follows what is waited for among the tasks that cannot be ordered until one comes again.
fn cycle(tasks: &[Task], waits: &[BTreeSet<usize>], done: &BTreeSet<usize>) -> Vec<String> {
    let stuck = |at: usize| {
        waits[at]
            .iter()
            .copied()
            .find(|before| !done.contains(before))
    };
    let mut path: Vec<usize> = (0..tasks.len())
        .find(|at| !done.contains(at))
        .into_iter()
        .collect();
    while let Some(next) = path.last().and_then(|&at| stuck(at)) {
        if let Some(begin) = path.iter().position(|&at| at == next) {
            path.drain(..begin);
            path.push(next);
            break;
        }
        path.push(next);
    }
    path.into_iter().map(|at| tasks[at].name.clone()).collect()
}
