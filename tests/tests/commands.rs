//! The commands that need no VM, each as a user types it.
#![expect(clippy::expect_used, reason = "what fails in a helper fails the test")]

use pyti_tests::{package, pyti, run, text};

/// Runs in an empty home; exit status, standard output, standard error.
fn at_an_empty_home(args: &[&str]) -> (Option<i32>, String, String) {
    let home = tempfile::tempdir().expect("failed to make a directory");
    let output = pyti()
        .args(args)
        .env("PYTI_HOME", home.path())
        .output()
        .expect("failed to start pyti");
    let place = home.path().to_string_lossy().into_owned();
    let cleaned = |bytes: &[u8]| text(bytes).replace(&place, "HOME");
    (
        output.status.code(),
        cleaned(&output.stdout),
        cleaned(&output.stderr),
    )
}

#[test]
fn doctor_finds_what_setup_installed_and_names_each_thing() {
    let (status, stdout, stderr) = at_an_empty_home(&["doctor"]);
    assert_eq!(status, Some(0), "{stdout}{stderr}");
    for name in [
        "QEMU",
        "KVM",
        "mmdebstrap",
        "apt-get",
        "apt-cache",
        "dpkg-deb",
        "mkfs.erofs",
        "gpgv",
        "mount",
        "disk space",
        "certificates",
        "agent",
    ] {
        assert!(stdout.contains(name), "no {name}: {stdout}");
    }
    assert!(!stdout.contains("MISSING"), "{stdout}");
}

#[test]
fn doctor_says_what_to_type_for_what_is_missing() {
    let home = tempfile::tempdir().expect("failed to make a directory");
    let output = pyti()
        .arg("doctor")
        .env("PYTI_HOME", home.path())
        .env("PATH", home.path())
        .output()
        .expect("failed to start pyti");
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{stdout}");
    let lines: Vec<&str> = stdout.lines().map(str::trim).collect();
    for package in [
        "qemu-system-x86",
        "mmdebstrap",
        "apt",
        "dpkg",
        "erofs-utils",
        "gpgv",
        "mount",
    ] {
        let remedy = format!("type: apt-get install {package}");
        assert!(lines.contains(&remedy.as_str()), "no `{remedy}`: {stdout}");
    }
}

#[test]
fn doctor_says_where_no_certificates_can_be_read() {
    let home = tempfile::tempdir().expect("failed to make a directory");
    let output = pyti()
        .arg("doctor")
        .env("PYTI_HOME", home.path())
        .env("SSL_CERT_FILE", home.path().join("missing.pem"))
        .env_remove("SSL_CERT_DIR")
        .env_remove("REQUESTS_CA_BUNDLE")
        .env_remove("CURL_CA_BUNDLE")
        .env_remove("PIP_CERT")
        .env("PIP_CONFIG_FILE", "/dev/null")
        .env("COLUMNS", "200")
        .output()
        .expect("failed to start pyti");
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{stdout}");
    let missing: Vec<&str> = stdout
        .lines()
        .filter(|line| line.contains("MISSING"))
        .collect();
    let reason = "failed to use SSL_CERT_FILE: no certificate of an authority can be read there; \
                  correct or unset it";
    assert!(
        matches!(missing[..], [line] if line.contains("certificates") && line.trim_end().ends_with(reason)),
        "{stdout}"
    );
}

#[test]
fn an_empty_home_lists_what_could_be_built_and_has_nothing_to_remove() {
    let unbuilt = "trixie  Python 3.13  not built\nbookworm  Python 3.11  not built\n\
        bullseye  Python 3.9  not built\nbullseye-python2  Python 2.7  not built\n";
    assert_eq!(
        at_an_empty_home(&["image", "list"]),
        (Some(0), unbuilt.to_owned(), String::new())
    );
    assert_eq!(
        at_an_empty_home(&["image", "rm", "trixie"]),
        (
            Some(2),
            String::new(),
            "pyti: no image `trixie`: `pyti image list` names those that are built\n".into()
        )
    );
}

