//! Words of a command that name files and directories of the source.

use crate::stage::relative::join;
use crate::stage::test_plan::Files;
use crate::stage::test_plan::substitution::SOURCE;

/// A word that names a file or a directory of the source, or a test in one, as it is seen from
/// `directory`; `None` where nothing is there. Written without `.` and repeated or ending slashes.
pub(super) fn place(word: &str, directory: &str, files: &Files) -> Option<String> {
    let (path, node) = match word.split_once("::") {
        Some((path, node)) => (path, format!("::{node}")),
        None => (word, String::new()),
    };
    let found = inside(path, directory)?;
    let there = files.has(&found) || files.has_directory(&found);
    there.then(|| match plain(path) {
        path if path.is_empty() => format!(".{node}"),
        path => path + &node,
    })
}

/// A path that is seen from `directory`, as the source has it; `None` where it leads out of the source.
pub(super) fn inside(path: &str, directory: &str) -> Option<String> {
    match path.strip_prefix(SOURCE) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => join("", rest),
        _ if path.starts_with('/') || directory.starts_with('/') => None,
        _ => join(directory, path),
    }
}

/// A path without `.` and repeated or ending slashes.
pub(in crate::stage::test_plan) fn plain(path: &str) -> String {
    let start = if path.starts_with('/') { "/" } else { "" };
    let parts = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".");
    format!("{start}{}", parts.collect::<Vec<_>>().join("/"))
}

/// Whether a word may be the name of a module, or of something in one.
pub(super) fn is_dotted(word: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    word.split('.').all(part) && !word.ends_with(".py")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_seen_from_a_directory_and_stay_in_the_source() {
        let files = Files::of(&[("tests/a.py", ""), ("t/unit/b.py", "")]);
        for (word, directory, expected) in [
            ("./tests/", "", Some("tests")),
            (".", "", Some(".")),
            ("tests/../t", "", Some("tests/../t")),
            ("../tests", "", None),
            ("/tests", "", None),
            ("tests", "t", None),
            ("unit//b.py::X", "t", Some("unit/b.py::X")),
            ("../tests/a.py", "t", Some("../tests/a.py")),
            ("../../source/tests", "t", None),
            ("{source}/tests/", "t", Some("{source}/tests")),
            ("{source}/tests", "{work}/x", Some("{source}/tests")),
            ("{source}s/tests", "", None),
            ("tests", "{work}", None),
            ("tests", "/tmp", None),
        ] {
            let found = place(word, directory, &files);
            assert_eq!(found.as_deref(), expected, "{word} from {directory}");
        }
    }
}
