//! `pyti analyze`: traces of strace through the program, as a user types it.
#![expect(clippy::expect_used, reason = "what fails in a helper fails the test")]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use pyti_tests::{pyti, run, text};
use serde_json::Value;

fn recorded(name: &str) -> PathBuf {
    let tests =
        std::env::var_os("CARGO_MANIFEST_DIR").expect("run the tests with `cargo xtask test`");
    PathBuf::from(tests)
        .join("traces")
        .join(format!("{name}.strace"))
}

/// Exit status and JSON report of a recorded trace.
fn analyzed(name: &str, args: &[&str]) -> (Option<i32>, Value) {
    let path = recorded(name).to_string_lossy().into_owned();
    let output = run(&[&["analyze", "--format", "json", "--strace", &path], args].concat());
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
    (output.status.code(), report)
}

fn rules(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().expect("no findings");
    findings
        .iter()
        .filter_map(|finding| finding["rule"].as_str())
        .collect()
}

fn notes(report: &Value) -> String {
    let notes = report["notes"].as_array().expect("no notes");
    notes
        .iter()
        .filter_map(Value::as_str)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Analyzes standard input.
fn piped(input: &str) -> Output {
    let mut child = pyti()
        .args(["analyze", "--strace", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("failed to start pyti");
    let mut stdin = child.stdin.take().expect("no standard input");
    stdin.write_all(input.as_bytes()).expect("failed to write");
    drop(stdin);
    child.wait_with_output().expect("failed to wait for pyti")
}

#[test]
fn bad_traces_fire_their_rule_and_no_other() {
    for (name, rule) in [
        ("reads-key", "credential-file-read"),
        ("reverse-shell", "reverse-shell"),
    ] {
        let (status, report) = analyzed(name, &[]);
        let mut fired = rules(&report);
        // Both ends of the shell's connection are in the trace.
        fired.dedup();
        assert_eq!((status, fired), (Some(1), vec![rule]), "{name}");
        assert_eq!(report["verdict"], "malicious");
        assert_eq!(report["schema"], "pyti.report/1");
        assert_eq!(report["missing"], serde_json::json!([]));
        assert!(notes(&report).contains("/tmp/demo/home, as the first program's environment says"));
        // They stand on what is known of the VM alone.
        let not_asked = "not asked, since their `stages` do not name `trace`: \
            cloud-metadata-in-tests, credential-file-in-tests, known-command-taken, kubernetes-api, \
            package-change, package-removal, public-ip-connect, public-ip-in-tests, \
            user-files-change, user-files-read";
        assert!(notes(&report).contains(not_asked), "{report:#}");
    }
}

#[test]
fn an_honest_trace_fires_none_and_is_unremarkable() {
    let (status, report) = analyzed("pip-install", &[]);
    assert_eq!(
        (status, rules(&report)),
        (Some(0), vec![]),
        "{:#}",
        report["missing"]
    );
    assert_eq!(report["verdict"], "unremarkable");
}

#[test]
fn the_home_that_the_user_names_is_the_one_of_the_rules() {
    let (_, report) = analyzed("reads-key", &["--home", "/home/somebody"]);
    assert_eq!(rules(&report), [""; 0]);
    assert!(notes(&report).contains("/home/somebody, as --home says"));
    let (_, report) = analyzed("actions-short", &[]);
    assert!(
        notes(&report).contains("--home says it"),
        "{:#}",
        report["notes"]
    );
}

#[test]
fn a_trace_that_was_cut_is_inconclusive() {
    let whole = std::fs::read_to_string(recorded("pip-install")).expect("no trace");
    let half: Vec<&str> = whole.lines().take(400).collect();
    let output = piped(&(half.join("\n") + "\n"));
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{stdout}");
    assert!(
        stdout.starts_with("INCONCLUSIVE  /usr/bin/python3 -m pip install"),
        "{stdout}"
    );
    assert!(
        stdout.contains("the trace ends before its first process does"),
        "{stdout}"
    );
}

#[test]
fn a_trace_is_kept_as_a_run() {
    let directory = tempfile::tempdir().expect("failed to make a directory");
    let out = directory.path().join("run").to_string_lossy().into_owned();
    let (status, report) = analyzed("reverse-shell", &["--out", &out]);
    assert_eq!(status, Some(1));
    let shown = run(&["show", &out, "--format", "json"]);
    let kept: Value = serde_json::from_slice(&shown.stdout).expect("no report");
    assert_eq!(kept, report);
    let tree = text(&run(&["show", &out, "--tree"]).stdout);
    assert!(tree.contains("sh -i"), "{tree}");
    let events = text(&run(&["show", &out, "--events", "--format", "json"]).stdout);
    assert!(events.contains("\"kind\":\"dup\""), "{events}");
    let again = run(&["analyze", "--strace", "x", "--out", &out]);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("exists already"));
}

#[test]
fn other_rules_judge_it() {
    let directory = tempfile::tempdir().expect("failed to make a directory");
    let rule = "id: runs-shell\nsummary: \"{process.name} ran {path}\"\nseverity: low\nconfidence: high\n\
                attack: T1059\ndescription: a shell was run\nmatch:\n  kind: exec\n  where:\n    path: {name: sh}\n";
    std::fs::write(directory.path().join("runs-shell.yaml"), rule).expect("failed to write");
    let dir = directory.path().to_string_lossy().into_owned();
    let (status, report) = analyzed("reverse-shell", &["--rules", &dir]);
    assert_eq!((status, rules(&report)), (Some(1), vec!["runs-shell"]));
    assert_eq!(report["verdict"], "suspicious");
}

#[test]
fn bad_input_is_one_sentence_with_its_line() {
    let refused = |output: &Output, parts: &[&str]| {
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
        assert!(output.stdout.is_empty());
        for part in parts {
            assert!(stderr.contains(part), "no `{part}`: {stderr}");
        }
    };
    refused(&piped(""), &["the trace is empty", "strace -f -ttt"]);
    let bad =
        "1 1.5 execve(\"/bin/true\", [\"true\"], []) = 0\nstrange\u{1b}[2J\n1 1.6 exit(0) = ?\n";
    refused(&piped(bad), &["line 2", "`strange\\u{1b}[2J`"]);
    refused(
        &run(&["analyze", "--strace", "/no/such/file"]),
        &["/no/such/file"],
    );
    let path = recorded("reads-key").to_string_lossy().into_owned();
    refused(
        &run(&["analyze", "--strace", &path, "--home", "home"]),
        &["--home home is no absolute path"],
    );
}

#[test]
fn a_reader_that_goes_away_does_not_change_the_verdict() {
    let status = |stdout: Stdio| {
        let mut command = pyti();
        command.args(["analyze", "--strace"]);
        let status = command
            .arg(recorded("reverse-shell"))
            .stdout(stdout)
            .status();
        status.expect("failed to start pyti").code()
    };
    let (reader, writer) = std::io::pipe().expect("no pipe");
    drop(reader);
    assert_eq!(status(Stdio::null()), Some(1));
    assert_eq!(status(writer.into()), Some(1));
}
