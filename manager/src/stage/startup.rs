//! A bare interpreter after the installation: what `.pth` files and `sitecustomize` do.

use std::collections::{BTreeMap, BTreeSet};

use pyti_analyzer::schema::{kind_name, result_name};
use pyti_analyzer::{StageStatus, amount, store};
use pyti_graph::{Failure, Inputs, Need};
use pyti_trace::event::{Event, Kind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::relative::join;
use super::{Installed, Ran, Stage};
use crate::cli::LimitArgs;
use crate::order::{HOME, Order};
use crate::tasks;

mod start_files;

use start_files::{StartFiles, read_by};

/// Listed of each kind; the store has all.
const MOST: usize = 1000;

/// See the module.
pub(super) struct Startup;

/// Where an interpreter that does nothing has its own files, and those of the C library: how their
/// paths begin. Nothing of the user's is there.
const ITS_OWN: [&str; 3] = ["/usr/", "/lib/", "/lib64/"];
/// Files elsewhere that interpreters and the C library open by themselves: to find libraries and the
/// time zone, for hash seeds, when memory is shared out among threads, to count processors and to
/// bound a stack, and to give or close a child's files. Nothing in them is anybody's secret.
const EVERYBODYS: [&str; 9] = [
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/dev/null",
    "/dev/urandom",
    "/proc/self/fd",
    "/proc/self/maps",
    "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system/cpu/online",
    "/sys/devices/system/cpu/possible",
];
/// What changes files.
const CHANGES: [Kind; 10] = [
    Kind::Write,
    Kind::Truncate,
    Kind::Rename,
    Kind::Unlink,
    Kind::Rmdir,
    Kind::Mkdir,
    Kind::Link,
    Kind::Symlink,
    Kind::Chmod,
    Kind::Chown,
];

/// What an interpreter did that was only started: the datum `startup`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Started {
    /// How it ended, where that was not well: what hooks into the start may break it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// The `.pth` files, and those of `sitecustomize` and `usercustomize`, that were read.
    #[serde(default)]
    pub start_files: BTreeSet<String>,
    /// Files that it opened and that are not the interpreter's own.
    pub opened: BTreeSet<Deed<String>>,
    /// Files that it did not get: the error, and the path as it was asked for. Without those where the
    /// interpreter itself looks for modules, unless a start file is known to have asked.
    #[serde(default)]
    pub looked_for: BTreeSet<Deed<String>>,
    /// What it changed: what was done, and to which path.
    #[serde(default)]
    pub changed: BTreeSet<Deed<String>>,
    /// Programs that were executed, the interpreter itself apart.
    pub executed: Vec<Deed<Vec<String>>>,
    /// Addresses that were connected or sent to, with their ports; `unix` and the path of Unix sockets.
    /// Tried is enough.
    pub connected: BTreeSet<Deed<String>>,
    /// By the name of a list of these: how many were too many for it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cut: BTreeMap<String, usize>,
}

