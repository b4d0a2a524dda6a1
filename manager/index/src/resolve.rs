//! From requirements to files: the closure, pinned, with what building its sources requires.

mod beside;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use pep440_rs::Version;
use tokio::sync::Semaphore;

use crate::archive::Limits;
use crate::error::{ErrorKind, IndexError, blocking};
use crate::hook::{BoxFuture, HookRequest, MetadataHook, ask};
use crate::index::{Index, LocalFile};
use crate::loopback::{Loopback, Pinned, Session};
use crate::metadata::{CoreMetadata, Examined, Static, examine};
use crate::name::PackageName;
use crate::notes::Notes;
use crate::page::IndexFile;
use crate::progress::Step;
use crate::requirement;
use crate::select::Selection;
use crate::text::printable;
use crate::uv::Uv;
use crate::wheelhouse::WheelhouseFile;
pub use beside::Beside;

/// Builds within builds; an honest chain has two or three.
const DEEPEST: usize = 8;

/// Files of one wheelhouse.
const MOST_FILES: usize = 2000;

/// Files fetched at the same time.
const FETCHES: usize = 4;

/// A pinned closure and its files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Closure {
    pub pins: Vec<(PackageName, Version)>,
    /// By file name: what the closure installs, and what building its sources requires.
    pub files: BTreeMap<String, WheelhouseFile>,
    /// Names of those that it installs.
    pub installed: BTreeSet<String>,
    /// Names of those that building its sources requires.
    pub builders: BTreeSet<String>,
}

/// What a resolution may demand of this host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// One archive.
    pub archives: Limits,
    /// Bytes of all files of a closure.
    pub closure_bytes: u64,
}

impl Bounds {
    fn check(&self, bytes: impl Iterator<Item = u64>) -> Result<(), IndexError> {
        let most = self.closure_bytes;
        if bytes.fold(0, u64::saturating_add) <= most {
            return Ok(());
        }
        Err(IndexError::Unresolvable {
            what: "the closure".to_owned(),
            reason: format!(
                "its files have more than {most} bytes together, which is what a VM can be given"
            ),
        })
    }
}

