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
fn the_first_bytes_of_a_connection_are_on_record() {
    let socket = "4<TCP:[127.0.0.1:5->127.0.0.1:80]>";
    let lines = format!(
        r#"9 1.1 sendto({socket}, "", 0, 0, NULL, 0) = 0
9 1.2 sendmsg({socket}, {{msg_name=NULL, msg_namelen=0, msg_iov=[{{iov_base="", iov_len=0}}, {{iov_base="GE", iov_len=2}}, {{iov_base="T", iov_len=1}}], msg_iovlen=3, msg_controllen=0, msg_flags=0}}, 0) = 3
9 1.3 write({socket}, "{}", 60) = 60
9 1.4 write({socket}, "x", 1) = 1
9 1.5 write({socket}, "y", 1) = 1
9 1.6 connect({socket}, {{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}}, 16) = 0
9 1.7 write({socket}, "z", 1) = 1
"#,
        "b".repeat(60)
    );
    let trace = whole(&lines);
    let sends = of(&trace, Kind::Send);
    let bytes: Vec<_> = sends.iter().map(|send| send.bytes).collect();
    // Once 64 are together no more are, until it is connected anew.
    assert_eq!(bytes, [0, 3, 60, 1, 1].map(Some));
    assert_eq!(sends[1].data.as_deref(), Some(&b"GET"[..]));
    assert_eq!(sends[4].data.as_deref(), Some(&b"z"[..]));
}

#[test]
fn group_ids_and_those_of_files_are_credentials_too() {
    let trace = whole(
        r#"9 1.1 geteuid() = 1000
9 1.2 setgid(0) = -1 EPERM (Operation not permitted)
9 1.2 setregid32(0, 0) = -1 EPERM (Operation not permitted)
9 1.2 setresgid(0, 0, 0) = -1 EPERM (Operation not permitted)
9 1.2 setgroups(1, [0]) = -1 EPERM (Operation not permitted)
9 1.3 setfsuid(0) = 1000
9 1.3 setfsgid(0) = 1000
9 1.4 setfsuid(1000) = 1000
9 1.4 setfsuid(-1) = 1000
9 1.5 setresgid(-1, -1, -1) = 0
9 1.5 setgroups(0, NULL) = 0
9 1.6 setregid(-1, 100) = 0
"#,
    );
    let told: Vec<_> = of(&trace, Kind::Creds)
        .into_iter()
        .map(|event| (event.asked.as_deref(), event.outcome(), event.mode))
        .collect();
    let user = Some(1000);
    assert_eq!(
        told,
        [
            (Some("setgid"), Some(-1), user),
            (Some("setregid"), Some(-1), user),
            (Some("setresgid"), Some(-1), user),
            (Some("setgroups"), Some(-1), user),
            // They return what was held before, whether they were refused or not.
            (Some("setfsuid"), None, user),
            (Some("setfsgid"), None, user),
            (None, Some(0), user),
        ]
    );
}

#[test]
fn shared_memory_that_is_attached_to_be_executed() {
    let trace = whole(
        r#"9 1.1 shmat(0, NULL, SHM_EXEC) = 0x7f0000010000
9 1.2 shmat(0, NULL, SHM_RDONLY|SHM_EXEC) = -1 EACCES (Permission denied)
9 1.3 shmat(0, NULL, 0) = 0x7f0000020000
"#,
    );
    let maps = of(&trace, Kind::MmapExec);
    let told: Vec<_> = maps.iter().map(|map| (map.flags, map.result)).collect();
    assert_eq!(told, [(Some(7), 0), (Some(5), -13)]);
    assert!(maps[0].incomplete.contains(Incomplete::PATH_UNREADABLE));
}

#[test]
fn a_descriptor_of_another_process_is_taken() {
    let trace = whole(
        r#"9 1.1 fork() = 20
9 1.2 pidfd_open(20, 0) = 8<pid:20>
9 1.3 pidfd_getfd(8<pid:20>, 1</home/u/w/out>, 0) = 9</home/u/w/out>
9 1.3 pidfd_getfd(8<pid:20>, 77, 0) = -1 EBADF (Bad file descriptor)
9 1.4 pidfd_getfd(7<pid:4321>, 1, 0) = -1 EPERM (Operation not permitted)
9 1.4 pidfd_getfd(7<anon_inode:[pidfd]>, 1, 0) = -1 EBADF (Bad file descriptor)
9 1.5 pidfd_getfd(70, 1, 0) = -1 EBADF (Bad file descriptor)
9 1.5 pidfd_getfd(6<pid:9>, 5, 0) = 0<TCP:[127.0.0.1:5->127.0.0.1:80]>
9 1.6 pidfd_send_signal(8<pid:20>, SIGKILL, NULL, 0) = 0
20 1.7 +++ killed by SIGKILL +++
"#,
    );
    let child = of(&trace, Kind::Fork)[0].other;
    let asked: Vec<_> = of(&trace, Kind::Ptrace)
        .into_iter()
        .map(|event| (event.other.map(|other| other.tgid), event.outcome()))
        .collect();
    assert_eq!(
        asked,
        [
            (Some(20), Some(0)),
            // Access was given: there was only no such descriptor.
            (Some(20), Some(0)),
            (Some(4321), Some(-1)),
            (None, None),
        ]
    );
    assert_eq!(of(&trace, Kind::Ptrace)[0].other, child);
    let dup = of(&trace, Kind::Dup)[0];
    assert_eq!(
        (dup.fds, dup.family, dup.port),
        (Some((-1, 0)), Some(2), Some(80))
    );
    assert_eq!(of(&trace, Kind::Signal)[0].other, child);
    assert!(fired(&judge(&trace)).contains(&"process-memory-read"));
}

