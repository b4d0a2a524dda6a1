//! Scripts of PDM (<https://pdm-project.org/latest/usage/scripts/>).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use toml::{Table, Value};

use super::command::plain;
use super::environment::Environment;
use super::files::Files;
use super::shell;
use super::variables::is_name;

/// Scripts of which the commands are looked at.
const MOST: usize = 100;
/// Scripts and commands that are followed for all of these.
const MOST_STEPS: usize = 2000;
/// Bytes of these commands, with the variables that stand before them.
const MOST_BYTES: usize = 256 << 10;
/// Bytes of one command.
const LONGEST: usize = 8 << 10;
/// Scripts within scripts.
const DEEPEST: usize = 8;
/// The script that holds what is for all of them.
const SHARED: &str = "_";

/// Where the words stand that are added to a script, and what stands there where none are.
static ADDED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\{args(?::([^}]*))?\}").ok());

/// What the scripts of a package that uses PDM run, where it has any.
pub(super) fn environments(files: &Files) -> Vec<Environment> {
    let pyproject = files.toml("pyproject.toml");
    let tool = pyproject.get("tool").and_then(|tool| tool.get("pdm"));
    let scripts = tool.and_then(|pdm| pdm.get("scripts")?.as_table());
    let Some(scripts) = scripts else {
        return vec![];
    };
    let mut reader = Reader {
        scripts,
        steps: MOST_STEPS,
        bytes: MOST_BYTES,
        number: 0,
        environment: Environment {
            origin: "pyproject.toml PDM's scripts".to_owned(),
            ..Environment::default()
        },
    };
    if let Some(shared) = scripts.get(SHARED) {
        for (name, value) in variables(shared) {
            reader.environment.variables.add(&name, &value);
        }
        reader.tell_of_file(shared);
    }
    for (number, name) in for_tests(scripts).into_iter().enumerate() {
        reader.number = number;
        if reader.call(name, &[], &Around::default()).is_none() {
            reader.skip(format!(
                "the script `{name}` is not understood: it calls itself, or too much"
            ));
        }
    }
    vec![reader.environment]
}

/// The scripts that run tests by their names: `test` before `test-cov` before `cov`.
fn for_tests(scripts: &Table) -> Vec<&str> {
    let hooks = |name: &str| {
        let mut starts = ["pre_", "post_"].iter();
        starts.any(|start| {
            let of = name.strip_prefix(start);
            of.is_some_and(|of| scripts.contains_key(of))
        })
    };
    let names = scripts.keys().map(String::as_str);
    let mut named: Vec<&str> = names
        .filter(|name| name.contains("test") || *name == "run" || *name == "cov")
        // Those are hidden, for others to call.
        .filter(|name| !name.starts_with('_') && !hooks(name))
        .take(MOST)
        .collect();
    named.sort_by_key(|name| (!name.starts_with("test"), name.len()));
    named
}

/// What the scripts around a script say for it.
#[derive(Debug, Clone, Default)]
struct Around {
    /// Variables.
    variables: BTreeMap<String, String>,
    /// How many scripts there are around it.
    depth: usize,
}

/// Follows scripts to their commands.
struct Reader<'t> {
    scripts: &'t Table,
    /// How many more scripts and commands are followed.
    steps: usize,
    /// How many more bytes of commands are kept.
    bytes: usize,
    /// The number of the script that is followed.
    number: usize,
    environment: Environment,
}

