//! Loads the probes into the running kernel and reads their records.

mod btf;
mod error;

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};

use aya::maps::{HashMap, MapData, PerCpuArray, RingBuf};
use aya::programs::{Program, ProgramError};
use aya::{Ebpf, EbpfLoader, Endianness, Pod};
use pyti_trace_ebpf::{Attach, CpuCounters, HOOKS, Hook, OFFSET_PATHS, Process, WriteKey, Written};

pub use self::error::LoadError;
use crate::event::{Counters, Family, FamilyCounters};

const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

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
    refused: Vec<(String, String)>,
}

impl Tracer {
    /// Loads and attaches every probe of [`HOOKS`].
    ///
    /// # Errors
    /// A kernel without BTF, without a field that the probes read, or that refuses one of the core
    /// probes. Others may be refused: see [`Tracer::refused`].
    pub fn load() -> Result<Self, LoadError> {
        let data = fs::read(KERNEL_BTF).map_err(|source| LoadError::ReadBtf {
            path: KERNEL_BTF,
            source,
        })?;
        let fields = btf::Btf::parse(&data)?;
        let offsets = OFFSET_PATHS
            .iter()
            .map(|path| fields.offset(path))
            .collect::<Result<Vec<u32>, _>>()?;
        let btf = aya::Btf::parse(&data, Endianness::default())?;
        let mut ebpf = EbpfLoader::new()
            .btf(Some(&btf))
            .override_global("OFFSETS", offsets.as_slice(), true)
            .load(PROBES)
            .map_err(|error| LoadError::Object(Box::new(error)))?;
        let mut attached = Vec::new();
        let mut refused = Vec::new();
        for hook in HOOKS {
            match attach(&mut ebpf, hook, &btf) {
                Ok(()) => attached.push(name(hook)),
                Err(reason) if hook.core => {
                    return Err(LoadError::Hook {
                        program: hook.program,
                        to: hook.to,
                        reason,
                    });
                }
                Err(reason) => refused.push((name(hook), reason)),
            }
        }
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
            attached,
            refused,
        })
    }

    /// Attached hooks, as `kind/name`.
    #[must_use]
    pub fn attached(&self) -> &[String] {
        &self.attached
    }

    /// Hooks that the kernel refused, with its reason.
    #[must_use]
    pub fn refused(&self) -> &[(String, String)] {
        &self.refused
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

    /// Follows a process no longer.
    ///
    /// # Errors
    /// It was not followed.
    pub fn forget(&mut self, tgid: u32) -> Result<(), LoadError> {
        self.tracked.remove(&tgid).map_err(|source| LoadError::Map {
            name: "TRACKED",
            source,
        })
    }

    /// How many processes are tracked now; ended ones count until the kernel has let them go.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.tracked.keys().filter(Result::is_ok).count()
    }

    /// Hands every record that is ready to `each`, and says how many there were. A record is whole
    /// and a multiple of 8 bytes; [`crate::decode`] reads them, one after the other.
    pub fn drain(&mut self, mut each: impl FnMut(&[u8])) -> usize {
        let mut count = 0;
        while let Some(record) = self.events.next() {
            each(&record);
            count += 1;
        }
        count
    }

    /// What the probes have counted, summed over CPUs, where nobody whom they watch is left. Files that
    /// were written to and that no process closed (the kernel closes those that only a ring holds, in
    /// nobody's name) are seen and lost.
    ///
    /// # Errors
    /// The kernel would not read the map, or tell of a program.
    pub fn counters(&self) -> Result<Counters, LoadError> {
        let mut counters = Counters {
            recursion_misses: self.recursion_misses()?,
            ..self.tally()?
        };
        let open = self.written.keys().filter(Result::is_ok).count() as u64;
        let files = &mut counters.families[Family::File as usize];
        files.seen += open;
        files.oversize += open;
        Ok(counters)
    }

    /// The same without the skipped runs: those are read from a file for each program, which costs
    /// more than a package should pay every second.
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
    /// in kernel/bpf/syscall.c).
    fn recursion_misses(&self) -> Result<u64, LoadError> {
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

/// Readable when [`pyti_trace_ebpf::WAKE_BYTES`] are waiting or when an urgent event came. Poll with
/// a time-out of some 20 ms and drain then too: a wake-up for each event would cost more than it.
impl AsRawFd for Tracer {
    fn as_raw_fd(&self) -> RawFd {
        self.events.as_raw_fd()
    }
}

fn name(hook: &Hook) -> String {
    let kind = match hook.attach {
        Attach::Lsm => "lsm",
        Attach::Fentry => "fentry",
        Attach::Fexit => "fexit",
        Attach::Tracepoint => "tp_btf",
    };
    format!("{kind}/{}", hook.to)
}

fn attach(ebpf: &mut Ebpf, hook: &Hook, btf: &aya::Btf) -> Result<(), String> {
    let program = ebpf
        .program_mut(hook.program)
        .ok_or("it is not in the probes' object")?;
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
        _ => return Err("it is of another type than its hook".into()),
    }
    .map_err(|error| reason(&error))
}

/// The kernel's reason in one line, with the end of the verifier's log, where the reason stands.
fn reason(error: &ProgramError) -> String {
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
            format!("{io_error}: {end}")
        }
        other => {
            let mut text = other.to_string();
            let mut source = std::error::Error::source(other);
            while let Some(error) = source {
                text = format!("{text}: {error}");
                source = error.source();
            }
            text
        }
    }
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
