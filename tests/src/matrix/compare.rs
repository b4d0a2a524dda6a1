//! An event beside what the program said of it.

use std::fmt::Display;

use pyti_trace::event::{Event, Kind, ProcessKey};

use super::Difference;
use super::said::{EVENTS, Marks, Said};

/// Bytes of a thread's name (`TASK_COMM_LEN` without its end, include/linux/sched.h).
const COMM: usize = 15;
/// The kernel adds it to the flags of opens by programs of 64 bits (include/uapi/asm-generic/fcntl.h).
const O_LARGEFILE: u64 = 0o100_000;

/// What in each of the events is not as it was said; fields of those behind the first have its number.
pub(super) fn all_differences(
    said: &Said<'_>,
    events: &[&Event],
    marks: &Marks<'_>,
) -> Vec<Difference> {
    let mut all = vec![];
    for (at, event) in events.iter().enumerate() {
        all.extend(differences(said, event, marks).into_iter().map(|one| {
            let field = match at {
                0 => one.field,
                _ => format!("{}-{}", one.field, at + 1),
            };
            Difference { field, ..one }
        }));
    }
    all
}

/// What in the event is not as it was said: the outcome, the process, the thread, each field.
fn differences(said: &Said<'_>, event: &Event, marks: &Marks<'_>) -> Vec<Difference> {
    let mut all = vec![];
    let mut expect = |field: &str, expected: &str, recorded: Option<String>| {
        if recorded.as_deref() != Some(expected) {
            all.push(Difference {
                field: field.to_owned(),
                expected: expected.to_owned(),
                recorded,
            });
        }
    };
    let (expected, recorded) = outcome(said, event);
    expect("result", &expected, recorded);
    expect("process", said.pid, process(Some(event.process), marks));
    if let Some((expected, recorded)) = thread(said, event) {
        expect("thread", &expected, Some(recorded));
    }
    for &(field, expected) in said.fields.iter().filter(|(field, _)| *field != EVENTS) {
        expect(field, expected, recorded_as(field, event, marks));
    }
    all
}

/// A success may have any number.
fn outcome(said: &Said<'_>, event: &Event) -> (String, Option<String>) {
    if event.kind == Kind::Exit {
        let ended = match event.signal {
            Some(signal) => Some(-i64::from(signal)),
            None => event.exit_code.map(i64::from),
        };
        return (said.result.to_string(), text(ended));
    }
    let of = |result: i64| match result {
        0.. => "done".to_owned(),
        errno => errno.to_string(),
    };
    (of(said.result), event.outcome().map(of))
}

/// The name of the doing thread, and whether it is the process's first. An execution renames it, and a
/// process ends with any. Where it is the kernel's, the program says which.
fn thread(said: &Said<'_>, event: &Event) -> Option<(String, String)> {
    let executed = event.kind == Kind::Exec && event.result >= 0 || said.road == "set-user-id";
    if executed || event.kind == Kind::Exit || said.field("thread").is_some() {
        return None;
    }
    // What io_uring does not do at once is done by threads with a name of the kernel's.
    if said.road.contains("io_uring") && event.comm.starts_with("iou-wrk") {
        return None;
    }
    let name: String = said.road.chars().take(COMM).collect();
    let expected = described(&name, said.road != "thread");
    let recorded = described(&event.comm, is_by_first(event));
    Some((expected, recorded))
}

/// A thread as it is compared.
fn described(name: &str, first: bool) -> String {
    let which = if first { "first" } else { "other" };
    format!("{name}, {which}")
}

fn is_by_first(event: &Event) -> bool {
    event.tid == event.process.tgid
}

/// A thread that the kernel made for itself in the process. Its name ends with a number: after a dash, and of
/// no PID namespace.
fn thread_of_kernel(event: &Event) -> String {
    let name = event
        .comm
        .trim_end_matches(|letter: char| letter.is_ascii_digit());
    described(name.trim_end_matches('-'), is_by_first(event))
}

fn process(key: Option<ProcessKey>, marks: &Marks<'_>) -> Option<String> {
    let unknown = |key: ProcessKey| format!("one that did not say its number ({key:?})");
    key.map(|key| marks.pid(key).map_or_else(|| unknown(key), str::to_owned))
}

/// A field as the programs write it.
fn recorded_as(field: &str, event: &Event, marks: &Marks<'_>) -> Option<String> {
    match field {
        "path" => event.path.clone(),
        "asked" => event.asked.clone(),
        "target" => event.target.clone(),
        "flags" if event.kind == Kind::Open => text(event.flags.map(|flags| flags & !O_LARGEFILE)),
        "flags" => text(event.flags),
        "mode" => text(event.mode),
        "created" => text(event.created.map(u8::from)),
        "bytes" => text(event.bytes),
        "data" => event.data.as_deref().map(hex),
        "cwd" => event.cwd.clone(),
        "env" => event.env.as_ref().map(|env| env.join(",")),
        "argv" => event.argv.as_ref().map(|argv| argv.join(",")),
        "nlink" => text(event.nlink),
        "inode" => text(event.inode),
        "dev" => text(event.dev),
        "thread" => Some(thread_of_kernel(event)),
        "tree" => text(Some(event.tree)),
        "parent" => process(Some(event.parent), marks),
        "other" => process(event.other, marks),
        "signal" => text(event.signal),
        "permitted" => text(event.creds.as_ref().map(|creds| creds.new.permitted)),
        "uids" => event.creds.as_ref().map(|creds| {
            let uid = creds.new.uid;
            format!("{},{},{}", uid.real, uid.effective, uid.saved)
        }),
        "fds" => event.fds.map(|(old, new)| format!("{old}:{new}")),
        "family" => text(event.family),
        "socktype" => text(event.socktype),
        "addr" => {
            let address = event.addr.as_ref().zip(event.port);
            address.map(|(addr, port)| format!("{addr}:{port}"))
        }
        _ => None,
    }
}

fn text(value: Option<impl Display>) -> Option<String> {
    value.map(|value| value.to_string())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
