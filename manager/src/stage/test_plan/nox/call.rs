//! The arguments of a call in a noxfile.

use super::env::dictionary;
use super::names::{Known, Names};
use super::text::{argument, keyword, literal, literals, skip_space};
use super::{LONGEST, MOST};

/// The arguments of a call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    /// Those that are written out.
    pub words: Vec<String>,
    /// Dependency groups that are asked for by name.
    pub groups: Vec<String>,
    /// Variables of that call.
    pub variables: Vec<(String, String)>,
    /// How many of these only running it would tell.
    pub unset: usize,
    /// Those that only running it would tell.
    pub unknown: usize,
    /// Whether what stands first is one of these.
    pub open: bool,
}

impl Arguments {
    /// Those at the start of `text`, to the bracket that closes the call. `own` is the session's name for
    /// itself.
    pub(super) fn of(text: &str, names: &Names, own: &str) -> Self {
        let mut found = Self::default();
        let mut rest = &text[..text.floor_char_boundary(LONGEST)];
        for _ in 0..MOST {
            rest = skip_space(rest);
            let (said, after, end) = argument(rest);
            found.add(said.trim(), names, own);
            if end {
                break;
            }
            rest = after;
        }
        found
    }

    fn add(&mut self, bare: &str, names: &Names, own: &str) {
        // After the last comma.
        if bare.is_empty() {
            return;
        }
        if let Some((word, "")) = literal(bare) {
            self.words.push(word);
        } else if let Some((name, value)) = keyword(bare) {
            if name == "env" {
                (self.variables, self.unset) = dictionary(value);
            }
        } else if let Some(words) = spread(bare, names, own) {
            self.words.extend(words);
        } else if bare.contains("dependency_groups(") {
            let groups = literals(bare).into_iter();
            self.groups
                .extend(groups.filter(|group| !group.ends_with(".toml")));
        } else {
            // What is run where the user adds nothing.
            let added = bare.contains("posargs");
            let words = if added { literals(bare) } else { vec![] };
            // What stands first is a program, and there is one whatever the user adds.
            let first = self.words.is_empty() && words.is_empty();
            self.unknown += usize::from(first || !added);
            self.open |= first;
            self.words.extend(words);
        }
    }
}

/// The words that an argument stands for.
fn spread(bare: &str, names: &Names, own: &str) -> Option<Vec<String>> {
    match bare.strip_prefix('*') {
        Some(list) => match names.known(list, own)? {
            Known::List(words) => Some(words),
            Known::Text(_) => None,
        },
        None => match names.known(bare, own)? {
            Known::Text(word) => Some(vec![word]),
            Known::List(_) => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Arguments {
        let mut names = Names::default();
        names.set("a", Known::Text("x".to_owned()));
        names.set("many", Known::List(vec!["y".to_owned(), "z".to_owned()]));
        Arguments::of(text, &names, "s")
    }

    #[test]
    fn a_call_that_is_cut_off_says_what_it_can() {
        let said = of("'a', 'b");
        assert_eq!(said.words, ["a"]);
        assert_eq!(of("'é', \"\"\"b\nc\"\"\")").words, ["é", "b\nc"]);
    }

    #[test]
    fn names_stand_for_their_words() {
        let said = of("a, *many, f'{a}/b', *s.posargs, silent=True)");
        assert_eq!(said.words, ["x", "y", "z", "x/b"]);
        assert_eq!(said.unknown, 0);
        let said = of("many, *a, b, *(s.posargs or many), *(s.posargs if x else ['c']))");
        assert_eq!(said.words, ["y", "z", "c"]);
        assert_eq!(said.unknown, 3);
    }

    #[test]
    fn what_stands_first_is_written_out_or_not() {
        for (text, open, unknown) in [
            ("*make())", true, 1),
            ("*make(s.posargs), 'b')", true, 1),
            ("b, 'c', d)", true, 2),
            ("'b', *make(), *make(s.posargs))", false, 1),
            ("*s.posargs)", false, 0),
            ("*(s.posargs if x else ['c']), b)", false, 1),
            ("env={'A': b})", false, 0),
        ] {
            let said = of(text);
            assert_eq!((said.open, said.unknown), (open, unknown), "{text}");
        }
    }
}
