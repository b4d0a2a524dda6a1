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
//!    build's code and the package's: of that, nobody knows. Of what takes time, as a write does, that
//!    is decided when it begins.
//! 5. Compilers under `/usr` that somebody else's code starts, were it for the package, are the
//!    compiler's, and so are those that they start themselves, also through a shell. Any other program
//!    that they start, such as one named by a Makefile, is the package's. Which program it is, the file
//!    that the kernel runs says: see [`Programs`].
//!
//! A package can write its interpreter's memory and name its files as it likes: an origin tells
//! where to look, and excuses nothing. No rule and no verdict asks for it.

use std::collections::{BTreeMap, HashMap};

use pyti_trace::event::{Event, Frame, Incomplete, Kind, ProcessKey};
use serde::{Deserialize, Serialize};

use crate::moments::moments;
use crate::tree::base_name;

mod frames;
mod programs;
#[cfg(test)]
mod tests;

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
        let mut of_events = vec![Origin::Unknown; events.len()];
        // By event that has begun and not ended.
        let mut begun: HashMap<usize, Standing> = HashMap::new();
        for moment in moments(events) {
            let event = &events[moment.index];
            if !moment.ends {
                begun.insert(moment.index, deciding.standing(event));
                continue;
            }
            let standing = begun.remove(&moment.index);
            let standing = standing.unwrap_or_else(|| deciding.standing(event));
            of_events[moment.index] = deciding.decide(event, standing);
        }
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

/// What is known of an event before its own stack.
#[derive(Debug, Clone, Copy)]
struct Standing {
    behind: Behind,
    /// What the last stack of its thread said.
    last: Option<Origin>,
}

struct Deciding<'a> {
    work: &'a str,
    programs: Programs,
    processes: HashMap<ProcessKey, Behind>,
    /// What the last stack of a thread said.
    threads: HashMap<(ProcessKey, u32), Origin>,
}

impl Deciding<'_> {
    /// What is known now of who is behind the event.
    fn standing(&mut self, event: &Event) -> Standing {
        let parent = self.processes.get(&event.parent).copied();
        let entry = self.processes.entry(event.process);
        Standing {
            behind: *entry.or_insert(parent.unwrap_or(Behind::new(Origin::Harness))),
            last: self.threads.get(&(event.process, event.tid)).copied(),
        }
    }

    fn decide(&mut self, event: &Event, Standing { behind, last }: Standing) -> Origin {
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
            None => last.unwrap_or(behind.origin),
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
