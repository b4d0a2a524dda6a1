//! What this kernel refused, and what that leaves unseen, in the words of who runs a command.

use std::fmt::Write as _;

use pyti_trace_ebpf::{Attach, HOOKS, Hook, Role};
use serde::Serialize;

use super::wrap::paragraph;
use crate::event::Family;
use crate::loader::{Refused, Tracer, asked_before, kind, name};
use crate::names::family_name;

/// Columns of a reason that still has its hooks behind it, and not below.
const MAX_REASON: usize = 64;

/// Which probes are attached, and what is seen by them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Probes {
    /// Attached hooks.
    attached: Vec<String>,
    /// Refused hooks.
    #[serde(serialize_with = "refused_hooks")]
    refused: Vec<Refused>,
    /// Fields that this kernel does not have.
    missing_fields: Vec<&'static str>,
    /// What is not seen at all.
    unseen: Vec<Sight>,
    /// What is seen in part.
    seen_in_part: Vec<Sight>,
    /// What is not known of the attached hooks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) doubt: Option<&'static str>,
    /// LSMs that the kernel asks before it calls LSM probes, which do not see what those refuse. `None`: not
    /// known.
    asked_before_bpf: Option<Vec<String>>,
}

/// Something to see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Sight {
    /// The family that it is counted in.
    family: &'static str,
    /// "files opened".
    what: &'static str,
    /// What is missing of it; empty where all is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    without: Vec<&'static str>,
}

impl Probes {
    /// Those of a tracer.
    pub(super) fn of(tracer: &Tracer) -> Self {
        let probes = Self::new(
            tracer.attached().to_vec(),
            tracer.refused().to_vec(),
            tracer.missing().to_vec(),
        );
        Self {
            doubt: tracer.doubt(),
            ..probes.behind(asked_before())
        }
    }

    /// Behind these LSMs, which matter only to LSM probes.
    fn behind(self, lsms: Option<Vec<String>>) -> Self {
        let prefix = format!("{}/", kind(Attach::Lsm));
        let any = self.attached.iter().any(|name| name.starts_with(&prefix));
        Self {
            asked_before_bpf: if any { lsms } else { Some(Vec::new()) },
            ..self
        }
    }

    /// Those of a kernel that takes all.
    #[cfg(test)]
    pub(super) fn none_refused() -> Self {
        Self::new(HOOKS.iter().map(name).collect(), Vec::new(), Vec::new())
    }

    fn new(
        attached: Vec<String>,
        refused: Vec<Refused>,
        missing_fields: Vec<&'static str>,
    ) -> Self {
        let mut unseen = Vec::new();
        let mut seen_in_part = Vec::new();
        for family in Family::ALL {
            let mut done: Vec<&str> = Vec::new();
            for hook in HOOKS {
                let what = hook.subject.what;
                if hook.subject.family != family as usize || done.contains(&what) {
                    continue;
                }
                done.push(what);
                let (seen, without) = sight(what, &refused);
                let sight = Sight {
                    family: family_name(family),
                    what,
                    without,
                };
                match (seen, sight.without.is_empty()) {
                    (false, _) => unseen.push(Sight {
                        without: Vec::new(),
                        ..sight
                    }),
                    (true, false) => seen_in_part.push(sight),
                    (true, true) => {}
                }
            }
        }
        Self {
            attached,
            refused,
            missing_fields,
            unseen,
            seen_in_part,
            doubt: None,
            asked_before_bpf: Some(Vec::new()),
        }
    }

    /// What LSM probes do not see, since another LSM was asked before, and refused.
    pub(super) fn hidden(&self) -> Option<String> {
        match self.asked_before_bpf.as_deref() {
            Some([]) => None,
            Some(names) => Some(format!(
                "this kernel asks other LSMs before it calls LSM probes, which do not see what those refuse: {}",
                names.join(", ")
            )),
            None => Some(
                "whether this kernel asks other LSMs before it calls LSM probes is not known; they do not see what \
                 those refuse"
                    .to_owned(),
            ),
        }
    }

    /// The first reason of the kernel's, where nothing is attached.
    pub(super) fn blind(&self) -> Option<String> {
        let reason = self.refused.first().map(Refused::text).unwrap_or_default();
        self.attached.is_empty().then_some(reason)
    }

