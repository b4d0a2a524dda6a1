//! What is made of what a clone left, and what its program does.

use std::path::Path;
use std::process::Command;

use pyti_index::IndexConfig;

use super::flaw::tests::{python, zipped};
use super::*;

fn request() -> HookRequest {
    HookRequest {
        sdist: "/nowhere/a-1.tar.gz".into(),
        filename: "a-1.tar.gz".to_owned(),
        sha256: "00".to_owned(),
        wheelhouse: vec![],
        build_requires: vec![],
        hint: None,
    }
}

/// A stage that left this below `home`.
fn ran(home: &Path, status: StageStatus, files: &[(&str, &str)]) -> Ran {
    let files = files.iter();
    Ran {
        facts: StageFacts::new("build-2", status),
        files: files
            .map(|(path, content)| ((*path).to_owned(), content.as_bytes().to_vec()))
            .collect(),
        state: None,
        store: DataStore::at(home.join("data")),
        directory: home.to_owned(),
    }
}

#[test]
fn a_wheel_is_kept_under_its_name() {
    let home = tempfile::tempdir().unwrap();
    let told = r#"{"status": 0, "wheel": "a-1-py3-none-any.whl"}"#;
    let files = [(RESULT, told), (WHEEL, "content")];
    let ran = ran(home.path(), StageStatus::Completed, &files);
    let store = ran.store.clone();
    let made = made(ran, &request()).unwrap();
    let (name, blob) = made.wheel.unwrap();
    assert_eq!(
        (&*made.sdist, &*name),
        ("a-1.tar.gz", "a-1-py3-none-any.whl")
    );
    assert_eq!((made.failed, made.cut_short), (None, false));
    let content = std::io::read_to_string(store.open(&blob).unwrap());
    assert_eq!(content.unwrap(), "content");
}

