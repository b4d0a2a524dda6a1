//! The program `pyti-trace` on the kernel that runs this. Whatever that refuses, what the program
//! says of it is checked, so no test passes for want of permission.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what fails in a helper fails the test"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const BTF: &str = "/sys/kernel/btf/vmlinux";
/// How long a command may take to show up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program, which cargo builds with this test: beside the directory that the test is in.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let directory = test.parent().and_then(Path::parent).unwrap();
    directory.join("pyti-trace")
}

fn is_root() -> bool {
    // The owner of a process's directory is its effective user.
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// What a trace gave: its events, and the summary at their end.
struct Trace {
    output: Output,
    events: Vec<Value>,
    summary: Value,
    _directory: TempDir,
}

impl Trace {
    fn of(kind: &str, events: &[Value]) -> Vec<Value> {
        let of_kind = |event: &&Value| event["kind"] == kind;
        events.iter().filter(of_kind).cloned().collect()
    }

    fn kind(&self, kind: &str) -> Vec<Value> {
        Self::of(kind, &self.events)
    }

    fn executed(&self, argument: &str) -> Value {
        self.kind("exec")
            .into_iter()
            .find(|event| {
                let argv = event["argv"].as_array();
                argv.is_some_and(|argv| argv.iter().any(|word| word == argument))
            })
            .unwrap_or_else(|| panic!("nothing executed with {argument}: {:#?}", self.events))
    }

    fn refuses(&self, hook: &str) -> bool {
        let refused = self.summary["probes"]["refused"].as_array().unwrap();
        refused.iter().any(|refused| refused["hook"] == hook)
    }

    fn stderr(&self) -> String {
        text(&self.output.stderr)
    }

    /// What the probes saw is here, or counted as lost, and nothing else is.
    fn adds_up(&self) {
        for family in self.summary["events"].as_array().unwrap() {
            let [seen, stored, lost] =
                ["seen", "stored", "lost"].map(|number| family[number].as_u64().unwrap());
            assert_eq!(seen, stored + lost, "{family}");
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether the program said that it can see nothing here, and why and what to do, and did nothing.
fn is_blind(output: &Output) -> bool {
    let stderr = text(&output.stderr);
    let sentence = if !is_root() {
        "only root may load probes"
    } else if !Path::new(BTF).exists() {
        "CONFIG_DEBUG_INFO_BTF"
    } else if stderr.contains("another one; run this outside of the container") {
        "the host's first PID namespace"
    } else if stderr.contains("this kernel refused every probe") {
        "so nothing of the command can be seen here; run this where the kernel lets root"
    } else {
        return false;
    };
    assert!(stderr.contains(sentence), "{stderr}");
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(output.stdout.is_empty());
    true
}

fn parse(text: &str) -> (Vec<Value>, Value) {
    let mut lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is not JSON"))
        .collect();
    let mut last = lines.pop().expect("no line");
    (lines, last["summary"].take())
}

/// Traces a command; `None` where nothing can be traced, which then was said.
fn trace(command: &[&str]) -> Option<Trace> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("events");
    let output = Command::new(program())
        .args(["--format", "json", "--output"])
        .arg(&file)
        .arg("--")
        .args(command)
        .output()
        .unwrap();
    if is_blind(&output) {
        return None;
    }
    let (events, summary) = parse(&std::fs::read_to_string(&file).unwrap());
    Some(Trace {
        output,
        events,
        summary,
        _directory: directory,
    })
}

#[test]
fn sees_a_command_and_its_children_execute_and_end() {
    let Some(trace) = trace(&["sh", "-c", "/bin/echo hello; exit 3"]) else {
        return;
    };
    assert_eq!(trace.output.status.code(), Some(3), "{}", trace.stderr());
    assert_eq!(text(&trace.output.stdout), "hello\n");
    assert_eq!(trace.summary["ended"]["exit"], 3);

    let shell = trace.executed("/bin/echo hello; exit 3");
    let echo = trace.executed("/bin/echo");
    assert_eq!(echo["argv"], serde_json::json!(["/bin/echo", "hello"]));
    assert_eq!(echo["asked"], "/bin/echo");
    assert_eq!(echo["comm"], "echo");
    // Resolved by whichever hook did it: /bin is a symbolic link where /usr is merged.
    let resolved = std::fs::canonicalize("/bin/echo").unwrap();
    assert_eq!(echo["path"].as_str(), resolved.to_str());
    assert!(echo["inode"].as_u64() > Some(0));
    assert_eq!(echo["parent"], shell["process"]);
    assert!(!echo["env"].as_array().unwrap().is_empty());

    let forks = trace.kind("fork");
    assert!(forks.iter().any(|fork| fork["other"] == echo["process"]));
    let exit = |process: &Value| {
        let exits = trace.kind("exit");
        let exit = exits.iter().find(|exit| exit["process"] == *process);
        exit.expect("no exit")["exit_code"].clone()
    };
    assert_eq!(exit(&echo["process"]), 0);
    assert_eq!(exit(&shell["process"]), 3);
    // No execution is on record twice, whoever began its record.
    assert_eq!(trace.kind("exec").len(), 2, "{:#?}", trace.kind("exec"));

    for family in trace.summary["events"].as_array().unwrap() {
        assert_eq!(family["seen"], family["stored"], "{family}");
        assert_eq!(family["lost"], 0);
    }
}

#[test]
fn says_what_is_refused_and_what_is_not_seen() {
    let Some(trace) = trace(&["cat", "/etc/hostname"]) else {
        return;
    };
    let unseen = trace.summary["probes"]["unseen"].as_array().unwrap();
    let not_seen = unseen.iter().any(|sight| sight["what"] == "files opened");
    let opened = trace.kind("open");
    let asked = |open: &Value| open["asked"] == "/etc/hostname";
    if trace.refuses("fexit/do_filp_open") {
        assert!(not_seen && opened.is_empty());
        let stderr = trace.stderr();
        for part in ["this kernel refused ", "not seen", "files opened"] {
            assert!(stderr.contains(part), "{stderr}");
        }
    } else {
        assert!(!not_seen && opened.iter().any(asked), "{opened:#?}");
    }
    // A probe of ours that the verifier does not take is our fault, not the kernel's.
    for hook in ["fork", "exit", "free", "exec"].map(|name| format!("tp_btf/sched_process_{name}"))
    {
        let refused = trace.summary["probes"]["refused"].as_array().unwrap();
        let refused = refused.iter().find(|refused| refused["hook"] == *hook);
        let detail = refused.map(|refused| refused["detail"].clone());
        assert!(detail.is_none_or(|detail| detail.is_null()), "{refused:?}");
    }
}

#[test]
fn a_script_is_told_from_its_interpreter() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("script");
    std::fs::write(&script, "#!/bin/sh\nexit 0\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let script = script.to_str().unwrap();
    let Some(trace) = trace(&[script]) else {
        return;
    };
    let exec = trace.executed(script);
    assert_eq!(exec["asked"], script);
    let target = exec["target"].as_str().unwrap();
    if trace.refuses("lsm/bprm_check_security") {
        assert_eq!(exec["path"], Value::Null);
        assert_eq!(target, "/bin/sh");
    } else {
        assert_eq!(exec["path"], script);
        assert_eq!(
            Some(target),
            std::fs::canonicalize("/bin/sh").unwrap().to_str()
        );
    }
}

/// A program of an interpreter's name that publishes nothing, as those before CPython 3.13.
#[test]
fn says_which_interpreters_have_no_stacks() {
    let directory = tempfile::tempdir().unwrap();
    let interpreter = directory.path().join("python3.99");
    std::fs::copy("/bin/true", &interpreter).unwrap();
    let Some(trace) = trace(&[interpreter.to_str().unwrap()]) else {
        return;
    };
    let unread = trace.summary["python_stacks_unread"].as_array().unwrap();
    let path = interpreter.canonicalize().unwrap();
    assert!(unread.iter().any(|unread| unread.as_str() == path.to_str()));
    let warning = format!("Python stacks of {} are not on record", path.display());
    assert!(trace.stderr().contains(&warning), "{}", trace.stderr());
}

#[test]
fn names_what_ran_before() {
    let Some(trace) = trace(&["true"]) else {
        return;
    };
    let before = trace.summary["before"].as_array().unwrap();
    let parent = &trace.executed("true")["parent"]["tgid"];
    let tracer = before.iter().find(|earlier| earlier["pid"] == *parent);
    let tracer = tracer.unwrap_or_else(|| panic!("the tracer is not told of: {before:#?}"));
    assert_eq!(tracer["exe"].as_str(), program().to_str());
    assert!(tracer["start_ns"].as_u64() > Some(0));
    let me = std::process::id();
    assert_eq!(tracer["parent"], me);
    assert!(before.iter().any(|earlier| earlier["pid"] == me));
}

#[test]
fn standard_output_has_nothing_but_events() {
    let run = |format: &str| {
        Command::new(program())
            .args(["--format", format, "sh", "-c", "echo from the command"])
            .output()
            .unwrap()
    };
    let json = run("json");
    if is_blind(&json) {
        return;
    }
    let (events, _) = parse(&text(&json.stdout));
    assert!(!Trace::of("exec", &events).is_empty());
    assert!(text(&json.stderr).contains("from the command\n"));

    let table = text(&run("table").stdout);
    for part in [
        "exec /",
        "exit 0",
        "\nRan before\n",
        "\nEvents\n",
        "process  ",
    ] {
        assert!(table.contains(part), "{part} is not in:\n{table}");
    }
    assert!(!table.contains("\nfrom the command"), "{table}");
}

#[test]
fn tells_of_children_that_outlive_the_command() {
    let Some(trace) = trace(&["sh", "-c", "sleep 2 >/dev/null 2>&1 &"]) else {
        return;
    };
    assert_eq!(trace.output.status.code(), Some(0));
    let left = trace.summary["left_behind"].as_array().unwrap();
    assert_eq!(left.len(), 1, "{:#}", trace.summary);
    let stderr = trace.stderr();
    assert!(
        stderr.contains("1 process outlived the command"),
        "{stderr}"
    );
    trace.adds_up();
}

/// It makes events while the tracer lets go of it, and after.
#[test]
fn who_goes_on_after_the_command_is_not_recorded_and_the_sums_are_right() {
    let directory = tempfile::tempdir().unwrap();
    let going = directory.path().join("going");
    std::fs::write(&going, "").unwrap();
    let script = "while [ -e \"$0\" ]; do : >\"$0.made\"; done >/dev/null 2>&1 &";
    let traced = trace(&["sh", "-c", script, going.to_str().unwrap()]);
    // It ends with this.
    std::fs::remove_file(&going).unwrap();
    let Some(trace) = traced else {
        return;
    };
    let left = trace.summary["left_behind"].as_array().unwrap();
    assert_eq!(left.len(), 1, "{:#}", trace.summary);
    trace.adds_up();
}

#[test]
fn an_interrupt_ends_the_command_and_keeps_what_was_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("events");
    let child = Command::new(program())
        .args(["--format", "json", "--output"])
        .arg(&file)
        .args(["--", "sleep", "600"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    let executed = || std::fs::read_to_string(&file).is_ok_and(|text| text.contains("\"exec\""));
    let ended = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id()));
        stat.is_ok_and(|stat| stat.contains(") Z "))
    };
    while !executed() && !ended() && begin.elapsed() < PATIENCE {
        sleep(Duration::from_millis(20));
    }
    let status = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(status.unwrap().success());
    let output = child.wait_with_output().unwrap();
    if is_blind(&output) {
        return;
    }
    // Only the tracer was interrupted, as no terminal is there: it asked the command to end.
    assert_eq!(
        output.status.code(),
        Some(128 + 15),
        "{}",
        text(&output.stderr)
    );
    let (events, summary) = parse(&std::fs::read_to_string(&file).unwrap());
    assert_eq!(summary["ended"]["signal"], 15);
    assert_eq!(Trace::of("exit", &events)[0]["signal"], 15);
}

#[test]
fn a_command_that_is_not_there_is_the_tracers_failure() {
    let output = Command::new(program())
        .args(["--", "/no/such/program"])
        .output()
        .unwrap();
    if is_blind(&output) {
        return;
    }
    assert_eq!(output.status.code(), Some(2));
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("failed to run \"/no/such/program\": No such file"),
        "{stderr}"
    );
}

/// A copy of the program that every user may run.
fn copy(directory: &TempDir) -> PathBuf {
    let copy = directory.path().join("pyti-trace");
    std::fs::copy(program(), &copy).unwrap();
    let everybody = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory.path(), everybody).unwrap();
    copy
}

#[test]
fn without_root_it_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(copy(&directory));
    if is_root() {
        command.uid(65534).gid(65534);
    }
    let output = command.args(["--", "true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = text(&output.stderr);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("sudo pyti-trace -- COMMAND"), "{stderr}");
}

#[test]
fn without_capabilities_root_is_told_what_is_needed() {
    if !is_root() {
        return without_root_it_says_so();
    }
    let output = Command::new("setpriv")
        .args(["--bounding-set", "-all", "--inh-caps", "-all", "--"])
        .arg(program())
        .args(["--", "true"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = text(&output.stderr);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(
        stderr.contains("CAP_BPF") && stderr.contains("not permitted"),
        "{stderr}"
    );
}
