//! The environment variables that a package's configuration sets for its tests, as far as the stage
//! can take them.

use std::collections::BTreeMap;

use pyti_analyzer::amount;

/// Variables that are set.
const MOST: usize = 100;
/// Bytes of one value. A substitution in it may grow to a whole path, and the kernel bounds one string
/// and all of them (execve(2)).
pub(super) const LONGEST: usize = 2000;
/// Bytes of all of them, names too.
const MOST_BYTES: usize = 32 << 10;
/// Bytes of a name.
const LONGEST_NAME: usize = 100;
/// Characters of a name that is told.
const TOLD_OF_NAME: usize = 60;
/// Sentences on what is not set; of more it is told how many there are.
const TOLD: usize = 10;

/// What the guest has of its own, and what would lead away from what is installed or bounded there.
const OWN: [&str; 13] = [
    "HOME",
    "LOGNAME",
    "PATH",
    "PWD",
    "PYTHONHOME",
    "PYTHONNOUSERSITE",
    "PYTHONPLATLIBDIR",
    "PYTHONUSERBASE",
    "SHELL",
    "TEMP",
    "TMP",
    "TMPDIR",
    "USER",
];
/// Starts of the names of such variables: those of the dynamic linker and of pip.
const OWN_STARTS: [&str; 2] = ["LD_", "PIP_"];
/// What the guest has of locales, in lower case: no others are generated in an image.
const LOCALES: [&str; 5] = ["", "c", "posix", "c.utf-8", "c.utf8"];

/// What is said of the variables of one environment.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Variables {
    /// Those that are set: names and values, in which `{source}` and `{work}` stand for places.
    pub set: BTreeMap<String, String>,
    /// Bytes of these.
    bytes: usize,
    /// What is not set, one sentence each.
    skipped: Vec<String>,
    /// How many more are not.
    more: usize,
}

impl Variables {
    /// Adds one. Of equal names the last counts, also where that one is not set.
    pub(super) fn add(&mut self, name: &str, value: &str) {
        if let Some(before) = self.set.remove(name) {
            self.bytes -= name.len() + before.len();
        }
        let bytes = self.bytes + name.len() + value.len();
        let full = self.set.len() >= MOST || bytes > MOST_BYTES;
        let why = refused(name, value).or_else(|| full.then_some("there are too many"));
        if let Some(why) = why {
            self.leave_out(name, why);
            return;
        }
        self.bytes = bytes;
        self.set.insert(name.to_owned(), value.to_owned());
    }

    /// Says that one is not set.
    pub(super) fn leave_out(&mut self, name: &str, why: &str) {
        let short: String = name.chars().take(TOLD_OF_NAME).collect();
        self.skip(format!("the variable `{short}` is not set: {why}"));
    }

    /// Says in a sentence what is not set.
    pub(super) fn skip(&mut self, sentence: String) {
        if self.skipped.len() < TOLD {
            self.skipped.push(sentence);
        } else {
            self.more += 1;
        }
    }

    /// What is not set, one sentence each.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = self.skipped.clone();
        if self.more > 0 {
            let more = amount(self.more as u64, "more variable is", "more variables are");
            notes.push(format!("{more} not set"));
        }
        notes
    }
}

/// Why a variable is not set, where it is not.
fn refused(name: &str, value: &str) -> Option<&'static str> {
    if !is_name(name) {
        return Some("that is no name of a variable");
    }
    if name.len() > LONGEST_NAME || value.len() > LONGEST {
        return Some("it is too long");
    }
    if is_own(name) {
        return Some("the stage has its own");
    }
    // Python 2 passes on nothing else, and what ends a string ends the command.
    let plain = |c: char| c.is_ascii() && (!c.is_ascii_control() || ['\n', '\t'].contains(&c));
    if !value.chars().all(plain) {
        return Some("its value is not plain ASCII");
    }
    match name {
        // See `invocation::pytest`.
        "PYTEST_ADDOPTS" => Some("its options may ask for plugins that are not there"),
        // See `command::pytest`.
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD" => Some("options that name plugins are left out"),
        "COVERAGE_PROCESS_CONFIG" | "COVERAGE_PROCESS_START" | "COVERAGE_RCFILE" => {
            Some("a stage of its own measures coverage")
        }
        "PYTHONINSPECT" => Some("the interpreter would not end with its tests"),
        "PYTHONWARNINGS" if value.contains("error") => {
            Some("warnings of the tools themselves would be errors")
        }
        // tox knows words for it that end the interpreter.
        "PYTHONHASHSEED" if !["", "random"].contains(&value) && value.parse::<u32>().is_err() => {
            Some("its value is no number")
        }
        _ if name == "LANG" || name.starts_with("LC_") => {
            let known = LOCALES.contains(&&*value.to_ascii_lowercase());
            (!known).then_some("there is no such locale")
        }
        _ => None,
    }
}

