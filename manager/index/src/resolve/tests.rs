//! What stays in memory of a resolution.

use std::path::{Path, PathBuf};

use super::*;
use crate::cache::Cache;
use crate::config::IndexConfig;
use crate::filename::{DistFilename, PythonPlatform};
use crate::hook::HookError;
use crate::pack::pack;
use crate::progress::Quiet;

/// Asks nobody.
struct NoHook;

impl MetadataHook for NoHook {
    fn metadata(&self, _: HookRequest) -> BoxFuture<'_, Result<String, HookError>> {
        Box::pin(std::future::pending())
    }
}

/// A source of this name, packed into `home`, that requires something of a long name.
fn source(name: &str, home: &Path, cache: &Cache) -> LocalFile {
    let tree = home.join(name);
    std::fs::create_dir(&tree).unwrap();
    let requires = "x".repeat(2000);
    let text =
        format!("[project]\nname = '{name}'\nversion = '1'\ndependencies = ['{requires}']\n");
    std::fs::write(tree.join("pyproject.toml"), text).unwrap();
    let packed = pack(&tree, cache, &Limits::default()).unwrap();
    let path = home.join(&packed.filename);
    std::fs::copy(packed.file.path(), &path).unwrap();
    LocalFile {
        filename: DistFilename::parse(&packed.filename, None).unwrap(),
        path,
        sha256: name.to_owned(),
        bytes: 0,
    }
}

#[tokio::test]
async fn metadata_of_sources_does_not_fill_the_memory() {
    let home = tempfile::tempdir().unwrap();
    let cache = Cache::open(&home.path().join("cache")).unwrap();
    let [first, second] = ["a", "b"].map(|name| source(name, home.path(), &cache));
    let config = IndexConfig::new("http://127.0.0.1:9/simple/", &[]).unwrap();
    let index = Index::new(cache, config, 1, Arc::new(Quiet)).unwrap();
    let nothing = PathBuf::from("/nonexistent");
    let uv = Uv::ensure(&index, Some(nothing.clone()), Some(nothing)).await;
    let uv = uv.unwrap();
    let selection = Selection {
        platform: PythonPlatform::default(),
        cutoff: None,
        wheels_only: false,
    };
    let bounds = Bounds {
        archives: Limits::default(),
        closure_bytes: 0,
    };
    let started = Resolver::start(index, selection, bounds, uv, Arc::new(NoHook)).await;
    let (resolver, _loopback) = started.unwrap();

    resolver.index.count_read((1 << 30) - 2000);
    assert!(resolver.metadata_of_file(&first, &[], true).await.is_ok());
    let error = resolver
        .metadata_of_file(&second, &[], true)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "failed to fetch the metadata of b-1.tar.gz: with all that was fetched before, it is over the limit of \
         1 GiB of index pages and metadata"
    );
    // What is known already takes no more.
    assert!(resolver.metadata_of_file(&first, &[], true).await.is_ok());
}
