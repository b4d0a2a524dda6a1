//! What is written to files: since when, how much, and the first bytes. What a process wrote through a
//! descriptor is one event, made when it closes it. What is written through memory is another, of which strace shows
//! no more than the mapping.

use pyti_trace::event::{Incomplete, Kind};

use super::arg::{Arg, Shown};
use super::call::Call;
use super::files::{is_regular, name_of};
use super::import::{Importer, Who};
use super::offsets::{Offset, named};
use super::processes::{Descriptor, Writing};
use super::record::Draft;
use super::sample::{Piece, Place, SAMPLE, Sample};

/// Requests of `ioctl` that give a file the content of another, by their names and numbers
/// (include/uapi/linux/fs.h): all of it, and a part.
const CLONE: [&str; 3] = ["FICLONE", "BTRFS_IOC_CLONE", "0x40049409"];
const CLONE_RANGE: [&str; 3] = ["FICLONERANGE", "BTRFS_IOC_CLONE_RANGE", "0x4020940d"];
/// Nothing is known of it.
const UNSEEN: Piece<'static> = Piece {
    shown: &[],
    len: u64::MAX,
};

/// A file behind a descriptor.
struct Target<'a, 'c> {
    to: &'a Arg<'c>,
    fd: i32,
    path: String,
}

impl Importer {
    pub(super) fn write(&mut self, who: Who, call: &Call<'_>) {
        let Some(result) = call.result else { return };
        let (to, data, offset) = match call.name {
            "sendfile" | "sendfile64" => (call.arg(0), None, Offset::Next),
            "copy_file_range" | "splice" => (call.arg(2), None, Offset::pointed(call.arg(3))),
            "pwrite64" | "pwritev" => (call.arg(0), call.arg(1), Offset::told(call.arg(3))),
            "pwritev2" => (call.arg(0), call.arg(1), Offset::of_pwritev2(call).0),
            _ => (call.arg(0), call.arg(1), Offset::Next),
        };
        let moves = match call.name {
            "pwritev2" => Offset::of_pwritev2(call).1,
            _ => offset == Offset::Next,
        };
        let Some(to) = to else { return };
        let Some(fd) = to.fd() else { return };
        let place = self.place(who, to, offset);
        if result > 0 {
            if moves {
                self.wrote(who, to, offset, result);
            }
            self.copied(who, call, to, result);
        }
        let is_socket = match to.shown() {
            Some(shown) => matches!(shown, Shown::Socket { .. }),
            None => {
                let known = self.processes.descriptor(who.process, fd);
                known.is_some_and(|known| known.socket.is_some())
            }
        };
        if self.unknown {
            self.lose_positions(who, call);
            let target = self.target(who, Some(to)).filter(|_| !is_socket);
            if let Some(target) = target {
                self.add(who, target, Some((place, UNSEEN)), None);
            }
        }
        if is_socket {
            self.sent(who, to, None, data, result);
            return;
        }
        let Some(len) = u64::try_from(result).ok().filter(|len| *len > 0) else {
            return;
        };
        let Some(target) = self.target(who, Some(to)) else {
            return;
        };
        let most = usize::try_from(len).map_or(SAMPLE, |len| len.min(SAMPLE));
        // What is copied is not shown.
        let (shown, cut) = first_bytes(data, most).unwrap_or_default();
        self.doubts.cut |= cut;
        let piece = Piece { shown: &shown, len };
        self.add(who, target, Some((place, piece)), Some(len));
    }

    /// The file behind a descriptor; `None` where it is none, or a device.
    fn target<'a, 'c>(&self, who: Who, to: Option<&'a Arg<'c>>) -> Option<Target<'a, 'c>> {
        let to = to?;
        let fd = to.fd()?;
        let path = match to.shown() {
            Some(shown) if is_regular(shown) => name_of(shown),
            Some(_) => None,
            None => {
                let known = self.processes.descriptor(who.process, fd);
                known.and_then(|known| known.path.as_deref().map(str::to_owned))
            }
        };
        let path = path?;
        Some(Target { to, fd, path })
    }

