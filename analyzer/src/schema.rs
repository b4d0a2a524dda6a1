//! What rules may ask of an event: every field, its type, and the kinds of event that carry it.
//!
//! Rules are checked against this table when they are loaded, so a rule cannot wait forever for a
//! field that no such event has.

use pyti_trace::event::Kind;
pub use pyti_trace::names::{ERRNOS, kind_name, result_name};

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
    CredsUnexplained,
    OldUid,
    OldEuid,
    OldSuid,
    OldGid,
    OldEgid,
    OldSgid,
    OldPermitted,
    OldEffective,
    NewUid,
    NewEuid,
    NewSuid,
    NewGid,
    NewEgid,
    NewSgid,
    NewPermitted,
    NewEffective,
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
    Executed,
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
    Terminal,
    AddrFamily,
    Socktype,
    Addr,
    Port,
    Script,
    Downloads,
    Query,
    StdinFamily,
    StdinFile,
    StdoutFamily,
    StdoutFile,
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
const NET: &[Kind] = &[Socket, Connect, Bind, Listen, Accept, Send, Dup];
const NET_ADDR: &[Kind] = &[Connect, Bind, Listen, Accept, Send, Dup];
const INODES: &[Kind] = &[Open, Write, Chmod, Exec, MmapExec, Dup];

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
    CredsUnexplained "creds.unexplained" Bool &KINDS, "the doer has a user id or capabilities that no change on record gave to it or to whom it descends from";
    OldUid "creds.old.uid" Int &[Creds], "real user id before the change";
    OldEuid "creds.old.euid" Int &[Creds], "effective user id before the change";
    OldSuid "creds.old.suid" Int &[Creds], "saved user id before the change";
    OldGid "creds.old.gid" Int &[Creds], "real group id before the change";
    OldEgid "creds.old.egid" Int &[Creds], "effective group id before the change";
    OldSgid "creds.old.sgid" Int &[Creds], "saved group id before the change";
    OldPermitted "creds.old.permitted" Int &[Creds], "permitted capabilities before the change";
    OldEffective "creds.old.effective" Int &[Creds], "effective capabilities before the change";
    NewUid "creds.new.uid" Int &[Creds], "real user id after the change";
    NewEuid "creds.new.euid" Int &[Creds], "effective user id after the change";
    NewSuid "creds.new.suid" Int &[Creds], "saved user id after the change";
    NewGid "creds.new.gid" Int &[Creds], "real group id after the change";
    NewEgid "creds.new.egid" Int &[Creds], "effective group id after the change";
    NewSgid "creds.new.sgid" Int &[Creds], "saved group id after the change";
    NewPermitted "creds.new.permitted" Int &[Creds], "permitted capabilities after the change";
    NewEffective "creds.new.effective" Int &[Creds], "effective capabilities after the change";
    Tree "tree" Int &KINDS, "the process tree the doer belongs to; 1 is the stage's first";
    Result "result" Result &KINDS, "`ok`, `failed`, a number, or an errno such as `ENOENT`; unknown where nothing tells how a call ended";
    Pid "process.pid" Int &KINDS, "process id in the machine's first PID namespace";
    ProcessExe "process.exe" Path &KINDS, "program the doing process runs (on exec: before it; on write: when the file was first written to)";
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
    Flags "flags" Int &[Open, Rename, MmapExec, Tamper, MemfdCreate], "open flags, flags of a rename (with 2 two names change places, and it is judged from either), protection, or command, by kind";
    Executed "executed" Bool &[MmapExec], "the program that the same thread executes next: mapped by the kernel, loaded by nobody";
    ForWriting "for_writing" Bool &[Open], "opened for writing";
    Mode "mode" Int &[Open, Mkdir, Chmod, Dup], "file mode; on dup with the file's type";
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
    Terminal "terminal" Bool &[Dup], "it is a terminal that was duplicated, such as /dev/pts/3, /dev/tty or /dev/console";
    AddrFamily "family" Int NET, "address family: 1 unix, 2 inet, 10 inet6, 16 netlink, 17 packet";
    Socktype "socktype" Int NET, "socket type: 1 stream, 2 datagram, 3 raw";
    Addr "addr" Addr NET_ADDR, "IP address";
    Port "port" Int NET_ADDR, "port";
    Script "script" Text &[Exec], "file that an interpreter (or ld.so) is told to run, made absolute; `-`: its standard input";
    Downloads "downloads" Path &[Exec], "any file that curl or wget is told to write, made absolute";
    Query "query" Text &[Send], "host name that a message to a name server asks for, in lower case";
    StdinFamily "stdin.family" Int &[Exec], "address family of the socket that was duplicated onto descriptor 0";
    StdinFile "stdin.file" Text &[Exec], "device:inode of the pipe or file that was duplicated onto descriptor 0";
    StdoutFamily "stdout.family" Int &[Exec], "address family of the socket that was duplicated onto descriptor 1";
    StdoutFile "stdout.file" Text &[Exec], "device:inode of the pipe or file that was duplicated onto descriptor 1";
}

impl Field {
    /// The table's row of this field.
    #[must_use]
    pub fn info(self) -> &'static FieldInfo {
        // The test below proves that the table has every field, in the order of the enumeration.
        &FIELDS[self as usize]
    }
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
        assert_eq!(Field::StdoutFile as usize + 1, FIELDS.len());
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
