//! The whole way from a target to its wheelhouse.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::archive::Limits;
use crate::cache::{Cache, digest};
use crate::config::IndexConfig;
use crate::entry_points::EntryPoints;
use crate::error::{IndexError, blocking};
use crate::filename::{DistFilename, PythonPlatform};
use crate::hook::{HookRequest, MetadataHook, ask};
use crate::index::{Index, LocalFile};
use crate::loopback::{Loopback, Pinned};
use crate::metadata::{CoreMetadata, Static};
use crate::name::PackageName;
use crate::pack::pack;
use crate::progress::Progress;
pub use crate::resolve::Beside;
use crate::resolve::{Bounds, Resolver, wheelhouse_file};
pub use crate::select::Cutoff;
use crate::select::Selection;
use crate::target::Target;
use crate::text::printable;
use crate::uv::Uv;
use crate::wheelhouse::{Prepared, TargetFile, WheelhouseFile};

/// How a target is prepared.
#[derive(Debug, Clone)]
pub struct Options {
    /// The cache's directory, made where it is missing.
    pub cache: PathBuf,
    /// The package indexes.
    pub index: IndexConfig,
    /// Take the wheel of the target instead of its source.
    pub wheel: bool,
    /// Take a pre-release where it is the newest.
    pub pre: bool,
    /// Where it is to run.
    pub platform: PythonPlatform,
    /// What the build of the target asks for besides what it says where it can be read (PEP 508).
    pub build_requires: Vec<String>,
    /// Take only wheels for what something requires, and the newest that has one.
    pub wheels_only: bool,
    /// Ignore files that were uploaded later.
    pub cutoff: Option<Cutoff>,
    /// A `uv` of the caller's own, instead of the pinned one.
    pub uv: Option<PathBuf>,
    /// The Python that `uv` asks, instead of [`crate::host_python`].
    pub python: Option<PathBuf>,
    /// What archives may demand.
    pub limits: Limits,
    /// Bytes that all files of a closure may have together.
    pub closure_bytes: u64,
}

impl Options {
    /// The usual choices.
    #[must_use]
    pub fn new(cache: PathBuf, index: IndexConfig) -> Self {
        Self {
            cache,
            index,
            wheel: false,
            pre: false,
            platform: PythonPlatform::default(),
            build_requires: vec![],
            wheels_only: false,
            cutoff: None,
            uv: None,
            python: None,
            limits: Limits::default(),
            closure_bytes: 4 << 30,
        }
    }
}

/// [`fetch`], then [`examine`], [`metadata`] and [`resolve`].
///
/// # Errors
///
/// Any [`IndexError`]; [`IndexError::kind`] says whose fault it is.
pub async fn prepare(
    target: &Target,
    options: &Options,
    hook: Arc<dyn MetadataHook>,
    progress: Arc<dyn Progress>,
) -> Result<Prepared, IndexError> {
    let fetched = fetch(target, options, Arc::clone(&progress)).await?;
    let source = examine(&fetched, options, Arc::clone(&hook), Arc::clone(&progress)).await?;
    let metadata = metadata(&fetched, &source, &*hook).await?;
    resolve(&fetched, &source, metadata, options, hook, progress).await
}

/// Finds the file of `target`, fetches it into the cache and checks it as an archive.
///
/// # Errors
///
/// Any [`IndexError`].
pub async fn fetch(
    target: &Target,
    options: &Options,
    progress: Arc<dyn Progress>,
) -> Result<Fetched, IndexError> {
    let (index, selection) = client(options, progress)?;
    let fetched = locate(target, options, &index, &selection).await?;
    // Before anything else is fetched for it.
    check_archive(&fetched.local()?, options.limits).await?;
    Ok(fetched)
}

