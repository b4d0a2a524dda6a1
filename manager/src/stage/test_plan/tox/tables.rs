//! tox's configuration in its TOML form (<https://tox.wiki/en/latest/config.html#tox-toml>).

use toml::{Table, Value};

use super::{COMMANDS, MOST_LINES, add_command, change_directory, elsewhere, names, set, skipped};
use crate::stage::test_plan::PythonVersion;
use crate::stage::test_plan::environment::Environment;
use crate::stage::test_plan::lists::words;
use crate::stage::test_plan::substitution::{in_command, substitute};

/// The environments that are written in a table, the best first.
pub(super) fn environments(file: &str, tox: &Table, python: PythonVersion) -> Vec<Environment> {
    let named = tox.get("env").and_then(Value::as_table);
    let base = tox.get("env_run_base").and_then(Value::as_table);
    if named.is_none() && base.is_none() {
        return vec![];
    }
    let (list, _) = strings(tox.get("env_list"));
    let own = named.into_iter().flat_map(Table::keys);
    let in_common = base.is_some_and(|base| base.contains_key("commands"));
    let default = format!("{}.{}", python.major, python.minor);
    let names = names(list, own, in_common, default, python);
    let environment = |name: &String| environment(file, name, named, base);
    names.iter().map(environment).collect()
}

fn environment(file: &str, name: &str, named: Option<&Table>, base: Option<&Table>) -> Environment {
    let own = named.and_then(|named| named.get(name)?.as_table());
    let value = |key: &str| own.and_then(|own| own.get(key)).or_else(|| base?.get(key));
    let mut found = Environment {
        origin: match own {
            Some(_) => format!("{file} tox's env.{name}"),
            None => format!("{file} tox's env_run_base"),
        },
        ..Environment::default()
    };
    found.extras = texts(value("extras"), "optional feature", &mut found);
    found.groups = texts(value("dependency_groups"), "dependency group", &mut found);
    for line in texts(value("deps"), "dependency", &mut found) {
        match substitute(&line, name) {
            Ok(line) => found.installs.push(words(&line)),
            Err(what) => found.skipped.push(skipped("dependency", &line, &what)),
        }
    }
    let directory = value("change_dir").or_else(|| value("changedir"));
    let directory = directory.and_then(Value::as_str);
    change_directory(directory.unwrap_or_default(), name, &mut found);
    let said = value("set_env").or_else(|| value("setenv"));
    variables(said, name, &mut found);
    for (key, is_before) in COMMANDS {
        let said = value(key);
        let commands = match said {
            Some(Value::Array(commands)) => commands.as_slice(),
            other => other.map(std::slice::from_ref).unwrap_or_default(),
        };
        for said in commands {
            let words = texts(Some(said), "command", &mut found);
            if words.is_empty() {
                continue;
            }
            let substituted: Result<Vec<String>, String> = words
                .iter()
                .map(|word| in_command(word, name, &found.directory))
                .collect();
            match substituted {
                Ok(words) => add_command(words, is_before, &mut found),
                Err(what) => {
                    let command = words.join(" ");
                    found.skipped.push(skipped("command", &command, &what));
                }
            }
        }
    }
    found
}

/// Sets what a table of variables has, or a list of such tables.
fn variables(said: Option<&Value>, name: &str, found: &mut Environment) {
    let tables = match said {
        Some(Value::Table(table)) => vec![table],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_table).collect(),
        _ => vec![],
    };
    for (key, value) in tables.into_iter().flatten().take(MOST_LINES) {
        let of = |part: &str| value.get(part).and_then(Value::as_str);
        let text = match (value.as_str(), of("replace"), of("name")) {
            (Some(file), _, _) if key == "file" => {
                found.variables.skip(elsewhere(file));
                continue;
            }
            (Some(text), _, _) => text.to_owned(),
            (None, Some("env"), Some(other)) => {
                format!("{{env:{other}:{}}}", of("default").unwrap_or_default())
            }
            _ => {
                let note = skipped("variable", key, "its form");
                found.variables.skip(note);
                continue;
            }
        };
        set(key, &text, name, &found.directory, &mut found.variables);
    }
}

/// The texts of a list; what else stands in it, each a `what`, is told where it is not understood.
fn texts(list: Option<&Value>, what: &str, found: &mut Environment) -> Vec<String> {
    let (texts, others) = strings(list);
    for other in others {
        let note = skipped(what, &other, "its form");
        // Of many no more are told than a few.
        if found.skipped.len() < MOST_LINES && !found.skipped.contains(&note) {
            found.skipped.push(note);
        }
    }
    texts
}

