//! Traces written by hand: events as the kernel would record them, in short.
//!
//! ```yaml
//! - case: a setup script reads a private key
//!   events:
//!     - {pid: 1, exec: [/usr/bin/python3.13, -m, pip, install, x]}
//!     - {pid: 2, exec: [/usr/bin/python3.13, setup.py, egg_info]}
//!     - {open: ~/.ssh/id_rsa}
//!     - {open: ~/.netrc, result: ENOENT}
//! ```
//!
//! An event is a mapping that has its kind as a key, with the main object as its value: a path; the
//! arguments of exec (the program is the first, or `path`; a failed one that has a `target` did not get that as
//! its interpreter); `[from, to]` of rename, link and symlink, which
//! change places where `flags` of a rename is 2;
//! `address:port` of network kinds; `[old, new]` of dup; the exit status of exit; the other process
//! of ptrace and signal. What dup duplicates is a pipe of its own, unless `inode` says which, `mode`
//! gives it another type, or `family` makes it a socket. `asks` of a send is the host name that a name server is asked for. What
//! creds changes stands in a mapping, by the names of the fields: `{old.uid: 1000, new.uid: 0}`.
//! Further keys are the event's other fields. `pid` stays as in the event before; a new one is forked
//! from `parent` (1 where it is missing). Events are a millisecond apart, unless `after` says
//! otherwise; one that took time, as a write does until its file is closed, began `since` before.
//!
//! A case may name the `stage` that it is of: then only rules for that stage judge it.

use std::collections::{BTreeMap, HashMap};

use pyti_trace::dns;
use pyti_trace::event::{Event, Incomplete, Kind, ProcessKey};

use super::changed;
use super::condition::Vars;
use super::error::{Place, RuleError, suggestion};
use super::operators::{bytes, expand};
use super::rule::{Rule, duration};
use super::yaml::{Entry, Node, Value};
use crate::schema::{ERRNOS, kind_name, kind_named};

/// One case of a trace file.
#[derive(Debug)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// The stage that it is of, as rules name it, and where that stands; `None`: all rules judge it.
    pub stage: Option<(String, Place)>,
    /// Its events.
    pub events: Vec<Event>,
}

impl Case {
    /// The rule judges it.
    #[must_use]
    pub fn is_judged_by(&self, rule: &Rule) -> bool {
        self.stage
            .as_ref()
            .is_none_or(|(stage, _)| rule.is_for(stage))
    }
}

const KEYS: &[&str] = &[
    "pid",
    "parent",
    "after",
    "since",
    "path",
    "asked",
    "result",
    "created",
    "writes",
    "mode",
    "bytes",
    "data",
    "asks",
    "env",
    "cwd",
    "target",
    "nlink",
    "inode",
    "flags",
    "uid",
    "family",
    "socktype",
    "incomplete",
    "tree",
];

/// Mode of a pipe's end, and the device of pipes.
const FIFO: u32 = 0o010_600;
const PIPEFS: u64 = 13;
/// The device of all other files.
const DISK: u64 = 1;

/// Reads the cases of a file written by hand.
///
/// # Errors
/// Whatever is wrong first, with its place.
pub fn read_cases(file: &str, text: &str, vars: &Vars) -> Result<Vec<Case>, RuleError> {
    let node = Node::parse(file, text)?;
    let Value::List(cases) = &node.value else {
        return Err(node.expected("a list of cases"));
    };
    cases
        .iter()
        .map(|case| {
            let name = case
                .get("case")
                .ok_or_else(|| case.place.error("`case`, its name, is missing"))?;
            let stage = match case.get("stage") {
                Some(stage) => Some((stage.text()?.to_owned(), stage.place.clone())),
                None => None,
            };
            let events = case
                .get("events")
                .ok_or_else(|| case.place.error("`events` is missing"))?;
            let mut writer = Writer::new(vars);
            for event in events.items() {
                writer.add(event)?;
            }
            Ok(Case {
                name: name.text()?.to_owned(),
                stage,
                events: writer.events,
            })
        })
        .collect()
}

struct Writer<'a> {
    vars: &'a Vars,
    events: Vec<Event>,
    now: u64,
    pid: u32,
    /// Parent and program name of each process.
    processes: BTreeMap<u32, (u32, String)>,
    inodes: HashMap<String, u64>,
}

fn key(pid: u32) -> ProcessKey {
    ProcessKey {
        tgid: pid,
        start_ns: u64::from(pid) * 1000,
    }
}

impl<'a> Writer<'a> {
    fn new(vars: &'a Vars) -> Self {
        Self {
            vars,
            events: Vec::new(),
            now: 1_000_000_000,
            pid: 1,
            processes: BTreeMap::new(),
            inodes: HashMap::new(),
        }
    }

