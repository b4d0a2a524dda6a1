//! The quality checkers: how each is called and how its report is read. A new one is an entry here.

use pyti_graph::Failure;

use super::checker_reports::{
    Report, bandit, check_wheel_contents, pyflakes, pylint, pyroma, ruff, twine,
};
use super::{Required, Requirements};

/// Stands in commands for the image's interpreter.
pub(super) const PYTHON: &str = "{python}";

/// Runs pylint 1.9, then says how many modules it looked at, and its score.
const PYLINT_1: &str = "\
import sys
from pylint.lint import Run
stats = Run(sys.argv[1:], None, False).linter.stats
sys.stderr.write('\\nmodules %d\\n' % len(stats.get('by_module', ())))
if stats.get('global_note') is not None:
    sys.stderr.write('score %f\\n' % stats['global_note'])
";

/// Runs pyroma with U+001E before each of its problems, since some have several lines.
const PYROMA: &str = "\
import pyroma
rate = pyroma.ratings.rate
def marked(*given, **named):
    rating, problems = rate(*given, **named)
    return rating, ['\\x1e' + problem for problem in problems]
pyroma.ratings.rate = marked
pyroma.main()
";

/// Options of bandit, in a file of ours: without one it takes those of a `.bandit` in the source, which
/// may have it skip what there is to be found.
const BANDIT_INI: &str = "/home/dev/.cache/build/bandit.ini";

/// Has pylint say what comments in the modules silence, since it cannot be told to pass over them.
const PYLINT_SILENCED: &str = "--enable=suppressed-message,file-ignored";

/// What a checker looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// The installed modules, by their names.
    Modules,
    /// The unpacked source distribution.
    Source,
    /// The file that is audited, as it is.
    File,
    /// The built wheel, or the wheel that is audited.
    Wheel,
}

/// A checker.
pub(super) struct Checker {
    /// Its name.
    pub tool: &'static str,
    /// Name of its stage.
    pub stage: &'static str,
    /// Name of its datum.
    pub datum: &'static str,
    /// What is installed for it.
    pub requirements: Requirements,
    /// Its command; modules follow where they are its subject.
    pub argv: &'static [&'static str],
    /// Its command on Python 2, where its last version there has other options.
    pub python2: Option<&'static [&'static str]>,
    /// Files that it is given: their paths in the guest, and what they hold.
    pub files: &'static [(&'static str, &'static str)],
    /// What it looks at.
    pub subject: Subject,
    /// It asks the package's build back end, which wants what building requires.
    pub builds: bool,
    /// Reads its standard output and standard error, where it ended with this exit status; `None` where
    /// that is no report.
    pub read: fn(&str, &str, Option<i32>) -> Option<Report>,
}

