//! What a field of an event holds, when a rule asks.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use pyti_trace::event::{Event, Incomplete, Kind, ProcessKey};

use super::born::born;
use super::changed::changed;
use super::credentials::{Unexplained, unexplained};
use super::descriptors::Descriptors;
use super::exchange::{Exchanges, turned};
use super::executed::executed;
use super::query::query;
use super::terminal::terminals;
use crate::schema::Field;
use crate::tree::{Image, Tree, base_name};

/// A field's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// A text, and whether it is whole.
    Text(Cow<'a, str>, bool),
    /// One name of an object that may have others: a test that holds for it is true, and of one
    /// that does not nothing is known.
    OneName(Cow<'a, str>),
    /// An integer.
    Int(i64),
    /// A truth value.
    Bool(bool),
    /// First bytes, and whether they are all.
    Bytes(&'a [u8], bool),
    /// A list of texts, and whether it is whole.
    List(&'a [String], bool),
    /// An IP address.
    Addr(IpAddr),
    /// Values of several processes; a test holds where it holds for one.
    Many(Vec<Value<'a>>),
    /// The event has no such thing: every test of it is false.
    Absent,
    /// It could not be read: no test of it is true or false.
    Unknown,
}

/// A stage's events in the order of time, with what is derived from all of them.
#[derive(Debug)]
pub struct View<'a> {
    /// The events.
    pub events: &'a [Event],
    /// Their processes.
    pub tree: Tree,
    /// Those that have a second number.
    pub(super) exchanges: Exchanges,
    /// By number: see [`born`].
    born: Vec<Option<bool>>,
    pub(super) descriptors: Descriptors,
    /// By place of a duplication: see [`terminals`].
    pub(super) terminals: HashMap<usize, bool>,
    /// By event: see [`unexplained`].
    unexplained: Vec<Unexplained>,
    /// Places of events: see [`executed`].
    executed: HashSet<usize>,
}

impl<'a> View<'a> {
    /// Derives what rules may ask.
    #[must_use]
    pub fn new(events: &'a [Event]) -> Self {
        let exchanges = Exchanges::new(events);
        let tree = Tree::new(events);
        Self {
            events,
            born: born(events, &exchanges, &tree),
            tree,
            exchanges,
            descriptors: Descriptors::new(events),
            terminals: terminals(events),
            unexplained: unexplained(events),
            executed: executed(events),
        }
    }

    /// The value of `field` in the event of this number: its place, or its second one as
    /// [`super::exchange`] has it.
    #[must_use]
    pub fn value(&self, number: usize, field: Field) -> Value<'_> {
        let index = self.place(number);
        let Some(event) = self.events.get(index) else {
            return Value::Unknown;
        };
        let field = if number == index {
            Some(field)
        } else {
            turned(field)
        };
        let Some(field) = field else {
            return Value::Unknown;
        };
        let gone = |bit| event.incomplete.contains(bit);
        match field {
            Field::Comm => comm(event),
            Field::Uid if gone(Incomplete::UID_UNKNOWN) => Value::Unknown,
            Field::Uid => Value::Int(event.uid.into()),
            Field::Tree => Value::Int(event.tree.into()),
            Field::Result => event.outcome().map_or(Value::Unknown, Value::Int),
            Field::Pid => Value::Int(event.process.tgid.into()),
            Field::ProcessExe => self.of_image(event, exe),
            Field::ProcessName => {
                let name = self.tree.doer(event).and_then(Image::name);
                name.map_or_else(|| comm(event), |name| Value::Text(name.into(), true))
            }
            Field::ProcessArgv => self.of_image(event, argv),
            Field::AncestorExe => self.of_ancestors(event, exe),
            Field::AncestorName => self.of_ancestors(event, |image| text(image.name())),
            Field::AncestorArgv => self.of_ancestors(event, argv),
            Field::File => self.file(event),
            Field::BornHere => match self.born.get(number).copied().flatten() {
                Some(born) => Value::Bool(born),
                None => Value::Unknown,
            },
            Field::CredsUnexplained => match self.unexplained.get(index) {
                Some(Unexplained::Yes) => Value::Bool(true),
                Some(Unexplained::No) => Value::Bool(false),
                Some(Unexplained::NotOnRecord) => Value::Absent,
                Some(Unexplained::Unknown) | None => Value::Unknown,
            },
            Field::OldUid
            | Field::OldEuid
            | Field::OldSuid
            | Field::OldGid
            | Field::OldEgid
            | Field::OldSgid
            | Field::OldPermitted
            | Field::OldEffective
            | Field::NewUid
            | Field::NewEuid
            | Field::NewSuid
            | Field::NewGid
            | Field::NewEgid
            | Field::NewSgid
            | Field::NewPermitted
            | Field::NewEffective => changed(event, field),
            Field::Executed => Value::Bool(self.executed.contains(&index)),
            Field::Path => path_of(event),
            Field::Asked => match &event.asked {
                Some(asked) => Value::Text(asked.into(), !gone(Incomplete::ASKED_TRUNCATED)),
                None if gone(Incomplete::ASKED_UNREADABLE) => Value::Unknown,
                None => Value::Absent,
            },
            Field::Target => match &event.target {
                Some(target)
                    if gone(Incomplete::TARGET_UNRESOLVED) && !is_missing_interpreter(event) =>
                {
                    Value::OneName(target.into())
                }
                Some(target) => Value::Text(target.into(), !gone(Incomplete::TARGET_TRUNCATED)),
                None if gone(Incomplete::TARGET_UNREADABLE) => Value::Unknown,
                None if event.kind == Kind::Exec => Value::Absent,
                None => missing(event),
            },
            Field::Flags => int(event, event.flags.map(|flags| flags as i64)),
            // O_ACCMODE: 0 is O_RDONLY, include/uapi/asm-generic/fcntl.h.
            Field::ForWriting => match event.flags {
                Some(flags) => Value::Bool(flags & 3 != 0),
                None => missing(event),
            },
            Field::Mode => event
                .mode
                .map_or(Value::Absent, |mode| Value::Int(mode.into())),
            Field::Created => match event.created {
                Some(created) => Value::Bool(created),
                None => missing(event),
            },
            Field::Bytes => int(event, event.bytes.map(|bytes| bytes as i64)),
            Field::Dev | Field::Inode if is_socket(event) || is_anonymous(event) => Value::Absent,
            Field::Dev => int(event, event.dev.map(|dev| dev as i64)),
            Field::Inode => int(event, event.inode.map(|inode| inode as i64)),
            Field::Nlink => int(event, event.nlink.map(i64::from)),
            Field::Data => match &event.data {
                Some(data) => {
                    let all = event.bytes.is_some_and(|bytes| bytes <= data.len() as u64);
                    Value::Bytes(data, all)
                }
                None if gone(Incomplete::DATA_INCOMPLETE) => Value::Unknown,
                None => Value::Absent,
            },
            Field::Argv => list(
                event,
                event.argv.as_deref(),
                Incomplete::ARGV_TRUNCATED,
                Incomplete::ARGV_UNREADABLE,
            ),
            Field::Env => list(
                event,
                event.env.as_deref(),
                Incomplete::ENV_TRUNCATED,
                Incomplete::ENV_UNREADABLE,
            ),
            Field::Cwd => match &event.cwd {
                Some(cwd) => Value::Text(cwd.into(), !gone(Incomplete::CWD_INCOMPLETE)),
                None => missing(event),
            },
            Field::OtherRelated => match event.other {
                Some(other) => match self.tree.descends(other, event.process) {
                    Some(descends) => Value::Bool(descends),
                    None => Value::Unknown,
                },
                None => missing(event),
            },
            Field::ExitCode => event
                .exit_code
                .map_or(Value::Absent, |code| Value::Int(code.into())),
            Field::Signal => event
                .signal
                .map_or(Value::Absent, |signal| Value::Int(signal.into())),
            Field::FdOld => int(event, event.fds.map(|(old, _)| old.into())),
            Field::FdNew => int(event, event.fds.map(|(_, new)| new.into())),
            Field::Terminal => self.terminal(index, event),
            Field::AddrFamily | Field::Socktype if is_no_socket(event) => Value::Absent,
            Field::AddrFamily => int(event, event.family.map(i64::from)),
            Field::Socktype => int(event, event.socktype.map(i64::from)),
            Field::Addr => match &event.addr {
                Some(addr) => addr.parse().map_or(Value::Unknown, Value::Addr),
                None => no_address(event),
            },
            Field::Port => match event.port {
                Some(port) => Value::Int(port.into()),
                None => no_address(event),
            },
            Field::Script => self.script(event),
            Field::Downloads => self.downloads(event),
            Field::Query => query(event),
            Field::StdinFamily => self.standard(index, 0, Field::AddrFamily),
            Field::StdoutFamily => self.standard(index, 1, Field::AddrFamily),
            Field::StdinFile => self.standard(index, 0, Field::StdinFile),
            Field::StdoutFile => self.standard(index, 1, Field::StdoutFile),
        }
    }

    fn of_image(&self, event: &Event, get: impl Fn(&Image) -> Value<'_>) -> Value<'_> {
        self.tree.doer(event).map_or(Value::Unknown, get)
    }

    fn of_ancestors(&self, event: &Event, get: impl Fn(&Image) -> Value<'_>) -> Value<'_> {
        let rest = self.tree.is_deep(event.process).then_some(Value::Unknown);
        Value::Many(
            self.tree
                .ancestors(event.process)
                .filter_map(|process| self.tree.image(process.key, event.began_ns()))
                .map(get)
                .chain(rest)
                .collect(),
        )
    }

    /// [`Field::File`]. A relative path of a failed call is taken from where the process was at its
    /// exec, where the event does not say better: it may have moved since, but most do not, and
    /// nobody recorded it.
    fn file<'s>(&'s self, event: &'s Event) -> Value<'s> {
        if event.path.is_some() {
            return path_of(event);
        }
        asked_for(event, &self.tree).unwrap_or_else(|| path_of(event))
    }

    /// `name` as the event's process means it.
    pub(super) fn absolute<'s>(&self, event: &Event, name: &str, whole: bool) -> Value<'s> {
        absolute(event, name, whole, &self.tree)
    }

    /// The doer's name when the event began, for messages.
    #[must_use]
    pub fn doer(&self, event: &Event) -> String {
        self.tree.name(event.process, event.began_ns())
    }

    /// The process of the event of this number.
    #[must_use]
    pub fn process(&self, number: usize) -> ProcessKey {
        self.events
            .get(self.place(number))
            .map(|event| event.process)
            .unwrap_or_default()
    }
}

/// `S_IFMT`, `S_IFSOCK`: include/uapi/linux/stat.h.
const S_IFMT: u32 = 0o170_000;
const S_IFSOCK: u32 = 0o140_000;

/// A socket was duplicated.
fn is_socket(event: &Event) -> bool {
    event.kind == Kind::Dup
        && (event.family.is_some() || event.mode.is_some_and(|mode| mode & S_IFMT == S_IFSOCK))
}

/// Something else than a socket was duplicated.
fn is_no_socket(event: &Event) -> bool {
    event.kind == Kind::Dup && event.mode.is_some_and(|mode| mode & S_IFMT != S_IFSOCK)
}

/// `path` without `.`, `..` and doubled slashes, by its text alone.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// What an event's process asked for, as it means it.
pub(super) fn asked_for<'s>(event: &Event, tree: &Tree) -> Option<Value<'s>> {
    let asked = event.asked.as_deref()?;
    let whole = !event.incomplete.contains(Incomplete::ASKED_TRUNCATED);
    Some(absolute(event, asked, whole, tree))
}

fn absolute<'s>(event: &Event, name: &str, whole: bool, tree: &Tree) -> Value<'s> {
    if name.starts_with('/') {
        return Value::Text(normal(name).into(), whole);
    }
    let lost = Incomplete::PATH_UNRESOLVED | Incomplete::CWD_INCOMPLETE;
    let adrift = event.incomplete.intersects(lost);
    let cwd = event.cwd.as_deref().or_else(|| {
        if adrift {
            return None;
        }
        tree.doer(event).and_then(|image| image.cwd.as_deref())
    });
    match cwd {
        Some(cwd) => Value::Text(normal(&format!("{cwd}/{name}")).into(), whole),
        // Somewhere it ends like this.
        None => Value::OneName(name.to_owned().into()),
    }
}

/// The target is an interpreter that was not executed, by the whole name that its program has for it: it is
/// taken for that, as a [`Field::File`] is for what was asked for.
fn is_missing_interpreter(event: &Event) -> bool {
    event.kind == Kind::Exec
        && event.outcome().is_some_and(|result| result < 0)
        && event
            .target
            .as_deref()
            .is_some_and(|name| name.starts_with('/'))
}

fn text(text: Option<&str>) -> Value<'_> {
    text.map_or(Value::Unknown, |text| Value::Text(text.into(), true))
}

/// A mere name is no reason to take a program for one of the system's, nor for another.
fn exe(image: &Image) -> Value<'_> {
    text(image.exe.as_deref().filter(|_| image.exe_sure))
}

fn argv(image: &Image) -> Value<'_> {
    match &image.argv {
        Some(argv) => Value::List(argv, image.argv_whole),
        None => Value::Unknown,
    }
}

fn comm(event: &Event) -> Value<'_> {
    if event.incomplete.contains(Incomplete::COMM_UNKNOWN) {
        return Value::Unknown;
    }
    Value::Text(event.comm.as_str().into(), true)
}

