//! Processes as others see them: what there is of them, signals, and their ends.

use std::path::Path;
use std::process::{Child, Command, Output};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Waits until `condition` holds, two minutes at the longest.
///
/// # Panics
/// It does not come to hold.
pub fn wait_for(what: &str, condition: impl FnMut() -> bool) {
    wait_at_most(Duration::from_secs(120), what, condition);
}

/// Waits until `condition` holds.
///
/// # Panics
/// It does not within this time.
pub fn wait_at_most(longest: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + longest;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// The processes below this one, itself not included.
#[must_use]
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut found = vec![];
    for child in children(pid) {
        found.push(child);
        found.extend(descendants(child));
    }
    found
}

/// The processes that this one has started and that have not ended.
#[must_use]
pub fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    let tasks = tasks.into_iter().flatten().flatten();
    let mut found = vec![];
    for task in tasks {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        let children = children.split_whitespace();
        found.extend(children.filter_map(|text| text.parse::<u32>().ok()));
    }
    found
}

/// The names of the programs of those processes in whose environment this text is.
#[must_use]
pub fn programs_with(text: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let has = |pid: &u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mut parts = environment.windows(text.len());
        parts.any(|part| part == text.as_bytes())
    };
    pids.filter(has).filter_map(program_of).collect()
}

/// The name of a process's program.
#[must_use]
pub fn program_of(pid: u32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

/// Whether it has ended. One that nobody has waited for yet has no program any more.
#[must_use]
pub fn is_gone(pid: u32) -> bool {
    !Path::new(&format!("/proc/{pid}/exe")).exists()
}

/// Sends a signal, such as `KILL`, to one process.
///
/// # Panics
/// There is no such process, or it may not be.
pub fn signal(pid: u32, name: &str) {
    kill(name, &pid.to_string());
}

/// Sends a signal to all processes of a group, as a terminal does on Ctrl-C.
///
/// # Panics
/// There is no such group, or it may not be.
pub fn signal_group(group: u32, name: &str) {
    kill(name, &format!("-{group}"));
}

fn kill(name: &str, whom: &str) {
    // The shell's own: a small machine has no program of this name.
    let status = Command::new("sh")
        .args(["-c", &format!("kill -s {name} -- {whom}")])
        .status();
    assert!(status.expect("failed to start sh").success());
}

/// Waits for a process that is about to end, and gives what it printed.
///
/// # Panics
/// It does not end within this time; it is killed then.
#[must_use]
pub fn ended(child: Child, within: Duration) -> Output {
    let pid = child.id();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(child.wait_with_output()));
    match told.recv_timeout(within) {
        Ok(output) => output.expect("failed to wait"),
        Err(_) => {
            signal(pid, "KILL");
            panic!("it did not end within {within:?}");
        }
    }
}
