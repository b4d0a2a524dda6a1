//! What a task declares.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::data::{Inputs, Kind, Outputs};
use crate::outcome::Failure;
use crate::run::Control;

/// A future in a box.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A datum that a task waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// The task cannot run without it, and is skipped where it is not provided.
    All(Kind),
    /// The task runs with or without it, once its provider has ended.
    Optional(Kind),
    /// Every datum of a pattern ([`Kind::matches`]) that is provided in the plan.
    Each(String),
}

/// Where a task runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// On the host: no code of the package runs.
    Host,
    /// In a clone of a virtual machine, traced.
    Vm,
}

/// What a task occupies while it runs, and what there is in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resources {
    /// Virtual machines.
    pub vms: u32,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Connections to the package index.
    pub network: u32,
}

impl Resources {
    /// Whether `wanted` fits beside what is `taken`.
    #[must_use]
    pub fn fit(&self, taken: &Self, wanted: &Self) -> bool {
        taken.vms + wanted.vms <= self.vms
            && taken.memory_mib + wanted.memory_mib <= self.memory_mib
            && taken.network + wanted.network <= self.network
    }

    pub(crate) fn take(&mut self, wanted: &Self) {
        self.vms += wanted.vms;
        self.memory_mib += wanted.memory_mib;
        self.network += wanted.network;
    }

    pub(crate) fn give_back(&mut self, wanted: &Self) {
        self.vms -= wanted.vms;
        self.memory_mib -= wanted.memory_mib;
        self.network -= wanted.network;
    }
}

/// What a task does.
pub trait Action: Send + Sync {
    /// Does it, once. `control` tells when it is to stop.
    fn run(&self, inputs: Inputs, control: Control) -> BoxFuture<'_, Result<Outputs, Failure>>;
}

/// A node of the graph.
#[derive(Clone)]
pub struct Task {
    /// Its name; no other task of a plan has it.
    pub name: String,
    /// What it waits for.
    pub needs: Vec<Need>,
    /// What it provides when it is done.
    pub provides: Vec<Kind>,
    /// Where it runs.
    pub place: Place,
    /// Everything besides its inputs that shapes its outputs: a number to raise when it changes,
    /// limits, the digest of its image. Part of its memo key; `None` where it is never remembered.
    pub version: Option<String>,
    /// What it occupies.
    pub cost: Resources,
    /// How long it may take, where it is not bounded by itself.
    pub timeout: Option<Duration>,
    /// What it does.
    pub action: Arc<dyn Action>,
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("name", &self.name)
            .field("needs", &self.needs)
            .field("provides", &self.provides)
            .finish_non_exhaustive()
    }
}
