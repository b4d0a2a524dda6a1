//! What the probes themselves take, as the kernel counts it.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use aya::sys::{Stats, enable_stats};

use super::{LoadError, Tracer};
use crate::wire::ProgramRuns;

/// While it lives the kernel counts the runs of all programs and their time (`BPF_ENABLE_STATS`,
/// `bpf_enable_runtime_stats` in kernel/bpf/syscall.c).
pub struct Timing {
    _enabled: OwnedFd,
    before: BTreeMap<String, (u64, u64)>,
}

impl Tracer {
    /// Begins to count.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn time_runs(&self) -> Result<Timing, LoadError> {
        let enabled = enable_stats(Stats::RunTime).map_err(LoadError::Timing)?;
        Ok(Timing {
            _enabled: enabled,
            before: self.totals().collect(),
        })
    }

    /// What ran since `timing` began, the longest first.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "it ends here")]
    pub fn runs(&self, timing: Timing) -> Vec<ProgramRuns> {
        let mut runs: Vec<_> = self
            .totals()
            .map(|(program, (count, ns))| {
                let (count_before, ns_before) =
                    timing.before.get(&program).copied().unwrap_or_default();
                ProgramRuns {
                    program,
                    count: count.saturating_sub(count_before),
                    ns: ns.saturating_sub(ns_before),
                }
            })
            .filter(|runs| runs.count > 0)
            .collect();
        runs.sort_by_key(|runs| std::cmp::Reverse(runs.ns));
        runs
    }

    /// Count and nanoseconds of each loaded program, by name.
    fn totals(&self) -> impl Iterator<Item = (String, (u64, u64))> {
        self.ebpf.programs().filter_map(|(name, program)| {
            let info = program.info().ok()?;
            let ns = u64::try_from(info.run_time().as_nanos()).unwrap_or(u64::MAX);
            Some((name.to_owned(), (info.run_count(), ns)))
        })
    }
}
