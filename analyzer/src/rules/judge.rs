//! From what rules saw to findings, and to rules that could not decide.

use std::collections::{BTreeMap, HashMap, HashSet};

use pyti_trace::event::{Event, Family, ProcessKey};

use super::engine::{Outcome, run};
use super::rule::{Detection, Rule};
use super::template::Captures;
use super::value::View;
use crate::facts::{Loss, StageFacts, family_name};
use crate::origin::Origins;
use crate::report::{Evidence, Finding, ProofProcess, Undecided, describe, place};

/// Findings of one rule in one stage; what is beyond goes into the last one's count.
const MAX_FINDINGS: usize = 10;
/// Events shown for a finding.
const MAX_EVIDENCE: usize = 20;
/// Processes shown for a finding.
const MAX_PROCESSES: usize = 24;
/// Characters kept of one argument, and arguments kept.
const MAX_ARGUMENT: usize = 200;
const MAX_ARGUMENTS: usize = 32;

/// Judges one stage: what fired, and which rules could not decide.
pub fn judge_stage(
    rules: &[Rule],
    facts: &StageFacts,
    view: &View<'_>,
    losses: &[Loss; 6],
    origins: &Origins,
    today: &str,
) -> (Vec<Finding>, Vec<Undecided>) {
    let kind = facts.kind();
    let rules: Vec<&Rule> = rules.iter().filter(|rule| rule.is_for(kind)).collect();
    let outcomes = run(&rules, view, today);
    let mut findings = Vec::new();
    let mut undecided = Vec::new();
    for (rule, outcome) in rules.into_iter().zip(outcomes) {
        if !outcome.hits.is_empty() {
            findings.extend(findings_of(rule, &outcome, facts, view, origins));
        } else if let Some(reason) = why_undecided(rule, &outcome, losses, view) {
            undecided.push(Undecided {
                rule: rule.id.clone(),
                severity: rule.severity,
                stage: facts.name.clone(),
                reason,
            });
        }
    }
    (findings, undecided)
}

fn why_undecided(
    rule: &Rule,
    outcome: &Outcome,
    losses: &[Loss; 6],
    view: &View<'_>,
) -> Option<String> {
    if outcome.unknown > 0 {
        let example = outcome
            .first_unknown
            .map(|number| describe(view.event(number)))
            .unwrap_or_default();
        return Some(format!(
            "what it needs could not be read in {} event{}, first: {example}",
            outcome.unknown,
            if outcome.unknown == 1 { "" } else { "s" }
        ));
    }
    if outcome.overflowed {
        return Some("there was more to keep in mind than its limits allow".to_owned());
    }
    let lost: Vec<&str> = Family::ALL
        .into_iter()
        .zip(losses)
        .filter(|(family, loss)| rule.families().contains(family) && loss.lacks())
        .map(|(family, _)| family_name(family))
        .collect();
    (!lost.is_empty()).then(|| format!("{} events were lost", lost.join(" and ")))
}

/// Hits of one detection by one process.
struct Group {
    detection: usize,
    captures: Captures,
    /// Their places.
    events: Vec<usize>,
    clauses: Vec<String>,
    count: u64,
    /// The detection and the places of the last one.
    last: Option<(usize, Vec<usize>)>,
}

fn findings_of(
    rule: &Rule,
    outcome: &Outcome,
    facts: &StageFacts,
    view: &View<'_>,
    origins: &Origins,
) -> Vec<Finding> {
    let mut groups: Vec<Group> = Vec::new();
    let mut by_who: HashMap<(usize, ProcessKey), usize> = HashMap::new();
    for hit in &outcome.hits {
        let Some((detection, template)) = rule.detections.get(hit.detection) else {
            continue;
        };
        let number = *by_who.entry((hit.detection, hit.who)).or_insert_with(|| {
            if groups.len() < MAX_FINDINGS {
                groups.push(Group {
                    detection: hit.detection,
                    captures: Captures::new(),
                    events: Vec::new(),
                    clauses: Vec::new(),
                    count: 0,
                    last: None,
                });
            }
            groups.len() - 1
        });
        let group = &mut groups[number];
        let counted = matches!(detection, Detection::Count { .. });
        let places = hit.events.iter().map(|number| view.place(*number));
        let done = Some((hit.detection, places.collect::<Vec<_>>()));
        group.count += match counted {
            true => hit.events.len() as u64,
            // What is one seen from either of two names that change places was done once.
            false => u64::from(group.last != done),
        };
        group.last = done;
        // The last group may hold hits of another detection when it is the one that takes the rest.
        if group.detection == hit.detection {
            if counted {
                for index in &hit.events {
                    template.collect(view, std::slice::from_ref(index), &mut group.captures);
                }
            } else {
                template.collect(view, &hit.events, &mut group.captures);
            }
        }
        if group.events.len() < MAX_EVIDENCE {
            for (number, index) in hit.events.iter().enumerate() {
                let step = match detection {
                    Detection::Match(step) | Detection::Count { step, .. } => Some(step),
                    Detection::Sequence { steps, .. } => steps.get(number),
                };
                let before = if counted {
                    &[][..]
                } else {
                    &hit.events[..number]
                };
                if let Some(step) = step {
                    step.condition
                        .held(view, *index, before, &mut group.clauses);
                }
                let place = view.place(*index);
                if group.events.len() < MAX_EVIDENCE && !group.events.contains(&place) {
                    group.events.push(place);
                }
            }
        }
    }
    groups
        .into_iter()
        .map(|group| finding(rule, group, facts, view, origins))
        .collect()
}

