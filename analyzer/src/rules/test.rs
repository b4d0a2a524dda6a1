//! One test of one field's value.

use std::net::IpAddr;

use globset::GlobSet;
use regex_automata::Input;
use regex_automata::meta::Regex;

use super::truth::Truth;
use super::value::{Value, last_component};
use crate::schema::Field;

/// A test, as a rule's `where` has it behind a field's name.
#[derive(Debug, Clone)]
pub enum Test {
    /// All hold.
    All(Vec<Test>),
    /// One holds.
    Any(Vec<Test>),
    /// It does not hold.
    Not(Box<Test>),
    /// It holds for an item of the list.
    Item(Box<Test>),
    /// It holds for the first item of the list.
    First(Box<Test>),
    /// It holds for the items joined by spaces.
    Line(Box<Test>),
    /// The field's value equals that of an earlier step's field.
    Same(usize, Field),
    /// The text is one of these.
    Is(Vec<String>),
    /// The path is one of these directories or below one.
    Under(Vec<String>),
    /// The path's last component matches.
    Name(GlobSet),
    /// The whole text matches.
    Glob(GlobSet),
    /// The text starts with one of these.
    Starts(Vec<String>),
    /// The text ends with one of these.
    Ends(Vec<String>),
    /// The text contains one of these.
    Contains(Vec<String>),
    /// The text matches one of these expressions somewhere.
    Matches(Regex),
    /// The integer is one of these.
    IsInt(Vec<i64>),
    /// The integer is this or more.
    AtLeast(i64),
    /// The integer is this or less.
    AtMost(i64),
    /// All of these bits are set.
    Has(i64),
    /// One of these bits is set.
    HasAny(i64),
    /// It is so.
    IsBool(bool),
    /// The bytes start with one of these.
    StartsBytes(Vec<Vec<u8>>),
    /// The address lies in one of these networks.
    In(Vec<Network>),
    /// The address is (not) a public one.
    Public(bool),
}

/// An IP network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    addr: u128,
    v4: bool,
    prefix: u32,
}

impl Network {
    /// Reads `addr` or `addr/prefix`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (addr, prefix) = match text.split_once('/') {
            Some((addr, prefix)) => (addr, Some(prefix.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let (addr, v4, width) = bits(addr.parse().ok()?);
        let prefix = prefix.unwrap_or(width);
        (prefix <= width).then_some(Self { addr, v4, prefix })
    }

    /// The address lies in it.
    #[must_use]
    pub fn contains(self, addr: IpAddr) -> bool {
        let (addr, v4, width) = bits(addr);
        v4 == self.v4
            && (addr ^ self.addr)
                .checked_shr(width - self.prefix)
                .unwrap_or(0)
                == 0
    }
}

fn bits(addr: IpAddr) -> (u128, bool, u32) {
    match addr {
        IpAddr::V4(addr) => (u32::from(addr).into(), true, 32),
        IpAddr::V6(addr) => (addr.into(), false, 128),
    }
}

/// Addresses that do not leave the machine or its site: RFC 1122, 1918, 3927, 5771, 6598, 4193,
/// 4291. The documentation networks count as public: no machine has a use for them either.
const LOCAL: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/3",
    "::/127",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

fn is_public(addr: IpAddr) -> bool {
    !LOCAL
        .iter()
        .filter_map(|network| Network::parse(network))
        .any(|network| network.contains(addr))
}

/// Whether two values are one; where one of several is meant, whether one of them is.
fn equal(a: &Value<'_>, b: &Value<'_>) -> Truth {
    match (a, b) {
        (_, Value::Unknown) => Truth::Unknown,
        (a, Value::Many(several)) => Truth::any(several.iter().map(|b| equal(a, b))),
        (Value::Text(a, true), Value::OneName(b)) if a == b => Truth::True,
        (_, Value::OneName(_)) => Truth::Unknown,
        (Value::Text(a, a_whole), Value::Text(b, b_whole)) => {
            match (a == b, *a_whole && *b_whole) {
                (equal, true) => equal.into(),
                (_, false) => Truth::Unknown,
            }
        }
        (a, b) => (a == b).into(),
    }
}

impl Test {
    /// Applies the test; `same` gives the value of an earlier step's field.
    pub fn eval<'v>(&self, value: &Value<'_>, same: &dyn Fn(usize, Field) -> Value<'v>) -> Truth {
        match self {
            Self::All(tests) => Truth::all(tests.iter().map(|test| test.eval(value, same))),
            Self::Any(tests) => Truth::any(tests.iter().map(|test| test.eval(value, same))),
            Self::Not(test) => !test.eval(value, same),
            _ => match value {
                Value::Unknown => Truth::Unknown,
                Value::Absent => Truth::False,
                // What does not hold for one name may hold for another.
                Value::OneName(name) => self
                    .leaf(&Value::Text(name.as_ref().into(), true), same)
                    .max(Truth::Unknown),
                Value::Many(values) => {
                    Truth::any(values.iter().map(|value| self.eval(value, same)))
                }
                value => self.leaf(value, same),
            },
        }
    }

