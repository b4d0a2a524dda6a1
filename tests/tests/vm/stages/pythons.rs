//! The images beside the usual one: each runs packages with its own interpreter. Where an image is
//! missing it is built, which takes minutes: `cargo xtask test --no-images` leaves these out, and
//! `--images` runs also those that continuous integration has no time for.

use std::path::Path;

use pyti_tests::{Audit, audit_package};
use serde_json::json;

/// The modules with whether they were imported.
fn imported(audit: &Audit) -> Vec<(String, bool)> {
    let modules = audit.datum("import");
    let modules = modules.as_array().into_iter().flatten();
    modules
        .map(|module| {
            let name = module["module"].as_str().unwrap_or_default();
            (name.to_owned(), module["success"] == true)
        })
        .collect()
}

/// Whether the installation left a file there.
fn installed_below(audit: &Audit, directory: &str) -> bool {
    // The events say so: what the package wrote is where this interpreter looks for it.
    let listed = pyti_tests::run(&[
        "show",
        &audit.run().to_string_lossy(),
        "--events",
        "--format",
        "json",
        "--stage",
        "install",
    ]);
    let wanted = Path::new("/home/dev/.local/lib").join(directory);
    pyti_tests::text(&listed.stdout).contains(&*wanted.to_string_lossy())
}

#[test]
fn vm_image_python_2_7_runs_what_only_it_reads() {
    let stages = ["import", "test", "quality-pylint", "quality-pyflakes"];
    let stages = stages.iter().flat_map(|stage| ["--stage", stage]);
    let arguments: Vec<&str> = ["--python", "2.7"].into_iter().chain(stages).collect();
    let audit = audit_package("old/two-to-three", &arguments);
    assert_eq!(audit.verdict(), "unremarkable", "{}", audit.everything());
    assert!(installed_below(
        &audit,
        "python2.7/site-packages/two_to_three"
    ));
    assert_eq!(imported(&audit), [("two_to_three".to_owned(), true)]);
    // Its setup.py was asked by our own program, and told that there are none.
    let metadata = audit.datum("metadata");
    assert_eq!(metadata["entry_points"], json!({}), "{metadata:#}");
    let tests = audit.datum("test");
    let counts = json!({"passed": 2, "failed": 1, "errors": 0, "skipped": 0});
    assert_eq!(tests["counts"], counts, "{tests:#}");
    assert_eq!(
        tests["reason"],
        "setup.py has test_suite = two_to_three.tests"
    );
    // Python 3's would find nothing in it but an error of syntax.
    let pylint = audit.datum("quality-pylint");
    let score = pylint["score"].as_str().unwrap_or_default();
    assert!(
        score.starts_with("score ") && score.ends_with(" of 10"),
        "{pylint:#}"
    );
    let findings = pylint["findings"].as_array().expect("no findings");
    let found = |rule: &str| findings.iter().find(|finding| finding["rule"] == rule);
    let undocumented = found("missing-docstring").expect("no finding");
    assert_eq!(undocumented["file"], "two_to_three/__init__.py");
    assert_eq!(undocumented["line"], 7);
    assert_eq!(found("syntax-error"), None, "{pylint:#}");
    let pyflakes = audit.datum("quality-pyflakes");
    assert_eq!(pyflakes["findings"], json!([]), "{pyflakes:#}");
    let notes = audit.report["notes"].to_string();
    assert!(
        notes.contains("no index has a file of pychecker"),
        "{notes}"
    );
}

#[test]
#[ignore = "builds one more image: cargo xtask test --images"]
fn vm_image_python_3_9_makes_it_a_python_3_package() {
    let stages = [
        "import",
        "test",
        "build",
        "scripts",
        "startup",
        "quality-ruff",
    ];
    let stages = stages.iter().flat_map(|stage| ["--stage", stage]);
    let arguments: Vec<&str> = ["--python", "3.9"].into_iter().chain(stages).collect();
    let audit = audit_package("old/two-to-three", &arguments);
    assert_eq!(audit.verdict(), "unremarkable", "{}", audit.everything());
    assert!(installed_below(
        &audit,
        "python3.9/site-packages/two_to_three"
    ));
    assert_eq!(imported(&audit), [("two_to_three".to_owned(), true)]);
    // Of the sources as they stand Python 3 would read nothing; that they divide otherwise 2to3 leaves alone.
    let tests = audit.datum("test");
    let counts = json!({"passed": 1, "failed": 2, "errors": 0, "skipped": 0});
    assert_eq!(tests["counts"], counts, "{tests:#}");
    let built = audit.datum("build");
    let wheels = |build: usize| built["builds"][build]["wheels"].as_array().map(Vec::len);
    assert_eq!([wheels(0), wheels(1)], [Some(1); 2], "{built:#}");
}

#[test]
#[ignore = "builds one more image: cargo xtask test --images"]
fn vm_image_python_3_11_runs_the_stages() {
    let stages = ["import", "test", "coverage"];
    let stages = stages.iter().flat_map(|stage| ["--stage", stage]);
    let arguments: Vec<&str> = ["--python", "3.11"].into_iter().chain(stages).collect();
    let audit = audit_package("stages/whole", &arguments);
    assert_eq!(audit.verdict(), "unremarkable", "{}", audit.everything());
    assert!(installed_below(&audit, "python3.11/site-packages/whole"));
    let modules = ["spread.part", "whole", "whole_broken", "whole._fast"];
    let modules = modules.map(|module| (module.to_owned(), module != "whole_broken"));
    assert_eq!(imported(&audit), modules);
    let tests = audit.datum("test");
    let counts = json!({"passed": 1, "failed": 1, "errors": 1, "skipped": 1});
    assert_eq!(tests["counts"], counts, "{tests:#}");
    let covered = audit.datum("coverage");
    let percent = covered["files"]["whole/__init__.py"].as_f64();
    assert!(percent.is_some_and(|percent| percent > 10.0), "{covered:#}");
}
