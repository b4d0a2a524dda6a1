//! For the fuzz targets: readers that nobody else outside needs. No part of the interface.

use std::path::Path;

use url::Url;

use crate::archive::Limits;
use crate::error::IndexError;
use crate::filename::{DistFilename, DistKind, PythonPlatform};
use crate::metadata::{CoreMetadata, Static};
use crate::name::PackageName;
use crate::page::{Metadata, ProjectPage};
use crate::prepare::Source;
use crate::select::Selection;

/// A package's page on an index.
#[derive(Debug)]
pub struct Page {
    /// Where it came from.
    pub url: Url,
    /// What it lists.
    pub files: Vec<File>,
    /// The name of the file that is taken where no version is asked for, or why none is.
    pub chosen: Result<String, String>,
}

/// A file of such a page.
#[derive(Debug)]
pub struct File {
    /// Its name.
    pub filename: DistFilename,
    /// Its address.
    pub url: Url,
    /// The sha256 of the file and of its separate metadata, where they are told.
    pub sha256: Vec<String>,
}

/// Reads the page of a package that came from `url` with this `Content-Type`.
///
/// # Errors
/// It is none.
pub fn page(name: &PackageName, content_type: &str, body: &str, url: &str) -> Result<Page, String> {
    let url = Url::parse(url).map_err(|error| error.to_string())?;
    let page = ProjectPage::parse(name, content_type, body, &url)?;
    let selection = Selection {
        platform: PythonPlatform::default(),
        cutoff: None,
        wheels_only: false,
    };
    let chosen = selection.target(&page, None, false, false);
    let chosen = chosen.map(|file| file.filename.as_str().to_owned());
    let files = page.files.iter().map(|file| {
        let of_metadata = match &file.metadata {
            Metadata::Hashed(sha256) => Some(sha256),
            Metadata::Missing | Metadata::Unhashed => None,
        };
        File {
            filename: file.filename.clone(),
            url: file.url.clone(),
            sha256: file.sha256.iter().chain(of_metadata).cloned().collect(),
        }
    });
    Ok(Page {
        url,
        files: files.collect(),
        chosen: chosen.map_err(|error| error.to_string()),
    })
}

/// What is known of the distribution at `path` without running it, and what its setup.py asks for besides.
///
/// # Errors
/// Its archive or its metadata is broken.
pub fn examine(path: &Path, kind: DistKind) -> Result<(Source, Vec<String>), IndexError> {
    let examined = crate::metadata::examine(path, "it", kind, &Limits::default())?;
    let (metadata, hint) = match examined.metadata {
        Static::Known(metadata) => (Some(*metadata), None),
        Static::NeedsHook { hint } => (None, hint),
    };
    let source = Source {
        metadata,
        hint,
        build_requires: examined.build_requires,
        entry_points: examined.entry_points,
        build_files: vec![],
        notes: vec![],
    };
    Ok((source, examined.setup_requires))
}

/// The metadata document that the resolver is given of a package, and what was left out of it.
#[must_use]
pub fn document(
    name: &PackageName,
    version: &pep440_rs::Version,
    metadata: &CoreMetadata,
) -> (String, Vec<String>) {
    crate::loopback::document(name, version, metadata)
}
