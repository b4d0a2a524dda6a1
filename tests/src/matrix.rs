//! The matrix of actions: the programs `programs/matrix_*.c` do every action that the probes record
//! through every road to it that is known here for it, in a clone, and say what they did; the record is
//! held against that.

mod compare;
mod known;
mod said;
mod table;

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use pyti_analyzer::schema::kind_name;
use pyti_trace::event::{Event, Kind};
use pyti_trace::wire::StageSpec;

use self::known::KNOWN;
use self::said::{Marks, Said};
pub use self::table::table;
use crate::guest;

/// What the programs have in common, beside what all programs of the guest have.
const COMMON: &str = include_str!("../programs/matrix.h");
/// By what they do.
const PROGRAMS: [(&str, &str); 5] = [
    ("matrix_files", include_str!("../programs/matrix_files.c")),
    ("matrix_rings", include_str!("../programs/matrix_rings.c")),
    (
        "matrix_processes",
        include_str!("../programs/matrix_processes.c"),
    ),
    (
        "matrix_network",
        include_str!("../programs/matrix_network.c"),
    ),
    (
        "matrix_privilege",
        include_str!("../programs/matrix_privilege.c"),
    ),
];

/// One action by one road.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The action, named after the kind of event, with a word for how it fails.
    pub action: String,
    /// The road.
    pub road: String,
    /// What is on record.
    pub seen: Seen,
}

/// What is on record of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// One event, or as many as the program said, with everything else that it said.
    Right,
    /// The same, with these fields missing or wrong.
    Differs(Vec<Difference>),
    /// So many events instead.
    Events(usize),
}

/// A field of an event that is not as the program said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its name.
    pub field: String,
    /// What the program said.
    pub expected: String,
    /// What is on record, if anything.
    pub recorded: Option<String>,
}

/// Runs the programs in a clone and compares.
///
/// # Errors
/// There is no machine, or a program did not come to its end, or is not on record.
pub async fn run() -> Result<Vec<Cell>> {
    let ran = guest::run(&stage()?).await?;
    cells_of(&ran.said, &ran.events)
}

/// The stage that compiles the programs and runs them.
///
/// # Errors
/// The host has no entropy.
pub fn stage() -> Result<StageSpec> {
    let command: Vec<String> = PROGRAMS
        .iter()
        .map(|(name, _)| format!("/tmp/run-{name}"))
        .collect();
    let mut spec = guest::stage(&PROGRAMS, &command.join(" && "))?;
    let header = format!("{}/matrix.h", pyti::order::HOME);
    spec.files.push((header, COMMON.to_owned()));
    Ok(spec)
}

/// What is on record of what the programs said.
///
/// # Errors
/// A program did not come to its end, or is not on record.
pub fn cells_of(text: &str, events: &[Event]) -> Result<Vec<Cell>> {
    let marks = Marks::of(events);
    let cells = text
        .lines()
        .map(|line| {
            let said = Said::parse(line).with_context(|| format!("unreadable line {line:?}"))?;
            let (begin, end) = marks
                .of_cell(said.cell)
                .with_context(|| format!("{} by {} is not marked", said.action, said.road))?;
            let mut found: Vec<&Event> = events
                .iter()
                .filter(|event| begin < event.time_ns && event.time_ns < end)
                .filter(|event| !said::is_mark(event) && is_of(&said, event))
                .collect();
            found.sort_by_key(|event| event.time_ns);
            let seen = if found.len() == said.events() {
                let differences = compare::all_differences(&said, &found, &marks);
                match differences.is_empty() {
                    true => Seen::Right,
                    false => Seen::Differs(differences),
                }
            } else {
                Seen::Events(found.len())
            };
            Ok(Cell {
                action: said.action.to_owned(),
                road: said.road.to_owned(),
                seen,
            })
        })
        .collect::<Result<Vec<Cell>>>()?;
    ensure!(!cells.is_empty(), "the programs said nothing");
    Ok(cells)
}

/// Whether an event is of the cell's kind. Of what touches the watcher one call may be several things:
/// a mount, and the capability that it was refused for.
fn is_of(said: &Said<'_>, event: &Event) -> bool {
    let kind = said.action.split('-').next().unwrap_or_default();
    kind_name(event.kind) == kind
        && (event.kind != Kind::Tamper || event.asked.as_deref() == said.field("asked"))
}

/// The programs do more than so many actions.
const LEAST: usize = 300;

/// Cells that are not on record as they should be and that nobody has explained; explained ones that
/// are, or are in another way; explanations of no cell; cells that stand there twice; and that there are
/// too few, where a program stopped early.
#[must_use]
pub fn unexpected(cells: &[Cell]) -> Vec<String> {
    let mut times: HashMap<(&str, &str), usize> = HashMap::new();
    for cell in cells {
        *times
            .entry((cell.action.as_str(), cell.road.as_str()))
            .or_default() += 1;
    }
    let wrong = cells
        .iter()
        .filter(|cell| known::lacking(cell) != known::explained(cell))
        .map(|cell| format!("{} by {}: {:?}", cell.action, cell.road, cell.seen));
    let idle = KNOWN
        .iter()
        .filter(|known| !times.contains_key(&(known.action, known.road)))
        .map(|known| {
            format!(
                "{} by {}: explained, but not done",
                known.action, known.road
            )
        });
    let doubled = times
        .iter()
        .filter(|(_, times)| **times > 1)
        .map(|((action, road), times)| format!("{action} by {road}: {times} cells"));
    let few = (cells.len() <= LEAST).then(|| format!("only {} cells", cells.len()));
    wrong.chain(idle).chain(doubled).chain(few).collect()
}