impl Reader<'_> {
    /// Follows a script with these words added, and what is to be run before and after it; `None` where
    /// that has no end.
    fn call(&mut self, name: &str, added: &[String], around: &Around) -> Option<()> {
        if around.depth > DEEPEST {
            return None;
        }
        let around = Around {
            depth: around.depth + 1,
            ..around.clone()
        };
        self.script(&format!("pre_{name}"), &[], &around)?;
        self.script(name, added, &around)?;
        self.script(&format!("post_{name}"), &[], &around)
    }

    /// Follows a script, where there is such a one.
    fn script(&mut self, name: &str, added: &[String], around: &Around) -> Option<()> {
        let scripts = self.scripts;
        let Some(script) = scripts.get(name) else {
            return Some(());
        };
        self.steps = self.steps.checked_sub(1)?;
        self.tell_of_file(script);
        let mut own = variables(script);
        own.extend(around.variables.clone());
        let around = Around {
            variables: own,
            ..around.clone()
        };
        let directory = script.get("working_dir").and_then(Value::as_str);
        let directory = plain(directory.unwrap_or_default());
        let command = match script {
            Value::Table(script) => script.get("cmd"),
            command => Some(command),
        };
        let of = |kind: &str| script.get(kind);
        match (command, of("shell"), of("composite")) {
            (Some(Value::String(line)), ..) => {
                let words = with(line, added).and_then(|(line, put)| {
                    let words = shlex::split(&line)?;
                    Some(if put {
                        words
                    } else {
                        [words.as_slice(), added].concat()
                    })
                });
                match words {
                    Some(words) => self.command(words, &around, &directory)?,
                    None => self.not_understood(line),
                }
            }
            (Some(Value::Array(words)), ..) => {
                let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
                match arguments(&words, added) {
                    Some(words) => self.command(words, &around, &directory)?,
                    None => self.not_understood(&words.join(" ")),
                }
            }
            (None, Some(Value::String(text)), _) => {
                let commands = with(text, added).and_then(|(mut text, put)| {
                    if !put {
                        text = format!("{text} {}", shell::quoted(added));
                    }
                    shell::commands(&text)
                });
                match commands {
                    Some(commands) => {
                        for words in commands {
                            self.command(words, &around, &directory)?;
                        }
                    }
                    None => self.not_understood(text),
                }
            }
            (None, None, Some(Value::Array(steps))) => {
                let steps: Vec<&str> = steps.iter().filter_map(Value::as_str).collect();
                self.composite(&steps, added, &around, &directory)?;
            }
            _ => {
                let call = of("call").and_then(Value::as_str).unwrap_or_default();
                self.skip(format!(
                    "the script `{name}` is not run: what `{call}` does only running it would tell"
                ));
            }
        }
        Some(())
    }

    /// Follows the scripts and commands that one is made of.
    fn composite(
        &mut self,
        steps: &[&str],
        added: &[String],
        around: &Around,
        directory: &str,
    ) -> Option<()> {
        let put_somewhere = ADDED
            .as_ref()
            .is_some_and(|place| steps.iter().any(|step| place.is_match(step)));
        for step in steps {
            self.steps = self.steps.checked_sub(1)?;
            let words = with(step, added).and_then(|(line, _)| shlex::split(&line));
            let Some(mut words) = words else {
                self.not_understood(step);
                continue;
            };
            if !put_somewhere {
                words.extend(added.iter().cloned());
            }
            match words.split_first() {
                Some((first, rest)) if self.scripts.contains_key(first) => {
                    self.call(first, rest, around)?;
                }
                _ => self.command(words, around, directory)?,
            }
        }
        Some(())
    }

    /// Adds a command, or follows the script that it calls by `pdm run`.
    fn command(&mut self, words: Vec<String>, around: &Around, directory: &str) -> Option<()> {
        self.steps = self.steps.checked_sub(1)?;
        if let [pdm, run, name, rest @ ..] = words.as_slice()
            && ["pdm", "{pdm}"].contains(&pdm.as_str())
            && run == "run"
            && self.scripts.contains_key(name)
        {
            return self.call(name, rest, around);
        }
        let environment = &mut self.environment;
        let at = environment.commands.len();
        let mut command = vec![];
        for (name, value) in &around.variables {
            if is_name(name) {
                command.push(format!("{name}={value}"));
            } else {
                let why = "that is no name of a variable";
                environment.variables.leave_out(name, why);
            }
        }
        command.extend(words);
        let bytes: usize = command.iter().map(String::len).sum();
        self.bytes = self.bytes.checked_sub(bytes)?;
        environment.commands.push(command);
        environment.scripts.insert(at, self.number);
        if !directory.is_empty() {
            environment.directories.insert(at, directory.to_owned());
        }
        Some(())
    }

    fn not_understood(&mut self, line: &str) {
        self.skip(format!("the script `{line}` is not understood"));
    }

    /// Says that the variables in a file are not set, where a script names one.
    fn tell_of_file(&mut self, script: &Value) {
        let file = script.get("env_file");
        let file = file.and_then(|file| file.as_str().or_else(|| file.get("override")?.as_str()));
        if let Some(file) = file {
            self.skip(format!(
                "the variables that PDM reads from `{file}` are not set"
            ));
        }
    }

    /// Says what is not followed, once.
    fn skip(&mut self, sentence: String) {
        let skipped = &mut self.environment.skipped;
        if !skipped.contains(&sentence) {
            skipped.push(sentence);
        }
    }
}

