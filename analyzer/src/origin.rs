//! Who is behind an event: the package, or what installs, builds and runs it.
//!
//! It is decided in this order:
//!
//! 1. What a process of the package's started is the package's, whatever program that is.
//! 2. An event with a Python stack belongs to the innermost frame that is not of the interpreter's
//!    own library, by that frame's file: see [`of_file`]. A file of no known place is the package's.
//! 3. An event without one belongs to what the same thread's last stack said, or else to what asked
//!    for its process's program, which children inherit. A compiler's are the compiler's.
//!
//! A package can write its interpreter's memory and name its files as it likes: an origin tells
//! where to look, and excuses nothing. No rule and no verdict asks for it.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use pyti_trace::event::{Event, Frame, Kind, ProcessKey};
use serde::{Deserialize, Serialize};

use crate::tree::base_name;

/// Who is behind an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The package's code, and whatever is not known to be something else.
    Package,
    /// What is installed for the user: the package or what it requires.
    Installed,
    /// What the build requires (PEP 518): setuptools and the like, in pip's build environment.
    BuildRequirement,
    /// pip.
    Installer,
    /// Compilers, linkers and what drives them, where the package did not start them itself.
    Compiler,
    /// The programs that run the stage.
    Harness,
}

impl Origin {
    /// Its name for a reader.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Package => "package",
            Self::Installed => "installed",
            Self::BuildRequirement => "build requirement",
            Self::Installer => "installer",
            Self::Compiler => "compiler",
            Self::Harness => "harness",
        }
    }
}

/// Programs of a toolchain, without a version behind or a machine's name before them.
const TOOLCHAIN: [&str; 28] = [
    "ar",
    "as",
    "c++",
    "c99",
    "cc",
    "cc1",
    "cc1plus",
    "clang",
    "clang++",
    "cmake",
    "collect2",
    "cpp",
    "f951",
    "g++",
    "gcc",
    "gfortran",
    "ld",
    "ld.bfd",
    "lto1",
    "lto-wrapper",
    "make",
    "ninja",
    "nm",
    "objcopy",
    "pkg-config",
    "ranlib",
    "rustc",
    "strip",
];

/// What the events of a stage are attributed to.
#[derive(Debug, Default)]
pub struct Origins {
    work: String,
    of_events: Vec<Origin>,
    of_processes: HashMap<ProcessKey, Origin>,
}

impl Origins {
    /// Decides for all events, given in the order of time. `work` is where the host's own programs
    /// are in the guest.
    #[must_use]
    pub fn new(events: &[Event], work: &str) -> Self {
        let mut deciding = Deciding {
            work,
            processes: HashMap::new(),
            threads: HashMap::new(),
        };
        let of_events = events.iter().map(|event| deciding.decide(event)).collect();
        let processes = deciding.processes.into_iter();
        Self {
            work: work.to_owned(),
            of_events,
            of_processes: processes
                .map(|(process, behind)| (process, behind.origin))
                .collect(),
        }
    }

    /// Who is behind the event of this number.
    #[must_use]
    pub fn event(&self, index: usize) -> Option<Origin> {
        self.of_events.get(index).copied()
    }

    /// Who is behind the last program of a process.
    #[must_use]
    pub fn process(&self, key: ProcessKey) -> Option<Origin> {
        self.of_processes.get(&key).copied()
    }

    /// The frame of an event's Python stack that says who acts.
    #[must_use]
    pub fn frame<'e>(&self, event: &'e Event) -> Option<&'e Frame> {
        let stack = event.python.as_deref()?;
        telling(stack, &self.work).map(|(frame, _)| frame)
    }

    /// How many events each is behind.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<Origin, u64> {
        let mut counts = BTreeMap::new();
        for origin in &self.of_events {
            *counts.entry(*origin).or_default() += 1;
        }
        counts
    }
}

/// Who is behind a process.
#[derive(Debug, Clone, Copy)]
struct Behind {
    origin: Origin,
    /// The package started it, or one of its ancestors.
    started_by_package: bool,
}

const ROOT: Behind = Behind {
    origin: Origin::Harness,
    started_by_package: false,
};

struct Deciding<'a> {
    work: &'a str,
    processes: HashMap<ProcessKey, Behind>,
    /// What the last stack of a thread said.
    threads: HashMap<(ProcessKey, u32), Origin>,
}

