//! Unfinished sequences that wait for one step.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use pyti_trace::event::ProcessKey;

use super::access::{Found, Key, Probe};
use super::rule::{By, Step};
use super::value::View;
use crate::schema::Field;

/// Unfinished sequences kept per step; the oldest goes first, and the rule says so.
const MAX_PARTIAL: usize = 65_536;

/// An unfinished sequence.
#[derive(Debug, Clone)]
pub struct Partial {
    /// The events of the steps done.
    pub captured: Vec<usize>,
    /// Every step held; otherwise for one it could not be told.
    pub sure: bool,
    /// When the last of them ended: only what begins from then on calls it off, since until then what
    /// was done may be done once more.
    done_ns: u64,
}

impl Partial {
    /// The event at `index` did the first step.
    pub fn new(view: &View<'_>, index: usize, sure: bool) -> Self {
        Self {
            captured: vec![index],
            sure,
            done_ns: view.event(index).time_ns,
        }
    }

    /// The event at `index` did the next step.
    pub fn push(&mut self, view: &View<'_>, index: usize) {
        self.captured.push(index);
        self.done_ns = self.done_ns.max(view.event(index).time_ns);
    }

    fn first(&self) -> usize {
        self.captured.first().copied().unwrap_or_default()
    }
}

/// What came of a sequence that was to be kept.
#[derive(Debug)]
pub enum Kept {
    /// It waits.
    New,
    /// One with these events waited already that nothing later can tell from it.
    Already(Vec<usize>),
    /// It waits, and another one that might have gone on had to go.
    Instead,
}

/// How the events of one step find sequences.
#[derive(Debug)]
struct Access {
    /// Whose events; `None`: anybody's.
    by: Option<By>,
    /// One of them must find it; of none, `by` finds it.
    probes: Vec<Probe>,
}

/// The sequences that wait for one step of a detection.
#[derive(Debug)]
pub struct Waiting {
    within_ns: u64,
    /// Of the step, then of each that calls off.
    accesses: Vec<Access>,
    /// Fields that anything later asks of the steps done: sequences that agree in them are one.
    asked: Vec<(usize, Field)>,
    /// By number, which grows with their arrival.
    all: BTreeMap<u64, (Partial, Rc<[Key]>)>,
    /// Number by what is asked of it.
    numbers: HashMap<Rc<[Key]>, u64>,
    /// By access, probe and value.
    places: HashMap<(usize, usize, Key), BTreeSet<u64>>,
    next: u64,
}

impl Waiting {
    /// Nothing waits yet for `step`.
    pub fn new(
        by: By,
        within_ns: u64,
        step: &Step,
        unless: &[Step],
        asked: &[(usize, Field)],
    ) -> Self {
        let access = |by, step: &Step| Access {
            by,
            probes: step.condition.probes().unwrap_or_default(),
        };
        let mut accesses = vec![access(Some(by), step)];
        accesses.extend(unless.iter().map(|step| access(None, step)));
        Self {
            within_ns,
            accesses,
            asked: asked.to_vec(),
            all: BTreeMap::new(),
            numbers: HashMap::new(),
            places: HashMap::new(),
            next: 0,
        }
    }

    /// Keeps a sequence. One that nothing later can tell from it is replaced where the new one's
    /// time runs longer, and what remains is done when both are.
    pub fn push(&mut self, view: &View<'_>, mut partial: Partial, now_ns: u64) -> Kept {
        let signature: Rc<[Key]> = self.signature(view, &partial).into();
        if let Some((old, _)) = self
            .numbers
            .get(&signature)
            .and_then(|number| self.all.get_mut(number))
        {
            partial.done_ns = partial.done_ns.max(old.done_ns);
            if view.event(old.first()).time_ns <= view.event(partial.first()).time_ns {
                let old = std::mem::replace(old, partial);
                return Kept::Already(old.captured);
            }
            old.done_ns = partial.done_ns;
            return Kept::Already(old.captured.clone());
        }
        let mut kept = Kept::New;
        if self.all.len() >= MAX_PARTIAL
            && let Some(oldest) = self.all.first_key_value().map(|(number, _)| *number)
        {
            if !self.expired(view, oldest, now_ns) {
                kept = Kept::Instead;
            }
            self.remove(view, oldest);
        }
        for place in self.places_of(view, &partial) {
            self.places.entry(place).or_default().insert(self.next);
        }
        self.numbers.insert(Rc::clone(&signature), self.next);
        self.all.insert(self.next, (partial, signature));
        self.next += 1;
        kept
    }

    /// The sequences that the event at `index` may continue now, in the order of their arrival. Those
    /// whose time is up go.
    pub fn candidates(&mut self, view: &View<'_>, index: usize, now_ns: u64) -> Vec<Partial> {
        let mut out = Vec::new();
        for number in self.found(0, view, index) {
            if self.expired(view, number, now_ns) {
                self.remove(view, number);
            } else if let Some((partial, _)) = self.all.get(&number) {
                out.push(partial.clone());
            }
        }
        out
    }

