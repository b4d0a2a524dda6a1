//! Paths, and whether their objects were made here.

use super::*;

#[test]
fn a_path_that_was_only_asked_for_is_one_name() {
    // Nothing tells whether /home/u/l is a link to the home itself.
    let report = judge(&whole("9 1.1 unlink(\"/home/u/l/.bash_history\") = 0\n"));
    assert!(is_undecided(&report, "history-deletion"));
    // A directory that was made in the trace is none.
    let report = judge(&whole(
        "9 1.1 mkdir(\"l\", 0777) = 0\n9 1.2 unlink(\"l/.bash_history\") = 0\n",
    ));
    assert_eq!(
        report.verdict,
        Verdict::Unremarkable,
        "{:#?}",
        report.missing
    );
    // A link that was made in the trace is followed, also where it was renamed.
    let report = judge(&whole(
        "9 1.1 symlink(\"/home/u\", \"a\") = 0\n9 1.2 rename(\"a\", \"b\") = 0\n\
         9 1.3 unlink(\"b/.bash_history\") = 0\n",
    ));
    assert_eq!(fired(&report), ["history-deletion"]);
    // The name itself is enough.
    let report = judge(&whole("9 1.1 unlink(\"/home/u/.bash_history\") = 0\n"));
    assert_eq!(fired(&report), ["history-deletion"]);
}

#[test]
fn a_relative_path_without_its_directory_is_unknown() {
    let lines = "9 1.1 chdir(\"/home/u/somewhere\") = 0\n9 1.2 chdir(\"/proc/self/cwd\") = 0\n\
                 9 1.3 unlinkat(5, \".bash_history\", 0) = 0\n";
    let trace = whole(lines);
    let unlink = of(&trace, Kind::Unlink)[0];
    assert_eq!(
        (&unlink.path, unlink.asked.as_deref()),
        (&None, Some(".bash_history"))
    );
    assert!(unlink.incomplete.contains(Incomplete::PATH_UNREADABLE));
    let report = judge(&trace);
    assert!(is_undecided(&report, "history-deletion"));
}

#[test]
fn where_the_first_program_started_is_told_by_its_first_file() {
    let trace = import(&(BEGIN.replace("\"/usr/bin/python3\"", "\"./run\"") + END));
    let exec = of(&trace, Kind::Exec)[0];
    assert_eq!(exec.cwd.as_deref(), Some("/home/u/w"));
    assert_eq!(exec.path.as_deref(), Some("/home/u/w/run"));
    let unknown = Incomplete::PATH_UNREADABLE | Incomplete::PATH_UNRESOLVED;
    assert!(
        !exec
            .incomplete
            .intersects(unknown | Incomplete::CWD_INCOMPLETE)
    );
}

/// Whether the deletion of what is called like a history, below a directory that is none, is sure to be none.
fn is_sure(lines: &str, history: &str) -> bool {
    let report = judge(&whole(&format!("{lines}9 1.9 unlink(\"{history}\") = 0\n")));
    assert_eq!(fired(&report), [""; 0], "{lines}");
    let is_sure = report.verdict == Verdict::Unremarkable;
    assert!(is_sure || is_undecided(&report, "history-deletion"));
    is_sure
}

