//! The forks of a trace, which is looked through for them before it is read.

use std::collections::{HashMap, VecDeque};

use super::arg::Arg;
use super::call::{self, Call};
use super::line::{self, What};
use super::lines::Lines;
use super::namespaces::USER;
use super::processes::Sharing;

/// A fork that is known before its child's first line: the trace was looked through for them.
#[derive(Debug)]
pub(super) struct Birth {
    /// The line in which it returned.
    pub line: usize,
    /// The thread that forked.
    pub parent: Option<u32>,
    pub sharing: Sharing,
}

const FORKS: &[&str] = &["fork", "vfork", "clone", "clone3"];

/// What the child is asked to share, and to have of its own.
pub(super) fn fork_flags<'a>(call: &Call<'a>) -> &'a str {
    let flags = match call.name {
        "clone3" => call.arg(0).and_then(|args| args.field("flags")),
        _ => call.named("flags"),
    };
    flags.and_then(Arg::word).unwrap_or_default()
}

/// What the child shares.
pub(super) fn sharing(call: &Call<'_>) -> Sharing {
    let flags = fork_flags(call);
    let has = |name: &str| flags.split('|').any(|flag| flag == name);
    Sharing {
        thread: has("CLONE_THREAD"),
        directory: has("CLONE_FS"),
        descriptors: has("CLONE_FILES"),
        own_ids: has(USER),
    }
}

/// Every fork of the trace by its child: a child's lines may stand before the one in which the fork
/// returns, and only that one names it.
pub(super) fn births(text: &[u8]) -> HashMap<u32, VecDeque<Birth>> {
    let mut births: HashMap<u32, VecDeque<Birth>> = HashMap::new();
    let mut pending: HashMap<Option<u32>, Vec<u8>> = HashMap::new();
    let is_fork = |name: Option<&str>| name.is_some_and(|name| FORKS.contains(&name));
    let mut lines = Lines::new(text);
    while let Some((number, line, _)) = lines.next_line() {
        let Ok(Some(line)) = line::parse(&line) else {
            continue;
        };
        let whole = match line.what {
            What::Call(text) if is_fork(call::name(text)) => text.to_vec(),
            What::Begun(text, _) if is_fork(call::name(text)) => {
                pending.insert(line.tid, text.to_vec());
                continue;
            }
            What::Rest(name, rest) if is_fork(Some(name)) => {
                // A name that strace did not give at the beginning it may give at the end.
                let begun = pending.remove(&line.tid).or_else(|| pending.remove(&None));
                let Some(mut text) = begun else {
                    continue;
                };
                text.extend_from_slice(rest);
                text
            }
            _ => continue,
        };
        if let Ok(call) = call::parse(&whole)
            && let Some(child) = call.result.and_then(|child| u32::try_from(child).ok())
            && child > 0
        {
            births.entry(child).or_default().push_back(Birth {
                line: number,
                parent: line.tid,
                sharing: sharing(&call),
            });
        }
    }
    births
}
