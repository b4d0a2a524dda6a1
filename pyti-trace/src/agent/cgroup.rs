//! The control group of the stage: what it may take, what it took, and its end.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::error::{AgentError, Doing as _};
use crate::wire::{USUAL_MEMORY_BYTES, USUAL_PIDS};

/// Where the cgroup2 hierarchy is mounted. Its files belong to root, so the package may only read.
const ROOT: &str = "/sys/fs/cgroup";

/// The stage's control group (cgroup v2; Documentation/admin-guide/cgroup-v2.rst).
pub(super) struct Cgroup {
    path: PathBuf,
    /// Bytes of memory and processes that are set.
    limits: Option<(u64, u64)>,
}

/// What the stage took.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// User time, microseconds.
    pub(super) user_us: u64,
    /// System time, microseconds.
    pub(super) system_us: u64,
    /// Highest memory use, bytes.
    pub(super) memory_peak: u64,
    /// Processes killed for want of memory.
    pub(super) oom_kills: u64,
    /// Forks refused over `pids.max`.
    pub(super) pids_refused: u64,
}

impl Cgroup {
    /// Makes the group, with the bounds that most stages have. Done before the template is saved:
    /// in a fresh clone each of these writes takes milliseconds.
    pub(super) fn make() -> Result<Self, AgentError> {
        let root = Path::new(ROOT);
        put(&root.join("cgroup.subtree_control"), "+memory +pids")?;
        let path = root.join("stage");
        fs::create_dir(&path).doing(|| format!("make the cgroup {}", path.display()))?;
        let mut group = Self { path, limits: None };
        // Absent where the kernel has no swap, and then not needed.
        if group.path.join("memory.swap.max").exists() {
            group.put("memory.swap.max", "0")?;
        }
        // Where memory runs out, the whole group is killed: a stage that lost one of its processes
        // would only fail more oddly.
        group.put("memory.oom.group", "1")?;
        group.limit(USUAL_MEMORY_BYTES, USUAL_PIDS)?;
        Ok(group)
    }

    /// Sets the bounds, where they are not set already.
    pub(super) fn limit(&mut self, memory_bytes: u64, pids: u64) -> Result<(), AgentError> {
        if self.limits != Some((memory_bytes, pids)) {
            self.put("memory.max", &memory_bytes.to_string())?;
            self.put("pids.max", &pids.to_string())?;
            self.limits = Some((memory_bytes, pids));
        }
        Ok(())
    }

    /// The group's directory, for `clone3`.
    pub(super) fn open(&self) -> Result<File, AgentError> {
        File::open(&self.path).doing(|| format!("open the cgroup {}", self.path.display()))
    }

    /// Kills every process of the group, also those that fork meanwhile.
    pub(super) fn kill(&self) -> Result<(), AgentError> {
        self.put("cgroup.kill", "1")
    }

    /// Living processes of the group.
    pub(super) fn processes(&self) -> u64 {
        self.get("cgroup.procs").lines().count() as u64
    }

    /// Whether any process lives in the group.
    pub(super) fn populated(&self) -> bool {
        number(&self.get("cgroup.events"), "populated") != 0
    }

    /// What the group took so far.
    pub(super) fn usage(&self) -> Usage {
        let cpu = self.get("cpu.stat");
        Usage {
            user_us: number(&cpu, "user_usec"),
            system_us: number(&cpu, "system_usec"),
            memory_peak: self.get("memory.peak").trim().parse().unwrap_or(0),
            oom_kills: number(&self.get("memory.events"), "oom_kill"),
            pids_refused: number(&self.get("pids.events"), "max"),
        }
    }

    fn get(&self, file: &str) -> String {
        // Names and numbers the kernel made: it is there, or the group is gone and all is zero.
        fs::read_to_string(self.path.join(file)).unwrap_or_default()
    }

    fn put(&self, file: &str, value: &str) -> Result<(), AgentError> {
        put(&self.path.join(file), value)
    }
}

fn put(path: &Path, value: &str) -> Result<(), AgentError> {
    write_existing(path, value).doing(|| format!("write {value:?} to {}", path.display()))
}

fn write_existing(path: &Path, value: &str) -> io::Result<()> {
    io::Write::write_all(
        &mut File::options().write(true).open(path)?,
        value.as_bytes(),
    )
}

/// The number after `key` in a flat keyed file, 0 where there is none.
fn number(text: &str, key: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(name, _)| *name == key)
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(files: &[(&str, &str)]) -> (tempfile::TempDir, Cgroup) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for (name, content) in files {
            fs::write(directory.path().join(name), content).expect("a written file");
        }
        let path = directory.path().to_owned();
        (directory, Cgroup { path, limits: None })
    }

    #[test]
    fn usage_is_read_from_the_kernels_files() {
        let (_keep, group) = group(&[
            (
                "cpu.stat",
                "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 0\n",
            ),
            ("memory.peak", "4096\n"),
            (
                "memory.events",
                "low 0\nmax 7\noom 2\noom_kill 3\noom_group_kill 1\n",
            ),
            ("pids.events", "max 5\n"),
        ]);
        let expected = Usage {
            user_us: 20,
            system_us: 10,
            memory_peak: 4096,
            oom_kills: 3,
            pids_refused: 5,
        };
        assert_eq!(group.usage(), expected);
    }

    #[test]
    fn a_group_that_is_gone_counts_nothing() {
        let (_keep, group) = group(&[]);
        assert_eq!(group.usage(), Usage::default());
        assert_eq!(group.processes(), 0);
        assert!(!group.populated());
        assert!(group.kill().is_err(), "a missing file must not be made");
    }

    #[test]
    fn the_living_are_counted() {
        let (_keep, group) = group(&[
            ("cgroup.procs", "12\n13\n"),
            ("cgroup.events", "populated 1\nfrozen 0\n"),
        ]);
        assert_eq!(group.processes(), 2);
        assert!(group.populated());
    }
}
