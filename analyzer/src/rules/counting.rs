//! Events that a rule counts.

use std::collections::{BTreeMap, HashMap};

use super::value::View;
use crate::moments::Moment;

/// Values that a count keeps in its window.
const MAX_WINDOW: usize = 16_384;

/// What a count must reach.
#[derive(Debug)]
pub(super) struct Enough {
    pub within_ns: u64,
    pub distinct: bool,
    pub at_least: usize,
}

/// Events that are counted together.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// By when they ended, and their number: the value that is counted. An event is as near to what
    /// began after it as its end is.
    window: BTreeMap<(u64, usize), Option<String>>,
    distinct: HashMap<String, usize>,
    fired: bool,
    /// Something had to be forgotten because there was too much of it.
    pub overflowed: bool,
}

impl Group {
    /// Adds the event that begins. The events that reach what is enough, once; later ones
    /// alone.
    pub(super) fn add(
        &mut self,
        enough: &Enough,
        value: String,
        view: &View<'_>,
        Moment { index, time_ns, .. }: Moment,
    ) -> Option<Vec<usize>> {
        if self.fired {
            // It goes on: the finding grows.
            return Some(vec![index]);
        }
        let value = enough.distinct.then_some(value);
        if let Some(value) = &value {
            *self.distinct.entry(value.clone()).or_default() += 1;
        }
        let end_ns = view.event(index).time_ns;
        self.window.insert((end_ns, index), value);
        while let Some((&(end_ns, _), _)) = self.window.first_key_value()
            && (time_ns.saturating_sub(end_ns) > enough.within_ns || self.window.len() > MAX_WINDOW)
        {
            self.overflowed |= self.window.len() > MAX_WINDOW;
            if let Some((_, Some(value))) = self.window.pop_first()
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
        Some(events.into_keys().map(|(_, index)| index).collect())
    }
}
