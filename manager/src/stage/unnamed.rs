//! What compilers, archivers and code generators write that no option names.

use super::arguments::{bare, name};

/// Compilers that all call their outputs as gcc does.
const COMPILERS: [&str; 7] = ["gcc", "g++", "cc", "c++", "clang", "clang++", "gfortran"];
/// Options of theirs with which they write no file, or one that is called otherwise.
const OTHERWISE: [&str; 6] = ["-E", "-M", "-MM", "-###", "-fsyntax-only", "-emit-llvm"];
/// What says that Cython is to write C++.
const CPLUS: [&str; 2] = ["--cplus", "-+"];

/// Whether a compiler with these arguments goes on to link what it compiled.
pub(super) fn links(arguments: &[String]) -> bool {
    let stops = |word: &String| word == "-c" || word == "-S" || OTHERWISE.contains(&&**word);
    !arguments.iter().any(stops)
}

/// What a compiler writes for these sources, and for `objects` where it is given some: all of it where
/// it runs, not beside the sources
/// (<https://gcc.gnu.org/onlinedocs/gcc/Overall-Options.html>, `-o`).
pub(super) fn compiled(
    tool: &str,
    arguments: &[String],
    sources: &[String],
    objects: bool,
) -> Vec<String> {
    let has = |option: &str| arguments.iter().any(|word| word == option);
    // A target may stand before it.
    let known = bare(tool).rsplit('-').next();
    let known = known.is_some_and(|tool| COMPILERS.contains(&tool));
    if !known || is_named(arguments) || OTHERWISE.iter().any(|option| has(option)) {
        return vec![];
    }
    let suffix = if has("-S") {
        "s"
    } else if has("-c") {
        "o"
    } else {
        let program = (objects || !sources.is_empty()).then(|| "a.out".to_owned());
        return program.into_iter().collect();
    };
    let outputs = sources.iter().map(|source| {
        let source = name(source);
        let stem = source.rsplit_once('.').map_or(source, |(stem, _)| stem);
        format!("{stem}.{suffix}")
    });
    outputs.collect()
}

/// The archive that is written, which is no source then. `ar rcs libx.a x.o`: the operation is a word
/// of letters, with or without a dash.
pub(super) fn archive(tool: &str, arguments: &[String], sources: &mut Vec<String>) -> Vec<String> {
    if !bare(tool).ends_with("ar") {
        return vec![];
    }
    let mut words = arguments.iter().skip(1);
    let letters = words.find(|word| !word.starts_with("--") && !word.contains(['/', '.']));
    let writes = letters.is_some_and(|letters| letters.contains(['r', 'q', 'd', 'm']));
    let archive = sources.iter().position(|path| path.ends_with(".a"));
    let archive = archive.filter(|_| writes).map(|at| sources.remove(at));
    archive.into_iter().collect()
}

/// What a code generator writes for these sources.
pub(super) fn generated(tool: &str, arguments: &[String], sources: &[String]) -> Vec<String> {
    match bare(tool) {
        "cython" | "cythonize" => {
            let cplus = arguments.iter().any(|word| CPLUS.contains(&&**word));
            let suffix = if cplus { "cpp" } else { "c" };
            let stems = sources.iter().filter_map(|path| path.strip_suffix(".pyx"));
            stems.map(|stem| format!("{stem}.{suffix}")).collect()
        }
        tool @ ("bison" | "yacc") => parser(tool, arguments, sources).into_iter().collect(),
        "flex" | "lex" => scanner(arguments, sources).into_iter().collect(),
        "swig" => wrappers(arguments, sources),
        _ => vec![],
    }
}

/// The parser that bison(1) writes, where it runs: called after the grammar, whose suffix tells the
/// language, or as yacc has it.
fn parser(tool: &str, arguments: &[String], sources: &[String]) -> Option<String> {
    let has = |option: &str| arguments.iter().any(|word| word == option);
    if is_named(arguments) {
        return None;
    }
    let (stem, suffix) = sources.iter().find_map(|path| {
        let (stem, suffix) = name(path).rsplit_once('.')?;
        suffix.starts_with('y').then_some((stem, suffix))
    })?;
    let (stem, suffix) = if tool == "yacc" || has("-y") || has("--yacc") {
        ("y", "c".to_owned())
    } else {
        (stem, suffix.replace('y', "c"))
    };
    let stem = value(arguments, "-b", "--file-prefix").unwrap_or(stem);
    Some(format!("{stem}.tab.{suffix}"))
}

