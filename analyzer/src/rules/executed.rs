//! Programs are mapped by the kernel when they are executed, before the execution itself is on record:
//! nobody loaded them.

use std::collections::{HashMap, HashSet};

use pyti_trace::event::{Event, Kind};

/// The mappings, by their place among `events`, of programs that the same thread executes next.
pub(super) fn executed(events: &[Event]) -> HashSet<usize> {
    let mut mapped: HashMap<u32, Vec<usize>> = HashMap::new();
    let mut found = HashSet::new();
    for (index, event) in events.iter().enumerate() {
        match event.kind {
            Kind::MmapExec => mapped.entry(event.tid).or_default().push(index),
            Kind::Exec if event.result >= 0 => {
                let program = event.dev.zip(event.inode);
                let of_thread = mapped.remove(&event.tid).unwrap_or_default();
                found.extend(of_thread.into_iter().filter(|mapped| {
                    let mapped = &events[*mapped];
                    program.is_some() && mapped.dev.zip(mapped.inode) == program
                }));
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use pyti_trace::event::ProcessKey;

    use super::*;

    fn event(kind: Kind, tid: u32, inode: Option<u64>) -> Event {
        Event {
            tid,
            dev: Some(1),
            inode,
            ..Event::new(kind, ProcessKey::default(), 1)
        }
    }

    #[test]
    fn only_what_the_same_thread_executes_next_is_its_program() {
        let failed = Event {
            result: -8,
            ..event(Kind::Exec, 1, Some(5))
        };
        let events = [
            event(Kind::MmapExec, 1, Some(5)),
            failed,
            event(Kind::MmapExec, 1, Some(6)),
            event(Kind::MmapExec, 2, Some(5)),
            event(Kind::Exec, 1, Some(5)),
            event(Kind::MmapExec, 1, Some(5)),
            event(Kind::MmapExec, 3, None),
            event(Kind::Exec, 3, None),
        ];
        assert_eq!(executed(&events), HashSet::from([0]));
    }
}
