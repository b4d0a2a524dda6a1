//! Races, names, roads, mounts, processes.

use std::collections::{HashMap, HashSet};

use pyti_trace::event::{Event, Incomplete, Kind, ProcessKey};

use super::{Case, Said, escaped};

pub const GROUPS: &[fn(&mut Case<'_>)] = &[
    races,
    deep,
    odd_names,
    lengths,
    hollow,
    roads,
    mounts,
    orphans,
    threads,
    exec_race,
    unread_arguments,
    costumes,
    reuse,
    left_behind,
];

const DIR: &str = "/tmp/evasions";

/// A thread swaps the name in memory, or what the name means, while another one opens: the path is that
/// of the inode that was opened.
fn races(case: &mut Case<'_>) {
    let (_, one, _) = case.said("race-one");
    let (_, two, _) = case.said("race-two");
    for step in ["race-memory", "race-link", "race-exchange"] {
        let said: Vec<(i64, u64)> = case
            .said
            .iter()
            .filter(|said| said.step == step)
            .map(|said| (said.result, said.number))
            .collect();
        let events = case.by(step, Kind::Open);
        case.check(
            said.len() == events.len() && said.len() >= 100,
            format!("{step}: {} opens, {} on record", said.len(), events.len()),
        );
        let mut inodes = HashSet::new();
        for ((result, inode), event) in said.into_iter().zip(events) {
            let path = event.path.as_deref();
            let right = if result < 0 {
                event.result == result
            } else if step == "race-exchange" {
                // Either name was its own at some moment of the call.
                event.inode == Some(inode)
                    && path.is_some_and(|path| path.starts_with("/tmp/evasions/race/"))
            } else {
                let name = match inode {
                    inode if inode == one => Some("/tmp/evasions/race/one"),
                    inode if inode == two => Some("/tmp/evasions/race/two"),
                    _ => None,
                };
                let asked = step == "race-link" || event.asked.as_deref() == path;
                event.inode == Some(inode) && path == name && asked
            };
            case.check(
                right,
                format!("{step}: opened {inode} ({result}), but {event:?}"),
            );
            inodes.insert(inode);
        }
        inodes.remove(&0);
        case.check(inodes.len() == 2, format!("{step}: nobody raced"));
    }
}

/// Whether a path is the true one, or the record says that it does not know.
fn true_or_unknown(event: &Event, truth: &str) -> bool {
    match event.path.as_deref() {
        Some(path) if event.incomplete.contains(Incomplete::PATH_UNRESOLVED) => path.len() > 1,
        Some(path) => path == truth,
        None => event.incomplete.contains(Incomplete::PATH_UNREADABLE),
    }
}

/// Directories deeper than a path may be long, or than a walk goes.
fn deep(case: &mut Case<'_>) {
    for step in ["deep-fits", "deep-over", "deep-many"] {
        let (result, inode, name) = case.said(step);
        let truth = Said {
            step,
            result,
            number: inode,
            text: &name,
        }
        .name();
        case.check(result == 0, format!("{step} gave {result}"));
        for kind in [Kind::Open, Kind::Write, Kind::Truncate, Kind::Link] {
            let events = case.by(step, kind);
            let whole = step == "deep-fits" || step == "deep-many" && kind != Kind::Link;
            let exact = whole && matches!(kind, Kind::Open | Kind::Write);
            let right = |event: &Event| {
                let same = kind == Kind::Link || event.inode == Some(inode);
                same && true_or_unknown(event, &truth)
                    && (!exact || event.path.as_deref() == Some(&truth))
            };
            case.check(
                events.len() == 1 && right(events[0]),
                format!("{step}, {kind:?}: {events:?}"),
            );
        }
    }
}

/// New lines, escapes, bytes that are no UTF-8: byte for byte.
fn odd_names(case: &mut Case<'_>) {
    let names: Vec<(i64, u64, String)> = case
        .said
        .iter()
        .filter(|said| said.step == "name")
        .map(|said| (said.result, said.number, said.name()))
        .collect();
    case.check(names.len() == 6, format!("{names:?}"));
    for (result, inode, path) in names {
        case.check(result == 0, format!("{path:?} gave {result}"));
        let moved = format!("{path}.moved");
        // None of the valid names has these characters in a row but the one that has them itself.
        let marked = path.contains("bad");
        let one = |case: &Case<'_>, kind, right: &dyn Fn(&Event) -> bool| {
            let events = case.ran.events.iter().filter(|event| {
                event.kind == kind
                    && right(event)
                    && event.incomplete.contains(Incomplete::ESCAPED) == marked
            });
            events.count() == 1
        };
        let is = |field: &Option<String>, text: &str| field.as_deref() == Some(text);
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        let found = [
            one(case, Kind::Open, &|event| {
                event.created == Some(true) && is(&event.path, &path) && event.inode == Some(inode)
            }),
            one(case, Kind::Write, &|event| is(&event.path, &path)),
            one(case, Kind::Exec, &|event| {
                let argument = event.argv.as_ref().and_then(|argv| argv.get(2));
                is(&event.path, &path) && argument == Some(&name)
            }),
            one(case, Kind::Rename, &|event| {
                is(&event.path, &path) && is(&event.target, &moved)
            }),
            one(case, Kind::Unlink, &|event| is(&event.path, &moved)),
            // The thread had the name too.
            one(case, Kind::Mkdir, &|event| {
                is(&event.path, &path) && event.comm == name
            }),
        ];
        case.check(found == [true; 6], format!("{path:?}: {found:?}"));
    }
}

