//! Text from outside made safe to print.

use std::fmt::Write;

/// `text` with everything escaped that could drive a terminal or deceive a reader: control
/// characters (so also ANSI escapes and line ends), bidirectional overrides and isolates,
/// zero-width and other invisible characters, line and paragraph separators.
///
/// Every text that came from a package or from the VM goes through here before it is shown.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_deceptive(c) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// `text` escaped and cut to `limit` characters, the cut marked by an ellipsis.
#[must_use]
pub fn escape_within(text: &str, limit: usize) -> String {
    // An escaped character takes at most ten; more input than `limit` characters is never shown.
    let head: String = text.chars().take(limit.saturating_add(1)).collect();
    let escaped = escape(&head);
    if escaped.chars().count() <= limit && head.len() == text.len() {
        return escaped;
    }
    let mut cut: String = escaped.chars().take(limit.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// Characters that move the cursor, change the order of what is read, or show as nothing.
/// Unicode 16, Bidi_Control and Default_Ignorable_Code_Point; interlinear annotations.
pub(crate) fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// The items as a reader would say them: `a`, `a and b`, `a, b and 3 more`.
#[must_use]
pub fn enumerate(items: &[String], more: usize) -> String {
    const SHOWN: usize = 3;
    let shown = items.len().min(SHOWN);
    let rest = items.len() - shown + more;
    let head = &items[..shown];
    match (head, rest) {
        ([], 0) => "nothing".to_owned(),
        (head, 0) => match head.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, before)) => format!("{} and {last}", before.join(", ")),
            None => String::new(),
        },
        (head, rest) => format!("{} and {rest} more", head.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_drives_a_terminal() {
        assert_eq!(escape("a\x1b[31mb"), "a\\u{1b}[31mb");
        assert_eq!(escape("x\u{9b}2J\r\n\t"), "x\\u{9b}2J\\r\\n\\t");
        assert_eq!(escape("evil\u{202e}txt.exe"), "evil\\u{202e}txt.exe");
        assert_eq!(escape("zero\u{200b}width"), "zero\\u{200b}width");
        assert_eq!(escape("naïve 文 ok"), "naïve 文 ok");
    }

    #[test]
    fn cuts_visibly() {
        assert_eq!(escape_within("abcdef", 6), "abcdef");
        assert_eq!(escape_within("abcdefg", 6), "abcde…");
        assert_eq!(escape_within("\x1b\x1b\x1b", 8).chars().count(), 8);
    }

    #[test]
    fn enumerates() {
        let items = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        assert_eq!(enumerate(&items(1), 0), "0");
        assert_eq!(enumerate(&items(2), 0), "0 and 1");
        assert_eq!(enumerate(&items(3), 0), "0, 1 and 2");
        assert_eq!(enumerate(&items(5), 2), "0, 1, 2 and 4 more");
    }

    proptest::proptest! {
        #[test]
        fn nothing_deceptive_survives(text in ".*") {
            proptest::prop_assert!(!escape(&text).chars().any(is_deceptive));
        }
    }
}
