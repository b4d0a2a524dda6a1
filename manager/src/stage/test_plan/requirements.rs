//! What a package's tests require.

use pyti_index::CoreMetadata;
use pyti_index::metadata::requires_of_extra;

use super::files::Files;

/// Optional features and dependency groups (PEP 735) that hold what tests require.
const TEST_GROUPS: [&str; 4] = ["test", "tests", "testing", "dev"];

/// What the tests require, by the first source that says: the package's extras, its dependency
/// groups, tox, lists.
pub(super) fn requirements(files: &Files, metadata: &CoreMetadata) -> Vec<String> {
    let groups = || TEST_GROUPS.iter();
    let extras = groups().flat_map(|extra| requires_of_extra(metadata, extra));
    let from_groups = || -> Vec<String> {
        let Ok(project) = toml::from_str::<toml::Table>(files.text("pyproject.toml")) else {
            return vec![];
        };
        let table = project
            .get("dependency-groups")
            .and_then(toml::Value::as_table);
        groups()
            .filter_map(|group| table?.get(*group)?.as_array())
            .flatten()
            .filter_map(|requirement| requirement.as_str().map(str::to_owned))
            .collect()
    };
    let from_lists = || -> Vec<String> {
        let lists = files.texts.iter().filter(|(path, _)| is_requirements(path));
        lists
            .flat_map(|(_, text)| text.lines().filter_map(line))
            .collect()
    };
    let mut found: Vec<String> = extras.collect();
    for other in [
        &from_groups as &dyn Fn() -> Vec<String>,
        &|| tox(files.text("tox.ini")),
        &from_lists,
    ] {
        if found.is_empty() {
            found = other();
        }
    }
    found.sort();
    found.dedup();
    found
}

/// A requirement on a line of a list or of tox's `deps`: no option, file or variable.
fn line(line: &str) -> Option<String> {
    let line = line.split(" #").next()?.trim();
    let plain =
        line.starts_with(|c: char| c.is_ascii_alphanumeric()) && !line.contains(['{', '/', '$']);
    // A factor of tox: only for some environments.
    (plain && !line.contains(": ")).then(|| line.to_owned())
}

fn tox(text: &str) -> Vec<String> {
    let mut lines = text
        .lines()
        .skip_while(|line| line.trim() != "[testenv]")
        .skip(1);
    let mut found = vec![];
    let mut within = false;
    for text in lines.by_ref().take_while(|line| !line.starts_with('[')) {
        let indented = text.starts_with([' ', '\t']);
        if !indented {
            within = text.starts_with("deps");
            let first = text.split_once('=').map_or("", |(_, first)| first);
            found.extend(line(first).filter(|_| within));
        } else if within {
            found.extend(line(text));
        }
    }
    found
}

/// A list of what tests require, by its name.
pub(super) fn is_requirements(path: &str) -> bool {
    let name = path.to_ascii_lowercase();
    name.ends_with(".txt")
        && name.contains("require")
        && TEST_GROUPS.iter().any(|group| name.contains(group))
        && path.matches('/').count() <= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_come_from_the_first_that_says() {
        let metadata = CoreMetadata {
            requires_dist: vec!["b ; extra == 'tests'".into(), "c".into()],
            ..CoreMetadata::default()
        };
        let tox = Files::of(&[(
            "tox.ini",
            "[tox]\n[testenv]\ndeps =\n    pytest\n    py27: mock\n    -rx.txt\n    {env:A}\ncommands = x\n    y",
        )]);
        assert_eq!(requirements(&tox, &metadata), ["b"]);
        assert_eq!(requirements(&tox, &CoreMetadata::default()), ["pytest"]);
        let groups = Files::of(&[(
            "pyproject.toml",
            "[dependency-groups]\ntest = ['d', {include-group = 'x'}]\n",
        )]);
        assert_eq!(requirements(&groups, &CoreMetadata::default()), ["d"]);
    }
}
