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

/// The fixture packages of the end-to-end tests: exactly these rules, no other.
#[test]
fn a_rule_fires_alone() {
    let rules = rules();
    for rule in rules.rules() {
        let path = format!("../rules/{}/fires.yaml", rule.id);
        let text = std::fs::read_to_string(&path).unwrap();
        for case in rules
            .fire(&path, &text)
            .unwrap_or_else(|errors| panic!("{errors}"))
        {
            let mut fired = vec![rule.id.as_str()];
            // Whoever asks for such a name asks for a name.
            if ["dns-leak", "exfiltration-service"].contains(&fired[0]) {
                fired.push("name-lookup");
            }
            assert_eq!(case.rules, fired, "{path}: {}", case.case);
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
