//! The wheel, built from the source distribution, and every compiler call on the way.

use std::collections::BTreeMap;

use pyti_analyzer::{amount, escape_within, store};
use pyti_graph::{Failure, Inputs, Need};
use pyti_index::{DistFilename, Prepared};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::attached::attach;
use super::calls::{self, Call};
use super::diagnostics::{self, Diagnostic};
use super::failed_parts::{FailedPart, failed_parts};
use super::{Ran, Required, Stage, Tools, program, source};
use crate::cli::LimitArgs;
use crate::data_store::Blob;
use crate::order::{self, Order};
use crate::tasks;

/// The program in the guest.
const SOURCE: &str = include_str!("build.py");

/// Where the program in the guest puts the first wheel.
const WHEEL: &str = "/home/dev/.cache/build/built.whl";
/// Largest wheel that is brought back, bytes.
const WHEEL_BYTES: u64 = 48 << 20;

/// What the program in the guest removes before each build, and makes.
const DIRECTORY: &str = "/home/dev/build";
/// The moment that builds are told, seconds: 1980-01-01, the oldest that a wheel can hold. Without it
/// no two wheels are equal: each holds the time of its build.
const SOURCE_DATE_EPOCH: u64 = 315_532_800;
/// Characters of a failed part's name, and of why it failed, in the summary.
const SHORT: usize = 200;
/// The compilation database as tools read it, in the stage's directory.
const COMPILE_COMMANDS: &str = "compile_commands.json";

/// See the module.
pub(super) struct Build;

/// The datum `build`; the directory of the stage has `compile_commands.json` beside it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Built {
    /// The first wheel that was built: its name, and its content where it is not too large.
    pub wheel: Option<(String, Blob)>,
    /// The builds: two where the first succeeded.
    pub builds: Vec<OneBuild>,
    /// Whether both gave the same wheel, byte by byte; `None` where there are no two.
    pub reproducible: Option<bool>,
    /// What `SOURCE_DATE_EPOCH` was in both.
    pub source_date_epoch: u64,
    /// Compilers, linkers, code generators of both builds, in the order of time, with what was said of
    /// their sources. Code generators that run within the build back end (Cython called as a library)
    /// execute nothing and are not among them.
    pub calls: Vec<Call>,
    /// How many others there were: too many to list, or their arguments too long.
    #[serde(default, skip_serializing_if = "super::few::is_none")]
    pub calls_cut: usize,
    /// Those that failed, and why.
    pub failed: Vec<FailedPart>,
    /// What was said in both builds of no source of a call.
    pub diagnostics: Vec<Diagnostic>,
    /// Bytes of the output that were not kept: diagnostics may be missing.
    pub output_dropped: u64,
    /// The compiler calls of the first build as a compilation database
    /// (<https://clang.llvm.org/docs/JSONCompilationDatabase.html>). Where not all arguments are on
    /// record it is marked as truncated; `compile_commands.json` has no such entry.
    pub compilation_database: Vec<Value>,
    /// How many entries are missing there, for the same reason.
    #[serde(default, skip_serializing_if = "super::few::is_none")]
    pub database_cut: usize,
    /// Why this may not be whole, where the stage did not come to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
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
        order.keep_to_wheelhouse();
        let date = (
            "SOURCE_DATE_EPOCH".to_owned(),
            SOURCE_DATE_EPOCH.to_string(),
        );
        order.spec.env.push(date);
        order.spec.collect.push((WHEEL.to_owned(), WHEEL_BYTES));
        order.wheelhouse = prepared.files;
        Ok(order)
    }

    fn read(&self, ran: &Ran, _: &Inputs) -> Result<Value, Failure> {
        let (builds, cut): (Vec<OneBuild>, _) = ran.result()?;
        let first = builds.first();
        let first = first.ok_or_else(|| Failure::inconclusive("it tells of no build"))?;
        // The second follows the first unless that failed.
        let missing = builds.len() < 2 && first.exit == 0;
        let cut =
            cut.or_else(|| missing.then(|| "its program told of one build of two".to_owned()));
        let events = store::read(&ran.directory, store::MAX_EVENTS)
            .map_err(Failure::infrastructure)?
            .events;
        let output = ran.output("stdout");
        let (mut calls, calls_cut) = calls::calls(&events, DIRECTORY);
        drop(events);
        let said = diagnostics::read(&output);
        let failed = failed_parts(&calls, &said, cut.is_some());
        let diagnostics = attach(&mut calls, said);
        let (compilation_database, database_cut) = calls::database(&calls);
        let usable =
            |entry: &&Value| entry["directory"].is_string() && entry["truncated"].is_null();
        let usable: Vec<&Value> = compilation_database.iter().filter(usable).collect();
        let text = serde_json::to_vec_pretty(&usable).map_err(Failure::infrastructure)?;
        std::fs::write(ran.directory.join(COMPILE_COMMANDS), text)
            .map_err(Failure::infrastructure)?;
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
            reproducible: reproducible(&builds),
            source_date_epoch: SOURCE_DATE_EPOCH,
            failed,
            output_dropped: ran.facts.stdout_dropped,
            diagnostics,
            compilation_database,
            database_cut,
            calls,
            calls_cut,
            builds,
            cut,
        };
        serde_json::to_value(built).map_err(Failure::infrastructure)
    }

    fn cut_short(&self, datum: &Value) -> Vec<String> {
        source::cut_short(datum)
    }

    /// Counts what the first build called and said; the second one does it again.
    fn summary(&self, datum: &Value) -> Option<String> {
        let built: Built = serde_json::from_value(datum.clone()).ok()?;
        let first = built.builds.first()?;
        let failed = built.failed_parts();
        let cut = built.cut.as_ref().map(|why| format!("; not whole: {why}"));
        let mut cut = cut.unwrap_or_default();
        let left_out = [
            (built.calls_cut, "calls"),
            (built.database_cut, "entries of the compilation database"),
        ];
        for (count, what) in left_out.into_iter().filter(|(count, _)| *count > 0) {
            cut.push_str(&format!("; {count} {what} were too many to list"));
        }
        let Some(wheel) = first.wheels.first() else {
            let status = first.exit;
            let calls = built.first_calls().count();
            let calls = amount(calls as u64, "call", "calls");
            return Some(format!(
                "exit status {status}, no wheel; {calls} of compilers and the like{failed}{cut}"
            ));
        };
        let again = match built.reproducible {
            Some(true) => ", the same again",
            Some(false) => ", another one the second time",
            None => "",
        };
        let drivers = built
            .first_calls()
            .filter(|call| call.role == calls::Role::Compiler)
            .count();
        let warnings = built.first_warnings();
        Some(format!(
            "{}{again}; {}, {}{failed}{cut}",
            wheel.filename,
            amount(drivers as u64, "compiler call", "compiler calls"),
            amount(warnings as u64, "warning", "warnings")
        ))
    }
}

