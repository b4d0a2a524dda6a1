//! What `where` asks of an event, and how it is read and checked against the schema.

use std::collections::HashMap;

use pyti_trace::event::Kind;

use super::error::{RuleError, suggestion};
use super::operators;
use super::test::Test;
use super::truth::Truth;
use super::value::{Value, View};
use super::yaml::{Entry, Node, Value as Yaml};
use crate::schema::{self, Field, FieldInfo};

/// What the run knows and rules name: `$HOME` (also `~`) and `$WORK`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vars {
    /// Home directory of the user that runs the package.
    pub home: String,
    /// Directory that the stage works in.
    pub work: String,
}

impl Default for Vars {
    fn default() -> Self {
        Self {
            home: "/home/dev".to_owned(),
            work: "/work".to_owned(),
        }
    }
}

/// Lists and macros that all rules share.
#[derive(Debug, Default)]
pub struct Shared {
    /// Lists of texts, by name; rules write `$name`.
    pub lists: HashMap<String, Vec<String>>,
    /// Conditions, by name; rules write `macro: name`.
    pub macros: HashMap<String, Node>,
}

/// What a condition may refer to where it stands.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Lists and macros.
    pub shared: &'a Shared,
    /// Values of the variables.
    pub vars: &'a Vars,
    /// The kinds of event that the condition is about.
    pub kinds: &'a [Kind],
    /// Names and kinds of the steps before this one.
    pub steps: &'a [(String, Vec<Kind>)],
    /// Macros being expanded, so that none can contain itself.
    depth: usize,
}

impl<'a> Scope<'a> {
    /// A scope for conditions about events of `kinds`, after `steps`.
    #[must_use]
    pub fn new(
        shared: &'a Shared,
        vars: &'a Vars,
        kinds: &'a [Kind],
        steps: &'a [(String, Vec<Kind>)],
    ) -> Self {
        Self {
            shared,
            vars,
            kinds,
            steps,
            depth: 0,
        }
    }
}

/// A condition on one event.
#[derive(Debug, Clone)]
pub enum Condition {
    /// All hold; of none, true.
    All(Vec<Condition>),
    /// One holds.
    Any(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
    /// A test of a field.
    Clause(Clause),
}

/// A field, its test, and how the rule's author wrote it.
#[derive(Debug, Clone)]
pub struct Clause {
    pub(super) field: Field,
    pub(super) test: Test,
    text: String,
}

impl Condition {
    /// The condition that always holds.
    #[must_use]
    pub fn always() -> Self {
        Self::All(Vec::new())
    }

    /// Reads a condition: a mapping of fields to tests, all of which must hold, with `any`, `all`,
    /// `not` and `macro` beside them; or a list of such mappings.
    ///
    /// # Errors
    /// A field that is unknown or that not all kinds carry, or a test that makes no sense for it.
    pub fn parse(node: &Node, scope: Scope<'_>) -> Result<Self, RuleError> {
        match &node.value {
            Yaml::List(items) => Self::parse_each(items, scope).map(Self::All),
            Yaml::Map(entries) => entries
                .iter()
                .map(|entry| Self::parse_entry(entry, scope))
                .collect::<Result<_, _>>()
                .map(Self::All),
            _ => Err(node.expected("a mapping of fields to tests")),
        }
    }

    fn parse_each(items: &[Node], scope: Scope<'_>) -> Result<Vec<Self>, RuleError> {
        items.iter().map(|item| Self::parse(item, scope)).collect()
    }

    fn parse_entry(entry: &Entry, scope: Scope<'_>) -> Result<Self, RuleError> {
        match entry.key.as_str() {
            "all" => Self::parse_each(entry.value.items(), scope).map(Self::All),
            "any" => Self::parse_each(entry.value.items(), scope).map(Self::Any),
            "not" => Self::parse(&entry.value, scope).map(|inner| Self::Not(Box::new(inner))),
            "macro" => {
                if scope.depth >= 8 {
                    return Err(entry
                        .place
                        .error("macros nested too deeply: one contains itself"));
                }
                let inner = Scope {
                    depth: scope.depth + 1,
                    ..scope
                };
                entry
                    .value
                    .items()
                    .iter()
                    .map(|name| {
                        let text = name.text()?;
                        let body = scope.shared.macros.get(text).ok_or_else(|| {
                            let known: Vec<&str> =
                                scope.shared.macros.keys().map(String::as_str).collect();
                            name.place.error(format!(
                                "there is no macro `{text}`{}",
                                suggestion(text, &known)
                            ))
                        })?;
                        Self::parse(body, inner)
                    })
                    .collect::<Result<_, _>>()
                    .map(Self::All)
            }
            name => {
                let info = lookup(entry, name, scope.kinds)?;
                let test = operators::parse(&entry.value, info, scope)?;
                Ok(Self::Clause(Clause {
                    field: info.field,
                    test,
                    text: format!("{name} {}", describe(&entry.value, true)),
                }))
            }
        }
    }

