//! The agent: first process of the virtual machine. It brings the guest up, loads the probes, warms
//! what a stage will need and says `Ready`; the machine is then saved as a template. In a clone it
//! reads one [`StageSpec`](crate::wire::StageSpec), runs it as an ordinary user, streams out what
//! the probes record and what the stage prints, and ends with one
//! [`StageResult`](crate::wire::StageResult).
//!
//! What the package may do is decided here:
//!
//! * It runs as user `dev` (1000:1000, no further groups) with an empty capability bounding set, in
//!   its own PID namespace and cgroup. The agent has another user and stands outside that namespace:
//!   the package can neither name nor signal nor trace it.
//! * `no_new_privs` is not set and the root is not `nosuid`, so that `sudo` and `su` fail as they do
//!   on any machine of which one does not know the password; a set-uid program that is tricked gains
//!   user id 0 without one capability.
//! * User namespaces stay permitted, as Debian ships them: honest sandboxes need them, and what is
//!   done in them is recorded like everything else.
//! * The file tree that the package sees holds neither block devices nor the port to the host: the
//!   agent has those by file descriptor. The agent's `/proc` is in a mount namespace of its own.
//! * Modules cannot be loaded any more, `kexec` and unprivileged `bpf()` are off, and kernel
//!   messages and addresses are for root.

mod boot;
mod cgroup;
mod collect;
mod error;
mod harden;
mod identity;
mod modules;
mod mounts;
mod namespace;
mod output;
mod port;
mod priority;
mod pump;
mod slots;
mod spawn;
mod stage;
mod state;
mod user;
mod warm;

use std::panic;
use std::process::ExitCode;
use std::time::Duration;

use nix::sys::reboot::{RebootMode, reboot};

pub use error::AgentError;

/// How long the host may take to read what is left before the machine is switched off.
const FAREWELL: Duration = Duration::from_secs(30);

/// Lives the agent's whole life. Returns only where it is not the first process of a machine:
/// everything here is done to a whole machine, and to no other than the one made for it.
#[must_use]
pub fn main() -> ExitCode {
    if std::process::id() != 1 {
        eprintln!(
            "pyti-agent is the first process of PyTI's virtual machine, it does nothing here"
        );
        return ExitCode::from(2);
    }
    // The first process must not end: the kernel would panic before the host knows why.
    match panic::catch_unwind(life) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => eprintln!("pyti-agent: {error}"),
        Err(_) => eprintln!("pyti-agent: ended by a panic, see above"),
    }
    loop {
        // With `reboot=t` on the command line and QEMU's `-no-reboot` this ends the machine.
        let _ = reboot(RebootMode::RB_AUTOBOOT);
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn life() -> Result<(), AgentError> {
    boot::devices()?;
    let mut port = port::open()?;
    let served = serve(&mut port);
    if let Err(error) = &served {
        port.log(error);
    }
    port.flush(FAREWELL)?;
    served
}

fn serve(port: &mut port::Port) -> Result<(), AgentError> {
    let (mut machine, ready) = boot::boot(port)?;
    port.queue_json(crate::wire::FrameKind::Ready, &ready)?;
    port.flush(FAREWELL)?;
    let Some(spec) = port.wait_for_start()? else {
        return Ok(());
    };
    let result = stage::run(&mut machine, port, &spec)?;
    port.queue_json(crate::wire::FrameKind::Done, &result)?;
    port.flush(FAREWELL)?;
    port.wait_for_end()
}
