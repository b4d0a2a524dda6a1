//! Wheels that were built elsewhere are checked as those of an index are.

use std::io::{Cursor, Write as _};

use pyti_index::{BuiltWheel, ErrorKind, IndexError, keep_wheel};

use crate::fixture::{Bench, Fixture};

/// A cache, with an index that nobody asks.
fn bench() -> Bench {
    Bench::at("http://127.0.0.1:9/simple/")
}

/// The bytes of a wheel of this name with these fields in its metadata.
fn wheel(name: &str, fields: &str) -> Vec<u8> {
    let mut fixture = Fixture::default();
    fixture.wheel(name, "1.0", fields).content.clone()
}

async fn kept(
    bench: &Bench,
    sdist: &str,
    filename: &str,
    content: &[u8],
) -> Result<BuiltWheel, IndexError> {
    keep_wheel(sdist, filename, content.to_vec(), &bench.options).await
}

#[tokio::test]
async fn a_built_wheel_is_kept_with_its_metadata() {
    let bench = bench();
    let (content, filename) = (
        wheel("a_b", "Requires-Dist: six"),
        "a_b-1.0-cp313-cp313-linux_x86_64.whl",
    );
    // The source of an old package, whose name has the sign that also stands before its version.
    for sdist in ["a-b-1.0.tar.gz", "A.b-1.0-1.zip"] {
        let kept = kept(&bench, sdist, filename, &content).await.unwrap();
        assert_eq!(kept.file.filename, filename);
        assert_eq!(kept.file.bytes, content.len() as u64);
        assert_eq!(std::fs::read(&kept.file.path).unwrap(), content);
        assert!(kept.metadata.contains("Requires-Dist: six\n"));
    }
    // Its place is that of its content, so that who is given it twice is given the same.
    let [once, again] = [
        kept(&bench, "a-b-1.0.tar.gz", filename, &content).await,
        kept(&bench, "a-b-1.0.tar.gz", filename, &content).await,
    ]
    .map(Result::unwrap);
    assert_eq!(once, again);
}

#[tokio::test]
async fn what_is_no_wheel_of_the_source_is_refused() {
    let bench = bench();
    let mut empty = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    empty.start_file("a.py", options).unwrap();
    empty.write_all(b"x = 1\n").unwrap();
    let empty = empty.finish().unwrap().into_inner();
    let good = wheel("a", "");
    for (filename, content, why) in [
        (
            "b-1.0-py3-none-any.whl",
            &good[..],
            "no wheel of the source",
        ),
        ("a-1.0.tar.gz", &good[..], "no wheel of the source"),
        ("../a-1.0-py3-none-any.whl", &good[..], "characters"),
        (
            "a-1.0-py3-none-any.whl",
            &empty[..],
            "not exactly one .dist-info/METADATA",
        ),
        (
            "a-1.0-py3-none-any.whl",
            &b"spam and eggs"[..],
            "failed to read archive",
        ),
    ] {
        let refused = kept(&bench, "a-1.0.tar.gz", filename, content).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Package, "{refused}");
        assert!(refused.to_string().contains(why), "{refused}");
    }
}
