//! What a stage printed, kept up to a bound.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// A file that takes so many bytes and counts the rest. The agent bounds the outputs as well; the
/// host does not take its word for it.
#[derive(Debug)]
pub struct OutputFile {
    file: File,
    room: u64,
    dropped: u64,
}

impl OutputFile {
    /// Makes the file.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn create(path: &Path, bound: u64) -> io::Result<Self> {
        Ok(Self {
            file: File::create(path)?,
            room: bound,
            dropped: 0,
        })
    }

    /// Keeps what there is room for.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        let room = usize::try_from(self.room).unwrap_or(usize::MAX);
        let (kept, rest) = bytes.split_at(bytes.len().min(room));
        self.room -= kept.len() as u64;
        self.dropped += rest.len() as u64;
        self.file.write_all(kept)
    }

    /// Marks where the output was cut, here or in the VM (`dropped_there` bytes); returns the bytes
    /// that are missing.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn finish(mut self, dropped_there: u64) -> io::Result<u64> {
        let missing = self.dropped.saturating_add(dropped_there);
        if missing > 0 {
            write!(self.file, "\n[pyti: cut here, {missing} more bytes]\n")?;
        }
        Ok(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::OutputFile;

    #[test]
    fn keeps_the_beginning_and_marks_the_cut() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stdout");
        let mut output = OutputFile::create(&path, 5).unwrap();
        output.push(b"abc").unwrap();
        output.push(b"defg").unwrap();
        assert_eq!(output.finish(10).unwrap(), 12);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "abcde\n[pyti: cut here, 12 more bytes]\n");
    }

    #[test]
    fn leaves_a_short_output_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stdout");
        let mut output = OutputFile::create(&path, 5).unwrap();
        output.push(b"abc").unwrap();
        assert_eq!(output.finish(0).unwrap(), 0);
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
    }
}
