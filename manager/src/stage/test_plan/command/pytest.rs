//! What pytest is told of the words after its name
//! (<https://docs.pytest.org/en/stable/reference/reference.html#command-line-flags>).

use super::options::{Kept, Options, Word, has};
use super::place::{is_dotted, place, plain};
use crate::stage::test_plan::Files;

/// Options of its own that say which tests are run.
const KEPT: &str = "--doctest-modules --pyargs";
/// The same with a value.
const KEPT_VALUES: &str = "-k -m --deselect --doctest-glob --ignore --ignore-glob --import-mode";
/// Options of plugins, and the settings that say the same: pytest ends at an option that it does not know, and
/// knows these settings by `each_result.py`, whether or not their plugins are there.
const SETTINGS: [(&str, &str); 3] = [
    ("--asyncio-mode", "asyncio_mode"),
    ("--dc", "DJANGO_CONFIGURATION"),
    ("--ds", "DJANGO_SETTINGS_MODULE"),
];
/// Options of its own and of common plugins; the quiet ones also say how strict it is with settings.
const OPTIONS: Options = Options {
    quiet: "--cache-clear --cov --cov-append --cov-branch --cov-reset --disable-pytest-warnings \
        --disable-warnings --exitfirst --failed-first --ff --full-trace --last-failed --lf \
        --new-first --nf --no-cov --no-cov-on-fail --no-header --no-showlocals --no-summary --quiet \
        --self-contained-html --showlocals --stepwise --strict --strict-config --strict-markers --sw \
        --verbose",
    letters: "lqsvx",
    quiet_values: "-n -r --basetemp --capture --code-highlight --color --cov-config --cov-context \
        --cov-fail-under --cov-report --dist --durations --durations-min --html --junit-prefix \
        --junit-xml --junitxml --log-cli-date-format --log-cli-format --log-cli-level --log-file \
        --log-file-level --maxfail --maxprocesses --numprocesses --show-capture --tb --verbosity",
    values: "-c -k -m -o -p -W --assert --asyncio-mode --confcutdir --config-file --count --dc \
        --deselect --doctest-glob --doctest-report --ds --hypothesis-profile --hypothesis-seed \
        --ignore --ignore-glob --import-mode --log-date-format --log-disable --log-format --log-level \
        --only-rerun --override-ini --pdbcls --pythonwarnings --randomly-seed --reruns \
        --reruns-delay --rootdir --timeout --timeout-method",
    perhaps: "--cov --debug --remote-data",
};

/// The words after pytest that say which tests are run and how; others may ask for plugins that are not
/// there.
pub(in crate::stage::test_plan) fn pytest(words: &[&str], directory: &str, files: &Files) -> Kept {
    let packages = words.contains(&"--pyargs");
    let mut kept = Kept::default();
    for word in OPTIONS.read(words) {
        let (option, value) = match word {
            Word::Named(option, value) => (option, value),
            Word::Bare(word) => {
                if let Some(path) = place(word, directory, files) {
                    kept.words.push(path);
                } else if packages && is_dotted(word) {
                    kept.words.push(word.to_owned());
                }
                continue;
            }
        };
        let setting = SETTINGS.iter().find(|(known, _)| *known == option);
        match (option, value) {
            ("-k" | "-m", Some(value)) => {
                kept.words.extend([option.to_owned(), value.to_owned()]);
            }
            // Joined, so that a value is never taken for an option.
            ("-W" | "--pythonwarnings", Some(value)) => kept.words.push(format!("-W{value}")),
            // Its cache is in no source anyway, by a setting that only it knows.
            ("-p", Some("no:cacheprovider")) => {}
            ("-p", Some(value)) if value.starts_with("no:") => {
                kept.words.push(format!("-p{value}"));
            }
            ("--ignore" | "--ignore-glob" | "--deselect", Some(value)) => {
                kept.words.push(format!("{option}={}", plain(value)));
            }
            (_, Some(value)) if has(KEPT_VALUES, option) => {
                kept.words.push(format!("{option}={value}"));
            }
            (_, None) if has(KEPT, option) => kept.words.push(option.to_owned()),
            _ => match (setting, value) {
                (Some((_, setting)), Some(value)) => {
                    let setting = format!("{setting}={value}");
                    kept.words.extend(["-o".to_owned(), setting]);
                }
                _ => kept.leave_out(&OPTIONS, option, value),
            },
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn pytest_is_told_nothing_that_it_cannot_do_without_a_plugin() {
        let words = "-p no:cacheprovider -pno:cacheprovider -p no:a --asyncio-mode=auto tests";
        let words = shlex::split(words).unwrap();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let kept = pytest(&words, "", &Files::of(&[("tests/test_a.py", "")]));
        assert_eq!(kept.words, ["-pno:a", "-o", "asyncio_mode=auto", "tests"]);
        assert_eq!(kept.left_out, Vec::<String>::new());
    }

    #[test]
    fn the_settings_of_plugins_are_known_without_them() {
        let program = "\
import each_result
class Parser:
    def addini(self, name, help):
        print(name)
each_result.pytest_addoption(Parser())
";
        let directory = tempfile::tempdir().unwrap();
        let module = include_str!("../../test/each_result.py");
        std::fs::write(directory.path().join("each_result.py"), module).unwrap();
        let output = std::process::Command::new("python3")
            .args(["-c", program])
            .current_dir(directory.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let known: BTreeSet<&str> = text.lines().collect();
        assert_eq!(known, BTreeSet::from(SETTINGS.map(|(_, setting)| setting)));
    }
}
