//! Runs rules over a stage's events, in one pass.

use std::collections::{HashMap, VecDeque};

use pyti_trace::event::{Kind, ProcessKey};

use super::rule::{By, Detection, Rule, Step};
use super::truth::Truth;
use super::value::{View, show};
use crate::schema::{Field, KINDS};

/// Unfinished sequences kept per step; the oldest goes first, and the rule says so.
const MAX_PARTIAL: usize = 16_384;
/// How often one rule may look at an unfinished sequence in a stage: a package that floods the
/// record must not stop the analysis.
const MAX_LOOKS: u64 = 20_000_000;
/// Values that a count keeps in its window.
const MAX_WINDOW: usize = 16_384;
/// Processes or trees that a count keeps apart.
const MAX_GROUPS: usize = 65_536;

/// A rule's detection fired.
#[derive(Debug, Clone)]
pub struct Hit {
    /// Number of the detection in the rule.
    pub detection: usize,
    /// The events, by step; all counted events of a count.
    pub events: Vec<usize>,
    /// Who did it: findings of one rule are grouped by it.
    pub who: ProcessKey,
}

/// What a rule saw in a stage.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// All hits, in order.
    pub hits: Vec<Hit>,
    /// Events for which it could not be decided: a field that it needs was not readable.
    pub unknown: u64,
    /// The first of them.
    pub first_unknown: Option<usize>,
    /// Something had to be forgotten because there was too much of it.
    pub overflowed: bool,
    /// By exception: how many hits it took away.
    pub excepted: Vec<u64>,
}

/// Runs `rules` over the events of `view`; the outcomes are in the order of the rules. `today` is
/// `YYYY-MM-DD`: exceptions that expired before take nothing away.
#[must_use]
pub fn run(rules: &[&Rule], view: &View<'_>, today: &str) -> Vec<Outcome> {
    let mut runs: Vec<Run<'_>> = rules.iter().map(|rule| Run::new(rule, today)).collect();
    // Which detections want to see events of which kind.
    let mut wanted: Vec<Vec<(usize, usize)>> = vec![Vec::new(); KINDS.len()];
    for (rule, run) in runs.iter().enumerate() {
        for (detection, (kinds, _)) in run.rule.detections.iter().enumerate() {
            for kind in KINDS {
                if kinds.steps().any(|step| step.kinds.contains(&kind)) {
                    wanted[kind as usize].push((rule, detection));
                }
            }
        }
    }
    for (index, event) in view.events.iter().enumerate() {
        for (rule, detection) in &wanted[event.kind as usize] {
            runs[*rule].see(*detection, view, index, event.kind);
        }
    }
    runs.into_iter().map(|run| run.outcome).collect()
}

/// A rule at work.
struct Run<'r> {
    rule: &'r Rule,
    states: Vec<State>,
    /// By exception: it has not expired.
    valid: Vec<bool>,
    /// See [`MAX_LOOKS`].
    looks: u64,
    outcome: Outcome,
}

#[derive(Default)]
struct State {
    /// By step that comes next (from the second on): unfinished sequences.
    partial: Vec<VecDeque<Partial>>,
    /// By process or tree: what was counted.
    groups: HashMap<ProcessKey, Group>,
}

/// An unfinished sequence.
#[derive(Clone)]
struct Partial {
    /// The events of the steps done.
    captured: Vec<usize>,
    /// Every step held; otherwise for one it could not be told.
    sure: bool,
}

#[derive(Default)]
struct Group {
    window: VecDeque<(usize, Option<String>)>,
    distinct: HashMap<String, usize>,
    fired: bool,
}

impl<'r> Run<'r> {
    fn new(rule: &'r Rule, today: &str) -> Self {
        Self {
            rule,
            states: rule.detections.iter().map(|_| State::default()).collect(),
            valid: rule
                .exceptions
                .iter()
                .map(|exception| exception.expires.as_str() >= today)
                .collect(),
            looks: 0,
            outcome: Outcome {
                excepted: vec![0; rule.exceptions.len()],
                ..Outcome::default()
            },
        }
    }

    fn see(&mut self, number: usize, view: &View<'_>, index: usize, kind: Kind) {
        let rule = self.rule;
        let Some((detection, _)) = rule.detections.get(number) else {
            return;
        };
        match detection {
            Detection::Match(step) => {
                if self.holds(step, view, index, &[]) && !self.excepted(number, view, index, &[]) {
                    self.hit(number, vec![index], view.process(index));
                }
            }
            Detection::Sequence {
                by,
                within_ns,
                steps,
                unless,
            } => {
                for step in unless.iter().filter(|step| step.kinds.contains(&kind)) {
                    for waiting in &mut self.states[number].partial {
                        self.looks += waiting.len() as u64;
                        waiting.retain(|partial| {
                            step.condition.eval(view, index, &partial.captured) != Truth::True
                        });
                    }
                }
                self.advance(number, (*by, *within_ns), steps, view, index, kind);
            }
            Detection::Count {
                by,
                within_ns,
                step,
                distinct,
                at_least,
            } => {
                if self.holds(step, view, index, &[]) && !self.excepted(number, view, index, &[]) {
                    self.count(number, (*by, *within_ns), *distinct, *at_least, view, index);
                }
            }
        }
    }

    /// The condition is true; an unknown is noted.
    fn holds(&mut self, step: &Step, view: &View<'_>, index: usize, captured: &[usize]) -> bool {
        match step.condition.eval(view, index, captured) {
            Truth::True => true,
            Truth::False => false,
            Truth::Unknown => {
                self.unknown(index);
                false
            }
        }
    }

