//! Images: a root file system, a kernel and its modules, made from a small definition file.

mod build;
mod definition;
mod interpreter;
mod kernel;
mod process_tree;
mod user;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::{definition::Definition, interpreter::Interpreter};
use crate::{Home, Progress, VmError, home};

/// Part of every image's key: raise it when the builder makes something else of the same definition.
const BUILDER_VERSION: u32 = 1;

/// What is known of an image, kept beside it as `image.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What it was made from.
    pub definition: Definition,
    /// Version of the kernel, as in `uname -r`.
    pub kernel: String,
    /// SHA-256 of `vmlinuz`, hexadecimal.
    pub kernel_sha256: String,
    /// SHA-256 of `root.erofs`, hexadecimal.
    pub root_sha256: String,
    /// Bytes of `root.erofs`.
    pub root_bytes: u64,
    /// Files below `modules/`, in the order in which they must be loaded.
    pub modules: Vec<String>,
    /// When it was built, seconds since the epoch.
    pub built: u64,
}

/// A built image.
#[derive(Debug, Clone)]
pub struct Image {
    directory: PathBuf,
    record: Record,
}

impl Image {
    /// The image of this definition; built first where it does not exist. Blocks: a build takes
    /// about a minute, and ends early, with an error, where `progress` is abandoned. Of several
    /// programs that want the same image, one builds, the others wait.
    ///
    /// # Errors
    /// Missing programs, no network, or a package that the suite does not have.
    pub fn obtain(
        home: &Home,
        definition: &Definition,
        progress: &dyn Progress,
    ) -> Result<Self, VmError> {
        let name = directory_name(definition)?;
        let place = home.images().join(&name);
        if let Some(image) = Self::existing(&place)? {
            return Ok(image);
        }
        let _lock = home.lock(&format!("image-{name}"))?;
        if let Some(image) = Self::existing(&place)? {
            return Ok(image);
        }
        let stage = home.stage()?;
        let built = build::build(stage.path(), definition, progress)?;
        progress.step("hashing the image");
        let record = Record {
            definition: definition.clone(),
            kernel: built.kernel,
            kernel_sha256: sha256_file(&stage.path().join("vmlinuz"))?,
            root_sha256: sha256_file(&stage.path().join("root.erofs"))?,
            root_bytes: built.root_bytes,
            modules: built.modules,
            built: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |time| time.as_secs()),
        };
        let json = serde_json::to_vec_pretty(&record).map_err(|error| damaged(&place, &error))?;
        home::write(&stage.path().join("image.json"), &json)?;
        stage.publish(&place)?;
        Ok(Self {
            directory: place,
            record,
        })
    }

    /// Whether the image of this definition is there.
    ///
    /// # Errors
    /// A definition that cannot be hashed, which is none that was read.
    pub fn is_built(home: &Home, definition: &Definition) -> Result<bool, VmError> {
        let place = home.images().join(directory_name(definition)?);
        Ok(place.join("image.json").exists())
    }

    fn existing(place: &Path) -> Result<Option<Self>, VmError> {
        if place.join("image.json").exists() {
            Self::open(place).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Opens an image by its directory.
    ///
    /// # Errors
    /// No such image, or one that this version does not understand.
    pub fn open(directory: &Path) -> Result<Self, VmError> {
        let bytes = home::read(&directory.join("image.json"))?;
        let record = serde_json::from_slice(&bytes).map_err(|error| damaged(directory, &error))?;
        Ok(Self {
            directory: directory.to_owned(),
            record,
        })
    }

    /// All images, by name; damaged ones are left out with a warning.
    ///
    /// # Errors
    /// The directory of images cannot be read.
    pub fn list(home: &Home) -> Result<Vec<Self>, VmError> {
        let directory = home.images();
        let entries = fs::read_dir(&directory)
            .map_err(VmError::io(format!("read {}", directory.display())))?;
        let mut images: Vec<Self> = entries
            .flatten()
            .filter_map(|entry| {
                Self::open(&entry.path())
                    .inspect_err(|error| tracing::warn!("{error}"))
                    .ok()
            })
            .collect();
        images.sort_by(|a, b| a.directory.cmp(&b.directory));
        Ok(images)
    }

    /// Removes the image from disk. Clones that run keep the files they have open.
    ///
    /// # Errors
    /// The files cannot be removed.
    pub fn remove(self) -> Result<(), VmError> {
        fs::remove_dir_all(&self.directory)
            .map_err(VmError::io(format!("remove {}", self.directory.display())))
    }

    /// Its directory: `root.erofs`, `vmlinuz`, `modules/`, `image.json`.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What is known of it.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Name and key, for people: `trixie-0123456789abcdef`.
    #[must_use]
    pub fn id(&self) -> String {
        self.directory
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    /// The file system that is below all that a stage sees, erofs.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.directory.join("root.erofs")
    }

    /// The kernel, bzImage.
    #[must_use]
    pub fn kernel(&self) -> PathBuf {
        self.directory.join("vmlinuz")
    }

    /// Names and contents of the modules, in load order.
    ///
    /// # Errors
    /// A module cannot be read.
    pub fn modules(&self) -> Result<Vec<(String, Vec<u8>)>, VmError> {
        let directory = self.directory.join("modules");
        let read = |name: &String| Ok((name.clone(), home::read(&directory.join(name))?));
        self.record.modules.iter().map(read).collect()
    }
}

fn damaged(place: &Path, error: &dyn std::fmt::Display) -> VmError {
    VmError::Damaged {
        what: place.join("image.json").display().to_string(),
        reason: format!("{error}; remove its directory and build the image again"),
    }
}

fn directory_name(definition: &Definition) -> Result<String, VmError> {
    let mut hash = Sha256::new();
    hash.update(BUILDER_VERSION.to_le_bytes());
    hash.update(definition.canonical()?);
    hash.update(user::archive()?);
    Ok(format!(
        "{}-{}",
        definition.name,
        &hex(&hash.finalize())[..16]
    ))
}

/// Bytes as lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256_file(path: &Path) -> Result<String, VmError> {
    let mut file = home::open(path)?;
    let mut hash = Sha256::new();
    std::io::copy(&mut file, &mut hash).map_err(VmError::io(format!("read {}", path.display())))?;
    Ok(hex(&hash.finalize()))
}
