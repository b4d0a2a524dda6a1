//! Which index is asked: what was typed, else what uv's and pip's users have set; and how it is reached,
//! as they have set it.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use url::Url;

use crate::error::IndexError;
use crate::network::Network;
use crate::redact::redact;
use crate::settings::{Settings, bad};

const PYPI: &str = "https://pypi.org/simple/";

/// The indexes, in the order in which they are asked; the first that knows a package serves all of
/// it, so that no other index can slip a file under the same name.
#[derive(Clone, PartialEq, Eq)]
pub struct IndexConfig {
    urls: Vec<Url>,
    network: Arc<Network>,
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
    /// The index at `index`, after those at `extra`; they are reached directly, whatever is set.
    ///
    /// # Errors
    ///
    /// [`IndexError::BadSetting`] where an address is not one of `http` or `https`.
    pub fn new(index: &str, extra: &[String]) -> Result<Self, IndexError> {
        Ok(Self {
            urls: typed(index, extra)?,
            network: Arc::default(),
        })
    }

    /// The index that was typed, and no other; else the one of `UV_DEFAULT_INDEX`, `UV_INDEX_URL`,
    /// `PIP_INDEX_URL`, pip's configuration files, else PyPI, after those of `UV_INDEX` and
    /// `UV_EXTRA_INDEX_URL`, else of `PIP_EXTRA_INDEX_URL` or pip's configuration files.
    ///
    /// Whichever it is, it is reached as is set: certificates of authorities, proxies, passwords in a
    /// netrc file, time limits and tries, as pip takes them from variables and its configuration files.
    ///
    /// # Errors
    ///
    /// [`IndexError::BadSetting`] names the setting that is wrong or cannot be followed, or that forbids
    /// every index: `UV_NO_INDEX`, or, where uv's variables name no index, `PIP_NO_INDEX` or `no-index`
    /// in pip's configuration files.
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
        let settings = Settings { environment, root };
        let urls = match index {
            Some(index) => typed(index, extra)?,
            None => set(extra, &settings)?,
        };
        let network = Arc::new(Network::read(&settings, &urls)?);
        Ok(Self { urls, network })
    }

    /// PyPI's own index.
    pub(crate) fn pypi() -> Result<Url, IndexError> {
        parse(PYPI, "the default index")
    }

    /// The addresses of the indexes, each ending in `/`. They may hold credentials.
    pub(crate) fn urls(&self) -> &[Url] {
        &self.urls
    }

    /// How they are reached.
    pub(crate) fn network(&self) -> Arc<Network> {
        Arc::clone(&self.network)
    }

    /// The addresses, fit to be printed.
    #[must_use]
    pub fn shown(&self) -> String {
        self.urls.iter().map(redact).collect::<Vec<_>>().join(", ")
    }
}

/// The addresses that were typed.
fn typed(index: &str, extra: &[String]) -> Result<Vec<Url>, IndexError> {
    let extra = extra.iter().map(|url| parse(url, "--extra-index-url"));
    extra.chain([parse(index, "--index-url")]).collect()
}

/// The addresses that are set, after those at `extra`.
fn set(extra: &[String], settings: &Settings<'_>) -> Result<Vec<Url>, IndexError> {
    // Uv does not read pip's settings, and what is said to uv counts first.
    let said_to_uv = settings.variables(&[
        "UV_INDEX",
        "UV_EXTRA_INDEX_URL",
        "UV_DEFAULT_INDEX",
        "UV_INDEX_URL",
    ])?;
    let switch = match settings.variable("UV_NO_INDEX")? {
        None if said_to_uv.is_none() => settings.first(&["PIP_NO_INDEX"], "no-index")?,
        switch => switch,
    };
    if let Some((_, place)) = switch.filter(|(value, _)| !is_off(value)) {
        let reason = "no-index leaves no index to ask; name one by --index-url";
        return Err(bad(&place, reason));
    }
    let mut urls: Vec<Url> = extra
        .iter()
        .map(|url| parse(url, "--extra-index-url"))
        .collect::<Result<_, _>>()?;
    // Uv asks those of both, in this order.
    let mut further = Vec::new();
    for name in ["UV_INDEX", "UV_EXTRA_INDEX_URL"] {
        further.extend(settings.variable(name)?);
    }
    if further.is_empty() {
        further.extend(settings.first(&["PIP_EXTRA_INDEX_URL"], "extra-index-url")?);
    }
    for (value, place) in further {
        for address in value.split_whitespace() {
            urls.push(parse(unnamed(address), &place)?);
        }
    }
    let variables = ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"];
    urls.push(match settings.first(&variables, "index-url")? {
        Some((value, place)) => parse(unnamed(&value), &place)?,
        None => parse(PYPI, "the default index")?,
    });
    Ok(urls)
}

/// Whether a switch is off, in one of the words that pip has for it.
fn is_off(value: &str) -> bool {
    let words = ["n", "no", "f", "false", "off", "0"];
    words.contains(&value.trim().to_ascii_lowercase().as_str())
}

/// The address of an index that uv lets be named: `name=https://…`.
fn unnamed(value: &str) -> &str {
    match value.split_once('=') {
        Some((before, after)) if !before.contains('/') => after,
        _ => value,
    }
}