/// Resolves, with all that was learnt on the way.
pub(crate) struct Resolver {
    pub index: Index,
    pub selection: Selection,
    bounds: Bounds,
    uv: Uv,
    hook: Arc<dyn MetadataHook>,
    /// One hook at a time: each is a virtual machine.
    hook_turn: Semaphore,
    sessions: Mutex<HashMap<String, Arc<Session>>>,
    /// Metadata by the sha256 of its distribution.
    metadata: Mutex<HashMap<String, Arc<CoreMetadata>>>,
    /// Closures of build requirements, which many sources share.
    builds: Mutex<HashMap<Vec<String>, Closure>>,
    notes: Mutex<Notes>,
    loopback: OnceLock<std::net::SocketAddr>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Resolver {
    /// A resolver and the index it is served by, which must be kept as long.
    pub(crate) async fn start(
        index: Index,
        selection: Selection,
        bounds: Bounds,
        uv: Uv,
        hook: Arc<dyn MetadataHook>,
    ) -> Result<(Arc<Self>, Loopback), IndexError> {
        let resolver = Arc::new(Self {
            index,
            selection,
            bounds,
            uv,
            hook,
            hook_turn: Semaphore::new(1),
            sessions: Mutex::default(),
            metadata: Mutex::default(),
            builds: Mutex::default(),
            notes: Mutex::default(),
            loopback: OnceLock::new(),
        });
        let loopback = Loopback::start(Arc::clone(&resolver)).await?;
        resolver.loopback.get_or_init(|| loopback.address);
        Ok((resolver, loopback))
    }

    pub(crate) fn session(&self, token: &str) -> Option<Arc<Session>> {
        lock(&self.sessions).get(token).cloned()
    }

    pub(crate) fn note(&self, notes: Vec<String>) {
        let mut known = lock(&self.notes);
        notes.into_iter().for_each(|note| known.add(note));
    }

    pub(crate) fn notes(&self) -> Vec<String> {
        lock(&self.notes).told()
    }

    /// The closure of `target` with `extras`, without the target itself.
    pub(crate) async fn closure_of_target(
        &self,
        target: Pinned,
        extras: &[PackageName],
    ) -> Result<Closure, IndexError> {
        let name = target.name.clone();
        let extras: Vec<&str> = extras.iter().map(PackageName::as_str).collect();
        let extras = if extras.is_empty() {
            String::new()
        } else {
            format!("[{}]", extras.join(","))
        };
        let requirement = format!("{name}{extras}=={}", target.version);
        let session = Session {
            target: Some(target),
            ..Session::default()
        };
        let mut pins = self
            .compile(std::slice::from_ref(&requirement), session, &requirement)
            .await?;
        pins.retain(|(pinned, _)| *pinned != name);
        self.files_of(pins, &[]).await
    }

    /// The closure of what a build requires.
    pub(crate) async fn closure_of_build(
        &self,
        requires: &[String],
        ancestors: &[String],
        what: &str,
    ) -> Result<Closure, IndexError> {
        let safe = self.followed(requires, what);
        if safe.is_empty() {
            return Ok(Closure::default());
        }
        if let Some(known) = lock(&self.builds).get(&safe).cloned() {
            return Ok(known);
        }
        if ancestors.len() > DEEPEST {
            return Err(IndexError::Unresolvable {
                what: format!("the build of {what}"),
                reason: format!("builds require builds more than {DEEPEST} deep"),
            });
        }
        let session = Session {
            ancestors: ancestors.to_vec(),
            ..Session::default()
        };
        let pins = self
            .compile(&safe, session, &format!("the build of {what}"))
            .await?;
        let closure = self.files_of(pins, ancestors).await?;
        lock(&self.builds).insert(safe, closure.clone());
        Ok(closure)
    }

    /// What of these requirements leads to an index and nowhere else, each once.
    fn followed(&self, requires: &[String], what: &str) -> Vec<String> {
        let mut safe = Vec::new();
        for text in requires {
            match requirement::safe(text) {
                Ok(text) => safe.push(text),
                Err(refused) => self.note(vec![format!("build of {what}: {refused}; left out")]),
            }
        }
        safe.sort();
        safe.dedup();
        safe
    }

    /// The closure of what building a source requires, and of what its setup.py asks for besides where
    /// that can be had: whether it does when it runs is not known.
    pub(crate) async fn closure_of_source(
        &self,
        examined: &Examined,
        ancestors: &[String],
        what: &str,
    ) -> Result<Closure, IndexError> {
        let (known, read) = (&examined.build_requires, &examined.setup_requires);
        if !read.is_empty() {
            let named = printable(&read.join(", "), 200);
            let named = format!("{named}, which its setup_requires names");
            let both = [known.as_slice(), read].concat();
            match self.closure_of_build(&both, ancestors, what).await {
                Ok(closure) => {
                    self.note(vec![format!("build of {what}: with {named}")]);
                    return Ok(closure);
                }
                Err(error) if matches!(error.kind(), ErrorKind::Package | ErrorKind::Input) => {
                    let reason = printable(&error.to_string(), 300);
                    self.note(vec![format!("build of {what}: without {named}: {reason}")]);
                }
                Err(error) => return Err(error),
            }
        }
        self.closure_of_build(known, ancestors, what).await
    }

    async fn compile(
        &self,
        requirements: &[String],
        session: Session,
        what: &str,
    ) -> Result<Vec<(PackageName, Version)>, IndexError> {
        self.index.progress.step(Step::Resolving {
            what: what.to_owned(),
        });
        let address = self.loopback.get();
        let address = address.ok_or_else(|| IndexError::Tool("no loopback index".to_owned()))?;
        let directory = self.index.cache.temporary_directory()?;
        let session = Arc::new(session);
        // Other users of this host can reach the port, but cannot guess the path.
        let token = format!(
            "{:016x}{:016x}",
            RandomState::new().hash_one(address),
            RandomState::new().hash_one(what)
        );
        lock(&self.sessions).insert(token.clone(), Arc::clone(&session));
        let url = format!("http://{address}/{token}/simple/");
        let platform = self.selection.platform;
        let compiled = self
            .uv
            .compile(requirements, &url, platform, directory.path(), what)
            .await;
        lock(&self.sessions).remove(&token);
        let failure = lock(&session.failure).take();
        match (compiled, failure) {
            // Where the package is unknown, the resolver tells who wanted it.
            (Err(error), Some(IndexError::UnknownPackage { .. }) | None) => Err(error),
            (Err(_), Some(failure)) => Err(failure),
            (Ok(pins), _) => Ok(pins),
        }
    }

    /// Fetches the files of a closure, and those that building its sources requires.
    fn files_of<'a>(
        &'a self,
        pins: Vec<(PackageName, Version)>,
        ancestors: &'a [String],
    ) -> BoxFuture<'a, Result<Closure, IndexError>> {
        Box::pin(async move {
            if pins.len() > MOST_FILES {
                return Err(IndexError::Unresolvable {
                    what: "the closure".to_owned(),
                    reason: format!("it has more than {MOST_FILES} packages"),
                });
            }
            let mut chosen = Vec::new();
            for (name, version) in &pins {
                chosen.push(self.choose(name, version).await?);
            }
            self.bounds
                .check(chosen.iter().filter_map(|file| file.size))?;
            let mut files: BTreeMap<String, WheelhouseFile> = BTreeMap::new();
            let (mut installed, mut builders) = (BTreeSet::new(), BTreeSet::new());
            for chosen in chosen.chunks(FETCHES) {
                let fetches = chosen.iter().map(|file| self.index.fetch(file));
                for local in join_all(fetches.collect()).await {
                    let local = local?;
                    if local.filename.kind().is_sdist() {
                        let built = self.build_of(&local, ancestors).await?.1;
                        builders.extend(built.files.keys().cloned());
                        files.extend(built.files);
                    }
                    let file = wheelhouse_file(&local);
                    installed.insert(file.filename.clone());
                    files.insert(file.filename.clone(), file);
                }
                // Not every index tells sizes, or the truth.
                self.bounds.check(files.values().map(|file| file.bytes))?;
            }
            Ok(Closure {
                pins,
                files,
                installed,
                builders,
            })
        })
    }

    /// Examines a source and resolves what its build requires.
    async fn build_of(
        &self,
        sdist: &LocalFile,
        ancestors: &[String],
    ) -> Result<(Examined, Closure), IndexError> {
        let what = sdist.filename.as_str();
        if ancestors.contains(&sdist.sha256) {
            return Err(IndexError::Unresolvable {
                what: format!("the build of {what}"),
                reason: "building it requires building itself".to_owned(),
            });
        }
        let examined = self.examine(sdist).await?;
        let mut ancestors = ancestors.to_vec();
        ancestors.push(sdist.sha256.clone());
        let closure = self.closure_of_source(&examined, &ancestors, what).await?;
        Ok((examined, closure))
    }

    pub(crate) async fn examine(&self, local: &LocalFile) -> Result<Examined, IndexError> {
        let (local, limits) = (local.clone(), self.bounds.archives);
        let kind = local.filename.kind();
        blocking(move || examine(&local.path, local.filename.as_str(), kind, &limits)).await
    }

    /// The file that is taken of a version.
    async fn choose(&self, name: &PackageName, version: &Version) -> Result<IndexFile, IndexError> {
        let page = self.index.project(name).await?;
        let candidates = self.selection.candidates(&page);
        let file = candidates.get(version).ok_or_else(|| IndexError::NoFile {
            name: format!("{name} {version}"),
            reason: "no file of it fits the image".to_owned(),
        })?;
        Ok((*file).clone())
    }

    /// The metadata of one version of a package of the index. What only its build back end can tell is
    /// asked of that where it `may_ask`, and is an error elsewhere.
    pub(crate) async fn metadata_of(
        &self,
        name: &PackageName,
        version: &Version,
        ancestors: &[String],
        may_ask: bool,
    ) -> Result<Arc<CoreMetadata>, IndexError> {
        let file = self.choose(name, version).await?;
        let known = |sha256: &str| lock(&self.metadata).get(sha256).cloned();
        if let Some(found) = file.sha256.as_deref().and_then(known) {
            return Ok(found);
        }
        if let Some(text) = self.index.metadata(&file).await? {
            let parsed = CoreMetadata::parse(&text).map_err(|reason| IndexError::Metadata {
                file: file.filename.as_str().to_owned(),
                reason: reason.to_owned(),
            })?;
            let parsed = Arc::new(parsed);
            if let Some(sha256) = &file.sha256 {
                lock(&self.metadata).insert(sha256.clone(), Arc::clone(&parsed));
            }
            return Ok(parsed);
        }
        let local = self.index.fetch(&file).await?;
        self.metadata_of_file(&local, ancestors, may_ask).await
    }

    /// The metadata of a distribution in the cache, from its build back end where need be.
    fn metadata_of_file<'a>(
        &'a self,
        local: &'a LocalFile,
        ancestors: &'a [String],
        may_ask: bool,
    ) -> BoxFuture<'a, Result<Arc<CoreMetadata>, IndexError>> {
        Box::pin(async move {
            let examined = self.examine(local).await?;
            let known = lock(&self.metadata).get(&local.sha256).cloned();
            if let Some(known) = known {
                return Ok(known);
            }
            let what = || format!("the metadata of {}", local.filename.as_str());
            self.index.check_read(what)?;
            let found: Arc<CoreMetadata> = match examined.metadata {
                Static::Known(metadata) => Arc::from(metadata),
                Static::NeedsHook { .. } if !may_ask => {
                    return Err(IndexError::Hook {
                        file: local.filename.as_str().to_owned(),
                        reason: "it is installed, and is not asked again".to_owned(),
                        kind: ErrorKind::Package,
                    });
                }
                Static::NeedsHook { hint } => {
                    Arc::new(self.ask_hook(local, hint, ancestors).await?)
                }
            };
            self.index.count_read(found.bytes());
            lock(&self.metadata).insert(local.sha256.clone(), Arc::clone(&found));
            Ok(found)
        })
    }

    async fn ask_hook(
        &self,
        sdist: &LocalFile,
        hint: Option<Vec<String>>,
        ancestors: &[String],
    ) -> Result<CoreMetadata, IndexError> {
        let (examined, closure) = self.build_of(sdist, ancestors).await?;
        let filename = sdist.filename.as_str().to_owned();
        let request = HookRequest {
            sdist: sdist.path.clone(),
            filename: filename.clone(),
            sha256: sdist.sha256.clone(),
            wheelhouse: closure.files.into_values().collect(),
            build_requires: examined.build_requires,
            hint,
        };
        let turn = self.hook_turn.acquire().await;
        let turn = turn.map_err(|_| IndexError::Tool("the hooks have ended".to_owned()))?;
        self.index.progress.step(Step::Hook {
            file: filename.clone(),
        });
        let answer = ask(&*self.hook, request).await;
        drop(turn);
        answer
    }
}

/// The file's place in a wheelhouse.
pub(crate) fn wheelhouse_file(local: &LocalFile) -> WheelhouseFile {
    WheelhouseFile {
        filename: local.filename.as_str().to_owned(),
        path: local.path.clone(),
        sha256: local.sha256.clone(),
        bytes: local.bytes,
    }
}

/// Runs a few futures at the same time, in one task; the results in their order.
async fn join_all<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut pending: Vec<_> = futures
        .into_iter()
        .map(|future| (Box::pin(future), None))
        .collect();
    std::future::poll_fn(|context| {
        let mut waiting = false;
        for (future, result) in &mut pending {
            if result.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *result = Some(value),
                    std::task::Poll::Pending => waiting = true,
                }
            }
        }
        if waiting {
            std::task::Poll::Pending
        } else {
            std::task::Poll::Ready(())
        }
    })
    .await;
    pending
        .into_iter()
        .filter_map(|(_, result)| result)
        .collect()
}

#[cfg(test)]
mod tests;
