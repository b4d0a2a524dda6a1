//! Rules tested against their traces: every rule has one that fires it and one that must not.

use std::fmt;
use std::path::Path;

use pyti_trace::event::Event;

use super::engine::{Outcome, run};
use super::error::{Place, RuleErrors};
use super::rule::Rule;
use super::set::{RuleSet, today};
use super::trace::{Case, read_cases};
use super::value::View;

/// What a trace is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// It must fire the rule.
    Fires,
    /// It must not.
    Quiet,
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fires => "must fire",
            Self::Quiet => "must not fire",
        })
    }
}

/// Something that the traces showed to be wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TraceFailure {
    /// A rule lacks a trace.
    #[error("{file}: missing: rule {rule} needs a trace that {}", match expectation { Expectation::Fires => "fires it", Expectation::Quiet => "must not fire it" })]
    Missing {
        /// Where it is expected.
        file: String,
        /// The rule.
        rule: String,
        /// Which.
        expectation: Expectation,
    },
    /// A trace that must fire its rule does not, or the other way round.
    #[error("{file}: case \"{case}\": rule {rule} {expectation} and {}", match (fired, undecided) { (true, _) => "did", (false, true) => "could not decide", (false, false) => "did not" })]
    Wrong {
        /// The trace's file.
        file: String,
        /// The case.
        case: String,
        /// The rule.
        rule: String,
        /// What was expected.
        expectation: Expectation,
        /// It fired.
        fired: bool,
        /// It could not decide.
        undecided: bool,
    },
    /// An exception that no trace needs.
    #[error("{place}: rule {rule} has an exception that none of its traces needs: \"{reason}\"")]
    UnusedException {
        /// Where.
        place: Place,
        /// The rule.
        rule: String,
        /// The exception's reason.
        reason: String,
    },
    /// An exception whose day has passed.
    #[error("{place}: rule {rule} has an exception that expired on {expires}: \"{reason}\"")]
    ExpiredException {
        /// Where.
        place: Place,
        /// The rule.
        rule: String,
        /// The exception's reason.
        reason: String,
        /// The day.
        expires: String,
    },
}

/// What a test of all traces gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceSummary {
    /// Rules tested.
    pub rules: usize,
    /// Cases that must fire a rule.
    pub fires: usize,
    /// Cases that must not.
    pub quiet: usize,
    /// What is wrong.
    pub failures: Vec<TraceFailure>,
}