/// Memory that is made executable and belongs to no file.
fn is_anonymous(event: &Event) -> bool {
    event.kind == Kind::MmapExec
        && event.path.is_none()
        && event.inode.is_none()
        && !event.incomplete.contains(Incomplete::PATH_UNREADABLE)
}

fn path_of(event: &Event) -> Value<'_> {
    match &event.path {
        Some(path) if event.incomplete.contains(Incomplete::PATH_UNRESOLVED) => {
            Value::OneName(path.into())
        }
        Some(path) => Value::Text(
            path.into(),
            !event
                .incomplete
                .intersects(Incomplete::PATH_TRUNCATED | Incomplete::PATH_RACED),
        ),
        None if event.incomplete.contains(Incomplete::PATH_UNREADABLE) => Value::Unknown,
        // Sockets that are not unix ones have no path; a failed call never came to resolve one.
        None => match event.kind {
            Kind::Connect | Kind::Bind | Kind::Send | Kind::Tamper | Kind::MmapExec => {
                Value::Absent
            }
            _ => missing(event),
        },
    }
}

/// A field that every successful event of its kind has.
pub(super) fn missing(event: &Event) -> Value<'_> {
    match event.outcome() {
        Some(..0) => Value::Absent,
        Some(_) | None => Value::Unknown,
    }
}

