//! Fetching over HTTP: patient with servers, strict with what they send.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use url::Url;

use crate::cache::hex;
use crate::error::IndexError;
use crate::network::Network;
use crate::progress::{Progress, Step};
use crate::redact::redact;
use crate::redirect;
use crate::retry::Failure;
use crate::settings::Settings;
use crate::text::printable;

/// PEP 691's JSON first, then the HTML that every index speaks.
const ACCEPTED: &str = "application/vnd.pypi.simple.v1+json, \
    application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01";

/// The largest index page that is read. PyPI's largest has about 30 MB.
const PAGE_BYTES: u64 = 128 << 20;

// Where nothing else is set; what a whole answer may take grows with what is.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const PAGE_TIMEOUT: Duration = Duration::from_secs(120);
const FILE_TIMEOUT: Duration = Duration::from_secs(1800);

/// The two connections: pages may come compressed, files must come as they are.
#[derive(Clone)]
pub(crate) struct Http {
    pages: Connection,
    files: Connection,
    network: Arc<Network>,
}

#[derive(Clone)]
struct Connection {
    client: Client,
    /// How long a whole answer is waited for, wherever it leads.
    patience: Duration,
}

/// An index' answer.
#[derive(Debug)]
pub(crate) enum PageReply {
    /// No such page.
    Missing,
    /// The page is still the one of the etag given.
    Unchanged,
    /// The page.
    Page {
        etag: Option<String>,
        content_type: String,
        body: String,
        /// Where it came from in the end.
        url: Url,
    },
}

/// A fetched file, not yet in its place.
#[derive(Debug)]
pub(crate) struct Download {
    pub file: NamedTempFile,
    pub sha256: String,
    pub bytes: u64,
}

