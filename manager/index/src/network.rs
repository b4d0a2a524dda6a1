//! How servers are reached, as pip's and uv's users have set it: whom to believe, through which proxy,
//! with which passwords, and how patiently.

use std::time::Duration;

use reqwest::ClientBuilder;
use url::Url;

use crate::authorities::Authorities;
use crate::error::IndexError;
use crate::netrc::Netrc;
use crate::proxy::Proxy;
use crate::settings::{Settings, bad};

/// The longest that anybody is waited for, whatever is set.
const LONGEST: Duration = Duration::from_secs(1800);

/// What is set. The default is what holds where nothing is. It holds passwords and cannot be printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Network {
    /// Who is believed instead of the system's authorities.
    pub authorities: Option<Authorities>,
    /// Users and passwords for servers whose addresses have none.
    pub netrc: Netrc,
    /// How long a connection, and each part of an answer, is waited for.
    pub timeout: Option<Duration>,
    /// How often a request that failed is made again.
    pub retries: Option<usize>,
    proxies: Vec<Proxy>,
    /// Hosts that pip or uv would believe without a certificate, and where each was named.
    unchecked: Vec<(String, String)>,
}

impl Network {
    /// What is set for reaching these indexes, and the hosts that their pages lead to.
    pub(crate) fn read(settings: &Settings<'_>, indexes: &[Url]) -> Result<Self, IndexError> {
        refuse_client_certificate(settings)?;
        let mut netrc = Netrc::read(settings)?;
        netrc.keep_default_for(indexes);
        Ok(Self {
            authorities: Authorities::read(settings)?,
            netrc,
            timeout: timeout(settings)?,
            retries: retries(settings)?,
            proxies: Proxy::read(settings)?,
            unchecked: unchecked(settings)?,
        })
    }

    /// What is set of certificates alone.
    pub(crate) fn of_certificates(settings: &Settings<'_>) -> Result<Self, IndexError> {
        Ok(Self {
            authorities: Authorities::read(settings)?,
            ..Self::default()
        })
    }

    /// Tells the library whom to believe and whom to ask.
    pub(crate) fn apply(&self, builder: ClientBuilder) -> reqwest::Result<ClientBuilder> {
        // Otherwise it reads the usual variables itself, and passes over what it does not understand.
        let mut builder = builder.no_proxy();
        for proxy in &self.proxies {
            builder = builder.proxy(proxy.for_client()?);
        }
        match &self.authorities {
            Some(authorities) => Ok(builder.tls_certs_only(authorities.certificates()?)),
            None => Ok(builder),
        }
    }

    /// Where the proxy for `url` was named; it may be asked directly all the same.
    pub(crate) fn proxy(&self, url: &Url) -> Option<&str> {
        let proxy = self.proxies.iter().find(|proxy| proxy.is_for(url))?;
        Some(proxy.place.as_str())
    }

    /// Where the host of `url` was named as one that needs no certificate.
    pub(crate) fn unchecked(&self, url: &Url) -> Option<&str> {
        let host = url.host_str()?;
        let with_port = format!("{host}:{}", url.port_or_known_default()?);
        let (_, place) = self.unchecked.iter().find(|(named, _)| {
            let named = named.trim_start_matches("https://").trim_end_matches('/');
            let mut own = ["*", host, with_port.as_str()].into_iter();
            own.any(|own| own.eq_ignore_ascii_case(named))
        })?;
        Some(place.as_str())
    }
}

/// Whoever asks for a client's certificate learns who that is, and pages lead to hosts that nobody here
/// has chosen.
fn refuse_client_certificate(settings: &Settings<'_>) -> Result<(), IndexError> {
    let named = ["SSL_CLIENT_CERT", "PIP_CLIENT_CERT"]
        .into_iter()
        .find_map(|name| settings.path(name));
    let place = match named {
        Some((_, name)) => Some(name),
        None => settings.option("client-cert")?.map(|(_, place)| place),
    };
    let Some(place) = place else {
        return Ok(());
    };
    let reason = "a client certificate is shown to nobody, since whoever a page leads to could ask for \
                  it; remove this setting";
    Err(bad(&place, reason))
}

fn timeout(settings: &Settings<'_>) -> Result<Option<Duration>, IndexError> {
    let variables = ["UV_HTTP_TIMEOUT", "PIP_TIMEOUT", "PIP_DEFAULT_TIMEOUT"];
    let said = match settings.first(&variables, "timeout")? {
        None => settings.option("default-timeout")?,
        said => said,
    };
    let Some((value, place)) = said else {
        return Ok(None);
    };
    let seconds = value.trim().parse::<f64>().ok();
    match seconds.map(Duration::try_from_secs_f64) {
        // For pip, none is the same as not set.
        Some(Ok(timeout)) if timeout.is_zero() => Ok(None),
        Some(Ok(timeout)) => Ok(Some(timeout.min(LONGEST))),
        _ => Err(bad(&place, "it is no number of seconds")),
    }
}