impl Built {
    /// The calls of the first build, as the kernel's record tells them apart.
    fn first_calls(&self) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(|call| call.build == 1)
    }

    /// How many warnings the first build gave, as far as its output tells them apart.
    fn first_warnings(&self) -> usize {
        let of_calls = self.calls.iter().flat_map(|call| &call.diagnostics);
        let all = of_calls.chain(&self.diagnostics);
        all.filter(|said| said.build == 1 && said.severity == "warning")
            .count()
    }

    /// How many native parts failed for the summary, with the name of one and why it failed.
    fn failed_parts(&self) -> String {
        let mut failed: BTreeMap<&str, &str> = BTreeMap::new();
        for part in self.failed.iter().filter(|part| !part.trial) {
            failed.entry(&part.part).or_insert(&part.reason);
        }
        let Some((first, why)) = failed.first_key_value() else {
            return String::new();
        };
        let (first, why) = (escape_within(first, SHORT), escape_within(why, SHORT));
        let count = failed.len();
        format!("; native parts that failed: {count} ({first}: {why})")
    }
}

/// Whether two builds that succeeded gave the same wheels.
fn reproducible(builds: &[OneBuild]) -> Option<bool> {
    let [first, second] = builds else {
        return None;
    };
    let good = |build: &OneBuild| build.exit == 0 && !build.wheels.is_empty();
    (good(first) && good(second)).then(|| first.wheels == second.wheels)
}

#[cfg(test)]
mod tests {
    use pyti_analyzer::StageStatus;

    use super::super::hostile;
    use super::*;

    fn build(exit: i32, digest: Option<&str>) -> OneBuild {
        let wheel = |sha256: &str| BuiltWheel {
            filename: "a-1-py3-none-any.whl".into(),
            bytes: 1,
            sha256: sha256.to_owned(),
        };
        OneBuild {
            exit,
            seconds: 1.0,
            source: DIRECTORY.to_owned(),
            wheels: digest.map(wheel).into_iter().collect(),
        }
    }

    #[test]
    fn only_two_wheels_can_be_the_same() {
        let one = || build(0, Some("1"));
        assert_eq!(reproducible(&[one(), one()]), Some(true));
        assert_eq!(reproducible(&[one(), build(0, Some("2"))]), Some(false));
        assert_eq!(reproducible(&[one(), build(1, None)]), None);
        assert_eq!(reproducible(&[build(0, None), build(0, None)]), None);
        assert_eq!(reproducible(&[one()]), None);
    }

