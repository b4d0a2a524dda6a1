//! What the exceptions of a traceback say, without the lines of source that it quotes.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

/// Before the frames of an exception.
const FRAMES: &str = "Traceback (most recent call last):";
/// Before that where the exception is a group of others.
const GROUP: &str = "Exception Group ";
/// Before what a test printed, which unittest appends.
const PRINTED: [&str; 2] = ["Stdout:", "Stderr:"];

/// Colours, which pytest has in its report too where a variable asks for them, as it writes them there or as they
/// are.
static COLOURS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?:\x1b|#x1B)\[[0-9;]*m").ok());

/// What a line of a traceback is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// Of the frames, or between them and what was raised.
    Frames,
    /// Of what was raised, as the interpreter writes it.
    Raised,
    /// The same, as pytest marks it.
    Marked,
    /// Anything else.
    Other,
}

/// What each exception says that a traceback of the interpreter or of pytest tells of, with its kind, in their
/// order. The beginning of the traceback may be cut.
pub(super) fn raised(text: &str) -> Vec<String> {
    let text = match &*COLOURS {
        Some(colours) => colours.replace_all(text, ""),
        None => Cow::Borrowed(text),
    };
    let grouped = text.contains(GROUP);
    let mut found: Vec<String> = vec![];
    let mut before = Line::Frames;
    for line in text.lines().take_while(|line| !PRINTED.contains(line)) {
        let marked = marked(line);
        let line = match marked {
            Some(line) => line,
            None if grouped => ungrouped(line),
            None => line,
        };
        let is = match before {
            _ if marked.is_some() => Line::Marked,
            _ if is_of_frames(line) => Line::Frames,
            Line::Raised if !line.trim().is_empty() => Line::Raised,
            Line::Frames if is_first(line) => Line::Raised,
            Line::Frames => Line::Frames,
            _ => Line::Other,
        };
        if matches!(is, Line::Raised | Line::Marked) {
            match found.last_mut().filter(|_| is == before) {
                Some(last) => last.extend(["\n", line]),
                None => found.push(line.to_owned()),
            }
        }
        before = is;
    }
    found
}

/// What stands in a line that pytest marks.
fn marked(line: &str) -> Option<&str> {
    let rest = line.strip_prefix('E')?;
    (rest.is_empty() || rest.starts_with(' ')).then(|| rest.trim_start())
}

/// A line without the mark that it has within a group of exceptions.
fn ungrouped(line: &str) -> &str {
    let inner = line.trim_start_matches(' ');
    let rest = inner
        .strip_prefix("| ")
        .or_else(|| inner.strip_prefix("+ "));
    rest.unwrap_or(line)
}

/// Whether a line begins the frames of an exception or is one of them; one that is in a group may have none.
fn is_of_frames(line: &str) -> bool {
    line.strip_prefix(GROUP).unwrap_or(line) == FRAMES
        || line.starts_with("  File \"")
        || line.trim_start_matches(' ').starts_with("+-")
}

/// Whether a line begins with the kind of an exception, which is all of it or stands before what that says.
fn is_first(line: &str) -> bool {
    let kind = line.split_once(": ").map_or(line, |(kind, _)| kind);
    let letter = |c: char| c.is_alphanumeric() || "_.<>".contains(c);
    kind.starts_with(|c: char| c.is_alphabetic() || c == '_') && kind.chars().all(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_exceptions_are_told_from_the_source() {
        for (text, expected) in [
            (
                "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    X: 1\n    ^^^^\n\
                    a.b.Error: one\n\ttwo\nthree\n\nDuring handling of the above exception, another \
                    exception occurred:\n\nTraceback (most recent call last):\n  File \"a.py\", line 2, in g\n\
                    KeyError\n\nStdout:\nOSError: printed\nTraceback (most recent call last):\nOSError: x\n",
                &["a.b.Error: one\n\ttwo\nthree", "KeyError"][..],
            ),
            (
                "def test_a():\n        x = 1\n>       assert f(\"E  x\")\nE       assert 1 == 2\nE       \nE       \
                    why\n\ntest_a.py:3: \n_ _ _ _ \n\n    def f():\n>       g()\nE       OSError: no\n\n\
                    test_a.py:9: OSError\nOSError: no line of it",
                &["assert 1 == 2\n\nwhy", "OSError: no"],
            ),
            // Cut amid a line of source.
            (
                "refused\n  File \"a.py\", line 1, in f\n    raise Gone(\"b\")\nGone: c",
                &["refused", "Gone: c"],
            ),
            // As of a module that is not meant to be seen.
            (
                "  File \"a.py\", line 1, in f\n    g()\n_a.Error: (2002, \"b\")\n",
                &["_a.Error: (2002, \"b\")"],
            ),
            ("062 \n063 >>> OSError\nExpected:\n    2\nGot:\n    1", &[]),
            ("", &[]),
        ] {
            assert_eq!(raised(text), expected, "{text}");
        }
    }

    #[test]
    fn each_exception_of_a_group_is_told() {
        let group = "  + Exception Group Traceback (most recent call last):\n  |   File \"a.py\", line 1, in f\n  \
            |     raise ExceptionGroup(\"x\", [e])\n  | ExceptionGroup: x (2 sub-exceptions)\n  \
            +-+---------------- 1 ----------------\n    | Traceback (most recent call last):\n    |   File \
            \"a.py\", line 2, in g\n    |     raise OSError(\"no\")\n    | OSError: no\n    \
            +---------------- 2 ----------------\n    | ValueError: é\n    \
            +------------------------------------\n\nThe above exception was the direct cause of the \
            following exception:\n\n    def test_a():\n>       raise X from e\nE       X: y\n";
        let expected = [
            "ExceptionGroup: x (2 sub-exceptions)",
            "OSError: no",
            "ValueError: é",
        ];
        assert_eq!(raised(group)[..3], expected);
        assert_eq!(raised(group)[3..], ["X: y"]);
        // A source line of such a form is no part of one.
        let alone = "  File \"a.py\", line 1, in f\n    | OSError\nKeyError: 1";
        assert_eq!(raised(alone), ["KeyError: 1"]);
    }

    #[test]
    fn colours_hide_no_mark() {
        let lines =
            "#x1B[0m#x1B[94mdef#x1B[39;49;00m test():\n#x1B[1m#x1B[31mE       OSError: no#x1B[0m\n";
        assert_eq!(raised(lines), ["OSError: no"]);
        assert_eq!(raised(&lines.replace("#x1B", "\u{1b}")), ["OSError: no"]);
    }
}
