//! What a program is for, told by its name, and what a compiler, a linker or a code generator reads and
//! writes, told by its arguments.

use super::calls::Role;
use super::unnamed::{archive, compiled, generated};

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
/// name; `whole` where all of them are on record. What a response file (`@file`) holds is not known: the
/// record has its name only, so that neither the sources nor the outputs which it names are told.
pub(super) fn files(
    role: Role,
    tool: &str,
    arguments: &[String],
    whole: bool,
) -> (Vec<String>, Vec<String>) {
    let (read, alone) = habits(role);
    let (mut sources, mut outputs, mut objects) = (vec![], vec![], false);
    let mut rest = arguments.iter().skip(1);
    while let Some(argument) = rest.next() {
        let takes = VALUES.contains(&&**argument) && !alone.contains(&&**argument);
        if argument == "-o" || argument == "--output-file" {
            outputs.extend(rest.next().cloned());
        } else if takes {
            rest.next();
        } else if let Some(output) = joined(argument) {
            outputs.push(output.to_owned());
        } else if !argument.starts_with('-') {
            if ends_as(argument, read) {
                sources.push(argument.clone());
            }
            objects |= ends_as(argument, &[OBJECTS]);
        }
    }
    if outputs.is_empty() {
        // What is not known may name it.
        let whole = whole && !arguments.iter().any(|word| word.starts_with('@'));
        outputs = match role {
            Role::Linker => archive(tool, arguments, &mut sources),
            Role::Compiler if whole => compiled(tool, arguments, &sources, objects),
            Role::Generator if whole => generated(tool, arguments, &sources),
            _ => vec![],
        };
    }
    (sources, outputs)
}

/// Whether a path ends as the files of these lists do.
fn ends_as(path: &str, lists: &[&[&str]]) -> bool {
    let suffix = path.rsplit_once('.').map(|(_, suffix)| suffix);
    suffix.is_some_and(|suffix| lists.iter().any(|names| names.contains(&suffix)))
}

/// The output at the end of an option.
fn joined(argument: &str) -> Option<&str> {
    let mut ends = JOINED.iter().map(|option| argument.strip_prefix(*option));
    ends.find_map(|end| end.filter(|path| path.contains('.')))
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

/// What a program of this name is for. A target and a version may stand around it:
/// `x86_64-linux-gnu-gcc-14`.
pub(super) fn role(name: &str) -> Option<Role> {
    let bare = bare(name);
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
            "cython",
            "cythonize",
            "swig",
            "bison",
            "flex",
            "yacc",
            "lex",
            "re2c",
            "protoc",
            "f2py",
            "moc",
            "uic",
        ]) {
            Role::Generator
        } else {
            return None;
        },
    )
}

/// A program's name without a version at its end: `gcc` of `gcc-14`.
pub(super) fn bare(name: &str) -> &str {
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    bare.strip_suffix('-').unwrap_or(bare)
}

/// A path's last part.
pub(super) fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
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
            ("cythonize", Some(Role::Generator)),
            ("python3.13", None),
            ("cat", None),
            ("cargo", None),
        ] {
            assert_eq!(role(name), expected, "{name}");
        }
    }

    fn of(role: Role, command: &str) -> (Vec<String>, Vec<String>) {
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        files(role, &words[0], &words, true)
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
}
