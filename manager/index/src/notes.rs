//! What an auditor should know of a resolution, as far as there is room: a package can have as many
//! requirements that are not followed as it likes.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// Notes that are kept.
const MOST: usize = 200;
/// Notes that are told from each other, those that are not kept among them.
const MOST_COUNTED: usize = 100_000;

/// Notes, each once.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    kept: Vec<String>,
    /// Of all that came, so that what is read again and again counts once.
    known: HashSet<u64>,
    hasher: RandomState,
}

impl Notes {
    /// Adds a note, where it is new.
    pub(crate) fn add(&mut self, note: String) {
        let full = self.known.len() >= MOST_COUNTED;
        if !full && self.known.insert(self.hasher.hash_one(&note)) && self.kept.len() < MOST {
            self.kept.push(note);
        }
    }

    /// Those that are kept, and how many are not.
    pub(crate) fn told(&self) -> Vec<String> {
        let mut told = self.kept.clone();
        let more = self.known.len().saturating_sub(told.len());
        let least = if self.known.len() < MOST_COUNTED {
            ""
        } else {
            "at least "
        };
        match more {
            0 => {}
            1 => told.push("1 more note is not kept".to_owned()),
            more => told.push(format!("{least}{more} more notes are not kept")),
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(numbers: impl Iterator<Item = usize>) -> Vec<String> {
        let mut notes = Notes::default();
        numbers.for_each(|number| notes.add(number.to_string()));
        notes.told()
    }

    #[test]
    fn each_note_is_told_once_and_in_order() {
        assert_eq!(told([2, 1, 2, 3, 1].into_iter()), ["2", "1", "3"]);
        assert!(told(std::iter::empty()).is_empty());
    }

    #[test]
    fn what_is_not_kept_is_counted() {
        let all = told(0..MOST);
        assert_eq!(all.len(), MOST);
        for (number, last) in [
            (MOST + 1, "1 more note is not kept"),
            (10_000, "9800 more notes are not kept"),
            (MOST_COUNTED * 2, "at least 99800 more notes are not kept"),
        ] {
            // All of them twice.
            let told = told((0..number).chain(0..number));
            let (kept, more) = told.split_at(MOST);
            assert_eq!((kept, more), (&all[..], &[last.to_owned()][..]), "{number}");
        }
    }
}
