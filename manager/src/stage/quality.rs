//! Quality checkers, one stage each, with findings in one schema.

use std::path::Path;
use std::sync::Arc;

use pyti_analyzer::amount;
use pyti_graph::{Failure, Inputs, Need};
use pyti_index::archive::{self, Limits};
use pyti_index::{DistFilename, DistKind, Fetched, Prepared};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::build::Built;
use super::checkers::{CHECKERS, Checker, PYTHON, Subject};
use super::source::{self, Command, Commands, Ended};
use super::{Installed, Ran, Stage, Tools};
use crate::cli::LimitArgs;
use crate::data_store::Blob;
use crate::order::{self, Order, WORK};
use crate::tasks;

/// The file that takes a checker's output.
const OUTPUT: &str = "output";

/// The stage of one checker.
struct Quality(&'static Checker);

/// The datum of a checker.
#[derive(Debug, Serialize, Deserialize)]
pub struct Checked {
    /// The checker.
    pub tool: String,
    /// How it ended.
    pub ended: Ended,
    /// Its own score, where it has one, in its own words.
    pub score: Option<String>,
    /// What it found.
    pub findings: Vec<CheckFinding>,
    /// How much more it found than is kept.
    #[serde(default, skip_serializing_if = "super::few::is_none")]
    pub more: usize,
    /// Why this may not be whole, where the stage did not come to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
}

/// What a checker found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckFinding {
    /// The checker.
    pub tool: String,
    /// Its name for the rule, where it has one.
    pub rule: String,
    /// The file, where there is one: as seen from the source's directory, or from where modules are
    /// installed, or from the root of the wheel.
    pub file: Option<String>,
    /// The line, where there is one.
    pub line: Option<u32>,
    /// What it says.
    pub message: String,
    /// How bad it says that is, in its own words.
    pub severity: String,
}

/// A stage for each checker.
pub(super) fn all() -> Vec<Arc<dyn Stage>> {
    CHECKERS
        .iter()
        .map(|checker| Arc::new(Quality(checker)) as Arc<dyn Stage>)
        .collect()
}

