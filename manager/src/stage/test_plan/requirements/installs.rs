//! What is installed for tests by the programs that run them.

use toml::Value;

use super::Gathered;
use crate::stage::test_plan::command::{DEV, Installs};
use crate::stage::test_plan::lists::Reader;

impl Gathered<'_> {
    /// What the programs install that run the tests.
    pub(super) fn installs(&mut self, installs: &Installs) {
        let before = self.found.requirements.len();
        let mut reader = Reader::new(self.files);
        reader.arguments(&installs.asked);
        self.add_asked(reader);
        self.say(before, "the options of uv run");
        self.synced(installs);
    }

    /// What is installed of a project without being named.
    pub(super) fn synced(&mut self, installs: &Installs) {
        self.unread |= installs.more;
        if installs.all_extras {
            let before = self.found.requirements.len();
            let metadata = self.metadata;
            let extras = metadata.provides_extra.iter();
            extras.for_each(|extra| self.extra(extra));
            self.say(before, "all optional features");
        }
        let groups = match &installs.defaults {
            _ if installs.all_groups => self.all_groups(),
            Some(_) => self.default_groups(),
            None => vec![],
        };
        let without = installs.defaults.as_deref().unwrap_or_default();
        for group in groups {
            if !without.contains(&group) {
                let before = self.found.requirements.len();
                self.group(&group);
                self.say(before, &format!("pyproject.toml's group {group}"));
            }
        }
    }

    /// The groups that uv installs where nothing is said
    /// (<https://docs.astral.sh/uv/concepts/projects/dependencies/#default-groups>).
    fn default_groups(&self) -> Vec<String> {
        let tool = self.project.get("tool");
        match tool.and_then(|tool| tool.get("uv")?.get("default-groups")) {
            None => vec![DEV.to_owned()],
            Some(Value::Array(names)) => {
                let names = names.iter().filter_map(Value::as_str);
                names.map(str::to_owned).collect()
            }
            // `all` of them.
            Some(_) => self.all_groups(),
        }
    }

    /// Those that are written, and the one that uv has where only its old list is.
    fn all_groups(&self) -> Vec<String> {
        let groups = self.project.get("dependency-groups");
        let groups = groups.and_then(Value::as_table).into_iter().flatten();
        let names = groups.map(|(name, _)| name.clone());
        names.chain([DEV.to_owned()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use pyti_index::CoreMetadata;

    use crate::stage::test_plan::{Files, PythonVersion, TestPlan, of_command, plan};

    const GROUPS: &str = "[dependency-groups]\nsuite = ['b']\ndev = ['d']\nlint = ['e']\n";

    fn metadata() -> CoreMetadata {
        CoreMetadata {
            name: "own".into(),
            requires_dist: vec!["c ; extra == 'more'".into()],
            provides_extra: vec!["more".into()],
            ..CoreMetadata::default()
        }
    }

    fn planned(file: &str, text: &str, pyproject: &str) -> TestPlan {
        let files = [
            (file, text),
            ("pyproject.toml", pyproject),
            ("tests/test_a.py", "import pytest"),
        ];
        plan(&Files::of(&files), &metadata(), PythonVersion::TEST).unwrap()
    }

    #[test]
    fn what_uv_installs_for_a_command_is_wanted() {
        let nox = "def tests(s):\n    s.run('uv', 'run', '--group', 'suite', '--extra', 'more',\n        \
            '--with', 'a>1', 'pytest', '-k', 'x', 'tests')\n";
        let plan = planned("noxfile.py", nox, GROUPS);
        assert_eq!(
            plan.reason,
            "noxfile.py tests runs `uv run --group suite --extra more --with a>1 pytest -k x tests`"
        );
        let words = ["-k", "x", "tests"].map(str::to_owned);
        assert!(plan.first.arguments.ends_with(&words));
        assert_eq!(plan.wanted, ["a>1", "b", "c", "d"]);
        let by = ["the options of uv run", "pyproject.toml's group dev"];
        assert_eq!(plan.wanted_by, by);
        assert_eq!(plan.notes, Vec::<String>::new());
    }

    #[test]
    fn what_uv_installs_is_known_wherever_the_command_is_written() {
        let tox = "[testenv]\ncommands =\n    uv run --group lint ruff check\n    \
            uv run --only-group suite pytest\n";
        let hatch = "[envs.test.scripts]\ntest = 'uv run --no-dev --group suite -m pytest'\n";
        for (file, text) in [("tox.ini", tox), ("hatch.toml", hatch)] {
            assert_eq!(planned(file, text, GROUPS).wanted, ["b"], "{file}");
        }
        let pdm = format!("{GROUPS}[tool.pdm.scripts]\ntest = 'uv run --with a pytest'\n");
        assert_eq!(planned("a.py", "", &pdm).wanted, ["a", "d"]);
        let files = Files::of(&[("pyproject.toml", GROUPS)]);
        let users = ["uv", "run", "--group", "suite", "pytest"].map(str::to_owned);
        let users = of_command(&users, &files, &metadata(), PythonVersion::TEST);
        assert_eq!(users.wanted, ["b", "d"]);
    }

    #[test]
    fn a_project_says_what_uv_installs_by_default() {
        let nox = "def tests(s):\n    s.run('uv', 'run', '--no-group', 'lint', 'pytest')\n";
        for (said, wanted) in [("['suite', 'lint']", &["b"][..]), ("'all'", &["b", "d"])] {
            let pyproject = format!("{GROUPS}[tool.uv]\ndefault-groups = {said}\n");
            assert_eq!(planned("noxfile.py", nox, &pyproject).wanted, wanted);
        }
        assert_eq!(planned("noxfile.py", nox, GROUPS).wanted, ["d"]);
    }

    #[test]
    fn what_uv_installs_before_the_command_is_wanted() {
        let pyproject = format!("{GROUPS}[tool.uv]\ndefault-groups = ['suite']\n");
        for (words, wanted) in [
            ("'sync'", &["b"][..]),
            ("'sync', '--no-dev', '--group', 'lint'", &["b", "e"]),
            ("'sync', '--only-group=lint'", &["e"]),
            (
                "'--quiet', 'sync', '--dev', '--all-extras'",
                &["b", "c", "d"],
            ),
            ("'sync', '--all-groups', '--no-group', 'lint'", &["b", "d"]),
        ] {
            let nox = format!("def tests(s):\n    s.run('uv', {words})\n    s.run('pytest')\n");
            let plan = planned("noxfile.py", &nox, &pyproject);
            assert_eq!(plan.wanted, wanted, "{words}");
            assert_eq!(plan.notes, Vec::<String>::new());
        }
        let nox =
            "def tests(s):\n    s.run('uv', 'run', '--all-groups', '--all-extras', 'pytest')\n";
        let plan = planned("noxfile.py", nox, GROUPS);
        assert_eq!(plan.wanted, ["b", "c", "d", "e"]);
        assert_eq!(plan.notes, Vec::<String>::new());
    }

    #[test]
    fn what_poetry_installs_by_default_is_had_where_it_is_told_more() {
        let poetry = "[tool.poetry.group.test.dependencies]\na = '*'\n";
        for (words, wanted) in [
            ("--extras more", &["a", "c"][..]),
            ("--with docs -E more", &["a", "c"]),
            ("--extras more --only main", &["c"]),
        ] {
            let tox = format!(
                "[testenv]\ncommands_pre = poetry install {words}\ncommands = poetry run pytest\n"
            );
            assert_eq!(planned("tox.ini", &tox, poetry).wanted, wanted, "{words}");
        }
    }

    #[test]
    fn what_hatch_has_by_default_hides_nothing_that_tests_require() {
        let hatch = "[envs.types.scripts]\ncheck = 'mypy'\n";
        let pyproject = "[dependency-groups]\ntest = ['a']\n";
        let plan = planned("hatch.toml", hatch, pyproject);
        let origin = "hatch.toml hatch's default envs.hatch-test";
        assert_eq!(plan.reason, format!("{origin} runs `pytest tests`"));
        assert_eq!(plan.wanted, ["a", "pytest-mock"]);
        assert_eq!(plan.wanted_by, ["pyproject.toml's group test", origin]);
        // What is written comes first.
        let pdm = "[tool.pdm.scripts]\ntest = 'nose2'\n";
        let plan = planned("hatch.toml", hatch, pdm);
        assert_eq!(plan.reason, "pyproject.toml PDM's scripts runs `nose2`");
        assert_eq!(plan.wanted, Vec::<String>::new());
    }
}
