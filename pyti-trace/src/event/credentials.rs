//! Ids and capabilities, and what changes them.

use serde::{Deserialize, Serialize};

/// User or group ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ids {
    /// Who started the process.
    pub real: u32,
    /// Who it acts as.
    pub effective: u32,
    /// Who it may act as again.
    pub saved: u32,
}

/// Ids and capabilities of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Credentials {
    /// User ids.
    pub uid: Ids,
    /// Group ids.
    pub gid: Ids,
    /// Capabilities that it may use.
    pub permitted: u64,
    /// Capabilities that it uses.
    pub effective: u64,
}

/// A change of credentials. One of other sets or ids, such as inheritable capabilities, leaves these
/// as they were, and so does one that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CredentialChange {
    /// What was held.
    pub old: Credentials,
    /// What is held from then on.
    pub new: Credentials,
}

/// Short names of what credentials are made of, in the order of [`Credentials::numbers`].
pub const CREDENTIAL_NAMES: [&str; 8] = [
    "uid",
    "euid",
    "suid",
    "gid",
    "egid",
    "sgid",
    "permitted",
    "effective",
];

impl Credentials {
    /// All of it as numbers: real, effective and saved id of the user and of the group, permitted and
    /// effective capabilities.
    #[must_use]
    pub fn numbers(&self) -> [u64; 8] {
        let [uid, gid] = [self.uid, self.gid].map(|ids| {
            let ids = [ids.real, ids.effective, ids.saved];
            ids.map(u64::from)
        });
        let ([a, b, c], [d, e, f]) = (uid, gid);
        [a, b, c, d, e, f, self.permitted, self.effective]
    }

    /// The same the other way round; `None` where an id is none.
    #[must_use]
    pub fn from_numbers(numbers: [u64; 8]) -> Option<Self> {
        let [a, b, c, d, e, f, permitted, effective] = numbers;
        let ids = |[real, effective, saved]: [u64; 3]| {
            Some(Ids {
                real: real.try_into().ok()?,
                effective: effective.try_into().ok()?,
                saved: saved.try_into().ok()?,
            })
        };
        Some(Self {
            uid: ids([a, b, c])?,
            gid: ids([d, e, f])?,
            permitted,
            effective,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_credentials_where_the_ids_are_ids() {
        let numbers = [1, 2, 3, 4, 5, 6, u64::MAX, 1 << 40];
        let credentials = Credentials::from_numbers(numbers).unwrap();
        assert_eq!((credentials.uid.saved, credentials.gid.real), (3, 4));
        assert_eq!(credentials.numbers(), numbers);
        for index in 0..6 {
            let mut bad = numbers;
            bad[index] = 1 << 32;
            assert_eq!(Credentials::from_numbers(bad), None, "{index}");
        }
    }
}
