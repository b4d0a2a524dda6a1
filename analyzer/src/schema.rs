//! What rules may ask of an event: every field, its type, and the kinds of event that carry it.
//!
//! Rules are checked against this table when they are loaded, so a rule cannot wait forever for a
//! field that no such event has.

use pyti_trace::event::Kind;

/// Type of a field's value; it decides which tests make sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// A text.
    Text,
    /// An absolute path.
    Path,
    /// An integer.
    Int,
    /// A result: 0 or positive, or a negative errno.
    Result,
    /// True or false.
    Bool,
    /// Bytes.
    Bytes,
    /// A list of texts.
    TextList,
    /// An IP address.
    Addr,
}

impl Type {
    /// The type as messages name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Path => "path",
            Self::Int => "integer",
            Self::Result => "result",
            Self::Bool => "truth value",
            Self::Bytes => "bytes",
            Self::TextList => "list of texts",
            Self::Addr => "IP address",
        }
    }
}

/// A field that rules may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "FIELDS documents each, where rule authors read it too"
)]
pub enum Field {
    Comm,
    Uid,
    Tree,
    Result,
    Pid,
    ProcessExe,
    ProcessName,
    ProcessArgv,
    AncestorExe,
    AncestorName,
    AncestorArgv,
    File,
    BornHere,
    Path,
    Asked,
    Target,
    Flags,
    ForWriting,
    Mode,
    Created,
    Bytes,
    Dev,
    Inode,
    Nlink,
    Data,
    Argv,
    Env,
    Cwd,
    OtherRelated,
    ExitCode,
    Signal,
    FdOld,
    FdNew,
    AddrFamily,
    Socktype,
    Addr,
    Port,
}

/// What the schema says of a field.
#[derive(Debug, Clone, Copy)]
pub struct FieldInfo {
    /// The field.
    pub field: Field,
    /// Its name in rules.
    pub name: &'static str,
    /// Its type.
    pub ty: Type,
    /// The kinds that carry it.
    pub kinds: &'static [Kind],
    /// What it means.
    pub doc: &'static str,
}

use Kind::{
    Accept, Bind, Chmod, Chown, Connect, Creds, Dup, Exec, Exit, Fork, Link, Listen, MemfdCreate,
    Mkdir, MmapExec, Open, Ptrace, Rename, Rmdir, Send, Signal, Socket, Symlink, Tamper, Truncate,
    Unlink, Write,
};

/// Every kind of event.
pub const KINDS: [Kind; 27] = [
    Open,
    Write,
    Rename,
    Unlink,
    Rmdir,
    Mkdir,
    Link,
    Symlink,
    Chmod,
    Chown,
    Truncate,
    Exec,
    Fork,
    Exit,
    Socket,
    Connect,
    Bind,
    Listen,
    Accept,
    Send,
    MemfdCreate,
    Dup,
    Creds,
    Ptrace,
    Signal,
    MmapExec,
    Tamper,
];

const FILES: &[Kind] = &[
    Open,
    Write,
    Rename,
    Unlink,
    Rmdir,
    Mkdir,
    Link,
    Symlink,
    Chmod,
    Chown,
    Truncate,
    Exec,
    MmapExec,
    MemfdCreate,
    Connect,
    Bind,
    Send,
    Tamper,
];
const NET: &[Kind] = &[Socket, Connect, Bind, Listen, Accept, Send];
const NET_ADDR: &[Kind] = &[Connect, Bind, Listen, Accept, Send];
const INODES: &[Kind] = &[Open, Write, Chmod, Exec, MmapExec];

/// The name of a kind, as rules, reports and the store write it.
#[must_use]
pub fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Open => "open",
        Write => "write",
        Rename => "rename",
        Unlink => "unlink",
        Rmdir => "rmdir",
        Mkdir => "mkdir",
        Link => "link",
        Symlink => "symlink",
        Chmod => "chmod",
        Chown => "chown",
        Truncate => "truncate",
        Exec => "exec",
        Fork => "fork",
        Exit => "exit",
        Socket => "socket",
        Connect => "connect",
        Bind => "bind",
        Listen => "listen",
        Accept => "accept",
        Send => "send",
        MemfdCreate => "memfd_create",
        Dup => "dup",
        Creds => "creds",
        Ptrace => "ptrace",
        Signal => "signal",
        MmapExec => "mmap_exec",
        Tamper => "tamper",
    }
}

/// The kind of this name.
#[must_use]
pub fn kind_named(name: &str) -> Option<Kind> {
    KINDS.into_iter().find(|kind| kind_name(*kind) == name)
}

/// The field of this name.
#[must_use]
pub fn field_named(name: &str) -> Option<&'static FieldInfo> {
    FIELDS.iter().find(|info| info.name == name)
}

