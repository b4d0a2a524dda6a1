//! Numbers of the names that strace prints, as x86-64 Linux has them: rules know numbers, and a
//! trace from another architecture is read with the same ones.

use crate::schema::ERRNOS;

/// Open flags: include/uapi/asm-generic/fcntl.h.
pub const OPEN_FLAGS: &[(&str, u64)] = &[
    ("O_RDONLY", 0),
    ("O_WRONLY", 1),
    ("O_RDWR", 2),
    ("O_ACCMODE", 3),
    ("O_CREAT", 0o100),
    ("O_EXCL", 0o200),
    ("O_NOCTTY", 0o400),
    ("O_TRUNC", 0o1000),
    ("O_APPEND", 0o2000),
    ("O_NONBLOCK", 0o4000),
    ("O_DSYNC", 0o10000),
    ("O_ASYNC", 0o20000),
    ("FASYNC", 0o20000),
    ("O_DIRECT", 0o40000),
    ("O_LARGEFILE", 0o100_000),
    ("O_DIRECTORY", 0o200_000),
    ("O_NOFOLLOW", 0o400_000),
    ("O_NOATIME", 0o1_000_000),
    ("O_CLOEXEC", 0o2_000_000),
    ("O_SYNC", 0o4_010_000),
    ("O_PATH", 0o10_000_000),
    ("O_TMPFILE", 0o20_200_000),
    ("__O_TMPFILE", 0o20_000_000),
];

/// `O_ACCMODE`; 0 of it is reading.
pub const O_ACCMODE: u64 = 3;
/// `O_RDWR`.
pub const O_RDWR: u64 = 2;
/// `O_CREAT`.
pub const O_CREAT: u64 = 0o100;
/// `O_EXCL`.
pub const O_EXCL: u64 = 0o200;
/// `O_TRUNC`.
pub const O_TRUNC: u64 = 0o1000;
/// `O_APPEND`.
pub const O_APPEND: u64 = 0o2000;
/// `O_NOFOLLOW`.
pub const O_NOFOLLOW: u64 = 0o400_000;
/// `O_CLOEXEC`.
pub const O_CLOEXEC: u64 = 0o2_000_000;
/// The bit of `O_TMPFILE` that `O_DIRECTORY` lacks.
pub const O_TMPFILE: u64 = 0o20_000_000;

/// Protections of mappings: include/uapi/asm-generic/mman-common.h.
pub const PROTECTIONS: &[(&str, u64)] = &[
    ("PROT_NONE", 0),
    ("PROT_READ", 1),
    ("PROT_WRITE", 2),
    ("PROT_EXEC", 4),
    ("PROT_SEM", 8),
    ("PROT_GROWSDOWN", 0x0100_0000),
    ("PROT_GROWSUP", 0x0200_0000),
];
/// `PROT_READ`.
pub const PROT_READ: u64 = 1;
/// `PROT_WRITE`.
pub const PROT_WRITE: u64 = 2;
/// `PROT_EXEC`.
pub const PROT_EXEC: u64 = 4;

/// Flags of `renameat2`: include/uapi/linux/fs.h.
pub const RENAME_FLAGS: &[(&str, u64)] = &[
    ("RENAME_NOREPLACE", RENAME_NOREPLACE),
    ("RENAME_EXCHANGE", 2),
    ("RENAME_WHITEOUT", 4),
];
/// `RENAME_NOREPLACE`.
pub const RENAME_NOREPLACE: u64 = 1;

/// Flags of `memfd_create`: include/uapi/linux/memfd.h.
pub const MEMFD_FLAGS: &[(&str, u64)] = &[
    ("MFD_CLOEXEC", 1),
    ("MFD_ALLOW_SEALING", 2),
    ("MFD_HUGETLB", 4),
    ("MFD_NOEXEC_SEAL", 8),
    ("MFD_EXEC", 16),
];

/// Flags of `shmat`: include/uapi/linux/shm.h.
pub const SHM_FLAGS: &[(&str, u64)] = &[
    ("SHM_RDONLY", SHM_RDONLY),
    ("SHM_RND", 0o20000),
    ("SHM_REMAP", 0o40000),
    ("SHM_EXEC", SHM_EXEC),
];
/// `SHM_RDONLY`.
pub const SHM_RDONLY: u64 = 0o10000;
/// `SHM_EXEC`.
pub const SHM_EXEC: u64 = 0o100_000;

