//! Clones of a real template: what goes in, what comes out, and how they end.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where something is missing"
)]

mod common;

use std::{
    collections::{BTreeSet, HashMap},
    env, fs,
    io::{BufRead, BufReader},
    os::unix::{fs::MetadataExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use pyti_trace::wire::{Ending, FrameKind, Slot, StageResult, StageSpec};
use pyti_vm::{Accel, Home, SLOT_BYTES, SLOT_SERIAL, StartOptions, Template, Vm, VmError};

/// How far the clock of a clone that was to take another time goes ahead.
const AHEAD: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// What may pass between the order and the clone's look at its clock, on the slowest host.
const CLOCK_SLACK: Duration = Duration::from_secs(60 * 60);

async fn template() -> (Home, Template) {
    let home = Home::from_env().unwrap();
    let template = common::template(&home, Accel::Auto).await;
    (home, template)
}

fn stage(script: &str, slots: Vec<Slot>) -> StageSpec {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    StageSpec {
        stage: "test".into(),
        argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        cwd: "/home/dev".into(),
        traced: true,
        timed: false,
        wall_seconds: 120,
        memory_bytes: 1 << 30,
        pids: 100,
        output_bytes: 1 << 20,
        hostname: "laptop".into(),
        unix_time_ns: u64::try_from(now.as_nanos()).unwrap(),
        entropy: "5a".repeat(64),
        slots,
        files: Vec::new(),
        collect: Vec::new(),
        keep: None,
    }
}

/// Standard output and the result, read to the end.
async fn outcome(vm: &mut Vm) -> (String, Option<StageResult>) {
    let mut output = Vec::new();
    while let Some(frame) = vm.next_frame().await.unwrap() {
        match frame.kind {
            FrameKind::Stdout => output.extend(frame.payload),
            FrameKind::Done => {
                let result = serde_json::from_slice(&frame.payload).unwrap();
                return (String::from_utf8_lossy(&output).into_owned(), Some(result));
            }
            FrameKind::Log => eprintln!("{}", frame.payload.escape_ascii()),
            _ => {}
        }
    }
    (String::from_utf8_lossy(&output).into_owned(), None)
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_clones_read_their_own_input_and_share_nothing() {
    let (_home, template) = template().await;
    template.try_clone().await.unwrap();
    let mut uuids = BTreeSet::new();
    for (content, hostname, entropy, ahead) in [
        ("first", "laptop", "5a", Duration::ZERO),
        ("second", "runner", "c3", AHEAD),
    ] {
        let mut tar = tar::Builder::new(tempfile::tempfile().unwrap());
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, "input.txt", content.as_bytes())
            .unwrap();
        let input = Some(tar.into_inner().unwrap());
        let mut vm = template
            .start(StartOptions { input, wall: None })
            .await
            .unwrap();
        let slot = Slot {
            serial: SLOT_SERIAL.into(),
            directory: "/home/dev/in".into(),
        };
        // A file that the first clone leaves must not be there in the second.
        let script = "cat in/input.txt; ls left 2>/dev/null; touch left; id -u; ls /sys/class/net; \
                      cat /proc/sys/kernel/random/uuid; date +%s; uname -n";
        let mut spec = stage(script, vec![slot]);
        spec.hostname = hostname.into();
        spec.entropy = entropy.repeat(64);
        spec.unix_time_ns += u64::try_from(ahead.as_nanos()).unwrap();
        let start = spec.encode().unwrap();
        vm.send(FrameKind::Start, &start).await.unwrap();
        let (output, result) = outcome(&mut vm).await;
        assert_eq!(result.unwrap().ending, Ending::Exited(0));
        let lines: Vec<&str> = output.lines().collect();
        let [read, networks, uuid, clock, name] = lines[..] else {
            panic!("{output}");
        };
        assert_eq!(read, format!("{content}1000"));
        assert_eq!(networks, "lo");
        // That clones do not draw the same, they owe to what they are told, or to how their kernels go on.
        assert!(uuids.insert(uuid.to_owned()), "{uuid} came twice");
        // Clock and name are those that it was told.
        let clock = Duration::from_secs(clock.parse().unwrap());
        let told = Duration::from_nanos(spec.unix_time_ns);
        assert!(clock.abs_diff(told) < CLOCK_SLACK, "{clock:?}, {told:?}");
        assert_eq!(name, hostname);
        let report = vm.kill().await;
        assert!(
            report.status.is_some_and(|status| status.success()),
            "{}",
            report.describe()
        );
        assert!(report.usage.unwrap().private > 1 << 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_is_killed_from_outside_when_its_wall_time_is_up() {
    let (_home, template) = template().await;
    let wall = Duration::from_secs(3);
    let mut vm = template
        .start(StartOptions {
            input: None,
            wall: Some(wall),
        })
        .await
        .unwrap();
    let began = Instant::now();
    let start = stage("sleep 100", Vec::new()).encode().unwrap();
    vm.send(FrameKind::Start, &start).await.unwrap();
    let error = loop {
        match vm.next_frame().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended without a word"),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, VmError::WallLimit(limit) if limit == wall),
        "{error}"
    );
    assert!(began.elapsed() < wall + Duration::from_secs(3));
    assert!(vm.kill().await.wall_limit);
}

/// A hypervisor that a guest took over need not do what it is asked.
#[tokio::test(flavor = "multi_thread")]
async fn vm_that_ignores_quit_is_killed() {
    let (_home, template) = template().await;
    let mut vm = template.start(StartOptions::default()).await.unwrap();
    let process = Path::new("/proc").join(vm.id().to_string());
    // The shell's own: a small machine has no program of this name.
    let stop = format!("kill -s STOP {}", vm.id());
    let stopped = Command::new("sh").args(["-c", &stop]).status().unwrap();
    assert!(stopped.success());
    let deadline = Instant::now() + Duration::from_secs(5);
    while state(&process) != Some('T') {
        assert!(Instant::now() < deadline, "the hypervisor does not stop");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let report = tokio::time::timeout(Duration::from_secs(3), vm.kill()).await;
    let report = report.expect("it is waited for in vain");
    let signal = report.status.and_then(|status| status.signal());
    assert_eq!(signal, Some(9), "{}", report.describe());
    assert!(!report.wall_limit);
    assert_eq!(state(&process), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_refuses_an_input_larger_than_the_slot() {
    let (_home, template) = template().await;
    let input = tempfile::tempfile().unwrap();
    input.set_len(SLOT_BYTES + 1).unwrap();
    let error = template
        .start(StartOptions {
            input: Some(input),
            wall: None,
        })
        .await
        .unwrap_err();
    assert!(matches!(error, VmError::InputTooLarge { .. }), "{error}");
}

/// The owner is this same test in another process, told by its environment.
#[tokio::test(flavor = "multi_thread")]
async fn vm_dies_with_its_owner() {
    const OWNER: &str = "PYTI_TEST_OWNER";
    let (home, template) = template().await;
    if env::var_os(OWNER).is_some() {
        let vm = template.start(StartOptions::default()).await.unwrap();
        println!("\nvm {}", vm.id());
        tokio::time::sleep(Duration::from_secs(120)).await;
        return;
    }
    let (directory, own) = common::own_home(&home, &template);
    let temporary = tempfile::tempdir().unwrap();
    let before = tree(directory.path());
    let mut owner = Command::new(env::current_exe().unwrap())
        .args(["--exact", "vm_dies_with_its_owner", "--nocapture"])
        .env(OWNER, "1")
        .env("PYTI_HOME", own.root())
        .env("TMPDIR", temporary.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let vm = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("vm ").map(str::to_owned));
    let process = Path::new("/proc").join(vm.unwrap());
    let status = fs::read_to_string(process.join("status")).unwrap();
    assert!(
        status.lines().any(|line| line == "NoNewPrivs:\t1"),
        "{status}"
    );
    assert!(
        status
            .lines()
            .any(|line| line == "CapEff:\t0000000000000000"),
        "{status}"
    );
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let ids: Vec<&str> = ids.unwrap().split_whitespace().collect();
    let own = fs::metadata("/proc/self").unwrap().uid();
    if own == 0 {
        // Root's machines get another user, and a network namespace in which there is nothing.
        assert!(!ids.contains(&"0"), "{status}");
        let namespace = |process: &Path| fs::read_link(process.join("ns/net")).unwrap();
        assert_ne!(namespace(&process), namespace(Path::new("/proc/self")));
    } else {
        assert_eq!(ids, [own.to_string().as_str(); 4], "{status}");
    }
    // A filter of system calls: QEMU's -sandbox.
    assert!(status.lines().any(|line| line == "Seccomp:\t2"), "{status}");
    let limits = fs::read_to_string(process.join("limits")).unwrap();
    for (name, value) in [
        ("Max file size", "0"),
        ("Max core file size", "0"),
        ("Max locked memory", "0"),
        ("Max open files", "128"),
    ] {
        assert_eq!(limit(&limits, name), [value, value], "{limits}");
    }
    for name in ["Max address space", "Max cpu time"] {
        assert!(!limit(&limits, name).contains(&"unlimited"), "{limits}");
    }
    let home = fs::canonicalize(home.root()).unwrap();
    assert_eq!(would_stay(&process, &home), [""; 0]);

    owner.kill().unwrap();
    owner.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while alive(&process) {
        assert!(
            Instant::now() < deadline,
            "the hypervisor outlived its owner"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(tree(directory.path()), before);
    assert_eq!(tree(temporary.path()), BTreeSet::new());
}

/// What there is in a directory and below it. Links are not followed.
fn tree(directory: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(tree(&entry.path()));
        }
        found.insert(entry.path());
    }
    found
}

/// Of what a process holds, that which would stay in the file system when it is killed: sockets that have
/// a name, and files among the temporary ones that still have theirs. What is in the home is not meant.
fn would_stay(process: &Path, home: &Path) -> Vec<String> {
    const TEMPORARY: [&str; 4] = ["/tmp/", "/var/tmp/", "/dev/shm/", "/run/"];
    // Its own, and those that its owner made for it in another network namespace.
    let mut named = HashMap::new();
    for table in [process.join("net/unix"), "/proc/net/unix".into()] {
        let table = fs::read_to_string(table).unwrap();
        // Num RefCount Protocol Flags Type St Inode Path, the last only where there is one.
        named.extend(table.lines().filter_map(|line| {
            let mut words = line.split_whitespace().skip(6);
            let (inode, path) = (words.next()?, words.next()?);
            let in_a_directory = path.starts_with('/');
            in_a_directory.then(|| (format!("socket:[{inode}]"), path.to_owned()))
        }));
    }
    let held = fs::read_dir(process.join("fd")).unwrap().flatten();
    let held: Vec<String> = held
        .filter_map(|file| fs::read_link(file.path()).ok())
        .map(|target| target.to_string_lossy().into_owned())
        .collect();
    assert!(
        held.iter().any(|target| target.starts_with("socket:")),
        "{held:?}"
    );
    let stays = |target: String| {
        let temporary = TEMPORARY.iter().any(|start| target.starts_with(start));
        let nameless = target.ends_with(" (deleted)");
        if temporary && !nameless && !Path::new(&target).starts_with(home) {
            return Some(target);
        }
        named.get(&target).cloned()
    };
    held.into_iter().filter_map(stays).collect()
}

/// The soft and the hard limit of this name in `/proc/PID/limits`.
fn limit<'a>(limits: &'a str, name: &str) -> Vec<&'a str> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().split_whitespace().take(2).collect()
}

/// A zombie that nobody has waited for yet is dead.
fn alive(process: &Path) -> bool {
    state(process).is_some_and(|state| state != 'Z')
}

/// The letter of its state, see proc(5); `None` where there is no such process.
fn state(process: &Path) -> Option<char> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    let state = status.lines().find_map(|line| line.strip_prefix("State:"));
    state?.trim_start().chars().next()
}
