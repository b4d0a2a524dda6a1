//! Each importable top-level module and each extension module, alone, in an interpreter of its own.

use pyti_graph::{Failure, Inputs, Need};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::each::{self, Command, Ended};
use super::{Installed, Ran, Stage};
use crate::cli::LimitArgs;
use crate::order::Order;
use crate::tasks;

/// Imports one module and answers with the modules that it pulled in.
const PROGRAM: &str = "\
import sys
before = set(sys.modules)
import importlib
importlib.import_module(sys.argv[1])
pulled = sorted(name for name in set(sys.modules) - before if isinstance(name, str))
import json
with open(sys.argv[2], 'w') as file:
    json.dump(pulled, file)
";
/// What an import ended by that took too long.
const LATE: &str = "timed out";
/// Wall time of one import.
const SECONDS: u64 = 60;

/// See the module.
pub(super) struct Import;

/// How an import went.
#[derive(Debug, Serialize, Deserialize)]
pub struct Imported {
    /// The module.
    pub module: String,
    /// It was imported.
    pub success: bool,
    /// The last line of what Python said, where it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Wall time in seconds, the interpreter's start included.
    pub seconds: f64,
    /// The modules that were pulled in.
    pub pulled_in: Vec<String>,
}

impl Stage for Import {
    fn name(&self) -> &'static str {
        "import"
    }

    fn provides(&self) -> &'static str {
        "imports"
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need::All(tasks::INSTALLED.into())]
    }

    fn order(&self, inputs: &Inputs, limits: &LimitArgs) -> Result<Order, Failure> {
        let installed: Installed = tasks::read(inputs, tasks::INSTALLED)?;
        let target = installed.target()?;
        let modules: Vec<String> = target
            .top_level
            .into_iter()
            .chain(target.extensions)
            .collect();
        if modules.is_empty() {
            return Err(Failure::NotApplicable("it installs no module".into()));
        }
        let python = tasks::python(inputs)?;
        let commands: Vec<Command> = modules
            .into_iter()
            .map(|module| Command {
                argv: [&*python.path, "-c", PROGRAM, &module, "{answer}"]
                    .map(str::to_owned)
                    .to_vec(),
                name: module,
                seconds: SECONDS,
            })
            .collect();
        each::order(&python, self.name(), &commands, installed.state, limits)
    }

    fn read(&self, ran: &Ran, _: &Inputs) -> Result<Value, Failure> {
        let imported: Vec<Imported> = each::read(ran)?.into_iter().map(imported).collect();
        serde_json::to_value(imported).map_err(Failure::infrastructure)
    }

    fn cut_short(&self, datum: &Value) -> Vec<String> {
        let modules = datum.as_array().into_iter().flatten();
        modules
            .filter(|module| module["error"] == LATE)
            .map(|module| {
                format!(
                    "the import of {} was cut short by its time limit",
                    module["module"]
                )
            })
            .collect()
    }

    fn summary(&self, datum: &Value) -> Option<String> {
        let imported: Vec<Imported> = serde_json::from_value(datum.clone()).ok()?;
        let failed: Vec<String> = imported
            .iter()
            .filter(|module| !module.success)
            .map(|module| {
                format!(
                    "{} ({})",
                    module.module,
                    module.error.as_deref().unwrap_or("?")
                )
            })
            .collect();
        let good = imported.len() - failed.len();
        let of = format!("{good} of {} modules", imported.len());
        Some(if failed.is_empty() {
            of
        } else {
            format!("{of}; not {}", failed.join(", "))
        })
    }
}

fn imported(ended: Ended) -> Imported {
    let pulled = ended.answer;
    let success = ended.exit == Some(0) && pulled.is_some();
    let error = if success {
        None
    } else if ended.timed_out {
        Some(LATE.to_owned())
    } else if let Some(signal) = ended.signal {
        Some(format!("ended by signal {signal}"))
    } else {
        let last = ended
            .stderr
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty());
        Some(last.map_or_else(
            || format!("exit status {:?} without a word", ended.exit),
            str::to_owned,
        ))
    };
    Imported {
        module: ended.name,
        success,
        error,
        seconds: ended.seconds,
        pulled_in: pulled.unwrap_or_default(),
    }
}
