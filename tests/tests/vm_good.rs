//! Honest packages: nothing fires.

use pyti_tests::audit_package;

/// Installs the package; the verdict is unremarkable and exactly these notices are there.
fn quiet(name: &str, notices: &[&str]) {
    let audit = audit_package(&format!("good/{name}"), &[]);
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
}

macro_rules! quiet {
    ($($test:ident: $name:literal $notices:expr;)*) => {
        $(#[test] fn $test() { quiet($name, &$notices); })*
    };
}

quiet! {
    vm_good_pure_pyproject: "pure-pyproject" [];
    vm_good_setup_py_only: "setup-py-only" [];
    vm_good_c_extension: "c-extension" [];
    vm_good_with_dependencies: "with-dependencies" [];
    vm_good_hatchling_backend: "hatchling-backend" [];
    vm_good_configure_probe: "configure-probe" [];
    vm_good_fetches_by_name: "fetches-by-name" ["name-lookup"];
}