/// Something that was done.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Deed<T> {
    /// To what.
    pub what: T,
    /// The start file whose code did it, or had the program started that did; as the Python stack names
    /// it, which the package can forge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl Stage for Startup {
    fn name(&self) -> &'static str {
        "startup"
    }

    fn provides(&self) -> &'static str {
        "startup"
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need::All(tasks::INSTALLED.into())]
    }

    fn order(&self, inputs: &Inputs, limits: &LimitArgs) -> Result<Order, Failure> {
        let installed: Installed = tasks::read(inputs, tasks::INSTALLED)?;
        // Nothing that a payload could tell from an ordinary start.
        let python = tasks::python(inputs)?;
        let argv = [&*python.path, "-c", "pass"].map(str::to_owned).to_vec();
        let mut order = Order::new(self.name(), argv, limits).map_err(Failure::infrastructure)?;
        order.state = Some(installed.state);
        Ok(order)
    }

    fn read(&self, ran: &Ran, inputs: &Inputs) -> Result<Value, Failure> {
        let ended = match &ran.facts.status {
            StageStatus::Failed { .. } | StageStatus::Signaled { .. } => {
                ran.completed().err().map(|why| why.to_string())
            }
            _ => {
                ran.completed()?;
                None
            }
        };
        let loaded =
            store::read(&ran.directory, store::MAX_EVENTS).map_err(Failure::infrastructure)?;
        let user_site = format!("{HOME}/{}/", tasks::python(inputs)?.user_site());
        let started = Started {
            ended,
            ..started(&loaded.events, &user_site)
        };
        serde_json::to_value(started).map_err(Failure::infrastructure)
    }

    fn summary(&self, datum: &Value) -> Option<String> {
        let started: Started = serde_json::from_value(datum.clone()).ok()?;
        let ended = started.ended.as_ref().map(|how| format!("{how}; "));
        let cut: usize = started.cut.values().sum();
        let cut = (cut > 0).then(|| {
            let cut = amount(cut as u64, "of these is", "of these are");
            format!("; {cut} not listed")
        });
        let all = |list: &str, listed: usize| {
            let cut = started.cut.get(list).copied().unwrap_or_default();
            (listed + cut) as u64
        };
        Some(format!(
            "{}{} read, {} opened, {}, {}, {} executed, {} connected or sent to{}",
            ended.unwrap_or_default(),
            amount(
                all("start_files", started.start_files.len()),
                "start file",
                "start files"
            ),
            amount(all("opened", started.opened.len()), "file", "files"),
            amount(
                all("looked_for", started.looked_for.len()),
                "open failed",
                "opens failed"
            ),
            amount(all("changed", started.changed.len()), "change", "changes"),
            amount(
                all("executed", started.executed.len()),
                "program",
                "programs"
            ),
            amount(
                all("connected", started.connected.len()),
                "address",
                "addresses"
            ),
            cut.unwrap_or_default()
        ))
    }
}

/// What happened, given in the order of time. `user_site` is where the interpreter looks for the
/// user's modules.
fn started(events: &[Event], user_site: &str) -> Started {
    let mut told = Started::default();
    let mut start_files = StartFiles::default();
    // The first program is the interpreter that the stage starts.
    let mut is_first = true;
    for event in events {
        let by = start_files.behind(event);
        if let Some(path) = read_by(event) {
            told.start_files.insert(path.to_owned());
        }
        let succeeded = event.result >= 0;
        match event.kind {
            Kind::Open => {
                let Some(file) = file(event).filter(|file| !is_ordinary(file)) else {
                    continue;
                };
                if succeeded {
                    told.opened.insert(Deed { what: file, by });
                } else if by.is_some() || !file.starts_with(user_site) {
                    let what = format!("{} {file}", result_name(event.result));
                    told.looked_for.insert(Deed { what, by });
                }
            }
            Kind::Exec if succeeded => {
                let argv = event.argv.clone().filter(|_| !is_first);
                is_first = false;
                match argv {
                    Some(what) if told.executed.len() < MOST => {
                        told.executed.push(Deed { what, by });
                    }
                    Some(_) => *told.cut.entry("executed".to_owned()).or_default() += 1,
                    None => {}
                }
            }
            Kind::Connect | Kind::Send => {
                let what = match (&event.addr, event.port) {
                    (Some(addr), Some(port)) => Some(format!("{addr} {port}")),
                    // Of these sockets, those of Unix alone have a path.
                    _ => event.path.as_ref().map(|path| format!("unix {path}")),
                };
                if let Some(what) = what {
                    told.connected.insert(Deed { what, by });
                }
            }
            kind if succeeded && CHANGES.contains(&kind) => {
                if let Some(path) = event.path.as_ref().or(event.asked.as_ref()) {
                    let what = format!("{} {path}", kind_name(kind));
                    told.changed.insert(Deed { what, by });
                }
            }
            _ => {}
        }
    }
    let cut = &mut told.cut;
    keep_first("start_files", &mut told.start_files, cut);
    keep_first("opened", &mut told.opened, cut);
    keep_first("looked_for", &mut told.looked_for, cut);
    keep_first("changed", &mut told.changed, cut);
    keep_first("connected", &mut told.connected, cut);
    told
}

/// Keeps the first ones of a list, and tells by its name how many others there were.
fn keep_first<T: Ord>(list: &str, all: &mut BTreeSet<T>, cut: &mut BTreeMap<String, usize>) {
    let more = all.len().saturating_sub(MOST);
    if more > 0 {
        *all = std::mem::take(all).into_iter().take(MOST).collect();
        cut.insert(list.to_owned(), more);
    }
}

