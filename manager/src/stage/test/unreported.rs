//! What it means that tests left no result.

use pyti_analyzer::{StageStatus, escape_within};
use pyti_graph::Failure;

use super::LONGEST;
use crate::stage::source::Ended;
use crate::stage::test_plan::Framework;
use crate::stage::{Ran, wanting};

/// Exit status of pytest and of unittest where there were none
/// (<https://docs.pytest.org/en/stable/reference/exit-codes.html>, CPython Lib/unittest/main.py).
const NO_TESTS: i32 = 5;

/// Runners that end with status 0 where there were none, and say so: those that are unittest's, which had
/// no status for it before Python 3.12 (nose2 and Django have none to this day).
const SAY_NONE: [Framework; 3] = [Framework::Unittest, Framework::Nose2, Framework::Django];

/// How a line says that something was not imported, whatever was printed before it.
const NOT_IMPORTED: [&str; 3] = ["ModuleNotFoundError:", "ImportError:", "SyntaxError:"];

/// A command that left no result of a test.
#[derive(Debug)]
pub(super) struct Unreported<'a> {
    /// What it ran.
    pub framework: Framework,
    /// A file that seems to have tests for that.
    pub seen: Option<&'a str>,
    /// How it ended.
    pub ended: &'a Ended,
    /// Why it broke off, as its runner says.
    pub why: Option<&'a str>,
    /// Reports of it that could not be read.
    pub problems: &'a [String],
    /// Why what the stage gave may not be whole.
    pub cut: Option<&'a str>,
    /// It was the only one, so that the stage's output is its own.
    pub alone: bool,
}

/// What it means that a command left no result: `None` where nothing more was to be had of it than how
/// it ended.
pub(super) fn nothing_reported(ran: &Ran, unreported: &Unreported<'_>) -> Option<Failure> {
    let Unreported {
        framework: runs,
        seen,
        ended,
        why,
        problems,
        cut,
        alone,
    } = *unreported;
    let framework = runs.name();
    if ended.timed_out || cut.is_some() {
        let reason = "its tests were cut short before they reported";
        let remedy = ": --wall SECONDS gives them more time";
        let late = ended.timed_out || ran.facts.status == StageStatus::TimedOut;
        return Some(Failure::inconclusive(match late {
            true => format!("{reason}{remedy}"),
            false => reason.to_owned(),
        }));
    }
    if let Some(error) = &ended.error {
        let error = escape_within(error, LONGEST);
        return Some(Failure::package(format!(
            "{framework} could not be started: {error}"
        )));
    }
    if runs == Framework::Command {
        return None;
    }
    let none = ended.exit == Some(NO_TESTS)
        // Of several it is not known whose words they are.
        || alone
            && ended.exit == Some(0)
            && SAY_NONE.contains(&runs)
            && ran.output("stderr").contains("Ran 0 tests");
    // What broke off did not look for all.
    let none = none && why.is_none();
    let mut reason = format!("{framework} reported no test, {}", ended.how());
    if none {
        let doctest = runs == Framework::Doctest;
        let Some(seen) = seen else {
            let what = if doctest { "examples" } else { "tests" };
            let reason = format!("{framework} found no {what} in its source");
            return Some(Failure::NotApplicable(reason));
        };
        // Any code of the package's can end the process so.
        reason.push_str(&match doctest {
            true => format!(", though its source has lines after >>> in `{seen}`"),
            false => format!(", though its source has `{seen}`"),
        });
    }
    let printed = || alone.then(|| ran.last_line()).flatten();
    let said = why.or(problems.first().map(String::as_str));
    if let Some(said) = said.map(str::to_owned).or_else(printed) {
        reason.push_str(&format!(": {}", escape_within(&said, LONGEST)));
    }
    // A report that cannot be read, or a crash, is not for want of a service.
    let by_itself = alone && problems.is_empty() && ended.exit.is_some();
    Some(match by_itself.then(|| wanted(ran)).flatten() {
        Some(service) => Failure::inconclusive(format!(
            "{reason}; it wants {service}, which there is none of"
        )),
        // They may be for other systems, or all left out.
        None if none => Failure::inconclusive(reason),
        None => Failure::package(reason),
    })
}

