//! Two names that change places (`RENAME_EXCHANGE`): one event that is two renamings, one from either name.
//!
//! Rules judge it twice, since what they say of `file` and `target` holds for one of the two alone. So it has
//! two numbers: its place among the events, and a second one behind all places, under which its names are
//! turned round.

use pyti_trace::event::Event;

use super::value::View;
use crate::schema::Field;

/// The exchanges among the events of a stage.
#[derive(Debug)]
pub struct Exchanges {
    /// How many events there are.
    events: usize,
    /// The places of the exchanges, in order.
    places: Vec<usize>,
}

impl Exchanges {
    /// Looks for them.
    pub fn new(events: &[Event]) -> Self {
        let numbered = events.iter().enumerate();
        let exchanges = numbered.filter(|(_, event)| event.is_exchange());
        Self {
            events: events.len(),
            places: exchanges.map(|(place, _)| place).collect(),
        }
    }

    /// How many numbers there are.
    pub fn numbers(&self) -> usize {
        self.events + self.places.len()
    }

    /// The second number of the event at this place, where it is an exchange.
    pub fn second(&self, place: usize) -> Option<usize> {
        let order = self.places.binary_search(&place).ok()?;
        Some(self.events + order)
    }

    /// The place of the event of this number.
    pub fn place(&self, number: usize) -> usize {
        let order = number.checked_sub(self.events);
        let place = order.and_then(|order| self.places.get(order));
        place.copied().unwrap_or(number)
    }
}

/// The field that holds what rules ask for by this one, where the names are turned round; `None`: it is not on
/// record.
pub fn turned(field: Field) -> Option<Field> {
    match field {
        Field::File | Field::Path => Some(Field::Target),
        Field::Target => Some(Field::File),
        // How the new name was asked for nobody records.
        Field::Asked => None,
        other => Some(other),
    }
}

impl View<'_> {
    /// The place among the events of the one of this number.
    pub(super) fn place(&self, number: usize) -> usize {
        self.exchanges.place(number)
    }

    /// The event of this number.
    pub(super) fn event(&self, number: usize) -> &Event {
        &self.events[self.place(number)]
    }

    /// The numbers under which the event at this place is judged.
    pub(super) fn numbers(&self, place: usize) -> impl Iterator<Item = usize> + Clone {
        std::iter::once(place).chain(self.exchanges.second(place))
    }
}

#[cfg(test)]
mod tests {
    use pyti_trace::event::{Incomplete, Kind, ProcessKey};

    use super::super::value::{Value, show};
    use super::*;

    fn rename(flags: Option<u64>) -> Event {
        Event {
            path: Some("/a".to_owned()),
            asked: Some("a".to_owned()),
            target: Some("/b".to_owned()),
            flags,
            ..Event::new(Kind::Rename, ProcessKey::default(), 1)
        }
    }

    #[test]
    fn only_what_changes_places_has_two_numbers() {
        let open = Event {
            kind: Kind::Open,
            ..rename(Some(2))
        };
        let events = [
            rename(None),
            rename(Some(2)),
            open,
            rename(Some(1)),
            rename(Some(2)),
        ];
        let view = View::new(&events);
        let numbers: Vec<Vec<usize>> = (0..events.len())
            .map(|place| view.numbers(place).collect())
            .collect();
        assert_eq!(numbers, [vec![0], vec![1, 5], vec![2], vec![3], vec![4, 6]]);
        let places: Vec<usize> = (0..7).map(|number| view.place(number)).collect();
        assert_eq!(places, [0, 1, 2, 3, 4, 1, 4]);
    }

    #[test]
    fn the_names_are_turned_round() {
        let events = [rename(Some(2))];
        let view = View::new(&events);
        let names = |number| {
            [Field::File, Field::Path, Field::Target].map(|field| show(&view.value(number, field)))
        };
        let [a, b] = ["/a", "/b"].map(|name| Some(name.to_owned()));
        assert_eq!(names(0), [a.clone(), a.clone(), b.clone()]);
        assert_eq!(names(1), [b.clone(), b, a]);
        assert_eq!(view.value(1, Field::Asked), Value::Unknown);
        assert_eq!(view.value(1, Field::Result), Value::Int(0));
        assert_eq!(view.value(2, Field::Result), Value::Unknown);
    }

    /// Of a call that failed a trace made elsewhere has the new name, and the old one as it was asked for.
    #[test]
    fn what_is_known_of_a_name_is_known_of_it_turned_round() {
        let failed = Event {
            path: None,
            asked: Some("x".to_owned()),
            cwd: Some("/w".to_owned()),
            incomplete: Incomplete::TARGET_UNRESOLVED,
            result: -13,
            ..rename(Some(2))
        };
        let events = [failed];
        let view = View::new(&events);
        assert_eq!(view.value(1, Field::File), Value::OneName("/b".into()));
        let asked = Value::Text("/w/x".into(), true);
        assert_eq!(view.value(1, Field::Target), asked);
    }
}
