//! What compilers say, read from a build's output: gcc, clang (GNU coding standards, "Errors"), gfortran,
//! ld, Cython, rustc.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde::{Deserialize, Serialize};

/// What `build.py` prints after each build that succeeded.
const END: &str = "\n[end of a build]\n";
/// Diagnostics listed of one build; the output has all.
const MOST: usize = 5000;
/// Lines between the halves of one that stands on several.
const MOST_LINES: usize = 8;
/// Longest line that is read: what is longer is no diagnostic.
const LONGEST: usize = 4096;

/// One diagnostic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Diagnostic {
    /// The file as the compiler names it; empty where it names none.
    pub file: String,
    /// Its line, where it is told.
    pub line: Option<u32>,
    /// The column, where it is told.
    pub column: Option<u32>,
    /// `error`, `warning` or `note`.
    pub severity: String,
    /// What it says.
    pub message: String,
    /// The option that asked for it, without `-W`, or rustc's code for it.
    pub option: Option<String>,
    /// Which build it is of, from 1, as the output has it: see `read`.
    pub build: u32,
}

/// The diagnostics in the output of both builds: what stands before the first [`END`] is of the first
/// one, the rest of the second.
///
/// The package can print that mark too, and with it give what its first build says to the second, which
/// is listed then all the same, but neither counted nor by a call of the first. It can as well print no
/// diagnostics or false ones. So nothing is left out by their build, and whether a part failed, and why,
/// is told without it: see `failed_parts`.
pub(super) fn read(output: &str) -> Vec<Diagnostic> {
    let (first, second) = output.split_once(END).unwrap_or((output, ""));
    let mut found = of_build(1, first);
    found.extend(of_build(2, second));
    found
}

fn of_build(build: u32, output: &str) -> Vec<Diagnostic> {
    let mut found = vec![];
    let mut begun = None;
    for line in output.lines().filter(|line| line.len() <= LONGEST) {
        if found.len() >= MOST {
            break;
        }
        let whole = FORMS.iter().find_map(|form| {
            let form = form.as_ref()?;
            form.captures(line).map(|captures| Said::of(&captures))
        });
        begun = match whole {
            Some(said) if said.is_whole() => {
                found.extend(said.diagnostic(None, build));
                None
            }
            Some(said) => match begun.take() {
                // The other half of one that was begun.
                Some(Begun { first, .. }) if said.completes(&first) => {
                    found.extend(said.diagnostic(Some(first), build));
                    None
                }
                _ => Some(Begun {
                    first: said,
                    lines: 0,
                }),
            },
            None => begun
                .filter(|begun: &Begun| begun.lines < MOST_LINES)
                .map(|begun| Begun {
                    lines: begun.lines + 1,
                    ..begun
                }),
        };
    }
    found
}

impl Diagnostic {
    /// Whether it says what the other one does, in whichever build.
    pub(super) fn repeats(&self, other: &Self) -> bool {
        let place = |said: &Self| (said.line, said.column);
        self.file == other.file
            && place(self) == place(other)
            && self.severity == other.severity
            && self.message == other.message
            && self.option == other.option
    }
}

/// The forms of one line, each with what it names: of gcc and clang; of Cython; of ld, which names a
/// place in the code or a library; and two halves each of rustc's, whose place comes second, and of
/// gfortran's, whose place comes first.
static FORMS: LazyLock<Vec<Option<Regex>>> = LazyLock::new(|| {
    [
        r"^\s*(?P<file>[^\s:][^:]*):(?P<line>\d+):(?:(?P<column>\d+):)? (?P<severity>fatal error|error|warning|note): (?P<message>.*?)(?: \[-W(?P<option>[^\]]+)\])?$",
        r"^(?:(?P<severity>warning): )?(?P<file>[^\s:][^:]*\.p(?:yx|xd|xi)):(?P<line>\d+):(?P<column>\d+): (?P<message>.+)$",
        r"^(?:\S*ld(?:\.\w+)?: )?(?P<file>[^\s:][^:]*):(?:(?P<line>\d+)|\([^)]*\)): (?P<message>(?:undefined reference to|multiple definition of) .+)$",
        r"^\S*ld(?:\.\w+)?: (?P<message>cannot find .+)$",
        r"^(?P<severity>error|warning)(?:\[(?P<option>E\d+)\])?: (?P<begins>.+)$",
        r"^\s*(?P<arrow>-->) (?P<file>[^:]+):(?P<line>\d+):(?P<column>\d+)$",
        r"^(?P<file>[^\s:][^:]*\.[fF]\w*):(?P<line>\d+):(?P<column>\d+):$",
        r"^(?P<severity>Fatal Error|Error|Warning): (?P<ends>.*?)(?: \[-W(?P<option>[^\]]+)\])?$",
    ]
    .map(|form| Regex::new(form).ok())
    .into()
});

/// Half a diagnostic, and the lines since.
struct Begun {
    first: Said,
    lines: usize,
}

/// What a line says.
#[derive(Default)]
struct Said {
    file: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
    severity: Option<String>,
    option: Option<String>,
    /// Its place is written as rustc does.
    arrow: bool,
    /// Of a diagnostic on one line.
    message: Option<String>,
    /// Before its place, as rustc has it.
    begins: Option<String>,
    /// After its place, as gfortran has it.
    ends: Option<String>,
}

