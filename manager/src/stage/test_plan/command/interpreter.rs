//! Options that stand before what runs the tests: those of an interpreter
//! (<https://docs.python.org/3/using/cmdline.html>) and of `coverage run`
//! (<https://coverage.readthedocs.io/en/latest/cmd.html>).

use std::mem;

use super::Call;
use super::options::{Kept, Options, Word};
use crate::stage::test_plan::{Framework, PythonVersion};

/// Flags that change what tests see: comparisons of bytes with text, and what `assert` is. Python 2.7 has
/// them too.
const KEPT: &str = "bO";
/// Flags that change no result: what is written, and how.
const QUIET: &str = "BRdquv";
/// Options after `-X` that change what tests see. Python 3 passes over one that it does not know; see
/// [`Call::understood_by`] for Python 2.
const KEPT_X: [&str; 6] = [
    "dev",
    "faulthandler",
    "int_max_str_digits",
    "tracemalloc",
    "utf8",
    "warn_default_encoding",
];
/// The same that change no result.
const QUIET_X: [&str; 4] = [
    "frozen_modules",
    "importtime",
    "no_debug_ranges",
    "showrefcount",
];
/// Options of `coverage run`: the quiet ones say where data are kept, and what is done always.
const COVERAGE: Options = Options {
    quiet: "--append --branch --module --parallel-mode",
    letters: "amp",
    quiet_values: "--context --data-file --debug",
    values: "--concurrency --include --omit --rcfile --save-signal --source",
    perhaps: "",
};

/// What stands before a script or a module.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// Options that the interpreter is told too.
    kept: Vec<String>,
    /// Filters of warnings, in their order.
    warnings: Vec<String>,
    /// Others that may matter.
    left_out: Vec<String>,
}

impl Before {
    /// The options of an interpreter, and the words after them, which begin with `-m` or a script; `None`
    /// where it runs neither.
    pub(super) fn of_python<'a>(words: &[&'a str]) -> Option<(Self, Vec<&'a str>)> {
        let mut before = Self::default();
        let mut words = words.iter().copied();
        loop {
            let rest = words.clone();
            let Some(word) = words.next() else {
                return Some((before, vec![]));
            };
            let letters = match word.strip_prefix('-') {
                Some("" | "-") => return None,
                Some(letters) => letters,
                None => return Some((before, rest.collect())),
            };
            // `py -3.13` picks another interpreter.
            if letters.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
                let name = "--check-hash-based-pycs";
                if word == name {
                    words.next();
                } else if !word.starts_with(name) {
                    before.left_out.push(word.to_owned());
                }
                continue;
            }
            for (at, letter) in letters.char_indices() {
                let joined = letters.get(at + letter.len_utf8()..).unwrap_or_default();
                let mut value = || match joined {
                    "" => words.next(),
                    joined => Some(joined),
                };
                match letter {
                    'c' => return None,
                    'm' => {
                        let module = value()?;
                        let run = ["-m", module].into_iter().chain(words);
                        return Some((before, run.collect()));
                    }
                    'Q' | 'W' | 'X' => {
                        before.add(letter, value()?);
                        break;
                    }
                    _ if KEPT.contains(letter) => before.kept.push(format!("-{letter}")),
                    _ if QUIET.contains(letter) => {}
                    _ => before.left_out.push(format!("-{letter}")),
                }
            }
        }
    }

    /// Adds an option with its value.
    fn add(&mut self, letter: char, value: &str) {
        let name = value.split('=').next().unwrap_or_default();
        match letter {
            'W' => self.warnings.push(value.to_owned()),
            'X' if KEPT_X.contains(&name) => self.kept.push(format!("-X{value}")),
            'X' if QUIET_X.contains(&name) => {}
            _ => self.left_out.push(format!("-{letter} {value}")),
        }
    }

    /// The call that stands after them, with them. A filter that makes errors of warnings is for pytest
    /// itself, which has it only while a test runs: elsewhere warnings of the tools would be errors too.
    pub(super) fn put_before(self, mut call: Call) -> Call {
        let (mut kept, mut left_out) = (self.kept, self.left_out);
        let mut filters = vec![];
        for filter in self.warnings {
            match (is_error(&filter), call.framework) {
                (false, _) => kept.push(format!("-W{filter}")),
                (true, Framework::Pytest) => filters.push(format!("-W{filter}")),
                (true, _) => left_out.push(format!("-W {filter}")),
            }
        }
        // What pytest is told itself comes later, and so wins.
        call.words.splice(0..0, filters);
        call.interpreter.splice(0..0, kept);
        call.left_out.splice(0..0, left_out);
        call
    }
}

