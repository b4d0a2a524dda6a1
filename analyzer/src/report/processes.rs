//! The process tree for a reader.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use pyti_trace::event::ProcessKey;

use super::Style;
use super::time;
use crate::origin::{Origin, Origins};
use crate::text::{escape, escape_within};
use crate::tree::{Process, Tree};

/// Deeper processes stand at this depth: a fork chain may be made as long as a package likes.
const MAX_DEPTH: usize = 40;

/// The process tree: when each process started, how long it lived, how it ended, who is behind it,
/// what it ran.
#[must_use]
pub fn process_tree(tree: &Tree, origins: &Origins, started_ns: u64, style: Style) -> String {
    let children = tree.children();
    let mut out = String::from("   start    lived  end          by                 process\n");
    let mut seen = HashSet::new();
    let mut stack: Vec<Row<'_>> = Vec::new();
    let mut roots: Vec<&Process> = tree.roots().collect();
    roots.reverse();
    stack.extend(roots.into_iter().map(|process| Row {
        process,
        bars: Vec::new(),
        last: None,
    }));
    while let Some(row) = stack.pop() {
        if !seen.insert(row.process.key) {
            continue;
        }
        write_row(&mut out, &row, tree, origins, started_ns, style);
        push_children(&mut stack, &children, &row);
    }
    out
}

struct Row<'t> {
    process: &'t Process,
    /// By ancestor: it has siblings further down.
    bars: Vec<bool>,
    /// It is the last of its siblings; `None` for a root.
    last: Option<bool>,
}

fn push_children<'t>(
    stack: &mut Vec<Row<'t>>,
    children: &HashMap<ProcessKey, Vec<&'t Process>>,
    row: &Row<'t>,
) {
    let mut bars = row.bars.clone();
    if let Some(last) = row.last
        && bars.len() < MAX_DEPTH
    {
        bars.push(!last);
    }
    let own = children
        .get(&row.process.key)
        .map_or(&[][..], Vec::as_slice);
    for (number, process) in own.iter().enumerate().rev() {
        let last = Some(number + 1 == own.len());
        stack.push(Row {
            process,
            bars: bars.clone(),
            last,
        });
    }
}

fn write_row(
    out: &mut String,
    row: &Row<'_>,
    tree: &Tree,
    origins: &Origins,
    started_ns: u64,
    style: Style,
) {
    let process = row.process;
    let start = time(process.start_ns.saturating_sub(started_ns));
    let (lived, ending) = match process.end {
        Some(end) => (
            time(end.time_ns.saturating_sub(process.start_ns)),
            match (end.signal.filter(|signal| *signal != 0), end.code) {
                (Some(signal), _) => format!("signal {signal}"),
                (None, Some(code)) => format!("exit {code}"),
                (None, None) => "ended".to_owned(),
            },
        ),
        None => (String::new(), "still there".to_owned()),
    };
    let mut branch: String = row
        .bars
        .iter()
        .map(|bar| if *bar { "│  " } else { "   " })
        .collect();
    match row.last {
        Some(true) => branch.push_str("└─ "),
        Some(false) => branch.push_str("├─ "),
        None => {}
    }
    let mut programs: Vec<String> = process
        .images
        .iter()
        .map(|image| match image.argv.as_deref() {
            Some(argv) if !argv.is_empty() => escape(&argv.join(" ")),
            _ => escape(image.exe.as_deref().unwrap_or("?")),
        })
        .collect();
    if programs.is_empty() {
        programs.push(format!(
            "({})",
            escape(&tree.name(process.key, process.start_ns))
        ));
    }
    let by = origins.process(process.key).map_or("", Origin::name);
    let head = format!(
        "{start:>9} {lived:>9}  {ending:<11}  {by:<17}  {branch}{} ",
        process.key.tgid
    );
    let room = usize::from(style.width)
        .saturating_sub(head.chars().count())
        .max(24);
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{head}{}", escape_within(&programs.join(" ⇒ "), room));
}
