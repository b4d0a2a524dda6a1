//! Strings from packages and indexes, made fit to be shown.

/// `text` with control and direction-changing characters escaped, cut after `limit` characters.
pub(crate) fn printable(text: &str, limit: usize) -> String {
    let mut shown = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == limit {
            shown.push('…');
            break;
        }
        let reorders = matches!(character, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || reorders {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Like [`printable`], but keeps line ends: for the output of a program.
pub(crate) fn printable_lines(text: &str, limit: usize) -> String {
    let mut left = limit;
    let mut shown = Vec::new();
    for line in text.lines() {
        if left == 0 {
            break;
        }
        let line = printable(line, left);
        left = left.saturating_sub(line.chars().count() + 1);
        shown.push(line);
    }
    shown.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_escapes_do_not_survive() {
        assert_eq!(
            printable("a\x1b[2Jb\n\u{202e}", 80),
            "a\\u{1b}[2Jb\\n\\u{202e}"
        );
        assert_eq!(printable("abcdef", 3), "abc…");
        assert_eq!(printable_lines("a\nb\x07", 80), "a\nb\\u{7}");
    }
}
