//! A known false alarm, as a rule's file states it.

use super::condition::{Condition, Scope, Shared, Vars};
use super::error::{Place, RuleError};
use super::rule::{Detection, need, only};
use super::template::Template;
use super::yaml::Node;

/// A known false alarm, with the reason and the day on which it must be looked at again.
#[derive(Debug, Clone)]
pub struct Exception {
    /// Why it is harmless.
    pub reason: String,
    /// Last day, `YYYY-MM-DD`.
    pub expires: String,
    /// Where it stands.
    pub place: Place,
    /// By detection: what it excludes, of the last event that would fire the rule. `None` where it
    /// makes no sense for the detection's events.
    pub conditions: Vec<Option<Condition>>,
}

impl Exception {
    /// Reads and checks an exception from these detections.
    ///
    /// # Errors
    /// Whatever is wrong first, with its place.
    pub fn parse(
        node: &Node,
        detections: &[(Detection, Template)],
        shared: &Shared,
        vars: &Vars,
    ) -> Result<Self, RuleError> {
        only(node, &["reason", "expires", "where"])?;
        let expires = need(node, "expires")?;
        let date = expires.text()?;
        let shape: Vec<usize> = date.split('-').map(str::len).collect();
        if shape != [4, 2, 2] || !date.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
            return Err(expires.place.error("a date looks like 2027-06-01"));
        }
        let condition = need(node, "where")?;
        let parsed: Vec<Result<Condition, RuleError>> = detections
            .iter()
            .map(|(detection, _)| {
                let steps = detection.scope();
                let (last, before) = steps
                    .split_last()
                    .ok_or_else(|| node.place.error("nothing to except from"))?;
                Condition::parse(condition, Scope::new(shared, vars, &last.1, before))
            })
            .collect();
        // It must make sense for one of the detections.
        if parsed.iter().all(Result::is_err) {
            for result in parsed {
                result?;
            }
            return Err(node.place.error("nothing to except from"));
        }
        Ok(Self {
            reason: need(node, "reason")?.text()?.to_owned(),
            expires: date.to_owned(),
            place: node.place.clone(),
            conditions: parsed.into_iter().map(Result::ok).collect(),
        })
    }
}
