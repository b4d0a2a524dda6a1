//! The package's tests under coverage.py.

use std::collections::BTreeMap;

use pyti_graph::{Failure, Inputs, Need};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::source::{self, Command, Ended};
use super::test_plan::{Framework, TestPlan};
use super::{Ran, Stage, Tools, test};
use crate::cli::LimitArgs;
use crate::order::Order;
use crate::tasks;

/// coverage.py's own data file (SQLite), base64 since results are text.
const DATA: &str = "coverage.data.b64";
/// Its reports.
const JSON: &str = "coverage.json";
/// See [`JSON`].
const XML: &str = "coverage.xml";

/// See the module.
pub(super) struct Coverage;

/// The datum `coverage`; the directory of the stage has coverage.py's own files beside it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Covered {
    /// How the tests ended.
    pub ended: Ended,
    /// Per cent of all statements and branches.
    pub percent: f64,
    /// By file: per cent.
    pub files: BTreeMap<String, f64>,
}

/// coverage.py's JSON report
/// (<https://coverage.readthedocs.io/en/latest/commands/cmd_json.html>), what is used of it.
#[derive(Deserialize)]
struct Report {
    totals: Summary,
    files: BTreeMap<String, File>,
}

#[derive(Deserialize)]
struct File {
    summary: Summary,
}

#[derive(Deserialize)]
struct Summary {
    percent_covered: f64,
}

impl Stage for Coverage {
    fn name(&self) -> &'static str {
        "coverage"
    }

    fn provides(&self) -> &'static str {
        "coverage"
    }

    fn needs(&self) -> Vec<Need> {
        test::needs()
    }

    fn tools(&self) -> Option<Tools> {
        Some(Tools {
            needs: vec![Need::All(tasks::TEST_PLAN.into())],
            requirements: |inputs| {
                let plan: TestPlan = tasks::read(inputs, tasks::TEST_PLAN)?;
                Ok(test::required(plan, &["coverage"]))
            },
        })
    }

    fn order(&self, inputs: &Inputs, limits: &LimitArgs) -> Result<Order, Failure> {
        let plan: TestPlan = tasks::read(inputs, tasks::TEST_PLAN)?;
        if plan.framework == Framework::Command {
            let reason = "a command of the user's own is not run by coverage.py";
            return Err(Failure::NotApplicable(reason.into()));
        }
        let python = tasks::python(inputs)?;
        // The last coverage.py for Python 2 has no option for it.
        let old = python.is_python2();
        let data: &[&str] = if old {
            &[]
        } else {
            &["--data-file={work}/coverage.data"]
        };
        let env: BTreeMap<String, String> = old
            .then(|| {
                (
                    "COVERAGE_FILE".to_owned(),
                    "{work}/coverage.data".to_owned(),
                )
            })
            .into_iter()
            .collect();
        let coverage = |words: &[&str]| Command {
            argv: [&[&*python.path, "-m", "coverage"], words, data]
                .concat()
                .into_iter()
                .map(str::to_owned)
                .collect(),
            env: env.clone(),
            seconds: 60,
            ..Command::default()
        };
        let encode =
            "import base64, sys; print(base64.b64encode(open(sys.argv[1], 'rb').read()).decode())";
        let after = vec![
            // Without a template or the like that only looks like Python.
            coverage(&["json", "-i", "-o", "{work}/coverage.json"]),
            coverage(&["xml", "-i", "-o", "{work}/coverage.xml"]),
            Command {
                argv: [&*python.path, "-c", encode, "{work}/coverage.data"]
                    .map(str::to_owned)
                    .to_vec(),
                seconds: 60,
                stdout: Some(DATA.to_owned()),
                ..Command::default()
            },
        ];
        let run = ["-m", "coverage", "run", "--branch", "--source=."];
        let before = [&run, data].concat();
        test::order(
            self.name(),
            inputs,
            &plan,
            &before,
            env,
            after,
            &[JSON, XML, DATA],
            limits,
        )
    }

    fn read(&self, ran: &Ran, _: &Inputs) -> Result<Value, Failure> {
        let report = source::read(ran, &[JSON, XML, DATA])?;
        let ended = report.commands.into_iter().next();
        let ended = ended.ok_or_else(|| Failure::inconclusive("its tests did not start"))?;
        let json = report.results.get(JSON);
        let json = json.ok_or_else(|| Failure::package("coverage.py measured nothing"))?;
        let measured: Report = serde_json::from_str(json).map_err(|error| {
            Failure::package(format!("coverage.py's report cannot be read: {error}"))
        })?;
        for name in [JSON, XML, DATA] {
            if let Some(text) = report.results.get(name) {
                std::fs::write(ran.directory.join(name), text).map_err(Failure::infrastructure)?;
            }
        }
        let covered = Covered {
            ended,
            percent: measured.totals.percent_covered,
            files: measured
                .files
                .into_iter()
                .map(|(file, of)| (file, of.summary.percent_covered))
                .collect(),
        };
        serde_json::to_value(covered).map_err(Failure::infrastructure)
    }

    fn cut_short(&self, datum: &Value) -> Vec<String> {
        test::cut_short(datum)
    }

    fn summary(&self, datum: &Value) -> Option<String> {
        let covered: Covered = serde_json::from_value(datum.clone()).ok()?;
        Some(format!(
            "{:.1} % of {} files",
            covered.percent,
            covered.files.len()
        ))
    }
}