#[test]
fn who_lets_itself_be_traced_names_its_parent() {
    let trace = whole(
        r#"9 1.1 ptrace(PTRACE_TRACEME) = -1 EPERM (Operation not permitted)
9 1.2 fork() = 20
20 1.3 ptrace(PTRACE_TRACEME) = -1 EPERM (Operation not permitted)
20 1.4 +++ exited with 0 +++
"#,
    );
    let ptrace = of(&trace, Kind::Ptrace);
    let told: Vec<_> = (ptrace.iter())
        .map(|event| (event.process.tgid, event.other, event.flags, event.result))
        .collect();
    let [first, child] = [ptrace[0], ptrace[1]];
    assert_eq!(
        told,
        [
            (9, Some(first.parent), Some(0), -1),
            (20, Some(child.parent), Some(0), -1),
        ]
    );
    assert_eq!(child.parent, first.process);
}

#[test]
fn two_names_that_change_places_are_judged_from_either() {
    let renamed = |call: &str| whole(&format!("9 1.1 {call}\n"));
    let exchange = |one: &str, other: &str| {
        format!(
            "renameat2(AT_FDCWD</home/u/w>, \"{one}\", AT_FDCWD</home/u/w>, \"{other}\", RENAME_EXCHANGE)"
        )
    };
    for (call, flags) in [
        (r#"rename("a", "b")"#.to_owned(), Some(0)),
        (r#"renameat(3, "a", 3, "b")"#.to_owned(), Some(0)),
        (exchange("a", "b"), Some(2)),
        (r#"renameat2(3, "a", 3, "b", 0)"#.to_owned(), Some(0)),
        (
            r#"renameat2(3, "a", 3, "b", RENAME_NOREPLACE|RENAME_WHITEOUT)"#.to_owned(),
            Some(5),
        ),
        (
            r#"renameat2(3, "a", 3, "b", RENAME_STRANGE)"#.to_owned(),
            None,
        ),
    ] {
        let trace = renamed(&format!("{call} = 0"));
        assert_eq!(of(&trace, Kind::Rename)[0].flags, flags, "{call}");
    }
    let link = renamed(r#"link("a", "b") = 0"#);
    assert_eq!(of(&link, Kind::Link)[0].flags, None);
    for (file, rule) in [
        ("/home/u/.bashrc", "shell-startup-write"),
        ("/home/u/.git-credentials", "credential-file-read"),
    ] {
        for call in [exchange(file, "x"), exchange("x", file)] {
            for end in ["0", "-1 EACCES (Permission denied)"] {
                let report = judge(&renamed(&format!("{call} = {end}")));
                assert_eq!(fired(&report), [rule], "{call} = {end}");
            }
        }
    }
}

#[test]
fn what_is_duplicated_is_of_the_type_that_is_told() {
    let shown = [
        ("</dev/null<char 1:3>>", Some(0o020_666)),
        ("</dev/pts/3<char 136:3>>", Some(0o020_000)),
        ("</dev/zero<char 1:5>>", Some(0o020_000)),
        // Without -yy.
        ("</dev/pts/3>", Some(0o020_000)),
        ("</dev/sda>", Some(0)),
        ("</dev/loop0<block 7:0>>", Some(0)),
        // It may be a named pipe.
        ("</home/u/w/in>", Some(0)),
        ("<pipe:[7]>", Some(0o010_000)),
        ("<anon_inode:[eventfd]>", Some(0)),
        ("<TCP:[7]>", None),
    ];
    for (shown, mode) in shown {
        let trace = whole(&format!("9 1.1 dup2(5{shown}, 0) = 0{shown}\n"));
        assert_eq!(of(&trace, Kind::Dup)[0].mode, mode, "{shown}");
    }
}

#[test]
fn a_shell_of_a_server_has_no_terminal_but_where_it_is_given_one() {
    let served = |input: &str| {
        let socket = "<TCP:[127.0.0.1:80->127.0.0.1:5]>";
        let peer = r#"{sa_family=AF_INET, sin_port=htons(5), sin_addr=inet_addr("127.0.0.1")}"#;
        judge(&whole(&format!(
            r#"9 1.1 accept4(3<TCP:[127.0.0.1:80]>, {peer}, [16], 0) = 4{socket}
9 1.2 fork() = 20
20 1.3 dup2(4{socket}, 0) = 0{socket}
20 1.4 dup2(4{socket}, 1) = 1{socket}
20 1.5 dup2(5{input}, 0) = 0{input}
20 1.6 execve("/bin/sh", ["sh"], []) = 0
20 1.7 +++ exited with 0 +++
"#
        )))
    };
    let of_shell = |report: &Report| {
        let undecided = report.undecided.iter().map(|one| &*one.rule);
        (
            fired(report).contains(&"reverse-shell"),
            undecided.collect::<Vec<&str>>().contains(&"reverse-shell"),
        )
    };
    for input in [
        "</dev/pts/3<char 136:3>>",
        "</dev/pts/3>",
        "</dev/tty<char 5:0>>",
        "</dev/ttyS0<char 4:64>>",
        "</dev/console<char 5:1>>",
    ] {
        assert_eq!(of_shell(&served(input)), (true, false), "{input}");
    }
    for input in [
        "</dev/null<char 1:3>>",
        "</dev/zero<char 1:5>>",
        "</dev/urandom<char 1:9>>",
        "</dev/null>",
        "</home/u/w/in>",
        "</dev/loop0<block 7:0>>",
        "<pipe:[7]>",
    ] {
        assert_eq!(of_shell(&served(input)), (false, false), "{input}");
    }
}
