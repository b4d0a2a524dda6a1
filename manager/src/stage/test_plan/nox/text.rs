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

/// The text of the next argument, what follows it, and whether it was the last.
pub(super) fn argument(text: &str) -> (&str, &str, bool) {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(letter) = text[at..].chars().next() {
        match letter {
            '"' | '\'' => {
                let Some((_, after)) = quoted(&text[at..]) else {
                    return (text, "", true);
                };
                at = text.len() - after.len();
                continue;
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => return (&text[..at], "", true),
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => return (&text[..at], &text[at + 1..], false),
            _ => {}
        }
        at += letter.len_utf8();
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
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(letter) = expression[at..].chars().next() {
        match letter {
            '"' | '\'' => {
                let (_, after) = quoted(&expression[at..])?;
                at = expression.len() - after.len();
                continue;
            }
            '#' => {
                let comment = &expression[at..];
                at += comment.find('\n').unwrap_or(comment.len());
                continue;
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    let after = skip_space(&expression[at + 1..]);
                    return after.is_empty().then(|| &expression[1..at]);
                }
            }
            _ => {}
        }
        at += letter.len_utf8();
    }
    None
}

/// The parts before and after the first `operator` that stands outside of brackets and texts.
pub(super) fn split<'t>(expression: &'t str, operator: &str) -> Option<(&'t str, &'t str)> {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(letter) = expression[at..].chars().next() {
        match letter {
            '"' | '\'' => {
                let (_, after) = quoted(&expression[at..])?;
                at = expression.len() - after.len();
                continue;
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ if depth == 0 && expression[at..].starts_with(operator) => {
                return Some((&expression[..at], &expression[at + operator.len()..]));
            }
            _ => {}
        }
        at += letter.len_utf8();
    }
    None
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
        assert_eq!(word("session.run"), "session");
        assert_eq!(word("'a'"), "");
    }
}
