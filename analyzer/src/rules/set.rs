//! A set of rules, and the judgement by it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use pyti_trace::event::{Event, Family};

use super::condition::{Shared, Vars};
use super::error::{Place, RuleError, RuleErrors, suggestion};
use super::judge::judge_stage;
use super::rule::Rule;
use super::source::Source;
use super::trace::Case;
use super::value::View;
use super::yaml::Node;
use crate::facts::{StageFacts, Target, family_name, holes, losses};
use crate::origin::Origins;
use crate::report::{Report, SCHEMA};
use crate::verdict::{missing, not_started, verdict};

/// Rules, checked, ready to judge.
#[derive(Debug)]
pub struct RuleSet {
    pub(super) rules: Vec<Rule>,
    /// By rule: path and text of its trace files.
    pub(super) traces: HashMap<String, Vec<(String, String)>>,
    pub(super) vars: Vars,
}

/// A stage's facts and its events, in the order of time as the store gives them.
#[derive(Debug, Clone, Copy)]
pub struct StageRecord<'a> {
    /// How the stage went.
    pub facts: &'a StageFacts,
    /// Its events.
    pub events: &'a [Event],
}

impl RuleSet {
    /// Loads the rules of `directory`, or those built into the program.
    ///
    /// # Errors
    /// Everything wrong with them, at most one error per file, each with file, line and column.
    pub fn load(directory: Option<&Path>, vars: &Vars) -> Result<Self, RuleErrors> {
        let source = match directory {
            Some(directory) => Source::directory(directory)?,
            None => Source::embedded(),
        };
        Self::from_source(&source, vars)
    }

    /// Checks the rules of `source`.
    ///
    /// # Errors
    /// See [`RuleSet::load`].
    pub fn from_source(source: &Source, vars: &Vars) -> Result<Self, RuleErrors> {
        let mut errors = Vec::new();
        let mut shared = Shared::default();
        let mut rule_files = Vec::new();
        let mut traces: HashMap<String, Vec<(String, String)>> = HashMap::new();
        for (path, text) in &source.files {
            let file = Path::new(path);
            let stem = file
                .file_stem()
                .and_then(|stem| stem.to_str())
                .unwrap_or_default();
            let directory = file
                .parent()
                .and_then(Path::file_name)
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if stem.starts_with("fires") || stem.starts_with("quiet") {
                traces
                    .entry(directory.to_owned())
                    .or_default()
                    .push((path.clone(), text.clone()));
            } else if stem.starts_with("shared") {
                if let Err(error) = read_shared(path, text, &mut shared) {
                    errors.push(error);
                }
            } else {
                rule_files.push((path, stem, text));
            }
        }
        let mut rules: Vec<Rule> = Vec::new();
        for (path, stem, text) in rule_files {
            let rule = Node::parse(path, text).and_then(|node| Rule::parse(&node, &shared, vars));
            match rule {
                Ok(rule) if rule.id != stem => errors.push(rule.place.error(format!(
                    "the rule is called `{}`, so its file is called `{}.yaml`",
                    rule.id, rule.id
                ))),
                Ok(rule) if rules.iter().any(|other| other.id == rule.id) => {
                    errors.push(
                        rule.place
                            .error(format!("there are two rules `{}`", rule.id)),
                    );
                }
                Ok(rule) => rules.push(rule),
                Err(error) => errors.push(error),
            }
        }
        let known: Vec<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
        for (id, files) in &traces {
            if errors.is_empty() && !known.contains(&id.as_str()) {
                let path = files.first().map_or("", |(path, _)| path.as_str());
                errors.push(Place::new(path, 1, 1).error(format!(
                    "traces of a rule `{id}` that does not exist{}",
                    suggestion(id, &known)
                )));
            }
        }
        if errors.is_empty() {
            Ok(Self {
                rules,
                traces,
                vars: vars.clone(),
            })
        } else {
            Err(RuleErrors(errors))
        }
    }

    /// Refuses rules for stages that are not among `known`, which would never fire, and traces of such,
    /// which nobody would judge. Whoever runs stages knows what there is; rules alone do not tell.
    ///
    /// # Errors
    /// Every name of no stage, with file, line and column.
    pub fn check_stages(&self, known: &[&str]) -> Result<(), RuleErrors> {
        let cases: Vec<Case> = self
            .rules
            .iter()
            .filter_map(|rule| self.traces.get(&rule.id))
            .flatten()
            // What was recorded names no stage, and what is no trace is told where the traces are tested.
            .filter(|(file, _)| !file.ends_with(".jsonl"))
            .flat_map(|(file, text)| self.cases(file, text).unwrap_or_default())
            .collect();
        let of_rules = self
            .rules
            .iter()
            .flat_map(|rule| rule.stages.iter().zip(&rule.stage_places));
        let of_traces = cases.iter().filter_map(|case| {
            let (stage, place) = case.stage.as_ref()?;
            Some((stage, place))
        });
        let errors: Vec<RuleError> = of_rules
            .chain(of_traces)
            .filter(|(stage, _)| !known.contains(&stage.as_str()))
            .map(|(stage, place)| {
                let close = suggestion(stage, known);
                place.error(format!("no stage is called `{stage}`{close}"))
            })
            .collect();
        if errors.is_empty() {
            Ok(())
        } else {
            Err(RuleErrors(errors))
        }
    }