    /// The first fields of an event by the current process.
    fn blank(&mut self, kind: Kind) -> Event {
        self.now += 1_000_000;
        let (parent, comm) = self.processes.get(&self.pid).cloned().unwrap_or_default();
        Event {
            seq: self.events.len() as u64,
            parent: if parent == 0 {
                ProcessKey::default()
            } else {
                key(parent)
            },
            uid: 1000,
            comm,
            ..Event::new(kind, key(self.pid), self.now)
        }
    }

    fn add(&mut self, node: &Node) -> Result<(), RuleError> {
        let (entry, kind) = kind_of(node)?;
        if let Some(pid) = node.get("pid") {
            self.enter(number(pid)?, node.get("parent").map(number).transpose()?);
        } else if self.processes.is_empty() {
            self.processes.insert(1, (0, "python3".to_owned()));
        }
        if let Some(after) = node.get("after") {
            self.now += duration(after)?;
        }
        let mut event = self.blank(kind);
        for field in node.map()? {
            self.field(&mut event, field)?;
        }
        self.object(&mut event, entry)?;
        self.events.push(event);
        Ok(())
    }

    /// Makes `pid` the doer, forked first where it is new.
    fn enter(&mut self, pid: u32, parent: Option<u32>) {
        if !self.processes.contains_key(&pid) {
            let parent = parent.or_else(|| self.processes.contains_key(&1).then_some(1));
            if let Some(parent) = parent {
                self.pid = parent;
                let mut fork = self.blank(Kind::Fork);
                fork.other = Some(key(pid));
                self.events.push(fork);
            }
            let parent = parent.unwrap_or(0);
            let comm = self.processes.get(&parent).map(|(_, comm)| comm.clone());
            self.processes
                .insert(pid, (parent, comm.unwrap_or_else(|| "python3".to_owned())));
        }
        self.pid = pid;
    }

