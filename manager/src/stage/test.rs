//! The package's own tests, by the framework that it uses, in its source, with the package and what
//! its tests require installed.

mod commands;
mod each_result;
mod lacking;
mod parts;
mod unreported;

use std::collections::BTreeMap;

use pyti_analyzer::{amount, escape_within};
use pyti_graph::{Failure, Inputs, Need};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::junit::{self, Counts, TestResult};
use super::source::{self, Ended};
use super::test_plan::{Framework, TestPlan, reports};
use super::wanting::PLUGIN;
use super::{Ran, Required, Stage, Tools, telling};
use crate::cli::LimitArgs;
use crate::order::Order;
use crate::tasks;
pub(super) use commands::{Around, order};
pub(super) use each_result::{EACH_RESULT, EACH_RESULT_NOSE2, EACH_RESULT_TRIAL};
pub(super) use lacking::{lacking, runs};
use parts::{Came, Part, came};

/// The report of trial, beside those of others.
const SUBUNIT: &str = "trial.subunit";
/// The results as JUnit XML, in the stage's directory.
const JUNIT: &str = "junit.xml";

/// Characters of what is quoted of a failure.
const LONGEST: usize = 300;
/// Things that are named in a summary.
const NAMED: usize = 5;

/// See the module.
pub(super) struct Test;

/// The datum `tests`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Tests {
    /// What ran them.
    pub framework: Framework,
    /// Why that.
    pub reason: String,
    /// What was executed, of several commands the first.
    pub command: Vec<String>,
    /// How that ended.
    pub ended: Ended,
    /// Each of several commands, the first among them, and those that could not be run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// How many passed, failed, could not run, were skipped.
    pub counts: Counts,
    /// Tests that failed for want of a network or a service.
    pub wanted_service: usize,
    /// How many tests failed for want of what: services, networks, fixtures of plugins.
    pub wants: BTreeMap<String, usize>,
    /// Requirements that the tests ran without, since they cannot be had.
    pub missing: Vec<String>,
    /// Each test.
    pub results: Vec<TestResult>,
    /// Reports that could not be read.
    pub problems: Vec<String>,
    /// Why this may not be whole, where the stage or what ran the tests did not come to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
}

