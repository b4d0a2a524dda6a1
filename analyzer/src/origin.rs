//! Who is behind an event: the package, or what installs, builds and runs it.
//!
//! It is decided in this order:
//!
//! 1. What a process of the package's started is the package's, whatever program that is.
//! 2. An event with a Python stack on which a frame is the package's is the package's, whomever it
//!    calls: by that frame's file, see `of_file`. A file of no known place is the package's. Only
//!    what it calls by `setup()`, as every `setup.py` does, acts for itself.
//! 3. Any other event with a stack belongs to its innermost frame that is not of the interpreter's
//!    own library. Where no such frame is on a stack that lost its outer ones, nobody knows.
//! 4. An event without a stack belongs to what the same thread's last stack said, or else to what
//!    asked for its process's program, which children inherit. What pip starts in Python runs the
//!    build's code and the package's: of that, nobody knows.
//! 5. Compilers under `/usr` that somebody else's code starts, were it for the package, are the
//!    compiler's, and so are those that they start themselves, also through a shell. Any other program that they start, such as one named by a Makefile, is the
//!    package's. Which program it is, the file that the kernel runs says: see [`Programs`].
//!
//! A package can write its interpreter's memory and name its files as it likes: an origin tells
//! where to look, and excuses nothing. No rule and no verdict asks for it.

use std::collections::{BTreeMap, HashMap};

use pyti_trace::event::{Event, Frame, Incomplete, Kind, ProcessKey};
use serde::{Deserialize, Serialize};

use crate::tree::base_name;

mod frames;
mod programs;

use frames::{innermost, telling};
use programs::{Programs, is_pip, is_shell, is_toolchain};

/// Who is behind an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The package's code, and code of a place that is not known.
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
    /// Nobody knows: what would tell was not recorded.
    Unknown,
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
            Self::Unknown => "unknown",
        }
    }
}

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
            programs: Programs::default(),
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
    /// A shell that a compiler started: the package's words, but compilers that it starts are the
    /// compiler's.
    shell_of_compiler: bool,
}

impl Behind {
    fn new(origin: Origin) -> Self {
        Self {
            origin,
            started_by_package: false,
            shell_of_compiler: false,
        }
    }
}

struct Deciding<'a> {
    work: &'a str,
    programs: Programs,
    processes: HashMap<ProcessKey, Behind>,
    /// What the last stack of a thread said.
    threads: HashMap<(ProcessKey, u32), Origin>,
}

