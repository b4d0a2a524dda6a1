//! Environments and scripts of hatch (<https://hatch.pypa.io/latest/config/environment/overview/>)
//! and scripts of PDM.

use toml::{Table, Value};

use super::environment::Environment;
use super::files::Files;
use super::substitution::{self, substitute};

/// Names of environments that hold tests, the likeliest first; `hatch test` runs in the first.
const NAMES: [&str; 5] = ["hatch-test", "test", "tests", "dev", "default"];

/// Variables of one environment that are looked at.
const MOST: usize = 500;

/// The environments of a package that uses hatch or PDM.
pub(super) fn environments(files: &Files) -> Vec<Environment> {
    let pyproject = files.toml("pyproject.toml");
    let tool = pyproject.get("tool");
    let (own, file) = if files.has("hatch.toml") {
        let own = files.toml("hatch.toml");
        (own.get("envs").cloned(), "hatch.toml")
    } else {
        let envs = tool.and_then(|tool| tool.get("hatch")?.get("envs"));
        (envs.cloned(), "pyproject.toml")
    };
    let envs = own.as_ref().and_then(Value::as_table);
    let mut found: Vec<Environment> = NAMES
        .iter()
        .filter_map(|name| Some((*name, envs?.get(*name)?.as_table()?)))
        .map(|(name, table)| of_hatch(file, name, table))
        .collect();
    let pdm = tool.and_then(|tool| tool.get("pdm")?.get("scripts")?.as_table());
    if let Some(scripts) = pdm {
        let mut environment = Environment {
            origin: "pyproject.toml PDM's scripts".to_owned(),
            ..Environment::default()
        };
        add_scripts(scripts, &mut environment);
        found.push(environment);
    }
    found
}

fn of_hatch(file: &str, name: &str, table: &Table) -> Environment {
    let texts = |key: &str| {
        let items = table.get(key).and_then(Value::as_array);
        let texts = items.into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect::<Vec<_>>()
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
        match value.and_then(|text| substitution::value(text, name, "", variables)) {
            Ok(value) => variables.add(key, &value),
            Err(why) => variables.skip(format!(
                "hatch's variable `{key}` is not understood for {why}"
            )),
        }
    }
    if let Some(scripts) = table.get("scripts").and_then(Value::as_table) {
        add_scripts(scripts, &mut environment);
    }
    if name == "hatch-test" && environment.commands.is_empty() {
        // What hatch runs where nothing is said.
        environment.commands.push(vec!["pytest".to_owned()]);
    }
    environment
}

/// The commands of scripts that are called after tests.
fn add_scripts(scripts: &Table, environment: &mut Environment) {
    let mut named: Vec<(&String, &Value)> = scripts
        .iter()
        .filter(|(name, _)| name.contains("test") || *name == "run" || *name == "cov")
        .collect();
    // `test` before `test-cov` before `cov`.
    named.sort_by_key(|(name, _)| (!name.starts_with("test"), name.len()));
    for (number, (name, script)) in named.into_iter().enumerate() {
        if let Some(there) = script.get("working_dir").and_then(Value::as_str) {
            let note = format!("the directory `{there}` of the script `{name}` is not followed");
            environment.skipped.push(note);
        }
        let script = script.get("cmd").unwrap_or(script);
        let lines = match script {
            Value::String(line) => vec![line.as_str()],
            Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
            _ => vec![],
        };
        for line in lines {
            match substitute(line, "")
                .ok()
                .and_then(|line| shlex::split(&line))
            {
                Some(words) => {
                    // Each is for itself: who calls one does not call the others.
                    let at = environment.commands.len();
                    environment.scripts.insert(at, number);
                    environment.commands.push(words);
                }
                None => environment
                    .skipped
                    .push(format!("the script `{line}` is not understood")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments_and_scripts_are_read() {
        let found = environments(&Files::of(&[(
            "pyproject.toml",
            "[tool.hatch.envs.test]\ndependencies = ['a>1']\nfeatures = ['x']\n\
            [tool.hatch.envs.test.scripts]\ncov = 'coverage report'\ntest = 'pytest {args:tests}'\n\
            [tool.pdm.scripts]\ntest = {cmd = 'nose2 -v'}\nlint = 'ruff'\n",
        )]));
        assert_eq!(found[0].origin, "pyproject.toml hatch's envs.test");
        assert_eq!(found[0].installs, [["a>1"]]);
        assert_eq!(found[0].extras, ["x"]);
        assert_eq!(
            found[0].commands,
            [["pytest", "tests"], ["coverage", "report"]]
        );
        assert_eq!(found[1].commands, [["nose2", "-v"]]);
    }

    #[test]
    fn variables_are_read() {
        let found = environments(&Files::of(&[(
            "hatch.toml",
            "[envs.test.env-vars]\nA = '{root}/b'\nB = '{matrix:x}'\nC = 1\nHOME = 'x'\n\
            [envs.test.scripts]\ntest = 'D=e pytest'\n",
        )]));
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
