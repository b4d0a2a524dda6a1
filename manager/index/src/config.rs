//! Which index is asked: what was typed, else what uv's and pip's users have set.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use url::Url;

use crate::error::IndexError;
use crate::redact::redact;
use crate::text::printable;

const PYPI: &str = "https://pypi.org/simple/";

/// The indexes, in the order in which they are asked; the first that knows a package serves all of
/// it, so that no other index can slip a file under the same name.
#[derive(Clone, PartialEq, Eq)]
pub struct IndexConfig {
    urls: Vec<Url>,
}

/// Credentials are not shown.
impl std::fmt::Debug for IndexConfig {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_list()
            .entries(self.urls.iter().map(redact))
            .finish()
    }
}

impl IndexConfig {
    /// The index at `index`, after those at `extra`.
    ///
    /// # Errors
    ///
    /// [`IndexError::BadSetting`] where an address is not one of `http` or `https`.
    pub fn new(index: &str, extra: &[String]) -> Result<Self, IndexError> {
        let extra = extra.iter().map(|url| parse(url, "--extra-index-url"));
        let urls = extra
            .chain([parse(index, "--index-url")])
            .collect::<Result<_, _>>()?;
        Ok(Self { urls })
    }

    /// The index that was typed, and no other; else the one of `UV_DEFAULT_INDEX`, `UV_INDEX_URL`,
    /// `PIP_INDEX_URL`, pip's configuration files, else PyPI, after those of `UV_INDEX`,
    /// `UV_EXTRA_INDEX_URL`, `PIP_EXTRA_INDEX_URL` or pip's configuration files.
    ///
    /// # Errors
    ///
    /// [`IndexError::BadSetting`] names the setting that is wrong.
    pub fn discover(index: Option<&str>, extra: &[String]) -> Result<Self, IndexError> {
        Self::discover_in(index, extra, &|name| std::env::var_os(name), Path::new("/"))
    }

    /// Like [`Self::discover`], with the environment and the file system's root given.
    fn discover_in(
        index: Option<&str>,
        extra: &[String],
        environment: &dyn Fn(&str) -> Option<OsString>,
        root: &Path,
    ) -> Result<Self, IndexError> {
        if let Some(index) = index {
            return Self::new(index, extra);
        }
        let text = |name: &str| {
            let value = environment(name)?.into_string().ok()?;
            (!value.trim().is_empty()).then_some(value)
        };
        // The first of the variables and of pip's files that says it, and where it was said.
        let setting = |variables: &[&str], key: &str| -> Result<_, IndexError> {
            for name in variables {
                if let Some(value) = text(name) {
                    return Ok(Some((value, (*name).to_owned())));
                }
            }
            for file in pip_files(&text, root) {
                if let Some(value) = pip_setting(&file, key)? {
                    return Ok(Some((value, file.display().to_string())));
                }
            }
            Ok(None)
        };
        let mut urls: Vec<Url> = extra
            .iter()
            .map(|url| parse(url, "--extra-index-url"))
            .collect::<Result<_, _>>()?;
        let variables = ["UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL"];
        if let Some((value, place)) = setting(&variables, "extra-index-url")? {
            for address in value.split_whitespace() {
                urls.push(parse(unnamed(address), &place)?);
            }
        }
        let variables = ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"];
        urls.push(match setting(&variables, "index-url")? {
            Some((value, place)) => parse(unnamed(&value), &place)?,
            None => parse(PYPI, "the default index")?,
        });
        Ok(Self { urls })
    }

    /// PyPI's own index.
    pub(crate) fn pypi() -> Result<Url, IndexError> {
        parse(PYPI, "the default index")
    }

    /// The addresses of the indexes, each ending in `/`. They may hold credentials.
    pub(crate) fn urls(&self) -> &[Url] {
        &self.urls
    }

    /// The addresses, fit to be printed.
    #[must_use]
    pub fn shown(&self) -> String {
        self.urls.iter().map(redact).collect::<Vec<_>>().join(", ")
    }
}

/// The address of an index that uv lets be named: `name=https://…`.
fn unnamed(value: &str) -> &str {
    match value.split_once('=') {
        Some((before, after)) if !before.contains('/') => after,
        _ => value,
    }
}

