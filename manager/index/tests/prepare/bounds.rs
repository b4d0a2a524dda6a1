//! Packages that list requirements without end.

use pyti_index::ErrorKind;

use super::fixture::{Bench, Fixture, tar_gz};
use super::unresolved;

/// A list in TOML of so many texts that are no requirements.
fn malformed(count: usize) -> String {
    let texts = (0..count).map(|number| format!("'/{number:06}',"));
    format!("[{}]", texts.collect::<String>())
}

/// An index with one source, whose build requires this and whose `[project]` goes on so.
fn offering(requires: &str, project: &str) -> Fixture {
    let text = format!(
        "[build-system]\nrequires = {requires}\nbuild-backend = 'b'\n\
         [project]\nname = 'target'\nversion = '1.0'\n{project}\n"
    );
    let content = tar_gz(&[("target-1.0/pyproject.toml", &text)]);
    let mut fixture = Fixture::default();
    fixture.offer("target", "target-1.0.tar.gz", content);
    fixture
}

#[tokio::test]
async fn too_many_requirements_are_refused_before_they_are_read() {
    let many = malformed(100_000);
    let project = |list: &str| format!("{list} = {many}");
    for (requires, project, list) in [
        (many.as_str(), String::new(), "build-system.requires"),
        ("[]", project("dependencies"), "project.dependencies"),
        (
            "[]",
            project("optional-dependencies.x"),
            "project.optional-dependencies",
        ),
    ] {
        let bench = unresolved(&offering(requires, &project)).await;
        let error = bench.prepare("target").await.unwrap_err();
        let expected = format!(
            "failed to read the metadata of target-1.0.tar.gz: pyproject.toml: {list} has more than 10000 \
             entries"
        );
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.kind(), ErrorKind::Package);
    }
}

#[tokio::test]
async fn not_every_requirement_that_is_refused_is_told() {
    let list = malformed(10_000);
    let of_build = unresolved(&offering(&list, "")).await;
    let project = format!("dependencies = {list}");
    let of_target = Bench::new(&offering("[]", &project)).await.with_uv().await;
    for (bench, whose) in [
        (of_build, "build of target-1.0.tar.gz"),
        (of_target, "target 1.0"),
    ] {
        let notes = bench.prepare("target").await.unwrap().notes;
        assert_eq!(notes.len(), 201, "{whose}");
        let first =
            format!("{whose}: requirement '/000000' is not a requirement (PEP 508); left out");
        assert_eq!(notes[0], first);
        assert_eq!(notes[200], "9800 more notes are not kept");
    }
}
