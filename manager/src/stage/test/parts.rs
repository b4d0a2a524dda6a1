//! What each of the commands of one stage gave.

use std::collections::{BTreeMap, BTreeSet};

use pyti_analyzer::amount;
use pyti_graph::Failure;
use pyti_vm::Interpreter;
use serde::{Deserialize, Serialize};

use super::commands::command;
use super::each_result::{self, Early, RESULTS};
use super::unreported::{Unreported, nothing_reported};
use super::{SUBUNIT, runs};
use crate::stage::junit::{self, Counts, MOST, Said, TestResult};
use crate::stage::source::{Ended, Report};
use crate::stage::test_plan::{Framework, Run, TestPlan, reports};
use crate::stage::{Ran, subunit};

/// One of several commands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Part {
    /// The command as the package has it.
    pub name: String,
    /// What ran its tests.
    pub framework: Framework,
    /// What was executed; empty where it was not run.
    pub command: Vec<String>,
    /// How that ended.
    pub ended: Ended,
    /// How many of its tests passed, failed, could not run, were skipped, as far as they are kept.
    pub counts: Counts,
    /// Why there is no result of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nothing: Option<String>,
    /// That there are only the results until it broke off by itself, and where that was, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broke_off: Option<String>,
}

/// What came of all of them.
#[derive(Debug, Default)]
pub(super) struct Came {
    /// Those that were run, and those whose framework could not be had, in their order.
    pub parts: Vec<Part>,
    /// Their results, in the same order, [`MOST`] in all.
    pub results: Vec<TestResult>,
    /// Reports that could not be read, and results that are not kept.
    pub problems: Vec<String>,
    /// What it means where one of them left no result.
    pub failure: Option<Failure>,
    /// Of the first command that broke off by itself, where that was.
    pub broke_off: Option<String>,
}

/// What came of the commands of a plan, of which some may not have been run, `lacking` what they require.
/// `kept` says that no report of theirs was too long to be kept: else it is not known which of them left
/// none.
pub(super) fn came(
    ran: &Ran,
    plan: &TestPlan,
    python: &Interpreter,
    report: Report,
    lacking: &[Option<String>],
    kept: bool,
) -> Came {
    let too_long: BTreeSet<String> = report.too_long().map(str::to_owned).collect();
    let Report {
        commands,
        results: mut files,
        cut,
        ..
    } = report;
    let mut commands = commands.into_iter();
    let mut came = Came::default();
    let mut failures: Vec<Failure> = vec![];
    let (mut room, mut beyond) = (MOST, 0);
    for (at, (run, lacks)) in plan.runs().zip(lacking).enumerate() {
        if let Some(requirement) = lacks {
            let part = not_run(run, requirement);
            failures.extend(part.nothing.as_ref().map(Failure::inconclusive));
            came.parts.push(part);
            continue;
        }
        let Some(ended) = commands.next() else {
            break;
        };
        let directory = format!("{}/", reports(at));
        let (own, others): (BTreeMap<_, _>, BTreeMap<_, _>) = files
            .into_iter()
            .partition(|(name, _)| name.starts_with(&directory));
        files = others;
        // A runner that comes to its end removes it, whatever else it left, or says so in it.
        let kept_early = format!("{directory}{RESULTS}");
        let is_there = each_result::is_kept(run.framework)
            && (own.contains_key(&kept_early) || too_long.contains(&kept_early));
        let early = own.get(&kept_early).filter(|_| is_there);
        let early = match early {
            Some(text) => each_result::read(text, run, &ended, room),
            None => Err(None),
        };
        // Why it broke off is told even where no test had started.
        let why = early.as_ref().err().cloned().flatten();
        let why = why.as_deref();
        let early = early.unwrap_or_else(|_| Early {
            said: reported(&own, &directory, room),
            broke_off: is_there.then(|| each_result::broke_off(run, &ended, "", why)),
        });
        let Said {
            mut results,
            beyond: more,
            problems,
        } = early.said;
        // Where there is no result at all, that is told.
        let told = !ended.timed_out && (!results.is_empty() || more > 0);
        let broke_off = early.broke_off.filter(|_| told);
        came.broke_off = came.broke_off.or_else(|| broke_off.clone());
        room = room.saturating_sub(results.len());
        beyond += more;
        for result in &mut results {
            result.run = at;
        }
        let same = run.framework == plan.first.framework;
        let unreported = Unreported {
            framework: run.framework,
            seen: plan.seen.as_deref().filter(|_| same),
            ended: &ended,
            why,
            problems: &problems,
            cut: cut.as_deref(),
            alone: runs(lacking) == 1,
        };
        let nothing = kept && results.is_empty() && more == 0;
        let failure = nothing
            .then(|| nothing_reported(ran, &unreported))
            .flatten();
        came.parts.push(Part {
            name: run.name.clone(),
            framework: run.framework,
            command: command(python, run, &[]),
            counts: Counts::of(&results),
            nothing: failure.as_ref().map(ToString::to_string),
            broke_off,
            ended,
        });
        failures.extend(failure);
        came.problems.extend(problems);
        came.results.extend(results);
    }
    if beyond > 0 {
        let more = amount(beyond as u64, "result is", "results are");
        came.problems
            .push(format!("{more} not kept: more than {MOST}"));
    }
    // That there is nothing to run says least.
    failures.sort_by_key(|failure| matches!(failure, Failure::NotApplicable(_)));
    came.failure = failures.into_iter().next();
    came
}

