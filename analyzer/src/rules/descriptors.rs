//! What a program's standard input and output are.

use std::collections::HashMap;

use pyti_trace::event::{Event, Kind, ProcessKey};

/// The events by which descriptors 0 and 1 became what they are; `None`: nothing was duplicated onto
/// them in this stage.
pub type Standard = [Option<usize>; 2];

/// By execution: the program's standard input and output.
#[derive(Debug, Default)]
pub struct Descriptors {
    at_exec: HashMap<usize, Standard>,
}

impl Descriptors {
    /// Follows duplications through forks and executions; `events` in the order of time.
    pub fn new(events: &[Event]) -> Self {
        let mut at_exec = HashMap::new();
        let mut now: HashMap<ProcessKey, Standard> = HashMap::new();
        for (index, event) in events.iter().enumerate() {
            // A child begins with what its parent has then.
            let inherited = now.get(&event.parent).copied().unwrap_or_default();
            let standard = now.entry(event.process).or_insert(inherited);
            match event.kind {
                // What may have been duplicated counts, and is unknown to who asks what it is.
                Kind::Dup if event.outcome().is_none_or(|result| result >= 0) => {
                    let place = event.fds.and_then(|(_, new)| usize::try_from(new).ok());
                    if let Some(place) = place.and_then(|place| standard.get_mut(place)) {
                        *place = Some(index);
                    }
                }
                Kind::Exec if *standard != Standard::default() => {
                    at_exec.insert(index, *standard);
                }
                Kind::Fork => {
                    let standard = *standard;
                    if let Some(child) = event.other {
                        now.insert(child, standard);
                    }
                }
                _ => {}
            }
        }
        Self { at_exec }
    }

    /// The event that made descriptor `place` (0 or 1) what it is for the program executed at `index`.
    pub fn standard(&self, index: usize, place: usize) -> Option<usize> {
        self.at_exec.get(&index)?.get(place).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tgid: u32) -> ProcessKey {
        ProcessKey { tgid, start_ns: 1 }
    }

    fn event(kind: Kind, process: u32) -> Event {
        Event {
            parent: key(process - 1),
            ..Event::new(kind, key(process), 1)
        }
    }

    fn dup(process: u32, new: i32) -> Event {
        Event {
            fds: Some((7, new)),
            ..event(Kind::Dup, process)
        }
    }

    #[test]
    fn children_have_what_their_parents_had_at_the_fork() {
        let events = [
            dup(1, 1),
            Event {
                other: Some(key(2)),
                ..event(Kind::Fork, 1)
            },
            dup(1, 0),
            event(Kind::Exec, 2),
            event(Kind::Exec, 1),
            dup(2, 2),
            event(Kind::Exec, 3),
            event(Kind::Exec, 9),
        ];
        let descriptors = Descriptors::new(&events);
        let told = |index| [0, 1].map(|place| descriptors.standard(index, place));
        assert_eq!(told(3), [None, Some(0)]);
        assert_eq!(told(4), [Some(2), Some(0)]);
        assert_eq!(told(6), [None, Some(0)], "a fork that was not seen");
        assert_eq!(told(7), [None, None]);
    }
}