    /// What was refused and why, and what that leaves unseen; nothing where all is attached.
    pub(super) fn refusals(&self) -> Option<String> {
        if self.refused.is_empty() {
            return None;
        }
        let all = self.attached.len() + self.refused.len();
        // Writing to a String cannot fail.
        let mut out = String::new();
        let _ = writeln!(
            out,
            "this kernel refused {} of {all} probes",
            self.refused.len()
        );
        let mut reasons: Vec<&str> = Vec::new();
        for refused in &self.refused {
            if !reasons.contains(&refused.reason.as_str()) {
                reasons.push(&refused.reason);
            }
        }
        for reason in reasons {
            let hooks = self.hooks_refused_for(reason).join(", ");
            let head = format!("  {reason}: ");
            if head.chars().count() <= MAX_REASON {
                out += &paragraph(&head, &hooks);
            } else {
                out += &paragraph("  ", &format!("{reason}:"));
                out += &paragraph("    ", &hooks);
            }
        }
        if !self.missing_fields.is_empty() {
            out += &paragraph(
                "  some read what this kernel does not have: ",
                &self.missing_fields.join(", "),
            );
        }
        out += &self.blind_spots("  ");
        Some(out)
    }

    /// What is not seen, and what in part: paragraphs by family, `indent`ed.
    pub(super) fn blind_spots(&self, indent: &str) -> String {
        let mut out = String::new();
        for (title, sights) in [
            ("not seen", &self.unseen),
            ("seen in part", &self.seen_in_part),
        ] {
            if !sights.is_empty() {
                // Writing to a String cannot fail.
                let _ = writeln!(out, "{indent}{title}");
            }
            for family in Family::ALL.map(family_name) {
                let mut head = format!("{indent}  {family:<11}");
                for text in enumerate(sights.iter().filter(|sight| sight.family == family)) {
                    out += &paragraph(&head, &text);
                    head = " ".repeat(head.len());
                }
            }
        }
        out
    }

    /// The hooks, or "all 22 lsm" where there are no others of the kind.
    fn hooks_refused_for(&self, reason: &str) -> Vec<String> {
        let mut texts = Vec::new();
        for attach in [
            Attach::Lsm,
            Attach::Fentry,
            Attach::Fexit,
            Attach::Tracepoint,
        ] {
            let kind = kind(attach);
            let refused: Vec<String> = self
                .refused
                .iter()
                .filter(|refused| refused.hook.attach == attach && refused.reason == reason)
                .map(|refused| name(refused.hook))
                .collect();
            let prefix = format!("{kind}/");
            let attached = self.attached.iter().any(|name| name.starts_with(&prefix));
            let others = self
                .refused
                .iter()
                .any(|refused| refused.hook.attach == attach && refused.reason != reason);
            if refused.len() > 2 && !attached && !others {
                texts.push(format!("all {} {kind}", refused.len()));
            } else {
                texts.extend(refused);
            }
        }
        texts
    }
}

/// A text for each thing that is missing: "without IPv6: addresses bound; data sent".
fn enumerate<'a>(sights: impl Iterator<Item = &'a Sight>) -> Vec<String> {
    let mut texts: Vec<(&[&str], Vec<&str>)> = Vec::new();
    for Sight { what, without, .. } in sights {
        match texts.iter_mut().find(|(other, _)| other == without) {
            Some((_, whats)) => whats.push(what),
            None => texts.push((without, vec![what])),
        }
    }
    texts
        .into_iter()
        .map(
            |(without, whats)| match (without.join("; "), by_noun(&whats)) {
                (without, whats) if without.is_empty() => whats,
                (without, whats) => format!("without {without}: {whats}"),
            },
        )
        .collect()
}

/// "files opened, written; sockets made": what has the same first word stands together.
fn by_noun(whats: &[&str]) -> String {
    let mut groups: Vec<(&str, String)> = Vec::new();
    for what in whats {
        let (noun, rest) = what.split_once(' ').unwrap_or((what, ""));
        match groups.iter_mut().find(|(other, _)| *other == noun) {
            Some((_, text)) => *text = format!("{text}, {rest}"),
            None => groups.push((noun, (*what).to_owned())),
        }
    }
    let texts: Vec<String> = groups.into_iter().map(|(_, text)| text).collect();
    texts.join("; ")
}

