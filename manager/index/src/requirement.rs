//! Requirements (PEP 508) from packages, before they are handed to a resolver that would follow
//! them anywhere.

use std::str::FromStr;

use pep508_rs::{ExtraName, Requirement, VerbatimUrl, VersionOrUrl};

use crate::marker;
use crate::text::printable;

/// The longest requirement that is read.
const LONGEST: usize = 8192;

/// Why a requirement is not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// It wants a file from an address, a repository or this machine's disk.
    #[error("requirement '{0}' names an address, which is never followed")]
    Address(String),
    /// It cannot be read.
    #[error("requirement '{0}' is not a requirement (PEP 508)")]
    Malformed(String),
    /// Its condition would take too much time or memory to read.
    #[error("requirement '{0}' has a condition that is too complicated to be read safely")]
    Complicated(String),
}

fn parse(text: &str) -> Result<Requirement<VerbatimUrl>, Refused> {
    let malformed = || Refused::Malformed(printable(text, 120));
    if text.len() > LONGEST || !is_one_line(text) {
        return Err(malformed());
    }
    if !marker::is_affordable(text) {
        return Err(Refused::Complicated(printable(text, 120)));
    }
    let requirement = Requirement::<VerbatimUrl>::from_str(text).map_err(|_| {
        if text.contains("://") {
            Refused::Address(printable(text, 120))
        } else {
            malformed()
        }
    })?;
    match requirement.version_or_url {
        Some(VersionOrUrl::Url(_)) => Err(Refused::Address(printable(text, 120))),
        _ => Ok(requirement),
    }
}

/// The resolver's input has a requirement a line, and options. A break in the quotes of a condition would
/// come out of them as it went in.
fn is_one_line(text: &str) -> bool {
    let breaks = |c: char| c.is_control() && c != '\t' || matches!(c, '\u{2028}' | '\u{2029}');
    !text.contains(breaks)
}

/// `text` in its normal form: one line that names packages on an index and nothing else.
pub(crate) fn safe(text: &str) -> Result<String, Refused> {
    parse(text).map(|requirement| requirement.to_string())
}

/// The name and the versions of a requirement (PEP 508) that leads to an index and nowhere else, in its
/// normal form.
///
/// # Errors
/// A sentence that says why it is none.
pub fn check(text: &str) -> Result<String, String> {
    safe(text).map_err(|refused| refused.to_string())
}

/// `text` as a requirement of the optional feature `extra`.
pub(crate) fn of_extra(text: &str, extra: &str) -> Result<String, Refused> {
    let extra =
        ExtraName::from_str(extra).map_err(|_| Refused::Malformed(printable(extra, 120)))?;
    parse(text).map(|requirement| requirement.with_extra_marker(&extra).to_string())
}

/// `text` without its condition on `extra`, where it has one.
pub(crate) fn only_of_extra(text: &str, extra: &str) -> Option<String> {
    let extra = ExtraName::from_str(extra).ok()?;
    let mut requirement = parse(text).ok()?;
    let within = requirement.marker.clone().simplify_extras(&[extra]);
    if within == requirement.marker {
        return None;
    }
    requirement.marker = within;
    Some(requirement.to_string())
}

/// `text` in a form fit for a metadata document that the resolver reads. Old packages have
/// requirements that are not quite PEP 508; the resolver mends many, so they are let through where
/// they cannot lead anywhere.
pub(crate) fn lenient(text: &str) -> Result<String, Refused> {
    match safe(text) {
        Err(Refused::Malformed(_))
            if text.len() <= LONGEST && is_one_line(text) && !text.contains(['@', '/']) =>
        {
            Ok(text.to_owned())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_options_are_refused() {
        for text in [
            "a @ https://evil.test/a.whl",
            "a @ git+https://evil.test/a",
            "a @ file:///etc/passwd",
            "-r /etc/passwd",
            "--index-url https://evil.test/",
            "a --hash=sha256:00",
            "./a",
            "a\n-r b",
            "a; os_name == \"x' #\n--extra-index-url https://evil.test/ #\"",
            "a; os_name == 'x\r--pre #'",
            "a; os_name == 'x\u{2028}--pre #'",
            "https://evil.test/a.whl",
        ] {
            assert!(safe(text).is_err(), "{text:?} became {:?}", safe(text));
            assert!(
                lenient(text).is_err() || !text.contains(['@', '/']),
                "{text:?}"
            );
        }
        for text in ["a\n-r b", "a\r--pre", "a\u{2028}--pre"] {
            assert!(lenient(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn honest_requirements_pass() {
        assert_eq!(
            safe("Foo[x] >=1,<2 ; python_version < '3'")
                .unwrap()
                .split('>')
                .next(),
            Some("foo[x]")
        );
        assert!(safe("a (>=1.0)").is_ok());
        assert_eq!(of_extra("a>1", "s").unwrap(), "a>1 ; extra == 's'");
        assert_eq!(lenient("a>=1.0.*").unwrap(), "a>=1.0.*");
    }

    #[test]
    fn a_condition_that_costs_too_much_is_read_by_nobody() {
        let pairs: Vec<_> = (0..40)
            .map(|at| format!("(extra=='a{at}' or extra=='b{at}')"))
            .collect();
        let pairs = format!("a;{}", pairs.join(" and "));
        let deep = format!("a;{}", "(".repeat(LONGEST - 2));
        for text in [pairs, deep] {
            assert!(matches!(safe(&text), Err(Refused::Complicated(_))));
            assert!(matches!(lenient(&text), Err(Refused::Complicated(_))));
            assert!(of_extra(&text, "x").is_err());
            assert_eq!(only_of_extra(&text, "x"), None);
        }
    }

    #[test]
    fn conditions_on_an_extra_are_taken_off() {
        let of = |text| only_of_extra(text, "test");
        assert_eq!(of("a>1 ; extra == 'test'").as_deref(), Some("a>1"));
        let both = "a ; extra == 'test' and python_version > '3'";
        assert!(of(both).is_some_and(|text| !text.contains("extra")));
        assert_eq!(of("a ; extra == 'docs'"), None);
        assert_eq!(of("a"), None);
    }
}
