//! `pyti` interrupted or killed while it fetches, resolves or builds an image: it ends at once, so does
//! what it started, and what was under way goes.
#![expect(clippy::expect_used, reason = "what fails in a helper fails the test")]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Child;
use std::time::Duration;

use pyti_tests::place::Place;
use pyti_tests::process::{
    children, ended, is_gone, program_of, signal, signal_group, wait_at_most, wait_for,
};
use pyti_tests::slow_index::{SlowIndex, Stalls};
use pyti_tests::text;

/// What any of it may take to end: there is nothing to report.
const SOON: Duration = Duration::from_secs(5);

/// Starts an audit of `slow`, and waits until its index stalls.
fn fetching(place: &Place, stalls: Stalls) -> (Child, SlowIndex) {
    let index = SlowIndex::start(stalls).expect("no index");
    let args = ["audit", "--index-url", &index.url(), "slow==1.0"];
    let mut child = place.pyti(&args).spawn().expect("failed to start pyti");
    wait_for("the index to be asked", || {
        let ended = child.try_wait().expect("failed to wait");
        assert!(ended.is_none(), "{ended:?}");
        let begun = |name: &String| place.path(name).metadata().is_ok_and(|file| file.len() > 0);
        match stalls {
            Stalls::Page => !index.asked().is_empty(),
            Stalls::File => place.under_way().iter().any(begun),
        }
    });
    (child, index)
}

#[test]
fn an_interrupted_fetch_ends_at_once_and_leaves_nothing() {
    for (stalls, signal) in [
        (Stalls::Page, "INT"),
        (Stalls::File, "INT"),
        (Stalls::File, "TERM"),
    ] {
        let place = Place::empty().expect("no place");
        let (child, _index) = fetching(&place, stalls);
        signal_group(child.id(), signal);
        let output = ended(child, SOON);
        assert_eq!(output.status.code(), Some(2), "{stalls:?} {signal}");
        assert_eq!(
            text(&output.stderr),
            "pyti: interrupted before anything ran\n"
        );
        assert_eq!(text(&output.stdout), "");
        assert_eq!(place.under_way(), [""; 0], "{stalls:?} {signal}");
        assert_eq!(place.names("home/runs"), [""; 0], "{stalls:?} {signal}");
    }
}

#[test]
fn what_a_killed_fetch_left_goes_at_the_next_start() {
    let place = Place::empty().expect("no place");
    let (mut child, index) = fetching(&place, Stalls::File);
    signal_group(child.id(), "KILL");
    child.wait().expect("failed to wait");
    // The kernel took the process; only another one can take the file that it had begun.
    let left = place.under_way();
    assert!(
        matches!(&left[..], [file] if file.starts_with("home/tmp/")),
        "{left:?}"
    );
    let killed = place.names("home/runs");
    assert_eq!(killed.len(), 1);
    let shown = place.says(&["show", "last"]);
    assert!(shown.contains("INCONCLUSIVE"), "{shown}");

    let args = ["audit", "--index-url", &index.url(), "unknown==1.0"];
    let next = place.pyti(&args).output().expect("failed to start pyti");
    assert_eq!(next.status.code(), Some(2), "{}", text(&next.stderr));
    assert!(index.asked().contains(&"/simple/unknown/".to_owned()));
    assert_eq!(place.under_way(), [""; 0]);
    // What is on record of it is the user's.
    assert_eq!(place.names("home/runs"), killed);
}

/// Its build requires what the slow index has; nothing else of it must be asked for.
const PYPROJECT: &str = r#"
[build-system]
requires = ["slow"]
build-backend = "backend"
backend-path = ["."]

[project]
name = "waits"
version = "1.0"
"#;

