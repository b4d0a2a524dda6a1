//! Against PyPI, as it is today. Needs the network.

#![expect(
    clippy::unwrap_used,
    reason = "a test whose ground cannot be laid has to fail"
)]

use std::sync::Arc;

use pyti_index::hook::BoxFuture;
use pyti_index::{
    HookError, HookRequest, IndexConfig, MetadataHook, Options, Prepared, Quiet, Target, prepare,
};

/// Stands in for the VM: believes what was written down when the package was packed.
struct Believing;

impl MetadataHook for Believing {
    fn metadata(&self, request: HookRequest) -> BoxFuture<'_, Result<String, HookError>> {
        Box::pin(async move {
            let stem = request.filename.trim_end_matches(".tar.gz");
            let (name, version) = stem.rsplit_once('-').unwrap_or((stem, "0"));
            let requires: String = request
                .hint
                .unwrap_or_default()
                .iter()
                .map(|line| format!("Requires-Dist: {line}\n"))
                .collect();
            Ok(format!(
                "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}"
            ))
        })
    }
}

async fn run(target: &str, wheel: bool) -> Prepared {
    let cache = std::env::var_os("PYTI_TEST_CACHE").map(std::path::PathBuf::from);
    let fresh = tempfile::tempdir().unwrap();
    let cache = cache.unwrap_or_else(|| fresh.path().to_owned());
    let mut options = Options::new(cache, IndexConfig::discover(None, &[]).unwrap());
    options.wheel = wheel;
    let target = Target::parse(target).unwrap();
    let prepared = prepare(&target, &options, Arc::new(Believing), Arc::new(Quiet)).await;
    let prepared = prepared.unwrap_or_else(|error| panic!("{error}"));
    let files: Vec<&str> = prepared
        .files
        .iter()
        .map(|file| file.filename.as_str())
        .collect();
    println!(
        "{} {}: {files:#?}\n{:?} {:?}",
        prepared.target.name, prepared.target.version, prepared.closure, prepared.notes
    );
    let mut tar = tar::Builder::new(Vec::new());
    pyti_index::append_tar(&prepared.files, "wheelhouse", &mut tar).unwrap();
    prepared
}

fn has(prepared: &Prepared, start: &str) -> bool {
    prepared
        .files
        .iter()
        .any(|file| file.filename.starts_with(start))
}

#[tokio::test]
async fn net_simplejson() {
    let prepared = run("simplejson==3.19.3", false).await;
    assert_eq!(prepared.target.file.filename, "simplejson-3.19.3.tar.gz");
    assert!(has(&prepared, "setuptools-") && prepared.closure.is_empty());
}

#[tokio::test]
async fn net_docopt() {
    assert!(has(
        &run("docopt==0.6.2", false).await,
        "docopt-0.6.2.tar.gz"
    ));
}

#[tokio::test]
async fn net_requires_docopt() {
    let prepared = run("num2words==0.5.14", false).await;
    assert!(has(&prepared, "docopt-0.6.2.tar.gz"));
}

#[tokio::test]
async fn net_requests_with_extra() {
    let prepared = run("requests[socks]", false).await;
    assert!(has(&prepared, "urllib3-") && has(&prepared, "PySocks-"));
}

#[tokio::test]
async fn net_hatchling() {
    assert!(has(&run("attrs", false).await, "hatchling-"));
}

#[tokio::test]
async fn net_wheel() {
    let prepared = run("simplejson==3.19.3", true).await;
    assert!(
        prepared
            .target
            .file
            .filename
            .contains("cp313-cp313-manylinux")
    );
    assert!(prepared.build_requires.is_empty());
}

#[tokio::test]
async fn net_deep_closure() {
    let prepared = run("pkg:pypi/pipreqs@0.4.13", false).await;
    assert!(has(&prepared, "docopt-0.6.2.tar.gz") && has(&prepared, "yarg-"));
}

#[tokio::test]
async fn net_meson_back_end() {
    let prepared = run("contourpy==1.3.3", false).await;
    assert!(has(&prepared, "meson_python-") && has(&prepared, "ninja-"));
}