/// Commands of `bpf`: `enum bpf_cmd` in include/uapi/linux/bpf.h.
pub const BPF_COMMANDS: &[(&str, u64)] = &[
    ("BPF_MAP_CREATE", 0),
    ("BPF_MAP_LOOKUP_ELEM", 1),
    ("BPF_MAP_UPDATE_ELEM", 2),
    ("BPF_MAP_DELETE_ELEM", 3),
    ("BPF_MAP_GET_NEXT_KEY", 4),
    ("BPF_PROG_LOAD", 5),
    ("BPF_OBJ_PIN", 6),
    ("BPF_OBJ_GET", 7),
    ("BPF_PROG_ATTACH", 8),
    ("BPF_PROG_DETACH", 9),
    ("BPF_PROG_GET_NEXT_ID", 11),
    ("BPF_MAP_GET_NEXT_ID", 12),
    ("BPF_PROG_GET_FD_BY_ID", 13),
    ("BPF_MAP_GET_FD_BY_ID", 14),
    ("BPF_OBJ_GET_INFO_BY_FD", 15),
    ("BPF_RAW_TRACEPOINT_OPEN", 17),
    ("BPF_BTF_LOAD", 18),
    ("BPF_LINK_CREATE", 28),
    ("BPF_LINK_DETACH", 34),
];

/// Kinds of namespaces: include/uapi/linux/sched.h.
pub const NAMESPACES: &[(&str, u64)] = &[
    ("CLONE_NEWTIME", 0x80),
    ("CLONE_NEWNS", 0x2_0000),
    ("CLONE_NEWCGROUP", 0x200_0000),
    ("CLONE_NEWUTS", 0x400_0000),
    ("CLONE_NEWIPC", 0x800_0000),
    ("CLONE_NEWUSER", 0x1000_0000),
    ("CLONE_NEWPID", 0x2000_0000),
    ("CLONE_NEWNET", 0x4000_0000),
];

/// Flags of `mount`: include/uapi/linux/mount.h.
pub const MOUNT_FLAGS: &[(&str, u64)] = &[
    // The kernel discards it.
    ("MS_MGC_VAL", 0),
    ("MS_RDONLY", 1),
    ("MS_NOSUID", 2),
    ("MS_NODEV", 4),
    ("MS_NOEXEC", 8),
    ("MS_SYNCHRONOUS", 16),
    ("MS_REMOUNT", 32),
    ("MS_MANDLOCK", 64),
    ("MS_DIRSYNC", 128),
    ("MS_NOSYMFOLLOW", 256),
    ("MS_NOATIME", 1 << 10),
    ("MS_NODIRATIME", 1 << 11),
    ("MS_BIND", 1 << 12),
    ("MS_MOVE", 1 << 13),
    ("MS_REC", 1 << 14),
    ("MS_SILENT", 1 << 15),
    ("MS_POSIXACL", 1 << 16),
    ("MS_UNBINDABLE", 1 << 17),
    ("MS_PRIVATE", 1 << 18),
    ("MS_SLAVE", 1 << 19),
    ("MS_SHARED", 1 << 20),
    ("MS_RELATIME", 1 << 21),
    ("MS_KERNMOUNT", 1 << 22),
    ("MS_I_VERSION", 1 << 23),
    ("MS_STRICTATIME", 1 << 24),
    ("MS_LAZYTIME", 1 << 25),
];

/// Flags of `umount2`: include/linux/fs.h.
pub const UMOUNT_FLAGS: &[(&str, u64)] = &[
    ("MNT_FORCE", 1),
    ("MNT_DETACH", 2),
    ("MNT_EXPIRE", 4),
    ("UMOUNT_NOFOLLOW", 8),
];

/// Address families: include/linux/socket.h.
const FAMILIES: &[(&str, u16)] = &[
    ("AF_UNSPEC", 0),
    ("AF_UNIX", 1),
    ("AF_LOCAL", 1),
    ("AF_INET", 2),
    ("AF_INET6", 10),
    ("AF_NETLINK", 16),
    ("AF_PACKET", 17),
    ("AF_CAN", 29),
    ("AF_TIPC", 30),
    ("AF_BLUETOOTH", 31),
    ("AF_ALG", 38),
    ("AF_VSOCK", 40),
    ("AF_XDP", 44),
];

/// Socket types: include/linux/net.h.
const SOCKET_TYPES: &[(&str, u16)] = &[
    ("SOCK_STREAM", 1),
    ("SOCK_DGRAM", 2),
    ("SOCK_RAW", 3),
    ("SOCK_RDM", 4),
    ("SOCK_SEQPACKET", 5),
    ("SOCK_DCCP", 6),
    ("SOCK_PACKET", 10),
];