    /// Lets go of those for which `step`, the `unless` of this number, holds, and which were done when
    /// the event began; says how many it looked at.
    pub fn call_off(&mut self, unless: usize, step: &Step, view: &View<'_>, index: usize) -> u64 {
        let found = self.found(unless + 1, view, index);
        let began_ns = view.event(index).began_ns();
        for number in &found {
            if let Some((partial, _)) = self.all.get(number)
                && partial.done_ns <= began_ns
                && step.condition.eval(view, index, &partial.captured) == super::truth::Truth::True
            {
                self.remove(view, *number);
            }
        }
        found.len() as u64
    }

    /// Lets go of those whose next step only this process could have done.
    pub fn ended(&mut self, view: &View<'_>, process: ProcessKey) {
        let key = match self.accesses.first() {
            Some(access) if access.probes.is_empty() && access.by == Some(By::Process) => {
                Key::Process(process)
            }
            Some(access) if matches!(access.probes[..], [probe] if probe.is_pid()) => {
                Key::Int(process.tgid.into())
            }
            _ => return,
        };
        for number in self.places.remove(&(0, 0, key)).into_iter().flatten() {
            self.remove(view, number);
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.all.clear();
        self.numbers.clear();
        self.places.clear();
    }

    fn expired(&self, view: &View<'_>, number: u64, now_ns: u64) -> bool {
        self.all.get(&number).is_none_or(|(partial, _)| {
            now_ns.saturating_sub(view.event(partial.first()).time_ns) > self.within_ns
        })
    }

    fn remove(&mut self, view: &View<'_>, number: u64) {
        let Some((partial, signature)) = self.all.remove(&number) else {
            return;
        };
        self.numbers.remove(&signature);
        for place in self.places_of(view, &partial) {
            if let Some(numbers) = self.places.get_mut(&place) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    self.places.remove(&place);
                }
            }
        }
    }

    fn signature(&self, view: &View<'_>, partial: &Partial) -> Vec<Key> {
        let first = partial.first();
        let mut out = vec![
            Key::Bool(partial.sure),
            Key::Process(view.process(first)),
            Key::Int(view.event(first).tree.into()),
        ];
        out.extend(self.asked.iter().filter_map(|(step, field)| {
            let index = partial.captured.get(*step)?;
            Some(Key::from(&view.value(*index, *field)))
        }));
        out
    }

    fn places_of(&self, view: &View<'_>, partial: &Partial) -> Vec<(usize, usize, Key)> {
        let mut out = Vec::new();
        for (number, access) in self.accesses.iter().enumerate() {
            for (probe_number, probe) in access.probes.iter().enumerate() {
                if let Some(key) = probe.place(view, &partial.captured) {
                    out.push((number, probe_number, key));
                }
            }
            if access.probes.is_empty() {
                let key = match access.by {
                    Some(By::Process | By::Descendants) => {
                        Key::Process(view.process(partial.first()))
                    }
                    Some(By::Tree) => Key::Int(view.event(partial.first()).tree.into()),
                    None => continue,
                };
                out.push((number, 0, key));
            }
        }
        out
    }

    /// Numbers of the sequences that the event finds, in order.
    fn found(&self, access: usize, view: &View<'_>, index: usize) -> Vec<u64> {
        if self.all.is_empty() {
            return Vec::new();
        }
        let everything = || self.all.keys().copied().collect();
        let Access { by, probes } = &self.accesses[access];
        let mut keys: Vec<(usize, Key)> = Vec::new();
        for (number, probe) in probes.iter().enumerate() {
            match probe.find(view, index) {
                Found::All => return everything(),
                Found::Under(under) => keys.extend(under.into_iter().map(|key| (number, key))),
            }
            keys.push((number, Key::Unknown));
        }
        if probes.is_empty() {
            let process = view.process(index);
            match by {
                None => return everything(),
                Some(By::Process) => keys.push((0, Key::Process(process))),
                // Any of them may be above what is followed.
                Some(By::Descendants) if view.tree.is_deep(process) => return everything(),
                Some(By::Descendants) => {
                    keys.push((0, Key::Process(process)));
                    let above = view.tree.ancestors(process);
                    keys.extend(above.map(|above| (0, Key::Process(above.key))));
                }
                Some(By::Tree) => keys.push((0, Key::Int(view.event(index).tree.into()))),
            }
        }
        let mut out: Vec<u64> = keys
            .into_iter()
            .filter_map(|(probe, key)| self.places.get(&(access, probe, key)))
            .flatten()
            .copied()
            .collect();
        out.sort_unstable();
        out.dedup();
        out
    }
}
