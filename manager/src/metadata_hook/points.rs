//! The entry points that a build back end made, as our programs in the guest bring them back.

use pyti_analyzer::escape_within;
use pyti_index::{EntryPoints, entry_points};

/// The entry points that a build back end made; or why they are not known, in one phrase: that is never
/// that there are none.
pub type Made = Result<EntryPoints, String>;

/// Longest file that is brought back: a line of ours, and then that of the back end.
pub(super) const LONGEST_FILE: u64 = (LONGEST_LINE + entry_points::LONGEST_FILE) as u64;
/// Bytes of that line, and characters of a reason.
const LONGEST_LINE: usize = 100;

/// What such a file tells, where there is one: no back end has to leave it as it was written, or there.
pub(super) fn made(file: Option<&[u8]>) -> Made {
    let file = file.ok_or("nothing was brought back of them")?;
    let mut parts = file.splitn(2, |byte| *byte == b'\n');
    let line = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let rest = parts.next().unwrap_or_default();
    match &*line {
        "none" => Ok(EntryPoints::new()),
        "kept" => entry_points::parse_bytes(rest)
            .ok_or_else(|| "entry_points.txt cannot be understood".to_owned()),
        line => {
            let why = line.strip_prefix("lost: ");
            let why = why.unwrap_or("what was brought back of them cannot be understood");
            Err(escape_within(why, LONGEST_LINE))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_there_are_none_is_told_apart_from_that_nobody_knows() {
        let told = |file: &str| made(Some(file.as_bytes()));
        assert_eq!(told("none\n"), Ok(EntryPoints::new()));
        let points = told("kept\n[console_scripts]\na = b:c\n").unwrap();
        assert_eq!(points["console_scripts"]["a"], "b:c");
        assert_eq!(told("kept\n"), Ok(EntryPoints::new()));
        let forged = "what was brought back of them cannot be understood";
        let long = format!("kept\n{}", "#".repeat(entry_points::LONGEST_FILE + 1));
        let unread = "entry_points.txt cannot be understood";
        for (file, why) in [
            ("kept\n[console_scripts\na = b:c\n", unread),
            (long.as_str(), unread),
            (
                "lost: entry_points.txt is no plain file\n",
                "entry_points.txt is no plain file",
            ),
            ("lost: \u{1b}[2J", "\\u{1b}[2J"),
            ("", forged),
            ("[console_scripts]\na = b:c\n", forged),
        ] {
            assert_eq!(
                told(file),
                Err(why.to_owned()),
                "{}",
                &file[..file.len().min(40)]
            );
        }
        let gone = "nothing was brought back of them".to_owned();
        assert_eq!(made(None), Err(gone));
        let long = told(&format!("lost: {}\n", "x".repeat(9000))).unwrap_err();
        assert_eq!(long.chars().count(), LONGEST_LINE);
    }

    #[test]
    fn the_longest_file_comes_back_whole() {
        let mut file = b"kept\n[x]\na = b\n#".to_vec();
        file.resize("kept\n".len() + entry_points::LONGEST_FILE, b'#');
        assert!(file.len() as u64 <= LONGEST_FILE);
        assert_eq!(made(Some(file.as_slice())).unwrap()["x"]["a"], "b");
    }
}
