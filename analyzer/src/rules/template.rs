//! The sentence that a finding is told in: text with captured fields in braces.

use std::collections::BTreeMap;

use pyti_trace::event::Kind;

use super::error::{RuleError, suggestion};
use super::operators::reference;
use super::value::{View, show};
use super::yaml::Node;
use crate::schema::{self, Field};
use crate::text::enumerate;

/// Different values kept of one capture.
const MAX_VALUES: usize = 50;
/// Bytes kept of one value.
const MAX_VALUE: usize = 512;

/// A checked sentence.
#[derive(Debug, Clone)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Capture {
        name: String,
        step: usize,
        field: Field,
    },
    Count,
}

/// Captured values by the name that the sentence gives them, each with its different values and how
/// many more there were.
pub type Captures = BTreeMap<String, (Vec<String>, usize)>;

impl Template {
    /// Reads a sentence; `{field}` is of the last step, `{step.field}` of that step, `{count}` the
    /// number of times.
    ///
    /// # Errors
    /// A brace without its other, an unknown step or field.
    pub fn parse(node: &Node, steps: &[(String, Vec<Kind>)]) -> Result<Self, RuleError> {
        let mut parts = Vec::new();
        let mut rest = node.text()?;
        while let Some((text, after)) = rest.split_once('{') {
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| node.place.error("`{` without `}`"))?;
            parts.push(Part::Text(text.to_owned()));
            parts.push(Self::capture(node, name, steps)?);
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self { parts })
    }

    fn capture(node: &Node, name: &str, steps: &[(String, Vec<Kind>)]) -> Result<Part, RuleError> {
        if name == "count" {
            return Ok(Part::Count);
        }
        let is_step = |text: &str| {
            text.split_once('.')
                .is_some_and(|(step, _)| steps.iter().any(|(name, _)| name == step))
        };
        let (step, info) = if is_step(name) {
            reference(name, steps).map_err(|message| node.place.error(message))?
        } else {
            let last = steps.len().saturating_sub(1);
            let kinds = steps.get(last).map_or(&[][..], |(_, kinds)| kinds);
            let known = schema::fields_of(kinds);
            let info = schema::field_named(name)
                .filter(|info| known.contains(&info.name))
                .ok_or_else(|| {
                    node.place.error(format!(
                        "the summary names `{name}`, which the last event does not have{}",
                        suggestion(name, &known)
                    ))
                })?;
            (last, info)
        };
        Ok(Part::Capture {
            name: name.to_owned(),
            step,
            field: info.field,
        })
    }

    /// The step and field of every capture.
    #[must_use]
    pub fn references(&self) -> Vec<(usize, Field)> {
        self.parts
            .iter()
            .filter_map(|part| match part {
                Part::Capture { step, field, .. } => Some((*step, *field)),
                _ => None,
            })
            .collect()
    }

    /// Adds the values of the events in `captured` (by step) to `into`.
    pub fn collect(&self, view: &View<'_>, captured: &[usize], into: &mut Captures) {
        for part in &self.parts {
            let Part::Capture { name, step, field } = part else {
                continue;
            };
            // A count has one step and many events; its last is as good as any.
            let index = captured.get(*step).or(captured.last());
            let value = index
                .and_then(|index| show(&view.value(*index, *field)))
                .unwrap_or_else(|| "?".to_owned());
            let value = cut(value);
            let (values, more) = into.entry(name.clone()).or_default();
            if !values.contains(&value) {
                if values.len() < MAX_VALUES {
                    values.push(value);
                } else {
                    *more += 1;
                }
            }
        }
    }

    /// The sentence.
    #[must_use]
    pub fn render(&self, captures: &Captures, count: u64) -> String {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.clone(),
                Part::Count => count.to_string(),
                Part::Capture { name, .. } => captures
                    .get(name)
                    .map_or_else(|| "?".to_owned(), |(values, more)| enumerate(values, *more)),
            })
            .collect()
    }
}

/// The first [`MAX_VALUE`] bytes, marked where cut.
fn cut(mut value: String) -> String {
    if value.len() > MAX_VALUE {
        value.truncate(value.floor_char_boundary(MAX_VALUE));
        value.push('…');
    }
    value
}