impl Stage for Test {
    fn name(&self) -> &'static str {
        "test"
    }

    fn provides(&self) -> &'static str {
        "tests"
    }

    fn needs(&self) -> Vec<Need> {
        needs()
    }

    fn tools(&self) -> Option<Tools> {
        Some(Tools {
            needs: vec![Need::All(tasks::TEST_PLAN.into())],
            requirements: |inputs| {
                let plan: TestPlan = tasks::read(inputs, tasks::TEST_PLAN)?;
                Ok(required(plan, &[]))
            },
        })
    }

    fn order(&self, inputs: &Inputs, limits: &LimitArgs) -> Result<Order, Failure> {
        let plan: TestPlan = tasks::read(inputs, tasks::TEST_PLAN)?;
        let directories = directories(&plan);
        let results = texts(&directories);
        let around = Around {
            results: &results,
            ..Around::default()
        };
        order(self.name(), inputs, &plan, around, limits)
    }

    fn read(&self, ran: &Ran, inputs: &Inputs) -> Result<Value, Failure> {
        let plan: TestPlan = tasks::read(inputs, tasks::TEST_PLAN)?;
        let directories = directories(&plan);
        let lacking = lacking(self.name(), inputs, &plan)?;
        let report = source::read(ran, &texts(&directories), runs(&lacking))?;
        let not_kept: Vec<String> = report.not_kept().collect();
        let python = tasks::python(inputs)?;
        let cut = report.cut.clone();
        // Those of which there is too much to read have run.
        let Came {
            parts,
            results,
            mut problems,
            failure,
            broke_off,
        } = came(ran, &plan, &python, report, &lacking, not_kept.is_empty());
        if results.is_empty()
            && let Some(failure) = failure
        {
            return Err(failure);
        }
        let first = parts.first().cloned();
        let first = first.ok_or_else(|| Failure::inconclusive("its tests did not start"))?;
        problems.extend(not_kept);
        let mut wants: BTreeMap<String, usize> = BTreeMap::new();
        for what in results.iter().filter_map(|result| result.wants.clone()) {
            *wants.entry(what).or_default() += 1;
        }
        let services = wants.iter().filter(|(what, _)| !what.starts_with(PLUGIN));
        let wanted_service = services.map(|(_, count)| count).sum();
        let names: Vec<&str> = match parts.len() {
            1 => vec![],
            _ => parts.iter().map(|part| part.name.as_str()).collect(),
        };
        std::fs::write(ran.directory.join(JUNIT), junit::write(&results, &names))
            .map_err(Failure::infrastructure)?;
        let tests = Tests {
            counts: Counts::of(&results),
            wanted_service,
            wants,
            missing: tasks::missing_tools(inputs, self.name())?,
            command: first.command,
            framework: plan.first.framework,
            reason: plan.reason,
            ended: first.ended,
            parts: if plan.further.is_empty() {
                vec![]
            } else {
                parts
            },
            results,
            problems,
            cut: cut.or(broke_off),
        };
        serde_json::to_value(tests).map_err(Failure::infrastructure)
    }

    fn cut_short(&self, datum: &Value) -> Vec<String> {
        cut_short(datum)
    }

    fn summary(&self, datum: &Value) -> Option<String> {
        let tests: Tests = serde_json::from_value(datum.clone()).ok()?;
        let Counts {
            passed,
            failed,
            errors,
            skipped,
        } = tests.counts;
        let framework = frameworks(&tests);
        let mut text = format!(
            "{framework}: {passed} passed, {failed} failed, {}, {skipped} skipped",
            amount(errors as u64, "error", "errors")
        );
        if tests.results.is_empty() {
            text = format!("{framework}: no results, {}", tests.ended.how());
        } else if passed + failed + skipped == 0 && cut_short(datum).is_empty() {
            // What cannot be imported is an error and no test.
            let first = tests.results.first().and_then(said).unwrap_or_default();
            text = format!(
                "{framework}: no test ran, {}: {}",
                amount(errors as u64, "error", "errors"),
                escape_within(&first, LONGEST)
            );
        }
        if tests.parts.len() > 1 {
            text.push_str(&format!("; {} commands", tests.parts.len()));
        }
        for part in &tests.parts {
            let name = escape_within(&part.name, LONGEST);
            if part.ended.timed_out {
                text.push_str(&format!("; `{name}` was cut short by the time limit"));
            } else if let Some(why) = &part.nothing {
                text.push_str(&format!("; no results of `{name}`: {why}"));
            }
        }
        if let Some(first) = tests.problems.first() {
            let count = tests.problems.len();
            text.push_str(&format!("; reports that cannot be read: {count} ({first})"));
        }
        let wanted = |plugin: bool| {
            let wants = tests.wants.iter();
            let wants = wants.filter(move |(what, _)| what.starts_with(PLUGIN) == plugin);
            let wants = wants
                .take(NAMED)
                .map(|(what, count)| format!("{what} {count}"));
            wants.collect::<Vec<_>>().join(", ")
        };
        if tests.wanted_service > 0 {
            text.push_str(&format!(
                "; {} wanted a network or a service, which there is none of ({})",
                tests.wanted_service,
                wanted(false)
            ));
        }
        let fixtures: usize = tests.wants.values().sum::<usize>() - tests.wanted_service;
        if fixtures > 0 {
            text.push_str(&format!(
                "; {fixtures} wanted a plugin of pytest that is not there ({})",
                wanted(true)
            ));
        }
        if !tests.missing.is_empty() {
            let names: Vec<String> = tests.missing.iter().take(NAMED).cloned().collect();
            text.push_str(&format!(
                "; without {} ({})",
                amount(tests.missing.len() as u64, "requirement", "requirements"),
                names.join(", ")
            ));
        }
        if timed_out(datum) {
            text.push_str("; cut short by its time limit: --wall SECONDS gives it more");
        }
        let further = tests
            .parts
            .iter()
            .filter_map(|part| part.broke_off.as_ref());
        let further = further.filter(|why| tests.cut.as_ref() != Some(*why));
        for why in tests.cut.iter().chain(further) {
            text.push_str(&format!("; not whole: {why}"));
        }
        Some(text)
    }
}

