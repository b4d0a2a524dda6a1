//! What tests require and no index has a wheel of.

use pyti_tests::audit_package;
use serde_json::{Value, json};

#[test]
fn vm_what_tests_require_is_built_where_it_has_no_wheel() {
    let stages = ["--stage", "test", "--stage", "coverage"];
    let audit = audit_package("stages/built-requirement", &stages);
    assert_eq!(audit.verdict(), "unremarkable", "{}", audit.everything());
    let tests = audit.datum("test");
    assert_eq!(tests["counts"]["passed"], 1, "{tests:#}");
    assert_eq!(tests["missing"], json!([]), "{tests:#}");
    let covered = audit.datum("coverage");
    assert!(covered["package"].is_f64(), "{covered:#}");
    // It was built once, in a clone of its own, and watched there.
    let built = audit.datum("build-2");
    assert_eq!(built["sdist"], "docopt-0.6.2.tar.gz", "{built:#}");
    assert_eq!(built["failed"], Value::Null, "{built:#}");
    assert!(!audit.run().join("build-3").exists());
    let events = audit.events("build-2");
    let of_its_setup = |event: &Value| event.to_string().contains("/setup.py");
    assert!(events.iter().any(of_its_setup));
    let notes = audit.report["notes"].to_string();
    let note = "docopt-0.6.2.tar.gz has no wheel: one was built in the VM (stage build-2)";
    assert!(notes.contains(note), "{notes}");
}