/// The one open of a step, with the truth.
fn look<'a>(case: &mut Case<'a>, step: &str) -> Option<(&'a Event, String)> {
    let said = case.said.iter().find(|said| said.step == step);
    let said = said.map(|said| (said.result, said.number, said.name()));
    let Some((result, inode, truth)) = said else {
        case.wrong.push(format!("{step} was not said"));
        return None;
    };
    let events = case.by(step, Kind::Open);
    let [event] = events[..] else {
        case.wrong.push(format!("{step}: {events:?}"));
        return None;
    };
    let right = event.result == result && (result < 0 || event.inode == Some(inode));
    case.check(right, format!("{step} gave {result}: {event:?}"));
    Some((event, truth))
}

/// Through /proc, descriptors and chains of links: the path is the true one.
fn roads(case: &mut Case<'_>) {
    for step in [
        "road-root",
        "road-root-again",
        "road-task-root",
        "road-fd",
        "road-dev-fd",
        "road-dirfd",
        "road-dirfd-up",
        "road-cwd",
        "road-chain",
    ] {
        if let Some((event, truth)) = look(case, step) {
            let whole = event.incomplete.is_empty();
            case.check(
                whole && event.path.as_deref() == Some(&truth),
                format!("{step}: {event:?}"),
            );
        }
    }
    if let Some((event, truth)) = look(case, "road-loop") {
        case.check(event.asked == Some(truth), format!("{event:?}"));
    }
}

/// Names of all lengths as they were asked for, byte for byte.
fn lengths(case: &mut Case<'_>) {
    let said: Vec<(i64, String)> = case
        .said
        .iter()
        .filter(|said| said.step == "length")
        .map(|said| (said.result, said.name()))
        .collect();
    let events = case.by("length", Kind::Open);
    case.check(
        said.len() == 285 && events.len() == said.len(),
        format!("{} names, {} on record", said.len(), events.len()),
    );
    for ((result, name), event) in said.into_iter().zip(events) {
        let right = event.result == result && event.asked.as_deref() == Some(&name);
        case.check(right, format!("{name} gave {result}: {event:?}"));
    }
}

/// Of a file whose head made way for a hole the first bytes are not on record, and not those that were written.
fn hollow(case: &mut Case<'_>) {
    let (result, ..) = case.said("hollow");
    case.check(result == 0, format!("hollow gave {result}"));
    let events = case.by("hollow", Kind::Write);
    let right = |event: &Event| {
        event.bytes == Some(8)
            && event.data.is_none()
            && event.incomplete.contains(Incomplete::DATA_INCOMPLETE)
    };
    case.check(
        events.len() == 1 && right(events[0]),
        format!("hollow: {events:?}"),
    );
}

