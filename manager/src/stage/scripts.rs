//! Each console script, with `--help` and without arguments.

use pyti_graph::{Failure, Inputs, Need};
use serde_json::Value;

use super::each::{self, Command, Ended};
use super::{Installed, Ran, Stage};
use crate::cli::LimitArgs;
use crate::order::{HOME, Order};
use crate::tasks;

/// Wall time of one call. A script that waits for input finds none and ends; a server does not.
const SECONDS: u64 = 30;

/// See the module.
pub(super) struct Scripts;

impl Stage for Scripts {
    fn name(&self) -> &'static str {
        "scripts"
    }

    fn provides(&self) -> &'static str {
        "scripts"
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need::All(tasks::INSTALLED.into())]
    }

    fn order(&self, inputs: &Inputs, limits: &LimitArgs) -> Result<Order, Failure> {
        let installed: Installed = tasks::read(inputs, tasks::INSTALLED)?;
        let commands = commands(&installed)?;
        let python = tasks::python(inputs)?;
        each::order(&python, self.name(), &commands, installed.state, limits)
    }

    fn read(&self, ran: &Ran, inputs: &Inputs) -> Result<Value, Failure> {
        let installed: Installed = tasks::read(inputs, tasks::INSTALLED)?;
        let ended = each::read(ran, &commands(&installed)?)?;
        serde_json::to_value(ended).map_err(Failure::infrastructure)
    }

    fn cut_short(&self, datum: &Value) -> Vec<String> {
        let ended: Vec<Ended> = serde_json::from_value(datum.clone()).unwrap_or_default();
        each::cut_short(&ended)
    }

    fn summary(&self, datum: &Value) -> Option<String> {
        let ended: Vec<Ended> = serde_json::from_value(datum.clone()).ok()?;
        let good = ended.iter().filter(|call| call.exit == Some(0)).count();
        Some(format!("{} calls, {good} with exit status 0", ended.len()))
    }
}

/// The calls of each script.
fn commands(installed: &Installed) -> Result<Vec<Command>, Failure> {
    let scripts = installed.target()?.scripts;
    if scripts.is_empty() {
        return Err(Failure::NotApplicable("it installs no script".into()));
    }
    let call = |script: &String, arguments: &[&str]| Command {
        name: [&[script.as_str()], arguments].concat().join(" "),
        argv: [format!("{HOME}/.local/bin/{script}")]
            .into_iter()
            .chain(arguments.iter().map(ToString::to_string))
            .collect(),
        seconds: SECONDS,
    };
    Ok(scripts
        .iter()
        .flat_map(|script| [call(script, &["--help"]), call(script, &[])])
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_keeps_the_stage_from_being_whole() {
        let call = |name: &str, timed_out: bool| {
            serde_json::json!({
                "name": name, "exit": (!timed_out).then_some(0), "signal": null,
                "timed_out": timed_out, "seconds": 1, "stdout": "", "stderr": "", "cut": false,
            })
        };
        let datum = Value::from(vec![call("serve --help", false), call("serve", true)]);
        assert_eq!(
            Scripts.cut_short(&datum),
            ["`serve` was cut short by its time limit"]
        );
        assert_eq!(
            Scripts.summary(&datum).as_deref(),
            Some("2 calls, 1 with exit status 0")
        );
    }
}