/// Every checker.
pub(super) static CHECKERS: [Checker; 7] = [
    Checker {
        tool: "pylint",
        stage: "quality-pylint",
        datum: "quality.pylint",
        requirements: |_| packages(&["pylint"]),
        argv: &[
            PYTHON,
            "-m",
            "pylint",
            "--output-format=json2",
            "--exit-zero",
            "--persistent=n",
            "-j1",
            PYLINT_SILENCED,
        ],
        // 1.9, which writes its score and what it looked at to no report that can be read.
        python2: Some(&[
            PYTHON,
            "-c",
            PYLINT_1,
            "--output-format=json",
            "--exit-zero",
            "--persistent=n",
            "-j1",
            PYLINT_SILENCED,
        ]),
        files: &[],
        subject: Subject::Modules,
        builds: false,
        read: |out, errors, _| pylint(out, errors),
    },
    Checker {
        tool: "ruff",
        stage: "quality-ruff",
        datum: "quality.ruff",
        requirements: |_| packages(&["ruff"]),
        argv: &[
            "/home/dev/.local/bin/ruff",
            "check",
            "--isolated",
            // A source's ignore files, what ruff leaves out by itself (venv, build), and comments.
            "--no-respect-gitignore",
            "--config=exclude=[]",
            "--ignore-noqa",
            "--no-cache",
            "--exit-zero",
            "--output-format=json",
            "{source}",
        ],
        python2: None,
        files: &[],
        subject: Subject::Source,
        builds: false,
        read: |out, _, _| ruff(out),
    },
    Checker {
        tool: "pyflakes",
        stage: "quality-pyflakes",
        datum: "quality.pyflakes",
        requirements: |_| packages(&["pyflakes"]),
        argv: &[PYTHON, "-m", "pyflakes", "{source}"],
        python2: None,
        files: &[],
        subject: Subject::Source,
        builds: false,
        read: |out, errors, _| pyflakes(out, errors),
    },
    Checker {
        tool: "bandit",
        stage: "quality-bandit",
        datum: "quality.bandit",
        requirements: |_| packages(&["bandit"]),
        argv: &[
            PYTHON,
            "-m",
            "bandit",
            "--recursive",
            "--quiet",
            "--exit-zero",
            "--format=json",
            "--ini",
            BANDIT_INI,
            // Without that it leaves out what has `CVS` or `.tox` in its path.
            "--exclude=",
            "--ignore-nosec",
            "{source}",
        ],
        // 1.6. With findings its exit status is 1.
        python2: Some(&[
            PYTHON,
            "-m",
            "bandit",
            "--recursive",
            "--quiet",
            "--format=json",
            "--ini",
            BANDIT_INI,
            "--exclude=",
            "--ignore-nosec",
            "{source}",
        ]),
        files: &[(BANDIT_INI, "[bandit]\n")],
        subject: Subject::Source,
        builds: false,
        read: |out, _, _| bandit(out),
    },
    Checker {
        tool: "check-wheel-contents",
        stage: "quality-wheel",
        datum: "quality.check-wheel-contents",
        requirements: |_| packages(&["check-wheel-contents"]),
        argv: &[
            PYTHON,
            "-m",
            "check_wheel_contents",
            "--no-config",
            "{wheel}",
        ],
        python2: None,
        files: &[],
        subject: Subject::Wheel,
        builds: false,
        read: |out, _, _| check_wheel_contents(out),
    },
    Checker {
        tool: "twine",
        stage: "quality-twine",
        datum: "quality.twine",
        requirements: |_| packages(&["twine"]),
        argv: &[PYTHON, "-m", "twine", "--no-color", "check", "{file}"],
        // 1.15.
        python2: Some(&[PYTHON, "-m", "twine", "check", "{file}"]),
        files: &[],
        subject: Subject::File,
        builds: false,
        read: |out, _, exit| twine(out, exit),
    },
    Checker {
        tool: "pyroma",
        stage: "quality-pyroma",
        datum: "quality.pyroma",
        // Its 3 and 4 are said to run on Python 2, and do not; 2.6 cannot be called by its name.
        requirements: |_| {
            packages(&[
                "pyroma >=3 ; python_version >= '3'",
                "pyroma <3 ; python_version < '3'",
            ])
        },
        argv: &[PYTHON, "-c", PYROMA, "--min=1", "{source}"],
        python2: None,
        files: &[],
        subject: Subject::Source,
        builds: true,
        read: |out, _, _| pyroma(out),
    },
];

fn packages(names: &[&str]) -> Result<Required, Failure> {
    Ok(Required::just(names))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::WORK;

    #[test]
    fn bandits_options_are_ours_and_no_part_of_the_source() {
        assert!(BANDIT_INI.starts_with(&format!("{WORK}/")));
        let checker = CHECKERS.iter().find(|checker| checker.tool == "bandit");
        let checker = checker.unwrap();
        for argv in [Some(checker.argv), checker.python2] {
            let argv = argv.unwrap();
            assert!(argv.windows(2).any(|two| two == ["--ini", BANDIT_INI]));
        }
        assert_eq!(checker.files, [(BANDIT_INI, "[bandit]\n")]);
    }

    #[test]
    fn no_comment_and_no_name_of_a_directory_silences_a_checker() {
        for (tool, words) in [
            ("pylint", &["--enable=suppressed-message,file-ignored"][..]),
            (
                "ruff",
                &[
                    "--isolated",
                    "--no-respect-gitignore",
                    "--config=exclude=[]",
                    "--ignore-noqa",
                ],
            ),
            ("bandit", &["--exclude=", "--ignore-nosec"]),
        ] {
            let checker = CHECKERS.iter().find(|checker| checker.tool == tool);
            let checker = checker.unwrap();
            for argv in [Some(checker.argv), checker.python2].into_iter().flatten() {
                assert!(words.iter().all(|word| argv.contains(word)), "{argv:?}");
            }
        }
    }

    #[test]
    fn what_is_no_report_is_none() {
        for checker in &CHECKERS {
            let read = (checker.read)("Traceback (most recent call last):", "", Some(1));
            assert!(
                read.is_none() || checker.tool == "pyflakes",
                "{}",
                checker.tool
            );
        }
    }
}
