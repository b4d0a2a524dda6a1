//! Where in its file a call writes, as far as a trace tells.
//!
//! An open file has one position, which all its descriptors share, in every process that has one. It is
//! known where the file was opened in the trace and all its descriptors are. What was open before, or was
//! handed on by a message, is written to wherever somebody left it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::arg::{Arg, Shown};
use super::call::Call;
use super::import::{Importer, Who};
use super::names::{O_ACCMODE, O_APPEND, OPEN_FLAGS, flags};
use super::processes::Descriptor;
use super::sample::{Place, Times};

/// Files kept that were made shorter. Beyond, it may have been any file.
const MAX_SHRUNK: usize = 400_000;

/// A file that was opened in the trace, and may be written to.
#[derive(Debug, Clone, Copy)]
pub struct OpenFile {
    /// Where the next byte goes, or comes from.
    at: Option<u64>,
    /// All that is written goes to the end (`O_APPEND`).
    append: bool,
    /// Somebody may have it by a descriptor that is not known.
    lent: bool,
}

/// What stands behind a descriptor.
#[derive(Debug, Clone, Default)]
pub enum Road {
    /// Something that was open before it was seen, or no file.
    #[default]
    Unknown,
    /// A file that cannot be written to.
    Reading,
    /// A file that can.
    Open(Rc<Cell<OpenFile>>),
}

impl Road {
    /// A file that was opened with these flags.
    pub fn opened(flags: Option<u64>) -> Self {
        match flags {
            None => Self::Unknown,
            Some(flags) if flags & O_ACCMODE == 0 => Self::Reading,
            Some(flags) => Self::Open(Rc::new(Cell::new(OpenFile {
                at: Some(0),
                append: flags & O_APPEND != 0,
                lent: false,
            }))),
        }
    }

    fn change(&self, change: impl FnOnce(&mut OpenFile)) {
        if let Self::Open(file) = self {
            let mut one = file.get();
            change(&mut one);
            file.set(one);
        }
    }

    /// Another descriptor of the same open file.
    fn is(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Open(one), Self::Open(other)) if Rc::ptr_eq(one, other))
    }
}

/// Where a call says that it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offset {
    /// At the file's position.
    Next,
    /// From this offset on.
    At(u64),
    /// At the end.
    End,
    /// It cannot be read.
    Unknown,
}

impl Offset {
    /// A number, as pwrite has it.
    pub fn told(arg: Option<&Arg<'_>>) -> Self {
        let at = arg.and_then(Arg::int).and_then(|at| u64::try_from(at).ok());
        at.map_or(Self::Unknown, Self::At)
    }

    /// A pointer to one, as splice has it: `[5] => [9]`, or `NULL`.
    pub fn pointed(arg: Option<&Arg<'_>>) -> Self {
        match arg {
            Some(Arg::List(items, _)) => Self::told(items.first()),
            Some(arg) if arg.word() == Some("NULL") => Self::Next,
            _ => Self::Unknown,
        }
    }

    /// Of pwritev2, and whether that moves the file's position.
    pub fn of_pwritev2(call: &Call<'_>) -> (Self, bool) {
        const PLAIN: [&str; 5] = ["0", "RWF_HIPRI", "RWF_DSYNC", "RWF_SYNC", "RWF_NOWAIT"];
        let next = call.int(3) == Some(-1);
        let flags: Vec<&str> = call.word(4).unwrap_or_default().split('|').collect();
        let offset = if flags.contains(&"RWF_APPEND") {
            Self::End
        } else if !flags.iter().all(|flag| PLAIN.contains(flag)) {
            // One of them says that O_APPEND does not hold.
            Self::Unknown
        } else if next {
            Self::Next
        } else {
            Self::told(call.arg(3))
        };
        (offset, next)
    }
}

/// What makes places unsure that are not known by their offset.
#[derive(Debug, Default)]
pub struct Offsets {
    /// Counts what happens.
    clock: u64,
    /// By path: when the file was last made shorter.
    shrunk: BTreeMap<String, u64>,
    /// The same of a file that may be any.
    shrunk_somewhere: u64,
    /// When the position of some open file was set that is not kept here.
    moved: u64,
    /// Files may have names that are not known to be theirs.
    linked: bool,
    /// Descriptors stand for more than one thing: no place is known any more.
    pub untold: bool,
}

