//! Whether a function has the parameters that a program reads. The kernel attaches a program by the function's
//! name alone, and functions of one name have other parameters from one kernel to the next.

use pyti_trace_ebpf::{Attach, Hook};

use super::attach::Refused;
use super::btf::Btf;

/// Why a program is refused that would read something else than it means.
const OTHERS: &str = "this kernel's function has other parameters";

/// Refuses a hook whose function has another number of parameters than the program knows. Where there is no such
/// function, attaching says so.
pub(super) fn check(hook: &'static Hook, kernel: &Btf<'_>) -> Result<(), Box<Refused>> {
    let Some(count) = kernel.parameters(&function(hook)) else {
        return Ok(());
    };
    if hook.parameters.is_empty() || hook.parameters.contains(&count) {
        return Ok(());
    }
    let known: Vec<String> = hook.parameters.iter().map(ToString::to_string).collect();
    Err(Box::new(Refused {
        hook,
        reason: OTHERS.to_owned(),
        detail: format!("{count}, not {}", known.join(" or ")),
    }))
}

/// The function that the kernel attaches to; LSM programs have one of their own for each hook
/// (kernel/bpf/bpf_lsm.c).
fn function(hook: &Hook) -> String {
    match hook.attach {
        Attach::Lsm => format!("bpf_lsm_{}", hook.to),
        Attach::Fentry | Attach::Fexit | Attach::Tracepoint => hook.to.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use pyti_trace_ebpf::HOOKS;

    use super::super::btf::tests::with_functions;
    use super::*;

    #[test]
    fn other_parameters_are_refused() {
        let other = |found: &str| Some(format!("{OTHERS}: {found}"));
        for (program, function, parameters, refusal) in [
            ("exec_fail", "bprm_execve", 1, None),
            // Before 6.8.
            ("exec_fail", "bprm_execve", 4, other("4, not 1")),
            ("accept", "inet_accept", 3, None),
            // Before 6.10.
            ("accept", "inet_accept", 4, other("4, not 3")),
            ("write_count_uring", "kiocb_done", 3, None),
            ("write_count_uring", "kiocb_done", 4, None),
            ("write_count_uring", "kiocb_done", 5, other("5, not 3 or 4")),
            ("open_resolve", "bpf_lsm_file_open", 1, None),
            ("open_resolve", "bpf_lsm_file_open", 2, other("2, not 1")),
            // Attaching says of these that they are not there.
            ("open_resolve", "file_open", 2, None),
            ("exec_fail", "bprm_execve.isra.0", 4, None),
            // Not a function, whatever has its name.
            ("fork", "sched_process_fork", 9, None),
        ] {
            let data = with_functions(&[(function, parameters)]);
            let kernel = Btf::parse(&data).unwrap();
            let hook = HOOKS.iter().find(|hook| hook.program == program).unwrap();
            let refused = check(hook, &kernel).err().map(|refused| refused.text());
            assert_eq!(refused, refusal, "{program} on {function}");
        }
    }

    #[test]
    fn every_function_has_its_parameters_counted() {
        for hook in HOOKS {
            let is_counted = !hook.parameters.is_empty();
            let is_function = hook.attach != Attach::Tracepoint;
            assert_eq!(is_counted, is_function, "{}", hook.program);
        }
    }
}