/// The service or network for want of which tests ended before the first of them, as a `conftest.py`
/// that connects when it is imported: by what they printed, which the package's own words are part of.
/// It changes whose fault it is, and never that there is no result.
fn wanted(ran: &Ran) -> Option<&'static str> {
    let last = ran.last_line()?;
    if NOT_IMPORTED.iter().any(|error| last.contains(error)) {
        return None;
    }
    ["stderr", "stdout"]
        .into_iter()
        .find_map(|name| wanting::service(&ran.output(name)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::ended;
    use super::*;
    use crate::stage::hostile;

    /// A command that ended so and left nothing.
    fn left_nothing(framework: Framework, ended: &Ended) -> Unreported<'_> {
        Unreported {
            framework,
            seen: None,
            ended,
            why: None,
            problems: &[],
            cut: None,
            alone: true,
        }
    }

    #[test]
    fn tests_that_never_ran_are_not_done() {
        let ran = hostile::ran("");
        let failure = |framework, ended: &Ended, problems: &[String], cut: Option<&str>| {
            let unreported = Unreported {
                problems,
                cut,
                ..left_nothing(framework, ended)
            };
            nothing_reported(&ran, &unreported)
        };
        let pytest = |ended: &Ended| failure(Framework::Pytest, ended, &[], None);
        assert_eq!(
            pytest(&ended(Some(4))),
            Some(Failure::package("pytest reported no test, exit status 4"))
        );
        assert_eq!(
            pytest(&ended(None)),
            Some(Failure::package(
                "pytest reported no test, ended by signal 11"
            ))
        );
        assert_eq!(
            pytest(&ended(Some(NO_TESTS))),
            Some(Failure::NotApplicable(
                "pytest found no tests in its source".into()
            ))
        );
        let unread = ["a.xml is no JUnit report".to_owned()];
        assert_eq!(
            failure(Framework::Nose2, &ended(Some(0)), &unread, None),
            Some(Failure::package(
                "nose2 reported no test, exit status 0: a.xml is no JUnit report"
            ))
        );
        let cut = failure(Framework::Nose2, &ended(Some(0)), &[], Some("timed out"));
        let inconclusive = "its tests were cut short before they reported";
        assert_eq!(cut, Some(Failure::inconclusive(inconclusive)));
        let (ended_so, why) = (ended(Some(NO_TESTS)), Some("Exit: needs root"));
        let unreported = Unreported {
            why,
            ..left_nothing(Framework::Pytest, &ended_so)
        };
        assert_eq!(
            nothing_reported(&ran, &unreported),
            Some(Failure::package(
                "pytest reported no test, exit status 5: Exit: needs root"
            ))
        );
        let command = |ended: &Ended| failure(Framework::Command, ended, &[], None);
        assert_eq!(command(&ended(Some(NO_TESTS))), None);
        let unknown = Ended {
            error: Some("no such file".into()),
            ..ended(None)
        };
        assert_eq!(
            command(&unknown),
            Some(Failure::package(
                "command could not be started: no such file"
            ))
        );
    }

    #[test]
    fn tests_that_are_seen_are_not_none_whatever_the_package_says() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("stderr"), "Ran 0 tests in 0.000s\n").unwrap();
        let mut ran = hostile::ran("");
        ran.directory = directory.path().to_owned();
        let made = |framework, exit, seen: Option<&str>| {
            let ended = ended(Some(exit));
            let unreported = Unreported {
                seen,
                ..left_nothing(framework, &ended)
            };
            nothing_reported(&ran, &unreported)
        };
        let said = "Ran 0 tests in 0.000s";
        for (framework, exit) in [
            (Framework::Pytest, NO_TESTS),
            (Framework::Unittest, NO_TESTS),
            (Framework::Unittest, 0),
            (Framework::Django, 0),
            (Framework::Nose2, 0),
        ] {
            let name = framework.name();
            let none = format!("{name} found no tests in its source");
            assert_eq!(
                made(framework, exit, None),
                Some(Failure::NotApplicable(none))
            );
            assert_eq!(
                made(framework, exit, Some("tests/test_a.py")),
                Some(Failure::inconclusive(format!(
                    "{name} reported no test, exit status {exit}, though its source has \
                     `tests/test_a.py`: {said}"
                )))
            );
        }
        // These have a status for it.
        assert_eq!(
            made(Framework::Pytest, 0, None),
            Some(Failure::package(format!(
                "pytest reported no test, exit status 0: {said}"
            )))
        );
        let doctest = |seen| made(Framework::Doctest, NO_TESTS, seen);
        assert_eq!(
            doctest(None),
            Some(Failure::NotApplicable(
                "doctest found no examples in its source".into()
            ))
        );
        assert_eq!(
            doctest(Some("a.py")),
            Some(Failure::inconclusive(format!(
                "doctest reported no test, exit status 5, though its source has lines after >>> in \
                 `a.py`: {said}"
            )))
        );
    }

    /// What is made of pytest that ended so and printed this.
    fn pytest(output: &str, text: &str, exit: Option<i32>, problems: &[String]) -> Option<Failure> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(output), text).unwrap();
        let mut ran = hostile::ran("");
        ran.directory = directory.path().to_owned();
        let ended = ended(exit);
        let unreported = Unreported {
            problems,
            ..left_nothing(Framework::Pytest, &ended)
        };
        nothing_reported(&ran, &unreported)
    }

    #[test]
    fn tests_that_die_before_the_first_for_want_of_a_service_are_nobodys_fault() {
        let conftest = "ImportError while loading conftest '/home/dev/source/a-1/tests/conftest.py'.\n\
            tests/conftest.py:3: in <module>\n    redis.Redis().ping()\n";
        let refused = "redis.exceptions.ConnectionError: Error 111 connecting to localhost:6379.";
        let printed = format!("{conftest}E   {refused}\n");
        let start = format!("pytest reported no test, exit status 4: E   {refused}");
        assert_eq!(
            pytest("stderr", &printed, Some(4), &[]),
            Some(Failure::inconclusive(format!(
                "{start}; it wants Redis, which there is none of"
            )))
        );
        let internal = "INTERNALERROR> psycopg2.OperationalError: connection to server failed\n";
        assert_eq!(
            pytest("stdout", internal, Some(3), &[]),
            Some(Failure::inconclusive(format!(
                "pytest reported no test, exit status 3: {}; it wants PostgreSQL, which there is \
                 none of",
                internal.trim()
            )))
        );
        // A crash is the package's, whatever it printed; so is a report that nobody can read.
        let crash = format!("pytest reported no test, ended by signal 11: E   {refused}");
        assert_eq!(
            pytest("stderr", &printed, None, &[]),
            Some(Failure::package(crash))
        );
        let unread = ["a.xml is no JUnit report".to_owned()];
        assert_eq!(
            pytest("stderr", &printed, Some(0), &unread),
            Some(Failure::package(
                "pytest reported no test, exit status 0: a.xml is no JUnit report"
            ))
        );
    }

    #[test]
    fn what_several_commands_printed_is_nobodys_own() {
        let directory = tempfile::tempdir().unwrap();
        let printed = "redis.exceptions.ConnectionError: Error 111 connecting to localhost:6379.\n";
        std::fs::write(directory.path().join("stderr"), printed).unwrap();
        let mut ran = hostile::ran("");
        ran.directory = directory.path().to_owned();
        let ended = ended(Some(4));
        let unreported = Unreported {
            alone: false,
            ..left_nothing(Framework::Pytest, &ended)
        };
        assert_eq!(
            nothing_reported(&ran, &unreported),
            Some(Failure::package("pytest reported no test, exit status 4"))
        );
    }

    #[test]
    fn what_one_of_several_commands_says_of_its_tests_is_not_believed_of_another() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("stderr"), "Ran 0 tests in 0.000s\n").unwrap();
        let mut ran = hostile::ran("");
        ran.directory = directory.path().to_owned();
        let made = |framework, exit, alone| {
            let ended = ended(Some(exit));
            let unreported = Unreported {
                alone,
                ..left_nothing(framework, &ended)
            };
            nothing_reported(&ran, &unreported)
        };
        for framework in SAY_NONE {
            let name = framework.name();
            let none = Failure::NotApplicable(format!("{name} found no tests in its source"));
            assert_eq!(made(framework, 0, true), Some(none.clone()));
            let unknown = format!("{name} reported no test, exit status 0");
            assert_eq!(made(framework, 0, false), Some(Failure::package(unknown)));
            // Its exit status is its own.
            assert_eq!(made(framework, NO_TESTS, false), Some(none));
        }
    }

    #[test]
    fn tests_that_die_of_a_missing_module_do_not_want_what_was_logged_before() {
        let logged = "WARNING: no cache: Connection refused\n";
        let missing = "E   ModuleNotFoundError: No module named 'x'";
        let expected = format!("pytest reported no test, exit status 4: {missing}");
        assert_eq!(
            pytest("stderr", &format!("{logged}{missing}\n"), Some(4), &[]),
            Some(Failure::package(expected))
        );
    }
}
