//! Loads the probes into the running kernel and reads their records.

mod attach;
mod btf;
mod error;
mod lsm;
mod pages;
mod parameters;
mod python;
mod timing;

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};

use aya::maps::{Array, HashMap, MapData, PerCpuArray, RingBuf};
use aya::{Ebpf, EbpfLoader, Endianness, Pod};
use pyti_trace_ebpf::{
    CpuCounters, HOOKS, Hook, Interpreter, MISSING, OFFSET_PATHS, Pages, Process, RING_BYTES, Role,
    WriteKey, Written,
};

pub use self::attach::{Refused, kind, name};
pub use self::error::LoadError;
use self::lsm::Lsm;
pub use self::lsm::asked_before;
pub use self::python::interpreter;
pub use self::timing::Timing;
use crate::event::{Counters, Family, FamilyCounters};

const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// The program that does nothing but read pages.
const READS_PAGES: &str = "splice_sample";

static PROBES: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/probes"));

/// The probes' values as maps hold them.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Shared<T>(T);

// SAFETY: `repr(C)` integers without padding that matters; the kernel copies bytes.
unsafe impl Pod for Shared<Process> {}
// SAFETY: as above.
unsafe impl Pod for Shared<CpuCounters> {}
// SAFETY: as above.
unsafe impl Pod for Shared<Pages> {}
// SAFETY: as above.
unsafe impl Pod for Shared<Interpreter> {}
// SAFETY: as above.
unsafe impl Pod for Shared<WriteKey> {}
// SAFETY: as above.
unsafe impl Pod for Shared<Written> {}

/// Attached probes. Dropping it detaches them.
pub struct Tracer {
    ebpf: Ebpf,
    events: RingBuf<MapData>,
    tracked: HashMap<MapData, u32, Shared<Process>>,
    counters: PerCpuArray<MapData, Shared<CpuCounters>>,
    written: HashMap<MapData, Shared<WriteKey>, Shared<Written>>,
    attached: Vec<String>,
    refused: Vec<Refused>,
    missing: Vec<&'static str>,
    doubt: Option<&'static str>,
}

/// What is done where the kernel refuses a core hook, or lacks a field that the probes read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lacking {
    /// The probes are not loaded: the machine is ours, and nothing may be unseen.
    Fails,
    /// The rest is loaded: the kernel is somebody's own.
    IsTold,
}

impl Tracer {
    /// Loads and attaches every probe of [`HOOKS`].
    ///
    /// # Errors
    /// A kernel without BTF, without a field that the probes read, or that refuses one of the core
    /// probes. Others may be refused: see [`Tracer::refused`].
    pub fn load() -> Result<Self, LoadError> {
        Self::load_where(Lacking::Fails)
    }

    /// Loads and attaches what the kernel lets be attached. What it refuses is in
    /// [`Tracer::refused`], which may be everything; programs that read what this kernel does not
    /// have ([`Tracer::missing`]) are among them, those whose function has other parameters than they
    /// read, and those that it would attach and never call.
    ///
    /// # Errors
    /// A kernel without BTF, or that refuses the maps.
    pub fn load_what_attaches() -> Result<Self, LoadError> {
        Self::load_where(Lacking::IsTold)
    }

    fn load_where(lacking: Lacking) -> Result<Self, LoadError> {
        let data = fs::read(KERNEL_BTF).map_err(|source| LoadError::ReadBtf {
            path: KERNEL_BTF,
            source,
        })?;
        let fields = btf::Btf::parse(&data)?;
        let offsets = offsets(&fields, lacking)?;
        Self::with_offsets(&data, &fields, &offsets, pages::pages(&fields), lacking)
    }

