//! The wheel, built from the source distribution, and every compiler call on the way.

use pyti_analyzer::store;
use pyti_graph::{Failure, Inputs, Need};
use pyti_index::{DistFilename, Prepared};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::calls::{self, Call};
use super::diagnostics::{self, Diagnostic};
use super::{Ran, Required, Stage, Tools, program};
use crate::cli::LimitArgs;
use crate::data_store::Blob;
use crate::order::{self, Order};
use crate::tasks;

/// The program in the guest.
const SOURCE: &str = include_str!("build.py");

/// Where the program in the guest puts the first wheel.
const WHEEL: &str = "/home/dev/.cache/pyti/built.whl";
/// Largest wheel that is brought back, bytes.
const WHEEL_BYTES: u64 = 48 << 20;

/// Entries of the compilation database.
const MOST: usize = 20_000;

/// See the module.
pub(super) struct Build;

/// The datum `build`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Built {
    /// The first wheel that was built: its name, and its content where it is not too large.
    pub wheel: Option<(String, Blob)>,
    /// The builds: two where the first succeeded.
    pub builds: Vec<OneBuild>,
    /// Whether both gave the same wheel, byte by byte; `None` where there are no two.
    pub reproducible: Option<bool>,
    /// Compilers, linkers, code generators, in the order of time.
    pub calls: Vec<Call>,
    /// What they said.
    pub diagnostics: Vec<Diagnostic>,
    /// The compiler calls as a compilation database
    /// (<https://clang.llvm.org/docs/JSONCompilationDatabase.html>).
    pub compilation_database: Vec<Value>,
}

/// One build.
#[derive(Debug, Serialize, Deserialize)]
pub struct OneBuild {
    /// Exit status of `build`.
    pub exit: i32,
    /// Wall time in seconds.
    pub seconds: f64,
    /// Where the source was.
    pub source: String,
    /// What it made.
    pub wheels: Vec<BuiltWheel>,
}

/// A wheel that was built.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct BuiltWheel {
    /// Its name.
    pub filename: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its digest, hexadecimal.
    pub sha256: String,
}

impl Stage for Build {
    fn name(&self) -> &'static str {
        "build"
    }

    fn provides(&self) -> &'static str {
        "build"
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need::All(tasks::WHEELHOUSE.into())]
    }

    fn tools(&self) -> Option<Tools> {
        // On Python 2 it stands on a virtualenv of its own: pip makes the wheel there.
        Some(Tools::fixed(|_| {
            Ok(Required::just(&["build ; python_version >= '3'"]))
        }))
    }

    fn order(&self, inputs: &Inputs, limits: &LimitArgs) -> Result<Order, Failure> {
        let prepared: Prepared = tasks::read(inputs, tasks::WHEELHOUSE)?;
        let target = &prepared.target;
        if !target.kind.is_sdist() {
            return Err(Failure::NotApplicable("a wheel is built already".into()));
        }
        let sdist = format!("{}/{}", order::WHEELHOUSE, target.file.filename);
        let mut order = program(
            &tasks::python(inputs)?,
            self.name(),
            SOURCE,
            &json!({ "sdist": sdist }),
            None,
            limits,
        )
        .map_err(Failure::infrastructure)?;
        for (name, value) in [
            ("PIP_NO_INDEX", "1"),
            ("PIP_FIND_LINKS", order::WHEELHOUSE),
            // Without it no two wheels are equal: each holds the time of its build.
            ("SOURCE_DATE_EPOCH", "315532800"),
        ] {
            order.spec.env.push((name.to_owned(), value.to_owned()));
        }
        order.spec.collect.push((WHEEL.to_owned(), WHEEL_BYTES));
        order.wheelhouse = prepared.files;
        Ok(order)
    }

    fn read(&self, ran: &Ran, _: &Inputs) -> Result<Value, Failure> {
        ran.completed()?;
        let builds: Vec<OneBuild> = ran.result()?;
        let events = store::read(&ran.directory, store::MAX_EVENTS)
            .map_err(Failure::infrastructure)?
            .events;
        let output = ran.output("stdout");
        let calls = calls::calls(&events);
        let reproducible = match builds.as_slice() {
            [first, second] => Some(first.wheels == second.wheels),
            _ => None,
        };
        let name = builds.first().and_then(|build| build.wheels.first());
        let wheel = match (name, ran.files.get(WHEEL)) {
            (Some(wheel), Some(bytes)) if DistFilename::parse(&wheel.filename, None).is_ok() => {
                let blob = ran.store.put(&bytes[..]).map_err(Failure::infrastructure)?;
                Some((wheel.filename.clone(), blob))
            }
            _ => None,
        };
        let built = Built {
            wheel,
            reproducible,
            diagnostics: diagnostics::read(&output),
            compilation_database: calls.iter().flat_map(Call::database).take(MOST).collect(),
            calls,
            builds,
        };
        serde_json::to_value(built).map_err(Failure::infrastructure)
    }

    fn summary(&self, datum: &Value) -> Option<String> {
        let built: Built = serde_json::from_value(datum.clone()).ok()?;
        let first = built.builds.first()?;
        let Some(wheel) = first.wheels.first() else {
            let failed = built
                .calls
                .iter()
                .filter(|call| call.exit.is_some_and(|exit| exit != 0));
            let (status, calls) = (first.exit, failed.count());
            return Some(format!(
                "exit status {status}, no wheel; {calls} of {} calls failed",
                built.calls.len()
            ));
        };
        let again = match built.reproducible {
            Some(true) => ", the same again",
            Some(false) => ", another one the second time",
            None => "",
        };
        let drivers = built
            .calls
            .iter()
            .filter(|call| call.role == calls::Role::Compiler)
            .count();
        let warnings = built
            .diagnostics
            .iter()
            .filter(|said| said.severity == "warning")
            .count();
        Some(format!(
            "{}{again}; {drivers} compiler calls, {warnings} warnings",
            wheel.filename
        ))
    }
}
