//! A rule file and, behind a NUL, its trace, by hand or recorded: who writes rules hands them on.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pyti_analyzer::rules::Source;
use pyti_analyzer::{RuleSet, Vars};

fuzz_target!(|text: &str| {
    let (rule, trace) = text.split_once('\0').unwrap_or((text, ""));
    let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let source = Source {
        files: vec![
            file("rules/r.yaml", rule),
            file("rules/r/fires.yaml", trace),
            file("rules/shared.yaml", rule),
        ],
    };
    for files in [&source.files[..2], &source.files[2..]] {
        let source = Source {
            files: files.to_vec(),
        };
        if let Ok(rules) = RuleSet::from_source(&source, &Vars::default()) {
            let _ = rules.test();
            let _ = rules.fire("rules/r/quiet.jsonl", trace);
        }
    }
});