/// Whether a subject is seen, and what is missing of it.
fn sight(what: &str, refused: &[Refused]) -> (bool, Vec<&'static str>) {
    let is_refused = |program: &str| {
        refused
            .iter()
            .any(|refused| refused.hook.program == program)
    };
    let hooks: Vec<&'static Hook> = HOOKS
        .iter()
        .filter(|hook| hook.subject.what == what)
        .collect();
    let attached = |hook: &&&Hook| !is_refused(hook.program);
    let begins = |hook: &&Hook| hook.role == Role::Begins;
    let emitted = hooks
        .iter()
        .filter(attached)
        .any(|hook| hook.role == Role::Emits);
    let begun = !hooks.iter().any(begins) || hooks.iter().filter(attached).any(begins);
    let mut without: Vec<&str> = hooks
        .iter()
        .filter(|hook| is_refused(hook.program) && !hook.gives.is_empty())
        .map(|hook| hook.gives)
        .collect();
    // A hook that begins and one that ends give the same.
    without.dedup();
    (emitted && begun, without)
}

/// A refused hook in the summary.
#[derive(Serialize)]
struct RefusedHook<'a> {
    hook: String,
    reason: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
}

fn refused_hooks<S: serde::Serializer>(refused: &[Refused], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(refused.iter().map(|refused| RefusedHook {
        hook: name(refused.hook),
        reason: &refused.reason,
        detail: &refused.detail,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said where `refuses` says for which reason a hook is refused.
    fn said(refuses: impl Fn(&Hook) -> Option<&'static str>) -> String {
        let mut attached = Vec::new();
        let mut refused: Vec<Refused> = Vec::new();
        for hook in HOOKS {
            match refuses(hook) {
                Some(reason) => refused.push(Refused {
                    hook,
                    reason: reason.to_owned(),
                    detail: String::new(),
                }),
                None => attached.push(name(hook)),
            }
        }
        let probes = Probes::new(attached, refused, Vec::new());
        assert_eq!(probes.blind().is_some(), probes.attached.is_empty());
        probes.refusals().unwrap_or_default()
    }

    const EPERM: &str = "Operation not permitted (os error 1)";

    #[test]
    fn nothing_refused_is_nothing_said() {
        assert_eq!(said(|_| None), "");
    }

    #[test]
    fn what_other_lsms_refuse_is_hidden_from_lsm_probes() {
        let hidden = |probes: Probes, names: Option<&[&str]>| {
            let names = names.map(|names| names.iter().map(ToString::to_string).collect());
            probes.behind(names).hidden()
        };
        let all = Probes::none_refused;
        assert_eq!(hidden(all(), Some(&[])), None);
        let told = hidden(all(), Some(&["landlock", "apparmor"])).unwrap();
        assert!(told.ends_with("refuse: landlock, apparmor"), "{told}");
        let told = hidden(all(), None).unwrap();
        assert!(told.contains("is not known"), "{told}");
        // Nobody is kept from seeing anything where there are no such probes.
        let fexit = || Probes::new(vec!["fexit/do_filp_open".to_owned()], vec![], vec![]);
        assert_eq!(hidden(fexit(), None), None);
        assert_eq!(hidden(fexit(), Some(&["apparmor"])), None);
        let json = serde_json::to_value(all().behind(Some(vec!["apparmor".to_owned()])));
        assert_eq!(
            json.unwrap()["asked_before_bpf"],
            serde_json::json!(["apparmor"])
        );
    }

    #[test]
    fn all_but_tracepoints_refused() {
        insta::assert_snapshot!(said(|hook| {
            (hook.attach != Attach::Tracepoint).then_some(EPERM)
        }));
    }

    #[test]
    fn lsm_refused() {
        insta::assert_snapshot!(said(|hook| (hook.attach == Attach::Lsm).then_some(EPERM)));
    }

    #[test]
    fn bpf_no_active_lsm() {
        let reason = "bpf is not among this kernel's active LSMs \
                      (lsm=lockdown,capability,landlock,yama,apparmor)";
        insta::assert_snapshot!(said(|hook| (hook.attach == Attach::Lsm).then_some(reason)));
    }

    #[test]
    fn some_functions_missing() {
        insta::assert_snapshot!(said(|hook| {
            ["do_dup2", "filp_flush", "inet6_bind", "do_renameat2"]
                .contains(&hook.to)
                .then_some("this kernel has no such hook")
        }));
    }

    #[test]
    fn what_nothing_emits_is_not_seen() {
        let text = said(|hook| hook.program.starts_with("exec_").then_some(EPERM));
        assert!(
            text.contains("not seen\n    process    programs executed"),
            "{text}"
        );
    }

    #[test]
    fn every_hook_says_what_it_gives() {
        for hook in HOOKS {
            let alone = said(|other| (other.program == hook.program).then_some(EPERM));
            let words: Vec<&str> = alone.split_whitespace().collect();
            assert!(
                words.join(" ").contains(hook.subject.what),
                "{}: {alone}",
                hook.program
            );
        }
    }
}
