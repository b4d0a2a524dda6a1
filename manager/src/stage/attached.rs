//! Which call each diagnostic is about.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use super::arguments::name;
use super::calls::{Call, Role};
use super::diagnostics::Diagnostic;
use super::unnamed::links;

/// Sources that are looked at for one diagnostic: those that are called as its file is, wherever they
/// lie.
const MOST_OF_A_NAME: usize = 1000;
/// How what is wrong with a link begins. ld tells of it by the source, where the objects name that.
const OF_LINKS: [&str; 2] = ["undefined reference to", "multiple definition of"];

/// Gives each diagnostic to the call of its build that it is about, and returns those that are about
/// none: of headers, of libraries, of what was compiled within another program. Each is given once, so
/// that there are as many of them as were read.
///
/// Of several calls with such a source it goes to one that shares most of the path, rather to a driver
/// than to what that drives, and to the first that was not given an equal one: of what is compiled twice
/// it is said twice.
pub(super) fn attach(calls: &mut [Call], said: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let places = places(calls, &said);
    let mut rest = vec![];
    for (said, place) in said.into_iter().zip(places) {
        match place.and_then(|at| calls.get_mut(at)) {
            Some(call) => call.diagnostics.push(said),
            None => rest.push(said),
        }
    }
    rest
}

/// A source of a call, which has its place among the calls.
struct Source<'a> {
    at: usize,
    path: &'a str,
    /// The call links.
    links: bool,
    /// Another call drives it.
    driven: bool,
}

/// For each diagnostic the place of its call.
fn places(calls: &[Call], said: &[Diagnostic]) -> Vec<Option<usize>> {
    let wanted: HashSet<(u32, &str)> = said.iter().map(key).collect();
    let mut named: HashMap<(u32, &str), Vec<Source<'_>>> = HashMap::new();
    for (at, call) in calls.iter().enumerate() {
        let links = can_link(call);
        for path in &call.sources {
            let key = (call.build, name(path));
            if !wanted.contains(&key) {
                continue;
            }
            let same = named.entry(key).or_default();
            if same.len() < MOST_OF_A_NAME {
                same.push(Source {
                    at,
                    path,
                    links,
                    driven: call.driven,
                });
            }
        }
    }
    // Equal ones have one number: none is compared with all that a call was given.
    let mut numbers: HashMap<&Diagnostic, usize> = HashMap::new();
    let mut given: HashSet<(usize, usize)> = HashSet::new();
    let mut places = vec![];
    for said in said {
        let next = numbers.len();
        let number = *numbers.entry(said).or_insert(next);
        let of_link = is_of_link(said);
        let same = named.get(&key(said)).into_iter().flatten();
        let place = same
            .filter(|source| is_same(source.path, &said.file) && (source.links || !of_link))
            .min_by_key(|source| {
                // One of the two is the end of the other.
                let shared = source.path.len().min(said.file.len());
                let again = given.contains(&(source.at, number));
                let elsewhere = source.path != said.file;
                (Reverse(shared), elsewhere, source.driven, again)
            })
            .map(|source| source.at);
        given.extend(place.map(|at| (at, number)));
        places.push(place);
    }
    places
}

/// What a diagnostic has in common with the sources that it may be about.
fn key(said: &Diagnostic) -> (u32, &str) {
    (said.build, name(&said.file))
}

/// Whether a compiler's name for a file is that of a source: it may be told relative to elsewhere.
pub(super) fn is_same(source: &str, file: &str) -> bool {
    let ends = |long: &str, short: &str| {
        let before = long.strip_suffix(short);
        !short.is_empty() && before.is_some_and(|before| before.is_empty() || before.ends_with('/'))
    };
    ends(source, file) || ends(file, source)
}

/// Whether a diagnostic is about a link: what compiles a source does not link it.
fn is_of_link(said: &Diagnostic) -> bool {
    OF_LINKS.iter().any(|begin| said.message.starts_with(begin))
}

