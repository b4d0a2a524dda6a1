//! What touches a watcher: mounts and changes of the root, the kernel's own programs and modules.

use pyti_trace::event::{Event, Incomplete, Kind};

use super::arg::Arg;
use super::call::Call;
use super::import::{Importer, Who};
use super::names::{BPF_COMMANDS, MOUNT_FLAGS, UMOUNT_FLAGS, flags};
use super::paths::Last;
use super::text::text;

/// Capabilities: include/uapi/linux/capability.h.
const CAP_SYS_MODULE: u64 = 16;
const CAP_SYS_CHROOT: u64 = 18;
/// `CAP_SYS_ADMIN`.
pub(super) const CAP_SYS_ADMIN: u64 = 21;
const CAP_SYS_BOOT: u64 = 22;
const CAP_SYSLOG: u64 = 34;
/// What a capability is refused with.
pub(super) const EPERM: i64 = -1;
/// What `perf_event_open` makes of that.
const EACCES: i64 = -13;
/// What is read or loaded: include/linux/kernel_read_file.h.
const MODULE: u64 = 2;
const KEXEC_IMAGE: u64 = 3;

impl Importer {
    /// What makes paths mean something else, and mounts.
    pub(super) fn mount(&mut self, who: Who, call: &Call<'_>) {
        let Some(result) = call.result else { return };
        let (what, at, path) = match call.name {
            "mount" => ("sb_mount", None, call.arg(1)),
            "chroot" => ("path_chroot", None, call.arg(0)),
            "pivot_root" => ("sb_pivotroot", None, call.arg(0)),
            "move_mount" => ("move_mount", call.arg(2), call.arg(3)),
            "mount_setattr" => ("mount_setattr", call.arg(0), call.arg(1)),
            _ => ("sb_umount", None, call.arg(0)),
        };
        if (result == 0 || self.unknown) && what != "mount_setattr" {
            self.paths.shift();
        }
        if result == EPERM {
            let capability = match call.name {
                "chroot" => CAP_SYS_CHROOT,
                _ => CAP_SYS_ADMIN,
            };
            self.refused(who, capability);
            // Only these come by the probes before the capability is asked for, or whatever comes of them.
            if !["sb_mount", "mount_setattr"].contains(&what) {
                return;
            }
        }
        let mut words = call.args.iter().filter_map(Arg::word);
        let itself = words.any(|word| {
            let mut flags = word.split('|');
            flags.any(|flag| ["UMOUNT_NOFOLLOW", "AT_SYMLINK_NOFOLLOW"].contains(&flag))
        });
        let last = if itself { Last::Itself } else { Last::Followed };
        let asked = self.asked(who.process, at, path, last);
        let mut draft = self.draft(Kind::Tamper, who.process, who.tid, 0);
        asked.apply(&mut draft.event);
        // Where it failed the probes have the path as well.
        draft.event.result = result.min(0);
        // The probes put the kind of tampering there.
        draft.event.asked = Some(what.to_owned());
        draft.event.incomplete.remove(Incomplete::ASKED_UNREADABLE);
        draft.event.incomplete.remove(Incomplete::ASKED_TRUNCATED);
        draft.event.flags = match call.name {
            "mount" => call.word(3).and_then(|word| flags(word, MOUNT_FLAGS)),
            "umount2" => call.word(1).and_then(|word| flags(word, UMOUNT_FLAGS)),
            "umount" => Some(0),
            _ => None,
        };
        match call.name {
            "mount" => mounted(call.arg(0), &mut draft.event),
            // The name of its root.
            "move_mount" => draft.event.incomplete |= Incomplete::TARGET_UNREADABLE,
            _ => {}
        }
        self.keep(draft);
    }

    /// A capability was asked for in vain, as the probes record it: whatever it was for.
    pub(super) fn refused(&mut self, who: Who, capability: u64) {
        let mut draft = self.draft(Kind::Tamper, who.process, who.tid, EPERM);
        draft.event.flags = Some(capability);
        draft.event.asked = Some("capable".to_owned());
        self.keep(draft);
    }

    /// What needs a capability that an ordinary user lacks: refused, it is recorded as the probes
    /// record it, by the capability; else by what is read or loaded, or by its name.
    pub(super) fn govern(&mut self, who: Who, call: &Call<'_>) {
        let Some(result) = call.result else { return };
        let capability = match call.name {
            "init_module" | "finit_module" | "delete_module" => CAP_SYS_MODULE,
            "perf_event_open" => CAP_SYS_ADMIN,
            "syslog" => CAP_SYSLOG,
            _ => CAP_SYS_BOOT,
        };
        if result == EPERM || result == EACCES && call.name == "perf_event_open" {
            return self.refused(who, capability);
        }
        let (what, flags) = match call.name {
            // Who may read the log does nothing to a watcher.
            "syslog" if !self.unknown => return,
            "init_module" => ("kernel_load_data", Some(MODULE)),
            "kexec_load" => ("kernel_load_data", Some(KEXEC_IMAGE)),
            "finit_module" => ("kernel_read_file", Some(MODULE)),
            "kexec_file_load" => ("kernel_read_file", Some(KEXEC_IMAGE)),
            name => (name, None),
        };
        let mut draft = self.draft(Kind::Tamper, who.process, who.tid, result);
        draft.event.asked = Some(what.to_owned());
        draft.event.flags = flags;
        self.keep(draft);
    }

    pub(super) fn bpf(&mut self, who: Who, call: &Call<'_>) {
        let Some(result) = call.result else { return };
        let mut draft = self.draft(Kind::Tamper, who.process, who.tid, result);
        draft.event.flags = call.word(0).and_then(|word| flags(word, BPF_COMMANDS));
        draft.event.asked = Some("bpf".to_owned());
        self.keep(draft);
    }

    pub(super) fn ring(&mut self, _: Who, call: &Call<'_>) {
        let made = self.unknown || call.result.is_some_and(|result| result >= 0);
        self.doubts.ring |= made;
        self.offsets.untold |= made;
    }
}

/// Sets what is mounted, as it was asked for.
fn mounted(source: Option<&Arg<'_>>, event: &mut Event) {
    let Some(Arg::Text(bytes, cut)) = source else {
        event.incomplete |= Incomplete::TARGET_UNREADABLE;
        return;
    };
    let (source, escaped) = text(bytes);
    event.target = Some(source);
    event.incomplete.set(Incomplete::TARGET_TRUNCATED, *cut);
    if escaped {
        event.incomplete |= Incomplete::ESCAPED;
    }
}
