//! The matrix of actions: `programs/matrix.c` does every action that the probes record through every
//! road that the kernel offers for it, in a clone, and says what it did; the record is held against
//! that.

use std::collections::HashMap;
use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use pyti_analyzer::schema::kind_name;
use pyti_trace::event::{Event, Kind, ProcessKey};

use crate::guest;

const SOURCE: &str = include_str!("../programs/matrix.c");
/// What it writes to each file.
const WRITTEN: &[u8] = b"#!written";
/// Bytes of a thread's name (`TASK_COMM_LEN` with its end, include/linux/sched.h).
const COMM: usize = 15;

/// Cells that are not covered, and why.
const GAPS: &[(&str, &str, &str)] = &[
    ("open", "open_by_handle_at", REFUSED),
    ("chmod-absent", "chmod", LOOKUP),
    ("chown-absent", "chown", LOOKUP),
    ("truncate-absent", "truncate", LOOKUP),
    ("send", "netlink", "only the kernel hears it"),
    ("creds-refused", "setuid", UNCHANGED),
    ("creds", "setuid", UNCHANGED),
    ("creds", "setresgid", UNCHANGED),
];
const LOOKUP: &str = "no hook on this side of the lookup that fails";
const REFUSED: &str = "an ordinary user is refused before anything is looked up";
const UNCHANGED: &str =
    "it changes nothing: an ordinary user has one id, in its own user namespace too";

/// One action by one road.
#[derive(Debug)]
pub struct Cell {
    /// The action, named after the kind of event, with a word for how it fails.
    pub action: String,
    /// The road.
    pub road: String,
    /// What the call returned.
    pub result: i64,
    /// What is on record.
    pub seen: Seen,
}

/// What is on record of a cell.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// One event, with the right object, result and process.
    Right,
    /// The same, without something that this road does not tell.
    Without(&'static str),
    /// Something else.
    Wrong(String),
}

/// What the program says of a cell.
struct Said<'a> {
    action: &'a str,
    road: &'a str,
    pid: &'a str,
    result: i64,
    key: &'a str,
}

/// Runs the program in a clone and compares.
///
/// # Errors
/// There is no machine, or the program did not come to its end.
pub async fn run() -> Result<Vec<Cell>> {
    let spec = guest::stage(&[("matrix", SOURCE)], "exec /tmp/run-matrix")?;
    let ran = guest::run(&spec).await?;
    let said: Vec<Said<'_>> = ran.said.lines().filter_map(parse).collect();
    compare(&said, &ran.events)
}

fn parse(line: &str) -> Option<Said<'_>> {
    let words: Vec<&str> = line.split(' ').collect();
    let [action, road, pid, result, key] = words[..] else {
        return None;
    };
    Some(Said {
        action,
        road,
        pid,
        result: result.parse().ok()?,
        key,
    })
}

fn compare(said: &[Said<'_>], events: &[Event]) -> Result<Vec<Cell>> {
    let own = |event: &&Event| {
        event.kind == Kind::Exec && event.path.as_deref() == Some("/tmp/run-matrix")
    };
    let program = events.iter().find(own).context("no exec of the program")?;
    let first = said.first().context("the program said nothing")?;
    ensure!(
        first.action == "ring" && first.result == 0,
        "the guest gives no io_uring"
    );
    let parents: HashMap<ProcessKey, ProcessKey> = events
        .iter()
        .map(|event| (event.process, event.parent))
        .collect();
    let descends = |mut process: ProcessKey| {
        while let Some(parent) = parents.get(&process) {
            if *parent == program.process {
                return true;
            }
            process = *parent;
        }
        false
    };
    // What a process's last thread was called at its end.
    let names: HashMap<ProcessKey, &str> = events
        .iter()
        .filter(|event| event.kind == Kind::Exit)
        .map(|event| (event.process, event.comm.as_str()))
        .collect();
    let cell = |cell: &Said<'_>| {
        let found: Vec<&Event> = events
            .iter()
            .filter(|event| event.process == program.process || descends(event.process))
            .filter(|event| is_of(cell, event, &names))
            .collect();
        let seen = match found[..] {
            [event] if (event.process == program.process) != (cell.pid == first.pid) => {
                Seen::Wrong("another process".to_owned())
            }
            [event] => judge(cell, event),
            [] => Seen::Wrong("nothing".to_owned()),
            _ => Seen::Wrong(format!("{} events", found.len())),
        };
        Cell {
            action: cell.action.to_owned(),
            road: cell.road.to_owned(),
            result: cell.result,
            seen,
        }
    };
    Ok(said[1..].iter().map(cell).collect())
}

