//! tox's configuration (<https://tox.wiki/en/latest/config.html>), as INI and as TOML.

mod tables;

use std::cell::Cell;

use super::PythonVersion;
use super::command::plain;
use super::environment::Environment;
use super::factors::{self, holds, likeness};
use super::files::Files;
use super::ini::{Ini, lines};
use super::installing::installs;
use super::substitution::{self, LONGEST, SOURCE, in_command, substitute};
use super::variables::Variables;

/// The directory of an environment for what is left of no use, as tox has it below the source.
const TMP: &str = ".tox/py/tmp";
/// Values that refer to values.
const DEEPEST: usize = 8;
/// Substitutions in one value, all together.
const MOST: usize = 2000;
/// Lines of one value, and variables of one table.
const MOST_LINES: usize = 500;
/// Names that one section stands for, and sections.
const MOST_NAMES: usize = 100;
/// Environments that are looked at.
const MOST_ENVIRONMENTS: usize = 64;
/// The commands of an environment, and whether they are only run before those that test.
const COMMANDS: [(&str, bool); 2] = [("commands_pre", true), ("commands", false)];

/// The environments of a package that uses tox, the best first.
pub(super) fn environments(files: &Files, python: PythonVersion) -> Vec<Environment> {
    let pyproject = files.toml("pyproject.toml");
    let tool = pyproject
        .get("tool")
        .and_then(|tool| tool.get("tox")?.as_table());
    let legacy = tool.and_then(|tool| tool.get("legacy_tox_ini")?.as_str());
    if files.has("tox.ini") {
        return Old::of("tox.ini", files.text("tox.ini"), "").environments(python);
    }
    let setup = Ini::parse(files.text("setup.cfg"));
    if setup.has("tox:tox") || setup.has("tox:testenv") {
        return Old::of("setup.cfg", files.text("setup.cfg"), "tox:").environments(python);
    }
    if let Some(text) = legacy {
        return Old::of("pyproject.toml", text, "").environments(python);
    }
    if let Some(table) = tool {
        return tables::environments("pyproject.toml", table, python);
    }
    tables::environments("tox.toml", &files.toml("tox.toml"), python)
}

/// The names of environments, the best first: those of the list, and those that have something of their
/// `own`. Without a list tox runs what all have in common, as `py`; `in_common` says whether that is
/// anything, and `default` is its name for this interpreter.
fn names<'n>(
    list: Vec<String>,
    own: impl Iterator<Item = &'n String>,
    in_common: bool,
    default: String,
    python: PythonVersion,
) -> Vec<String> {
    let is_listed = !list.is_empty();
    let mut names = list;
    for name in own.take(MOST) {
        if !names.contains(name) {
            names.insert(0, name.clone());
        }
    }
    let mut names = sort(names, python);
    if !is_listed && (in_common || names.is_empty()) {
        let py = "py".to_owned();
        let first = if names.contains(&py) { py } else { default };
        names.retain(|name| *name != first);
        names.insert(0, first);
    }
    names.truncate(MOST_ENVIRONMENTS);
    names
}

/// The best first; of equals the later, which has the newer versions.
fn sort(mut names: Vec<String>, python: PythonVersion) -> Vec<String> {
    names.reverse();
    names.sort_by_key(|name| std::cmp::Reverse(likeness(name, python)));
    names.dedup();
    names
}

/// The configuration in its INI form.
struct Old {
    file: &'static str,
    ini: Ini,
    /// Before the names of sections, in `setup.cfg`.
    prefix: &'static str,
    /// The sections of environments, with the names that each stands for.
    sections: Vec<(String, Vec<String>)>,
}

impl Old {
    fn of(file: &'static str, text: &str, prefix: &'static str) -> Self {
        let ini = Ini::parse(text);
        let start = format!("{prefix}testenv:");
        let sections = ini.sections().filter_map(|section| {
            let names = section.strip_prefix(start.as_str())?;
            Some((section.to_owned(), factors::names(names, MOST_NAMES)))
        });
        let sections = sections.take(MOST_NAMES).collect();
        Self {
            file,
            ini,
            prefix,
            sections,
        }
    }