/// What is known of a fetched target without its own code, and what that code needs to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its metadata, where it states all that is needed.
    pub metadata: Option<CoreMetadata>,
    /// Requirements that were written down when it was packed, where `metadata` is missing: not to
    /// be relied on.
    pub hint: Option<Vec<String>>,
    /// What building it requires (PEP 508); empty for a wheel.
    pub build_requires: Vec<String>,
    /// Its entry points, where it states them without being run.
    #[serde(default)]
    pub entry_points: Option<EntryPoints>,
    /// The closure of that.
    pub build_files: Vec<WheelhouseFile>,
    /// What an auditor should know.
    pub notes: Vec<String>,
}

/// Reads a fetched target, resolves what its build requires, and fetches it.
///
/// # Errors
///
/// Any [`IndexError`].
pub async fn examine(
    found: &Fetched,
    options: &Options,
    hook: Arc<dyn MetadataHook>,
    progress: Arc<dyn Progress>,
) -> Result<Source, IndexError> {
    let local = found.local()?;
    let (resolver, _loopback) = resolver(options, hook, progress).await?;
    let examined = resolver.examine(&local).await?;
    let ancestors = [local.sha256.clone()];
    let what = local.filename.as_str();
    let mut closure = resolver
        .closure_of_source(&examined, &ancestors, what)
        .await?;
    let besides = &options.build_requires;
    if !besides.is_empty() {
        let named = printable(&besides.join(", "), 200);
        if local.filename.kind().is_sdist() {
            // By itself: what setup.py asks for is installed beside, not with, what builds it.
            let more = resolver.closure_of_build(besides, &ancestors, what).await?;
            closure.files.extend(more.files);
            resolver.note(vec![format!("build of {what}: with {named}, as was asked")]);
        } else {
            resolver.note(vec![format!(
                "{what} is a wheel, which nothing builds: {named} is not fetched"
            )]);
        }
    }
    let (metadata, hint) = match examined.metadata {
        Static::Known(metadata) => (Some(*metadata), None),
        Static::NeedsHook { hint } => (None, hint),
    };
    Ok(Source {
        metadata,
        hint,
        build_requires: examined.build_requires,
        entry_points: examined.entry_points,
        build_files: closure.files.into_values().collect(),
        notes: resolver.notes(),
    })
}

/// The metadata of a fetched target: its own, or what its build back end says in `hook`.
///
/// # Errors
///
/// The back end gives none, or none that can be read.
pub async fn metadata(
    found: &Fetched,
    source: &Source,
    hook: &dyn MetadataHook,
) -> Result<CoreMetadata, IndexError> {
    match &source.metadata {
        Some(metadata) => Ok(metadata.clone()),
        None => ask(hook, hook_request(found, source)).await,
    }
}

/// What the hook is asked for a fetched target.
#[must_use]
pub fn hook_request(found: &Fetched, source: &Source) -> HookRequest {
    HookRequest {
        sdist: found.file.path.clone(),
        filename: found.file.filename.clone(),
        sha256: found.file.sha256.clone(),
        wheelhouse: source.build_files.clone(),
        build_requires: source.build_requires.clone(),
        hint: source.hint.clone(),
    }
}

