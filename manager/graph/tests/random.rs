//! What holds for every graph, shown on random ones.
#![expect(clippy::expect_used, reason = "a test ends where it is surprised")]

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Does, Scripted, lasting, options, run_until};
use proptest::prelude::*;
use pyti_graph::{
    Action, BoxFuture, Control, Execution, Failure, Inputs, Kind, Need, Outcome, Outputs, Plan,
    Resources, Task,
};
use tokio::sync::watch;
use tokio::time::Instant;

/// Of one task: what it waits for (numbers of other tasks, and how), how it ends, how long it takes,
/// what it occupies, whether it provides a second datum.
#[derive(Debug, Clone)]
struct Node {
    needs: Vec<(prop::sample::Index, u8)>,
    ends: u8,
    millis: u64,
    cost: Resources,
    several: bool,
}

fn node() -> impl Strategy<Value = Node> {
    let needs = prop::collection::vec((any::<prop::sample::Index>(), 0_u8..4), 0..4);
    // Some need more memory than there is.
    let cost = (0_u32..3, 0_u64..10, 0_u32..2).prop_map(|(vms, memory, network)| Resources {
        vms,
        memory_mib: memory * 512,
        network,
    });
    (needs, 0_u8..12, 0_u64..50, cost, any::<bool>()).prop_map(
        |(needs, ends, millis, cost, several)| Node {
            needs,
            ends,
            millis,
            cost,
            several,
        },
    )
}

fn name(at: usize) -> String {
    format!("t{at}")
}

/// A name that begins with those of the tasks before it.
fn more(at: usize) -> String {
    format!("more.{}", "i".repeat(at))
}

impl Node {
    fn provides(&self, at: usize) -> Vec<Kind> {
        let more = self.several.then(|| Kind::new(more(at)));
        [Kind::new(name(at))].into_iter().chain(more).collect()
    }
}

/// What runs occupies of each class of resources, and the most that it ever did.
#[derive(Debug, Default)]
struct Busy {
    now: [u64; 3],
    most: [u64; 3],
}

fn classes(of: &Resources) -> [u64; 3] {
    [of.vms.into(), of.memory_mib, of.network.into()]
}

/// A task that is counted from its beginning to its end, whichever that is.
struct Counted {
    scripted: Scripted,
    cost: Resources,
    busy: Arc<Mutex<Busy>>,
}

struct Inside<'a>(&'a Counted);

impl Counted {
    fn enter(&self) -> Inside<'_> {
        let mut busy = self.busy.lock().expect("a lock");
        for (at, cost) in classes(&self.cost).into_iter().enumerate() {
            busy.now[at] += cost;
            busy.most[at] = busy.most[at].max(busy.now[at]);
        }
        Inside(self)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let mut busy = self.0.busy.lock().expect("a lock");
        for (at, cost) in classes(&self.0.cost).into_iter().enumerate() {
            busy.now[at] -= cost;
        }
    }
}

impl Action for Counted {
    fn run(&self, inputs: Inputs, control: Control) -> BoxFuture<'_, Result<Outputs, Failure>> {
        Box::pin(async move {
            let _inside = self.enter();
            self.scripted.run(inputs, control).await
        })
    }
}

/// Tasks that only wait for tasks of a higher number: given last to first in need.
fn tasks(nodes: &[Node], busy: &Arc<Mutex<Busy>>) -> Vec<Task> {
    nodes
        .iter()
        .enumerate()
        .map(|(at, node)| {
            let later = nodes.len() - at - 1;
            let needs: Vec<Need> = node
                .needs
                .iter()
                .filter(|_| later > 0)
                .map(|(index, how)| {
                    let other = at + 1 + index.index(later);
                    let mut kinds = nodes[other].provides(other);
                    match how {
                        0 => Need::All(kinds.remove(0)),
                        1 => Need::All(kinds.pop().expect("a datum")),
                        2 => Need::Optional(kinds.remove(0)),
                        // Whatever second data it and those after it provide.
                        _ => Need::Each(format!("{}*", more(other - 1))),
                    }
                })
                .collect();
            let does = match node.ends {
                0 => Does::Fails(Failure::package("no")),
                1 => Does::Fails(Failure::infrastructure("no")),
                2 => Does::Fails(Failure::NotApplicable("no".into())),
                3 => Does::Panics,
                4 => Does::FailsFirst(1),
                5 => Does::Hangs,
                6 => Does::Waits,
                _ => Does::Provides,
            };
            let provides = node.provides(at);
            let scripted = Scripted {
                does,
                takes: Duration::from_millis(node.millis),
                provides: provides.clone(),
                tries: Mutex::default(),
                given: Mutex::default(),
            };
            let (task, _) = lasting(&name(at), &needs, Does::Provides, Duration::ZERO);
            Task {
                provides,
                cost: node.cost,
                // What never ends by itself has one, and something that may end in time.
                timeout: (5..8)
                    .contains(&node.ends)
                    .then_some(Duration::from_millis(30)),
                action: Arc::new(Counted {
                    scripted,
                    cost: node.cost,
                    busy: Arc::clone(busy),
                }),
                ..task
            }
        })
        .collect()
}

