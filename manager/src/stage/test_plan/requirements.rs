//! What a package's tests require.

mod installs;

use std::collections::BTreeSet;

use pyti_analyzer::amount;
use pyti_index::metadata::requires_of_extra;
use pyti_index::{CoreMetadata, DistFilename, PackageName, WrittenOut, keyword_requirements};

use super::command::Installs;
use super::environment::Environment;
use super::files::Files;
use super::framework::Framework;
use super::lists::{Reader, words};
use super::{Run, groups};
use crate::tasks::FetchedTools;

/// Optional features and dependency groups (PEP 735) that hold what tests require.
const TESTS: [&str; 6] = [
    "test",
    "tests",
    "testing",
    "unittest",
    "unittests",
    "pytest",
];
/// Those that hold what all development requires, which is much more.
const DEVELOPMENT: [&str; 3] = ["dev", "develop", "development"];
/// What only installs, builds or makes environments: where nothing else is asked for, that says nothing of
/// what tests require.
const INSTALLERS: [&str; 11] = [
    "build",
    "flit",
    "hatch",
    "pdm",
    "pip",
    "pipenv",
    "poetry",
    "setuptools",
    "tox",
    "uv",
    "wheel",
];
/// Requirements of a package's tests.
const MOST: usize = 500;
/// What a requirement on nose stands for: where no nose runs, its fork under the same name.
const NOSE: [&str; 2] = [
    "nose ; python_version < '3.10'",
    "pynose ; python_version >= '3.10'",
];

/// What tests require, as far as their package says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Requirements (PEP 508), sorted.
    pub requirements: Vec<String>,
    /// Where they are written.
    pub by: Vec<String>,
    /// What is not followed or not understood, one sentence each.
    pub notes: Vec<String>,
}

/// What a framework itself requires.
pub(super) fn own(framework: Framework, files: &Files) -> Vec<String> {
    let mut needed = match framework {
        Framework::Pytest | Framework::Doctest => vec!["pytest"],
        // The last that called nose's setup and teardown functions:
        // <https://docs.pytest.org/en/stable/changelog.html#pytest-8-0-0rc1-2023-12-30>
        Framework::Nose => vec!["pytest<8"],
        Framework::Trial => vec!["twisted", "python-subunit"],
        Framework::Unittest => vec!["unittest-xml-reporting"],
        Framework::Django => vec!["django", "unittest-xml-reporting"],
        Framework::Nose2 => vec!["nose2"],
        Framework::Command => vec![],
    };
    let imports = |path: &String| {
        let text = files.text(path);
        text.contains("import nose") || text.contains("from nose")
    };
    if framework == Framework::Nose && files.tests().any(imports) {
        needed.extend(NOSE);
    }
    needed.into_iter().map(str::to_owned).collect()
}

impl Run {
    /// What its framework requires and is not among these tools, as a further command: it could not be had,
    /// or its package was left out.
    pub(in crate::stage) fn lacks(&self, tools: &FetchedTools) -> Option<&str> {
        let is_missing = |text: &&String| {
            let package: Result<PackageName, _> = name(text).parse();
            tools.missing.contains(text)
                || package.is_ok_and(|package| tools.left_out.contains(&package))
        };
        self.requires.iter().find(is_missing).map(String::as_str)
    }
}

/// Whether a file is of the distribution that a requirement names.
pub(crate) fn is_file_of(file: &str, requirement: &str) -> bool {
    let named: Result<PackageName, _> = name(requirement).parse();
    let file = DistFilename::parse(file, None);
    file.is_ok_and(|file| named.is_ok_and(|named| *file.name() == named))
}

