//! `pyti` interrupted or killed while a VM runs: no process is left, no temporary file, and what was
//! recorded is kept and says that it is not all.

use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use pyti_tests::place::Place;
use pyti_tests::process::{descendants, ended, is_gone, signal, signal_group, wait_for};
use pyti_tests::text;
use serde_json::{Value, json};

/// What a stage that is interrupted may take with its report: five seconds until its VM is ended, and
/// those of a machine that runs other tests meanwhile.
const SOON: Duration = Duration::from_secs(25);
/// What a VM that is asked in vain may take to report.
const STOP: Duration = Duration::from_secs(5);

/// A build back end that requires nothing, and of which one hook never ends.
const BACK_END: &str = r#"
import os, time

def wait(hook):
    while hook == "ENDLESS":
        time.sleep(3600)

def prepare_metadata_for_build_wheel(directory, settings=None):
    wait("metadata")
    info = os.path.join(directory, "pyti_fixture_endless-1.0.dist-info")
    os.mkdir(info)
    with open(os.path.join(info, "METADATA"), "w") as file:
        file.write("Metadata-Version: 2.1\nName: pyti-fixture-endless\nVersion: 1.0\n")
    return os.path.basename(info)

def build_wheel(directory, settings=None, metadata=None):
    wait("install")
"#;

const PROJECT: &str = r#"
[build-system]
requires = []
build-backend = "back_end"
backend-path = ["."]

[project]
name = "pyti-fixture-endless"
version = "1.0"
dynamic = ["dependencies"]
"#;

/// A package of which this stage never ends.
fn endless(place: &Place, stage: &str) -> PathBuf {
    let package = place.path("package");
    std::fs::create_dir(&package).expect("failed to make a directory");
    let files = [
        ("pyproject.toml", PROJECT.to_owned()),
        ("back_end.py", BACK_END.replace("ENDLESS", stage)),
    ];
    for (name, text) in files {
        std::fs::write(package.join(name), text).expect("failed to write");
    }
    package
}

/// Audits a package that does not come to the end of this stage, and waits until events of it arrive;
/// with the processes of the VMs.
async fn watching(stage: &str) -> (Place, Child, Vec<u32>) {
    let place = Place::furnished().await.expect("no place");
    let mut child = place.audit(&endless(&place, stage));
    let directory = format!("run/{stage}");
    wait_for("the first events", || {
        let ended = child.try_wait().expect("failed to wait");
        assert!(ended.is_none(), "{ended:?}");
        place.names(&directory).iter().any(|name| {
            let file = place.path(&directory).join(name).metadata();
            name.starts_with("events") && file.is_ok_and(|file| file.len() > 10_000)
        })
    });
    let machines = descendants(child.id());
    assert!(!machines.is_empty(), "no machine is running");
    (place, child, machines)
}

/// Machines die when their owner has, which it may have done a moment ago.
fn die(machines: &[u32]) {
    wait_for("the machines to die", || {
        machines.iter().all(|machine| is_gone(*machine))
    });
}

fn shown(place: &Place, args: &[&str]) -> String {
    let run = place.path("run").to_string_lossy().into_owned();
    place.says(&[&["show", &*run][..], args].concat())
}

fn kept_events(place: &Place, stage: &str) -> usize {
    let args = ["--events", "--format", "json", "--stage", stage];
    shown(place, &args).lines().count()
}

