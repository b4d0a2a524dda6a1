//! What touches a watcher, and namespaces: told as the probes tell it, where they tell it.

use super::*;

/// What was done, where, with which flags, and what came of it.
type Tampered<'t> = (&'t str, Option<&'t str>, Option<u64>, Option<i64>);

fn tampered(trace: &Trace) -> Vec<Tampered<'_>> {
    let events = of(trace, Kind::Tamper).into_iter();
    let told = events.map(|event| {
        let asked = event.asked.as_deref().unwrap();
        (asked, event.path.as_deref(), event.flags, event.outcome())
    });
    told.collect()
}

fn capable(number: u64) -> (&'static str, Option<&'static str>, Option<u64>, Option<i64>) {
    ("capable", None, Some(number), Some(-1))
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
    assert_eq!(
        tampered(&trace),
        [
            capable(18),
            ("move_mount", Some("/home/u/w/here"), None, Some(0)),
            capable(16),
            capable(22),
            ("sb_pivotroot", Some("/home/u/new"), None, Some(0)),
        ]
    );
}

#[test]
fn mounts_are_made_changed_and_taken_away() {
    let trace = whole(
        r#"9 1.1 mount("/usr", "/mnt", 0x7ffc00000000, MS_BIND|MS_REC, NULL) = -1 EPERM (Operation not permitted)
9 1.2 umount2("/proc", MNT_DETACH) = -1 EPERM (Operation not permitted)
9 1.3 pivot_root("/srv", "/srv") = -1 EPERM (Operation not permitted)
9 1.4 move_mount(4, "", AT_FDCWD</home/u/w>, "here", MOVE_MOUNT_F_EMPTY_PATH) = -1 EPERM (Operation not permitted)
9 1.5 mount_setattr(AT_FDCWD</home/u/w>, "m", 0, {attr_set=MOUNT_ATTR_NOSUID, attr_clr=0, propagation=0, userns_fd=0}, 32) = -1 EPERM (Operation not permitted)
9 1.6 umount2("/mnt", MNT_DETACH) = 0
9 1.7 umount2("/mnt", MNT_DETACH) = ?
"#,
    );
    let detached = |result| ("sb_umount", Some("/mnt"), Some(2), result);
    assert_eq!(
        tampered(&trace),
        [
            // These two are on record whatever came of them.
            capable(21),
            ("sb_mount", Some("/mnt"), Some(0x5000), Some(-1)),
            capable(21),
            capable(21),
            capable(21),
            capable(21),
            ("mount_setattr", Some("/home/u/w/m"), None, Some(-1)),
            detached(Some(0)),
            detached(None),
        ]
    );
    let mount = of(&trace, Kind::Tamper)[1];
    assert_eq!(mount.target.as_deref(), Some("/usr"));
}

#[test]
fn what_is_refused_for_want_of_a_capability_is_told_by_it() {
    let trace = whole(
        r#"9 1.1 init_module(0x7f0000000000, 10, "") = -1 EPERM (Operation not permitted)
9 1.1 finit_module(3</home/u/w/m.ko>, "", 0) = -1 EPERM (Operation not permitted)
9 1.2 kexec_load(0, 0, NULL, KEXEC_ARCH_DEFAULT) = -1 EPERM (Operation not permitted)
9 1.3 perf_event_open({type=PERF_TYPE_SOFTWARE, config=0}, 0, -1, -1, 0) = -1 EACCES (Permission denied)
9 1.4 syslog(SYSLOG_ACTION_READ_ALL, 0x7ffc00000000, 16) = -1 EPERM (Operation not permitted)
9 1.4 syslog(SYSLOG_ACTION_SIZE_BUFFER) = 262144
9 1.5 delete_module("pcspkr", O_NONBLOCK) = -1 ENOENT (No such file or directory)
9 1.6 perf_event_open({type=PERF_TYPE_SOFTWARE, config=0}, 0, -1, -1, 0) = 4<anon_inode:[perf_event]>
9 1.7 init_module(0x7f0000000000, 10, "") = 0
9 1.8 finit_module(3</home/u/w/m.ko>, "", 0) = 0
9 1.9 kexec_load(0, 0, NULL, KEXEC_ARCH_DEFAULT) = 0
"#,
    );
    assert_eq!(
        tampered(&trace),
        [
            capable(16),
            capable(16),
            capable(22),
            capable(21),
            capable(34),
            ("delete_module", None, None, Some(-2)),
            ("perf_event_open", None, None, Some(0)),
            ("kernel_load_data", None, Some(2), Some(0)),
            ("kernel_read_file", None, Some(2), Some(0)),
            ("kernel_load_data", None, Some(3), Some(0)),
        ]
    );
}

