//! The plan as a picture, before it runs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::data::Kind;
use crate::plan::Plan;
use crate::task::{Need, Place, Task};

/// One line per task, in order: where it runs, what it needs, what it provides.
#[must_use]
pub fn text(plan: &Plan) -> String {
    let width = |of: &dyn Fn(&Task) -> usize| plan.tasks().iter().map(of).max().unwrap_or(0);
    let names = width(&|task| task.name.chars().count());
    let provided = width(&|task| list(&task.provides).chars().count());
    let mut out = String::new();
    for task in plan.tasks() {
        let needs: Vec<String> = task.needs.iter().map(need).collect();
        let place = match task.place {
            Place::Host => "host",
            Place::Vm => "VM",
        };
        let from = if needs.is_empty() {
            String::new()
        } else {
            format!("← {}", needs.join(", "))
        };
        let line = format!(
            "{:<names$}  {place:<4}  {:<provided$}  {from}",
            task.name,
            list(&task.provides),
        );
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// For Graphviz.
#[must_use]
pub fn dot(plan: &Plan) -> String {
    let mut out = String::from("digraph plan {\n  rankdir=LR;\n  node [shape=box];\n");
    for task in plan.tasks() {
        let style = match task.place {
            Place::Host => "",
            Place::Vm => " [style=rounded]",
        };
        line(&mut out, &format!("  {:?}{style};", task.name));
    }
    for (from, to, kind, certain) in arrows(plan) {
        let style = if certain { "" } else { ", style=dashed" };
        let label = kind.as_str();
        line(
            &mut out,
            &format!("  {from:?} -> {to:?} [label={label:?}{style}];"),
        );
    }
    out.push_str("}\n");
    out
}

/// For Mermaid.
#[must_use]
pub fn mermaid(plan: &Plan) -> String {
    let id = |name: &str| name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let mut out = String::from("flowchart LR\n");
    for task in plan.tasks() {
        let name = &task.name;
        let node = match task.place {
            Place::Host => format!("{}[\"{name}\"]", id(name)),
            Place::Vm => format!("{}([\"{name}\"])", id(name)),
        };
        line(&mut out, &format!("  {node}"));
    }
    for (from, to, kind, certain) in arrows(plan) {
        let arrow = if certain { "-->" } else { "-.->" };
        line(
            &mut out,
            &format!("  {} {arrow}|{kind}| {}", id(from), id(to)),
        );
    }
    out
}

/// For programs, `pyti.plan/1`.
#[must_use]
pub fn json(plan: &Plan) -> Value {
    let tasks: Vec<Value> = plan
        .tasks()
        .iter()
        .map(|task| {
            let needs: Vec<Value> = task
                .needs
                .iter()
                .map(|need| match need {
                    Need::All(kind) => json!({"all": kind}),
                    Need::Optional(kind) => json!({"optional": kind}),
                    Need::Each(pattern) => json!({"each": pattern}),
                })
                .collect();
            json!({
                "task": task.name,
                "place": task.place,
                "needs": needs,
                "provides": task.provides,
            })
        })
        .collect();
    json!({"schema": "pyti.plan/1", "goals": plan.goals(), "tasks": tasks})
}

/// From provider to needer, with the datum and whether it must be there.
fn arrows(plan: &Plan) -> Vec<(&str, &str, Kind, bool)> {
    let name = |at: usize| plan.tasks()[at].name.as_str();
    (0..plan.tasks().len())
        .flat_map(|to| {
            plan.edges(to).into_iter().map(move |(from, kind)| {
                let certain = plan.tasks()[to].needs.contains(&Need::All(kind.clone()));
                (name(from), name(to), kind, certain)
            })
        })
        .collect()
}

fn need(need: &Need) -> String {
    match need {
        Need::All(kind) => kind.to_string(),
        Need::Optional(kind) => format!("{kind}?"),
        Need::Each(pattern) => format!("each {pattern}"),
    }
}

fn list(kinds: &[Kind]) -> String {
    let kinds: Vec<&str> = kinds.iter().map(Kind::as_str).collect();
    kinds.join(", ")
}

fn line(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{text}");
}