    fn with_offsets(
        data: &[u8],
        kernel: &btf::Btf<'_>,
        offsets: &[u32],
        pages: Pages,
        lacking: Lacking,
    ) -> Result<Self, LoadError> {
        let missing = OFFSET_PATHS
            .iter()
            .zip(offsets)
            .filter(|(_, offset)| **offset == MISSING)
            .map(|(path, _)| *path)
            .collect();
        let btf = aya::Btf::parse(data, Endianness::default())?;
        let mut ebpf = EbpfLoader::new()
            .btf(Some(&btf))
            .override_global("OFFSETS", offsets, true)
            .override_global("PAGES", &Shared(pages), true)
            .load(PROBES)
            .map_err(|error| LoadError::Object(Box::new(error)))?;
        let lsm = match lacking {
            // It was booted with what the probes need.
            Lacking::Fails => Lsm::Calls,
            Lacking::IsTold => Lsm::listed(),
        };
        let mut attached: Vec<&'static Hook> = Vec::new();
        let mut refused: Vec<Refused> = Vec::new();
        for hook in HOOKS {
            if let Some(refusal) = lsm.refusal(hook) {
                refused.push(*refusal);
                continue;
            }
            let loaded = parameters::check(hook, kernel).and_then(|()| match pages {
                Pages::UNKNOWN if hook.program == READS_PAGES => Err(pages::refused(hook)),
                _ => attach::attach(&mut ebpf, hook, &btf),
            });
            match loaded {
                Ok(()) => attached.push(hook),
                Err(reason) if hook.core && lacking == Lacking::Fails => {
                    return Err(LoadError::Hook {
                        program: hook.program,
                        to: hook.to,
                        reason: reason.text(),
                    });
                }
                Err(reason) => refused.push(*reason),
            }
        }
        let doubt = lsm.settle(&mut ebpf, &mut attached, &mut refused)?;
        let events = map(&mut ebpf, "EVENTS", RingBuf::try_from)?;
        let tracked = map(&mut ebpf, "TRACKED", HashMap::try_from)?;
        let counters = map(&mut ebpf, "COUNTERS", PerCpuArray::try_from)?;
        let written = map(&mut ebpf, "WRITTEN", HashMap::try_from)?;
        Ok(Self {
            ebpf,
            events,
            tracked,
            counters,
            written,
            attached: attached.into_iter().map(name).collect(),
            refused,
            missing,
            doubt,
        })
    }

    /// Attached hooks, as `kind/name`.
    #[must_use]
    pub fn attached(&self) -> &[String] {
        &self.attached
    }

    /// Hooks that the kernel refused.
    #[must_use]
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// Fields that the probes would read and this kernel does not have, as `structure.field`.
    #[must_use]
    pub fn missing(&self) -> &[&'static str] {
        &self.missing
    }