/// Starts an audit whose resolver is kept waiting by its index, and gives that resolver too. It is
/// stopped: now it can no longer end by itself, only be killed.
fn resolving(place: &Place) -> (Child, SlowIndex, u32) {
    let source = place.path("source");
    std::fs::create_dir(&source).expect("failed to make a directory");
    std::fs::write(source.join("pyproject.toml"), PYPROJECT).expect("failed to write");
    // The image is built meanwhile: by a stand-in that does nothing, and not to its end.
    let programs = place.path("programs");
    std::fs::create_dir(&programs).expect("failed to make a directory");
    let stand_in = programs.join("mmdebstrap");
    std::fs::write(&stand_in, "#!/bin/sh\nexec sleep 600\n").expect("failed to write");
    std::fs::set_permissions(&stand_in, Permissions::from_mode(0o755)).expect("failed to mark");
    let path = std::env::var("PATH").expect("no PATH");

    let index = SlowIndex::start(Stalls::Page).expect("no index");
    let mut command = place.pyti(&["audit", "--index-url", &index.url()]);
    command
        .arg(source)
        .env("PATH", format!("{}:{path}", programs.display()));
    let mut child = command.spawn().expect("failed to start pyti");
    wait_for("the resolver to ask, and the image to be begun", || {
        let ended = child.try_wait().expect("failed to wait");
        assert!(ended.is_none(), "{ended:?}");
        !index.asked().is_empty() && place.programs().iter().any(|name| name == "sleep")
    });
    assert_eq!(index.asked(), ["/simple/slow/"]);
    let is_uv = |pid: &u32| program_of(*pid).is_some_and(|name| name == "uv");
    let resolver = children(child.id()).into_iter().find(is_uv);
    let resolver = resolver.expect("no uv was started by pyti");
    signal(resolver, "STOP");
    (child, index, resolver)
}

#[tokio::test]
async fn an_interrupted_resolution_ends_at_once_and_leaves_nothing() {
    let place = Place::with_resolver().await.expect("no place");
    let (child, _index, resolver) = resolving(&place);
    signal_group(child.id(), "INT");
    let output = ended(child, SOON);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        text(&output.stderr),
        "pyti: interrupted before anything ran\n"
    );
    assert_eq!(text(&output.stdout), "");
    wait_at_most(SOON, "the resolver to die", || is_gone(resolver));
    wait_at_most(SOON, "all else to die", || place.programs().is_empty());
    assert_eq!(place.under_way(), [""; 0]);
    assert_eq!(place.names("home/runs"), [""; 0]);
}

#[tokio::test]
async fn the_resolver_of_a_killed_audit_dies_with_it() {
    let place = Place::with_resolver().await.expect("no place");
    let (mut child, _index, resolver) = resolving(&place);
    signal(child.id(), "KILL");
    child.wait().expect("failed to wait");
    wait_at_most(SOON, "the resolver to die", || is_gone(resolver));
    wait_at_most(SOON, "all else to die", || place.programs().is_empty());
}

/// Starts to build an image, and waits until apt fetches what there is for it: mmdebstrap alone would then
/// wait for apt, whatever signal it got.
fn building(place: &Place) -> Child {
    // An ordinary user's mmdebstrap works there under another id.
    let open = Permissions::from_mode(0o755);
    std::fs::set_permissions(place.path(""), open).expect("failed to open the place");
    let mut child = place
        .pyti(&["image", "build", "trixie"])
        .spawn()
        .expect("failed to start pyti");
    wait_for("apt to fetch", || {
        let ended = child.try_wait().expect("failed to wait");
        assert!(ended.is_none(), "{ended:?}");
        let programs = place.programs();
        // apt has a program for each way to fetch.
        let fetches = |name: &String| name == "http" || name == "https";
        programs.iter().any(|name| name == "mmdebstrap") && programs.iter().any(fetches)
    });
    child
}

#[test]
fn an_interrupted_build_of_an_image_ends_at_once_and_leaves_nothing() {
    for (send, name) in [
        (signal_group as fn(u32, &str), "INT"),
        (signal as fn(u32, &str), "TERM"),
    ] {
        let place = Place::empty().expect("no place");
        let child = building(&place);
        send(child.id(), name);
        let output = ended(child, SOON);
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert_eq!(
            text(&output.stderr),
            "pyti: interrupted before the image was ready\n"
        );
        assert_eq!(text(&output.stdout), "");
        wait_at_most(SOON, "the build to end", || place.programs().is_empty());
        assert_eq!(place.under_way(), [""; 0], "{name}");
        assert_eq!(place.names("home/images"), [""; 0], "{name}");
    }
}

#[test]
fn a_killed_build_of_an_image_takes_all_with_it_and_its_tree_goes_at_the_next_start() {
    let place = Place::empty().expect("no place");
    let mut child = building(&place);
    signal(child.id(), "KILL");
    child.wait().expect("failed to wait");
    wait_at_most(SOON, "the build to end", || place.programs().is_empty());
    let left = place.under_way();
    assert!(!left.is_empty());
    assert!(
        left.iter().all(|name| name.starts_with("home/stages/")),
        "{left:?}"
    );
    let listed = place.says(&["image", "list"]);
    assert!(listed.contains("trixie"), "{listed}");
    assert_eq!(place.under_way(), [""; 0]);
    assert_eq!(place.names("home/images"), [""; 0]);
}