fn can_link(call: &Call) -> bool {
    call.role == Role::Linker || call.role == Role::Compiler && links(&call.arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(file: &str, build: u32) -> Diagnostic {
        Diagnostic {
            file: file.to_owned(),
            line: Some(1),
            column: None,
            severity: "warning".to_owned(),
            message: "unused".to_owned(),
            option: None,
            build,
        }
    }

    fn call(role: Role, source: &str, build: u32) -> Call {
        Call {
            role,
            program: "/usr/bin/gcc".to_owned(),
            arguments: vec!["gcc".to_owned(), "-c".to_owned(), source.to_owned()],
            truncated: false,
            build,
            directory: None,
            sources: vec![source.to_owned()],
            outputs: vec![],
            driven: false,
            seconds: None,
            exit: Some(0),
            signal: None,
            errno: None,
            diagnostics: vec![],
        }
    }

    /// What is given to each call, as the places of the diagnostics, and the places of the rest.
    fn attached(mut calls: Vec<Call>, said: &[Diagnostic]) -> (Vec<Vec<usize>>, Vec<usize>) {
        let number = |(at, said): (usize, &Diagnostic)| Diagnostic {
            column: u32::try_from(at).ok(),
            ..said.clone()
        };
        let numbered = said.iter().enumerate().map(number).collect();
        let places = |said: &[Diagnostic]| -> Vec<usize> {
            said.iter()
                .map(|said| said.column.unwrap() as usize)
                .collect()
        };
        let rest = attach(&mut calls, numbered);
        let given = calls.iter().map(|call| places(&call.diagnostics));
        (given.collect(), places(&rest))
    }

    #[test]
    fn a_call_has_what_was_said_of_its_sources() {
        let driven = Call {
            driven: true,
            ..call(Role::Translator, "src/a.c", 1)
        };
        let calls = vec![
            driven,
            call(Role::Compiler, "a.c", 1),
            call(Role::Compiler, "src/a.c", 1),
            call(Role::Compiler, "src/a.c", 2),
        ];
        let said = [
            warning("src/a.c", 1),
            warning("src/a.c", 2),
            warning("a.h", 1),
            warning("", 1),
            warning("lib/a.c", 1),
            warning("/home/dev/src/a.c", 1),
        ];
        assert_eq!(
            attached(calls, &said),
            (vec![vec![], vec![4], vec![0, 5], vec![1]], vec![2, 3])
        );
    }

    #[test]
    fn what_is_compiled_twice_is_spoken_of_twice() {
        let two = || {
            vec![
                call(Role::Compiler, "a.c", 1),
                call(Role::Compiler, "a.c", 1),
            ]
        };
        let mut calls = two();
        let again = warning("a.c", 1);
        assert!(attach(&mut calls, vec![again.clone(), again.clone(), again]).is_empty());
        let given: Vec<usize> = calls.iter().map(|call| call.diagnostics.len()).collect();
        assert_eq!(given, [2, 1]);
        let one = [warning("a.c", 1)];
        assert_eq!(attached(two(), &one), (vec![vec![0], vec![]], vec![]));
    }

    #[test]
    fn a_link_is_not_what_compiles_its_sources() {
        let undefined = |file: &str| Diagnostic {
            message: "undefined reference to `f'".to_owned(),
            ..warning(file, 1)
        };
        let both = Call {
            arguments: vec!["gcc".to_owned(), "b.c".to_owned()],
            ..call(Role::Compiler, "b.c", 1)
        };
        let calls = vec![
            call(Role::Compiler, "a.c", 1),
            call(Role::Linker, "a.o", 1),
            both,
        ];
        let said = [undefined("a.c"), undefined("a.o"), undefined("b.c")];
        assert_eq!(
            attached(calls, &said),
            (vec![vec![], vec![1], vec![2]], vec![0])
        );
    }

    #[test]
    fn what_is_said_of_a_source_that_is_named_often_is_given_once() {
        let mut calls = vec![call(Role::Compiler, "a.c", 1)];
        calls[0].sources = vec!["a.c".to_owned(); MOST_OF_A_NAME];
        let said: Vec<Diagnostic> = (0..2000)
            .map(|line| Diagnostic {
                line: Some(line),
                ..warning("a.c", 1)
            })
            .collect();
        assert!(attach(&mut calls, said.clone()).is_empty());
        assert_eq!(calls[0].diagnostics, said);
    }

    #[test]
    fn sources_of_a_name_are_looked_at_up_to_a_bound() {
        let mut calls: Vec<Call> = (0..MOST_OF_A_NAME)
            .map(|at| call(Role::Compiler, &format!("{at}/a.c"), 1))
            .collect();
        calls.push(call(Role::Compiler, "last/a.c", 1));
        calls.push(call(Role::Compiler, "b.c", 1));
        let said = [
            warning("last/a.c", 1),
            warning("b.c", 1),
            warning("9/a.c", 1),
        ];
        let (given, rest) = attached(calls, &said);
        assert_eq!(
            (&given[9], given.last(), rest),
            (&vec![2], Some(&vec![1]), vec![0])
        );
    }
}