    /// What is not known of the attached probes: whether they run.
    #[must_use]
    pub fn doubt(&self) -> Option<&'static str> {
        self.doubt
    }

    /// Each loaded program and how many instructions the verifier walked through to accept it, by name.
    #[must_use]
    pub fn verified(&self) -> Vec<(String, u32)> {
        let mut verified: Vec<_> = self
            .ebpf
            .programs()
            .filter_map(|(name, program)| {
                let count = program.info().ok()?.verified_instruction_count()?;
                Some((name.to_owned(), count))
            })
            .collect();
        verified.sort();
        verified
    }

    /// Follows a process, and what it will fork, as tree number `tree`. It must not run before
    /// this returns, or its first events are missing.
    ///
    /// # Errors
    /// No such process, or no room for it.
    pub fn track(&mut self, tgid: u32, tree: u32) -> Result<(), LoadError> {
        // The probes fill in the start: /proc only has it in hundredths of a second. The parent is
        // not tracked, so nobody needs to tell it from an earlier process.
        let process = Process {
            start_ns: 0,
            parent_start_ns: 0,
            parent_tgid: parent(tgid)?,
            tree,
        };
        self.tracked
            .insert(tgid, Shared(process), 0)
            .map_err(|source| LoadError::Map {
                name: "TRACKED",
                source,
            })
    }

    /// From now on the stacks of this Python interpreter stand in the events: see [`interpreter`].
    ///
    /// # Errors
    /// The kernel would not write the map.
    pub fn read_stacks_of(&mut self, interpreter: Interpreter) -> Result<(), LoadError> {
        const NAME: &str = "INTERPRETER";
        let failed = |source| LoadError::Map { name: NAME, source };
        let map = self.ebpf.map_mut(NAME).ok_or(LoadError::MissingMap(NAME))?;
        Array::try_from(map)
            .and_then(|mut map| map.set(0, Shared(interpreter), 0))
            .map_err(failed)
    }

    /// Follows a process no longer, nor what it will fork. A thread of it that has made an event is not
    /// looked up again: it is recorded as long as the probes are there.
    ///
    /// # Errors
    /// It was not followed.
    pub fn forget(&mut self, tgid: u32) -> Result<(), LoadError> {
        self.tracked.remove(&tgid).map_err(|source| LoadError::Map {
            name: "TRACKED",
            source,
        })
    }

    /// Takes every probe out of the kernel, whose functions then run as if there had never been one.
    ///
    /// # Errors
    /// The kernel keeps one.
    pub fn detach(&mut self) -> Result<(), LoadError> {
        for hook in Self::leaving() {
            self.unload(hook)?;
        }
        self.attached.clear();
        Ok(())
    }

    /// Every hook, in the order in which they leave the kernel: those that emit go first, since what they emit
    /// without the others would not be whole.
    pub fn leaving() -> impl Iterator<Item = &'static Hook> {
        let (first, then): (Vec<&Hook>, Vec<&Hook>) =
            HOOKS.iter().partition(|hook| hook.role == Role::Emits);
        first.into_iter().chain(then)
    }

    /// Takes one probe out of the kernel, where it is there. It may take long: the kernel waits until nobody is
    /// within the function that it sat on.
    ///
    /// # Errors
    /// The kernel keeps it.
    pub fn unload(&mut self, hook: &Hook) -> Result<(), LoadError> {
        let Some(program) = self.ebpf.program_mut(hook.program) else {
            return Ok(());
        };
        attach::unload(program).map_err(|error| LoadError::Unload {
            program: hook.program.to_owned(),
            reason: error.to_string(),
        })
    }

    /// How many processes are tracked now; ended ones count until the kernel has let them go.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.tracked_processes().len()
    }

    /// The processes that are tracked now, by thread group; ended ones too until the kernel has let
    /// them go.
    #[must_use]
    pub fn tracked_processes(&self) -> Vec<u32> {
        self.tracked.keys().filter_map(Result::ok).collect()
    }

    /// Hands every record that is ready to `each`. A record is whole and a multiple of 8 bytes;
    /// [`crate::decode`] reads them, one after the other. No more than the ring buffer holds: who writes
    /// as fast as this reads must not keep it for ever.
    pub fn drain(&mut self, mut each: impl FnMut(&[u8])) {
        let mut bytes = 0;
        while bytes < RING_BYTES as usize
            && let Some(record) = self.events.next()
        {
            bytes += record.len();
            each(&record);
        }
    }

    /// What the probes have counted, summed over CPUs, where nobody whom they watch is left. Files that
    /// were written to and that no process closed (the kernel closes those that only a ring holds, in
    /// nobody's name) are seen and lost.
    ///
    /// # Errors
    /// The kernel would not read the map, or tell of a program.
    pub fn counters(&self) -> Result<Counters, LoadError> {
        Ok(Counters {
            recursion_misses: self.recursion_misses()?,
            ..self.final_tally()?
        })
    }

    /// The same without the skipped runs, which the kernel no longer knows when the probes are out of it.
    ///
    /// # Errors
    /// The kernel would not read the map.
    pub fn final_tally(&self) -> Result<Counters, LoadError> {
        let mut counters = self.tally()?;
        let open = self.written.keys().filter(Result::is_ok).count() as u64;
        let files = &mut counters.families[Family::File as usize];
        files.seen += open;
        files.oversize += open;
        Ok(counters)
    }

    /// What the probes have counted so far, without the skipped runs: those are read from a file for each
    /// program, which costs more than a package should pay every second.
    ///
    /// # Errors
    /// The kernel would not read the map.
    pub fn tally(&self) -> Result<Counters, LoadError> {
        let per_cpu = self.counters.get(&0, 0).map_err(|source| LoadError::Map {
            name: "COUNTERS",
            source,
        })?;
        let mut sum = Counters::default();
        for Shared(cpu) in per_cpu.iter() {
            sum.untracked += cpu.untracked;
            for (total, one) in sum.families.iter_mut().zip(&cpu.families) {
                *total = FamilyCounters {
                    seen: total.seen + one.seen,
                    submitted: total.submitted + one.submitted,
                    full: total.full + one.full,
                    oversize: total.oversize + one.oversize,
                };
            }
        }
        Ok(sum)
    }

    /// Runs of probes that the kernel skipped, from the programs' `fdinfo` (`bpf_prog_show_fdinfo`
    /// in kernel/bpf/syscall.c); 0 when the probes are out of it.
    ///
    /// # Errors
    /// The kernel would not tell of a program.
    pub fn recursion_misses(&self) -> Result<u64, LoadError> {
        let mut sum = 0;
        for (name, program) in self.ebpf.programs() {
            // A program that the kernel refused has no descriptor, and never runs.
            let Ok(fd) = program.fd() else { continue };
            let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
            let failed = |reason: String| LoadError::Misses {
                program: name.to_owned(),
                reason,
            };
            let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
            let misses = text
                .lines()
                .find_map(|line| line.strip_prefix("recursion_misses:"))
                .and_then(|count| count.trim().parse::<u64>().ok());
            sum += misses.ok_or_else(|| failed("its fdinfo does not say".into()))?;
        }
        Ok(sum)
    }
}

