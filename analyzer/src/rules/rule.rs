//! A rule, as its file states it.

use pyti_trace::event::{Family, Kind};
use serde::{Deserialize, Serialize};

use super::condition::{Condition, Scope, Shared, Vars};
use super::error::{Place, RuleError, suggestion};
use super::exception::Exception;
use super::template::Template;
use super::yaml::{Entry, Node};
use crate::schema::{self, Field};

/// How bad it is if true. A notice is worth a look and never changes a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth an auditor's look.
    Notice,
    /// Unusual.
    Low,
    /// Suspicious.
    Medium,
    /// Harmful.
    High,
    /// Destroys, persists or takes over.
    Critical,
}

/// How sure it is that what fired is what the rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Honest packages do it too.
    Low,
    /// Honest packages hardly do it.
    Medium,
    /// No honest package is known to do it.
    High,
}

impl Severity {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl Confidence {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// Which processes may do the steps of a sequence, or are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// One process.
    Process,
    /// The process of the first step and its descendants.
    Descendants,
    /// One process tree.
    Tree,
}

/// Events of some kinds that meet a condition.
#[derive(Debug, Clone)]
pub struct Step {
    /// Name, for `same` and the summary.
    pub name: String,
    /// The kinds.
    pub kinds: Vec<Kind>,
    /// The condition.
    pub condition: Condition,
}

/// What fires a rule.
#[derive(Debug, Clone)]
pub enum Detection {
    /// One event.
    Match(Step),
    /// Steps one after the other. One that takes time comes after what happened before its end, and
    /// before what happened after its beginning.
    Sequence {
        /// By whom.
        by: By,
        /// From the end of the first step to the beginning of the last, nanoseconds.
        within_ns: u64,
        /// The steps.
        steps: Vec<Step>,
        /// An event that calls the sequence off, once it has ended, where all steps before it ended before
        /// it began; may name any step.
        unless: Vec<Step>,
    },
    /// So many events.
    Count {
        /// By whom.
        by: By,
        /// From the first to the last, nanoseconds.
        within_ns: u64,
        /// The events.
        step: Step,
        /// Count different values of this field, not events.
        distinct: Option<Field>,
        /// How many fire it.
        at_least: usize,
    },
}

impl Detection {
    /// Every step, those that call off included.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        let (steps, unless): (&[Step], &[Step]) = match self {
            Self::Match(step) | Self::Count { step, .. } => (std::slice::from_ref(step), &[]),
            Self::Sequence { steps, unless, .. } => (steps, unless),
        };
        steps.iter().chain(unless)
    }

    /// Name and kinds of the steps that fire it.
    pub(super) fn scope(&self) -> Vec<(String, Vec<Kind>)> {
        match self {
            Self::Match(step) | Self::Count { step, .. } => {
                vec![(step.name.clone(), step.kinds.clone())]
            }
            Self::Sequence { steps, .. } => steps
                .iter()
                .map(|step| (step.name.clone(), step.kinds.clone()))
                .collect(),
        }
    }
}

/// A rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name: lower-case words joined by hyphens; the name of its file and its directory of
    /// traces.
    pub id: String,
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// MITRE ATT&CK techniques.
    pub attack: Vec<String>,
    /// What it means and what to do, for `pyti rules explain`.
    pub description: String,
    /// Where it was seen.
    pub references: Vec<String>,
    /// Kinds of stages it is for; empty: all.
    pub stages: Vec<String>,
    /// By stage: where its name stands.
    pub(super) stage_places: Vec<Place>,
    /// Known false alarms.
    pub exceptions: Vec<Exception>,
    /// What fires it, each with the sentence that says so.
    pub detections: Vec<(Detection, Template)>,
    /// Where it stands.
    pub place: Place,
}

const KEYS: &[&str] = &[
    "id",
    "summary",
    "severity",
    "confidence",
    "attack",
    "description",
    "references",
    "stages",
    "exceptions",
    "match",
    "sequence",
    "count",
];

