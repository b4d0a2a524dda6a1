//! What a compiler, a linker or a code generator reads and writes, told by its arguments.

/// What sources are called.
const SOURCES: [&str; 18] = [
    "c", "cc", "cpp", "cxx", "c++", "C", "m", "mm", "f", "f90", "F90", "s", "S", "asm", "rs",
    "pyx", "i", "cu",
];
/// Options that are followed by a value, which is no source whatever it is called: those of gcc and
/// clang (<https://gcc.gnu.org/onlinedocs/gcc/Option-Index.html>), of cc1 (gcc/c-family/c.opt and
/// gcc/common.opt with `Separate`), of as and ld.
const VALUES: [&str; 57] = [
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

/// The sources and the outputs among the arguments of a program, of which the first is its name.
/// `translator` says that it is one like cc1, which takes a value where its driver takes none.
pub(super) fn files(arguments: &[String], translator: bool) -> (Vec<String>, Vec<String>) {
    let (mut sources, mut outputs) = (vec![], vec![]);
    let mut rest = arguments.iter().skip(1);
    while let Some(argument) = rest.next() {
        let takes = VALUES.contains(&&**argument)
            && (translator || !["-MD", "-MMD"].contains(&&**argument));
        if argument == "-o" || argument == "--output-file" {
            outputs.extend(rest.next().cloned());
        } else if takes {
            rest.next();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(command: &str, translator: bool) -> (Vec<String>, Vec<String>) {
        let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
        files(&words, translator)
    }

    #[test]
    fn sources_and_outputs_are_told_by_the_arguments() {
        assert_eq!(
            of("gcc -c a/b.c -o out/b.o -I. -DX=y.c -MD -MF b.d", false),
            (vec!["a/b.c".into()], vec!["out/b.o".into()])
        );
        assert_eq!(
            of("gcc -MMD b.c -include pre.c -isystem x.c", false).0,
            ["b.c"]
        );
    }

    #[test]
    fn values_of_options_are_no_sources() {
        let cc1 = "cc1 -quiet -I . -imultiarch x86_64-linux-gnu -MD a.d -MF a.d -MT x.c a/b.c -quiet \
            -dumpdir build/ -dumpbase b.c -dumpbase-ext .c -mtune=generic -o /tmp/x.s";
        assert_eq!(
            of(cc1, true),
            (vec!["a/b.c".into()], vec!["/tmp/x.s".into()])
        );
    }
}
