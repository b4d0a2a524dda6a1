//! The rules that are built in: sound, tested by their traces, quiet on honest installs.

use std::path::Path;

use pyti_analyzer::{RuleSet, Vars};

fn rules() -> RuleSet {
    RuleSet::load(Some(Path::new("../rules")), &Vars::default())
        .unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn the_program_holds_the_same_rules() {
    let built_in = RuleSet::load(None, &Vars::default()).unwrap();
    let ids = |rules: &RuleSet| {
        rules
            .rules()
            .iter()
            .map(|rule| rule.id.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&built_in), ids(&rules()));
}

#[test]
fn every_rule_passes_its_traces() {
    let summary = rules().test().unwrap_or_else(|errors| panic!("{errors}"));
    let failures: Vec<String> = summary.failures.iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(summary.rules >= 15, "{summary:?}");
    assert!(
        summary.fires >= summary.rules && summary.quiet >= summary.rules,
        "{summary:?}"
    );
}

#[test]
fn honest_installs_fire_nothing() {
    let path = "tests/honest.yaml";
    let text = std::fs::read_to_string(path).unwrap();
    let cases = rules()
        .fire(path, &text)
        .unwrap_or_else(|errors| panic!("{errors}"));
    assert!(!cases.is_empty());
    for case in cases {
        assert!(case.rules.is_empty(), "{}: {:?}", case.case, case.rules);
        assert!(
            case.undecided.is_empty(),
            "{}: undecided {:?}",
            case.case,
            case.undecided
        );
    }
}

#[test]
fn what_is_worth_a_look_is_no_more_than_a_notice() {
    let path = "tests/noticed.yaml";
    let text = std::fs::read_to_string(path).unwrap();
    let rules = rules();
    let cases = rules
        .fire(path, &text)
        .unwrap_or_else(|errors| panic!("{errors}"));
    assert!(!cases.is_empty());
    for case in cases {
        assert!(!case.rules.is_empty(), "{}", case.case);
        for id in &case.rules {
            let severity = rules.get(id).unwrap().severity;
            assert_eq!(severity.name(), "notice", "{}: {id}", case.case);
        }
        assert!(
            case.undecided.is_empty(),
            "{}: undecided {:?}",
            case.case,
            case.undecided
        );
    }
}

/// What else fires where a rule's traces do: the same rule for another stage, or another rule that
/// tells another side of the same act.
const COMPANIONS: &[(&str, &[&str])] = &[
    (
        "cloud-metadata",
        &["cloud-metadata-in-tests", "name-lookup"],
    ),
    (
        "cloud-metadata-in-tests",
        &["cloud-metadata", "name-lookup"],
    ),
    ("credential-file-in-tests", &["credential-file-read"]),
    ("credential-file-read", &["credential-file-in-tests"]),
    ("dns-leak", &["name-lookup"]),
    ("download-to-shell", &["encoded-code"]),
    ("dropped-program", &["windows-program"]),
    ("exfiltration-service", &["name-lookup"]),
    ("home-destruction", &["settings-write", "user-files-change"]),
    ("kubernetes-api", &["name-lookup"]),
    ("kubernetes-api-in-use", &["name-lookup"]),
    ("public-ip-connect", &["public-ip-in-tests", "name-lookup"]),
    ("public-ip-in-tests", &["public-ip-connect", "name-lookup"]),
    ("stored-secret-read", &["home-destruction"]),
];

/// The fixture packages of the end-to-end tests: exactly these rules, no other.
#[test]
fn a_rule_fires_alone() {
    let rules = rules();
    for rule in rules.rules() {
        let companions = COMPANIONS
            .iter()
            .find(|(id, _)| *id == rule.id)
            .map_or(&[][..], |(_, companions)| companions);
        let path = format!("../rules/{}/fires.yaml", rule.id);
        let text = std::fs::read_to_string(&path).unwrap();
        for case in rules
            .fire(&path, &text)
            .unwrap_or_else(|errors| panic!("{errors}"))
        {
            let (own, others): (Vec<&str>, Vec<&str>) = case
                .rules
                .iter()
                .map(String::as_str)
                .partition(|id| *id == rule.id);
            assert_eq!(own, [rule.id.as_str()], "{path}: {}", case.case);
            let strangers = others.iter().find(|id| !companions.contains(id));
            assert_eq!(strangers, None, "{path}: {}", case.case);
        }
        let path = format!("../rules/{}/quiet.yaml", rule.id);
        let text = std::fs::read_to_string(&path).unwrap();
        for case in rules
            .fire(&path, &text)
            .unwrap_or_else(|errors| panic!("{errors}"))
        {
            assert!(!case.rules.contains(&rule.id), "{path}: {}", case.case);
        }
    }
}

/// What honest suites do is worth a look and no verdict: the rules for it are for those stages alone,
/// and those that convict are for others.
#[test]
fn what_tests_do_convicts_nobody() {
    let rules = rules();
    for (lenient, strict) in [
        ("cloud-metadata-in-tests", "cloud-metadata"),
        ("credential-file-in-tests", "credential-file-read"),
        ("public-ip-in-tests", "public-ip-connect"),
    ] {
        let (lenient, strict) = (rules.get(lenient).unwrap(), rules.get(strict).unwrap());
        assert_eq!(lenient.severity.name(), "notice", "{}", lenient.id);
        assert_eq!(lenient.stages, ["test", "coverage"], "{}", lenient.id);
        for stage in [
            "metadata", "install", "build", "startup", "import", "scripts",
        ] {
            assert!(
                strict.stages.iter().any(|name| name == stage),
                "{}",
                strict.id
            );
        }
        assert!(
            !strict
                .stages
                .iter()
                .any(|name| lenient.stages.contains(name))
        );
    }
}

/// Rules that convict are not for the stages in which honest packages do the same.
#[test]
fn what_use_does_convicts_nobody() {
    let rules = rules();
    let left_out: [(&str, &[&str]); 4] = [
        ("fork-bomb", &["import"]),
        ("known-command-taken", &["install", "build", "trace"]),
        ("kubernetes-api", &["scripts", "trace"]),
        ("package-removal", &["trace"]),
    ];
    for (id, honest) in left_out {
        let rule = rules.get(id).unwrap();
        assert!(rule.is_for("metadata"), "{id}");
        for stage in honest {
            assert!(!rule.is_for(stage), "{id}: {stage}");
        }
    }
    // What is left out there is told all the same.
    let noticed: [(&str, &[&str]); 2] = [
        ("known-command", &["install", "build", "trace"]),
        ("kubernetes-api-in-use", &["scripts", "trace"]),
    ];
    for (id, stages) in noticed {
        let rule = rules.get(id).unwrap();
        assert_eq!(rule.severity.name(), "notice", "{id}");
        assert!(stages.iter().all(|stage| rule.is_for(stage)), "{id}");
    }
}

/// Traces of strace do not tell which interpreter the kernel found for a script.
#[test]
fn what_may_have_been_a_script_may_have_removed_itself() {
    let trace = |removed: &str| {
        format!(
            "- case: c\n  events:\n    - {{pid: 2, exec: [/var/tmp/start], incomplete: TARGET_UNREADABLE}}\n    - {{unlink: {removed}}}"
        )
    };
    let undecided = |removed: &str| {
        let mut cases = rules().fire("t.yaml", &trace(removed)).unwrap();
        let case = cases.remove(0);
        assert_eq!(case.rules, [""; 0], "{removed}");
        case.undecided
    };
    assert_eq!(undecided("/var/tmp/start"), ["self-deletion"]);
    assert_eq!(undecided("/var/tmp/other"), [""; 0]);
}

/// What an installation is judged by, a trace made elsewhere is too, but where a rule stands on what is
/// known of our VM alone: that no name is answered, what is the user's, what was installed before; or where
/// whoever made the trace may have asked for just that.
#[test]
fn a_trace_is_judged_like_an_installation() {
    let rules = rules();
    let of_installs: Vec<&str> = rules
        .rules()
        .iter()
        .filter(|rule| {
            let is_for = |name: &str| rule.stages.iter().any(|stage| stage == name);
            is_for("install") && !is_for("trace")
        })
        .map(|rule| rule.id.as_str())
        .collect();
    let known = [
        "kubernetes-api",
        "package-change",
        "package-removal",
        "public-ip-connect",
        "user-files-change",
        "user-files-read",
    ];
    assert_eq!(of_installs, known);
}