impl Rule {
    /// Reads and checks a rule.
    ///
    /// # Errors
    /// Whatever is wrong first, with its place.
    pub fn parse(node: &Node, shared: &Shared, vars: &Vars) -> Result<Self, RuleError> {
        only(node, KEYS)?;
        let id = need(node, "id")?;
        let id_text = id.text()?;
        if id_text.is_empty()
            || !id_text
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        {
            return Err(id
                .place
                .error("an id is lower-case words joined by hyphens"));
        }
        let attack = need(node, "attack")?;
        for item in attack.items() {
            if !is_technique(item.text()?) {
                return Err(item
                    .place
                    .error("not a MITRE ATT&CK technique, which looks like T1059 or T1059.004"));
            }
        }
        let summary = need(node, "summary")?;
        let mut detections = Vec::new();
        for entry in node.map()? {
            if !["match", "sequence", "count"].contains(&entry.key.as_str()) {
                continue;
            }
            for item in entry.value.items() {
                let detection = match entry.key.as_str() {
                    "match" => Detection::Match(step(item, shared, vars, &[], &["summary"])?),
                    "sequence" => sequence(item, shared, vars)?,
                    _ => count(item, shared, vars)?,
                };
                let sentence = item.get("summary").unwrap_or(summary);
                let template = Template::parse(sentence, &detection.scope())?;
                detections.push((detection, template));
            }
        }
        if detections.is_empty() {
            return Err(node
                .place
                .error("a rule needs `match`, `sequence` or `count` (or several of them)"));
        }
        let exceptions = match node.get("exceptions") {
            Some(list) => list
                .items()
                .iter()
                .map(|item| Exception::parse(item, &detections, shared, vars))
                .collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        let texts = |key| node.get(key).map_or(Ok(Vec::new()), Node::texts);
        let stages = node.get("stages").map(Node::items).unwrap_or_default();
        Ok(Self {
            id: id_text.to_owned(),
            severity: one_of(need(node, "severity")?)?,
            confidence: one_of(need(node, "confidence")?)?,
            attack: attack.texts()?,
            description: need(node, "description")?.text()?.trim().to_owned(),
            references: texts("references")?,
            stages: texts("stages")?,
            stage_places: stages.iter().map(|stage| stage.place.clone()).collect(),
            exceptions,
            detections,
            place: node.place.clone(),
        })
    }

    /// It judges stages of this kind.
    #[must_use]
    pub fn is_for(&self, kind: &str) -> bool {
        self.stages.is_empty() || self.stages.iter().any(|stage| stage == kind)
    }

    /// The families of events that the rule needs.
    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        let mut families: Vec<Family> = self
            .detections
            .iter()
            .flat_map(|(detection, _)| detection.steps())
            .flat_map(|step| &step.kinds)
            .map(|kind| kind.family())
            .collect();
        families.sort_unstable();
        families.dedup();
        families
    }
}

/// `T` and four digits, and a dot and three digits for a sub-technique.
fn is_technique(text: &str) -> bool {
    let digits =
        |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    text.strip_prefix('T')
        .is_some_and(|rest| match rest.split_once('.') {
            Some((technique, sub)) => digits(technique, 4) && digits(sub, 3),
            None => digits(rest, 4),
        })
}

/// The value of a key that must be there.
pub(super) fn need<'n>(node: &'n Node, key: &str) -> Result<&'n Node, RuleError> {
    node.get(key)
        .ok_or_else(|| node.place.error(format!("`{key}` is missing")))
}

/// The mapping has no other keys than these.
pub(super) fn only(node: &Node, known: &[&str]) -> Result<(), RuleError> {
    match node
        .map()?
        .iter()
        .find(|entry| !known.contains(&entry.key.as_str()))
    {
        Some(Entry { key, place, .. }) => {
            Err(place.error(format!("unknown key `{key}`{}", suggestion(key, known))))
        }
        None => Ok(()),
    }
}

/// An enumeration's value by its name.
fn one_of<T: for<'de> Deserialize<'de>>(node: &Node) -> Result<T, RuleError> {
    serde_json::from_value(node.text()?.into()).map_err(|error| node.place.error(error.to_string()))
}

