//! `pyti` interrupted or killed while it fetches: it ends at once, and what was under way goes.

use std::process::Child;
use std::time::Duration;

use pyti_tests::place::Place;
use pyti_tests::process::{ended, signal_group, wait_for};
use pyti_tests::slow_index::{SlowIndex, Stalls};
use pyti_tests::text;

/// What fetching may take to end: there is nothing to report.
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
