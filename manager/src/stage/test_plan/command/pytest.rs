//! What pytest is told of the words after its name
//! (<https://docs.pytest.org/en/stable/reference/reference.html#command-line-flags>).

use std::mem;

use super::options::{Kept, Options, Word, has};
use super::place::{inside, is_dotted, place, plain};
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
pub(super) fn pytest(words: &[&str], directory: &str, files: &Files) -> Kept {
    read(words, directory, files).0
}

/// The same of options that are configured, which stand before what a command says. The only place among
/// them may be the value of an option that is not known: where it has no tests it is left out, since
/// pytest would find none.
pub(in crate::stage::test_plan) fn configured(
    words: &[&str],
    directory: &str,
    files: &Files,
) -> Kept {
    let (mut kept, doubtful) = read(words, directory, files);
    let has_examples = words.iter().any(|word| word.starts_with("--doctest"));
    if let Some(at) = doubtful.filter(|_| !has_examples) {
        let word = kept.words.get(at);
        if word.is_some_and(|word| has_no_tests(word, directory, files)) {
            kept.words.remove(at);
        }
    }
    kept
}

/// What is kept of the words, and where in it the only place stands, if that comes right after an option
/// which is not known.
fn read(words: &[&str], directory: &str, files: &Files) -> (Kept, Option<usize>) {
    let packages = words.contains(&"--pyargs");
    let mut kept = Kept::default();
    // Where each place stands, and whether it comes after such an option.
    let mut places: Vec<(usize, bool)> = vec![];
    let mut unknown = false;
    for word in OPTIONS.read(words) {
        let after_unknown = mem::take(&mut unknown);
        let (option, value) = match word {
            Word::Named(option, value) => (option, value),
            Word::Bare(word) => {
                let dotted = packages && is_dotted(word);
                let path = place(word, directory, files);
                if let Some(path) = path.or_else(|| dotted.then(|| word.to_owned())) {
                    places.push((kept.words.len(), after_unknown));
                    kept.words.push(path);
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
                _ => {
                    let before = kept.left_out.len();
                    kept.leave_out(&OPTIONS, option, value);
                    unknown = value.is_none() && kept.left_out.len() > before;
                }
            },
        }
    }
    let doubtful = match places.as_slice() {
        [(at, true)] => Some(*at),
        _ => None,
    };
    (kept, doubtful)
}

/// Whether a word names a directory in which no file is named as tests are.
fn has_no_tests(word: &str, directory: &str, files: &Files) -> bool {
    let Some(path) = inside(word, directory).filter(|path| !path.is_empty()) else {
        return false;
    };
    let start = format!("{path}/");
    files.has_directory(&path) && !files.tests().any(|test| test.starts_with(&start))
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
