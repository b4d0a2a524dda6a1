//! A panic is a defect of ours. It is told in one line, and the program ends as with any failure.
//!
//! What it says may quote a package: a name, an answer, the text that was cut at the wrong place.

use std::io::Write as _;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::text::{escape, escape_within};

/// Characters of what a panic says.
const LONGEST: usize = 1000;

/// Whether there was a panic, in whatever thread.
static CAME: AtomicBool = AtomicBool::new(false);

/// From now on every panic is told on standard error as one line of this program's.
pub fn tell_as(program: &'static str) {
    panic::set_hook(Box::new(move |panic| {
        CAME.store(true, Ordering::Relaxed);
        let place = panic.location().map(ToString::to_string);
        let line = line(program, panic.payload_as_str(), place.as_deref());
        // Nobody to tell where the terminal is gone.
        let _ = writeln!(std::io::stderr(), "{line}");
    }));
}

/// What the work gives; nothing where it panicked, which has been told then.
pub fn catch<T>(work: impl FnOnce() -> T) -> Option<T> {
    // What it left half done is not looked at: the program ends.
    panic::catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Whether there was a panic since [`tell_as`], in whatever thread.
#[must_use]
pub fn came() -> bool {
    CAME.load(Ordering::Relaxed)
}

fn line(program: &str, said: Option<&str>, place: Option<&str>) -> String {
    let said = escape_within(said.unwrap_or("it does not say which"), LONGEST);
    let place = escape(place.unwrap_or("at a place that is not known"));
    format!("{program}: internal error: {said} ({place})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_one_line_that_drives_no_terminal() {
        assert_eq!(
            line(
                "pyti",
                Some("no char boundary in `\x1b[2J\u{202e}a\nb`"),
                Some("manager/src/a.rs:1:2")
            ),
            "pyti: internal error: no char boundary in `\\u{1b}[2J\\u{202e}a\\nb` (manager/src/a.rs:1:2)"
        );
        assert_eq!(
            line("pyti-trace", None, None),
            "pyti-trace: internal error: it does not say which (at a place that is not known)"
        );
    }

    #[test]
    fn a_long_panic_is_cut() {
        let long = line("pyti", Some(&"a".repeat(LONGEST + 1)), Some("a.rs:1:2"));
        let cut = "a".repeat(LONGEST - 1);
        assert_eq!(long, format!("pyti: internal error: {cut}… (a.rs:1:2)"));
    }
}
