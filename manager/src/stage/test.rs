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
use super::test_plan::{Framework, TestPlan};
use super::{Installed, Ran, Stage, Tools};
use crate::cli::LimitArgs;
use crate::order::{self, Order};
use crate::tasks;

/// Where frameworks write their reports.
pub(super) const REPORTS: &str = "junit";
/// What a test says that wants what the clone cannot give: a network, a server.
const WANTING: [&str; 8] = [
    "Connection refused",
    "Network is unreachable",
    "Name or service not known",
    "Temporary failure in name resolution",
    "getaddrinfo failed",
    "No route to host",
    "nodename nor servname",
    "Max retries exceeded with url",
];

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
                Ok(plan.requirements)
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
        let (results, problems) = junit::read(&report.results);
        if results.is_empty() && ended.timed_out {
            return Err(Failure::inconclusive(
                "its tests were cut short before they reported",
            ));
        }
        let count = |status| {
            results
                .iter()
                .filter(|result| result.status == status)
                .count()
        };
        let wanting = |result: &&TestResult| {
            let message = result.message.as_deref().unwrap_or_default();
            let failed = matches!(result.status, Status::Failed | Status::Error);
            failed && WANTING.iter().any(|word| message.contains(word))
        };
        let tests = Tests {
            counts: Counts {
                passed: count(Status::Passed),
                failed: count(Status::Failed),
                errors: count(Status::Error),
                skipped: count(Status::Skipped),
            },
            wanted_service: results.iter().filter(wanting).count(),
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
        let mut text = format!(
            "{:?}: {passed} passed, {failed} failed, {errors} errors, {skipped} skipped",
            tests.framework
        )
        .to_lowercase();
        if tests.results.is_empty() {
            text = format!(
                "{:?}: no results, exit status {:?}",
                tests.framework, tests.ended.exit
            );
        }
        if tests.wanted_service > 0 {
            text.push_str(&format!(
                "; {} wanted a network or a service, which there is none of",
                tests.wanted_service
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
    mut env: BTreeMap<String, String>,
    after: Vec<Command>,
    results: &[&str],
    limits: &LimitArgs,
) -> Result<Order, Failure> {
    let prepared: Prepared = tasks::read(inputs, tasks::WHEELHOUSE)?;
    let installed: Installed = tasks::read(inputs, tasks::INSTALLED)?;
    let python = tasks::python(inputs)?;
    let target = &prepared.target;
    env.insert("TEST_OUTPUT_DIR".to_owned(), format!("{{work}}/{REPORTS}"));
    let mut commands = vec![Command {
        argv: command(&python, plan, before),
        env,
        seconds: source::seconds(
            limits,
            after.iter().map(|command| command.seconds + 20).sum(),
        ),
        stdout: None,
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
    Ok(order)
}
