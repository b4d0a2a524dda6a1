//! A package index on 127.0.0.1 with packages made here.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use pyti_index::hook::BoxFuture;
use pyti_index::{
    ErrorKind, HookError, HookRequest, IndexConfig, IndexError, MetadataHook, Options, Prepared,
    Quiet, Target,
};
use sha2::{Digest, Sha256};

/// A file of the index.
#[derive(Clone)]
pub struct Offered {
    pub package: String,
    pub filename: String,
    pub content: Vec<u8>,
    pub sha256: Option<String>,
    pub upload_time: &'static str,
    pub yanked: bool,
}

/// The index while it is filled.
#[derive(Clone, Default)]
pub struct Fixture {
    pub files: Vec<Offered>,
    /// Serve the HTML of PEP 503.
    pub html: bool,
    /// Answer so many requests with 503 first.
    pub failures: Arc<AtomicUsize>,
    /// Every path that was asked for.
    pub asked: Arc<Mutex<Vec<String>>>,
}

pub fn sha256(content: &[u8]) -> String {
    Sha256::digest(content)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A `.tar.gz` with these files.
pub fn tar_gz(files: &[(&str, &str)]) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

impl Fixture {
    pub fn offer(&mut self, package: &str, filename: &str, content: Vec<u8>) -> &mut Offered {
        let sha256 = Some(sha256(&content));
        self.files.push(Offered {
            package: package.to_owned(),
            filename: filename.to_owned(),
            content,
            sha256,
            upload_time: "2020-01-01T00:00:00.000000Z",
            yanked: false,
        });
        self.files.last_mut().unwrap()
    }

    /// A source whose `[project]` says all.
    pub fn sdist(&mut self, name: &str, version: &str, project: &str) -> &mut Offered {
        let stem = format!("{name}-{version}");
        let text = format!(
            "[build-system]\nrequires = []\nbuild-backend = 'b'\n\
             [project]\nname = '{name}'\nversion = '{version}'\n{project}\n"
        );
        let content = tar_gz(&[(&format!("{stem}/pyproject.toml"), &text)]);
        self.offer(name, &format!("{stem}.tar.gz"), content)
    }

    /// A source that must be asked by its build back end.
    pub fn dynamic_sdist(&mut self, name: &str, version: &str) -> &mut Offered {
        self.sdist_of_setup(name, version, "")
    }

    /// A source that must be asked by its build back end, with this in its setup.py.
    pub fn sdist_of_setup(&mut self, name: &str, version: &str, setup: &str) -> &mut Offered {
        let setup = format!("raise SystemExit('must not run here')\n{setup}");
        let stem = format!("{name}-{version}");
        let info = format!("Metadata-Version: 1.1\nName: {name}\nVersion: {version}\n");
        let content = tar_gz(&[
            (&format!("{stem}/PKG-INFO"), &info),
            (&format!("{stem}/setup.py"), &setup),
        ]);
        self.offer(name, &format!("{stem}.tar.gz"), content)
    }

    pub fn wheel(&mut self, name: &str, version: &str, fields: &str) -> &mut Offered {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file(format!("{name}-{version}.dist-info/METADATA"), options)
            .unwrap();
        let text = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{fields}\n");
        zip.write_all(text.as_bytes()).unwrap();
        let content = zip.finish().unwrap().into_inner();
        self.offer(name, &format!("{name}-{version}-py3-none-any.whl"), content)
    }

    /// What a setup.py needs.
    pub fn setuptools(&mut self) {
        self.wheel("setuptools", "80.0", "");
        self.wheel("wheel", "0.45", "");
    }

    /// Serves the index and returns its address.
    pub async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/simple/{name}/", get(page))
            .route("/files/{file}", get(file))
            .with_state(Arc::new(self.clone()));
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://127.0.0.1:{}/simple/", address.port())
    }
}

fn fails(fixture: &Fixture) -> bool {
    let less = |left: usize| left.checked_sub(1);
    fixture
        .failures
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
        .is_ok()
}

