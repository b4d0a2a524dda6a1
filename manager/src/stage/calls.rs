//! Calls of compilers, linkers and code generators, told by the record of the kernel: what was
//! executed, where, how it ended.

use std::collections::HashMap;

use pyti_trace::event::{Event, Kind, ProcessKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Calls listed; the store has all.
const MOST: usize = 20_000;
/// Sources of one call that get entries of a compilation database.
const MOST_SOURCES: usize = 16;

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
    /// Its working directory.
    pub directory: Option<String>,
    /// The arguments that are sources.
    pub sources: Vec<String>,
    /// The arguments that are outputs.
    pub outputs: Vec<String>,
    /// From its execution to its end, seconds; `None` where the end is not on record.
    pub seconds: Option<f64>,
    /// Exit status; `None` where it was ended by a signal or is not on record.
    pub exit: Option<i32>,
}

/// The calls among the events of a stage, in the order of time.
pub(super) fn calls(events: &[Event]) -> Vec<Call> {
    let mut calls: Vec<(Call, u64)> = vec![];
    let mut running: HashMap<ProcessKey, usize> = HashMap::new();
    for event in events {
        match event.kind {
            Kind::Exec if event.result >= 0 => {
                // A process that executes anew has ended its earlier call.
                running.remove(&event.process);
                if calls.len() < MOST
                    && let Some(call) = call(event)
                {
                    running.insert(event.process, calls.len());
                    calls.push((call, event.time_ns));
                }
            }
            // The threads of a process end one by one; its leader's end has the status.
            Kind::Exit if event.tid == event.process.tgid => {
                let ended = running.remove(&event.process);
                if let Some((call, began)) = ended.and_then(|at| calls.get_mut(at)) {
                    call.exit = event
                        .exit_code
                        .filter(|_| event.signal.is_none_or(|s| s == 0));
                    let nanoseconds = event.time_ns.saturating_sub(*began);
                    call.seconds = Some(nanoseconds as f64 / 1e9);
                }
            }
            _ => {}
        }
    }
    calls.into_iter().map(|(call, _)| call).collect()
}

fn call(event: &Event) -> Option<Call> {
    let program = event.path.clone()?;
    let arguments = event.argv.clone().unwrap_or_default();
    let role = role(program.rsplit('/').next()?)
        // A generator written in Python runs as its interpreter's argument.
        .or_else(|| {
            let script = arguments.get(1)?.rsplit('/').next()?;
            role(script).filter(|&role| role == Role::Generator)
        })?;
    let (sources, outputs) = files(&arguments);
    Some(Call {
        role,
        program,
        directory: event.cwd.clone(),
        sources,
        outputs,
        arguments,
        seconds: None,
        exit: None,
    })
}

/// What a program of this name is for. A target and a version may stand around it:
/// `x86_64-linux-gnu-gcc-14`.
fn role(name: &str) -> Option<Role> {
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let bare = bare.strip_suffix('-').unwrap_or(bare);
    let is = |names: &[&str]| {
        names.iter().any(|wanted| {
            [name, bare].iter().any(|name| {
                name.strip_suffix(wanted)
                    .is_some_and(|target| target.is_empty() || target.ends_with("linux-gnu-"))
            })
        })
    };
    Some(
        // First, since cc1 is no first version of cc.
        if ["cc1", "cc1plus", "cc1obj", "f951", "lto1"].contains(&name) {
            Role::Translator
        } else if is(&[
            "gcc", "g++", "cc", "c++", "clang", "clang++", "gfortran", "rustc", "nvcc", "ccache",
        ]) {
            Role::Compiler
        } else if is(&["as", "nasm", "yasm"]) {
            Role::Assembler
        } else if is(&[
            "ld", "ld.bfd", "ld.gold", "lld", "ld.lld", "collect2", "ar", "gcc-ar",
        ]) {
            Role::Linker
        } else if is(&[
            "cython", "swig", "bison", "flex", "yacc", "lex", "re2c", "protoc", "f2py", "moc",
            "uic",
        ]) {
            Role::Generator
        } else {
            return None;
        },
    )
}

/// What sources are called.
const SOURCES: [&str; 18] = [
    "c", "cc", "cpp", "cxx", "c++", "C", "m", "mm", "f", "f90", "F90", "s", "S", "asm", "rs",
    "pyx", "i", "cu",
];

fn files(arguments: &[String]) -> (Vec<String>, Vec<String>) {
    let (mut sources, mut outputs) = (vec![], vec![]);
    let mut rest = arguments.iter().skip(1);
    while let Some(argument) = rest.next() {
        if argument == "-o" || argument == "--output-file" {
            outputs.extend(rest.next().cloned());
        } else if let Some(output) = argument
            .strip_prefix("-o")
            .filter(|path| path.contains('.'))
        {
            outputs.push(output.to_owned());
        } else if !argument.starts_with('-')
            && let Some((_, suffix)) = argument.rsplit_once('.')
            && SOURCES.contains(&suffix)
        {
            sources.push(argument.clone());
        }
    }
    (sources, outputs)
}

impl Call {
    /// Its entries of a compilation database: one for each source that is compiled.
    pub(super) fn database(&self) -> Vec<Value> {
        let compiles = self.arguments.iter().any(|argument| argument == "-c");
        // Each entry repeats the arguments: what compiles more at once is nobody's compiler call.
        let few = self.sources.len() <= MOST_SOURCES;
        if self.role != Role::Compiler || !compiles || !few {
            return vec![];
        }
        let entry = |source: &String| {
            json!({
                "directory": self.directory,
                "arguments": self.arguments,
                "file": source,
                "output": self.outputs.first(),
            })
        };
        self.sources.iter().map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_by_their_names() {
        for (name, expected) in [
            ("gcc", Some(Role::Compiler)),
            ("x86_64-linux-gnu-gcc-14", Some(Role::Compiler)),
            ("g++", Some(Role::Compiler)),
            ("cc1", Some(Role::Translator)),
            ("cc1plus", Some(Role::Translator)),
            ("x86_64-linux-gnu-as", Some(Role::Assembler)),
            ("collect2", Some(Role::Linker)),
            ("cython", Some(Role::Generator)),
            ("python3.13", None),
            ("cat", None),
            ("cargo", None),
        ] {
            assert_eq!(role(name), expected, "{name}");
        }
    }

    #[test]
    fn sources_and_outputs_are_told_by_the_arguments() {
        let arguments =
            ["gcc", "-c", "a/b.c", "-o", "out/b.o", "-I.", "-DX=y.c"].map(str::to_owned);
        assert_eq!(
            files(&arguments),
            (vec!["a/b.c".into()], vec!["out/b.o".into()])
        );
    }
}
