//! The order in which events begin and end. What is on record when it ends, as a write is when its
//! file is closed, may have begun long before, and what came in between came after it began.

use pyti_trace::event::Event;

/// An event begins, ends, or both at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// When, nanoseconds since boot.
    pub time_ns: u64,
    /// The event's number.
    pub index: usize,
    /// It begins.
    pub begins: bool,
    /// It ends.
    pub ends: bool,
}

/// All moments of `events`, which are in the order of their ends. At the same time, what takes time
/// begins first.
pub(crate) fn moments(events: &[Event]) -> impl Iterator<Item = Moment> {
    let mut begins: Vec<(u64, usize)> = events
        .iter()
        .enumerate()
        .filter(|(_, event)| takes_time(event))
        .map(|(index, event)| (event.began_ns(), index))
        .collect();
    begins.sort_unstable();
    let mut begins = begins.into_iter().peekable();
    let mut ends = events.iter().enumerate().peekable();
    std::iter::from_fn(move || {
        let (_, event) = ends.peek()?;
        let end_ns = event.time_ns;
        if let Some((time_ns, index)) = begins.next_if(|(time_ns, _)| *time_ns <= end_ns) {
            return Some(Moment {
                time_ns,
                index,
                begins: true,
                ends: false,
            });
        }
        let (index, event) = ends.next()?;
        Some(Moment {
            time_ns: event.time_ns,
            index,
            begins: !takes_time(event),
            ends: true,
        })
    })
}

fn takes_time(event: &Event) -> bool {
    event.began_ns() < event.time_ns
}

#[cfg(test)]
mod tests {
    use pyti_trace::event::{Kind, ProcessKey};

    use super::*;

    fn event(since_ns: Option<u64>, time_ns: u64) -> Event {
        Event {
            since_ns,
            ..Event::new(Kind::Write, ProcessKey::default(), time_ns)
        }
    }

    #[test]
    fn what_takes_time_begins_before_what_happens_meanwhile() {
        let events = [
            event(None, 1),
            event(Some(0), 3),
            event(None, 5),
            event(Some(5), 7),
            event(Some(3), 9),
            // It began when it ended, or says that it began later.
            event(Some(9), 9),
            event(Some(11), 10),
        ];
        let told: Vec<_> = moments(&events)
            .map(|moment| (moment.time_ns, moment.index, moment.begins, moment.ends))
            .collect();
        let (begins, ends, both) = ((true, false), (false, true), (true, true));
        let expected = [
            (0, 1, begins),
            (1, 0, both),
            (3, 4, begins),
            (3, 1, ends),
            (5, 3, begins),
            (5, 2, both),
            (7, 3, ends),
            (9, 4, ends),
            (9, 5, both),
            (10, 6, both),
        ];
        let expected =
            expected.map(|(time_ns, index, (begins, ends))| (time_ns, index, begins, ends));
        assert_eq!(told, expected);
    }
}
