//! Entry points: what a distribution offers by name to others, its commands among them
//! (<https://packaging.python.org/en/latest/specifications/entry-points/>).

use std::collections::BTreeMap;

use configparser::ini::{Ini, IniDefault};
use toml::Value;

/// Longest `entry_points.txt` that is read, bytes.
pub const LONGEST_FILE: usize = 1 << 20;
/// Entry points that are kept.
const MOST: usize = 5000;
/// Longest name or value, characters.
const LONGEST: usize = 500;

/// Object references by name, by group. All of it is the package's own word.
pub type EntryPoints = BTreeMap<String, BTreeMap<String, String>>;

/// Reads an `entry_points.txt`; `None` where it cannot be read, or is longer than [`LONGEST_FILE`].
#[must_use]
pub fn parse(text: &str) -> Option<EntryPoints> {
    parse_bytes(text.as_bytes())
}

/// Like [`parse`], with invalid UTF-8 replaced: that makes a text longer, and what counts is how long the
/// file is.
#[must_use]
pub fn parse_bytes(bytes: &[u8]) -> Option<EntryPoints> {
    if bytes.len() > LONGEST_FILE {
        return None;
    }
    let mut settings = IniDefault::default();
    settings.case_sensitive = true;
    settings.multiline = true;
    settings.enable_inline_comments = false;
    settings.delimiters = vec!['='];
    let text = String::from_utf8_lossy(bytes).into_owned();
    let read = Ini::new_from_defaults(settings).read(text).ok()?;
    let groups = read.into_iter().map(|(group, points)| {
        let points = points.into_iter();
        (
            group,
            points.filter_map(|(name, value)| Some((name, value?))),
        )
    });
    Some(bounded(groups))
}

/// Those of a `[project]` table.
pub(crate) fn of_project(
    scripts: Option<&Value>,
    gui_scripts: Option<&Value>,
    others: Option<&Value>,
) -> EntryPoints {
    let others = others.and_then(Value::as_table).into_iter().flatten();
    let groups = [("console_scripts", scripts), ("gui_scripts", gui_scripts)]
        .into_iter()
        .filter_map(|(group, points)| Some((group, points?)))
        .chain(others.map(|(group, points)| (group.as_str(), points)));
    bounded(groups.map(|(group, points)| {
        let points = points.as_table().into_iter().flatten();
        let texts =
            points.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        (group.to_owned(), texts)
    }))
}

fn bounded<P>(groups: impl Iterator<Item = (String, P)>) -> EntryPoints
where
    P: Iterator<Item = (String, String)>,
{
    let short = |text: &str| text.chars().take(LONGEST).collect::<String>();
    let mut found = EntryPoints::new();
    let mut left = MOST;
    // Sorted first: which are kept must not change from run to run.
    let mut groups: Vec<(String, Vec<(String, String)>)> = groups
        .map(|(group, points)| (group, points.collect()))
        .collect();
    groups.sort();
    for (group, mut points) in groups {
        points.sort();
        for (name, value) in points {
            if left == 0 {
                return found;
            }
            left -= 1;
            found
                .entry(short(&group))
                .or_default()
                .insert(short(&name), short(&value));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_with_its_case() {
        let found = parse(
            "[console_scripts]\nRun = a.b:main\nx=a:b [extra]\n\n[a.plugins]\nname.with:colon = c\nnone\n",
        );
        let found = found.unwrap();
        assert_eq!(found["console_scripts"]["Run"], "a.b:main");
        assert_eq!(found["console_scripts"]["x"], "a:b [extra]");
        assert_eq!(found["a.plugins"]["name.with:colon"], "c");
        assert_eq!(found["a.plugins"].len(), 1);
    }

    #[test]
    fn there_are_bounds() {
        let many: String = (0..MOST * 2)
            .map(|number| format!("a{number} = b\n"))
            .collect();
        let many = parse(&format!("[x]\n{many}")).unwrap();
        assert_eq!(many["x"].len(), MOST);
        let long = parse(&format!("[x]\na = {}\n", "b".repeat(LONGEST * 2))).unwrap();
        assert_eq!(long["x"]["a"].len(), LONGEST);
    }

    #[test]
    fn what_cannot_be_read_is_not_what_is_empty() {
        assert_eq!(parse(""), Some(EntryPoints::new()));
        for text in ["[console_scripts\na = b:c\n", "[x]\n= b:c\n"] {
            assert_eq!(parse(text), None, "{text}");
        }
        let comment = |length| "#".repeat(length);
        assert_eq!(parse(&comment(LONGEST_FILE)), Some(EntryPoints::new()));
        assert_eq!(parse(&comment(LONGEST_FILE + 1)), None);
    }

    #[test]
    fn a_file_is_as_long_as_its_bytes_are_many() {
        // Of each that is no UTF-8 three are made.
        let mut bytes = b"[x]\na = b\xff\n#".to_vec();
        bytes.resize(LONGEST_FILE, 0xff);
        let found = parse_bytes(&bytes).unwrap();
        assert_eq!(found["x"]["a"], "b\u{fffd}");
        bytes.push(0xff);
        assert_eq!(parse_bytes(&bytes), None);
    }
}
