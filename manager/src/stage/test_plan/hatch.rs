//! Environments of hatch and their scripts
//! (<https://hatch.pypa.io/latest/config/environment/overview/>).

mod internal;
mod overrides;
mod scripts;

use std::cell::Cell;

use toml::{Table, Value};

use super::PythonVersion;
use super::environment::Environment;
use super::files::Files;
use super::shell;
use super::substitution::{self, substitute};
use internal::{EXTRA, TEST, with_test};
use overrides::Variant;

/// Names of environments that hold tests, the likeliest first; `hatch test` runs in the first.
const NAMES: [&str; 5] = [TEST, "test", "tests", "dev", "default"];

/// Environments that are looked at.
const MOST_ENVIRONMENTS: usize = 16;
/// Environments that one is made of.
const DEEPEST: usize = 8;
/// Variables of one environment that are looked at, and scripts.
const MOST: usize = 500;

/// The environments of a package that uses hatch.
struct Envs {
    /// Where they are written.
    file: &'static str,
    /// Those that are, and that of `hatch test`.
    tables: Table,
    /// Whether anything is said of that one.
    says_test: bool,
}

impl Envs {
    fn of(files: &Files, python: PythonVersion) -> Option<Self> {
        let mut pyproject = files.toml("pyproject.toml");
        // Of what both say the file of its own counts.
        let mut own = files.toml("hatch.toml");
        let (envs, file) = match own.remove("envs") {
            Some(envs) => (envs, "hatch.toml"),
            None => {
                let tool = pyproject.get_mut("tool")?;
                let hatch = tool.get_mut("hatch")?.as_table_mut()?;
                (hatch.remove("envs")?, "pyproject.toml")
            }
        };
        let Value::Table(tables) = envs else {
            return None;
        };
        Some(Self {
            file,
            says_test: tables.contains_key(TEST),
            tables: with_test(tables, python),
        })
    }
}

/// The environments that are written.
pub(super) fn environments(files: &Files, python: PythonVersion) -> Vec<Environment> {
    let Some(envs) = Envs::of(files, python) else {
        return vec![];
    };
    let others = envs.tables.keys().map(String::as_str);
    let others = others.filter(|name| name.contains("test") && !NAMES.contains(name));
    // What is for all work has what `default` has, where it says nothing else.
    let is_own = |name: &&str| {
        let scripts = envs.tables.get(*name).and_then(|own| own.get("scripts"));
        match *name {
            TEST => envs.says_test,
            name => name.contains("test") || name == "default" || scripts.is_some(),
        }
    };
    let names = NAMES.into_iter().chain(others).filter(is_own);
    names
        .filter_map(|name| Some((name, whole(&envs.tables, name)?)))
        .take(MOST_ENVIRONMENTS)
        .map(|(name, table)| of_table(envs.file, name, table, python))
        .collect()
}

/// The environment of `hatch test` where a package uses hatch and says nothing of it.
pub(super) fn unwritten(files: &Files, python: PythonVersion) -> Option<Environment> {
    let envs = Envs::of(files, python)?;
    // Without such a directory it fails, and nobody uses it.
    if envs.says_test || !files.has_directory("tests") {
        return None;
    }
    let table = whole(&envs.tables, TEST)?;
    let mut environment = of_table(envs.file, TEST, table, python);
    environment.origin = format!("{} hatch's default envs.{TEST}", envs.file);
    environment.assumed = true;
    Some(environment)
}

/// What an environment has of its own and of those that it is made of.
fn whole(envs: &Table, name: &str) -> Option<Table> {
    let mut table = envs.get(name)?.as_table()?.clone();
    let mut made_of = vec![name];
    let mut last = &table.clone();
    while made_of.len() < DEEPEST {
        let detached = last.get("detached").and_then(Value::as_bool);
        let template = last.get("template").and_then(Value::as_str);
        let template = template.unwrap_or("default");
        if detached == Some(true) || made_of.contains(&template) {
            break;
        }
        let Some(other) = envs.get(template).and_then(Value::as_table) else {
            break;
        };
        for (key, value) in other {
            match (key.as_str(), value, table.get_mut(key)) {
                ("detached" | "matrix" | "template", ..) => {}
                ("scripts", Value::Table(theirs), Some(Value::Table(own))) => {
                    for (name, script) in theirs {
                        own.entry(name.clone()).or_insert_with(|| script.clone());
                    }
                }
                (_, _, Some(_)) => {}
                (_, value, None) => {
                    table.insert(key.clone(), value.clone());
                }
            }
        }
        made_of.push(template);
        last = other;
    }
    Some(table)
}

