//! The templates on disk: a label on each, the list of all, and the removal of what nobody uses.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::SystemTime,
};

use pyti_trace::wire::Ready;
use serde::{Deserialize, Serialize};

use crate::{Home, VmError, home};

/// The file of a template's directory that says what it is; it is written last.
const LABEL: &str = "template.json";
/// Templates kept, as many as two of each image that is built in: an image has one for each version of the agent
/// and each size. The least recently used go.
const KEPT: usize = 8;

/// What is known of a template, kept beside it as `template.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateRecord {
    /// Hash of everything that shaped it; the name of its directory.
    pub key: String,
    /// The image it was booted from.
    pub image: String,
    /// `kvm`, `tcg`, or `tcg, counted instructions`.
    pub accel: String,
    /// The hypervisor and its version.
    pub machine: String,
    /// What the agent said when it was ready.
    pub ready: Ready,
    /// Bytes of guest memory that are not zero.
    pub memory_bytes: u64,
    /// Bytes of the devices' state.
    pub state_bytes: u64,
    /// From start to ready, milliseconds.
    pub boot_ms: u64,
    /// When it was made, seconds since the epoch.
    pub built: u64,
}

/// Writes the record into a template's directory.
pub(crate) fn label(place: &Path, record: &TemplateRecord) -> Result<(), VmError> {
    let json = serde_json::to_vec_pretty(record).map_err(|error| VmError::Damaged {
        what: LABEL.into(),
        reason: error.to_string(),
    })?;
    home::write(&place.join(LABEL), &json)
}

/// The record of the template in this directory, marked as used now; `None` where there is none.
pub(crate) fn take(place: &Path) -> Result<Option<TemplateRecord>, VmError> {
    if !place.join(LABEL).exists() {
        return Ok(None);
    }
    let record = read(place)?;
    // The time of last use, for `prune`; where it cannot be set the template goes a little earlier.
    if let Ok(file) = File::options().append(true).open(place.join(LABEL)) {
        let _ = file.set_modified(SystemTime::now());
    }
    Ok(Some(record))
}

/// Removes the template of this key.
pub(crate) fn remove(home: &Home, key: &str) -> Result<(), VmError> {
    let found = records(home)?
        .into_iter()
        .find(|(_, record)| record.key == key);
    let (path, _) = found.ok_or_else(|| VmError::Damaged {
        what: format!("template {key}"),
        reason: "there is none of this key".into(),
    })?;
    fs::remove_dir_all(&path).map_err(VmError::io(format!("remove {}", path.display())))
}

fn read(place: &Path) -> Result<TemplateRecord, VmError> {
    let path = place.join(LABEL);
    serde_json::from_slice(&home::read(&path)?).map_err(|error| VmError::Damaged {
        what: path.display().to_string(),
        reason: format!("{error}; remove its directory"),
    })
}

/// Directories and records, the most recently used first.
pub(crate) fn records(home: &Home) -> Result<Vec<(PathBuf, TemplateRecord)>, VmError> {
    let directory = home.templates();
    let entries =
        fs::read_dir(&directory).map_err(VmError::io(format!("read {}", directory.display())))?;
    let mut found: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let path = entry.path();
            let used = fs::metadata(path.join(LABEL))
                .and_then(|meta| meta.modified())
                .ok()?;
            let record = read(&path)
                .inspect_err(|error| tracing::warn!("{error}"))
                .ok()?;
            Some((used, path, record))
        })
        .collect();
    found.sort_by_key(|(used, ..)| std::cmp::Reverse(*used));
    Ok(found
        .into_iter()
        .map(|(_, path, record)| (path, record))
        .collect())
}

/// A template of each agent ever built would fill the disk.
pub(crate) fn prune(home: &Home) -> Result<(), VmError> {
    for (path, _) in records(home)?.into_iter().skip(KEPT) {
        fs::remove_dir_all(&path).map_err(VmError::io(format!("remove {}", path.display())))?;
    }
    Ok(())
}
