//! Attacks on the agent, its probes, their buffers, its port and its resources: by an ordinary user, and by
//! root of a user namespace, who is nobody for what lies outside of it.

use pyti_tests::guest;
use pyti_trace::event::{Family, Kind};

use super::Case;

pub const GROUPS: &[fn(&mut Case<'_>)] = &[as_user, as_root_inside, buffers, accounts];

/// What steps begin with that are tried in a user namespace.
const INSIDE: &str = "u-";

const EPERM: i64 = -1;
const ENOSPC: i64 = -28;

fn as_user(case: &mut Case<'_>) {
    // Besides it there is the shell.
    signals(case, "", 1);
    traces(case, "");
    probes(case, "");
    port_and_limits(case, "");
    own(case);
}

/// The same with all capabilities of a namespace, a mount table and a network of its own.
fn as_root_inside(case: &mut Case<'_>) {
    let (entered, ..) = case.said("u-enter");
    let (user, ..) = case.said("u-user");
    let changes = case.by("u-enter", Kind::Creds);
    case.check(
        (entered, user) == (0, 0) && changes.len() == 1 && changes[0].outcome() == Some(0),
        format!("the namespace gave {entered}, user {user}: {changes:?}"),
    );
    // And the one that forked it.
    signals(case, INSIDE, 2);
    traces(case, INSIDE);
    probes(case, INSIDE);
    port_and_limits(case, INSIDE);
    mounts(case);
    case.said("u-end");
}

/// File systems that show what is the kernel's may not be mounted, or show nothing that may be changed.
fn mounts(case: &mut Case<'_>) {
    for step in ["u-mount-trace", "u-mount-cgroup"] {
        let (result, ..) = case.said(step);
        case.check(result == EPERM, format!("{step} gave {result}"));
        tampers(case, step, "sb_mount", None, EPERM);
        tampers(case, step, "capable", Some(21), EPERM);
    }
    // Whether these may be mounted is the kernel's affair.
    for step in ["u-mount-own", "u-mount-bpf"] {
        let (result, ..) = case.said(step);
        tampers(case, step, "sb_mount", None, result);
    }
    for step in ["u-own-limit", "u-own-procs"] {
        cannot_open(case, step);
    }
    let (mounted, ..) = case.said("u-mount-own");
    let (made, ..) = case.said("u-own-group");
    case.check(
        mounted < 0 || made < 0,
        format!("a control group was made in what was mounted ({mounted}): {made}"),
    );
}

/// The first process of the PID namespace is the agent's: nobody may end, stop or wake it.
fn signals(case: &mut Case<'_>, at: &str, most: u64) {
    let mut targets = vec![];
    for (step, number) in [
        ("kill", 9),
        ("stop", 19),
        ("tgkill", 9),
        ("tkill", 9),
        ("sigqueue", 9),
        ("pidfd-signal", 9),
    ] {
        let step = &format!("{at}{step}");
        let (result, ..) = case.said(step);
        case.check(result == EPERM, format!("{step} gave {result}"));
        let events = case.by(step, Kind::Signal);
        let right = |event: &_| matches!(event, pyti_trace::event::Event { signal: Some(it), result: EPERM, .. } if *it == number);
        case.check(
            events.len() == 1 && right(events[0]),
            format!("{step}: {events:?}"),
        );
        targets.extend(events.iter().filter_map(|event| event.other));
    }
    targets.dedup();
    case.check(targets.len() == 1, format!("signals to {targets:?}"));
    let (_, others, _) = case.said(&format!("{at}processes"));
    case.check(
        others <= most,
        format!("{others} processes, {most} of its own"),
    );
    let (_, descriptors, _) = case.said(&format!("{at}descriptors"));
    case.check(descriptors == 0, format!("{descriptors} open at its start"));
    let (nice, ..) = case.said(&format!("{at}nice"));
    case.check(nice < 0, "the program came before the agent");
}

/// Nobody may look into it or write to it.
fn traces(case: &mut Case<'_>, at: &str) {
    for step in [
        "pidfd-getfd",
        "ptrace-attach",
        "ptrace-seize",
        "vm-read",
        "vm-write",
    ] {
        let step = &format!("{at}{step}");
        let (result, ..) = case.said(step);
        case.check(result < 0, format!("{step} gave {result}"));
        let events = case.by(step, Kind::Ptrace);
        case.check(
            events.len() == 1 && events[0].result == EPERM && events[0].other.is_some(),
            format!("{step}: {events:?}"),
        );
    }
}

/// Nobody may read, find or unload the probes.
fn probes(case: &mut Case<'_>, at: &str) {
    for step in [
        "bpf-next-prog",
        "bpf-next-map",
        "bpf-prog",
        "bpf-map",
        "bpf-link",
        "bpf-detach",
        "bpf-read",
        "bpf-load",
        "bpf-create",
    ] {
        let step = &format!("{at}{step}");
        let (result, command, _) = case.said(step);
        case.check(result < 0, format!("{step} gave {result}"));
        tampers(case, step, "bpf", Some(command), result);
    }
    for (step, capability) in [
        ("perf", 21),
        ("load-module", 16),
        ("unload-module", 16),
        ("reboot", 22),
        ("kexec", 22),
        ("kernel-log", 34),
    ] {
        let step = &format!("{at}{step}");
        let (result, ..) = case.said(step);
        case.check(result < 0, format!("{step} gave {result}"));
        tampers(case, step, "capable", Some(capability), EPERM);
    }
    let step = &format!("{at}debugfs");
    let (result, ..) = case.said(step);
    case.check(result < 0, format!("{step} gave {result}"));
    tampers(case, step, "sb_mount", None, result);
    let (_, symbols, _) = case.said(&format!("{at}symbols"));
    case.check(symbols == 0, format!("{symbols} symbols of probes shown"));
}

fn tampers(case: &mut Case<'_>, step: &str, asked: &str, flags: Option<u64>, result: i64) {
    let events = case.by(step, Kind::Tamper);
    let right = events.iter().any(|event| {
        event.asked.as_deref() == Some(asked)
            && (flags.is_none() || event.flags == flags)
            && event.outcome() == Some(result)
    });
    case.check(right, format!("{step}: {events:?}"));
}

/// The port, the disks, the limits and the settings are out of reach.
fn port_and_limits(case: &mut Case<'_>, at: &str) {
    for step in [
        "port",
        "port-node",
        "memory-node",
        "disk-node",
        "cgroup",
        "limits",
        "sysctl",
        "tracefs",
        "proc-root",
        "proc-mem",
    ] {
        cannot_open(case, &format!("{at}{step}"));
    }
}

fn cannot_open(case: &mut Case<'_>, step: &str) {
    let (result, ..) = case.said(step);
    let events = case.by(step, Kind::Open);
    case.check(
        result < 0 && events.len() == 1 && events[0].result == result,
        format!("{step} gave {result}: {events:?}"),
    );
}

/// A full disk is the package's own, and so is a file.
fn own(case: &mut Case<'_>) {
    let (result, bytes, _) = case.said("fill");
    let events = case.by("fill", Kind::Write);
    case.check(
        result == ENOSPC && events.len() == 1 && events[0].bytes == Some(bytes),
        format!("{bytes} bytes filled ({result}): {events:?}"),
    );
    let (_, _, path) = case.said("made");
    let events = case.by("made", Kind::Open);
    case.check(
        events.len() == 1 && events[0].created == Some(true) && events[0].path == Some(path),
        format!("a file made by mknod: {events:?}"),
    );
}

/// What overflows is counted: writes to more files than are remembered, and to one that nobody closes.
fn buffers(case: &mut Case<'_>) {
    let (_, files, _) = case.said("keep-open");
    let (ring, ..) = case.said("ring");
    let stored = case.by("keep-open", Kind::Write).len() as u64;
    let counters = case.ran.facts.counters.clone().unwrap_or_default();
    let lost = counters.families[Family::File as usize].oversize;
    case.check(ring == 6, format!("the ring wrote {ring}"));
    case.check(stored > 900, format!("{stored} of {files} writes stored"));
    let (shared, _, path) = case.said("shared");
    let writes = case.by("shared", Kind::Write);
    case.check(
        shared == 6 && writes.len() == 1 && writes[0].path == Some(path),
        format!("{shared} bytes after a file that another one closed: {writes:?}"),
    );
    // Two calls for each file without an entry, the file of the ring, and the one that another process closed.
    case.check(
        lost == 2 * (files - stored) + 2,
        format!("{stored} of {files} writes stored, {lost} lost"),
    );
}

/// Seen is stored or counted where it was lost, in every family; and the report says so.
fn accounts(case: &mut Case<'_>) {
    match guest::accounts(&case.ran.facts, &case.ran.events) {
        Ok(seen) => case.check(seen > 5000, format!("only {seen} events")),
        Err(error) => case.wrong.push(error.to_string()),
    }
    let report = guest::judge(&case.ran.facts, &case.ran.events).expect("no rules");
    let said = |what: &str| report.missing.iter().any(|line| line.contains(what));
    case.check(
        said("file events were lost") && said("1 process still ran"),
        format!("the report misses nothing but {:?}", report.missing),
    );
}