#[test]
fn what_was_removed_nobody_knows_where_may_be_anything_by_now() {
    let mkdir = "9 1.1 mkdir(\"d\", 0777) = 0\n";
    for (removal, sure) in [
        ("brk(NULL) = 0x1", true),
        ("unlinkat(5, \"d\", AT_REMOVEDIR) = 0", false),
        ("unlinkat(5, \"d\", AT_REMOVEDIR) = ?", false),
        ("rmdir(\"/home/u/maybe-a-link/d\") = 0", false),
        ("rmdir(\"/home/u/maybe-a-link/d\") = ?", false),
        // Its name is not shown.
        ("unlinkat(5, 0x7f00, AT_REMOVEDIR) = 0", false),
        ("unlinkat(5, \"e\", AT_REMOVEDIR) = 0", true),
        (
            "unlinkat(5, \"d\", AT_REMOVEDIR) = -1 ENOENT (No such file or directory)",
            true,
        ),
    ] {
        let lines = format!("{mkdir}9 1.2 {removal}\n");
        assert_eq!(is_sure(&lines, "d/.bash_history"), sure, "{removal}");
    }
    // A link of the trace that may be none any more.
    let link = "9 1.1 symlink(\"/home/u\", \"l\") = 0\n";
    let report = judge(&whole(&format!(
        "{link}9 1.2 unlink(\"l/.bash_history\") = 0\n"
    )));
    assert_eq!(fired(&report), ["history-deletion"]);
    let removed = format!("{link}9 1.2 unlinkat(5, \"l\", 0) = 0\n");
    assert!(!is_sure(&removed, "l/.bash_history"));
}

#[test]
fn a_directory_that_was_moved_is_not_where_it_was() {
    let lines = "9 1.1 mkdir(\"d\", 0777) = 0\n9 1.2 chdir(\"d\") = 0\n";
    assert!(is_sure(lines, ".bash_history"));
    let moved = format!("{lines}9 1.3 rename(\"/home/u/w/d\", \"/home/u/w/e\") = 0\n");
    assert!(!is_sure(&moved, ".bash_history"));
    // The kernel says where it is now.
    let told = format!(
        "{moved}9 1.4 openat(AT_FDCWD</home/u/w/e>, \"x\", O_RDONLY) = -1 ENOENT (No such file or directory)\n"
    );
    assert!(is_sure(&told, ".bash_history"));
}

#[test]
fn what_is_made_through_a_name_that_may_be_a_link_does_not_tell_that_it_is_none() {
    let node = |path: &str| format!("9 1.1 mknod(\"{path}\", S_IFREG|0644) = 0\n");
    assert!(!is_sure(&node("/home/u/l/x"), "/home/u/l/.bash_history"));
    assert!(is_sure(&node("/home/u/w/x"), "/home/u/w/.bash_history"));
}

#[test]
fn a_file_without_a_name_is_not_the_directory_in_which_it_was_made() {
    let lines: String = (0..6)
        .map(|n| {
            format!(
                "9 1.2 openat(AT_FDCWD</home/u/w>, \"{n}\", O_RDONLY) = 5</home/u/w/{n}>\n\
                 9 1.3 unlink(\"{n}\") = 0\n"
            )
        })
        .collect();
    let trace = whole(&format!(
        "9 1.1 openat(AT_FDCWD, \"/home/u\", O_RDWR|O_TMPFILE, 0600) = 4\n{lines}"
    ));
    let made = of(&trace, Kind::Open)[1];
    assert_eq!((made.created, &made.path), (Some(true), &None));
    assert_eq!(fired(&judge(&trace)), ["home-destruction"]);
}

#[test]
fn a_mount_makes_paths_unsure() {
    let report = judge(&whole(
        "9 1.1 mount(\"/home/u\", \"/home/u/w/m\", NULL, MS_BIND, NULL) = 0\n\
         9 1.2 unlink(\"/home/u/w/m/.bash_history\") = 0\n",
    ));
    assert!(is_undecided(&report, "history-deletion"));
}

#[test]
fn whether_a_file_was_made_here_is_three_valued() {
    let deletions = |path: &str| -> String {
        (0..6)
            .map(|n| {
                format!(
                    "9 1.1 openat(AT_FDCWD</home/u/w>, \"{n}\", O_WRONLY|O_CREAT, 0666) = 4</home/u/w/{n}>\n\
                     9 1.1 close(4</home/u/w/{n}>) = 0\n9 1.1 unlink(\"{path}{n}\") = 0\n"
                )
            })
            .collect()
    };
    // O_CREAT does not tell whether the file was there.
    assert!(is_undecided(
        &judge(&whole(&deletions(""))),
        "home-destruction"
    ));
    let looked: String = (0..6)
        .map(|n| format!("9 1.1 stat(\"{n}\", 0x7f00) = -1 ENOENT (No such file or directory)\n"))
        .collect();
    let report = judge(&whole(&(looked + &deletions(""))));
    assert_eq!(
        report.verdict,
        Verdict::Unremarkable,
        "{:#?}",
        report.missing
    );
    let there = deletions("").replace("O_WRONLY|O_CREAT, 0666", "O_WRONLY");
    assert_eq!(fired(&judge(&whole(&there))), ["home-destruction"]);
}