impl Http {
    pub(crate) fn new(network: Arc<Network>) -> Result<Self, IndexError> {
        // An error means that the program has chosen a provider already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let build = |files: bool| -> Result<Connection, IndexError> {
            let whole = if files { FILE_TIMEOUT } else { PAGE_TIMEOUT };
            let builder = Client::builder()
                .user_agent(concat!("pyti/", env!("CARGO_PKG_VERSION")))
                .redirect(Policy::none())
                .connect_timeout(network.timeout.unwrap_or(CONNECT_TIMEOUT))
                .read_timeout(network.timeout.unwrap_or(READ_TIMEOUT));
            let builder = if files { builder.no_gzip() } else { builder };
            let client = network.apply(builder).and_then(|builder| builder.build());
            Ok(Connection {
                client: client.map_err(|error| no_client(&error))?,
                patience: whole + network.timeout.unwrap_or_default(),
            })
        };
        Ok(Self {
            pages: build(false)?,
            files: build(true)?,
            network,
        })
    }

    /// A request, with the password that is kept for its server.
    fn get(&self, client: &Client, url: &Url) -> RequestBuilder {
        let Some((user, password)) = self.network.netrc.login(url) else {
            return client.get(url.clone());
        };
        let mut bare = url.clone();
        // Else the user would be named twice. Every address that has a host takes this.
        let _ = bare.set_username("");
        client.get(bare).basic_auth(user, Some(password))
    }

    /// The answer of the server that the one at `url` leads to in the end, and the address that was asked
    /// there.
    async fn send(
        &self,
        connection: &Connection,
        url: &Url,
        headers: &[(HeaderName, &str)],
    ) -> Result<(Response, Url), Failure> {
        let begun = Instant::now();
        let mut asked = url.clone();
        for _ in 0..=redirect::MOST {
            let left = connection.patience.saturating_sub(begun.elapsed());
            let mut request = self.get(&connection.client, &asked).timeout(left);
            for (name, value) in headers {
                request = request.header(name, *value);
            }
            let response = request.send().await;
            let response = response.map_err(|error| self.failure(&asked, &error))?;
            let next = redirect::next(&asked, response.status(), response.headers());
            match next.map_err(Failure::last)? {
                Some(next) => asked = next,
                None => return Ok((response, asked)),
            }
        }
        Err(Failure::led_on(url, &self.network))
    }

    fn failure(&self, url: &Url, error: &reqwest::Error) -> Failure {
        Failure::of(url, error, &self.network)
    }

    /// Fetches the index page at `url`.
    pub(crate) async fn page(
        &self,
        url: &Url,
        etag: Option<&str>,
        progress: &dyn Progress,
    ) -> Result<PageReply, IndexError> {
        let mut attempt = 0;
        loop {
            match self.page_once(url, etag).await {
                Ok(reply) => return Ok(reply),
                Err(failure) => {
                    failure
                        .pause_or_give_up(url, &mut attempt, self.network.retries, progress)
                        .await?
                }
            }
        }
    }

    async fn page_once(&self, url: &Url, etag: Option<&str>) -> Result<PageReply, Failure> {
        let mut headers = vec![(ACCEPT, ACCEPTED)];
        headers.extend(etag.map(|etag| (IF_NONE_MATCH, etag)));
        let (response, asked) = self.send(&self.pages, url, &headers).await?;
        match response.status() {
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(PageReply::Missing),
            StatusCode::NOT_MODIFIED if etag.is_some() => return Ok(PageReply::Unchanged),
            _ => {}
        }
        let mut response = Failure::unless_ok(&asked, response, &self.network)?;
        let header = |name| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let etag = header(ETAG);
        let content_type = header(CONTENT_TYPE).unwrap_or_default();
        let from = response.url().clone();
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.failure(&asked, &error))?
        {
            if body.len() as u64 + chunk.len() as u64 > PAGE_BYTES {
                let what = redact(&asked);
                return Err(Failure::last(IndexError::TooLarge {
                    what,
                    limit: PAGE_BYTES,
                }));
            }
            body.extend_from_slice(&chunk);
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(PageReply::Page {
            etag,
            content_type,
            body,
            url: from,
        })
    }

    /// Fetches the file called `name` at `url`, of at most `limit` bytes, into a new file that
    /// `create` makes.
    pub(crate) async fn download(
        &self,
        url: &Url,
        name: &str,
        limit: u64,
        create: impl Fn() -> Result<NamedTempFile, IndexError>,
        progress: &dyn Progress,
    ) -> Result<Download, IndexError> {
        let mut attempt = 0;
        loop {
            match self
                .download_once(url, name, limit, create()?, progress)
                .await
            {
                Ok(download) => return Ok(download),
                Err(failure) => {
                    failure
                        .pause_or_give_up(url, &mut attempt, self.network.retries, progress)
                        .await?
                }
            }
        }
    }

    async fn download_once(
        &self,
        url: &Url,
        name: &str,
        limit: u64,
        mut file: NamedTempFile,
        progress: &dyn Progress,
    ) -> Result<Download, Failure> {
        let (response, asked) = self.send(&self.files, url, &[]).await?;
        let mut response = Failure::unless_ok(&asked, response, &self.network)?;
        let too_large = || {
            Failure::last(IndexError::TooLarge {
                what: printable(name, 200),
                limit,
            })
        };
        if response
            .content_length()
            .is_some_and(|length| length > limit)
        {
            return Err(too_large());
        }
        let mut hash = Sha256::new();
        let mut bytes = 0_u64;
        let mut told = 0;
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.failure(&asked, &error))?
        {
            bytes += chunk.len() as u64;
            if bytes > limit {
                return Err(too_large());
            }
            hash.update(&chunk);
            file.write_all(&chunk)
                .map_err(|error| Failure::last(IndexError::io("write", file.path())(error)))?;
            if bytes >> 20 > told {
                told = bytes >> 20;
                progress.step(Step::Received {
                    file: printable(name, 200),
                    bytes,
                });
            }
        }
        Ok(Download {
            file,
            sha256: hex(&hash.finalize()),
            bytes,
        })
    }
}

/// Whether there are certificates of authorities, without which no index is believed: those that the
/// environment or pip's configuration files name, else the system's.
///
/// # Errors
///
/// [`IndexError::BadSetting`] says where none can be read, and what to do.
pub fn certificates() -> Result<(), IndexError> {
    let environment = |name: &str| std::env::var_os(name);
    let settings = Settings {
        environment: &environment,
        root: Path::new("/"),
    };
    let network = Network::of_certificates(&settings)?;
    Http::new(Arc::new(network)).map(drop)
}

/// The one thing that a client may lack is certificates to trust, where nothing names them but what the
/// library itself reads.
fn no_client(error: &reqwest::Error) -> IndexError {
    tracing::debug!("no HTTP client: {error:?}");
    let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"]
        .into_iter()
        .find(|name| std::env::var_os(name).is_some());
    let (setting, advice) = match named {
        Some(name) => (name, "correct or unset it"),
        None => (
            "the system's certificates",
            "install them (apt install ca-certificates)",
        ),
    };
    IndexError::BadSetting {
        setting: setting.to_owned(),
        reason: format!("no certificate of an authority can be read there; {advice}"),
    }
}
