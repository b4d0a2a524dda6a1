//! How much is read into memory.

use pyti_trace::event::{CredentialChange, Event};

/// Events of a judgement at most.
pub const MAX_EVENTS: usize = 8_000_000;
/// Memory of a judgement's events at most, bytes: some 800,000 of an ordinary program's.
pub const MAX_BYTES: usize = 768 << 20;

/// What may still be read. Whoever wrote the events chose their number and their texts, so what is
/// beyond is left out and told.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Events.
    pub events: usize,
    /// Bytes of memory that they take.
    pub bytes: usize,
}

/// What one judgement may hold in memory.
impl Default for Budget {
    fn default() -> Self {
        Self {
            events: MAX_EVENTS,
            bytes: MAX_BYTES,
        }
    }
}

impl Budget {
    /// All that there is: for events whose origin is known.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            events: usize::MAX,
            bytes: usize::MAX,
        }
    }

    /// Takes what an event needs; false where there is not so much left, and from then on.
    pub(super) fn take(&mut self, event: &Event) -> bool {
        match (
            self.events.checked_sub(1),
            self.bytes.checked_sub(weight(event)),
        ) {
            (Some(events), Some(bytes)) => {
                *self = Self { events, bytes };
                true
            }
            (None, _) => false,
            (_, None) => {
                self.bytes = 0;
                false
            }
        }
    }
}

/// What the heap keeps beside an allocation, and rounds it up by, bytes (glibc).
const ALLOCATION: usize = 16;

/// Bytes of memory that an event takes, roughly.
pub(super) fn weight(event: &Event) -> usize {
    let text = |text: &String| size_of::<String>() + text.len() + ALLOCATION;
    let list = |list: &Option<Vec<String>>| list.iter().flatten().map(text).sum::<usize>();
    let texts = [
        &event.path,
        &event.asked,
        &event.target,
        &event.cwd,
        &event.addr,
    ];
    let stack = event.python.iter().flatten();
    size_of::<Event>()
        + event.comm.len()
        + ALLOCATION
        + texts.into_iter().flatten().map(text).sum::<usize>()
        + list(&event.argv)
        + list(&event.env)
        + event
            .data
            .as_ref()
            .map_or(0, |data| data.len() + ALLOCATION)
        + event
            .creds
            .as_ref()
            .map_or(0, |_| size_of::<CredentialChange>() + ALLOCATION)
        + stack
            .map(|frame| 16 + text(&frame.file) + text(&frame.function))
            .sum::<usize>()
}

#[cfg(test)]
mod tests {
    use pyti_trace::event::{Kind, ProcessKey};

    use super::*;

    #[test]
    fn many_small_words_weigh_more_than_their_letters() {
        let mut event = Event::new(Kind::Exec, ProcessKey::default(), 1);
        let empty = weight(&event);
        assert!(empty < 1000, "{empty}");
        event.argv = Some(vec!["x".to_owned(); 512]);
        assert!(weight(&event) - empty > 512 * 40);
    }

    #[test]
    fn what_does_not_fit_ends_the_budget() {
        let event = Event::new(Kind::Exec, ProcessKey::default(), 1);
        let mut large = event.clone();
        large.argv = Some(vec!["x".to_owned(); 512]);
        let mut budget = Budget {
            events: 9,
            bytes: 2 * weight(&event),
        };
        assert!(budget.take(&event));
        assert!(!budget.take(&large) && !budget.take(&event));
        let mut few = Budget {
            events: 1,
            bytes: usize::MAX,
        };
        assert!(few.take(&large) && !few.take(&event));
    }
}