impl RuleSet {
    /// Runs every rule over its own traces. A case of another rule may fire it or not.
    ///
    /// # Errors
    /// A trace that cannot be read.
    pub fn test(&self) -> Result<TraceSummary, RuleErrors> {
        let today = today();
        let mut summary = TraceSummary {
            rules: self.rules.len(),
            ..TraceSummary::default()
        };
        let mut errors = Vec::new();
        for rule in &self.rules {
            let mut excepted = vec![0; rule.exceptions.len()];
            let mut number = [0, 0];
            for (file, text) in self.traces.get(&rule.id).into_iter().flatten() {
                let expectation = expectation(file);
                let cases = match self.cases(file, text) {
                    Ok(cases) => cases,
                    Err(error) => {
                        errors.extend(error.0);
                        continue;
                    }
                };
                number[expectation as usize] += cases.len();
                for case in cases {
                    self.test_case(
                        rule,
                        file,
                        expectation,
                        &case,
                        &today,
                        &mut excepted,
                        &mut summary,
                    );
                }
            }
            summary.fires += number[0];
            summary.quiet += number[1];
            for expectation in [Expectation::Fires, Expectation::Quiet] {
                if number[expectation as usize] == 0 {
                    let name = match expectation {
                        Expectation::Fires => "fires.yaml",
                        Expectation::Quiet => "quiet.yaml",
                    };
                    let directory = Path::new(&*rule.place.file).with_extension("");
                    summary.failures.push(TraceFailure::Missing {
                        file: directory.join(name).display().to_string(),
                        rule: rule.id.clone(),
                        expectation,
                    });
                }
            }
            exceptions(rule, &excepted, &today, &mut summary.failures);
        }
        if errors.is_empty() {
            Ok(summary)
        } else {
            Err(RuleErrors(errors))
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the state of one loop")]
    fn test_case(
        &self,
        rule: &Rule,
        file: &str,
        expectation: Expectation,
        case: &Case,
        today: &str,
        excepted: &mut [u64],
        summary: &mut TraceSummary,
    ) {
        let view = View::new(&case.events);
        let outcome = if case.is_judged_by(rule) {
            run(&[rule], &view, today).pop().unwrap_or_default()
        } else {
            Outcome::default()
        };
        for (sum, number) in excepted.iter_mut().zip(&outcome.excepted) {
            *sum += number;
        }
        let undecided = outcome.unknown > 0 || outcome.overflowed;
        let fired = !outcome.hits.is_empty();
        let right = match expectation {
            Expectation::Fires => fired,
            Expectation::Quiet => !fired && !undecided,
        };
        if !right {
            summary.failures.push(TraceFailure::Wrong {
                file: file.to_owned(),
                case: case.name.clone(),
                rule: rule.id.clone(),
                expectation,
                fired,
                undecided,
            });
        }
    }

    /// The cases of a trace file: by hand (YAML), or recorded (an event as JSON per line).
    ///
    /// # Errors
    /// Whatever is wrong first, with its place.
    pub fn cases(&self, file: &str, text: &str) -> Result<Vec<Case>, RuleErrors> {
        if !file.ends_with(".jsonl") {
            return Ok(read_cases(file, text, &self.vars)?);
        }
        let events = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
            .map(|(number, line)| {
                serde_json::from_str(line).map_err(|error| {
                    Place::new(file, number + 1, error.column())
                        .error(format!("not an event: {error}"))
                })
            })
            .collect::<Result<Vec<Event>, _>>()?;
        Ok(vec![Case {
            name: "recorded".to_owned(),
            stage: None,
            events,
        }])
    }

    /// The ids of the rules that fire on each case of `path`, a trace file, for rule authors and
    /// tests: by case its name, the rules that fired and those that could not decide.
    ///
    /// # Errors
    /// The file cannot be read as a trace.
    pub fn fire(&self, path: &str, text: &str) -> Result<Vec<Fired>, RuleErrors> {
        let today = today();
        let cases = self.cases(path, text)?;
        Ok(cases
            .into_iter()
            .map(|case| {
                let view = View::new(&case.events);
                let judging = self.rules.iter().filter(|rule| case.is_judged_by(rule));
                let rules: Vec<&Rule> = judging.collect();
                let outcomes = run(&rules, &view, &today);
                let named = |keep: &dyn Fn(&Outcome) -> bool| {
                    rules
                        .iter()
                        .zip(&outcomes)
                        .filter(|(_, outcome)| keep(outcome))
                        .map(|(rule, _)| rule.id.clone())
                        .collect()
                };
                Fired {
                    rules: named(&|outcome| !outcome.hits.is_empty()),
                    undecided: named(&|outcome| outcome.hits.is_empty() && outcome.unknown > 0),
                    case: case.name,
                }
            })
            .collect())
    }
}

/// What fired on a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fired {
    /// The case.
    pub case: String,
    /// The rules that fired.
    pub rules: Vec<String>,
    /// The rules that could not decide.
    pub undecided: Vec<String>,
}

fn expectation(file: &str) -> Expectation {
    let name = Path::new(file).file_name().and_then(|name| name.to_str());
    if name.is_some_and(|name| name.starts_with("fires")) {
        Expectation::Fires
    } else {
        Expectation::Quiet
    }
}

fn exceptions(rule: &Rule, excepted: &[u64], today: &str, failures: &mut Vec<TraceFailure>) {
    for (exception, used) in rule.exceptions.iter().zip(excepted) {
        let (place, reason) = (exception.place.clone(), exception.reason.clone());
        let rule = rule.id.clone();
        if exception.expires.as_str() < today {
            let expires = exception.expires.clone();
            failures.push(TraceFailure::ExpiredException {
                place,
                rule,
                reason,
                expires,
            });
        } else if *used == 0 {
            failures.push(TraceFailure::UnusedException {
                place,
                rule,
                reason,
            });
        }
    }
}
