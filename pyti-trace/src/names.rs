//! Names of what is numbered: kinds, families, errors.

use crate::event::{Family, Kind};

/// The name of a kind, as rules, reports and the store write it.
#[must_use]
pub fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Open => "open",
        Kind::Write => "write",
        Kind::Rename => "rename",
        Kind::Unlink => "unlink",
        Kind::Rmdir => "rmdir",
        Kind::Mkdir => "mkdir",
        Kind::Link => "link",
        Kind::Symlink => "symlink",
        Kind::Chmod => "chmod",
        Kind::Chown => "chown",
        Kind::Truncate => "truncate",
        Kind::Exec => "exec",
        Kind::Fork => "fork",
        Kind::Exit => "exit",
        Kind::Socket => "socket",
        Kind::Connect => "connect",
        Kind::Bind => "bind",
        Kind::Listen => "listen",
        Kind::Accept => "accept",
        Kind::Send => "send",
        Kind::MemfdCreate => "memfd_create",
        Kind::Dup => "dup",
        Kind::Creds => "creds",
        Kind::Ptrace => "ptrace",
        Kind::Signal => "signal",
        Kind::MmapExec => "mmap_exec",
        Kind::Tamper => "tamper",
    }
}

/// Name of a family, as reports write it.
#[must_use]
pub fn family_name(family: Family) -> &'static str {
    match family {
        Family::File => "file",
        Family::Process => "process",
        Family::Privilege => "privilege",
        Family::Memory => "memory",
        Family::Network => "network",
        Family::Tampering => "tampering",
    }
}

/// Errno values by name, as x86-64 Linux numbers them: `include/uapi/asm-generic/errno*.h`.
pub const ERRNOS: &[(&str, i64)] = &[
    ("EPERM", 1),
    ("ENOENT", 2),
    ("ESRCH", 3),
    ("EINTR", 4),
    ("EIO", 5),
    ("ENXIO", 6),
    ("E2BIG", 7),
    ("ENOEXEC", 8),
    ("EBADF", 9),
    ("ECHILD", 10),
    ("EAGAIN", 11),
    ("ENOMEM", 12),
    ("EACCES", 13),
    ("EFAULT", 14),
    ("ENOTBLK", 15),
    ("EBUSY", 16),
    ("EEXIST", 17),
    ("EXDEV", 18),
    ("ENODEV", 19),
    ("ENOTDIR", 20),
    ("EISDIR", 21),
    ("EINVAL", 22),
    ("ENFILE", 23),
    ("EMFILE", 24),
    ("ENOTTY", 25),
    ("ETXTBSY", 26),
    ("EFBIG", 27),
    ("ENOSPC", 28),
    ("ESPIPE", 29),
    ("EROFS", 30),
    ("EMLINK", 31),
    ("EPIPE", 32),
    ("EDOM", 33),
    ("ERANGE", 34),
    ("EDEADLK", 35),
    ("ENAMETOOLONG", 36),
    ("ENOLCK", 37),
    ("ENOSYS", 38),
    ("ENOTEMPTY", 39),
    ("ELOOP", 40),
    ("ENOMSG", 42),
    ("EIDRM", 43),
    ("ENODATA", 61),
    ("ETIME", 62),
    ("EPROTO", 71),
    ("EBADMSG", 74),
    ("EOVERFLOW", 75),
    ("EUSERS", 87),
    ("ENOTSOCK", 88),
    ("EDESTADDRREQ", 89),
    ("EMSGSIZE", 90),
    ("EPROTOTYPE", 91),
    ("ENOPROTOOPT", 92),
    ("EPROTONOSUPPORT", 93),
    ("ESOCKTNOSUPPORT", 94),
    ("EOPNOTSUPP", 95),
    ("EPFNOSUPPORT", 96),
    ("EAFNOSUPPORT", 97),
    ("EADDRINUSE", 98),
    ("EADDRNOTAVAIL", 99),
    ("ENETDOWN", 100),
    ("ENETUNREACH", 101),
    ("ENETRESET", 102),
    ("ECONNABORTED", 103),
    ("ECONNRESET", 104),
    ("ENOBUFS", 105),
    ("EISCONN", 106),
    ("ENOTCONN", 107),
    ("ESHUTDOWN", 108),
    ("ETOOMANYREFS", 109),
    ("ETIMEDOUT", 110),
    ("ECONNREFUSED", 111),
    ("EHOSTDOWN", 112),
    ("EHOSTUNREACH", 113),
    ("EALREADY", 114),
    ("EINPROGRESS", 115),
    ("ESTALE", 116),
    ("EDQUOT", 122),
    ("ENOMEDIUM", 123),
    ("EMEDIUMTYPE", 124),
    ("ECANCELED", 125),
    ("ENOKEY", 126),
    ("EKEYEXPIRED", 127),
    ("EKEYREVOKED", 128),
    ("EKEYREJECTED", 129),
    ("EOWNERDEAD", 130),
    ("ENOTRECOVERABLE", 131),
    ("ERFKILL", 132),
    ("EHWPOISON", 133),
];

/// `ok`, or the errno's name where it has one.
#[must_use]
pub fn result_name(result: i64) -> String {
    if result >= 0 {
        return "ok".to_owned();
    }
    // The result may be any number: a record is not to be trusted.
    let errno = result.unsigned_abs();
    ERRNOS
        .iter()
        .find(|(_, number)| number.unsigned_abs() == errno)
        .map_or_else(|| format!("errno {errno}"), |(name, _)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_may_be_any_number() {
        assert_eq!(result_name(0), "ok");
        assert_eq!(result_name(-13), "EACCES");
        assert_eq!(result_name(-4000), "errno 4000");
        assert_eq!(result_name(i64::MIN), "errno 9223372036854775808");
    }
}
