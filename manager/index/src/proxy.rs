//! Through which proxy servers are asked.

use reqwest::NoProxy;
use url::Url;

use crate::error::IndexError;
use crate::settings::{Settings, bad};

/// What the HTTP library can speak to a proxy.
const SPOKEN: [&str; 6] = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"];

/// A proxy, and what is asked through it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    /// Its address, which may hold a password.
    url: Url,
    /// The scheme of the addresses that are asked through it: `http` or `https`.
    scheme: &'static str,
    /// The hosts that are asked directly, as `NO_PROXY` lists them.
    direct: String,
    /// Where it was named.
    pub place: String,
}

impl Proxy {
    /// The proxy that pip is told of: pip asks everything through it, whatever `NO_PROXY` says. Else
    /// those that the usual variables name, in capitals or not.
    pub(crate) fn read(settings: &Settings<'_>) -> Result<Vec<Self>, IndexError> {
        let of_pip = Self::of_pip(settings)?;
        let mut direct = String::new();
        if of_pip.is_none() {
            let said = settings.variables(&["NO_PROXY", "no_proxy"])?;
            direct = said.map(|(hosts, _)| hosts).unwrap_or_default();
        }
        // Where a web server runs this, HTTP_PROXY is what a client of that one sent as `Proxy:`.
        let sent = (settings.environment)("REQUEST_METHOD").is_some();
        let of_http: &[&str] = if sent {
            &["http_proxy", "ALL_PROXY", "all_proxy"]
        } else {
            &["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
        };
        let of_https: &[&str] = &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
        let mut proxies = Vec::new();
        for (scheme, names) in [("http", of_http), ("https", of_https)] {
            let said = match &of_pip {
                None => settings.variables(names)?,
                said => said.clone(),
            };
            if let Some((address, place)) = said {
                proxies.push(Self {
                    url: parse(&address, &place)?,
                    scheme,
                    direct: direct.clone(),
                    place,
                });
            }
        }
        Ok(proxies)
    }

    /// The address of the proxy that pip is told of, and where.
    pub(crate) fn of_pip(settings: &Settings<'_>) -> Result<Option<(String, String)>, IndexError> {
        settings.first(&["PIP_PROXY"], "proxy")
    }

    /// Whether `url` is asked through it, unless its host is one of those that are asked directly.
    pub(crate) fn is_for(&self, url: &Url) -> bool {
        url.scheme() == self.scheme
    }

    /// As the HTTP library has it.
    pub(crate) fn for_client(&self) -> reqwest::Result<reqwest::Proxy> {
        let url = self.url.clone();
        let proxy = match self.scheme {
            "http" => reqwest::Proxy::http(url)?,
            _ => reqwest::Proxy::https(url)?,
        };
        Ok(proxy.no_proxy(NoProxy::from_string(&self.direct)))
    }
}

/// The address of a proxy, which is one of http where it does not say. What is wrong with it is said
/// without it, for its password's sake.
fn parse(text: &str, place: &str) -> Result<Url, IndexError> {
    let text = text.trim();
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let mut url = Url::parse(&whole)
        .map_err(|error| bad(place, &format!("the proxy address is not a URL: {error}")))?;
    if !SPOKEN.contains(&url.scheme()) {
        let reason = "the proxy address must begin with http://, https://, socks5h://, socks5://, \
                      socks4a:// or socks4://";
        return Err(bad(place, reason));
    }
    url.set_path("");
    url.set_query(None);
    url.set_fragment(None);
    // The library asks directly, and says nothing, where it cannot read the address of a proxy.
    let readable = url.as_str().parse::<axum::http::Uri>().is_ok();
    if !readable || url.host_str().is_none_or(str::is_empty) {
        return Err(bad(
            place,
            "the proxy address has no host that can be asked",
        ));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::Path;

    use super::*;
    use crate::redact::redact;

    /// For each scheme its proxy, where there is one; or what is wrong.
    fn named(variables: &[(&str, &str)], root: &Path) -> String {
        let environment = |name: &str| {
            let (_, value) = variables.iter().find(|(key, _)| *key == name)?;
            Some(OsString::from(*value))
        };
        let settings = Settings {
            environment: &environment,
            root,
        };
        let proxies = match Proxy::read(&settings) {
            Ok(proxies) => proxies,
            Err(error) => return error.to_string(),
        };
        let shown = proxies.iter().map(|proxy| {
            let (url, scheme) = (redact(&proxy.url), proxy.scheme);
            let (place, direct) = (&proxy.place, &proxy.direct);
            format!("{scheme}: {url} of {place} but for '{direct}'")
        });
        shown.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_pip_is_told_comes_first_and_has_no_exceptions() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let variables = [
            ("PIP_PROXY", "user:secret@pip.test:1"),
            ("HTTP_PROXY", "http://http.test:2"),
            ("https_proxy", "https://https.test:3/path?query#fragment"),
            ("ALL_PROXY", "socks5h://all.test:4"),
            ("NO_PROXY", "index.test"),
        ];
        assert_eq!(
            named(&variables, root),
            "http: http://***@pip.test:1/ of PIP_PROXY but for ''\n\
             https: http://***@pip.test:1/ of PIP_PROXY but for ''"
        );
        assert_eq!(
            named(&variables[1..], root),
            "http: http://http.test:2/ of HTTP_PROXY but for 'index.test'\n\
             https: https://https.test:3/ of https_proxy but for 'index.test'"
        );
        assert_eq!(
            named(&variables[2..], root),
            "http: socks5h://all.test:4 of ALL_PROXY but for 'index.test'\n\
             https: https://https.test:3/ of https_proxy but for 'index.test'"
        );
        assert_eq!(named(&variables[4..], root), "");

        let file = root.join("etc/pip.conf");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(&file, "[global]\nproxy = file.test:5\n").unwrap();
        let told = named(&variables[1..], root);
        let first = format!(
            "http: http://file.test:5/ of proxy in {} but for ''\n",
            file.display()
        );
        assert!(told.starts_with(&first), "{told}");
    }

    #[test]
    fn what_a_web_server_was_sent_is_no_setting() {
        let root = tempfile::tempdir().unwrap();
        let variables = [
            ("REQUEST_METHOD", "GET"),
            ("HTTP_PROXY", "http://sent.test"),
            ("http_proxy", "http://set.test"),
        ];
        let set = "http: http://set.test/ of http_proxy but for ''";
        assert_eq!(named(&variables, root.path()), set);
        assert_eq!(named(&variables[..2], root.path()), "");
    }

    #[test]
    fn a_bad_address_is_told_without_its_password() {
        let root = tempfile::tempdir().unwrap();
        let schemes = "the proxy address must begin with http://, https://, socks5h://, socks5://, \
                       socks4a:// or socks4://";
        let no_url = "the proxy address is not a URL: ";
        let no_host = "the proxy address has no host that can be asked";
        for (address, reason) in [
            ("ftp://user:secret@proxy.test", schemes),
            ("user:secret@proxy.test:port", no_url),
            ("http://user:secret@", no_url),
            ("http://user:secret@proxy test", no_url),
            ("socks5://", no_host),
            ("socks5://user:secret@h%6fst", no_host),
        ] {
            let told = named(&[("https_proxy", address)], root.path());
            let begin = format!("failed to use https_proxy: {reason}");
            assert!(told.starts_with(&begin), "{address}: {told}");
            assert!(!told.contains("secret"), "{told}");
        }
    }
}
