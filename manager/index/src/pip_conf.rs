//! Pip's configuration files (<https://pip.pypa.io/en/stable/topics/configuration/>).

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::IndexError;
use crate::text::printable;

/// The sections that are read, the one that wins first: those of pip's commands come before the one
/// for all of them, in whichever file.
const SECTIONS: [&str; 3] = ["install", "download", "global"];

/// The environment, where paths need not be text.
type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// An option of a file.
struct Value {
    section: String,
    key: String,
    text: String,
}

/// The value of `key`, and the file that says it.
pub(crate) fn setting(
    key: &str,
    environment: Environment<'_>,
    root: &Path,
) -> Result<Option<(String, String)>, IndexError> {
    let mut files = Vec::new();
    let named = environment("PIP_CONFIG_FILE").map(PathBuf::from);
    for path in paths(environment, root) {
        let shown = printable(&path.display().to_string(), 200);
        match std::fs::read_to_string(&path) {
            Ok(text) => files.push((shown, values(&text))),
            // Not a directory is what /dev/null is, which stands for no home.
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            // In somebody else's home. For pip there is none either.
            Err(_) if named.as_ref() != Some(&path) && is_hidden(&path) => {}
            Err(error) => {
                return Err(IndexError::BadSetting {
                    setting: shown,
                    reason: error.to_string(),
                });
            }
        }
    }
    for section in SECTIONS {
        for (path, values) in &files {
            let mut values = values.iter().rev();
            let found = values.find(|value| {
                value.section == section && value.key == key && !value.text.trim().is_empty()
            });
            if let Some(found) = found {
                return Ok(Some((found.text.trim().to_owned(), path.clone())));
            }
        }
    }
    Ok(None)
}