/// Resolves what installing a fetched target of this metadata requires, and fetches it. Whatever
/// only the code of a requirement can tell is asked of `hook`; nothing of it runs here.
///
/// # Errors
///
/// Any [`IndexError`].
pub async fn resolve(
    found: &Fetched,
    source: &Source,
    metadata: CoreMetadata,
    options: &Options,
    hook: Arc<dyn MetadataHook>,
    progress: Arc<dyn Progress>,
) -> Result<Prepared, IndexError> {
    let local = found.local()?;
    let (resolver, _loopback) = resolver(options, hook, progress).await?;
    let filename = &local.filename;
    let (name, version) = identity(
        filename,
        &metadata.name,
        &metadata.version,
        found.from_index,
    );
    if name != *filename.name() || version != *filename.version() {
        let stated = printable(&format!("{} {}", metadata.name, metadata.version), 120);
        if found.from_index || !found.packed {
            resolver.note(vec![format!("{} calls itself {stated}", filename.as_str())]);
        }
    }
    let requires = metadata.requires_dist.clone();
    let mut closure = crate::resolve::Closure::default();
    if !requires.is_empty() {
        let pinned = Pinned {
            name: name.clone(),
            version: version.clone(),
            metadata: Arc::new(metadata),
        };
        closure = resolver.closure_of_target(pinned, &found.extras).await?;
    }
    let own = source.build_files.iter().chain([&found.file]);
    closure
        .files
        .extend(own.map(|file| (file.filename.clone(), file.clone())));
    let pins = closure
        .pins
        .into_iter()
        .map(|(name, version)| (name, version.to_string()));
    // Those of before are bounded by themselves.
    let mut notes = source.notes.clone();
    let new = resolver.notes().into_iter();
    notes.extend(new.filter(|note| !source.notes.contains(note)));
    Ok(Prepared {
        target: TargetFile {
            file: found.file.clone(),
            name,
            version: version.to_string(),
            kind: filename.kind(),
            extras: found.extras.clone(),
            yanked: found.yanked,
        },
        files: closure.files.into_values().collect(),
        build_requires: source.build_requires.clone(),
        requires,
        closure: pins.collect(),
        notes,
    })
}

/// What some requirements resolve to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closure {
    /// The files to install.
    pub files: Vec<WheelhouseFile>,
    /// What builds the sources among them.
    pub build_files: Vec<WheelhouseFile>,
    /// Requirements that were not followed.
    pub notes: Vec<String>,
}

/// Resolves requirements (PEP 508) that belong to no target, and fetches their closure: `beside` what is
/// installed already, where something is.
///
/// # Errors
///
/// Any [`IndexError`].
pub async fn closure(
    requirements: &[String],
    beside: Option<&Beside>,
    options: &Options,
    hook: Arc<dyn MetadataHook>,
    progress: Arc<dyn Progress>,
) -> Result<Closure, IndexError> {
    let (resolver, _loopback) = resolver(options, hook, progress).await?;
    let what = requirements.join(", ");
    let closure = match beside {
        Some(beside) => resolver.closure_beside(requirements, beside, &what).await?,
        None => resolver.closure_of_build(requirements, &[], &what).await?,
    };
    let named = |names: &BTreeSet<String>| -> Vec<WheelhouseFile> {
        let files = names.iter().filter_map(|name| closure.files.get(name));
        files.cloned().collect()
    };
    Ok(Closure {
        files: named(&closure.installed),
        build_files: named(&closure.builders),
        notes: resolver.notes(),
    })
}

async fn resolver(
    options: &Options,
    hook: Arc<dyn MetadataHook>,
    progress: Arc<dyn Progress>,
) -> Result<(Arc<Resolver>, Loopback), IndexError> {
    let (index, selection) = client(options, progress)?;
    let uv = Uv::ensure(&index, options.uv.clone(), options.python.clone()).await?;
    let bounds = Bounds {
        archives: options.limits,
        closure_bytes: options.closure_bytes,
    };
    Resolver::start(index, selection, bounds, uv, hook).await
}

/// Fetches the pinned `uv` from the index into the cache, unless it is there, and says where it is.
///
/// # Errors
///
/// Any [`IndexError`] of fetching and checking it.
pub async fn fetch_uv(
    options: &Options,
    progress: Arc<dyn Progress>,
) -> Result<PathBuf, IndexError> {
    let cache = Cache::open(&options.cache)?;
    let limit = options.limits.file_bytes;
    crate::uv::fetch(&Index::new(cache, options.index.clone(), limit, progress)?).await
}

fn client(
    options: &Options,
    progress: Arc<dyn Progress>,
) -> Result<(Index, Selection), IndexError> {
    let cache = Cache::open(&options.cache)?;
    let limit = options.limits.file_bytes;
    let index = Index::new(cache, options.index.clone(), limit, progress)?;
    let selection = Selection {
        platform: options.platform,
        cutoff: options.cutoff.clone(),
        wheels_only: options.wheels_only,
    };
    Ok((index, selection))
}

