//! The package's tests under coverage.py, which reads a configuration of ours and none of the
//! package's own: where that wants a plugin that is not there, the run ends before the first test. So
//! what the package leaves out of its figures (`omit`, `include`, `exclude_lines`) counts here, and its
//! `source`, `concurrency`, `patch` and `paths` are not used.

mod figures;
mod settings;

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use pyti_analyzer::{StageStatus, amount, escape_within};
use pyti_graph::{Failure, Inputs, Need};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::source::{self, Command, Ended};
use super::test::Around;
use super::test_plan::{Framework, TestPlan};
use super::{Installed, Ran, Stage, Tools, test};
use crate::cli::LimitArgs;
use crate::order::Order;
use crate::tasks;
use figures::{Copies, Modules, Report, Summary, by_name, copies, package};
use settings::{CONFIGURATION, left_out, settings};

/// coverage.py's own data file (SQLite); `coverage report --data-file=coverage.data` reads it.
const DATA: &str = "coverage.data";
/// How it comes from the guest: base64, since results are text.
const ENCODED: &str = "coverage.data.b64";
/// Its reports.
const JSON: &str = "coverage.json";
/// See [`JSON`].
const XML: &str = "coverage.xml";
/// The numbers of the JSON report without its lists of lines, which may be too long to be kept.
const NUMBERS: &str = "coverage.numbers.json";

/// Wall time of one report, seconds. Most take two or three.
const REPORT: u64 = 120;
/// Kept of the stage's wall time for all of them; they use more where the tests leave it.
const RESERVED: u64 = 60;
/// What becomes of the data of the tests.
const AFTER: usize = 5;
/// Prints [`NUMBERS`].
const PRINT_NUMBERS: &str = "\
import json, sys
files = json.load(open(sys.argv[1]))['files']
print(json.dumps({'files': dict((path, {'summary': files[path]['summary']}) for path in files)}))
";
/// Prints [`ENCODED`].
const ENCODE: &str = "\
import base64, sys
print(base64.b64encode(open(sys.argv[1], 'rb').read()).decode())
";

/// See the module.
pub(super) struct Coverage;

