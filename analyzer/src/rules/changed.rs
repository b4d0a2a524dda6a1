//! What a change of credentials changed: as rules ask for it, and as a trace written by hand tells it.

use pyti_trace::event::{CREDENTIAL_NAMES, CredentialChange, Credentials, Event, Ids};

use super::error::{RuleError, suggestion};
use super::value::{Value, missing};
use super::yaml::{Node, Value as Yaml};
use crate::schema::Field;

/// One number of what was held before, or is held from then on. The fields stand in the order of
/// [`CREDENTIAL_NAMES`], those from before first.
pub(super) fn changed(event: &Event, field: Field) -> Value<'_> {
    let Some(change) = event.creds.as_deref() else {
        return missing(event);
    };
    let (old, new) = (change.old.numbers(), change.new.numbers());
    let mut numbers = old.into_iter().chain(new);
    let index = (field as usize).checked_sub(Field::OldUid as usize);
    let number = index.and_then(|index| numbers.nth(index));
    number.map_or(Value::Absent, |number| Value::Int(number as i64))
}

/// What an ordinary user has.
pub(super) fn user() -> Credentials {
    let ids = Ids {
        real: 1000,
        effective: 1000,
        saved: 1000,
    };
    Credentials {
        uid: ids,
        gid: ids,
        permitted: 0,
        effective: 0,
    }
}

/// Sets what a mapping from `old.uid` to `new.effective` tells of a change by an ordinary user. What
/// is no mapping tells nothing.
///
/// # Errors
/// A name that is none of these, a number that is no id.
pub(super) fn tell(event: &mut Event, node: &Node) -> Result<(), RuleError> {
    let Yaml::Map(entries) = &node.value else {
        return Ok(());
    };
    let mut halves = [user().numbers(); 2];
    for entry in entries {
        let place = ["old", "new"].into_iter().position(|when| {
            let rest = entry.key.strip_prefix(when);
            rest.is_some_and(|rest| rest.starts_with('.'))
        });
        let name = entry.key.split_once('.').map_or("", |(_, name)| name);
        let index = CREDENTIAL_NAMES.iter().position(|known| *known == name);
        let (Some(place), Some(index)) = (place, index) else {
            let known = ["old", "new"].map(|when| {
                let names = CREDENTIAL_NAMES.iter();
                names.map(move |name| format!("{when}.{name}"))
            });
            let known: Vec<String> = known.into_iter().flatten().collect();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let hint = suggestion(&entry.key, &known);
            return Err((entry.place).error(format!("no credential `{}`{hint}", entry.key)));
        };
        halves[place][index] = entry.value.int()? as u64;
    }
    let [old, new] = halves.map(Credentials::from_numbers);
    let (Some(old), Some(new)) = (old, new) else {
        return Err(node.expected("ids, which are numbers from 0 on"));
    };
    (event.uid, event.caps) = (old.uid.effective, old.effective);
    (event.mode, event.flags) = (Some(new.uid.effective), Some(new.effective));
    event.creds = Some(Box::new(CredentialChange { old, new }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use pyti_trace::event::{Kind, ProcessKey};

    use super::*;
    use crate::schema::FIELDS;

    fn told(text: &str) -> Result<Event, RuleError> {
        let node = Node::parse("t.yaml", text)?;
        let mut event = Event::new(Kind::Creds, ProcessKey::default(), 1);
        tell(&mut event, &node).map(|()| event)
    }

    #[test]
    fn every_number_is_the_field_of_its_name() {
        let fields: Vec<_> = (FIELDS.iter())
            .filter_map(|info| Some((info, info.name.strip_prefix("creds.")?)))
            .filter(|(info, _)| info.kinds == [Kind::Creds])
            .collect();
        assert_eq!(fields.len(), 2 * CREDENTIAL_NAMES.len());
        let lines =
            (fields.iter().enumerate()).map(|(index, (_, name))| format!("{name}: {index}"));
        let event = told(&lines.collect::<Vec<_>>().join("\n")).unwrap();
        for (index, (info, name)) in fields.into_iter().enumerate() {
            let value = changed(&event, info.field);
            assert_eq!(value, Value::Int(index as i64), "{name}");
        }
        let change = event.creds.unwrap();
        assert_eq!((change.old.uid.saved, change.new.gid.effective), (2, 12));
        assert_eq!((event.uid, event.mode), (1, Some(9)));
    }

    #[test]
    fn what_is_not_told_is_the_users_or_unknown() {
        let change = told("new.permitted: 5").unwrap().creds.unwrap();
        assert_eq!(change.old, user());
        assert_eq!(change.new.permitted, 5);
        let event = told("\"\"").unwrap();
        assert_eq!(changed(&event, Field::NewUid), Value::Unknown);
    }

    #[test]
    fn names_and_ids_that_are_none_are_refused() {
        for (text, why) in [
            ("old.udi: 1", "did you mean `old.uid`?"),
            ("uid: 1", "no credential `uid`"),
            ("old: 1", "no credential `old`"),
            ("new.uid: -1", "ids"),
            ("new.uid: x", "integer"),
        ] {
            let error = told(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