impl Offsets {
    /// A file was made shorter; without a path it may be any.
    pub fn shrank(&mut self, path: Option<&str>) {
        self.clock += 1;
        let path = if self.linked { None } else { path };
        self.mark(path, self.clock);
    }

    fn mark(&mut self, path: Option<&str>, when: u64) {
        match path {
            Some(path) if self.shrunk.len() < MAX_SHRUNK || self.shrunk.contains_key(path) => {
                let known = self.shrunk.entry(path.to_owned()).or_default();
                *known = when.max(*known);
            }
            _ => self.shrunk_somewhere = when.max(self.shrunk_somewhere),
        }
    }

    /// A file has a further name: what is made shorter from now on may be that one.
    pub fn linked(&mut self) {
        self.linked = true;
    }

    /// A file has another name now; where they are not sure, some file.
    pub fn renamed(&mut self, names: Option<(&str, &str)>) {
        if self.shrunk.is_empty() {
            return;
        }
        let Some((from, to)) = names else {
            return self.shrank(None);
        };
        let below = format!("{from}/");
        let mut behind = self.shrunk.range(below.clone()..);
        if behind
            .next()
            .is_some_and(|(path, _)| path.starts_with(&below))
        {
            self.shrank(None);
        }
        if let Some(when) = self.shrunk.get(from).copied() {
            self.mark(Some(to), when);
        }
    }

    /// The position of an open file was set that is not kept here.
    fn moved(&mut self) {
        self.clock += 1;
        self.moved = self.clock;
    }

    /// What a sample of the file at `path` must know to take a piece at `place`.
    pub fn times(&self, place: Place, path: &str) -> Times {
        let shrunk = self.shrunk.get(path).copied().unwrap_or_default();
        let shrunk = shrunk.max(self.shrunk_somewhere);
        Times {
            now: self.clock,
            lowered: match place {
                Place::Adrift => shrunk.max(self.moved),
                _ => shrunk,
            },
        }
    }
}

impl Importer {
    /// Where in the file behind a descriptor the bytes go that are written at `offset`.
    pub(super) fn place(&self, who: Who, to: &Arg<'_>, offset: Offset) -> Place {
        if self.is_untold() {
            return Place::Unknown;
        }
        let known = self.behind(who, Some(to));
        let Some((known, Road::Open(file))) = known.map(|known| (known, &known.road)) else {
            return adrift(offset);
        };
        let file = file.get();
        if file.lent {
            return adrift(offset);
        }
        match offset {
            _ if !is_shown(known, to.shown()) => Place::Unknown,
            Offset::Unknown => Place::Unknown,
            Offset::End => Place::End,
            _ if file.append => Place::End,
            Offset::At(at) => Place::At(at),
            Offset::Next => file.at.map_or(Place::Unknown, Place::At),
        }
    }

    fn is_untold(&self) -> bool {
        self.offsets.untold || self.processes.forgot
    }

    fn behind(&self, who: Who, fd: Option<&Arg<'_>>) -> Option<&Descriptor> {
        self.processes.descriptor(who.process, fd?.fd()?)
    }

    fn road(&self, who: Who, fd: Option<&Arg<'_>>) -> Option<&Road> {
        self.behind(who, fd).map(|known| &known.road)
    }

    /// The file's position moves on by what was written there.
    pub(super) fn wrote(&self, who: Who, to: &Arg<'_>, offset: Offset, bytes: i64) {
        if let Some(road) = self.road(who, Some(to)) {
            road.change(|file| {
                file.at = match offset {
                    Offset::Next if !file.append => moved_on(file.at, bytes),
                    // It is at the end, wherever that is.
                    _ => None,
                };
            });
        }
    }

