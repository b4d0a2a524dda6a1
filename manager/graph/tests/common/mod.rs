//! Tasks that do what a test tells them.
#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test file uses its part"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pyti_graph::{
    Action, BoxFuture, Change, Control, Datum, Execution, Failure, Inputs, Kind, Need, Options,
    Outcome, Outputs, Place, Plan, Resources, Task, execute,
};
use tokio::sync::watch;

/// What a try of a task does, after a while.
#[derive(Clone, Debug)]
pub enum Does {
    Provides,
    Fails(Failure),
    /// Fails by its infrastructure so often, then provides.
    FailsFirst(u32),
    /// Never ends by itself; stops when told.
    Waits,
    /// Never ends, told or not.
    Hangs,
    Panics,
}

pub struct Scripted {
    pub does: Does,
    pub takes: Duration,
    pub provides: Vec<Kind>,
    pub tries: Mutex<u32>,
    /// What it was given, by kind, the last time.
    pub given: Mutex<Vec<String>>,
}

impl Action for Scripted {
    fn run(&self, inputs: Inputs, control: Control) -> BoxFuture<'_, Result<Outputs, Failure>> {
        Box::pin(async move {
            let tries = {
                let mut tries = self.tries.lock().unwrap();
                *tries += 1;
                *tries
            };
            *self.given.lock().unwrap() = inputs.iter().map(|(kind, _)| kind.to_string()).collect();
            tokio::time::sleep(self.takes).await;
            match &self.does {
                Does::Fails(failure) => return Err(failure.clone()),
                Does::FailsFirst(times) if tries <= *times => {
                    return Err(Failure::infrastructure("the network is down"));
                }
                Does::Provides | Does::FailsFirst(_) => {}
                Does::Waits => {
                    control.stopped().await;
                    return Err(Failure::Cancelled);
                }
                Does::Hangs => std::future::pending::<()>().await,
                Does::Panics => panic!("as scripted"),
            }
            let datum = |kind: &Kind| (kind.clone(), Datum::of(&kind.as_str()).unwrap());
            Ok(self.provides.iter().map(datum).collect())
        })
    }
}

/// A task that provides the datum of its own name.
pub fn task(name: &str, needs: &[Need], does: Does) -> Task {
    lasting(name, needs, does, Duration::from_millis(10)).0
}

pub fn lasting(name: &str, needs: &[Need], does: Does, takes: Duration) -> (Task, Arc<Scripted>) {
    let provides = vec![Kind::from(name)];
    let action = Arc::new(Scripted {
        does,
        takes,
        provides: provides.clone(),
        tries: Mutex::default(),
        given: Mutex::default(),
    });
    let task = Task {
        name: name.to_uppercase(),
        needs: needs.to_vec(),
        provides,
        place: Place::Host,
        version: None,
        cost: Resources::default(),
        timeout: None,
        action: Arc::clone(&action) as Arc<dyn Action>,
    };
    (task, action)
}

pub fn all(kind: &str) -> Need {
    Need::All(kind.into())
}

pub fn options() -> Options {
    Options {
        resources: Resources {
            vms: 2,
            memory_mib: 4096,
            network: 1,
        },
        memo: None,
        fresh: false,
        retries: 2,
        grace: Duration::from_secs(5),
    }
}

/// Runs and returns the end with every change as a line.
pub async fn run(plan: &Plan, options: &Options) -> (Execution, Vec<String>) {
    let (_keep, cancel) = watch::channel(false);
    run_until(plan, options, cancel).await
}

pub async fn run_until(
    plan: &Plan,
    options: &Options,
    cancel: watch::Receiver<bool>,
) -> (Execution, Vec<String>) {
    let mut lines = Vec::new();
    let mut listen = |change: Change<'_>| {
        lines.push(match change {
            Change::Started { task, attempt: 1 } => format!("{task} starts"),
            Change::Started { task, attempt } => format!("{task} starts, try {attempt}"),
            Change::Detail { task, text } => format!("{task} says {text}"),
            Change::Retry { task, reason } => format!("{task} again: {reason}"),
            Change::Ended { task, outcome } => format!("{task} {outcome}"),
        });
    };
    let execution = execute(plan, options, cancel, &mut listen).await;
    (execution, lines)
}

pub fn outcome<'a>(execution: &'a Execution, name: &str) -> &'a Outcome {
    let found = execution.outcomes.iter().find(|(task, _)| task == name);
    &found.unwrap_or_else(|| panic!("no task {name}")).1
}
