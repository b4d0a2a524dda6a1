//! Credentials that nobody gave: what an event's doer had of user id and capabilities, held against
//! every change of them that is on record.
//!
//! The kernel changes credentials in one place (`commit_creds`, kernel/cred.c), which is watched, and a
//! fork says what the child was given. Who has others without either has written them into the
//! kernel's memory.
//!
//! Every event has the effective user id and the effective capabilities of its doer. A change has all
//! ids and the permitted capabilities too: what is held before it must be what was given before, so that
//! who writes a saved id or a permitted capability, and then asks for what these allow, is seen as well.

use std::collections::{HashMap, HashSet};

use pyti_trace::event::{Credentials, Event, Incomplete, Kind, ProcessKey};

/// What a process was given. Its threads have credentials of their own.
#[derive(Debug, Default)]
struct Given {
    /// Effective user ids, each with effective capabilities.
    effective: HashSet<(u32, u64)>,
    /// All of them; `None`: not known yet.
    whole: Option<HashSet<Credentials>>,
}

impl Given {
    fn new(uid: u32, caps: u64, whole: Option<HashSet<Credentials>>) -> Self {
        Self {
            effective: HashSet::from([(uid, caps)]),
            whole,
        }
    }

    /// Whether a change starts from what was given; the first one tells it.
    fn explains(&mut self, old: Credentials) -> bool {
        let whole = self.whole.get_or_insert_with(|| HashSet::from([old]));
        whole.contains(&old)
    }
}

/// Of an event's doer: whether its credentials were given to nobody whom it descends from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unexplained {
    Yes,
    No,
    /// Events are missing.
    Unknown,
    /// The record is one of strace, which has no credentials before a call names them.
    NotOnRecord,
}

/// By event.
pub fn unexplained(events: &[Event]) -> Vec<Unexplained> {
    let has_none = |event: &Event| event.incomplete.contains(Incomplete::UID_UNKNOWN);
    if events.iter().any(has_none) {
        return vec![Unexplained::NotOnRecord; events.len()];
    }
    if !is_whole(events) {
        return vec![Unexplained::Unknown; events.len()];
    }
    let mut given: HashMap<ProcessKey, Given> = HashMap::new();
    events
        .iter()
        .map(|event| {
            // Of the first process nobody saw the beginning.
            let own = given
                .entry(event.process)
                .or_insert_with(|| Given::new(event.uid, event.caps, None));
            let has = (event.uid, event.caps);
            let mut explained = own.effective.contains(&has);
            let (uid, caps) = (
                event.mode.unwrap_or(event.uid),
                event.flags.unwrap_or(event.caps),
            );
            match (event.kind, event.other) {
                // What is refused gives nothing.
                (Kind::Creds, _) if event.result < 0 => {
                    if let Some(change) = event.creds.as_deref() {
                        explained &= own.explains(change.old);
                    }
                }
                (Kind::Creds, _) => {
                    own.effective.insert((uid, caps));
                    match event.creds.as_deref() {
                        Some(change) => {
                            explained &= own.explains(change.old);
                            own.whole.get_or_insert_default().insert(change.new);
                        }
                        None => own.whole = None,
                    }
                }
                // It begins with one thread, and what that was given: in a new user namespace all
                // capabilities, and what else that changes is not told.
                (Kind::Fork, Some(child)) => {
                    let whole = own.whole.clone().filter(|_| has == (uid, caps));
                    given.insert(child, Given::new(uid, caps, whole));
                }
                _ => {}
            }
            if explained {
                Unexplained::No
            } else {
                Unexplained::Yes
            }
        })
        .collect()
}

/// No number is missing among the events of any CPU.
fn is_whole(events: &[Event]) -> bool {
    let mut numbers: HashMap<u32, (u64, u64, u64)> = HashMap::new();
    for event in events {
        let (first, last, count) = numbers
            .entry(event.cpu)
            .or_insert((event.seq, event.seq, 0));
        *first = event.seq.min(*first);
        *last = event.seq.max(*last);
        *count += 1;
    }
    numbers
        .values()
        .all(|(first, last, count)| last - first < *count)
}

#[cfg(test)]
mod tests {
    use pyti_trace::event::CredentialChange;

    use super::super::changed;
    use super::Unexplained::{No, NotOnRecord, Unknown, Yes};
    use super::*;

    const ALL: u64 = 0x1ff_ffff_ffff;

    fn key(tgid: u32) -> ProcessKey {
        ProcessKey { tgid, start_ns: 1 }
    }

    fn event(seq: u64, kind: Kind, tgid: u32, uid: u32, caps: u64) -> Event {
        let mut event = Event::new(kind, key(tgid), seq);
        event.seq = seq;
        event.uid = uid;
        event.caps = caps;
        event
    }

    fn giving(mut event: Event, to: Option<u32>, uid: u32, caps: u64) -> Event {
        event.other = to.map(key);
        event.mode = Some(uid);
        event.flags = Some(caps);
        event
    }