fn step(
    node: &Node,
    shared: &Shared,
    vars: &Vars,
    before: &[(String, Vec<Kind>)],
    more: &[&str],
) -> Result<Step, RuleError> {
    let known: Vec<&str> = ["kind", "where"].iter().chain(more).copied().collect();
    only(node, &known)?;
    let kinds = need(node, "kind")?
        .items()
        .iter()
        .map(|item| {
            let name = item.text()?;
            schema::kind_named(name).ok_or_else(|| {
                let known: Vec<&str> = schema::KINDS
                    .iter()
                    .map(|kind| schema::kind_name(*kind))
                    .collect();
                item.place.error(format!(
                    "no event is of kind `{name}`{}",
                    suggestion(name, &known)
                ))
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let condition = match node.get("where") {
        Some(condition) => Condition::parse(condition, Scope::new(shared, vars, &kinds, before))?,
        None => Condition::always(),
    };
    let name = match node.get("as") {
        Some(name) => name.text()?.to_owned(),
        None => format!("step{}", before.len() + 1),
    };
    Ok(Step {
        name,
        kinds,
        condition,
    })
}

fn sequence(node: &Node, shared: &Shared, vars: &Vars) -> Result<Detection, RuleError> {
    only(node, &["by", "within", "steps", "unless", "summary"])?;
    let steps_node = need(node, "steps")?;
    let mut steps = Vec::new();
    let mut names: Vec<(String, Vec<Kind>)> = Vec::new();
    for item in steps_node.items() {
        let step = step(item, shared, vars, &names, &["as"])?;
        if names.iter().any(|(name, _)| *name == step.name) {
            return Err(item
                .place
                .error(format!("two steps are called `{}`", step.name)));
        }
        names.push((step.name.clone(), step.kinds.clone()));
        steps.push(step);
    }
    if steps.len() < 2 {
        return Err(steps_node.place.error("a sequence has two steps or more"));
    }
    let unless = match node.get("unless") {
        Some(unless) => unless
            .items()
            .iter()
            .map(|item| step(item, shared, vars, &names, &[]))
            .collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    Ok(Detection::Sequence {
        by: by(need(node, "by")?)?,
        within_ns: duration(need(node, "within")?)?,
        steps,
        unless,
    })
}

fn count(node: &Node, shared: &Shared, vars: &Vars) -> Result<Detection, RuleError> {
    let own = ["by", "within", "distinct", "at_least", "summary"];
    let step = step(node, shared, vars, &[], &own)?;
    let distinct = match node.get("distinct") {
        Some(field) => {
            let name = field.text()?;
            let known = schema::fields_of(&step.kinds);
            let info = schema::field_named(name).filter(|info| known.contains(&info.name));
            Some(
                info.ok_or_else(|| {
                    field.place.error(format!(
                        "these events have no field `{name}`{}",
                        suggestion(name, &known)
                    ))
                })?
                .field,
            )
        }
        None => None,
    };
    let at_least = need(node, "at_least")?;
    Ok(Detection::Count {
        by: match by(need(node, "by")?)? {
            By::Descendants => {
                return Err(node.place.error("events are counted by process or by tree"));
            }
            by => by,
        },
        within_ns: duration(need(node, "within")?)?,
        step,
        distinct,
        at_least: usize::try_from(at_least.int()?)
            .ok()
            .filter(|count| (2..=10_000).contains(count))
            .ok_or_else(|| at_least.place.error("`at_least` lies between 2 and 10000"))?,
    })
}

fn by(node: &Node) -> Result<By, RuleError> {
    match node.text()? {
        "process" => Ok(By::Process),
        "descendants" => Ok(By::Descendants),
        "tree" => Ok(By::Tree),
        other => Err(node.place.error(format!(
            "`{other}` is nobody{}",
            suggestion(other, &["process", "descendants", "tree"])
        ))),
    }
}

/// `500ms`, `10s`, `5m`, in nanoseconds.
pub(super) fn duration(node: &Node) -> Result<u64, RuleError> {
    let text = node.text()?;
    let units = [
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
    ];
    units
        .iter()
        .find_map(|(unit, ns)| {
            let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
            number.checked_mul(*ns)
        })
        .ok_or_else(|| node.place.error("a time looks like 500ms, 10s or 5m"))
}