    fn leaf<'v>(&self, value: &Value<'_>, same: &dyn Fn(usize, Field) -> Value<'v>) -> Truth {
        match (self, value) {
            (Self::Item(test), Value::List(items, whole)) => {
                // Where the list was cut, so may have been its last item.
                let found = Truth::any(items.iter().enumerate().map(|(number, item)| {
                    let whole = *whole || number + 1 < items.len();
                    test.eval(&Value::Text(item.as_str().into(), whole), same)
                }));
                if *whole {
                    found
                } else {
                    found.max(Truth::Unknown)
                }
            }
            (Self::First(test), Value::List(items, whole)) => match items.first() {
                Some(item) => test.eval(
                    &Value::Text(item.as_str().into(), *whole || items.len() > 1),
                    same,
                ),
                None if *whole => Truth::False,
                None => Truth::Unknown,
            },
            (Self::Line(test), Value::List(items, whole)) => {
                test.eval(&Value::Text(items.join(" ").into(), *whole), same)
            }
            (Self::Same(step, field), value) => equal(value, &same(*step, *field)),
            (test, Value::Text(text, whole)) => test.text(text, *whole),
            (test, Value::Int(value)) => test.int(*value).into(),
            (Self::IsBool(expected), Value::Bool(value)) => (expected == value).into(),
            (Self::StartsBytes(prefixes), Value::Bytes(bytes, all)) => {
                Truth::any(prefixes.iter().map(|prefix| {
                    if bytes.starts_with(prefix) {
                        Truth::True
                    } else if !all && prefix.starts_with(bytes) {
                        Truth::Unknown
                    } else {
                        Truth::False
                    }
                }))
            }
            (Self::In(networks), Value::Addr(addr)) => networks
                .iter()
                .any(|network| network.contains(*addr))
                .into(),
            (Self::Public(expected), Value::Addr(addr)) => (is_public(*addr) == *expected).into(),
            // The loader lets no test stand behind a field of another type.
            _ => Truth::False,
        }
    }

    fn int(&self, value: i64) -> bool {
        match self {
            Self::IsInt(values) => values.contains(&value),
            Self::AtLeast(least) => value >= *least,
            Self::AtMost(most) => value <= *most,
            Self::Has(bits) => value & bits == *bits,
            Self::HasAny(bits) => value & bits != 0,
            _ => false,
        }
    }

    fn text(&self, text: &str, whole: bool) -> Truth {
        // A cut text can prove what its beginning proves, and disprove what its beginning excludes.
        let unless_cut = |holds: bool| {
            if whole { holds.into() } else { Truth::Unknown }
        };
        match self {
            Self::Is(values) if whole => values.iter().any(|value| value == text).into(),
            Self::Is(values) => Truth::any(values.iter().map(|value| {
                if value.starts_with(text) {
                    Truth::Unknown
                } else {
                    Truth::False
                }
            })),
            Self::Under(directories) => Truth::any(directories.iter().map(|directory| {
                match text.strip_prefix(directory.as_str()) {
                    Some(rest) if rest.starts_with('/') || directory.ends_with('/') => Truth::True,
                    Some("") => unless_cut(true),
                    Some(_) => Truth::False,
                    None if !whole && directory.starts_with(text) => Truth::Unknown,
                    None => Truth::False,
                }
            })),
            Self::Starts(prefixes) => Truth::any(prefixes.iter().map(|prefix| {
                if text.starts_with(prefix.as_str()) {
                    Truth::True
                } else if !whole && prefix.starts_with(text) {
                    Truth::Unknown
                } else {
                    Truth::False
                }
            })),
            Self::Contains(parts) => {
                let holds = parts.iter().any(|part| text.contains(part.as_str()));
                if holds {
                    Truth::True
                } else {
                    unless_cut(false)
                }
            }
            Self::Ends(suffixes) => unless_cut(
                suffixes
                    .iter()
                    .any(|suffix| text.ends_with(suffix.as_str())),
            ),
            Self::Name(globs) => unless_cut(globs.is_match(last_component(text))),
            Self::Glob(globs) => unless_cut(globs.is_match(text)),
            Self::Matches(expressions) if whole => expressions.is_match(text).into(),
            // A match that ends before the last character that is known stays one whatever follows:
            // an anchor or a word boundary looks no further than at that character. Any other may
            // come or go with what was cut.
            Self::Matches(expressions) => match text.char_indices().next_back() {
                Some((last, _)) if expressions.is_match(Input::new(text).range(..last)) => {
                    Truth::True
                }
                _ => Truth::Unknown,
            },
            _ => Truth::False,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(expressions: &[&str], text: &str, whole: bool) -> Truth {
        let test = Test::Matches(Regex::new_many(expressions).unwrap());
        test.eval(&Value::Text(text.into(), whole), &|_, _| Value::Unknown)
    }

    #[test]
    fn a_match_before_the_cut_is_a_match() {
        use Truth::{False, True, Unknown};
        for (expression, text, whole, cut) in [
            (r"curl .*\| sh\b", "curl u | sh # xxx", True, True),
            // What is behind the cut may make another word of it.
            (r"curl .*\| sh\b", "curl u | sh", True, Unknown),
            // An end is nowhere before the cut.
            (r"curl$", "curl x curl", True, Unknown),
            (r"(?m)curl$", "curl\nx", True, True),
            (r"wget", "curl u | sh # xxx", False, Unknown),
            (r"^$", "", True, Unknown),
            (r"é", "éé", True, True),
        ] {
            assert_eq!(matches(&[expression], text, true), whole, "{expression}");
            assert_eq!(
                matches(&[expression], text, false),
                cut,
                "{expression}, cut"
            );
        }
        assert_eq!(matches(&["x", "^curl"], "curl u", false), True);
    }

    #[test]
    fn what_is_excluded_by_a_cut_text_is_not_known() {
        let not = |text: &str| {
            let test = Test::Not(Box::new(Test::Matches(Regex::new("curl").unwrap())));
            let value = Value::Text(text.to_owned().into(), false);
            test.eval(&value, &|_, _| Value::Unknown)
        };
        assert_eq!(not("a curl b"), Truth::False);
        assert_eq!(not("a wget b"), Truth::Unknown);
    }

    #[test]
    fn one_of_several_values_is_enough_to_be_the_same() {
        let same = |text: &'static str| {
            let earlier = || {
                Value::Many(vec![
                    Value::Text("/tmp/a".into(), true),
                    Value::Text("/tmp/b".into(), true),
                ])
            };
            Test::Same(0, Field::Path).eval(&Value::Text(text.into(), true), &|_, _| earlier())
        };
        assert_eq!(same("/tmp/b"), Truth::True);
        assert_eq!(same("/tmp/c"), Truth::False);
    }
}