/// What the reports of a runner say that it wrote in this directory, with so many results at most.
fn reported(own: &BTreeMap<String, String>, directory: &str, room: usize) -> Said {
    let mut said = junit::read(own, room);
    if let Some(text) = own.get(&format!("{directory}{SUBUNIT}")) {
        let (others, more) = subunit::read(text, room.saturating_sub(said.results.len()));
        said.results.extend(others);
        said.beyond += more;
    }
    said
}

/// A command whose framework could not be had, for want of this requirement.
fn not_run(run: &Run, requirement: &str) -> Part {
    let error = format!("`{requirement}` could not be had");
    let framework = run.framework.name();
    Part {
        name: run.name.clone(),
        framework: run.framework,
        command: vec![],
        counts: Counts::default(),
        nothing: Some(format!("{framework} was not run, since {error}")),
        broke_off: None,
        ended: Ended {
            exit: None,
            signal: None,
            timed_out: false,
            error: Some(error),
            seconds: 0.0,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ended, plan, run};
    use super::*;
    use crate::stage::{hostile, source};

    /// The report of one test of this name and status, as pytest writes it.
    fn xml(name: &str, inside: &str) -> String {
        format!(
            "<testsuites><testsuite name=\"pytest\"><testcase classname=\"a\" name=\"{name}\" \
            time=\"0\">{inside}</testcase></testsuite></testsuites>"
        )
    }

    /// What comes of two commands, of pytest and of unittest, that ended so and left these files.
    fn of_two(exits: &[Option<i32>], files: &[(&str, String)], kept: bool) -> Came {
        of_both([None, None], exits, files, kept)
    }

    /// The same, where they lack this.
    fn of_both(
        lacking: [Option<&str>; 2],
        exits: &[Option<i32>],
        files: &[(&str, String)],
        kept: bool,
    ) -> Came {
        let commands: Vec<Ended> = exits.iter().map(|exit| ended(*exit)).collect();
        let files: BTreeMap<_, _> = files.iter().cloned().collect();
        let result = serde_json::json!({"commands": commands, "results": files});
        let ran = hostile::ran(&result.to_string());
        let lacking = lacking.map(|lacks| lacks.map(str::to_owned));
        let report = source::read(&ran, &["junit", "junit-2"], runs(&lacking)).unwrap();
        let mut plan = plan(Framework::Pytest);
        plan.further = vec![run(Framework::Unittest)];
        let python = Interpreter::new("/usr/bin/python3", "3.13", "2.41").unwrap();
        came(&ran, &plan, &python, report, &lacking, kept)
    }

    #[test]
    fn results_of_all_commands_are_put_together_and_told_apart() {
        let files = [
            ("junit/pytest.xml", xml("x", "")),
            (
                "junit-2/TEST-a.xml",
                xml("x", "<failure message=\"no\">no</failure>"),
            ),
        ];
        let came = of_two(&[Some(0), Some(1)], &files, true);
        let results: Vec<_> = came
            .results
            .iter()
            .map(|result| (result.name.as_str(), result.run))
            .collect();
        assert_eq!(results, [("x", 0), ("x", 1)]);
        let counts: Vec<_> = came
            .parts
            .iter()
            .map(|part| (part.name.as_str(), part.counts.passed, part.counts.failed))
            .collect();
        assert_eq!(counts, [("pytest", 1, 0), ("unittest", 0, 1)]);
        assert_eq!(came.failure, None);
        assert!(came.parts.iter().all(|part| part.nothing.is_none()));
    }

    #[test]
    fn of_a_command_that_died_the_results_until_then_are_kept() {
        let line = "{\"class\": \"a\", \"name\": \"y\", \"status\": \"passed\"}\n";
        let started = "{\"class\": \"a\", \"name\": \"z\"}\n";
        let files = [
            // What is cut, or does not name the test that was interrupted.
            ("junit/pytest.xml", xml("x", "")),
            ("junit/results.jsonl", [line, started].concat()),
            ("junit-2/TEST-a.xml", xml("x", "")),
        ];
        let came = of_two(&[None, Some(0)], &files, true);
        let results: Vec<_> = came
            .results
            .iter()
            .map(|result| (result.name.as_str(), result.run))
            .collect();
        assert_eq!(results, [("y", 0), ("z", 0), ("x", 1)]);
        assert_eq!((came.parts[0].counts.errors, came.failure), (1, None));
        let at = "`pytest` ended before it reported: ended by signal 11, in `a.z`";
        assert_eq!(came.broke_off.as_deref(), Some(at));
    }

    #[test]
    fn a_command_that_broke_off_is_told_where_its_results_until_then_say_nothing() {
        let report = ("junit/pytest.xml", xml("x", ""));
        let broke_off = |files: &[(&str, String)]| of_two(&[Some(0)], files, true).broke_off;
        assert_eq!(broke_off(std::slice::from_ref(&report)), None);
        for emptied in ["", "\u{0}{"] {
            let emptied = ("junit/results.jsonl", emptied.to_owned());
            let at = "`pytest` ended before it reported: exit status 0";
            assert_eq!(broke_off(&[report.clone(), emptied]).as_deref(), Some(at));
        }
    }

    const LINE: &str = "{\"class\": \"a\", \"name\": \"y\", \"status\": \"passed\"}\n";

    #[test]
    fn what_a_command_left_early_takes_the_place_of_its_reports() {
        let stream = ("junit/trial.subunit", "success: a.x\n".repeat(2));
        let came = |early: &str| {
            let early = ("junit/results.jsonl", early.to_owned());
            let came = of_two(&[Some(0)], &[stream.clone(), early], true);
            let names = came.results.into_iter().map(|result| result.name);
            (names.collect::<Vec<_>>(), came.broke_off.is_some())
        };
        assert_eq!(came(LINE), (vec!["y".to_owned()], true));
        // Where that says nothing, they are what there is.
        assert_eq!(came(""), (vec!["x".to_owned(); 2], true));
    }

    #[test]
    fn of_each_command_it_is_told_whether_it_broke_off() {
        let whole = [LINE, "{\"whole\": true}\n"].concat();
        let came = |second: &str| {
            let files = [
                ("junit/results.jsonl", LINE.to_owned()),
                ("junit-2/results.jsonl", second.to_owned()),
            ];
            of_two(&[Some(3), Some(1)], &files, true)
        };
        let at = |name: &str, exit| {
            let how = format!("ended before it reported: exit status {exit}, after `a.y`");
            Some(format!("`{name}` {how}"))
        };
        let told = |came: &Came| -> Vec<Option<String>> {
            let parts = came.parts.iter();
            parts.map(|part| part.broke_off.clone()).collect()
        };
        let one = came(&whole);
        assert_eq!(told(&one), [at("pytest", 3), None]);
        assert_eq!(one.parts[1].counts.passed, 1);
        let both = came(LINE);
        assert_eq!(told(&both), [at("pytest", 3), at("unittest", 1)]);
        assert_eq!(both.broke_off, at("pytest", 3));
    }

    #[test]
    fn a_command_without_results_is_told_beside_the_others() {
        let files = [("junit/pytest.xml", xml("x", ""))];
        let came = of_two(&[Some(0), Some(1)], &files, true);
        assert_eq!(came.results.len(), 1);
        assert_eq!(came.parts[0].nothing, None);
        let why = "unittest reported no test, exit status 1";
        assert_eq!(came.parts[1].nothing.as_deref(), Some(why));
        // Reports that are too long to be kept may be those of any.
        let came = of_two(&[Some(0), Some(1)], &files, false);
        assert_eq!(came.parts[1].nothing, None);
    }

    #[test]
    fn a_command_whose_framework_could_not_be_had_is_told_and_fails_nothing() {
        let lacking = [None, Some("unittest-xml-reporting")];
        let files = [
            ("junit/pytest.xml", xml("x", "")),
            // Nobody asked it to.
            ("junit-2/TEST-a.xml", xml("y", "")),
        ];
        let came = of_both(lacking, &[Some(0)], &files, true);
        let names: Vec<&str> = came.parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["pytest", "unittest"]);
        assert_eq!((came.results.len(), came.parts[0].counts.passed), (1, 1));
        let part = &came.parts[1];
        let why = "unittest was not run, since `unittest-xml-reporting` could not be had";
        assert_eq!(part.nothing.as_deref(), Some(why));
        assert_eq!((part.command.len(), part.counts), (0, Counts::default()));
        assert_eq!(came.problems, Vec::<String>::new());
        // That the other one found nothing to run does not tell that there is nothing.
        let came = of_both(lacking, &[Some(5)], &[], true);
        assert_eq!(came.failure, Some(Failure::inconclusive(why)));
        let came = of_both(lacking, &[Some(4)], &[], true);
        let why = "pytest reported no test, exit status 4";
        assert_eq!(came.failure, Some(Failure::package(why)));
    }

    #[test]
    fn results_of_all_commands_together_are_bounded() {
        let stream = |count| "success: a.b\n".repeat(count);
        let files = [
            ("junit/pytest.xml", xml("x", "")),
            ("junit/trial.subunit", stream(MOST - 2)),
            ("junit-2/TEST-a.xml", xml("y", "")),
            ("junit-2/trial.subunit", stream(3)),
        ];
        let came = of_two(&[Some(0), Some(0)], &files, true);
        assert_eq!(came.results.len(), MOST);
        let kept = |at: usize| came.parts[at].counts.passed;
        assert_eq!((kept(0), kept(1)), (MOST - 1, 1));
        assert_eq!(came.problems, ["3 results are not kept: more than 100000"]);
        // One of which nothing is kept left results nevertheless.
        let mut files = files;
        files[1].1 = stream(MOST);
        let came = of_two(&[Some(0), Some(0)], &files, true);
        assert_eq!(came.results.len(), MOST);
        assert_eq!(came.parts[1].counts, Counts::default());
        assert_eq!(came.parts[1].nothing, None);
        assert_eq!(came.problems, ["5 results are not kept: more than 100000"]);
        assert_eq!(came.failure, None);
        // That it broke off is told all the same.
        let [report, many, ..] = files;
        let files = [report, many, ("junit-2/results.jsonl", LINE.to_owned())];
        let came = of_two(&[Some(0), Some(1)], &files, true);
        assert_eq!(came.parts[1].counts, Counts::default());
        let at = "`unittest` ended before it reported: exit status 1";
        assert_eq!(came.broke_off.as_deref(), Some(at));
        assert_eq!(came.problems, ["2 results are not kept: more than 100000"]);
    }

    #[test]
    fn why_a_command_broke_off_before_its_first_test_is_told() {
        let line = "{\"broke_off\": \"Exit: needs root\"}\n".to_owned();
        let early = ("junit/results.jsonl", line);
        let came = of_two(&[Some(1), Some(5)], std::slice::from_ref(&early), true);
        let why = "pytest reported no test, exit status 1: Exit: needs root";
        assert_eq!(came.parts[0].nothing.as_deref(), Some(why));
        assert_eq!(came.parts[0].broke_off, None);
        assert_eq!(came.failure, Some(Failure::package(why)));
        // Beside what it reported it is where it broke off.
        let report = ("junit/pytest.xml", xml("x", ""));
        let came = of_two(&[Some(2), Some(5)], &[report, early], true);
        let at = "`pytest` broke off: exit status 2: Exit: needs root";
        assert_eq!(came.broke_off.as_deref(), Some(at));
    }

    #[test]
    fn of_commands_that_all_left_nothing_the_most_telling_is_told() {
        let came = of_two(&[Some(5), Some(1)], &[], true);
        let why = "unittest reported no test, exit status 1";
        assert_eq!(came.failure, Some(Failure::package(why)));
        let came = of_two(&[Some(5), Some(5)], &[], true);
        let none = "pytest found no tests in its source";
        assert_eq!(came.failure, Some(Failure::NotApplicable(none.into())));
    }

    #[test]
    fn forged_results_of_no_command_are_dropped() {
        let files = [
            ("junit/pytest.xml", xml("x", "")),
            ("junit-2/TEST-a.xml", xml("y", "")),
        ];
        // It ended before the second one did.
        let came = of_two(&[Some(0)], &files, true);
        assert_eq!((came.parts.len(), came.results.len()), (1, 1));
        let came = of_two(&[], &files, true);
        assert!(came.parts.is_empty() && came.results.is_empty());
        assert_eq!(came.failure, None);
    }
}
