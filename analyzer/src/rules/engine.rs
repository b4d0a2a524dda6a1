//! Runs rules over a stage's events, in one pass.

use std::collections::{HashMap, VecDeque};

use pyti_trace::event::{Kind, ProcessKey};

use super::rule::{By, Detection, Rule, Step};
use super::truth::Truth;
use super::value::{Value, View, show};
use super::waiting::{Partial, Waiting};
use crate::schema::KINDS;

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
                // The end of a process ends the sequences that only it could go on with.
                let ends = kind == Kind::Exit && matches!(kinds, Detection::Sequence { .. });
                if ends || kinds.steps().any(|step| step.kinds.contains(&kind)) {
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

struct State {
    /// By step that comes next (from the second on): unfinished sequences.
    waiting: Vec<Waiting>,
    /// By process or tree: what was counted.
    groups: HashMap<ProcessKey, Group>,
    /// The same with the events of which it is not known whether they count: enough of these leave
    /// the rule undecided, a few do not.
    maybe: HashMap<ProcessKey, Group>,
}

#[derive(Default)]
struct Group {
    window: VecDeque<(usize, Option<String>)>,
    distinct: HashMap<String, usize>,
    fired: bool,
    /// Something had to be forgotten because there was too much of it.
    overflowed: bool,
}

impl<'r> Run<'r> {
    fn new(rule: &'r Rule, today: &str) -> Self {
        Self {
            rule,
            states: (0..rule.detections.len())
                .map(|number| State {
                    waiting: waiting(rule, number),
                    groups: HashMap::new(),
                    maybe: HashMap::new(),
                })
                .collect(),
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
                by, steps, unless, ..
            } => {
                if self.looks > MAX_LOOKS {
                    return;
                }
                let waiting = &mut self.states[number].waiting;
                for (unless, step) in unless.iter().enumerate() {
                    if step.kinds.contains(&kind) {
                        for waiting in &mut *waiting {
                            self.looks += waiting.call_off(unless, step, view, index);
                        }
                    }
                }
                self.advance(number, *by, steps, view, index, kind);
                if kind == Kind::Exit {
                    for waiting in &mut self.states[number].waiting {
                        waiting.ended(view, view.process(index));
                    }
                }
                if self.looks > MAX_LOOKS {
                    self.outcome.overflowed = true;
                    self.states[number]
                        .waiting
                        .iter_mut()
                        .for_each(Waiting::clear);
                }
            }
            Detection::Count {
                by,
                within_ns,
                step,
                distinct,
                at_least,
            } => {
                let truth = step.condition.eval(view, index, &[]);
                if truth == Truth::False || self.excepted(number, view, index, &[]) {
                    return;
                }
                let value = match distinct {
                    Some(field) => match (view.value(index, *field), truth) {
                        (Value::Unknown, _) => None,
                        (value, _) => match show(&value) {
                            Some(value) => Some(value),
                            None => return,
                        },
                    },
                    None => Some(String::new()),
                };
                let event = &view.events[index];
                let key = match by {
                    By::Process | By::Descendants => event.process,
                    By::Tree => ProcessKey {
                        tgid: event.tree,
                        start_ns: u64::MAX,
                    },
                };
                let enough = Enough {
                    within_ns: *within_ns,
                    distinct: distinct.is_some(),
                    at_least: *at_least,
                };
                self.count(number, key, &enough, (truth, value), view, index);
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
        by: By,
        steps: &[Step],
        view: &View<'_>,
        index: usize,
        kind: Kind,
    ) {
        // Later steps first, so that one event never serves two steps of one sequence.
        for (next, step) in steps.iter().enumerate().rev() {
            if !step.kinds.contains(&kind) {
                continue;
            }
            if next == 0 {
                let truth = step.condition.eval(view, index, &[]);
                if truth != Truth::False {
                    let sure = truth == Truth::True;
                    let captured = vec![index];
                    self.wait(number, 1, Partial { captured, sure }, view, index);
                }
                continue;
            }
            let Some(waiting) = self.states[number].waiting.get_mut(next - 1) else {
                continue;
            };
            for partial in waiting.candidates(view, index) {
                self.looks += 1;
                let related = related(by, view, &partial.captured, index);
                if related == Truth::False {
                    continue;
                }
                let truth = step.condition.eval(view, index, &partial.captured);
                if truth == Truth::False {
                    continue;
                }
                let mut longer = partial;
                longer.sure &= truth == Truth::True && related == Truth::True;
                if next + 1 < steps.len() {
                    longer.captured.push(index);
                    self.wait(number, next + 1, longer, view, index);
                } else if !longer.sure {
                    self.unknown(index);
                } else if !self.excepted(number, view, index, &longer.captured) {
                    let who = longer.captured.first().map(|first| view.process(*first));
                    longer.captured.push(index);
                    self.hit(number, longer.captured, who.unwrap_or_default());
                }
            }
        }
    }

    /// Keeps a sequence that waits for step `next`.
    fn wait(&mut self, number: usize, next: usize, partial: Partial, view: &View<'_>, now: usize) {
        if let Some(waiting) = self.states[number].waiting.get_mut(next - 1) {
            let room = waiting.push(view, partial, view.events[now].time_ns);
            self.outcome.overflowed |= !room;
        }
    }

    /// Counts an event that is true, or may be, with its distinct value, where that is known.
    fn count(
        &mut self,
        number: usize,
        key: ProcessKey,
        enough: &Enough,
        (truth, value): (Truth, Option<String>),
        view: &View<'_>,
        index: usize,
    ) {
        let state = &mut self.states[number];
        for groups in [&state.groups, &state.maybe] {
            if groups.len() >= MAX_GROUPS && !groups.contains_key(&key) {
                self.outcome.overflowed = true;
                return;
            }
        }
        // An unknown value may be another one each time.
        let maybe = value.clone().unwrap_or_else(|| format!("\0{index}"));
        let group = state.maybe.entry(key).or_default();
        let may_fire = group.add(enough, maybe, view, index).is_some();
        self.outcome.overflowed |= group.overflowed;
        let group = state.groups.entry(key).or_default();
        let fired = match (truth, value) {
            (Truth::True, Some(value)) => group.add(enough, value, view, index),
            _ => None,
        };
        match fired {
            Some(events) => self.hit(number, events, key),
            None if may_fire => self.unknown(index),
            None => {}
        }
    }
}

/// What a count must reach.
struct Enough {
    within_ns: u64,
    distinct: bool,
    at_least: usize,
}

impl Group {
    /// Adds an event. The events that reach what is enough, once; later ones alone.
    fn add(
        &mut self,
        enough: &Enough,
        value: String,
        view: &View<'_>,
        index: usize,
    ) -> Option<Vec<usize>> {
        if self.fired {
            // It goes on: the finding grows.
            return Some(vec![index]);
        }
        let value = enough.distinct.then_some(value);
        if let Some(value) = &value {
            *self.distinct.entry(value.clone()).or_default() += 1;
        }
        self.window.push_back((index, value));
        let now_ns = view.events[index].time_ns;
        while let Some((first, _)) = self.window.front()
            && (now_ns.saturating_sub(view.events[*first].time_ns) > enough.within_ns
                || self.window.len() > MAX_WINDOW)
        {
            self.overflowed |= self.window.len() > MAX_WINDOW;
            if let Some((_, Some(value))) = self.window.pop_front()
                && let Some(times) = self.distinct.get_mut(&value)
            {
                *times -= 1;
                if *times == 0 {
                    self.distinct.remove(&value);
                }
            }
        }
        let reached = if enough.distinct {
            self.distinct.len()
        } else {
            self.window.len()
        };
        if reached < enough.at_least {
            return None;
        }
        self.fired = true;
        self.distinct.clear();
        let events = std::mem::take(&mut self.window);
        Some(events.into_iter().map(|(index, _)| index).collect())
    }
}

/// Where the unfinished sequences of a detection wait, by step.
fn waiting(rule: &Rule, number: usize) -> Vec<Waiting> {
    let Some((
        Detection::Sequence {
            by,
            within_ns,
            steps,
            unless,
        },
        template,
    )) = rule.detections.get(number)
    else {
        return Vec::new();
    };
    let mut asked = template.references();
    for step in steps.iter().chain(unless) {
        step.condition.references(&mut asked);
    }
    for exception in &rule.exceptions {
        if let Some(Some(condition)) = exception.conditions.get(number) {
            condition.references(&mut asked);
        }
    }
    asked.sort_unstable_by_key(|(step, field)| (*step, *field as usize));
    asked.dedup();
    steps
        .iter()
        .skip(1)
        .map(|step| Waiting::new(*by, *within_ns, step, unless, &asked))
        .collect()
}

/// The event's process may do the next step of this sequence.
fn related(by: By, view: &View<'_>, captured: &[usize], index: usize) -> Truth {
    let Some(first) = captured.first() else {
        return Truth::False;
    };
    match by {
        By::Process => (view.process(index) == view.process(*first)).into(),
        By::Descendants => view
            .tree
            .descends(view.process(index), view.process(*first))
            .map_or(Truth::Unknown, Truth::from),
        By::Tree => (view.events[index].tree == view.events[*first].tree).into(),
    }
}
