//! Addresses without their credentials.

use url::Url;

use crate::text::printable;

/// Characters that are shown of an address: a server may lead to a long one.
const LONGEST: usize = 2000;

/// `url` fit to be printed: user and password replaced, query and fragment dropped.
pub(crate) fn redact(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    if !url.username().is_empty() || url.password().is_some() {
        let hidden = shown
            .set_username("***")
            .and_then(|()| shown.set_password(None));
        if hidden.is_err() {
            return format!("{}://***", url.scheme());
        }
    }
    printable(shown.as_str(), LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_hidden() {
        let url =
            Url::parse("https://user:secret@example.org/simple/?token=secret#secret").unwrap();
        assert_eq!(redact(&url), "https://***@example.org/simple/");
        let token = Url::parse("https://secret@example.org/simple/").unwrap();
        assert!(!redact(&token).contains("secret"));
    }

    #[test]
    fn a_long_address_is_cut() {
        let long = format!("https://example.org/{}", "a".repeat(LONGEST));
        let shown = redact(&Url::parse(&long).unwrap());
        assert_eq!(shown.chars().count(), LONGEST + 1);
        assert!(long.starts_with(shown.trim_end_matches('…')), "{shown}");
    }
}
