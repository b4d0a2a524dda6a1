//! For every family: what was done is what the probes saw, and that is what is stored and what is
//! reported lost, exactly; on a host that keeps up and on one that does not.

use std::time::Duration;

use pyti_analyzer::Verdict;
use pyti_analyzer::facts::family_name;
use pyti_tests::burst::{is_cut, reckon, reckon_cut, run_slowly, stage};
use pyti_tests::guest;
use pyti_trace::event::Family;

#[tokio::test(flavor = "multi_thread")]
async fn vm_accounting_is_exact_in_a_burst() {
    let spec = stage(15, 3, 20).expect("no order");
    let ran = guest::run(&spec).await.expect("the burst did not run");
    let burst = reckon(&ran).expect("the sums do not come out even");
    let sum: u64 = burst.made.iter().sum();
    assert!(sum > 50_000, "{burst:?}");
    assert!(burst.made.iter().all(|made| *made > 10), "{burst:?}");
}

/// A machine that makes more in a minute than the host keeps does not show how the program ends: that is
/// as after a short burst.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "continuous integration has no time for a minute: cargo xtask test --images"]
async fn vm_accounting_is_exact_for_a_minute() {
    let spec = stage(60, 3, 20).expect("no order");
    let ran = guest::run(&spec).await.expect("the burst did not run");
    let burst = if is_cut(&ran) {
        let spec = stage(1, 3, 20).expect("no order");
        let short = guest::run(&spec).await.expect("the burst did not run");
        let short = reckon(&short).expect("the sums do not come out even");
        reckon_cut(&ran, short.after)
    } else {
        reckon(&ran)
    };
    let burst = burst.expect("the sums do not come out even");
    let sum: u64 = burst.made.iter().sum();
    assert!(sum > 200_000, "{burst:?}");
    assert!(burst.made.iter().all(|made| *made > 10), "{burst:?}");
}

#[test]
fn vm_accounting_is_exact_on_a_slow_host() {
    let spec = stage(25, 10, 3000).expect("no order");
    let ran = run_slowly(&spec, Duration::from_secs(24)).expect("the burst did not run");
    let burst = reckon(&ran).expect("the sums do not come out even");
    assert!(burst.lost[Family::File as usize] > 1000, "{burst:?}");
    let report = guest::judge(&ran.facts, &ran.events).expect("no rules");
    assert_eq!(report.verdict, Verdict::Inconclusive, "{burst:?}");
    let losses = &report.losses[&ran.facts.name];
    for family in Family::ALL {
        let (name, lost) = (family_name(family), burst.lost[family as usize]);
        assert_eq!(losses[name].lost, Some(lost), "{name}: {losses:?}");
        let told = |text: &String| text.contains(&format!("{name} events were lost"));
        assert_eq!(report.missing.iter().any(told), lost > 0, "{losses:?}");
    }
    // A rule that needs what was lost says so.
    assert!(!report.undecided.is_empty(), "{losses:?}");
}