/// The texts of a list, and in a few words what else stands in it that is not understood. Where what the user
/// adds stands, it is what is taken without it.
fn strings(list: Option<&Value>) -> (Vec<String>, Vec<String>) {
    let items: &[Value] = match list {
        None => &[],
        Some(Value::Array(items)) => items.as_slice(),
        Some(other) => return (vec![], vec![form(other)]),
    };
    let (mut texts, mut others) = (vec![], vec![]);
    for item in items {
        if let Some(text) = item.as_str() {
            texts.push(text.to_owned());
        } else if replaced(item) == Some("posargs") {
            let default = item.get("default").and_then(Value::as_array);
            let default = default.into_iter().flatten().filter_map(Value::as_str);
            texts.extend(default.map(str::to_owned));
        } else if others.len() < MOST_LINES {
            others.push(form(item));
        }
    }
    (texts, others)
}

/// By what a table says that it is to be replaced.
fn replaced(item: &Value) -> Option<&str> {
    item.get("replace").and_then(Value::as_str)
}

/// How a value is written, in a few words.
fn form(value: &Value) -> String {
    match (value.as_str(), replaced(value)) {
        (Some(text), _) => text.to_owned(),
        (None, Some(by)) => format!("{{replace = '{by}'}}"),
        (None, None) => value.type_str().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Environment> {
        let table: Table = toml::from_str(text).unwrap();
        environments("tox.toml", &table, PythonVersion::TEST)
    }

    fn set_in(text: &str) -> (Vec<String>, usize) {
        let variables = read(text).remove(0).variables;
        let notes = variables.notes().len();
        let set = variables.set.into_iter();
        let set = set.map(|(name, value)| format!("{name}={value}"));
        (set.collect(), notes)
    }

    #[test]
    fn variables_of_toml_are_read_too() {
        let (set, notes) = set_in(
            "[env_run_base]\nset_env = {A = '{tox_root}/b', B = 1, file = '.env', \
            C = {replace = 'env', name = 'X', default = '{env_tmp_dir}'}, D = {replace = 'ref'}}\n",
        );
        assert_eq!(
            (set.join("|").as_str(), notes),
            ("A={source}/b|C={work}", 3)
        );
        let (set, _) = set_in("[env_run_base]\nset_env.A = 'b'\n[env.tests]\nset_env.C = 'd'\n");
        assert_eq!(set, ["C=d"]);
    }

    #[test]
    fn without_a_list_what_all_have_in_common_is_run() {
        let common =
            "[env_run_base]\ncommands = [['pytest', {replace = 'posargs', default = ['t']}]]\n";
        let others =
            "[env.bench]\ncommands = [['pytest', 'benchmarks']]\n[env.tests]\ndeps = ['a']\n";
        let found = read(&format!("{common}{others}"));
        assert_eq!(found[0].origin, "tox.toml tox's env_run_base");
        assert_eq!(found[0].commands, [["pytest", "t"]]);
        assert_eq!((found.len(), found[0].installs.len()), (3, 0));
        let found = read(&format!("env_list = ['bench']\n{common}{others}"));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn what_commands_install_is_read_and_what_is_no_text_is_told() {
        let found = read(
            "[env_run_base]\ndeps = ['a', {replace = 'ref', of = ['x', 'deps']}, {replace = 'ref'}, 1]\n\
            extras = 'b'\ncommands_pre = [['python', '-m', 'pip', 'install', 'c'], ['make', 'deps']]\n\
            commands = [['pip', 'install', '-r', '{tox_root}/d.txt'], {replace = 'ref'}, \
            ['pytest', {replace = 'glob', pattern = 't*'}]]\n[env.docs]\ncommands = {replace = 'if'}\n",
        );
        assert_eq!(
            found[0].installs,
            [vec!["a"], vec!["c"], vec!["-r", "./d.txt"]]
        );
        assert_eq!(found[0].commands, [["pytest"]]);
        let told = |what: &str| format!("tox's {what} is not understood for its form");
        assert_eq!(
            found[0].skipped,
            [
                "optional feature `b`",
                "dependency `{replace = 'ref'}`",
                "dependency `integer`",
                "command `{replace = 'ref'}`",
                "command `{replace = 'glob'}`",
            ]
            .map(told)
        );
        assert_eq!(
            found[1].skipped.last(),
            Some(&told("command `{replace = 'if'}`"))
        );
    }

    #[test]
    fn much_that_is_no_text_is_told_so_often_and_no_more() {
        let many: String = (0..MOST_LINES + 9).map(|at| format!("'{at}', ")).collect();
        let found = read(&format!("[env_run_base]\ncommands = [{many}]\n"));
        assert_eq!(found[0].skipped.len(), MOST_LINES);
    }
}