    /// The position of what a call copies from moves on too.
    pub(super) fn copied(&self, who: Who, call: &Call<'_>, to: &Arg<'_>, bytes: i64) {
        let (from, offset) = match call.name {
            "sendfile" | "sendfile64" => (call.arg(1), call.arg(2)),
            "copy_file_range" | "splice" => (call.arg(0), call.arg(1)),
            _ => return,
        };
        let Some(road) = self.road(who, from) else {
            return;
        };
        let same = self.road(who, Some(to)).is_some_and(|to| road.is(to));
        if same {
            road.change(|file| file.at = None);
        } else if Offset::pointed(offset) == Offset::Next {
            road.change(|file| file.at = moved_on(file.at, bytes));
        }
    }

    /// How far the positions moved on that a call uses nobody knows.
    pub(super) fn lose_positions(&self, who: Who, call: &Call<'_>) {
        let behind = match call.name {
            "sendfile" | "sendfile64" => [call.arg(0), call.arg(1)],
            "copy_file_range" | "splice" => [call.arg(0), call.arg(2)],
            _ => [call.arg(0), None],
        };
        for fd in behind {
            if let Some(road) = self.road(who, fd) {
                road.change(|file| file.at = None);
            }
        }
    }

    /// read and its kin.
    pub(super) fn consume(&mut self, who: Who, call: &Call<'_>) {
        if self.unknown {
            return self.lose_positions(who, call);
        }
        let Some(result) = call.result.filter(|result| *result > 0) else {
            return;
        };
        let elsewhere = call.name == "preadv2" && call.int(3) != Some(-1);
        if let Some(road) = self.road(who, call.arg(0)).filter(|_| !elsewhere) {
            road.change(|file| file.at = moved_on(file.at, result));
        }
    }

    /// Whether a read moves a position that is kept: of other reads no more than the name is looked at.
    pub(super) fn has_position(&self, who: Who, text: &[u8]) -> bool {
        let begin = text.iter().position(|byte| *byte == b'(');
        let digits = begin.and_then(|begin| text.get(begin + 1..));
        let digits = digits.unwrap_or_default();
        let len = digits
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let fd = digits
            .get(..len)
            .and_then(|fd| std::str::from_utf8(fd).ok());
        let known = fd
            .and_then(|fd| fd.parse().ok())
            .and_then(|fd| self.processes.descriptor(who.process, fd));
        known.is_some_and(|known| matches!(known.road, Road::Open(_)))
    }

    pub(super) fn seek(&mut self, who: Who, call: &Call<'_>) {
        if self.unknown {
            self.offsets.moved();
            return self.lose_positions(who, call);
        }
        let Some(result) = call.result.filter(|result| *result >= 0) else {
            return;
        };
        let at = match call.name {
            // It returns 0, and the place by a pointer.
            "_llseek" => match Offset::pointed(call.arg(2)) {
                Offset::At(at) => Some(at),
                _ => None,
            },
            _ => u64::try_from(result).ok(),
        };
        let asks =
            call.int(1) == Some(0) && call.args.last().and_then(Arg::word) == Some("SEEK_CUR");
        let known = self.behind(who, call.arg(0));
        let known = known.filter(|known| is_shown(known, call.arg(0).and_then(Arg::shown)));
        let is_kept = match known.map(|known| &known.road) {
            Some(Road::Reading) => true,
            Some(road @ Road::Open(file)) => {
                road.change(|file| file.at = at);
                !file.get().lent
            }
            Some(Road::Unknown) | None => false,
        };
        if !is_kept && !asks {
            self.offsets.moved();
        }
    }

    /// `F_SETFL`: what is written goes to the end from now on, or no longer.
    pub(super) fn set_flags(&mut self, who: Who, call: &Call<'_>) {
        if call.result != Some(0) {
            return;
        }
        let flags = call.word(2).and_then(|word| flags(word, OPEN_FLAGS));
        if let Some(road) = self.road(who, call.arg(0)) {
            road.change(|file| match flags {
                Some(flags) => file.append = flags & O_APPEND != 0,
                None => file.lent = true,
            });
        }
    }