/// The scanner that flex(1) writes, where it runs.
fn scanner(arguments: &[String], sources: &[String]) -> Option<String> {
    let has = |option: &str| arguments.iter().any(|word| word == option);
    let printed = has("-t") || has("--stdout");
    if printed || sources.is_empty() || is_named(arguments) {
        return None;
    }
    let prefix = value(arguments, "-P", "--prefix").unwrap_or("yy");
    let cplus = has("-+") || has("--c++");
    let suffix = if cplus { "cc" } else { "c" };
    Some(format!("lex.{prefix}.{suffix}"))
}

/// The wrappers that SWIG writes, beside the interfaces that they are made of
/// (<https://www.swig.org/Doc4.0/SWIG.html>).
fn wrappers(arguments: &[String], sources: &[String]) -> Vec<String> {
    let has = |option: &str| arguments.iter().any(|word| word == option);
    if ["-E", "-M", "-MM"].iter().any(|option| has(option)) {
        return vec![];
    }
    let suffix = if has("-c++") {
        value(arguments, "-cppext", "-cppext").unwrap_or("cxx")
    } else {
        "c"
    };
    let here = has("-outcurrentdir");
    let stems = sources.iter().filter_map(|path| path.strip_suffix(".i"));
    let stems = stems.map(|stem| if here { name(stem) } else { stem });
    stems.map(|stem| format!("{stem}_wrap.{suffix}")).collect()
}

/// Whether an option names the output after all, in a form that nothing is read of: `-oprogram` without
/// a dot.
fn is_named(arguments: &[String]) -> bool {
    let mut words = arguments.iter().skip(1);
    words.any(|word| word.starts_with("-o") || word.starts_with("--output"))
}