    fn environments(&self, python: PythonVersion) -> Vec<Environment> {
        let section = format!("{}tox", self.prefix);
        let list = self.ini.get(&section, "env_list");
        let list = list.or_else(|| self.ini.get(&section, "envlist"));
        let list = factors::names(list.unwrap_or_default(), MOST);
        let own = self.sections.iter().flat_map(|(_, names)| names);
        let in_common = self.ini.get(&self.base(), "commands").is_some();
        let default = format!("py{}{}", python.major, python.minor);
        let names = names(list, own, in_common, default, python);
        names.iter().map(|name| self.environment(name)).collect()
    }

    /// The section of what all environments have in common.
    fn base(&self) -> String {
        format!("{}testenv", self.prefix)
    }

    fn environment(&self, name: &str) -> Environment {
        let own: Vec<&str> = self
            .sections
            .iter()
            .filter(|(_, names)| names.iter().any(|own| own == name))
            .map(|(section, _)| section.as_str())
            .collect();
        let base = self.base();
        let value = |keys: &[&str]| -> String {
            let sections = own.iter().copied().chain([base.as_str()]);
            let value = sections
                .flat_map(|section| keys.iter().map(move |key| (section, *key)))
                .find_map(|(section, key)| self.ini.get(section, key));
            let budget = Cell::new(MOST);
            let value = self.refer(value.unwrap_or_default(), 0, &budget);
            let mut kept: Vec<String> = vec![];
            for line in lines(&value).take(MOST_LINES) {
                if let Some(line) = conditional(line, name) {
                    kept.push(line.to_owned());
                }
            }
            kept.join("\n")
        };
        let mut found = Environment {
            origin: format!("{} [{}]", self.file, own.first().unwrap_or(&&*base)),
            ..Environment::default()
        };
        let words = |text: String| -> Vec<String> {
            let words = text.split([',', '\n', ' ']).map(str::trim);
            words
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect()
        };
        found.extras = words(value(&["extras"]));
        found.groups = words(value(&["dependency_groups"]));
        for line in value(&["deps"]).lines() {
            match substitute(line, name) {
                Ok(line) => found.installs.push(super::lists::words(&line)),
                Err(what) => found.skipped.push(skipped("dependency", line, &what)),
            }
        }
        change_directory(&value(&["change_dir", "changedir"]), name, &mut found);
        let variables = value(&["set_env", "setenv"]).replace("\\\n", " ");
        for line in variables.lines() {
            match line.split_once('=') {
                _ if line.starts_with("file|") => found.variables.skip(elsewhere(line)),
                Some((key, text)) => set(key, text, name, &found.directory, &mut found.variables),
                None => {
                    let why = "want of a value";
                    found.variables.skip(skipped("variable", line, why));
                }
            }
        }
        for (key, is_before) in COMMANDS {
            for line in value(&[key]).replace("\\\n", " ").lines() {
                let substituted = in_command(line, name, &found.directory);
                match substituted.as_deref().map(shlex::split) {
                    Ok(Some(words)) => add_command(words, is_before, &mut found),
                    Ok(None) => found.skipped.push(skipped("command", line, "its quotes")),
                    Err(what) => found.skipped.push(skipped("command", line, what)),
                }
            }
        }
        found
    }

    /// `text` with the values that it refers to, `{[section]key}`.
    fn refer(&self, text: &str, depth: usize, budget: &Cell<usize>) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, reference)) = rest.split_once("{[") {
            out.push_str(before);
            let left = budget.get();
            let closed = reference.split_once('}').filter(|_| left > 0);
            let Some((inside, after)) = closed else {
                rest = "";
                break;
            };
            rest = after;
            budget.set(left - 1);
            if let Some((section, key)) = inside.split_once(']')
                && depth < DEEPEST
                && out.len() < LONGEST
            {
                let value = self.ini.get(section, &key.to_lowercase());
                out.push_str(&self.refer(value.unwrap_or_default(), depth + 1, budget));
            }
        }
        out.push_str(rest);
        out
    }
}

fn skipped(what: &str, text: &str, why: &str) -> String {
    format!("tox's {what} `{text}` is not understood for {why}")
}

/// Sets where the commands run, where that is known.
fn change_directory(said: &str, name: &str, found: &mut Environment) {
    match substitute(said, name) {
        // tox's own places lie in the source, and what is run there finds its settings further up.
        Ok(directory) => found.directory = plain(&directory.replace("{work}", TMP)),
        Err(why) => found.skipped.push(skipped("directory", said, &why)),
    }
}

