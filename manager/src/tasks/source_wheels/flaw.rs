//! What keeps a wheel that was built from being unpacked for a stage. It is a requirement that cannot be had
//! then, and no failure of what runs the stage.

use std::io;

use pyti_analyzer::escape_within;
use pyti_index::WheelhouseFile;
use pyti_index::archive::ArchiveError;
use pyti_vm::Interpreter;

use super::LONGEST_REASON;
use crate::tool;

/// Why a wheel cannot be unpacked, where that is its own fault.
///
/// # Errors
/// The system does not let it be read.
pub(super) async fn flaw(
    wheel: &WheelhouseFile,
    python: &Interpreter,
) -> anyhow::Result<Option<String>> {
    let (wheel, python) = (wheel.clone(), python.clone());
    let unpacking = tokio::task::spawn_blocking(move || tool::check(&wheel, &python));
    match unpacking.await? {
        Ok(()) => Ok(None),
        Err(error) if is_of_the_system(&error) => Err(error),
        // It may quote a path that the wheel has.
        Err(error) => Ok(Some(escape_within(&format!("{error:#}"), LONGEST_REASON))),
    }
}

/// Whether the system refused something: what decoders say of a broken file has no number of its.
fn is_of_the_system(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let error = match cause.downcast_ref::<ArchiveError>() {
            Some(ArchiveError::Io(error)) => Some(error),
            _ => cause.downcast_ref::<io::Error>(),
        };
        error.is_some_and(|error| error.raw_os_error().is_some())
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::{Cursor, Write as _};
    use std::path::Path;

    use zip::CompressionMethod;
    use zip::write::{SimpleFileOptions, ZipWriter};

    use super::*;

    /// A zip archive of files of these paths and contents, as they are.
    pub(in super::super) fn zipped(files: &[(&str, &str)]) -> Vec<u8> {
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        let mut zip = ZipWriter::new(Cursor::new(vec![]));
        for (path, content) in files {
            zip.start_file(*path, stored).unwrap();
            zip.write_all(content.as_bytes()).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    pub(in super::super) fn python() -> Interpreter {
        Interpreter::new("/usr/bin/python3", "3.13", "2.41").unwrap()
    }

    async fn flaw_at(path: &Path) -> anyhow::Result<Option<String>> {
        let wheel = WheelhouseFile {
            filename: "a-1-py3-none-any.whl".to_owned(),
            path: path.to_owned(),
            sha256: String::new(),
            bytes: 0,
        };
        flaw(&wheel, &python()).await
    }

    async fn flaw_of(content: &[u8]) -> Option<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        flaw_at(file.path()).await.unwrap()
    }

    #[tokio::test]
    async fn a_wheel_that_cannot_be_unpacked_is_told_from_what_cannot_be_read() {
        let good = zipped(&[("a.py", "x = 1")]);
        assert_eq!(flaw_of(&good).await, None);
        let mut damaged = good.clone();
        let at = good.windows(5).position(|bytes| bytes == b"x = 1").unwrap();
        damaged[at] = b'y';
        let strange = zipped(&[("a-1.data/\u{202e}/x", "")]);
        for (content, why) in [
            (
                &b"spam and eggs"[..],
                "it is corrupt: it is not a zip archive",
            ),
            (&good[..good.len() / 2], "it is truncated"),
            (&damaged[..], "Invalid checksum"),
            (&strange[..], "a-1.data/\\u{202e}/x belongs nowhere"),
        ] {
            let told = flaw_of(content).await;
            let expected = format!("failed to unpack a-1-py3-none-any.whl: {why}");
            assert_eq!(told, Some(expected));
        }
        let directory = tempfile::tempdir().unwrap();
        let error = flaw_at(&directory.path().join("gone")).await.unwrap_err();
        let said = error.to_string();
        assert_eq!(said, "failed to unpack a-1-py3-none-any.whl");
    }
}
