//! The metadata that a `[project]` table of `pyproject.toml` has (PEP 621, PEP 639).

use globset::{GlobBuilder, GlobSetBuilder};

use super::{CoreMetadata, LONGEST, MOST_TEXTS, push};
use crate::archive::{Archive, MemberKind};
use crate::pyproject::Project;
use crate::requirement;

/// Bytes of all patterns times those of the paths that are matched with them: as many steps as that may
/// take. Honest ones come to less.
const MOST_STEPS: usize = 1 << 29;

/// The metadata of a `[project]` table, unless what is needed is dynamic. `packed` is the sdist's
/// `PKG-INFO`: it says of the licence what the table leaves to the back end.
pub(super) fn metadata(
    project: &Project,
    archive: &Archive,
    packed: Option<&CoreMetadata>,
) -> Result<Option<CoreMetadata>, String> {
    let dynamic = |field: &str| project.dynamic.iter().any(|named| named == field);
    if dynamic("dependencies") || dynamic("optional-dependencies") {
        return Ok(None);
    }
    let mut requires_dist = project.dependencies.clone();
    for (extra, requirements) in &project.optional_dependencies {
        for text in requirements {
            match requirement::of_extra(text, extra) {
                Ok(text) => requires_dist.push(text),
                // Refused where the requirements are used, with a note.
                Err(requirement::Refused::Address(_) | requirement::Refused::Complicated(_)) => {
                    requires_dist.push(text.clone());
                }
                Err(refused) => return Err(format!("pyproject.toml: {refused}")),
            }
        }
    }
    let left = |field: &str| packed.filter(|_| dynamic(field));
    let licence = left("license");
    let classifiers = left("classifiers").map(|packed| &packed.classifiers);
    Ok(Some(CoreMetadata {
        metadata_version: "2.2".to_owned(),
        name: project.name.clone(),
        version: project.version.clone().unwrap_or_default(),
        requires_dist,
        requires_python: project.requires_python.clone(),
        provides_extra: project.optional_dependencies.keys().cloned().collect(),
        dynamic: Vec::new(),
        summary: project.description.clone(),
        people: bounded(project.people()),
        urls: bounded(project.urls()),
        keywords: bounded(project.keywords()),
        description: None,
        license: project.license().or_else(|| licence?.license.clone()),
        license_expression: project
            .license_expression()
            .or_else(|| licence?.license_expression.clone()),
        license_files: licence_files(project, archive, packed),
        classifiers: classifiers.unwrap_or(&project.classifiers).clone(),
    }))
}

fn bounded(texts: Vec<String>) -> Vec<String> {
    let mut kept = vec![];
    texts.iter().for_each(|text| push(&mut kept, text));
    kept
}

/// The files that hold the licence: those that the table names, or else those that the back end found
/// by rules of its own when it packed.
fn licence_files(
    project: &Project,
    archive: &Archive,
    packed: Option<&CoreMetadata>,
) -> Vec<String> {
    let mut files = bounded(project.license_paths());
    match (project.license_globs(), packed) {
        (Some(globs), _) => {
            for path in matching(&globs, archive) {
                push(&mut files, path);
            }
        }
        (None, Some(packed)) if files.is_empty() => files.clone_from(&packed.license_files),
        (None, _) => {}
    }
    files
}

