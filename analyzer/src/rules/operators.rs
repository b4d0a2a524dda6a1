//! How the tests of a field are written, and which make sense for which type.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use regex_automata::meta::{Config, Regex};

use super::condition::{Scope, Vars};
use super::error::{RuleError, suggestion};
use super::test::{Network, Test};
use super::yaml::{Entry, Node, Value as Yaml};
use crate::schema::{self, ERRNOS, FieldInfo, Type};

/// Compiled size that the expressions of one test may take, bytes.
const REGEX_LIMIT: usize = 4 << 20;

/// Reads the test behind a field: a value that it must equal, a list of such values, or a mapping
/// of operators that must all hold.
///
/// # Errors
/// An operator that is unknown or makes no sense for the field's type, or a bad operand.
pub fn parse(node: &Node, info: &FieldInfo, scope: Scope<'_>) -> Result<Test, RuleError> {
    of_type(node, info.ty, info.name, scope)
}

fn of_type(node: &Node, ty: Type, name: &str, scope: Scope<'_>) -> Result<Test, RuleError> {
    let Yaml::Map(entries) = &node.value else {
        return equal(node, ty, name, scope);
    };
    if entries.is_empty() {
        return Err(node.place.error(format!("`{name}` has no test")));
    }
    let mut tests = entries
        .iter()
        .map(|entry| operator(entry, ty, name, scope))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(if tests.len() == 1 {
        tests.remove(0)
    } else {
        Test::All(tests)
    })
}

/// The operators of a type, as messages list them.
fn operators(ty: Type) -> &'static [&'static str] {
    match ty {
        Type::Text => &[
            "is", "under", "starts", "ends", "contains", "glob", "matches", "any", "not", "same",
        ],
        Type::Path => &[
            "is", "under", "name", "glob", "starts", "ends", "contains", "matches", "any", "not",
            "same",
        ],
        Type::Int => &[
            "is", "at_least", "at_most", "has", "has_any", "any", "not", "same",
        ],
        Type::Result => &["is", "any", "not"],
        Type::Bool => &["is"],
        Type::Bytes => &["starts", "any", "not"],
        Type::TextList => &["item", "first", "line", "any", "not"],
        Type::Addr => &["is", "in", "public", "any", "not", "same"],
    }
}

fn operator(entry: &Entry, ty: Type, name: &str, scope: Scope<'_>) -> Result<Test, RuleError> {
    let value = &entry.value;
    let known = operators(ty);
    if !known.contains(&entry.key.as_str()) {
        return Err(entry.place.error(format!(
            "`{name}` is of type {}, which has no test `{}`{}",
            ty.name(),
            entry.key,
            suggestion(&entry.key, known)
        )));
    }
    let paths = ty == Type::Path;
    Ok(match entry.key.as_str() {
        "is" => equal(value, ty, name, scope)?,
        "not" => Test::Not(Box::new(of_type(value, ty, name, scope)?)),
        "any" => Test::Any(
            value
                .items()
                .iter()
                .map(|item| of_type(item, ty, name, scope))
                .collect::<Result<_, _>>()?,
        ),
        "item" => Test::Item(Box::new(of_type(value, Type::Text, name, scope)?)),
        "first" => Test::First(Box::new(of_type(value, Type::Path, name, scope)?)),
        "line" => Test::Line(Box::new(of_type(value, Type::Text, name, scope)?)),
        "same" => same(value, ty, scope)?,
        "under" => {
            let directories = texts(value, scope)?;
            if let Some(bad) = directories.iter().find(|path| !path.starts_with('/')) {
                return Err(value.place.error(format!(
                    "`under` wants absolute directories (or ~, $HOME, $WORK), not `{bad}`"
                )));
            }
            Test::Under(directories)
        }
        "name" => {
            let names = texts(value, scope)?;
            if let Some(bad) = names.iter().find(|name| name.contains('/')) {
                return Err(value.place.error(format!(
                    "`name` is a path's last component and never holds a slash, as `{bad}` does"
                )));
            }
            Test::Name(globs(value, &names)?)
        }
        "glob" => {
            let globs_ = texts(value, scope)?;
            if let Some(bad) = globs_
                .iter()
                .find(|glob| paths && !glob.starts_with('/') && !glob.starts_with("**"))
            {
                return Err(value.place.error(format!(
                    "paths are absolute: start `{bad}` with /, ~, $HOME, $WORK or **"
                )));
            }
            Test::Glob(globs(value, &globs_)?)
        }
        "starts" if ty == Type::Bytes => {
            Test::StartsBytes(value.items().iter().map(bytes).collect::<Result<_, _>>()?)
        }
        "starts" => Test::Starts(texts(value, scope)?),
        "ends" => Test::Ends(texts(value, scope)?),
        "contains" => Test::Contains(texts(value, scope)?),
        "matches" => Test::Matches(
            Regex::builder()
                .configure(Config::new().nfa_size_limit(Some(REGEX_LIMIT)))
                .build_many(&value.texts()?)
                .map_err(|error| {
                    let reason = match error.syntax_error() {
                        Some(error) => error.to_string(),
                        None => error.to_string(),
                    };
                    value
                        .place
                        .error(format!("not a regular expression: {reason}"))
                })?,
        ),
        "at_least" => Test::AtLeast(value.int()?),
        "at_most" => Test::AtMost(value.int()?),
        "has" => Test::Has(value.int()?),
        "has_any" => Test::HasAny(value.int()?),
        "in" => Test::In(networks(value, scope)?),
        "public" => Test::Public(truth(value)?),
        other => return Err(entry.place.error(format!("no test `{other}`"))),
    })
}