/// Whether this user may not even know if there is such a file.
fn is_hidden(path: &Path) -> bool {
    let found = path.symlink_metadata();
    found.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

/// The files, the one that wins first.
fn paths(environment: Environment<'_>, root: &Path) -> Vec<PathBuf> {
    let path = |name: &str| {
        let value = environment(name)?;
        let blank = value.to_string_lossy().trim().is_empty();
        (!blank).then(|| PathBuf::from(value))
    };
    let mut files = Vec::new();
    match path("PIP_CONFIG_FILE") {
        // Pip's own way to say "none".
        Some(file) if file == Path::new("/dev/null") => return files,
        Some(file) => files.push(file),
        None => {}
    }
    files.extend(path("VIRTUAL_ENV").map(|environment| environment.join("pip.conf")));
    let home = path("HOME");
    files.extend(
        path("XDG_CONFIG_HOME")
            .or(home.as_ref().map(|home| home.join(".config")))
            .map(|config| config.join("pip/pip.conf")),
    );
    files.extend(home.map(|home| home.join(".pip/pip.conf")));
    files.push(root.join("etc/pip.conf"));
    files.push(root.join("etc/xdg/pip/pip.conf"));
    files
}

/// What a file says, in its order, read as Python's `configparser` reads it for pip: a value goes on in
/// the lines below that are indented deeper than the option's own, whatever they look like, and a
/// section's header ends at its last `]`. (The crate of that name takes an indented `[…` for a header,
/// and refuses one without `]` with the whole file.)
fn values(text: &str) -> Vec<Value> {
    let mut section = "";
    let mut values: Vec<Value> = Vec::new();
    // By how many characters the option is indented whose value may go on; a header ends it.
    let mut open: Option<usize> = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        let indent = line.chars().take_while(|c| c.is_whitespace()).count();
        let continued = values
            .last_mut()
            .filter(|_| open.is_some_and(|option| indent > option));
        let header = trimmed
            .strip_prefix('[')
            .and_then(|rest| rest.rsplit_once(']'));
        if let Some(value) = continued {
            value.text.push(' ');
            value.text.push_str(trimmed);
        } else if let Some((name, _)) = header {
            section = name;
            open = None;
        } else if let Some((key, value)) = trimmed.split_once(['=', ':']) {
            open = Some(indent);
            values.push(Value {
                section: section.to_owned(),
                key: key.trim().to_lowercase().replace('_', "-"),
                text: value.trim().to_owned(),
            });
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    /// What is said where these variables are set, each to a path below `root`.
    fn said(variables: &[(&str, &str)], root: &Path) -> Option<String> {
        let environment = |name: &str| {
            let (_, path) = variables.iter().find(|(key, _)| *key == name)?;
            Some(root.join(path).into_os_string())
        };
        let found = setting("index-url", &environment, root).unwrap();
        found.map(|(value, _)| value)
    }

    fn write(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn each_file_yields_to_those_before_it() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let variables = [
            ("PIP_CONFIG_FILE", "named.conf"),
            ("VIRTUAL_ENV", "venv"),
            ("HOME", "home"),
        ];
        let files = [
            "named.conf",
            "venv/pip.conf",
            "home/.config/pip/pip.conf",
            "home/.pip/pip.conf",
            "etc/pip.conf",
            "etc/xdg/pip/pip.conf",
        ];
        for file in files {
            write(&root.join(file), &format!("[global]\nindex-url = {file}\n"));
        }
        for file in files {
            assert_eq!(said(&variables, root).as_deref(), Some(file));
            std::fs::remove_file(root.join(file)).unwrap();
        }
        assert_eq!(said(&variables, root), None);

        write(
            &root.join("xdg/pip/pip.conf"),
            "[global]\nindex-url = xdg\n",
        );
        write(&root.join(files[2]), "[global]\nindex-url = home\n");
        let variables = [("XDG_CONFIG_HOME", "xdg"), ("HOME", "home")];
        assert_eq!(said(&variables, root).as_deref(), Some("xdg"));
        let none = [("PIP_CONFIG_FILE", "/dev/null"), ("HOME", "home")];
        assert_eq!(said(&none, root), None);
        assert_eq!(said(&[("HOME", "/dev/null")], root), None);
    }

    #[test]
    fn a_command_comes_before_what_is_for_all_commands() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let etc = root.join("etc/pip.conf");
        write(
            &root.join("home/.pip/pip.conf"),
            "[global]\n# index-url = comment\nIndex_URL: all\n[list]\nindex-url = list\n",
        );
        let home = [("HOME", "home")];
        write(&etc, "[global]\nindex-url = etc\n");
        assert_eq!(said(&home, root).as_deref(), Some("all"));
        write(&etc, "[download]\nindex-url = download\n");
        assert_eq!(said(&home, root).as_deref(), Some("download"));
        write(
            &etc,
            "[download]\nindex-url = download\n[install]\nindex-url =\n  install\n",
        );
        assert_eq!(said(&home, root).as_deref(), Some("install"));
    }

    #[test]
    fn a_value_goes_on_only_where_a_line_is_indented_deeper() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for (text, expected) in [
            (
                "[global]\n  timeout = 60\n  index-url = corp\n",
                Some("corp"),
            ),
            (
                "[global]\n    timeout = 60\n  index-url = corp\n",
                Some("corp"),
            ),
            (
                "  [global]\n  index-url =\n\n  # ours\n    corp\n  timeout = 6\n",
                Some("corp"),
            ),
            ("[global]\ntimeout = 60\n  index-url = corp\n", None),
            (
                "[global]\ntimeout = 60\n  [list]\nindex-url = corp\n",
                Some("corp"),
            ),
            (
                "[list]\ntimeout = 60\n  [global]\n[global]\n  index-url = corp\n",
                Some("corp"),
            ),
        ] {
            write(&root.join("etc/pip.conf"), text);
            assert_eq!(said(&[], root).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_header_may_have_a_comment() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for header in ["[global]  # ours", "[global] ; ours", "[global]ours"] {
            let text = format!("[list]\nindex-url = list\n{header}\nindex-url = corp\n");
            write(&root.join("etc/pip.conf"), &text);
            assert_eq!(said(&[], root).as_deref(), Some("corp"), "{header}");
        }
    }

    #[test]
    fn a_path_need_not_be_text() {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().join(OsStr::from_bytes(b"home\xff"));
        write(&home.join(".pip/pip.conf"), "[global]\nindex-url = home\n");
        let environment = |name: &str| (name == "HOME").then(|| home.clone().into_os_string());
        let found = setting("index-url", &environment, root.path()).unwrap();
        assert_eq!(found.map(|(value, _)| value).as_deref(), Some("home"));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let root = tempfile::tempdir().unwrap();
        let etc = root.path().join("etc/pip.conf");
        write(&etc, "");
        std::fs::write(&etc, [0xff]).unwrap();
        let error = setting("index-url", &|_| None, root.path()).unwrap_err();
        let begin = format!("failed to use {}: ", etc.display());
        assert!(error.to_string().starts_with(&begin), "{error}");
    }
}
