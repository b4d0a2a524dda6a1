//! What names in a noxfile stand for, where that is written out and never changed.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use super::blocks::Line;
use super::text::{argument, inside, literal, quoted, skip_space, word};

/// Names that are known, and texts of one list.
const MOST: usize = 100;
/// Places where a name is given something.
const MOST_WRITES: usize = 10_000;
/// Bytes of an expression that is looked at, and of the texts that it stands for.
const LONGEST: usize = 4 << 10;
/// Expressions within expressions.
const DEEPEST: usize = 8;

/// Where a name is bound, or what it stands for is changed in its place.
static WRITES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let bound = r"\b(?:as|del|for|global|import|nonlocal)[ \t]+(\w+)";
    let equals = r"[-+*/|&]?=(?:[^=]|$)";
    let methods = "append|clear|extend|insert|pop|remove|reverse|sort";
    let changed = format!(
        r"(?:{equals}|:[^=\n]{{0,80}}=(?:[^=]|$)|\[[^\]\n]{{0,80}}\][ \t]*{equals}|\.(?:{methods})\b)"
    );
    Regex::new(&format!(r"{bound}|\b([A-Za-z_]\w*)[ \t]*{changed}")).ok()
});

/// What an expression stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// A text.
    Text(String),
    /// A list or a tuple of texts.
    List(Vec<String>),
}

/// How often names are given something in a text.
pub(super) fn writes(text: &str) -> BTreeMap<&str, usize> {
    let mut found = BTreeMap::new();
    let all = WRITES.iter().flat_map(|writes| writes.captures_iter(text));
    for write in all.take(MOST_WRITES) {
        if let Some(name) = write.get(1).or_else(|| write.get(2)) {
            *found.entry(name.as_str()).or_default() += 1;
        }
    }
    found
}

/// Names, and what they stand for.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(BTreeMap<String, Known>);

