//! A package's page on an index. The first byte says whether it is JSON or HTML, and whether it came by
//! https.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pyti_index::fuzzing::{File, Page, page};

const MEDIA_TYPES: [&str; 2] = ["application/vnd.pypi.simple.v1+json", "text/html"];
const SCHEMES: [&str; 2] = ["https", "http"];

/// The address of a file without what it has of a password.
fn bare(file: &File) -> String {
    let mut url = file.url.clone();
    url.set_username("").expect("an address with a host");
    url.set_password(None).expect("an address with a host");
    url.into()
}

fuzz_target!(|bytes: &[u8]| {
    let Some((which, body)) = bytes.split_first() else {
        return;
    };
    let media_type = MEDIA_TYPES[usize::from(*which & 1)];
    let scheme = SCHEMES[usize::from((*which >> 1) & 1)];
    let body = String::from_utf8_lossy(body);
    let name = "a".parse().expect("a name");
    let read = |login: &str| {
        let url = format!("{scheme}://{login}index.test/simple/a/");
        page(&name, media_type, &body, &url)
    };
    let (Ok(open), Ok(closed)) = (read(""), read("user:password@")) else {
        return;
    };
    let Page { url, files, chosen } = closed;
    assert_eq!(open.files.len(), files.len());
    for (open, closed) in open.files.iter().zip(&files) {
        // The index' password goes to the index alone.
        if closed.url.origin() == url.origin() {
            assert_eq!(bare(open), bare(closed));
        } else {
            assert_eq!(open.url, closed.url);
        }
        // Nobody on the way may answer where the page itself came safely.
        assert!(
            [scheme, "https"].contains(&closed.url.scheme()),
            "{}",
            closed.url
        );
        assert_eq!(*closed.filename.name(), name);
        for sha256 in &closed.sha256 {
            let hexadecimal = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
            assert!(
                sha256.len() == 64 && sha256.chars().all(hexadecimal),
                "{sha256:?}"
            );
        }
    }
    match chosen {
        Ok(chosen) => assert!(files.iter().any(|file| file.filename.as_str() == chosen)),
        Err(reason) => assert!(!reason.contains(char::is_control), "{reason:?}"),
    }
});
