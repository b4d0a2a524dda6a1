//! What is written to files: the first bytes are those of the file, where it is known where they went.

use super::*;

/// What is on record of the writes to a file that is opened as 4 with these flags.
fn written(flags: &str, lines: &str) -> Vec<(Option<u64>, Option<String>)> {
    let trace = opened(flags, lines);
    of(&trace, Kind::Write)
        .into_iter()
        .map(|write| {
            let data = write
                .data
                .clone()
                .map(|data| String::from_utf8(data).unwrap());
            let whole =
                data.as_ref().map(|data| data.len() as u64) == write.bytes && data.is_some();
            let marked = write.incomplete.contains(Incomplete::DATA_INCOMPLETE);
            assert_ne!(marked, whole, "{write:?}");
            (write.bytes, data)
        })
        .collect()
}

fn opened(flags: &str, lines: &str) -> Trace {
    whole(&format!(
        "9 1.1 openat(AT_FDCWD</home/u/w>, \"/tmp/x\", {flags}, 0666) = 4</tmp/x>\n{lines}\
         9 1.9 close(4</tmp/x>) = 0\n"
    ))
}

const NEW: &str = "O_RDWR|O_CREAT|O_TRUNC";

fn told(bytes: u64, data: &str) -> [(Option<u64>, Option<String>); 1] {
    [(Some(bytes), Some(data.to_owned()))]
}

fn unknown(bytes: Option<u64>) -> [(Option<u64>, Option<String>); 1] {
    [(bytes, None)]
}

#[test]
fn the_head_may_be_written_last() {
    let last = r#"9 1.2 pwrite64(4</tmp/x>, "the body", 8, 9) = 8
9 1.3 pwrite64(4</tmp/x>, "MZ", 2, 0) = 2
"#;
    assert_eq!(written(NEW, last), told(10, "MZ"));
    let trace = opened(NEW, last);
    assert!(fired(&judge(&trace)).contains(&"windows-program"));
    let again = r#"9 1.2 write(4</tmp/x>, "something", 9) = 9
9 1.3 pwritev(4</tmp/x>, [{iov_base=NULL, iov_len=0}, {iov_base="M", iov_len=1}, {iov_base="Z!", iov_len=2}], 3, 0) = 3
"#;
    assert_eq!(written(NEW, again), told(12, "MZ!ething"));
    let sought = r#"9 1.2 lseek(4</tmp/x>, 9, SEEK_SET) = 9
9 1.3 write(4</tmp/x>, "body", 4) = 4
9 1.4 read(4</tmp/x>, "", 8) = 0
9 1.5 lseek(4</tmp/x>, -13, SEEK_CUR) = 0
9 1.6 writev(4</tmp/x>, [{iov_base="M", iov_len=1}], 1) = 1
9 1.7 write(4</tmp/x>, "Z", 1) = 1
"#;
    assert_eq!(written(NEW, sought), told(6, "MZ"));
}

#[test]
fn a_write_begins_with_its_first_call_and_ends_with_the_file() {
    let called = r#"9 1.2 write(4</tmp/x>, "a", 1) = 1
9 1.3 write(4</tmp/x>, "b", 1) = 1
"#;
    // Others may see what was written before the call returns.
    let late = r#"9 1.2 write(4</tmp/x>, "a", 1 <unfinished ...>
9 1.5 <... write resumed>) = 1
"#;
    for lines in [called, late] {
        let trace = opened(NEW, lines);
        let write = of(&trace, Kind::Write)[0];
        assert_eq!(
            (write.since_ns, write.time_ns),
            (Some(1_200_000_000), 1_900_000_000),
            "{lines}"
        );
    }
}

#[test]
fn what_is_run_while_it_is_written_to_was_written_before() {
    let write = "9 1.2 write(4</tmp/x>, \"echo\", 4) = 4\n";
    let run = "9 1.3 fork() = 20\n\
               20 1.4 execve(\"/bin/sh\", [\"sh\", \"/tmp/x\"], [\"HOME=/home/u\"]) = 0\n\
               20 1.5 +++ exited with 0 +++\n";
    let later = "9 1.6 write(4</tmp/x>, \"echo\", 4) = 4\n";
    for (lines, is_dropped) in [
        (format!("{write}{run}"), true),
        (format!("{write}{run}{later}"), true),
        (format!("{run}{later}"), false),
    ] {
        let report = judge(&opened(NEW, &lines));
        let is_fired = fired(&report).contains(&"dropped-script");
        assert_eq!(is_fired, is_dropped, "{lines}");
    }
}

