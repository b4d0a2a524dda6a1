//! Turning the kernel's bytes into text.

use std::fmt::Write as _;

use crate::event::Incomplete;

/// The bytes as text; what is not UTF-8 becomes `\xNN` and is marked.
pub fn text(bytes: &[u8], incomplete: &mut Incomplete) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            *incomplete |= Incomplete::ESCAPED;
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// The bytes before the first NUL, or all.
pub fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// NUL-terminated words; the last one may have lost its end.
pub fn words(bytes: &[u8], incomplete: &mut Incomplete) -> Vec<String> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    bytes
        .split(|byte| *byte == 0)
        .map(|word| text(word, incomplete))
        .collect()
}

/// A directory and the name in it.
pub fn join(directory: &str, name: &str) -> String {
    if directory.ends_with('/') {
        format!("{directory}{name}")
    } else {
        format!("{directory}/{name}")
    }
}