impl Call {
    /// The call as this interpreter can be told it. Python 2 ends at `-X` with an error of usage, whatever
    /// follows it: there it is left out.
    pub(in crate::stage::test_plan) fn understood_by(mut self, python: PythonVersion) -> Self {
        if python.major > 2 {
            return self;
        }
        let mut unknown = vec![];
        for option in mem::take(&mut self.interpreter) {
            match option.strip_prefix("-X") {
                Some(value) => unknown.push(format!("-X {value}")),
                None => self.interpreter.push(option),
            }
        }
        self.left_out.splice(0..0, unknown);
        self
    }
}

/// Whether a filter of warnings makes errors of them; Python takes the start of a word for it.
fn is_error(filter: &str) -> bool {
    let action = filter.split(':').next().unwrap_or_default().trim();
    !action.is_empty() && "error".starts_with(action)
}

/// The words after the options of `coverage run`, which begin with `-m` or a script, and which of those
/// options may matter.
pub(super) fn of_coverage<'a>(words: &[&'a str]) -> (Vec<String>, Vec<&'a str>) {
    let (options, rest) = COVERAGE.leading(words);
    let mut run = vec![];
    let mut kept = Kept::default();
    for option in options {
        let Word::Named(option, value) = option else {
            continue;
        };
        if option == "--module" || !option.starts_with("--") && option.contains('m') {
            run = vec!["-m"];
        }
        kept.leave_out(&COVERAGE, option, value);
    }
    run.extend(rest);
    (kept.left_out, run)
}

#[cfg(test)]
mod tests {
    use super::super::call;
    use crate::stage::test_plan::{Files, PythonVersion};

    /// What becomes of a command: options of the interpreter, words for the framework, what is left out.
    fn of(command: &str) -> Option<[String; 3]> {
        let files = Files::of(&[("tests/test_a.py", ""), ("manage.py", "")]);
        let call = call(&shlex::split(command).unwrap(), "", &files)?;
        Some([call.interpreter, call.words, call.left_out].map(|words| words.join("|")))
    }

    #[test]
    fn options_of_an_interpreter_are_kept_or_told() {
        for (command, kept, words, left_out) in [
            ("python -m pytest tests", "", "tests", ""),
            ("python -X dev -bb -O -m pytest", "-Xdev|-b|-b|-O", "", ""),
            (
                "python -Xutf8=1 -X importtime -uBm pytest",
                "-Xutf8=1",
                "",
                "",
            ),
            (
                "python -bWignore::X -W default -mpytest",
                "-b|-Wignore::X|-Wdefault",
                "",
                "",
            ),
            // Only pytest can keep it from its tools.
            (
                "python -W error -m pytest -W once tests",
                "",
                "-Werror|-Wonce|tests",
                "",
            ),
            ("python -We -m unittest", "", "", "-W e"),
            (
                "python -I -sP -X gil=0 -Q new -m unittest",
                "",
                "",
                "-I|-s|-P|-X gil=0|-Q new",
            ),
            ("python --check-hash-based-pycs never -m pytest", "", "", ""),
            ("pypy --jit=off -m pytest", "", "", "--jit=off"),
            ("py -3.12 -m pytest", "", "", "-3.12"),
            ("python -Wd manage.py test a", "-Wd", "manage.py|test|a", ""),
            (
                "python -b -m coverage run --branch -p --source=a --omit b -m pytest -x tests",
                "-b",
                "tests",
                "--source=a|--omit=b",
            ),
            (
                "coverage run --rcfile=x -am --timid pytest",
                "",
                "",
                "--rcfile=x|--timid",
            ),
        ] {
            let expected = [kept, words, left_out].map(str::to_owned);
            assert_eq!(of(command), Some(expected), "{command}");
        }
        for command in [
            "python -c pytest",
            "python - pytest",
            "python -m",
            "python -X",
            "python -X dev",
            "python -- pytest",
            "coverage run --branch",
            "coverage run -m",
        ] {
            assert_eq!(of(command), None, "{command}");
        }
    }

    #[test]
    fn python_2_is_not_told_what_it_ends_at() {
        let files = Files::of(&[]);
        let words = "python -X dev -bb -Wd -Xutf8 -O -I -m pytest";
        let words = shlex::split(words).unwrap();
        for (major, minor, told, left_out) in [
            (3, 9, "-Xdev|-b|-b|-Xutf8|-O|-Wd", "-I"),
            (2, 7, "-b|-b|-O|-Wd", "-X dev|-X utf8|-I"),
        ] {
            let python = PythonVersion { major, minor };
            let call = call(&words, "", &files).unwrap().understood_by(python);
            assert_eq!(call.interpreter.join("|"), told);
            assert_eq!(call.left_out.join("|"), left_out);
        }
    }

    #[test]
    fn a_call_with_other_options_is_another_call() {
        let files = Files::of(&[]);
        let call = |command: &str| call(&shlex::split(command).unwrap(), "", &files).unwrap();
        assert!(!call("python -O -m pytest").is_as(&call("pytest")));
        assert!(!call("python -W error -m pytest").is_as(&call("pytest")));
        assert!(call("python -u -m pytest").is_as(&call("coverage run -m pytest")));
    }
}
