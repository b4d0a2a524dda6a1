//! Standard output, which its reader may close.

use std::io::{self, ErrorKind, StdoutLock, Write};

/// What nobody reads any more is no failure, and does not change what a command found out: `pyti show
/// --events | head` ends well, and an audit's exit status is its verdict's. Other errors stay errors.
#[derive(Debug)]
pub(super) struct Output<W> {
    inner: W,
    closed: bool,
}

impl Output<io::BufWriter<StdoutLock<'static>>> {
    /// This program's own.
    pub(super) fn standard() -> Self {
        Self::new(io::BufWriter::new(io::stdout().lock()))
    }
}

impl<W: Write> Output<W> {
    fn new(inner: W) -> Self {
        Self {
            inner,
            closed: false,
        }
    }

    /// The result of what was tried, or `instead` where the reader went away.
    fn unless_closed<T>(&mut self, tried: io::Result<T>, instead: T) -> io::Result<T> {
        match tried {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(instead)
            }
            tried => tried,
        }
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.closed {
            return Ok(bytes.len());
        }
        let written = self.inner.write(bytes);
        self.unless_closed(written, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        let flushed = self.inner.flush();
        self.unless_closed(flushed, ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails as it is told.
    struct Fails(ErrorKind);

    impl Write for Fails {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure_and_a_full_disk_is_one() {
        let mut gone = Output::new(Fails(ErrorKind::BrokenPipe));
        assert!(
            gone.write_all(b"report")
                .and_then(|()| gone.flush())
                .is_ok()
        );
        assert!(gone.closed);
        let mut full = Output::new(Fails(ErrorKind::StorageFull));
        assert!(full.write_all(b"report").is_err() && full.flush().is_err());
    }
}
