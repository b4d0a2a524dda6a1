//! What changes names and attributes of files.

use pyti_trace::event::{Incomplete, Kind};

use super::arg::Arg;
use super::call::Call;
use super::files::EMPTY;
use super::import::{Importer, Who};
use super::names::{RENAME_FLAGS, RENAME_NOREPLACE, flags, number};
use super::paths::Last;
use super::record::Asked;

/// Errors of calls that asked nothing of any file: a bad address for its name, no such call.
const NOT_UNDERSTOOD: [i64; 2] = [-14, -38];
/// Errors by which the kernel says that it did not come to the file: bad arguments, no such descriptor
/// or name, names that are too long or lead nowhere. By descriptor that says nothing of any file; by name
/// it says which one was asked for.
const NOT_REACHED: [i64; 6] = [-2, -9, -20, -22, -36, -40];

/// The result of a call, unless it asked nothing of any file.
pub(super) fn understood(call: &Call<'_>) -> Option<i64> {
    call.result
        .filter(|result| !NOT_UNDERSTOOD.contains(result))
}

/// What a renaming was told, which only `renameat2` can be.
fn rename_flags(call: &Call<'_>) -> Option<u64> {
    match call.name {
        "renameat2" => flags(call.word(4)?, RENAME_FLAGS),
        _ => Some(0),
    }
}

impl Importer {
    /// What changes one file by its name or descriptor.
    pub(super) fn change(&mut self, who: Who, call: &Call<'_>) {
        let Some(result) = understood(call) else {
            return;
        };
        let by_descriptor =
            ["fchmod", "fchown", "fchown32", "ftruncate", "ftruncate64"].contains(&call.name);
        let at = call.name.contains("at") && !call.name.starts_with("truncate");
        let (base, path, next) = match (by_descriptor, at) {
            (true, _) => (call.arg(0), Some(&EMPTY), 1),
            (_, true) => (call.arg(0), call.arg(1), 2),
            _ => (None, call.arg(0), 1),
        };
        let has = |flag: &str| {
            let last = call.args.last().and_then(Arg::word).unwrap_or_default();
            last.split('|').any(|word| word == flag)
        };
        let kind = match call.name {
            "rmdir" => Kind::Rmdir,
            "unlinkat" if has("AT_REMOVEDIR") => Kind::Rmdir,
            "unlink" | "unlinkat" => Kind::Unlink,
            "mkdir" | "mkdirat" => Kind::Mkdir,
            name if name.contains("truncate") => Kind::Truncate,
            name if name.contains("chmod") => Kind::Chmod,
            _ => Kind::Chown,
        };
        let attributes = matches!(kind, Kind::Chmod | Kind::Chown | Kind::Truncate);
        if by_descriptor && NOT_REACHED.contains(&result) {
            return;
        }
        let followed =
            attributes && !call.name.starts_with("lchown") && !has("AT_SYMLINK_NOFOLLOW");
        let last = if followed {
            Last::Followed
        } else {
            Last::Itself
        };
        let asked = self.asked(who.process, base, path, last);
        let mut draft = self.draft(kind, who.process, who.tid, result);
        asked.apply(&mut draft.event);
        if matches!(kind, Kind::Chmod | Kind::Mkdir) {
            let mode = call.word(next).and_then(number);
            draft.event.mode = mode.map(|mode| mode as u32 & 0o7777);
        }
        if result >= 0 && kind == Kind::Truncate {
            let at = asked.resolved.as_ref().filter(|at| at.sure);
            let at = at.filter(|_| !self.paths.is_shifted());
            self.offsets.shrank(at.map(|at| at.path.as_str()));
        }
        if self.unknown {
            match kind {
                Kind::Unlink | Kind::Rmdir | Kind::Mkdir => {
                    self.paths.doubt(asked.resolved.as_ref());
                    if kind != Kind::Mkdir {
                        self.lose(&asked);
                    }
                }
                Kind::Truncate => self.offsets.shrank(None),
                _ => {}
            }
        } else if result >= 0 {
            match (kind, &asked.resolved) {
                (Kind::Unlink | Kind::Rmdir, Some(at)) if at.sure => self.paths.removed(&at.path),
                (Kind::Unlink | Kind::Rmdir, _) => self.lose(&asked),
                (Kind::Mkdir, Some(at)) => self.paths.made_directory(at),
                (Kind::Chmod, Some(at)) => {
                    if let Some(identity) = self.paths.identity(&at.path) {
                        let event = &mut draft.event;
                        (event.dev, event.inode) = (Some(identity.dev), Some(identity.inode));
                    }
                }
                _ => {}
            }
        }
        self.keep(draft);
    }