fn parse(text: &str, setting: &str) -> Result<Url, IndexError> {
    let mut url = Url::parse(text.trim()).map_err(|error| {
        let reason = format!("the index address is not a URL: {error}");
        bad(setting, &reason)
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        let reason = "the index address must begin with https:// or http://";
        return Err(bad(setting, reason));
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::fs::PermissionsExt;

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
            "https://uv-new/simple/, https://more/, https://uv/simple/, https://pip/simple/"
        );
        let [new, _, further, usual] = variables;
        assert_eq!(
            asked(None, &[new, further, usual], root),
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
        let begin = format!("failed to use index-url in {file}: the index address is not a URL: ");
        assert!(message.starts_with(&begin), "{message}");
    }

    #[test]
    fn where_no_index_is_allowed_none_is_asked_but_a_typed_one() {
        let refused = |place: &str| {
            format!(
                "failed to use {place}: no-index leaves no index to ask; name one by --index-url"
            )
        };
        let usual = ("PIP_INDEX_URL", "https://pip/simple");
        let bare = tempfile::tempdir().unwrap();
        let root = root_with_pip_conf("[global]\nno-index = true\n");
        let file = root.path().join("etc/pip.conf").display().to_string();
        let option = format!("no-index in {file}");
        assert_eq!(asked(None, &[usual], root.path()), refused(&option));
        let typed = asked(Some("https://typed"), &[], root.path());
        assert_eq!(typed, "https://typed/");
        for name in ["UV_NO_INDEX", "PIP_NO_INDEX"] {
            for on in ["1", "true", "whatever"] {
                let variables = [(name, on), usual];
                assert_eq!(asked(None, &variables, bare.path()), refused(name));
                let typed = asked(Some("https://typed"), &variables, bare.path());
                assert_eq!(typed, "https://typed/");
            }
            let of_uv = [(name, "1"), ("UV_INDEX_URL", "https://uv/simple")];
            let expected = match name {
                "UV_NO_INDEX" => refused(name),
                _ => "https://uv/simple/".to_owned(),
            };
            assert_eq!(asked(None, &of_uv, root.path()), expected);
            for off in ["0", "False", "no "] {
                let asked = asked(None, &[(name, off), usual], root.path());
                assert_eq!(asked, "https://pip/simple/", "{name}={off}");
            }
        }
    }

    #[test]
    fn a_variable_that_is_not_text_is_not_passed_over() {
        let root = tempfile::tempdir().unwrap();
        for name in [
            "UV_NO_INDEX",
            "PIP_NO_INDEX",
            "UV_INDEX",
            "UV_EXTRA_INDEX_URL",
            "PIP_EXTRA_INDEX_URL",
            "UV_DEFAULT_INDEX",
            "UV_INDEX_URL",
            "PIP_INDEX_URL",
        ] {
            let value = OsString::from_vec(b"https://corp\xff/simple".to_vec());
            let environment = |asked: &str| (asked == name).then(|| value.clone());
            let found = |typed| IndexConfig::discover_in(typed, &[], &environment, root.path());
            assert_eq!(
                found(None).unwrap_err().to_string(),
                format!("failed to use {name}: its value is not UTF-8; correct or unset it")
            );
            let typed = found(Some("https://typed/")).unwrap();
            assert_eq!(typed.shown(), "https://typed/");
        }
    }

    /// What `work` gives where this thread may do what a stranger may.
    fn as_a_stranger<T: Send>(work: impl FnOnce() -> T + Send) -> T {
        let stranger = || {
            let (same, nobody) = (-1_i64, 65534_i64);
            // SAFETY: it reads no memory of ours. By itself it changes the user of this thread alone, which
            // ends here; who is not root is refused.
            unsafe { libc::syscall(libc::SYS_setresuid, same, nobody, same) };
            work()
        };
        std::thread::scope(|scope| scope.spawn(stranger).join().unwrap())
    }

    #[test]
    fn a_home_that_may_not_be_entered_sets_nothing() {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().join("home");
        let file = home.join(".config/pip/pip.conf");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "[global]\nindex-url = https://theirs/simple\n").unwrap();
        let passwords = home.join(".netrc");
        std::fs::write(&passwords, "machine a login b password c").unwrap();
        let variables = [
            ("HOME", home.to_str().unwrap()),
            ("PIP_CONFIG_FILE", file.to_str().unwrap()),
        ];
        assert_eq!(
            asked(None, &variables[..1], root.path()),
            "https://theirs/simple/"
        );

        let allow = |mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&home, mode).unwrap();
        };
        allow(0o000);
        let [kind, hidden, named] = as_a_stranger(|| {
            let error = std::fs::read(&passwords).unwrap_err();
            [
                error.kind().to_string(),
                asked(None, &variables[..1], root.path()),
                asked(None, &variables, root.path()),
            ]
        });
        allow(0o700);
        assert_eq!(kind, "permission denied");
        assert_eq!(hidden, PYPI);
        let refused = format!(
            "failed to use {}: Permission denied (os error 13)",
            file.display()
        );
        assert_eq!(named, refused, "what is named has to be readable");
    }

    #[test]
    fn credentials_are_not_shown() {
        let config = IndexConfig::new("https://u:secret@host/simple", &[]).unwrap();
        assert!(!format!("{config:?} {}", config.shown()).contains("secret"));
    }
}
