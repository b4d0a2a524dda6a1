//! The package index: pages and files, through the cache.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::cache::{Cache, StoredPage, digest};
use crate::config::IndexConfig;
use crate::error::{IndexError, blocking};
use crate::filename::DistFilename;
use crate::http::{Http, PageReply};
use crate::name::PackageName;
use crate::page::{IndexFile, Metadata, ProjectPage};
use crate::progress::{Progress, Step};
use crate::redact::redact;

/// The largest metadata file that is read.
const METADATA_BYTES: u64 = 4 << 20;

/// What one client fetches in all, bytes: a resolver that tries one version after the other may want
/// many more files than a closure has.
const MOST_FETCHED: u64 = 16 << 30;

/// A distribution in the cache, its content checked.
#[derive(Debug, Clone)]
pub(crate) struct LocalFile {
    pub filename: DistFilename,
    pub path: PathBuf,
    pub sha256: String,
    pub bytes: u64,
}

/// The client of all configured indexes.
pub(crate) struct Index {
    http: Http,
    pub cache: Cache,
    config: IndexConfig,
    pub progress: Arc<dyn Progress>,
    file_bytes: u64,
    /// Bytes so far.
    fetched: AtomicU64,
    pages: Mutex<HashMap<PackageName, Arc<ProjectPage>>>,
}

impl Index {
    pub(crate) fn new(
        cache: Cache,
        config: IndexConfig,
        file_bytes: u64,
        progress: Arc<dyn Progress>,
    ) -> Result<Self, IndexError> {
        let http = Http::new(config.network())?;
        Ok(Self {
            http,
            cache,
            config,
            progress,
            file_bytes,
            fetched: AtomicU64::new(0),
            pages: Mutex::default(),
        })
    }

    /// The page of `name`, from the first index that has one. Asked for once only.
    pub(crate) async fn project(&self, name: &PackageName) -> Result<Arc<ProjectPage>, IndexError> {
        let known = self
            .pages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned();
        if let Some(page) = known {
            return Ok(page);
        }
        for index in self.config.urls() {
            if let Some(page) = self.project_of(index, name).await? {
                let page = Arc::new(page);
                let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
                pages.insert(name.clone(), Arc::clone(&page));
                return Ok(page);
            }
        }
        Err(IndexError::UnknownPackage {
            name: name.clone(),
            index: self.config.shown(),
        })
    }

    /// The page of `name` on PyPI, whatever indexes are configured; `None` where it has none.
    pub(crate) async fn project_of_pypi(
        &self,
        name: &PackageName,
    ) -> Result<Option<ProjectPage>, IndexError> {
        self.project_of(&IndexConfig::pypi()?, name).await
    }

    async fn project_of(
        &self,
        index: &url::Url,
        name: &PackageName,
    ) -> Result<Option<ProjectPage>, IndexError> {
        let bad = |reason: String| IndexError::BadPage {
            url: redact(index),
            reason,
        };
        let url = index
            .join(&format!("{name}/"))
            .map_err(|error| bad(error.to_string()))?;
        let stored = self.cache.find_page(url.as_str());
        let etag = stored.as_ref().map(|page| page.etag.as_str());
        let (page, from) = match (self.http.page(&url, etag, &*self.progress).await?, stored) {
            (
                PageReply::Page {
                    etag,
                    content_type,
                    body,
                    url: from,
                },
                _,
            ) => {
                let page = StoredPage {
                    etag: etag.clone().unwrap_or_default(),
                    content_type,
                    body,
                };
                // After a redirect the links of the page would be joined to the wrong address.
                if etag.is_some() && from == url {
                    self.cache.keep_page(url.as_str(), &page)?;
                }
                (page, from)
            }
            (PageReply::Unchanged, Some(page)) => (page, url.clone()),
            (PageReply::Missing | PageReply::Unchanged, _) => return Ok(None),
        };
        let from = with_credentials_of(from, &url);
        ProjectPage::parse(name, &page.content_type, &page.body, &from)
            .map(Some)
            .map_err(|reason| IndexError::BadPage {
                url: redact(&url),
                reason,
            })
    }

    /// Fetches a file into the cache, unless it is there, and checks its sha256.
    pub(crate) async fn fetch(&self, file: &IndexFile) -> Result<LocalFile, IndexError> {
        let name = file.filename.as_str().to_owned();
        let Some(expected) = file.sha256.clone() else {
            return Err(IndexError::NoHash { file: name });
        };
        let found = {
            let (cache, expected) = (self.cache.clone(), expected.clone());
            blocking(move || cache.find(&expected)).await?
        };
        let (path, bytes) = match found {
            Some(found) => {
                self.progress.step(Step::Cached { file: name });
                found
            }
            None => {
                self.progress.step(Step::Fetching {
                    file: name.clone(),
                    size: file.size,
                });
                let found = self.download(file, &expected, self.file_bytes).await?;
                self.progress.step(Step::Fetched {
                    file: name,
                    bytes: found.1,
                });
                found
            }
        };
        Ok(LocalFile {
            filename: file.filename.clone(),
            path,
            sha256: expected,
            bytes,
        })
    }