    /// Something was removed, moved or replaced, or may have been. Where nobody knows at which place, what is
    /// known of those that it may be is not sure any more.
    fn lose(&mut self, asked: &Asked) {
        if asked.sure().is_none() {
            self.paths.lost(asked.name());
        }
    }

    /// Renames and hard links.
    pub(super) fn change_names(&mut self, who: Who, call: &Call<'_>) {
        let Some(result) = understood(call) else {
            return;
        };
        let (from, to) = if call.name.contains("at") {
            ((call.arg(0), call.arg(1)), (call.arg(2), call.arg(3)))
        } else {
            ((None, call.arg(0)), (None, call.arg(1)))
        };
        let follows = call
            .word(4)
            .is_some_and(|flags| flags.contains("AT_SYMLINK_FOLLOW"));
        let last = if follows {
            Last::Followed
        } else {
            Last::Itself
        };
        let from = self.asked(who.process, from.0, from.1, last);
        let to = self.asked(who.process, to.0, to.1, Last::Itself);
        let rename = call.name.starts_with("rename");
        let kind = if rename { Kind::Rename } else { Kind::Link };
        let mut draft = self.draft(kind, who.process, who.tid, result);
        from.apply(&mut draft.event);
        to.apply_target(&mut draft.event);
        if rename {
            draft.event.flags = rename_flags(call);
        }
        if result >= 0 || self.unknown {
            // Where two change places, each has the other's.
            let plain = matches!(draft.event.flags, Some(0 | RENAME_NOREPLACE));
            let plain = !self.unknown && (plain || !rename);
            self.name_anew(&from, &to, rename, plain);
        }
        self.keep(draft);
    }

    /// A name was changed, or given once more; where that is not `plain`, nobody knows what stands at either.
    fn name_anew(&mut self, from: &Asked, to: &Asked, rename: bool, plain: bool) {
        if rename {
            self.lose(from);
            self.lose(to);
        }
        match (&from.resolved, &to.resolved) {
            (Some(from), Some(to)) if plain && rename && from.sure => self.paths.renamed(from, to),
            (Some(from), Some(to)) if plain && !rename => self.paths.shared(&from.path, to),
            (from, to) => {
                self.paths.shared |= !rename;
                self.paths.doubt(to.as_ref());
                // Two that change places both have another one.
                if rename && !plain {
                    self.paths.doubt(from.as_ref());
                }
            }
        }
        if rename {
            let both = from.sure().zip(to.sure());
            self.offsets.renamed(both.filter(|_| plain));
        } else {
            self.offsets.linked();
        }
    }

    pub(super) fn symlink(&mut self, who: Who, call: &Call<'_>) {
        let Some(result) = understood(call) else {
            return;
        };
        let (at, path) = match call.name {
            "symlink" => (None, call.arg(1)),
            _ => (call.arg(1), call.arg(2)),
        };
        let asked = self.asked(who.process, at, path, Last::Itself);
        let mut draft = self.draft(Kind::Symlink, who.process, who.tid, result);
        asked.apply(&mut draft.event);
        if self.unknown {
            self.paths.doubt(asked.resolved.as_ref());
        }
        match call.arg(0) {
            Some(Arg::Text(bytes, cut)) => {
                let (target, escaped) = super::text::text(bytes);
                if result >= 0
                    && let Some(at) = &asked.resolved
                {
                    self.paths.linked(&at.path, &target);
                }
                draft.event.target = Some(target);
                draft
                    .event
                    .incomplete
                    .set(Incomplete::TARGET_TRUNCATED, *cut);
                if escaped {
                    draft.event.incomplete |= Incomplete::ESCAPED;
                }
            }
            _ => draft.event.incomplete |= Incomplete::TARGET_UNREADABLE,
        }
        self.keep(draft);
    }
}
