//! Each importable top-level module, the first ones below a namespace package (PEP 420), and each
//! extension module, alone, in an interpreter of its own.

use std::collections::BTreeSet;

use pyti_graph::{Failure, Inputs, Need};
use pyti_vm::Interpreter;
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
/// What is said of an import that the stage did not live to watch.
const UNWATCHED: &str = "not watched to its end";
/// Modules that are imported; a package of more has them within others.
const MOST: usize = 200;
/// What is said of a module that is one too many.
const UNTRIED: &str = "not tried: there are too many";
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
    /// How many others were, too many to keep.
    #[serde(default, skip_serializing_if = "super::few::is_none")]
    pub pulled_in_more: usize,
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
        let python = tasks::python(inputs)?;
        let (commands, _) = commands(&installed, &python)?;
        each::order(&python, self.name(), &commands, installed.state, limits)
    }

    fn read(&self, ran: &Ran, inputs: &Inputs) -> Result<Value, Failure> {
        let installed: Installed = tasks::read(inputs, tasks::INSTALLED)?;
        let (commands, untried) = commands(&installed, &tasks::python(inputs)?)?;
        let ended = each::read(ran, &commands)?;
        let untried = untried.into_iter().map(|module| Imported {
            module,
            success: false,
            error: Some(UNTRIED.to_owned()),
            seconds: 0.0,
            pulled_in: vec![],
            pulled_in_more: 0,
        });
        let imported: Vec<Imported> = ended.into_iter().map(imported).chain(untried).collect();
        serde_json::to_value(imported).map_err(Failure::infrastructure)
    }

    fn cut_short(&self, datum: &Value) -> Vec<String> {
        let modules = datum.as_array().into_iter().flatten();
        let late = modules
            .clone()
            .filter(|module| module["error"] == LATE)
            .map(|module| {
                format!(
                    "the import of {} was cut short by its time limit",
                    module["module"]
                )
            });
        let error = |module: &Value| module["error"].as_str().map(str::to_owned);
        let count = |said: &dyn Fn(&str) -> bool| {
            let errors = modules.clone().filter_map(error);
            Some(errors.filter(|error| said(error)).count()).filter(|count| *count > 0)
        };
        let unwatched = count(&|error| error.starts_with(UNWATCHED))
            .map(|count| format!("{count} of its imports were not watched to their end"));
        let untried = count(&|error| error == UNTRIED)
            .map(|count| format!("{count} of its modules were not imported, as it has so many"));
        late.chain(unwatched).chain(untried).collect()
    }

    fn summary(&self, datum: &Value) -> Option<String> {
        let imported: Vec<Imported> = serde_json::from_value(datum.clone()).ok()?;
        let untried = |module: &&Imported| module.error.as_deref() == Some(UNTRIED);
        let untried = imported.iter().filter(untried).count();
        let failed: Vec<String> = imported
            .iter()
            .filter(|module| !module.success && module.error.as_deref() != Some(UNTRIED))
            .map(|module| {
                format!(
                    "{} ({})",
                    module.module,
                    module.error.as_deref().unwrap_or("?")
                )
            })
            .collect();
        let good = imported.len() - failed.len() - untried;
        let mut of = format!("{good} of {} modules", imported.len());
        if untried > 0 {
            of.push_str(&format!(", {untried} not tried"));
        }
        Some(if failed.is_empty() {
            of
        } else {
            format!("{of}; not {}", failed.join(", "))
        })
    }
}

/// The import of each module, and the modules that are too many.
fn commands(
    installed: &Installed,
    python: &Interpreter,
) -> Result<(Vec<Command>, Vec<String>), Failure> {
    let target = installed.target()?;
    let modules: BTreeSet<String> = target.imports.into_iter().collect();
    let extensions = target.extensions.into_iter();
    let extensions = extensions.filter(|module| !modules.contains(module));
    let mut modules: Vec<String> = modules.iter().cloned().chain(extensions).collect();
    let untried = modules.split_off(modules.len().min(MOST));
    if modules.is_empty() {
        return Err(Failure::NotApplicable("it installs no module".into()));
    }
    let command = |module: String| Command {
        argv: [&*python.path, "-c", PROGRAM, &module, "{answer}"]
            .map(str::to_owned)
            .to_vec(),
        name: module,
        seconds: SECONDS,
    };
    Ok((modules.into_iter().map(command).collect(), untried))
}