/// In mounts and below a root of one's own a path is a mere name, and what made it so is on record.
fn mounts(case: &mut Case<'_>) {
    for (step, asked, path, target) in [
        ("mount-old", "sb_mount", "bound", Some("/tmp/evasions/real")),
        ("mount-new", "move_mount", "bound", Some("real")),
        ("mount-stacked", "sb_mount", "stacked", Some("overlay")),
        ("pivot", "sb_pivotroot", "real", None),
        ("chroot", "path_chroot", "real", None),
    ] {
        let (result, ..) = case.said(step);
        case.check(result == 0, format!("{step} gave {result}"));
        let events = case.by(step, Kind::Tamper);
        let right = |event: &&Event| {
            event.asked.as_deref() == Some(asked)
                && event.path.as_deref() == Some(&format!("{DIR}/{path}"))
                && event.target.as_deref() == target
                && event.outcome() == Some(result)
        };
        case.check(events.iter().any(right), format!("{step}: {events:?}"));
    }
    let namespaces = case.by("namespace", Kind::Creds).len();
    case.check(namespaces == 1, format!("{namespaces} user namespaces"));
    for step in [
        "road-bound",
        "road-moved",
        "road-detached",
        "road-home",
        "road-stacked",
        "road-pivot",
        "road-chroot",
    ] {
        if let Some((event, truth)) = look(case, step) {
            case.check(true_or_unknown(event, &truth), format!("{step}: {event:?}"));
        }
    }
}

/// The process that did this to the only file of this name.
fn doer(case: &mut Case<'_>, kind: Kind, path: &str) -> ProcessKey {
    let path = format!("{DIR}/{path}");
    let did = |event: &&Event| event.kind == kind && event.path.as_deref() == Some(&path);
    let doers: Vec<ProcessKey> = case
        .ran
        .events
        .iter()
        .filter(did)
        .map(|event| event.process)
        .collect();
    case.check(doers.len() == 1, format!("{kind:?} of {path}: {doers:?}"));
    doers.first().copied().unwrap_or_default()
}

/// Who forked whom.
fn parents(case: &Case<'_>) -> HashMap<ProcessKey, ProcessKey> {
    let forks = case
        .ran
        .events
        .iter()
        .filter(|event| event.kind == Kind::Fork);
    forks
        .filter_map(|event| Some((event.other?, event.process)))
        .collect()
}

/// Forked twice and in a session of its own, a process still has its line and its tree.
fn orphans(case: &mut Case<'_>) {
    let orphan = doer(case, Kind::Open, "orphaned");
    let program = doer(case, Kind::Mkdir, "names");
    let parents = parents(case);
    let line = parents.get(&orphan).and_then(|above| parents.get(above));
    case.check(line == Some(&program), format!("{line:?}, not {program:?}"));
    let trees: HashSet<u32> = case.ran.events.iter().map(|event| event.tree).collect();
    case.check(trees.len() == 1, format!("trees {trees:?}"));
}

/// A thread that goes on when the first one has ended; and every process ends once, however many of its
/// threads end at the same moment.
fn threads(case: &mut Case<'_>) {
    let hidden = doer(case, Kind::Open, "hidden");
    let mut exits: HashMap<ProcessKey, Vec<&Event>> = HashMap::new();
    for event in &case.ran.events {
        if event.kind == Kind::Exit {
            exits.entry(event.process).or_default().push(event);
        }
    }
    let ends = exits.get(&hidden).map_or(&[][..], Vec::as_slice);
    let code = ends.first().and_then(|event| event.exit_code);
    case.check(code == Some(9), format!("the hidden one: {ends:?}"));
    for (process, _) in parents(case) {
        let ends = exits.get(&process).map_or(0, Vec::len);
        case.check(ends == 1, format!("{process:?} ended {ends} times"));
    }
}

/// Of two threads that execute at once the one that did is on record, once; the other one failed.
fn exec_race(case: &mut Case<'_>) {
    let of = |number: u64| {
        let argument = format!("race-{number}");
        let by = move |event: &&Event| {
            let words = event.argv.as_deref().unwrap_or_default();
            event.kind == Kind::Exec && words.get(1) == Some(&argument)
        };
        case.ran.events.iter().filter(by).collect::<Vec<_>>()
    };
    let mut failed = 0;
    let mut wrong = vec![];
    let races: Vec<(i64, u64)> = case
        .said
        .iter()
        .filter(|said| said.step == "exec-race")
        .map(|said| (said.result, said.number))
        .collect();
    for (status, number) in &races {
        let ran = if *status == 0 {
            "/usr/bin/true"
        } else {
            "/usr/bin/false"
        };
        let (executed, refused): (Vec<&Event>, Vec<&Event>) =
            of(*number).into_iter().partition(|event| event.result >= 0);
        failed += refused.len();
        let right = |event: &Event| event.path.as_deref() == Some(ran) && event.cwd.is_some();
        if executed.len() != 1 || !right(executed[0]) {
            wrong.push(format!("race {number} ran {ran}, but {executed:?}"));
        }
    }
    case.check(races.len() == 150, format!("{} races", races.len()));
    case.check(failed > 0, "nobody raced to execute");
    case.wrong.append(&mut wrong);
}