/// What the tests require, by the first source that says, and the next where that asks for more than can be
/// read: the environment that they run in and what the programs install that run them, the package's extras
/// and dependency groups, `tests_require`, lists, what development requires.
pub(super) fn wanted(
    files: &Files,
    metadata: &CoreMetadata,
    environment: Option<&Environment>,
    installs: &Installs,
) -> Wanted {
    let project = files.toml("pyproject.toml");
    let mut gathered = Gathered {
        files,
        metadata,
        project: &project,
        found: Wanted::default(),
        extras: BTreeSet::new(),
        groups: BTreeSet::new(),
        unread: false,
        left_out: 0,
    };
    let (assumed, written) = match environment {
        Some(environment) if environment.assumed => (Some(environment), None),
        environment => (None, environment),
    };
    let sources: [&dyn Fn(&mut Gathered<'_>); 6] = [
        &|gathered| {
            if let Some(environment) = written {
                gathered.environment(environment);
            }
            gathered.installs(installs);
        },
        &|gathered| gathered.named(&TESTS),
        &|gathered| gathered.tests_require(),
        &|gathered| gathered.lists(&TESTS),
        &|gathered| gathered.named(&DEVELOPMENT),
        &|gathered| gathered.lists(&DEVELOPMENT),
    ];
    for source in sources {
        let before = gathered.found.requirements.len();
        gathered.unread = false;
        source(&mut gathered);
        let found = gathered.found.requirements.get(before..);
        let says = |text: &String| !INSTALLERS.contains(&name(text).to_lowercase().as_str());
        // What is in a list that is not read may be said elsewhere.
        if found.unwrap_or_default().iter().any(says) && !gathered.unread {
            break;
        }
    }
    if let Some(environment) = assumed {
        gathered.environment(environment);
    }
    let mut left_out = gathered.left_out;
    let mut found = gathered.found;
    let nose = |text: &String| name(text) == "nose";
    if found.requirements.iter().any(nose) {
        found.requirements.retain(|text| !nose(text));
        found.requirements.extend(NOSE.map(str::to_owned));
    }
    found.requirements.sort();
    found.requirements.dedup();
    left_out += found.requirements.len().saturating_sub(MOST);
    found.requirements.truncate(MOST);
    if left_out > 0 {
        let those = amount(left_out as u64, "requirement is", "requirements are");
        let note = format!("{those} left out: there are too many, or they are too long");
        // Before those of which not all are told.
        found.notes.insert(0, note);
    }
    found
}

struct Gathered<'a> {
    files: &'a Files,
    metadata: &'a CoreMetadata,
    project: &'a toml::Table,
    found: Wanted,
    /// Those that were looked at.
    extras: BTreeSet<String>,
    /// See `extras`.
    groups: BTreeSet<String>,
    /// Whether a list could not be read that what was looked at last names, or whether that installs more than
    /// it names.
    unread: bool,
    /// How much of what is required is left out without being named.
    left_out: usize,
}

