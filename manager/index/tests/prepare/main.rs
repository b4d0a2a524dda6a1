//! From a target to its wheelhouse, against an index made here. The resolver itself is fetched
//! from PyPI where it is not there yet.

#![expect(
    clippy::unwrap_used,
    reason = "a test whose ground cannot be laid has to fail"
)]

mod beside;
mod bounds;
mod built;
mod certificates;
mod child;
mod connections;
mod fixture;
mod passwords;
mod proxies;
mod proxy;
mod server;

use std::sync::atomic::Ordering;

use fixture::{Bench, Fixture, names, tar_gz};
use pyti_index::{Cutoff, DistKind, ErrorKind};

const NO_UV: &str = "/no/uv";

/// A bench whose target must be refused before anything is resolved.
async fn unresolved(fixture: &Fixture) -> Bench {
    let mut bench = Bench::new(fixture).await;
    bench.options.uv = Some(NO_UV.into());
    bench
}

#[tokio::test]
async fn unknown_package_and_version() {
    let mut fixture = Fixture::default();
    for version in ["1.0", "1.1", "2.0"] {
        fixture.sdist("known", version, "");
    }
    let bench = unresolved(&fixture).await;
    let error = bench.prepare("unknown").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    assert!(error.to_string().contains("'unknown'"), "{error}");
    let message = bench.refusal("known==1.2").await;
    assert!(
        message.contains("near it are 1.0, 1.1, 2.0; the newest is 2.0"),
        "{message}"
    );
}

#[tokio::test]
async fn network_down() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let bench = Bench::at(&format!("http://user:secret@127.0.0.1:{port}/simple/"));
    let error = bench.prepare("any").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Infrastructure);
    let message = error.to_string();
    assert!(
        message.contains("refused") && !message.contains("secret"),
        "{message}"
    );
}

#[tokio::test]
async fn a_server_that_stumbles_is_asked_again() {
    let mut fixture = Fixture::default();
    fixture.sdist("target", "1.0", "");
    fixture.failures.store(2, Ordering::SeqCst);
    let bench = unresolved(&fixture).await;
    assert!(bench.prepare("target").await.is_ok());
    fixture.failures.store(100, Ordering::SeqCst);
    assert!(bench.refusal("target").await.contains("503"));
}

#[tokio::test]
async fn hash_mismatch_and_missing_hash() {
    let mut fixture = Fixture::default();
    fixture.sdist("target", "1.0", "").sha256 = Some("0".repeat(64));
    fixture.sdist("target", "2.0", "").sha256 = None;
    let bench = unresolved(&fixture).await;
    let message = bench.refusal("target==1.0").await;
    assert!(
        message.contains("sha256") && message.contains("index says 000"),
        "{message}"
    );
    assert!(bench.refusal("target==2.0").await.contains("no sha256"));
}

