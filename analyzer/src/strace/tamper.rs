//! What touches a watcher: mounts and changes of the root, the kernel's own programs and modules.

use pyti_trace::event::{Incomplete, Kind};

use super::call::Call;
use super::import::{Importer, Who};
use super::names::{BPF_COMMANDS, flags};
use super::paths::Last;

/// Capabilities: include/uapi/linux/capability.h.
const CAP_SYS_MODULE: u64 = 16;
const CAP_SYS_CHROOT: u64 = 18;
const CAP_SYS_BOOT: u64 = 22;
const EPERM: i64 = -1;

impl Importer {
    /// What makes paths mean something else, and mounts.
    pub(super) fn mount(&mut self, who: Who, call: &Call<'_>) {
        if call.name == "chroot" && call.result == Some(EPERM) {
            return self.govern(who, call);
        }
        let done = call.result == Some(0) || self.unknown;
        let has = |flag: &str| call.word(0).is_some_and(|flags| flags.contains(flag));
        let unshares = call.name == "unshare";
        if done && unshares && has("CLONE_FILES") {
            self.offsets.untold = true;
        }
        if done && (!unshares || has("CLONE_NEW")) {
            self.paths.shift();
        }
        let (what, at, path) = match call.name {
            "mount" => ("sb_mount", None, call.arg(1)),
            "chroot" => ("path_chroot", None, call.arg(0)),
            "pivot_root" => ("sb_pivotroot", None, call.arg(0)),
            "move_mount" => ("move_mount", call.arg(2), call.arg(3)),
            _ => return,
        };
        let Some(result) = call.result else { return };
        let asked = self.asked(who.process, at, path, Last::Followed);
        let mut draft = self.draft(Kind::Tamper, who.process, who.tid, 0);
        asked.apply(&mut draft.event);
        // Where it failed the probes have the path as well.
        draft.event.result = result.min(0);
        // The probes put the kind of tampering there.
        draft.event.asked = Some(what.to_owned());
        draft.event.incomplete.remove(Incomplete::ASKED_UNREADABLE);
        draft.event.incomplete.remove(Incomplete::ASKED_TRUNCATED);
        // What is mounted there.
        let source = matches!(call.name, "mount" | "move_mount");
        draft
            .event
            .incomplete
            .set(Incomplete::TARGET_UNREADABLE, source);
        self.keep(draft);
    }

    /// What needs a capability that an ordinary user lacks: refused, it is recorded as the probes
    /// record it, by the capability; else by its name.
    pub(super) fn govern(&mut self, who: Who, call: &Call<'_>) {
        let Some(result) = call.result else { return };
        let mut draft = self.draft(Kind::Tamper, who.process, who.tid, result);
        let what = if result < 0 && !self.unknown {
            let capability = match call.name {
                "delete_module" => CAP_SYS_MODULE,
                "chroot" => CAP_SYS_CHROOT,
                _ => CAP_SYS_BOOT,
            };
            draft.event.flags = Some(capability);
            "capable"
        } else {
            call.name
        };
        draft.event.asked = Some(what.to_owned());
        self.keep(draft);
    }

    pub(super) fn tamper(&mut self, who: Who, call: &Call<'_>) {
        let Some(result) = call.result else { return };
        let mut draft = self.draft(Kind::Tamper, who.process, who.tid, result);
        let what = match call.name {
            "bpf" => {
                draft.event.flags = call.word(0).and_then(|word| flags(word, BPF_COMMANDS));
                "bpf"
            }
            "perf_event_open" => "perf_event_open",
            "init_module" | "kexec_load" => "kernel_load_data",
            _ => "kernel_read_file",
        };
        draft.event.asked = Some(what.to_owned());
        self.keep(draft);
    }

    pub(super) fn ring(&mut self, _: Who, call: &Call<'_>) {
        let made = self.unknown || call.result.is_some_and(|result| result >= 0);
        self.doubts.ring |= made;
        self.offsets.untold |= made;
    }
}
