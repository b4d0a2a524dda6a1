//! The commands that run a package's tests.

use std::collections::BTreeMap;

use pyti_graph::{Failure, Inputs};
use pyti_index::Prepared;
use pyti_vm::Interpreter;

use super::{SUBUNIT, directories, each_result, lacking, texts};
use crate::cli::LimitArgs;
use crate::order::{Order, WHEELHOUSE};
use crate::stage::Installed;
use crate::stage::source::{self, Command, Commands};
use crate::stage::test_plan::{Framework, RUN_DJANGO, Run, TestPlan};
use crate::tasks;

/// The words of a command, `before` between the interpreter with its options and what it runs.
pub(super) fn command(python: &Interpreter, run: &Run, before: &[&str]) -> Vec<String> {
    let arguments = run.arguments.iter().cloned();
    if run.framework == Framework::Command {
        // What users call it; the image may know it by another name.
        let is_python = |word: &String| ["python", "python3"].contains(&&**word);
        return arguments
            .enumerate()
            .map(|(at, word)| match at == 0 && is_python(&word) {
                true => python.path.clone(),
                false => word,
            })
            .collect();
    }
    let before = before.iter().map(|&word| word.to_owned());
    [python.path.clone()]
        .into_iter()
        .chain(run.interpreter.iter().cloned())
        .chain(before)
        .chain(arguments)
        .collect()
}

/// What stands around the tests in one stage.
#[derive(Default)]
pub(in crate::stage) struct Around<'a> {
    /// Words between the interpreter and what runs the tests, of each command.
    pub before: &'a [&'a str],
    /// Variables of these commands.
    pub env: BTreeMap<String, String>,
    /// Commands that follow, in what is left of the time.
    pub after: Vec<Command>,
    /// Seconds that are kept for all of these.
    pub reserved: u64,
    /// See [`Commands::results`].
    pub results: &'a [&'a str],
}

/// The order to run the tests, and what stands around them.
pub(in crate::stage) fn order(
    stage: &str,
    inputs: &Inputs,
    plan: &TestPlan,
    around: Around<'_>,
    limits: &LimitArgs,
) -> Result<Order, Failure> {
    let prepared: Prepared = tasks::read(inputs, tasks::WHEELHOUSE)?;
    let installed: Installed = tasks::read(inputs, tasks::INSTALLED)?;
    let python = tasks::python(inputs)?;
    let target = &prepared.target;
    let directories = directories(plan);
    let reports = texts(&directories);
    let lacking = lacking(stage, inputs, plan)?;
    let runs = plan.runs().zip(&reports).zip(&lacking).enumerate();
    let mut commands: Vec<Command> = runs
        .filter(|(_, (_, lacks))| lacks.is_none())
        .map(|(at, ((run, directory), _))| {
            let mut env = run.environment.clone();
            // What the stage itself needs wins.
            env.extend(around.env.clone());
            let is_trial = run.framework == Framework::Trial;
            Command {
                argv: command(&python, run, around.before),
                env,
                cwd: plan.cwd(),
                seconds: source::seconds(limits, around.reserved),
                shares: at > 0,
                stdout: is_trial.then(|| format!("{directory}/{SUBUNIT}")),
            }
        })
        .collect();
    commands.extend(around.after);
    let commands = Commands {
        converted: plan.converted,
        sdist: Some(format!("{}/{}", WHEELHOUSE, target.file.filename)),
        wheel: None,
        commands,
        // nose2 does not make it.
        directories: &reports,
        results: around.results,
    };
    let mut order = source::order(&python, stage, &commands, Some(&installed), limits)?;
    order.wheelhouse = vec![target.file.clone()];
    order.spec.files.extend(each_result::files(&python, plan));
    if plan.runs().any(|run| run.framework == Framework::Django) {
        let (path, source) = RUN_DJANGO;
        order.spec.files.push((path.to_owned(), source.to_owned()));
    }
    Ok(order)
}
