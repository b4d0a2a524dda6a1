//! A request that failed: what is said of it, and whether and when it is made again.

use std::error::Error;
use std::io;
use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use rustls::CertificateError;
use url::Url;

use crate::error::IndexError;
use crate::network::Network;
use crate::progress::{Progress, Step};
use crate::redact::redact;
use crate::text::printable;

/// How long to wait between tries.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(300),
    Duration::from_millis(1000),
    Duration::from_millis(3000),
];

/// The longest wait a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// A try that failed, and whether another makes sense.
pub(crate) struct Failure {
    error: IndexError,
    again: bool,
    /// How long the server asks to be left alone.
    asked: Option<Duration>,
}

impl Failure {
    /// One after which no other try makes sense.
    pub(crate) fn last(error: IndexError) -> Self {
        Self {
            error,
            again: false,
            asked: None,
        }
    }

    /// No answer, or no whole one.
    pub(crate) fn of(url: &Url, error: &reqwest::Error, network: &Network) -> Self {
        if let Some(reason) = causes(error).find_map(|cause| distrust(cause, url, network)) {
            return Self::last(IndexError::Untrusted {
                url: redact(url),
                reason: printable(&reason, 1000),
            });
        }
        let reason = if error.is_timeout() {
            "no answer in time".to_owned()
        } else if causes(error).any(ended_early) {
            "the connection ended before the answer did".to_owned()
        } else {
            innermost(error).unwrap_or_else(|| "no valid answer".to_owned())
        };
        Self {
            error: unanswered(url, &reason, network),
            // What leads nowhere does so again.
            again: !error.is_builder(),
            asked: None,
        }
    }

    /// Answers that only ever lead on, and will do so again.
    pub(crate) fn led_on(url: &Url, network: &Network) -> Self {
        Self::last(unanswered(url, "too many redirects", network))
    }

    /// The answer, unless its status is another than 200.
    pub(crate) fn unless_ok(
        url: &Url,
        response: Response,
        network: &Network,
    ) -> Result<Response, Self> {
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response);
        }
        let again = status.is_server_error()
            || matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
            );
        let passed_over = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => network.netrc.passed_over.clone(),
            _ => None,
        };
        Err(Self {
            error: IndexError::Status {
                url: redact(url),
                status: status.as_u16(),
                passed_over,
            },
            again,
            asked: asked(response.headers(), SystemTime::now()),
        })
    }

    /// Waits until the next try is due; the error where there is none, of `most` or the usual number.
    pub(crate) async fn pause_or_give_up(
        self,
        url: &Url,
        attempt: &mut usize,
        most: Option<usize>,
        progress: &dyn Progress,
    ) -> Result<(), IndexError> {
        let Some(pause) = pause(*attempt, most, self.asked).filter(|_| self.again) else {
            return Err(self.error);
        };
        *attempt += 1;
        progress.step(Step::Retry {
            url: redact(url),
            reason: self.error.to_string(),
        });
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// How long to wait after a try, the first of which is 0: as long as the server asks, within bounds.
fn pause(attempt: usize, most: Option<usize>, asked: Option<Duration>) -> Option<Duration> {
    if attempt >= most.unwrap_or(PAUSES.len()) {
        return None;
    }
    let usual = *PAUSES.get(attempt).or(PAUSES.last())?;
    Some(asked.map_or(usual, |asked| asked.clamp(usual, LONGEST_PAUSE)))
}

/// What the server asks for, in seconds or as a date (RFC 9110, 10.2.3).
fn asked(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(value)
            .ok()?
            .duration_since(now)
            .ok(),
    }
}

/// Nobody answers at `url`, which may be a proxy's fault.
fn unanswered(url: &Url, reason: &str, network: &Network) -> IndexError {
    let mut reason = printable(reason, 300);
    if let Some(place) = network.proxy(url) {
        reason.push_str(&format!(", and {place} names a proxy"));
    }
    let url = redact(url);
    IndexError::Network { url, reason }
}

/// Why the server's certificate is not believed, where it is not.
fn distrust(cause: &(dyn Error + 'static), url: &Url, network: &Network) -> Option<String> {
    let rustls::Error::InvalidCertificate(reason) = cause.downcast_ref::<rustls::Error>()? else {
        return None;
    };
    let mut told = match (reason, &network.authorities) {
        (CertificateError::UnknownIssuer, None) => {
            "this system does not know the authority that signed its certificate; add that one's to \
             the system's certificates, or name a file with it in SSL_CERT_FILE"
                .to_owned()
        }
        (CertificateError::UnknownIssuer, Some(authorities)) => format!(
            "the authority that signed its certificate is not among those of {}, which stand instead \
             of this system's; add that one's certificate to them",
            authorities.place
        ),
        _ => format!(
            "its certificate is refused: {reason}; check the index address and this machine's clock"
        ),
    };
    if let Some(place) = network.unchecked(url) {
        told.push_str(&format!(
            "; {place} names this host, but without a certificate nobody is believed"
        ));
    }
    Some(told)
}

fn ended_early(cause: &(dyn Error + 'static)) -> bool {
    cause
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
}

/// What the innermost cause of an error says: the others repeat the address.
fn innermost(error: &(dyn Error + 'static)) -> Option<String> {
    causes(error).skip(1).last().map(ToString::to_string)
}

/// An error, what caused it, what caused that.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| cause(error))
}

fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>() {
        // Its source is not what it wraps, but the source of that.
        Some(error) => error
            .get_ref()
            .map(|wrapped| wrapped as &(dyn Error + 'static)),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn asked_by(value: &str) -> Option<Duration> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
        asked(&headers, httpdate::parse_http_date(NOW).unwrap())
    }

    #[test]
    fn a_server_may_ask_in_seconds_or_by_a_date() {
        assert_eq!(asked_by("7"), Some(Duration::from_secs(7)));
        assert_eq!(
            asked_by("Sun, 06 Nov 1994 08:50:00 GMT"),
            Some(Duration::from_secs(23))
        );
        let long_ago = asked_by("Sat, 05 Nov 1994 08:50:00 GMT");
        for nothing in [long_ago, asked_by("soon"), asked_by("-1"), asked_by("")] {
            assert_eq!(nothing, None);
        }
    }

    #[test]
    fn no_server_is_waited_for_for_ever_and_none_is_pressed() {
        for value in [
            "86400",
            "18446744073709551615",
            "Fri, 31 Dec 9999 23:59:59 GMT",
        ] {
            let asked = asked_by(value);
            assert!(asked > Some(LONGEST_PAUSE), "{value}: {asked:?}");
            let longest = Some(Duration::from_secs(15));
            assert_eq!(pause(0, None, asked), longest, "{value}");
        }
        let usual = |attempt| pause(attempt, None, None);
        assert_eq!(pause(0, None, asked_by("2")), Some(Duration::from_secs(2)));
        assert_eq!(pause(0, None, asked_by("0")), usual(0));
        assert!(usual(0) < usual(1) && usual(1) < usual(2));
        assert_eq!(pause(3, None, asked_by("2")), None);
    }

    #[test]
    fn there_are_as_many_tries_as_are_set() {
        assert_eq!(pause(0, Some(0), asked_by("2")), None);
        assert!(pause(0, Some(1), None).is_some());
        assert_eq!(pause(1, Some(1), None), None);
        assert_eq!(pause(7, Some(8), None), pause(2, None, None));
    }
}
