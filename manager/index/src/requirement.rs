//! Requirements (PEP 508) from packages, before they are handed to a resolver that would follow
//! them anywhere.

use std::str::FromStr;

use pep508_rs::{ExtraName, Requirement, VerbatimUrl, VersionOrUrl};

use crate::marker;
use crate::text::printable;

/// The longest requirement that is read.
const LONGEST: usize = 8192;
/// The largest number in a version that can be read. The parser adds one to such numbers.
const LARGEST: &str = "18446744073709551615";

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
    if !is_sound(text) {
        return Err(malformed());
    }
    // Before what is malformed: that is let through to the resolver, which reads the condition too.
    if !marker::is_affordable(text) {
        return Err(Refused::Complicated(printable(text, 120)));
    }
    if quotes_a_quote(text) {
        return Err(malformed());
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

/// Whether it is one line, not too long, and nothing that the parser panics at.
fn is_sound(text: &str) -> bool {
    text.len() <= LONGEST
        && is_one_line(text)
        && ends_its_names(text)
        && has_ascii_condition(text)
        && !text.contains(LARGEST)
}

/// The resolver's input has a requirement a line, and options. A break in the quotes of a condition would
/// come out of them as it went in.
fn is_one_line(text: &str) -> bool {
    let breaks = |c: char| c.is_control() && c != '\t' || matches!(c, '\u{2028}' | '\u{2029}');
    !text.contains(breaks)
}

/// Whether the package's name and those of its extras end as names do. The parser takes a name that does not
/// for impossible, unless the text ends with it.
fn ends_its_names(text: &str) -> bool {
    let text = text.trim_start();
    let of_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let end = text.find(|c: char| !of_name(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let extras = rest.trim_start().strip_prefix('[').unwrap_or_default();
    let extras = extras.split(']').next().unwrap_or_default();
    let between = |c: char| c == ',' || c.is_whitespace();
    let mut names = std::iter::once(name).chain(extras.split(between));
    names.all(|name| !name.ends_with(['-', '_', '.']))
}

/// Whether its condition is ASCII but for blanks, as everything is that conditions speak of (PEP 508). The
/// parser counts characters where it cuts bytes.
fn has_ascii_condition(text: &str) -> bool {
    let mut letters = condition(text).chars();
    letters.all(|c| c.is_ascii() || c.is_whitespace())
}

/// Whether a text that its condition quotes has a `'` in it: the normal form has one on either side of each,
/// and would say something else.
fn quotes_a_quote(text: &str) -> bool {
    let mut rest = condition(text);
    while let Some(at) = rest.find(['\'', '"']) {
        let (quote, after) = rest[at..].split_at(1);
        let (inside, after) = after.split_once(quote).unwrap_or((after, ""));
        if inside.contains('\'') {
            return true;
        }
        rest = after;
    }
    false
}

/// The condition of a requirement; empty where it has none. Whatever a condition follows, it follows a
/// semicolon.
fn condition(text: &str) -> &str {
    text.split_once(';').map_or("", |(_, condition)| condition)
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

/// `text` as a requirement of the optional feature `extra`, otherwise as it is written: it is read again, for
/// which the normal form of its condition may be too complicated.
pub(crate) fn of_extra(text: &str, extra: &str) -> Result<String, Refused> {
    let extra =
        ExtraName::from_str(extra).map_err(|_| Refused::Malformed(printable(extra, 120)))?;
    parse(text)?;
    Ok(match text.split_once(';') {
        Some((wanted, condition)) => {
            let (wanted, condition) = (wanted.trim(), condition.trim());
            format!("{wanted} ; ({condition}) and extra == '{extra}'")
        }
        None => format!("{} ; extra == '{extra}'", text.trim()),
    })
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
        Err(Refused::Malformed(_)) if is_sound(text) && !text.contains(['@', '/']) => {
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
    fn what_the_parser_panics_at_is_refused() {
        for text in [
            "a- >=1",
            "a.>=1",
            "a_[b]",
            "a-;os_name=='x'",
            "a[b-]",
            "a[b, c_]>1",
            "a[b. c]",
            "a; os_name == 'x' é",
            "a; (os_name == 'x')é",
            "a; os_name == 'x' and'éé' == os_name",
            "a; python_version > '3.18446744073709551615'",
        ] {
            assert!(safe(text).is_err(), "{text}");
            assert!(lenient(text).is_err(), "{text}");
        }
        for text in [
            "a",
            "a.b-c_d>=1",
            "a[b, c-d ]>1",
            "a\u{a0}>1 ;\u{a0}os_name == 'x'",
        ] {
            assert!(safe(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_quote_within_quotes_does_not_end_them() {
        let text = "a ; os_name == \"x' or extra == 'y\"";
        assert!(safe(text).is_err());
        assert_eq!(lenient(text).as_deref(), Ok(text));
        let plain = "a ; os_name == \"x\" or 'y' in os_name";
        assert!(safe(plain).is_ok_and(|text| text.starts_with("a ; ")));
    }

    #[test]
    fn what_an_extra_requires_can_be_read_again() {
        let machines = [
            "aarch64", "ppc64le", "x86_64", "amd64", "AMD64", "win32", "WIN32",
        ];
        let machines = machines.map(|name| format!("platform_machine == \"{name}\""));
        let text = format!(
            "a>1;python_version < '3.14' and ({})",
            machines.join(" or ")
        );
        let of = of_extra(&text, "B_c").unwrap();
        assert!(of.starts_with("a>1 ; (python_version"), "{of}");
        assert!(safe(&of).is_ok_and(|text| text.contains("extra == 'b-c'")));
    }

    #[test]
    fn a_condition_that_costs_too_much_is_read_by_nobody() {
        let pairs: Vec<_> = (0..40)
            .map(|at| format!("(extra=='a{at}' or extra=='b{at}')"))
            .collect();
        let pairs = format!("a;{}", pairs.join(" and "));
        let quoting = format!("{pairs} and os_name != \"'\"");
        let deep = format!("a;{}", "(".repeat(LONGEST - 2));
        for text in [pairs, quoting, deep] {
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
