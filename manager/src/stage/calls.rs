//! Calls of compilers, linkers and code generators, told by the record of the kernel: what was
//! executed, or was to be, where, how it ended.

use std::collections::HashMap;

use pyti_trace::event::{Event, Incomplete, Kind, ProcessKey};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::arguments::{files, interpreted, name, role};
use super::diagnostics::Diagnostic;

/// Calls listed; the store has all.
const MOST: usize = 20_000;
/// Bytes of the arguments of all that are listed.
const MOST_BYTES: usize = 64 << 20;
/// Sources of one call that get entries of a compilation database.
const MOST_SOURCES: usize = 16;
/// Entries of a compilation database.
const MOST_ENTRIES: usize = 20_000;
/// Bytes of their arguments, which each entry repeats.
const MOST_ENTRY_BYTES: usize = 16 << 20;

/// What a program of a build is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Drives compiling and linking: gcc, clang, rustc.
    Compiler,
    /// Turns one language into assembler: cc1.
    Translator,
    /// as, nasm.
    Assembler,
    /// ld, collect2, ar.
    Linker,
    /// cython, swig, bison, protoc.
    Generator,
}

/// One call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Call {
    /// What the program is for.
    pub role: Role,
    /// Its path.
    pub program: String,
    /// Its arguments; the record keeps the first ones of very many.
    pub arguments: Vec<String>,
    /// Not all of them are on record.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// Which build it is of, from 1.
    pub build: u32,
    /// Its working directory.
    pub directory: Option<String>,
    /// The arguments that it reads: sources; of a linker or an archiver objects and archives.
    pub sources: Vec<String>,
    /// What it writes: the arguments that are outputs, or how it calls them by itself where all
    /// arguments are known.
    pub outputs: Vec<String>,
    /// One of the others started it, such as gcc its ld, and fails with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub driven: bool,
    /// From its execution to its end, seconds; `None` where the end is not on record.
    pub seconds: Option<f64>,
    /// Exit status; `None` where it was ended by a signal or is not on record.
    pub exit: Option<i32>,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<u32>,
    /// Why it was not executed (`errno`), wherever the caller looked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    /// What was said of its sources in its build, each by one call only: see `attached`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Diagnostic>,
}

/// What may still be listed, and what was too much for that.
struct Room {
    count: usize,
    bytes: usize,
    missing: usize,
}

impl Room {
    fn of(count: usize, bytes: usize) -> Self {
        Self {
            count,
            bytes,
            missing: 0,
        }
    }

    /// Whether there is room for something with these arguments, which it takes then.
    fn take(&mut self, arguments: &[String]) -> bool {
        let (count, bytes) = (
            self.count.checked_sub(1),
            self.bytes.checked_sub(size(arguments)),
        );
        let (Some(count), Some(bytes)) = (count, bytes) else {
            self.missing += 1;
            return false;
        };
        (self.count, self.bytes) = (count, bytes);
        true
    }

    /// Something with these arguments is not listed after all.
    fn give(&mut self, arguments: &[String]) {
        self.count += 1;
        self.bytes += size(arguments);
    }
}

/// What arguments take in memory, bytes, roughly.
fn size(arguments: &[String]) -> usize {
    let bytes = |argument: &String| size_of::<String>() + argument.len();
    arguments.iter().map(bytes).sum()
}

/// The calls among the events of a stage, in the order of time, and how many were too many. A build
/// begins where the stage's first process removes the directory of the one before.
pub(super) fn calls(events: &[Event], directory: &str) -> (Vec<Call>, usize) {
    calls_within(events, directory, Room::of(MOST, MOST_BYTES))
}