    #[test]
    fn what_was_committed_is_explained_and_inherited() {
        let events = [
            event(0, Kind::Open, 1, 1000, 0),
            giving(event(1, Kind::Creds, 1, 1000, 0), None, 0, ALL),
            event(2, Kind::Open, 1, 0, ALL),
            giving(event(3, Kind::Fork, 1, 0, ALL), Some(2), 0, ALL),
            event(4, Kind::Open, 2, 0, ALL),
        ];
        assert_eq!(unexplained(&events), [No; 5]);
    }

    #[test]
    fn a_child_in_a_new_user_namespace_is_explained_by_its_fork() {
        let events = [
            giving(event(0, Kind::Fork, 1, 1000, 0), Some(2), 1000, ALL),
            event(1, Kind::Open, 2, 1000, ALL),
            event(2, Kind::Open, 1, 1000, ALL),
        ];
        assert_eq!(unexplained(&events), [No, No, Yes]);
    }

    #[test]
    fn a_child_does_not_have_what_its_parent_gave_up() {
        let events = [
            giving(event(0, Kind::Creds, 1, 0, ALL), None, 1000, 0),
            giving(event(1, Kind::Fork, 1, 1000, 0), Some(2), 1000, 0),
            event(2, Kind::Open, 2, 0, ALL),
        ];
        assert_eq!(unexplained(&events), [No, No, Yes]);
    }

    #[test]
    fn what_nobody_gave_is_not_explained() {
        let events = [
            giving(event(0, Kind::Fork, 1, 1000, 0), Some(2), 1000, 0),
            event(1, Kind::Open, 2, 0, ALL),
            event(2, Kind::Open, 2, 1000, 0),
        ];
        assert_eq!(unexplained(&events), [No, Yes, No]);
    }

    fn changing(seq: u64, tgid: u32, old: Credentials, new: Credentials) -> Event {
        let (uid, caps) = (old.uid.effective, old.effective);
        let event = event(seq, Kind::Creds, tgid, uid, caps);
        Event {
            creds: Some(Box::new(CredentialChange { old, new })),
            ..giving(event, None, new.uid.effective, new.effective)
        }
    }

    fn user(permitted: u64, effective: u64) -> Credentials {
        Credentials {
            permitted,
            effective,
            ..changed::user()
        }
    }

    #[test]
    fn what_a_change_starts_from_must_have_been_given() {
        let mut saved = user(0, 0);
        saved.uid.saved = 0;
        let mut group = user(0, 0);
        group.gid.effective = 0;
        let mut root = saved;
        root.uid.effective = 0;
        for (taken, then) in [
            (user(ALL, 0), user(ALL, ALL)),
            (saved, root),
            (group, user(0, 0)),
        ] {
            let events = [
                changing(0, 1, user(7, 7), user(0, 0)),
                giving(event(1, Kind::Fork, 1, 1000, 0), Some(2), 1000, 0),
                changing(2, 2, taken, then),
                event(3, Kind::Open, 2, then.uid.effective, then.effective),
                changing(4, 1, user(0, 0), user(0, 0)),
            ];
            assert_eq!(unexplained(&events), [No, No, Yes, No, No], "{taken:?}");
        }
    }

    #[test]
    fn what_is_refused_gives_nothing() {
        let refused = |seq, held| Event {
            result: -1,
            ..changing(seq, 1, held, held)
        };
        let mut root = user(ALL, ALL);
        root.uid.effective = 0;
        let events = [
            refused(0, user(0, 0)),
            event(1, Kind::Open, 1, 1000, 0),
            event(2, Kind::Open, 1, 0, ALL),
            refused(3, root),
            event(4, Kind::Open, 1, 0, ALL),
            changing(5, 1, root, user(0, 0)),
            refused(6, user(0, 0)),
        ];
        assert_eq!(unexplained(&events), [No, No, Yes, Yes, Yes, Yes, No]);
    }

    #[test]
    fn what_a_change_starts_from_is_believed_where_it_is_not_known_better() {
        let fork = giving(event(1, Kind::Fork, 1, 1000, 0), Some(2), 1000, ALL);
        let untold = giving(event(2, Kind::Creds, 1, 1000, 0), None, 1000, 0);
        let events = [
            changing(0, 1, user(7, 7), user(0, 0)),
            fork,
            untold,
            // In a new user namespace, and after a change of which not all was told.
            changing(3, 2, user(ALL, ALL), user(0, 0)),
            changing(4, 1, user(3, 0), user(0, 0)),
        ];
        assert_eq!(unexplained(&events), [No; 5]);
    }

    #[test]
    fn nothing_is_known_where_events_or_credentials_are_missing() {
        let mut events = vec![
            event(0, Kind::Open, 1, 1000, 0),
            event(2, Kind::Open, 1, 0, ALL),
        ];
        assert_eq!(unexplained(&events), [Unknown; 2]);
        events[1].seq = 1;
        assert_eq!(unexplained(&events), [No, Yes]);
        events[0].incomplete |= Incomplete::UID_UNKNOWN;
        assert_eq!(unexplained(&events), [NotOnRecord; 2]);
    }
}