fn retries(settings: &Settings<'_>) -> Result<Option<usize>, IndexError> {
    let said = settings.first(&["UV_HTTP_RETRIES", "PIP_RETRIES"], "retries")?;
    let Some((value, place)) = said else {
        return Ok(None);
    };
    match value.trim().parse() {
        Ok(retries) => Ok(Some(retries)),
        Err(_) => Err(bad(&place, "it is no number of tries")),
    }
}

fn unchecked(settings: &Settings<'_>) -> Result<Vec<(String, String)>, IndexError> {
    let said = [
        settings.variable("UV_INSECURE_HOST")?,
        settings.first(&["PIP_TRUSTED_HOST"], "trusted-host")?,
    ];
    let mut hosts = Vec::new();
    for (value, place) in said.into_iter().flatten() {
        let named = value.split_whitespace();
        hosts.extend(named.map(|host| (host.to_owned(), place.clone())));
    }
    Ok(hosts)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    /// What these variables set, where the system has a pip.conf of this text.
    fn read(variables: &[(&str, &str)], text: &str) -> Result<Network, String> {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/pip.conf"), text).unwrap();
        let environment = |name: &str| {
            let (_, value) = variables.iter().find(|(key, _)| *key == name)?;
            Some(OsString::from(*value))
        };
        let settings = Settings {
            environment: &environment,
            root: root.path(),
        };
        let within = format!("{}/", root.path().display());
        Network::read(&settings, &[]).map_err(|error| error.to_string().replace(&within, ""))
    }

    fn timeout_of(variables: &[(&str, &str)], text: &str) -> Result<Option<Duration>, String> {
        Ok(read(variables, text)?.timeout)
    }

    fn retries_of(variables: &[(&str, &str)], text: &str) -> Result<Option<usize>, String> {
        Ok(read(variables, text)?.retries)
    }

    #[test]
    fn patience_is_what_uv_s_or_pip_s_users_have() {
        let text = "[global]\ntimeout = 60\nretries = 7\n";
        let variables = [
            ("UV_HTTP_TIMEOUT", "5"),
            ("PIP_TIMEOUT", "6"),
            ("PIP_DEFAULT_TIMEOUT", "7"),
        ];
        for (left_out, seconds) in [(0, 5), (1, 6), (2, 7), (3, 60)] {
            let expected = Duration::from_secs(seconds);
            let set = &variables[left_out..];
            assert_eq!(timeout_of(set, text), Ok(Some(expected)), "{set:?}");
        }
        assert_eq!(timeout_of(&[("PIP_TIMEOUT", "0")], text), Ok(None));
        let long = timeout_of(&[("PIP_TIMEOUT", "100000")], text);
        assert_eq!(long, Ok(Some(Duration::from_secs(1800))));
        let half = timeout_of(&[], "[global]\ndefault-timeout = 0.5\n");
        assert_eq!(half, Ok(Some(Duration::from_millis(500))));
        assert_eq!(timeout_of(&[], ""), Ok(None));

        assert_eq!(retries_of(&[("PIP_RETRIES", "0")], text), Ok(Some(0)));
        assert_eq!(retries_of(&[], text), Ok(Some(7)));
        assert_eq!(retries_of(&[], ""), Ok(None));
        for value in ["soon", "-1", "inf", "nan", "1e99"] {
            assert_eq!(
                timeout_of(&[("PIP_TIMEOUT", value)], ""),
                Err("failed to use PIP_TIMEOUT: it is no number of seconds".to_owned())
            );
        }
        assert_eq!(
            retries_of(&[], "[global]\nretries = often\n"),
            Err("failed to use retries in etc/pip.conf: it is no number of tries".to_owned())
        );
    }

    #[test]
    fn a_client_certificate_is_refused_wherever_it_is_named() {
        let reason = "a client certificate is shown to nobody, since whoever a page leads to could ask \
                      for it; remove this setting";
        for name in ["SSL_CLIENT_CERT", "PIP_CLIENT_CERT"] {
            let told = read(&[(name, "/client.pem")], "").err();
            assert_eq!(told, Some(format!("failed to use {name}: {reason}")));
        }
        let told = read(&[], "[global]\nclient-cert = /client.pem\n").err();
        let expected = format!("failed to use client-cert in etc/pip.conf: {reason}");
        assert_eq!(told, Some(expected));
    }

    #[test]
    fn a_host_that_needs_no_certificate_is_known_with_or_without_its_port() {
        let text = "[global]\ntrusted-host = a.test\n    b.test:8443\n";
        let network = read(&[("UV_INSECURE_HOST", "https://C.test/")], text).ok();
        let network = network.unwrap();
        for (url, place) in [
            ("https://a.test:1/", Some("trusted-host")),
            ("https://b.test:8443/", Some("trusted-host")),
            ("https://b.test/", None),
            ("https://c.test/", Some("UV_INSECURE_HOST")),
            ("https://xa.test/", None),
        ] {
            let found = network.unchecked(&Url::parse(url).unwrap());
            let named = found.and_then(|place| place.split(' ').next());
            assert_eq!(named, place, "{url}");
        }
    }
}
