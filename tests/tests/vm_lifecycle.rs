//! What is left when `pyti` ends badly: no process, and every event that had left the VM.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pyti_tests::{package, pyti, run, text};
use tempfile::TempDir;

/// Starts an audit that would last for ever and waits until its events arrive.
fn start() -> (Child, TempDir) {
    let directory = tempfile::tempdir().expect("failed to make a directory");
    let child = pyti()
        .args(["audit", "--fresh", "--format", "json", "--out"])
        .arg(directory.path().join("run"))
        .arg(package("hostile/sleeps"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("failed to start pyti");
    wait_for("the first events", || {
        let Ok(stages) = std::fs::read_dir(directory.path().join("run")) else {
            return false;
        };
        stages.flatten().any(|stage| {
            std::fs::read_dir(stage.path()).is_ok_and(|mut files| {
                files.any(|file| {
                    file.is_ok_and(|file| {
                        file.file_name().to_string_lossy().starts_with("events")
                            && file.metadata().is_ok_and(|data| data.len() > 10_000)
                    })
                })
            })
        })
    });
    (child, directory)
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The processes below this one, itself not included.
fn descendants(pid: u32) -> Vec<u32> {
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

fn kept_events(directory: &TempDir) -> usize {
    let path = directory.path().join("run");
    let output = run(&[
        "show",
        "--events",
        "--format",
        "json",
        &path.to_string_lossy(),
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().count()
}

fn signal(pid: u32, name: &str) {
    // The shell's own: a small machine has no program of this name.
    let status = Command::new("sh")
        .args(["-c", &format!("kill -{name} {pid}")])
        .status();
    assert!(status.expect("failed to start sh").success());
}

#[test]
fn vm_sigkill_takes_the_machine_along_and_keeps_events() {
    let (mut child, directory) = start();
    let machines = descendants(child.id());
    assert!(!machines.is_empty(), "no machine is running");
    signal(child.id(), "KILL");
    child.wait().expect("failed to wait");
    wait_for("the machines to die", || {
        machines
            .iter()
            .all(|pid| !Path::new(&format!("/proc/{pid}/exe")).exists())
    });
    assert!(kept_events(&directory) > 0);
    let path = directory.path().join("run");
    let shown = run(&["show", &path.to_string_lossy()]);
    assert!(
        text(&shown.stdout).contains("INCONCLUSIVE"),
        "{}",
        text(&shown.stdout)
    );
}

#[test]
fn vm_full_disk_keeps_what_was_stored_and_says_what_is_missing() {
    // A disk of its own, in a mount namespace that ends with the program: root's to make.
    if std::fs::metadata("/proc/self").expect("no /proc").uid() != 0 {
        eprintln!("not shown: filling a disk of its own needs root");
        return;
    }
    let directory = tempfile::tempdir().expect("failed to make a directory");
    let disk = directory.path().to_string_lossy().into_owned();
    let script = r#"mount -t tmpfs -o size=8m tmpfs "$1" && "$PYTI_BIN" audit --fresh --format json --out "$1/run" "$2"
        status=$?; "$PYTI_BIN" show --events "$1/run" | wc -l >&2; exit $status"#;
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh", &disk])
        .arg(package("hostile/floods-events"))
        .output()
        .expect("failed to start unshare");
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(3), "{stdout}\n{stderr}");
    assert!(stdout.contains("No space left"), "{stdout}\n{stderr}");
    let kept: usize = stderr.trim().parse().expect(&stderr);
    assert!(kept > 100, "{stderr}");
}

#[test]
fn vm_interrupt_ends_with_a_report() {
    let (child, directory) = start();
    let machines = descendants(child.id());
    signal(child.id(), "INT");
    let output = child.wait_with_output().expect("failed to wait");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout).contains("interrupted"),
        "{}",
        text(&output.stdout)
    );
    assert!(
        machines
            .iter()
            .all(|pid| !Path::new(&format!("/proc/{pid}/exe")).exists())
    );
    assert!(kept_events(&directory) > 0);
}
