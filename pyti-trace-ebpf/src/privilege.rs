//! Changes of credentials.

use aya_ebpf::macros::fentry;
use aya_ebpf::programs::FEntryContext;
use pyti_trace_ebpf::{has, kind, tag};

use crate::kernel::{Ptr, current, load, offset, peek};
use crate::recorder::Recorder;
use crate::track::watching;

/// From `uid` to `fsgid` of `struct cred`, and three sets of capabilities from `cap_inheritable` on
/// (include/linux/cred.h), in words.
const IDS: usize = 4;
const CAPABILITIES: usize = 3;

/// The old credentials are the record's own, the new ones stand in `mode` (effective user id) and
/// `flags` (effective capabilities); two texts have all of both. Every exec commits credentials: only
/// changes are events, of whatever id and set of capabilities.
#[fentry(function = "commit_creds")]
pub fn creds(ctx: FEntryContext) -> i32 {
    if !watching() {
        return 0;
    }
    let new: Ptr = ctx.arg(0);
    let old: Ptr = load(current(), offset!(task_cred));
    let changed = difference::<IDS>(new, old, offset!(cred_uid))
        | difference::<CAPABILITIES>(new, old, offset!(cred_inheritable));
    if changed == 0 {
        return 0;
    }
    let uid: u32 = load(new, offset!(cred_euid));
    let caps: u64 = load(new, offset!(cred_caps));
    if let Some(mut recorder) = Recorder::begin(kind::CREDS) {
        let record = recorder.record();
        record.mode = uid;
        record.flags = caps;
        record.has |= has::MODE | has::FLAGS;
        recorder.credentials(tag::OLD_CREDENTIALS, old);
        recorder.credentials(tag::NEW_CREDENTIALS, new);
        recorder.python();
        recorder.emit(kind::CREDS, 0);
    }
    0
}

/// 0 where so many words are the same. One by one: with what calls this, the Python stack fills the
/// room that the verifier gives.
#[inline(always)]
fn difference<const WORDS: usize>(one: Ptr, other: Ptr, offset: usize) -> u64 {
    let mut difference = 0;
    for word in 0..WORDS {
        let at = offset + word * size_of::<u64>();
        difference |= peek::<u64>(one, at) ^ peek::<u64>(other, at);
    }
    difference
}