/// Whether an event is about the cell's object, or, where that has no name, by its thread. A process
/// that something is done to has its number for a name.
fn is_of(cell: &Said<'_>, event: &Event, names: &HashMap<ProcessKey, &str>) -> bool {
    let kind = cell.action.split('-').next().unwrap_or_default();
    if kind_name(event.kind) != kind {
        return false;
    }
    // What io_uring does not do at once is done by threads with a name of the kernel's.
    let by_thread = event.comm == cell.road[..cell.road.len().min(COMM)]
        || cell.road.starts_with("io_uring") && event.comm.starts_with("iou-wrk");
    let text = |field: &Option<String>| field.as_deref().is_some_and(|text| text == cell.key);
    match event.kind {
        Kind::Exec if (event.result < 0) != (cell.result < 0) => false,
        Kind::Exec if event.result < 0 => text(&event.asked) && by_thread,
        Kind::Exec => {
            let argument = event.argv.as_ref().and_then(|argv| argv.get(1));
            let memfd = event
                .path
                .as_ref()
                .is_some_and(|path| path.contains("memfd:"));
            // A script's arguments follow those of its interpreter.
            (argument.is_some_and(|argument| argument == cell.road)
                || cell.road == "script" && text(&event.asked))
                && memfd == cell.action.ends_with("memfd")
        }
        Kind::Connect | Kind::Bind | Kind::Listen | Kind::Send if cell.key != "-" => {
            let address = event.addr.as_ref().zip(event.port);
            let address = address.map(|(addr, port)| format!("{addr}:{port}"));
            let here = text(&event.path) || address.as_deref() == Some(cell.key);
            here && by_thread
        }
        Kind::Socket => {
            let numbers = event.family.zip(event.socktype);
            let numbers = numbers.map(|(family, socktype)| format!("{family}:{socktype}"));
            by_thread && numbers.as_deref() == Some(cell.key)
        }
        Kind::Dup => by_thread && event.fds.is_some_and(|(_, new)| new == 0),
        Kind::Signal | Kind::Ptrace => {
            let name = event.other.and_then(|other| names.get(&other).copied());
            by_thread && name == Some(cell.key)
        }
        Kind::Fork | Kind::Exit | Kind::Creds => by_thread,
        Kind::MemfdCreate => {
            let flags = event.flags.map(|flags| flags.to_string());
            by_thread
                && event.path.as_deref() == Some("memfd:matrix")
                && flags.as_deref() == Some(cell.key)
        }
        Kind::Tamper => text(&event.asked) && by_thread,
        _ if cell.key == "-" => by_thread,
        _ => (text(&event.path) || text(&event.asked)) && by_thread,
    }
}

/// Whether the event says how the call ended.
fn judge(cell: &Said<'_>, event: &Event) -> Seen {
    // Recorded where it is asked for, before the outcome is known.
    let attempt = matches!(
        event.kind,
        Kind::Socket | Kind::MmapExec | Kind::Tamper | Kind::Creds
    );
    let right = match event.kind {
        Kind::Exit if cell.result < 0 => event.signal.map(i64::from) == Some(-cell.result),
        Kind::Exit => event.exit_code.map(i64::from) == Some(cell.result),
        _ if attempt => true,
        _ if cell.result < 0 => event.result == cell.result,
        _ => event.result >= 0,
    };
    if !right {
        return Seen::Wrong(format!("result {}", event.result));
    }
    if matches!(event.kind, Kind::Write | Kind::Send) && cell.result > 0 {
        return match (event.bytes, &event.data) {
            (Some(bytes), _) if bytes != cell.result as u64 => {
                Seen::Wrong(format!("{bytes} bytes"))
            }
            (None, _) => Seen::Without("how many bytes"),
            (_, None) => Seen::Without("the first bytes"),
            (_, Some(data))
                if event.kind == Kind::Write && !data.starts_with(WRITTEN)
                    || cell.road == "sendfile" && !WRITTEN.starts_with(data) =>
            {
                Seen::Wrong(format!("{} as first bytes", data.escape_ascii()))
            }
            _ => Seen::Right,
        };
    }
    if event.kind == Kind::Write && event.data.is_none() {
        return Seen::Without("the bytes");
    }
    if event.kind == Kind::MmapExec && event.inode.is_some() && event.path.is_none() {
        return Seen::Without("the path");
    }
    if attempt {
        return Seen::Without("the outcome");
    }
    Seen::Right
}

/// Cells that are not on record and that nobody has explained, and explained ones that are.
#[must_use]
pub fn unexpected(cells: &[Cell]) -> Vec<String> {
    let wrong = |cell: &&Cell| matches!(cell.seen, Seen::Wrong(_)) != reason(cell).is_some();
    let line = |cell: &Cell| format!("{} by {}: {:?}", cell.action, cell.road, cell.seen);
    cells.iter().filter(wrong).map(line).collect()
}

fn reason(cell: &Cell) -> Option<&'static str> {
    let gap = |gap: &&(&str, &str, &'static str)| gap.0 == cell.action && gap.1 == cell.road;
    GAPS.iter().find(gap).map(|gap| gap.2)
}

/// The matrix as a table in Markdown: a line for each action, its roads by what is on record.
#[must_use]
pub fn table(cells: &[Cell]) -> String {
    let mut text =
        String::from("| action | on record | without | not on record |\n|---|---|---|---|\n");
    let mut actions: Vec<&str> = cells.iter().map(|cell| cell.action.as_str()).collect();
    actions.dedup();
    let mut done: Vec<&str> = vec![];
    for action in actions {
        if done.contains(&action) {
            continue;
        }
        done.push(action);
        let of = || cells.iter().filter(|cell| cell.action == action);
        let right: Vec<&str> = of()
            .filter(|cell| cell.seen == Seen::Right)
            .map(|cell| cell.road.as_str())
            .collect();
        let without: Vec<String> = of()
            .filter_map(|cell| match cell.seen {
                Seen::Without(what) => Some(format!("{} ({what})", cell.road)),
                _ => None,
            })
            .collect();
        let missing: Vec<String> = of()
            .filter_map(|cell| match &cell.seen {
                Seen::Wrong(what) => {
                    Some(format!("{} ({})", cell.road, reason(cell).unwrap_or(what)))
                }
                _ => None,
            })
            .collect();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {action} | {} | {} | {} |",
            right.join(", "),
            without.join(", "),
            missing.join(", ")
        );
    }
    text
}
