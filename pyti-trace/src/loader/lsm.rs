//! Whether the kernel calls LSM programs. One that was built with `CONFIG_BPF_LSM` takes and attaches
//! them in any case; it calls them only where `bpf` is among the LSMs that it was booted with.

use std::fs::{self, File};
use std::thread::sleep;
use std::time::Duration;

use aya::Ebpf;
use aya::sys::{Stats, enable_stats};
use pyti_trace_ebpf::{Attach, Hook};

use super::attach::{Refused, unload};
use super::{KERNEL_BTF, LoadError};
use crate::text::escape_within;

/// The names of the active LSMs, where securityfs is mounted (`lsm_read` in security/inode.c).
const ACTIVE: &str = "/sys/kernel/security/lsm";
/// The one that calls programs.
const BPF: &str = "bpf";
/// Those that are asked nothing of what LSM programs here are asked: security/commoncap.c, and the lists of hooks
/// in security/lockdown and security/yama.
const ASIDE: [&str; 3] = ["capability", "lockdown", "yama"];
/// Characters shown of the names.
const MAX_NAMES: usize = 200;

/// Runs where a file is opened and LSM programs are called.
const CALLED: &str = "open_resolve";
/// Runs at the same open, whatever LSMs there are.
const WITNESS: &str = "open_emit";
/// Files opened at most to see a program run, and the time after one that did not show it: the kernel
/// may skip a program that runs on the same CPU already.
const TRIES: usize = 5;
const PAUSE: Duration = Duration::from_millis(2);

/// Why the programs are refused that were attached and did not run.
const NOT_CALLED: &str =
    "this kernel does not call the LSM programs that it attaches: bpf is not among its active LSMs";
/// What is said where neither the kernel's list nor a trial tells.
const NOT_KNOWN: &str =
    "whether LSM probes run is not known: /sys/kernel/security/lsm cannot be read";

/// What the kernel does with LSM programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lsm {
    /// It calls them.
    Calls,
    /// It never calls them, for this reason.
    Idle(String),
    /// Nobody says.
    Unknown,
}

impl Lsm {
    /// What the running kernel's list says. Nothing is mounted to read it: the host is not ours.
    pub(super) fn listed() -> Self {
        fs::read_to_string(ACTIVE).map_or(Self::Unknown, |names| Self::of_names(&names))
    }

    fn of_names(names: &str) -> Self {
        let names = names.trim();
        if names.is_empty() {
            // The kernel's list is never empty: this is something else.
            Self::Unknown
        } else if names.split(',').any(|name| name == BPF) {
            Self::Calls
        } else {
            let names = escape_within(names, MAX_NAMES);
            Self::Idle(format!(
                "bpf is not among this kernel's active LSMs (lsm={names})"
            ))
        }
    }

    /// Why the program of a hook is of no use here, if it is not.
    pub(super) fn refusal(&self, hook: &'static Hook) -> Option<Box<Refused>> {
        match self {
            Self::Idle(reason) if hook.attach == Attach::Lsm => Some(Box::new(Refused {
                hook,
                reason: reason.clone(),
                detail: String::new(),
            })),
            _ => None,
        }
    }

    /// Where the list could not be read, has an attached program run. Where that shows that none is
    /// called, all LSM programs are taken out of the kernel, and refused. Returns what is not known even
    /// then.
    pub(super) fn settle(
        self,
        ebpf: &mut Ebpf,
        attached: &mut Vec<&'static Hook>,
        refused: &mut Vec<Refused>,
    ) -> Result<Option<&'static str>, LoadError> {
        if self != Self::Unknown || attached.iter().all(|hook| hook.attach != Attach::Lsm) {
            return Ok(None);
        }
        let tried = tried(ebpf);
        for hook in std::mem::take(attached) {
            let Some(refusal) = tried.refusal(hook) else {
                attached.push(hook);
                continue;
            };
            if let Some(program) = ebpf.program_mut(hook.program) {
                unload(program).map_err(|error| LoadError::Unload {
                    program: hook.program.to_owned(),
                    reason: error.to_string(),
                })?;
            }
            refused.push(*refusal);
        }
        Ok((tried == Self::Unknown).then_some(NOT_KNOWN))
    }
}

/// The LSMs that the kernel asks before it calls LSM programs: where one refuses, no program is called. `None`
/// where the list cannot be read, or has no `bpf`.
#[must_use]
pub fn asked_before() -> Option<Vec<String>> {
    before_bpf(&fs::read_to_string(ACTIVE).ok()?)
}

fn before_bpf(names: &str) -> Option<Vec<String>> {
    let names: Vec<&str> = names.trim().split(',').collect();
    let bpf = names.iter().position(|name| *name == BPF)?;
    let before = names.into_iter().take(bpf);
    let before = before.filter(|name| !ASIDE.contains(name));
    let shown = before.map(|name| escape_within(name, MAX_NAMES));
    Some(shown.collect())
}

/// Runs of [`CALLED`] and of [`WITNESS`]; `None` where it is not attached or the kernel does not say.
type Runs = [Option<u64>; 2];