impl Deciding<'_> {
    fn decide(&mut self, event: &Event) -> Origin {
        let parent = self.processes.get(&event.parent).copied();
        let entry = self.processes.entry(event.process);
        let behind = *entry.or_insert(parent.unwrap_or(ROOT));
        if behind.started_by_package {
            return Origin::Package;
        }
        let thread = (event.process, event.tid);
        let told = event
            .python
            .as_deref()
            .and_then(|stack| telling(stack, self.work));
        let origin = match told {
            Some((_, origin)) => {
                self.threads.insert(thread, origin);
                origin
            }
            None => {
                let last = self.threads.get(&thread).copied();
                last.unwrap_or(behind.origin)
            }
        };
        if event.kind == Kind::Exec && event.result >= 0 {
            self.threads.remove(&thread);
            self.processes
                .insert(event.process, of_program(event, origin));
        }
        if event.kind == Kind::Fork
            && let Some(child) = event.other
        {
            // A thread that forks goes on as the child: its interpreter is a copy.
            self.processes.insert(child, Behind { origin, ..behind });
        }
        origin
    }
}

/// Who is behind a process from an execution on, which `asker` asked for.
fn of_program(event: &Event, asker: Origin) -> Behind {
    let path = event.path.as_deref().unwrap_or_default();
    let argv = event.argv.as_deref().unwrap_or_default();
    let origin = match asker {
        Origin::Package => Origin::Package,
        _ if path.starts_with("/usr/") && is_toolchain(base_name(path)) => Origin::Compiler,
        Origin::Harness if argv.windows(2).any(|two| two == ["-m", "pip"]) => Origin::Installer,
        other => other,
    };
    Behind {
        origin,
        started_by_package: asker == Origin::Package,
    }
}

fn is_toolchain(name: &str) -> bool {
    // x86_64-linux-gnu-gcc-14, clang++-19.
    let unversioned = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    let tool = unversioned.rsplit("-gnu-").next().unwrap_or(unversioned);
    // Some names end in a digit by themselves.
    TOOLCHAIN.contains(&tool) || TOOLCHAIN.contains(&name)
}

/// The innermost frame that says who acts, and who that is.
fn telling<'s>(stack: &'s [Frame], work: &str) -> Option<(&'s Frame, Origin)> {
    stack
        .iter()
        .filter(|frame| !is_shim(frame))
        .find_map(|frame| Some((frame, of_file(&frame.file, work)?)))
}

/// What the interpreter itself puts between a class and its `__init__` (`init_cleanup` in
/// Python/specialize.c).
fn is_shim(frame: &Frame) -> bool {
    frame.file == "__init__" && frame.function == "__init__" && frame.line.is_none()
}

/// Whose a file of Python code is; `None` for the interpreter's own, which acts for its callers.
///
/// | file | whose |
/// |---|---|
/// | `<frozen …>`, the standard library | the interpreter's |
/// | below `work` | the harness's |
/// | `pip` of the system, `<pip-…>` | the installer's |
/// | anything else of the system's packages | a build requirement's |
/// | in pip's build environment | a build requirement's |
/// | in the user's `site-packages` | installed |
/// | anything else | the package's |
fn of_file(file: &str, work: &str) -> Option<Origin> {
    if file.starts_with("<frozen ") {
        return None;
    }
    if let Some(rest) = file.strip_prefix("/usr/lib/python3") {
        let package = rest.split_once("/dist-packages/")?.1;
        return Some(match package.split(['/', '.']).next() {
            Some("pip") => Origin::Installer,
            _ => Origin::BuildRequirement,
        });
    }
    Some(if file.starts_with("<pip-") {
        Origin::Installer
    } else if file
        .strip_prefix(work)
        .is_some_and(|rest| rest.starts_with('/'))
    {
        Origin::Harness
    } else if file.starts_with("/tmp/pip-build-env-") {
        Origin::BuildRequirement
    } else if file.contains("/site-packages/") {
        Origin::Installed
    } else {
        Origin::Package
    })
}

