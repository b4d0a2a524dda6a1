//! Programs that only run another one, and what uv installs for that
//! (<https://docs.astral.sh/uv/reference/cli/#uv-run>) or by itself
//! (<https://docs.astral.sh/uv/reference/cli/#uv-sync>).

use super::interpreter::{Before, of_coverage};
use super::options::{Kept, Options, Word};
use super::{Call, is_python};
use crate::stage::test_plan::variables::assignment;

/// Options of `uv run`, `uv tool run` and `uv sync`: the quiet ones say by which interpreter, where its files are, and from
/// where and how something is installed.
const UV: Options = Options {
    quiet: "--active --compile --compile-bytecode --exact --force-reinstall --frozen --isolated \
        --locked --managed-python --native-tls --no-binary --no-build --no-build-isolation --no-cache \
        --no-cache-dir --no-config --no-editable --no-env-file --no-index --no-managed-python \
        --no-progress --no-python-downloads --no-require-build-hashes --no-sources --no-sync --offline \
        --quiet --refresh --reinstall --require-build-hashes --system-certs --upgrade --verbose",
    letters: "mnqUv",
    quiet_values: "-C -f -i -p -P --allow-insecure-host --cache-dir --color --config-file \
        --config-setting --config-settings --config-settings-package --default-index \
        --extra-index-url --find-links --fork-strategy --index --index-strategy --index-url \
        --keyring-provider --link-mode --no-binary-package --no-build-isolation-package \
        --no-build-package --no-editable-package --no-sources-package --python --python-platform \
        --python-preference --refresh-package --reinstall-package --trusted-host --upgrade-group \
        --upgrade-package",
    values: "-w --directory --env-file --exclude-newer --exclude-newer-package --extra --from --group \
        --no-extra --no-group --only-group --package --prerelease --prerelease-package --project \
        --resolution --with --with-editable --with-requirements",
    perhaps: "",
};
/// The dependency group that uv installs where nothing else is said.
pub(in crate::stage::test_plan) const DEV: &str = "dev";

/// What is installed for a command by the program that runs it, or by a command itself.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::stage::test_plan) struct Installs {
    /// What it is told to install, as the arguments of one `pip install`.
    pub asked: Vec<String>,
    /// Where it also installs the groups that are its default, those of them that it does not.
    pub defaults: Option<Vec<String>>,
    /// Whether all optional features of the package are.
    pub all_extras: bool,
    /// Whether all groups are, save those that are named in [`Self::defaults`].
    pub all_groups: bool,
    /// Whether other requirements of development are too, which it does not name.
    pub more: bool,
}

impl Installs {
    /// Adds what is installed for another command.
    pub(in crate::stage::test_plan) fn add(&mut self, other: Self) {
        self.asked.extend(other.asked);
        self.all_extras |= other.all_extras;
        self.all_groups |= other.all_groups;
        self.more |= other.more;
        self.defaults = match (self.defaults.take(), other.defaults) {
            (Some(mut without), Some(others)) => {
                without.retain(|group| others.contains(group));
                Some(without)
            }
            (one, other) => one.or(other),
        };
    }

    /// Adds a dependency group.
    pub(in crate::stage::test_plan) fn group(&mut self, name: &str) {
        self.asked.extend(["--group", name].map(str::to_owned));
    }

    /// Adds optional features of the package, as they stand between brackets.
    pub(in crate::stage::test_plan) fn extras(&mut self, names: &str) {
        self.asked.push(format!(".[{names}]"));
    }

    fn without(&mut self, group: &str) {
        if let Some(without) = &mut self.defaults {
            without.push(group.to_owned());
        }
    }
}

/// What such a program is told.
#[derive(Debug, Default)]
pub(super) struct Runner<'w, 'a> {
    /// What it runs, with the arguments of that.
    pub run: &'w [&'a str],
    /// Whether that is a module.
    pub module: bool,
    /// Its own options that may matter.
    left_out: Vec<String>,
    installs: Installs,
}