    /// A field beside the object.
    fn field(&mut self, event: &mut Event, entry: &Entry) -> Result<(), RuleError> {
        let value = &entry.value;
        let text = |node: &Node| node.text().map(|text| expand(text, self.vars));
        match entry.key.as_str() {
            "since" => event.since_ns = Some(self.now.saturating_sub(duration(value)?)),
            "path" => event.path = Some(text(value)?),
            "asked" => event.asked = Some(text(value)?),
            "target" => event.target = Some(text(value)?),
            "cwd" => event.cwd = Some(text(value)?),
            "result" => event.result = result(value)?,
            "created" => event.created = Some(truth(value)?),
            "writes" => event.flags = Some(u64::from(truth(value)?)),
            "mode" => event.mode = Some(number(value)?),
            "bytes" => event.bytes = Some(u64::from(number(value)?)),
            "inode" => event.inode = Some(u64::from(number(value)?)),
            "flags" => event.flags = Some(u64::from(number(value)?)),
            "nlink" => event.nlink = Some(number(value)?),
            "uid" => event.uid = number(value)?,
            "tree" => event.tree = number(value)?,
            "data" => event.data = Some(bytes(value)?),
            "asks" => {
                event.data = Some(dns::message(value.text()?));
                event.socktype = Some(2);
            }
            "env" => event.env = Some(value.texts()?),
            "family" => event.family = Some(number(value)? as u16),
            "socktype" => event.socktype = Some(number(value)? as u16),
            "incomplete" => {
                for name in value.texts()? {
                    let bit = Incomplete::from_name(&name)
                        .ok_or_else(|| value.place.error(format!("no bit `{name}`")))?;
                    event.incomplete |= bit;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The value behind the kind, and what follows from it.
    fn object(&mut self, event: &mut Event, entry: &Entry) -> Result<(), RuleError> {
        let value = &entry.value;
        let text = |node: &Node| node.text().map(|text| expand(text, self.vars));
        let pair = || match value.items() {
            [from, to] => Ok((from, to)),
            _ => Err(value.expected("a list of two")),
        };
        match event.kind {
            Kind::Exec => {
                let argv: Vec<String> = value
                    .texts()?
                    .iter()
                    .map(|word| expand(word, self.vars))
                    .collect();
                let program = event
                    .path
                    .clone()
                    .or_else(|| argv.first().cloned())
                    .ok_or_else(|| value.expected("arguments"))?;
                event.asked.get_or_insert_with(|| program.clone());
                event.argv = Some(argv);
                if is_done(event) {
                    let name = crate::tree::base_name(&program);
                    event.comm = name.chars().take(15).collect();
                    if let Some(process) = self.processes.get_mut(&self.pid) {
                        process.1.clone_from(&event.comm);
                    }
                }
                // Where its interpreter is what is missing, the program itself was found.
                if is_done(event) || event.target.is_some() {
                    event.env.get_or_insert_with(Vec::new);
                    event.cwd.get_or_insert_with(|| self.vars.work.clone());
                    event.nlink.get_or_insert(1);
                    event.path = Some(program);
                } else {
                    event.path = None;
                }
            }
            Kind::Rename | Kind::Link | Kind::Symlink => {
                let (from, to) = pair()?;
                event.path = Some(text(from)?);
                event.target = Some(text(to)?);
            }
            Kind::Connect | Kind::Bind | Kind::Listen | Kind::Accept | Kind::Send => {
                let to = text(value)?;
                match to.rsplit_once(':') {
                    Some((addr, port)) => {
                        event.addr = Some(addr.trim_matches(['[', ']']).to_owned());
                        event.port = Some(port.parse().map_err(|_| value.place.error("no port"))?);
                        event
                            .family
                            .get_or_insert(if addr.contains(':') { 10 } else { 2 });
                    }
                    None => {
                        event.path = Some(to);
                        event.family.get_or_insert(1);
                    }
                }
                event.socktype.get_or_insert(1);
            }
            Kind::Dup => {
                let (old, new) = pair()?;
                event.fds = Some((old.int()? as i32, new.int()? as i32));
                if event.family.is_none() {
                    let mode = *event.mode.get_or_insert(FIFO);
                    let dev = if mode == FIFO { PIPEFS } else { DISK };
                    event.dev.get_or_insert(dev);
                    event.inode.get_or_insert(event.seq);
                }
            }
            Kind::Exit => event.exit_code = Some(value.int()? as i32),
            Kind::Ptrace | Kind::Signal => event.other = Some(key(number(value)?)),
            Kind::Creds => changed::tell(event, value)?,
            Kind::Fork | Kind::Socket => {}
            _ => {
                let path = text(value)?;
                event.asked.get_or_insert_with(|| path.clone());
                if event.result >= 0 {
                    event.path = Some(path);
                }
            }
        }
        if event.kind == Kind::Open && is_done(event) {
            event.created.get_or_insert(false);
        }
        if matches!(event.kind, Kind::Open | Kind::Rename) {
            event.flags.get_or_insert(0);
        }
        if event.kind == Kind::Write && event.bytes.is_none() {
            event.bytes = Some(event.data.as_ref().map_or(100, |data| data.len() as u64));
        }
        self.inode(event);
        Ok(())
    }

    /// Gives every path an inode, which renames carry along.
    fn inode(&mut self, event: &mut Event) {
        let Some(path) = event.path.clone() else {
            return;
        };
        let next = self.inodes.len() as u64 + 1000;
        let inode = *self.inodes.entry(path.clone()).or_insert(next);
        match event.kind {
            Kind::Rename => {
                if let Some(target) = &event.target {
                    let next = self.inodes.len() as u64 + 1000;
                    let there = self.inodes.insert(target.clone(), inode);
                    if event.is_exchange() {
                        self.inodes.insert(path, there.unwrap_or(next));
                    }
                }
            }
            Kind::Open | Kind::Write | Kind::Exec | Kind::Chmod | Kind::MmapExec
                if is_done(event) || event.kind == Kind::Exec =>
            {
                event.dev.get_or_insert(DISK);
                event.inode.get_or_insert(inode);
            }
            _ => {}
        }
    }
}

/// It succeeded, as far as is known.
fn is_done(event: &Event) -> bool {
    event.outcome().is_some_and(|result| result >= 0)
}

/// The entry whose key is a kind of event.
fn kind_of(node: &Node) -> Result<(&Entry, Kind), RuleError> {
    let mut found = None;
    for entry in node.map()? {
        match kind_named(&entry.key) {
            Some(kind) if found.is_none() => found = Some((entry, kind)),
            Some(_) => return Err(entry.place.error("an event has one kind")),
            None if KEYS.contains(&entry.key.as_str()) => {}
            None => {
                let known: Vec<&str> = KEYS
                    .iter()
                    .copied()
                    .chain(crate::schema::KINDS.iter().map(|kind| kind_name(*kind)))
                    .collect();
                return Err(entry.place.error(format!(
                    "unknown key `{}`{}",
                    entry.key,
                    suggestion(&entry.key, &known)
                )));
            }
        }
    }
    found.ok_or_else(|| {
        node.place
            .error("the event has no kind: write it as a key, such as `open: /path`")
    })
}

fn number(node: &Node) -> Result<u32, RuleError> {
    u32::try_from(node.int()?).map_err(|_| node.expected("a number from 0 on"))
}

fn truth(node: &Node) -> Result<bool, RuleError> {
    match node.value {
        Value::Bool(value) => Ok(value),
        _ => Err(node.expected("true or false")),
    }
}

fn result(node: &Node) -> Result<i64, RuleError> {
    if let Value::Int(value) = node.value {
        return Ok(value);
    }
    let text = node.text()?;
    ERRNOS
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, number)| -number)
        .ok_or_else(|| node.expected("an errno's name"))
}
