//! Changes of credentials.

use aya_ebpf::macros::fentry;
use aya_ebpf::programs::FEntryContext;
use pyti_trace_ebpf::{has, kind};

use crate::kernel::{Ptr, current, load, offset, peek};
use crate::recorder::Recorder;
use crate::track::watching;

/// `uid` to `fsgid` of `struct cred`, and three sets of capabilities from `cap_inheritable` on
/// (include/linux/cred.h).
type Ids = [u64; 4];
type Capabilities = [u64; 3];

/// The old credentials are the record's own, the new ones stand in `mode` (effective user id) and
/// `flags` (effective capabilities). Every exec commits credentials: only changes are events, of
/// whatever id and set of capabilities.
#[fentry(function = "commit_creds")]
pub fn creds(ctx: FEntryContext) -> i32 {
    if !watching() {
        return 0;
    }
    let new: Ptr = ctx.arg(0);
    let old: Ptr = load(current(), offset!(task_cred));
    if peek::<Ids>(new, offset!(cred_uid)) == peek::<Ids>(old, offset!(cred_uid))
        && peek::<Capabilities>(new, offset!(cred_inheritable))
            == peek::<Capabilities>(old, offset!(cred_inheritable))
    {
        return 0;
    }
    let uid: u32 = load(new, offset!(cred_euid));
    let caps: u64 = load(new, offset!(cred_caps));
    if let Some(mut recorder) = Recorder::begin(kind::CREDS) {
        let record = recorder.record();
        record.mode = uid;
        record.flags = caps;
        record.has |= has::MODE | has::FLAGS;
        recorder.emit(kind::CREDS, 0);
    }
    0
}
