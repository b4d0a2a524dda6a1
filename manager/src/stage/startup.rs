//! A bare interpreter after the installation: what `.pth` files and `sitecustomize` do.

use std::collections::BTreeSet;

use pyti_analyzer::schema::kind_name;
use pyti_analyzer::{StageStatus, amount, store};
use pyti_graph::{Failure, Inputs, Need};
use pyti_trace::event::{Event, Kind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Installed, Ran, Stage};
use crate::cli::LimitArgs;
use crate::order::Order;
use crate::tasks;

/// Paths listed of each kind; the store has all.
const MOST: usize = 1000;

/// See the module.
pub(super) struct Startup;

/// Where an interpreter that does nothing has its own files, and those of the C library.
const ITS_OWN: [&str; 7] = [
    "/usr/",
    "/lib/",
    "/lib64/",
    "/proc/",
    "/sys/",
    "/dev/",
    "/etc/ld.so.cache",
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
#[derive(Debug, Serialize, Deserialize)]
pub struct Started {
    /// How it ended, where that was not well: what hooks into the start may break it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Files that it opened and that are not the interpreter's own.
    pub opened: BTreeSet<String>,
    /// What it changed: what was done, and to which path.
    #[serde(default)]
    pub changed: BTreeSet<String>,
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
        let started = Started {
            ended,
            ..started(&loaded.events)
        };
        serde_json::to_value(started).map_err(Failure::infrastructure)
    }

    fn summary(&self, datum: &Value) -> Option<String> {
        let started: Started = serde_json::from_value(datum.clone()).ok()?;
        let ended = started.ended.map(|how| format!("{how}; "));
        Some(format!(
            "{}{} opened, {}, {} executed, {} connected to",
            ended.unwrap_or_default(),
            amount(started.opened.len() as u64, "file", "files"),
            amount(started.changed.len() as u64, "change", "changes"),
            amount(started.executed.len() as u64, "program", "programs"),
            amount(started.connected.len() as u64, "address", "addresses")
        ))
    }
}

fn started(events: &[Event]) -> Started {
    let of = |kind| events.iter().filter(move |event| event.kind == kind);
    let succeeded = |event: &&Event| event.result >= 0;
    let foreign = |path: &String| !ITS_OWN.iter().any(|own| path.starts_with(own));
    let first = |all: BTreeSet<String>| all.into_iter().take(MOST).collect();
    let opened = of(Kind::Open)
        .filter(succeeded)
        .filter_map(|event| event.path.clone());
    let connected = of(Kind::Connect)
        .filter_map(|event| Some(format!("{} {}", event.addr.as_ref()?, event.port?)));
    let changed = events
        .iter()
        .filter(|event| CHANGES.contains(&event.kind))
        .filter(succeeded)
        .filter_map(|event| {
            let path = event.path.as_ref().or(event.asked.as_ref())?;
            Some(format!("{} {path}", kind_name(event.kind)))
        });
    // The first is the interpreter that the stage starts.
    let executed = of(Kind::Exec).filter(succeeded).skip(1);
    Started {
        ended: None,
        opened: first(opened.filter(foreign).collect()),
        changed: first(changed.collect()),
        executed: executed
            .filter_map(|event| event.argv.clone())
            .take(MOST)
            .collect(),
        connected: first(connected.collect()),
    }
}

#[cfg(test)]
mod tests {
    use pyti_trace::event::ProcessKey;

    use super::*;

    fn event(kind: Kind, path: &str) -> Event {
        Event {
            path: Some(path.to_owned()),
            ..Event::new(kind, ProcessKey::default(), 1)
        }
    }

    #[test]
    fn what_hooks_into_the_start_is_told_from_the_start() {
        let exec = |words: &[&str]| Event {
            argv: Some(words.iter().map(ToString::to_string).collect()),
            ..Event::new(Kind::Exec, ProcessKey::default(), 1)
        };
        let mut refused = event(Kind::Open, "/home/dev/none");
        refused.result = -2;
        let connect = Event {
            addr: Some("192.0.2.1".into()),
            port: Some(80),
            ..Event::new(Kind::Connect, ProcessKey::default(), 1)
        };
        let told = started(&[
            exec(&["python3", "-c", "pass"]),
            event(Kind::Open, "/usr/lib/python3.13/os.py"),
            event(
                Kind::Open,
                "/home/dev/.local/lib/python3.13/site-packages/x.pth",
            ),
            event(Kind::Open, "/tmp/x"),
            refused,
            event(Kind::Write, "/tmp/x"),
            event(Kind::Unlink, "/etc/y"),
            exec(&["sh", "-c", "true"]),
            connect,
        ]);
        let texts = |all: &BTreeSet<String>| all.iter().cloned().collect::<Vec<_>>();
        assert_eq!(
            texts(&told.opened),
            [
                "/home/dev/.local/lib/python3.13/site-packages/x.pth",
                "/tmp/x"
            ]
        );
        assert_eq!(texts(&told.changed), ["unlink /etc/y", "write /tmp/x"]);
        assert_eq!(told.executed, [["sh", "-c", "true"]]);
        assert_eq!(texts(&told.connected), ["192.0.2.1 80"]);
        let datum = serde_json::to_value(&told).unwrap();
        assert_eq!(
            Startup.summary(&datum).as_deref(),
            Some("2 files opened, 2 changes, 1 program executed, 1 address connected to")
        );
    }
}
