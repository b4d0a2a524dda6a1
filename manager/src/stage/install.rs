//! `pip install` from the wheelhouse and nothing else.

use pyti_analyzer::amount;
use pyti_graph::{Failure, Inputs, Need};
use pyti_index::Prepared;
use serde_json::Value;

use super::{Installed, Ran, Stage};
use crate::cli::LimitArgs;
use crate::order::{self, Order};
use crate::tasks;

/// See the module.
pub(super) struct Install;

impl Stage for Install {
    fn name(&self) -> &'static str {
        order::INSTALL
    }

    fn provides(&self) -> &'static str {
        tasks::INSTALLED
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need::All(tasks::WHEELHOUSE.into())]
    }

    fn order(&self, inputs: &Inputs, limits: &LimitArgs) -> Result<Order, Failure> {
        let prepared: Prepared = tasks::read(inputs, tasks::WHEELHOUSE)?;
        let target = &prepared.target;
        let extras: Vec<String> = target.extras.iter().map(ToString::to_string).collect();
        let mut file = format!("{}/{}", order::WHEELHOUSE, target.file.filename);
        if !extras.is_empty() {
            file.push_str(&format!("[{}]", extras.join(",")));
        }
        let argv = order::pip_install(&tasks::python(inputs)?, &["--ignore-installed"], &file);
        let mut order = Order::new(self.name(), argv, limits).map_err(Failure::infrastructure)?;
        order.keep_to_wheelhouse();
        order.wheelhouse = prepared.files;
        order.keep_state();
        Ok(order)
    }

    fn read(&self, ran: &Ran, inputs: &Inputs) -> Result<Value, Failure> {
        ran.completed()?;
        let prepared: Prepared = tasks::read(inputs, tasks::WHEELHOUSE)?;
        let state = ran.state.clone();
        let state = state.ok_or_else(|| Failure::inconclusive("its files did not come whole"))?;
        let installed = Installed::read(&ran.store, state, &prepared.target.name)?;
        serde_json::to_value(installed).map_err(Failure::infrastructure)
    }

    fn summary(&self, datum: &Value) -> Option<String> {
        let installed: Installed = serde_json::from_value(datum.clone()).ok()?;
        let files: usize = installed
            .distributions
            .iter()
            .map(|found| found.files)
            .sum();
        let count = installed.distributions.len() as u64;
        let mut text = format!(
            "{}, {}",
            amount(count, "distribution", "distributions"),
            amount(files as u64, "file", "files")
        );
        for (count, what) in [
            (installed.pth.len(), ".pth"),
            (installed.unrecorded.len(), "in no RECORD"),
            (installed.removed.len(), "of the image removed"),
        ] {
            if count > 0 {
                text.push_str(&format!(", {count} {what}"));
            }
        }
        let cut: usize = installed.cut.values().sum();
        if cut > 0 {
            text.push_str(&format!("; {cut} paths are not listed"));
        }
        Some(text)
    }
}
