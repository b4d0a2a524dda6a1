//! A PEP 691 index on 127.0.0.1 for the resolver. It offers one file for each version, always as a
//! wheel with separate metadata: sources too, so that the resolver has nothing to build. The file
//! itself is never served.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header::CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use pep440_rs::VersionSpecifiers;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::error::{ErrorKind, IndexError};
use crate::metadata::CoreMetadata;
use crate::name::PackageName;
use crate::requirement;
use crate::resolve::Resolver;

/// What one run of the resolver may see.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// The target: where its name is asked for, it is all there is.
    pub target: Option<Pinned>,
    /// What is installed already: of these packages, this version is all there is.
    pub there: BTreeMap<PackageName, pep440_rs::Version>,
    /// The sha256 of every source whose build this run serves, from the outermost on.
    pub ancestors: Vec<String>,
    /// The first failure. The resolver's own words for it would tell less.
    pub failure: Mutex<Option<IndexError>>,
}

impl Session {
    /// The one version of a package that may be seen, where not every one may.
    fn only(&self, name: &PackageName) -> Option<&pep440_rs::Version> {
        let target = self.target.as_ref().filter(|target| target.name == *name);
        target
            .map(|target| &target.version)
            .or_else(|| self.there.get(name))
    }
}

/// A package of one version and known metadata.
#[derive(Debug, Clone)]
pub(crate) struct Pinned {
    pub name: PackageName,
    pub version: pep440_rs::Version,
    pub metadata: Arc<CoreMetadata>,
}

/// The running index; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Loopback {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Loopback {
    /// Starts the index.
    pub(crate) async fn start(resolver: Arc<Resolver>) -> Result<Self, IndexError> {
        let failed = |error| IndexError::Tool(format!("no loopback port: {error}"));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let router = Router::new()
            .route("/{session}/simple/{name}/", get(page))
            .route("/{session}/files/{name}/{version}/{file}", get(metadata))
            .with_state(resolver);
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!("the loopback index stopped: {error}");
            }
        });
        Ok(Self { address, task })
    }
}

/// One way to write a version as a path segment.
fn segment(version: &pep440_rs::Version) -> String {
    version.to_string().replace('!', "%21").replace('+', "%2B")
}

async fn page(
    State(resolver): State<Arc<Resolver>>,
    Path((token, name)): Path<(String, String)>,
) -> Response {
    let (Some(session), Ok(name)) = (resolver.session(&token), name.parse::<PackageName>()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut files = Vec::new();
    let major = resolver.selection.platform.major;
    let mut offer = |version: &pep440_rs::Version, python: Option<&str>, yanked: bool| {
        let filename = format!("{}-{version}-py{major}-none-any.whl", name.escaped());
        // What cannot be read forbids nothing.
        let python = python.filter(|range| range.parse::<VersionSpecifiers>().is_ok());
        files.push(json!({
            "url": format!("/{token}/files/{name}/{}/any.whl", segment(version)),
            "filename": filename,
            "hashes": {},
            "requires-python": python,
            "yanked": yanked,
            "core-metadata": true,
        }));
    };
    if let Some(version) = session.only(&name) {
        offer(version, None, false);
    } else {
        let page = match resolver.index.project(&name).await {
            Ok(page) => page,
            Err(error) => return failed(&session, error),
        };
        for (version, file) in resolver.selection.candidates(&page) {
            offer(version, file.requires_python.as_deref(), file.yanked);
        }
    }
    let body = json!({"meta": {"api-version": "1.1"}, "name": name.as_str(), "files": files});
    (
        [(CONTENT_TYPE, "application/vnd.pypi.simple.v1+json")],
        body.to_string(),
    )
        .into_response()
}

async fn metadata(
    State(resolver): State<Arc<Resolver>>,
    Path((token, name, version, file)): Path<(String, String, String, String)>,
) -> Response {
    let parsed = (
        resolver.session(&token),
        name.parse::<PackageName>(),
        version.parse(),
    );
    let (Some(session), Ok(name), Ok(version)) = parsed else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if file != "any.whl.metadata" {
        return StatusCode::NOT_FOUND.into_response();
    }
    let known = session.target.as_ref().filter(|target| target.name == name);
    // Of what is installed, all that it requires is too: no code need be run to know it.
    let there = session.there.contains_key(&name);
    let found = match known {
        Some(target) => Ok(Arc::clone(&target.metadata)),
        None => {
            resolver
                .metadata_of(&name, &version, &session.ancestors, !there)
                .await
        }
    };
    let unread = |error: &IndexError| error.kind() != ErrorKind::Infrastructure;
    let found = match found {
        Err(error) if there && unread(&error) => Ok(Arc::default()),
        found => found,
    };
    match found {
        Ok(found) => {
            let (text, notes) = document(&name, &version, &found);
            resolver.note(notes);
            text.into_response()
        }
        Err(error) => failed(&session, error),
    }
}

fn failed(session: &Session, error: IndexError) -> Response {
    let status = match error {
        IndexError::UnknownPackage { .. } => StatusCode::NOT_FOUND,
        // Not one of those that the resolver would ask for again.
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let mut failure = session
        .failure
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    failure.get_or_insert(error);
    status.into_response()
}

/// A metadata document with nothing in it but requirements that name packages, and notes on what
/// was left out.
pub(crate) fn document(
    name: &PackageName,
    version: &pep440_rs::Version,
    metadata: &CoreMetadata,
) -> (String, Vec<String>) {
    let mut text = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
    let mut notes = Vec::new();
    let python = metadata.requires_python.as_deref();
    if let Some(range) = python.and_then(|range| range.parse::<VersionSpecifiers>().ok()) {
        text.push_str(&format!("Requires-Python: {range}\n"));
    }
    for extra in &metadata.provides_extra {
        if let Ok(extra) = extra.parse::<PackageName>() {
            text.push_str(&format!("Provides-Extra: {extra}\n"));
        }
    }
    for requirement in &metadata.requires_dist {
        match requirement::lenient(requirement) {
            Ok(requirement) => text.push_str(&format!("Requires-Dist: {requirement}\n")),
            Err(refused) => notes.push(format!("{name} {version}: {refused}; left out")),
        }
    }
    (text, notes)
}