async fn page(
    State(fixture): State<Arc<Fixture>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    fixture.asked.lock().unwrap().push(name.clone());
    if fails(&fixture) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|etag| etag == "\"1\"")
    {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let files: Vec<&Offered> = fixture
        .files
        .iter()
        .filter(|file| file.package == name)
        .collect();
    if files.is_empty() {
        return StatusCode::NOT_FOUND.into_response();
    }
    if fixture.html {
        let link = |file: &&Offered| {
            let hash = file.sha256.as_deref().map(|hash| format!("#sha256={hash}"));
            let (hash, name) = (hash.unwrap_or_default(), &file.filename);
            format!("<a href=\"../../files/{name}{hash}\">{name}</a>")
        };
        let body: String = files.iter().map(link).collect();
        return ([(header::CONTENT_TYPE, "text/html")], body).into_response();
    }
    let files: Vec<serde_json::Value> = files
        .iter()
        .map(|file| {
            let hashes: BTreeMap<&str, &String> =
                file.sha256.iter().map(|hash| ("sha256", hash)).collect();
            serde_json::json!({
                "filename": file.filename, "url": format!("../../files/{}", file.filename),
                "hashes": hashes, "size": file.content.len(), "upload-time": file.upload_time, "yanked": file.yanked,
            })
        })
        .collect();
    let body = serde_json::json!({"meta": {"api-version": "1.1"}, "name": name, "files": files});
    let headers = [
        (header::CONTENT_TYPE, "application/vnd.pypi.simple.v1+json"),
        (header::ETAG, "\"1\""),
    ];
    (headers, body.to_string()).into_response()
}

async fn file(State(fixture): State<Arc<Fixture>>, Path(file): Path<String>) -> Response {
    fixture.asked.lock().unwrap().push(file.clone());
    if fails(&fixture) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let found = fixture
        .files
        .iter()
        .find(|offered| offered.filename == file);
    found.map_or(StatusCode::NOT_FOUND.into_response(), |found| {
        found.content.clone().into_response()
    })
}

/// A hook that answers with fixed requirements, and remembers what it was asked.
#[derive(Default)]
pub struct FakeHook {
    pub requires: BTreeMap<&'static str, &'static str>,
    pub asked: Mutex<Vec<HookRequest>>,
}

impl MetadataHook for FakeHook {
    fn metadata(&self, request: HookRequest) -> BoxFuture<'_, Result<String, HookError>> {
        Box::pin(async move {
            let stem = request.filename.trim_end_matches(".tar.gz");
            let (name, version) = stem.rsplit_once('-').unwrap();
            let Some(requires) = self.requires.get(name) else {
                return Err(HookError {
                    reason: format!("no answer from {name}\x1b[2J"),
                    kind: ErrorKind::Package,
                });
            };
            let text =
                format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}\n");
            self.asked.lock().unwrap().push(request);
            Ok(text)
        })
    }
}

/// One cache, one hook, one index.
pub struct Bench {
    /// Kept until the end of the test.
    _cache: tempfile::TempDir,
    pub options: Options,
    pub hook: Arc<FakeHook>,
}

impl Bench {
    pub async fn new(fixture: &Fixture) -> Self {
        Self::at(&fixture.serve().await)
    }

    /// Whatever the environment says of proxies, passwords and certificates.
    pub fn at(index: &str) -> Self {
        Self::of(IndexConfig::new(index, &[]).unwrap())
    }

    pub fn of(index: IndexConfig) -> Self {
        let cache = tempfile::tempdir().unwrap();
        let options = Options::new(cache.path().to_owned(), index);
        Self {
            _cache: cache,
            options,
            hook: Arc::default(),
        }
    }

    /// With the resolver, which comes from PyPI once and is kept.
    pub async fn with_uv(mut self) -> Self {
        self.options.uv = Some(uv().await);
        self
    }

    pub fn hooked(mut self, requires: &[(&'static str, &'static str)]) -> Self {
        let requires = requires.iter().copied().collect();
        self.hook = Arc::new(FakeHook {
            requires,
            ..FakeHook::default()
        });
        self
    }

    pub async fn prepare(&self, target: &str) -> Result<Prepared, IndexError> {
        let target = Target::parse(target)?;
        pyti_index::prepare(&target, &self.options, self.hook.clone(), Arc::new(Quiet)).await
    }

    pub async fn refusal(&self, target: &str) -> String {
        match self.prepare(target).await {
            Ok(prepared) => panic!("prepared {:?}", prepared.target),
            Err(error) => error.to_string(),
        }
    }
}

async fn uv() -> PathBuf {
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("uv");
    let options = Options::new(cache, IndexConfig::discover(None, &[]).unwrap());
    pyti_index::fetch_uv(&options, Arc::new(Quiet))
        .await
        .unwrap()
}

pub fn names(prepared: &Prepared) -> Vec<&str> {
    prepared
        .files
        .iter()
        .map(|file| file.filename.as_str())
        .collect()
}