fn imported(ended: Ended) -> Imported {
    let success = ended.exit == Some(0) && ended.answer.is_some();
    let pulled = ended.answer.unwrap_or_default();
    let error = if success {
        None
    } else if ended.timed_out {
        Some(LATE.to_owned())
    } else if ended.unwatched {
        let why = ended.error.as_deref().unwrap_or_default();
        Some(format!("{UNWATCHED}: {why}"))
    } else if let Some(error) = ended.error {
        Some(error)
    } else if let Some(signal) = ended.signal {
        Some(format!("ended by signal {signal}"))
    } else {
        let last = ended
            .stderr
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty());
        let silent = || match ended.exit {
            Some(status) => format!("exit status {status} without a word"),
            None => "it ended without a word".to_owned(),
        };
        Some(last.map_or_else(silent, str::to_owned))
    };
    Imported {
        module: ended.name,
        success,
        error,
        seconds: ended.seconds,
        pulled_in: pulled.first,
        pulled_in_more: pulled.more,
    }
}

#[cfg(test)]
mod tests {
    use super::super::few::Few;
    use super::*;

    /// An import that ended with this exit status and said this.
    fn ended(exit: Option<i32>, stderr: &str) -> Ended {
        Ended {
            name: "a".into(),
            exit,
            signal: None,
            timed_out: false,
            unwatched: false,
            error: None,
            seconds: 0.5,
            stdout: String::new(),
            stderr: stderr.to_owned(),
            cut: false,
            answer: None,
        }
    }

    #[test]
    fn an_import_that_answers_has_the_modules_that_it_pulled_in() {
        let answer = Few {
            first: vec!["a".to_owned(), "b".to_owned()],
            more: 3,
        };
        let good = imported(Ended {
            answer: Some(answer),
            ..ended(Some(0), "a warning\n")
        });
        assert!(good.success);
        assert_eq!((&*good.module, good.seconds), ("a", 0.5));
        assert_eq!(good.error, None);
        assert_eq!(good.pulled_in, ["a", "b"]);
        assert_eq!(good.pulled_in_more, 3);
    }

    #[test]
    fn an_import_that_fails_says_why_in_one_line() {
        let traceback = "Traceback (most recent call last):\n  x\nImportError: no b\n \n\n";
        let killed = Ended {
            signal: Some(9),
            ..ended(None, "on the way\n")
        };
        for (ended, error) in [
            (ended(Some(1), traceback), "ImportError: no b"),
            (ended(Some(3), "\n"), "exit status 3 without a word"),
            // It ended the interpreter before there was an answer.
            (ended(Some(0), ""), "exit status 0 without a word"),
            (ended(None, ""), "it ended without a word"),
            (killed.clone(), "ended by signal 9"),
            (
                Ended {
                    timed_out: true,
                    ..killed
                },
                LATE,
            ),
            (
                Ended {
                    error: Some("Permission denied".into()),
                    ..ended(None, "")
                },
                "Permission denied",
            ),
            (
                Ended {
                    unwatched: true,
                    error: Some("the VM died".into()),
                    ..ended(None, "")
                },
                "not watched to its end: the VM died",
            ),
        ] {
            let bad = imported(ended);
            assert!(!bad.success, "{error}");
            assert_eq!(bad.error.as_deref(), Some(error));
            assert!(bad.pulled_in.is_empty(), "{error}");
        }
    }

    #[test]
    fn modules_that_were_not_tried_are_not_watched() {
        let module = |error: Option<&str>| Imported {
            module: "a".into(),
            success: error.is_none(),
            error: error.map(str::to_owned),
            seconds: 0.0,
            pulled_in: vec![],
            pulled_in_more: 0,
        };
        let cut = |modules: &[Imported]| Import.cut_short(&serde_json::to_value(modules).unwrap());
        assert!(cut(&[module(None), module(Some("ImportError: no"))]).is_empty());
        assert_eq!(
            cut(&[module(None), module(Some(UNTRIED)), module(Some(UNTRIED))]),
            ["2 of its modules were not imported, as it has so many"]
        );
    }
}
