//! What must be so before anything is loaded, each with what to do where it is not.

use std::fs;
use std::path::Path;

use nix::unistd::geteuid;

use super::error::HostError;

/// The first PID namespace (`PROC_PID_INIT_INO` in include/linux/proc_ns.h).
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// Checks that this is root, in the namespace whose numbers the probes use.
pub(super) fn check() -> Result<(), HostError> {
    if !geteuid().is_root() {
        return Err(HostError::NotRoot);
    }
    match fs::read_link("/proc/self/ns/pid") {
        Ok(namespace) if namespace != Path::new(FIRST_PID_NAMESPACE) => {
            Err(HostError::PidNamespace)
        }
        // Where it cannot be told, the events will.
        _ => Ok(()),
    }
}
