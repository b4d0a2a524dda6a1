use std::collections::BTreeMap;

use super::*;

fn of(files: &[(&str, &str)], metadata: &CoreMetadata) -> Wanted {
    let files = Files::of(files);
    let environments = super::super::environments(&files, super::super::PythonVersion::TEST);
    wanted(&files, metadata, environments.first(), &Installs::default())
}

#[test]
fn the_environment_comes_first_with_its_lists_and_extras() {
    let metadata = CoreMetadata {
        name: "own".into(),
        requires_dist: vec![
            "b ; extra == 'tests'".into(),
            "Own[cov] ; extra == 'tests'".into(),
            "own[tests] ; extra == 'cov'".into(),
            "e>1 ; extra == 'cov'".into(),
            "c".into(),
        ],
        ..CoreMetadata::default()
    };
    let files = [
        (
            "tox.ini",
            "[testenv]\nextras = tests\ndeps =\n    pytest\n    py27: mock\n    -rrequirements/x.txt\n    {env:A}\n    -c limits.txt\ncommands = x\n    y",
        ),
        ("requirements/x.txt", "d ; python_version > '3'\nnose\n"),
        ("limits.txt", "D<3\nother<1\n"),
    ];
    let found = of(&files, &metadata);
    assert_eq!(
        found.requirements,
        [
            "D<3",
            "b",
            "d ; python_version > '3'",
            "e>1",
            "nose ; python_version < '3.10'",
            "pynose ; python_version >= '3.10'",
            "pytest"
        ]
    );
    assert_eq!(found.by, ["tox.ini [testenv]"]);
    assert_eq!(
        found.notes,
        ["1 limits on requirements of requirements are left out"]
    );
}

#[test]
fn a_framework_that_could_not_be_had_is_told() {
    let run = Run {
        name: String::new(),
        framework: Framework::Trial,
        interpreter: vec![],
        arguments: vec![],
        environment: BTreeMap::new(),
        requires: own(Framework::Trial, &Files::default()),
    };
    for (missing, left_out, lacks) in [
        ("a twisted", "", Some("twisted")),
        ("twist twisted[tls] subunit", "", None),
        ("python-subunit", "", Some("python-subunit")),
        ("twisted==20.3.0", "twisted", Some("twisted")),
        (
            "python-subunit==1",
            "python-subunit",
            Some("python-subunit"),
        ),
        ("twisted-iocpsupport==1", "twisted-iocpsupport", None),
        // The tests want that one besides, and another one was had.
        ("twisted==20.3.0", "", None),
        ("", "", None),
    ] {
        let names = left_out.split_whitespace();
        let tools = FetchedTools {
            missing: missing.split_whitespace().map(str::to_owned).collect(),
            left_out: names.map(|name| name.parse().unwrap()).collect(),
            ..FetchedTools::default()
        };
        assert_eq!(run.lacks(&tools), lacks, "{missing}, {left_out}");
    }
}

#[test]
fn requirements_that_are_left_out_are_counted() {
    let lists: Vec<(String, String)> = (0..2)
        .map(|list| {
            let lines = (0..300).map(|line| format!("a{list}-{line}\n"));
            (format!("requirements-test-{list}.txt"), lines.collect())
        })
        .collect();
    let long = format!("{}\n", "x".repeat(2000));
    let mut files: Vec<(&str, &str)> = lists.iter().map(|(a, b)| (&**a, &**b)).collect();
    files.push(("requirements-tests.txt", &long));
    let found = of(&files, &CoreMetadata::default());
    assert_eq!(found.requirements.len(), MOST);
    assert_eq!(
        found.notes,
        ["101 requirements are left out: there are too many, or they are too long"]
    );
    let many = (0..=MOST).map(|number| format!("a{number} ; extra == 'tests'"));
    let metadata = CoreMetadata {
        requires_dist: many.collect(),
        ..CoreMetadata::default()
    };
    let found = of(&[], &metadata);
    assert_eq!(found.requirements.len(), MOST);
    let start = "1 requirement is left out: ";
    assert!(found.notes[0].starts_with(start), "{:?}", found.notes);
}