/// The data that a need names, each with whether the task must have it.
fn named(need: &Need, plan: &Plan) -> Vec<(Kind, bool)> {
    match need {
        Need::All(kind) => vec![(kind.clone(), true)],
        Need::Optional(kind) => vec![(kind.clone(), false)],
        Need::Each(pattern) => {
            let provided = plan.tasks().iter().flat_map(|task| &task.provides);
            let found = provided.filter(|kind| kind.matches(pattern));
            found.map(|kind| (kind.clone(), false)).collect()
        }
    }
}

/// A run of these tasks.
struct Once {
    execution: Execution,
    lines: Vec<String>,
    took: Duration,
    busy: Busy,
}

/// Runs them on a clock of its own, and cancels the run after so many milliseconds.
fn once(nodes: &[Node], goals: &[Kind], cancel: Option<u64>) -> Once {
    // The scripts count their tries: each run has its own.
    let busy = Arc::new(Mutex::new(Busy::default()));
    let plan = Plan::new(tasks(nodes, &busy), goals).expect("a plan");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let mut options = options();
    options.retries = 1;
    let (execution, lines, took) = runtime.block_on(async {
        let began = Instant::now();
        let (tell, told) = watch::channel(false);
        tokio::spawn(async move {
            match cancel {
                Some(after) => tokio::time::sleep(Duration::from_millis(after)).await,
                None => std::future::pending().await,
            }
            tell.send_replace(true);
        });
        let (execution, lines) = run_until(&plan, &options, told).await;
        (execution, lines, began.elapsed())
    });
    let busy = std::mem::take(&mut *busy.lock().expect("a lock"));
    Once {
        execution,
        lines,
        took,
        busy,
    }
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
    fn every_task_ends_once_after_its_data_within_the_limits_and_in_the_same_order_again(
        nodes in prop::collection::vec(node(), 1..20), cancel in prop::option::of(0_u64..80)
    ) {
        let quiet = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let goals: Vec<Kind> = (0..nodes.len()).map(|at| Kind::new(name(at))).collect();
        let plan = Plan::new(tasks(&nodes, &Arc::default()), &goals).expect("a plan");
        let Once { execution, lines, took, busy } = once(&nodes, &goals, cancel);
        let again = once(&nodes, &goals, cancel).lines;
        std::panic::set_hook(quiet);
        prop_assert_eq!(&lines, &again);
        let limits = classes(&options().resources);
        prop_assert_eq!(busy.now, [0; 3]);
        prop_assert!(
            busy.most.iter().zip(limits).all(|(most, limit)| *most <= limit),
            "{:?} of {:?}", busy.most, limits
        );
        let cancelled = lines.iter().position(|line| line.ends_with(" cancelled"));
        prop_assert!(cancelled.is_none() || cancel.is_some());
        let late = lines.iter().skip(cancelled.unwrap_or(lines.len()));
        prop_assert!(!late.clone().any(|line| line.contains(" starts")), "{:?}", lines);
        if let Some(after) = cancel {
            let longest = Duration::from_millis(after + 1) + options().grace;
            prop_assert!(took <= longest, "{took:?} with a cancellation after {after} ms");
        }
        let places = places(&lines);
        prop_assert_eq!(execution.outcomes.len(), nodes.len());
        for (task, (name, end)) in plan.tasks().iter().zip(&execution.outcomes) {
            let (started, ended) = &places[name];
            prop_assert_eq!(ended.len(), 1, "{} ended {} times", name, ended.len());
            for (kind, needed) in task.needs.iter().flat_map(|need| named(need, &plan)) {
                let provider = &plan.tasks()[plan.provider(&kind).expect("a provider")].name;
                let provided = places[provider].1[0];
                if let Some(started) = started {
                    prop_assert!(provided < *started, "{name} ran before {provider} ended");
                }
                if needed && !execution.data.contains_key(&kind) {
                    let cancelled = cancel.is_some() && matches!(end, Outcome::Cancelled);
                    let without = cancelled || matches!(end, Outcome::Skipped { .. });
                    prop_assert!(started.is_none() && without, "{} ran without {}", name, kind);
                }
            }
            for kind in &task.provides {
                prop_assert_eq!(end.is_done(), execution.data.contains_key(kind));
            }
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
        let tasks = tasks(&nodes, &Arc::default());
        let plan = Plan::new(tasks, std::slice::from_ref(&goal)).expect("a plan");
        prop_assert!(plan.provider(&goal).is_some());
        for (at, task) in plan.tasks().iter().enumerate() {
            for (kind, needed) in task.needs.iter().flat_map(|need| named(need, &plan)) {
                let before = plan.provider(&kind).map(|provider| provider < at);
                prop_assert!(before.unwrap_or(!needed), "{} runs before {}", task.name, kind);
            }
            let mut needs = plan.tasks().iter().flat_map(|other| &other.needs);
            let wanted = needs.any(|need| {
                task.provides.iter().any(|kind| *need == Need::All(kind.clone()))
            });
            prop_assert!(
                wanted || task.provides.contains(&goal), "{} serves nobody", task.name
            );
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
