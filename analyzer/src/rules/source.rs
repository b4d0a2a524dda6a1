//! Where rule files come from: those built into the program, or a directory.

use std::fs;
use std::io::Read;
use std::path::Path;

use super::error::{Place, RuleErrors};
use super::yaml::MAX_FILE;

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// Files that a directory of rules may hold.
const MAX_FILES: usize = 10_000;
/// Bytes that a recorded trace may hold.
const MAX_TRACE: usize = 64 << 20;

/// Rule files and traces by path, as a directory holds them: `ID.yaml` are rules, `shared*.yaml`
/// lists and macros, `ID/fires*.{yaml,jsonl}` and `ID/quiet*.{yaml,jsonl}` traces.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// Path for messages, and text.
    pub files: Vec<(String, String)>,
}

impl Source {
    /// The rules that are built into the program.
    #[must_use]
    pub fn embedded() -> Self {
        Self {
            files: EMBEDDED
                .iter()
                .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
                .collect(),
        }
    }

    /// The rules of a directory.
    ///
    /// # Errors
    /// A file that cannot be read, is not UTF-8 or is too large.
    pub fn directory(path: &Path) -> Result<Self, RuleErrors> {
        let mut source = Self::default();
        source.walk(path, 0)?;
        source.files.sort();
        if source.files.is_empty() {
            return Err(failed(path, "holds no rule files (*.yaml)"));
        }
        Ok(source)
    }

    fn walk(&mut self, directory: &Path, depth: usize) -> Result<(), RuleErrors> {
        let entries = fs::read_dir(directory).map_err(|error| {
            failed(directory, &format!("failed to read the directory: {error}"))
        })?;
        for entry in entries {
            let entry = entry.map_err(|error| {
                failed(directory, &format!("failed to read the directory: {error}"))
            })?;
            let path = entry.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if path.is_dir() {
                if depth == 0 {
                    self.walk(&path, depth + 1)?;
                }
            } else if matches!(extension, Some("yaml" | "jsonl")) {
                if self.files.len() >= MAX_FILES {
                    return Err(failed(directory, "holds too many files"));
                }
                let limit = if extension == Some("jsonl") {
                    MAX_TRACE
                } else {
                    MAX_FILE
                };
                let mut text = String::new();
                let read = fs::File::open(&path)
                    .and_then(|file| file.take(limit as u64 + 1).read_to_string(&mut text))
                    .map_err(|error| failed(&path, &format!("failed to read: {error}")))?;
                if read > limit {
                    return Err(failed(&path, &format!("is longer than {limit} bytes")));
                }
                self.files.push((path.to_string_lossy().into_owned(), text));
            }
        }
        Ok(())
    }
}

fn failed(path: &Path, message: &str) -> RuleErrors {
    Place::new(&path.to_string_lossy(), 1, 1)
        .error(message)
        .into()
}