/// A file of variables, which is not read.
fn elsewhere(file: &str) -> String {
    format!("the variables that tox reads from `{file}` are not set")
}

/// Sets a variable, where its value is known before the tests run.
fn set(key: &str, text: &str, name: &str, directory: &str, variables: &mut Variables) {
    let key = key.trim();
    match substitution::value(text.trim(), name, directory, variables) {
        Ok(value) => variables.add(key, &value),
        Err(why) => variables.skip(skipped("variable", key, &why)),
    }
}

/// What stands after a condition on the environment's name, where that holds.
fn conditional<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let Some((condition, rest)) = line.split_once(": ") else {
        // The value of a variable may end so too.
        return Some(line).filter(|line| !line.ends_with(':') || line.contains('='));
    };
    let letter = |c: char| c.is_alphanumeric() || "_{}.!,- ".contains(c);
    if !condition.chars().all(letter) || condition.trim().contains(' ') && !condition.contains(',')
    {
        return Some(line);
    }
    holds(condition, name).then(|| rest.trim())
}

/// Adds a command, or what it installs; one that is run before others may do nothing else.
fn add_command(words: Vec<String>, is_before: bool, found: &mut Environment) {
    let words = command(words);
    // What is installed is seen from the source.
    let inside: Vec<String> = words.iter().map(|word| word.replace(SOURCE, ".")).collect();
    match installs(&inside) {
        Some(installs) => found.install(installs),
        None if is_before => {}
        None => found.commands.push(words),
    }
}