#[test]
fn requirements_come_from_the_first_that_says() {
    let none = CoreMetadata::default();
    let with_extra = CoreMetadata {
        requires_dist: vec!["b ; extra == 'tests'".into(), "c".into()],
        ..CoreMetadata::default()
    };
    let group = (
        "pyproject.toml",
        "[dependency-groups]\ntest = ['d', {include-group = 'x'}]\nx = ['e']\ndev = ['f']\n",
    );
    let setup = ("setup.py", "setup(tests_require=['g>1', \"h\"],\n)");
    let config = ("setup.cfg", "[options]\ntests_require =\n    i\n    j>1\n");
    let list = (
        "requirements-test.txt",
        "k # why\n-r requirements-dev.txt\n",
    );
    let development = ("requirements-dev.txt", "l\n");
    for (files, metadata, expected, by) in [
        (
            &[group][..],
            &with_extra,
            "b|d|e",
            "the optional feature tests|pyproject.toml's group test",
        ),
        (&[group, setup], &none, "d|e", "pyproject.toml's group test"),
        (
            &[setup, config, list],
            &none,
            "g>1|h|i|j>1",
            "tests_require",
        ),
        (&[list, development], &none, "k|l", "requirements-test.txt"),
        (&[development], &none, "l", "requirements-dev.txt"),
        (&[], &none, "", ""),
    ] {
        let found = of(files, metadata);
        assert_eq!(found.requirements.join("|"), expected);
        let mut by_found = found.by;
        by_found.sort_by_key(|by| !by.starts_with("the optional"));
        assert_eq!(by_found.join("|"), by);
    }
}

#[test]
fn a_list_that_is_not_read_leaves_it_to_the_next_that_says() {
    let nox = "def tests(s):\n    s.install('-r', 'requirements-dev.lock')\n    \
        s.install('pydantic<2')\n    s.run('pytest')\n";
    let rye = "[tool.rye]\ndev-dependencies = ['pytest-asyncio', 'respx']\n";
    let files = [("noxfile.py", nox), ("pyproject.toml", rye)];
    let found = of(&files, &CoreMetadata::default());
    let expected = ["pydantic<2", "pytest-asyncio", "respx"];
    assert_eq!(found.requirements, expected);
    let by = ["noxfile.py tests", "pyproject.toml's group dev"];
    assert_eq!(found.by, by);
    let note = "the list `requirements-dev.lock` is not in the source distribution";
    assert_eq!(found.notes, [note]);
    // What is limited only is said.
    let nox = nox.replace("'-r'", "'-c'");
    let files = [("noxfile.py", nox.as_str()), ("pyproject.toml", rye)];
    let found = of(&files, &CoreMetadata::default());
    assert_eq!(found.requirements, ["pydantic<2"]);
}

#[test]
fn what_only_installs_says_nothing_of_what_tests_require() {
    // As vsc-base has it.
    let tox = "[testenv]\ncommands_pre =\n    pip install 'setuptools<42.0'\n    python -m pip install -U pip\n\
        commands = python setup.py test\n";
    let setup = ("setup.py", "setup(tests_require=['g>1'])");
    let of = |tox: &str| of(&[("tox.ini", tox), setup], &CoreMetadata::default());
    assert_eq!(of(tox).requirements, ["g>1", "pip", "setuptools<42.0"]);
    let other = tox.replace("-U pip", "-U Pip h");
    assert_eq!(of(&other).requirements, ["Pip", "h", "setuptools<42.0"]);
}

#[test]
fn all_of_tests_require_is_read_or_it_is_told() {
    let cut = "not all of tests_require is used: it is not written out, or too long";
    for (setup, expected, notes) in [
        (
            "setup(tests_require=['a', 'b[x]', 'c'])",
            "a|b[x]|c",
            &[] as &[&str],
        ),
        ("setup(tests_require=['a[toml]', 'b'])", "a[toml]|b", &[]),
        ("setup(tests_require='a')", "a", &[]),
        ("TESTS = ['a']\nsetup(tests_require=TESTS)", "a", &[]),
        ("setup(tests_require=['a', B])", "a", &[cut]),
        ("setup(tests_require=read('tests.txt'))", "", &[cut]),
        ("setup(name='a')", "", &[]),
    ] {
        let found = of(&[("setup.py", setup)], &CoreMetadata::default());
        let requirements = found.requirements.join("|");
        assert_eq!(requirements, expected, "{setup}");
        assert_eq!(found.notes, notes, "{setup}");
    }
    let config = (
        "setup.cfg",
        "[options]\ntests_require =\n    a # why\n    b>1\n",
    );
    let found = of(&[config], &CoreMetadata::default());
    assert_eq!(found.requirements, ["a", "b>1"]);
}
