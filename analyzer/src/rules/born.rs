//! Whether what an event names was made earlier in the same stage.

use pyti_trace::event::{Event, Incomplete, Kind};

use super::places::Places;
use crate::moments::moments;

/// By event: its object, or a directory above it, was made before the event began; `None`: not known.
pub(super) fn born(events: &[Event]) -> Vec<Option<bool>> {
    let mut made = Places::default();
    // Made or not, nobody knows.
    let mut maybe = Places::default();
    let mut born = vec![None; events.len()];
    for moment in moments(events) {
        let event = &events[moment.index];
        if moment.begins {
            let unresolved = event.incomplete.contains(Incomplete::PATH_UNRESOLVED);
            born[moment.index] = match event.path.as_deref() {
                Some(path) if made.hold(path) => Some(true),
                Some(path) if unresolved || maybe.hold(path) => None,
                None if event.incomplete.contains(Incomplete::PATH_UNREADABLE) => None,
                _ => Some(false),
            };
        }
        match makes(event).filter(|_| moment.ends) {
            Some((path, true)) => made.insert(path),
            Some((path, false)) => maybe.insert(path),
            None => {}
        }
    }
    born
}

/// The path that an event brings into being, and whether that is sure: of an open it may not be known
/// whether the file was there before, and of any call whether it was done.
fn makes(event: &Event) -> Option<(&str, bool)> {
    let (path, made) = match event.kind {
        Kind::Open => (&event.path, event.created),
        Kind::Mkdir | Kind::Symlink => (&event.path, Some(true)),
        Kind::Rename | Kind::Link => (&event.target, Some(true)),
        _ => return None,
    };
    let sure = match (event.outcome(), made) {
        (Some(..0), _) | (_, Some(false)) => return None,
        (Some(_), Some(true)) => true,
        (None, _) | (_, None) => false,
    };
    Some((path.as_deref()?, sure))
}

#[cfg(test)]
mod tests {
    use pyti_trace::event::ProcessKey;

    use super::*;

    fn event(kind: Kind, path: &str) -> Event {
        Event {
            path: Some(path.to_owned()),
            ..Event::new(kind, ProcessKey::default(), 1)
        }
    }

    /// What is known of `/d/x` after an event that makes `/d`, or may.
    fn after(making: Event) -> Option<bool> {
        let events = [making, event(Kind::Unlink, "/d/x")];
        born(&events)[1]
    }

    fn ending(event: Event, result: Option<i64>) -> Event {
        let unknown = match result {
            Some(_) => Incomplete::empty(),
            None => Incomplete::RESULT_UNKNOWN,
        };
        Event {
            result: result.unwrap_or_default(),
            incomplete: unknown,
            ..event
        }
    }

    #[test]
    fn what_may_have_been_made_is_not_known_to_be() {
        let named = |kind| Event {
            target: Some("/d".to_owned()),
            ..event(kind, "/e")
        };
        for making in [
            event(Kind::Mkdir, "/d"),
            event(Kind::Symlink, "/d"),
            named(Kind::Rename),
            named(Kind::Link),
            Event {
                created: Some(true),
                ..event(Kind::Open, "/d")
            },
        ] {
            let told = [Some(0), Some(-17), None].map(|end| after(ending(making.clone(), end)));
            assert_eq!(told, [Some(true), Some(false), None], "{:?}", making.kind);
        }
    }

    #[test]
    fn an_open_makes_what_it_says() {
        let open = |created, end| {
            let open = Event {
                created,
                ..event(Kind::Open, "/d")
            };
            after(ending(open, end))
        };
        assert_eq!(open(None, Some(0)), None);
        assert_eq!(open(None, Some(-2)), Some(false));
        assert_eq!(open(Some(false), Some(0)), Some(false));
        // It was not to make any.
        assert_eq!(open(Some(false), None), Some(false));
        assert_eq!(open(None, None), None);
    }

    /// Who moves something to where a file is that he still writes to did not make that one.
    #[test]
    fn what_is_made_while_a_file_is_written_to_was_not_made_before() {
        for (since_ns, known) in [(None, true), (Some(6), true), (Some(4), false)] {
            let moved = Event {
                time_ns: 5,
                target: Some("/d".to_owned()),
                ..event(Kind::Rename, "/e")
            };
            let write = Event {
                time_ns: 9,
                since_ns,
                ..event(Kind::Write, "/d")
            };
            assert_eq!(born(&[moved, write])[1], Some(known), "{since_ns:?}");
        }
    }

    #[test]
    fn what_was_made_for_sure_stays_so() {
        let mkdir = || event(Kind::Mkdir, "/d");
        let below = event(Kind::Unlink, "/d/x");
        let events = [ending(mkdir(), None), mkdir(), ending(mkdir(), None), below];
        assert_eq!(born(&events), [Some(false), None, Some(true), Some(true)]);
    }
}