fn calls_within(events: &[Event], directory: &str, mut room: Room) -> (Vec<Call>, usize) {
    let mut calls: Vec<(Call, u64)> = vec![];
    let mut running: HashMap<ProcessKey, usize> = HashMap::new();
    // The last program that a process could not execute: the caller looks for it in one directory
    // after the other.
    let mut missed: HashMap<ProcessKey, (Call, u64)> = HashMap::new();
    let mut exec = events.iter().filter(|event| event.kind == Kind::Exec);
    let first = exec.next().map(|event| event.process);
    let mut build = 1;
    for event in events {
        match event.kind {
            Kind::Exec if event.result >= 0 => {
                // A process that executes anew has ended its earlier call.
                running.remove(&event.process);
                if let Some((call, _)) = missed.remove(&event.process) {
                    room.give(&call.arguments);
                }
                let driven = is_driven(event, &running, &calls);
                if let Some(call) = call(event, build, driven)
                    && room.take(&call.arguments)
                {
                    running.insert(event.process, calls.len());
                    calls.push((call, event.time_ns));
                }
            }
            Kind::Exec => {
                let driven = is_driven(event, &running, &calls);
                if let Some(call) = call(event, build, driven) {
                    if let Some((call, _)) = missed.remove(&event.process) {
                        room.give(&call.arguments);
                    }
                    if room.take(&call.arguments) {
                        missed.insert(event.process, (call, event.time_ns));
                    }
                }
            }
            // The threads of a process end one by one; its leader's end has the status.
            Kind::Exit if event.tid == event.process.tgid => {
                let ended = running.remove(&event.process);
                if let Some((call, began)) = ended.and_then(|at| calls.get_mut(at)) {
                    call.signal = event.signal.filter(|&signal| signal != 0);
                    call.exit = event.exit_code.filter(|_| call.signal.is_none());
                    let nanoseconds = event.time_ns.saturating_sub(*began);
                    call.seconds = Some(nanoseconds as f64 / 1e9);
                }
            }
            Kind::Rmdir
                if event.result >= 0
                    && Some(event.process) == first
                    && event.path.as_deref() == Some(directory) =>
            {
                build += 1;
            }
            _ => {}
        }
    }
    calls.extend(missed.into_values());
    calls.sort_by_key(|(_, began)| *began);
    let calls = calls.into_iter().map(|(call, _)| call).collect();
    (calls, room.missing)
}

/// The calls of the first build as a compilation database, and how many entries were too many.
pub(super) fn database(calls: &[Call]) -> (Vec<Value>, usize) {
    database_within(calls, Room::of(MOST_ENTRIES, MOST_ENTRY_BYTES))
}

fn database_within(calls: &[Call], mut room: Room) -> (Vec<Value>, usize) {
    let mut entries = vec![];
    for call in calls.iter().filter(|call| call.build == 1) {
        for (at, source) in call.compiled().iter().enumerate() {
            if room.take(&call.arguments) {
                entries.push(call.entry(source, call.outputs.get(at)));
            }
        }
    }
    (entries, room.missing)
}

/// Whether a call that still runs has started what is executed. A generator drives nothing: what it
/// starts is a part of its own.
fn is_driven(event: &Event, running: &HashMap<ProcessKey, usize>, calls: &[(Call, u64)]) -> bool {
    let parent = running.get(&event.parent).and_then(|&at| calls.get(at));
    parent.is_some_and(|(call, _)| call.role != Role::Generator)
}

fn call(event: &Event, build: u32, driven: bool) -> Option<Call> {
    // One that is not there has no resolved path.
    let program = event.path.as_ref().or(event.asked.as_ref())?.clone();
    let failed = i32::try_from(event.result)
        .ok()
        .filter(|&result| result < 0);
    let arguments = event.argv.clone().unwrap_or_default();
    let name = name(&program);
    let known = |tool| role(tool).map(|role| (tool, role));
    let (tool, role) = known(name).or_else(|| {
        // A generator written in Python runs as its interpreter's argument.
        known(interpreted(name, &arguments)?).filter(|(_, role)| *role == Role::Generator)
    })?;
    let truncated = event
        .incomplete
        .intersects(Incomplete::ARGV_TRUNCATED | Incomplete::ARGV_UNREADABLE);
    let (sources, outputs) = files(role, tool, &arguments, !truncated);
    Some(Call {
        role,
        program,
        directory: event.cwd.clone(),
        sources,
        outputs,
        arguments,
        truncated,
        build,
        driven,
        seconds: None,
        exit: None,
        signal: None,
        errno: failed.map(i32::wrapping_neg),
        diagnostics: vec![],
    })
}

