//! Which program sits on which hook.

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

/// One program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// Name of the program in the object.
    pub program: &'static str,
    /// How it is attached.
    pub attach: Attach,
    /// To what: the LSM hook, function or tracepoint.
    pub to: &'static str,
    /// Without it the record is not worth having: loading fails.
    pub core: bool,
}

const fn hook(program: &'static str, attach: Attach, to: &'static str, core: bool) -> Hook {
    Hook {
        program,
        attach,
        to,
        core,
    }
}

const CORE: bool = true;
const EXTRA: bool = false;

/// Every program, in the order in which they are attached.
pub const HOOKS: &[Hook] = &[
    hook("fork", Attach::Tracepoint, "sched_process_fork", CORE),
    hook("exit", Attach::Tracepoint, "sched_process_exit", CORE),
    hook("free", Attach::Tracepoint, "sched_process_free", CORE),
    hook("exec_resolve", Attach::Lsm, "bprm_check_security", CORE),
    hook("exec_emit", Attach::Tracepoint, "sched_process_exec", CORE),
    hook("exec_fail", Attach::Fexit, "bprm_execve", CORE),
    hook("open_resolve", Attach::Lsm, "file_open", CORE),
    hook("open_emit", Attach::Fexit, "do_filp_open", CORE),
    hook("open_root_emit", Attach::Fexit, "do_file_open_root", EXTRA),
    hook(
        "write_mark",
        Attach::Fentry,
        "security_file_permission",
        CORE,
    ),
    hook("write_count", Attach::Fexit, "vfs_write", CORE),
    hook("write_emit", Attach::Fentry, "filp_flush", CORE),
    hook("write_release", Attach::Lsm, "file_release", EXTRA),
    hook(
        "write_count_copy",
        Attach::Fexit,
        "vfs_copy_file_range",
        EXTRA,
    ),
    hook(
        "write_count_sendfile",
        Attach::Fexit,
        "do_splice_direct",
        EXTRA,
    ),
    hook("rename_begin", Attach::Fentry, "do_renameat2", CORE),
    hook("rename_resolve", Attach::Lsm, "path_rename", CORE),
    hook("rename_emit", Attach::Fexit, "do_renameat2", CORE),
    hook("unlink_begin", Attach::Fentry, "do_unlinkat", CORE),
    hook("unlink_resolve", Attach::Lsm, "path_unlink", CORE),
    hook("unlink_emit", Attach::Fexit, "do_unlinkat", CORE),
    hook("rmdir_begin", Attach::Fentry, "do_rmdir", CORE),
    hook("rmdir_resolve", Attach::Lsm, "path_rmdir", CORE),
    hook("rmdir_emit", Attach::Fexit, "do_rmdir", CORE),
    hook("mkdir_begin", Attach::Fentry, "do_mkdirat", CORE),
    hook("mkdir_resolve", Attach::Lsm, "path_mkdir", CORE),
    hook("mkdir_emit", Attach::Fexit, "do_mkdirat", CORE),
    hook("mknod_begin", Attach::Fentry, "do_mknodat", EXTRA),
    hook("mknod_resolve", Attach::Lsm, "path_mknod", EXTRA),
    hook("mknod_emit", Attach::Fexit, "do_mknodat", EXTRA),
    hook("link_begin", Attach::Fentry, "do_linkat", CORE),
    hook("link_resolve", Attach::Lsm, "path_link", CORE),
    hook("link_emit", Attach::Fexit, "do_linkat", CORE),
    hook("symlink_begin", Attach::Fentry, "do_symlinkat", CORE),
    hook("symlink_resolve", Attach::Lsm, "path_symlink", CORE),
    hook("symlink_emit", Attach::Fexit, "do_symlinkat", CORE),
    hook("chmod_resolve", Attach::Lsm, "path_chmod", CORE),
    hook("chmod_emit", Attach::Fexit, "chmod_common", CORE),
    hook("chown_resolve", Attach::Lsm, "path_chown", EXTRA),
    hook("chown_emit", Attach::Fexit, "chown_common", EXTRA),
    hook("truncate", Attach::Fexit, "vfs_truncate", EXTRA),
    hook("ftruncate", Attach::Fexit, "do_ftruncate", EXTRA),
    hook(
        "connect_stream",
        Attach::Fexit,
        "__inet_stream_connect",
        CORE,
    ),
    hook("connect_dgram", Attach::Fexit, "inet_dgram_connect", CORE),
    hook("connect_unix", Attach::Fexit, "unix_stream_connect", CORE),
    hook(
        "connect_unix_dgram",
        Attach::Fexit,
        "unix_dgram_connect",
        EXTRA,
    ),
    hook("bind_inet", Attach::Fexit, "inet_bind", CORE),
    hook("bind_inet6", Attach::Fexit, "inet6_bind", EXTRA),
    hook("bind_unix", Attach::Fexit, "unix_bind", EXTRA),
    hook("listen_inet", Attach::Fexit, "inet_listen", CORE),
    hook("listen_unix", Attach::Fexit, "unix_listen", EXTRA),
    hook("accept", Attach::Fexit, "inet_accept", EXTRA),
    hook("send_resolve", Attach::Lsm, "socket_sendmsg", CORE),
    hook("send_inet", Attach::Fexit, "inet_sendmsg", CORE),
    hook("send_inet6", Attach::Fexit, "inet6_sendmsg", EXTRA),
    hook("send_unix", Attach::Fexit, "unix_stream_sendmsg", EXTRA),
    hook(
        "send_unix_dgram",
        Attach::Fexit,
        "unix_dgram_sendmsg",
        EXTRA,
    ),
    hook("socket_create", Attach::Lsm, "socket_create", EXTRA),
    hook("memfd", Attach::Fexit, "shmem_file_setup", EXTRA),
    hook("mmap", Attach::Lsm, "mmap_file", EXTRA),
    hook("mprotect", Attach::Lsm, "file_mprotect", EXTRA),
    hook("ptrace", Attach::Fexit, "__ptrace_may_access", EXTRA),
    hook("dup", Attach::Fentry, "ksys_dup3", EXTRA),
    hook("dup_file", Attach::Fexit, "do_dup2", EXTRA),
    hook("install", Attach::Fentry, "fd_install", EXTRA),
    hook("signal", Attach::Fexit, "check_kill_permission", EXTRA),
    hook("creds", Attach::Fentry, "commit_creds", EXTRA),
    hook("tamper_bpf", Attach::Lsm, "bpf", EXTRA),
    hook("tamper_perf", Attach::Lsm, "perf_event_open", EXTRA),
    hook("tamper_read", Attach::Lsm, "kernel_read_file", EXTRA),
    hook("tamper_load", Attach::Lsm, "kernel_load_data", EXTRA),
    hook("tamper_mount", Attach::Lsm, "sb_mount", EXTRA),
    hook("tamper_move", Attach::Lsm, "move_mount", EXTRA),
    hook("tamper_pivot", Attach::Lsm, "sb_pivotroot", EXTRA),
    hook("tamper_chroot", Attach::Lsm, "path_chroot", EXTRA),
    hook("tamper_capable", Attach::Fexit, "security_capable", EXTRA),
];
