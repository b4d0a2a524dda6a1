//! The package's own tests, by the framework that it uses, in its source, with the package and what
//! its tests require installed.

use std::collections::BTreeMap;

use pyti_graph::{Failure, Inputs, Need};
use pyti_index::Prepared;
use pyti_vm::Interpreter;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::junit::{self, Status, TestResult};
use super::source::{self, Command, Commands, Ended};
use super::test_plan::{Framework, RUN_DJANGO, TestPlan};
use super::wanting::PLUGIN;
use super::{Installed, Ran, Required, Stage, Tools, subunit};
use crate::cli::LimitArgs;
use crate::order::{self, Order};
use crate::tasks;

/// Where frameworks write their reports.
pub(super) const REPORTS: &str = "junit";
/// The report of trial, in [`REPORTS`].
const SUBUNIT: &str = "junit/trial.subunit";
/// The results as JUnit XML, in the stage's directory.
const JUNIT: &str = "junit.xml";

/// Exit status of pytest and of unittest where there were none
/// (<https://docs.pytest.org/en/stable/reference/exit-codes.html>, CPython Lib/unittest/main.py).
const NO_TESTS: i32 = 5;

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
    /// What was executed.
    pub command: Vec<String>,
    /// How that ended.
    pub ended: Ended,
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
}

/// Numbers of tests.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// See [`Status`].
    pub passed: usize,
    /// See [`Status`].
    pub failed: usize,
    /// See [`Status`].
    pub errors: usize,
    /// See [`Status`].
    pub skipped: usize,
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
        let env = BTreeMap::new();
        order(
            self.name(),
            inputs,
            &plan,
            &[],
            env,
            vec![],
            &[REPORTS],
            limits,
        )
    }

    fn read(&self, ran: &Ran, inputs: &Inputs) -> Result<Value, Failure> {
        let plan: TestPlan = tasks::read(inputs, tasks::TEST_PLAN)?;
        let report = source::read(ran, &[REPORTS])?;
        let ended = report.commands.into_iter().next();
        let ended = ended.ok_or_else(|| Failure::inconclusive("its tests did not start"))?;
        let (mut results, problems) = junit::read(&report.results);
        if let Some(text) = report.results.get(SUBUNIT) {
            results.extend(subunit::read(text));
        }
        if results.is_empty() && ended.timed_out {
            return Err(Failure::inconclusive(
                "its tests were cut short before they reported",
            ));
        }
        if results.is_empty() && ended.exit == Some(NO_TESTS) {
            return Err(Failure::NotApplicable(format!(
                "{} found no tests in its source",
                plan.framework.name()
            )));
        }
        let count = |status| {
            results
                .iter()
                .filter(|result| result.status == status)
                .count()
        };
        let mut wants: BTreeMap<String, usize> = BTreeMap::new();
        for what in results.iter().filter_map(|result| result.wants.clone()) {
            *wants.entry(what).or_default() += 1;
        }
        let services = wants.iter().filter(|(what, _)| !what.starts_with(PLUGIN));
        let wanted_service = services.map(|(_, count)| count).sum();
        std::fs::write(ran.directory.join(JUNIT), junit::write(&results))
            .map_err(Failure::infrastructure)?;
        let tests = Tests {
            counts: Counts {
                passed: count(Status::Passed),
                failed: count(Status::Failed),
                errors: count(Status::Error),
                skipped: count(Status::Skipped),
            },
            wanted_service,
            wants,
            missing: tasks::missing_tools(inputs, self.name())?,
            command: command(&tasks::python(inputs)?, &plan, &[]),
            framework: plan.framework,
            reason: plan.reason,
            ended,
            results,
            problems,
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
        let framework = tests.framework.name();
        let mut text = format!(
            "{framework}: {passed} passed, {failed} failed, {errors} errors, {skipped} skipped"
        );
        if tests.results.is_empty() {
            let exit = tests.ended.exit;
            let exit = exit.map_or("none".to_owned(), |exit| exit.to_string());
            text = format!("{framework}: no results, exit status {exit}");
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
                "; without {} requirements ({})",
                tests.missing.len(),
                names.join(", ")
            ));
        }
        if tests.ended.timed_out {
            text.push_str("; cut short by its time limit");
        }
        Some(text)
    }
}

/// Whether the tests of a datum came to their end.
pub(super) fn cut_short(datum: &Value) -> Vec<String> {
    if datum["ended"]["timed_out"] == true {
        vec!["its tests were cut short by their time limit".to_owned()]
    } else {
        vec![]
    }
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

/// The words of the command, `before` between the interpreter and what it runs.
pub(super) fn command(python: &Interpreter, plan: &TestPlan, before: &[&str]) -> Vec<String> {
    let arguments = plan.arguments.iter().cloned();
    if plan.framework == Framework::Command {
        return arguments.collect();
    }
    let before = before.iter().map(|&word| word.to_owned());
    [python.path.clone()]
        .into_iter()
        .chain(before)
        .chain(arguments)
        .collect()
}

/// The order to run the tests with `before` and `env`, then `after`.
#[expect(clippy::too_many_arguments, reason = "coverage's are all of these")]
pub(super) fn order(
    stage: &str,
    inputs: &Inputs,
    plan: &TestPlan,
    before: &[&str],
    env: BTreeMap<String, String>,
    after: Vec<Command>,
    results: &[&str],
    limits: &LimitArgs,
) -> Result<Order, Failure> {
    let prepared: Prepared = tasks::read(inputs, tasks::WHEELHOUSE)?;
    let installed: Installed = tasks::read(inputs, tasks::INSTALLED)?;
    let python = tasks::python(inputs)?;
    let target = &prepared.target;
    let mut commands = vec![Command {
        argv: command(&python, plan, before),
        env,
        seconds: source::seconds(
            limits,
            after.iter().map(|command| command.seconds + 20).sum(),
        ),
        stdout: (plan.framework == Framework::Trial).then(|| SUBUNIT.to_owned()),
    }];
    commands.extend(after);
    let commands = Commands {
        sdist: Some(format!("{}/{}", order::WHEELHOUSE, target.file.filename)),
        wheel: None,
        commands,
        results,
    };
    let mut order = source::order(&python, stage, &commands, &installed, limits)?;
    order.wheelhouse = vec![target.file.clone()];
    if plan.framework == Framework::Django {
        let (path, source) = RUN_DJANGO;
        order.spec.files.push((path.to_owned(), source.to_owned()));
    }
    Ok(order)
}