#[tokio::test]
async fn broken_and_dangerous_archives() {
    let mut fixture = Fixture::default();
    let whole = tar_gz(&[("a-1/PKG-INFO", &"text".repeat(1000))]);
    fixture.offer("a", "a-1.tar.gz", whole[..whole.len() / 2].to_vec());
    fixture.offer("a", "a-2.tar.gz", b"spam and eggs".repeat(9));
    let bench = unresolved(&fixture).await;
    let error = bench.prepare("a==1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Package);
    assert!(error.to_string().contains("truncated"), "{error}");
    assert!(
        bench
            .refusal("a==2")
            .await
            .contains("a-2.tar.gz: it is corrupt")
    );
}

#[tokio::test]
async fn selection_follows_pip() {
    let mut fixture = Fixture::default();
    fixture.sdist("target", "1.0", "");
    fixture.sdist("target", "1.1", "").yanked = true;
    fixture.sdist("target", "2.0rc1", "");
    fixture.wheel("wheels", "1.0", "");
    let mut bench = unresolved(&fixture).await;
    assert_eq!(bench.prepare("target").await.unwrap().target.version, "1.0");
    assert!(bench.prepare("target==1.1").await.unwrap().target.yanked);
    assert!(bench.refusal("wheels").await.contains("--wheel"));
    bench.options.pre = true;
    assert_eq!(
        bench.prepare("target").await.unwrap().target.version,
        "2.0rc1"
    );
    bench.options.wheel = true;
    let prepared = bench.prepare("wheels").await.unwrap();
    assert_eq!(names(&prepared), ["wheels-1.0-py3-none-any.whl"]);
    assert!(bench.refusal("target").await.contains("no wheel"));
}

#[tokio::test]
async fn cut_off_date() {
    let mut fixture = Fixture::default();
    fixture.sdist("target", "1.0", "");
    fixture.sdist("target", "2.0", "").upload_time = "2024-01-01T00:00:00.000000Z";
    let mut bench = unresolved(&fixture).await;
    bench.options.cutoff = Some(Cutoff::parse("2023-12-31").unwrap());
    assert_eq!(bench.prepare("target").await.unwrap().target.version, "1.0");
    bench.options.cutoff = Some(Cutoff::parse("2019-12-31").unwrap());
    assert!(bench.refusal("target").await.contains("cut-off"));
    assert!(Cutoff::parse("yesterday").is_err());
}

#[tokio::test]
async fn the_cache_serves_the_second_time() {
    let mut fixture = Fixture::default();
    fixture.sdist("target", "1.0", "");
    let bench = unresolved(&fixture).await;
    let first = bench.prepare("target").await.unwrap();
    let second = bench.prepare("target").await.unwrap();
    assert_eq!(first.target, second.target);
    let asked = fixture.asked.lock().unwrap();
    assert_eq!(*asked, ["target", "target-1.0.tar.gz", "target"]);
}

#[tokio::test]
async fn closure_with_extras_from_html_too() {
    for html in [false, true] {
        let mut fixture = Fixture {
            html,
            ..Fixture::default()
        };
        let project = "dependencies = ['dep>=1']\noptional-dependencies.more = ['extra']";
        fixture.sdist("target", "1.0", project);
        fixture.wheel("dep", "1.0", "");
        fixture.wheel(
            "dep",
            "1.5",
            "Requires-Dist: deeper; python_version >= '3.13'",
        );
        fixture.wheel(
            "deeper",
            "1.0",
            "Requires-Dist: old; python_version < '3.13'",
        );
        fixture.wheel("extra", "1.0", "");
        let bench = Bench::new(&fixture).await.with_uv().await;
        let prepared = bench.prepare("target").await.unwrap();
        let plain = [
            "deeper-1.0-py3-none-any.whl",
            "dep-1.5-py3-none-any.whl",
            "target-1.0.tar.gz",
        ];
        assert_eq!(names(&prepared), plain);
        let prepared = bench.prepare("target[more]==1.0").await.unwrap();
        assert!(names(&prepared).contains(&"extra-1.0-py3-none-any.whl"));
        assert!(bench.hook.asked.lock().unwrap().is_empty());

        let mut tar = tar::Builder::new(Vec::new());
        pyti_index::append_tar(&prepared.files, "wheelhouse", &mut tar).unwrap();
        let bytes = tar.into_inner().unwrap();
        let mut tar = tar::Archive::new(&bytes[..]);
        let paths: Vec<String> = tar
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(paths.len(), 4);
        assert!(
            paths.contains(&"wheelhouse/target-1.0.tar.gz".to_owned()),
            "{paths:?}"
        );
    }
}

#[tokio::test]
async fn a_closure_that_is_too_large_is_not_fetched() {
    for html in [false, true] {
        let mut fixture = Fixture {
            html,
            ..Fixture::default()
        };
        fixture.sdist("target", "1.0", "dependencies = ['dep']");
        fixture.wheel("dep", "1.0", "Requires-Dist: deeper");
        fixture.wheel("deeper", "1.0", "");
        let mut bench = Bench::new(&fixture).await.with_uv().await;
        bench.options.closure_bytes = 10;
        let message = bench.refusal("target").await;
        assert!(message.contains("more than 10 bytes together"), "{message}");
        bench.options.closure_bytes = 10_000;
        assert!(bench.prepare("target").await.is_ok());
    }
}

#[tokio::test]
async fn sources_are_asked_by_the_hook_only() {
    let mut fixture = Fixture::default();
    fixture.setuptools();
    fixture.dynamic_sdist("target", "1.0");
    fixture.dynamic_sdist("dep", "0.6.2");
    fixture.wheel("leaf", "1.0", "");
    let bench = Bench::new(&fixture).await.with_uv().await;
    let bench = bench.hooked(&[
        ("target", "Requires-Dist: dep"),
        ("dep", "Requires-Dist: leaf"),
    ]);
    let prepared = bench.prepare("target").await.unwrap();
    assert_eq!(
        names(&prepared),
        [
            "dep-0.6.2.tar.gz",
            "leaf-1.0-py3-none-any.whl",
            "setuptools-80.0-py3-none-any.whl",
            "target-1.0.tar.gz",
            "wheel-0.45-py3-none-any.whl",
        ]
    );
    let asked = bench.hook.asked.lock().unwrap();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].filename, "target-1.0.tar.gz");
    assert_eq!(asked[0].wheelhouse.len(), 2);
}

