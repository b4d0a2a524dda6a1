//! Runs rules over a stage's events, in one pass.
//!
//! An event that takes time, as a write does from its first byte until its file is closed, comes after
//! what happened before it ended, and before what happened after it began. So what happened meanwhile
//! comes both before it and after it: whoever keeps a file open does not choose.
//!
//! Two names that change places are looked at from either, see [`super::exchange`]: what stands for an event
//! here is its number.

use std::collections::{BTreeSet, HashMap};

use pyti_trace::event::{Kind, ProcessKey};

use super::counting::{Enough, Group};
use super::rule::{By, Detection, Rule, Step};
use super::truth::Truth;
use super::value::{Value, View, show};
use super::waiting::{Kept, Partial, Waiting};
use crate::moments::{Moment, moments};
use crate::schema::KINDS;

/// How often one rule may look at an unfinished sequence in a stage: a package that floods the
/// record must not stop the analysis.
const MAX_LOOKS: u64 = 20_000_000;
/// Processes or trees that a count keeps apart.
const MAX_GROUPS: usize = 65_536;

/// A rule's detection fired.
#[derive(Debug, Clone)]
pub struct Hit {
    /// Number of the detection in the rule.
    pub detection: usize,
    /// The events' numbers, by step; all counted events of a count.
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
    /// The number of the first of them.
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
    let mut open: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); KINDS.len()];
    for moment in moments(view.events) {
        let kind = view.events[moment.index].kind;
        let numbers = view.numbers(moment.index);
        if moment.ends {
            for number in numbers.clone() {
                open[kind as usize].remove(&number);
            }
        }
        for (rule, detection) in &wanted[kind as usize] {
            for index in numbers.clone() {
                let now = Now {
                    view,
                    moment: Moment { index, ..moment },
                    kind,
                    open: &open,
                };
                runs[*rule].see(*detection, now);
            }
        }
        if !moment.ends {
            open[kind as usize].extend(numbers);
        }
    }
    runs.into_iter().map(|run| run.outcome).collect()
}

/// What is looked at.
#[derive(Clone, Copy)]
struct Now<'n, 'e> {
    view: &'n View<'e>,
    moment: Moment,
    /// Of the event.
    kind: Kind,
    /// By kind: what has begun before and not ended.
    open: &'n [BTreeSet<usize>],
}