/// Opens a file and looks which programs the kernel counts as run.
fn tried(ebpf: &Ebpf) -> Lsm {
    // The kernel counts as long as this is open.
    let Ok(_counting) = enable_stats(Stats::RunTime) else {
        return Lsm::Unknown;
    };
    let runs = || [CALLED, WITNESS].map(|name| runs_of(ebpf, name));
    let before = runs();
    let mut lsm = Lsm::Unknown;
    for _ in 0..TRIES {
        // It was read before this, so nobody forbids it.
        if File::open(KERNEL_BTF).is_err() {
            return Lsm::Unknown;
        }
        lsm = judged(before, runs());
        if lsm == Lsm::Calls {
            break;
        }
        sleep(PAUSE);
    }
    lsm
}

fn runs_of(ebpf: &Ebpf, name: &str) -> Option<u64> {
    Some(ebpf.program(name)?.info().ok()?.run_count())
}

/// One run proves that programs are called. None proves the opposite only where the witness saw the
/// file being opened.
fn judged(before: Runs, after: Runs) -> Lsm {
    let ran = |program: usize| Some(after[program]? > before[program]?);
    match [ran(0), ran(1)] {
        [Some(true), _] => Lsm::Calls,
        [Some(false), Some(true)] => Lsm::Idle(NOT_CALLED.to_owned()),
        _ => Lsm::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use pyti_trace_ebpf::HOOKS;

    use super::*;

    #[test]
    fn bpf_is_one_of_the_names() {
        for names in ["bpf", "capability,bpf", "capability,bpf,landlock\n"] {
            assert_eq!(Lsm::of_names(names), Lsm::Calls, "{names}");
        }
        for names in ["capability", "lockdown,capability,landlock\n", "ebpf,bpf2"] {
            let listed = names.trim();
            let reason = format!("bpf is not among this kernel's active LSMs (lsm={listed})");
            assert_eq!(Lsm::of_names(names), Lsm::Idle(reason), "{names}");
        }
        for names in ["", "\n"] {
            assert_eq!(Lsm::of_names(names), Lsm::Unknown, "{names:?}");
        }
    }

    #[test]
    fn who_is_asked_before_bpf() {
        let cases: [(&str, &[&str]); 4] = [
            ("bpf,landlock,apparmor", &[]),
            ("lockdown,capability,yama,bpf,apparmor\n", &[]),
            (
                "lockdown,capability,landlock,yama,apparmor,bpf,ima",
                &["landlock", "apparmor"],
            ),
            ("capability,selinux\u{1b},bpf\n", &["selinux\\u{1b}"]),
        ];
        for (names, before) in cases {
            let told = before_bpf(names).expect("bpf is among them");
            assert_eq!(told, before, "{names}");
        }
        for names in ["", "capability,landlock", "ebpf,bpf2"] {
            assert_eq!(before_bpf(names), None, "{names}");
        }
    }

    #[test]
    fn names_are_shown_escaped_and_bounded() {
        let names = format!("capability\u{1b}[2J,{}", "x".repeat(10_000));
        let Lsm::Idle(reason) = Lsm::of_names(&names) else {
            panic!("bpf is not among them");
        };
        assert!(!reason.contains('\u{1b}'), "{reason}");
        assert!(reason.chars().count() < MAX_NAMES + 60, "{reason}");
    }

    #[test]
    fn only_lsm_hooks_are_refused_and_only_where_none_is_called() {
        let idle = Lsm::of_names("capability");
        for hook in HOOKS {
            let refused = idle.refusal(hook).is_some();
            assert_eq!(refused, hook.attach == Attach::Lsm, "{}", hook.program);
            for lsm in [Lsm::Calls, Lsm::Unknown] {
                assert_eq!(lsm.refusal(hook), None, "{}", hook.program);
            }
        }
    }

    #[test]
    fn a_trial_proves_what_it_shows() {
        let idle = Lsm::Idle(NOT_CALLED.to_owned());
        let before = [Some(3), Some(5)];
        for (before, after, lsm) in [
            (before, [Some(4), Some(6)], Lsm::Calls),
            (before, [Some(4), Some(5)], Lsm::Calls),
            ([Some(3), None], [Some(4), None], Lsm::Calls),
            (before, [Some(3), Some(6)], idle),
            // Nothing was counted at all.
            (before, before, Lsm::Unknown),
            ([Some(3), None], [Some(3), None], Lsm::Unknown),
            ([None, Some(5)], [None, Some(6)], Lsm::Unknown),
            ([None, None], [None, None], Lsm::Unknown),
        ] {
            assert_eq!(judged(before, after), lsm, "{before:?} {after:?}");
        }
    }

    #[test]
    fn the_trial_has_an_lsm_program_and_a_witness_that_is_none() {
        let attach = |program: &str| {
            let hook = HOOKS.iter().find(|hook| hook.program == program);
            hook.map(|hook| hook.attach)
        };
        assert_eq!(attach(CALLED), Some(Attach::Lsm));
        assert_eq!(attach(WITNESS), Some(Attach::Fexit));
        assert!(NOT_KNOWN.contains(ACTIVE));
    }
}