fn of_table(file: &str, name: &str, mut table: Table, python: PythonVersion) -> Environment {
    let variant = Variant::of(&table, python);
    variant.apply(&mut table);
    let texts = |key: &str| {
        let items = table.get(key).and_then(Value::as_array);
        let texts = items.into_iter().flatten().filter_map(Value::as_str);
        texts.map(|text| variant.put_into(text)).collect::<Vec<_>>()
    };
    let mut environment = Environment {
        origin: format!("{file} hatch's envs.{name}"),
        extras: texts("features"),
        groups: texts("dependency-groups"),
        ..Environment::default()
    };
    for key in ["dependencies", "extra-dependencies"] {
        let requirements = texts(key).into_iter().map(|text| vec![text]);
        environment.installs.extend(requirements);
    }
    let said = table.get("env-vars").and_then(Value::as_table);
    for (key, value) in said.into_iter().flatten().take(MOST) {
        let variables = &mut environment.variables;
        let value = value.as_str().ok_or_else(|| "its form".to_owned());
        let value = value.map(|text| variant.put_into(text));
        match value.and_then(|text| substitution::value(&text, name, "", variables)) {
            Ok(value) => variables.add(key, &value),
            Err(why) => variables.skip(format!(
                "hatch's variable `{key}` is not understood for {why}"
            )),
        }
    }
    if let Some(scripts) = table.get("scripts").and_then(Value::as_table) {
        // What `hatch test` adds where its user says nothing.
        let given = table.get("default-args").map(|_| texts("default-args"));
        let given = given.unwrap_or_else(|| vec!["tests".to_owned()]);
        let extra = format!(" {}", shell::quoted(&texts("extra-args")));
        let added = [(EXTRA, extra), ("{args}", shell::quoted(&given))];
        let added = added.as_slice();
        let added = if name == TEST { added } else { &[] };
        add_scripts(scripts, name, &variant, added, &mut environment);
    }
    environment
}

/// A line with what is added in the places for it; `None` where it is too long.
fn with(mut line: String, added: &[(&str, String)]) -> Option<String> {
    for (place, words) in added {
        let places = line.matches(*place).count();
        if line.len() + places * words.len() > scripts::LONGEST {
            return None;
        }
        line = line.replace(*place, words);
    }
    (line.len() <= scripts::LONGEST).then_some(line)
}

