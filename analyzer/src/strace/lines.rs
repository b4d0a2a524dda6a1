//! A trace cut into lines.

use std::borrow::Cow;

/// The lines of a trace, each with its number from 1 on, and whether it has an end. A line into which
/// strace wrote a message about another process is put together again.
pub struct Lines<'a> {
    /// What was not read yet.
    pub rest: &'a [u8],
    number: usize,
}

impl<'a> Lines<'a> {
    /// From the beginning of `text`.
    pub fn new(text: &'a [u8]) -> Self {
        Self {
            rest: text,
            number: 0,
        }
    }

    /// The next line: its number, itself without its end, and whether it had one.
    pub fn next_line(&mut self) -> Option<(usize, Cow<'a, [u8]>, bool)> {
        let (line, whole) = self.one()?;
        match before_message(line) {
            Some(begin) if whole => {
                let number = self.number;
                let mut joined = begin.to_vec();
                let (next, whole) = self.one().unwrap_or((&[], true));
                joined.extend_from_slice(next);
                Some((number, joined.into(), whole))
            }
            _ => Some((self.number, line.into(), whole)),
        }
    }

    fn one(&mut self) -> Option<(&'a [u8], bool)> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        let end = self.rest.iter().position(|byte| *byte == b'\n');
        let (line, rest) = match end {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None => (self.rest, &[][..]),
        };
        self.rest = rest;
        Some((line, end.is_some()))
    }
}

/// What stands before `strace: Process 5 attached` at a line's end.
fn before_message(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_suffix(b" attached")?;
    let digits = line
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let begin = line[..line.len() - digits].strip_suffix(b"strace: Process ")?;
    (digits > 0 && !begin.is_empty()).then_some(begin)
}
