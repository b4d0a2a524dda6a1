//! Attaching one program, and why the kernel would not have it.

use aya::programs::{Program, ProgramError};
use aya::{BtfError, Ebpf};
use pyti_trace_ebpf::{Attach, Hook};

/// A hook that the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The hook.
    pub hook: &'static Hook,
    /// Why, the same for all hooks that are refused for it.
    pub reason: String,
    /// What there is to say of this one alone, such as the end of the verifier's log.
    pub detail: String,
}

impl Refused {
    /// Reason and detail on one line.
    #[must_use]
    pub fn text(&self) -> String {
        if self.detail.is_empty() {
            self.reason.clone()
        } else {
            format!("{}: {}", self.reason, self.detail)
        }
    }
}

/// `kind/name` of a hook.
#[must_use]
pub fn name(hook: &Hook) -> String {
    format!("{}/{}", kind(hook.attach), hook.to)
}

/// The kind of a hook as its users call it.
#[must_use]
pub fn kind(attach: Attach) -> &'static str {
    match attach {
        Attach::Lsm => "lsm",
        Attach::Fentry => "fentry",
        Attach::Fexit => "fexit",
        Attach::Tracepoint => "tp_btf",
    }
}

/// Loads and attaches the program of a hook.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    hook: &'static Hook,
    btf: &aya::Btf,
) -> Result<(), Box<Refused>> {
    let refused = |reason: String, detail: String| {
        Box::new(Refused {
            hook,
            reason,
            detail,
        })
    };
    let Some(program) = ebpf.program_mut(hook.program) else {
        return Err(refused(
            "it is not in the probes' object".into(),
            String::new(),
        ));
    };
    match program {
        Program::Lsm(program) => program
            .load(hook.to, btf)
            .and_then(|()| program.attach().map(drop)),
        Program::FEntry(program) => program
            .load(hook.to, btf)
            .and_then(|()| program.attach().map(drop)),
        Program::FExit(program) => program
            .load(hook.to, btf)
            .and_then(|()| program.attach().map(drop)),
        Program::BtfTracePoint(program) => program
            .load(hook.to, btf)
            .and_then(|()| program.attach().map(drop)),
        _ => {
            let reason = "it is of another type than its hook";
            return Err(refused(reason.into(), String::new()));
        }
    }
    .map_err(|error| {
        let (reason, detail) = reason(&error);
        refused(reason, detail)
    })
}

/// Detaches a program and takes it out of the kernel; one that the kernel refused is not there.
pub(super) fn unload(program: &mut Program) -> Result<(), ProgramError> {
    if program.fd().is_err() {
        return Ok(());
    }
    match program {
        Program::Lsm(program) => program.unload(),
        Program::FEntry(program) => program.unload(),
        Program::FExit(program) => program.unload(),
        Program::BtfTracePoint(program) => program.unload(),
        // No other type was ever loaded.
        _ => Ok(()),
    }
}

/// Why, and what the verifier's log has at its end, where the reason stands.
fn reason(error: &ProgramError) -> (String, String) {
    match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => {
            let log = verifier_log.to_string();
            let lines: Vec<&str> = log
                .lines()
                .filter(|line| !line.starts_with("processed"))
                .collect();
            let end = lines[lines.len().saturating_sub(6)..].join(" | ");
            if end.is_empty() {
                (io_error.to_string(), end)
            } else {
                (format!("the verifier refused it: {io_error}"), end)
            }
        }
        ProgramError::Btf(BtfError::UnknownBtfTypeName { type_name }) => {
            ("this kernel has no such hook".into(), type_name.clone())
        }
        other => {
            let mut text = other.to_string();
            let mut source = std::error::Error::source(other);
            while let Some(error) = source {
                text = format!("{text}: {error}");
                source = error.source();
            }
            (text, String::new())
        }
    }
}
