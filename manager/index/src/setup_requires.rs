//! What a source distribution asks for by `setup_requires` to be built: read from `setup.py` and
//! `setup.cfg` where it is written out there, never executed.

use configparser::ini::{Ini, IniDefault};

/// Bytes of a file that is read; honest ones have some thousands.
const LONGEST_FILE: usize = 1 << 20;
/// Requirements that are kept, in all and of one list, and places where they are looked for.
const MOST: usize = 50;
/// The keyword of `setup()` and the key of `setup.cfg`.
const NAME: &str = "setup_requires";

/// The requirements that these two files name, sorted.
pub(crate) fn written_out(setup_py: &str, setup_cfg: &str) -> Vec<String> {
    let mut found = vec![];
    if setup_py.len() <= LONGEST_FILE {
        found.extend(in_program(setup_py));
    }
    if setup_cfg.len() <= LONGEST_FILE {
        found.extend(in_settings(setup_cfg));
    }
    found.sort();
    found.dedup();
    found.truncate(MOST);
    found
}

fn in_program(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let named = values(&tokens, NAME).take(MOST);
    named
        .flat_map(|value| match value {
            // What is called, or a part of something, only running it would tell.
            [Token::Name(other), after @ ..]
                if !matches!(after.first(), Some(Token::Mark('(' | '[' | '.'))) =>
            {
                values(&tokens, other).next().map(texts).unwrap_or_default()
            }
            value => texts(value),
        })
        .collect()
}

/// <https://setuptools.pypa.io/en/latest/userguide/declarative_config.html>
fn in_settings(text: &str) -> Vec<String> {
    let mut settings = IniDefault::default();
    settings.multiline = true;
    // A condition begins with a semicolon.
    settings.enable_inline_comments = false;
    let mut parser = Ini::new_from_defaults(settings);
    if parser.read(text.to_owned()).is_err() {
        return vec![];
    }
    let value = parser.get("options", NAME).unwrap_or_default();
    if value.contains('\n') {
        lines(&value).take(MOST).collect()
    } else {
        value.split(';').flat_map(lines).take(MOST).collect()
    }
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

/// What stands behind each `name =` and each `"name":`.
fn values<'a, 't>(tokens: &'t [Token<'a>], name: &'t str) -> impl Iterator<Item = &'t [Token<'a>]> {
    (0..tokens.len()).filter_map(move |at| match &tokens[at..] {
        [Token::Name(found), Token::Mark('='), value @ ..]
            if *found == name && value.first() != Some(&Token::Mark('=')) =>
        {
            Some(value)
        }
        [Token::Text(found), Token::Mark(':'), value @ ..] if found == name => Some(value),
        _ => None,
    })
}

/// The items of a list, or the lines of a text.
fn texts(value: &[Token<'_>]) -> Vec<String> {
    match value {
        [Token::Text(_), ..] => {
            let parts = value.iter().map_while(|token| match token {
                Token::Text(part) => Some(part.as_str()),
                _ => None,
            });
            let text: String = parts.collect();
            lines(&text).take(MOST).collect()
        }
        [Token::Mark('[' | '('), inside @ ..] => items(inside),
        _ => vec![],
    }
}

/// The items up to the end of a list, save those that are no plain texts.
fn items(tokens: &[Token<'_>]) -> Vec<String> {
    let mut found = vec![];
    let mut item = Some(String::new());
    let mut depth = 0_usize;
    for token in tokens {
        match token {
            Token::Mark(mark @ (',' | ']' | ')')) if depth == 0 => {
                let ended = item.replace(String::new());
                let room = MOST.saturating_sub(found.len());
                found.extend(ended.iter().flat_map(|text| lines(text)).take(room));
                if *mark != ',' {
                    return found;
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
    vec![]
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
            let found = in_program(&format!("x = {list}\n{named}"));
            assert_eq!(found.len(), MOST * MOST, "{list}");
        }
        for value in [" a\n".repeat(MOST * 3), "a;".repeat(MOST * 3)] {
            let start = if value.contains('\n') { "\n" } else { "" };
            let settings = format!("[options]\nsetup_requires ={start}{value}");
            assert_eq!(in_settings(&settings).len(), MOST, "{settings}");
        }
    }
}
