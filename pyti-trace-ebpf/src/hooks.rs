//! Which program sits on which hook, and what is not seen without it.

/// How a program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// An LSM hook.
    Lsm,
    /// The entry of a kernel function.
    Fentry,
    /// The exit of a kernel function.
    Fexit,
    /// A typed tracepoint.
    Tracepoint,
}

/// What is seen by one or several programs together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// Index of the family that it is counted in, as [`crate::kind::family`] numbers them.
    pub family: usize,
    /// What a user would call it: "files opened".
    pub what: &'static str,
}

/// What a program does for its [`Subject`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Begins the records that others emit: where none that begins is there, nothing is emitted.
    Begins,
    /// Emits records: where none that emits is there, nothing is seen.
    Emits,
    /// Adds to the records of others.
    Adds,
}

/// One program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// Name of the program in the object.
    pub program: &'static str,
    /// How it is attached.
    pub attach: Attach,
    /// To what: the LSM hook, function or tracepoint.
    pub to: &'static str,
    /// How many parameters that has. The kernel attaches by the name alone: where there are more or fewer, a
    /// program may take one for another, or for the result, which has its place behind the last. Several
    /// numbers where the program reads the same in each; none for a tracepoint, which has no result.
    pub parameters: &'static [u32],
    /// Without it the record of a stage is not worth having: there, loading fails.
    pub core: bool,
    /// What it helps to see.
    pub subject: Subject,
    /// How it helps.
    pub role: Role,
    /// What is missing of the subject where this program is refused; empty: all of it.
    pub gives: &'static str,
}

const fn subject(family: usize, what: &'static str) -> Subject {
    Subject { family, what }
}

const FILE: usize = crate::kind::family(crate::kind::OPEN);
const PROCESS: usize = crate::kind::family(crate::kind::EXEC);
const PRIVILEGE: usize = crate::kind::family(crate::kind::CREDS);
const MEMORY: usize = crate::kind::family(crate::kind::MMAP_EXEC);
const NETWORK: usize = crate::kind::family(crate::kind::CONNECT);
const TAMPERING: usize = crate::kind::family(crate::kind::TAMPER);

const STARTED: Subject = subject(PROCESS, "processes started");
const ENDED: Subject = subject(PROCESS, "processes ended");
const EXECUTED: Subject = subject(PROCESS, "programs executed");
const NOT_EXECUTED: Subject = subject(PROCESS, "programs that could not be executed");
const REDIRECTED: Subject = subject(PROCESS, "descriptors 0 to 2 replaced");
const SIGNALLED: Subject = subject(PROCESS, "signals sent");
const OPENED: Subject = subject(FILE, "files opened");
const WRITTEN: Subject = subject(FILE, "files written");
const RENAMED: Subject = subject(FILE, "files renamed");
const UNLINKED: Subject = subject(FILE, "files removed");
const DIR_REMOVED: Subject = subject(FILE, "directories removed");
const DIR_MADE: Subject = subject(FILE, "directories made");
const NODE_MADE: Subject = subject(FILE, "files made without being opened");
const LINKED: Subject = subject(FILE, "hard links made");
const SYMLINKED: Subject = subject(FILE, "symbolic links made");
const MODE: Subject = subject(FILE, "modes changed");
const OWNER: Subject = subject(FILE, "owners changed");
const TRUNCATED: Subject = subject(FILE, "files truncated");
const CONNECTED: Subject = subject(NETWORK, "connections made");
const BOUND: Subject = subject(NETWORK, "addresses bound");
const LISTENING: Subject = subject(NETWORK, "sockets listening");
const ACCEPTED: Subject = subject(NETWORK, "connections accepted");
const SENT: Subject = subject(NETWORK, "data sent");
const SOCKETS: Subject = subject(NETWORK, "sockets made");
const MEMFD: Subject = subject(MEMORY, "files made in memory");
const MAPPED: Subject = subject(MEMORY, "memory made executable");
const ACCESS: Subject = subject(MEMORY, "access to other processes' memory");
const CREDS: Subject = subject(PRIVILEGE, "changes of user and capabilities");
const CREDS_REFUSED: Subject = subject(PRIVILEGE, "refused changes");
const BPF: Subject = subject(TAMPERING, "uses of bpf()");
const PERF: Subject = subject(TAMPERING, "performance events opened");
const LOADED: Subject = subject(TAMPERING, "kernel modules loaded");
const MOUNTED: Subject = subject(TAMPERING, "mounts");
const NAMESPACES: Subject = subject(TAMPERING, "namespaces entered");
const ROOTS: Subject = subject(TAMPERING, "roots changed");
const CAPABLE: Subject = subject(TAMPERING, "capabilities asked for in vain");

