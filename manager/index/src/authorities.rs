//! Whose certificates are believed, where others than the system's were named.

use std::path::Path;

use reqwest::Certificate;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls_native_certs::{ErrorKind, load_certs_from_paths};

use crate::error::IndexError;
use crate::proxy::Proxy;
use crate::settings::{Settings, bad};
use crate::text::printable;

/// The authorities that are believed, and no others: what pip is told by `--cert` stands instead of the
/// system's.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Authorities {
    certificates: Vec<CertificateDer<'static>>,
    /// Where they were named.
    pub place: String,
}

impl Authorities {
    /// Those that `requests`, which fetches for pip, is told of, else those that pip itself is told of.
    /// Where pip has a proxy of its own, `requests` looks at no variable. `None` stands for what the TLS
    /// library reads: `SSL_CERT_FILE` and `SSL_CERT_DIR`, else the system's.
    pub(crate) fn read(settings: &Settings<'_>) -> Result<Option<Self>, IndexError> {
        let mut named = None;
        if Proxy::of_pip(settings)?.is_none() {
            let variables = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];
            named = variables.into_iter().find_map(|name| settings.path(name));
        }
        if named.is_none() {
            named = settings.path("PIP_CERT");
        }
        if named.is_none() {
            let option = settings.option("cert")?;
            named = option.map(|(path, place)| (settings.at_home(path.into()), place));
        }
        named
            .map(|(path, place)| Self::load(&path, place))
            .transpose()
    }

    /// Those of a file, or of all files in a directory.
    fn load(path: &Path, place: String) -> Result<Self, IndexError> {
        let (file, directory) = if path.is_dir() {
            (None, Some(path))
        } else {
            (Some(path), None)
        };
        let found = load_certs_from_paths(file, directory);
        let mut certificates = found.certs;
        // One that the TLS library cannot use would make it refuse all of them.
        let mut usable = RootCertStore::empty();
        certificates.retain(|certificate| usable.add(certificate.clone()).is_ok());
        if certificates.is_empty() {
            let reason = match found.errors.first().map(|error| &error.kind) {
                Some(ErrorKind::Io { inner, .. }) => inner.to_string(),
                _ => "there is none in PEM form".to_owned(),
            };
            let path = printable(&path.display().to_string(), 200);
            let reason = format!(
                "no certificate of an authority can be read in {path}: {reason}; correct or unset it"
            );
            return Err(bad(&place, &reason));
        }
        Ok(Self {
            certificates,
            place,
        })
    }

    /// As the HTTP library has them.
    pub(crate) fn certificates(&self) -> reqwest::Result<Vec<Certificate>> {
        let each = self.certificates.iter();
        each.map(|certificate| Certificate::from_der(certificate.as_ref()))
            .collect()
    }
}