/// The line of what a test said that tells why it did not pass.
fn said(result: &TestResult) -> Option<String> {
    let texts = [&result.traceback, &result.message];
    let mut texts = texts.into_iter().flatten();
    let line = texts.find_map(|text| telling(text))?;
    // pytest puts an E before it.
    Some(line.strip_prefix("E ").unwrap_or(line).trim().to_owned())
}

/// What ran the tests, each once.
fn frameworks(tests: &Tests) -> String {
    let mut names = vec![tests.framework.name()];
    for part in tests.parts.iter().filter(|part| part.ended.error.is_none()) {
        let name = part.framework.name();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}

/// Whether any command of a datum was cut short by its time limit.
fn timed_out(datum: &Value) -> bool {
    let parts = datum["parts"].as_array().into_iter().flatten();
    let mut commands = parts.chain([datum]);
    commands.any(|command| command["ended"]["timed_out"] == true)
}

/// What of the tests of a datum was not watched to its end.
pub(super) fn cut_short(datum: &Value) -> Vec<String> {
    let late = timed_out(datum).then(|| {
        "its tests were cut short by their time limit: --wall SECONDS raises it".to_owned()
    });
    late.into_iter().chain(source::cut_short(datum)).collect()
}

/// The directories of the reports of a plan's commands.
fn directories(plan: &TestPlan) -> Vec<String> {
    (0..plan.runs().count()).map(reports).collect()
}

fn texts(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// What running a package's tests needs.
pub(super) fn needs() -> Vec<Need> {
    [tasks::WHEELHOUSE, tasks::INSTALLED, tasks::TEST_PLAN]
        .map(|kind| Need::All(kind.into()))
        .to_vec()
}

/// What the tests of a plan require, with what else is needed.
pub(super) fn required(plan: TestPlan, besides: &[&str]) -> Required {
    let mut needed = plan.needed;
    needed.extend(besides.iter().map(|&text| text.to_owned()));
    Required {
        needed,
        wanted: plan.wanted,
    }
}

#[cfg(test)]
mod tests {
    use pyti_analyzer::StageStatus;
    use pyti_graph::Datum;
    use pyti_vm::Interpreter;

    use super::super::hostile;
    use super::super::test_plan::Run;
    use super::*;

    pub(super) fn run(framework: Framework) -> Run {
        Run {
            name: framework.name().to_owned(),
            framework,
            interpreter: vec![],
            arguments: vec![],
            environment: BTreeMap::new(),
            requires: vec![],
        }
    }

    pub(super) fn plan(framework: Framework) -> TestPlan {
        TestPlan {
            first: run(framework),
            further: vec![],
            reason: String::new(),
            seen: None,
            directory: String::new(),
            converted: false,
            needed: vec![],
            wanted: vec![],
            wanted_by: vec![],
            notes: vec![],
        }
    }

    pub(super) fn ended(exit: Option<i32>) -> Ended {
        Ended {
            exit,
            signal: exit.is_none().then_some(11),
            timed_out: false,
            error: None,
            seconds: 1.0,
        }
    }

    #[test]
    fn tests_that_say_too_much_have_run() {
        let python = Interpreter::new("/usr/bin/python3", "3.13", "2.41").unwrap();
        let guest = serde_json::json!({"key": "", "python": python});
        let inputs = [
            (tasks::TEST_PLAN, Datum::of(&plan(Framework::Pytest))),
            (tasks::TEMPLATE, Datum::of(&guest)),
            ("tools.test", Datum::of(&tasks::FetchedTools::default())),
        ];
        let inputs = inputs.map(|(kind, datum)| (kind.into(), datum.unwrap()));
        let result = serde_json::json!({"commands": [ended(Some(1))], "results": {},
            "too_long": [["junit/pytest.xml", 12_582_913]]});
        let directory = tempfile::tempdir().unwrap();
        let mut ran = hostile::ran(&result.to_string());
        ran.directory = directory.path().to_owned();
        let datum = Test.read(&ran, &Inputs::from_iter(inputs)).unwrap();
        assert_eq!(Test.cut_short(&datum), Vec::<String>::new());
        assert_eq!(
            Test.summary(&datum).unwrap(),
            "pytest: no results, exit status 1; reports that cannot be read: 1 \
             (junit/pytest.xml is not kept: its 12582913 bytes are more than 12 MiB)"
        );
    }

    #[test]
    fn tests_that_could_not_be_imported_are_told_with_the_first_error() {
        let datum = serde_json::json!({
            "framework": "pytest", "reason": "", "command": [],
            "ended": {"exit": 2, "signal": null, "timed_out": false, "seconds": 1.0},
            "counts": {"passed": 0, "failed": 0, "errors": 1, "skipped": 0},
            "wanted_service": 0, "wants": {}, "missing": ["a"], "problems": [],
            "results": [{"class": "", "name": "tests.test_a", "status": "error", "seconds": 0.0,
                "message": "collection failure",
                "traceback": "test_a.py:1: in <module>\nE   ModuleNotFoundError: No module named 'x'"}],
        });
        assert_eq!(
            Test.summary(&datum).unwrap(),
            "pytest: no test ran, 1 error: ModuleNotFoundError: No module named 'x'; \
             without 1 requirement (a)"
        );
    }

    #[test]
    fn every_command_that_broke_off_is_told() {
        let ended =
            serde_json::json!({"exit": 0, "signal": null, "timed_out": false, "seconds": 1.0});
        let counts = serde_json::json!({"passed": 1, "failed": 0, "errors": 0, "skipped": 0});
        let part = |name: &str, broke_off: Option<&str>| {
            serde_json::json!({"name": name, "framework": "trial", "command": [], "ended": ended,
                "counts": counts, "broke_off": broke_off})
        };
        let result =
            serde_json::json!({"class": "a", "name": "b", "status": "passed", "seconds": 0.0});
        let datum = serde_json::json!({
            "framework": "trial", "reason": "", "command": [], "ended": ended, "counts": counts,
            "wanted_service": 0, "wants": {}, "missing": [], "problems": [], "results": [result],
            "parts": [part("a", None), part("b", Some("b broke off")), part("c", Some("c did"))],
            "cut": "b broke off",
        });
        assert_eq!(
            Test.summary(&datum).unwrap(),
            "trial: 1 passed, 0 failed, 0 errors, 0 skipped; 3 commands; not whole: b broke off; \
             not whole: c did"
        );
    }

    #[test]
    fn a_stage_that_was_ended_is_not_whole() {
        let datum = serde_json::json!({"ended": {"timed_out": true}, "cut": "timed out"});
        assert_eq!(cut_short(&datum).len(), 2);
        assert_eq!(
            cut_short(&serde_json::json!({"ended": {"timed_out": false}})),
            Vec::<String>::new()
        );
        let ran = hostile::ended(StageStatus::TimedOut, "");
        assert!(source::read(&ran, &["junit"], 1).is_err());
        let parts =
            serde_json::json!([{"ended": {"timed_out": false}}, {"ended": {"timed_out": true}}]);
        let datum = serde_json::json!({"ended": {"timed_out": false}, "parts": parts});
        assert_eq!(cut_short(&datum).len(), 1);
    }
}