const NAMES: &str = "names as they were asked for, and what failed before the lookup";
const RESOLVED: &str = "resolved paths";
const FOUND: &str = "resolved paths, and those by descriptor";
/// Without it nothing of the subject is seen.
const ALL: &str = "";

/// `SUBJECT: core|extra ROLE ATTACH "hook"(PARAMETERS) program, "what it gives";`
macro_rules! hooks {
    ($($subject:ident: $core:ident $role:ident $attach:ident
       $to:literal$(($($parameters:literal)|+))? $program:ident,
       $gives:expr;)*) => {
        /// Every program, in the order in which they are attached.
        pub const HOOKS: &[Hook] = &[$(Hook {
            program: stringify!($program),
            attach: Attach::$attach,
            to: $to,
            parameters: &[$($($parameters),+)?],
            core: hooks!(@$core),
            subject: $subject,
            role: Role::$role,
            gives: $gives,
        }),*];
    };
    (@core) => { true };
    (@extra) => { false };
}

hooks! {
    STARTED: core Emits Tracepoint "sched_process_fork" fork, ALL;
    ENDED: core Emits Tracepoint "sched_process_exit" exit, ALL;
    ENDED: core Adds Tracepoint "sched_process_free" free, "a distinction from later processes of the same number";
    EXECUTED: core Adds Lsm "bprm_check_security"(1) exec_resolve, "the resolved paths of scripts, and Python stacks";
    EXECUTED: core Emits Tracepoint "sched_process_exec" exec_emit, ALL;
    NOT_EXECUTED: core Emits Fexit "bprm_execve"(1) exec_fail, ALL;
    OPENED: core Adds Lsm "file_open"(1) open_resolve, RESOLVED;
    OPENED: core Emits Fexit "do_filp_open"(3) open_emit, "those by name, and programs that were not found";
    OPENED: extra Emits Fexit "do_file_open_root"(3) open_root_emit, "those by handle";
    OPENED: extra Emits Fexit "dentry_open"(3) open_inner_emit, "those of message queues, and of terminals by their other end";
    WRITTEN: core Begins Fentry "security_file_permission"(2) write_mark, ALL;
    WRITTEN: core Adds Fexit "vfs_write"(4) write_count, "bytes of writes from one buffer";
    WRITTEN: extra Adds Fexit "vfs_writev"(5) write_count_vector, "bytes of writes from several buffers";
    WRITTEN: extra Adds Fentry "kiocb_done"(3|4) write_count_uring, "bytes of io_uring's writes";
    WRITTEN: extra Adds Fexit "aio_write"(4) write_count_aio, "bytes of io_submit's writes";
    WRITTEN: core Emits Fentry "filp_flush"(2) write_emit, "those through descriptors";
    WRITTEN: extra Emits Lsm "file_release"(1) write_release, "those through io_uring's own files";
    WRITTEN: extra Adds Fentry "vfs_copy_file_range"(6) copy_begin, "bytes of copies";
    WRITTEN: extra Adds Fexit "vfs_copy_file_range"(6) copy_count, "bytes of copies that a file system makes";
    WRITTEN: extra Adds Fentry "do_splice_direct"(6) sendfile_begin, "bytes of sendfile";
    WRITTEN: extra Adds Fexit "do_splice_direct"(6) sendfile_end, "bytes of sendfile";
    WRITTEN: extra Adds Fentry "do_splice"(6) splice_begin, "bytes that come out of pipes";
    WRITTEN: extra Adds Fexit "do_splice"(6) splice_end, "bytes that come out of pipes";
    WRITTEN: extra Adds Fentry "iter_file_splice_write"(5) splice_sample, "first bytes of copies";
    WRITTEN: extra Adds Fexit "iter_file_splice_write"(5) splice_count, "bytes of copies and out of pipes";
    WRITTEN: extra Adds Fexit "vfs_fallocate"(4) write_rearranged, "changes of first bytes by fallocate";
    RENAMED: core Begins Fentry "do_renameat2"(5) rename_begin, NAMES;
    RENAMED: core Begins Lsm "path_rename"(5) rename_resolve, RESOLVED;
    RENAMED: core Emits Fexit "do_renameat2"(5) rename_emit, ALL;
    UNLINKED: core Begins Fentry "do_unlinkat"(2) unlink_begin, NAMES;
    UNLINKED: core Begins Lsm "path_unlink"(2) unlink_resolve, RESOLVED;
    UNLINKED: core Emits Fexit "do_unlinkat"(2) unlink_emit, ALL;
    DIR_REMOVED: core Begins Fentry "do_rmdir"(2) rmdir_begin, NAMES;
    DIR_REMOVED: core Begins Lsm "path_rmdir"(2) rmdir_resolve, RESOLVED;
    DIR_REMOVED: core Emits Fexit "do_rmdir"(2) rmdir_emit, ALL;
    DIR_MADE: core Begins Fentry "do_mkdirat"(3) mkdir_begin, NAMES;
    DIR_MADE: core Begins Lsm "path_mkdir"(3) mkdir_resolve, RESOLVED;
    DIR_MADE: core Emits Fexit "do_mkdirat"(3) mkdir_emit, ALL;
    NODE_MADE: extra Begins Fentry "do_mknodat"(4) mknod_begin, NAMES;
    NODE_MADE: extra Begins Lsm "path_mknod"(4) mknod_resolve, RESOLVED;
    NODE_MADE: extra Emits Fexit "do_mknodat"(4) mknod_emit, ALL;
    LINKED: core Begins Fentry "do_linkat"(5) link_begin, NAMES;
    LINKED: core Begins Lsm "path_link"(3) link_resolve, RESOLVED;
    LINKED: core Emits Fexit "do_linkat"(5) link_emit, ALL;
    SYMLINKED: core Begins Fentry "do_symlinkat"(3) symlink_begin, NAMES;
    SYMLINKED: core Begins Lsm "path_symlink"(3) symlink_resolve, RESOLVED;
    SYMLINKED: core Emits Fexit "do_symlinkat"(3) symlink_emit, ALL;
    MODE: extra Begins Fexit "user_path_at"(4) chmod_lookup, NAMES;
    MODE: core Begins Lsm "path_chmod"(2) chmod_resolve, FOUND;
    MODE: core Emits Fexit "chmod_common"(2) chmod_emit, ALL;
    OWNER: extra Begins Fexit "user_path_at"(4) chown_lookup, NAMES;
    OWNER: extra Begins Lsm "path_chown"(3) chown_resolve, FOUND;
    OWNER: extra Emits Fexit "chown_common"(3) chown_emit, ALL;
    OWNER: extra Adds Fexit "do_fchownat"(5) chown_end, "what fails behind the lookup";
    TRUNCATED: extra Adds Fexit "user_path_at"(4) truncate_lookup, NAMES;
    TRUNCATED: extra Emits Fexit "vfs_truncate"(2) truncate, "those by name";
    TRUNCATED: extra Emits Fexit "do_ftruncate"(3) ftruncate, "those by descriptor";
    CONNECTED: core Emits Fexit "__inet_stream_connect"(5) connect_stream, "TCP";
    CONNECTED: core Emits Fexit "inet_dgram_connect"(4) connect_dgram, "UDP";
    CONNECTED: core Emits Fexit "unix_stream_connect"(4) connect_unix, "unix streams";
    CONNECTED: extra Emits Fexit "unix_dgram_connect"(4) connect_unix_dgram, "unix datagrams";
    BOUND: core Emits Fexit "inet_bind"(3) bind_inet, "IPv4";
    BOUND: extra Emits Fexit "inet6_bind"(3) bind_inet6, "IPv6";
    BOUND: extra Emits Fexit "unix_bind"(3) bind_unix, "unix";
    BOUND: extra Emits Fexit "mptcp_bind"(3) bind_mptcp, "MPTCP";
    LISTENING: core Emits Fexit "inet_listen"(2) listen_inet, "TCP";
    LISTENING: extra Emits Fexit "unix_listen"(2) listen_unix, "unix";
    LISTENING: extra Emits Fexit "mptcp_listen"(2) listen_mptcp, "MPTCP";
    ACCEPTED: extra Emits Fexit "inet_accept"(3) accept, "TCP";
    ACCEPTED: extra Emits Fexit "mptcp_stream_accept"(3) accept_mptcp, "MPTCP";
    ACCEPTED: extra Emits Fexit "unix_accept"(3) accept_unix, "unix";
    SENT: core Adds Lsm "socket_sendmsg"(3) send_resolve, "those that name no destination";
    SENT: extra Adds Lsm "socket_sendmsg"(3) send_touch, "bytes of files that nobody has read yet";
    SENT: core Emits Fexit "inet_sendmsg"(3) send_inet, "IPv4";
    SENT: extra Emits Fexit "inet6_sendmsg"(3) send_inet6, "IPv6";
    SENT: extra Emits Fexit "unix_stream_sendmsg"(3) send_unix, "unix streams";
    SENT: extra Emits Fexit "unix_dgram_sendmsg"(3) send_unix_dgram, "unix datagrams";
    SENT: extra Emits Fexit "unix_seqpacket_sendmsg"(3) send_unix_seqpacket, "refused ones of unix sequenced packets";
    SENT: extra Emits Fexit "packet_sendmsg"(3) send_packet, "packets";
    SENT: extra Emits Fexit "packet_sendmsg_spkt"(3) send_packet_old, "packets of the old kind";
    SOCKETS: extra Emits Fexit "__sock_create"(6) socket_create, ALL;
    MEMFD: extra Emits Fexit "shmem_file_setup"(3) memfd, "those of usual pages";
    MEMFD: extra Emits Fexit "hugetlb_file_setup"(5) memfd_huge, "those of huge pages";
    MAPPED: extra Emits Lsm "mmap_file"(4) mmap, "new mappings, those of files for writing too";
    MAPPED: extra Adds Fexit "vm_mmap_pgoff"(6) mmap_end, "new mappings, those of files for writing too";
    MAPPED: extra Emits Lsm "file_mprotect"(3) mprotect, "changes of protection";
    MAPPED: extra Adds Fexit "mprotect_fixup"(7) mprotect_end, "changes of protection";
    ACCESS: extra Emits Fexit "__ptrace_may_access"(2) ptrace, "that a process asks for";
    ACCESS: extra Emits Fexit "security_ptrace_traceme"(1) traceme, "that a process gives its parent";
    REDIRECTED: extra Adds Fentry "ksys_dup3"(3) dup, "the descriptors duplicated";
    REDIRECTED: extra Emits Fexit "do_dup2"(4) dup_file, "those by dup2";
    REDIRECTED: extra Emits Fexit "ksys_dup3"(3) dup_failed, "those that failed";
    REDIRECTED: extra Emits Fentry "fd_install"(2) install, "those by other roads than dup2";
    REDIRECTED: extra Emits Lsm "bprm_check_security"(1) dup_standard, "sockets that a program begins with, whoever put them there";
    SIGNALLED: extra Emits Fexit "check_kill_permission"(3) signal, ALL;
    CREDS: extra Emits Fentry "commit_creds"(1) creds, ALL;
    CREDS_REFUSED: extra Emits Fexit "__sys_setuid"(1) refused_setuid, "those by setuid()";
    CREDS_REFUSED: extra Emits Fexit "__sys_setreuid"(2) refused_setreuid, "those by setreuid()";
    CREDS_REFUSED: extra Emits Fexit "__sys_setresuid"(3) refused_setresuid, "those by setresuid()";
    CREDS_REFUSED: extra Emits Fexit "__sys_setgid"(1) refused_setgid, "those by setgid()";
    CREDS_REFUSED: extra Emits Fexit "__sys_setregid"(2) refused_setregid, "those by setregid()";
    CREDS_REFUSED: extra Emits Fexit "__sys_setresgid"(3) refused_setresgid, "those by setresgid()";
    CREDS_REFUSED: extra Emits Fexit "__sys_setfsuid"(1) refused_setfsuid, "those by setfsuid()";
    CREDS_REFUSED: extra Emits Fexit "__sys_setfsgid"(1) refused_setfsgid, "those by setfsgid()";
    CREDS_REFUSED: extra Emits Fexit "__x64_sys_setgroups"(1) refused_setgroups, "those by setgroups()";
    CREDS_REFUSED: extra Emits Fexit "__ia32_sys_setgroups"(1) refused_setgroups_32, "those by setgroups() of 32-bit programs";
    CREDS_REFUSED: extra Emits Fexit "__ia32_sys_setgroups16"(1) refused_setgroups_16, "those by setgroups() of 16 bits";
    CREDS_REFUSED: extra Emits Fexit "security_capset"(5) refused_capset, "those by capset()";
    BPF: extra Emits Fexit "__sys_bpf"(3) tamper_bpf, ALL;
    PERF: extra Emits Lsm "perf_event_open"(1|2) tamper_perf, ALL;
    LOADED: extra Emits Lsm "kernel_read_file"(3) tamper_read, "those from files";
    LOADED: extra Emits Lsm "kernel_load_data"(2) tamper_load, "those from memory";
    MOUNTED: extra Emits Lsm "sb_mount"(5) tamper_mount, "those by mount()";
    MOUNTED: extra Adds Fexit "path_mount"(5) tamper_mount_end, "those by mount()";
    MOUNTED: extra Emits Lsm "move_mount"(2) tamper_move, "those by move_mount()";
    MOUNTED: extra Adds Fexit "__x64_sys_move_mount"(1) tamper_move_end, "those by move_mount()";
    MOUNTED: extra Adds Fexit "__ia32_sys_move_mount"(1) tamper_move_end_32, "those by move_mount() of 32-bit programs";
    MOUNTED: extra Emits Lsm "sb_umount"(2) tamper_umount, "what is taken away";
    MOUNTED: extra Adds Fexit "path_umount"(2) tamper_umount_end, "what is taken away";
    MOUNTED: extra Emits Fexit "__x64_sys_mount_setattr"(1) tamper_setattr, "changes of their attributes";
    MOUNTED: extra Emits Fexit "__ia32_sys_mount_setattr"(1) tamper_setattr_32, "changes of their attributes by 32-bit programs";
    NAMESPACES: extra Emits Fexit "__x64_sys_setns"(1) tamper_setns, "those by 64-bit programs";
    NAMESPACES: extra Emits Fexit "__ia32_sys_setns"(1) tamper_setns_32, "those by 32-bit programs";
    ROOTS: extra Emits Lsm "sb_pivotroot"(2) tamper_pivot, "those of all processes";
    ROOTS: extra Adds Fexit "__x64_sys_pivot_root"(1) tamper_pivot_end, "those of all processes";
    ROOTS: extra Adds Fexit "__ia32_sys_pivot_root"(1) tamper_pivot_end_32, "those of all processes by 32-bit programs";
    ROOTS: extra Emits Fexit "security_path_chroot"(1) tamper_chroot, "those of one process";
    CAPABLE: extra Emits Fexit "security_capable"(4) tamper_capable, ALL;
}
