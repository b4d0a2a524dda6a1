//! Paragraphs in lines of a readable length.

use std::fmt::Write as _;

/// Columns of a line.
const WIDTH: usize = 100;

/// `head` and the text after it; lines after the first begin under the text.
pub(super) fn paragraph(head: &str, text: &str) -> String {
    let indent = head.chars().count();
    let mut out = head.to_owned();
    let mut column = indent;
    for word in text.split(' ') {
        let width = word.chars().count();
        if column > indent && column + 1 + width > WIDTH {
            // Writing to a String cannot fail.
            let _ = write!(out, "\n{:indent$}", "");
            column = indent;
        } else if column > indent {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width;
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_under_its_beginning() {
        let text = paragraph("  head  ", &["twelve chars"; 10].join(", "));
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH));
        assert_eq!(text.lines().count(), 2);
        assert!(
            text.lines()
                .skip(1)
                .all(|line| line.starts_with("        "))
        );
        assert_eq!(text.matches("chars,").count(), 9);
    }
}
