//! Every quality checker on one package that has a fault for each, and what all stages used.

use pyti_tests::audit_package;
use serde_json::Value;

/// Stage, what it says of the package as a whole, and one of its findings: rule, file as seen from the
/// one root that all have, line, severity. An empty text is none.
type Expected = (
    &'static str,
    &'static str,
    [&'static str; 2],
    Option<u64>,
    &'static str,
);

const EXPECTED: [Expected; 7] = [
    (
        "quality-pylint",
        "score 6.67 of 10",
        ["eval-used", "faulty/__init__.py"],
        Some(7),
        "warning",
    ),
    // Though an ignore file and comments of the package's want it to be silent, and bandit too.
    (
        "quality-ruff",
        "",
        ["F401", "faulty/__init__.py"],
        Some(2),
        "warning",
    ),
    (
        "quality-pyflakes",
        "",
        ["", "faulty/__init__.py"],
        Some(2),
        "warning",
    ),
    // Though the package's own settings want bandit to be silent.
    (
        "quality-bandit",
        "",
        ["B307", "faulty/__init__.py"],
        Some(7),
        "medium",
    ),
    ("quality-wheel", "", ["W009", "faulty/"], None, "warning"),
    ("quality-twine", "passed", ["", ""], None, "warning"),
    ("quality-pyroma", "rating", ["", ""], None, "warning"),
];

#[test]
fn vm_every_checker_finds_its_fault_and_all_is_measured() {
    let stages = EXPECTED.map(|(stage, ..)| stage);
    let stages: Vec<&str> = stages
        .iter()
        .chain(&["build", "performance"])
        .flat_map(|stage| ["--stage", stage])
        .collect();
    let audit = audit_package("stages/faulty", &stages);
    assert_eq!(audit.verdict(), "unremarkable", "{}", audit.everything());
    let mut wrong = vec![];
    for (stage, score, [rule, file], line, severity) in EXPECTED {
        let path = audit.run().join(stage).join("data.json");
        let checked = std::fs::read(path).ok();
        let checked = checked.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let checked = checked.unwrap_or_default();
        let said = checked["score"].as_str().unwrap_or_default();
        let is_it = |finding: &Value| {
            finding["rule"] == rule
                && finding["file"].as_str().unwrap_or_default() == file
                && finding["line"].as_u64() == line
                && finding["severity"] == severity
                && finding["message"]
                    .as_str()
                    .is_some_and(|text| !text.is_empty())
        };
        let mut findings = checked["findings"].as_array().into_iter().flatten();
        if !(said.starts_with(score) && said.is_empty() == score.is_empty() && findings.any(is_it))
        {
            wrong.push(format!("{stage}: {checked:#}"));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), audit.stderr);

    // An advice of several lines is one remark.
    let advised = audit.datum("quality-pyroma");
    let advice = advised["findings"].as_array().into_iter().flatten();
    let advice = advice.filter_map(|finding| finding["message"].as_str());
    let of_a_build: Vec<&str> = advice
        .filter(|text| text.contains("build-backend"))
        .collect();
    assert_eq!(of_a_build.len(), 1, "{advised:#}");
    assert!(of_a_build[0].contains("pyproject.toml"), "{advised:#}");

    let measured = audit.datum("performance");
    let picture = std::fs::read_to_string(audit.run().join("performance.svg"));
    let picture = picture.expect("no picture");
    for stage in EXPECTED
        .map(|(stage, ..)| stage)
        .iter()
        .chain(&["build", "install"])
    {
        let used = &measured[stage];
        for what in ["wall", "cpu", "memory", "processes"] {
            assert!(
                used[what].as_f64().is_some_and(|used| used > 0.0),
                "{stage}: {measured:#}"
            );
        }
        assert!(picture.contains(stage), "{stage}");
    }
    // A stage's own process alone would be one; a build has pip, a back end and more.
    assert!(
        measured["build"]["processes"].as_u64() > Some(2),
        "{measured:#}"
    );
}