impl Gathered<'_> {
    fn environment(&mut self, environment: &Environment) {
        let before = self.found.requirements.len();
        let mut reader = Reader::new(self.files);
        for arguments in &environment.installs {
            reader.arguments(arguments);
        }
        self.add_asked(reader);
        environment
            .extras
            .iter()
            .for_each(|extra| self.extra(extra));
        environment
            .groups
            .iter()
            .for_each(|group| self.group(group));
        self.found.notes.extend(environment.skipped.iter().cloned());
        self.say(before, &environment.origin);
        self.synced(&environment.synced);
    }

    /// The extras and the groups of these names.
    fn named(&mut self, names: &[&str]) {
        for name in names {
            let before = self.found.requirements.len();
            self.extra(name);
            self.say(before, &format!("the optional feature {name}"));
            let before = self.found.requirements.len();
            self.group(name);
            self.say(before, &format!("pyproject.toml's group {name}"));
        }
    }

    /// `tests_require` of setuptools, where it is written out.
    fn tests_require(&mut self) {
        let before = self.found.requirements.len();
        let (setup_py, setup_cfg) = (self.files.text("setup.py"), self.files.text("setup.cfg"));
        let WrittenOut { texts, more } = keyword_requirements("tests_require", setup_py, setup_cfg);
        let mut reader = Reader::new(self.files);
        for text in texts {
            reader.arguments(&words(&text));
        }
        self.add_asked(reader);
        if more {
            let note = "not all of tests_require is used: it is not written out, or too long";
            self.found.notes.push(note.to_owned());
        }
        self.say(before, "tests_require");
    }

    /// The lists whose names have one of these words.
    fn lists(&mut self, words: &[&str]) {
        let before = self.found.requirements.len();
        let named = |path: &&String| {
            let path = path.to_ascii_lowercase();
            is_list(&path)
                && path.contains("requir")
                && words.iter().any(|word| path.contains(word))
        };
        let lists: Vec<&String> = self.files.texts.keys().filter(named).collect();
        // A compiled list and what it was compiled from say the same.
        let sources = |path: &&&String| !path.ends_with(".in") || lists.len() == 1;
        let mut reader = Reader::new(self.files);
        for path in lists.iter().filter(sources) {
            reader.list(path);
        }
        self.add_asked(reader);
        let by: Vec<&str> = lists.iter().map(|path| path.as_str()).collect();
        self.say(before, &by.join(", "));
    }

    fn add_asked(&mut self, reader: Reader<'_>) {
        let asked = reader.asked;
        self.found.notes.extend(asked.skipped);
        self.unread |= asked.unread;
        self.left_out += asked.left_out;
        let names: BTreeSet<String> = asked
            .requirements
            .iter()
            .map(|text| name(text).to_lowercase().replace(['_', '.'], "-"))
            .collect();
        self.found.requirements.extend(asked.requirements);
        // What else is required is beyond the reach of a plain requirement.
        let mut beyond = 0;
        for constraint in asked.constraints {
            if names.contains(&name(&constraint).to_lowercase().replace(['_', '.'], "-")) {
                self.found.requirements.push(constraint);
            } else {
                beyond += 1;
            }
        }
        if beyond > 0 {
            let note = format!("{beyond} limits on requirements of requirements are left out");
            self.found.notes.push(note);
        }
        asked.extras.iter().for_each(|extra| self.extra(extra));
        asked.groups.iter().for_each(|group| self.group(group));
    }

    /// What an optional feature requires, with the features that it names in turn.
    fn extra(&mut self, extra: &str) {
        if self.extras.contains(extra) {
            return;
        }
        if self.extras.len() >= MOST {
            self.left_out += 1;
            return;
        }
        self.extras.insert(extra.to_owned());
        for text in requires_of_extra(self.metadata, extra) {
            self.add(text);
        }
    }

    fn group(&mut self, group: &str) {
        if self.groups.contains(group) {
            return;
        }
        if self.groups.len() >= MOST {
            self.left_out += 1;
            return;
        }
        self.groups.insert(group.to_owned());
        let texts = groups::group(self.project, group);
        if texts.len() >= MOST {
            self.found.notes.push(format!(
                "of pyproject.toml's group `{group}` no more than {MOST} requirements are used"
            ));
        }
        for text in texts {
            self.add(text);
        }
    }

    /// Adds a requirement, or the features that it asks of the package itself.
    fn add(&mut self, text: String) {
        let own: Result<PackageName, _> = self.metadata.name.parse();
        let same = name(&text)
            .parse()
            .is_ok_and(|name: PackageName| own.is_ok_and(|own| own == name));
        if !same {
            self.found.requirements.push(text);
            return;
        }
        let extras = text
            .split_once('[')
            .and_then(|(_, rest)| rest.split_once(']'))
            .map_or("", |(extras, _)| extras);
        for extra in extras
            .split(',')
            .map(str::trim)
            .filter(|extra| !extra.is_empty())
        {
            self.extra(extra);
        }
    }

    fn say(&mut self, before: usize, by: &str) {
        if self.found.requirements.len() > before {
            self.found.by.push(by.to_owned());
        }
    }
}

/// The name at the start of a requirement.
fn name(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)));
    text[..end.unwrap_or(text.len())].trim()
}

/// Whether a path may be that of a list of requirements.
pub(super) fn is_list(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    let ends = [".txt", ".in", ".pip"]
        .iter()
        .any(|end| path.ends_with(end));
    let named = ["requir", "constrain", "test", "dev", "dep"];
    ends && path.matches('/').count() <= 2 && named.iter().any(|word| path.contains(word))
}

#[cfg(test)]
mod tests;