/// A frame on one line: `…/evil-1.0/setup.py:14 in steal()`. The text is not escaped.
#[must_use]
pub fn place(frame: &Frame) -> String {
    let file = frame.file.as_str();
    let mut parts = file.rsplitn(3, '/');
    let short = match (parts.next(), parts.next(), parts.next()) {
        (Some(name), Some(directory), Some(rest)) if !rest.is_empty() => {
            format!("…/{directory}/{name}")
        }
        _ => file.to_owned(),
    };
    let mut out = short;
    // Writing to a String cannot fail.
    let _ = match frame.line {
        Some(line) => write!(out, ":{line}"),
        None => Ok(()),
    };
    match frame.function.as_str() {
        "" | "<module>" => {}
        function if function.ends_with('>') => {
            let _ = write!(out, " in {function}");
        }
        function => {
            let _ = write!(out, " in {function}()");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: &str = "/home/dev/.cache/pyti";

    fn frame(file: &str, line: u32, function: &str) -> Frame {
        Frame {
            file: file.to_owned(),
            line: Some(line),
            function: function.to_owned(),
        }
    }

    const BACKEND: &str =
        "/tmp/pip-build-env-x1/overlay/lib/python3.13/site-packages/setuptools/_distutils/spawn.py";
    const SETUP: &str = "/tmp/pip-install-y2/evil_0a1b/setup.py";
    const SUBPROCESS: &str = "/usr/lib/python3.13/subprocess.py";
    const PIP: &str = "/usr/lib/python3/dist-packages/pip/_internal/utils/subprocess.py";

    fn key(tgid: u32) -> ProcessKey {
        ProcessKey { tgid, start_ns: 1 }
    }

    fn event(kind: Kind, process: u32, parent: u32, files: &[&str]) -> Event {
        Event {
            parent: key(parent),
            python: (!files.is_empty())
                .then(|| files.iter().map(|file| frame(file, 1, "f")).collect()),
            ..Event::new(kind, key(process), 1)
        }
    }

    fn exec(process: u32, parent: u32, words: &[&str], files: &[&str]) -> Event {
        Event {
            path: words.first().map(|&word| word.to_owned()),
            argv: Some(words.iter().map(|&word| word.to_owned()).collect()),
            ..event(Kind::Exec, process, parent, files)
        }
    }

    #[test]
    fn pip_the_back_end_the_compiler_and_the_package_are_told_apart() {
        let events = [
            exec(1, 0, &["/usr/bin/python3.13", "-m", "pip", "install"], &[]),
            event(Kind::Open, 1, 0, &[]),
            // pip starts the back end, which runs setup.py in its own process.
            exec(2, 1, &["/usr/bin/python3.13", "x.py"], &[SUBPROCESS, PIP]),
            event(Kind::Open, 2, 1, &[SETUP, BACKEND]),
            event(Kind::Write, 2, 1, &[]),
            exec(
                3,
                2,
                &["/usr/bin/x86_64-linux-gnu-gcc-14"],
                &[SUBPROCESS, BACKEND, SETUP],
            ),
            exec(4, 3, &["/usr/libexec/gcc/x86_64-linux-gnu/14/cc1"], &[]),
            exec(
                5,
                2,
                &["/usr/bin/dash", "-c", "curl"],
                &[SUBPROCESS, SETUP, BACKEND],
            ),
            event(Kind::Open, 5, 2, &[]),
            // The package runs pip, or a compiler: it is still the package.
            exec(6, 5, &["/usr/bin/python3.13", "-m", "pip", "download"], &[]),
            event(Kind::Open, 6, 5, &[PIP]),
            exec(7, 5, &["/usr/bin/gcc"], &[]),
        ];
        let origins = Origins::new(&events, WORK);
        let told: Vec<Origin> = (0..events.len()).filter_map(|i| origins.event(i)).collect();
        use Origin::{BuildRequirement, Compiler, Harness, Installer, Package};
        assert_eq!(
            told,
            [
                Harness,
                Installer,
                Installer,
                Package,
                Package,
                BuildRequirement,
                Compiler,
                Package,
                Package,
                Package,
                Package,
                Package
            ]
        );
        assert_eq!(origins.process(key(3)), Some(Compiler));
        assert_eq!(origins.process(key(5)), Some(Package));
        assert_eq!(origins.counts()[&Package], 7);
    }

    #[test]
    fn files_by_their_places() {
        use Origin::{BuildRequirement, Harness, Installed, Installer, Package};
        for (file, whose) in [
            ("<frozen importlib._bootstrap>", None),
            (SUBPROCESS, None),
            (PIP, Some(Installer)),
            ("<pip-setuptools-caller>", Some(Installer)),
            (
                "/usr/lib/python3/dist-packages/setuptools/build_meta.py",
                Some(BuildRequirement),
            ),
            (BACKEND, Some(BuildRequirement)),
            ("/home/dev/.cache/pyti/each.py", Some(Harness)),
            ("/home/dev/.cache/pyti-evil/each.py", Some(Package)),
            (
                "/home/dev/.local/lib/python3.13/site-packages/six.py",
                Some(Installed),
            ),
            (SETUP, Some(Package)),
            ("<string>", Some(Package)),
            ("", Some(Package)),
        ] {
            assert_eq!(of_file(file, WORK), whose, "{file}");
        }
    }

    #[test]
    fn a_place_is_short() {
        for (frame, text) in [
            (
                frame(SETUP, 14, "steal"),
                "…/evil_0a1b/setup.py:14 in steal()",
            ),
            (frame("setup.py", 3, "<module>"), "setup.py:3"),
            (
                frame("/x.py", 3, "f.<locals>.<lambda>"),
                "/x.py:3 in f.<locals>.<lambda>",
            ),
        ] {
            assert_eq!(place(&frame), text);
        }
    }
}