    /// Whoever gets a message may get descriptors with it.
    pub(super) fn lend(&mut self, who: Who, message: Option<&Arg<'_>>) {
        let control = match message {
            Some(message @ Arg::Struct(_)) => message.field("msg_control"),
            hidden => hidden,
        };
        let messages = match control {
            None | Some(Arg::Word("NULL")) => return,
            Some(Arg::List(messages, false)) => messages,
            Some(_) => {
                self.offsets.untold = true;
                return;
            }
        };
        for message in messages {
            if message.field("cmsg_type").and_then(Arg::word) != Some("SCM_RIGHTS") {
                continue;
            }
            let Some(Arg::List(descriptors, false)) = message.field("cmsg_data") else {
                self.offsets.untold = true;
                continue;
            };
            for fd in descriptors {
                if let Some(road) = self.road(who, Some(fd)) {
                    road.change(|file| file.lent = true);
                }
            }
        }
    }
}

/// Where something is written by a descriptor of which nobody knows how far it is. A file that is
/// appended to takes no offset.
fn adrift(offset: Offset) -> Place {
    match offset {
        Offset::Next => Place::Adrift,
        _ => Place::Unknown,
    }
}

fn moved_on(at: Option<u64>, bytes: i64) -> Option<u64> {
    at?.checked_add(u64::try_from(bytes).ok()?)
}

/// The descriptor is shown to stand for the file that was opened, by the same name.
fn is_shown(known: &Descriptor, shown: Option<&Shown>) -> bool {
    match (known.path.as_deref(), shown) {
        (_, None) => true,
        (Some(known), Some(Shown::File { path, .. })) => named(known) == path,
        _ => false,
    }
}

/// A path without what the kernel puts behind one that was removed.
pub(super) fn named(path: &str) -> &str {
    path.strip_suffix(" (deleted)").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When a piece at the end of `path` was last brought back.
    fn lowered(offsets: &Offsets, path: &str) -> u64 {
        offsets.times(Place::End, path).lowered
    }

    #[test]
    fn a_file_that_was_made_shorter_is_known_by_its_names() {
        let mut offsets = Offsets::default();
        offsets.shrank(Some("/a"));
        assert_eq!((lowered(&offsets, "/a"), lowered(&offsets, "/b")), (1, 0));
        offsets.renamed(Some(("/a", "/b")));
        offsets.renamed(Some(("/c", "/d")));
        assert_eq!((lowered(&offsets, "/b"), lowered(&offsets, "/d")), (1, 0));
        // With the directory that it is in, and by names that are not known.
        offsets.shrank(Some("/d/a"));
        offsets.renamed(Some(("/d", "/e")));
        assert_eq!(lowered(&offsets, "/x"), 3);
        offsets.renamed(None);
        assert_eq!(lowered(&offsets, "/x"), 4);
        offsets.linked();
        offsets.shrank(Some("/a"));
        assert_eq!(lowered(&offsets, "/x"), 5);
        assert_eq!(offsets.times(Place::End, "/x").now, 5);
    }

    #[test]
    fn positions_that_are_not_kept_concern_what_is_adrift() {
        let mut offsets = Offsets::default();
        offsets.moved();
        assert_eq!(offsets.times(Place::Adrift, "/a").lowered, 1);
        assert_eq!(offsets.times(Place::End, "/a").lowered, 0);
    }

    #[test]
    fn offsets_as_they_are_written() {
        let told = |text: &str| {
            let call = super::super::call::parse(text.as_bytes()).unwrap();
            Offset::of_pwritev2(&call)
        };
        assert_eq!(told("pwritev2(3, [], 0, 7, 0) = 1"), (Offset::At(7), false));
        assert_eq!(
            told("pwritev2(3, [], 0, -1, RWF_SYNC) = 1"),
            (Offset::Next, true)
        );
        assert_eq!(
            told("pwritev2(3, [], 0, 7, RWF_APPEND) = 1"),
            (Offset::End, false)
        );
        assert_eq!(
            told("pwritev2(3, [], 0, 7, RWF_NOAPPEND) = 1"),
            (Offset::Unknown, false)
        );
        let call = super::super::call::parse(b"splice(3, NULL, 4, [5] => [9], 4, 0) = 4").unwrap();
        assert_eq!(Offset::pointed(call.arg(1)), Offset::Next);
        assert_eq!(Offset::pointed(call.arg(3)), Offset::At(5));
    }
}