impl Said {
    fn of(captures: &Captures<'_>) -> Self {
        let text = |name| captures.name(name).map(|found| found.as_str().to_owned());
        let number = |name| text(name).and_then(|number| number.parse().ok());
        Self {
            file: text("file"),
            line: number("line"),
            column: number("column"),
            severity: text("severity"),
            option: text("option"),
            arrow: captures.name("arrow").is_some(),
            message: text("message"),
            begins: text("begins"),
            ends: text("ends"),
        }
    }

    fn is_whole(&self) -> bool {
        self.message.is_some()
    }

    /// Whether it is the second half of a diagnostic that begins with `first`.
    fn completes(&self, first: &Self) -> bool {
        let plain = first.file.is_some() && !first.arrow;
        first.begins.is_some() && self.arrow || plain && self.ends.is_some()
    }

    fn diagnostic(self, first: Option<Self>, build: u32) -> Option<Diagnostic> {
        let first = first.unwrap_or_default();
        let severity = self.severity.or(first.severity);
        let severity = severity.map_or_else(|| "error".to_owned(), |text| text.to_lowercase());
        Some(Diagnostic {
            file: self.file.or(first.file).unwrap_or_default(),
            line: self.line.or(first.line),
            column: self.column.or(first.column),
            severity: severity.trim_start_matches("fatal ").to_owned(),
            message: self.message.or(self.ends).or(first.begins)?,
            option: self.option.or(first.option),
            build,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gcc_is_understood() {
        let output = "running build_ext\n\
            src/a.c: In function ‘f’:\n\
            src/a.c:12:7: warning: unused variable ‘x’ [-Wunused-variable]\n\
            src/a.c:3:10: fatal error: missing.h: No such file or directory\n\
            b.c:9: error: old style\n\
            12:30:01: warning of the clock\n";
        let found = read(output);
        let short: Vec<_> = found
            .iter()
            .map(|d| {
                (
                    d.file.as_str(),
                    d.line.unwrap_or(0),
                    d.column,
                    d.severity.as_str(),
                    d.option.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            short,
            [
                ("src/a.c", 12, Some(7), "warning", Some("unused-variable")),
                ("src/a.c", 3, Some(10), "error", None),
                ("b.c", 9, None, "error", None),
            ]
        );
        assert_eq!(found[1].message, "missing.h: No such file or directory");
    }
    #[test]
    fn others_are_understood() {
        let output = "/usr/bin/ld: /tmp/cc.o: in function `main':\n\
            a.c:(.text+0xa): undefined reference to `foo'\n\
            /usr/bin/ld: a.c:7: undefined reference to `bar'\n\
            /usr/bin/ld: cannot find -lgone: No such file or directory\n\
            collect2: error: ld returned 1 exit status\n\
            Error compiling Cython file:\n\
            pkg/x.pyx:12:4: undeclared name not builtin: y\n\
            warning: pkg/x.pyx:3:0: unused\n\
            error[E0425]: cannot find value `x` in this scope\n   --> src/lib.rs:2:5\n    |\n\
            error: aborting due to 1 previous error\n\
            src/m.f90:3:10:\n\n    3 |   use missing\n      |          1\n\
            Fatal Error: Cannot open module file 'missing.mod' for reading at (1)\n\
            ValueError: a traceback's\nError: alone\n";
        let found = read(output);
        let short: Vec<_> = found
            .iter()
            .map(|d| (d.file.as_str(), d.line, d.column, &*d.severity, &*d.message))
            .collect();
        assert_eq!(
            short,
            [
                ("a.c", None, None, "error", "undefined reference to `foo'"),
                (
                    "a.c",
                    Some(7),
                    None,
                    "error",
                    "undefined reference to `bar'"
                ),
                (
                    "",
                    None,
                    None,
                    "error",
                    "cannot find -lgone: No such file or directory"
                ),
                (
                    "pkg/x.pyx",
                    Some(12),
                    Some(4),
                    "error",
                    "undeclared name not builtin: y"
                ),
                ("pkg/x.pyx", Some(3), Some(0), "warning", "unused"),
                (
                    "src/lib.rs",
                    Some(2),
                    Some(5),
                    "error",
                    "cannot find value `x` in this scope"
                ),
                (
                    "src/m.f90",
                    Some(3),
                    Some(10),
                    "error",
                    "Cannot open module file 'missing.mod' for reading at (1)"
                ),
            ]
        );
        assert_eq!(found[5].option.as_deref(), Some("E0425"));
    }

    #[test]
    fn each_build_says_its_own() {
        let builds = |output: &str| -> Vec<u32> {
            let found = read(output);
            found.iter().map(|said| said.build).collect()
        };
        let said = "a.c:1: warning: unused";
        let one = format!("{said}\n{END}");
        assert_eq!(builds(&format!("{one}{one}")), [1, 2]);
        assert_eq!(builds(said), [1]);
        // One that quotes the mark does not print it.
        let quoted = format!("{said} [end of a build]\n  | [end of a build]\n");
        assert_eq!(builds(&format!("{quoted}{one}{one}")), [1, 1, 2]);
        // A forged one moves what follows, and hides nothing.
        assert_eq!(builds(&format!("{END}{one}{one}")), [2, 2]);
        // No diagnostic begins in one build and ends in the next.
        let halves = format!("error[E1]: x{END}  --> src/lib.rs:2:5\n");
        assert!(builds(&halves).is_empty());
        let found = read(&format!("{one}{one}"));
        assert!(found[0] != found[1] && found[0].repeats(&found[1]));
    }
}