/// Equality with a value or one of several.
fn equal(node: &Node, ty: Type, name: &str, scope: Scope<'_>) -> Result<Test, RuleError> {
    match ty {
        Type::Text => texts(node, scope).map(Test::Is),
        Type::Path => {
            let paths = texts(node, scope)?;
            match paths.iter().find(|path| !path.starts_with('/')) {
                Some(bad) => Err(node.place.error(format!(
                    "`{name}` is an absolute path and never `{bad}`; for its last component write {{name: {bad}}}"
                ))),
                None => Ok(Test::Is(paths)),
            }
        }
        Type::Int => {
            let values: Vec<i64> = node
                .items()
                .iter()
                .map(Node::int)
                .collect::<Result<_, _>>()?;
            let most = match name {
                "port" | "family" => Some(65535),
                _ => None,
            };
            if let Some(bad) = values
                .iter()
                .find(|value| most.is_some_and(|most| **value > most))
            {
                return Err(node.place.error(format!("`{name}` is never {bad}")));
            }
            Ok(Test::IsInt(values))
        }
        Type::Result => node
            .items()
            .iter()
            .map(result)
            .collect::<Result<Vec<_>, _>>()
            .map(Test::Any),
        Type::Bool => truth(node).map(Test::IsBool),
        Type::Addr => networks(node, scope).map(Test::In),
        Type::Bytes | Type::TextList => Err(node.place.error(format!(
            "`{name}` is of type {}: say what of it, with one of {}",
            ty.name(),
            operators(ty).join(", ")
        ))),
    }
}

fn result(node: &Node) -> Result<Test, RuleError> {
    match &node.value {
        Yaml::Int(value) => Ok(Test::IsInt(vec![*value])),
        Yaml::Text(text) if text == "ok" => Ok(Test::AtLeast(0)),
        Yaml::Text(text) if text == "failed" => Ok(Test::AtMost(-1)),
        Yaml::Text(text) => match ERRNOS.iter().find(|(name, _)| name == text) {
            Some((_, number)) => Ok(Test::IsInt(vec![-number])),
            None => {
                let known: Vec<&str> = ERRNOS
                    .iter()
                    .map(|(name, _)| *name)
                    .chain(["ok", "failed"])
                    .collect();
                Err(node.place.error(format!(
                    "no result is called `{text}`{}",
                    suggestion(text, &known)
                )))
            }
        },
        _ => Err(node.expected("ok, failed, an errno's name or a number")),
    }
}

fn truth(node: &Node) -> Result<bool, RuleError> {
    match node.value {
        Yaml::Bool(value) => Ok(value),
        _ => Err(node.expected("true or false")),
    }
}

/// `step.field` of an earlier step, of the same type.
fn same(node: &Node, ty: Type, scope: Scope<'_>) -> Result<Test, RuleError> {
    let text = node.text()?;
    let (step, field) =
        reference(text, scope.steps).map_err(|message| node.place.error(message))?;
    let comparable = |ty| if ty == Type::Path { Type::Text } else { ty };
    if comparable(field.ty) != comparable(ty) {
        return Err(node.place.error(format!(
            "`{text}` is a {} and never equals a {}",
            field.ty.name(),
            ty.name()
        )));
    }
    Ok(Test::Same(step, field.field))
}