#[test]
fn namespaces_that_are_entered_and_refused() {
    let trace = whole(
        r"9 1.1 geteuid() = 1000
9 1.2 unshare(CLONE_NEWNET) = -1 EPERM (Operation not permitted)
9 1.2 clone(child_stack=NULL, flags=CLONE_NEWPID|SIGCHLD) = -1 EPERM (Operation not permitted)
9 1.3 setns(4<net:[4026531840]>, CLONE_NEWNET) = -1 EPERM (Operation not permitted)
9 1.4 setns(5<pid:4321>, CLONE_NEWNET) = -1 EPERM (Operation not permitted)
9 1.5 unshare(CLONE_NEWUSER|CLONE_NEWNS) = 0
9 1.6 geteuid() = 0
9 1.6 setuid(0) = 0
9 1.7 setns(6<user:[4026531837]>, 0) = 0
9 1.8 setns(4<net:[4026531840]>, 0) = 0
",
    );
    let setns = |flags, result| ("setns", None, Some(flags), Some(result));
    assert_eq!(
        tampered(&trace),
        [
            capable(21),
            capable(21),
            capable(21),
            setns(0x4000_0000, -1),
            // It may be that access to the process was refused.
            setns(0x4000_0000, -1),
            setns(0, 0),
            setns(0, 0),
        ]
    );
    let told: Vec<_> = of(&trace, Kind::Creds)
        .into_iter()
        .map(|event| (event.asked.as_deref(), event.outcome(), event.mode))
        .collect();
    // The ids that it is told in there are none of the machine's.
    assert_eq!(
        told,
        [
            (None, Some(0), Some(1000)),
            (None, Some(0), None),
            (None, Some(0), None),
        ]
    );
    let notes = trace.notes.join("\n");
    assert!(notes.contains("a user namespace of its own"), "{notes}");
    assert!(!notes.contains("namespace was refused"), "{notes}");
}

#[test]
fn a_child_in_a_user_namespace_stays_who_it_is() {
    let trace = whole(
        r#"9 1.1 geteuid() = 1000
9 1.2 clone(child_stack=NULL, flags=CLONE_NEWUSER|SIGCHLD) = 20
20 1.3 geteuid() = 0
20 1.4 mkdir("/home/u/w/d", 0777) = 0
20 1.5 +++ exited with 0 +++
"#,
    );
    let mkdir = of(&trace, Kind::Mkdir)[0];
    assert!(!mkdir.incomplete.contains(Incomplete::UID_UNKNOWN));
    assert_eq!((mkdir.process.tgid, mkdir.uid), (20, 1000));
    let notes = trace.notes.join("\n");
    assert!(notes.contains("a user namespace of its own"), "{notes}");
}

#[test]
fn why_a_user_namespace_was_refused_is_not_told() {
    let trace = whole("9 1.1 unshare(CLONE_NEWUSER) = -1 EPERM (Operation not permitted)\n");
    assert!(tampered(&trace).is_empty());
    assert_eq!(of(&trace, Kind::Creds).len(), 0);
    let notes = trace.notes.join("\n");
    assert!(notes.contains("namespace was refused"), "{notes}");
    let unended = whole("9 1.1 unshare(CLONE_NEWUSER) = ?\n");
    let creds = of(&unended, Kind::Creds)[0];
    assert_eq!(
        (creds.asked.as_deref(), creds.outcome()),
        (Some("unshare"), None)
    );
}

#[test]
fn pairs_of_sockets_and_queues_of_messages() {
    let trace = whole(
        r#"9 1.1 socketpair(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0, [3<UNIX-STREAM:[7->8]>, 4<UNIX-STREAM:[8->7]>]) = 0
9 1.2 socketpair(AF_INET, SOCK_STREAM, IPPROTO_IP, 0x7ffc00000000) = -1 EOPNOTSUPP (Operation not supported)
9 1.3 socketpair(AF_UNIX, SOCK_STREAM, 0, 0x7ffc00000000) = -1 EMFILE (Too many open files)
9 1.4 socketpair(AF_UNIX, SOCK_RDM, 0, 0x7ffc00000000) = -1 EPROTONOSUPPORT (Protocol not supported)
9 1.5 dup2(3, 0) = 0
9 1.6 mq_open("queue", O_RDWR|O_CREAT, 0600, NULL) = 5</queue>
9 1.7 mq_open("none", O_RDONLY) = -1 ENOENT (No such file or directory)
"#,
    );
    let sockets: Vec<_> = of(&trace, Kind::Socket)
        .into_iter()
        .map(|event| (event.family, event.socktype, event.result))
        .collect();
    let (unix, inet) = ((Some(1), Some(1), 0), (Some(2), Some(1), 0));
    let refused = (Some(1), Some(4), -93);
    // The kernel makes both before it says that the family has no pairs.
    assert_eq!(sockets, [unix, unix, inet, inet, refused]);
    let dup = of(&trace, Kind::Dup)[0];
    assert_eq!((dup.fds, dup.family), (Some((3, 0)), Some(1)));
    let queues: Vec<&Event> = of(&trace, Kind::Open)
        .into_iter()
        .filter(|open| open.incomplete.contains(Incomplete::ASKED_UNREADABLE))
        .collect();
    assert_eq!(queues.len(), 1);
    assert_eq!(queues[0].path.as_deref(), Some("/queue"));
    assert_eq!(queues[0].flags, Some(0o102));
}
