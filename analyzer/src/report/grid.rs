//! Tables that keep words and numbers whole in a narrow terminal.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table};

use super::page::wrap;

/// Blanks between two columns.
const GAP: usize = 2;
/// Text that wraps wants as many columns, or stands below its row.
const TEXT: usize = 32;

/// A table. Its cells are escaped already. Where there is no room for all of it, its title line takes
/// more lines, then spare columns are left out, and then what is left of a row stands below its first
/// cell.
#[derive(Debug, Default)]
pub struct Grid {
    /// Blanks before each line.
    pub indent: usize,
    /// The title line, if any.
    pub header: Vec<String>,
    /// The rows, all as wide as the title line.
    pub rows: Vec<Vec<String>>,
    /// Columns that are aligned to the right.
    pub right: &'static [usize],
    /// Columns that may be left out, the first to go first.
    pub spare: &'static [usize],
    /// The last column is text, which wraps.
    pub text: bool,
}

impl Grid {
    /// A table with this title line.
    #[must_use]
    pub fn titled(titles: &[&str]) -> Self {
        Self {
            header: titles.iter().map(|&title| title.to_owned()).collect(),
            ..Self::default()
        }
    }

    /// The table in lines of so many columns, each with its end.
    #[must_use]
    pub fn render(mut self, width: u16) -> String {
        let columns = self.rows.first().map_or(self.header.len(), Vec::len);
        if columns == 0 {
            return String::new();
        }
        let room = usize::from(width).saturating_sub(self.indent);
        let mut kept: Vec<usize> = (0..columns).collect();
        let fits = |grid: &Self, kept: &[usize], whole: bool| {
            let text = if grid.text { columns - 1 } else { columns };
            let widths = kept.iter().map(|column| match grid.width(*column, whole) {
                wide if *column == text => wide.min(TEXT),
                wide => wide,
            });
            widths.sum::<usize>() + GAP * kept.len().saturating_sub(1) <= room
        };
        let whole = fits(&self, &kept, true);
        let mut spare = self.spare.iter();
        while !fits(&self, &kept, whole) {
            match spare.next() {
                Some(column) => kept.retain(|other| other != column),
                None if self.text => return self.with_text_below(&kept, width),
                None => return self.below(width),
            }
        }
        let split = |title: &String| match whole {
            true => title.clone(),
            false => title.replace(' ', "\n"),
        };
        let header: Vec<String> = self.header.iter().map(split).collect();
        let rows = std::mem::take(&mut self.rows);
        let text = self.text.then_some(columns - 1);
        let lines = self.draw(header, rows, &kept, text, room);
        self.indented(lines.iter().map(String::as_str))
    }

