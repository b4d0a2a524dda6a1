//! A bare interpreter after the installation: what `.pth` files and `sitecustomize` do.

use std::collections::{BTreeMap, BTreeSet};

use pyti_analyzer::schema::{kind_name, result_name};
use pyti_analyzer::{StageStatus, amount, store};
use pyti_graph::{Failure, Inputs, Need};
use pyti_trace::describe::describe;
use pyti_trace::event::{Event, Kind};
use pyti_vm::Interpreter;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::relative::join;
use super::{Installed, Ran, Stage};
use crate::cli::LimitArgs;
use crate::order::{HOME, Order};
use crate::tasks;

mod start_files;

use start_files::{StartFiles, read_by};

/// Listed of each kind; the store has all.
const MOST: usize = 1000;

/// See the module.
pub(super) struct Startup;

/// Where an interpreter that does nothing has its own files, and those of the C library: how their
/// paths begin. Nothing of the user's is there.
const ITS_OWN: [&str; 3] = ["/usr/", "/lib/", "/lib64/"];
/// Files elsewhere that interpreters and the C library open by themselves: to find libraries and the
/// time zone, for hash seeds, when memory is shared out among threads, to count processors and to
/// bound a stack, and to give or close a child's files. Nothing in them is anybody's secret.
const EVERYBODYS: [&str; 9] = [
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/dev/null",
    "/dev/urandom",
    "/proc/self/fd",
    "/proc/self/maps",
    "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system/cpu/online",
    "/sys/devices/system/cpu/possible",
];
/// What changes files.
const CHANGES: [Kind; 10] = [
    Kind::Write,
    Kind::Truncate,
    Kind::Rename,
    Kind::Unlink,
    Kind::Rmdir,
    Kind::Mkdir,
    Kind::Link,
    Kind::Symlink,
    Kind::Chmod,
    Kind::Chown,
];

/// What an interpreter did that was only started: the datum `startup`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Started {
    /// How it ended, where that was not well: what hooks into the start may break it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Python stacks of this interpreter are read. Where they are not, no deed has its start file.
    #[serde(default)]
    pub attributed: bool,
    /// The `.pth` files, and those of `sitecustomize` and `usercustomize`, that were read.
    #[serde(default)]
    pub start_files: BTreeSet<String>,
    /// Files that it opened and that are not the interpreter's own.
    pub opened: BTreeSet<Deed<String>>,
    /// Files that it did not get: the error, and the path as it was asked for. Without those where the
    /// interpreter itself looks for modules, unless a start file is known to have asked.
    #[serde(default)]
    pub looked_for: BTreeSet<Deed<String>>,
    /// What it changed: what was done, and to which path; of two names both.
    #[serde(default)]
    pub changed: BTreeSet<Deed<String>>,
    /// Programs that were executed, the interpreter itself apart.
    pub executed: Vec<Deed<Vec<String>>>,
    /// Addresses that were connected or sent to, with their ports; `unix` and the path of Unix sockets.
    /// Tried is enough.
    pub connected: BTreeSet<Deed<String>>,
    /// By the name of a list of these: how many were too many for it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cut: BTreeMap<String, usize>,
}

/// Something that was done.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Deed<T> {
    /// To what.
    pub what: T,
    /// The start file whose code did it, or had the program started that did; as the Python stack names
    /// it, which the package can forge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
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

    fn read(&self, ran: &Ran, inputs: &Inputs) -> Result<Value, Failure> {
        let ended = match &ran.facts.status {
            StageStatus::Failed { .. } | StageStatus::Signaled { .. } => {
                ran.completed().err().map(|why| why.to_string())
            }
            _ => {
                ran.completed()?;
                None
            }
        };
        let loaded =
            store::read(&ran.directory, store::MAX_EVENTS).map_err(Failure::infrastructure)?;
        let python = tasks::python(inputs)?;
        let user_site = format!("{HOME}/{}/", python.user_site());
        let started = Started {
            ended,
            attributed: has_stacks(&python),
            ..started(&loaded.events, &user_site)
        };
        serde_json::to_value(started).map_err(Failure::infrastructure)
    }

    fn summary(&self, datum: &Value) -> Option<String> {
        let started: Started = serde_json::from_value(datum.clone()).ok()?;
        let ended = started.ended.as_ref().map(|how| format!("{how}; "));
        let cut: usize = started.cut.values().sum();
        let cut = (cut > 0).then(|| {
            let cut = amount(cut as u64, "of these is", "of these are");
            format!("; {cut} not listed")
        });
        let all = |list: &str, listed: usize| {
            let cut = started.cut.get(list).copied().unwrap_or_default();
            (listed + cut) as u64
        };
        let unknown = match started.attributed {
            true => "",
            false => "; by which start file is not known, as this Python's stacks are not read",
        };
        Some(format!(
            "{}{} read, {} opened, {}, {}, {} executed, {} connected or sent to{}{unknown}",
            ended.unwrap_or_default(),
            amount(
                all("start_files", started.start_files.len()),
                "start file",
                "start files"
            ),
            amount(all("opened", started.opened.len()), "file", "files"),
            amount(
                all("looked_for", started.looked_for.len()),
                "open failed",
                "opens failed"
            ),
            amount(all("changed", started.changed.len()), "change", "changes"),
            amount(
                all("executed", started.executed.len()),
                "program",
                "programs"
            ),
            amount(
                all("connected", started.connected.len()),
                "address",
                "addresses"
            ),
            cut.unwrap_or_default()
        ))
    }
}