    /// The rules, by the names of their files.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule of this name.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == id)
    }

    /// Judges a run: every rule over every stage, then the verdict.
    #[must_use]
    pub fn judge(&self, target: &Target, stages: &[StageRecord<'_>]) -> Report {
        let today = today();
        let mut findings = Vec::new();
        let mut undecided = Vec::new();
        let mut all_missing = Vec::new();
        let mut all_losses = BTreeMap::new();
        let mut all_origins = BTreeMap::new();
        for stage in stages {
            let view = View::new(stage.events);
            let losses = losses(stage.facts, stage.events);
            let origins = Origins::new(stage.events, &self.vars.work);
            let (found, open) =
                judge_stage(&self.rules, stage.facts, &view, &losses, &origins, &today);
            all_origins.insert(stage.facts.name.clone(), origins.counts());
            all_missing.extend(missing(stage.facts, &losses, holes(stage.events), &open));
            findings.extend(found);
            undecided.extend(open);
            let by_family = Family::ALL
                .into_iter()
                .map(family_name)
                .map(str::to_owned)
                .zip(losses)
                .collect::<BTreeMap<_, _>>();
            all_losses.insert(stage.facts.name.clone(), by_family);
        }
        all_missing.extend(not_started(stages.iter().map(|stage| stage.facts)));
        // Worst first; what is equally bad in the order of the stages.
        findings.sort_by_key(|finding| std::cmp::Reverse((finding.severity, finding.confidence)));
        if stages.is_empty() {
            all_missing.push("no stage ran".to_owned());
        }
        let uncounted = stages.iter().any(|stage| stage.facts.uncounted);
        let (verdict, reasons) = verdict(&findings, &all_missing, uncounted);
        Report {
            schema: SCHEMA.to_owned(),
            target: target.clone(),
            run: None,
            verdict,
            reasons,
            missing: all_missing,
            results: Vec::new(),
            stages: stages.iter().map(|stage| stage.facts.clone()).collect(),
            findings,
            undecided,
            losses: all_losses,
            origins: all_origins,
            notes: self.expired(&today),
        }
    }

    /// A remark for each exception whose day has passed.
    fn expired(&self, today: &str) -> Vec<String> {
        self.rules
            .iter()
            .flat_map(|rule| {
                rule.exceptions
                    .iter()
                    .map(move |exception| (rule, exception))
            })
            .filter(|(_, exception)| exception.expires.as_str() < today)
            .map(|(rule, exception)| {
                format!(
                    "rule {}: the exception \"{}\" expired on {} and no longer holds",
                    rule.id, exception.reason, exception.expires
                )
            })
            .collect()
    }
}

/// Reads a file of `lists` and `macros`.
fn read_shared(path: &str, text: &str, shared: &mut Shared) -> Result<(), RuleError> {
    let node = Node::parse(path, text)?;
    for entry in node.map()? {
        match entry.key.as_str() {
            "lists" => {
                for list in entry.value.map()? {
                    if shared
                        .lists
                        .insert(list.key.clone(), list.value.texts()?)
                        .is_some()
                    {
                        return Err(list
                            .place
                            .error(format!("two lists are called `{}`", list.key)));
                    }
                }
            }
            "macros" => {
                for item in entry.value.map()? {
                    if shared
                        .macros
                        .insert(item.key.clone(), item.value.clone())
                        .is_some()
                    {
                        return Err(item
                            .place
                            .error(format!("two macros are called `{}`", item.key)));
                    }
                }
            }
            other => {
                return Err(entry.place.error(format!(
                    "unknown key `{other}`{}",
                    suggestion(other, &["lists", "macros"])
                )));
            }
        }
    }
    Ok(())
}

/// The day, `YYYY-MM-DD` in UTC.
pub(super) fn today() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs());
    date(seconds / 86_400)
}

/// The day so many days after 1970-01-01. Counts in eras of 400 years from March on, so that the
/// leap day is a year's last: <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>.
pub(crate) fn date(days: u64) -> String {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(20_514), "2026-03-02");
        assert_eq!(date(20_454), "2026-01-01");
    }
}
