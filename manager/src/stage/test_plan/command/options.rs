//! The words after a framework's name, taken apart.

use pyti_analyzer::amount;

/// What is made of the words after a framework's name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::stage::test_plan) struct Kept {
    /// What it is told too.
    pub words: Vec<String>,
    /// Options that it is not told and that may matter, with their values.
    pub left_out: Vec<String>,
}

impl Kept {
    /// Leaves out an option, without a word where that changes no result.
    pub(super) fn leave_out(&mut self, options: &Options, option: &str, value: Option<&str>) {
        if options.is_quiet(option) {
            return;
        }
        self.left_out.push(match value {
            Some(value) if option.starts_with("--") => format!("{option}={value}"),
            Some(value) => format!("{option} {value}"),
            None => option.to_owned(),
        });
    }
}

/// A word, or an option with its value.
pub(super) enum Word<'a> {
    /// No option.
    Bare(&'a str),
    /// An option's name, and the value that is joined to it or follows it.
    Named(&'a str, Option<&'a str>),
}

/// Options of a framework: lists of names with spaces between them.
pub(super) struct Options {
    /// Those that say only what is shown, measured or written, by how many processes tests are run or
    /// when to stop.
    pub quiet: &'static str,
    /// Short ones of these, which may stand together after one `-`.
    pub letters: &'static str,
    /// More of these: a value follows.
    pub quiet_values: &'static str,
    /// Others that a value follows.
    pub values: &'static str,
    /// Those that a value may follow, also some of the quiet ones.
    pub perhaps: &'static str,
}

impl Options {
    /// Takes the words after the framework's name apart.
    pub(super) fn read<'a>(&self, words: &[&'a str]) -> Vec<Word<'a>> {
        let mut found = vec![];
        let mut words = words.iter().copied().peekable();
        while let Some(word) = words.next() {
            let Some((option, joined)) = self.split(word) else {
                found.push(Word::Bare(word));
                continue;
            };
            let value = match joined {
                Some(value) => Some(value),
                None if self.wants_value(option) => words.next(),
                None if has(self.perhaps, option) => words.next_if(|next| !next.starts_with('-')),
                None => None,
            };
            found.push(Word::Named(option, value));
        }
        found
    }

    /// Takes the options apart that stand before the first other word, and gives what is left.
    pub(super) fn leading<'a, 'w>(
        &self,
        mut words: &'w [&'a str],
    ) -> (Vec<Word<'a>>, &'w [&'a str]) {
        let mut found = vec![];
        while let [word, rest @ ..] = words
            && let Some((option, joined)) = self.split(word)
        {
            words = rest;
            let mut value = joined;
            if value.is_none()
                && self.wants_value(option)
                && let [next, rest @ ..] = words
            {
                value = Some(*next);
                words = rest;
            }
            found.push(Word::Named(option, value));
        }
        (found, words)
    }

    /// An option and the value that is joined to it; `None` where a word is no option.
    fn split<'a>(&self, word: &'a str) -> Option<(&'a str, Option<&'a str>)> {
        if !word.starts_with('-') || ["-", "--"].contains(&word) {
            return None;
        }
        if word.starts_with("--") {
            return Some(match word.split_once('=') {
                Some((option, value)) => (option, Some(value)),
                None => (word, None),
            });
        }
        // One letter, and its value right after it.
        let end = word
            .char_indices()
            .nth(2)
            .map_or(word.len(), |(end, _)| end);
        let (option, value) = word.split_at(end);
        Some(match value.is_empty() || !self.wants_value(option) {
            true => (word, None),
            false => (option, Some(value.strip_prefix('=').unwrap_or(value))),
        })
    }

    fn wants_value(&self, option: &str) -> bool {
        has(self.values, option) || has(self.quiet_values, option)
    }

    fn is_quiet(&self, option: &str) -> bool {
        let letters = option.strip_prefix('-').unwrap_or_default();
        has(self.quiet, option)
            || has(self.quiet_values, option)
            || letters.chars().all(|letter| self.letters.contains(letter))
    }
}

/// Whether an option is one of a list.
pub(super) fn has(list: &str, option: &str) -> bool {
    list.split_whitespace().any(|known| known == option)
}

/// What it says that options are left out, where any are; `of` is where they are written.
pub(in crate::stage::test_plan) fn left_out(options: &[String], of: &str) -> Option<String> {
    let are = match options.len() {
        0 => return None,
        1 => "is",
        _ => "are",
    };
    let count = amount(options.len() as u64, "option", "options");
    let options = options.join(" ");
    Some(format!("{count} of {of} {are} left out: `{options}`"))
}
