//! Changes of credentials as columns: one for each number before the change, and one for it after.

use polars::prelude::{
    Column, DataFrame, IntoColumn, NewChunkedArray, PolarsResult, UInt64Chunked,
};
use pyti_trace::event::{CREDENTIAL_NAMES, CredentialChange, Credentials, Event};

/// The columns of what the events changed.
pub(super) fn columns(events: &[Event]) -> Vec<Column> {
    let column = |name: String, get: &dyn Fn(&CredentialChange) -> u64| {
        let values = events.iter().map(|event| event.creds.as_deref().map(get));
        UInt64Chunked::from_iter_options(name.into(), values).into_column()
    };
    let mut columns = Vec::with_capacity(2 * CREDENTIAL_NAMES.len());
    for (index, name) in CREDENTIAL_NAMES.into_iter().enumerate() {
        let old = |change: &CredentialChange| change.old.numbers()[index];
        let new = |change: &CredentialChange| change.new.numbers()[index];
        columns.push(column(format!("old_{name}"), &old));
        columns.push(column(format!("new_{name}"), &new));
    }
    columns
}

/// The columns of a frame.
pub(super) struct Changes<'f> {
    old: Vec<&'f UInt64Chunked>,
    new: Vec<&'f UInt64Chunked>,
}

/// Finds the columns; runs before version 3 have none.
pub(super) fn read(frame: &DataFrame) -> PolarsResult<Option<Changes<'_>>> {
    let find = |when: &str| {
        let columns = CREDENTIAL_NAMES.iter().filter_map(|name| {
            let column = frame.column(&format!("{when}_{name}")).ok()?;
            Some(column.u64())
        });
        columns.collect::<PolarsResult<Vec<_>>>()
    };
    let changes = Changes {
        old: find("old")?,
        new: find("new")?,
    };
    let whole = |columns: &[&UInt64Chunked]| columns.len() == CREDENTIAL_NAMES.len();
    let all = whole(&changes.old) && whole(&changes.new);
    Ok(all.then_some(changes))
}

impl Changes<'_> {
    /// What the event in this row changed.
    pub(super) fn get(&self, row: usize) -> Option<Box<CredentialChange>> {
        let get = |columns: &[&UInt64Chunked]| {
            let numbers: Option<Vec<u64>> = columns.iter().map(|column| column.get(row)).collect();
            Credentials::from_numbers(numbers?.try_into().ok()?)
        };
        Some(Box::new(CredentialChange {
            old: get(&self.old)?,
            new: get(&self.new)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use pyti_trace::event::{Kind, ProcessKey};

    use super::super::columns;
    use super::*;

    #[test]
    fn changes_survive_and_old_runs_have_none() {
        let mut events = vec![Event::new(Kind::Creds, ProcessKey::default(), 1); 3];
        let credentials = |numbers| Credentials::from_numbers(numbers).unwrap();
        events[1].creds = Some(Box::new(CredentialChange {
            old: credentials([1, 2, 3, 4, 5, 6, 7, 8]),
            new: credentials([11, 12, 13, 14, 15, 16, u64::MAX, 18]),
        }));
        let frame = columns::frame(&events).unwrap();
        assert_eq!(columns::events(&frame).unwrap(), events);
        let names: Vec<String> = (frame.get_column_names().iter())
            .map(|name| name.to_string())
            .filter(|name| !name.starts_with("old_") && !name.starts_with("new_"))
            .collect();
        let before = frame.select(names).unwrap();
        events[1].creds = None;
        assert_eq!(columns::events(&before).unwrap(), events);
    }
}