/// The steps of a detection.
#[derive(Clone, Copy)]
struct Sequence<'r> {
    /// Number of the detection in the rule.
    number: usize,
    by: By,
    steps: &'r [Step],
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

    fn see(&mut self, number: usize, now: Now<'_, '_>) {
        let rule = self.rule;
        let Some((detection, _)) = rule.detections.get(number) else {
            return;
        };
        let Now { view, moment, .. } = now;
        let index = moment.index;
        match detection {
            Detection::Match(step) => {
                if moment.ends
                    && self.holds(step, view, index, &[])
                    && !self.excepted(number, view, index, &[])
                {
                    self.hit(number, vec![index], view.process(index));
                }
            }
            Detection::Sequence {
                by, steps, unless, ..
            } => {
                let sequence = Sequence {
                    number,
                    by: *by,
                    steps,
                };
                self.follow(sequence, unless, now);
            }
            Detection::Count {
                by,
                within_ns,
                step,
                distinct,
                at_least,
            } => {
                if !moment.begins {
                    return;
                }
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
                let event = view.event(index);
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
                self.count(number, key, &enough, (truth, value), now);
            }
        }
    }

    /// What calls sequences off does so when it has ended; what goes on with them begins to.
    fn follow(&mut self, sequence: Sequence<'_>, unless: &[Step], now: Now<'_, '_>) {
        let Now {
            view, moment, kind, ..
        } = now;
        if self.looks > MAX_LOOKS {
            return;
        }
        let calling_off = unless.iter().enumerate().filter(|_| moment.ends);
        for (unless, step) in calling_off {
            if step.kinds.contains(&kind) {
                for waiting in &mut self.states[sequence.number].waiting {
                    self.looks += waiting.call_off(unless, step, view, moment.index);
                }
            }
        }
        if moment.begins {
            self.advance(sequence, now);
        }
        let waiting = &mut self.states[sequence.number].waiting;
        if kind == Kind::Exit && moment.ends {
            for waiting in &mut *waiting {
                waiting.ended(view, view.process(moment.index));
            }
        }
        if self.looks > MAX_LOOKS {
            self.outcome.overflowed = true;
            waiting.iter_mut().for_each(Waiting::clear);
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

    fn advance(&mut self, sequence: Sequence<'_>, now: Now<'_, '_>) {
        let Now { view, moment, .. } = now;
        // Later steps first, so that one event never serves two steps of one sequence.
        for (next, step) in sequence.steps.iter().enumerate().rev() {
            if !step.kinds.contains(&now.kind) {
                continue;
            }
            if next == 0 {
                let truth = step.condition.eval(view, moment.index, &[]);
                if truth != Truth::False {
                    let partial = Partial::new(view, moment.index, truth == Truth::True);
                    self.wait(sequence, 1, partial, now);
                }
                continue;
            }
            let Some(waiting) = self.states[sequence.number].waiting.get_mut(next - 1) else {
                continue;
            };
            for partial in waiting.candidates(view, moment.index, moment.time_ns) {
                self.extend(sequence, next, partial, moment.index, now);
            }
        }
    }

    /// Looks whether the event at `index` does step `next`, which `partial` waits for.
    fn extend(
        &mut self,
        sequence: Sequence<'_>,
        next: usize,
        mut partial: Partial,
        index: usize,
        now: Now<'_, '_>,
    ) {
        self.looks += 1;
        let view = now.view;
        let Some(step) = sequence.steps.get(next) else {
            return;
        };
        // One event never serves two steps of one sequence, from whichever of its names it is seen.
        let place = view.place(index);
        if partial
            .captured
            .iter()
            .any(|done| view.place(*done) == place)
        {
            return;
        }
        let related = related(sequence.by, view, &partial.captured, index);
        if related == Truth::False {
            return;
        }
        let truth = step.condition.eval(view, index, &partial.captured);
        if truth == Truth::False {
            return;
        }
        partial.sure &= truth == Truth::True && related == Truth::True;
        if next + 1 < sequence.steps.len() {
            partial.push(view, index);
            self.wait(sequence, next + 1, partial, now);
        } else if !partial.sure {
            self.unknown(index);
        } else if !self.excepted(sequence.number, view, index, &partial.captured) {
            let who = partial.captured.first().map(|first| view.process(*first));
            partial.push(view, index);
            self.hit(sequence.number, partial.captured, who.unwrap_or_default());
        }
    }

    /// Keeps a sequence that waits for step `next`, which what has begun and not ended may do.
    fn wait(&mut self, sequence: Sequence<'_>, next: usize, partial: Partial, now: Now<'_, '_>) {
        let states = &mut self.states[sequence.number];
        let (Some(step), Some(waiting)) =
            (sequence.steps.get(next), states.waiting.get_mut(next - 1))
        else {
            return;
        };
        let open = step.kinds.iter().map(|kind| &now.open[*kind as usize]);
        let goes_on = open.clone().any(|open| !open.is_empty());
        let copy = goes_on.then(|| partial.clone());
        let kept = waiting.push(now.view, partial, now.moment.time_ns);
        self.outcome.overflowed |= matches!(kept, Kept::Instead);
        let Some(partial) = copy else {
            return;
        };
        let going_on: Vec<usize> = match kept {
            // What waited already has gone on with all but its own.
            Kept::Already(mut own) => {
                own.retain(|index| open.clone().any(|open| open.contains(index)));
                own
            }
            Kept::New | Kept::Instead => open.flatten().copied().collect(),
        };
        for index in going_on {
            if self.looks > MAX_LOOKS {
                return;
            }
            self.extend(sequence, next, partial.clone(), index, now);
        }
    }

    /// Counts an event that is true, or may be, with its distinct value, where that is known.
    fn count(
        &mut self,
        number: usize,
        key: ProcessKey,
        enough: &Enough,
        (truth, value): (Truth, Option<String>),
        now: Now<'_, '_>,
    ) {
        let Now { view, moment, .. } = now;
        let index = moment.index;
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
        let may_fire = group.add(enough, maybe, view, moment).is_some();
        self.outcome.overflowed |= group.overflowed;
        let group = state.groups.entry(key).or_default();
        let fired = match (truth, value) {
            (Truth::True, Some(value)) => group.add(enough, value, view, moment),
            _ => None,
        };
        match fired {
            Some(events) => self.hit(number, events, key),
            None if may_fire => self.unknown(index),
            None => {}
        }
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
        By::Tree => (view.event(index).tree == view.event(*first).tree).into(),
    }
}