/// Readable when a processor handed over [`pyti_trace_ebpf::WAKE_BYTES`] or when an urgent event came. Poll with
/// a time-out of some 20 ms and drain then too: a wake-up for each event would cost more than it.
impl AsRawFd for Tracer {
    fn as_raw_fd(&self) -> RawFd {
        self.events.as_raw_fd()
    }
}

/// The offset of each of [`OFFSET_PATHS`]; [`MISSING`] where that may be.
fn offsets(fields: &btf::Btf<'_>, lacking: Lacking) -> Result<Vec<u32>, LoadError> {
    OFFSET_PATHS
        .iter()
        .map(|path| match fields.offset(path) {
            Err(LoadError::Field(_)) if lacking == Lacking::IsTold => Ok(MISSING),
            offset => offset,
        })
        .collect()
}

fn map<T>(
    ebpf: &mut Ebpf,
    name: &'static str,
    typed: impl FnOnce(aya::maps::Map) -> Result<T, aya::maps::MapError>,
) -> Result<T, LoadError> {
    let map = ebpf.take_map(name).ok_or(LoadError::MissingMap(name))?;
    typed(map).map_err(|source| LoadError::Map { name, source })
}

/// The parent of a process, from `/proc/PID/stat`.
fn parent(tgid: u32) -> Result<u32, LoadError> {
    let failed = |reason: String| LoadError::Process { tgid, reason };
    let text = fs::read_to_string(format!("/proc/{tgid}/stat"))
        .map_err(|error| failed(error.to_string()))?;
    // The name in parentheses may hold anything; the state and the parent follow its end.
    text.rsplit_once(')')
        .and_then(|(_, rest)| rest.split_ascii_whitespace().nth(1)?.parse().ok())
        .ok_or_else(|| failed("its stat file has another format".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where probes may not be loaded, loading fails: there is no third way.
    #[test]
    fn programs_that_read_what_the_kernel_lacks_are_refused() {
        let Ok(data) = fs::read(KERNEL_BTF) else {
            let loaded = Tracer::load_what_attaches();
            assert!(matches!(loaded, Err(LoadError::ReadBtf { .. })));
            return;
        };
        let fields = btf::Btf::parse(&data).unwrap();
        let all = offsets(&fields, Lacking::IsTold).unwrap();
        // A field read through a pointer that the verifier knows, and one through one that it does not.
        for (field, program, other) in [
            ("signal_struct.live", "exit", "fork"),
            ("dentry.d_parent", "exec_emit", "fork"),
        ] {
            let mut offsets = all.clone();
            let at = OFFSET_PATHS.iter().position(|path| *path == field);
            offsets[at.unwrap()] = MISSING;
            let loaded =
                Tracer::with_offsets(&data, &fields, &offsets, Pages::UNKNOWN, Lacking::IsTold);
            let tracer = match loaded {
                Ok(tracer) => tracer,
                Err(error) => {
                    assert!(matches!(error, LoadError::Object(_)), "{error:?}");
                    return;
                }
            };
            assert!(tracer.missing().contains(&field));
            let refused = |program: &str| {
                let mut refused = tracer.refused().iter();
                refused.find(|refused| refused.hook.program == program)
            };
            let refusal = refused(program).map(Refused::text);
            let refusal = refusal.unwrap_or_else(|| panic!("{program} is attached"));
            // Of two on tracepoints, the kernel itself refuses both or none.
            let other = refused(other).map(Refused::text);
            assert!(
                other.is_some() || refusal.contains("the verifier refused it"),
                "{refusal}"
            );
            assert!(other.is_none_or(|other| !other.contains("the verifier")));
        }
    }
}
