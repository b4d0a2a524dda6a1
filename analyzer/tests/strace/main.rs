//! Traces of strace become events, and what they do not tell stays unknown.
#![expect(clippy::unwrap_used, reason = "what the tests share is no test itself")]

mod bounds;
mod calls;
mod paths;
mod tampering;
mod unknown;
mod writes;

use pyti_analyzer::strace::{Home, Limits, StraceError, Trace, read};
use pyti_analyzer::{Report, RuleSet, StageRecord, StageStatus, Target, Vars, Verdict};
use pyti_trace::event::{Event, Incomplete, Kind};

/// What any program does, and the end of the first process, around the lines of a test.
const BEGIN: &str = r#"9 1.000001 execve("/usr/bin/python3", ["python3", "x.py"], ["HOME=/home/u"]) = 0
9 1.000002 access("/etc/ld.so.preload", R_OK) = -1 ENOENT (No such file or directory)
9 1.000003 openat(AT_FDCWD</home/u/w>, "/etc/ld.so.cache", O_RDONLY|O_CLOEXEC) = 3</etc/ld.so.cache>
9 1.000004 read(3</etc/ld.so.cache>, "", 1) = 0
9 1.000005 mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, 3</etc/ld.so.cache>, 0) = 0x7f0000000000
9 1.000006 close(3</etc/ld.so.cache>) = 0
9 1.000007 set_robust_list(0x7f0000000000, 24) = 0
"#;
const END: &str = "9 2.000001 exit_group(0) = ?\n9 2.000002 +++ exited with 0 +++\n";