#[test]
fn a_count_is_undecided_only_where_it_may_be_reached() {
    let lines = |unsure: usize, sure: usize| -> String {
        let there = |n: usize| {
            format!("9 1.1 openat(AT_FDCWD</home/u/w>, \"s{n}\", O_RDONLY) = 4</home/u/w/s{n}>\n")
        };
        let unsure = (0..unsure).map(|n| format!("9 1.2 unlink(\"/home/u/l/{n}\") = 0\n"));
        let sure = (0..sure).map(|n| there(n) + &format!("9 1.3 unlink(\"s{n}\") = 0\n"));
        unsure.chain(sure).collect()
    };
    let judged = |unsure, sure| judge(&whole(&lines(unsure, sure)));
    let undecided = |report: &Report| {
        report
            .undecided
            .iter()
            .any(|one| one.rule == "home-destruction")
    };
    assert!(!undecided(&judged(1, 0)));
    assert!(!undecided(&judged(1, 3)));
    assert!(undecided(&judged(1, 4)));
    // Of the user's own files two are enough.
    assert!(undecided(&judged(2, 0)));
    assert_eq!(fired(&judged(1, 5)), ["home-destruction"]);
}

/// Whether the last open made its file.
fn created(lines: &str) -> Option<bool> {
    let trace = whole(lines);
    let open = *of(&trace, Kind::Open).last().unwrap();
    assert_eq!(open.result, 0, "{lines}");
    open.created
}

fn opens(asked: &str, path: &str) -> String {
    format!(
        "9 1.8 openat(AT_FDCWD</home/u/w>, \"{asked}\", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 4<{path}>\n"
    )
}

#[test]
fn what_was_looked_for_below_another_root_is_not_absent() {
    let looks = |root: &str| {
        format!(
            "9 1.1 fork() = 20\n{root}\
             20 1.3 stat(\"/home/u/Documents/a\", 0x7f00) = -1 ENOENT (No such file or directory)\n\
             20 1.4 +++ exited with 0 +++\n"
        ) + &opens("/home/u/Documents/a", "/home/u/Documents/a")
    };
    assert_eq!(created(&looks("")), Some(true));
    for root in [
        "20 1.2 unshare(CLONE_NEWUSER) = 0\n20 1.2 chroot(\"/home/u/w/e\") = 0\n",
        "20 1.2 mount(\"tmpfs\", \"/home/u/Documents\", \"tmpfs\", 0, NULL) = 0\n",
        "20 1.2 setns(5</run/netns/x>, CLONE_NEWNS) = 0\n",
        "20 1.2 chroot(\"/home/u/w/e\") = ?\n",
    ] {
        assert_eq!(created(&looks(root)), None, "{root}");
    }
}

#[test]
fn which_file_it_is_is_not_known_below_another_root() {
    let inode = |root: &str| {
        let trace = whole(&format!(
            "9 1.1 openat(AT_FDCWD</home/u/w>, \"a\", O_WRONLY) = 4</home/u/w/a>\n\
             9 1.2 fstat(4</home/u/w/a>, {{st_dev=makedev(0xfe, 0), st_ino=7, st_mode=S_IFREG|0644, st_nlink=1}}) = 0\n\
             {root}9 1.4 write(4</home/u/w/a>, \"x\", 1) = 1\n9 1.5 close(4</home/u/w/a>) = 0\n"
        ));
        of(&trace, Kind::Write)[0].inode
    };
    assert_eq!(inode(""), Some(7));
    assert_eq!(inode("9 1.3 chroot(\"/home/u/w/e\") = 0\n"), None);
}

