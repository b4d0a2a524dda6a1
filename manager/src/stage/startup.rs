//! A bare interpreter after the installation: what `.pth` files and `sitecustomize` do.

use std::collections::BTreeSet;

use pyti_analyzer::{amount, store};
use pyti_graph::{Failure, Inputs, Need};
use pyti_trace::event::{Event, Kind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Installed, Ran, Stage};
use crate::cli::LimitArgs;
use crate::order::{HOME, Order};
use crate::tasks;

/// Paths listed of each kind; the store has all.
const MOST: usize = 1000;

/// See the module.
pub(super) struct Startup;

/// What an interpreter did that was only started: the datum `startup`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Started {
    /// Files below the user's home that it opened.
    pub opened: BTreeSet<String>,
    /// Programs that were executed, the interpreter itself apart.
    pub executed: Vec<Vec<String>>,
    /// Addresses that were connected to, with their ports.
    pub connected: BTreeSet<String>,
}

impl Stage for Startup {
    fn name(&self) -> &'static str {
        "startup"
    }

    fn provides(&self) -> &'static str {
        "startup"
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need::All(tasks::INSTALLED.into())]
    }

    fn order(&self, inputs: &Inputs, limits: &LimitArgs) -> Result<Order, Failure> {
        let installed: Installed = tasks::read(inputs, tasks::INSTALLED)?;
        // Nothing that a payload could tell from an ordinary start.
        let python = tasks::python(inputs)?;
        let argv = [&*python.path, "-c", "pass"].map(str::to_owned).to_vec();
        let mut order = Order::new(self.name(), argv, limits).map_err(Failure::infrastructure)?;
        order.state = Some(installed.state);
        Ok(order)
    }

    fn read(&self, ran: &Ran, _: &Inputs) -> Result<Value, Failure> {
        ran.completed()?;
        let loaded =
            store::read(&ran.directory, store::MAX_EVENTS).map_err(Failure::infrastructure)?;
        serde_json::to_value(started(&loaded.events)).map_err(Failure::infrastructure)
    }

    fn summary(&self, datum: &Value) -> Option<String> {
        let started: Started = serde_json::from_value(datum.clone()).ok()?;
        Some(format!(
            "{} of the user opened, {} executed, {} connected to",
            amount(started.opened.len() as u64, "file", "files"),
            amount(started.executed.len() as u64, "program", "programs"),
            amount(started.connected.len() as u64, "address", "addresses")
        ))
    }
}

fn started(events: &[Event]) -> Started {
    let of = |kind| events.iter().filter(move |event| event.kind == kind);
    let succeeded = |event: &&Event| event.result >= 0;
    let below_home = |path: &String| {
        let rest = path.strip_prefix(HOME);
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    let first = |all: BTreeSet<String>| all.into_iter().take(MOST).collect();
    let opened = of(Kind::Open)
        .filter(succeeded)
        .filter_map(|event| event.path.clone());
    let connected = of(Kind::Connect)
        .filter_map(|event| Some(format!("{} {}", event.addr.as_ref()?, event.port?)));
    // The first is the interpreter that the stage starts.
    let executed = of(Kind::Exec).filter(succeeded).skip(1);
    Started {
        opened: first(opened.filter(below_home).collect()),
        executed: executed
            .filter_map(|event| event.argv.clone())
            .take(MOST)
            .collect(),
        connected: first(connected.collect()),
    }
}