/// The datum `coverage`; the directory of the stage has coverage.py's own files beside it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Covered {
    /// How the tests ended; of several commands the one that says most.
    pub ended: Ended,
    /// Per cent of the statements and branches of all files, a file that is both in the source and
    /// installed counted once, as it was run.
    pub percent: f64,
    /// The same of the package apart from its tests; none where nothing of it was measured.
    #[serde(default)]
    pub package: Option<f64>,
    /// Which copy of the package was run: that in its source, or what is installed. `None` where neither
    /// was, or nothing of it was measured.
    #[serde(default)]
    pub copies: Option<Copies>,
    /// By file, as its package names it: per cent.
    pub files: BTreeMap<String, f64>,
    /// What coverage.py wrote and is too long to be kept, which commands were not run, and how many modules
    /// it was not told of, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Why this may not be whole, where the stage did not come to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
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
        if plan.first.framework == Framework::Command {
            let reason = "a command of the user's own is not run by coverage.py";
            return Err(Failure::NotApplicable(reason.into()));
        }
        let python = tasks::python(inputs)?;
        let configuration = format!("--rcfile={CONFIGURATION}");
        let mut options = vec![configuration.as_str()];
        // The last coverage.py for Python 2 has no option for its data file.
        let old = python.is_python2();
        if !old {
            options.push("--data-file={work}/coverage.data");
        }
        let options = options.as_slice();
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
            argv: [&[&*python.path, "-m", "coverage"], words, options]
                .concat()
                .into_iter()
                .map(str::to_owned)
                .collect(),
            env: env.clone(),
            seconds: REPORT,
            ..Command::default()
        };
        let print = |program: &str, file: &str, into: &str| Command {
            argv: [&*python.path, "-c", program, file]
                .map(str::to_owned)
                .to_vec(),
            seconds: REPORT,
            stdout: Some(into.to_owned()),
            ..Command::default()
        };
        let after = vec![
            // Each process has a file of its own, also one that the tests fork.
            coverage(&["combine"]),
            // Without a template or the like that only looks like Python.
            coverage(&["json", "-i", "-o", "{work}/coverage.json"]),
            print(PRINT_NUMBERS, "{work}/coverage.json", NUMBERS),
            coverage(&["xml", "-i", "-o", "{work}/coverage.xml"]),
            print(ENCODE, "{work}/coverage.data", ENCODED),
        ];
        // The source's own directory, wherever the tests run.
        let source = match plan.cwd() {
            Some(_) => "--source={source}",
            None => "--source=.",
        };
        let run = ["-m", "coverage", "run", source];
        let before = [&run, options].concat();
        let around = Around {
            before: &before,
            env,
            after,
            reserved: RESERVED,
            results: &[NUMBERS, JSON, XML, ENCODED],
        };
        let mut order = test::order(self.name(), inputs, &plan, around, limits)?;
        let installed: Installed = tasks::read(inputs, tasks::INSTALLED)?;
        let content = settings(&installed.target()?.imports);
        order.spec.files.push((CONFIGURATION.to_owned(), content));
        Ok(order)
    }

    fn read(&self, ran: &Ran, inputs: &Inputs) -> Result<Value, Failure> {
        let plan: TestPlan = tasks::read(inputs, tasks::TEST_PLAN)?;
        let lacking = test::lacking(self.name(), inputs, &plan)?;
        let tests = test::runs(&lacking);
        let report = source::read(ran, &[NUMBERS, JSON, XML, ENCODED], tests + AFTER)?;
        let mut notes: Vec<String> = report.not_kept().collect();
        for (run, lacks) in plan.runs().zip(&lacking) {
            let without = lacks.as_ref().map(|text| {
                let name = &run.name;
                format!("`{name}` was not run, since `{text}` could not be had")
            });
            notes.extend(without);
        }
        let ended = most_telling(report.commands.into_iter().take(tests));
        let ended = ended.ok_or_else(|| Failure::inconclusive("its tests did not start"))?;
        let numbers = report.results.get(NUMBERS);
        // Its file is made before it is printed.
        let numbers = numbers.filter(|text| !text.trim().is_empty());
        let numbers = numbers.ok_or_else(|| {
            if ended.timed_out || report.cut.is_some() {
                let reason = "it was cut short before coverage.py reported";
                let late = ended.timed_out || ran.facts.status == StageStatus::TimedOut;
                return Failure::inconclusive(match &report.cut {
                    _ if late => format!("{reason}: --wall SECONDS gives it more time"),
                    Some(why) => format!("there is no report of coverage.py: {why}"),
                    None => reason.to_owned(),
                });
            }
            let said = ran.last_line().map(|line| format!(": {line}"));
            let said = said.unwrap_or_default();
            Failure::package(format!("coverage.py measured nothing{said}"))
        })?;
        let measured: Report = serde_json::from_str(numbers).map_err(|error| {
            // It may quote the report.
            let error = escape_within(&error.to_string(), 200);
            Failure::package(format!("coverage.py's report cannot be read: {error}"))
        })?;
        let keep = |name: &str, content: &[u8]| {
            std::fs::write(ran.directory.join(name), content).map_err(Failure::infrastructure)
        };
        for name in [JSON, XML] {
            if let Some(text) = report.results.get(name) {
                keep(name, text.as_bytes())?;
            }
        }
        // A package that forged it has no data file.
        let data = report.results.get(ENCODED);
        if let Some(data) = data.and_then(|text| BASE64_STANDARD.decode(text.trim()).ok()) {
            keep(DATA, &data)?;
        }
        let installed: Installed = tasks::read(inputs, tasks::INSTALLED)?;
        let imports = installed.target()?.imports;
        notes.extend(left_out(&imports));
        let modules = Modules::of(&imports);
        let files = by_name(measured, &modules);
        let all = files
            .values()
            .map(|measured| measured.summary)
            .fold(Summary::default(), Summary::and);
        let covered = Covered {
            ended,
            percent: all.percent(),
            package: package(&files, &modules).map(Summary::percent),
            copies: copies(&files, &modules),
            files: files
                .into_iter()
                .map(|(file, measured)| (file, measured.summary.percent()))
                .collect(),
            notes,
            cut: report.cut,
        };
        serde_json::to_value(covered).map_err(Failure::infrastructure)
    }

    fn cut_short(&self, datum: &Value) -> Vec<String> {
        test::cut_short(datum)
    }

    fn summary(&self, datum: &Value) -> Option<String> {
        let covered: Covered = serde_json::from_value(datum.clone()).ok()?;
        let copies = covered.copies.map_or("", Copies::words);
        let package = covered
            .package
            .map(|percent| format!("{percent:.1} % of the package{copies}, "));
        let mut text = format!(
            "{}{:.1} % of {} with its tests",
            package.unwrap_or_default(),
            covered.percent,
            amount(covered.files.len() as u64, "file", "files")
        );
        // 1 says that a test failed: those ran.
        if !matches!(covered.ended.exit, Some(0 | 1)) {
            text.push_str(&format!("; its tests: {}", covered.ended.how()));
        }
        for note in &covered.notes {
            text.push_str(&format!("; {note}"));
        }
        if let Some(why) = &covered.cut {
            text.push_str(&format!("; not whole: {why}"));
        }
        Some(text)
    }
}

