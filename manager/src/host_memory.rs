//! The memory that this host has for virtual machines.

use std::fs;
use std::path::Path;

use procfs::process::Process;
use procfs::{Current as _, Meminfo};

/// Where control groups (v2) are mounted.
const GROUPS: &str = "/sys/fs/cgroup";
/// Left for everything else, MiB.
const ROOM_MIB: u64 = 1024;

/// Memory that VMs may have in all, MiB: what is available here and within the control groups that this
/// program is in, with room for everything else. Where nobody tells, only their number is bounded.
pub(crate) fn for_machines_mib() -> u64 {
    let host = Meminfo::current()
        .ok()
        .and_then(|memory| memory.mem_available);
    let group = own_group().and_then(|group| left_in(Path::new(GROUPS), &group));
    let available = host.into_iter().chain(group).min();
    available.map_or(u64::MAX, |bytes| (bytes >> 20).saturating_sub(ROOM_MIB))
}

/// Memory that this host has at all, MiB, or that the control groups that this program is in may have.
pub(crate) fn of_host_mib() -> u64 {
    let host = Meminfo::current().ok().map(|memory| memory.mem_total);
    let group = own_group().and_then(|group| limit_of(Path::new(GROUPS), &group));
    let has = host.into_iter().chain(group).min();
    has.map_or(u64::MAX, |bytes| bytes >> 20)
}

/// The path of this program's control group, as its namespace shows it.
fn own_group() -> Option<String> {
    let groups = Process::myself().ok()?.cgroups().ok()?;
    let unified = groups.into_iter().find(|group| group.hierarchy == 0)?;
    Some(unified.pathname)
}

/// Bytes that a control group, and each that it lies in, lets its processes have: the smaller of
/// `memory.max` and `memory.high`. `None` where none has a limit.
fn limit_of(mount: &Path, group: &str) -> Option<u64> {
    let group = Path::new(group.trim_start_matches('/'));
    let limits = group.ancestors();
    limits.filter_map(|group| limit(&mount.join(group))).min()
}

/// That of one control group itself.
fn limit(group: &Path) -> Option<u64> {
    let limits = ["memory.max", "memory.high"].into_iter();
    limits.filter_map(|name| number(group, name)).min()
}

/// The number that a file of a control group holds; `None` where it says `max`, or is not there.
fn number(group: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(group.join(name)).ok()?;
    text.trim().parse().ok()
}

/// Bytes that a control group, and each that it lies in, lets its processes have besides what they use: its
/// limit, less `memory.current` without the files that the kernel
/// would give up first (Documentation/admin-guide/cgroup-v2.rst). `None` where none has a limit.
fn left_in(mount: &Path, group: &str) -> Option<u64> {
    let group = Path::new(group.trim_start_matches('/'));
    let left = group.ancestors().filter_map(|group| {
        let directory = mount.join(group);
        let limit = limit(&directory)?;
        let stat = fs::read_to_string(directory.join("memory.stat")).unwrap_or_default();
        let files = stat
            .lines()
            .find_map(|line| line.strip_prefix("inactive_file "))
            .and_then(|count| count.trim().parse::<u64>().ok());
        let used = number(&directory, "memory.current")?.saturating_sub(files.unwrap_or(0));
        Some(limit.saturating_sub(used))
    });
    left.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_control_group_counts() {
        let mount = tempfile::tempdir().unwrap();
        let inner = mount.path().join("outer/inner");
        fs::create_dir_all(&inner).unwrap();
        let of = |group: &str| left_in(mount.path(), group);
        assert_eq!(of("/outer/inner"), None);
        fs::write(inner.join("memory.max"), "max\n").unwrap();
        fs::write(inner.join("memory.current"), "5\n").unwrap();
        assert_eq!(of("/outer/inner"), None);
        let outer = inner.parent().unwrap();
        fs::write(outer.join("memory.max"), "1000\n").unwrap();
        fs::write(outer.join("memory.current"), "700\n").unwrap();
        assert_eq!(of("/outer/inner"), Some(300));
        fs::write(outer.join("memory.stat"), "anon 1\ninactive_file 600\n").unwrap();
        assert_eq!(of("/outer/inner"), Some(900));
        fs::write(inner.join("memory.max"), "4\n").unwrap();
        assert_eq!(of("/outer/inner"), Some(0));
        fs::write(outer.join("memory.high"), "200\n").unwrap();
        assert_eq!(of("/outer"), Some(100));
        let limit = |group: &str| limit_of(mount.path(), group);
        assert_eq!(limit("/outer/inner"), Some(4));
        fs::write(inner.join("memory.max"), "max\n").unwrap();
        assert_eq!(limit("/outer/inner"), Some(200));
        assert_eq!(limit("/"), None);
        fs::write(outer.join("memory.high"), "max\n").unwrap();
        assert_eq!(of("/outer"), Some(900));
        assert_eq!(of("/"), None);
    }
}