/// The variables that a script sets.
fn variables(script: &Value) -> BTreeMap<String, String> {
    let said = script.get("env").and_then(Value::as_table);
    let pairs = said.into_iter().flatten().take(MOST);
    pairs
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// A line with these words where it has a place for them, and whether it has one; `None` where it is too
/// long.
fn with(line: &str, added: &[String]) -> Option<(String, bool)> {
    if line.len() > LONGEST {
        return None;
    }
    let place = ADDED.as_ref()?;
    let words = shell::quoted(added);
    let mut whole = String::new();
    let (mut from, mut put) = (0, false);
    for found in place.captures_iter(line) {
        let all = found.get(0)?;
        let default = found.get(1).map_or("", |default| default.as_str());
        whole.push_str(&line[from..all.start()]);
        whole.push_str(if added.is_empty() { default } else { &words });
        (from, put) = (all.end(), true);
        if whole.len() > LONGEST {
            return None;
        }
    }
    whole.push_str(&line[from..]);
    (whole.len() <= LONGEST).then_some((whole, put))
}

/// The words of a command that is a list, with these added.
fn arguments(words: &[&str], added: &[String]) -> Option<Vec<String>> {
    let mut all = vec![];
    let mut put_somewhere = false;
    for word in words {
        let (whole, put) = with(word, added)?;
        put_somewhere |= put;
        // What stands for several words is taken apart.
        match put {
            true => all.extend(shlex::split(&whole)?),
            false => all.push(whole),
        }
    }
    if !put_somewhere {
        all.extend(added.iter().cloned());
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(scripts: &str) -> Environment {
        let text = format!("[tool.pdm.scripts]\n{scripts}");
        environments(&Files::of(&[("pyproject.toml", &text)])).remove(0)
    }

    /// The commands, each after the number of its script.
    fn commands(scripts: &str) -> Vec<String> {
        let found = read(scripts);
        let commands = found.commands.iter().enumerate();
        commands
            .map(|(at, words)| format!("{} {}", found.script(at), words.join(" ")))
            .collect()
    }

    #[test]
    fn scripts_of_each_kind_are_followed() {
        let found = commands(
            "test = {cmd = 'nose2 -v'}\nlint = 'ruff'\ntest-a = 'pytest {args:tests}'\n\
            test-ab = {cmd = ['pytest', '-k', 'a b', '{args:c d}']}\n\
            test-abc = {shell = \"\"\"\npytest a && \\\n  coverage report\nA=b nose2 | tee log\n\"\"\"}\n\
            cov = {composite = ['clean', 'test-a t -x', 'pdm run test', 'pytest \"e f\"']}\nclean = 'rm x'\n",
        );
        let expected = [
            "0 nose2 -v",
            "1 pytest tests",
            "2 pytest -k a b c d",
            "3 pytest a",
            "3 coverage report",
            "3 A=b nose2",
            "4 rm x",
            "4 pytest t -x",
            "4 nose2 -v",
            "4 pytest e f",
        ];
        assert_eq!(found, expected);
        assert!(environments(&Files::of(&[])).is_empty());
    }

    #[test]
    fn scripts_are_called_with_their_words_variables_and_hooks() {
        let found = commands(
            "_ = {env = {S = '1'}}\ntest = {composite = ['_sub {args:-x}', 'nose2'], env = {A = '1'}}\n\
            _sub = {cmd = 'pytest', env = {A = '2', B = '3'}}\npre_test = 'pre'\npost__sub = 'post'\n",
        );
        let expected = ["0 pre", "0 A=1 B=3 pytest -x", "0 A=1 post", "0 A=1 nose2"];
        assert_eq!(found, expected);
        let found = read("_ = {env = {S = '1'}, env_file = '.env'}\ntest = 'pytest'\n");
        assert_eq!(found.variables.set["S"], "1");
        let note = "the variables that PDM reads from `.env` are not set";
        assert_eq!(found.skipped, [note]);
    }

    #[test]
    fn what_only_running_it_would_tell_is_told() {
        let found = read(
            "test = {call = 'a.b:main'}\ntest-a = {shell = 'cd x && pytest'}\ntest-ab = {cmd = \"'\"}\n\
            test-abc = {composite = ['test-abc']}\ntest-dir = {cmd = 'pytest', working_dir = './t/'}\n\
            test-file = {cmd = 'nose2', env_file = {override = 'x'}, env = {'1' = 'a'}}\n",
        );
        assert_eq!(
            found.skipped,
            [
                "the script `test` is not run: what `a.b:main` does only running it would tell",
                "the script `cd x && pytest` is not understood",
                "the script `'` is not understood",
                "the script `test-abc` is not understood: it calls itself, or too much",
                "the variables that PDM reads from `x` are not set",
            ]
        );
        assert_eq!(found.commands, [["pytest"], ["nose2"]]);
        assert_eq!((found.directory_of(0), found.directory_of(1)), ("t", ""));
        assert_eq!(found.variables.notes().len(), 1);
    }

    #[test]
    fn hostile_scripts_come_to_an_end() {
        let mut scripts = "test0 = 'pytest'\n".to_owned();
        for depth in 1..8 {
            let many = format!("'test{}', ", depth - 1).repeat(100);
            scripts.push_str(&format!("test{depth} = {{composite = [{many}]}}\n"));
        }
        scripts.push_str(&format!("tests = '{}'\n", "{args:x}".repeat(LONGEST)));
        let found = read(&scripts);
        assert!(found.commands.len() <= MOST_STEPS);
        assert!(!found.skipped.is_empty());
        let (long, many) = ("x".repeat(9999), "'pytest', ".repeat(99));
        let found = read(&format!(
            "test = {{composite = [{many}], env = {{A = '{long}'}}}}\n"
        ));
        let words = found.commands.iter().flatten();
        let bytes = words.map(String::len).sum::<usize>();
        assert!(bytes > 0 && bytes <= MOST_BYTES, "{bytes}");
    }
}