/// The target's file, in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// Its name and place.
    pub file: WheelhouseFile,
    /// The extras that were asked for.
    pub extras: Vec<PackageName>,
    /// Whether the index calls this release yanked.
    pub yanked: bool,
    /// It came from an index, under the name and version that were asked for.
    pub from_index: bool,
    /// Packed here, so that its file name may be a guess.
    pub packed: bool,
}

impl Fetched {
    fn of(local: &LocalFile) -> Self {
        Self {
            file: wheelhouse_file(local),
            extras: vec![],
            yanked: false,
            from_index: false,
            packed: false,
        }
    }

    fn local(&self) -> Result<LocalFile, IndexError> {
        let filename = DistFilename::parse(&self.file.filename, None);
        Ok(LocalFile {
            filename: filename.map_err(|reason| IndexError::BadTarget {
                target: printable(&self.file.filename, 200),
                reason: reason.to_owned(),
            })?,
            path: self.file.path.clone(),
            sha256: self.file.sha256.clone(),
            bytes: self.file.bytes,
        })
    }
}

async fn locate(
    target: &Target,
    options: &Options,
    index: &Index,
    selection: &Selection,
) -> Result<Fetched, IndexError> {
    match target {
        Target::Package {
            name,
            extras,
            version,
        } => {
            let page = index.project(name).await?;
            let file = selection.target(&page, version.as_ref(), options.wheel, options.pre)?;
            let local = index.fetch(file).await?;
            Ok(Fetched {
                extras: extras.iter().cloned().collect(),
                yanked: file.yanked,
                from_index: true,
                ..Fetched::of(&local)
            })
        }
        Target::File(path) => {
            let shown = printable(&path.display().to_string(), 200);
            let bad = |reason: &str| IndexError::BadTarget {
                target: shown.clone(),
                reason: reason.to_owned(),
            };
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.ok_or_else(|| bad("its name is not text"))?;
            let filename = DistFilename::parse(name, None).map_err(bad)?;
            let wheel = !filename.kind().is_sdist();
            if wheel && options.platform.fit(&filename).is_none() {
                return Err(bad("this wheel does not fit the image"));
            }
            let local = index.import(path, filename).await?;
            Ok(Fetched::of(&local))
        }
        Target::Directory(path) => {
            let (cache, path, limits) = (index.cache.clone(), path.clone(), options.limits);
            let local = blocking(move || {
                let packed = pack(&path, &cache, &limits)?;
                let filename = DistFilename::parse(&packed.filename, None).map_err(|reason| {
                    let target = printable(&path.display().to_string(), 200);
                    IndexError::BadTarget {
                        target,
                        reason: reason.to_owned(),
                    }
                })?;
                let (sha256, bytes) = digest(packed.file.path())
                    .map_err(IndexError::io("read", packed.file.path()))?;
                let path = cache.keep(packed.file, &sha256)?;
                Ok(LocalFile {
                    filename,
                    path,
                    sha256,
                    bytes,
                })
            });
            Ok(Fetched {
                packed: true,
                ..Fetched::of(&local.await?)
            })
        }
    }
}

async fn check_archive(local: &LocalFile, limits: Limits) -> Result<(), IndexError> {
    let local = local.clone();
    let kind = local.filename.kind();
    blocking(move || {
        crate::metadata::examine(&local.path, local.filename.as_str(), kind, &limits).map(drop)
    })
    .await
}

/// Name and version: of a file from an index its file name's, since that is what was asked for; of
/// one from this machine what it says itself, where that can be read.
fn identity(
    filename: &DistFilename,
    name: &str,
    version: &str,
    from_index: bool,
) -> (PackageName, pep440_rs::Version) {
    let stated = (name.parse().ok(), version.parse().ok());
    match stated {
        (Some(name), Some(version)) if !from_index => (name, version),
        (Some(name), None) if !from_index => (name, filename.version().clone()),
        _ => (filename.name().clone(), filename.version().clone()),
    }
}
