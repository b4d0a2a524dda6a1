//! Addresses without their credentials.

use url::Url;

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
    shown.to_string()
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
}