fn parse(text: &str, setting: &str) -> Result<Url, IndexError> {
    let bad = |reason: &str| IndexError::BadSetting {
        setting: setting.to_owned(),
        reason: reason.to_owned(),
    };
    let mut url = Url::parse(text.trim())
        .map_err(|error| bad(&format!("the index address is not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad("the index address must begin with https:// or http://"));
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// Pip's configuration files, the one that wins first
/// (<https://pip.pypa.io/en/stable/topics/configuration/>).
fn pip_files(text: &dyn Fn(&str) -> Option<String>, root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    match text("PIP_CONFIG_FILE") {
        // Pip's own way to say "none".
        Some(file) if file == "/dev/null" => return files,
        Some(file) => files.push(PathBuf::from(file)),
        None => {}
    }
    let home = text("HOME").map(PathBuf::from);
    let config = text("XDG_CONFIG_HOME").map(PathBuf::from);
    files.extend(
        config
            .or(home.as_ref().map(|home| home.join(".config")))
            .map(|d| d.join("pip/pip.conf")),
    );
    files.extend(home.map(|home| home.join(".pip/pip.conf")));
    files.push(root.join("etc/pip.conf"));
    files.push(root.join("etc/xdg/pip/pip.conf"));
    files
}

/// A setting of the `[global]` section, or of `[install]` or `[download]`, which pip prefers. As in all
/// files of this form, a value goes on in the lines below that are indented.
fn pip_setting(file: &Path, wanted: &str) -> Result<Option<String>, IndexError> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(IndexError::BadSetting {
                setting: printable(&file.display().to_string(), 200),
                reason: error.to_string(),
            });
        }
    };
    let mut section = "";
    let mut values: Vec<(&str, String, String)> = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        let header = trimmed
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        if let Some(name) = header {
            section = name;
        } else if let Some((_, _, value)) = values
            .last_mut()
            .filter(|(its, _, _)| *its == section && line.starts_with([' ', '\t']))
        {
            value.push(' ');
            value.push_str(trimmed);
        } else if let Some((key, value)) = trimmed.split_once(['=', ':']) {
            let key = key.trim().replace('_', "-");
            values.push((section, key, value.trim().to_owned()));
        }
    }
    let of = |wanted_section: &str| {
        let mut values = values.iter().rev();
        let found = values.find(|(section, key, value)| {
            *section == wanted_section && key == wanted && !value.is_empty()
        });
        found.map(|(_, _, value)| value.trim().to_owned())
    };
    Ok(of("install")
        .or_else(|| of("download"))
        .or_else(|| of("global")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(variables: &[(&str, &str)], root: &Path) -> String {
        let environment = |name: &str| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| OsString::from(*value))
        };
        match IndexConfig::discover_in(None, &[], &environment, root) {
            Ok(config) => config.shown(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_environment_comes_before_the_files() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(shown(&[], root.path()), PYPI);
        std::fs::create_dir_all(root.path().join("etc")).unwrap();
        let etc = root.path().join("etc/pip.conf");
        std::fs::write(
            &etc,
            "[global]\n# index-url = https://no/\nindex-url = https://etc/simple\n",
        )
        .unwrap();
        assert_eq!(shown(&[], root.path()), "https://etc/simple/");
        let home = root.path().join("home");
        std::fs::create_dir_all(home.join(".config/pip")).unwrap();
        std::fs::write(
            home.join(".config/pip/pip.conf"),
            "[global]\nindex_url: https://u:p@home/simple/\n[list]\nindex-url = https://no/\n",
        )
        .unwrap();
        let home = home.to_str().unwrap();
        assert_eq!(
            shown(&[("HOME", home)], root.path()),
            "https://***@home/simple/"
        );
        let pip = ("PIP_INDEX_URL", "https://pip/simple");
        assert_eq!(
            shown(&[("HOME", home), pip], root.path()),
            "https://pip/simple/"
        );
        let uv = ("UV_DEFAULT_INDEX", "corp=https://uv/simple");
        assert_eq!(shown(&[pip, uv], root.path()), "https://uv/simple/");
    }

    #[test]
    fn further_indexes_are_asked_before_the_usual_one() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("etc")).unwrap();
        let etc = root.path().join("etc/pip.conf");
        let text = "[global]\nextra-index-url =\n    https://u:p@one/simple\n    https://two/simple\n\
                    timeout = 10\n";
        std::fs::write(&etc, text).unwrap();
        assert_eq!(
            shown(&[], root.path()),
            format!("https://***@one/simple/, https://two/simple/, {PYPI}")
        );
        let extra = ("PIP_EXTRA_INDEX_URL", "https://a https://b/simple/");
        let usual = ("PIP_INDEX_URL", "https://pip/simple");
        assert_eq!(
            shown(&[extra, usual], root.path()),
            "https://a/, https://b/simple/, https://pip/simple/"
        );
        let uv = ("UV_INDEX", "corp=https://uv/simple");
        assert_eq!(
            shown(&[uv, extra, usual], root.path()),
            "https://uv/simple/, https://pip/simple/"
        );
    }

    #[test]
    fn a_bad_address_names_its_setting() {
        let root = tempfile::tempdir().unwrap();
        let message = shown(&[("PIP_INDEX_URL", "file:///simple")], root.path());
        assert!(
            message.contains("PIP_INDEX_URL") && message.contains("https://"),
            "{message}"
        );
    }

    #[test]
    fn credentials_are_not_shown() {
        let config = IndexConfig::new("https://u:secret@host/simple", &[]).unwrap();
        assert!(!format!("{config:?} {}", config.shown()).contains("secret"));
    }
}
