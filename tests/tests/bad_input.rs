//! Bad input gets one clear sentence, exit status 2, and no VM.
#![expect(clippy::expect_used, reason = "what fails in a helper fails the test")]

use std::io::{Cursor, Read as _, Write as _};
use std::time::Duration;

use flate2::{Compression, write::GzEncoder};
use pyti_tests::place::Place;
use pyti_tests::process::ended;
use pyti_tests::slow_index::{SlowIndex, Stalls};
use pyti_tests::{audit, text};
use tar::{EntryType, Header};

/// What reading an archive may take, the largest that is allowed too.
const SOON: Duration = Duration::from_secs(60);

/// Audits; the message on standard error is one line that says all of `parts`.
fn refused(target: &str, args: &[&str], parts: &[&str]) {
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
fn the_index_that_pip_uses_is_asked_and_named() {
    let index = SlowIndex::start(Stalls::Page).expect("no index");
    let place = Place::empty().expect("no place");
    let mut pyti = place.pyti(&["audit", "unknown==1.0"]);
    for other in [
        "UV_DEFAULT_INDEX",
        "UV_INDEX_URL",
        "UV_INDEX",
        "UV_EXTRA_INDEX_URL",
        "PIP_EXTRA_INDEX_URL",
        "UV_NO_INDEX",
        "PIP_NO_INDEX",
    ] {
        pyti.env_remove(other);
    }
    let output = pyti
        .env("PIP_CONFIG_FILE", "/dev/null")
        .env("PIP_INDEX_URL", index.url())
        .output()
        .expect("failed to start pyti");
    assert_eq!(
        text(&output.stderr),
        format!(
            "pyti: failed to find package 'unknown': {} does not know it; check the spelling\n",
            index.url()
        )
    );
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(index.asked(), ["/simple/unknown/"]);
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

/// Audits a file of this content in a home where there is nothing: the message is one line that ends in
/// `reason`, and nothing was done towards a VM.
fn unreadable(name: &str, content: &[u8], reason: &str) {
    let place = Place::empty().expect("no place");
    let path = place.path(name);
    std::fs::write(&path, content).expect("failed to write");
    let output = ended(place.audit(&path), SOON);
    let expected = format!("pyti: failed to read archive {name}: {reason}\n");
    assert_eq!(text(&output.stderr), expected);
    assert_eq!(output.status.code(), Some(2), "{name}");
    assert_eq!(text(&output.stdout), "", "{name}");
    // A run is kept as soon as a stage has begun, and an image would be made before that.
    assert!(!place.path("run").exists(), "{name}");
    for made in ["home/images", "home/templates"] {
        assert_eq!(place.names(made), [""; 0], "{name}");
    }
    assert_eq!(place.under_way(), [""; 0], "{name}");
}

#[test]
fn corrupt_archive() {
    let content = b"\x1f\x8b\x08 this is no archive";
    let reason = "it is corrupt: invalid gzip header";
    unreadable("broken-1.0.tar.gz", content, reason);
}

/// The header of a member. The library's own setters would refuse the paths that matter here.
fn member(path: &str, kind: EntryType, target: &str, size: u64) -> Header {
    let mut header = Header::new_gnu();
    let bytes = header.as_mut_bytes();
    bytes[..path.len()].copy_from_slice(path.as_bytes());
    bytes[157..157 + target.len()].copy_from_slice(target.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

/// A `.tar.gz` of these members, all full of zeros.
fn tar_gz(members: impl IntoIterator<Item = Header>) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for header in members {
        let size = header.size().expect("no size");
        let zeros = std::io::repeat(0).take(size);
        tar.append(&header, zeros).expect("failed to pack");
    }
    let gzip = tar.into_inner().expect("failed to pack");
    gzip.finish().expect("failed to pack")
}

/// A wheel with one member.
fn wheel(path: &str) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(path, zip::write::SimpleFileOptions::default())
        .expect("failed to pack");
    zip.write_all(b"evil").expect("failed to pack");
    zip.finish().expect("failed to pack").into_inner()
}

#[test]
fn dangerous_archives_are_refused() {
    let file = |path: &str, size| member(path, EntryType::Regular, "", size);
    let link = member("link-1.0/l", EntryType::Symlink, "../../etc/passwd", 0);
    // Each of another name: members that are all the same would be a bomb first.
    let many = (0..=100_000).map(|number| file(&format!("many-1.0/{number}"), 0));
    for (name, content, reason) in [
        (
            "up-1.0-py3-none-any.whl",
            wheel("up/../../evil"),
            "member 'up/../../evil' leads out of the archive by '..'",
        ),
        (
            "root-1.0.tar.gz",
            tar_gz([file("/etc/evil", 1)]),
            "member '/etc/evil' has an absolute path",
        ),
        (
            "link-1.0.tar.gz",
            tar_gz([link]),
            "member 'link-1.0/l' is a link that leads out of the archive",
        ),
        (
            "bomb-1.0.tar.gz",
            tar_gz([file("bomb-1.0/zeros", 64 << 20)]),
            "it expands more than 200 times, like a bomb",
        ),
        ("many-1.0.tar.gz", tar_gz(many), "more than 100000 members"),
    ] {
        unreadable(name, &content, &format!("it is refused: {reason}"));
    }
}

#[test]
fn an_existing_run_is_not_overwritten() {
    let directory = tempfile::tempdir().expect("failed to make a directory");
    let path = directory.path().to_string_lossy().into_owned();
    let output = pyti_tests::run(&["audit", "six==1.16.0", "--out", &path]);
    assert_eq!(output.status.code(), Some(2));
    assert!(pyti_tests::text(&output.stderr).contains("exists"));
}
