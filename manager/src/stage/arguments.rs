//! What a compiler, a linker or a code generator reads and writes, told by its arguments.

use super::calls::Role;

/// What sources are called.
const SOURCES: &[&str] = &[
    "c", "cc", "cpp", "cxx", "c++", "C", "m", "mm", "f", "f90", "F90", "s", "S", "asm", "rs",
    "pyx", "i", "cu",
];
/// What code generators read besides: parsers, scanners, messages, forms.
const GRAMMARS: &[&str] = &["y", "yy", "ypp", "l", "ll", "lpp", "re", "proto", "ui"];
/// What linkers and archivers read.
const OBJECTS: &[&str] = &["o", "lo", "obj", "a", "so"];
/// Options that are followed by a value, which is no source whatever it is called: those of gcc and
/// clang (<https://gcc.gnu.org/onlinedocs/gcc/Option-Index.html>), of cc1 (gcc/c-family/c.opt and
/// gcc/common.opt with `Separate`), of as and ld.
const VALUES: &[&str] = &[
    "-A",
    "-D",
    "-I",
    "-L",
    "-MD",
    "-MF",
    "-MMD",
    "-MQ",
    "-MT",
    "-Map",
    "-T",
    "-U",
    "-Xassembler",
    "-Xclang",
    "-Xlinker",
    "-Xpreprocessor",
    "--param",
    "--plugin",
    "--defsym",
    "--extern",
    "--version-script",
    "-arch",
    "-aux-info",
    "-auxbase",
    "-auxbase-strip",
    "-dumpbase",
    "-dumpbase-ext",
    "-dumpdir",
    "-dynamic-linker",
    "-e",
    "-framework",
    "-h",
    "-idirafter",
    "-imacros",
    "-imultiarch",
    "-imultilib",
    "-include",
    "-include-pch",
    "-iprefix",
    "-iquote",
    "-isysroot",
    "-isystem",
    "-iwithprefix",
    "-iwithprefixbefore",
    "-l",
    "-mllvm",
    "-m",
    "-plugin",
    "-plugin-opt",
    "-rpath",
    "-rpath-link",
    "-soname",
    "-specs",
    "-target",
    "-u",
    "-wrapper",
    "-x",
    "-z",
];

/// Options that have an output at their end.
const JOINED: [&str; 3] = ["--output-file=", "--output=", "-o"];
/// What says that Cython is to write C++.
const CPLUS: [&str; 2] = ["--cplus", "-+"];

/// What a program of this role reads, by the ends of names, and which of [`VALUES`] it takes without
/// a value: cc1 takes one where its driver takes none.
fn habits(role: Role) -> (&'static [&'static [&'static str]], &'static [&'static str]) {
    match role {
        Role::Translator => (&[SOURCES], &[]),
        Role::Compiler | Role::Assembler => (&[SOURCES], &["-MD", "-MMD"]),
        Role::Linker => (&[OBJECTS], &["-MD", "-MMD", "-x"]),
        // The letters mean something else to each of them: `bison -l`, `flex -I`, `cython -D`.
        Role::Generator => (&[SOURCES, GRAMMARS], VALUES),
    }
}

/// What a program of this name and role reads and writes, by its arguments, of which the first is its
/// name.
pub(super) fn files(role: Role, tool: &str, arguments: &[String]) -> (Vec<String>, Vec<String>) {
    let (read, alone) = habits(role);
    let is_read = |path: &str| {
        let suffix = path.rsplit_once('.').map(|(_, suffix)| suffix);
        suffix.is_some_and(|suffix| read.iter().any(|names| names.contains(&suffix)))
    };
    let (mut sources, mut outputs) = (vec![], vec![]);
    let mut rest = arguments.iter().skip(1);
    while let Some(argument) = rest.next() {
        let takes = VALUES.contains(&&**argument) && !alone.contains(&&**argument);
        if argument == "-o" || argument == "--output-file" {
            outputs.extend(rest.next().cloned());
        } else if takes {
            rest.next();
        } else if let Some(output) = joined(argument) {
            outputs.push(output.to_owned());
        } else if !argument.starts_with('-') && is_read(argument) {
            sources.push(argument.clone());
        }
    }
    if outputs.is_empty() {
        outputs = unnamed(tool, arguments, &mut sources);
    }
    (sources, outputs)
}

/// The output at the end of an option.
fn joined(argument: &str) -> Option<&str> {
    let mut ends = JOINED.iter().map(|option| argument.strip_prefix(*option));
    ends.find_map(|end| end.filter(|path| path.contains('.')))
}

/// What a program writes that no option names. An archive that is written is no source.
fn unnamed(tool: &str, arguments: &[String], sources: &mut Vec<String>) -> Vec<String> {
    match bare(tool) {
        // `ar rcs libx.a x.o`: the operation is a word of letters, with or without a dash.
        name if name.ends_with("ar") => {
            let mut words = arguments.iter().skip(1);
            let letters = words.find(|word| !word.starts_with("--") && !word.contains(['/', '.']));
            let writes = letters.is_some_and(|letters| letters.contains(['r', 'q', 'd', 'm']));
            let archive = sources.iter().position(|path| path.ends_with(".a"));
            let archive = archive.filter(|_| writes).map(|at| sources.remove(at));
            archive.into_iter().collect()
        }
        "cython" | "cythonize" => {
            let cplus = arguments.iter().any(|word| CPLUS.contains(&&**word));
            let suffix = if cplus { "cpp" } else { "c" };
            let stems = sources.iter().filter_map(|path| path.strip_suffix(".pyx"));
            stems.map(|stem| format!("{stem}.{suffix}")).collect()
        }
        _ => vec![],
    }
}

/// What a Python of this name was told to run: the name of a script, or of the module of `-m`.
pub(super) fn interpreted<'a>(python: &str, arguments: &'a [String]) -> Option<&'a str> {
    if !["python", "pypy"]
        .iter()
        .any(|name| python.starts_with(name))
    {
        return None;
    }
    let mut rest = arguments.iter().skip(1);
    loop {
        match rest.next()?.as_str() {
            "-m" => return rest.next()?.rsplit('.').next(),
            "-c" => return None,
            "-W" | "-X" => {
                rest.next();
            }
            option if option.starts_with('-') => {}
            script => return script.rsplit('/').next(),
        }
    }
}

