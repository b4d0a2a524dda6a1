//! Changes of credentials, and those that are refused.

use pyti_trace::event::{Incomplete, Kind};

use super::call::Call;
use super::changes::understood;
use super::import::{Importer, Who};

/// Stands for no id: what it is given for stays as it is.
const NONE: Option<i64> = Some(-1);

impl Importer {
    /// Learns the effective user id, and keeps changes of ids and capabilities, those too that are
    /// refused or may have been.
    pub(super) fn credentials(&mut self, who: Who, call: &Call<'_>) {
        let Some(result) = understood(call) else {
            return;
        };
        let process = self.processes.get(who.process);
        let known = process.and_then(|process| process.uid);
        // In a user namespace of its own the numbers stand for other ids.
        let elsewhere = process.is_some_and(|process| process.own_ids);
        let name = call.name.trim_end_matches("32");
        if result < 0 && name == "geteuid" {
            return;
        }
        if result < 0 {
            let mut draft = self.draft(Kind::Creds, who.process, who.tid, result);
            draft.event.mode = known;
            draft.event.asked = Some(name.to_owned());
            return self.keep(draft);
        }
        let id =
            |number: Option<i64>| -> Option<u32> { number.filter(|_| !elsewhere)?.try_into().ok() };
        let new = match name {
            "geteuid" if elsewhere => return,
            "geteuid" => u32::try_from(result).ok(),
            "setuid" => id(call.int(0)),
            // -1 leaves it as it is.
            "setreuid" | "setresuid" if call.int(1) == NONE => return,
            "setreuid" | "setresuid" => id(call.int(1)),
            "setregid" | "setresgid" if call.args.iter().all(|id| id.int() == NONE) => return,
            "setfsuid" | "setfsgid" => return self.file_id(who, call, name, known),
            // None of the ids that the probes record, and no capability.
            "setgroups" => return,
            _ => known,
        };
        // Which group ids it had before is not kept.
        let others = ["setgid", "setregid", "setresgid", "capset"].contains(&name);
        let changes = name != "geteuid" && (others || known.is_none() || known != new);
        if changes {
            let mut draft = self.draft(Kind::Creds, who.process, who.tid, 0);
            draft.event.mode = new;
            self.keep(draft);
        }
        if let Some(process) = self.processes.get_mut(who.process) {
            process.uid = new;
        }
    }

    /// `setfsuid` and `setfsgid` return the id that was held before, whether they were refused or not.
    fn file_id(&mut self, who: Who, call: &Call<'_>, name: &str, uid: Option<u32>) {
        let asked = call.int(0);
        if asked == NONE || asked.is_some() && asked == call.result {
            return;
        }
        let mut draft = self.draft(Kind::Creds, who.process, who.tid, 0);
        draft.event.mode = uid;
        draft.event.asked = Some(name.to_owned());
        draft.event.incomplete |= Incomplete::RESULT_UNKNOWN;
        self.keep(draft);
    }
}
