//! What a stage printed, for a reader's terminal.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use pyti_analyzer::{StageFacts, StageStatus, open_regular};
use pyti_trace::text::{escape, escape_json};
use serde::Serialize;

use crate::cli::Format;

/// The outputs, by the names of their files.
const OUTPUTS: [&str; 2] = ["stdout", "stderr"];
/// Bytes of a line at a time: one may be as long as the whole output.
const PIECE: u64 = 64 << 10;

/// A line of an output.
#[derive(Serialize)]
struct Line<'a> {
    stage: &'a str,
    output: &'a str,
    text: &'a str,
}

/// Writes both outputs of a stage of the run in this directory, escaped; a stage that was not started has
/// none, and neither has a trace that was made elsewhere.
///
/// # Errors
/// They are gone, or cannot be read or written.
pub(super) fn show(
    facts: &StageFacts,
    run: &Path,
    format: Format,
    out: &mut impl Write,
) -> Result<()> {
    let stage = facts.name.as_str();
    let directory = &run.join(stage);
    let started = !matches!(facts.status, StageStatus::NotStarted { .. });
    let any = OUTPUTS.iter().any(|output| directory.join(output).exists());
    if started && !facts.uncounted && !any {
        bail!(
            "{} of stage {stage} are gone from {}",
            OUTPUTS.join(" and "),
            directory.display()
        );
    }
    for output in OUTPUTS {
        let path = directory.join(output);
        let file = match open_regular(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("failed to read {}", path.display()));
            }
        };
        if format == Format::Table {
            writeln!(out, "stage {} {output}", escape(stage))?;
        }
        lines(file, |text| match format {
            Format::Table => writeln!(out, "    {}", escape(text)),
            Format::Json => {
                let line = serde_json::to_string(&Line {
                    stage,
                    output,
                    text,
                })?;
                writeln!(out, "{}", escape_json(line))
            }
        })
        .with_context(|| format!("failed to show {}", path.display()))?;
    }
    Ok(())
}

/// Every line, without its end; a very long one in pieces. What is not UTF-8 becomes U+FFFD.
fn lines(file: impl Read, mut each: impl FnMut(&str) -> io::Result<()>) -> io::Result<()> {
    let mut file = BufReader::new(file);
    let mut line = vec![];
    loop {
        line.clear();
        if (&mut file).take(PIECE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        each(&String::from_utf8_lossy(text))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(format: Format) -> String {
        let run = tempfile::tempdir().unwrap();
        let directory = run.path().join("install");
        std::fs::create_dir(&directory).unwrap();
        let print = |name: &str, bytes: &[u8]| std::fs::write(directory.join(name), bytes);
        print("stdout", b"one\n\x1b[2Jtwo\xff\n").unwrap();
        print("stderr", "\u{202e}three".as_bytes()).unwrap();
        let mut out = vec![];
        let facts = StageFacts::new("install", StageStatus::Completed);
        show(&facts, run.path(), format, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_that_was_printed_drives_a_terminal() {
        assert_eq!(
            shown(Format::Table),
            "stage install stdout\n    one\n    \\u{1b}[2Jtwo\u{fffd}\n\
             stage install stderr\n    \\u{202e}three\n"
        );
        let json = shown(Format::Json);
        assert!(!json.contains('\u{202e}'), "{json}");
        let last: serde_json::Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
        assert_eq!(last["text"], "\u{202e}three");
        assert_eq!(
            (&last["stage"], &last["output"]),
            (&"install".into(), &"stderr".into())
        );
    }

    #[test]
    fn a_line_without_end_comes_in_pieces() {
        let mut pieces = vec![];
        let long = vec![b'x'; PIECE as usize + 3];
        lines(&*long, |piece| {
            pieces.push(piece.len());
            Ok(())
        })
        .unwrap();
        assert_eq!(pieces, [PIECE as usize, 3]);
    }
}