#[test]
fn what_is_given_a_name_was_there_before() {
    let bashrc = opens("/home/u/.bashrc", "/home/u/.bashrc");
    let below = opens("d/x", "/home/u/w/d/x");
    let mkdir = "9 1.1 mkdir(\"d\", 0777) = 0\n";
    let absent = "9 1.1 stat(\"d/x\", 0x7f00) = -1 ENOENT (No such file or directory)\n";
    let cases = [
        (format!("{mkdir}{below}"), Some(true)),
        (format!("{absent}{below}"), Some(true)),
        (
            format!("9 1.2 rename(\"/home/u/.bashrc\", \"x\") = 0\n{bashrc}"),
            Some(true),
        ),
        (
            format!("{mkdir}9 1.2 link(\"/home/u/.bashrc\", \"d/x\") = 0\n{below}"),
            None,
        ),
        (
            format!("{mkdir}9 1.2 rename(\"/home/u/.bashrc\", \"d/x\") = 0\n{below}"),
            None,
        ),
        // It is known to be there, and no symbolic link.
        (
            format!(
                "{mkdir}{bashrc}9 1.9 link(\"/home/u/.bashrc\", \"d/x\") = 0\n{}",
                below.replace("9 1.8", "9 1.91")
            ),
            Some(false),
        ),
        // With the directory that it is in.
        (
            format!("{absent}9 1.2 rename(\"/home/u/Documents\", \"d\") = 0\n{below}"),
            None,
        ),
        // Whatever name that leads to.
        (
            format!(
                "{absent}9 1.2 link(\"/home/u/.bashrc\", \"/home/u/maybe-a-link/x\") = 0\n{below}"
            ),
            None,
        ),
        (
            format!(
                "{absent}9 1.2 renameat2(AT_FDCWD</home/u/w>, \"/home/u/Documents/a\", \
                 AT_FDCWD</home/u/w>, \"d/x\", RENAME_EXCHANGE) = 0\n{below}"
            ),
            None,
        ),
        // Two names of one file both stay.
        (
            format!(
                "9 1.1 link(\"/home/u/.bashrc\", \"x\") = 0\n\
                 9 1.2 rename(\"/home/u/.bashrc\", \"x\") = 0\n{bashrc}"
            ),
            None,
        ),
    ];
    for (lines, expected) in cases {
        assert_eq!(created(&lines), expected, "{lines}");
    }
}

#[test]
fn what_may_have_been_removed_or_replaced_is_not_known_to_be_there() {
    let after = |call: &str| {
        created(&format!(
            "9 1.1 openat(AT_FDCWD</home/u/w>, \"a\", O_RDONLY) = 5</home/u/w/a>\n9 1.2 {call}\n{}",
            opens("a", "/home/u/w/a")
        ))
    };
    for call in [
        "brk(NULL) = 0x1",
        "unlink(\"/home/u/maybe-a-link/b\") = 0",
        "unlink(\"/home/u/maybe-a-link/a\") = -1 ENOENT (No such file or directory)",
    ] {
        assert_eq!(after(call), Some(false), "{call}");
    }
    for call in [
        "unlink(\"/home/u/maybe-a-link/a\") = 0",
        "unlink(\"/home/u/maybe-a-link/a\") = ?",
        "unlinkat(6, \"a\", 0) = 0",
        "rename(\"/home/u/maybe-a-link/a\", \"/home/u/w/b\") = 0",
        "rename(\"/home/u/w/b\", \"/home/u/maybe-a-link/a\") = 0",
        "renameat(6, \"b\", 6, \"a\") = 0",
    ] {
        assert_eq!(after(call), None, "{call}");
    }
    // It is known where that was.
    assert_eq!(after("unlink(\"a\") = 0"), Some(true));
}