/// Resolves `step.field`.
///
/// # Errors
/// No such step, or no such field in its events.
pub fn reference(
    text: &str,
    steps: &[(String, Vec<pyti_trace::event::Kind>)],
) -> Result<(usize, &'static FieldInfo), String> {
    let known: Vec<&str> = steps.iter().map(|(name, _)| name.as_str()).collect();
    let (name, field) = text
        .split_once('.')
        .ok_or_else(|| format!("expected step.field, found `{text}`"))?;
    let step = known
        .iter()
        .position(|known| *known == name)
        .ok_or_else(|| {
            format!(
                "no earlier step is called `{name}`{}",
                suggestion(name, &known)
            )
        })?;
    let kinds = &steps[step].1;
    let info = schema::field_named(field)
        .filter(|info| kinds.iter().all(|kind| info.kinds.contains(kind)))
        .ok_or_else(|| {
            format!(
                "the events of step `{name}` have no field `{field}`{}",
                suggestion(field, &schema::fields_of(kinds))
            )
        })?;
    Ok((step, info))
}

/// Texts with lists (`$name`) inserted and variables (`~`, `$HOME`, `$WORK`) expanded.
fn texts(node: &Node, scope: Scope<'_>) -> Result<Vec<String>, RuleError> {
    let mut out = Vec::new();
    for item in node.items() {
        let text = match &item.value {
            Yaml::Text(text) => text.clone(),
            Yaml::Int(value) => value.to_string(),
            _ => return Err(item.expected("a text")),
        };
        match text
            .strip_prefix('$')
            .filter(|name| name.starts_with(|c: char| c.is_lowercase()))
        {
            Some(name) => {
                let list = scope.shared.lists.get(name).ok_or_else(|| {
                    let known: Vec<&str> = scope.shared.lists.keys().map(String::as_str).collect();
                    item.place.error(format!(
                        "there is no list `{name}`{}",
                        suggestion(name, &known)
                    ))
                })?;
                out.extend(list.iter().map(|text| expand(text, scope.vars)));
            }
            None => {
                let text = expand(&text, scope.vars);
                if text.starts_with('$') {
                    return Err(item.place.error(format!(
                        "unknown variable in `{text}` (known: $HOME, $WORK; lists are lower-case)"
                    )));
                }
                out.push(text);
            }
        }
    }
    Ok(out)
}

/// `text` with a leading `~`, `$HOME` or `$WORK` replaced.
#[must_use]
pub fn expand(text: &str, vars: &Vars) -> String {
    for (name, value) in [
        ("~", &vars.home),
        ("$HOME", &vars.home),
        ("$WORK", &vars.work),
    ] {
        if let Some(rest) = text.strip_prefix(name)
            && (rest.is_empty() || rest.starts_with('/'))
        {
            return format!("{value}{rest}");
        }
    }
    text.to_owned()
}

fn globs(node: &Node, globs: &[String]) -> Result<GlobSet, RuleError> {
    let bad = |error: globset::Error| node.place.error(format!("not a pattern: {error}"));
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        let glob = GlobBuilder::new(glob)
            .literal_separator(true)
            .backslash_escape(true)
            .build()
            .map_err(bad)?;
        set.add(glob);
    }
    set.build().map_err(bad)
}

fn networks(node: &Node, scope: Scope<'_>) -> Result<Vec<Network>, RuleError> {
    texts(node, scope)?
        .iter()
        .map(|text| {
            Network::parse(text).ok_or_else(|| {
                node.place.error(format!(
                    "`{text}` is no IP address or network such as 10.0.0.0/8"
                ))
            })
        })
        .collect()
}

/// Bytes written as text: each character below U+0100 is one byte.
///
/// # Errors
/// No text, or a character beyond.
pub fn bytes(node: &Node) -> Result<Vec<u8>, RuleError> {
    node.text()?
        .chars()
        .map(|c| {
            u8::try_from(u32::from(c)).map_err(|_| {
                node.place.error(format!(
                    "`{c}` is more than a byte: write \"\\xNN\" in double quotes"
                ))
            })
        })
        .collect()
}
