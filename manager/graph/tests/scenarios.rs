//! The manager's promises, one test each.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test ends where it is surprised"
)]

mod common;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Does, all, lasting, options, outcome, run, run_until, task};
use pyti_graph::{
    Blame, Failure, Kind, Memo, MemoKey, Need, Outcome, Outputs, Plan, PlanError, Resources, Task,
};
use tokio::sync::watch;
use tokio::time::Instant;

fn plan(tasks: Vec<Task>, goals: &[&str]) -> Plan {
    let goals: Vec<Kind> = goals.iter().map(|&goal| goal.into()).collect();
    Plan::new(tasks, &goals).expect("a plan")
}

/// A needs B's data, B needs C's.
fn chain(b: Does) -> Plan {
    plan(
        vec![
            task("a", &[all("b")], Does::Provides),
            task("b", &[all("c")], b),
            task("c", &[], Does::Provides),
        ],
        &["a"],
    )
}

#[tokio::test(start_paused = true)]
async fn a_needs_b_needs_c_so_the_order_is_c_b_a() {
    let (_, lines) = run(&chain(Does::Provides), &options()).await;
    assert_eq!(
        lines,
        [
            "C starts", "C done", "B starts", "B done", "A starts", "A done"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn b_fails_so_a_is_skipped_with_the_chain_to_the_cause() {
    let failure = Failure::package("setup.py raised");
    let plan = plan(
        vec![
            task("a0", &[all("a")], Does::Provides),
            task("a", &[all("b")], Does::Provides),
            task("b", &[all("c")], Does::Fails(failure)),
            task("c", &[], Does::Provides),
        ],
        &["a0"],
    );
    let (execution, lines) = run(&plan, &options()).await;
    assert!(!lines.iter().any(|line| line.starts_with("A starts")));
    assert_eq!(
        outcome(&execution, "A0").to_string(),
        "skipped: no a, since A was skipped; no b, since B failed: setup.py raised"
    );
    assert_eq!(
        outcome(&execution, "A0").brief(),
        "skipped: no a, since A was skipped; no b, since B failed"
    );
    assert_eq!(
        outcome(&execution, "A0").root(),
        Some(("B", "failed: setup.py raised"))
    );
}

#[tokio::test(start_paused = true)]
async fn an_optional_need_waits_and_goes_on_without() {
    for (does, given) in [
        (Does::Provides, vec!["extra"]),
        (Does::Fails(Failure::package("no")), vec![]),
        (
            Does::Fails(Failure::NotApplicable("no native part".into())),
            vec![],
        ),
    ] {
        let needs = [Need::Optional("extra".into())];
        let (report, seen) = lasting("report", &needs, Does::Provides, Duration::ZERO);
        let plan = plan(vec![report, task("extra", &[], does)], &["report", "extra"]);
        let (execution, lines) = run(&plan, &options()).await;
        assert!(outcome(&execution, "REPORT").is_done());
        assert_eq!(lines.first().map(String::as_str), Some("EXTRA starts"));
        assert_eq!(*seen.given.lock().unwrap(), given);
    }
}

#[tokio::test(start_paused = true)]
async fn each_takes_what_there_is_of_a_pattern() {
    let needs = [Need::Each("resources.*".into())];
    let (report, seen) = lasting("report", &needs, Does::Provides, Duration::ZERO);
    let tasks = vec![
        report,
        task("resources.install", &[], Does::Provides),
        task("resources.test", &[], Does::Fails(Failure::package("no"))),
        task("resources.import", &[], Does::Provides),
        task("other", &[], Does::Provides),
    ];
    let goals = ["report", "resources.install", "resources.test", "other"];
    let (execution, _) = run(&plan(tasks, &goals), &options()).await;
    assert!(outcome(&execution, "REPORT").is_done());
    // Not asked for, so not planned: resources.import.
    assert_eq!(*seen.given.lock().unwrap(), ["resources.install"]);
    assert_eq!(execution.outcomes.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_not_applicable_skips_who_needs_it() {
    let nothing = Failure::NotApplicable("it has no tests".into());
    let plan = plan(
        vec![
            task("report", &[all("coverage")], Does::Provides),
            task("coverage", &[all("tests")], Does::Provides),
            task("tests", &[], Does::Fails(nothing)),
            task("import", &[all("installed")], Does::Provides),
            task("installed", &[], Does::Fails(Failure::package("no"))),
        ],
        &["report", "import"],
    );
    let (execution, _) = run(&plan, &options()).await;
    for (task, nothing_to_do) in [("TESTS", true), ("REPORT", true), ("IMPORT", false)] {
        let outcome = outcome(&execution, task);
        assert_eq!(
            outcome.is_not_applicable(),
            nothing_to_do,
            "{task}: {outcome}"
        );
    }
    assert_eq!(
        outcome(&execution, "COVERAGE").to_string(),
        "skipped: no tests, since TESTS was not applicable: it has no tests"
    );
}

#[tokio::test(start_paused = true)]
async fn cancelling_stops_what_runs_drops_what_does_not_stop_and_starts_nothing() {
    let plan = plan(
        vec![
            task("polite", &[], Does::Waits),
            task("deaf", &[], Does::Hangs),
            task("later", &[all("polite")], Does::Provides),
        ],
        &["polite", "deaf", "later"],
    );
    let (tell, cancel) = watch::channel(false);
    let began = Instant::now();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        tell.send_replace(true);
    });
    let (execution, _) = run_until(&plan, &options(), cancel).await;
    assert!(
        execution
            .outcomes
            .iter()
            .all(|(_, end)| *end == Outcome::Cancelled)
    );
    assert_eq!(
        began.elapsed().as_secs(),
        6,
        "one second, and the grace of five"
    );
}

#[tokio::test(start_paused = true)]
async fn what_serves_no_goal_any_more_is_stopped() {
    let plan = plan(
        vec![
            task("install", &[all("fetch"), all("template")], Does::Provides),
            task("fetch", &[], Does::Fails(Failure::package("unknown"))),
            task("template", &[], Does::Waits),
        ],
        &["install"],
    );
    let began = Instant::now();
    let (execution, _) = run(&plan, &options()).await;
    assert_eq!(*outcome(&execution, "TEMPLATE"), Outcome::Cancelled);
    assert!(
        outcome(&execution, "INSTALL")
            .to_string()
            .ends_with("failed: unknown")
    );
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_times_out_proves_nothing_and_is_not_tried_again() {
    let mut slow = task("slow", &[], Does::Hangs);
    slow.timeout = Some(Duration::from_secs(30));
    let (execution, lines) = run(&plan(vec![slow], &["slow"]), &options()).await;
    assert_eq!(
        *outcome(&execution, "SLOW"),
        Outcome::Failed {
            blame: Blame::Inconclusive,
            reason: "timed out after 30 s".into()
        }
    );
    assert_eq!(
        lines.iter().filter(|line| line.contains("starts")).count(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn infrastructure_is_retried_and_package_failures_are_not() {
    let flaky = plan(vec![task("fetch", &[], Does::FailsFirst(2))], &["fetch"]);
    let (_, lines) = run(&flaky, &options()).await;
    assert_eq!(
        lines,
        [
            "FETCH starts",
            "FETCH again: the network is down",
            "FETCH starts, try 2",
            "FETCH again: the network is down",
            "FETCH starts, try 3",
            "FETCH done"
        ]
    );
    let down = plan(vec![task("fetch", &[], Does::FailsFirst(9))], &["fetch"]);
    let (execution, _) = run(&down, &options()).await;
    assert_eq!(
        outcome(&execution, "FETCH").to_string(),
        "failed: the network is down"
    );
    let fails = Does::Fails(Failure::package("exit status 1"));
    let (_, lines) = run(
        &plan(vec![task("install", &[], fails)], &["install"]),
        &options(),
    )
    .await;
    assert_eq!(lines, ["INSTALL starts", "INSTALL failed: exit status 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_one_task_and_not_the_manager() {
    let plan = plan(
        vec![
            task("bad", &[], Does::Panics),
            task("good", &[], Does::Provides),
        ],
        &["bad", "good"],
    );
    let mut options = options();
    options.retries = 0;
    let (execution, _) = run(&plan, &options).await;
    assert!(outcome(&execution, "BAD").to_string().contains("panicked"));
    assert!(outcome(&execution, "GOOD").is_done());
}

#[tokio::test(start_paused = true)]
async fn independent_tasks_run_at_the_same_time_within_the_limits() {
    let in_vm = |name: &str| {
        let (mut task, _) = lasting(name, &[], Does::Provides, Duration::from_secs(10));
        task.cost = Resources {
            vms: 1,
            memory_mib: 2048,
            network: 0,
        };
        task
    };
    let plan = plan(vec![in_vm("a"), in_vm("b"), in_vm("c")], &["a", "b", "c"]);
    let began = Instant::now();
    let (execution, lines) = run(&plan, &options()).await;
    assert!(execution.outcomes.iter().all(|(_, end)| end.is_done()));
    assert_eq!(began.elapsed().as_secs(), 20, "two slots for three tasks");
    assert_eq!(lines[..2], ["A starts", "B starts"]);
    let mut narrow = options();
    narrow.resources.memory_mib = 1024;
    let (execution, _) = run(&plan, &narrow).await;
    assert!(
        outcome(&execution, "A")
            .to_string()
            .contains("needs more than there is")
    );
}

#[derive(Default)]
struct InMemory(Mutex<HashMap<String, Outputs>>);

impl Memo for InMemory {
    fn recall(&self, _: &str, key: &MemoKey) -> Option<Outputs> {
        self.0.lock().unwrap().get(key.as_str()).cloned()
    }

    fn keep(&self, _: &str, key: &MemoKey, outputs: &Outputs) {
        self.0
            .lock()
            .unwrap()
            .insert(key.as_str().into(), outputs.clone());
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_run_does_only_what_changed_and_fresh_does_all() {
    let tasks = |version_of_b: &str| {
        let mut tasks = vec![
            task("a", &[all("b")], Does::Provides),
            task("b", &[all("c")], Does::Provides),
            task("c", &[], Does::Provides),
        ];
        for task in &mut tasks {
            task.version = Some("1".into());
        }
        tasks[1].version = Some(version_of_b.into());
        plan(tasks, &["a"])
    };
    let mut options = options();
    options.memo = Some(Arc::new(InMemory::default()));
    let done = async |plan: Plan, options: &pyti_graph::Options| {
        let (_, lines) = run(&plan, options).await;
        let again = |line: &&String| line.ends_with(" done");
        lines.iter().filter(again).count()
    };
    assert_eq!(done(tasks("1"), &options).await, 3);
    assert_eq!(done(tasks("1"), &options).await, 0);
    // B gives the same datum as before, so A need not be done again.
    assert_eq!(done(tasks("2"), &options).await, 1);
    options.fresh = true;
    assert_eq!(done(tasks("2"), &options).await, 3);
}

#[test]
fn a_plan_has_one_provider_for_each_datum_knows_every_datum_and_has_no_cycle() {
    let error = |tasks: Vec<Task>, goal: &str| Plan::new(tasks, &[goal.into()]).unwrap_err();
    let provides = Does::Provides;
    let mut twin = task("a", &[], provides.clone());
    twin.name = "TWIN".into();
    assert_eq!(
        error(vec![task("a", &[], provides.clone()), twin], "a").to_string(),
        "a is provided by both A and TWIN"
    );
    assert_eq!(
        error(vec![task("a", &[all("x")], provides.clone())], "a").to_string(),
        "no task provides x, which A needs"
    );
    assert_eq!(
        error(vec![], "x").to_string(),
        "no task provides x, which the goal needs"
    );
    let ring = vec![
        task("d", &[all("a")], provides.clone()),
        task("a", &[all("b")], provides.clone()),
        task("b", &[Need::Optional("c".into())], provides.clone()),
        task("c", &[Need::Each("a".into())], provides),
    ];
    assert_eq!(
        error(ring, "d"),
        PlanError::Cycle(["A", "B", "C", "A"].map(String::from).to_vec())
    );
}

#[test]
fn a_plan_is_pruned_to_its_goals_and_drawn() {
    let tasks = vec![
        task(
            "report",
            &[Need::Each("stage.*".into()), all("target")],
            Does::Provides,
        ),
        task("stage.install", &[all("wheelhouse")], Does::Provides),
        task("stage.test", &[all("stage.install")], Does::Provides),
        task(
            "wheelhouse",
            &[all("target"), Need::Optional("hint".into())],
            Does::Provides,
        ),
        task("hint", &[], Does::Provides),
        task("target", &[], Does::Provides),
    ];
    let plan = plan(tasks, &["report", "stage.install"]);
    insta::assert_snapshot!("plan_text", pyti_graph::text(&plan));
    insta::assert_snapshot!("plan_dot", pyti_graph::dot(&plan));
    insta::assert_snapshot!("plan_mermaid", pyti_graph::mermaid(&plan));
    insta::assert_snapshot!("plan_json", format!("{:#}", pyti_graph::json(&plan)));
}