#[tokio::test]
async fn what_a_setup_py_names_is_fetched_where_it_can_be_had() {
    let mut fixture = Fixture::default();
    fixture.setuptools();
    fixture.wheel("helper", "1.0", "");
    fixture.sdist_of_setup("old", "1.0", "setup(setup_requires=['helper>=1'])");
    fixture.sdist_of_setup("lost", "1.0", "setup(setup_requires=['nowhere'])");
    let needs_old = "dependencies = ['old']";
    fixture.sdist("target", "1.0", needs_old);
    let bench = Bench::new(&fixture).await.with_uv().await;
    let bench = bench.hooked(&[("old", ""), ("lost", "")]);
    let build = [
        "setuptools-80.0-py3-none-any.whl",
        "wheel-0.45-py3-none-any.whl",
    ];

    // As the target, and as what a target requires.
    for (target, own) in [("old", None), ("target", Some("target-1.0.tar.gz"))] {
        let prepared = bench.prepare(target).await.unwrap();
        let with = ["helper-1.0-py3-none-any.whl", "old-1.0.tar.gz"];
        let mut expected: Vec<&str> = with.into_iter().chain(build).chain(own).collect();
        expected.sort_unstable();
        assert_eq!(names(&prepared), expected);
        let note = "build of old-1.0.tar.gz: with helper>=1, which its setup_requires names";
        assert_eq!(prepared.notes, [note]);
    }
    let asked = bench.hook.asked.lock().unwrap().clone();
    let given: Vec<usize> = asked.iter().map(|asked| asked.wheelhouse.len()).collect();
    assert_eq!(given, [3, 3]);

    let prepared = bench.prepare("lost").await.unwrap();
    let expected: Vec<&str> = ["lost-1.0.tar.gz"].into_iter().chain(build).collect();
    assert_eq!(names(&prepared), expected);
    let note = "build of lost-1.0.tar.gz: without nowhere, which its setup_requires names: ";
    let [told] = prepared.notes.as_slice() else {
        panic!("{:?}", prepared.notes);
    };
    assert!(told.starts_with(note), "{told}");
}

#[tokio::test]
async fn a_hook_without_answer_says_so() {
    let mut fixture = Fixture::default();
    fixture.setuptools();
    fixture.sdist("target", "1.0", "dependencies = ['dep']");
    fixture.dynamic_sdist("dep", "1.0");
    let bench = Bench::new(&fixture).await.with_uv().await;
    let message = bench.refusal("target").await;
    assert!(
        message.contains("dep-1.0.tar.gz") && message.contains("no answer"),
        "{message}"
    );
    assert!(!message.contains('\x1b'));
}