impl Names {
    /// Those that a file of these lines binds outside of its functions, once and for all.
    pub(super) fn of_file(text: &str, lines: &[Line<'_>]) -> Self {
        let writes = writes(text);
        let mut names = Self::default();
        for line in lines.iter().filter(|line| line.indent == 0) {
            names.bind(line.text, &writes, "");
        }
        names
    }

    /// What a statement assigns, where that is known and nothing else is ever given to the name. `own` is
    /// the session's name for itself.
    pub(super) fn bind(&mut self, statement: &str, writes: &BTreeMap<&str, usize>, own: &str) {
        let Some((name, value)) = assigned(statement) else {
            return;
        };
        let once = writes.get(name) == Some(&1);
        match self.known(value, own).filter(|_| once) {
            Some(known) => self.set(name, known),
            None => self.forget(name),
        }
    }

    /// Makes a name stand for this.
    pub(super) fn set(&mut self, name: &str, known: Known) {
        if self.0.len() < MOST || self.0.contains_key(name) {
            self.0.insert(name.to_owned(), known);
        }
    }

    /// Says that nobody knows what a name stands for.
    pub(super) fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// What an expression stands for, where that is written out.
    pub(super) fn known(&self, expression: &str, own: &str) -> Option<Known> {
        self.within(expression, own, 0)
    }

    fn within(&self, expression: &str, own: &str, depth: usize) -> Option<Known> {
        let expression = skip_space(expression).trim_end();
        if depth > DEEPEST || expression.len() > LONGEST {
            return None;
        }
        if let Some((text, _)) = literal(expression) {
            return Some(Known::Text(text));
        }
        if let Some(inside) = inside(expression) {
            let (first, _, only) = argument(skip_space(inside));
            // What stands alone in round brackets is no tuple.
            return if only && expression.starts_with('(') && !first.trim().is_empty() {
                self.within(first, own, depth + 1)
            } else {
                self.list(inside, own, depth).map(Known::List)
            };
        }
        if let Some(parts) = expression.strip_prefix("os.path.join").and_then(inside) {
            let parts = self.list(parts, own, depth)?.into_iter();
            return parts.reduce(joined).map(Known::Text);
        }
        if let Some(rest) = expression
            .strip_prefix(own)
            .and_then(|rest| rest.strip_prefix(".posargs"))
        {
            // Nobody adds any.
            return match rest.trim_start() {
                "" => Some(Known::List(vec![])),
                rest => self.within(rest.strip_prefix("or ")?, own, depth + 1),
            };
        }
        self.formatted(expression)
            .map(Known::Text)
            .or_else(|| self.0.get(expression).cloned())
    }

    /// The texts of a list, of which this is what stands in its brackets.
    fn list(&self, inside: &str, own: &str, depth: usize) -> Option<Vec<String>> {
        let mut items: Vec<String> = vec![];
        let mut rest = inside;
        for _ in 0..MOST {
            rest = skip_space(rest);
            let (item, after, end) = argument(rest);
            let item = item.trim();
            if let Some(list) = item.strip_prefix('*') {
                match self.within(list, own, depth + 1)? {
                    Known::List(more) => items.extend(more),
                    Known::Text(_) => return None,
                }
            } else if !item.is_empty() {
                match self.within(item, own, depth + 1)? {
                    Known::Text(text) => items.push(text),
                    Known::List(_) => return None,
                }
            }
            let bytes: usize = items.iter().map(String::len).sum();
            if items.len() > MOST || bytes > LONGEST {
                return None;
            }
            if end {
                return Some(items);
            }
            rest = after;
        }
        None
    }

    /// A text with the values of names in it, as in `f"{a}/b"`.
    fn formatted(&self, expression: &str) -> Option<String> {
        let start = expression.find(['"', '\''])?;
        let prefix = expression[..start].to_ascii_lowercase();
        if !["f", "fr", "rf"].contains(&prefix.as_str()) {
            return None;
        }
        let (text, after) = quoted(&expression[start..])?;
        if !skip_space(after).is_empty() {
            return None;
        }
        let mut whole = String::new();
        let mut rest = text.as_str();
        while let Some((before, braced)) = rest.split_once('{') {
            let (name, after) = braced.split_once('}')?;
            let Known::Text(value) = self.0.get(name.trim())? else {
                return None;
            };
            whole.push_str(before);
            whole.push_str(value);
            rest = after;
            if whole.len() > LONGEST {
                return None;
            }
        }
        whole.push_str(rest);
        Some(whole)
    }
}

/// Two paths as `os.path.join` joins them.
fn joined(before: String, path: String) -> String {
    if before.is_empty() || path.starts_with('/') {
        return path;
    }
    format!("{before}/{path}")
}

/// The name and the value of an assignment to one name.
fn assigned(statement: &str) -> Option<(&str, &str)> {
    let (name, value) = statement.split_once('=')?;
    let name = name.split(':').next().unwrap_or_default().trim_end();
    let plain = !name.is_empty() && word(name) == name && !value.starts_with('=');
    plain.then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::super::blocks::lines;
    use super::*;

    fn text(text: &str) -> Option<Known> {
        Some(Known::Text(text.to_owned()))
    }

    fn list(items: &[&str]) -> Option<Known> {
        Some(Known::List(
            items.iter().map(|&item| item.to_owned()).collect(),
        ))
    }

    #[test]
    fn names_stand_for_what_they_are_given_once() {
        let file = "import nox\nA = 'a' 'b'  # why\nB: list[str] = [A, 'c',\n  *('d',)]\nC = f\"{A}/{E}\"\n\
            D = [x for x in B]\nE = 'e'\nE += 'f'\nF = ['g']\nF.append('h')\nG = H = 'i'\n\
            J = 'j'\nfor J in B: pass\nK = open(A)\ndef f(s):\n    L = 'l'\n";
        let names = Names::of_file(file, &lines(file));
        for (name, expected) in [
            ("A", text("ab")),
            ("B", list(&["ab", "c", "d"])),
            ("C", None),
            ("D", None),
            ("E", None),
            ("F", None),
            ("G", None),
            ("J", None),
            ("K", None),
            ("L", None),
        ] {
            assert_eq!(names.known(name, "s"), expected, "{name}");
        }
        for (expression, expected) in [
            ("f'{A}/x'", text("ab/x")),
            ("f'{A!r}'", None),
            ("f'{B}'", None),
            ("s.posargs", list(&[])),
            ("(s.posargs or ['t', A])", list(&["t", "ab"])),
            ("s.posargs or B", list(&["ab", "c", "d"])),
            ("s.posargs + B", None),
            ("s.posargs[0]", None),
            ("('a')", text("a")),
            ("('a',)", list(&["a"])),
            ("()", list(&[])),
            ("[['a']]", None),
            ("os.path.join(A, 't')", text("ab/t")),
            ("os.path.join('a', '/b', '')", text("/b/")),
            ("os.path.join(*B, K)", None),
            ("os.path.join()", None),
            ("A if x else B", None),
        ] {
            assert_eq!(names.known(expression, "s"), expected, "{expression}");
        }
    }

    #[test]
    fn hostile_expressions_come_to_an_end() {
        let names = Names::default();
        for expression in [
            "[".repeat(2000) + &"]".repeat(2000),
            "(".repeat(20) + &")".repeat(20),
            format!("[{}]", "'a',".repeat(MOST + 1)),
            format!("'{}'", "x".repeat(LONGEST)),
            "s.posargs or ".repeat(100),
        ] {
            assert_eq!(names.known(&expression, "s"), None);
        }
        // Lists of lists come to no more than one.
        let mut names = Names::default();
        let half = "x".repeat(LONGEST / 2);
        names.set("a", Known::List(vec![half]));
        assert!(names.known("[*a, *a]", "s").is_some());
        assert_eq!(names.known("[*a, *a, 'b']", "s"), None);
        let text = "a:x.pop(".repeat(20_000);
        assert!(writes(&text).len() <= 2);
    }
}
