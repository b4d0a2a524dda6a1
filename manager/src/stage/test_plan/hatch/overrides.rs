//! What hatch changes in an environment by the platform, by its matrix and by its name
//! (<https://hatch.pypa.io/latest/config/environment/advanced/>).

use std::collections::BTreeMap;

use regex::RegexBuilder;
use toml::{Table, Value};

use crate::stage::test_plan::PythonVersion;

/// What hatch calls the platform of the guest.
const PLATFORM: &str = "linux";
/// Options that hold texts by names.
const MAPPINGS: [&str; 2] = ["env-vars", "scripts"];
/// Options that are lists of texts.
const LISTS: [&str; 5] = [
    "dependencies",
    "dependency-groups",
    "extra-args",
    "extra-dependencies",
    "features",
];
/// Matrices of an environment, their variables, and overrides of each kind.
const MOST: usize = 100;
/// Overrides by names, which are expressions to compile.
const MOST_NAMES: usize = 20;
/// Bytes of a variable of a matrix, of its value, of how environments are named, and of an expression.
const LONGEST: usize = 200;
/// Bytes that an expression may come to.
const MOST_BYTES: usize = 1 << 20;

/// The environment of a matrix that hatch runs with one interpreter.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Variant {
    /// The values of the variables.
    values: BTreeMap<String, String>,
    /// Its name.
    name: String,
}

impl Variant {
    /// The first that is for this interpreter, as hatch itself prefers it, or else the first of all.
    pub(super) fn of(environment: &Table, python: PythonVersion) -> Self {
        let matrices = environment.get("matrix").and_then(Value::as_array);
        let matrices = matrices.into_iter().flatten().take(MOST);
        let format = environment
            .get("matrix-name-format")
            .and_then(Value::as_str);
        let format = format.filter(|format| format.len() <= LONGEST);
        let format = format.unwrap_or("{value}");
        let mut first = None;
        for matrix in matrices.filter_map(Value::as_table) {
            let (variant, fits) = Self::of_matrix(matrix, format, python);
            if fits {
                return variant;
            }
            first = first.or(Some(variant));
        }
        first.unwrap_or_default()
    }

    /// The one of a matrix, and whether that is for this interpreter.
    fn of_matrix(matrix: &Table, format: &str, python: PythonVersion) -> (Self, bool) {
        let (mut fits, mut named) = (false, vec![]);
        let mut variant = Self::default();
        let variables = matrix.iter().filter(|(name, _)| name.len() <= LONGEST);
        for (variable, values) in variables.take(MOST) {
            let is_python = ["py", "python"].contains(&variable.as_str());
            let texts = values.as_array().into_iter().flatten();
            let mut texts = texts
                .filter_map(Value::as_str)
                .filter(|text| text.len() <= LONGEST);
            let own = texts
                .clone()
                .find(|text| is_python && is_version(text, python));
            fits |= own.is_some();
            let Some(value) = own.or_else(|| texts.next()) else {
                continue;
            };
            if !is_python {
                let part = format.replace("{variable}", variable);
                named.push(part.replace("{value}", value));
            } else if value.starts_with("py") {
                named.insert(0, value.to_owned());
            } else {
                named.insert(0, format!("py{value}"));
            }
            let values = &mut variant.values;
            values.insert(variable.clone(), value.to_owned());
        }
        variant.name = named.join("-");
        (variant, fits)
    }

    /// A text with the values of the matrix in it, as in `{matrix:a}` or `{matrix:a:default}`.
    pub(super) fn put_into(&self, text: &str) -> String {
        let mut whole = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{matrix:") {
            whole.push_str(before);
            let (named, after) = after.split_once('}').unwrap_or((after, ""));
            let (variable, default) = match named.split_once(':') {
                Some((variable, default)) => (variable, Some(default)),
                None => (named, None),
            };
            match self.values.get(variable).map(String::as_str).or(default) {
                Some(value) => whole.push_str(value),
                // It is told where the text is used.
                None => whole.push_str(&format!("{{matrix:{named}}}")),
            }
            rest = after;
        }
        whole + rest
    }

    /// Changes an environment as its overrides say. Those by variables of the caller's environment are
    /// passed over: the guest has none of them.
    pub(super) fn apply(&self, environment: &mut Table) {
        let Some(Value::Table(overrides)) = environment.remove("overrides") else {
            return;
        };
        let of = |source: &str| {
            let table = overrides.get(source).and_then(Value::as_table);
            table.into_iter().flatten().take(MOST)
        };
        for (_, options) in of("platform").filter(|(platform, _)| *platform == PLATFORM) {
            change(environment, options, PLATFORM);
        }
        for (variable, options) in of("matrix") {
            if let Some(value) = self.values.get(variable) {
                change(environment, options, value);
            }
        }
        if self.values.is_empty() {
            return;
        }
        for (pattern, options) in of("name").take(MOST_NAMES) {
            let pattern = Some(pattern).filter(|pattern| pattern.len() <= LONGEST);
            let pattern = pattern.and_then(|pattern| {
                let mut pattern = RegexBuilder::new(pattern);
                pattern.size_limit(MOST_BYTES).build().ok()
            });
            if pattern.is_some_and(|pattern| pattern.is_match(&self.name)) {
                change(environment, options, &self.name);
            }
        }
    }
}

/// Whether a text names this version, as in `3.13`, `313` or `py313`.
fn is_version(text: &str, python: PythonVersion) -> bool {
    let text = text.trim_start_matches("python").trim_start_matches("py");
    text.replace('.', "") == format!("{}{}", python.major, python.minor)
}

