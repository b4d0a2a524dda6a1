//! Calls of which the trace does not tell what came of them: they may have been done.

use super::*;

/// How a call ends that was begun: not at all, with its process, or for another try.
const ENDS: [&str; 3] = [
    "",
    "20 1.3 <... CALL resumed>) = ?\n",
    "20 1.3 <... CALL resumed>) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)\n\
     20 1.3 --- SIGALRM {si_signo=SIGALRM, si_code=SI_KERNEL} ---\n\
     20 1.3 rt_sigreturn({mask=[]}) = 42\n",
];

/// A child begins the call and is killed, in each of these ways.
fn cut(call: &str) -> Vec<Trace> {
    let name = call.split('(').next().unwrap_or_default();
    let traces = ENDS.iter().map(|end| {
        let end = end.replace("CALL", name);
        whole(&format!(
            "9 1.1 fork() = 20\n20 1.2 {call} <unfinished ...>\n{end}20 1.4 +++ killed by SIGALRM +++\n"
        ))
    });
    traces.collect()
}

/// The only event of this kind, of the child.
fn only(trace: &Trace, kind: Kind) -> &Event {
    let events: Vec<&Event> = of(trace, kind)
        .into_iter()
        .filter(|event| event.process.tgid == 20)
        .collect();
    assert_eq!(events.len(), 1, "{kind:?}");
    events[0]
}