#[test]
fn descriptors_share_a_position() {
    let lines = r#"9 1.2 write(4</tmp/x>, "ab", 2) = 2
9 1.3 dup2(4</tmp/x>, 7) = 7</tmp/x>
9 1.3 fork() = 20
20 1.4 lseek(7</tmp/x>, 0, SEEK_SET) = 0
20 1.4 read(7</tmp/x>, "a", 1) = 1
20 1.5 +++ exited with 0 +++
9 1.6 write(4</tmp/x>, "Z", 1) = 1
"#;
    assert_eq!(written(NEW, lines), told(3, "aZ"));
    let copied = r#"9 1.2 write(4</tmp/x>, "abcd", 4) = 4
9 1.3 lseek(4</tmp/x>, 0, SEEK_SET) = 0
9 1.4 sendfile(6<pipe:[1]>, 4</tmp/x>, NULL, 1) = 1
9 1.5 splice(4</tmp/x>, NULL, 6<pipe:[1]>, NULL, 1, 0) = 1
9 1.6 copy_file_range(4</tmp/x>, [0] => [1], 5</home/u/w/y>, NULL, 1, 0) = 1
9 1.7 write(4</tmp/x>, "X", 1) = 1
"#;
    assert_eq!(written(NEW, copied)[0], told(5, "abXd")[0]);
}

#[test]
fn what_is_copied_is_not_known() {
    let head = r#"9 1.2 write(4</tmp/x>, "harmless", 8) = 8
9 1.3 splice(6<pipe:[1]>, NULL, 4</tmp/x>, [0] => [2], 2, 0) = 2
"#;
    assert_eq!(written(NEW, head), unknown(Some(10)));
    let middle = r#"9 1.2 write(4</tmp/x>, "harmless", 8) = 8
9 1.3 copy_file_range(5</home/u/w/y>, NULL, 4</tmp/x>, [4] => [6], 2, 0) = 2
"#;
    assert_eq!(written(NEW, middle), told(10, "harm"));
    let behind = r#"9 1.2 sendfile(4</tmp/x>, 5</home/u/w/y>, [0] => [4], 4) = 4
9 1.3 write(4</tmp/x>, "harmless", 8) = 8
"#;
    assert_eq!(written(NEW, behind), unknown(Some(12)));
    let cloned = r#"9 1.2 write(4</tmp/x>, "harmless", 8) = 8
9 1.3 ioctl(4</tmp/x>, BTRFS_IOC_CLONE or FICLONE, 5) = 0
"#;
    assert_eq!(written(NEW, cloned), unknown(None));
    let part = r#"9 1.2 write(4</tmp/x>, "harmless", 8) = 8
9 1.3 ioctl(4</tmp/x>, BTRFS_IOC_CLONE_RANGE or FICLONERANGE, {src_fd=5</home/u/w/y>, src_offset=0, src_length=0, dest_offset=4096}) = 0
9 1.4 ioctl(4</tmp/x>, TCGETS, {c_cc[VMIN]=1}) = 0
"#;
    let [(_, harmless)] = told(8, "harmless");
    assert_eq!(written(NEW, part), [(None, harmless)]);
    let queued = r#"9 1.2 write(4</tmp/x>, "harmless", 8) = 8
9 1.3 io_submit(0x7f0000000000, 1, [{aio_data=0x7, aio_lio_opcode=IOCB_CMD_PWRITE, aio_fildes=4</tmp/x>, aio_buf="MZ", aio_nbytes=2, aio_offset=0}]) = 1
"#;
    assert_eq!(written(NEW, queued), unknown(None));
    let collapsed = r#"9 1.2 write(4</tmp/x>, "harmless", 8) = 8
9 1.3 fallocate(4</tmp/x>, FALLOC_FL_COLLAPSE_RANGE, 0, 4096) = 0
"#;
    assert_eq!(written(NEW, collapsed), unknown(None));
}

#[test]
fn how_much_was_written_by_what_was_cut_short_is_not_known() {
    let first = "9 1.2 write(4</tmp/x>, \"harmless\", 8) = 8\n";
    let cut = "9 1.3 write(4</tmp/x>, \"body\", 4) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)\n";
    let [(_, harmless)] = told(8, "harmless");
    assert_eq!(
        written(NEW, &format!("{first}{cut}")),
        [(None, harmless.clone())]
    );
    // Where the next piece goes is not known.
    let more = "9 1.4 write(4</tmp/x>, \"MZ\", 2) = 2\n";
    assert_eq!(written(NEW, &format!("{first}{cut}{more}")), unknown(None));
    let child = "9 1.3 fork() = 20\n20 1.3 write(4</tmp/x>, \"body\", 4 <unfinished ...>\n\
                 20 1.3 +++ killed by SIGKILL +++\n";
    assert_eq!(
        written(NEW, &format!("{first}{child}{more}")),
        [(None, None), (Some(10), None)]
    );
    let cloned = "9 1.3 ioctl(4</tmp/x>, BTRFS_IOC_CLONE or FICLONE, 5) = ?\n";
    assert_eq!(written(NEW, &format!("{first}{cloned}")), unknown(None));
}

