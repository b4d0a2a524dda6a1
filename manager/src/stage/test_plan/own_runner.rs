//! Functions that setuptools' `test_suite` names and that run tests by themselves, as those of many Django
//! applications: unittest calls them for the tests that they should return, and they end the process.

use super::Run;

/// What runs tests or ends a process.
const RUNS: [&str; 6] = [
    "exit(",
    "run_tests(",
    "execute_from_command_line(",
    "call_command(",
    ".main(",
    ".run(",
];

/// Adds to a command that has unittest load this name of a suite, whose last part is a function in a module of
/// this text, what it wants for running its tests by itself; tells of that where it seems to.
pub(super) fn told(name: &str, text: &str, run: &mut Run) -> Option<String> {
    let (_, function) = name.rsplit_once('.')?;
    let mut body = body(function, text)?;
    body.find(|line| RUNS.iter().any(|call| line.contains(call)))?;
    if text.contains("import django") || text.contains("from django") {
        run.requires.push("django".to_owned());
    }
    Some(format!(
        "test_suite = {name} seems to run its tests by itself: it is called, as setuptools does, and \
         what unittest runs there has results"
    ))
}

/// The lines of a function at the top of a module, behind its first one.
fn body<'t>(function: &str, text: &'t str) -> Option<impl Iterator<Item = &'t str>> {
    let is_it = |line: &str| {
        let rest = line.strip_prefix("def ").map(str::trim_start);
        let rest = rest.and_then(|rest| rest.strip_prefix(function));
        rest.is_some_and(|rest| rest.trim_start().starts_with('('))
    };
    let mut lines = text.lines();
    lines.find(|line| is_it(line))?;
    let inside = |line: &&str| line.is_empty() || line.starts_with([' ', '\t', '#', ')']);
    Some(lines.take_while(inside))
}

#[cfg(test)]
mod tests {
    use pyti_index::CoreMetadata;

    use super::super::{Files, Framework, PythonVersion, TestPlan, plan};

    fn of(text: &str) -> TestPlan {
        let files = Files::of(&[
            ("setup.py", "setup(test_suite='runtests.runtests')"),
            ("runtests.py", text),
            ("a/tests.py", "from django.test import TestCase\n"),
        ]);
        plan(&files, &CoreMetadata::default(), PythonVersion::TEST).unwrap()
    }

    #[test]
    fn a_function_that_runs_its_tests_itself_is_called_and_told() {
        let text = "import django\n\ndef runtests(\n    *labels\n):\n\n    failures = runner(labels)\n\
            # Its own.\n    sys.exit(failures)\n";
        let plan = of(text);
        assert_eq!(plan.first.framework, Framework::Unittest);
        assert_eq!(plan.reason, "setup.py has test_suite = runtests.runtests");
        let last = plan.first.arguments.last().map(String::as_str);
        assert_eq!(last, Some("runtests.runtests"));
        assert_eq!(plan.needed, ["unittest-xml-reporting", "django"]);
        assert_eq!(plan.first.requires, Vec::<String>::new());
        let note = "test_suite = runtests.runtests seems to run its tests by itself: it is called, as \
            setuptools does, and what unittest runs there has results";
        assert_eq!(plan.notes, [note]);
        // Without Django it needs none.
        let plan = of("def runtests (): TextTestRunner()\n    unittest.main('a')\n");
        assert_eq!(plan.needed, ["unittest-xml-reporting"]);
        assert_eq!(plan.notes, [note]);
    }

    #[test]
    fn a_function_that_returns_its_tests_is_nothing_to_tell() {
        for text in [
            "import django\ndef runtests():\n    return TestSuite()\n\nif 1:\n    sys.exit(0)\n",
            "def runtests2():\n    sys.exit(0)\n",
            "runtests = all_of('a')\n",
        ] {
            let plan = of(text);
            assert_eq!(plan.first.framework, Framework::Unittest, "{text}");
            assert_eq!(plan.needed, ["unittest-xml-reporting"], "{text}");
            assert_eq!(plan.notes, Vec::<String>::new(), "{text}");
        }
    }
}