/// The names of the fields that all of `kinds` carry.
#[must_use]
pub fn fields_of(kinds: &[Kind]) -> Vec<&'static str> {
    FIELDS
        .iter()
        .filter(|info| kinds.iter().all(|kind| info.kinds.contains(kind)))
        .map(|info| info.name)
        .collect()
}

macro_rules! fields {
    ($($field:ident $name:literal $ty:ident $kinds:expr, $doc:literal;)*) => {
        /// The table of all fields.
        pub const FIELDS: &[FieldInfo] = &[$(FieldInfo {
            field: Field::$field,
            name: $name,
            ty: Type::$ty,
            kinds: $kinds,
            doc: $doc,
        }),*];
    };
}

fields! {
    Comm "comm" Text &KINDS, "name of the doing thread";
    Uid "uid" Int &KINDS, "effective user id";
    Tree "tree" Int &KINDS, "the process tree the doer belongs to; 1 is the stage's first";
    Result "result" Result &KINDS, "`ok`, `failed`, a number, or an errno such as `ENOENT`";
    Pid "process.pid" Int &KINDS, "process id in the machine's first PID namespace";
    ProcessExe "process.exe" Path &KINDS, "program the doing process runs (on exec: before it)";
    ProcessName "process.name" Text &KINDS, "last component of process.exe";
    ProcessArgv "process.argv" TextList &KINDS, "arguments of the doing process";
    AncestorExe "process.ancestor.exe" Path &KINDS, "program of any ancestor of the doer";
    AncestorName "process.ancestor.name" Text &KINDS, "last component of any ancestor's program";
    AncestorArgv "process.ancestor.argv" TextList &KINDS, "arguments of any ancestor";
    File "file" Path FILES, "path, or where the call failed before it was resolved, asked made absolute";
    BornHere "born_here" Bool FILES, "the file, or a directory above it, was made earlier in this stage";
    Path "path" Path FILES, "resolved path of the object; the program on exec; of a unix socket";
    Asked "asked" Text FILES, "path as the caller gave it";
    Target "target" Text &[Rename, Link, Symlink, Exec, Tamper], "new path; text of a symlink; interpreter on exec; what is mounted";
    Flags "flags" Int &[Open, MmapExec, Tamper, MemfdCreate], "open flags, protection, or command, by kind";
    ForWriting "for_writing" Bool &[Open], "opened for writing";
    Mode "mode" Int &[Open, Mkdir, Chmod], "file mode";
    Created "created" Bool &[Open], "the open made the file";
    Bytes "bytes" Int &[Write, Send], "bytes written or sent";
    Dev "dev" Int INODES, "device number";
    Inode "inode" Int INODES, "inode number";
    Nlink "nlink" Int &[Exec], "link count of the program; 0: it has no name any more";
    Data "data" Bytes &[Write, Send], "first bytes written or sent";
    Argv "argv" TextList &[Exec], "arguments";
    Env "env" TextList &[Exec], "environment, NAME=value";
    Cwd "cwd" Path &[Exec], "working directory";
    OtherRelated "other.related" Bool &[Ptrace, Kind::Signal], "the target is the doer itself or one of its descendants";
    ExitCode "exit_code" Int &[Exit], "exit status";
    Signal "signal" Int &[Exit, Kind::Signal], "signal number";
    FdOld "fd.old" Int &[Dup], "file descriptor that was duplicated";
    FdNew "fd.new" Int &[Dup], "file descriptor that it was duplicated onto";
    AddrFamily "family" Int NET, "address family: 1 unix, 2 inet, 10 inet6, 16 netlink, 17 packet";
    Socktype "socktype" Int NET, "socket type: 1 stream, 2 datagram, 3 raw";
    Addr "addr" Addr NET_ADDR, "IP address";
    Port "port" Int NET_ADDR, "port";
}

impl Field {
    /// The table's row of this field.
    #[must_use]
    pub fn info(self) -> &'static FieldInfo {
        // The test below proves that the table has every field, in the order of the enumeration.
        &FIELDS[self as usize]
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
    ERRNOS
        .iter()
        .find(|(_, number)| *number == -result)
        .map_or_else(
            || format!("errno {}", -result),
            |(name, _)| (*name).to_owned(),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enumeration() {
        for (index, info) in FIELDS.iter().enumerate() {
            assert_eq!(info.field as usize, index, "{}", info.name);
            assert_eq!(info.field.info().name, info.name);
        }
        assert_eq!(Field::Port as usize + 1, FIELDS.len());
    }

    #[test]
    fn kind_names_are_those_of_the_event() {
        for kind in KINDS {
            let json = serde_json::to_value(kind).unwrap();
            assert_eq!(json, kind_name(kind));
            assert_eq!(kind_named(kind_name(kind)), Some(kind));
        }
    }
}
