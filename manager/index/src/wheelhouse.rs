//! What the VM is given.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::filename::DistKind;
use crate::name::PackageName;

/// A fixed moment for every file in the tar: 1980-01-01, the oldest that a zip can hold, since
/// packages are built into wheels.
pub(crate) const MOMENT: u64 = 315_532_800;

/// A distribution for the VM.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WheelhouseFile {
    /// Its name in the wheelhouse: ASCII letters, digits and `._-+!` only.
    pub filename: String,
    /// Where it is on this machine.
    pub path: PathBuf,
    /// Its sha256, in hexadecimal.
    pub sha256: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// The distribution to be audited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetFile {
    /// Its name, version and place.
    #[serde(flatten)]
    pub file: WheelhouseFile,
    /// The package.
    pub name: PackageName,
    /// The version, normalised (PEP 440).
    pub version: String,
    /// Sdist or wheel.
    pub kind: DistKind,
    /// The extras that were asked for.
    pub extras: Vec<PackageName>,
    /// Whether the index calls this release yanked.
    pub yanked: bool,
}

/// A target with everything that its installation needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// What is audited.
    pub target: TargetFile,
    /// Every file of the wheelhouse, the target's among them, ordered by name.
    pub files: Vec<WheelhouseFile>,
    /// What building the target requires (PEP 508).
    pub build_requires: Vec<String>,
    /// What the target requires (PEP 508), as it says.
    pub requires: Vec<String>,
    /// The pinned closure: name and version, without the target.
    pub closure: Vec<(PackageName, String)>,
    /// What an auditor should know: requirements that were not followed, names that do not match.
    pub notes: Vec<String>,
}

/// Appends `files` to a tar: every one in `directory`, mode 0644, at a fixed time.
///
/// # Errors
///
/// What the file system said, or that a file is not what it was.
pub fn append_tar(
    files: &[WheelhouseFile],
    directory: &str,
    tar: &mut tar::Builder<impl io::Write>,
) -> io::Result<()> {
    for file in files {
        let mut content = File::open(&file.path)?;
        let size = content.metadata()?.len();
        if size != file.bytes {
            return Err(io::Error::other(format!(
                "{} has changed on disk",
                file.filename
            )));
        }
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(MOMENT);
        header.set_size(size);
        let name = format!("{directory}/{}", file.filename);
        tar.append_data(&mut header, name, &mut content)?;
    }
    Ok(())
}