/// How the stages of an interrupted audit ended, as its report says.
fn interrupted(place: &Place, child: Child) -> Vec<(String, Value)> {
    let output = ended(child, SOON);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("no JSON");
    assert_eq!(report["verdict"], "inconclusive", "{report:#}");
    assert_eq!(place.under_way(), [""; 0]);
    assert!(shown(place, &[]).contains("interrupted"));
    let stages = report["stages"].as_array().expect("no stages").iter();
    let status = |stage: &Value| {
        let name = stage["name"].as_str().unwrap_or_default();
        (name.to_owned(), stage["status"].clone())
    };
    stages.map(status).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_ctrl_c_in_the_installation_keeps_what_was_done_before() {
    let (place, child, machines) = watching("install").await;
    signal_group(child.id(), "INT");
    let stages = interrupted(&place, child);
    let stopped = json!({"state": "stopped", "reason": "interrupted"});
    assert_eq!(
        stages,
        [
            ("metadata".to_owned(), json!({"state": "completed"})),
            ("install".to_owned(), stopped)
        ]
    );
    assert!(machines.iter().all(|machine| is_gone(*machine)));
    assert!(kept_events(&place, "metadata") > 0);
    assert!(kept_events(&place, "install") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_sigterm_in_the_metadata_ends_with_a_report() {
    let (place, child, machines) = watching("metadata").await;
    signal(child.id(), "TERM");
    let stages = interrupted(&place, child);
    let stopped = json!({"state": "stopped", "reason": "interrupted"});
    let metadata = stages.iter().find(|(name, _)| name == "metadata");
    assert_eq!(metadata.map(|(_, status)| status), Some(&stopped));
    assert!(machines.iter().all(|machine| is_gone(*machine)));
    assert!(kept_events(&place, "metadata") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_second_ctrl_c_ends_at_once() {
    let (place, mut child, machines) = watching("metadata").await;
    // A machine that stands still does not answer: the first interruption waits for it.
    for machine in &machines {
        signal(*machine, "STOP");
    }
    let began = Instant::now();
    let status = loop {
        signal_group(child.id(), "INT");
        std::thread::sleep(Duration::from_millis(200));
        if let Some(status) = child.try_wait().expect("failed to wait") {
            break status;
        }
        assert!(began.elapsed() < STOP, "it waits for the machine");
    };
    assert_eq!(status.code(), Some(130));
    die(&machines);
    assert_eq!(place.under_way(), [""; 0]);
    assert!(kept_events(&place, "metadata") > 0);
    assert!(shown(&place, &[]).contains("INCONCLUSIVE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_sigkill_in_the_installation_leaves_its_record_and_nothing_else() {
    let (place, mut child, machines) = watching("install").await;
    signal(child.id(), "KILL");
    child.wait().expect("failed to wait");
    die(&machines);
    assert_eq!(place.under_way(), [""; 0]);
    // Of the stage that was cut off there is the journal; the Parquet file was not finished.
    assert_eq!(place.names("run"), ["install", "metadata", "run.json"]);
    let kept = place.names("run/install");
    let expected = ["events.journal", "events.parquet.part", "stderr", "stdout"];
    assert_eq!(kept, expected);
    assert!(kept_events(&place, "metadata") > 0);
    assert!(kept_events(&place, "install") > 0);
    assert!(shown(&place, &[]).contains("INCONCLUSIVE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_killed_boot_of_a_template_is_swept_at_the_next_start() {
    let place = Place::furnished().await.expect("no place");
    let package = endless(&place, "metadata");
    // Only the links to the usual ones.
    std::fs::remove_dir_all(place.path("home/templates")).expect("failed to remove");
    let mut child = place.audit(&package);
    let id = child.id();
    wait_for("the template to boot", || {
        let ended = child.try_wait().expect("failed to wait");
        assert!(ended.is_none(), "{ended:?}");
        !place.names("home/stages").is_empty() && !descendants(id).is_empty()
    });
    let machines = descendants(id);
    signal(id, "KILL");
    child.wait().expect("failed to wait");
    die(&machines);
    let left = place.names("home/stages");
    assert_eq!(left, [format!("{id}-0"), format!("{id}-0.lock")]);
    // A plan looks for the machine as an audit does, and starts none.
    let planned = place.says(&["plan", &package.to_string_lossy()]);
    assert!(planned.contains("template"), "{planned}");
    assert_eq!(place.names("home/stages"), [""; 0]);
}
