//! What a source distribution says for a keyword of `setup()`, such as `setup_requires`: read from `setup.py`
//! and `setup.cfg` where it is written out there, never executed.

use configparser::ini::{Ini, IniDefault};

/// Bytes of a file that is read; honest ones have some thousands.
const LONGEST_FILE: usize = 1 << 20;
/// Requirements that are kept, in all and of one list, and places where they are looked for.
const MOST: usize = 50;
/// The keyword of `setup()` and the key of `setup.cfg` for what a build requires.
const NAME: &str = "setup_requires";

/// What a keyword of `setup()` holds.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct WrittenOut {
    /// The texts that are written out, sorted.
    pub texts: Vec<String>,
    /// Whether there may be more: only running `setup.py` would tell them, or there are too many.
    pub more: bool,
}

impl WrittenOut {
    /// Something that only running it would tell.
    fn unknown() -> Self {
        Self {
            texts: vec![],
            more: true,
        }
    }

    fn add(&mut self, other: Self) {
        self.texts.extend(other.texts);
        self.more |= other.more;
    }

    /// Adds texts as long as there is room.
    fn fill(&mut self, texts: impl Iterator<Item = String>) {
        for text in texts {
            if self.texts.len() >= MOST {
                self.more = true;
                return;
            }
            self.texts.push(text);
        }
    }
}

/// The requirements that these two files name for a build, sorted.
pub(crate) fn written_out(setup_py: &str, setup_cfg: &str) -> Vec<String> {
    keyword_requirements(NAME, setup_py, setup_cfg).texts
}

/// The requirements that these two files name for a keyword of `setup()`, also where that is given a name
/// for them.
#[must_use]
pub fn keyword_requirements(keyword: &str, setup_py: &str, setup_cfg: &str) -> WrittenOut {
    let mut found = WrittenOut::default();
    if setup_py.len() <= LONGEST_FILE {
        found.add(in_program(setup_py, keyword));
    }
    found.add(in_settings(setup_cfg, keyword));
    found.texts.sort();
    found.texts.dedup();
    found.more |= found.texts.len() > MOST;
    found.texts.truncate(MOST);
    found
}

/// The first text that a `setup.py` has for a keyword of `setup()`, also where that is given a name for it;
/// `None` where none is written out.
#[must_use]
pub fn keyword_text(keyword: &str, setup_py: &str) -> Option<String> {
    if setup_py.len() > LONGEST_FILE {
        return None;
    }
    let tokens = tokens(setup_py);
    values(&tokens, keyword).take(MOST).find_map(|value| {
        let (value, _) = followed(value, &tokens);
        let (text, rest) = joined(value);
        (!text.is_empty() && !goes_on(rest)).then_some(text)
    })
}

fn in_program(text: &str, keyword: &str) -> WrittenOut {
    let tokens = tokens(text);
    let mut found = WrittenOut::default();
    let mut places = values(&tokens, keyword);
    for value in places.by_ref().take(MOST) {
        found.more |= matches!(value, [Token::Name(_), after @ ..] if goes_on(after));
        let (value, name) = followed(value, &tokens);
        found.add(texts(value));
        found.more |= name.is_some_and(|name| grows(&tokens, name));
    }
    found.more |= places.next().is_some() || grows(&tokens, keyword);
    found
}

/// What a value is, where it is no more than a name for that, with the name.
fn followed<'t, 'a>(
    value: &'t [Token<'a>],
    tokens: &'t [Token<'a>],
) -> (&'t [Token<'a>], Option<&'a str>) {
    match value {
        // What is called, or a part of something, only running it would tell.
        [Token::Name(name), after @ ..]
            if !matches!(after.first(), Some(Token::Mark('(' | '[' | '.'))) =>
        {
            let named = values(tokens, name).next();
            (named.unwrap_or(value), Some(*name))
        }
        value => (value, None),
    }
}

