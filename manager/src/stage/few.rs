//! Lists that a clone wrote, of which only so many items are kept: an item of two bytes may take a
//! hundred times as many in memory.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};

/// The first items of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Few<T, const MOST: usize> {
    /// They.
    pub first: Vec<T>,
    /// How many there were besides.
    pub more: usize,
}

/// Whether nothing was too much, for data that do not say so then.
pub(super) fn is_none(more: &usize) -> bool {
    *more == 0
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Few<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(Items(PhantomData))
    }
}

struct Items<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Items<T, MOST> {
    type Value = Few<T, MOST>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut first = Vec::new();
        while first.len() < MOST {
            match list.next_element()? {
                Some(item) => first.push(item),
                None => return Ok(Few { first, more: 0 }),
            }
        }
        let mut more = 0;
        while list.next_element::<IgnoredAny>()?.is_some() {
            more += 1;
        }
        Ok(Few { first, more })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_counted() {
        let read = |text| serde_json::from_str::<Few<u32, 2>>(text).unwrap();
        let few = |first: &[u32], more| Few {
            first: first.to_vec(),
            more,
        };
        assert_eq!(read("[]"), few(&[], 0));
        assert_eq!(read("[1, 2]"), few(&[1, 2], 0));
        assert_eq!(read("[1, 2, 3, \"x\", {}]"), few(&[1, 2], 3));
        assert!(serde_json::from_str::<Few<u32, 2>>("[\"x\"]").is_err());
        assert!(serde_json::from_str::<Few<u32, 2>>("{}").is_err());
    }
}
