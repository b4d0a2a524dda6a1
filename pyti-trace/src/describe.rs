//! An event on one line.

use std::fmt::Write as _;

use crate::dns;
use crate::event::{Event, Frame, Kind};
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
            let arrow = if event.is_exchange() { '⇄' } else { '→' };
            write!(out, " {} {arrow} {target}", path.unwrap_or("?"))
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
    match event.outcome() {
        Some(result) if result < 0 => details.push(result_name(result)),
        Some(_) => {}
        None => details.push("result ?".to_owned()),
    }
    if !details.is_empty() {
        let _ = write!(out, " ({})", details.join(", "));
    }
    out
}

/// A frame on one line: `…/evil-1.0/setup.py:14 in steal()`. The text is not escaped.
#[must_use]
pub fn place(frame: &Frame) -> String {
    let file = frame.file.as_str();
    let mut parts = file.rsplitn(3, '/');
    let short = match (parts.next(), parts.next(), parts.next()) {
        (Some(name), Some(directory), Some(rest)) if !rest.is_empty() => {
            format!("…/{directory}/{name}")
        }
        _ => file.to_owned(),
    };
    let mut out = short;
    // Writing to a String cannot fail.
    let _ = match frame.line {
        Some(line) => write!(out, ":{line}"),
        None => Ok(()),
    };
    match frame.function.as_str() {
        "" | "<module>" => {}
        function if function.ends_with('>') => {
            let _ = write!(out, " in {function}");
        }
        function => {
            let _ = write!(out, " in {function}()");
        }
    }
    out
}

/// Nanoseconds as seconds with three digits.
#[must_use]
pub fn time(ns: u64) -> String {
    format!("{}.{:03} s", ns / 1_000_000_000, ns / 1_000_000 % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Incomplete, ProcessKey};

    #[test]
    fn a_refusal_is_named_and_what_is_not_known_is_asked() {
        let mut event = Event::new(Kind::Tamper, ProcessKey::default(), 0);
        event.asked = Some("bpf".into());
        assert_eq!(describe(&event), "tamper bpf");
        event.result = -1;
        assert_eq!(describe(&event), "tamper bpf (EPERM)");
        event.result = 0;
        event.incomplete = Incomplete::RESULT_UNKNOWN;
        assert_eq!(describe(&event), "tamper bpf (result ?)");
    }

    #[test]
    fn two_names_that_change_places_are_told_from_one_that_is_given() {
        let mut event = Event::new(Kind::Rename, ProcessKey::default(), 0);
        (event.path, event.target) = (Some("/a".into()), Some("/b".into()));
        // RENAME_NOREPLACE and RENAME_EXCHANGE of include/uapi/linux/fs.h.
        for (flags, text) in [
            (None, "rename /a → /b"),
            (Some(1), "rename /a → /b"),
            (Some(2), "rename /a ⇄ /b"),
        ] {
            event.flags = flags;
            assert_eq!(describe(&event), text);
        }
    }

    #[test]
    fn a_place_is_short() {
        for (file, line, function, text) in [
            (
                "/home/dev/evil_0a1b/setup.py",
                14,
                "steal",
                "…/evil_0a1b/setup.py:14 in steal()",
            ),
            ("setup.py", 3, "<module>", "setup.py:3"),
            (
                "/x.py",
                3,
                "f.<locals>.<lambda>",
                "/x.py:3 in f.<locals>.<lambda>",
            ),
        ] {
            let frame = Frame {
                file: file.into(),
                line: Some(line),
                function: function.into(),
            };
            assert_eq!(place(&frame), text);
        }
    }
}
