//! Paths that records tell in pieces.

use super::*;

#[test]
fn a_directory_and_a_name_make_a_path() {
    let bytes = Builder::new(kind::RENAME)
        .text(tag::PATH, b"/\0")
        .text(tag::PATH_NAME, b"a\0")
        .text(tag::TARGET, b"/tmp\0")
        .text(tag::TARGET_NAME, b"b\0")
        .build();
    let (event, _) = decode(&bytes).unwrap();
    assert_eq!(event.path.as_deref(), Some("/a"));
    assert_eq!(event.target.as_deref(), Some("/tmp/b"));
}

#[test]
fn a_target_without_a_directory_lies_in_that_of_the_path() {
    let renamed = |marks| {
        let mut builder = Builder::new(kind::RENAME)
            .text(tag::PATH, b"/tmp\0")
            .text(tag::PATH_NAME, b"a\0")
            .text(tag::TARGET_NAME, b"b\0");
        builder.set(12, &u32::to_le_bytes(marks));
        decode(&builder.build()).unwrap().0
    };
    let event = renamed(0);
    assert_eq!(event.path.as_deref(), Some("/tmp/a"));
    assert_eq!(event.target.as_deref(), Some("/tmp/b"));
    assert!(event.incomplete.is_empty());
    // What is not known of the one is not known of the other.
    let event = renamed(incomplete::PATH_UNRESOLVED);
    assert_eq!(event.target.as_deref(), Some("/tmp/b"));
    assert!(event.incomplete.contains(Incomplete::TARGET_UNRESOLVED));
    // A directory that could not be read is no other one.
    let event = renamed(incomplete::TARGET_UNREADABLE);
    assert_eq!(event.target, None);
}

#[test]
fn a_walk_begins_at_the_end() {
    let bytes = Builder::new(kind::LINK)
        .text(tag::WALKED, b"file\0")
        .text(tag::WALKED, b"work\0")
        .text(tag::WALKED, b"tmp\0")
        .build();
    assert_eq!(
        decode(&bytes).unwrap().0.path.as_deref(),
        Some("/tmp/work/file")
    );
}

#[test]
fn a_walk_without_its_beginning_is_no_path() {
    for lack in [incomplete::PATH_TRUNCATED, incomplete::PATH_UNREADABLE] {
        let mut builder = Builder::new(kind::LINK);
        builder.set(12, &lack.to_le_bytes());
        let bytes = builder.text(tag::WALKED, b"file\0").build();
        let (event, _) = decode(&bytes).unwrap();
        assert_eq!(event.path, None);
        assert_eq!(event.incomplete, Incomplete::PATH_UNREADABLE);
    }
}
