//! What is left when `pyti` or the VM ends badly: no process, and every event that had left the VM.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pyti::interrupt::Interrupt;
use pyti::order::order;
use pyti::watch::watch;
use pyti_analyzer::{StageFacts, StageStatus, Verdict, store};
use pyti_tests::process::{descendants, signal, wait_for};
use pyti_tests::{guest, package, package_for_install, pyti, run, text};
use pyti_trace::event::Event;
use pyti_vm::{Control, StartOptions};
use tempfile::TempDir;

/// Starts an audit of this package, which would last for ever, and waits until its events arrive.
fn start(package: &Path) -> (Child, TempDir) {
    let directory = tempfile::tempdir().expect("failed to make a directory");
    let child = pyti()
        .args(["audit", "--fresh", "--format", "json", "--out"])
        .arg(directory.path().join("run"))
        .arg(package)
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

#[test]
fn vm_sigkill_takes_the_machine_along_and_keeps_events() {
    let (mut child, directory) = start(&package("hostile/sleeps"));
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
    let path = directory.path().join("run").to_string_lossy().into_owned();
    let show = |options: &[&str]| run(&[&["show", path.as_str()][..], options].concat());
    // The journal is read where it lies: nothing has to be repaired first.
    let report = text(&show(&["--format", "json"]).stdout);
    for told in [
        "\"verdict\": \"inconclusive\"",
        "the program that ran it ended before it did",
        "the events come from the journal",
    ] {
        assert!(report.contains(told), "no `{told}`: {report}");
    }
    let notice = text(&show(&["--events"]).stderr);
    assert!(notice.contains("not watched to its end"), "{notice}");
    assert!(notice.contains("the journal"), "{notice}");
}

/// Whatever brings it down: nothing comes from the machine any more in the middle of the installation.
#[test]
fn vm_machine_that_dies_in_the_installation_is_told_and_keeps_events() {
    let package = package_for_install("hostile/sleeps");
    let (child, directory) = start(package.path());
    let machines = descendants(child.id());
    assert!(!machines.is_empty(), "no machine is running");
    for machine in machines {
        signal(machine, "KILL");
    }
    let output = child.wait_with_output().expect("failed to wait");
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{told}");
    let report: serde_json::Value = serde_json::from_str(&told).expect("no report");
    assert_eq!(report["verdict"], "inconclusive", "{told}");
    let stage = &report["stages"][0];
    assert_eq!(stage["name"], "install", "{told}");
    assert_eq!(stage["status"]["state"], "vm_died", "{told}");
    let reasons = report["reasons"].to_string();
    for reason in [
        "stage install: the VM died",
        "the hypervisor ended with signal: 9",
    ] {
        assert!(reasons.contains(reason), "no `{reason}`: {told}");
    }
    assert!(kept_events(&directory) > 0);
}

/// A package that nothing remembers yet.
fn new_package() -> TempDir {
    let directory = tempfile::tempdir().expect("failed to make a directory");
    for name in ["pyproject.toml", "pure_pyproject.py"] {
        let mut text = std::fs::read(package("good/pure-pyproject").join(name)).expect("no file");
        // Its own path, which is new each time.
        text.extend_from_slice(format!("\n# {}\n", directory.path().display()).as_bytes());
        std::fs::write(directory.path().join(name), text).expect("failed to write");
    }
    directory
}

#[test]
fn vm_killed_run_is_taken_up_after_what_it_had_done() {
    let (package, runs) = (
        new_package(),
        tempfile::tempdir().expect("failed to make a directory"),
    );
    let audit = |run: &str, tests: &str| {
        let mut command = pyti();
        command
            .args(["audit", "--format", "json", "--stage", "test"])
            .args(["--test-command", tests, "--out"])
            .arg(runs.path().join(run))
            .arg(package.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    };
    let mut child = audit("killed", "sleep 300").spawn();
    let child = child.as_mut().expect("failed to start pyti");
    let tested = runs.path().join("killed/test/stdout");
    let deadline = Instant::now() + Duration::from_secs(400);
    while !tested.exists() {
        let ended = child.try_wait().expect("failed to wait");
        assert!(ended.is_none() && Instant::now() < deadline, "{ended:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    signal(child.id(), "KILL");
    child.wait().expect("failed to wait");

    let output = audit("resumed", "true").output();
    let output = output.expect("failed to start pyti");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
    let killed = std::fs::read(runs.path().join("killed/run.json")).expect("no record");
    let killed: serde_json::Value = serde_json::from_slice(&killed).expect("no JSON");
    let id = killed["id"].as_str().expect("no id");
    let notes = report["notes"].to_string();
    assert!(
        notes.contains(&format!("stage install was run before ({id})")),
        "{notes}"
    );
    assert!(!notes.contains("stage test was run before"), "{notes}");
    let stages = report["stages"].as_array().expect("no stages");
    let tested = stages.iter().find(|stage| stage["name"] == "test");
    assert_eq!(
        tested.expect("no test")["status"]["state"],
        "completed",
        "{report:#}"
    );
}

#[test]
fn vm_full_disk_keeps_what_was_stored_and_says_what_is_missing() {
    // A disk of its own, in a mount namespace that ends with the program; who is not root makes it in a
    // user namespace.
    let user = std::fs::metadata("/proc/self").expect("no /proc").uid();
    let namespaces: &[&str] = match user {
        0 => &["--mount"],
        _ => &["--map-current-user", "--keep-caps", "--mount"],
    };
    let directory = tempfile::tempdir().expect("failed to make a directory");
    let disk = directory.path().to_string_lossy().into_owned();
    let script = r#"mount -t tmpfs -o size=4m tmpfs "$1" && "$PYTI_BIN" audit --fresh --format json --out "$1/run" "$2"
        status=$?; "$PYTI_BIN" show --events "$1/run" 2>/dev/null | wc -l >&2; exit $status"#;
    let output = Command::new("unshare")
        .args(namespaces)
        .args(["sh", "-c", script, "sh", &disk])
        .arg(package("hostile/floods-events"))
        .output()
        .expect("failed to start unshare");
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(3), "{stdout}\n{stderr}");
    assert!(stdout.contains("No space left"), "{stdout}\n{stderr}");
    let kept: usize = stderr.trim().parse().expect(&stderr);
    assert!(kept > 100, "{stderr}");
}

/// Runs a stage that prints a line and sleeps, interferes with its machine once its first events have
/// left, and watches it to the end. The directory holds what is kept.
async fn interfered<F>(interfere: impl FnOnce(Control) -> F) -> (StageFacts, Vec<Event>)
where
    F: Future<Output = ()>,
{
    let template = guest::template().await.expect("no template");
    let script = "cat /etc/passwd; touch /tmp/before; sleep 30";
    let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    let mut spec = order("interfered", argv, &guest::LIMITS).expect("no order");
    spec.slots.clear();
    let directory = tempfile::tempdir().expect("failed to make a directory");
    let vm = template.start(StartOptions::default()).await;
    let mut vm = vm.expect("no clone");
    let control = vm.take_control().expect("no control channel");
    let interrupt = Interrupt::never();
    let limit = guest::LIMITS.events;
    let watching = watch(vm, &spec, directory.path(), limit, &interrupt);
    let interfering = async {
        let printed = || directory.path().join("stdout").metadata();
        while printed().map_or(0, |file| file.len()) == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Records leave at the latest a heartbeat after they were made.
        tokio::time::sleep(Duration::from_secs(2)).await;
        interfere(control).await;
    };
    let (watched, ()) = tokio::join!(watching, interfering);
    let loaded = store::read(directory.path(), store::MAX_EVENTS).expect("no events");
    (watched.expect("nothing was watched").facts, loaded.events)
}

/// What was kept is judged: nothing stands out, and it is not called unremarkable.
fn is_inconclusive(facts: &StageFacts, events: &[Event], reason: &str) {
    assert!(
        matches!(facts.status, StageStatus::VmDied { .. }),
        "{facts:?}"
    );
    let before = |event: &Event| event.path.as_deref() == Some("/tmp/before");
    assert!(events.iter().any(before), "{facts:?}");
    let report = guest::judge(facts, events).expect("no rules");
    assert_eq!(report.verdict, Verdict::Inconclusive, "{report:?}");
    assert!(
        report.missing.iter().any(|text| text.contains(reason)),
        "{report:?}"
    );
}

/// No ordinary user can bring this kernel down that we know of, so the host does: by an interrupt that
/// nothing expects.
#[tokio::test(flavor = "multi_thread")]
async fn vm_kernel_panic_is_told_and_keeps_events() {
    let (facts, events) = interfered(|mut control: Control| async move {
        let broken = control.interrupt_guest().await;
        broken.expect("the guest could not be interrupted");
    })
    .await;
    is_inconclusive(&facts, &events, "Kernel panic");
}

/// The machine lives and its agent says nothing any more: the whole guest stands still.
#[tokio::test(flavor = "multi_thread")]
async fn vm_silent_agent_is_inconclusive() {
    let (facts, events) = interfered(|mut control: Control| async move {
        let stopped = control.pause_guest().await;
        stopped.expect("the guest could not be stopped");
    })
    .await;
    is_inconclusive(&facts, &events, "the agent was silent");
}
