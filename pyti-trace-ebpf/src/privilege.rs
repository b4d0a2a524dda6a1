//! Changes of credentials, and those that are refused.

use aya_ebpf::macros::{fentry, fexit};
use aya_ebpf::programs::{FEntryContext, FExitContext};
use pyti_trace_ebpf::{has, kind, tag};

use crate::kernel::{Ptr, current, load, offset, peek};
use crate::recorder::Recorder;
use crate::tamper::set_name;
use crate::track::watching;

/// From `uid` to `fsgid` of `struct cred`, and three sets of capabilities from `cap_inheritable` on
/// (include/linux/cred.h), in words.
const IDS: usize = 4;
const CAPABILITIES: usize = 3;

/// Every exec commits credentials: only changes are events, of whatever id and set of capabilities.
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
    if let Some(mut recorder) = begin(old, new) {
        recorder.python();
        recorder.emit(kind::CREDS, 0);
    }
    0
}

/// Begins a record. The old credentials are its own, the new ones stand in `mode` (effective user id)
/// and `flags` (effective capabilities); two texts have all of both.
#[inline(always)]
fn begin(old: Ptr, new: Ptr) -> Option<Recorder> {
    let uid: u32 = load(new, offset!(cred_euid));
    let caps: u64 = load(new, offset!(cred_caps));
    let mut recorder = Recorder::begin(kind::CREDS)?;
    let record = recorder.record();
    record.mode = uid;
    record.flags = caps;
    record.has |= has::MODE | has::FLAGS;
    recorder.credentials(tag::OLD_CREDENTIALS, old);
    recorder.credentials(tag::NEW_CREDENTIALS, new);
    Some(recorder)
}

/// A call ends. What it was refused never comes to [`creds`]: what was held is held from then on, too.
#[inline(always)]
fn ended(call: &'static [u8], result: i64) -> i32 {
    if result >= 0 {
        return 0;
    }
    let held: Ptr = load(current(), offset!(task_cred));
    if let Some(mut recorder) = begin(held, held) {
        set_name(&mut recorder, call);
        recorder.python();
        recorder.emit(kind::CREDS, result);
    }
    0
}

/// User ids: the effective one, or all of them.
#[fexit(function = "__sys_setuid")]
pub fn refused_setuid(ctx: FExitContext) -> i32 {
    ended(b"setuid\0", ctx.arg(1))
}

/// Real and effective user id.
#[fexit(function = "__sys_setreuid")]
pub fn refused_setreuid(ctx: FExitContext) -> i32 {
    ended(b"setreuid\0", ctx.arg(2))
}

/// Real, effective and saved user id.
#[fexit(function = "__sys_setresuid")]
pub fn refused_setresuid(ctx: FExitContext) -> i32 {
    ended(b"setresuid\0", ctx.arg(3))
}

/// Group ids: the effective one, or all of them.
#[fexit(function = "__sys_setgid")]
pub fn refused_setgid(ctx: FExitContext) -> i32 {
    ended(b"setgid\0", ctx.arg(1))
}

/// Real and effective group id.
#[fexit(function = "__sys_setregid")]
pub fn refused_setregid(ctx: FExitContext) -> i32 {
    ended(b"setregid\0", ctx.arg(2))
}

/// Real, effective and saved group id.
#[fexit(function = "__sys_setresgid")]
pub fn refused_setresgid(ctx: FExitContext) -> i32 {
    ended(b"setresgid\0", ctx.arg(3))
}

/// The user id of files. The call does not say that it refuses: it returns the id that was held before,
/// which is held still then. (In a user namespace where the numbers differ this cannot be told.)
#[fexit(function = "__sys_setfsuid")]
pub fn refused_setfsuid(ctx: FExitContext) -> i32 {
    kept(b"setfsuid\0", &ctx, offset!(cred_fsuid))
}

/// The group id of files.
#[fexit(function = "__sys_setfsgid")]
pub fn refused_setfsgid(ctx: FExitContext) -> i32 {
    kept(b"setfsgid\0", &ctx, offset!(cred_fsgid))
}

/// A call that returns the id which was held before.
#[inline(always)]
fn kept(call: &'static [u8], ctx: &FExitContext, id: usize) -> i32 {
    /// Asks which id is held.
    const NONE: u32 = u32::MAX;
    const EPERM: i64 = 1;
    let (asked, before): (u32, u32) = (ctx.arg(0), ctx.arg(1));
    let held: Ptr = load(current(), offset!(task_cred));
    if asked == NONE || asked == before || load::<u32>(held, id) != before {
        return 0;
    }
    ended(call, -EPERM)
}

/// Further groups.
#[fexit(function = "__x64_sys_setgroups")]
pub fn refused_setgroups(ctx: FExitContext) -> i32 {
    ended(b"setgroups\0", ctx.arg(1))
}

/// The same by 32-bit programs.
#[fexit(function = "__ia32_sys_setgroups")]
pub fn refused_setgroups_32(ctx: FExitContext) -> i32 {
    ended(b"setgroups\0", ctx.arg(1))
}

/// The same in numbers of 16 bits.
#[fexit(function = "__ia32_sys_setgroups16")]
pub fn refused_setgroups_16(ctx: FExitContext) -> i32 {
    ended(b"setgroups\0", ctx.arg(1))
}

/// Capabilities: the answer whether they may be changed, behind which nothing can fail.
#[fexit(function = "security_capset")]
pub fn refused_capset(ctx: FExitContext) -> i32 {
    ended(b"capset\0", i64::from(ctx.arg::<i32>(5)))
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