/// The value of an option in any of its forms: `-b x`, `-bx`, `--file-prefix x`, `--file-prefix=x`.
fn value<'a>(arguments: &'a [String], short: &str, long: &str) -> Option<&'a str> {
    let mut words = arguments.iter().skip(1).map(String::as_str);
    while let Some(word) = words.next() {
        if word == short || word == long {
            return words.next();
        }
        let joined = word.strip_prefix(long);
        let joined = joined.and_then(|rest| rest.strip_prefix('='));
        if let Some(value) = joined.or_else(|| word.strip_prefix(short)) {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::arguments::files;
    use super::super::calls::Role;
    use super::*;

    fn words(command: &str) -> Vec<String> {
        command.split_whitespace().map(str::to_owned).collect()
    }

    /// That all of these commands read and write these files.
    fn check(role: Role, commands: &[(&str, &[&str], &[&str])]) {
        for (command, sources, outputs) in commands {
            let words = words(command);
            let (read, written) = files(role, &words[0], &words, true);
            assert_eq!(read, *sources, "{command}");
            assert_eq!(written, *outputs, "{command}");
        }
    }

    #[test]
    fn compilers_call_outputs_after_sources() {
        check(
            Role::Compiler,
            &[
                ("gcc -c src/a.c", &["src/a.c"], &["a.o"]),
                ("g++-14 -c a.cpp b.d/b", &["a.cpp"], &["a.o"]),
                (
                    "x86_64-linux-gnu-gcc-14 -c a.c l/b.x.S",
                    &["a.c", "l/b.x.S"],
                    &["a.o", "b.x.o"],
                ),
                ("clang -S -O2 a.c", &["a.c"], &["a.s"]),
                ("cc a.c", &["a.c"], &["a.out"]),
                ("clang++-19 x.o -lm", &[], &["a.out"]),
                ("gfortran -shared a.f90 b.o", &["a.f90"], &["a.out"]),
                // Nothing, or nothing that is known.
                ("gcc --version", &[], &[]),
                ("gcc -L x.o -v", &[], &[]),
                ("gcc -E a.c", &["a.c"], &[]),
                ("gcc -MM a.c", &["a.c"], &[]),
                ("gcc -fsyntax-only -c a.c", &["a.c"], &[]),
                ("gcc a.c -oprogram", &["a.c"], &[]),
                ("gcc a.c @options", &["a.c"], &[]),
                ("rustc a.rs", &["a.rs"], &[]),
                ("nvcc -c a.cu", &["a.cu"], &[]),
            ],
        );
    }

    #[test]
    fn archivers_name_their_output_first() {
        check(
            Role::Linker,
            &[
                ("ar rcs libx.a a.o", &["a.o"], &["libx.a"]),
                ("gcc-ar-14 -rc l/x.a y.a", &["y.a"], &["l/x.a"]),
                (
                    "x86_64-linux-gnu-ar --plugin /lib/p.so qc libx.a a.o b.o",
                    &["a.o", "b.o"],
                    &["libx.a"],
                ),
                ("ar rcs libx.a @objects", &[], &["libx.a"]),
                ("ar t libx.a", &["libx.a"], &[]),
                ("ar -x libx.a a.o", &["libx.a", "a.o"], &[]),
                ("ld a.o libx.a", &["a.o", "libx.a"], &[]),
            ],
        );
    }

    #[test]
    fn generators_have_names_of_their_own() {
        check(
            Role::Generator,
            &[
                ("cython p/x.pyx", &["p/x.pyx"], &["p/x.c"]),
                ("cython3 --cplus x.pyx", &["x.pyx"], &["x.cpp"]),
                (
                    "cythonize -i -+ x.pyx y.pyx",
                    &["x.pyx", "y.pyx"],
                    &["x.cpp", "y.cpp"],
                ),
                ("bison -d p/x.y", &["p/x.y"], &["x.tab.c"]),
                ("bison x.yy", &["x.yy"], &["x.tab.cc"]),
                ("bison -b z x.ypp", &["x.ypp"], &["z.tab.cpp"]),
                ("bison --file-prefix=d/z x.y", &["x.y"], &["d/z.tab.c"]),
                ("bison -y p/x.yy", &["p/x.yy"], &["y.tab.c"]),
                ("bison -oparser x.y", &["x.y"], &[]),
                ("yacc -d x.y", &["x.y"], &["y.tab.c"]),
                ("yacc -bz x.y", &["x.y"], &["z.tab.c"]),
                ("bison --version", &[], &[]),
                ("flex p/x.l", &["p/x.l"], &["lex.yy.c"]),
                ("flex -+ -Pz x.ll", &["x.ll"], &["lex.z.cc"]),
                ("lex -t x.l", &["x.l"], &[]),
                ("flex --version", &[], &[]),
                ("swig -python p/x.i", &["p/x.i"], &["p/x_wrap.c"]),
                (
                    "swig4.0 -python -c++ -outdir out p/x.i",
                    &["p/x.i"],
                    &["p/x_wrap.cxx"],
                ),
                (
                    "swig -c++ -cppext cpp -outcurrentdir p/x.i",
                    &["p/x.i"],
                    &["x_wrap.cpp"],
                ),
                ("swig -MM x.i", &["x.i"], &[]),
                ("uic x.ui", &["x.ui"], &[]),
            ],
        );
    }

    #[test]
    fn of_arguments_that_are_cut_only_what_they_name_is_told() {
        let cut = |role, command| {
            let words = words(command);
            files(role, &words[0], &words, false).1
        };
        assert!(cut(Role::Compiler, "gcc a.o b.o").is_empty());
        assert!(cut(Role::Generator, "bison x.y").is_empty());
        assert_eq!(cut(Role::Linker, "ar rcs libx.a a.o"), ["libx.a"]);
        assert_eq!(cut(Role::Compiler, "gcc -o a.so a.o"), ["a.so"]);
    }

    #[test]
    fn a_compiler_that_is_told_to_stop_links_nothing() {
        assert!(links(&words("gcc a.c b.o -o a")));
        for command in ["gcc -c a.c", "gcc -S a.c", "gcc -E a.c"] {
            assert!(!links(&words(command)), "{command}");
        }
    }
}
