//! Changes of credentials.

use aya_ebpf::macros::fentry;
use aya_ebpf::programs::FEntryContext;
use pyti_trace_ebpf::{has, kind};

use crate::kernel::{Ptr, current, load, offset};
use crate::recorder::Recorder;
use crate::track::watching;

/// The old credentials are the record's own, the new ones stand in `mode` (effective user id) and
/// `flags` (effective capabilities). Every exec commits credentials: only changes are events.
#[fentry(function = "commit_creds")]
pub fn creds(ctx: FEntryContext) -> i32 {
    if !watching() {
        return 0;
    }
    let new: Ptr = ctx.arg(0);
    let old: Ptr = load(current(), offset!(task_cred));
    let uid: u32 = load(new, offset!(cred_euid));
    let caps: u64 = load(new, offset!(cred_caps));
    if uid == load::<u32>(old, offset!(cred_euid)) && caps == load::<u64>(old, offset!(cred_caps)) {
        return 0;
    }
    if let Some(mut recorder) = Recorder::begin(kind::CREDS) {
        let record = recorder.record();
        record.mode = uid;
        record.flags = caps;
        record.has |= has::MODE | has::FLAGS;
        recorder.emit(kind::CREDS, 0);
    }
    0
}
