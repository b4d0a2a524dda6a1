//! The stages: what runs package code in a VM clone, traced. A new stage is a file here and a line
//! in [`all`].

mod arguments;
mod attached;
mod build;
mod calls;
mod checker_reports;
mod checkers;
mod coverage;
mod diagnostics;
mod distribution;
mod each;
mod failed_parts;
mod few;
mod import;
mod install;
mod installed;
mod junit;
mod quality;
mod raised;
mod record;
mod relative;
mod scripts;
mod source;
mod startup;
mod subunit;
mod test;
mod test_plan;
mod unnamed;
mod wanting;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use pyti_analyzer::{StageFacts, StageStatus};
use pyti_graph::{Failure, Inputs, Need};
use pyti_index::{CoreMetadata, DistFilename, Fetched};
use pyti_vm::Interpreter;
use serde_json::Value;

use crate::cli::LimitArgs;
use crate::data_store::{Blob, DataStore};
use crate::order::{Order, RESULT, guest_program};

pub use distribution::Distribution;
pub use installed::Installed;
use test_plan::Files;
pub(crate) use test_plan::is_file_of;
pub use test_plan::{PythonVersion, TestPlan};

/// Bytes of a result that are read back.
const RESULT_BYTES: u64 = 40 << 20;

/// A stage.
pub trait Stage: Send + Sync {
    /// Its name, also that of its directory in a run.
    fn name(&self) -> &'static str;

    /// Name of its datum.
    fn provides(&self) -> &'static str;

    /// The data that it is made of, besides the machine.
    fn needs(&self) -> Vec<Need>;

    /// The tools that it runs with, if any: distributions from the index that are no part of the
    /// package's own installation.
    fn tools(&self) -> Option<Tools> {
        None
    }

    /// What a clone is to do.
    ///
    /// # Errors
    /// There is nothing for it to do, or its input is not what was expected.
    fn order(&self, inputs: &Inputs, limits: &LimitArgs) -> Result<Order, Failure>;

    /// Its datum, from what the clone left. All of it comes from the VM and is hostile.
    ///
    /// # Errors
    /// There is none: the stage did not come to its end, or what it brought back cannot be read.
    fn read(&self, ran: &Ran, inputs: &Inputs) -> Result<Value, Failure>;

    /// What of its datum was not watched to its end, one sentence each.
    fn cut_short(&self, _datum: &Value) -> Vec<String> {
        vec![]
    }

    /// Its datum in a few words, for the report.
    fn summary(&self, datum: &Value) -> Option<String>;
}

/// Distributions that are resolved and fetched on the host, and that the clone finds installed.
pub struct Tools {
    /// The data that tell what they are.
    pub needs: Vec<Need>,
    /// They themselves, of those data.
    pub requirements: Requirements,
}

/// Tells what tools are made of.
pub type Requirements = fn(&Inputs) -> Result<Required, Failure>;

/// Requirements (PEP 508).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Required {
    /// Those without which the stage cannot run.
    pub needed: Vec<String>,
    /// Those that it runs without where they cannot be had.
    pub wanted: Vec<String>,
}

impl Required {
    /// These and no others.
    fn just(needed: &[&str]) -> Self {
        Self {
            needed: needed.iter().map(|&text| text.to_owned()).collect(),
            wanted: vec![],
        }
    }
}

impl Tools {
    /// Tools that do not depend on the package.
    fn fixed(requirements: Requirements) -> Self {
        Self {
            needs: vec![],
            requirements,
        }
    }
}

/// Every stage.
#[must_use]
pub fn all() -> Vec<Arc<dyn Stage>> {
    let mut stages: Vec<Arc<dyn Stage>> = vec![
        Arc::new(install::Install),
        Arc::new(build::Build),
        Arc::new(startup::Startup),
        Arc::new(import::Import),
        Arc::new(scripts::Scripts),
        Arc::new(test::Test),
        Arc::new(coverage::Coverage),
    ];
    stages.extend(quality::all());
    stages
}

/// How the package is tested by this interpreter, by the files of its source distribution, or by the
/// user's `command`.
///
/// # Errors
/// It has no tests, or its files cannot be read.
pub fn test_plan(
    fetched: &Fetched,
    metadata: &CoreMetadata,
    python: PythonVersion,
    command: Option<&[String]>,
) -> Result<TestPlan, Failure> {
    let filename =
        DistFilename::parse(&fetched.file.filename, None).map_err(Failure::infrastructure)?;
    if !filename.kind().is_sdist() {
        return Err(Failure::NotApplicable(
            "a wheel has no tests beside it".into(),
        ));
    }
    let files = Files::read(&fetched.file.path, filename.kind()).map_err(Failure::package)?;
    match command {
        Some(command) => Ok(test_plan::of_command(command, &files, metadata, python)),
        None => test_plan::plan(&files, metadata, python).map_err(Failure::NotApplicable),
    }
}

/// A stage that ran, however it ended.
#[derive(Debug)]
pub struct Ran {
    /// How it went.
    pub facts: StageFacts,
    /// What it brought back, by path in the guest.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The state of the disk, where it was asked for and came whole.
    pub state: Option<Blob>,
    /// Where that is stored.
    pub store: DataStore,
    /// Its directory in the run: events, outputs.
    pub directory: PathBuf,
}

