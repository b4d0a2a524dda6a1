//! What the other frameworks are told of the words after their names.

use super::options::{Kept, Options, Word};
use super::place::{is_dotted, place, plain};
use crate::stage::test_plan::Files;

/// Options of nose (<https://nose.readthedocs.io/en/latest/usage.html#options>).
const NOSE: Options = Options {
    quiet: "--cover-branches --cover-erase --cover-html --cover-inclusive --cover-package \
        --cover-tests --cover-xml --detailed-errors --failed --nocapture --nologcapture --quiet \
        --rednose --stop --verbose --with-cov --with-coverage --with-id --with-profile \
        --with-timer --with-xcoverage --with-xunit",
    letters: "dqsvx",
    quiet_values: "-l --cover-html-dir --cover-min-percentage --cover-xml-file --debug --debug-log \
        --id-file --logging-config --logging-datefmt --logging-format --process-timeout --processes \
        --profile-restrict --profile-sort --profile-stats-file --verbosity --xcoverage-file \
        --xunit-file --xunit-testsuite-name",
    values: "-A -a -c -e -I -i -m -w --attr --config --doctest-extension --doctest-fixtures \
        --doctest-options --doctest-result-variable --eval-attr --exclude --exclude-dir \
        --ignore-files --include --logging-filter --logging-level --match --testmatch --tests --where",
    perhaps: "--cover-package",
};
/// Options of nose2 (<https://docs.nose2.io/en/latest/usage.html#command-line-reference>).
const NOSE2: Options = Options {
    quiet: "--coverage --fail-fast --junit-xml --pretty-assert --quiet --verbose --with-coverage",
    letters: "BCFqv",
    quiet_values: "-N --coverage-config --coverage-report --junit-xml-path --log-level --processes",
    values: "-A -c -E -s -t --attribute --config --eval-attribute --exclude-plugin --plugin \
        --start-dir --top-level-directory",
    perhaps: "--coverage",
};
/// Options of trial (<https://docs.twisted.org/en/stable/core/man/trial-man.html>).
const TRIAL: Options = Options {
    quiet: "--bwverbose --coverage --debug --debug-stacktraces --exitfirst --nopm --profile \
        --rterrors --spew --summary --text --until-failure --verbose",
    letters: "beBuvx",
    quiet_values: "-j -l --jobs --logfile --reporter --temp-directory",
    values: "-o -r -z --debugger --order --random --reactor --testmodule --without-module",
    perhaps: "",
};
/// Options of doctest (<https://docs.python.org/3/library/doctest.html#command-line-usage>).
const DOCTEST: Options = Options {
    quiet: "--fail-fast --verbose",
    letters: "fv",
    quiet_values: "",
    values: "-o --option",
    perhaps: "",
};

/// The files and directories that nose is told to look at.
pub(super) fn nose(words: &[&str], directory: &str, files: &Files) -> Kept {
    let mut kept = Kept::default();
    for word in NOSE.read(words) {
        let (option, value) = match word {
            Word::Named(option, value) => (option, value),
            Word::Bare(word) => {
                match place(word, directory, files) {
                    Some(path) => kept.words.push(path),
                    // Seen from elsewhere it can only be what is installed.
                    None if !directory.is_empty() && is_dotted(word) => {
                        kept.words.extend(["--pyargs", word].map(str::to_owned));
                    }
                    None => {}
                }
                continue;
            }
        };
        let named = ["-w", "--where", "--tests"].contains(&option);
        let found = value.and_then(|value| place(value, directory, files));
        match found.filter(|_| named) {
            Some(path) => kept.words.push(path),
            None => kept.leave_out(&NOSE, option, value),
        }
    }
    kept
}

/// The files that doctest is told to search.
pub(super) fn doctest(words: &[&str], directory: &str, files: &Files) -> Kept {
    let mut kept = Kept::default();
    for word in DOCTEST.read(words) {
        match word {
            Word::Bare(word) => kept.words.extend(place(word, directory, files)),
            Word::Named(option, value) => kept.leave_out(&DOCTEST, option, value),
        }
    }
    kept
}

/// Where nose2 is told to start, and the names of tests.
pub(super) fn nose2(words: &[&str], directory: &str, files: &Files) -> Kept {
    let mut kept = Kept::default();
    let starts = ["-s", "--start-dir", "-t", "--top-level-directory"];
    for word in NOSE2.read(words) {
        match word {
            Word::Bare(word) if is_dotted(word) => kept.words.push(word.to_owned()),
            Word::Bare(_) => {}
            Word::Named(option, value) => {
                let found = value.and_then(|value| place(value, directory, files));
                match found.filter(|_| starts.contains(&option)) {
                    Some(path) => kept.words.extend([option.to_owned(), path]),
                    None => kept.leave_out(&NOSE2, option, value),
                }
            }
        }
    }
    kept
}

/// What unittest is told, save how much it says.
pub(super) fn unittest(words: &[&str]) -> Kept {
    let told = words.iter().filter(|word| {
        !["-v", "-q", "-b", "-vv", "--verbose", "--quiet", "--buffer"].contains(word)
    });
    let told = told.map(|word| match word.contains('/') {
        true => plain(word),
        false => (*word).to_owned(),
    });
    Kept {
        words: told.collect(),
        left_out: vec![],
    }
}

/// The files, modules and packages that trial is told to run.
pub(super) fn trial(words: &[&str], directory: &str, files: &Files) -> Kept {
    let mut kept = Kept::default();
    for word in TRIAL.read(words) {
        match word {
            Word::Bare(word) if is_dotted(word) => kept.words.push(word.to_owned()),
            Word::Bare(word) => kept.words.extend(place(word, directory, files)),
            Word::Named(option, value) => kept.leave_out(&TRIAL, option, value),
        }
    }
    kept
}

/// What Django's runner is told, save by whom it is run, by how many processes and how much it says.
pub(super) fn django<'a>(words: impl Iterator<Item = &'a str>) -> Kept {
    let mut kept = Kept::default();
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        match word {
            "-v" | "--verbosity" => {
                words.next();
            }
            "--parallel" => {
                words.next_if(|next| *next == "auto" || next.parse::<usize>().is_ok());
            }
            "--testrunner" => {
                let runner = words.next().unwrap_or_default();
                kept.left_out.push(format!("{word}={runner}"));
            }
            _ if word.starts_with("--testrunner=") => kept.left_out.push(word.to_owned()),
            _ if ["--parallel=", "--verbosity=", "-v"]
                .iter()
                .any(|start| word.starts_with(start)) => {}
            _ => kept.words.push(word.to_owned()),
        }
    }
    kept
}
