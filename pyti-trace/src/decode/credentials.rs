//! Ids and capabilities.

use std::mem::offset_of;

use pyti_trace_ebpf::{CREDENTIALS_SIZE, Credentials as Raw};

use crate::event::{Credentials, Ids};

/// Reads [`Raw`]; `None` where there are not as many bytes.
pub(super) fn read(bytes: &[u8]) -> Option<Credentials> {
    let bytes: &[u8; CREDENTIALS_SIZE] = bytes.try_into().ok()?;
    let word = |at: usize, index: usize| {
        let bytes = bytes.get(at + 8 * index..)?.first_chunk()?;
        Some(u64::from_le_bytes(*bytes))
    };
    let [real, saved, effective] = [0, 1, 2].map(|index| word(offset_of!(Raw, ids), index));
    let [real, saved, effective] = [real?, saved?, effective?];
    let ids = |part: fn(u64) -> u32| Ids {
        real: part(real),
        effective: part(effective),
        saved: part(saved),
    };
    Some(Credentials {
        uid: ids(|word| word as u32),
        gid: ids(|word| (word >> 32) as u32),
        permitted: word(offset_of!(Raw, capabilities), 1)?,
        effective: word(offset_of!(Raw, capabilities), 2)?,
    })
}