impl Ran {
    /// Whether its process came to its own end with exit status 0.
    ///
    /// # Errors
    /// It did not.
    pub fn completed(&self) -> Result<(), Failure> {
        match &self.facts.status {
            StageStatus::Completed => Ok(()),
            StageStatus::Failed { exit } => {
                let last = self.last_line().map(|line| format!(": {line}"));
                let last = last.unwrap_or_default();
                let remedy = self.remedy().unwrap_or_default();
                Err(Failure::package(format!(
                    "exit status {exit}{last}{remedy}"
                )))
            }
            StageStatus::Signaled { signal } => {
                Err(Failure::package(format!("ended by signal {signal}")))
            }
            StageStatus::TimedOut => Err(Failure::inconclusive("timed out")),
            StageStatus::Running => Err(Failure::inconclusive("it still runs")),
            StageStatus::Stopped { reason } => Err(Failure::inconclusive(reason)),
            StageStatus::VmDied { reason } => {
                Err(Failure::inconclusive(format!("the VM died: {reason}")))
            }
            StageStatus::NotStarted { reason } => {
                Err(Failure::infrastructure(format!("not started: {reason}")))
            }
        }
    }

    /// What the stage's program wrote to [`RESULT`], as far as it came; with why it may not be whole,
    /// where it did not complete.
    ///
    /// # Errors
    /// It wrote nothing, or what cannot be read.
    pub fn result<T: serde::de::DeserializeOwned>(&self) -> Result<(T, Option<String>), Failure> {
        let completed = self.completed();
        let Some(bytes) = self.files.get(RESULT) else {
            completed?;
            return Err(Failure::inconclusive("it left no result"));
        };
        match (serde_json::from_slice(bytes), completed) {
            (Ok(result), Ok(())) => Ok((result, None)),
            (Ok(result), Err(why)) => Ok((result, Some(why.to_string()))),
            (Err(_), Err(why)) => Err(why),
            (Err(error), Ok(())) => {
                // The message may quote what was read.
                let error = pyti_analyzer::escape_within(&error.to_string(), 200);
                Err(Failure::package(format!(
                    "its result is not what its program writes: {error}"
                )))
            }
        }
    }