/// A command without the marks that its exit status is of no interest.
fn command(mut words: Vec<String>) -> Vec<String> {
    if words
        .first()
        .is_some_and(|word| ["-", "!"].contains(&&**word))
    {
        words.remove(0);
    } else if let Some(first) = words.first_mut() {
        *first = first.trim_start_matches(['-', '!']).to_owned();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(files: &[(&str, &str)]) -> Environment {
        environments(&Files::of(files), PythonVersion::TEST).remove(0)
    }

    #[test]
    fn an_environment_is_chosen_by_the_interpreter_and_its_factors() {
        let found = first(&[(
            "tox.ini",
            "[tox]\nenv_list =\n    lint,\n    py3{9,13}-tests\n    py313-mypy\n\
            [testenv]\nextras =\n    tests: tests\n    mypy: types\ndeps =\n    -r {toxinidir}/req.txt\n    py39: old\n    {[base]deps}\n\
            commands =\n    tests: - {envpython} -m pytest \\\n      {posargs:-n auto {tty:x:y}}\n    tests: {envbindir}/pytest {posargs:tests}\n    mypy: mypy src\n\
            [base]\ndeps =\n    a>1\n    b\n",
        )]);
        assert_eq!(found.origin, "tox.ini [testenv]");
        assert_eq!(found.extras, ["tests"]);
        assert_eq!(
            found.installs,
            [vec!["-r", "./req.txt"], vec!["a>1"], vec!["b"]]
        );
        assert_eq!(found.commands, [["bin/pytest", "tests"]]);
        assert_eq!(found.skipped.len(), 1, "{:?}", found.skipped);
        assert!(found.skipped[0].ends_with("is not understood for {tty}"));
    }

    #[test]
    fn without_a_list_what_all_have_in_common_is_run() {
        let common = "[testenv]\ndeps =\ncommands =\n    pytest {posargs}\nextras =\n    test\n";
        let others = "[testenv:docs]\nchangedir = docs\ncommands = python -m sphinx . out\n\
            [testenv:pydantic1]\ndeps = pydantic < 2\n[testenv:bench]\ncommands = pytest benchmarks\n\
            [testenv:tests]\ncommands = pytest tests\n";
        for list in ["", "[tox]\nenv_list =\n"] {
            let found = first(&[("tox.ini", &format!("{list}{common}{others}"))]);
            assert_eq!(found.origin, "tox.ini [testenv]");
            assert_eq!(found.commands, [["pytest"]]);
            assert_eq!(found.installs, Vec::<Vec<String>>::new());
        }
        for (listed, own) in [
            (
                format!("[tox]\nenv_list = bench\n{common}"),
                "[testenv:bench]",
            ),
            // Nothing is in common that could be run.
            ("[testenv]\ndeps = a\n".to_owned(), "[testenv:tests]"),
            (format!("{common}[testenv:py]\nextras =\n"), "[testenv:py]"),
            (
                format!("{common}[testenv:py313]\nextras =\n"),
                "[testenv:py313]",
            ),
        ] {
            let others = match own {
                "[testenv:bench]" => "[testenv:bench]\ncommands = pytest benchmarks\n",
                _ => others,
            };
            let found = first(&[("tox.ini", &format!("{listed}{others}"))]);
            assert_eq!(found.origin, format!("tox.ini {own}"));
        }
    }

    #[test]
    fn what_commands_install_is_read_too() {
        let found = first(&[(
            "tox.ini",
            "[testenv]\nchangedir = t\ncommands_pre =\n    - python -m pip install -r {toxinidir}/a.txt\n    \
            make deps\n    uv sync --no-dev\ncommands =\n    pip install 'b>1' \\\n      {toxinidir}[x]\n    \
            pytest\n",
        )]);
        assert_eq!(found.installs, [vec!["-r", "./a.txt"], vec!["b>1", ".[x]"]]);
        assert_eq!(found.commands, [["pytest"]]);
        assert_eq!(found.synced.defaults, Some(vec!["dev".to_owned()]));
        assert_eq!(found.skipped, Vec::<String>::new());
    }

    #[test]
    fn a_section_of_its_own_comes_before_the_common_one() {
        let found = first(&[(
            "tox.ini",
            "[tox]\nenvlist = py3{8,13}-tests\n[testenv]\ncommands = nose2\nextras = a\n\
            [testenv:py3{8,13}-tests]\ncommands = -coverage run -m pytest\nchangedir = {toxinidir}/t\n",
        )]);
        assert_eq!(found.origin, "tox.ini [testenv:py3{8,13}-tests]");
        assert_eq!(found.commands, [["coverage", "run", "-m", "pytest"]]);
        assert_eq!((found.extras, &*found.directory), (vec!["a".into()], "t"));
    }

    #[test]
    fn toml_is_read_too() {
        let found = first(&[(
            "pyproject.toml",
            "[tool.tox]\nenv_list = ['py3.13', 'style']\n[tool.tox.env_run_base]\ndependency_groups = ['tests']\n\
            commands = [['pytest', '--basetemp={env_tmp_dir}', {replace = 'posargs', default = ['tests'], extend = true}]]\n",
        )]);
        assert_eq!(found.groups, ["tests"]);
        assert_eq!(found.commands, [["pytest", "--basetemp={work}", "tests"]]);
    }

    fn set_in(files: &[(&str, &str)]) -> (Vec<(String, String)>, Vec<String>) {
        let variables = first(files).variables;
        let notes = variables.notes();
        (variables.set.into_iter().collect(), notes)
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn variables_are_those_of_the_environment() {
        let (set, notes) = set_in(&[(
            "tox.ini",
            "[tox]\nenvlist = py313-tests\n[testenv]\nchangedir = t\nsetenv =\n    \
            # not this\n    A = b # nor this\n    PYTHONPATH={toxinidir}/src:\n    py39: OLD=1\n    \
            tests: NEW={env:A}-{envname} \\\n      x\n    {[base]setenv}\n    HERE={changedir}\n    \
            BIN={envbindir}/x\n    URL = a: b=c\n    PATH = x\n    nothing\n    file|.env\n\
            [base]\nsetenv =\n    C = d\n    py27: E = f\n",
        )]);
        assert_eq!(
            set,
            [
                pair("A", "b"),
                pair("C", "d"),
                pair("HERE", "{source}/t"),
                pair("NEW", "b-py313-tests  x"),
                pair("PYTHONPATH", "{source}/src:"),
                pair("URL", "a: b=c"),
            ]
        );
        assert_eq!(
            notes,
            [
                "tox's variable `BIN` is not understood for {envbindir}",
                "the variable `PATH` is not set: the stage has its own",
                "tox's variable `nothing` is not understood for want of a value",
                "the variables that tox reads from `file|.env` are not set",
            ]
        );
    }

    #[test]
    fn values_that_refer_to_each_other_come_to_an_end() {
        let ring = "{[a]x} ".repeat(100);
        let found = first(&[(
            "tox.ini",
            &format!("[a]\nx = {ring}\n[testenv]\ndeps = {ring}\n"),
        )]);
        assert!(found.installs.len() < 2);
    }
}