    /// Whether the event at `index` meets the condition; `captured` are the events of the steps
    /// before.
    #[must_use]
    pub fn eval(&self, view: &View<'_>, index: usize, captured: &[usize]) -> Truth {
        match self {
            Self::All(all) => Truth::all(all.iter().map(|one| one.eval(view, index, captured))),
            Self::Any(any) => Truth::any(any.iter().map(|one| one.eval(view, index, captured))),
            Self::Not(inner) => !inner.eval(view, index, captured),
            Self::Clause(clause) => clause.eval(view, index, captured),
        }
    }

    /// The clauses that hold for the event, as the rule's author wrote them.
    pub fn held(&self, view: &View<'_>, index: usize, captured: &[usize], out: &mut Vec<String>) {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                for part in parts {
                    if part.eval(view, index, captured) == Truth::True {
                        part.held(view, index, captured, out);
                    }
                }
            }
            // What was excluded explains nothing.
            Self::Not(_) => {}
            Self::Clause(clause) => {
                if clause.eval(view, index, captured) == Truth::True && !out.contains(&clause.text)
                {
                    out.push(clause.text.clone());
                }
            }
        }
    }
}

impl Clause {
    fn eval(&self, view: &View<'_>, index: usize, captured: &[usize]) -> Truth {
        let same = |step: usize, field: Field| match captured.get(step) {
            Some(index) => view.value(*index, field),
            None => Value::Unknown,
        };
        self.test.eval(&view.value(index, self.field), &same)
    }
}

/// The field of this name, where all of `kinds` carry it.
fn lookup(entry: &Entry, name: &str, kinds: &[Kind]) -> Result<&'static FieldInfo, RuleError> {
    let info = schema::field_named(name).ok_or_else(|| {
        let known: Vec<&str> = schema::fields_of(kinds)
            .into_iter()
            .chain(["any", "all", "not", "macro"])
            .collect();
        entry.place.error(format!(
            "there is no field `{name}`{}",
            suggestion(name, &known)
        ))
    })?;
    if let Some(kind) = kinds.iter().find(|kind| !info.kinds.contains(kind)) {
        let carriers: Vec<&str> = info
            .kinds
            .iter()
            .map(|kind| schema::kind_name(*kind))
            .collect();
        return Err(entry.place.error(format!(
            "no `{}` event has a field `{name}`; these have: {}",
            schema::kind_name(*kind),
            carriers.join(", ")
        )));
    }
    Ok(info)
}

/// A test in the words of the rule file, on one line.
fn describe(node: &Node, top: bool) -> String {
    match &node.value {
        Yaml::Null => "nothing".to_owned(),
        Yaml::Bool(value) if top => format!("is {value}"),
        Yaml::Int(value) if top => format!("is {value}"),
        Yaml::Text(value) if top => format!("is {value}"),
        Yaml::Bool(value) => value.to_string(),
        Yaml::Int(value) => value.to_string(),
        // Blanks in such an expression mean nothing, nor do breaks.
        Yaml::Text(value) if value.starts_with("(?x)") => {
            value.split_whitespace().collect::<Vec<_>>().join(" ")
        }
        Yaml::Text(value) => value.clone(),
        Yaml::List(items) => {
            let items: Vec<String> = items.iter().map(|item| describe(item, false)).collect();
            format!(
                "{}[{}]",
                if top { "is one of " } else { "" },
                items.join(", ")
            )
        }
        Yaml::Map(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|entry| {
                    format!(
                        "{} {}",
                        entry.key.replace('_', " "),
                        describe(&entry.value, false)
                    )
                })
                .collect();
            entries.join(", ")
        }
    }
}