impl Stage for Quality {
    fn name(&self) -> &'static str {
        self.0.stage
    }

    fn provides(&self) -> &'static str {
        self.0.datum
    }

    fn needs(&self) -> Vec<Need> {
        // What looks only at files is of most use where the installation fails.
        let mut needs = vec![Need::All(tasks::DISTRIBUTION.into())];
        match self.0.subject {
            Subject::Modules => needs.push(Need::All(tasks::INSTALLED.into())),
            Subject::Wheel => needs.push(Need::Optional(tasks::BUILD.into())),
            Subject::Source | Subject::File => {}
        }
        if self.0.builds {
            needs.push(Need::Optional(tasks::WHEELHOUSE.into()));
        }
        needs
    }

    fn tools(&self) -> Option<Tools> {
        Some(Tools {
            needs: vec![],
            requirements: self.0.requirements,
        })
    }

    fn order(&self, inputs: &Inputs, limits: &LimitArgs) -> Result<Order, Failure> {
        let fetched: Fetched = tasks::read(inputs, tasks::DISTRIBUTION)?;
        let file = fetched.file;
        let path = format!("{}/{}", order::WHEELHOUSE, file.filename);
        let filename =
            DistFilename::parse(&file.filename, None).map_err(Failure::infrastructure)?;
        let sdist = filename.kind().is_sdist();
        let (mut built, mut installed, mut modules) = (None, None, vec![]);
        let (source, wheel) = match self.0.subject {
            Subject::Modules => {
                let found: Installed = tasks::read(inputs, tasks::INSTALLED)?;
                // A namespace package itself has nothing to look at.
                modules = found.target()?.imports;
                if modules.is_empty() {
                    return Err(Failure::NotApplicable("it installs no module".into()));
                }
                installed = Some(found);
                (None, None)
            }
            Subject::Source if sdist => (Some(path.clone()), None),
            Subject::Source => {
                return Err(Failure::NotApplicable(
                    "a wheel has no source distribution".into(),
                ));
            }
            Subject::Wheel if sdist => {
                let (name, blob) = wheel_of(inputs)?;
                let place = format!("{WORK}/{name}");
                built = Some((place.clone(), blob));
                (None, Some(place))
            }
            Subject::Wheel => (None, Some(path.clone())),
            Subject::File if fetched.packed && !has_pkg_info(&file.path, filename.kind())? => {
                return Err(Failure::NotApplicable(
                    "a directory without PKG-INFO is no distribution as it is uploaded".into(),
                ));
            }
            Subject::File => (None, None),
        };
        let python = tasks::python(inputs)?;
        let argv = match self.0.python2 {
            Some(argv) if python.is_python2() => argv,
            _ => self.0.argv,
        };
        let mut argv: Vec<String> = argv
            .iter()
            .map(|word| word.replace("{file}", &path).replace(PYTHON, &python.path))
            .collect();
        argv.extend(modules);
        let commands = Commands {
            converted: false,
            sdist: source,
            wheel,
            commands: vec![Command {
                argv,
                seconds: source::seconds(limits, 0),
                stdout: Some(OUTPUT.to_owned()),
                ..Command::default()
            }],
            directories: &[],
            results: &[OUTPUT],
        };
        let installed = installed.as_ref();
        let mut order = source::order(&python, self.name(), &commands, installed, limits)?;
        order.wheelhouse = vec![file];
        if self.0.builds {
            let prepared: Option<Prepared> = inputs
                .find(tasks::WHEELHOUSE)
                .map_err(Failure::infrastructure)?;
            if let Some(prepared) = prepared {
                order.wheelhouse = prepared.files;
            }
        }
        order.keep_to_wheelhouse();
        order.blobs.extend(built);
        let files = self.0.files.iter();
        let files = files.map(|&(path, content)| (path.to_owned(), content.to_owned()));
        order.spec.files.extend(files);
        Ok(order)
    }

    fn read(&self, ran: &Ran, _: &Inputs) -> Result<Value, Failure> {
        let report = source::read(ran, &[OUTPUT], 1)?;
        let not_kept = report.not_kept().next();
        let ended = report.commands.into_iter().next();
        let ended = ended.ok_or_else(|| Failure::inconclusive("it did not start"))?;
        let tool = self.0.tool;
        if ended.timed_out || ended.signal.is_some() || ended.error.is_some() {
            return Err(Failure::inconclusive(format!(
                "{tool} did not come to its end"
            )));
        }
        if let Some(why) = not_kept {
            return Err(Failure::package(format!("the report of {tool}: {why}")));
        }
        let output = report
            .results
            .get(OUTPUT)
            .map(String::as_str)
            .unwrap_or_default();
        let said = ran.output("stderr");
        let parsed = (self.0.read)(output, &said, ended.exit)
            // Silence is no report of one that says by its exit status that something is wrong.
            .filter(|report| ended.exit == Some(0) || !report.findings.is_empty());
        let last = [said.as_str(), output]
            .iter()
            .find_map(|text| text.lines().rev().find(|line| !line.trim().is_empty()))
            .unwrap_or("nothing");
        let parsed = parsed.ok_or_else(|| {
            let last: String = last.chars().take(200).collect();
            Failure::package(format!(
                "{tool} gave no report that can be read; it said: {last}"
            ))
        })?;
        if parsed.looked_at == Some(0) {
            return Err(Failure::package(format!(
                "{tool} found none of its modules to look at"
            )));
        }
        let mut parsed = parsed.seen_from(&report.source);
        for finding in &mut parsed.findings {
            finding.tool = tool.to_owned();
        }
        let checked = Checked {
            tool: tool.to_owned(),
            ended,
            score: parsed.score,
            findings: parsed.findings,
            more: parsed.more,
            cut: report.cut,
        };
        serde_json::to_value(checked).map_err(Failure::infrastructure)
    }

    fn cut_short(&self, datum: &Value) -> Vec<String> {
        source::cut_short(datum)
    }

    fn summary(&self, datum: &Value) -> Option<String> {
        let checked: Checked = serde_json::from_value(datum.clone()).ok()?;
        let score = checked.score.map(|score| format!(", {score}"));
        let all = checked.findings.len() + checked.more;
        Some(format!(
            "{}{}",
            // Findings are what rules say of what it does.
            amount(all as u64, "remark", "remarks"),
            score.unwrap_or_default()
        ))
    }
}

