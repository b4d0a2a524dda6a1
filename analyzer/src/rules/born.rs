//! Whether what an event names was made earlier in the same stage.

use pyti_trace::event::{Event, Incomplete, Kind};

use super::exchange::Exchanges;
use super::places::Places;
use super::value::{Value, asked_for};
use crate::moments::moments;
use crate::tree::Tree;

/// The marks of a name: it may not be the object's own, it could not be read.
const OF_PATH: [Incomplete; 2] = [Incomplete::PATH_UNRESOLVED, Incomplete::PATH_UNREADABLE];
const OF_TARGET: [Incomplete; 2] = [Incomplete::TARGET_UNRESOLVED, Incomplete::TARGET_UNREADABLE];

/// By number (see [`Exchanges`]): its object, or a directory above it, was made before the event began;
/// `None`: not known. What failed before the kernel had found it goes by the name that was asked for.
pub(super) fn born(events: &[Event], exchanges: &Exchanges, tree: &Tree) -> Vec<Option<bool>> {
    let mut made = Made::default();
    let mut born = vec![None; exchanges.numbers()];
    for moment in moments(events) {
        let event = &events[moment.index];
        let second = exchanges.second(moment.index);
        if moment.begins {
            let failed = event.path.is_none();
            let asked = match failed.then(|| asked_for(event, tree)).flatten() {
                Some(Value::Text(name, true)) => Some(name),
                _ => None,
            };
            let name = event.path.as_deref().or(asked.as_deref());
            born[moment.index] = made.holds(name, event.incomplete, OF_PATH);
            if let Some(second) = second {
                born[second] = made.holds(event.target.as_deref(), event.incomplete, OF_TARGET);
            }
        }
        match second.filter(|_| moment.ends) {
            Some(second) => made.exchange(event, [born[moment.index], born[second]]),
            None if moment.ends => made.learn(event),
            None => {}
        }
    }
    born
}

/// What was made in this stage.
#[derive(Default)]
struct Made<'a> {
    sure: Places<'a>,
    /// Made or not, nobody knows.
    maybe: Places<'a>,
    /// The same, also of what was surely made there: it may have the other name by now.
    exchanged: Places<'a>,
}

impl<'a> Made<'a> {
    /// Whether what has this name was made.
    fn holds(
        &self,
        name: Option<&str>,
        marks: Incomplete,
        [unresolved, unreadable]: [Incomplete; 2],
    ) -> Option<bool> {
        match name {
            Some(name) if self.exchanged.hold(name) => None,
            Some(name) if self.sure.hold(name) => Some(true),
            Some(name) if marks.contains(unresolved) || self.maybe.hold(name) => None,
            None if marks.contains(unreadable) => None,
            _ => Some(false),
        }
    }

    /// An event has ended that may have made something.
    fn learn(&mut self, event: &'a Event) {
        match makes(event) {
            Some((path, true)) => self.sure.insert(path),
            Some((path, false)) => self.maybe.insert(path),
            None => {}
        }
    }

    /// Two names have changed places, or may have, of which `born` was known before: nothing was made, and what
    /// was may stand at either, or below it.
    fn exchange(&mut self, event: &'a Event, born: [Option<bool>; 2]) {
        let failed = event.outcome().is_some_and(|result| result < 0);
        // Where both were made, with all that is below them, both still are.
        if failed || born == [Some(true); 2] {
            return;
        }
        for name in [&event.path, &event.target].into_iter().flatten() {
            self.exchanged.insert(name);
        }
    }
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

    fn born(events: &[Event]) -> Vec<Option<bool>> {
        super::born(events, &Exchanges::new(events), &Tree::new(events))
    }

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

    /// As a renaming to another file system does.
    #[test]
    fn what_failed_goes_by_the_name_that_was_asked_for() {
        let failed = |asked: &str| Event {
            path: None,
            asked: Some(asked.to_owned()),
            result: -18,
            ..event(Kind::Rename, "")
        };
        let events = [
            event(Kind::Mkdir, "/d"),
            failed("/d/x"),
            failed("/d/../e"),
            failed("d/x"),
        ];
        assert_eq!(born(&events)[1..], [Some(true), Some(false), Some(false)]);
    }

    /// `RENAME_EXCHANGE` of include/uapi/linux/fs.h.
    fn exchange(one: &str, other: &str) -> Event {
        Event {
            target: Some(other.to_owned()),
            flags: Some(2),
            ..event(Kind::Rename, one)
        }
    }

    /// Nobody hides what was there behind something that he made, nor makes it look made.
    #[test]
    fn what_changes_places_is_told_before_and_not_after() {
        let made = event(Kind::Mkdir, "/made");
        let below = |directory: &str| event(Kind::Unlink, &format!("{directory}/x"));
        for (one, other, before) in [
            ("/made", "/old", [Some(true), Some(false)]),
            ("/old", "/made", [Some(false), Some(true)]),
        ] {
            let ends = [
                (Some(0), [None, None]),
                (None, [None, None]),
                (Some(-13), [Some(true), Some(false)]),
            ];
            for (end, after) in ends {
                let events = [
                    made.clone(),
                    ending(exchange(one, other), end),
                    below("/made"),
                    below("/old"),
                ];
                let told = born(&events);
                // From the other name, behind all others.
                assert_eq!([told[1], told[4]], before, "{one} {end:?}");
                assert_eq!(told[2..4], after, "{one} {end:?}");
            }
        }
    }

    #[test]
    fn of_two_that_were_made_both_still_are() {
        let events = [
            event(Kind::Mkdir, "/one"),
            event(Kind::Mkdir, "/other"),
            exchange("/one", "/other"),
            event(Kind::Unlink, "/one/x"),
            event(Kind::Unlink, "/other/x"),
        ];
        let told = born(&events);
        assert_eq!(told[2..], [Some(true); 4]);
    }
}