impl Deciding<'_> {
    fn decide(&mut self, event: &Event) -> Origin {
        let parent = self.processes.get(&event.parent).copied();
        let entry = self.processes.entry(event.process);
        let behind = *entry.or_insert(parent.unwrap_or(Behind::new(Origin::Harness)));
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
            None if event.python.is_some()
                && event.incomplete.contains(Incomplete::PYTHON_INCOMPLETE) =>
            {
                Origin::Unknown
            }
            None => {
                let last = self.threads.get(&thread).copied();
                last.unwrap_or(behind.origin)
            }
        };
        if event.kind == Kind::Exec && event.outcome().is_none() && origin != Origin::Package {
            // Whether that program runs from now on nobody knows.
            self.threads.remove(&thread);
            self.processes
                .insert(event.process, Behind::new(Origin::Unknown));
        } else if event.kind == Kind::Exec && event.outcome().is_some_and(|result| result >= 0) {
            self.threads.remove(&thread);
            let stack = event.python.as_deref().unwrap_or_default();
            let compiles = behind.shell_of_compiler
                || innermost(stack, self.work) == Some(Origin::BuildRequirement);
            let path = self.programs.path(event);
            let behind = of_program(path, event, origin, compiles);
            self.processes.insert(event.process, behind);
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

/// Who is behind a process from an execution on of the program at `path`, which `asker` asked for. A
/// compiler is one, though the package asked, where `compiles`: the executing code is a build
/// requirement's, such as `build_ext` that the package has made its own, or a
/// [shell](Behind::shell_of_compiler) that a compiler started.
fn of_program(path: &str, event: &Event, asker: Origin, compiles: bool) -> Behind {
    let argv = event.argv.as_deref().unwrap_or_default();
    let name = base_name(path);
    let is_systems = path.starts_with("/usr/");
    let is_toolchain = is_systems && is_toolchain(name);
    match asker {
        _ if is_toolchain && compiles => Behind::new(Origin::Compiler),
        Origin::Package => Behind {
            started_by_package: true,
            ..Behind::new(Origin::Package)
        },
        _ if is_toolchain => Behind::new(Origin::Compiler),
        Origin::Compiler => {
            let shell_of_compiler = is_systems && is_shell(name);
            Behind {
                origin: Origin::Package,
                started_by_package: !shell_of_compiler,
                shell_of_compiler,
            }
        }
        Origin::Harness if argv.windows(2).any(|two| two == ["-m", "pip"]) => {
            Behind::new(Origin::Installer)
        }
        Origin::Installer if name.starts_with("python") && !is_pip(argv) => {
            Behind::new(Origin::Unknown)
        }
        other => Behind::new(other),
    }
}

#[cfg(test)]
mod tests {
    use super::frames::of_file;
    use super::*;

    const WORK: &str = "/home/dev/.cache/build";

    fn frame(file: &str, line: u32, function: &str) -> Frame {
        Frame {
            file: file.to_owned(),
            line: Some(line),
            function: function.to_owned(),
        }
    }

    const BACKEND: &str =
        "/tmp/pip-build-env-x1/overlay/lib/python3.13/site-packages/setuptools/_distutils/spawn.py";
    const CORE: &str =
        "/tmp/pip-build-env-x1/overlay/lib/python3.13/site-packages/setuptools/_distutils/core.py";
    const SETUP: &str = "/tmp/pip-install-y2/evil_0a1b/setup.py";
    const SUBPROCESS: &str = "/usr/lib/python3.13/subprocess.py";
    const PIP: &str = "/usr/lib/python3/dist-packages/pip/_internal/utils/subprocess.py";

    fn in_file(file: &str) -> Frame {
        frame(file, 1, if file == CORE { "setup" } else { "f" })
    }

    fn key(tgid: u32) -> ProcessKey {
        ProcessKey { tgid, start_ns: 1 }
    }

    fn event(kind: Kind, process: u32, parent: u32, files: &[&str]) -> Event {
        Event {
            parent: key(parent),
            python: (!files.is_empty()).then(|| files.iter().map(|file| in_file(file)).collect()),
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
            // pip starts the back end, which runs setup.py in its own process. Before its first
            // stack nobody knows.
            exec(2, 1, &["/usr/bin/python3.13", "x.py"], &[SUBPROCESS, PIP]),
            event(Kind::Open, 2, 1, &[]),
            event(Kind::Open, 2, 1, &[SETUP, BACKEND]),
            event(Kind::Write, 2, 1, &[]),
            exec(
                3,
                2,
                &["/usr/bin/x86_64-linux-gnu-gcc-14"],
                &[SUBPROCESS, BACKEND, CORE, SETUP, SETUP, BACKEND],
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
        use Origin::{BuildRequirement, Compiler, Harness, Installer, Package, Unknown};
        assert_eq!(
            told,
            [
                Harness,
                Installer,
                Installer,
                Unknown,
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
    fn what_the_package_calls_is_the_packages_but_for_setup() {
        use Origin::{BuildRequirement, Installer, Package};
        for (files, whose) in [
            // distutils.spawn.spawn([...]), by the package.
            (
                &[SUBPROCESS, BACKEND, SETUP, BACKEND, PIP][..],
                Some(Package),
            ),
            // A command of the package's own, below setup().
            (&[BACKEND, SETUP, BACKEND, CORE, SETUP], Some(Package)),
            (
                &[SUBPROCESS, BACKEND, CORE, SETUP, SETUP],
                Some(BuildRequirement),
            ),
            // What runs before setup() and what setup() was called from are two things.
            (&[BACKEND, CORE, SETUP, BACKEND, SETUP], Some(Package)),
            (&[PIP, SETUP], Some(Package)),
            (&[SUBPROCESS, PIP], Some(Installer)),
            (&[SUBPROCESS], None),
        ] {
            let stack: Vec<Frame> = files.iter().map(|file| in_file(file)).collect();
            let told = telling(&stack, WORK).map(|(_, origin)| origin);
            assert_eq!(told, whose, "{files:?}");
        }
    }

    #[test]
    fn only_the_systems_compilers_are_compilers() {
        let events = [
            exec(1, 0, &["/usr/bin/python3.13", "-m", "pip", "install"], &[]),
            exec(2, 1, &["/usr/bin/ninja"], &[SUBPROCESS, BACKEND]),
            exec(3, 2, &["/usr/bin/dash", "-c", "c++ x.cc && curl u"], &[]),
            event(Kind::Write, 3, 2, &[]),
            exec(4, 3, &["/usr/bin/x86_64-linux-gnu-g++-14"], &[]),
            // gcc -wrapper /tmp/x
            exec(5, 4, &["/tmp/x"], &[]),
            event(Kind::Open, 5, 4, &[]),
            exec(6, 5, &["/usr/bin/gcc"], &[]),
            exec(7, 3, &["/usr/bin/curl", "u"], &[]),
            exec(8, 4, &["/tmp/gcc"], &[]),
        ];
        let origins = Origins::new(&events, WORK);
        let last = |process| origins.process(key(process));
        use Origin::{Compiler, Package};
        assert_eq!(
            (2..=8)
                .map(|process| last(process).unwrap())
                .collect::<Vec<_>>(),
            [
                Compiler, Package, Compiler, Package, Package, Package, Package
            ]
        );
        assert_eq!(
            origins.event(3),
            Some(Package),
            "what the shell does itself"
        );
    }

    #[test]
    fn a_compiler_is_one_where_the_packages_command_has_setuptools_start_it() {
        use Origin::{Compiler, Package};
        let gcc = "/usr/bin/x86_64-linux-gnu-gcc-14";
        let events = [
            exec(1, 0, &["/usr/bin/python3.13", "-m", "pip", "install"], &[]),
            exec(
                2,
                1,
                &[gcc],
                &[SUBPROCESS, BACKEND, SETUP, BACKEND, CORE, SETUP],
            ),
            event(Kind::Write, 2, 1, &[]),
            exec(3, 2, &["/tmp/wrapper"], &[]),
            exec(4, 1, &[gcc], &[SUBPROCESS, SETUP]),
            event(Kind::Write, 4, 1, &[]),
        ];
        let origins = Origins::new(&events, WORK);
        let told: Vec<Origin> = (1..6).filter_map(|i| origins.event(i)).collect();
        assert_eq!(told, [Package, Compiler, Compiler, Package, Package]);
    }

    #[test]
    fn a_stack_that_lost_the_frames_that_tell_tells_nothing() {
        let cut = Event {
            incomplete: Incomplete::PYTHON_INCOMPLETE,
            ..event(Kind::Open, 2, 1, &[SUBPROCESS])
        };
        let events = [
            exec(1, 0, &["/usr/bin/python3.13", "-m", "pip", "install"], &[]),
            event(Kind::Open, 2, 1, &[SUBPROCESS, PIP]),
            cut,
            event(Kind::Open, 2, 1, &[SUBPROCESS]),
        ];
        let origins = Origins::new(&events, WORK);
        let told: Vec<Origin> = (1..4).filter_map(|i| origins.event(i)).collect();
        use Origin::{Installer, Unknown};
        assert_eq!(told, [Installer, Unknown, Installer]);
    }

    #[test]
    fn who_is_behind_what_may_have_been_executed_is_not_known() {
        use Origin::{Harness, Installer, Unknown};
        let pip = ["/usr/bin/python3.13", "-m", "pip", "install"];
        let after = |result, incomplete| {
            let exec = Event {
                result,
                incomplete,
                ..exec(1, 0, &pip, &[])
            };
            let events = [exec, event(Kind::Open, 1, 0, &[])];
            Origins::new(&events, WORK).event(1)
        };
        assert_eq!(after(0, Incomplete::default()), Some(Installer));
        assert_eq!(after(-2, Incomplete::default()), Some(Harness));
        assert_eq!(after(0, Incomplete::RESULT_UNKNOWN), Some(Unknown));
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
            ("/home/dev/.cache/build/each.py", Some(Harness)),
            ("/home/dev/.cache/build-evil/each.py", Some(Package)),
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
}