/// Whether a source distribution has the metadata that its build back end writes into it.
fn has_pkg_info(path: &Path, kind: DistKind) -> Result<bool, Failure> {
    let wanted = |member: &str| member.split('/').skip(1).eq(["PKG-INFO"]);
    let archive = archive::read(path, kind, &Limits::default(), wanted);
    let text = archive.map_err(Failure::package)?.text("PKG-INFO");
    Ok(text.is_some_and(|text| text.contains("Metadata-Version")))
}

/// The wheel that was built of the source distribution: its name and content.
fn wheel_of(inputs: &Inputs) -> Result<(String, Blob), Failure> {
    let build: Option<Built> = inputs.find(tasks::BUILD).map_err(Failure::infrastructure)?;
    let none = |why: &str| Failure::NotApplicable(format!("there is no wheel: {why}"));
    let Some(build) = build else {
        return Err(none("its build gave no result"));
    };
    let made = build.builds.iter().any(|build| !build.wheels.is_empty());
    build.wheel.ok_or_else(|| match made {
        true => none("the one that was built is too large, or its name is that of no wheel"),
        false => none("its build made none"),
    })
}

#[cfg(test)]
mod tests {
    use pyti_graph::Datum;
    use pyti_vm::Interpreter;
    use serde_json::json;

    use super::super::build::{BuiltWheel, OneBuild};
    use super::super::hostile;
    use super::*;