fn import(text: &str) -> Trace {
    read(text.as_bytes(), Limits::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// The lines as the middle of a whole trace.
fn whole(lines: &str) -> Trace {
    import(&format!("{BEGIN}{lines}{END}"))
}

fn recorded(name: &str) -> Trace {
    let path = format!("../tests/traces/{name}.strace");
    import(&std::fs::read_to_string(path).unwrap())
}

fn judge(trace: &Trace) -> Report {
    let vars = Vars {
        home: "/home/u".to_owned(),
        work: "/home/u/.cache/build".to_owned(),
    };
    let rules = RuleSet::load(Some("../rules".as_ref()), &vars).unwrap();
    let record = StageRecord {
        facts: &trace.facts,
        events: &trace.events,
    };
    rules.judge(&Target::default(), &[record])
}

fn fired(report: &Report) -> Vec<&str> {
    let mut rules: Vec<&str> = report
        .findings
        .iter()
        .map(|finding| &*finding.rule)
        .collect();
    rules.dedup();
    rules
}

fn is_undecided(report: &Report, rule: &str) -> bool {
    report.verdict == Verdict::Inconclusive
        && report.findings.is_empty()
        && report.undecided.iter().any(|one| one.rule == rule)
}

fn of(trace: &Trace, kind: Kind) -> Vec<&Event> {
    trace
        .events
        .iter()
        .filter(|event| event.kind == kind)
        .collect()
}

/// The events from the opening of the script on, without the files of the interpreter.
fn told(trace: &Trace) -> String {
    let begin = trace
        .events
        .iter()
        .position(|event| event.path.as_deref() == Some("/tmp/demo/src/actions.py"))
        .unwrap();
    let events: Vec<Event> = trace.events[begin..]
        .iter()
        .filter(|event| {
            let path = event.path.as_deref().unwrap_or_default();
            !path.starts_with("/usr/lib") && path != "/etc/ld.so.cache"
        })
        .cloned()
        .collect();
    let line = |event| serde_json::to_string(event).unwrap() + "\n";
    events.iter().map(line).collect()
}

#[test]
fn recorded_actions() {
    let trace = recorded("actions");
    assert_eq!(trace.facts.status, StageStatus::Completed);
    assert_eq!(trace.facts.problems, [] as [String; 0]);
    assert_eq!(trace.facts.decode_errors, 0);
    assert_eq!(trace.home, Home::Told("/tmp/demo/home".to_owned()));
    insta::assert_snapshot!(told(&trace));
}

#[test]
fn recorded_actions_without_options() {
    let trace = recorded("actions-short");
    assert_eq!(trace.facts.problems, [] as [String; 0]);
    let execs = of(&trace, Kind::Exec);
    assert!(execs.iter().all(|exec| exec.env.is_none()));
    let cut = Incomplete::ARGV_TRUNCATED | Incomplete::ENV_UNREADABLE;
    assert!(execs.iter().any(|exec| exec.incomplete.contains(cut)));
    assert!(execs.iter().all(|exec| exec.inode.is_none()));
    let notes = trace.notes.join("\n");
    assert!(
        notes.contains("-s 4096") && notes.contains("option -v"),
        "{notes}"
    );
}

#[test]
fn a_whole_trace_without_findings_is_unremarkable() {
    let report = judge(&whole(""));
    assert_eq!(
        report.verdict,
        Verdict::Unremarkable,
        "{:#?}",
        report.missing
    );
    assert_eq!(whole("").home, Home::Told("/home/u".to_owned()));
}

#[test]
fn what_is_missing_makes_it_inconclusive() {
    let cases = [
        (
            BEGIN.to_owned(),
            "the trace ends before its first process does",
        ),
        (
            format!("{BEGIN}9 1.5 close(3"),
            "the trace ends before its first process does",
        ),
        (
            format!("{BEGIN}{}", END.trim_end()),
            "the last line of the trace has no end",
        ),
        (
            BEGIN.replace("set_robust_list", "geteuid") + END,
            "recorded with a filter (-e trace=…)",
        ),
        (
            BEGIN.replace("9 1.000004 read", "9 1.000004 brk") + END,
            "no call in it reads",
        ),
        (
            BEGIN.replace("= -1 ENOENT (No such file or directory)", "= 0") + END,
            "recorded with a filter (-z)",
        ),
        (
            BEGIN.to_owned() + &END.replace("exit_group", "brk"),
            "processes end without a call that ends them",
        ),
        (
            BEGIN.replace("execve(\"/usr", "brk(\"/usr") + END,
            "ran before the trace began",
        ),
        (
            format!("{BEGIN}9 1.5 vfork() = 10\n{END}"),
            "1 child process was not followed",
        ),
        (
            format!("{BEGIN}9 1.5 vfork() = 10\n10 1.6 brk(NULL) = 0x1\n{END}"),
            "1 process had not ended where the trace ends",
        ),
        (
            format!("{BEGIN}10 1.6 brk(NULL) = 0x1\n10 1.7 +++ exited with 0 +++\n{END}"),
            "of 1 process the trace does not tell who started it",
        ),
        (
            format!(
                "{BEGIN}9 1.5 io_uring_setup(8, {{flags=0}}) = 5<anon_inode:[io_uring]>\n{END}"
            ),
            "io_uring",
        ),
        (
            format!(
                "{BEGIN}9 1.5 io_submit(0x7f0000000000, 1, [{{aio_data=0, aio_lio_opcode=IOCB_CMD_PWRITE, \
                 aio_fildes=4, aio_buf=\"x\", aio_nbytes=1, aio_offset=0}}]) = 1\n{END}"
            ),
            "queued reads and writes (io_submit)",
        ),
        (
            format!("{BEGIN}9 1.5 ioctl(4</home/u/w/a>, BTRFS_IOC_CLONE or FICLONE, 5) = 0\n{END}"),
            "given the content of another one (ioctl FICLONE)",
        ),
        (
            format!("{BEGIN}9 1.5 openat(AT_FDCWD, \"x) = 0\n{END}"),
            "1 record could not be decoded",
        ),
        (
            format!("{BEGIN}{END}").replace("9 1.", "[pid 9] 1."),
            "written to standard error",
        ),
        (
            format!("\n{BEGIN}{END}").replace("\n9 ", "\n"),
            "recorded without -f",
        ),
        (
            format!("{BEGIN}9 1.5 dup(4</home/u/w/a>) = ?\n{END}"),
            "what came of 1 call the trace does not tell",
        ),
        (
            format!("{BEGIN}{END}")
                .replace("</home/u/w>", "")
                .replace("3</etc/ld.so.cache>", "3"),
            "descriptors stand without their paths",
        ),
    ];
    for (text, part) in cases {
        let report = judge(&import(&text));
        assert_eq!(report.verdict, Verdict::Inconclusive, "{text}");
        let missing = report.missing.join("\n");
        assert!(missing.contains(part), "no `{part}`: {missing}\n{text}");
    }
}

#[test]
fn a_child_may_speak_before_its_fork_returns() {
    let trace = whole(
        r#"9 1.1 vfork( <unfinished ...>
20 1.2 execve("/bin/sh", ["sh"], ["A=b"]) = 0
20 1.3 chdir("/home/u") = 0
9 1.4 <... vfork resumed>) = 20
20 1.5 unlink("w/x") = 0
20 1.6 +++ killed by SIGKILL +++
"#,
    );
    assert_eq!(judge(&trace).verdict, Verdict::Unremarkable);
    let fork = of(&trace, Kind::Fork)[0];
    let exec = of(&trace, Kind::Exec)[1];
    assert_eq!((fork.process.tgid, fork.other), (9, Some(exec.process)));
    assert_eq!((exec.process.tgid, exec.parent), (20, fork.process));
    assert_eq!(exec.cwd.as_deref(), Some("/home/u/w"));
    assert_eq!(
        of(&trace, Kind::Unlink)[0].path.as_deref(),
        Some("/home/u/w/x")
    );
    let exit = of(&trace, Kind::Exit)[0];
    assert_eq!(
        (exit.process, exit.signal, exit.exit_code),
        (exec.process, Some(9), None)
    );
}

#[test]
fn a_number_is_given_to_one_process_after_the_other() {
    let trace = whole(
        "9 1.1 fork() = 20\n20 1.2 +++ exited with 0 +++\n9 1.3 fork() = 20\n20 1.4 +++ exited with 7 +++\n",
    );
    let exits = of(&trace, Kind::Exit);
    assert_eq!(exits[0].process.tgid, exits[1].process.tgid);
    assert_ne!(exits[0].process, exits[1].process);
    assert_eq!(exits[1].exit_code, Some(7));
}

#[test]
fn threads_are_no_processes_and_one_of_them_may_execute() {
    let trace = whole(
        r#"9 1.1 clone3({flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_THREAD, exit_signal=0} => {parent_tid=[30]}, 88) = 30
30 1.2 openat(AT_FDCWD</home/u/w>, "out", O_WRONLY|O_CREAT|O_EXCL, 0600) = 4</home/u/w/out>
9 1.3 write(4</home/u/w/out>, "abc", 3) = 3
30 1.4 execve("/bin/true", ["true"], [] <pid changed to 9 ...>
9 1.5 +++ superseded by execve in pid 30 +++
9 1.6 <... execve resumed>) = 0
9 1.7 close(4</home/u/w/out>) = 0
"#,
    );
    assert!(of(&trace, Kind::Fork).is_empty());
    let open = *of(&trace, Kind::Open).last().unwrap();
    assert_eq!(
        (open.process.tgid, open.tid, open.created),
        (9, 30, Some(true))
    );
    let write = of(&trace, Kind::Write)[0];
    assert_eq!(
        (write.bytes, write.data.as_deref()),
        (Some(3), Some(&b"abc"[..]))
    );
    assert_eq!(of(&trace, Kind::Exec).len(), 2);
    assert_eq!(of(&trace, Kind::Exit).len(), 1);
    assert_eq!(trace.facts.problems, [] as [String; 0]);
}

#[test]
fn the_first_process_without_a_number_gets_one() {
    let unnamed = BEGIN.replace("9 1.", "1.");
    let trace = import(&format!(
        "{unnamed}1.1 fork(strace: Process 20 attached\n <unfinished ...>\n\
         [pid 20] 1.2 exit_group(0) = ?\n[pid 9] 1.3 <... fork resumed>) = 20\n\
         [pid 20] 1.4 +++ exited with 0 +++\n2.1 exit_group(0) = ?\n2.2 +++ exited with 0 +++\n"
    ));
    assert_eq!(trace.facts.status, StageStatus::Completed);
    let doers: Vec<u32> = trace
        .events
        .iter()
        .map(|event| event.process.tgid)
        .collect();
    assert!(doers.iter().all(|tgid| [9, 20].contains(tgid)), "{doers:?}");
    assert_eq!(of(&trace, Kind::Fork)[0].parent.tgid, 0);
    assert_eq!(of(&trace, Kind::Exit)[0].parent.tgid, 9);
}

#[test]
fn programs_without_a_name() {
    let memfd = "9 1.1 memfd_create(\"x\", 0) = 4</memfd:x>(deleted)\n";
    let exec = |path: &str| format!("{memfd}9 1.2 execve(\"{path}\", [\"x\"], []) = 0\n");
    for path in ["/proc/self/fd/4", "/dev/fd/4", "/proc/9/fd/4"] {
        let trace = whole(&exec(path));
        assert_eq!(
            of(&trace, Kind::Exec)[1].path.as_deref(),
            Some("/memfd:x (deleted)")
        );
        assert_eq!(fired(&judge(&trace)), ["fileless-exec"], "{path}");
    }
    // What a name leads to is not known any more.
    let report = judge(&whole(&exec("/tmp/maybe-a-link")));
    assert!(is_undecided(&report, "fileless-exec"));
    let unlinked = "9 1.1 openat(AT_FDCWD</home/u/w>, \"p\", O_RDONLY) = 4</home/u/w/p>\n\
                    9 1.2 unlink(\"p\") = 0\n\
                    9 1.3 execveat(4</home/u/w/p>(deleted), \"\", [\"p\"], [], AT_EMPTY_PATH) = 0\n";
    assert_eq!(fired(&judge(&whole(unlinked))), ["fileless-exec"]);
}

#[test]
fn changes_of_names_that_fail_are_events() {
    let cases = [
        (r#"unlink("/home/u/x") = -1 ENOENT"#, Kind::Unlink, 1),
        (
            r#"unlinkat(AT_FDCWD, "x", AT_REMOVEDIR) = -1 ENOTDIR"#,
            Kind::Rmdir,
            1,
        ),
        (r#"mkdir("/tmp", 0777) = -1 EEXIST"#, Kind::Mkdir, 1),
        (
            r#"rename("/home/u/x", "/home/u/y") = -1 ENOENT"#,
            Kind::Rename,
            1,
        ),
        (r#"symlink("x", "/tmp") = -1 EEXIST"#, Kind::Symlink, 1),
        (
            r#"link("/home/u/x", "/home/u/y") = -1 ENOENT"#,
            Kind::Link,
            1,
        ),
        (
            r#"rename("/home/u", "/home/u/x") = -1 EINVAL"#,
            Kind::Rename,
            1,
        ),
        (r#"unlink(NULL) = -1 EFAULT"#, Kind::Unlink, 0),
        (r#"chmod("/home/u/x", 0755) = -1 ENOENT"#, Kind::Chmod, 1),
        (r#"fchmod(9, 0755) = -1 EBADF"#, Kind::Chmod, 0),
        (r#"chmod("/etc/shadow", 0755) = -1 EPERM"#, Kind::Chmod, 1),
    ];
    for (call, kind, expected) in cases {
        let trace = whole(&format!("9 1.1 {call} (Because)\n"));
        let events = of(&trace, kind);
        assert_eq!(events.len(), expected, "{call}");
        for event in events {
            assert!(event.result < 0 && event.path.is_none() && event.asked.is_some());
        }
    }
}

#[test]
fn networks() {
    let trace = whole(
        r#"9 1.1 socket(AF_INET6, SOCK_STREAM, IPPROTO_IP) = 4<TCPv6:[77]>
9 1.2 connect(4<TCPv6:[77]>, {sa_family=AF_INET6, sin6_port=htons(443), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "2001:db8::1", &sin6_addr), sin6_scope_id=0}, 28) = -1 EINPROGRESS (Operation now in progress)
9 1.3 write(4<TCPv6:[[::1]:5->[2001:db8::1]:443]>, "GET", 3) = 3
9 1.35 write(4<TCPv6:[[::1]:5->[2001:db8::1]:443]>, "", 0) = 0
9 1.4 write(4<TCPv6:[[::1]:5->[2001:db8::1]:443]>, "more", 4) = 4
9 1.5 connect(5, {sa_family=AF_UNIX, sun_path=@"hidden"}, 9) = 0
9 1.6 sendmmsg(6<UDP:[78]>, [{msg_hdr={msg_name={sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("1.2.3.4")}, msg_namelen=16, msg_iov=[{iov_base="q1", iov_len=2}], msg_iovlen=1}, msg_len=2}, {msg_hdr={msg_name=NULL, msg_iov=[{iov_base="q2", iov_len=2}]}, msg_len=2}], 2, 0) = 2
9 1.7 dup2(4<TCPv6:[[::1]:5->[2001:db8::1]:443]>, 0) = 0<TCPv6:[[::1]:5->[2001:db8::1]:443]>
"#,
    );
    let connect = of(&trace, Kind::Connect);
    assert_eq!(connect[0].addr.as_deref(), Some("2001:db8::1"));
    assert_eq!((connect[0].port, connect[0].result), (Some(443), -115));
    assert_eq!(
        (connect[1].family, connect[1].path.as_deref()),
        (Some(1), Some("@hidden"))
    );
    let sends = of(&trace, Kind::Send);
    let sent: Vec<_> = (sends.iter())
        .map(|send| (send.port, send.data.as_deref().unwrap()))
        .collect();
    assert_eq!(
        sent,
        [
            (Some(443), &b"GET"[..]),
            (Some(443), b""),
            (Some(443), b"more"),
            (Some(53), b"q1"),
            // Where that went nothing tells.
            (None, b"q2"),
        ]
    );
    assert_eq!(sends[3].addr.as_deref(), Some("1.2.3.4"));
    assert_eq!(sends[4].bytes, Some(2));
    let dup = of(&trace, Kind::Dup)[0];
    assert_eq!((dup.fds, dup.port), (Some((4, 0)), Some(443)));
    let report = judge(&trace);
    // A name server may have given that address: it is no proof that none did.
    assert_eq!(fired(&report), ["name-lookup"]);
}

#[test]
fn other_processes_and_the_watcher() {
    let trace = whole(
        r#"9 1.1 [ Process PID=9 runs in 32 bit mode. ]
9 1.2 fork() = 20
9 1.3 ptrace(PTRACE_SEIZE, 20, NULL, 0) = 0
9 1.3 process_vm_readv(4321, [{iov_base="", iov_len=0}], 1, [], 1, 0) = -1 EPERM (Operation not permitted)
9 1.4 kill(9, SIGTERM) = 0
9 1.4 kill(1, SIGKILL) = -1 EPERM (Operation not permitted)
9 1.5 setresuid(-1, 0, -1) = -1 EPERM (Operation not permitted)
9 1.6 setuid(1000) = 0
9 1.7 bpf(BPF_PROG_LOAD, {prog_type=BPF_PROG_TYPE_KPROBE}, 8) = -1 EPERM (Operation not permitted)
9 1.8 mprotect(0x7f0000000000, 4096, PROT_READ|PROT_EXEC) = 0
9 1.8 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---
20 1.9 +++ exited with 0 +++
"#,
    );
    let ptrace = of(&trace, Kind::Ptrace);
    assert_eq!(ptrace[0].other, of(&trace, Kind::Fork)[0].other);
    assert_eq!(ptrace[1].other.map(|other| other.tgid), Some(4321));
    assert_eq!((ptrace[0].result, ptrace[1].result), (0, -1));
    let signals = of(&trace, Kind::Signal);
    assert_eq!(signals.len(), 1);
    assert_eq!((signals[0].signal, signals[0].result), (Some(9), -1));
    let creds = of(&trace, Kind::Creds);
    let told: Vec<_> = (creds.iter())
        .map(|event| (event.asked.as_deref(), event.result, event.mode))
        .collect();
    assert_eq!(told, [(Some("setresuid"), -1, None), (None, 0, Some(1000))]);
    assert!(creds[1].incomplete.contains(Incomplete::UID_UNKNOWN));
    let tamper = of(&trace, Kind::Tamper)[0];
    assert_eq!(
        (tamper.asked.as_deref(), tamper.flags, tamper.result),
        (Some("bpf"), Some(5), -1)
    );
    let map = of(&trace, Kind::MmapExec)[0];
    assert_eq!(map.flags, Some(5));
    assert!(map.incomplete.contains(Incomplete::PATH_UNREADABLE));
}

#[test]
fn nobody_counted_and_the_families_without_events_are_named() {
    let trace = whole("");
    assert!(trace.facts.counters.is_none() && trace.facts.uncounted);
    let report = judge(&trace);
    assert_eq!(report.verdict, Verdict::Unremarkable);
    let loss = report.losses["trace"]["file"];
    assert!(loss.stored > 0 && (loss.seen, loss.lost) == (None, None));
    let notes = trace.notes.join("\n");
    assert!(
        notes.contains("no privilege and no memory and no network and no tampering event"),
        "{notes}"
    );
    assert!(
        !whole("9 1.5 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 4<TCP:[1]>\n")
            .notes
            .join("\n")
            .contains("no network")
    );
}

/// A compiler writes where temporary files are, and loads the system's libraries afterwards.
#[test]
fn libraries_of_the_system_are_none_that_were_dropped() {
    let trace = whole(
        "9 1.1 openat(AT_FDCWD</home/u/w>, \"/tmp/cc1.s\", O_WRONLY|O_CREAT, 0666) = 4</tmp/cc1.s>\n\
         9 1.2 write(4</tmp/cc1.s>, \"x\", 1) = 1\n\
         9 1.3 close(4</tmp/cc1.s>) = 0\n\
         9 1.4 mmap(NULL, 4096, PROT_READ|PROT_EXEC, MAP_PRIVATE, 5</usr/lib/libz.so.1>, 0) = 0x7f00\n",
    );
    let report = judge(&trace);
    assert_eq!(report.verdict, Verdict::Unremarkable, "{report:#?}");
}