#[test]
fn a_call_that_was_cut_short_is_an_event_without_a_result() {
    for (call, kind) in [
        (
            r#"connect(3<TCP:[1]>, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("169.254.169.254")}, 16"#,
            Kind::Connect,
        ),
        ("accept4(3<TCP:[127.0.0.1:80]>, ", Kind::Accept),
        (r#"sendto(3<UDP:[1]>, "x", 1, 0, NULL, 0"#, Kind::Send),
        (r#"openat(AT_FDCWD</home/u/w>, "a", O_RDONLY"#, Kind::Open),
        (r#"unlink("/home/u/x""#, Kind::Unlink),
        (r#"mkdir("/home/u/x", 0777"#, Kind::Mkdir),
        (r#"symlink("a", "/home/u/x""#, Kind::Symlink),
        (r#"rename("/home/u/x", "/home/u/y""#, Kind::Rename),
        (r#"execve("/bin/true", ["true"], []"#, Kind::Exec),
        ("dup2(3<TCP:[1]>, 0", Kind::Dup),
        ("kill(-1, SIGKILL", Kind::Signal),
        (r#"memfd_create("x", 0"#, Kind::MemfdCreate),
        ("setuid(0", Kind::Creds),
        ("process_vm_readv(4321, [], 0, [], 0, 0", Kind::Ptrace),
        (
            "reboot(LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_RESTART",
            Kind::Tamper,
        ),
    ] {
        for trace in cut(call) {
            assert_eq!(only(&trace, kind).outcome(), None, "{call}");
            assert_eq!(trace.facts.decode_errors, 0, "{call}");
            assert_eq!(trace.facts.problems, [] as [String; 0], "{call}");
        }
    }
    for call in ["geteuid(", "wait4(-1, ", "close(4</home/u/w/a>", "fork("] {
        for trace in cut(call) {
            let unknown = trace.events.iter().any(|event| event.outcome().is_none());
            assert!(!unknown, "{call}");
            assert_eq!(trace.facts.problems, [] as [String; 0], "{call}");
        }
    }
}

#[test]
fn rules_find_it() {
    let connect = r#"connect(3<TCP:[1]>, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("169.254.169.254")}, 16"#;
    for trace in cut(connect) {
        assert!(fired(&judge(&trace)).contains(&"cloud-metadata"));
    }
    for trace in cut(r#"unlink("/home/u/.bash_history""#) {
        assert_eq!(fired(&judge(&trace)), ["history-deletion"]);
    }
    // It may be a link.
    for trace in cut(r#"unlink("/home/u/l/.bash_history""#) {
        assert!(is_undecided(&judge(&trace), "history-deletion"));
    }
    for call in [
        r#"rename("/home/u/w/a", "/home/u/.bashrc""#,
        r#"symlink("/home/u/w/a", "/home/u/.bashrc""#,
    ] {
        for trace in cut(call) {
            assert_eq!(fired(&judge(&trace)), ["shell-startup-write"], "{call}");
        }
    }
}

#[test]
fn a_call_that_is_made_anew_is_one_more() {
    let trace = whole(
        "9 1.1 connect(3<UNIX-STREAM:[1]>, {sa_family=AF_UNIX, sun_path=\"/run/x\"}, 9) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)\n\
         9 1.2 connect(3<UNIX-STREAM:[1]>, {sa_family=AF_UNIX, sun_path=\"/run/x\"}, 9) = 0\n",
    );
    let outcomes: Vec<_> = of(&trace, Kind::Connect)
        .into_iter()
        .map(Event::outcome)
        .collect();
    assert_eq!(outcomes, [None, Some(0)]);
}

#[test]
fn what_a_server_waits_for_at_its_end() {
    let trace = whole("9 1.1 accept4(3<TCP:[127.0.0.1:80]>,  <unfinished ...>) = ?\n");
    assert_eq!(of(&trace, Kind::Accept)[0].outcome(), None);
    assert_eq!(judge(&trace).verdict, Verdict::Unremarkable);
}

#[test]
fn what_is_under_way_where_the_trace_ends() {
    let trace = import(&format!(
        "{BEGIN}9 1.1 unlink(\"/home/u/.bash_history\" <unfinished ...>\n"
    ));
    let unlink = of(&trace, Kind::Unlink)[0];
    assert_eq!(unlink.outcome(), None);
    assert_eq!(unlink.path.as_deref(), Some("/home/u/.bash_history"));
    assert_eq!(fired(&judge(&trace)), ["history-deletion"]);
}

#[test]
fn what_a_thread_executes_goes_on_under_its_process_number() {
    let fork = "9 1.1 clone3({flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_THREAD, exit_signal=0} => {parent_tid=[30]}, 88) = 30\n\
                9 1.2 openat(AT_FDCWD</home/u/w>, \"fifo\", O_RDONLY <unfinished ...>\n";
    for begun in [
        "30 1.3 execve(\"/bin/true\", [\"true\"], [] <unfinished ...>\n9 1.4 <... openat resumed>) = ?\n",
        "30 1.3 execve(\"/bin/true\", [\"true\"], [] <unfinished ...>\n",
        "30 1.3 execve(\"/bin/true\", [\"true\"], [] <pid changed to 9 ...>\n",
    ] {
        let trace = whole(&format!(
            "{fork}{begun}9 1.5 +++ superseded by execve in pid 30 +++\n9 1.6 <... execve resumed>) = 0\n"
        ));
        let execs = of(&trace, Kind::Exec);
        assert_eq!(execs.len(), 2, "{begun}");
        assert_eq!(execs[1].outcome(), Some(0));
        assert_eq!(execs[1].path.as_deref(), Some("/bin/true"));
        let open = *of(&trace, Kind::Open).last().unwrap();
        assert_eq!(
            (open.outcome(), open.asked.as_deref()),
            (None, Some("fifo"))
        );
    }
}

#[test]
fn what_it_may_have_changed_is_not_sure() {
    let made = |call: &str| {
        let trace = whole(&format!(
            "9 1.1 stat(\"a\", 0x7f00) = -1 ENOENT (No such file or directory)\n9 1.2 {call}\n\
             9 1.3 openat(AT_FDCWD</home/u/w>, \"a\", O_WRONLY|O_CREAT, 0666) = 4</home/u/w/a>\n"
        ));
        of(&trace, Kind::Open).last().unwrap().created
    };
    assert_eq!(made("brk(NULL) = 0x1"), Some(true));
    for call in [
        r#"openat(AT_FDCWD</home/u/w>, "a", O_WRONLY|O_CREAT, 0666) = ?"#,
        r#"link("/home/u/.bashrc", "a") = ?"#,
        r#"rename("/home/u/.bashrc", "a") = ?"#,
        r#"symlink("/home/u/.bashrc", "a") = ?"#,
        r#"mknod("a", S_IFREG|0644) = ?"#,
        r#"unlink("a") = ?"#,
    ] {
        assert_eq!(made(call), None, "{call}");
    }
    let trace = whole(
        "9 1.1 mount(\"/home/u\", \"/home/u/w/m\", NULL, MS_BIND, NULL) = ?\n\
         9 1.2 unlink(\"/home/u/.bash_history\") = 0\n",
    );
    assert_eq!(of(&trace, Kind::Tamper)[0].outcome(), None);
    let unlink = of(&trace, Kind::Unlink)[0];
    assert!(unlink.incomplete.contains(Incomplete::PATH_UNRESOLVED));
}

/// Whether what was there was deleted, or what the stage had made itself, hangs on what came of the call.
#[test]
fn what_it_would_have_made_may_have_been_made() {
    let deletions: String = (0..6)
        .map(|n| {
            format!(
                "9 1.2 openat(AT_FDCWD</home/u/w>, \"d/{n}\", O_RDONLY) = 4</home/u/w/d/{n}>\n\
                 9 1.3 unlink(\"d/{n}\") = 0\n"
            )
        })
        .collect();
    let deleted = |call: &str| judge(&whole(&format!("9 1.1 {call}\n{deletions}")));
    for call in [
        r#"mkdir("d", 0777)"#,
        r#"rename("/home/u/w/e", "d")"#,
        r#"openat(AT_FDCWD</home/u/w>, "d", O_WRONLY|O_CREAT, 0666)"#,
    ] {
        let cut = deleted(&format!("{call} = ?"));
        assert!(is_undecided(&cut, "home-destruction"), "{call}");
        let refused = deleted(&format!("{call} = -1 EACCES (Permission denied)"));
        assert_eq!(fired(&refused), ["home-destruction"], "{call}");
    }
    let done = deleted(r#"mkdir("d", 0777) = 0"#);
    assert_eq!(done.verdict, Verdict::Unremarkable, "{:#?}", done.missing);
    // It was to make none.
    let read = deleted(r#"openat(AT_FDCWD</home/u/w>, "d", O_RDONLY) = ?"#);
    assert_eq!(fired(&read), ["home-destruction"]);
}

#[test]
fn which_program_runs_after_a_cut_execution_is_unknown() {
    let pth = "/home/u/.local/lib/python3/site-packages/x.pth";
    let judged = |end: &str| {
        judge(&whole(&format!(
            "9 1.1 fork() = 20\n\
             20 1.2 execve(\"/usr/bin/python3\", [\"python3\", \"-m\", \"pip\", \"install\", \"x\"], []) = {end}\n\
             20 1.3 openat(AT_FDCWD</home/u/w>, \"{pth}\", O_WRONLY|O_CREAT, 0666) = 4<{pth}>\n\
             20 1.4 write(4<{pth}>, \"import os\", 9) = 9\n\
             20 1.5 close(4<{pth}>) = 0\n\
             20 1.6 exit_group(0) = ?\n20 1.7 +++ exited with 0 +++\n"
        )))
    };
    // What pip writes is for pth-shipped.
    let done = judged("0");
    assert!(!is_undecided(&done, "pth-write") && !fired(&done).contains(&"pth-write"));
    let cut = judged("? ERESTARTNOINTR (To be restarted)");
    assert!(is_undecided(&cut, "pth-write"), "{:?}", fired(&cut));
}
