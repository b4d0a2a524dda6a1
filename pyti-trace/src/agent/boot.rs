//! From the kernel's first process to `Ready`.

use std::path::Path;

use nix::sys::utsname::uname;

use super::cgroup::Cgroup;
use super::error::AgentError;
use super::port::Port;
use super::{harden, modules, mounts, namespace, priority, stage, warm};
use crate::loader::{self, Tracer, name};
use crate::wire::Ready;

/// What a stage needs of the machine.
pub(super) struct Machine {
    /// The probes.
    pub(super) tracer: Tracer,
    /// The stage's control group.
    pub(super) cgroup: Cgroup,
    /// The stage's process, until there is a stage.
    pub(super) waiting: Option<stage::Waiting>,
    /// Devices and writable layer.
    pub(super) hidden: mounts::Hidden,
}

/// Makes devices appear, the port among them.
pub(super) fn devices() -> Result<(), AgentError> {
    mounts::early()?;
    modules::load(Path::new("/modules"))
}

/// Brings the machine up. Everything that takes time belongs here: a clone starts after it.
pub(super) fn boot(port: &mut Port) -> Result<(Machine, Ready), AgentError> {
    let mut refused = priority::raise();
    // The probes want the kernel's addresses and types, which are about to be hidden.
    let mut tracer = Tracer::load().map_err(|error| AgentError::Probes(error.to_string()))?;
    refused.extend(harden::settings());
    harden::loopback_up()?;
    let interpreter = warm::interpreter()?;
    let hidden = mounts::enter_tree()?;
    // Of an older interpreter no event has a stack.
    if let Some(python) = loader::interpreter(Path::new(&interpreter)) {
        tracer
            .read_stacks_of(python)
            .map_err(|error| AgentError::Probes(error.to_string()))?;
    }
    let cgroup = Cgroup::make()?;
    let view = namespace::make()?;
    refused.extend(warm::warm(&view, &interpreter));
    for message in refused {
        port.log(message);
    }
    let waiting = stage::wait(&mut tracer, &cgroup, &view)?;
    let ready = Ready {
        agent: env!("CARGO_PKG_VERSION").into(),
        kernel: uname().map_or_else(
            |_| String::new(),
            |names| names.release().to_string_lossy().into(),
        ),
        attached: tracer.attached().to_vec(),
        refused: tracer
            .refused()
            .iter()
            .map(|refused| (name(refused.hook), refused.text()))
            .collect(),
        verified: tracer.verified(),
    };
    Ok((
        Machine {
            tracer,
            cgroup,
            waiting: Some(waiting),
            hidden,
        },
        ready,
    ))
}