/// The files of the source that one of these patterns matches, sorted.
fn matching<'a>(globs: &[String], archive: &'a Archive) -> Vec<&'a str> {
    let mut set = GlobSetBuilder::new();
    let mut bytes = 0;
    let short = globs.iter().filter(|glob| glob.len() <= LONGEST);
    for pattern in short.take(MOST_TEXTS) {
        let mut builder = GlobBuilder::new(pattern);
        // What is no pattern matches no file.
        if let Ok(glob) = builder.literal_separator(true).build() {
            set.add(glob);
            bytes += pattern.len();
        }
    }
    let Ok(set) = set.build() else {
        return vec![];
    };
    let root = archive.root();
    let members = archive.members.iter();
    let files = members.filter(|member| member.kind == MemberKind::File);
    let paths = files.filter_map(|member| member.path.strip_prefix(root));
    let mut left = MOST_STEPS;
    let looked_at = paths.map_while(|path| {
        left = left.checked_sub(bytes * path.len())?;
        Some(path.trim_start_matches('/'))
    });
    let mut found: Vec<&str> = looked_at.filter(|path| set.is_match(path)).collect();
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::super::{Static, examine_sdist};
    use super::*;
    use crate::archive::Member;

    /// What is known of an sdist with these files.
    fn known(texts: &[(&str, &str)]) -> CoreMetadata {
        let paths = texts.iter().map(|(path, _)| format!("a-1/{path}"));
        let member = |path: String| Member {
            path,
            size: 0,
            kind: MemberKind::File,
        };
        let archive = Archive {
            members: paths.clone().map(member).collect(),
            texts: paths
                .zip(texts)
                .map(|(path, (_, text))| (path, text.as_bytes().to_vec()))
                .collect(),
        };
        match examine_sdist(&archive).unwrap().metadata {
            Static::Known(metadata) => *metadata,
            Static::NeedsHook { .. } => panic!("it is not known"),
        }
    }

    /// The same of one whose `[project]` table goes on so, with these others.
    fn of(table: &str, others: &[(&str, &str)]) -> CoreMetadata {
        let text = format!("[project]\nname = 'a'\nversion = '1'\n{table}");
        known(&[&[("pyproject.toml", &*text)][..], others].concat())
    }

    #[test]
    fn a_project_table_says_the_same() {
        let metadata = of(
            "keywords = ['x']\nauthors = [{name = 'Ann', email = 'ann@a.org'}, {name = 'Bo'}]\n\
            [project.urls]\nSource = 'https://a.org/s'\n",
            &[],
        );
        assert_eq!(metadata.people, ["Ann <ann@a.org>", "Bo"]);
        assert_eq!(metadata.urls, ["Source, https://a.org/s"]);
        assert_eq!(metadata.keywords, ["x"]);
    }

    #[test]
    fn files_of_a_licence_are_those_that_the_table_names() {
        let files = [
            ("LICENSE.txt", ""),
            ("src/a/LICENCE", ""),
            ("src/a/b/COPYING", ""),
            ("setup.py", ""),
        ];
        for (table, expected) in [
            (
                "license = 'MIT'\nlicense-files = ['LICEN[CS]E*']",
                "LICENSE.txt",
            ),
            (
                "license-files = ['**/COPYING', 'src/*/LICENCE', 'src/*', '[']",
                "src/a/LICENCE|src/a/b/COPYING",
            ),
            ("license-files = []", ""),
            ("license-files = {globs = ['LIC*']}", "LICENSE.txt"),
            ("license-files = {paths = ['X', 'X']}", "X"),
            ("license = {file = 'LICENSE.txt'}", "LICENSE.txt"),
            ("license = {text = 'MIT'}\nlicense-files = 3", ""),
        ] {
            let metadata = of(table, &files);
            assert_eq!(metadata.license_files.join("|"), expected, "{table}");
        }
    }

    #[test]
    fn long_patterns_are_matched_with_fewer_files() {
        let member = |number| Member {
            path: format!("a-1/{}{number}", "y".repeat(800)),
            size: 0,
            kind: MemberKind::File,
        };
        let archive = Archive {
            members: (0..200).map(member).collect(),
            texts: [].into(),
        };
        let mut globs = vec!["*".to_owned()];
        assert_eq!(matching(&globs, &archive).len(), 200);
        globs.resize(MOST_TEXTS, "x".repeat(LONGEST));
        assert_eq!(matching(&globs, &archive).len(), 27);
    }

    #[test]
    fn what_a_table_leaves_to_its_back_end_is_what_that_packed() {
        let packed = (
            "PKG-INFO",
            "Metadata-Version: 2.1\nName: a\nVersion: 1\nLicense: BSD\nLicense-File: LICENSE\n\
            Classifier: License :: OSI Approved :: BSD License\n",
        );
        let metadata = of("dynamic = ['license', 'classifiers']", &[packed]);
        assert_eq!(metadata.license.as_deref(), Some("BSD"));
        assert_eq!(metadata.license_files, ["LICENSE"]);
        assert_eq!(metadata.classifiers.len(), 1);
        // What it says itself is not for the back end to say.
        let metadata = of("license = 'MIT'\nlicense-files = []", &[packed]);
        assert_eq!(metadata.license_expression.as_deref(), Some("MIT"));
        assert_eq!(metadata.license_files, Vec::<String>::new());
        let metadata = of("", &[packed]);
        assert_eq!((metadata.license, metadata.classifiers.len()), (None, 0));
    }
}
