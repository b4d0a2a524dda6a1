//! Namespaces of one's own, and those that are entered.

use pyti_trace::event::Kind;

use super::arg::{Arg, Shown};
use super::call::Call;
use super::import::{Importer, Who};
use super::names::{NAMESPACES, flags};
use super::tamper::{CAP_SYS_ADMIN, EPERM};

/// One in which ids are others, and that gives all capabilities.
pub(super) const USER: &str = "CLONE_NEWUSER";

/// Whether the flag is among those of a word.
fn has(flags: &str, flag: &str) -> bool {
    flags.split('|').any(|one| one == flag)
}

impl Importer {
    pub(super) fn unshare(&mut self, who: Who, call: &Call<'_>) {
        let asked = call.word(0).unwrap_or_default();
        if call.result == Some(EPERM) {
            return self.refuse_namespaces(who, asked);
        }
        if call.result != Some(0) && !self.unknown {
            return;
        }
        if has(asked, "CLONE_FILES") {
            self.offsets.untold = true;
        }
        if asked.contains("CLONE_NEW") {
            self.paths.shift();
        }
        if has(asked, USER) {
            self.enter_user_namespace(who, call);
        }
    }

    pub(super) fn setns(&mut self, who: Who, call: &Call<'_>) {
        let Some(result) = call.result else { return };
        let namespace = call.arg(0).and_then(Arg::shown);
        let asked = call.word(1);
        // By a process access to that one is asked for first.
        if result == EPERM && !matches!(namespace, Some(Shown::Process(_))) {
            self.refused(who, CAP_SYS_ADMIN);
        }
        if result == 0 || self.unknown {
            self.paths.shift();
            let any = matches!(asked, None | Some("0"));
            match namespace {
                Some(Shown::UserNamespace) if any => self.enter_user_namespace(who, call),
                _ if asked.is_some_and(|asked| has(asked, USER)) => {
                    self.enter_user_namespace(who, call);
                }
                // Of a kind that neither the call nor the descriptor tells.
                None if any => self.lose_ids(who),
                _ => {}
            }
        }
        let mut draft = self.draft(Kind::Tamper, who.process, who.tid, result);
        draft.event.asked = Some("setns".to_owned());
        draft.event.flags = asked.and_then(|word| flags(word, NAMESPACES));
        self.keep(draft);
    }

    /// New namespaces are refused with `EPERM`. Where a user namespace is among them, it may have been
    /// for another reason than a capability.
    pub(super) fn refuse_namespaces(&mut self, who: Who, asked: &str) {
        if has(asked, USER) {
            self.doubts.namespace_refused = true;
        } else if asked.contains("CLONE_NEW") {
            self.refused(who, CAP_SYS_ADMIN);
        }
    }

    /// The process has all capabilities from now on, in there. For who is outside its ids stay the same.
    fn enter_user_namespace(&mut self, who: Who, call: &Call<'_>) {
        let uid = self.processes.get(who.process).and_then(|one| one.uid);
        let mut draft = self.draft(Kind::Creds, who.process, who.tid, 0);
        draft.event.mode = uid;
        if self.unknown {
            draft.event.asked = Some(call.name.to_owned());
        }
        self.keep(draft);
        self.lose_ids(who);
    }

    fn lose_ids(&mut self, who: Who) {
        self.doubts.user_namespace = true;
        if let Some(process) = self.processes.get_mut(who.process) {
            process.own_ids = true;
        }
    }
}
