//! Pieces of a Python expression, told apart without understanding the rest of it.

/// What follows spaces and comments.
pub(super) fn skip_space(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        match text.strip_prefix('#') {
            Some(comment) => text = comment.split_once('\n').map_or("", |(_, rest)| rest),
            None => return text,
        }
    }
}

/// The letters of a program that stand outside of its texts and comments.
#[derive(Debug)]
pub(super) struct Outside<'t> {
    text: &'t str,
    at: usize,
    /// How many brackets are open.
    depth: usize,
}

/// Such letters: where each stands, which it is, and how many brackets are open before it. They end where a
/// text is left open.
pub(super) fn outside(text: &str) -> Outside<'_> {
    Outside {
        text,
        at: 0,
        depth: 0,
    }
}

impl Iterator for Outside<'_> {
    type Item = (usize, char, usize);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = &self.text[self.at..];
            let letter = rest.chars().next()?;
            let found = (self.at, letter, self.depth);
            self.at += match letter {
                '"' | '\'' => rest.len() - quoted(rest)?.1.len(),
                '#' => rest.find('\n').unwrap_or(rest.len()),
                // It joins two lines.
                '\\' => rest.chars().take(2).map(char::len_utf8).sum::<usize>(),
                _ => letter.len_utf8(),
            };
            match letter {
                '"' | '\'' | '#' | '\\' => continue,
                '(' | '[' | '{' => self.depth += 1,
                ')' | ']' | '}' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            return Some(found);
        }
    }
}

/// The text of the next argument, what follows it, and whether it was the last.
pub(super) fn argument(text: &str) -> (&str, &str, bool) {
    for (at, letter, depth) in outside(text) {
        match letter {
            ')' | ']' | '}' if depth == 0 => return (&text[..at], "", true),
            ',' if depth == 0 => return (&text[..at], &text[at + 1..], false),
            _ => {}
        }
    }
    (text, "", true)
}

/// The name and the value of a keyword argument.
pub(super) fn keyword(argument: &str) -> Option<(&str, &str)> {
    let (name, value) = argument.split_once('=')?;
    let name = name.trim();
    let named = name.chars().all(|c| c.is_alphanumeric() || c == '_');
    (named && !value.starts_with('=')).then_some((name, value))
}

/// The string literals of an expression.
pub(super) fn literals(text: &str) -> Vec<String> {
    let mut found = vec![];
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\'']) {
        let Some((word, after)) = quoted(&rest[at..]) else {
            break;
        };
        found.push(word);
        rest = after;
    }
    found
}

/// A string literal at the start of `text`, with the literals that it is joined to; no format.
pub(super) fn literal(text: &str) -> Option<(String, &str)> {
    let mut whole = String::new();
    let mut rest = text;
    loop {
        let start = rest.find(['"', '\''])?;
        let prefix = rest[..start].to_ascii_lowercase();
        if prefix.len() > 2 || !prefix.chars().all(|c| "rbuf".contains(c)) {
            return None;
        }
        let (word, after) = quoted(&rest[start..])?;
        if prefix.contains('f') && word.contains('{') {
            return None;
        }
        whole.push_str(&word);
        rest = skip_space(after);
        if rest.is_empty() {
            return Some((whole, rest));
        }
    }
}

/// A quoted text, its common escapes undone, and what follows.
pub(super) fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.get(..1)?;
    let quote = if text.starts_with(&quote.repeat(3)) {
        quote.repeat(3)
    } else {
        quote.to_owned()
    };
    let inside = text.get(quote.len()..)?;
    let mut word = String::new();
    let mut letters = inside.char_indices();
    while let Some((at, letter)) = letters.next() {
        if inside[at..].starts_with(&quote) {
            return Some((word, &inside[at + quote.len()..]));
        }
        match letter {
            '\\' => word.extend(letters.next().map(|(_, letter)| letter)),
            '\n' if quote.len() == 1 => return None,
            letter => word.push(letter),
        }
    }
    None
}

/// What is inside of the brackets that an expression begins and ends with.
pub(super) fn inside(expression: &str) -> Option<&str> {
    if !expression.starts_with(['(', '[']) {
        return None;
    }
    let mut letters = outside(expression);
    let (end, ..) =
        letters.find(|(_, letter, depth)| *depth == 1 && [')', ']', '}'].contains(letter))?;
    let after = skip_space(&expression[end + 1..]);
    after.is_empty().then(|| &expression[1..end])
}

/// The parts before and after the first `operator` that stands outside of brackets, texts and comments.
pub(super) fn split<'t>(expression: &'t str, operator: &str) -> Option<(&'t str, &'t str)> {
    let mut letters = outside(expression);
    let (at, ..) =
        letters.find(|(at, _, depth)| *depth == 0 && expression[*at..].starts_with(operator))?;
    Some((&expression[..at], &expression[at + operator.len()..]))
}

/// The name that a text begins with; empty where it begins with none.
pub(super) fn word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    &text[..end.unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_and_operators_are_seen_outside_of_texts() {
        assert_eq!(inside("('a)', [b])"), Some("'a)', [b]"));
        assert_eq!(inside("[  # ]\n'a'] # b"), Some("  # ]\n'a'"));
        for open in ["(a) or (b)", "('a)", "(a", "a", "()x"] {
            assert_eq!(inside(open), None, "{open}");
        }
        let (before, after) = split("f(a or b) or ' or ' or c", " or ").unwrap();
        assert_eq!((before, after), ("f(a or b)", "' or ' or c"));
        assert_eq!(split("' or '", " or "), None);
        assert_eq!(split("a  # b or c", " or "), None);
        assert_eq!(word("session.run"), "session");
        assert_eq!(word("'a'"), "");
    }

    #[test]
    fn arguments_end_where_no_comment_and_no_bracket_is() {
        for (text, expected) in [
            ("'a'  # don't, (\n, b)", ("'a'  # don't, (\n", " b)", false)),
            ("[a, (b)], c)", ("[a, (b)]", " c)", false)),
            ("a \\\n b) c", ("a \\\n b", "", true)),
            ("é, 'b", ("é", " 'b", false)),
            (" 'b", (" 'b", "", true)),
        ] {
            assert_eq!(argument(text), expected, "{text}");
        }
    }
}