/// Whether a value is not over yet where its list or its text is.
fn goes_on(rest: &[Token<'_>]) -> bool {
    matches!(rest.first(), Some(Token::Mark('+' | '%' | '.')))
}

/// Whether something is added to what this name stands for.
fn grows(tokens: &[Token<'_>], name: &str) -> bool {
    tokens.windows(3).any(|tokens| match tokens {
        [Token::Name(found), Token::Mark('+'), Token::Mark('=')] => *found == name,
        [Token::Name(found), Token::Mark('.'), Token::Name(method)] => {
            *found == name && ["append", "extend", "insert"].contains(method)
        }
        _ => false,
    })
}

/// What `setup.cfg` says for a keyword of `setup()`; nothing where it cannot be read, or is longer than an honest
/// one. <https://setuptools.pypa.io/en/latest/userguide/declarative_config.html>
pub(crate) fn setting(text: &str, keyword: &str) -> Option<String> {
    if text.len() > LONGEST_FILE {
        return None;
    }
    let mut settings = IniDefault::default();
    settings.multiline = true;
    // A condition begins with a semicolon.
    settings.enable_inline_comments = false;
    let mut parser = Ini::new_from_defaults(settings);
    parser.read(text.to_owned()).ok()?;
    parser.get("options", keyword)
}

fn in_settings(text: &str, keyword: &str) -> WrittenOut {
    let mut found = WrittenOut::default();
    let value = setting(text, keyword).unwrap_or_default();
    if value.contains('\n') {
        found.fill(lines(&value));
    } else {
        found.fill(value.split(';').flat_map(lines));
    }
    found
}

/// A token of Python, as far as lists of texts need it.
#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    Name(&'a str),
    /// A string literal without its quotes; no format.
    Text(String),
    Mark(char),
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = vec![];
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first == '#' {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
        } else if first == '"' || first == '\'' {
            let (word, after) = quoted(rest);
            found.push(Token::Text(word));
            rest = after;
        } else if first.is_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
            let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
            rest = after;
            match name.to_ascii_lowercase().as_str() {
                "r" | "b" | "u" | "br" | "rb" if after.starts_with(['"', '\'']) => {}
                _ => found.push(Token::Name(name)),
            }
        } else {
            if !first.is_whitespace() && first != '\\' {
                found.push(Token::Mark(first));
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    found
}

/// The string literal at the start of `text`, its escapes undone as far as requirements have any, and
/// what follows it.
fn quoted(text: &str) -> (String, &str) {
    let one = &text[..1];
    let quote = if text.starts_with(&one.repeat(3)) {
        &text[..3]
    } else {
        one
    };
    let mut word = String::new();
    let mut rest = &text[quote.len()..];
    loop {
        if let Some(after) = rest.strip_prefix(quote) {
            return (word, after);
        }
        let mut letters = rest.chars();
        match letters.next() {
            None => return (word, ""),
            Some('\n') if quote.len() == 1 => return (word, rest),
            Some('\\') => word.extend(letters.next()),
            Some(letter) => word.push(letter),
        }
        rest = letters.as_str();
    }
}

/// What stands behind each `name =`, each `"name":` and each `["name"] =`.
fn values<'a, 't>(tokens: &'t [Token<'a>], name: &'t str) -> impl Iterator<Item = &'t [Token<'a>]> {
    (0..tokens.len()).filter_map(move |at| match &tokens[at..] {
        [Token::Name(found), Token::Mark('='), value @ ..]
            if *found == name && value.first() != Some(&Token::Mark('=')) =>
        {
            Some(value)
        }
        [Token::Text(found), Token::Mark(':'), value @ ..] if found == name => Some(value),
        [
            Token::Text(found),
            Token::Mark(']'),
            Token::Mark('='),
            value @ ..,
        ] if found == name && value.first() != Some(&Token::Mark('=')) => Some(value),
        _ => None,
    })
}

/// The items of a list, or the lines of a text.
fn texts(value: &[Token<'_>]) -> WrittenOut {
    let (mut found, rest) = match value {
        [Token::Text(_), ..] => {
            let (text, rest) = joined(value);
            let mut found = WrittenOut::default();
            found.fill(lines(&text));
            (found, rest)
        }
        [Token::Mark('[' | '('), inside @ ..] => items(inside),
        [Token::Name(name), ..] if *name == "None" => return WrittenOut::default(),
        _ => return WrittenOut::unknown(),
    };
    found.more |= goes_on(rest);
    found
}

/// The text that the literals at the start make together, and what follows them.
fn joined<'t, 'a>(tokens: &'t [Token<'a>]) -> (String, &'t [Token<'a>]) {
    let mut text = String::new();
    let mut rest = tokens;
    while let [Token::Text(part), after @ ..] = rest {
        text.push_str(part);
        rest = after;
    }
    (text, rest)
}

/// The items up to the end of a list, save those that are no plain texts, and what follows it.
fn items<'t, 'a>(tokens: &'t [Token<'a>]) -> (WrittenOut, &'t [Token<'a>]) {
    let mut found = WrittenOut::default();
    let mut item = Some(String::new());
    let mut depth = 0_usize;
    let mut rest = tokens;
    while let [token, after @ ..] = rest {
        rest = after;
        match token {
            Token::Mark(mark @ (',' | ']' | ')')) if depth == 0 => {
                match item.replace(String::new()) {
                    Some(text) => found.fill(lines(&text)),
                    None => found.more = true,
                }
                if *mark != ',' {
                    return (found, rest);
                }
            }
            Token::Text(part) if depth == 0 => {
                if let Some(item) = &mut item {
                    item.push_str(part);
                }
            }
            other => {
                item = None;
                match other {
                    Token::Mark('[' | '(' | '{') => depth += 1,
                    Token::Mark(']' | ')' | '}') => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
        }
    }
    // A list without an end is no Python.
    (WrittenOut::unknown(), rest)
}

fn lines(text: &str) -> impl Iterator<Item = String> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_out_is_read() {
        for (setup, expected) in [
            (
                "setup(name='x', setup_requires=['b>=1', \"a[x]\"])",
                "a[x]|b>=1",
            ),
            ("setup(setup_requires=('a', u'b' '>1',),)", "a|b>1"),
            ("setup(setup_requires='a')", "a"),
            (
                "setup(setup_requires='''\n    a\n    b; python_version<'4'\n''')",
                "a|b; python_version<'4'",
            ),
            (
                "NEEDED = [\n    'a',  # ], 'no'\n    'b',\n]\nsetup(setup_requires=NEEDED)",
                "a|b",
            ),
            (
                "setup_requires = ['a']\nsetup(setup_requires=setup_requires)",
                "a",
            ),
            ("setup(**{'setup_requires': ['a']})", "a"),
            ("setup(setup_requires=['a'] if sys.argv else [])", "a"),
            (
                "setup(setup_requires=['a==%s' % v, f'b{c}', d, ['e'], 'f'])",
                "f",
            ),
        ] {
            assert_eq!(written_out(setup, "").join("|"), expected, "{setup}");
        }
    }

    #[test]
    fn what_only_running_it_would_tell_is_left_out() {
        for setup in [
            "",
            "setup(install_requires=['a'])",
            "# setup_requires=['a']",
            "\"\"\"setup_requires=['a']\"\"\"",
            "setup(setup_requires=read('a'))",
            "setup(setup_requires=NEEDED['setup'], NEEDED={'setup': ['a']})",
            "setup(setup_requires=NEEDED)",
            "setup_requires == ['a']",
            "setup(setup_requires=['a', 'b",
            "setup(setup_requires=setup_requires)",
            "setup(setup_requires='",
            "setup_requires=",
        ] {
            assert_eq!(written_out(setup, ""), Vec::<String>::new(), "{setup}");
        }
    }

    #[test]
    fn any_keyword_is_read_and_what_is_not_written_out_is_told() {
        for (setup, expected, more) in [
            ("setup(tests_require=['a', 'b[x]', 'c'])", "a|b[x]|c", false),
            ("setup(tests_require=['a[x]', 'b'])", "a[x]|b", false),
            ("setup(tests_require='a')", "a", false),
            ("setup(tests_require=None, setup_requires=['a'])", "", false),
            ("setup(tests_require=[])", "", false),
            ("kwargs['tests_require'] = ['a']", "a", false),
            ("x['tests_require'] == ['a']", "", false),
            ("NEEDED = ['a']\nsetup(tests_require=NEEDED)", "a", false),
            ("# tests_require=['a']", "", false),
            ("setup(tests_require=['a', b, 'c'])", "a|c", true),
            ("setup(tests_require=['a'] + b)", "a", true),
            ("B = ['b']\nsetup(tests_require=B + ['a'])", "b", true),
            ("setup(tests_require=read('a'))", "", true),
            ("setup(tests_require=needed)", "", true),
            (
                "needed = ['a']\nneeded.append('b')\nsetup(tests_require=needed)",
                "a",
                true,
            ),
            (
                "tests_require = ['a']\ntests_require += ['b']\nsetup(tests_require=tests_require)",
                "a",
                true,
            ),
        ] {
            let found = keyword_requirements("tests_require", setup, "");
            let texts = found.texts.join("|");
            assert_eq!((texts.as_str(), found.more), (expected, more), "{setup}");
        }
        let both = keyword_requirements(
            "tests_require",
            "setup(tests_require=['b'])",
            "[options]\ntests_require =\n    a>1\nsetup_requires = c\n",
        );
        assert_eq!(
            (both.texts.join("|"), both.more),
            ("a>1|b".to_owned(), false)
        );
    }

    #[test]
    fn a_text_is_told_where_it_is_written_out() {
        for (setup, expected) in [
            ("setup(test_suite='a.b')", Some("a.b")),
            ("setup(**{\"test_suite\": u'a' '.b'})", Some("a.b")),
            ("SUITE = 'a'\nsetup(test_suite=SUITE)", Some("a")),
            (
                "def suite():\n    test_suite = loader.discover('a')\n    return test_suite\n\
                setup(test_suite='b')",
                Some("b"),
            ),
            ("setup(test_suite=suite())", None),
            ("setup(test_suite=None)", None),
            ("setup(test_suite=suite)", None),
            ("setup(test_suite='a.%s' % b)", None),
            ("setup(test_suite='')", None),
            ("# setup(test_suite='a')", None),
            ("test_suite == 'a'", None),
            ("setup(test_suite=", None),
        ] {
            let found = keyword_text("test_suite", setup);
            assert_eq!(found.as_deref(), expected, "{setup}");
        }
        let long = format!("setup(test_suite='a'){}", " ".repeat(LONGEST_FILE));
        assert_eq!(keyword_text("test_suite", &long), None);
    }

    #[test]
    fn settings_are_read_too() {
        let several = "[options]\nsetup_requires =\n    a >= 1\n    b; python_version < '4'\n";
        assert_eq!(
            written_out("", several),
            ["a >= 1", "b; python_version < '4'"]
        );
        assert_eq!(
            written_out("", "[options]\nsetup_requires = b;a\n"),
            ["a", "b"]
        );
        assert!(written_out("", "[metadata]\nsetup_requires = a\n").is_empty());
    }

    #[test]
    fn there_are_bounds() {
        let many: String = (0..MOST * 3)
            .map(|number| format!("'a{number}',"))
            .collect();
        let many = format!("setup(setup_requires=[{many}])");
        assert_eq!(written_out(&many, "").len(), MOST);
        let long = format!("setup(setup_requires=['a']){}", " ".repeat(LONGEST_FILE));
        assert!(written_out(&long, "").is_empty());
    }

    #[test]
    fn a_long_list_that_is_named_again_and_again_is_not_copied_as_often() {
        let (items, text) = ("'a', ".repeat(MOST * 3), "a\n".repeat(MOST * 3));
        for list in [format!("[{items}]"), format!("'''{text}'''")] {
            let named = "setup_requires = x\n".repeat(MOST * 3);
            let found = in_program(&format!("x = {list}\n{named}"), NAME);
            assert_eq!(found.texts.len(), MOST * MOST, "{list}");
            assert!(found.more, "{list}");
        }
        for value in [" a\n".repeat(MOST * 3), "a;".repeat(MOST * 3)] {
            let start = if value.contains('\n') { "\n" } else { "" };
            let settings = format!("[options]\nsetup_requires ={start}{value}");
            let found = in_settings(&settings, NAME);
            assert_eq!((found.texts.len(), found.more), (MOST, true), "{settings}");
        }
    }
}