#[test]
fn an_image_that_cannot_be_meant_is_refused_before_anything_is_fetched() {
    let known = "trixie, bookworm, bullseye, bullseye-python2";
    for (words, expected) in [
        (
            &["--image", "warty"][..],
            format!("no image `warty`: take {known}, or the path of a definition file"),
        ),
        (
            &["--python", "3.12"],
            "no image has Python 3.12: take 3.13, 3.11, 3.9, 2.7, or --image with the path of a definition file".into(),
        ),
        (
            &["--image", "trixie", "--python", "2.7"],
            "image trixie has Python 3.13, not 2.7: leave out --image or --python".into(),
        ),
    ] {
        for command in ["audit", "plan"] {
            let (status, _, stderr) = at_an_empty_home(&[&[command, "six==1.16.0"], words].concat());
            assert_eq!(status, Some(2));
            assert_eq!(stderr, format!("pyti: {expected}\n"));
        }
    }
}

#[test]
fn a_plan_is_shown_before_anything_runs() {
    // Without an image the template takes minutes: it waits until the target is there.
    let (status, stdout, stderr) = at_an_empty_home(&["plan", "docopt==0.6.2"]);
    assert_eq!(status, Some(0), "{stderr}");
    let lines = [
        "fetch     host  distribution",
        "template  host  template                      ← distribution",
        "examine   host  source                        ← distribution",
        "metadata  VM    metadata                      ← distribution, source, template",
        "resolve   host  wheelhouse                    ← distribution, source, metadata",
        "install   VM    installed, resources.install  ← wheelhouse, template",
    ];
    assert_eq!(stdout.lines().collect::<Vec<_>>(), lines);
    for (format, begin) in [
        ("dot", "digraph plan {"),
        ("mermaid", "flowchart LR"),
        ("json", "{\n  \"goals\": ["),
    ] {
        let (status, stdout, _) = at_an_empty_home(&["plan", "six", "--format", format]);
        assert_eq!(status, Some(0));
        assert!(stdout.starts_with(begin), "{stdout}");
    }
    let (status, _, stderr) = at_an_empty_home(&["plan", "six=="]);
    assert_eq!(status, Some(2), "{stderr}");
}

#[test]
fn a_plan_of_all_stages_has_every_edge() {
    let target = package("stages/whole");
    let target = target.to_string_lossy();
    let (status, stdout, stderr) = at_an_empty_home(&["plan", &target, "--all-stages"]);
    assert_eq!(status, Some(0), "{stderr}");
    let expected = [
        "fetch host distribution",
        "template host template ← distribution",
        "examine host source ← distribution",
        "metadata VM metadata ← distribution, source, template",
        "resolve host wheelhouse ← distribution, source, metadata",
        "detect host test-plan ← distribution, metadata",
        "install VM installed, resources.install ← wheelhouse, template",
        "tools-build host tools.build",
        "build VM build, resources.build ← wheelhouse, template, tools.build",
        "startup VM startup, resources.startup ← installed, template",
        "import VM imports, resources.import ← installed, template",
        "scripts VM scripts, resources.scripts ← installed, template",
        "tools-test host tools.test ← test-plan, wheelhouse, metadata",
        "test VM tests, resources.test ← wheelhouse, installed, test-plan, template, tools.test",
        "tools-coverage host tools.coverage ← test-plan, wheelhouse, metadata",
        "coverage VM coverage, resources.coverage ← wheelhouse, installed, test-plan, template, tools.coverage",
        "tools-quality-pylint host tools.quality-pylint ← wheelhouse, metadata",
        "quality-pylint VM quality.pylint, resources.quality-pylint ← distribution, installed, template, tools.quality-pylint",
        "tools-quality-ruff host tools.quality-ruff",
        "quality-ruff VM quality.ruff, resources.quality-ruff ← distribution, template, tools.quality-ruff",
        "tools-quality-pyflakes host tools.quality-pyflakes",
        "quality-pyflakes VM quality.pyflakes, resources.quality-pyflakes ← distribution, template, tools.quality-pyflakes",
        "tools-quality-bandit host tools.quality-bandit",
        "quality-bandit VM quality.bandit, resources.quality-bandit ← distribution, template, tools.quality-bandit",
        "tools-quality-wheel host tools.quality-wheel",
        "quality-wheel VM quality.check-wheel-contents, resources.quality-wheel ← distribution, build?, template, tools.quality-wheel",
        "tools-quality-twine host tools.quality-twine",
        "quality-twine VM quality.twine, resources.quality-twine ← distribution, template, tools.quality-twine",
        "tools-quality-pyroma host tools.quality-pyroma",
        "quality-pyroma VM quality.pyroma, resources.quality-pyroma ← distribution, wheelhouse?, template, tools.quality-pyroma",
        "performance host performance ← each resources.*",
    ];
    // How wide the columns are says nothing of the plan.
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(stdout.lines().map(words).collect::<Vec<_>>(), expected);
}

