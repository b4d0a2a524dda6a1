//! An event on one line.

use std::fmt::Write;

use crate::dns;
use crate::event::{Event, Kind};
use crate::names::{kind_name, result_name};

/// Characters kept of a command line.
const MAX_LINE: usize = 240;

/// What the event did, to what, and how it ended. The text is not escaped.
#[must_use]
pub fn describe(event: &Event) -> String {
    let mut out = kind_name(event.kind).to_owned();
    let path = event.path.as_deref().or(event.asked.as_deref());
    // Writing to a String cannot fail.
    let _ = match event.kind {
        Kind::Exec => {
            let argv = event.argv.as_deref().unwrap_or_default();
            let line: String = argv.join(" ").chars().take(MAX_LINE).collect();
            match (path, argv.first()) {
                (Some(path), Some(first)) if path == first => write!(out, " {line}"),
                (Some(path), Some(_)) => write!(out, " {path} as: {line}"),
                (Some(path), None) => write!(out, " {path}"),
                (None, _) => write!(out, " {line}"),
            }
        }
        Kind::Rename | Kind::Link | Kind::Symlink => {
            let target = event.target.as_deref().unwrap_or("?");
            write!(out, " {} → {target}", path.unwrap_or("?"))
        }
        Kind::Connect | Kind::Bind | Kind::Listen | Kind::Accept | Kind::Send => {
            match (&event.addr, event.port, path) {
                (Some(addr), Some(port), _) if addr.contains(':') => {
                    write!(out, " [{addr}]:{port}")
                }
                (Some(addr), Some(port), _) => write!(out, " {addr}:{port}"),
                (_, _, Some(path)) => write!(out, " {path}"),
                _ => write!(out, " family {}", event.family.unwrap_or(0)),
            }
        }
        Kind::Socket => write!(
            out,
            " family {} type {}",
            event.family.unwrap_or(0),
            event.socktype.unwrap_or(0)
        ),
        Kind::Fork | Kind::Ptrace | Kind::Signal => match event.other {
            Some(other) => write!(out, " {}", other.tgid),
            None => Ok(()),
        },
        Kind::Dup => match event.fds {
            Some((old, new)) => write!(out, " {old} → {new}"),
            None => Ok(()),
        },
        Kind::Exit => match (event.signal.filter(|signal| *signal != 0), event.exit_code) {
            (Some(signal), _) => write!(out, " by signal {signal}"),
            (None, Some(code)) => write!(out, " {code}"),
            (None, None) => Ok(()),
        },
        _ => match path {
            Some(path) => write!(out, " {path}"),
            None => Ok(()),
        },
    };
    if let Some(query) = dns::query(event) {
        let more = if query.whole { "" } else { "…" };
        let _ = write!(out, " asks for {}{more}", query.name);
    }
    let _ = match (event.kind, event.signal, event.mode) {
        (Kind::Signal, Some(signal), _) => write!(out, " signal {signal}"),
        (Kind::Chmod, _, Some(mode)) => write!(out, " {mode:o}"),
        _ => Ok(()),
    };
    let mut details = Vec::new();
    if event.created == Some(true) {
        details.push("created".to_owned());
    }
    if let Some(bytes) = event.bytes {
        details.push(format!("{bytes} bytes"));
    }
    if event.kind == Kind::Exec && event.nlink == Some(0) {
        details.push("program without a name".to_owned());
    }
    if event.result < 0 {
        details.push(result_name(event.result));
    }
    if !details.is_empty() {
        let _ = write!(out, " ({})", details.join(", "));
    }
    out
}

/// Nanoseconds as seconds with three digits.
#[must_use]
pub fn time(ns: u64) -> String {
    format!("{}.{:03} s", ns / 1_000_000_000, ns / 1_000_000 % 1000)
}