/// Changes the options of an environment for a condition that has this value.
fn change(environment: &mut Table, options: &Value, value: &str) {
    for (key, said) in options.as_table().into_iter().flatten().take(MOST) {
        let (option, instead) = match key.strip_prefix("set-") {
            Some(option) => (option, true),
            None => (key.as_str(), false),
        };
        let entries = match said {
            Value::Array(entries) => entries.as_slice(),
            one => std::slice::from_ref(one),
        };
        let mut before = || environment.remove(option).filter(|_| !instead);
        let after = if MAPPINGS.contains(&option) {
            let mut changed = match before() {
                Some(Value::Table(table)) => table,
                _ => Table::new(),
            };
            changed.extend(entries.iter().filter_map(|entry| pair(entry, value)));
            Value::Table(changed)
        } else if LISTS.contains(&option) {
            let mut changed = match before() {
                Some(Value::Array(items)) => items,
                _ => vec![],
            };
            changed.extend(entries.iter().filter_map(|entry| item(entry, value)));
            Value::Array(changed)
        } else {
            let holding = entries.iter().find(|entry| holds(entry, value));
            match holding.and_then(|entry| entry.get("value")) {
                Some(other) => other.clone(),
                None => continue,
            }
        };
        environment.insert(option.to_owned(), after);
    }
}

/// A name and a text that an entry adds to a mapping; without a text it is the value of the condition.
fn pair(entry: &Value, value: &str) -> Option<(String, Value)> {
    let (name, text) = match entry.as_str() {
        Some(said) => said.split_once('=').unwrap_or((said, value)),
        None if holds(entry, value) => {
            let text = entry.get("value").map_or(Some(value), Value::as_str);
            (entry.get("key")?.as_str()?, text?)
        }
        None => return None,
    };
    Some((name.to_owned(), Value::String(text.to_owned())))
}

/// A text that an entry adds to a list.
fn item(entry: &Value, value: &str) -> Option<Value> {
    if entry.is_str() {
        return Some(entry.clone());
    }
    let text = entry.get("value").filter(|text| text.is_str())?;
    holds(entry, value).then(|| text.clone())
}

/// Whether what an entry is under holds.
fn holds(entry: &Value, value: &str) -> bool {
    let list = |key: &str| entry.get(key).and_then(Value::as_array);
    let has = |key: &str, wanted: &str| {
        list(key).is_none_or(|items| items.iter().any(|item| item.as_str() == Some(wanted)))
    };
    has("if", value) && has("platform", PLATFORM) && list("env").is_none_or(Vec::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(text: &str) -> (Variant, Table) {
        let mut table: Table = toml::from_str(text).unwrap();
        let variant = Variant::of(&table, PythonVersion::TEST);
        variant.apply(&mut table);
        (variant, table)
    }

    #[test]
    fn the_variant_of_this_interpreter_is_taken() {
        let long = "{variable}".repeat(99);
        let long = format!("matrix-name-format = '{long}'\n[[matrix]]\nb = ['c']");
        let long = long.as_str();
        for (matrix, name) in [
            (
                "[[matrix]]\npython = ['3.9', '3.13']\ndjango = ['4', '5']",
                "py3.13-4",
            ),
            (
                "[[matrix]]\npython = ['3.9']\n[[matrix]]\nb = ['c']\npython = ['py313']",
                "py313-c",
            ),
            ("[[matrix]]\nb = ['c']\n[[matrix]]\npy = ['3.9']", "c"),
            (
                "matrix-name-format = '{variable}_{value}'\n[[matrix]]\nb = ['c', 'd']",
                "b_c",
            ),
            (long, "c"),
            ("matrix = 3", ""),
            ("[[matrix]]\nb = [1]", ""),
        ] {
            assert_eq!(variant(matrix).0.name, name, "{matrix}");
        }
        let (found, _) = variant("[[matrix]]\nb = ['c']");
        let text = "a=={matrix:b} {matrix:d:e} {matrix:b:x} {matrix:d} {matrix:";
        assert_eq!(found.put_into(text), "a==c e c {matrix:d} {matrix:}");
    }

    #[test]
    fn overrides_change_what_they_name() {
        let (_, table) = variant(
            "dependencies = ['a']\n[scripts]\ntest = 'x'\n[[matrix]]\npython = ['3.13']\nb = ['1', '2']\n\
            [overrides]\nplatform.linux.dependencies = ['b']\nplatform.windows.dependencies = ['no']\n\
            env.CI.dependencies = ['no']\nname.'^py3.*-1$'.features = ['f']\nname.'-2'.features = ['no']\n\
            name.'('.features = ['no']\nname.'\\w{99}|py'.features = ['no']\n\
            [overrides.matrix.b]\nset-scripts = 'test=y'\nenv-vars = ['B', 'C=d', {key = 'E', value = 'f', if = ['2']}]\n\
            extra-dependencies = [{value = 'c', if = ['1']}, {value = 'no', if = ['2']}, \
            {value = 'no', platform = ['macos']}, {value = 'no', env = ['CI']}, 'd']\n\
            python = {value = '3.9', if = ['1']}\n[overrides.matrix.none]\nfeatures = ['no']\n",
        );
        let expected: Table = toml::from_str(
            "dependencies = ['a', 'b']\nextra-dependencies = ['c', 'd']\nfeatures = ['f']\n\
            python = '3.9'\nscripts = {test = 'y'}\nenv-vars = {B = '1', C = 'd'}\n\
            [[matrix]]\npython = ['3.13']\nb = ['1', '2']\n",
        )
        .unwrap();
        assert_eq!(table, expected);
    }
}
