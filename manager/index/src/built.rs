//! Wheels that were built where package code may run: as hostile as what an index has.

use std::io::Write as _;
use std::path::Path;

use crate::archive::{self, Limits};
use crate::cache::{Cache, digest};
use crate::error::{IndexError, blocking};
use crate::filename::{DistFilename, DistKind};
use crate::prepare::Options;
use crate::text::printable;
use crate::wheelhouse::WheelhouseFile;

/// A wheel that was built of a source distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltWheel {
    /// The wheel, in the cache.
    pub file: WheelhouseFile,
    /// The text of its METADATA file.
    pub metadata: String,
}

/// Checks a wheel that was built of the source distribution of this file name, and keeps it in the cache.
///
/// # Errors
///
/// It is of another package, its archive is broken or dangerous, or the disk refuses.
pub async fn keep_wheel(
    sdist: &str,
    filename: &str,
    content: Vec<u8>,
    options: &Options,
) -> Result<BuiltWheel, IndexError> {
    let wrong = |reason: &str| IndexError::Metadata {
        file: printable(filename, 200),
        reason: reason.to_owned(),
    };
    let wheel = DistFilename::parse(filename, None).map_err(wrong)?;
    // The name of an old source leaves open where that of its package ends.
    let is_of_source = DistFilename::parse(sdist, Some(wheel.name())).is_ok();
    if wheel.kind().is_sdist() || !is_of_source {
        return Err(wrong("it is no wheel of the source that was built"));
    }
    let (cache, limits) = (Cache::open(&options.cache)?, options.limits);
    let filename = filename.to_owned();
    blocking(move || {
        let mut file = cache.temporary()?;
        let written = file.write_all(&content);
        written.map_err(IndexError::io("write", file.path()))?;
        let metadata = metadata_text(file.path(), &filename, &limits)?;
        let (sha256, bytes) = digest(file.path()).map_err(IndexError::io("read", file.path()))?;
        let path = cache.keep(file, &sha256)?;
        Ok(BuiltWheel {
            file: WheelhouseFile {
                filename,
                path,
                sha256,
                bytes,
            },
            metadata,
        })
    })
    .await
}

/// The text of the one METADATA file of a wheel, called `file` in messages.
fn metadata_text(path: &Path, file: &str, limits: &Limits) -> Result<String, IndexError> {
    let is_metadata = |member: &str| {
        let parts = member.split_once('/');
        parts.is_some_and(|(info, name)| info.ends_with(".dist-info") && name == "METADATA")
    };
    let archive = archive::read(path, DistKind::Wheel, limits, is_metadata);
    let archive = archive.map_err(|reason| IndexError::Archive {
        file: file.to_owned(),
        reason,
    })?;
    let mut texts = archive.texts.into_values();
    match (texts.next(), texts.next()) {
        (Some(text), None) => Ok(String::from_utf8_lossy(&text).into_owned()),
        _ => Err(IndexError::Metadata {
            file: file.to_owned(),
            reason: "it has not exactly one .dist-info/METADATA".to_owned(),
        }),
    }
}