    /// What it printed, `stdout` or `stderr`; empty where that was not kept.
    #[must_use]
    pub fn output(&self, name: &str) -> String {
        let bytes = std::fs::read(self.directory.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What to do where a build failed for want of something that it asked for only when it ran. Not where
    /// the metadata of requirements are asked for, which is `metadata-2` and so on: what the user names is
    /// fetched for the target's build.
    fn remedy(&self) -> Option<String> {
        if !matches!(self.facts.name.as_str(), "metadata" | "install" | "build") {
            return None;
        }
        let wanted = ["stderr", "stdout"]
            .into_iter()
            .find_map(|name| not_found(&self.output(name)))?;
        let quoted = shlex::try_quote(&wanted).ok()?;
        Some(format!("; --build-requires {quoted} fetches it beforehand"))
    }

    /// The line of what it printed that says why it failed, for a message.
    fn last_line(&self) -> Option<String> {
        ["stderr", "stdout"].into_iter().find_map(|name| {
            let text = self.output(name);
            let line = telling(&text)?;
            Some(pyti_analyzer::escape_within(line, 200).to_string())
        })
    }
}

/// How lines begin with which pip wraps what a build back end printed, and those in which it only says
/// that there was something.
const WRAPPING: [&str; 10] = [
    "note:",
    "hint:",
    "×",
    "╰",
    "[end of output]",
    "error: subprocess-exited-with-error",
    "error: metadata-generation-failed",
    "error: legacy-install-failure",
    "ERROR: Failed building wheel",
    "ERROR: Failed to build",
];

/// The last line that says that it is an error, or else the last one.
fn telling(text: &str) -> Option<&str> {
    let lines = || {
        let lines = text.lines().rev().map(str::trim);
        lines.filter(|line| !line.is_empty() && !WRAPPING.iter().any(|wrap| line.starts_with(wrap)))
    };
    let is_error = |line: &&str| {
        // pytest puts an E before it.
        let line = line.strip_prefix("E ").map_or(*line, str::trim_start);
        let first = line.split([' ', '(']).next().unwrap_or_default();
        let first = first.trim_end_matches(':');
        let named = first.ends_with("Error") || first.ends_with("Exception");
        named || line.to_ascii_lowercase().starts_with("error:") || line.contains(": error:")
    };
    let whatever = || {
        text.lines()
            .rev()
            .map(str::trim)
            .find(|line| !line.is_empty())
    };
    lines().find(is_error).or(lines().next()).or_else(whatever)
}

/// The requirement that pip says it found nothing for, in its normal form. One with a marker, or a long
/// one, is nothing to advise.
fn not_found(text: &str) -> Option<String> {
    const SAYS: &str = "ERROR: No matching distribution found for ";
    const LONGEST: usize = 100;
    let mut said = text.lines().rev().map(str::trim_start);
    let wanted = said.find_map(|line| line.strip_prefix(SAYS))?;
    // pip may add who wanted it.
    let wanted = wanted.split(" (from ").next()?.trim();
    if wanted.len() > LONGEST || wanted.contains(';') {
        return None;
    }
    pyti_index::check_requirement(wanted).ok()
}

/// An order to run one of our own programs in the guest with its Python, which may be an old one, and
/// `arguments`; it writes its result to [`RESULT`].
fn program(
    python: &Interpreter,
    stage: &str,
    source: &str,
    arguments: &impl serde::Serialize,
    state: Option<Blob>,
    limits: &LimitArgs,
) -> anyhow::Result<Order> {
    let directory = crate::order::WORK;
    let (program, input) = (
        format!("{directory}/{stage}.py"),
        format!("{directory}/{stage}.json"),
    );
    // Python 2 has no -I; these two are what it is made of, save that the program's own directory,
    // which holds nothing to import, is on the path.
    let alone: &[&str] = if python.is_python2() {
        &["-E", "-s"]
    } else {
        &["-I"]
    };
    let argv = [&[python.path.as_str()], alone, &[&program, &input, RESULT]].concat();
    let argv = argv.into_iter().map(str::to_owned).collect();
    let mut order = Order::new(stage, argv, limits)?;
    let arguments = serde_json::to_string(arguments).context("failed to write a stage's input")?;
    order.spec.files.push((program, guest_program(source)));
    order.spec.files.push((input, arguments));
    order.spec.collect.push((RESULT.to_owned(), RESULT_BYTES));
    order.state = state;
    Ok(order)
}

#[cfg(test)]
mod tests {
    #[test]
    fn of_what_a_stage_printed_the_cause_is_told() {
        for (text, line) in [
            (
                "  x\n  Error: pg_config not found.\n  see docs\n  [end of output]\n\n\
                 note: not a problem with pip.\nerror: metadata-generation-failed\n\
                 ╰─> See above for output.\nhint: See above for details.\n",
                "Error: pg_config not found.",
            ),
            (
                "Traceback:\nModuleNotFoundError: No module named 'x'\nERROR: Failed to build x\n",
                "ModuleNotFoundError: No module named 'x'",
            ),
            ("a.c:1:2: error: x\nmore\n", "a.c:1:2: error: x"),
            (
                "E   ModuleNotFoundError: No module named 'x'\nmore\n",
                "E   ModuleNotFoundError: No module named 'x'",
            ),
            ("one\ntwo\n\n", "two"),
            ("hint: nothing else\n", "hint: nothing else"),
        ] {
            assert_eq!(super::telling(text), Some(line));
        }
        assert_eq!(super::telling("\n \n"), None);
    }

    #[test]
    fn what_pip_found_nothing_for_is_told_where_it_is_a_requirement() {
        let error = "ERROR: No matching distribution found for ";
        for (wanted, told) in [
            ("pbr>=2.0", Some("pbr>=2.0")),
            ("six (from x==1)", Some("six")),
            ("six @ https://example.org/six.whl", None),
            ("--index-url http://example.org x", None),
            ("\u{1b}[31m", None),
            ("six; os_name == '\u{1b}[2J'", None),
            (&"x".repeat(101), None),
        ] {
            let text = format!("building\n  {error}{wanted}\nmore\n");
            assert_eq!(super::not_found(&text).as_deref(), told, "{wanted}");
        }
        assert_eq!(super::not_found("building\n"), None);
    }

    #[test]
    fn what_the_user_can_name_is_advised_where_the_target_is_built_and_nowhere_else() {
        let directory = tempfile::tempdir().unwrap();
        let said = "ERROR: No matching distribution found for six>=1.10\n";
        std::fs::write(directory.path().join("stderr"), said).unwrap();
        for (stage, advised) in [
            ("metadata", true),
            ("install", true),
            ("build", true),
            // What it requires is asked.
            ("metadata-2", false),
            ("test", false),
        ] {
            let status = super::StageStatus::Failed { exit: 1 };
            let mut ran = super::hostile::ended(status, "");
            ran.facts.name = stage.to_owned();
            ran.directory = directory.path().to_owned();
            let told = ran.completed().unwrap_err().to_string();
            let advice = "; --build-requires 'six>=1.10' fetches it beforehand";
            assert_eq!(told.ends_with(advice), advised, "{stage}: {told}");
        }
    }
}

#[cfg(test)]
mod hostile {
    //! A clone whose package has forged the result.

    use super::*;

    /// A stage that completed, with this result.
    pub(super) fn ran(result: &str) -> Ran {
        ended(StageStatus::Completed, result)
    }

    /// A stage that ended so, with this result.
    pub(super) fn ended(status: StageStatus, result: &str) -> Ran {
        Ran {
            facts: StageFacts::new("test", status),
            files: BTreeMap::from([(RESULT.to_owned(), result.as_bytes().to_vec())]),
            state: None,
            store: DataStore::at(PathBuf::new()),
            directory: PathBuf::new(),
        }
    }
}
