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

    /// The index that was typed, else the one of `UV_DEFAULT_INDEX`, `UV_INDEX_URL`,
    /// `PIP_INDEX_URL`, pip's configuration files, else PyPI.
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
        let mut urls: Vec<Url> = extra
            .iter()
            .map(|url| parse(url, "--extra-index-url"))
            .collect::<Result<_, _>>()?;
        let text = |name: &str| {
            let value = environment(name)?.into_string().ok()?;
            (!value.trim().is_empty()).then_some(value)
        };
        for name in ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"] {
            if let Some(value) = text(name) {
                // uv lets an index be named: `name=https://…`.
                let address = match value.split_once('=') {
                    Some((before, after)) if !before.contains('/') => after,
                    _ => &value,
                };
                urls.push(parse(address, name)?);
                return Ok(Self { urls });
            }
        }
        for file in pip_files(&text, root) {
            let Some(value) = pip_index_url(&file)? else {
                continue;
            };
            urls.push(parse(&value, &file.display().to_string())?);
            return Ok(Self { urls });
        }
        urls.push(parse(PYPI, "the default index")?);
        Ok(Self { urls })
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

/// The `index-url` of the `[global]` section, or of `[install]` or `[download]`, which pip prefers.
fn pip_index_url(file: &Path) -> Result<Option<String>, IndexError> {
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
    let mut found = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = trimmed
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = name;
        }
        let Some((key, value)) = trimmed.split_once(['=', ':']) else {
            continue;
        };
        if key.trim().replace('_', "-") != "index-url" {
            continue;
        }
        match section {
            "install" | "download" => return Ok(Some(value.trim().to_owned())),
            "global" => found = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    Ok(found)
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
