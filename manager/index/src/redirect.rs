//! Where a redirect may lead.

use reqwest::redirect::Policy;

use crate::redact::redact;

/// A redirect that gives up what https protects. Pages hold the digests: whoever answers in the index'
/// place decides what is believed.
#[derive(Debug, thiserror::Error)]
#[error("it leads to {0}, and without https anyone on the way may answer; check the index address")]
pub(crate) struct Unprotected(String);

/// Follows what the library follows by itself, and as often, but nothing from https to http.
pub(crate) fn policy() -> Policy {
    let usual = Policy::default();
    Policy::custom(move |attempt| {
        let from = attempt.previous().last();
        let protected = from.is_some_and(|url| url.scheme() == "https");
        if protected && attempt.url().scheme() == "http" {
            let to = redact(attempt.url());
            return attempt.error(Unprotected(to));
        }
        usual.redirect(attempt)
    })
}
