//! INI files as Python's configparser reads them: `setup.cfg`, `tox.ini`, `unittest.cfg`.

use std::collections::BTreeMap;

use configparser::ini::{Ini as Parser, IniDefault};

/// Longest file that is read, bytes; no honest one comes near.
const LONGEST: usize = 256 << 10;

/// A file: values by section and key, keys in lower case.
#[derive(Debug, Default)]
pub(super) struct Ini(BTreeMap<String, BTreeMap<String, String>>);

impl Ini {
    /// Reads a file; one that cannot be read says nothing.
    pub(super) fn parse(text: &str) -> Self {
        if text.len() > LONGEST {
            return Self::default();
        }
        let mut settings = IniDefault::default();
        settings.case_sensitive = true;
        settings.multiline = true;
        // tox and setuptools let `#` stand within a value.
        settings.enable_inline_comments = false;
        let Ok(read) = Parser::new_from_defaults(settings).read(text.to_owned()) else {
            return Self::default();
        };
        let keys = |section: std::collections::HashMap<String, Option<String>>| {
            let values = section.into_iter();
            values
                .map(|(key, value)| (key.to_lowercase(), value.unwrap_or_default()))
                .collect()
        };
        Self(
            read.into_iter()
                .map(|(name, section)| (name, keys(section)))
                .collect(),
        )
    }

    /// A value, lines as they are written.
    pub(super) fn get(&self, section: &str, key: &str) -> Option<&str> {
        Some(self.0.get(section)?.get(key)?)
    }

    /// Whether there is such a section.
    pub(super) fn has(&self, section: &str) -> bool {
        self.0.contains_key(section)
    }

    /// The names of the sections, sorted.
    pub(super) fn sections(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// The lines of a value that say something, comments taken off.
pub(super) fn lines(value: &str) -> impl Iterator<Item = &str> {
    value
        .lines()
        .map(|line| line.split(" #").next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_on_where_lines_are_indented() {
        let ini = Ini::parse(
            "[testenv]\ndeps =\n    a # why\n    # not this\n\n    py27: b\nCommands = x\n[empty]\n",
        );
        let deps: Vec<&str> = lines(ini.get("testenv", "deps").unwrap()).collect();
        assert_eq!(deps, ["a", "py27: b"]);
        assert_eq!(ini.get("testenv", "commands"), Some("x"));
        assert!(ini.has("empty") && !ini.has("other"));
    }
}