/// A program's name without a version at its end: `gcc` of `gcc-14`.
pub(super) fn bare(name: &str) -> &str {
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    bare.strip_suffix('-').unwrap_or(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(role: Role, command: &str) -> (Vec<String>, Vec<String>) {
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        files(role, &words[0], &words)
    }

    #[test]
    fn sources_and_outputs_are_told_by_the_arguments() {
        assert_eq!(
            of(
                Role::Compiler,
                "gcc -c a/b.c -o out/b.o -I. -DX=y.c -MD -MF b.d"
            ),
            (vec!["a/b.c".into()], vec!["out/b.o".into()])
        );
        assert_eq!(
            of(Role::Compiler, "gcc -MMD b.c -include pre.c -isystem x.c").0,
            ["b.c"]
        );
    }

    #[test]
    fn values_of_options_are_no_sources() {
        let cc1 = "cc1 -quiet -I . -imultiarch x86_64-linux-gnu -MD a.d -MF a.d -MT x.c a/b.c -quiet \
            -dumpdir build/ -dumpbase b.c -dumpbase-ext .c -mtune=generic -o /tmp/x.s";
        assert_eq!(
            of(Role::Translator, cc1),
            (vec!["a/b.c".into()], vec!["/tmp/x.s".into()])
        );
    }

    #[test]
    fn each_role_reads_its_own_files() {
        for (role, command, sources, output) in [
            (
                Role::Compiler,
                "gcc -shared a.o b.c -o a.so",
                &["b.c"][..],
                "a.so",
            ),
            (
                Role::Assembler,
                "nasm -f elf64 a.asm -o a.o",
                &["a.asm"],
                "a.o",
            ),
            (
                Role::Linker,
                "ld -x a.o -plugin p.so -L. libb.a -lc -o a.so",
                &["a.o", "libb.a"],
                "a.so",
            ),
            (Role::Generator, "bison -l a.y -o a.c", &["a.y"], "a.c"),
            (
                Role::Generator,
                "bison -d --output=a.c a.y",
                &["a.y"],
                "a.c",
            ),
            (Role::Generator, "flex -I -oa.c a.l", &["a.l"], "a.c"),
            (Role::Generator, "re2c a.re -o a.c", &["a.re"], "a.c"),
            (
                Role::Generator,
                "protoc -oa.pb a.proto",
                &["a.proto"],
                "a.pb",
            ),
            (Role::Generator, "uic a.ui -o ui_a.h", &["a.ui"], "ui_a.h"),
            (Role::Generator, "swig -python -o a.c a.i", &["a.i"], "a.c"),
            (Role::Generator, "cython -D a.pyx -o b.c", &["a.pyx"], "b.c"),
        ] {
            let (read, written) = of(role, command);
            assert_eq!(read, sources, "{command}");
            assert_eq!(written, [output], "{command}");
        }
    }

    #[test]
    fn outputs_that_no_option_names_are_told_by_the_program() {
        for (role, command, sources, outputs) in [
            (
                Role::Linker,
                "ar rcs libx.a a.o",
                &["a.o"][..],
                &["libx.a"][..],
            ),
            (
                Role::Linker,
                "gcc-ar-14 -rc l/x.a y.a",
                &["y.a"],
                &["l/x.a"],
            ),
            (
                Role::Linker,
                "x86_64-linux-gnu-ar --plugin /lib/p.so qc libx.a a.o b.o",
                &["a.o", "b.o"],
                &["libx.a"],
            ),
            (Role::Linker, "ar t libx.a", &["libx.a"], &[]),
            (Role::Linker, "ar -x libx.a a.o", &["libx.a", "a.o"], &[]),
            (Role::Linker, "ld a.o libx.a", &["a.o", "libx.a"], &[]),
            (Role::Generator, "cython p/x.pyx", &["p/x.pyx"], &["p/x.c"]),
            (
                Role::Generator,
                "cython3 --cplus x.pyx",
                &["x.pyx"],
                &["x.cpp"],
            ),
            (
                Role::Generator,
                "cythonize -i -+ x.pyx y.pyx",
                &["x.pyx", "y.pyx"],
                &["x.cpp", "y.cpp"],
            ),
            (Role::Generator, "uic x.ui", &["x.ui"], &[]),
        ] {
            let (read, written) = of(role, command);
            assert_eq!(read, sources, "{command}");
            assert_eq!(written, outputs, "{command}");
        }
    }
}
