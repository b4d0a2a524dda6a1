//! What conditions in a noxfile come to in the guest: Linux, where nobody adds arguments or looks at a
//! terminal.

use super::names::{Known, Names};
use super::text::{inside, split};

/// Conditions within conditions.
const DEEPEST: usize = 20;
/// Bytes of a condition that is looked at.
const LONGEST: usize = 4 << 10;

/// What a condition is seen with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    /// Names, and what they stand for.
    pub names: &'a Names,
    /// The session's name for itself.
    pub own: &'a str,
    /// The version of Python that the session is for, where it is one that is known.
    pub python: Option<&'a str>,
}

impl Scope<'_> {
    /// Whether a condition holds; `None` where only running it would tell.
    pub(super) fn holds(self, condition: &str) -> Option<bool> {
        self.within(condition, 0)
    }

    fn within(self, condition: &str, depth: usize) -> Option<bool> {
        let text = condition.trim();
        if depth > DEEPEST || text.len() > LONGEST {
            return None;
        }
        let again = |part: &str| self.within(part, depth + 1);
        // One of them is enough, whatever the other one comes to.
        for (operator, enough) in [(" or ", true), (" and ", false)] {
            if let Some((first, rest)) = split(text, operator) {
                return match (again(first), again(rest)) {
                    (Some(is), _) | (_, Some(is)) if is == enough => Some(enough),
                    (Some(_), Some(_)) => Some(!enough),
                    _ => None,
                };
            }
        }
        if let Some(rest) = text.strip_prefix("not ") {
            return again(rest).map(|holds| !holds);
        }
        if text.starts_with('(')
            && let Some(inside) = inside(text)
            && split(inside, ",").is_none()
        {
            return again(inside);
        }
        match text {
            "True" => return Some(true),
            "False" => return Some(false),
            _ if text.strip_prefix(self.own) == Some(".interactive") => return Some(false),
            _ => {}
        }
        self.compared(text)
            .or_else(|| self.starting(text))
            .or_else(|| {
                Some(match self.known(text)? {
                    Known::Text(text) => !text.is_empty(),
                    Known::List(items) => !items.is_empty(),
                })
            })
    }

    /// `a == b` and its like.
    fn compared(self, text: &str) -> Option<bool> {
        for (operator, equal) in [("==", true), ("!=", false)] {
            if let Some((left, right)) = split(text, operator) {
                return Some((self.known(left)? == self.known(right)?) == equal);
            }
        }
        for (operator, among) in [(" not in ", false), (" in ", true)] {
            if let Some((left, right)) = split(text, operator) {
                let left = self.text(left)?;
                let found = match self.known(right)? {
                    Known::List(items) => items.contains(&left),
                    Known::Text(text) => text.contains(&left),
                };
                return Some(found == among);
            }
        }
        None
    }

    /// `a.startswith(b)`.
    fn starting(self, text: &str) -> Option<bool> {
        let (left, right) = split(text, ".startswith(")?;
        let left = self.text(left)?;
        Some(match self.known(right.strip_suffix(')')?)? {
            Known::Text(start) => left.starts_with(&start),
            Known::List(starts) => starts.iter().any(|start| left.starts_with(start)),
        })
    }

    fn text(self, expression: &str) -> Option<String> {
        match self.known(expression)? {
            Known::Text(text) => Some(text),
            Known::List(_) => None,
        }
    }

    fn known(self, expression: &str) -> Option<Known> {
        let expression = expression.trim();
        let of_guest = match expression {
            "sys.platform" => Some("linux"),
            "os.name" => Some("posix"),
            "platform.system()" => Some("Linux"),
            _ if expression.strip_prefix(self.own) == Some(".python") => Some(self.python?),
            _ => None,
        };
        match of_guest {
            Some(text) => Some(Known::Text(text.to_owned())),
            None => self.names.known(expression, self.own),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_hold_where_that_is_written_out() {
        let mut names = Names::default();
        names.set("a", Known::Text("x".to_owned()));
        names.set("many", Known::List(vec!["x".to_owned(), "y".to_owned()]));
        let of = |python, condition: &str| {
            let scope = Scope {
                names: &names,
                own: "s",
                python,
            };
            scope.holds(condition)
        };
        for (condition, expected) in [
            ("s.posargs", Some(false)),
            ("not s.posargs", Some(true)),
            ("s.interactive", Some(false)),
            ("s.posargs and CI", Some(false)),
            ("not s.posargs or CI", Some(true)),
            ("CI or not s.posargs", Some(true)),
            ("s.posargs or CI", None),
            ("not CI", None),
            ("(not s.posargs\n    and True)", Some(true)),
            ("sys.platform == 'win32'", Some(false)),
            (
                "sys.platform != \"win32\" and os.name == 'posix'",
                Some(true),
            ),
            ("sys.platform.startswith(('win', 'cygwin'))", Some(false)),
            ("platform.system() in ('Linux', 'Darwin')", Some(true)),
            ("'win' not in sys.platform", Some(true)),
            ("a == 'x'", Some(true)),
            ("a in many", Some(true)),
            ("a == ' or '", Some(false)),
            ("b == 'x'", None),
            ("a == 'x' == 'x'", None),
            ("a", Some(true)),
            ("''", Some(false)),
            ("False", Some(false)),
            ("os.environ.get('CI')", None),
            ("shutil.which('gcc') is None", None),
            ("s.python == '3.13'", None),
            ("", None),
        ] {
            assert_eq!(of(None, condition), expected, "{condition}");
        }
        assert_eq!(of(Some("3.13"), "s.python == '3.13'"), Some(true));
        assert_eq!(of(Some("3.13"), "s.python.startswith('pypy')"), Some(false));
        assert_eq!(of(Some("3.13"), "s.python in ['3.9', '3.12']"), Some(false));
    }

    #[test]
    fn hostile_conditions_come_to_an_end() {
        let names = Names::default();
        let scope = Scope {
            names: &names,
            own: "s",
            python: None,
        };
        for condition in [
            "a or ".repeat(800),
            "not ".repeat(1000),
            "(".repeat(1000) + &")".repeat(1000),
            format!("{}True", "not ".repeat(30)),
            format!("'a' == '{}'", "a".repeat(LONGEST)),
        ] {
            assert_eq!(scope.holds(&condition), None);
        }
    }
}
