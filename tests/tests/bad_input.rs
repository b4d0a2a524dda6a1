//! Bad input gets one clear sentence, exit status 2, and no VM.

use std::path::Path;

use pyti_tests::{Audit, audit};

/// Audits; the message on standard error is one line that says all of `parts`.
fn refused(target: &str, args: &[&str], parts: &[&str]) -> Audit {
    let audit = audit(target, args);
    assert_eq!(audit.status, 2, "{}", audit.everything());
    assert_eq!(
        audit.stderr.trim_end().lines().count(),
        1,
        "{}",
        audit.stderr
    );
    for part in parts {
        assert!(audit.stderr.contains(part), "no `{part}`: {}", audit.stderr);
    }
    audit
}

#[test]
fn unknown_package() {
    refused(
        "pyti-there-is-no-such-package",
        &[],
        &["pyti-there-is-no-such-package"],
    );
}

#[test]
fn unknown_version() {
    refused("six==99.99", &[], &["six", "99.99"]);
}

#[test]
fn network_down() {
    refused(
        "six==1.16.0",
        &["--index-url", "http://127.0.0.1:9/simple"],
        &["127.0.0.1:9"],
    );
}

#[test]
fn malformed_target() {
    refused("six==", &[], &["six=="]);
}

#[test]
fn missing_file() {
    refused("./no-such-file.tar.gz", &[], &["no-such-file.tar.gz"]);
}

#[test]
fn a_mistyped_file_is_no_package_of_that_name() {
    // An index that is asked would not answer.
    let nowhere = ["--index-url", "http://127.0.0.1:9/simple"];
    refused(
        "nosuch-1.0.tar.gz",
        &nowhere,
        &["nosuch-1.0.tar.gz", "No such file"],
    );
}

#[test]
fn url() {
    let parts = ["URLs are not taken", "download the file"];
    refused("https://127.0.0.1:9/a-1.0.tar.gz", &[], &parts);
}

#[test]
fn corrupt_archive() {
    let directory = tempfile::tempdir().expect("failed to make a directory");
    let path = directory.path().join("broken-1.0.tar.gz");
    std::fs::write(&path, b"\x1f\x8b\x08 this is no archive").expect("failed to write");
    refused(&path.to_string_lossy(), &[], &["broken-1.0.tar.gz"]);
    assert!(Path::new(&path).exists());
}

#[test]
fn an_existing_run_is_not_overwritten() {
    let directory = tempfile::tempdir().expect("failed to make a directory");
    let path = directory.path().to_string_lossy().into_owned();
    let output = pyti_tests::run(&["audit", "six==1.16.0", "--out", &path]);
    assert_eq!(output.status.code(), Some(2));
    assert!(pyti_tests::text(&output.stderr).contains("exists"));
}
