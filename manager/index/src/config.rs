//! Which index is asked: what was typed, else what uv's and pip's users have set.

use std::ffi::OsString;
use std::path::Path;

use url::Url;

use crate::error::IndexError;
use crate::pip_conf;
use crate::redact::redact;

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
            pip_conf::setting(key, &text, root)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(typed: Option<&str>, variables: &[(&str, &str)], root: &Path) -> String {
        let environment = |name: &str| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| OsString::from(*value))
        };
        match IndexConfig::discover_in(typed, &[], &environment, root) {
            Ok(config) => config.shown(),
            Err(error) => error.to_string(),
        }
    }

    fn root_with_pip_conf(text: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/pip.conf"), text).unwrap();
        root
    }

    #[test]
    fn each_setting_of_the_index_yields_to_those_before_it() {
        let root = root_with_pip_conf("[global]\nindex-url = https://file/simple\n");
        let variables = [
            ("UV_DEFAULT_INDEX", "corp=https://uv-new/simple"),
            ("UV_INDEX_URL", "https://uv/simple"),
            ("PIP_INDEX_URL", "https://pip/simple"),
        ];
        let root = root.path();
        assert_eq!(
            asked(Some("https://typed"), &variables, root),
            "https://typed/"
        );
        assert_eq!(asked(None, &variables, root), "https://uv-new/simple/");
        assert_eq!(asked(None, &variables[1..], root), "https://uv/simple/");
        assert_eq!(asked(None, &variables[2..], root), "https://pip/simple/");
        assert_eq!(asked(None, &[], root), "https://file/simple/");
        let empty = variables.map(|(name, _)| (name, " "));
        assert_eq!(asked(None, &empty, root), "https://file/simple/");
        let bare = tempfile::tempdir().unwrap();
        assert_eq!(asked(None, &[], bare.path()), PYPI);
    }

    #[test]
    fn further_indexes_are_asked_before_the_usual_one() {
        let root = root_with_pip_conf(
            "[global]\nextra-index-url =\n    https://u:p@one/simple\n    https://two/simple\n\
             timeout = 10\n",
        );
        let variables = [
            ("UV_INDEX", "corp=https://uv-new/simple https://more/"),
            ("UV_EXTRA_INDEX_URL", "https://uv/simple"),
            ("PIP_EXTRA_INDEX_URL", "https://a https://b/simple/"),
            ("PIP_INDEX_URL", "https://pip/simple"),
        ];
        let root = root.path();
        assert_eq!(
            asked(None, &variables, root),
            "https://uv-new/simple/, https://more/, https://pip/simple/"
        );
        assert_eq!(
            asked(None, &variables[1..], root),
            "https://uv/simple/, https://pip/simple/"
        );
        assert_eq!(
            asked(None, &variables[2..], root),
            "https://a/, https://b/simple/, https://pip/simple/"
        );
        assert_eq!(
            asked(None, &variables[3..], root),
            "https://***@one/simple/, https://two/simple/, https://pip/simple/"
        );
        assert_eq!(
            asked(Some("https://typed/"), &variables, root),
            "https://typed/",
            "what is typed is all that is asked"
        );
    }

    #[test]
    fn a_bad_address_names_its_setting() {
        let root = root_with_pip_conf("[global]\nindex-url = simple\n");
        let file = root.path().join("etc/pip.conf").display().to_string();
        for (name, value) in [
            ("UV_DEFAULT_INDEX", "file:///simple"),
            ("UV_INDEX_URL", "ftp://host/simple"),
            ("PIP_EXTRA_INDEX_URL", "https://good/ file:///simple"),
        ] {
            let good = ("PIP_INDEX_URL", "https://pip/simple");
            assert_eq!(
                asked(None, &[(name, value), good], root.path()),
                format!(
                    "failed to use {name}: the index address must begin with https:// or http://"
                )
            );
        }
        let message = asked(None, &[], root.path());
        let begin = format!("failed to use {file}: the index address is not a URL: ");
        assert!(message.starts_with(&begin), "{message}");
    }

    #[test]
    fn credentials_are_not_shown() {
        let config = IndexConfig::new("https://u:secret@host/simple", &[]).unwrap();
        assert!(!format!("{config:?} {}", config.shown()).contains("secret"));
    }
}