/// The file that an open was for. What could not be opened is known only as it was asked for, and the
/// number of a process of the stage's own tells less than that it asked for itself.
fn file(event: &Event) -> Option<String> {
    let asked = event.asked.as_deref();
    match (event.path.as_deref(), asked) {
        (Some(path), Some(asked))
            if path.starts_with("/proc/") && asked.starts_with("/proc/self/") =>
        {
            Some(plain(asked))
        }
        (Some(path), _) => Some(path.to_owned()),
        (None, asked) => asked.map(plain),
    }
}

/// An absolute path without `.` and `..`, by its text alone; any other one as it is.
fn plain(path: &str) -> String {
    let joined = join("", path).filter(|_| path.starts_with('/'));
    joined.map_or_else(|| path.to_owned(), |joined| format!("/{joined}"))
}

/// Whether it says nothing that it was opened or looked for.
fn is_ordinary(file: &str) -> bool {
    ITS_OWN.iter().any(|own| file.starts_with(own)) || EVERYBODYS.contains(&file)
}

#[cfg(test)]
mod tests {
    use pyti_trace::event::{Frame, ProcessKey};

    use super::*;

    const SITE: &str = "/home/dev/.local/lib/python3.13/site-packages/";

    fn event(kind: Kind, path: &str) -> Event {
        Event {
            path: Some(path.to_owned()),
            ..Event::new(kind, ProcessKey::default(), 1)
        }
    }

    /// An open that failed with this error.
    fn refused(asked: &str, errno: i64) -> Event {
        Event {
            asked: Some(asked.to_owned()),
            result: -errno,
            ..Event::new(Kind::Open, ProcessKey::default(), 1)
        }
    }

    fn whats(all: &BTreeSet<Deed<String>>) -> Vec<&str> {
        all.iter().map(|deed| &*deed.what).collect()
    }

    #[test]
    fn what_hooks_into_the_start_is_told_from_the_start() {
        let exec = |words: &[&str]| Event {
            argv: Some(words.iter().map(ToString::to_string).collect()),
            ..Event::new(Kind::Exec, ProcessKey::default(), 1)
        };
        let address = |kind, addr: &str, port| Event {
            addr: Some(addr.to_owned()),
            port: Some(port),
            ..Event::new(kind, ProcessKey::default(), 1)
        };
        let pth = format!("{SITE}x.pth");
        let told = started(
            &[
                exec(&["python3", "-c", "pass"]),
                event(Kind::Open, "/usr/lib/python3.13/os.py"),
                event(Kind::Open, &pth),
                event(Kind::Open, "/tmp/x"),
                refused("/home/dev/none", 2),
                event(Kind::Write, "/tmp/x"),
                event(Kind::Unlink, "/etc/y"),
                exec(&["sh", "-c", "true"]),
                address(Kind::Connect, "192.0.2.1", 80),
                address(Kind::Send, "192.0.2.1", 80),
                address(Kind::Send, "127.0.0.53", 53),
                event(Kind::Connect, "/run/docker.sock"),
                event(Kind::Send, "@hidden"),
                Event::new(Kind::Send, ProcessKey::default(), 1),
            ],
            SITE,
        );
        assert_eq!(told.start_files, BTreeSet::from([pth.clone()]));
        assert_eq!(whats(&told.opened), [&*pth, "/tmp/x"]);
        assert_eq!(whats(&told.looked_for), ["ENOENT /home/dev/none"]);
        assert_eq!(whats(&told.changed), ["unlink /etc/y", "write /tmp/x"]);
        let executed: Vec<_> = told.executed.iter().map(|deed| &deed.what).collect();
        assert_eq!(executed, [&["sh", "-c", "true"]]);
        assert_eq!(
            whats(&told.connected),
            [
                "127.0.0.53 53",
                "192.0.2.1 80",
                "unix /run/docker.sock",
                "unix @hidden"
            ]
        );
        let datum = serde_json::to_value(&told).unwrap();
        assert_eq!(
            Startup.summary(&datum).as_deref(),
            Some(
                "1 start file read, 2 files opened, 1 open failed, 2 changes, 1 program executed, \
                 4 addresses connected or sent to"
            )
        );
    }

