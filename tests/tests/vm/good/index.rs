//! Packages of PyPI as a user names them, from the index to the verdict. They need the network.

use pyti_tests::{Audit, audit};

/// The package was found, nothing stands out, and exactly these stages ran, each to its end and with
/// all of its events kept. Standard error, which is no terminal, stays empty.
fn unremarkable(audit: &Audit, stages: &[&str]) {
    assert_eq!(audit.verdict(), "unremarkable", "{}", audit.everything());
    assert_eq!(audit.status, 0);
    assert_eq!(audit.stderr, "");
    let target = &audit.report["target"];
    assert_eq!(target["name"], "simplejson", "{target}");
    assert_eq!(target["version"], "3.19.3", "{target}");
    let sha256 = target["sha256"].as_str().unwrap_or_default();
    assert_eq!(sha256.len(), 64, "{target}");
    assert!(
        sha256.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{target}"
    );
    let ran: Vec<(&str, &str)> = audit.report["stages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|stage| Some((stage["name"].as_str()?, stage["status"]["state"].as_str()?)))
        .collect();
    let completed: Vec<(&str, &str)> = stages.iter().map(|name| (*name, "completed")).collect();
    assert_eq!(ran, completed, "{}", audit.everything());
    for stage in stages {
        let losses = audit.report["losses"][*stage].as_object();
        let losses = losses.unwrap_or_else(|| panic!("no {stage}: {}", audit.everything()));
        assert_eq!(losses.len(), 6, "{losses:?}");
        for (family, loss) in losses {
            assert_eq!(loss["lost"], 0, "{stage} {family}: {loss}");
            assert_eq!(loss["seen"], loss["stored"], "{stage} {family}: {loss}");
        }
        // The probes were there: a file that nobody opened was not installed.
        assert!(losses["file"]["seen"].as_u64() > Some(0), "{losses:?}");
    }
}

#[test]
fn vm_index_source_by_name_and_version() {
    let audit = audit("simplejson==3.19.3", &[]);
    unremarkable(&audit, &["metadata", "install"]);
    let filename = &audit.report["target"]["filename"];
    assert_eq!(filename, "simplejson-3.19.3.tar.gz");
}

#[test]
fn vm_index_wheel_by_package_url() {
    // A wheel says of itself what it requires: none of its code is asked.
    let audit = audit("pkg:pypi/simplejson@3.19.3", &["--wheel"]);
    unremarkable(&audit, &["install"]);
    let filename = audit.report["target"]["filename"].as_str();
    let filename = filename.expect("no file name");
    assert!(
        filename.starts_with("simplejson-3.19.3-") && filename.ends_with(".whl"),
        "{filename}"
    );
}
