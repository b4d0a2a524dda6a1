//! The matrix as a table in Markdown.

use std::fmt::Write as _;

use super::{Cell, Seen, known};

/// A line for each action, its roads by what is on record.
#[must_use]
pub fn table(cells: &[Cell]) -> String {
    let mut text =
        String::from("| action | on record | without | not on record |\n|---|---|---|---|\n");
    let mut done: Vec<&str> = vec![];
    for Cell { action, .. } in cells {
        if done.contains(&action.as_str()) {
            continue;
        }
        done.push(action);
        let mut columns = [vec![], vec![], vec![]];
        for cell in cells.iter().filter(|cell| cell.action == *action) {
            let (column, words) = entry(cell);
            columns[column].push(words);
        }
        let [right, without, missing] = columns.map(|roads| roads.join(", "));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {action} | {right} | {without} | {missing} |");
    }
    text
}

/// In which column a cell stands, and how.
fn entry(cell: &Cell) -> (usize, String) {
    let (road, reason) = (&cell.road, known::reason(cell));
    let lacking = known::lacking(cell);
    match cell.seen {
        Seen::Right => (0, road.clone()),
        Seen::Differs(_) => (1, format!("{road} ({lacking}: {reason})")),
        Seen::Events(0) => (2, format!("{road} ({reason})")),
        Seen::Events(_) => (2, format!("{road} ({lacking})")),
    }
}