fn finding(
    rule: &Rule,
    mut group: Group,
    facts: &StageFacts,
    view: &View<'_>,
    origins: &Origins,
) -> Finding {
    let began_ns = |index: &usize| view.events.get(*index).map(Event::began_ns);
    group.events.sort_by_key(|index| (began_ns(index), *index));
    let summary = rule
        .detections
        .get(group.detection)
        .map(|(_, template)| template.render(&group.captures, group.count))
        .unwrap_or_default();
    let evidence = group
        .events
        .iter()
        .filter_map(|index| {
            let event = view.events.get(*index)?;
            Some(Evidence {
                index: *index,
                time_ns: event.time_ns.saturating_sub(facts.started_ns),
                since_ns: event
                    .since_ns
                    .map(|_| event.began_ns().saturating_sub(facts.started_ns)),
                kind: event.kind,
                process: event.process,
                name: view.doer(event),
                text: describe(event),
                origin: origins.event(*index),
                python: origins.frame(event).map(place),
            })
        })
        .collect();
    Finding {
        rule: rule.id.clone(),
        severity: rule.severity,
        confidence: rule.confidence,
        attack: rule.attack.clone(),
        stage: facts.name.clone(),
        summary,
        count: group.count,
        captures: group
            .captures
            .into_iter()
            .map(|(name, (values, _))| (name, values))
            .collect::<BTreeMap<_, _>>(),
        clauses: group.clauses,
        processes: proof_processes(&group.events, view),
        evidence,
    }
}

/// The doers of these events and their ancestors, each after its parent.
fn proof_processes(events: &[usize], view: &View<'_>) -> Vec<ProofProcess> {
    let mut out: Vec<ProofProcess> = Vec::new();
    let mut seen: HashSet<ProcessKey> = HashSet::new();
    for event in events.iter().filter_map(|index| view.events.get(*index)) {
        let mut chain: Vec<ProcessKey> = view
            .tree
            .ancestors(event.process)
            .map(|process| process.key)
            .collect();
        chain.reverse();
        chain.push(event.process);
        for (depth, key) in chain.into_iter().enumerate() {
            if out.len() >= MAX_PROCESSES || !seen.insert(key) {
                continue;
            }
            // A process is told by the program it ran when it did this, its ancestors by theirs.
            let then_ns = event.began_ns().saturating_add(1);
            let image = view.tree.image(key, then_ns);
            let line = ProofProcess {
                process: key,
                depth,
                name: view.tree.name(key, then_ns),
                argv: image
                    .and_then(|image| image.argv.as_deref())
                    .unwrap_or_default()
                    .iter()
                    .take(MAX_ARGUMENTS)
                    .map(|argument| argument.chars().take(MAX_ARGUMENT).collect())
                    .collect(),
            };
            // After the last one of its parent's subtree.
            let parent = view.tree.get(key).and_then(|process| process.parent);
            let place = out
                .iter()
                .position(|process| Some(process.process) == parent);
            match place {
                Some(parent) => {
                    let end = out[parent + 1..]
                        .iter()
                        .position(|process| process.depth <= out[parent].depth)
                        .map_or(out.len(), |offset| parent + 1 + offset);
                    out.insert(end, line);
                }
                None => out.push(line),
            }
        }
    }
    out
}