/// The commands of scripts that run tests, as far as their names tell: in an environment for tests all of
/// them may.
fn add_scripts(
    scripts: &Table,
    of: &str,
    variant: &Variant,
    added: &[(&str, String)],
    environment: &mut Environment,
) {
    let tells = |name: &str| name.contains("test") || name == "run" || name == "cov";
    let mut named: Vec<&str> = scripts
        .keys()
        .map(String::as_str)
        .filter(|name| tells(name) || of.contains("test"))
        .take(MOST)
        .collect();
    // `test` before `test-cov` before `cov`, and what `hatch test` runs before all.
    named.sort_by_key(|name| {
        (
            of == TEST && *name != "run",
            !tells(name),
            !name.starts_with("test"),
            name.len(),
        )
    });
    let left = Cell::new(scripts::MOST_BYTES);
    for (number, name) in named.into_iter().enumerate() {
        let Some(lines) = scripts::lines(scripts, name, &left) else {
            let note = "it calls itself, or too much";
            environment
                .skipped
                .push(format!("the script `{name}` is not understood: {note}"));
            continue;
        };
        for line in lines {
            let commands = with(variant.put_into(&line), added)
                .and_then(|line| substitute(&line, of).ok())
                .and_then(|line| shell::commands(&line));
            let Some(commands) = commands else {
                environment
                    .skipped
                    .push(format!("the script `{line}` is not understood"));
                continue;
            };
            for words in commands {
                // Each is for itself: who calls one does not call the others.
                let at = environment.commands.len();
                environment.scripts.insert(at, number);
                environment.commands.push(words);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Environment> {
        environments(&Files::of(&[("hatch.toml", text)]), PythonVersion::TEST)
    }

    /// The commands of an environment, by their scripts.
    fn commands(environment: &Environment) -> Vec<(usize, String)> {
        let commands = environment.commands.iter().enumerate();
        commands
            .map(|(at, words)| (environment.script(at), words.join(" ")))
            .collect()
    }

    #[test]
    fn environments_and_scripts_are_read() {
        let found = environments(
            &Files::of(&[(
                "pyproject.toml",
                "[tool.hatch.envs.test]\ndependencies = ['a>1']\nfeatures = ['x']\n\
                [tool.hatch.envs.test.scripts]\ncov = 'coverage report'\ntest = 'pytest {args:tests}'\n",
            )]),
            PythonVersion::TEST,
        );
        assert_eq!(found[0].origin, "pyproject.toml hatch's envs.test");
        assert_eq!(found[0].installs, [["a>1"]]);
        assert_eq!(found[0].extras, ["x"]);
        assert_eq!(
            found[0].commands,
            [["pytest", "tests"], ["coverage", "report"]]
        );
    }

    #[test]
    fn scripts_are_for_themselves_and_call_each_other() {
        let found = read(
            "[envs.default.scripts]\ntest = ['- pytest a', 'pytest b && nose2; cov-report']\n\
            cov = ['test -x', 'cov-report']\ncov-report = 'coverage report'\nlint = 'ruff'\n\
            testing = 'cd a && pytest'\nretest = 'retest'\n",
        );
        let expected = [
            (0, "pytest a"),
            (0, "pytest b"),
            (0, "nose2"),
            (0, "cov-report"),
            (2, "pytest a -x"),
            (2, "pytest b"),
            (2, "nose2"),
            (2, "cov-report -x"),
            (2, "coverage report"),
        ];
        let expected = expected.map(|(script, command)| (script, command.to_owned()));
        assert_eq!(commands(&found[0]), expected);
        assert_eq!(
            found[0].skipped,
            [
                "the script `cd a && pytest` is not understood",
                "the script `retest` is not understood: it calls itself, or too much",
            ]
        );
        // What an environment for tests has is for tests, whatever it is called.
        let found = read("[envs.unit-tests.scripts]\nall = 'pytest'\n");
        assert_eq!(commands(&found[0]), [(0, "pytest".to_owned())]);
    }

    #[test]
    fn environments_have_what_their_templates_have() {
        let found = read(
            "[envs.default]\ndependencies = ['a']\nfeatures = ['x']\n\
            [envs.default.scripts]\ntest = 'pytest a'\nrun = 'nose2'\n\
            [envs.test]\ntemplate = 'base'\ndependencies = ['b']\n[envs.test.scripts]\ntest = 'pytest b'\n\
            [envs.base]\ndependencies = ['c']\nenv-vars = {A = '1'}\n[[envs.base.matrix]]\nd = ['e']\n\
            [envs.tests]\ndetached = true\n[envs.dev]\ndependencies = ['f']\n",
        );
        let origins: Vec<&str> = found.iter().map(|found| found.origin.as_str()).collect();
        let expected =
            ["test", "tests", "default"].map(|name| format!("hatch.toml hatch's envs.{name}"));
        assert_eq!(origins, expected);
        let test = &found[0];
        assert_eq!(test.installs, [["b"]]);
        assert_eq!(test.extras, ["x"]);
        assert_eq!(test.variables.set["A"], "1");
        let expected = [(0, "pytest b"), (1, "nose2")];
        let expected = expected.map(|(script, command)| (script, command.to_owned()));
        assert_eq!(commands(test), expected);
        let detached = &found[1];
        assert_eq!((detached.commands.len(), detached.installs.len()), (0, 0));
    }

    #[test]
    fn hatch_test_has_words_and_requirements_of_its_own() {
        let found = read("[envs.hatch-test]\nextra-dependencies = ['a']\n");
        assert_eq!(found[0].installs, [["pytest-mock"], ["a"]]);
        let expected = [
            (0, "pytest tests"),
            (1, "coverage run -m pytest tests"),
            (2, "coverage report"),
            (3, "coverage combine"),
        ];
        let expected = expected.map(|(script, command)| (script, command.to_owned()));
        assert_eq!(commands(&found[0]), expected);
        let found = read(
            "[envs.default.scripts]\ntest = 'nose2'\n[envs.hatch-test]\ndefault-args = ['t', 'u v']\n\
            extra-args = ['-k', 'x']\ndependencies = ['pytest']\n[envs.hatch-test.scripts]\n\
            unit = 'pytest unit'\nrun = 'python -m pytest{env:HATCH_TEST_ARGS:} {args}'\n",
        );
        assert_eq!(found[0].installs, [["pytest"]]);
        let run = ["python", "-m", "pytest", "-k", "x", "t", "u v"];
        assert_eq!(found[0].commands[0], run);
        assert_eq!(found[0].commands[1], ["pytest", "unit"]);
    }

    #[test]
    fn a_file_of_its_own_counts_where_it_says_something() {
        let pyproject = "[tool.hatch.envs.test.scripts]\ntest = 'pytest a'\n";
        for (own, expected) in [
            ("[version]\n", "pytest a"),
            ("[envs.test.scripts]\ntest = 'pytest b'\n", "pytest b"),
        ] {
            let files = Files::of(&[("hatch.toml", own), ("pyproject.toml", pyproject)]);
            let found = environments(&files, PythonVersion::TEST);
            assert_eq!(commands(&found[0]), [(0, expected.to_owned())]);
        }
    }

    #[test]
    fn what_scripts_come_to_is_bounded() {
        let long = format!("pytest {}", "x".repeat(8000));
        let many = "'long', ".repeat(3);
        let scripts: String = (0..99).map(|at| format!("test{at} = [{many}]\n")).collect();
        let found = read(&format!(
            "[envs.test.scripts]\nlong = '{long}'\n{scripts}[envs.hatch-test]\n\
            default-args = ['{long}']\n[envs.hatch-test.scripts]\nrun = 'pytest {{args}} {{args}}'\n"
        ));
        let bytes = |at: usize| {
            let words = found[at].commands.iter().flatten();
            words.map(String::len).sum::<usize>()
        };
        assert_eq!(bytes(0), 0);
        assert_eq!(found[0].skipped.len(), 1);
        assert!(bytes(1) > 0 && bytes(1) <= scripts::MOST_BYTES);
        assert!(!found[1].skipped.is_empty());
    }

    #[test]
    fn a_matrix_and_overrides_are_followed() {
        let found = read(
            "[envs.test]\ndependencies = ['django=={matrix:django}']\n\
            [envs.test.env-vars]\nDB = '{matrix:db:none}'\n[envs.test.scripts]\ntest = 'pytest {matrix:suite}'\n\
            [[envs.test.matrix]]\npython = ['3.9', '3.13']\ndjango = ['4', '5']\nsuite = ['a']\n\
            [envs.test.overrides.matrix.django]\nextra-dependencies = [{value = 'old', if = ['4']}]\n\
            scripts = ['slow=pytest {matrix:suite} -m slow']\n\
            [envs.test.overrides.matrix.python]\nfeatures = [{value = 'no', if = ['3.9']}]\n",
        );
        assert_eq!(found[0].installs, [["django==4"], ["old"]]);
        assert_eq!(found[0].extras, Vec::<String>::new());
        assert_eq!(found[0].variables.set["DB"], "none");
        let expected = [(0, "pytest a"), (1, "pytest a -m slow")];
        let expected = expected.map(|(script, command)| (script, command.to_owned()));
        assert_eq!(commands(&found[0]), expected);
    }

    #[test]
    fn variables_are_read() {
        let found = read(
            "[envs.test.env-vars]\nA = '{root}/b'\nB = '{matrix:x}'\nC = 1\nHOME = 'x'\n\
            [envs.test.scripts]\ntest = 'D=e pytest'\n",
        );
        let variables = &found[0].variables;
        let set: Vec<String> = variables.set.values().cloned().collect();
        assert_eq!(set, ["{source}/b"]);
        assert_eq!(
            variables.notes(),
            [
                "hatch's variable `B` is not understood for {matrix}",
                "hatch's variable `C` is not understood for its form",
                "the variable `HOME` is not set: the stage has its own",
            ]
        );
        assert_eq!(found[0].commands, [["D=e", "pytest"]]);
    }
}
