//! Kernel settings that keep a package from the kernel and from what watches it.

use std::fs;
use std::io;

use nix::errno::Errno;

use super::error::{AgentError, Doing as _};

/// Setting and value, with the reason for each.
const SETTINGS: &[(&str, &str)] = &[
    // Kernel messages and addresses would show the probes.
    ("kernel/dmesg_restrict", "1"),
    ("kernel/kptr_restrict", "2"),
    // So would their names among the kernel's symbols.
    ("net/core/bpf_jit_kallsyms", "0"),
    // Irrevocable until the next boot.
    ("kernel/unprivileged_bpf_disabled", "1"),
    ("kernel/modules_disabled", "1"),
    ("kernel/kexec_load_disabled", "1"),
    // Debian's own step beyond 2: no unprivileged use at all.
    ("kernel/perf_event_paranoid", "3"),
    // A non-maskable interrupt comes from the host alone, which ends a guest with it.
    ("kernel/unknown_nmi_panic", "1"),
    ("kernel/panic_on_unrecovered_nmi", "1"),
    // Only there where the command line lists yama.
    ("kernel/yama/ptrace_scope", "1"),
    ("fs/suid_dumpable", "0"),
    // A console write is slow, and a package can cause thousands. Panics are still printed.
    ("kernel/printk", "1 4 1 7"),
    ("debug/exception-trace", "0"),
];

/// Applies every setting; returns those that the kernel did not take, with its reason.
pub(super) fn settings() -> Vec<String> {
    SETTINGS
        .iter()
        .filter_map(|(name, value)| {
            let refused = fs::write(format!("/proc/sys/{name}"), value).err()?;
            let absent = refused.kind() == io::ErrorKind::NotFound;
            (!absent).then(|| format!("failed to set {name} to {value}: {refused}"))
        })
        .collect()
}

/// Brings the loopback interface up, the only one there is.
pub(super) fn loopback_up() -> Result<(), AgentError> {
    // SAFETY: no pointers; the result is checked.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    Errno::result(socket).doing(|| "open a socket for the loopback interface".into())?;
    // SAFETY: ifreq is plain data, for which all zeroes is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the request outlives the call and has the type that SIOCSIFFLAGS reads.
    let done = unsafe { libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &raw const request) };
    let done = Errno::result(done);
    // SAFETY: the descriptor was opened above and is used nowhere else.
    unsafe { libc::close(socket) };
    done.doing(|| "bring the loopback interface up".into())?;
    Ok(())
}