impl<'w, 'a> Runner<'w, 'a> {
    /// What the program of this name is told by these words; `None` where it does not only run another one.
    pub(super) fn of(name: &str, words: &'w [&'a str]) -> Option<Self> {
        let run = match name {
            "env" | "time" | "xvfb-run" => words,
            "uv" => return Self::of_uv(words),
            "uvx" => return Some(Self::of_tool(vec![], words)),
            "poetry" | "pdm" | "pipenv" | "hatch" => match words {
                ["run", rest @ ..] => after_options(rest),
                _ => return None,
            },
            _ => return None,
        };
        Some(Self {
            run,
            ..Self::default()
        })
    }

    fn of_uv(words: &'w [&'a str]) -> Option<Self> {
        // Options for all that uv does stand before what it is to do, or after that.
        let (options, rest) = UV.leading(words);
        match rest {
            ["run", rest @ ..] => Some(Self::run_by_uv(options, rest)),
            ["tool", "run", rest @ ..] => Some(Self::of_tool(options, rest)),
            _ => None,
        }
    }

    /// A tool that uv runs is in an environment of its own, where the package's groups are not
    /// (<https://docs.astral.sh/uv/reference/cli/#uv-tool-run>).
    fn of_tool(options: Vec<Word<'a>>, words: &'w [&'a str]) -> Self {
        let mut runner = Self::run_by_uv(options, words);
        runner.installs.defaults = None;
        runner
    }

    fn run_by_uv(mut options: Vec<Word<'a>>, words: &'w [&'a str]) -> Self {
        let (own, rest) = UV.leading(words);
        options.extend(own);
        Self {
            run: match rest {
                ["--", run @ ..] => run,
                run => run,
            },
            ..Self::of_options(options)
        }
    }

    /// What options of uv say, whatever it is to do.
    fn of_options(options: Vec<Word<'_>>) -> Self {
        let mut module = false;
        let mut installs = Installs {
            defaults: Some(vec![]),
            ..Installs::default()
        };
        let mut kept = Kept::default();
        for option in options {
            let Word::Named(option, value) = option else {
                continue;
            };
            module |= option == "--module" || !option.starts_with("--") && option.contains('m');
            match (option, value) {
                ("--module", _) => {}
                ("--extra", Some(name)) => installs.extras(name),
                ("--all-extras", _) => installs.all_extras = true,
                ("--all-groups", _) => installs.all_groups = true,
                ("--group", Some(name)) => installs.group(name),
                ("--dev", _) => installs.group(DEV),
                ("--only-group", Some(name)) => {
                    installs.group(name);
                    installs.defaults = None;
                }
                ("--only-dev", _) => {
                    installs.group(DEV);
                    installs.defaults = None;
                }
                ("--no-group", Some(name)) => installs.without(name),
                ("--no-dev", _) => installs.without(DEV),
                ("--no-default-groups" | "--no-project", _) => installs.defaults = None,
                ("-w" | "--with" | "--from", Some(texts)) => {
                    installs.asked.extend(requirements(texts))
                }
                ("--with-editable", Some(text)) => {
                    installs.asked.extend(["-e", text].map(str::to_owned));
                }
                ("--with-requirements", Some(path)) => {
                    installs.asked.extend(["-r", path].map(str::to_owned));
                }
                _ => kept.leave_out(&UV, option, value),
            }
        }
        Self {
            run: &[],
            module,
            left_out: kept.left_out,
            installs,
        }
    }

    /// The call of what it runs, with what it is told itself.
    pub(super) fn put_before(self, mut call: Call) -> Call {
        call.left_out.splice(0..0, self.left_out);
        call.installs.add(self.installs);
        call
    }
}

/// What uv installs by itself where it is told these words, or writes down for something else to install.
pub(in crate::stage::test_plan) fn synced(words: &[String]) -> Option<Installs> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (mut options, rest) = UV.leading(&words);
    let ["sync" | "export", rest @ ..] = rest else {
        return None;
    };
    options.extend(UV.read(rest));
    Some(Runner::of_options(options).installs)
}

/// What stands after the options of a program that runs another.
fn after_options<'w, 'a>(mut words: &'w [&'a str]) -> &'w [&'a str] {
    let values = [
        "-C",
        "-p",
        "-P",
        "--directory",
        "--project",
        "--python",
        "--venv",
    ];
    while let Some(word) = words.first().filter(|word| word.starts_with('-')) {
        let skip = 1 + usize::from(values.contains(word));
        words = words.get(skip..).unwrap_or_default();
    }
    words
}

/// The requirements of a list with commas, which stand also within brackets and before a further limit.
fn requirements(list: &str) -> Vec<String> {
    let mut found = vec![];
    let (mut from, mut depth) = (0, 0_usize);
    for (at, letter) in list.char_indices() {
        match letter {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                let rest = list[at + 1..].trim_start();
                if !rest.starts_with(['=', '!', '<', '>', '~']) {
                    found.push(list[from..at].trim().to_owned());
                    from = at + 1;
                }
            }
            _ => {}
        }
    }
    found.push(list[from..].trim().to_owned());
    found
}