#[test]
fn that_there_is_no_wheel_is_told_with_the_reason() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(
        home.path().join("stderr"),
        "Error: no pg_config\n  note: x\n",
    )
    .unwrap();
    let completed = StageStatus::Completed;
    let why = |status: StageStatus, files: &[(&str, &str)]| {
        let made = made(ran(home.path(), status, files), &request()).unwrap();
        assert_eq!(made.wheel, None);
        made.failed.unwrap()
    };
    for (told, expected) in [
        (
            r#"{"status": 1, "wheel": null}"#,
            "exit status 1: Error: no pg_config",
        ),
        (r#"{"status": -9, "wheel": null}"#, "ended by signal 9"),
        (r#"{"status": null, "wheel": null}"#, "timed out"),
        (
            r#"{"status": 0, "wheel": null}"#,
            "its build gave not exactly one wheel",
        ),
        // Too large to be brought back.
        (
            r#"{"status": 0, "wheel": "a-1-py3-none-any.whl"}"#,
            "its wheel has more than 48 MiB",
        ),
        // It says that it failed, whatever else it says.
        (
            r#"{"status": 2, "wheel": "a-1-py3-none-any.whl"}"#,
            "exit status 2: Error: no pg_config",
        ),
    ] {
        assert_eq!(
            why(completed.clone(), &[(RESULT, told)]),
            expected,
            "{told}"
        );
    }
    let forged = why(completed, &[(RESULT, "[]")]);
    assert!(
        forged.starts_with("its result is not what its program writes"),
        "{forged}"
    );
    let reason = "it fell silent".to_owned();
    let died = StageStatus::VmDied { reason };
    assert_eq!(why(died.clone(), &[]), "the VM died: it fell silent");
    // What it told until then is not believed.
    let told = r#"{"status": 0, "wheel": "a-1-py3-none-any.whl"}"#;
    let files = [(RESULT, told), (WHEEL, "content")];
    assert_eq!(why(died, &files), "the VM died: it fell silent");
}

/// What is made of a wheel of this name and content, and what is said of it then.
async fn checked_wheel(filename: &str, content: &[u8]) -> (Made, Built) {
    let home = tempfile::tempdir().unwrap();
    let store = DataStore::at(home.path().join("data"));
    let nowhere = IndexConfig::new("http://127.0.0.1:9/simple/", &[]).unwrap();
    let options = Options::new(home.path().join("cache"), nowhere);
    let mut made = Made {
        sdist: "a-1.tar.gz".to_owned(),
        wheel: Some((filename.to_owned(), store.put(content).unwrap())),
        failed: None,
        cut_short: false,
    };
    let built = checked(&mut made, &store, &options, &python()).await;
    (made, built.unwrap())
}

#[tokio::test]
async fn why_a_wheel_that_was_built_is_refused_is_told_in_the_datum() {
    let name = "a-1-py3-none-any.whl";
    let metadata = (
        "a-1.dist-info/METADATA",
        "Metadata-Version: 2.1\nName: a\nVersion: 1\n",
    );
    let good = zipped(&[metadata]);
    let (made, built) = checked_wheel(name, &good).await;
    assert_eq!(built.unwrap().metadata, metadata.1);
    assert_eq!(made.failed, None);
    assert_eq!(made.wheel.unwrap().0, name);
    let strange = zipped(&[metadata, ("a-1.data/strange/x", "")]);
    for (name, content, why) in [
        (
            "b-1-py3-none-any.whl",
            &good[..],
            "it is no wheel of the source that was built",
        ),
        (name, &b"spam and eggs"[..], "it is not a zip archive"),
        (name, &strange[..], "a-1.data/strange/x belongs nowhere"),
    ] {
        let (made, built) = checked_wheel(name, content).await;
        let refused = built.unwrap_err();
        assert!(refused.ends_with(why), "{refused}");
        // It is kept beside the reason.
        assert_eq!(made.wheel.unwrap().0, name);
        assert_eq!(made.failed, Some(refused));
    }
}

#[test]
fn a_build_that_its_time_limit_ended_was_not_watched_to_its_end() {
    let home = tempfile::tempdir().unwrap();
    let cut_short = |status: StageStatus, told: &str| {
        let ran = ran(home.path(), status, &[(RESULT, told)]);
        made(ran, &request()).unwrap().cut_short
    };
    let late = r#"{"status": null, "wheel": null}"#;
    assert!(cut_short(StageStatus::Completed, late));
    for told in [
        r#"{"status": 1, "wheel": null}"#,
        r#"{"status": -9, "wheel": null}"#,
        r#"{"status": 0, "wheel": null}"#,
    ] {
        assert!(!cut_short(StageStatus::Completed, told), "{told}");
    }
    assert!(cut_short(StageStatus::TimedOut, ""));
}

#[test]
fn how_long_a_build_may_take_follows_the_limit_of_its_stage() {
    let of = |wall_seconds| {
        cut_short(&LimitArgs {
            wall_seconds,
            memory_mib: 1024,
            pids: 100,
            output_kib: 1024,
            events: 1,
        })
    };
    let raise = ": --wall SECONDS raises it, to 600 at most";
    for (wall, seconds, raise) in [
        (20, 10, raise),
        (120, 90, raise),
        (629, 599, raise),
        (630, 600, ""),
        (86_400, 600, ""),
    ] {
        let told = format!("its build was cut short by its time limit of {seconds} seconds{raise}");
        assert_eq!(of(wall), told);
    }
}

#[test]
fn a_stage_has_the_first_name_that_no_other_has() {
    let ran = |name: &str| StageFacts::new(name, StageStatus::Completed);
    let mut building = Building::default();
    assert_eq!(building.name(&[]), "build-2");
    // Whatever came of the first one, its directory may be there.
    let on_record = ["build", "metadata-3", "build-4"].map(ran);
    assert_eq!(building.name(&on_record), "build-3");
    assert_eq!(building.name(&on_record), "build-5");
    building.names.remove("build-2");
    assert_eq!(building.name(&on_record), "build-2");
}

#[test]
fn neither_their_number_nor_their_time_is_without_end() {
    let mut building = Building::default();
    let no = || Err("no".to_owned());
    for number in 0..MOST_BUILDS {
        assert_eq!(building.refusal("a"), None);
        building.add(format!("b{number}"), number.to_string(), no());
    }
    let reason = "it has no wheel, and 24 others were to be built before it";
    assert_eq!(building.refusal("a").as_deref(), Some(reason));
    let building = Building {
        spent: LONGEST,
        ..Building::default()
    };
    let reason = "it has no wheel, and building others took more than 45 minutes";
    assert_eq!(building.refusal("a").as_deref(), Some(reason));
}

#[test]
fn releases_of_one_package_do_not_use_up_the_builds_of_others() {
    let mut building = Building::default();
    for sdist in ["A_b-3.tar.gz", "a.b-2.1.zip", "a-b-1.tar.gz"] {
        assert_eq!(building.refusal("a-b"), None);
        building.add(package(sdist), sdist.to_owned(), Err("no".to_owned()));
    }
    let reason = "it has no wheel, and 3 of its releases were built before it";
    let refusal = |sdist: &str| building.refusal(&package(sdist));
    assert_eq!(refusal("a-b-0.9.tar.gz").as_deref(), Some(reason));
    assert_eq!(refusal("a-1.tar.gz"), None);
}

/// What the program tells, and the wheel that it brings, where pip is this Python script.
fn program(pip: &str, seconds: &str) -> (Told, Option<String>) {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::create_dir(at("pip")).unwrap();
    std::fs::write(at("pip/__init__.py"), "").unwrap();
    std::fs::write(at("pip/__main__.py"), pip).unwrap();
    std::fs::write(at("program.py"), order::guest_program(SOURCE)).unwrap();
    let status = Command::new("python3")
        .arg(at("program.py"))
        .args(["a-1.tar.gz", "wheels", seconds])
        .args([at("built.whl"), at("told.json")])
        .env("PYTHONPATH", directory.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("TMPDIR", directory.path())
        .status()
        .unwrap();
    assert!(status.success(), "{status}: {pip}");
    let told = std::fs::read(at("told.json")).unwrap();
    let wheel = std::fs::read_to_string(at("built.whl")).ok();
    (serde_json::from_slice(&told).unwrap(), wheel)
}

#[test]
fn the_program_brings_the_one_wheel_that_pip_makes() {
    let make = "import os, sys\nwords = sys.argv[1:]\n\
        assert words[0] == 'wheel' and words[-1] == 'a-1.tar.gz' and '--no-index' in words\n\
        assert words[words.index('--find-links') + 1] == 'wheels'\n\
        def make(name):\n    out = words[words.index('--wheel-dir') + 1]\n    \
        open(os.path.join(out, name), 'w').write(name)\n";
    let (told, wheel) = program(&format!("{make}make('a.whl')\nmake('log.txt')\n"), "60");
    assert_eq!(
        (told.status, told.wheel.as_deref()),
        (Some(0), Some("a.whl"))
    );
    assert_eq!(wheel.as_deref(), Some("a.whl"));
    for (then, seconds, status) in [
        ("make('a.whl')\nmake('b.whl')\n", "60", Some(0)),
        ("make('a.whl')\nsys.exit(3)\n", "60", Some(3)),
        ("os.kill(os.getpid(), 9)\n", "60", Some(-9)),
        ("make('a.whl')\nimport time\ntime.sleep(600)\n", "1", None),
    ] {
        let (told, wheel) = program(&format!("{make}{then}"), seconds);
        assert_eq!(
            (told.status, told.wheel, wheel),
            (status, None, None),
            "{then}"
        );
    }
}
