//! What holds for every graph, shown on random ones.
#![expect(clippy::expect_used, reason = "a test ends where it is surprised")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{Does, lasting, options, run};
use proptest::prelude::*;
use pyti_graph::{Failure, Kind, Need, Outcome, Plan, Resources, Task};

/// Of one task: what it waits for (numbers of other tasks, and how), how it ends, how long it takes.
#[derive(Debug, Clone)]
struct Node {
    needs: Vec<(prop::sample::Index, bool)>,
    ends: u8,
    millis: u64,
    in_vm: bool,
}

fn node() -> impl Strategy<Value = Node> {
    let needs = prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..4);
    (needs, 0_u8..8, 0_u64..50, any::<bool>()).prop_map(|(needs, ends, millis, in_vm)| Node {
        needs,
        ends,
        millis,
        in_vm,
    })
}

fn name(at: usize) -> String {
    format!("t{at}")
}

/// Tasks that only wait for tasks of a higher number: given last to first in need.
fn tasks(nodes: &[Node]) -> Vec<Task> {
    nodes
        .iter()
        .enumerate()
        .map(|(at, node)| {
            let later = nodes.len() - at - 1;
            let needs: Vec<Need> = node
                .needs
                .iter()
                .filter(|_| later > 0)
                .map(|(index, optional)| {
                    let kind = Kind::new(name(at + 1 + index.index(later)));
                    if *optional {
                        Need::Optional(kind)
                    } else {
                        Need::All(kind)
                    }
                })
                .collect();
            let does = match node.ends {
                0 => Does::Fails(Failure::package("no")),
                1 => Does::Fails(Failure::infrastructure("no")),
                2 => Does::Fails(Failure::NotApplicable("no".into())),
                3 => Does::Panics,
                4 => Does::FailsFirst(1),
                _ => Does::Provides,
            };
            let (mut task, _) =
                lasting(&name(at), &needs, does, Duration::from_millis(node.millis));
            task.cost.vms = u32::from(node.in_vm);
            task
        })
        .collect()
}

/// Where each task first starts and where it ends among the lines.
fn places(lines: &[String]) -> BTreeMap<String, (Option<usize>, Vec<usize>)> {
    let mut places: BTreeMap<String, (Option<usize>, Vec<usize>)> = BTreeMap::new();
    for (at, line) in lines.iter().enumerate() {
        let (task, what) = line.split_once(' ').expect("a name and more");
        let place = places.entry(task.to_owned()).or_default();
        if what.starts_with("starts") {
            place.0.get_or_insert(at);
        } else if !what.starts_with("again") {
            place.1.push(at);
        }
    }
    places
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_task_ends_once_after_its_data_and_the_same_graph_in_the_same_order(
        nodes in prop::collection::vec(node(), 1..20)
    ) {
        let quiet = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let goals: Vec<Kind> = (0..nodes.len()).map(|at| Kind::new(name(at))).collect();
        let plan = Plan::new(tasks(&nodes), &goals).expect("a plan");
        let once = || {
            // The scripts count their tries: each run has its own.
            let plan = Plan::new(tasks(&nodes), &goals).expect("a plan");
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .expect("a runtime");
            let mut options = options();
            options.retries = 1;
            runtime.block_on(run(&plan, &options))
        };
        let (execution, lines) = once();
        let (_, again) = once();
        std::panic::set_hook(quiet);
        prop_assert_eq!(&lines, &again);
        let places = places(&lines);
        prop_assert_eq!(execution.outcomes.len(), nodes.len());
        for (task, (name, end)) in plan.tasks().iter().zip(&execution.outcomes) {
            let (started, ended) = &places[name];
            prop_assert_eq!(ended.len(), 1, "{} ended {} times", name, ended.len());
            for need in &task.needs {
                let (Need::All(kind) | Need::Optional(kind)) = need else { continue };
                let provider = kind.as_str().to_uppercase();
                let provided = places[&provider].1[0];
                if let Some(started) = started {
                    prop_assert!(provided < *started, "{name} ran before {provider} ended");
                }
                let done = execution.data.contains_key(kind);
                if matches!(need, Need::All(_)) && !done {
                    let skipped = matches!(end, Outcome::Skipped { .. });
                    prop_assert!(started.is_none() && skipped, "{} ran without {}", name, kind);
                }
            }
            prop_assert_eq!(end.is_done(), execution.data.contains_key(&task.provides[0]));
            if let Outcome::Skipped { chain } = end {
                let last = chain.last().expect("a cause");
                prop_assert!(!last.because.contains("skipped"), "no root cause: {:?}", chain);
            }
        }
    }

    #[test]
    fn the_order_is_topological_and_pruning_keeps_what_goals_need(
        nodes in prop::collection::vec(node(), 1..20), goal in any::<prop::sample::Index>()
    ) {
        let goal = Kind::new(name(goal.index(nodes.len())));
        let plan = Plan::new(tasks(&nodes), std::slice::from_ref(&goal)).expect("a plan");
        let position = |kind: &Kind| plan.provider(kind);
        prop_assert!(position(&goal).is_some());
        for (at, task) in plan.tasks().iter().enumerate() {
            for need in &task.needs {
                match need {
                    Need::All(kind) => prop_assert!(position(kind).is_some_and(|p| p < at)),
                    Need::Optional(kind) => prop_assert!(position(kind).is_none_or(|p| p < at)),
                    Need::Each(_) => {}
                }
            }
            let wanted = plan.tasks().iter().any(|other| {
                other.needs.contains(&Need::All(task.provides[0].clone()))
            });
            prop_assert!(wanted || task.provides[0] == goal, "{} serves nobody", task.name);
        }
    }

    #[test]
    fn a_graph_with_a_ring_in_it_is_refused(length in 1_usize..8, others in 0_usize..5) {
        let mut ring: Vec<Task> = (0..length)
            .map(|at| {
                let next = Kind::new(name((at + 1) % length));
                lasting(&name(at), &[Need::All(next)], Does::Provides, Duration::ZERO).0
            })
            .collect();
        for at in 0..others {
            ring.push(lasting(&name(length + at), &[], Does::Provides, Duration::ZERO).0);
        }
        let error = Plan::new(ring, &[Kind::new(name(0))]).unwrap_err();
        let pyti_graph::PlanError::Cycle(path) = error else {
            return Err(TestCaseError::fail(error.to_string()));
        };
        prop_assert_eq!(path.first(), path.last());
        prop_assert_eq!(path.len(), length + 1);
    }
}

#[test]
fn resources_are_never_overdrawn() {
    let whole = Resources {
        vms: 2,
        memory_mib: 10,
        network: 1,
    };
    let wanted = Resources {
        vms: 1,
        memory_mib: 6,
        network: 0,
    };
    assert!(whole.fit(&Resources::default(), &wanted));
    assert!(!whole.fit(&wanted, &wanted));
}