/// Arguments that lie in files that nobody has read yet, of programs that the kernel cannot open: it gives up
/// before it reads them itself, and no program that may sleep comes by. The record says what is missing.
fn unread_arguments(case: &mut Case<'_>) {
    const ENOENT: i64 = -2;
    const EACCES: i64 = -13;
    let said: Vec<(i64, String)> = case
        .said
        .iter()
        .filter(|said| said.step == "unread-argv")
        .map(|said| (said.result, said.name()))
        .collect();
    let results: Vec<i64> = said.iter().map(|(result, _)| *result).collect();
    let events = case.by("unread-argv", Kind::Exec);
    case.check(
        results == [ENOENT, EACCES] && events.len() == said.len(),
        format!("{said:?}, but {events:?}"),
    );
    for ((result, program), event) in said.into_iter().zip(events) {
        let right = event.outcome() == Some(result)
            && event.asked.as_deref() == Some(&program)
            && event.argv.is_none()
            && event.incomplete.contains(Incomplete::ARGV_UNREADABLE);
        case.check(right, format!("{program} gave {result}: {event:?}"));
    }
}

/// Under whatever name, it is the same process.
fn costumes(case: &mut Case<'_>) {
    let process = doer(case, Kind::Mkdir, "costume");
    let names: Vec<&str> = case
        .ran
        .events
        .iter()
        .filter(|event| event.asked.as_deref() == Some("/tmp/evasions/costume"))
        .filter(|event| event.process == process)
        .map(|event| event.comm.as_str())
        .collect();
    let last = escaped(b"pip\nx\xff");
    case.check(
        names == ["kworker/0:1", "systemd", "", &last],
        format!("{names:?}"),
    );
    let tree = pyti_analyzer::Tree::new(&case.ran.events);
    let image = tree.image(process, u64::MAX);
    let program = image.and_then(|image| image.exe.as_deref());
    case.check(
        program == Some("/tmp/run-evasions"),
        format!("it runs {program:?}"),
    );
}

/// A number that comes round is another process.
fn reuse(case: &mut Case<'_>) {
    let (marks, cloned, _) = case.said("reuse");
    let opens = case.by("reuse", Kind::Open);
    case.check(
        i64::try_from(opens.len()) == Ok(marks) && marks > 500,
        format!("{marks} marks after {cloned} clones, {}", opens.len()),
    );
    let mut starts: HashMap<u32, HashSet<u64>> = HashMap::new();
    for event in &opens {
        let key = event.process;
        starts.entry(key.tgid).or_default().insert(key.start_ns);
    }
    let keys: usize = starts.values().map(HashSet::len).sum();
    let twice = starts.values().filter(|starts| starts.len() > 1).count();
    case.check(keys == opens.len(), "two processes have one key");
    case.check(twice > 20, format!("{twice} numbers came round"));
}

/// What goes on after the stage's first process is watched, counted, and ended.
fn left_behind(case: &mut Case<'_>) {
    let left = doer(case, Kind::Open, "left");
    let program = doer(case, Kind::Mkdir, "names");
    let time = |kind, process| {
        let of = |event: &&Event| event.kind == kind && event.process == process;
        case.ran.events.iter().find(of).map(|event| event.time_ns)
    };
    let (ended, acted) = (time(Kind::Exit, program), time(Kind::Open, left));
    case.check(
        ended.is_some() && ended < acted,
        format!("it acted at {acted:?}, the program ended at {ended:?}"),
    );
    let count = case.ran.facts.left_behind;
    case.check(count == 1, format!("{count} left behind"));
}
