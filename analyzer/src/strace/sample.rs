//! The first bytes of what is written to a file, as the probes keep them: those at the lowest offset that
//! was written to, as they were written last. Who writes the body first and the head over it at the end
//! shows the head.

/// Bytes kept, as the probes keep.
pub const SAMPLE: usize = 64;

/// Where in its file a piece goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// From this offset on.
    At(u64),
    /// Behind all that the file holds.
    End,
    /// Nobody knows where, but behind the pieces before it, as long as nothing brings it back.
    Adrift,
    /// Nothing tells.
    Unknown,
}

/// Points in time, as [`super::offsets::Offsets`] counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// Now.
    pub now: u64,
    /// When a place that is not known by its offset was last brought back, or may have been.
    pub lowered: u64,
}

/// What is written.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    /// Its first bytes, as far as they are shown.
    pub shown: &'a [u8],
    /// How long it is.
    pub len: u64,
}

/// The sample of one file.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// Where it begins; `None`: nothing was written yet.
    place: Option<Place>,
    /// What is known of it, from its beginning on.
    bytes: Vec<u8>,
    /// When it began.
    since: u64,
}

impl Sample {
    /// Adds a piece.
    pub fn add(&mut self, place: Place, piece: Piece<'_>, times: Times) {
        let behind = self.since >= times.lowered;
        match (self.place, place) {
            (Some(Place::At(begin)), Place::At(at)) if at >= begin => self.put(at - begin, piece),
            // Nothing lies before the first byte of a file, whatever was written until now.
            (Some(Place::At(_)), Place::At(at)) | (_, Place::At(at @ 0)) => {
                self.begin(Place::At(at), piece, times.now);
            }
            (None, place) if place != Place::Unknown => self.begin(place, piece, times.now),
            // It lies behind, but another process may have put something in between.
            (Some(Place::At(_) | Place::End), Place::End)
            | (Some(Place::Adrift), Place::Adrift)
                if behind => {}
            _ => self.lose(),
        }
    }

    /// What is known of it; `None`: nothing.
    pub fn into_data(self) -> Option<Vec<u8>> {
        (!self.bytes.is_empty()).then_some(self.bytes)
    }

    fn begin(&mut self, place: Place, piece: Piece<'_>, now: u64) {
        (self.place, self.since) = (Some(place), now);
        self.bytes.clear();
        self.put(0, piece);
    }

    fn lose(&mut self) {
        self.place = Some(Place::Unknown);
        self.bytes.clear();
    }

    /// Puts a piece so many bytes behind the beginning, as far as it lies in the sample.
    fn put(&mut self, begin: u64, piece: Piece<'_>) {
        let begin = usize::try_from(begin).unwrap_or(SAMPLE);
        // Nothing is put behind a gap.
        if begin >= SAMPLE || begin > self.bytes.len() {
            return;
        }
        let room = SAMPLE - begin;
        let len = usize::try_from(piece.len).map_or(room, |len| len.min(room));
        let known = piece.shown.get(..len).unwrap_or(piece.shown);
        let mut behind = self.bytes.split_off(begin);
        self.bytes.extend_from_slice(known);
        // Where strace cut the piece, what it wrote over is not known any more.
        if known.len() == len && behind.len() > len {
            self.bytes.extend(behind.drain(len..));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Place::{Adrift, At, End, Unknown};
    use super::*;

    /// The sample of pieces that nothing brought back.
    fn sampled(pieces: &[(Place, &str)]) -> Option<String> {
        let mut sample = Sample::default();
        for (place, text) in pieces {
            sample.add(*place, shown(text), Times::default());
        }
        text(sample)
    }

    fn shown(text: &str) -> Piece<'_> {
        Piece {
            shown: text.as_bytes(),
            len: text.len() as u64,
        }
    }

    fn text(sample: Sample) -> Option<String> {
        let data = sample.into_data()?;
        Some(String::from_utf8(data).unwrap())
    }

    #[test]
    fn it_is_of_the_lowest_offset_as_it_was_written_last() {
        for (pieces, expected) in [
            (&[(At(0), "ab"), (At(2), "cd")][..], "abcd"),
            (&[(At(9), "body"), (At(0), "MZ")], "MZ"),
            (&[(At(0), "something"), (At(0), "MZ")], "MZmething"),
            (&[(At(0), "something"), (At(3), "MZ")], "somMZhing"),
            // A gap, and behind it.
            (&[(At(0), "ab"), (At(3), "x")], "ab"),
            (&[(At(8), "ab"), (At(10), "c")], "abc"),
            (&[(End, "ab"), (End, "cd")], "ab"),
            (&[(Adrift, "ab"), (Adrift, "cd")], "ab"),
            (&[(At(5), "ab"), (End, "cd")], "ab"),
            (&[(End, "ab"), (At(0), "MZ")], "MZ"),
            (&[(Unknown, "ab"), (At(0), "MZ"), (At(2), "c")], "MZc"),
        ] {
            assert_eq!(sampled(pieces).as_deref(), Some(expected), "{pieces:?}");
        }
    }

    #[test]
    fn what_may_be_written_over_is_not_known() {
        for pieces in [
            &[(Unknown, "ab")][..],
            &[],
            &[(At(0), "ab"), (Unknown, "cd")],
            &[(At(0), "ab"), (Adrift, "cd")],
            &[(End, "ab"), (At(2), "cd")],
            &[(Unknown, "ab"), (At(2), "cd"), (End, "ef")],
        ] {
            assert_eq!(sampled(pieces), None, "{pieces:?}");
        }
        for place in [End, Adrift] {
            let mut sample = Sample::default();
            sample.add(place, shown("ab"), Times { now: 3, lowered: 3 });
            sample.add(place, shown("cd"), Times { now: 5, lowered: 3 });
            assert_eq!(text(sample.clone()).as_deref(), Some("ab"));
            sample.add(place, shown("MZ"), Times { now: 5, lowered: 4 });
            assert_eq!(text(sample), None);
        }
    }

    #[test]
    fn what_is_not_shown_takes_its_place() {
        let unseen = |len| Piece { shown: b"", len };
        let after = |place, piece| {
            let mut sample = Sample::default();
            sample.add(At(0), shown("something"), Times::default());
            sample.add(place, piece, Times::default());
            sample
        };
        assert_eq!(text(after(At(4), unseen(2))).as_deref(), Some("some"));
        assert_eq!(text(after(At(9), unseen(2))).as_deref(), Some("something"));
        let mut sample = after(At(0), unseen(u64::MAX));
        assert_eq!(text(sample.clone()), None);
        sample.add(At(4), shown("cd"), Times::default());
        assert_eq!(text(sample.clone()), None);
        sample.add(At(0), shown("MZ"), Times::default());
        assert_eq!(text(sample).as_deref(), Some("MZ"));
        let cut = Piece {
            shown: b"MZ",
            len: 5,
        };
        assert_eq!(text(after(At(0), cut)).as_deref(), Some("MZ"));
        assert_eq!(text(after(At(4), cut)).as_deref(), Some("someMZ"));
    }

    #[test]
    fn it_has_its_bound() {
        let long = "x".repeat(100);
        let mut sample = Sample::default();
        sample.add(At(60), shown(&long), Times::default());
        sample.add(At(123), shown("yz"), Times::default());
        sample.add(At(124), shown("z"), Times::default());
        sample.add(At(u64::MAX), shown("z"), Times::default());
        let text = text(sample).unwrap();
        assert_eq!((text.len(), text.ends_with("xy")), (SAMPLE, true));
    }
}
