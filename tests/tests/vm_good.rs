//! Honest packages: nothing fires.

use pyti_tests::{Audit, audit_package};

/// Installs the package; the verdict is unremarkable and exactly these notices are there.
fn quiet(name: &str, args: &[&str], notices: &[&str]) -> Audit {
    let audit = audit_package(&format!("good/{name}"), args);
    assert_eq!(audit.verdict(), "unremarkable", "{}", audit.everything());
    assert_eq!(audit.status, 0);
    assert_eq!(audit.rules(), notices, "{}", audit.everything());
    let stages = audit.report["stages"].as_array().expect("no stages");
    let install = stages
        .iter()
        .find(|s| s["name"] == "install")
        .expect("no install stage");
    assert_eq!(
        install["status"]["state"],
        "completed",
        "{}",
        audit.everything()
    );
    // What it used was measured: no Python runs in less memory.
    let used = |what: &str| install[what].as_u64().unwrap_or_default();
    assert!(used("wall_ns") > 0, "{install:#}");
    assert!(used("user_us") + used("system_us") > 0, "{install:#}");
    assert!(used("memory_peak") > 8 << 20, "{install:#}");
    audit
}

macro_rules! quiet {
    ($($test:ident: $name:literal $notices:expr;)*) => {
        $(#[test] fn $test() { quiet($name, &[], &$notices); })*
    };
}

quiet! {
    vm_good_pure_pyproject: "pure-pyproject" [];
    vm_good_c_extension: "c-extension" [];
    vm_good_with_dependencies: "with-dependencies" [];
    vm_good_hatchling_backend: "hatchling-backend" [];
    vm_good_configure_probe: "configure-probe" [];
    vm_good_fetches_by_name: "fetches-by-name" ["name-lookup"];
}

#[test]
fn vm_good_setup_py_only_and_the_log_tells_each_task_with_its_time() {
    // Standard output has the report and nothing else: it was read as JSON from end to end.
    let audit = quiet("setup-py-only", &["--progress", "log"], &[]);
    let lines: Vec<Vec<&str>> = audit
        .stderr
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let is_time = |word: &str| word.parse::<f64>().is_ok();
    for task in ["fetch", "template", "metadata", "install"] {
        let starts = lines.iter().any(|words| match words[..] {
            [at, name, "starts"] => name == task && is_time(at),
            _ => false,
        });
        let ends = lines.iter().any(|words| match words[..] {
            [at, name, "done", "after", took, "s"] => name == task && is_time(at) && is_time(took),
            _ => false,
        });
        assert!(starts && ends, "{task}: {}", audit.stderr);
    }
}