    fn unknown(&mut self, index: usize) {
        self.outcome.unknown += 1;
        self.outcome.first_unknown.get_or_insert(index);
    }

    fn excepted(
        &mut self,
        detection: usize,
        view: &View<'_>,
        index: usize,
        captured: &[usize],
    ) -> bool {
        for (number, exception) in self.rule.exceptions.iter().enumerate() {
            let condition = exception.conditions.get(detection).and_then(Option::as_ref);
            if self.valid[number]
                && condition
                    .is_some_and(|condition| condition.eval(view, index, captured) == Truth::True)
            {
                self.outcome.excepted[number] += 1;
                return true;
            }
        }
        false
    }

    fn hit(&mut self, detection: usize, events: Vec<usize>, who: ProcessKey) {
        self.outcome.hits.push(Hit {
            detection,
            events,
            who,
        });
    }

    fn advance(
        &mut self,
        number: usize,
        (by, within_ns): (By, u64),
        steps: &[Step],
        view: &View<'_>,
        index: usize,
        kind: Kind,
    ) {
        let now = view.events[index].time_ns;
        // Later steps first, so that one event never serves two steps of one sequence.
        for (next, step) in steps.iter().enumerate().rev() {
            if !step.kinds.contains(&kind) {
                continue;
            }
            if next == 0 {
                let truth = step.condition.eval(view, index, &[]);
                if truth != Truth::False {
                    let sure = truth == Truth::True;
                    self.wait(
                        number,
                        1,
                        Partial {
                            captured: vec![index],
                            sure,
                        },
                    );
                }
                continue;
            }
            let mut waiting = match self.states[number].partial.get_mut(next - 1) {
                Some(waiting) => std::mem::take(waiting),
                None => continue,
            };
            self.looks += waiting.len() as u64;
            if self.looks > MAX_LOOKS {
                self.outcome.overflowed = true;
                return;
            }
            waiting.retain(|partial| {
                let first = partial
                    .captured
                    .first()
                    .map(|first| view.events[*first].time_ns);
                first.is_some_and(|first| now.saturating_sub(first) <= within_ns)
            });
            for partial in &waiting {
                let captured = &partial.captured;
                if !related(by, view, captured, index) {
                    continue;
                }
                let truth = step.condition.eval(view, index, captured);
                if truth == Truth::False {
                    continue;
                }
                let mut longer = partial.clone();
                longer.sure &= truth == Truth::True;
                longer.captured.push(index);
                if next + 1 < steps.len() {
                    self.wait(number, next + 1, longer);
                } else if !longer.sure {
                    self.unknown(index);
                } else if !self.excepted(number, view, index, captured) {
                    let who = captured.first().map(|first| view.process(*first));
                    self.hit(number, longer.captured, who.unwrap_or_default());
                }
            }
            self.states[number].partial[next - 1] = waiting;
        }
    }

    /// Keeps a sequence that waits for step `next`.
    fn wait(&mut self, number: usize, next: usize, partial: Partial) {
        let all = &mut self.states[number].partial;
        if all.len() < next {
            all.resize_with(next, VecDeque::new);
        }
        let waiting = &mut all[next - 1];
        if waiting.len() >= MAX_PARTIAL {
            waiting.pop_front();
            self.outcome.overflowed = true;
        }
        waiting.push_back(partial);
    }

    fn count(
        &mut self,
        number: usize,
        (by, within_ns): (By, u64),
        distinct: Option<Field>,
        at_least: usize,
        view: &View<'_>,
        index: usize,
    ) {
        let event = &view.events[index];
        let key = match by {
            By::Process | By::Descendants => event.process,
            By::Tree => ProcessKey {
                tgid: event.tree,
                start_ns: u64::MAX,
            },
        };
        let value = match distinct {
            Some(field) => match show(&view.value(index, field)) {
                Some(value) => Some(value),
                None => return,
            },
            None => None,
        };
        let groups = &mut self.states[number].groups;
        if groups.len() >= MAX_GROUPS && !groups.contains_key(&key) {
            self.outcome.overflowed = true;
            return;
        }
        let group = groups.entry(key).or_default();
        if group.fired {
            // It goes on: the finding grows.
            self.hit(number, vec![index], key);
            return;
        }
        if let Some(value) = &value {
            *group.distinct.entry(value.clone()).or_default() += 1;
        }
        group.window.push_back((index, value));
        while let Some((first, _)) = group.window.front()
            && (event.time_ns.saturating_sub(view.events[*first].time_ns) > within_ns
                || group.window.len() > MAX_WINDOW)
        {
            self.outcome.overflowed |= group.window.len() > MAX_WINDOW;
            if let Some((_, Some(value))) = group.window.pop_front()
                && let Some(times) = group.distinct.get_mut(&value)
            {
                *times -= 1;
                if *times == 0 {
                    group.distinct.remove(&value);
                }
            }
        }
        let reached = match distinct {
            Some(_) => group.distinct.len(),
            None => group.window.len(),
        };
        if reached >= at_least {
            group.fired = true;
            let events = std::mem::take(&mut group.window)
                .into_iter()
                .map(|(index, _)| index)
                .collect();
            group.distinct.clear();
            self.hit(number, events, key);
        }
    }
}

/// The event's process may do the next step of this sequence.
fn related(by: By, view: &View<'_>, captured: &[usize], index: usize) -> bool {
    let Some(first) = captured.first() else {
        return false;
    };
    match by {
        By::Process => view.process(index) == view.process(*first),
        By::Descendants => view
            .tree
            .descends(view.process(index), view.process(*first)),
        By::Tree => view.events[index].tree == view.events[*first].tree,
    }
}