/// Of how several commands ended: the first that was cut short, or else that did not come to the results
/// of its tests, or else the first.
fn most_telling(commands: impl Iterator<Item = Ended>) -> Option<Ended> {
    // 1 says that a test failed.
    let own = |ended: &Ended| matches!(ended.exit, Some(0 | 1));
    commands.min_by_key(|ended| (!ended.timed_out, own(ended)))
}

#[cfg(test)]
mod tests {
    use pyti_graph::Datum;
    use pyti_vm::Interpreter;
    use serde_json::json;

    use super::super::hostile;
    use super::*;

    /// The datum of an installation of the module and package `a`.
    fn installed() -> Value {
        let target = json!({"name": "a", "version": "1", "files": 1, "top_level": ["a"],
            "imports": ["a"], "extensions": [], "scripts": []});
        json!({"state": {"integrity": "", "bytes": 0}, "name": "a", "distributions": [target],
            "pth": [], "unrecorded": [], "elsewhere": []})
    }

    #[test]
    fn no_configuration_of_the_packages_own_is_read() {
        let limits = LimitArgs {
            wall_seconds: 600,
            memory_mib: 1024,
            pids: 100,
            output_kib: 1024,
            events: 1,
        };
        for (path, version, directory, cwd, source) in [
            ("/usr/bin/python3", "3.13", "", Value::Null, "."),
            (
                "/usr/bin/python2",
                "2.7",
                "t",
                json!("{source}/t"),
                "{source}",
            ),
        ] {
            let python = Interpreter::new(path, version, "2.41").unwrap();
            let target = json!({"filename": "a-1.tar.gz", "path": "/a-1.tar.gz", "sha256": "",
                "bytes": 0, "name": "a", "version": "1", "kind": "sdist-tar-gz", "extras": [],
                "yanked": false});
            let inputs = [
                (
                    tasks::WHEELHOUSE,
                    json!({"target": target, "files": [], "build_requires": [], "requires": [],
                        "closure": [], "notes": []}),
                ),
                (tasks::INSTALLED, installed()),
                (tasks::TEMPLATE, json!({"key": "", "python": python})),
                (
                    tasks::TEST_PLAN,
                    json!({"framework": "pytest", "reason": "", "arguments": ["-m", "pytest"],
                        "interpreter": ["-O"], "directory": directory, "needed": [], "wanted": [],
                        "wanted_by": [], "notes": [],
                        "further": [
                            {"framework": "trial", "arguments": ["-m", "twisted.trial"],
                                "requires": ["twisted"]},
                            {"framework": "nose2", "arguments": ["-m", "nose2"]}]}),
                ),
                // Trial is not run, and the one after it is.
                (
                    "tools.coverage",
                    json!({"files": [], "missing": ["twisted"], "unavailable": null}),
                ),
            ];
            let inputs = inputs.map(|(kind, datum)| (kind.into(), Datum::of(&datum).unwrap()));
            let order = Coverage.order(&Inputs::from_iter(inputs), &limits).unwrap();
            let files: BTreeMap<String, String> = order.spec.files.into_iter().collect();
            assert_eq!(
                files.get(CONFIGURATION).map(String::as_str),
                Some("[run]\nbranch = True\nparallel = True\nsource_pkgs =\n    a\n")
            );
            let input: Value =
                serde_json::from_str(&files["/home/dev/.cache/build/coverage.json"]).unwrap();
            let commands = input["commands"].as_array().unwrap();
            assert_eq!(commands.len(), 2 + AFTER);
            let (tests, after) = commands.split_at(2);
            // The tests run where they are told to, and nothing else does.
            assert!(tests.iter().all(|command| command["cwd"] == cwd));
            assert!(after.iter().all(|command| command["cwd"].is_null()));
            assert!(tests[0]["shares"].is_null() && tests[1]["shares"] == true);
            let words = |command: &Value, count: usize| {
                let words = command["argv"].as_array().unwrap().iter().skip(1);
                let words: Vec<&str> = words.take(count).filter_map(Value::as_str).collect();
                words.join(" ")
            };
            let run = format!("-m coverage run --source={source}");
            assert_eq!(words(&tests[0], 5), format!("-O {run}"));
            assert_eq!(words(&tests[1], 4), run);
            let last = tests[1]["argv"].as_array().and_then(|words| words.last());
            assert_eq!(last, Some(&json!("nose2")));
            let of_coverage = after
                .iter()
                .filter(|command| command["argv"][2] == "coverage");
            let asked: Vec<String> = of_coverage
                .clone()
                .map(|command| words(command, 3))
                .collect();
            let expected = ["combine", "json", "xml"].map(|word| format!("-m coverage {word}"));
            assert_eq!(asked, expected);
            let named = json!(format!("--rcfile={CONFIGURATION}"));
            for command in tests.iter().chain(of_coverage) {
                let words = command["argv"].as_array().unwrap();
                assert!(words.contains(&named), "{command}");
            }
        }
    }