/// Whether stacks of this interpreter are read: it has to say where it keeps them (docs/attribution.md).
fn has_stacks(python: &Interpreter) -> bool {
    (python.major, python.minor) == (3, 13)
}

/// What happened, given in the order of time. `user_site` is where the interpreter looks for the
/// user's modules.
fn started(events: &[Event], user_site: &str) -> Started {
    let mut told = Started::default();
    let mut start_files = StartFiles::default();
    // The first program is the interpreter that the stage starts.
    let mut is_first = true;
    for event in events {
        let by = start_files.behind(event);
        if let Some(path) = read_by(event) {
            told.start_files.insert(path.to_owned());
        }
        let succeeded = event.result >= 0;
        match event.kind {
            Kind::Open => {
                let Some(file) = file(event).filter(|file| !is_ordinary(file)) else {
                    continue;
                };
                if succeeded {
                    told.opened.insert(Deed { what: file, by });
                } else if by.is_some() || !file.starts_with(user_site) {
                    let what = format!("{} {file}", result_name(event.result));
                    told.looked_for.insert(Deed { what, by });
                }
            }
            Kind::Exec if succeeded => {
                let argv = event.argv.clone().filter(|_| !is_first);
                is_first = false;
                match argv {
                    Some(what) if told.executed.len() < MOST => {
                        told.executed.push(Deed { what, by });
                    }
                    Some(_) => *told.cut.entry("executed".to_owned()).or_default() += 1,
                    None => {}
                }
            }
            Kind::Connect | Kind::Send => {
                let what = match (&event.addr, event.port) {
                    (Some(addr), Some(port)) => Some(format!("{addr} {port}")),
                    // Of these sockets, those of Unix alone have a path.
                    _ => event.path.as_ref().map(|path| format!("unix {path}")),
                };
                if let Some(what) = what {
                    told.connected.insert(Deed { what, by });
                }
            }
            kind if succeeded && CHANGES.contains(&kind) => {
                if let Some(path) = event.path.as_ref().or(event.asked.as_ref()) {
                    let what = match kind {
                        // The other name, or the mode, is as telling as the path.
                        Kind::Rename | Kind::Link | Kind::Symlink | Kind::Chmod => describe(event),
                        _ => format!("{} {path}", kind_name(kind)),
                    };
                    told.changed.insert(Deed { what, by });
                }
            }
            _ => {}
        }
    }
    let cut = &mut told.cut;
    keep_first("start_files", &mut told.start_files, cut);
    keep_first("opened", &mut told.opened, cut);
    keep_first("looked_for", &mut told.looked_for, cut);
    keep_first("changed", &mut told.changed, cut);
    keep_first("connected", &mut told.connected, cut);
    told
}

/// Keeps the first ones of a list, and tells by its name how many others there were.
fn keep_first<T: Ord>(list: &str, all: &mut BTreeSet<T>, cut: &mut BTreeMap<String, usize>) {
    let more = all.len().saturating_sub(MOST);
    if more > 0 {
        *all = std::mem::take(all).into_iter().take(MOST).collect();
        cut.insert(list.to_owned(), more);
    }
}

/// The file that an open was for. What could not be opened is known only as it was asked for, and the
/// number of a process of the stage's own tells less than that it asked for itself.
fn file(event: &Event) -> Option<String> {
    let asked = event.asked.as_deref();
    match (event.path.as_deref(), asked) {
        (Some(path), Some(asked))
            if path.starts_with("/proc/") && asked.starts_with("/proc/self/") =>
        {
            Some(plain(asked))
        }
        (Some(path), _) => Some(path.to_owned()),
        (None, asked) => asked.map(plain),
    }
}

/// An absolute path without `.` and `..`, by its text alone; any other one as it is.
fn plain(path: &str) -> String {
    let joined = join("", path).filter(|_| path.starts_with('/'));
    joined.map_or_else(|| path.to_owned(), |joined| format!("/{joined}"))
}

/// Whether it says nothing that it was opened or looked for.
fn is_ordinary(file: &str) -> bool {
    ITS_OWN.iter().any(|own| file.starts_with(own)) || EVERYBODYS.contains(&file)
}

#[cfg(test)]
mod tests;