/// Whether a variable is the guest's own: not the package's to set, and not known here.
pub(super) fn is_own(name: &str) -> bool {
    OWN.contains(&name) || OWN_STARTS.iter().any(|start| name.starts_with(start))
}

/// Whether a text is a name of a variable.
pub(super) fn is_name(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(|c: char| letter(c) && !c.is_ascii_digit()) && text.chars().all(letter)
}

/// A word as the assignment of a variable before a command, whether or not it may have that name.
pub(super) fn assignment(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once('=')?;
    let program = name.is_empty() || name.starts_with('-') || name.contains('/');
    (!program).then(|| (name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use pyti_graph::{Datum, Inputs};
    use pyti_index::CoreMetadata;
    use pyti_vm::Interpreter;
    use serde_json::{Value, json};

    use super::super::super::test::{self, Around};
    use super::super::{Files, PythonVersion, Run, TestPlan, of_command, plan};
    use super::*;
    use crate::cli::LimitArgs;
    use crate::tasks;

    fn of(said: &[(&str, &str)]) -> Variables {
        let mut variables = Variables::default();
        for (name, value) in said {
            variables.add(name, value);
        }
        variables
    }

    fn planned(files: &[(&str, &str)]) -> TestPlan {
        plan(
            &Files::of(files),
            &CoreMetadata::default(),
            PythonVersion::TEST,
        )
        .unwrap()
    }

    fn pairs(run: &Run) -> Vec<(&str, &str)> {
        let set = run.environment.iter();
        set.map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }

    #[test]
    fn what_the_stage_stands_on_is_not_set() {
        for (name, value, why) in [
            ("PATH", "/bin", "the stage has its own"),
            ("LD_PRELOAD", "x.so", "the stage has its own"),
            ("PIP_INDEX_URL", "https://x.test", "the stage has its own"),
            ("PYTHONNOUSERSITE", "1", "the stage has its own"),
            ("A-B", "1", "that is no name of a variable"),
            ("1A", "1", "that is no name of a variable"),
            ("", "1", "that is no name of a variable"),
            ("É", "1", "that is no name of a variable"),
            ("A", "é", "its value is not plain ASCII"),
            ("A", "a\0b", "its value is not plain ASCII"),
            ("LC_ALL", "en_US.UTF-8", "there is no such locale"),
            ("PYTHONHASHSEED", "noset", "its value is no number"),
            (
                "PYTHONWARNINGS",
                "error",
                "warnings of the tools themselves would be errors",
            ),
        ] {
            let found = of(&[(name, "0"), (name, value)]);
            assert_eq!(found.set, BTreeMap::new(), "{name}={value}");
            let note = format!("the variable `{name}` is not set: {why}");
            assert_eq!(found.notes().last(), Some(&note));
        }
        for (name, value) in [
            ("A", ""),
            ("_a1", "b = \"c\"\n"),
            ("LC_ALL", "C.UTF-8"),
            ("PYTHONHASHSEED", "random"),
            ("PYTHONHASHSEED", "4294967295"),
            ("PYTHONPATH", "{source}/src"),
            ("PYTHONWARNINGS", "default"),
        ] {
            let found = of(&[(name, "0"), (name, value)]);
            assert_eq!(found.set.get(name).map(String::as_str), Some(value));
            assert_eq!(found.bytes, name.len() + value.len());
        }
    }

    #[test]
    fn variables_are_bounded_in_number_and_length() {
        let long = "x".repeat(LONGEST + 1);
        let found = of(&[("A", &long), (&long, "a")]);
        assert_eq!(found.set, BTreeMap::new());
        assert!(found.notes().iter().all(|note| note.len() < 200));
        let mut found = Variables::default();
        for number in 0..10_000 {
            found.add(&format!("A{number}"), "b");
        }
        assert_eq!(found.set.len(), MOST);
        let notes = found.notes();
        assert_eq!(notes.len(), TOLD + 1);
        assert_eq!(
            notes[0],
            "the variable `A100` is not set: there are too many"
        );
        assert_eq!(notes[TOLD], "9890 more variables are not set");
        let mut found = Variables::default();
        for number in 0..MOST {
            found.add(&format!("A{number}"), &long[1..]);
        }
        assert!(found.bytes <= MOST_BYTES && found.set.len() > 10);
    }

    #[test]
    fn a_plan_has_those_of_the_environment_whose_command_is_run_and_of_that_command() {
        let tox = "[testenv:lint]\nsetenv = NO=1\ncommands = ruff check\n[testenv:tests]\nsetenv =\n    A = 1\n    \
            B = 2\n    HOME = {toxinidir}\ncommands =\n    ruff check\n    env B=3 C=4 pytest\n    D=5 pytest\n";
        let plan = planned(&[("tox.ini", tox)]);
        assert_eq!(pairs(&plan.first), [("A", "1"), ("B", "3"), ("C", "4")]);
        assert_eq!(
            pairs(&plan.further[0]),
            [("A", "1"), ("B", "2"), ("D", "5")]
        );
        assert_eq!(
            plan.notes,
            ["the variable `HOME` is not set: the stage has its own"]
        );
        let none = planned(&[("tox.ini", "[testenv]\nsetenv = A=1\n[pytest]\n")]);
        assert!(pairs(&none.first).is_empty());
        let words = ["A=1", "PATH=/bin", "pytest"].map(str::to_owned);
        let files = Files::of(&[("tox.ini", tox)]);
        let users = of_command(
            &words,
            &files,
            &CoreMetadata::default(),
            PythonVersion::TEST,
        );
        assert_eq!(pairs(&users.first), [("A", "1")]);
        assert_eq!(
            users.notes,
            ["the variable `PATH` is not set: the stage has its own"]
        );
    }

    #[test]
    fn the_command_of_the_stage_has_them_and_the_stages_own_win() {
        let tox = "[testenv]\nsetenv =\n    COVERAGE_FILE = {toxworkdir}/.coverage\n    \
            A = {toxinidir}/b\ncommands = pytest\n";
        let mut plan = serde_json::to_value(planned(&[("tox.ini", tox)])).unwrap();
        let env = |plan: &Value, own: BTreeMap<String, String>| {
            let file = json!({"filename": "a-1.tar.gz", "path": "", "sha256": "", "bytes": 0,
                "name": "a", "version": "1", "kind": "sdist-tar-gz", "extras": [],
                "yanked": false});
            let prepared = json!({"target": file, "files": [], "build_requires": [],
                "requires": [], "closure": [], "notes": []});
            let target = json!({"name": "a", "version": "1", "files": 1, "top_level": ["a"],
                "extensions": [], "scripts": []});
            let installed = json!({"state": {"integrity": "", "bytes": 0}, "name": "a",
                "distributions": [target], "pth": [], "unrecorded": [], "elsewhere": []});
            let python = Interpreter::new("/usr/bin/python3", "3.13", "2.41").unwrap();
            let inputs = [
                (tasks::WHEELHOUSE, prepared),
                (tasks::INSTALLED, installed),
                (tasks::TEMPLATE, json!({"key": "", "python": python})),
            ];
            let inputs = inputs.map(|(kind, datum)| (kind.into(), Datum::of(&datum).unwrap()));
            let limits = LimitArgs {
                wall_seconds: 600,
                memory_mib: 512,
                pids: 64,
                output_kib: 64,
                events: 1000,
            };
            let around = Around {
                env: own,
                ..Around::default()
            };
            let plan: TestPlan = serde_json::from_value(plan.clone()).unwrap();
            let order = test::order(
                "coverage",
                &Inputs::from_iter(inputs),
                &plan,
                around,
                &limits,
            );
            let files = order.unwrap().spec.files;
            let input = files.iter().find(|(path, _)| path.ends_with(".json"));
            let input: Value = serde_json::from_str(&input.unwrap().1).unwrap();
            input["commands"][0]["env"].clone()
        };
        assert_eq!(
            env(&plan, BTreeMap::new()),
            json!({"A": "{source}/b", "COVERAGE_FILE": "{work}/.coverage"})
        );
        let own = BTreeMap::from([("COVERAGE_FILE".to_owned(), "{work}/own".to_owned())]);
        assert_eq!(
            env(&plan, own),
            json!({"A": "{source}/b", "COVERAGE_FILE": "{work}/own"})
        );
        // A plan that an earlier version wrote.
        plan.as_object_mut().unwrap().remove("environment");
        assert_eq!(env(&plan, BTreeMap::new()), json!({}));
    }
}