/// Signals of x86: include/uapi/asm/signal.h.
const SIGNALS: &[(&str, u32)] = &[
    ("SIGHUP", 1),
    ("SIGINT", 2),
    ("SIGQUIT", 3),
    ("SIGILL", 4),
    ("SIGTRAP", 5),
    ("SIGABRT", 6),
    ("SIGBUS", 7),
    ("SIGFPE", 8),
    ("SIGKILL", 9),
    ("SIGUSR1", 10),
    ("SIGSEGV", 11),
    ("SIGUSR2", 12),
    ("SIGPIPE", 13),
    ("SIGALRM", 14),
    ("SIGTERM", 15),
    ("SIGSTKFLT", 16),
    ("SIGCHLD", 17),
    ("SIGCONT", 18),
    ("SIGSTOP", 19),
    ("SIGTSTP", 20),
    ("SIGTTIN", 21),
    ("SIGTTOU", 22),
    ("SIGURG", 23),
    ("SIGXCPU", 24),
    ("SIGXFSZ", 25),
    ("SIGVTALRM", 26),
    ("SIGPROF", 27),
    ("SIGWINCH", 28),
    ("SIGIO", 29),
    ("SIGPWR", 30),
    ("SIGSYS", 31),
    ("SIGRTMIN", 32),
];
/// The kernel's first real-time signal, strace's `SIGRTMIN` and `SIGRT_0`.
const RTMIN: u32 = 32;

/// `MAX_ERRNO`: no error has this number. It stands for one whose name is not known here.
const NO_ERRNO: i64 = 4095;

/// The number of an errno's name.
pub fn errno(name: &str) -> i64 {
    let known = ERRNOS.iter().find(|(known, _)| *known == name);
    known.map_or_else(
        || {
            let digits = name.strip_prefix("ERRNO_").unwrap_or_default();
            let number = digits.parse().ok();
            number
                .filter(|number| (1..NO_ERRNO).contains(number))
                .unwrap_or(NO_ERRNO)
        },
        |(_, number)| *number,
    )
}

/// The number of a signal's name, or a number as it stands.
pub fn signal(text: &str) -> Option<u32> {
    if let Some((_, number)) = SIGNALS.iter().find(|(name, _)| *name == text) {
        return Some(*number);
    }
    match text.strip_prefix("SIGRT_") {
        Some(above) => above.parse::<u32>().ok().and_then(|n| n.checked_add(RTMIN)),
        None => text.parse().ok(),
    }
}

/// The number of an address family.
pub fn family(text: &str) -> Option<u16> {
    let known = FAMILIES.iter().find(|(name, _)| *name == text);
    known.map_or_else(
        || number(text)?.try_into().ok(),
        |(_, number)| Some(*number),
    )
}

/// The number of a socket type, without the flags that may stand with it.
pub fn socket_type(text: &str) -> Option<u16> {
    text.split('|').find_map(|word| {
        let known = SOCKET_TYPES.iter().find(|(name, _)| *name == word);
        known.map(|(_, number)| *number)
    })
}

/// Names and numbers joined by `|`. `None` where one is not in the table.
pub fn flags(text: &str, table: &[(&str, u64)]) -> Option<u64> {
    text.split('|').try_fold(0, |all, word| {
        let known = table.iter().find(|(name, _)| *name == word);
        let bits = match known {
            Some((_, bits)) => *bits,
            None => number(word)?,
        };
        Some(all | bits)
    })
}

/// A number as C writes it: decimal, hexadecimal with `0x`, octal with `0`.
pub fn number(text: &str) -> Option<u64> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok();
    }
    match text.strip_prefix('0') {
        Some(digits) if !digits.is_empty() => u64::from_str_radix(digits, 8).ok(),
        _ => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_numbers() {
        assert_eq!(flags("O_WRONLY|O_CREAT|O_TRUNC", OPEN_FLAGS), Some(0o1101));
        assert_eq!(flags("O_RDWR|0x40000000", OPEN_FLAGS), Some(0x4000_0002));
        assert_eq!(flags("O_RDWR|O_STRANGE", OPEN_FLAGS), None);
        assert_eq!(number("0666"), Some(0o666));
        assert_eq!(number("0"), Some(0));
        assert_eq!(number("-1"), None);
        assert_eq!(socket_type("SOCK_STREAM|SOCK_CLOEXEC"), Some(1));
        assert_eq!(signal("SIGRT_2"), Some(34));
        assert_eq!(family("AF_INET6"), Some(10));
        assert_eq!((errno("ENOENT"), errno("EWHAT")), (2, 4095));
    }
}
