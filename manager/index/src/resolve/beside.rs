//! What is installed beside something that is there already.

use std::collections::BTreeMap;
use std::sync::Arc;

use pep440_rs::Version;

use super::{Closure, Resolver};
use crate::error::{ErrorKind, IndexError};
use crate::loopback::{Pinned, Session};
use crate::metadata::CoreMetadata;
use crate::name::PackageName;
use crate::wheelhouse::Prepared;

/// A target with what it requires, in the versions that are installed: what comes beside them has to
/// get along with these.
#[derive(Debug, Clone)]
pub struct Beside {
    target: Pinned,
    pins: BTreeMap<PackageName, Version>,
}

impl Beside {
    /// A resolved target of this metadata.
    ///
    /// # Errors
    /// A version is none, which no resolution gives.
    pub fn of(prepared: &Prepared, metadata: CoreMetadata) -> Result<Self, IndexError> {
        let version = |name: &PackageName, text: &str| {
            text.parse::<Version>()
                .map_err(|_| IndexError::Tool(format!("{name} has no version")))
        };
        let target = &prepared.target;
        let pins = prepared.closure.iter();
        let pins =
            pins.map(|(name, text)| Ok::<_, IndexError>((name.clone(), version(name, text)?)));
        Ok(Self {
            target: Pinned {
                name: target.name.clone(),
                version: version(&target.name, &target.version)?,
                metadata: Arc::new(metadata),
            },
            pins: pins.collect::<Result<_, IndexError>>()?,
        })
    }
}

impl Resolver {
    /// The closure of what is to be installed beside something. Of that itself no file is in it but
    /// wheels: sources were built when it was installed.
    pub(crate) async fn closure_beside(
        &self,
        requires: &[String],
        beside: &Beside,
        what: &str,
    ) -> Result<Closure, IndexError> {
        let Beside { target, pins } = beside;
        let safe = self.followed(requires, what);
        if safe.is_empty() {
            return Ok(Closure::default());
        }
        let session = Session {
            target: Some(target.clone()),
            there: pins.clone(),
            ..Session::default()
        };
        let what = format!("{what} beside {} {}", target.name, target.version);
        let mut wanted = Vec::new();
        for (name, version) in self.compile(&safe, session, &what).await? {
            if name == target.name {
                continue;
            }
            if pins.contains_key(&name) {
                match self.choose(&name, &version).await {
                    Ok(file) if file.filename.kind().is_sdist() => continue,
                    Ok(_) => {}
                    // There is none but a source.
                    Err(error) if error.kind() == ErrorKind::Input => continue,
                    Err(error) => return Err(error),
                }
            }
            wanted.push((name, version));
        }
        self.files_of(wanted, &[]).await
    }
}