    #[test]
    fn data_that_are_too_long_cut_nothing_short() {
        let numbers = json!({"num_statements": 4, "covered_lines": 1});
        let numbers = json!({"files": {"a.py": {"summary": numbers}}}).to_string();
        let ended = json!({"exit": 0, "signal": null, "timed_out": false, "seconds": 1.0});
        let result = json!({
            "commands": vec![ended; 1 + AFTER],
            "results": {"coverage.numbers.json": numbers},
            "too_long": [["coverage.json", 12_582_914], ["coverage.data.b64", 12_582_913]],
        });
        let directory = tempfile::tempdir().unwrap();
        let mut ran = hostile::ran(&result.to_string());
        ran.directory = directory.path().to_owned();
        let plan = json!({"framework": "pytest", "reason": "", "arguments": [], "needed": [],
            "wanted": [], "wanted_by": [], "notes": []});
        let inputs = [(tasks::INSTALLED, installed()), (tasks::TEST_PLAN, plan)];
        let inputs = inputs.map(|(kind, datum)| (kind.into(), Datum::of(&datum).unwrap()));
        let datum = Coverage.read(&ran, &Inputs::from_iter(inputs)).unwrap();
        assert_eq!(datum["percent"], 25.0);
        assert_eq!(Coverage.cut_short(&datum), Vec::<String>::new());
        let told = [
            "coverage.json is not kept: its 12582914 bytes are more than 12 MiB",
            "coverage.data.b64 is not kept: its 12582913 bytes are more than 12 MiB",
        ];
        assert_eq!(datum["notes"], json!(told));
        let summary = Coverage.summary(&datum).unwrap();
        assert!(summary.ends_with(&told.join("; ")), "{summary}");
    }

    #[test]
    fn of_several_commands_the_one_that_says_most_is_told() {
        let ended = |exit: Option<i32>, timed_out: bool| Ended {
            exit,
            signal: None,
            timed_out,
            error: None,
            seconds: 1.0,
        };
        let (failed, died) = (ended(Some(1), false), ended(Some(4), false));
        let late = ended(Some(2), true);
        for (commands, exit) in [
            (vec![&failed, &died, &late], Some(Some(2))),
            (vec![&failed, &died], Some(Some(4))),
            (vec![&failed], Some(Some(1))),
            (vec![], None),
        ] {
            let told = most_telling(commands.into_iter().cloned());
            assert_eq!(told.map(|ended| ended.exit), exit);
        }
    }

    #[test]
    fn the_copy_that_was_run_is_told() {
        let told = |copies: &str| {
            let covered = json!({
                "ended": {"exit": 0, "signal": null, "timed_out": false, "seconds": 1.0},
                "percent": 50.0, "package": 25.0, "copies": copies, "files": {},
            });
            Coverage.summary(&covered).unwrap()
        };
        let end = ", 50.0 % of 0 files with its tests";
        assert_eq!(
            told("source"),
            format!("25.0 % of the package in its source{end}")
        );
        assert_eq!(
            told("installed"),
            format!("25.0 % of the package as installed{end}")
        );
        let both = "25.0 % of the package, partly in its source and partly as installed";
        assert_eq!(told("both"), format!("{both}{end}"));
    }

    #[test]
    fn tests_that_did_not_run_are_told_with_the_numbers() {
        let told = |exit: Option<i32>, timed_out, cut: Option<&str>| {
            let covered = serde_json::json!({
                "ended": {"exit": exit, "signal": null, "timed_out": timed_out, "seconds": 1.0},
                "percent": 33.333, "package": 12.5, "files": {"a.py": 33.333}, "cut": cut,
            });
            Coverage.summary(&covered).unwrap()
        };
        let numbers = "12.5 % of the package, 33.3 % of 1 file with its tests";
        assert_eq!(told(Some(1), false, None), numbers);
        assert_eq!(
            told(Some(4), false, None),
            format!("{numbers}; its tests: exit status 4")
        );
        assert_eq!(
            told(None, true, Some("timed out")),
            format!(
                "{numbers}; its tests: killed at its time limit (--wall SECONDS raises it); not whole: timed out"
            )
        );
    }
}