    /// Adds to what is written through a descriptor. Where it is not known how much that is, from then on
    /// nobody knows how much it is together.
    fn add(
        &mut self,
        who: Who,
        target: Target<'_, '_>,
        piece: Option<(Place, Piece<'_>)>,
        bytes: Option<u64>,
    ) {
        let Some(process) = self.processes.get_mut(who.process) else {
            return;
        };
        let Target { fd, path, .. } = target;
        let times = piece.map(|(place, _)| self.offsets.times(place, named(&path)));
        let since_ns = self.begun_ns;
        let writing = process.writings.entry(fd).or_insert_with(|| Writing {
            path,
            since_ns,
            bytes: Some(0),
            sample: Sample::default(),
        });
        if let Some(((place, piece), times)) = piece.zip(times) {
            writing.sample.add(place, piece, times);
        }
        let sum = |before: u64| Some(before.saturating_add(bytes?));
        writing.bytes = writing.bytes.and_then(sum);
    }

    /// A file is written to by a call that does not show what.
    fn write_unseen(&mut self, who: Who, to: Option<&Arg<'_>>, offset: Offset) {
        if let Some(target) = self.target(who, to) {
            let place = self.place(who, target.to, offset);
            self.add(who, target, Some((place, UNSEEN)), None);
        }
    }

    /// `fallocate`: zeroes, or what was there before.
    pub(super) fn give_room(&mut self, who: Who, call: &Call<'_>) {
        let Some(target) = self
            .target(who, call.arg(0))
            .filter(|_| call.result == Some(0) || self.unknown)
        else {
            return;
        };
        if let Some("0" | "FALLOC_FL_KEEP_SIZE") = call.word(1) {
            self.add(who, target, None, None);
        } else {
            // What lies behind may come to the front.
            self.offsets.shrank(None);
            self.add(who, target, Some((Place::Unknown, UNSEEN)), None);
        }
    }

    /// `ioctl`, where it gives a file the content of another: see [`gives_content`].
    pub(super) fn clone_file(&mut self, who: Who, call: &Call<'_>) {
        if call.result.is_none_or(|result| result < 0) && !self.unknown {
            return;
        }
        let asks = |names: [&str; 3]| {
            let mut words = call.args.iter().filter_map(Arg::word);
            words.any(|word| names.contains(&word))
        };
        let offset = if asks(CLONE_RANGE) {
            let to = call.args.iter().find_map(|arg| arg.field("dest_offset"));
            Offset::told(to)
        } else if asks(CLONE) {
            Offset::At(0)
        } else {
            return;
        };
        self.doubts.cloned = true;
        self.write_unseen(who, call.arg(0), offset);
    }

    /// `io_submit`: what came of it another call tells, if any.
    pub(super) fn submit(&mut self, who: Who, call: &Call<'_>) {
        if call.result.is_none_or(|result| result <= 0) && !self.unknown {
            return;
        }
        self.doubts.queued = true;
        let Some(Arg::List(blocks, _)) = call.arg(2) else {
            return;
        };
        for block in blocks {
            let what = block.field("aio_lio_opcode").and_then(Arg::word);
            if what.is_some_and(|what| what.contains("PWRITE")) {
                self.write_unseen(who, block.field("aio_fildes"), Offset::Unknown);
            }
        }
    }

    /// A file whose pages others see is written to from here on, without a call.
    pub(super) fn write_mapped(&mut self, who: Who, to: Option<&Arg<'_>>, protection: u64) {
        let Some(target) = self.target(who, to) else {
            return;
        };
        let mut draft = self.written(who, target.path);
        draft.event.flags = Some(protection);
        draft.event.incomplete |= Incomplete::DATA_INCOMPLETE;
        self.keep(draft);
    }

    /// What was written through the descriptor is complete.
    pub(super) fn flush(&mut self, who: Who, fd: i32) {
        let Some(process) = self.processes.get_mut(who.process) else {
            return;
        };
        let Some(writing) = process.writings.remove(&fd) else {
            return;
        };
        let mut draft = self.written(who, writing.path);
        let event = &mut draft.event;
        event.since_ns = Some(writing.since_ns);
        event.bytes = writing.bytes;
        event.data = writing.sample.into_data();
        let kept = event.data.as_ref().map(|data| data.len() as u64);
        let whole = kept.is_some() && kept == event.bytes;
        event.incomplete.set(Incomplete::DATA_INCOMPLETE, !whole);
        self.keep(draft);
    }

    /// A file was written to.
    fn written(&self, who: Who, path: String) -> Draft {
        let mut draft = self.draft(Kind::Write, who.process, who.tid, 0);
        let event = &mut draft.event;
        if let Some(identity) = self.paths.identity(&path) {
            (event.dev, event.inode) = (Some(identity.dev), Some(identity.inode));
        }
        event.path = Some(path);
        draft
    }

    /// Closes descriptors, those that were written to with an event each.
    pub(super) fn flush_where(
        &mut self,
        who: Who,
        is_closed: impl Fn(i32, Option<&Descriptor>) -> bool,
    ) {
        for fd in self.processes.close_where(who.process, is_closed) {
            self.flush(who, fd);
        }
    }
}

/// Whether the text of an `ioctl` may be that of one which gives a file the content of another. Of others
/// the arguments are not looked at: strace writes those of terminals like no other call's.
pub(super) fn gives_content(text: &[u8]) -> bool {
    let mut names = CLONE.iter().chain(&CLONE_RANGE);
    names.any(|name| text.windows(name.len()).any(|part| part == name.as_bytes()))
}

/// The first bytes that a call hands over, of one buffer or of a list of them, up to `most`; and whether
/// strace cut them before. `None`: it does not show them.
pub(super) fn first_bytes(data: Option<&Arg<'_>>, most: usize) -> Option<(Vec<u8>, bool)> {
    let (buffers, more) = match data? {
        Arg::Text(bytes, cut) => {
            let first = bytes.iter().take(most).copied().collect();
            return Some((first, *cut && bytes.len() < most));
        }
        Arg::List(buffers, more) => (buffers, *more),
        _ => return None,
    };
    let mut first: Vec<u8> = Vec::new();
    for buffer in buffers {
        // Empty ones may lie anywhere.
        if buffer.field("iov_len").and_then(Arg::int) == Some(0) {
            continue;
        }
        let Some(Arg::Text(bytes, cut)) = buffer.field("iov_base") else {
            return (!first.is_empty()).then_some((first, false));
        };
        first.extend(bytes.iter().take(most - first.len()));
        if first.len() == most || *cut {
            let cut = first.len() < most;
            return Some((first, cut));
        }
    }
    Some((first, more))
}

#[cfg(test)]
mod tests {
    use super::super::call;
    use super::*;