impl Call {
    /// The sources that get an entry of a compilation database each.
    fn compiled(&self) -> &[String] {
        let compiles = self.arguments.iter().any(|argument| argument == "-c");
        // What compiles more at once is nobody's compiler call.
        let few = self.sources.len() <= MOST_SOURCES;
        if self.role != Role::Compiler || !compiles || !few {
            return &[];
        }
        &self.sources
    }

    fn entry(&self, source: &str, output: Option<&String>) -> Value {
        let mut entry = Map::new();
        entry.insert("directory".to_owned(), json!(self.directory));
        entry.insert("arguments".to_owned(), json!(self.arguments));
        entry.insert("file".to_owned(), json!(source));
        if let Some(output) = output {
            entry.insert("output".to_owned(), json!(output));
        }
        if self.truncated {
            entry.insert("truncated".to_owned(), json!(true));
        }
        Value::Object(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: Kind, tgid: u32, time_ns: u64) -> Event {
        let process = ProcessKey { tgid, start_ns: 0 };
        Event::new(kind, process, time_ns)
    }

    fn exec(tgid: u32, time_ns: u64, result: i64, argv: &[&str]) -> Event {
        Event {
            result,
            path: (result >= 0).then(|| argv[0].to_owned()),
            asked: Some(argv[0].to_owned()),
            argv: Some(argv.iter().map(|&word| word.to_owned()).collect()),
            cwd: Some("/home/dev/build/source/a-1".to_owned()),
            ..event(Kind::Exec, tgid, time_ns)
        }
    }

    fn exit(tgid: u32, time_ns: u64, code: i32, signal: u32) -> Event {
        Event {
            exit_code: Some(code),
            signal: Some(signal),
            ..event(Kind::Exit, tgid, time_ns)
        }
    }

    #[test]
    fn a_program_that_is_nowhere_is_a_call_and_one_that_was_looked_for_is_not() {
        let events = [
            exec(1, 1, 0, &["/usr/bin/python3"]),
            exec(2, 2, -2, &["/home/dev/.local/bin/gcc", "-c", "a.c"]),
            exec(2, 3, 0, &["/usr/bin/gcc", "-c", "a.c"]),
            exec(3, 4, -2, &["/usr/local/bin/gfortran", "-c", "b.f90"]),
            exec(3, 5, -2, &["/usr/bin/gfortran", "-c", "b.f90"]),
            exit(3, 6, 255, 0),
            exit(2, 7, 0, 11),
        ];
        let (calls, missing) = calls(&events, "/home/dev/build");
        assert_eq!(missing, 0);
        let short: Vec<_> = calls
            .iter()
            .map(|call| (&*call.program, call.exit, call.signal, call.errno))
            .collect();
        assert_eq!(
            short,
            [
                ("/usr/bin/gcc", None, Some(11), None),
                ("/usr/bin/gfortran", None, None, Some(2)),
            ]
        );
    }

    #[test]
    fn a_generator_in_python_is_told_by_its_script_or_its_module() {
        for (words, expected) in [
            ("/usr/bin/python3 /usr/bin/cython3 x.pyx", Some("x.c")),
            ("/usr/bin/python3.13 -I -m cython x.pyx", Some("x.c")),
            ("/opt/pypy3 -X dev -m numpy.f2py x.f90 -o x.c", Some("x.c")),
            ("/usr/bin/python3 -m pip install cython", None),
            ("/usr/bin/python3 -c cython x.pyx", None),
            ("/usr/bin/which cython", None),
        ] {
            let argv: Vec<&str> = words.split(' ').collect();
            let call = call(&exec(1, 1, 0, &argv), 1, false);
            let output = call.as_ref().and_then(|call| call.outputs.first());
            assert_eq!(output.map(String::as_str), expected, "{words}");
            assert!(call.is_none_or(|call| call.role == Role::Generator));
        }
    }

    #[test]
    fn what_a_driver_starts_is_driven() {
        let by = |parent, event| Event {
            parent: ProcessKey {
                tgid: parent,
                start_ns: 0,
            },
            ..event
        };
        let events = [
            by(9, exec(1, 1, 0, &["/usr/bin/gcc", "a.o"])),
            by(1, exec(2, 2, 0, &["/usr/lib/collect2", "a.o"])),
            by(2, exec(3, 3, -2, &["/usr/bin/ld", "a.o"])),
            exit(1, 4, 1, 0),
            by(1, exec(4, 5, 0, &["/usr/bin/ar", "rcs", "a.a", "a.o"])),
            by(9, exec(5, 6, 0, &["/usr/bin/swig", "a.i"])),
            by(5, exec(6, 7, 0, &["/usr/bin/as", "a.s"])),
        ];
        let (calls, _) = calls(&events, "/home/dev/build");
        let driven: Vec<bool> = calls.iter().map(|call| call.driven).collect();
        assert_eq!(driven, [false, true, true, false, false, false]);
    }

    #[test]
    fn calls_are_told_apart_by_the_build_that_they_are_of() {
        let removed = |tgid, time_ns| Event {
            path: Some("/home/dev/build".to_owned()),
            ..event(Kind::Rmdir, tgid, time_ns)
        };
        let mut cut = exec(5, 6, 0, &["/usr/bin/gcc", "-c", "a.c"]);
        cut.incomplete = Incomplete::ARGV_TRUNCATED;
        let events = [
            exec(1, 1, 0, &["/usr/bin/python3"]),
            exec(2, 2, 0, &["/usr/bin/gcc", "-c", "a.c"]),
            removed(2, 3),
            exec(3, 4, 0, &["/usr/bin/gcc", "-c", "b.c"]),
            removed(1, 5),
            cut,
        ];
        let (calls, _) = calls(&events, "/home/dev/build");
        let builds: Vec<_> = calls
            .iter()
            .map(|call| (call.build, call.truncated))
            .collect();
        assert_eq!(builds, [(1, false), (1, false), (2, true)]);
        let entry = |file: &str, output: &str| {
            json!({
                "directory": "/home/dev/build/source/a-1",
                "arguments": ["/usr/bin/gcc", "-c", file],
                "file": file,
                "output": output,
            })
        };
        let entries = vec![entry("a.c", "a.o"), entry("b.c", "b.o")];
        assert_eq!(database(&calls), (entries, 0));
        assert_eq!(calls[2].entry("a.c", None)["truncated"], true);
        // The option that names the output may be what is missing.
        assert!(calls[2].outputs.is_empty());
    }

    #[test]
    fn what_guests_repeat_is_bounded_and_counted() {
        let argv = ["/usr/bin/gcc", "-c", "a.c", "b.c", "c.c"];
        let events: Vec<Event> = (1..5).map(|tgid| exec(tgid, 1, 0, &argv)).collect();
        let one = size(events[0].argv.as_deref().unwrap());
        let within = |room| {
            let (calls, missing) = calls_within(&events, "/home/dev/build", room);
            (calls.len(), missing)
        };
        assert_eq!(within(Room::of(9, 9 * one)), (4, 0));
        assert_eq!(within(Room::of(2, 9 * one)), (2, 2));
        assert_eq!(within(Room::of(9, 3 * one)), (3, 1));
        let (calls, _) = calls(&events, "/home/dev/build");
        let entries = |room| {
            let (entries, missing) = database_within(&calls, room);
            (entries.len(), missing)
        };
        assert_eq!(entries(Room::of(99, 99 * one)), (12, 0));
        assert_eq!(entries(Room::of(99, 5 * one)), (5, 7));
    }

    #[test]
    fn looking_for_a_program_everywhere_takes_room_once() {
        let mut events: Vec<Event> = (1..9)
            .map(|at| exec(2, at, -2, &["/somewhere/gcc", "-c", "a.c"]))
            .collect();
        events.push(exec(2, 9, 0, &["/usr/bin/gcc", "-c", "a.c"]));
        let (calls, missing) = calls_within(&events, "/home/dev/build", Room::of(1, 1 << 10));
        assert_eq!((calls.len(), missing), (1, 0));
    }
}