    /// What the stage of pyflakes makes of a command that ended so, with this output.
    fn pyflakes(ended: &str, output: &str) -> Result<Value, Failure> {
        let results = format!(r#"{{"output": "{output}"}}"#);
        read_pyflakes(&format!(
            r#"{{"commands": [{ended}], "results": {results}}}"#
        ))
    }

    fn read_pyflakes(result: &str) -> Result<Value, Failure> {
        stage_of("pyflakes").read(&hostile::ran(result), &Inputs::default())
    }

    fn stage_of(tool: &str) -> Quality {
        let mut checkers = CHECKERS.iter();
        Quality(checkers.find(|checker| checker.tool == tool).unwrap())
    }

    #[test]
    fn in_a_namespace_package_pylint_looks_at_what_has_code() {
        let limits = LimitArgs {
            wall_seconds: 600,
            memory_mib: 1024,
            pids: 100,
            output_kib: 1024,
            events: 1,
        };
        let file = json!({"filename": "a_b-1.tar.gz", "path": "/a_b-1.tar.gz", "sha256": "",
            "bytes": 0});
        let target = json!({"name": "a_b", "version": "1", "files": 1, "top_level": ["a"],
            "imports": ["a.b"], "extensions": [], "scripts": []});
        let python = Interpreter::new("/usr/bin/python3", "3.13", "2.41").unwrap();
        let inputs = [
            (
                tasks::DISTRIBUTION,
                json!({"file": file, "extras": [], "yanked": false, "from_index": true,
                    "packed": false}),
            ),
            (
                tasks::INSTALLED,
                json!({"state": {"integrity": "", "bytes": 0}, "name": "a-b",
                    "distributions": [target], "pth": [], "unrecorded": [], "elsewhere": []}),
            ),
            (tasks::TEMPLATE, json!({"key": "", "python": python})),
        ];
        let inputs = inputs.map(|(kind, datum)| (kind.into(), Datum::of(&datum).unwrap()));
        let order = stage_of("pylint").order(&Inputs::from_iter(inputs), &limits);
        let files = order.unwrap().spec.files;
        let input = "/home/dev/.cache/build/quality-pylint.json";
        let input = files.iter().find(|(path, _)| path == input).unwrap();
        let input: Value = serde_json::from_str(&input.1).unwrap();
        let words = input["commands"][0]["argv"].as_array().unwrap();
        assert_eq!(words.last(), Some(&json!("a.b")), "{words:?}");
        assert!(!words.contains(&json!("a")), "{words:?}");
    }

    #[test]
    fn what_looked_at_nothing_has_no_score() {
        let read = |modules: u64| {
            let statistics = json!({"modulesLinted": modules, "score": 10.0});
            let output = json!({"messages": [], "statistics": statistics}).to_string();
            let ended = json!({"exit": 0, "signal": null, "timed_out": false, "seconds": 1});
            let result = json!({"commands": [ended], "results": {"output": output}}).to_string();
            stage_of("pylint").read(&hostile::ran(&result), &Inputs::default())
        };
        assert_eq!(read(1).unwrap()["score"], "score 10.00 of 10");
        let why = read(0).unwrap_err().to_string();
        assert_eq!(why, "pylint found none of its modules to look at");
    }

    #[test]
    fn silence_is_clean_only_after_a_good_end() {
        let ended = |exit: &str, signal: &str, late: bool| {
            format!(r#"{{"exit": {exit}, "signal": {signal}, "timed_out": {late}, "seconds": 1}}"#)
        };
        assert!(pyflakes(&ended("0", "null", false), "").is_ok());
        for bad in [
            ended("1", "null", false),
            ended("null", "9", false),
            ended("null", "null", true),
        ] {
            assert!(pyflakes(&bad, "").is_err(), "{bad}");
        }
        let (ended_well, long) = (ended("0", "null", false), r#"[["output", 12582913]]"#);
        let result =
            format!(r#"{{"commands": [{ended_well}], "results": {{}}, "too_long": {long}}}"#);
        let why = read_pyflakes(&result).unwrap_err().to_string();
        assert!(why.ends_with("more than 12 MiB"), "{why}");
        let found = "/home/dev/source/a.py:1:1: 'os' imported but unused";
        assert!(pyflakes(&ended("1", "null", false), found).is_ok());
    }

    #[test]
    fn files_are_seen_from_the_sources_directory() {
        let found = "/home/dev/source/a-1/b/c.py:1:1: 'os' imported but unused";
        let ended = r#"{"exit": 1, "signal": null, "timed_out": false, "seconds": 1}"#;
        let result = format!(
            r#"{{"source": "/home/dev/source/a-1", "commands": [{ended}], "results": {{"output": "{found}"}}}}"#
        );
        let checked = read_pyflakes(&result).unwrap();
        assert_eq!(checked["findings"][0]["file"], "b/c.py", "{checked:#}");
    }

    #[test]
    fn what_looks_at_files_needs_no_installation() {
        for checker in &CHECKERS {
            let needs = Quality(checker).needs();
            let installed = needs.contains(&Need::All(tasks::INSTALLED.into()));
            assert_eq!(installed, checker.subject == Subject::Modules, "{needs:?}");
        }
    }

    #[test]
    fn why_there_is_no_wheel_is_told_apart() {
        let why = |built: Option<Built>| {
            let datum = built.map(|built| (tasks::BUILD.into(), Datum::of(&built).unwrap()));
            wheel_of(&Inputs::from_iter(datum)).unwrap_err().to_string()
        };
        let built = |wheels: Vec<BuiltWheel>| Built {
            builds: vec![OneBuild {
                exit: 0,
                seconds: 1.0,
                source: String::new(),
                wheels,
            }],
            ..Built::default()
        };
        let wheel = BuiltWheel {
            filename: "a-1-py3-none-any.whl".into(),
            bytes: u64::MAX,
            sha256: String::new(),
        };
        assert!(why(None).contains("its build gave no result"));
        assert!(why(Some(built(vec![]))).contains("its build made none"));
        assert!(why(Some(built(vec![wheel]))).contains("too large"));
    }
}