    #[test]
    fn bytes_of_buffers() {
        let shown = |buffers: &str| {
            let text = format!("writev(3, {buffers}, 2) = 9");
            let call = call::parse(text.as_bytes()).unwrap();
            let (bytes, cut) = first_bytes(call.arg(1), 4)?;
            Some((String::from_utf8(bytes).unwrap(), cut))
        };
        let some = |text: &str, cut| Some((text.to_owned(), cut));
        assert_eq!(shown(r#""ab""#), some("ab", false));
        assert_eq!(shown(r#""abcdef"..."#), some("abcd", false));
        assert_eq!(shown(r#""ab"..."#), some("ab", true));
        assert_eq!(shown("0x7f00"), None);
        let pieces = r#"[{iov_base=NULL, iov_len=0}, {iov_base="a", iov_len=1}, {iov_base="bcdef", iov_len=5}]"#;
        assert_eq!(shown(pieces), some("abcd", false));
        let cut = r#"[{iov_base="ab"..., iov_len=9}, {iov_base="cd", iov_len=2}]"#;
        assert_eq!(shown(cut), some("ab", true));
        let unseen = r#"[{iov_base="ab", iov_len=2}, {iov_base=0x7f00, iov_len=2}]"#;
        assert_eq!(shown(unseen), some("ab", false));
        assert_eq!(shown("[{iov_base=0x7f00, iov_len=2}]"), None);
        let more = r#"[{iov_base="ab", iov_len=2}, ...]"#;
        assert_eq!(shown(more), some("ab", true));
        assert_eq!(shown(r#"[{iov_base="", iov_len=0}]"#), some("", false));
    }

    #[test]
    fn requests_that_give_content() {
        for text in [
            "ioctl(5</x>, BTRFS_IOC_CLONE or FICLONE, 4) = 0",
            "ioctl(5</x>, 0x40049409, 0x4) = 0",
        ] {
            assert!(gives_content(text.as_bytes()), "{text}");
        }
        let terminal = b"ioctl(0</dev/pts/0<char 136:0>>, TCGETS, {c_cc[VMIN]=1}) = 0";
        assert!(!gives_content(terminal));
    }
}