/// Whether a command ends before it says what the programs run that it begins with.
pub(in crate::stage::test_plan) fn is_open(words: &[String]) -> bool {
    let all: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut words = all.as_slice();
    loop {
        let assigned = words.iter().take_while(|word| assignment(word).is_some());
        let Some((first, rest)) = words[assigned.count()..].split_first() else {
            return true;
        };
        let name = first.rsplit('/').next().unwrap_or(first);
        if let Some(runner) = Runner::of(name, rest) {
            words = runner.run;
            continue;
        }
        return match (name, rest) {
            ("coverage" | "coverage3", ["run", rest @ ..]) => {
                let (_, run) = of_coverage(rest);
                run.iter().all(|word| *word == "-m")
            }
            _ if is_python(name) => match Before::of_python(rest) {
                Some((_, run)) => run.is_empty(),
                None => rest.last() == Some(&"-m"),
            },
            _ => false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::call;
    use super::*;
    use crate::stage::test_plan::Files;

    fn of(command: &str) -> Call {
        let files = Files::of(&[("tests/test_a.py", ""), ("t/test_b.py", "")]);
        let words = shlex::split(command).unwrap();
        call(&words, "", &files).unwrap_or_else(|| panic!("{command}"))
    }

    #[test]
    fn uv_installs_what_it_is_told() {
        for (command, asked) in [
            ("uv run pytest", ""),
            ("uv run --group suite -p 3.12 pytest", "--group|suite"),
            (
                "uv run --extra=x --extra y --dev --only-group z -m pytest",
                ".[x]|.[y]|--group|dev|--group|z",
            ),
            (
                "uv --offline run -q --with 'a>=1,<2, b[c,d]' -w e -- pytest --with f",
                "a>=1,<2|b[c,d]|e",
            ),
            (
                "uv run --with-editable . --with-requirements=r.txt python -m pytest",
                "-e|.|-r|r.txt",
            ),
            ("A=b uv run --with a env C=d uv run --with b pytest", "b|a"),
            ("poetry run -C t pytest --with a", ""),
            (
                "uvx --with a --from 'pytest>=8' pytest --with b",
                "a|pytest>=8",
            ),
            ("uv -q tool run -p 3.12 -w a pytest", "a"),
        ] {
            assert_eq!(of(command).installs.asked.join("|"), asked, "{command}");
        }
    }

    #[test]
    fn uv_installs_its_default_groups_unless_it_is_told_otherwise() {
        for (command, without) in [
            ("pytest", None),
            ("uv run pytest", Some("")),
            (
                "uv run --no-dev --no-group=x --group y pytest",
                Some("dev|x"),
            ),
            ("uv run --only-dev pytest", None),
            ("uv run --only-group x pytest", None),
            ("uv run --no-default-groups pytest", None),
            ("uv run --no-project --with pytest pytest", None),
            ("uvx pytest", None),
            ("uv run --no-dev uv run --no-group x pytest", Some("")),
            ("uv run --no-dev uv run --no-project pytest", Some("dev")),
        ] {
            let defaults = of(command).installs.defaults;
            let defaults = defaults.map(|groups| groups.join("|"));
            assert_eq!(defaults.as_deref(), without, "{command}");
        }
    }

    #[test]
    fn options_of_uv_that_may_matter_are_told() {
        let call =
            of("uv run --directory t --no-extra a --index-url=x -qn -p 3.12 pytest --foo tests");
        assert_eq!(call.left_out, ["--directory=t", "--no-extra=a", "--foo"]);
        assert_eq!(call.words, ["tests"]);
    }

    #[test]
    fn a_command_may_end_before_its_program() {
        let open = |command: &str| is_open(&shlex::split(command).unwrap());
        for command in [
            "",
            "A=b",
            "uv run",
            "uv run --group x --",
            "uv run -m",
            "poetry run python -X dev",
            "env A=b xvfb-run /bin/python3 -m",
            "coverage run -p -m",
        ] {
            assert!(open(command), "{command}");
        }
        for command in [
            "pytest",
            "uv sync",
            "uv run -m pytest",
            "python -m pytest",
            "python a.py",
            "python -c",
            "coverage report",
        ] {
            assert!(!open(command), "{command}");
        }
    }
}