    /// Columns that a column takes, its title in one line or with each word on its own.
    fn width(&self, column: usize, whole: bool) -> usize {
        let title = self.header.get(column).map_or(0, |title| {
            let words = title.split(|c| !whole && c == ' ');
            words.map(count).max().unwrap_or(0)
        });
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| count(cell)).max().unwrap_or(0).max(title)
    }

    /// Lines without indentation.
    fn draw(
        &self,
        header: Vec<String>,
        rows: Vec<Vec<String>>,
        kept: &[usize],
        text: Option<usize>,
        room: usize,
    ) -> Vec<String> {
        let mut table = Table::new();
        table
            .load_style(NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(u16::try_from(room + GAP).unwrap_or(u16::MAX));
        let chosen = |row: Vec<String>| {
            let mut row: Vec<Option<String>> = row.into_iter().map(Some).collect();
            let cells = kept
                .iter()
                .map(|column| row.get_mut(*column).and_then(Option::take));
            cells.map(Option::unwrap_or_default).collect::<Vec<_>>()
        };
        if !header.is_empty() {
            table.set_header(chosen(header));
        }
        for row in rows {
            table.add_row(chosen(row));
        }
        for (place, column) in kept.iter().enumerate() {
            let Some(drawn) = table.column_mut(place) else {
                continue;
            };
            drawn.set_padding((0, GAP as u16));
            if Some(*column) != text {
                drawn.set_constraint(ColumnConstraint::ContentWidth);
            }
            if self.right.contains(column) {
                drawn.set_cell_alignment(CellAlignment::Right);
            }
        }
        let drawn = table.to_string();
        drawn.lines().map(str::to_owned).collect()
    }

    /// Every row's text on lines of its own, unless all of it fits beside its row.
    fn with_text_below(mut self, kept: &[usize], width: u16) -> String {
        let mut rows = std::mem::take(&mut self.rows);
        let texts: Vec<String> = rows.iter_mut().filter_map(Vec::pop).collect();
        let kept = &kept[..kept.len().saturating_sub(1)];
        // Longer than the line where even this is too much.
        let lines = self.draw(vec![], rows, kept, None, usize::from(u16::MAX) - GAP);
        let deeper = self.indent + 4;
        let mut out = String::new();
        for (line, text) in lines.iter().zip(texts) {
            if self.indent + count(line) + count(&text) <= usize::from(width) {
                out.push_str(&self.indented(std::iter::once(format!("{line}{text}").as_str())));
                continue;
            }
            if !line.trim().is_empty() {
                out.push_str(&self.indented(std::iter::once(line.as_str())));
            }
            for part in wrap(&text, usize::from(width).saturating_sub(deeper)) {
                out.push_str(&format!("{}{part}\n", " ".repeat(deeper)));
            }
        }
        out
    }

    /// Every row as its first cell and, below, what the others are and hold.
    fn below(self, width: u16) -> String {
        let deeper = self.indent + 4;
        let mut out = String::new();
        for row in &self.rows {
            let mut cells = row.iter();
            let first = cells.next().map_or("", String::as_str);
            out.push_str(&self.indented(std::iter::once(first)));
            let titles = self.header.iter().skip(1);
            let pairs: Vec<String> = titles
                .zip(cells)
                .map(|(title, cell)| format!("{title} {cell}"))
                .collect();
            // A line ends between two of them, so that no number parts with its unit.
            let mut line = String::new();
            for pair in pairs {
                let joint = if line.is_empty() { "" } else { ", " };
                let long = deeper + count(&line) + joint.len() + count(&pair) + ",".len();
                if !line.is_empty() && long > usize::from(width) {
                    out.push_str(&format!("{}{line},\n", " ".repeat(deeper)));
                    line = pair;
                } else {
                    line = format!("{line}{joint}{pair}");
                }
            }
            out.push_str(&format!("{}{line}\n", " ".repeat(deeper)));
        }
        out
    }

    fn indented<'l>(&self, lines: impl Iterator<Item = &'l str>) -> String {
        let lead = " ".repeat(self.indent);
        lines
            .map(|line| format!("{}\n", format!("{lead}{line}").trim_end()))
            .collect()
    }
}

fn count(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let row =
            |stage: &str, peak: &str, left: &str| [stage, peak, left].map(str::to_owned).to_vec();
        Grid {
            indent: 2,
            rows: vec![
                row("quality-pyflakes", "66.4 MiB", "0"),
                row("install", "167.0 MiB", "12"),
            ],
            right: &[1, 2],
            spare: &[2],
            ..Grid::titled(&["stage", "peak memory", "left behind"])
        }
    }

    #[test]
    fn no_number_is_ever_broken() {
        assert_eq!(
            grid().render(60),
            "  stage             peak memory  left behind\n\
             \x20 quality-pyflakes     66.4 MiB            0\n\
             \x20 install             167.0 MiB           12\n"
        );
        assert_eq!(
            grid().render(40),
            "  stage                  peak    left\n\
             \x20                      memory  behind\n\
             \x20 quality-pyflakes   66.4 MiB       0\n\
             \x20 install           167.0 MiB      12\n"
        );
        assert_eq!(
            grid().render(30),
            "  stage                  peak\n\
             \x20                      memory\n\
             \x20 quality-pyflakes   66.4 MiB\n\
             \x20 install           167.0 MiB\n"
        );
        assert_eq!(
            grid().render(27),
            "  quality-pyflakes\n\
             \x20     peak memory 66.4 MiB,\n\
             \x20     left behind 0\n\
             \x20 install\n\
             \x20     peak memory 167.0 MiB,\n\
             \x20     left behind 12\n"
        );
    }

    #[test]
    fn text_wraps_or_stands_below() {
        let text = "no clone of the template could be started on this host";
        let grid = || Grid {
            rows: vec![
                ["metadata-2", "failed", text].map(str::to_owned).to_vec(),
                ["install", "done", "2 files"].map(str::to_owned).to_vec(),
            ],
            text: true,
            ..Grid::default()
        };
        assert_eq!(
            grid().render(60),
            "metadata-2  failed  no clone of the template could be\n\
             \x20                   started on this host\n\
             install     done    2 files\n"
        );
        assert_eq!(
            grid().render(40),
            "metadata-2  failed\n    no clone of the template could be\n    started on this host\n\
             install     done    2 files\n"
        );
    }

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(Grid::default().render(80), "");
    }
}
