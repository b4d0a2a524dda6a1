//! Lines of a report: wrapped, escaped, painted.

use super::Style;
use super::grid::Grid;
use crate::text::escape;

/// ANSI colours, `\x1b[..m`.
pub(super) const BOLD: &str = "1";
pub(super) const DIM: &str = "2";
pub(super) const RED: &str = "1;31";
pub(super) const YELLOW: &str = "1;33";
pub(super) const GREEN: &str = "1;32";
pub(super) const BLUE: &str = "1;34";

/// A line is never made narrower.
const LEAST: usize = 20;

/// What is written so far.
pub(super) struct Page {
    pub(super) out: String,
    pub(super) style: Style,
}

impl Page {
    /// An empty one.
    pub(super) fn new(style: Style) -> Self {
        Self {
            out: String::new(),
            style,
        }
    }

    /// Columns of a line.
    pub(super) fn width(&self) -> usize {
        usize::from(self.style.width)
    }

    /// A line that is escaped already.
    pub(super) fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    /// In this colour, where colours are wanted.
    pub(super) fn paint(&self, colour: &str, text: &str) -> String {
        if self.style.colour {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// `text`, escaped, wrapped at blanks, every line after `indent` blanks.
    pub(super) fn paragraph(&mut self, indent: usize, bullet: &str, text: &str) {
        self.painted(indent, bullet, text, None);
    }

    /// A paragraph in a colour.
    pub(super) fn painted(
        &mut self,
        indent: usize,
        bullet: &str,
        text: &str,
        colour: Option<&str>,
    ) {
        let deep = indent + bullet.chars().count();
        let mut lead = format!("{}{bullet}", " ".repeat(indent));
        for line in wrap(&escape(text), self.width().saturating_sub(deep)) {
            let line = match colour {
                Some(colour) => self.paint(colour, &line),
                None => line,
            };
            self.line(&format!("{lead}{line}"));
            lead = " ".repeat(deep);
        }
    }

    /// The title of a section.
    pub(super) fn title(&mut self, title: &str) {
        let title = self.paint(BOLD, title);
        self.line("");
        self.line(&title);
    }

    /// A section of sentences.
    pub(super) fn list(&mut self, title: &str, items: &[String]) {
        self.title(title);
        for item in items {
            self.paragraph(2, "• ", item);
        }
    }

    /// A table.
    pub(super) fn grid(&mut self, grid: Grid) {
        let text = grid.render(self.style.width);
        self.out.push_str(&text);
    }
}

/// The lines of `text`, wrapped at blanks; a word longer than a line is broken where the line ends.
pub(super) fn wrap(text: &str, room: usize) -> Vec<String> {
    let room = room.max(LEAST);
    let mut lines = vec![];
    let mut line = String::new();
    // Characters of the line.
    let mut long = 0;
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        if long > 0 && long + 1 + word.len() > room {
            lines.push(std::mem::take(&mut line));
            long = 0;
        }
        if long > 0 {
            line.push(' ');
            long += 1;
        }
        while word.len() > room {
            lines.push(word.drain(..room).collect());
        }
        long += word.len();
        line.extend(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn words_stay_whole_where_they_fit() {
        let lines = wrap("a word and abcdefghijklmnopqrstuvwxyz the rest", 20);
        assert_eq!(
            lines,
            ["a word and", "abcdefghijklmnopqrst", "uvwxyz the rest"]
        );
        assert_eq!(wrap("", 20), [""]);
    }
}
