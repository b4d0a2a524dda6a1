//! INI files as Python's configparser reads them: `setup.cfg`, `tox.ini`, `unittest.cfg`.

use std::collections::BTreeMap;

use configparser::ini::{Ini as Parser, IniDefault};

/// Longest file that is read, bytes; no honest one comes near.
const LONGEST: usize = 256 << 10;

/// A bracket that begins no section, as it is marked while a file is read.
const MARKED: &str = "\u{1}[";

/// A file: values by section and key, keys in lower case.
#[derive(Debug, Default)]
pub(super) struct Ini(BTreeMap<String, BTreeMap<String, String>>);

impl Ini {
    /// Reads a file; one that cannot be read says nothing.
    pub(super) fn parse(text: &str) -> Self {
        Self::read(text).unwrap_or_default()
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read: where, and why.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err("it is too long".to_owned());
        }
        let mut settings = IniDefault::default();
        settings.case_sensitive = true;
        settings.multiline = true;
        // tox and setuptools let `#` stand within a value.
        settings.enable_inline_comments = false;
        let read = Parser::new_from_defaults(settings).read(marked(text))?;
        let keys = |section: std::collections::HashMap<String, Option<String>>| {
            let values = section.into_iter();
            values
                .map(|(key, value)| {
                    let value = value.unwrap_or_default().replace(MARKED, "[");
                    (key.to_lowercase(), value)
                })
                .collect()
        };
        Ok(Self(
            read.into_iter()
                .map(|(name, section)| (name, keys(section)))
                .collect(),
        ))
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

/// A file in which no line that goes on with a value begins with a bracket: the parser takes each of those for
/// a section, while Python's looks first how far a line is indented.
fn marked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // How far the key is indented that a line may go on with.
    let mut key: Option<usize> = None;
    for line in text.lines() {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        let goes_on = key.is_some_and(|key| indent > key);
        let says = !content.is_empty() && !content.starts_with(['#', ';']);
        if says && !goes_on {
            key = (!content.starts_with('[')).then_some(indent);
        }
        match content.strip_prefix('[').filter(|_| goes_on) {
            Some(rest) => {
                out.push_str(&line[..indent]);
                out.push_str(MARKED);
                out.push_str(rest);
            }
            None => out.push_str(line),
        }
        out.push('\n');
    }
    out
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
    use pyti_index::CoreMetadata;

    use super::super::{Files, PythonVersion, plan};
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

    #[test]
    fn a_bracket_begins_a_section_where_no_value_goes_on() {
        let ini = Ini::read(
            "[report]\nexclude_lines =\n    x\n    [^a\n\n    # b\n    [c] d\nafter = e\n  [f]\n\
            [g]\n  [h]\n  i = j\n  [k]\n",
        )
        .unwrap();
        let lines: Vec<&str> = lines(ini.get("report", "exclude_lines").unwrap()).collect();
        assert_eq!(lines, ["x", "[^a", "[c] d"]);
        assert_eq!(ini.get("report", "after"), Some("e\n[f]"));
        assert_eq!(ini.get("h", "i"), Some("j"));
        let sections: Vec<&str> = ini.sections().collect();
        assert_eq!(sections, ["g", "h", "k", "report"]);
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let planned = |setup: &str| {
            let files = Files::of(&[("setup.cfg", setup), ("test_a.py", "import pytest")]);
            plan(&files, &CoreMetadata::default(), PythonVersion::TEST).unwrap()
        };
        let found = planned("[report]\nexclude_lines =\n    [^a\n[nosetests]\nverbosity = 1\n");
        assert_eq!(found.reason, "setup.cfg has [nosetests]");
        assert_eq!(found.notes, Vec::<String>::new());
        let found = planned("[report\n[nosetests]\nverbosity = 1\n");
        assert_eq!(found.reason, "test_a.py has `import pytest`");
        let start = "setup.cfg cannot be read: line 1: ";
        assert!(found.notes[0].starts_with(start), "{:?}", found.notes);
        assert_eq!(found.notes.len(), 1);
    }
}
