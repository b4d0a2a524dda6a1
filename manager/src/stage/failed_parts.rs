//! Which native parts of a build failed, and why: a build that gives a wheel all the same (an optional
//! extension) says it nowhere else.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::arguments::name;
use super::attached::is_same;
use super::calls::{Call, Role};
use super::diagnostics::Diagnostic;

/// Parts listed.
const MOST: usize = 1000;
/// Diagnostics of one part.
const MOST_DIAGNOSTICS: usize = 20;
/// Sources of one part that are looked for in what was said: of those whose names are there.
const MOST_SOURCES: usize = 64;
/// `SIGKILL`.
const SIGKILL: u32 = 9;
/// What build systems call the sources that they only try a compiler with: autoconf, distutils, meson,
/// CMake.
const TRIALS: [&str; 6] = [
    "conftest.",
    "_configtest.",
    "meson-private/",
    "CMakeScratch/",
    "CMakeTmp/",
    "CompilerIdC",
];

/// A call that did not give what it was to give.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailedPart {
    /// Its source, or its output where no source is named or it links others, or else its program.
    pub part: String,
    /// Its place among the calls.
    pub call: usize,
    /// Which build it is of, from 1.
    pub build: u32,
    /// The build system only tried the compiler with it, by its name.
    pub trial: bool,
    /// Its exit status, where it ended by itself.
    pub exit: Option<i32>,
    /// Why it failed, in a few words.
    pub reason: String,
    /// What the compiler said of its sources, in whichever build. Of equal names in different directories
    /// nobody can tell whose it is.
    pub diagnostics: Vec<Diagnostic>,
}

/// The failed ones of these calls, with what was said of them. What a driver starts fails with it and
/// is not told of twice. Where the build was `cut` short, whatever ran then was killed, which is no
/// failure of its own. Which build something was said in is not asked: the package can forge that.
pub(super) fn failed_parts(calls: &[Call], said: &[Diagnostic], cut: bool) -> Vec<FailedPart> {
    let failed = calls.iter().enumerate().filter(|(_, call)| {
        let bad = call.exit.is_some_and(|exit| exit != 0);
        let ended = call
            .signal
            .is_some_and(|signal| !(cut && signal == SIGKILL));
        let failed = bad || ended || call.errno.is_some();
        failed && is_part(call)
    });
    let errors = Errors::of(said);
    failed
        .take(MOST)
        .map(|(at, call)| part(at, call, errors.about(call)))
        .collect()
}

/// The errors among diagnostics.
struct Errors<'a> {
    said: Vec<&'a Diagnostic>,
    /// The names of their files.
    names: HashSet<&'a str>,
}

impl<'a> Errors<'a> {
    fn of(said: &'a [Diagnostic]) -> Self {
        let errors = said.iter().filter(|said| said.severity == "error");
        let said: Vec<&Diagnostic> = errors.collect();
        Self {
            names: said.iter().map(|said| name(&said.file)).collect(),
            said,
        }
    }

    /// Those about the sources of a call, each once: the second build says them again.
    fn about(&self, call: &Call) -> Vec<Diagnostic> {
        let named = |source: &&String| self.names.contains(name(source));
        let sources = call.sources.iter().filter(named).take(MOST_SOURCES);
        let sources: Vec<&String> = sources.collect();
        let mut found: Vec<Diagnostic> = vec![];
        for said in &self.said {
            if found.len() >= MOST_DIAGNOSTICS {
                break;
            }
            let own = sources.iter().any(|source| is_same(source, &said.file));
            if own && !found.iter().any(|known| known.repeats(said)) {
                found.push((*said).clone());
            }
        }
        found
    }
}

/// Whether a part of the build is missing where this fails.
fn is_part(call: &Call) -> bool {
    match call.role {
        Role::Compiler | Role::Generator => true,
        Role::Translator => false,
        // One that names no file was only asked whether it is there.
        Role::Assembler | Role::Linker => {
            !(call.driven || call.sources.is_empty() && call.outputs.is_empty())
        }
    }
}

fn part(at: usize, call: &Call, diagnostics: Vec<Diagnostic>) -> FailedPart {
    // What a linker reads are parts of their own.
    let source = call.sources.first().filter(|_| call.role != Role::Linker);
    let named = source.or(call.outputs.first());
    let part = named.unwrap_or(&call.program).clone();
    let tried = |path: &String| TRIALS.iter().any(|trial| path.contains(trial));
    let mut paths = call.sources.iter().chain(&call.outputs);
    FailedPart {
        trial: paths.any(tried) || call.directory.as_ref().is_some_and(tried),
        part,
        call: at,
        build: call.build,
        exit: call.exit,
        reason: reason(call, &diagnostics),
        diagnostics,
    }
}