#[test]
fn what_is_appended_lies_behind_unless_the_file_was_made_shorter() {
    let append = "O_WRONLY|O_APPEND";
    let (first, more) = (
        "9 1.2 write(4</tmp/x>, \"harmless\", 8) = 8\n",
        "9 1.4 write(4</tmp/x>, \"MZ\", 2) = 2\n",
    );
    let with = |between: &str| written(append, &format!("{first}{between}{more}"));
    assert_eq!(with(""), told(10, "harmless"));
    // An offset says nothing there.
    assert_eq!(
        with("9 1.3 pwrite64(4</tmp/x>, \"MZ\", 2, 0) = 2\n"),
        told(12, "harmless")
    );
    assert_eq!(
        with("9 1.3 ftruncate(5</tmp/other>, 0) = 0\n"),
        told(10, "harmless")
    );
    for shorter in [
        "9 1.3 ftruncate(5</tmp/x>, 0) = 0\n",
        "9 1.3 openat(AT_FDCWD</home/u/w>, \"/tmp/x\", O_WRONLY|O_TRUNC) = 5</tmp/x>\n",
        "9 1.3 truncate(\"/tmp/maybe-a-link\", 0) = 0\n",
        "9 1.3 link(\"/tmp/x\", \"/tmp/y\") = 0\n9 1.3 ftruncate(5</tmp/y>, 0) = 0\n",
        "9 1.3 renameat(AT_FDCWD</tmp>, \"x\", AT_FDCWD</tmp>, \"y\") = 0\n\
         9 1.3 ftruncate(5</tmp/y>, 0) = 0\n\
         9 1.3 renameat(AT_FDCWD</tmp>, \"y\", AT_FDCWD</tmp>, \"x\") = 0\n",
    ] {
        assert_eq!(with(shorter), unknown(Some(10)), "{shorter}");
    }
    // Nor is it known where the end is, once what is written no longer goes there.
    let plain = "9 1.3 fcntl(4</tmp/x>, F_SETFL, O_WRONLY) = 0\n";
    assert_eq!(with(plain), unknown(Some(10)));
    let sought = format!("{plain}9 1.3 lseek(4</tmp/x>, 0, SEEK_SET) = 0\n");
    assert_eq!(with(&sought), told(10, "MZ"));
}

#[test]
fn where_what_was_open_before_is_written_to_is_not_known() {
    let one = "9 1.2 write(5</tmp/y>, \"harmless\", 8) = 8\n";
    let two = "9 1.4 write(5</tmp/y>, \"MZ\", 2) = 2\n9 1.5 close(5</tmp/y>) = 0\n";
    let with = |between: &str| written(NEW, &format!("{one}{between}{two}"));
    // Behind the first it is, as long as nobody moves back.
    assert_eq!(with(""), told(10, "harmless"));
    assert_eq!(
        with("9 1.3 lseek(5</tmp/y>, 0, SEEK_CUR) = 8\n9 1.3 lseek(4</tmp/x>, 0, SEEK_SET) = 0\n"),
        told(10, "harmless")
    );
    for moved in [
        "9 1.3 lseek(1</tmp/y>, 0, SEEK_SET) = 0\n",
        "9 1.3 pidfd_getfd(7<pid:9>, 5</tmp/y>, 0) = 6</tmp/y>\n",
        "9 1.3 unshare(CLONE_FILES) = 0\n",
    ] {
        assert_eq!(with(moved), unknown(Some(10)), "{moved}");
    }
    let placed = "9 1.3 pwrite64(5</tmp/y>, \"MZ\", 2, 64) = 2\n9 1.5 close(5</tmp/y>) = 0\n";
    let trace = whole(placed);
    assert_eq!(of(&trace, Kind::Write)[0].data, None);
    assert!(is_undecided(&judge(&trace), "windows-program"));
}

#[test]
fn a_descriptor_that_was_handed_on_is_moved_by_others() {
    let lines = r#"9 1.2 write(4</tmp/x>, "harmless", 8) = 8
9 1.3 sendmsg(6<UNIX-STREAM:[1->2]>, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base="x", iov_len=1}], msg_iovlen=1, msg_control=[{cmsg_len=20, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[4</tmp/x>]}], msg_controllen=24, msg_flags=0}, 0) = 1
9 1.4 write(4</tmp/x>, "MZ", 2) = 2
"#;
    assert_eq!(written(NEW, lines), unknown(Some(10)));
}

#[test]
fn what_is_written_through_memory_is_an_event_of_its_own() {
    let lines = r#"9 1.2 write(4</tmp/x>, "harmless", 8) = 8
9 1.3 mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_SHARED, 4</tmp/x>, 0) = 0x7f0000010000
"#;
    let trace = opened(NEW, lines);
    let writes = of(&trace, Kind::Write);
    let told: Vec<_> = (writes.iter())
        .map(|write| (write.bytes, write.data.as_deref(), write.flags))
        .collect();
    // When something is written there nothing tells.
    assert_eq!(writes[0].since_ns, None);
    assert_eq!(
        told,
        [
            (None, None, Some(3)),
            (Some(8), Some(&b"harmless"[..]), None)
        ]
    );
    assert!(writes[0].incomplete.contains(Incomplete::DATA_INCOMPLETE));
    assert!(is_undecided(&judge(&trace), "windows-program"));
}
