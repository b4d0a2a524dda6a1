//! RECORD files (PEP 376, PEP 627), which are hostile.

use std::io::Read;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::relative::join;

/// Longest name of a file, in bytes: `PATH_MAX` of linux/limits.h.
const LONGEST_NAME: usize = 4096;
/// Longest digest of a RECORD: a sha512 has a hundred characters.
const LONGEST_DIGEST: usize = 160;

/// A file as RECORD has it (PEP 376, PEP 627).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedFile {
    /// Where it is.
    pub path: String,
    /// Its digest, as its algorithm and URL-safe base64, where it is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Its size in bytes, where it is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// What all RECORDs together may name.
pub(super) struct Budget {
    /// Files.
    pub lines: usize,
    /// Bytes of their paths.
    pub bytes: usize,
}

/// The files that a RECORD (PEP 376, PEP 627) names, relative to `/`; `root` is where it is
/// installed. A line that is none, or whose name is too long for a file's, names nothing. This is the one place
/// where such names come in: what is made of them elsewhere relies on these bounds.
pub(super) fn record(
    content: impl Read,
    root: &str,
    budget: &mut Budget,
) -> Result<Vec<RecordedFile>> {
    csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(content)
        .byte_records()
        .map_while(Result::ok)
        .filter_map(|line| {
            if line.get(0)?.len() > LONGEST_NAME {
                return None;
            }
            let text = |at| line.get(at).map(String::from_utf8_lossy);
            let digest =
                text(1).filter(|digest| !digest.is_empty() && digest.len() <= LONGEST_DIGEST);
            Some(RecordedFile {
                path: join(root, &text(0)?)?,
                digest: digest.map(std::borrow::Cow::into_owned),
                bytes: text(2).and_then(|bytes| bytes.parse().ok()),
            })
        })
        .map(|file| {
            let lines = budget.lines.checked_sub(1);
            let bytes = budget.bytes.checked_sub(file.path.len());
            let (Some(lines), Some(bytes)) = (lines, bytes) else {
                anyhow::bail!("its RECORD files name too much");
            };
            (budget.lines, budget.bytes) = (lines, bytes);
            Ok(file)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_too_long_for_a_file_names_nothing() {
        let mut budget = Budget {
            lines: 10,
            bytes: 1 << 20,
        };
        let longest = "a".repeat(LONGEST_NAME);
        let text = format!("{longest}\n{longest}a\n\"{longest}/../b.py\",,\nc.py,,\n");
        let named = record(text.as_bytes(), "site", &mut budget).unwrap();
        let paths: Vec<&str> = named.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, [format!("site/{longest}").as_str(), "site/c.py"]);
        assert_eq!(budget.lines, 8);
    }
}