fn reason(call: &Call, diagnostics: &[Diagnostic]) -> String {
    if let Some(errno) = call.errno {
        let error = std::io::Error::from_raw_os_error(errno);
        return format!("{} could not be executed: {error}", call.program);
    }
    if let Some(first) = diagnostics.first() {
        return first.message.clone();
    }
    match (call.exit, call.signal) {
        (Some(exit), _) => format!("exit status {exit}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "its end is not on record".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(role: Role, sources: &[&str], exit: Option<i32>) -> Call {
        Call {
            role,
            program: "/usr/bin/gcc".into(),
            arguments: vec![],
            truncated: false,
            build: 1,
            driven: false,
            directory: None,
            sources: sources.iter().map(|&source| source.to_owned()).collect(),
            outputs: vec![],
            seconds: None,
            exit,
            signal: None,
            errno: None,
            diagnostics: vec![],
        }
    }

    fn error(file: &str, message: &str) -> Diagnostic {
        Diagnostic {
            file: file.to_owned(),
            line: Some(1),
            column: None,
            severity: "error".to_owned(),
            message: message.to_owned(),
            option: None,
            build: 1,
        }
    }

    #[test]
    fn a_part_fails_with_the_first_word_on_it() {
        let calls = [
            call(Role::Compiler, &["a.c"], Some(0)),
            call(Role::Compiler, &["src/b.c"], Some(1)),
            call(Role::Translator, &["src/b.c"], Some(1)),
            call(Role::Compiler, &["conftest.c"], Some(1)),
            Call {
                program: "/usr/bin/gfortran".into(),
                errno: Some(2),
                ..call(Role::Compiler, &[], None)
            },
        ];
        let own = error("b.c", "no such type");
        // The second build says it again; which one it was is not the output's to say.
        let again = Diagnostic {
            build: 2,
            ..own.clone()
        };
        let said = [error("ab.c", "other"), own.clone(), again.clone()];
        let found = failed_parts(&calls, &said, false);
        let short: Vec<_> = found
            .iter()
            .map(|part| (&*part.part, part.call, part.trial, &*part.reason))
            .collect();
        assert_eq!(
            short,
            [
                ("src/b.c", 1, false, "no such type"),
                ("conftest.c", 3, true, "exit status 1"),
                (
                    "/usr/bin/gfortran",
                    4,
                    false,
                    "/usr/bin/gfortran could not be executed: No such file or directory (os error 2)"
                ),
            ]
        );
        assert_eq!(found[0].diagnostics, [own]);
        let found = failed_parts(&calls, std::slice::from_ref(&again), false);
        assert_eq!(found[0].reason, "no such type");
    }

    #[test]
    fn an_assembler_or_a_linker_is_a_part_where_no_driver_fails_with_it() {
        let linker = |program: &str, output: Option<&str>| Call {
            program: program.to_owned(),
            outputs: output.into_iter().map(str::to_owned).collect(),
            ..call(Role::Linker, &["a.o"], Some(1))
        };
        let driven = |call| Call {
            driven: true,
            ..call
        };
        let calls = [
            call(Role::Assembler, &["a.asm"], Some(1)),
            linker("/usr/bin/ar", Some("libx.a")),
            linker("/usr/bin/ld", None),
            driven(linker("/usr/bin/ld", Some("x.so"))),
            driven(call(Role::Assembler, &["/tmp/a.s"], Some(1))),
            // `nasm -v`
            call(Role::Assembler, &[], Some(1)),
            Call {
                errno: Some(2),
                ..call(Role::Assembler, &["b.asm"], None)
            },
            linker("/usr/bin/ar", Some("libconftest.a")),
        ];
        let found = failed_parts(&calls, &[], false);
        let short: Vec<_> = found
            .iter()
            .map(|part| (&*part.part, part.call, part.trial))
            .collect();
        assert_eq!(
            short,
            [
                ("a.asm", 0, false),
                ("libx.a", 1, false),
                ("/usr/bin/ld", 2, false),
                ("b.asm", 6, false),
                ("libconftest.a", 7, true),
            ]
        );
    }

    #[test]
    fn what_the_end_of_the_build_killed_did_not_fail() {
        let signal = |signal| Call {
            signal: Some(signal),
            ..call(Role::Compiler, &["a.c"], None)
        };
        assert_eq!(failed_parts(&[signal(SIGKILL)], &[], true).len(), 0);
        assert_eq!(failed_parts(&[signal(SIGKILL)], &[], false).len(), 1);
        assert_eq!(failed_parts(&[signal(11)], &[], true).len(), 1);
    }
}
