//! What is installed beside a target gets along with what that has brought.

use std::sync::Arc;

use pyti_index::{
    Beside, Closure, CoreMetadata, ErrorKind, IndexError, Options, Quiet, WheelhouseFile,
};

use crate::fixture::{Bench, Fixture};

/// The names of the files that these requirements take, wheels all of them, beside a target or by
/// themselves.
async fn taken(
    bench: &Bench,
    requirements: &[&str],
    beside: Option<&Beside>,
) -> Result<Vec<String>, IndexError> {
    let options = Options {
        wheels_only: true,
        ..bench.options.clone()
    };
    let closure = closure(bench, requirements, beside, &options).await?;
    Ok(names(closure.files))
}

async fn closure(
    bench: &Bench,
    requirements: &[&str],
    beside: Option<&Beside>,
    options: &Options,
) -> Result<Closure, IndexError> {
    let requirements: Vec<String> = requirements.iter().map(ToString::to_string).collect();
    let (hook, progress) = (bench.hook.clone(), Arc::new(Quiet));
    pyti_index::closure(&requirements, beside, options, hook, progress).await
}

fn names(files: Vec<WheelhouseFile>) -> Vec<String> {
    files.into_iter().map(|file| file.filename).collect()
}

/// The target of that name as it is installed, of this metadata.
async fn beside(bench: &Bench, target: &str, metadata: CoreMetadata) -> Beside {
    let prepared = bench.prepare(target).await.unwrap();
    Beside::of(&prepared, metadata).unwrap()
}

#[tokio::test]
async fn tools_are_of_versions_that_get_along_with_what_is_installed() {
    let mut fixture = Fixture::default();
    fixture.sdist("target", "1.0", "dependencies = ['plugins<2']");
    fixture.wheel("plugins", "1.5", "");
    fixture.wheel("plugins", "2.0", "");
    fixture.wheel("runner", "6.0", "Requires-Dist: plugins >=1");
    fixture.wheel("runner", "7.0", "Requires-Dist: plugins >=2");
    let bench = Bench::new(&fixture).await.with_uv().await;
    let installed = beside(&bench, "target", CoreMetadata::default()).await;
    assert_eq!(
        taken(&bench, &["runner"], None).await.unwrap(),
        [
            "plugins-2.0-py3-none-any.whl",
            "runner-7.0-py3-none-any.whl"
        ]
    );
    assert_eq!(
        taken(&bench, &["runner"], Some(&installed)).await.unwrap(),
        [
            "plugins-1.5-py3-none-any.whl",
            "runner-6.0-py3-none-any.whl"
        ]
    );
    // What does not get along with it is not had.
    let error = taken(&bench, &["runner>=7"], Some(&installed)).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Package);
    let whose = "failed to resolve the requirements of runner>=7 beside target 1.0: ";
    assert!(error.to_string().starts_with(whose), "{error}");
}

#[tokio::test]
async fn what_tools_want_of_the_target_is_there_and_its_extras_are_fetched() {
    let mut fixture = Fixture::default();
    fixture.sdist("target", "1.0", "");
    // Newer than what is audited, and what the index has is not what is audited.
    fixture.wheel("target", "2.0", "Requires-Dist: trap");
    fixture.wheel("trap", "1.0", "");
    fixture.wheel("plugin", "1.0", "Requires-Dist: target[more]");
    fixture.wheel("extra", "1.0", "");
    let bench = Bench::new(&fixture).await.with_uv().await;
    let metadata = CoreMetadata {
        requires_dist: vec!["extra; extra == 'more'".to_owned()],
        provides_extra: vec!["more".to_owned()],
        ..CoreMetadata::default()
    };
    let installed = beside(&bench, "target==1.0", metadata).await;
    assert_eq!(
        taken(&bench, &["plugin"], Some(&installed)).await.unwrap(),
        ["extra-1.0-py3-none-any.whl", "plugin-1.0-py3-none-any.whl"]
    );
}

/// A source that was installed need have no wheel, and nobody is asked again what it requires.
#[tokio::test]
async fn what_was_built_for_the_installation_is_taken_as_it_is() {
    let mut fixture = Fixture::default();
    fixture.setuptools();
    fixture.sdist("target", "1.0", "dependencies = ['old<2']");
    fixture.dynamic_sdist("old", "1.0");
    fixture.wheel("old", "2.0", "");
    fixture.wheel("tool", "1.0", "Requires-Dist: old");
    let bench = Bench::new(&fixture).await.with_uv().await;
    let bench = bench.hooked(&[("old", "")]);
    let installed = beside(&bench, "target", CoreMetadata::default()).await;
    let asked = || bench.hook.asked.lock().unwrap().len();
    assert_eq!(asked(), 1);
    assert_eq!(
        taken(&bench, &["tool"], Some(&installed)).await.unwrap(),
        ["tool-1.0-py3-none-any.whl"]
    );
    // Nor where sources are taken.
    let found = closure(&bench, &["tool"], Some(&installed), &bench.options).await;
    assert_eq!(names(found.unwrap().files), ["tool-1.0-py3-none-any.whl"]);
    assert_eq!(asked(), 1);
}

#[tokio::test]
async fn what_builds_a_source_is_told_apart_from_what_is_installed() {
    let mut fixture = Fixture::default();
    fixture.setuptools();
    fixture.sdist("target", "1.0", "");
    fixture.dynamic_sdist("tool", "1.0");
    fixture.wheel("plain", "1.0", "");
    let bench = Bench::new(&fixture).await.with_uv().await;
    let bench = bench.hooked(&[("tool", "Requires-Dist: plain")]);
    let installed = beside(&bench, "target", CoreMetadata::default()).await;
    for beside in [Some(&installed), None] {
        let found = closure(&bench, &["tool"], beside, &bench.options).await;
        let found = found.unwrap();
        assert_eq!(
            names(found.files),
            ["plain-1.0-py3-none-any.whl", "tool-1.0.tar.gz"]
        );
        assert_eq!(
            names(found.build_files),
            [
                "setuptools-80.0-py3-none-any.whl",
                "wheel-0.45-py3-none-any.whl"
            ]
        );
    }
    // Wheels alone are not enough, and nobody is asked then.
    let asked = || bench.hook.asked.lock().unwrap().len();
    let before = asked();
    let refused = taken(&bench, &["tool"], Some(&installed)).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Package);
    assert_eq!(asked(), before);
}
