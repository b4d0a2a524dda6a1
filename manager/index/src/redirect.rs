//! Where a redirect leads. The library follows none by itself: each server on the way is to get the
//! password that is kept for it, and the library would look for none.

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION};
use url::Url;

use crate::error::IndexError;
use crate::redact::redact;

/// How many of them are followed for one answer.
pub(crate) const MOST: usize = 10;

/// Where the answer from `asked` leads on, where it does. Within one server the password of the address
/// holds on; no other server gets it, and what the answer itself would have for a password is left out.
///
/// # Errors
///
/// [`IndexError::Untrusted`] for a redirect that gives up what https protects. Pages hold the digests:
/// whoever answers in the index' place decides what is believed.
pub(crate) fn next(
    asked: &Url,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<Option<Url>, IndexError> {
    let leads_on = matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let location = headers.get(LOCATION).filter(|_| leads_on);
    let location = location.and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
    let Some(mut next) = location.and_then(|location| asked.join(location).ok()) else {
        return Ok(None);
    };
    let (user, password) = if next.origin() == asked.origin() {
        (asked.username(), asked.password())
    } else {
        ("", None)
    };
    // Only what has no host takes neither, and has none: such an address cannot be asked.
    let _ = next
        .set_username(user)
        .and_then(|()| next.set_password(password));
    if asked.scheme() == "https" && next.scheme() == "http" {
        return Err(IndexError::Untrusted {
            url: redact(asked),
            reason: format!(
                "it leads to {}, and without https anyone on the way may answer; check the index \
                 address",
                redact(&next)
            ),
        });
    }
    Ok(Some(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where an answer with this status and `Location` leads, or why it may not lead there.
    fn led(asked: &str, status: u16, location: &str) -> Result<Option<String>, String> {
        let asked = Url::parse(asked).unwrap();
        let headers = HeaderMap::from_iter([(LOCATION, location.parse().unwrap())]);
        match next(&asked, StatusCode::from_u16(status).unwrap(), &headers) {
            Ok(next) => Ok(next.map(String::from)),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_password_holds_within_one_server_and_nowhere_else() {
        let asked = "http://u%40x:p%3A@a.test/simple/b/";
        for (location, expected) in [
            ("../c/?d=e", "http://u%40x:p%3A@a.test/simple/c/?d=e"),
            ("/c", "http://u%40x:p%3A@a.test/c"),
            ("http://a.test:80/c", "http://u%40x:p%3A@a.test/c"),
            ("http://theirs:own@A.test/c", "http://u%40x:p%3A@a.test/c"),
            ("//b.test/c", "http://b.test/c"),
            ("http://a.test:8080/c", "http://a.test:8080/c"),
            ("https://a.test/c", "https://a.test/c"),
            ("http://theirs:own@b.test/c", "http://b.test/c"),
            ("ftp://theirs:own@a.test/c", "ftp://a.test/c"),
            ("file:///etc/passwd", "file:///etc/passwd"),
            ("data:,c", "data:,c"),
        ] {
            let led = led(asked, 302, location);
            assert_eq!(led, Ok(Some(expected.to_owned())), "{location}");
        }
        let none = led("http://a.test/", 302, "http://theirs:own@a.test/c");
        assert_eq!(none, Ok(Some("http://a.test/c".to_owned())));
    }

    #[test]
    fn not_every_answer_leads_on() {
        let asked = "http://a.test/";
        for status in [301, 302, 303, 307, 308] {
            let on = Ok(Some("http://a.test/c".to_owned()));
            assert_eq!(led(asked, status, "/c"), on, "{status}");
        }
        for status in [200, 201, 300, 304, 305, 404] {
            assert_eq!(led(asked, status, "/c"), Ok(None), "{status}");
        }
        assert_eq!(led(asked, 302, "http://"), Ok(None));
    }

    #[test]
    fn https_leads_to_https_only() {
        assert_eq!(
            led("https://u:secret@a.test/b", 302, "http://v:secret@c.test/d"),
            Err(
                "failed to trust https://***@a.test/b: it leads to http://c.test/d, and without \
                 https anyone on the way may answer; check the index address"
                    .to_owned()
            )
        );
        let on = led("https://u:secret@a.test/b", 302, "https://c.test/d");
        assert_eq!(on, Ok(Some("https://c.test/d".to_owned())));
    }
}