/// An address is due on internet sockets only.
fn no_address(event: &Event) -> Value<'_> {
    // A socket may be duplicated before it is connected.
    if event.kind == Kind::Dup {
        return Value::Absent;
    }
    match event.family {
        Some(2 | 10) | None => Value::Unknown,
        Some(_) => Value::Absent,
    }
}

fn int(event: &Event, value: Option<i64>) -> Value<'_> {
    value.map_or_else(|| missing(event), Value::Int)
}

fn list<'a>(
    event: &'a Event,
    list: Option<&'a [String]>,
    cut: Incomplete,
    unreadable: Incomplete,
) -> Value<'a> {
    match list {
        Some(list) => Value::List(list, !event.incomplete.contains(cut)),
        None if event.incomplete.contains(unreadable) => Value::Unknown,
        None => missing(event),
    }
}

/// A value as a reader would write it.
#[must_use]
pub fn show(value: &Value<'_>) -> Option<String> {
    Some(match value {
        Value::Text(text, true) | Value::OneName(text) => text.to_string(),
        Value::Text(text, false) => format!("{text}…"),
        Value::Int(value) => value.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Bytes(bytes, _) => String::from_utf8_lossy(bytes).into_owned(),
        Value::List(list, whole) => {
            let mut line = list.join(" ");
            if !whole {
                line.push('…');
            }
            line
        }
        Value::Addr(addr) => addr.to_string(),
        Value::Many(values) => return values.iter().find_map(show),
        Value::Absent | Value::Unknown => return None,
    })
}

/// The last component of a path value, used by the `name` test.
#[must_use]
pub fn last_component(path: &str) -> &str {
    base_name(path)
}
