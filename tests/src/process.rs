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
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// The processes below this one, itself not included.
#[must_use]
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut found = vec![];
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    for task in tasks {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children
            .split_whitespace()
            .filter_map(|text| text.parse().ok())
        {
            found.push(child);
            found.extend(descendants(child));
        }
    }
    found
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