    /// What is made of builds of a stage that ended so, of which there is no record.
    fn read(status: StageStatus, builds: &[OneBuild]) -> Result<Built, Failure> {
        let directory = tempfile::tempdir().unwrap();
        let mut ran = hostile::ended(status, &serde_json::to_string(builds).unwrap());
        ran.directory = directory.path().to_owned();
        let stored = store::StoreWriter::create(&ran.directory).unwrap().finish();
        assert_eq!(stored.problem, None);
        let datum = Build.read(&ran, &Inputs::default())?;
        assert!(ran.directory.join(COMPILE_COMMANDS).is_file());
        Ok(serde_json::from_value(datum).unwrap())
    }

    #[test]
    fn the_first_build_outlives_the_time_out_of_the_second() {
        let built = read(StageStatus::TimedOut, &[build(0, Some("1"))]).unwrap();
        assert_eq!(built.cut.as_deref(), Some("timed out"));
        assert_eq!(built.reproducible, None);
        let datum = serde_json::to_value(&built).unwrap();
        assert_eq!(Build.cut_short(&datum).len(), 1);
        assert!(
            Build
                .summary(&datum)
                .unwrap()
                .contains("not whole: timed out")
        );
    }

    #[test]
    fn what_was_too_much_to_list_is_told() {
        let mut built = read(StageStatus::Completed, &[build(1, None)]).unwrap();
        built.database_cut = 3;
        let summary = Build
            .summary(&serde_json::to_value(&built).unwrap())
            .unwrap();
        assert!(
            summary.ends_with("; 3 entries of the compilation database were too many to list"),
            "{summary}"
        );
    }

    #[test]
    fn only_the_first_build_is_counted() {
        let warning = |build: u32| -> Diagnostic {
            let said = json!({
                "file": "a.c", "line": 1, "column": null, "severity": "warning",
                "message": "unused", "option": null, "build": build,
            });
            serde_json::from_value(said).unwrap()
        };
        let call = |build: u32| -> Call {
            let call = json!({
                "role": "compiler", "program": "/usr/bin/gcc", "arguments": [], "build": build,
                "directory": null, "sources": ["a.c"], "outputs": [], "seconds": 0.1, "exit": 0,
                "diagnostics": [warning(build)],
            });
            serde_json::from_value(call).unwrap()
        };
        let two = [build(0, Some("1")), build(0, Some("1"))];
        let mut built = read(StageStatus::Completed, &two).unwrap();
        built.calls = vec![call(1), call(2)];
        built.diagnostics = vec![warning(1), warning(2)];
        let summary = Build
            .summary(&serde_json::to_value(&built).unwrap())
            .unwrap();
        let expected = "a-1-py3-none-any.whl, the same again; 1 compiler call, 2 warnings";
        assert_eq!(summary, expected);
        built.builds = vec![build(1, None)];
        let summary = Build
            .summary(&serde_json::to_value(&built).unwrap())
            .unwrap();
        let expected = "exit status 1, no wheel; 1 call of compilers and the like";
        assert_eq!(summary, expected);
    }

    #[test]
    fn a_part_that_failed_is_told_with_the_reason_and_drives_no_terminal() {
        let part = |part: &str, trial: bool, reason: &str| FailedPart {
            part: part.to_owned(),
            call: 0,
            build: 1,
            trial,
            exit: Some(1),
            reason: reason.to_owned(),
            diagnostics: vec![],
        };
        let mut built = read(StageStatus::Completed, &[build(1, None)]).unwrap();
        built.failed = vec![
            part("conftest.c", true, "tried"),
            part("b.c", false, "no such type"),
            part("a.c", false, "no\u{1b}[2J"),
            part("a.c", false, "the same again"),
        ];
        let summary = Build
            .summary(&serde_json::to_value(&built).unwrap())
            .unwrap();
        assert!(
            summary.ends_with("; native parts that failed: 2 (a.c: no\\u{1b}[2J)"),
            "{summary}"
        );
        built.failed[2].reason = "x".repeat(10 * SHORT);
        let summary = Build
            .summary(&serde_json::to_value(&built).unwrap())
            .unwrap();
        assert!(summary.chars().count() < 2 * SHORT, "{summary}");
    }

    #[test]
    fn a_forged_half_of_a_build_is_not_whole() {
        let half = read(StageStatus::Completed, &[build(0, Some("1"))]).unwrap();
        assert!(half.cut.is_some());
        let failed = read(StageStatus::Completed, &[build(1, None)]).unwrap();
        assert_eq!(failed.cut, None);
        assert!(read(StageStatus::Completed, &[]).is_err());
    }
}
