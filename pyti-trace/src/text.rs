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
#[must_use]
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// JSON with every character that could drive a terminal or deceive a reader as `\uXXXX`: the same
/// value. Line ends stay, as JSON has them only between its tokens.
#[must_use]
pub fn escape_json(json: String) -> String {
    let stays = |c: char| c == '\n' || !is_deceptive(c);
    if json.chars().all(stays) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        if stays(c) {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
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
    fn json_keeps_its_value() {
        let text = "a\u{202e}b\u{9b}c\u{e0041}";
        let json = escape_json(serde_json::to_string(text).unwrap());
        assert!(json.is_ascii(), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    proptest::proptest! {
        #[test]
        fn nothing_deceptive_survives(text in ".*") {
            proptest::prop_assert!(!escape(&text).chars().any(is_deceptive));
        }
    }
}