#[test]
fn a_run_that_is_not_there_is_an_error_of_one_sentence() {
    let (status, stdout, stderr) = at_an_empty_home(&["show", "last"]);
    assert_eq!((status, stdout.as_str()), (Some(2), ""));
    assert_eq!(stderr, "pyti: no run in HOME/runs: audit something first\n");
    let (status, _, stderr) = at_an_empty_home(&["show", "/dev"]);
    assert_eq!(status, Some(2));
    assert!(stderr.starts_with("pyti: no run `/dev`"), "{stderr}");
}

#[test]
fn runs_are_listed() {
    let (status, stdout, _) = at_an_empty_home(&["runs"]);
    let none = "no run in HOME/runs: audit something first\n";
    assert_eq!((status, stdout.as_str()), (Some(0), none));
    let home = tempfile::tempdir().expect("failed to make a directory");
    let place = home.path().join("runs").join("1-trace");
    let trace =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/reverse-shell.strace");
    let command = |args: &[&str]| {
        let command = pyti().args(args).env("PYTI_HOME", home.path()).output();
        command.expect("failed to start pyti")
    };
    let (trace, out) = (trace.to_string_lossy(), place.to_string_lossy());
    let kept = command(&["analyze", "--strace", &trace, "--out", &out]);
    assert_eq!(kept.status.code(), Some(1), "{}", text(&kept.stderr));
    let listed = text(&command(&["runs"]).stdout);
    assert!(
        listed.contains("malicious") && listed.contains("1-trace"),
        "{listed}"
    );
    assert_eq!(command(&["show", "1-trace"]).status.code(), Some(0));
    // A trace keeps what programs did, and not what they printed.
    assert_eq!(
        command(&["show", "1-trace", "--output"]).status.code(),
        Some(0)
    );
    std::fs::remove_file(place.join("trace").join("events.parquet")).expect("no events");
    let gone = command(&["show", "1-trace", "--events"]);
    assert_eq!(gone.status.code(), Some(2));
    assert!(
        text(&gone.stderr).contains("are gone from"),
        "{}",
        text(&gone.stderr)
    );
}

#[test]
fn what_is_left_of_a_run_whose_program_died_comes_with_a_notice() {
    let directory = tempfile::tempdir().expect("failed to make a directory");
    let place = directory.path().join("run");
    let trace =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/reverse-shell.strace");
    let (trace, out) = (trace.to_string_lossy(), place.to_string_lossy());
    let kept = run(&["analyze", "--strace", &trace, "--out", &out]);
    assert_eq!(kept.status.code(), Some(1), "{}", text(&kept.stderr));
    let show = |what: &str| {
        let output = run(&["show", &out, what]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    };
    let views = ["--events", "--tree", "--output"];
    let whole = views.map(show);
    // As it stands until the program that works on it has finished it.
    let path = place.join("run.json");
    let record = std::fs::read_to_string(&path).expect("no record");
    let unfinished = record.replace("\"state\": \"finished\"", "\"state\": \"running\"");
    assert_ne!(record, unfinished);
    std::fs::write(&path, unfinished).expect("failed to write");
    for (view, (shown, silent)) in views.iter().zip(whole) {
        let (left, notice) = show(view);
        assert_eq!(silent, "", "{view}");
        assert!(left.contains(&shown), "{view}: {left}");
        let expected = "pyti: the run was not watched to its end: its program died";
        assert!(notice.starts_with(expected), "{view}: {notice}");
    }
}

#[test]
fn an_option_without_its_stage_is_refused() {
    let args = ["plan", "six==1.16.0", "--test-command", "pytest"];
    let (status, _, stderr) = at_an_empty_home(&args);
    assert_eq!(status, Some(2));
    let expected = "pyti: --test-command is for the stages test and coverage";
    assert!(stderr.starts_with(expected), "{stderr}");
    let (status, _, stderr) = at_an_empty_home(&[&args[..], &["--stage", "test"]].concat());
    assert_eq!(status, Some(0), "{stderr}");
}

#[test]
fn every_rule_is_listed_and_passes_its_own_traces() {
    let listed = text(&run(&["rules", "list"]).stdout);
    assert!(listed.lines().count() >= 15, "{listed}");
    assert!(listed.contains("reverse-shell"), "{listed}");
    let tested = run(&["rules", "test"]);
    assert_eq!(tested.status.code(), Some(0), "{}", text(&tested.stdout));
}
