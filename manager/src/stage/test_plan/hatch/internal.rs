//! The environment of `hatch test`, which is there whether or not it is written down
//! (<https://hatch.pypa.io/latest/config/internal/testing/>).

use toml::{Table, Value};

use crate::stage::test_plan::PythonVersion;

/// Its name.
pub(super) const TEST: &str = "hatch-test";
/// What hatch installs there where nothing is said and tests may ask for by name: what else it installs
/// runs them in another way.
const DEPENDENCY: &str = "pytest-mock";
/// What stands in its scripts for words that the configuration adds.
pub(super) const EXTRA: &str = "{env:HATCH_TEST_ARGS:}";

/// These environments with that one: what is said of it stands for itself, all else is as hatch has it.
pub(super) fn with_test(mut envs: Table, python: PythonVersion) -> Table {
    let mut test = by_default(python);
    if let Some(Value::Table(said)) = envs.remove(TEST) {
        test.extend(said);
    }
    envs.insert(TEST.to_owned(), Value::Table(test));
    envs
}

/// What it is where nothing is said.
fn by_default(python: PythonVersion) -> Table {
    let list = |text: String| Value::Array(vec![Value::String(text)]);
    let scripts = [
        ("run", format!("pytest{EXTRA} {{args}}")),
        ("run-cov", format!("coverage run -m pytest{EXTRA} {{args}}")),
        ("cov-combine", "coverage combine".to_owned()),
        ("cov-report", "coverage report".to_owned()),
    ];
    let scripts = scripts.map(|(name, line)| (name.to_owned(), Value::String(line)));
    // Of all versions that it is for `hatch test` takes the one that is there.
    let version = format!("{}.{}", python.major, python.minor);
    let matrix = Table::from_iter([("python".to_owned(), list(version))]);
    let options = [
        ("dependencies", list(DEPENDENCY.to_owned())),
        ("matrix", Value::Array(vec![Value::Table(matrix)])),
        ("scripts", Value::Table(Table::from_iter(scripts))),
        ("template", Value::String(TEST.to_owned())),
    ];
    Table::from_iter(options.map(|(name, value)| (name.to_owned(), value)))
}

#[cfg(test)]
mod tests {
    use super::super::{environments, unwritten};
    use super::*;
    use crate::stage::test_plan::Files;
    use crate::stage::test_plan::environment::Environment;

    fn read(text: &str) -> Vec<Environment> {
        environments(&Files::of(&[("hatch.toml", text)]), PythonVersion::TEST)
    }

    fn command(environment: &Environment, at: usize) -> String {
        environment.commands[at].join(" ")
    }

    #[test]
    fn it_is_for_this_interpreter_where_nothing_else_is_said() {
        let said = "[envs.hatch-test]\nextra-dependencies = ['a=={matrix:python:no}']\n\
            [envs.hatch-test.overrides]\n\
            matrix.python.features = [{value = 'new', if = ['3.13']}, {value = 'old', if = ['3.9']}]\n\
            name.'^py3\\.13$'.dependency-groups = ['g']\n";
        let found = read(said).remove(0);
        assert_eq!(found.installs, [["pytest-mock"], ["a==3.13"]]);
        assert_eq!(found.extras, ["new"]);
        assert_eq!(found.groups, ["g"]);
        let found = read(&format!("{said}[[envs.hatch-test.matrix]]\nb = ['c']\n")).remove(0);
        assert_eq!(found.installs, [["pytest-mock"], ["a==no"]]);
        assert_eq!(found.extras.len() + found.groups.len(), 0);
    }

    #[test]
    fn it_is_a_template_whether_or_not_it_is_written() {
        let other = "[envs.cov-test]\ntemplate = 'hatch-test'\n\
            [envs.cov-test.scripts]\ncov = ['run-cov unit', 'cov-report']\n";
        let written = format!("[envs.hatch-test]\nfeatures = ['x']\n{other}");
        for (text, extras) in [(written.as_str(), &["x"][..]), (other, &[])] {
            let found = read(text).pop().unwrap();
            assert_eq!(found.origin, "hatch.toml hatch's envs.cov-test");
            assert_eq!(found.installs, [["pytest-mock"]]);
            assert_eq!(found.extras, extras);
            assert_eq!(command(&found, 0), "coverage run -m pytest unit");
            assert_eq!(command(&found, 1), "coverage report");
        }
    }

    #[test]
    fn it_is_there_where_hatch_is_used_and_there_are_tests() {
        let tests = "tests/test_a.py";
        let of = |name: &str, text: &str, path: &str| {
            let files = Files::of(&[(name, text), (path, "")]);
            unwritten(&files, PythonVersion::TEST)
        };
        let pyproject = "[tool.hatch.envs.types.scripts]\ncheck = 'mypy'\n";
        let found = of("pyproject.toml", pyproject, tests).unwrap();
        let origin = "pyproject.toml hatch's default envs.hatch-test";
        assert_eq!(found.origin, origin);
        assert_eq!(command(&found, 0), "pytest tests");
        assert_eq!(found.installs, [["pytest-mock"]]);
        assert!(found.assumed);
        let build = "[tool.hatch.build]\nexclude = ['a']\n";
        for (name, text, path) in [
            ("pyproject.toml", pyproject, "test_a.py"),
            ("pyproject.toml", build, tests),
            ("hatch.toml", "[envs.hatch-test]\nparallel = true\n", tests),
            ("hatch.toml", "envs = 1\n", tests),
        ] {
            assert_eq!(of(name, text, path), None, "{text}");
        }
    }
}
