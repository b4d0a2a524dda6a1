//! Keeps the agent running while a package does its worst.

use std::fs;

use nix::errno::Errno;

/// Puts the agent before every ordinary process and out of the out-of-memory killer's reach.
/// Children start as ordinary processes. Returns what the kernel did not grant.
pub(super) fn raise() -> Vec<String> {
    let mut refused = Vec::new();
    if let Err(error) = fs::write("/proc/self/oom_score_adj", "-1000") {
        refused.push(format!(
            "failed to exempt the agent from out-of-memory kills: {error}"
        ));
    }
    let parameters = libc::sched_param { sched_priority: 1 };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the parameters outlive the call; 0 is the caller itself.
    let done = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    if let Err(error) = Errno::result(done) {
        refused.push(format!("failed to raise the agent's priority: {error}"));
    }
    refused
}
