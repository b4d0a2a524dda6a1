//! What single calls become, those that failed too.

use super::*;

#[test]
fn a_failed_execution_tells_its_arguments() {
    let trace = whole(
        r#"9 1.1 execve("/usr/local/bin/curl", ["curl", "-s", "http://x"], ["A=b"]) = -1 ENOENT (No such file or directory)
9 1.2 execve("/usr/bin/curl", ["curl", "-s"], 0x7ffd1 /* 20 vars */) = -1 EACCES (Permission denied)
"#,
    );
    let execs = of(&trace, Kind::Exec);
    assert_eq!(
        execs[1].argv.as_deref().unwrap(),
        ["curl", "-s", "http://x"]
    );
    assert_eq!(execs[1].env.as_deref().unwrap(), ["A=b"]);
    assert_eq!(execs[2].argv.as_deref().unwrap(), ["curl", "-s"]);
    assert!(execs[2].incomplete.contains(Incomplete::ENV_UNREADABLE));
    assert!(!execs[2].incomplete.contains(Incomplete::ARGV_UNREADABLE));
}

#[test]
fn files_that_are_made_cut_and_written_to_without_a_write() {
    let trace = whole(
        r#"9 1.1 mknod("/home/u/node", S_IFREG|0644) = 0
9 1.2 mknodat(AT_FDCWD</home/u/w>, "fifo", S_IFIFO|0600) = -1 EEXIST (File exists)
9 1.3 openat(AT_FDCWD</home/u/w>, "map", O_RDWR) = 4</home/u/w/map>
9 1.4 ftruncate(4</home/u/w/map>, 8192) = 0
9 1.5 mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_SHARED, 4</home/u/w/map>, 0) = 0x7f0000010000
9 1.6 close(4</home/u/w/map>) = 0
9 1.7 openat(AT_FDCWD</home/u/w>, "room", O_WRONLY) = 4</home/u/w/room>
9 1.8 fallocate(4</home/u/w/room>, 0, 0, 4096) = 0
9 1.9 close(4</home/u/w/room>) = 0
9 1.91 mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE, 5</home/u/w/private>, 0) = 0x7f0000020000
9 1.92 close(5</home/u/w/private>) = 0
"#,
    );
    let made: Vec<&Event> = of(&trace, Kind::Open)
        .into_iter()
        .filter(|open| open.flags == Some(0o300))
        .collect();
    assert_eq!(made[0].path.as_deref(), Some("/home/u/node"));
    assert_eq!((made[0].created, made[0].mode), (Some(true), Some(0o644)));
    assert_eq!(
        (made[1].result, made[1].asked.as_deref()),
        (-17, Some("fifo"))
    );
    let cut = of(&trace, Kind::Truncate);
    assert_eq!(cut[0].path.as_deref(), Some("/home/u/w/map"));
    let written = of(&trace, Kind::Write);
    let paths: Vec<_> = written.iter().map(|write| write.path.as_deref()).collect();
    assert_eq!(paths, [Some("/home/u/w/map"), Some("/home/u/w/room")]);
    for write in written {
        assert_eq!((write.bytes, write.data.as_deref()), (None, None));
        assert!(write.incomplete.contains(Incomplete::DATA_INCOMPLETE));
    }
}

#[test]
fn what_changes_the_root_or_the_kernel_is_tampering() {
    let trace = whole(
        r#"9 1.1 chroot("/home/u/root") = -1 EPERM (Operation not permitted)
9 1.2 move_mount(4, "", AT_FDCWD</home/u/w>, "here", MOVE_MOUNT_F_EMPTY_PATH) = 0
9 1.3 delete_module("pcspkr", O_NONBLOCK) = -1 EPERM (Operation not permitted)
9 1.4 reboot(LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_RESTART) = -1 EPERM (Operation not permitted)
9 1.5 pivot_root("/home/u/new", "/home/u/new/old") = 0
"#,
    );
    let told: Vec<_> = of(&trace, Kind::Tamper)
        .into_iter()
        .map(|event| {
            let (asked, path) = (event.asked.as_deref(), event.path.as_deref());
            (asked, path, event.flags, event.result)
        })
        .collect();
    assert_eq!(
        told,
        [
            (Some("capable"), None, Some(18), -1),
            (Some("move_mount"), Some("/home/u/w/here"), None, 0),
            (Some("capable"), None, Some(16), -1),
            (Some("capable"), None, Some(22), -1),
            (Some("sb_pivotroot"), Some("/home/u/new"), None, 0),
        ]
    );
}