#[tokio::test]
async fn what_cannot_be_resolved_is_explained() {
    let mut fixture = Fixture::default();
    fixture.sdist("target", "1.0", "dependencies = ['dep>=2']");
    fixture.sdist("lost", "1.0", "dependencies = ['nowhere']");
    fixture.wheel("dep", "1.0", "");
    let bench = Bench::new(&fixture).await.with_uv().await;
    let error = bench.prepare("target").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Package);
    assert!(error.to_string().contains("dep"), "{error}");
    assert!(bench.refusal("lost").await.contains("nowhere"));
}

#[tokio::test]
async fn addresses_in_requirements_are_not_followed() {
    let mut fixture = Fixture::default();
    let canary = "trap @ http://127.0.0.1:9/trap-1.0-py3-none-any.whl";
    fixture.sdist(
        "target",
        "1.0",
        &format!("dependencies = ['dep', '{canary}']"),
    );
    fixture.wheel(
        "dep",
        "1.0",
        "Requires-Dist: evil @ git+http://127.0.0.1:9/evil",
    );
    let bench = Bench::new(&fixture).await.with_uv().await;
    let prepared = bench.prepare("target").await.unwrap();
    assert_eq!(
        names(&prepared),
        ["dep-1.0-py3-none-any.whl", "target-1.0.tar.gz"]
    );
    assert_eq!(prepared.notes.len(), 2, "{:?}", prepared.notes);
}

#[tokio::test]
async fn directories_and_files() {
    let mut fixture = Fixture::default();
    fixture.setuptools();
    let bench = Bench::new(&fixture)
        .await
        .with_uv()
        .await
        .hooked(&[("Tree", "")]);
    let home = tempfile::tempdir().unwrap();
    let tree = home.path().join("tree");
    std::fs::create_dir_all(tree.join(".git")).unwrap();
    std::fs::write(tree.join(".git/config"), "secret").unwrap();
    let text = "[project]\nname = 'my.tree'\nversion = '1.2'\n[build-system]\nrequires = []\n";
    std::fs::write(tree.join("pyproject.toml"), text).unwrap();
    let prepared = bench.prepare(tree.to_str().unwrap()).await.unwrap();
    assert_eq!(prepared.target.file.filename, "my_tree-1.2.tar.gz");
    let content = std::fs::File::open(&prepared.target.file.path).unwrap();
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(content));
    let paths: Vec<String> = tar
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    assert_eq!(paths, ["my_tree-1.2/pyproject.toml"]);

    // The packed file, as a file of this machine.
    let file = home.path().join("my_tree-1.2.tar.gz");
    std::fs::copy(&prepared.target.file.path, &file).unwrap();
    let again = bench.prepare(file.to_str().unwrap()).await.unwrap();
    assert_eq!(again.target.file.sha256, prepared.target.file.sha256);

    // A wheel of this machine, which no index has.
    let wheel = fixture.wheel("local", "1.0", "").content.clone();
    let written = |name: &str| {
        let path = home.path().join(name);
        std::fs::write(&path, &wheel).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let fits = written("local-1.0-py3-none-any.whl");
    let prepared = bench.prepare(&fits).await.unwrap();
    assert_eq!(names(&prepared), ["local-1.0-py3-none-any.whl"]);
    assert_eq!(prepared.target.kind, DistKind::Wheel);
    assert_eq!(std::fs::read(&prepared.target.file.path).unwrap(), wheel);
    for tags in ["cp313-cp313-win_amd64", "py2-none-any"] {
        let other = written(&format!("local-1.0-{tags}.whl"));
        let refusal = "this wheel does not fit the image";
        assert_eq!(
            bench.refusal(&other).await,
            format!("failed to understand target '{other}': {refusal}")
        );
    }

    std::os::unix::fs::symlink("/etc/passwd", tree.join("link")).unwrap();
    assert!(
        bench
            .refusal(tree.to_str().unwrap())
            .await
            .contains("leads out")
    );
    let empty = home.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    assert!(
        bench
            .refusal(empty.to_str().unwrap())
            .await
            .contains("no source tree")
    );
}