    #[test]
    fn of_what_is_too_much_to_list_the_rest_is_counted() {
        let files = 0..MOST + 2;
        let opens = files.map(|number| event(Kind::Open, &format!("/tmp/{number}")));
        let exec = Event {
            argv: Some(vec!["true".to_owned()]),
            ..Event::new(Kind::Exec, ProcessKey::default(), 1)
        };
        // The first one is the interpreter.
        let execs = std::iter::repeat_n(exec, MOST + 2);
        let told = started(&opens.chain(execs).collect::<Vec<_>>(), SITE);
        assert_eq!((told.opened.len(), told.executed.len()), (MOST, MOST));
        let cut = [("executed", 1), ("opened", 2)].map(|(list, count)| (list.to_owned(), count));
        assert_eq!(told.cut, BTreeMap::from(cut));
        assert_eq!(
            Startup
                .summary(&serde_json::to_value(&told).unwrap())
                .as_deref(),
            Some(
                "0 start files read, 1002 files opened, 0 opens failed, 0 changes, \
                 1001 programs executed, 0 addresses connected or sent to; \
                 3 of these are not listed"
            )
        );
    }

    #[test]
    fn what_is_looked_for_in_vain_is_told_from_the_search_for_modules() {
        let cache = format!("{SITE}__pycache__/usercustomize.cpython-313.pyc");
        let told = started(
            &[
                refused("/usr/bin/pyvenv.cfg", 2),
                refused("/usr/lib/locale/locale-archive", 2),
                refused("/etc/localtime", 2),
                refused(&cache, 2),
                refused("/home/dev/.aws/credentials", 2),
                refused("/usr/../home/dev/.netrc", 2),
                refused(&format!("{SITE}../.pypirc"), 2),
                refused("/../usr/x", 2),
                refused("here", 2),
                refused("/etc/shadow", 13),
            ],
            SITE,
        );
        assert_eq!(
            whats(&told.looked_for),
            [
                "EACCES /etc/shadow",
                "ENOENT /../usr/x",
                "ENOENT /home/dev/.aws/credentials",
                "ENOENT /home/dev/.local/lib/python3.13/.pypirc",
                "ENOENT /home/dev/.netrc",
                "ENOENT here",
            ]
        );
        assert!(told.opened.is_empty(), "{told:?}");
    }

    #[test]
    fn of_what_the_kernel_tells_only_what_everybody_reads_is_left_out() {
        let open = |asked: &str, path: &str| Event {
            asked: Some(asked.to_owned()),
            ..event(Kind::Open, path)
        };
        let told = started(
            &[
                open("/dev/null", "/dev/null"),
                open("/proc/self/maps", "/proc/7/maps"),
                open("/proc/self/environ", "/proc/7/environ"),
                open("/proc/self/../1/environ", "/proc/1/environ"),
                open("/proc/41/environ", "/proc/41/environ"),
                open("/proc/41/maps", "/proc/41/maps"),
                open("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.max"),
                open("/dev/input/event0", "/dev/input/event0"),
            ],
            SITE,
        );
        assert_eq!(
            whats(&told.opened),
            [
                "/dev/input/event0",
                "/proc/1/environ",
                "/proc/41/environ",
                "/proc/41/maps",
                "/proc/self/environ",
                "/sys/fs/cgroup/memory.max",
            ]
        );
    }

    #[test]
    fn what_is_done_names_the_start_file_that_its_stack_names() {
        let customize = format!("{SITE}usercustomize.py");
        let python = Some(vec![Frame {
            file: customize.clone(),
            line: Some(1),
            function: "<module>".to_owned(),
        }]);
        let told = started(
            &[
                Event {
                    python,
                    ..refused("/home/dev/.aws/credentials", 2)
                },
                event(Kind::Open, "/tmp/x"),
            ],
            SITE,
        );
        let datum = serde_json::to_value(&told).unwrap();
        let wanted = serde_json::json!({
            "start_files": [],
            "opened": [{"what": "/tmp/x"}],
            "looked_for": [{"what": "ENOENT /home/dev/.aws/credentials", "by": customize}],
            "changed": [],
            "executed": [],
            "connected": [],
        });
        assert_eq!(datum, wanted);
    }
}
