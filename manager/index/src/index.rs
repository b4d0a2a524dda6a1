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

/// What one client fetches in all, GiB: a resolver that tries one version after the other may want
/// many more files than a closure has.
const MOST_FETCHED_GIB: u64 = 16;

/// Packages whose pages one client asks for: as many as a large closure has, and those that a resolver
/// tries in vain.
const MOST_PAGES: u64 = 5000;

/// Pages and metadata of one client, GiB: what is read of them stays in memory.
const MOST_READ_GIB: u64 = 1;

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
    /// Bytes of files so far.
    fetched: AtomicU64,
    /// Packages so far whose pages were asked for.
    asked: AtomicU64,
    /// Bytes of pages and metadata so far, and of what was made of them.
    read: AtomicU64,
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
            asked: AtomicU64::new(0),
            read: AtomicU64::new(0),
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
        let what = || format!("the index page of {name}");
        if self.asked.fetch_add(1, Ordering::Relaxed) >= MOST_PAGES {
            return Err(IndexError::TooMuch {
                what: what(),
                limit: format!("{MOST_PAGES} index pages"),
            });
        }
        self.check_read(what)?;
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
        let parsed = ProjectPage::parse(name, &page.content_type, &page.body, &from);
        let parsed = parsed.map_err(|reason| IndexError::BadPage {
            url: redact(&url),
            reason,
        })?;
        // A short page may list many files, and their addresses may be longer than it writes them.
        let listed = parsed.files.iter();
        let listed = listed.map(|file| size_of::<IndexFile>() + file.url.as_str().len());
        self.count_read(page.body.len() + listed.sum::<usize>() + parsed.unread.bytes());
        Ok(Some(parsed))
    }

    /// Whether there is room in memory for one page or metadata more; `what` is its name.
    pub(crate) fn check_read(&self, what: impl FnOnce() -> String) -> Result<(), IndexError> {
        if self.read.load(Ordering::Relaxed) >= MOST_READ_GIB << 30 {
            return Err(IndexError::TooMuch {
                what: what(),
                limit: format!("{MOST_READ_GIB} GiB of index pages and metadata"),
            });
        }
        Ok(())
    }

    pub(crate) fn count_read(&self, bytes: usize) {
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
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
        if self.fetched.load(Ordering::Relaxed) >= MOST_FETCHED_GIB << 30 {
            return Err(IndexError::TooMuch {
                what: name.to_owned(),
                limit: format!("{MOST_FETCHED_GIB} GiB of files"),
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
        self.check_read(|| name.clone())?;
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
        self.count_read(bytes.len());
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
    use axum::Router;
    use axum::http::header::CONTENT_TYPE;
    use axum::routing::get;
    use tokio::net::TcpListener;

    use super::*;
    use crate::error::ErrorKind;
    use crate::progress::Quiet;

    /// Nobody answers there.
    const NOWHERE: &str = "http://127.0.0.1:9/simple/";

    /// A client of the index at `address`, with a cache in `home`.
    fn client(address: &str, home: &Path) -> Index {
        let cache = Cache::open(home).unwrap();
        let config = IndexConfig::new(address, &[]).unwrap();
        Index::new(cache, config, 1, Arc::new(Quiet)).unwrap()
    }

    /// The address of an index that has this page of every package.
    async fn serve(page: &'static str) -> String {
        let answer = move || async move { ([(CONTENT_TYPE, "text/html")], page) };
        let router = Router::new().route("/simple/{name}/", get(answer));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}/simple/")
    }

    /// A file of an index where nobody answers.
    fn listed(metadata: Metadata) -> IndexFile {
        IndexFile {
            filename: DistFilename::parse("a-1.tar.gz", None).unwrap(),
            url: url::Url::parse("http://127.0.0.1:9/a-1.tar.gz").unwrap(),
            sha256: Some("0".repeat(64)),
            size: None,
            requires_python: None,
            yanked: false,
            upload_time: None,
            metadata,
        }
    }

    /// Asked again there would be as much.
    fn refused_for_good(error: &IndexError, expected: &str) {
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.kind(), ErrorKind::Package);
    }

    #[tokio::test]
    async fn not_everything_is_fetched_that_is_asked_for() {
        let home = tempfile::tempdir().unwrap();
        let index = client(NOWHERE, home.path());
        index.fetched.store(16 << 30, Ordering::Relaxed);
        let error = index.fetch(&listed(Metadata::Missing)).await.unwrap_err();
        refused_for_good(
            &error,
            "failed to fetch a-1.tar.gz: with all that was fetched before, it is over the limit of 16 GiB of \
             files",
        );
    }

    #[tokio::test]
    async fn not_every_page_is_read_that_is_asked_for() {
        let home = tempfile::tempdir().unwrap();
        let page = "<a href='1'>a-1.tar.gz</a>";
        let index = client(&serve(page).await, home.path());
        index.asked.store(4999, Ordering::Relaxed);
        let [known, other] = ["a", "b"].map(|name| name.parse::<PackageName>().unwrap());
        assert_eq!(index.project(&known).await.unwrap().files.len(), 1);
        assert!(index.read.load(Ordering::Relaxed) > page.len() as u64);
        let error = index.project(&other).await.unwrap_err();
        refused_for_good(
            &error,
            "failed to fetch the index page of b: with all that was fetched before, it is over the limit of \
             5000 index pages",
        );
        // It is not asked for again.
        assert!(index.project(&known).await.is_ok());
    }

    #[tokio::test]
    async fn pages_and_metadata_do_not_fill_the_memory() {
        let home = tempfile::tempdir().unwrap();
        let index = client(NOWHERE, home.path());
        index.read.store(1 << 30, Ordering::Relaxed);
        let error = index.project(&"a".parse().unwrap()).await.unwrap_err();
        refused_for_good(
            &error,
            "failed to fetch the index page of a: with all that was fetched before, it is over the limit of \
             1 GiB of index pages and metadata",
        );
        let error = index
            .metadata(&listed(Metadata::Unhashed))
            .await
            .unwrap_err();
        refused_for_good(
            &error,
            "failed to fetch a-1.tar.gz.metadata: with all that was fetched before, it is over the limit of \
             1 GiB of index pages and metadata",
        );
    }
}