    async fn download(
        &self,
        file: &IndexFile,
        expected: &str,
        limit: u64,
    ) -> Result<(PathBuf, u64), IndexError> {
        let name = file.filename.as_str();
        if self.fetched.load(Ordering::Relaxed) >= MOST_FETCHED {
            return Err(IndexError::TooLarge {
                what: format!("{name} after many others"),
                limit: MOST_FETCHED,
            });
        }
        let create = || self.cache.temporary();
        let got = self
            .http
            .download(&file.url, name, limit, create, &*self.progress)
            .await?;
        self.fetched.fetch_add(got.bytes, Ordering::Relaxed);
        if got.sha256 != expected {
            return Err(IndexError::HashMismatch {
                file: name.to_owned(),
                expected: expected.to_owned(),
                actual: got.sha256,
            });
        }
        Ok((self.cache.keep(got.file, expected)?, got.bytes))
    }

    /// The metadata that the index offers beside a file (PEP 658), where it does.
    pub(crate) async fn metadata(&self, file: &IndexFile) -> Result<Option<String>, IndexError> {
        let expected = match &file.metadata {
            Metadata::Missing => return Ok(None),
            Metadata::Unhashed => None,
            Metadata::Hashed(hash) => Some(hash),
        };
        let name = format!("{}.metadata", file.filename.as_str());
        let mut url = file.url.clone();
        url.set_path(&format!("{}.metadata", url.path()));
        let create = || self.cache.temporary();
        let got = self
            .http
            .download(&url, &name, METADATA_BYTES, create, &*self.progress)
            .await?;
        if let Some(expected) = expected.filter(|expected| **expected != got.sha256) {
            return Err(IndexError::HashMismatch {
                file: name,
                expected: expected.clone(),
                actual: got.sha256,
            });
        }
        let bytes =
            std::fs::read(got.file.path()).map_err(IndexError::io("read", got.file.path()))?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Copies a file of this machine into the cache.
    pub(crate) async fn import(
        &self,
        path: &Path,
        filename: DistFilename,
    ) -> Result<LocalFile, IndexError> {
        let (cache, path, limit) = (self.cache.clone(), path.to_owned(), self.file_bytes);
        blocking(move || {
            let mut from = std::fs::File::open(&path).map_err(IndexError::io("open", &path))?;
            let mut file = cache.temporary()?;
            let mut within = std::io::Read::take(&mut from, limit + 1);
            let copied = std::io::copy(&mut within, &mut file);
            if copied.map_err(IndexError::io("copy", &path))? > limit {
                let what = crate::text::printable(&path.display().to_string(), 200);
                return Err(IndexError::TooLarge { what, limit });
            }
            let (sha256, bytes) =
                digest(file.path()).map_err(IndexError::io("read", file.path()))?;
            let path = cache.keep(file, &sha256)?;
            Ok(LocalFile {
                filename,
                path,
                sha256,
                bytes,
            })
        })
        .await
    }
}

/// A redirect's address has lost its credentials; within one server they still hold.
fn with_credentials_of(mut url: url::Url, asked: &url::Url) -> url::Url {
    if url.origin() == asked.origin() && url.username().is_empty() && url.password().is_none() {
        let kept = url.set_username(asked.username());
        if kept
            .and_then(|()| url.set_password(asked.password()))
            .is_err()
        {
            return asked.clone();
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Quiet;

    #[tokio::test]
    async fn not_everything_is_fetched_that_is_asked_for() {
        let home = tempfile::tempdir().unwrap();
        let cache = Cache::open(home.path()).unwrap();
        let config = IndexConfig::new("http://127.0.0.1:9/simple/", &[]).unwrap();
        let index = Index::new(cache, config, 1, Arc::new(Quiet)).unwrap();
        index.fetched.store(MOST_FETCHED, Ordering::Relaxed);
        let file = IndexFile {
            filename: DistFilename::parse("a-1.tar.gz", None).unwrap(),
            url: url::Url::parse("http://127.0.0.1:9/a-1.tar.gz").unwrap(),
            sha256: Some("0".repeat(64)),
            size: None,
            requires_python: None,
            yanked: false,
            upload_time: None,
            metadata: Metadata::Missing,
        };
        let error = index.fetch(&file).await.unwrap_err();
        assert!(
            error.to_string().contains("a-1.tar.gz after many others"),
            "{error}"
        );
    }
}
