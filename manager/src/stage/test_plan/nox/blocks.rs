//! The statements of a Python file and the blocks that they stand in, told by indentation.

use super::text::{outside, word};

/// Lines that are read of a file.
const MOST: usize = 20_000;
/// Blocks within blocks that are read; deeper ones are left out.
const DEEPEST: usize = 50;
/// Words that open a block, where a colon ends what they begin.
const OPENING: [&str; 14] = [
    "async", "case", "class", "def", "elif", "else", "except", "finally", "for", "if", "match",
    "try", "while", "with",
];

/// A logical line: one that goes on where brackets or texts are open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'t> {
    /// Where it begins, after its indentation.
    pub at: usize,
    /// How far it is indented.
    pub indent: usize,
    /// What stands there.
    pub text: &'t str,
}

/// A statement, and the block that it opens.
#[derive(Debug)]
pub(super) struct Statement<'t> {
    /// Where it begins.
    pub at: usize,
    /// What it says; up to the colon where it opens a block.
    pub text: &'t str,
    /// The block.
    pub block: Option<Vec<Self>>,
}

impl Statement<'_> {
    /// The word that it begins with.
    pub(super) fn kind(&self) -> &str {
        word(self.text)
    }
}

/// The logical lines of a text that say something.
pub(super) fn lines(text: &str) -> Vec<Line<'_>> {
    let mut found = vec![];
    let mut at = 0;
    while at < text.len() && found.len() < MOST {
        let rest = &text[at..];
        let indent = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let start = at + indent;
        let end = end_of_line(text, start);
        let said = text[start..end].trim_end();
        if !said.is_empty() && !said.starts_with('#') {
            found.push(Line {
                at: start,
                indent,
                text: said,
            });
        }
        at = end + 1;
    }
    found
}

/// Where the logical line ends that begins at `at`. With a text that is left open it is no program.
fn end_of_line(text: &str, at: usize) -> usize {
    let mut letters = outside(&text[at..]);
    let end = letters.find(|(_, letter, depth)| *letter == '\n' && *depth == 0);
    end.map_or(text.len(), |(end, ..)| at + end)
}

/// The statements of a text.
pub(super) fn statements(text: &str) -> Vec<Statement<'_>> {
    block(&lines(text), &mut 0, 0)
}

/// The statements from the line at `next` on that are of its block.
fn block<'t>(lines: &[Line<'t>], next: &mut usize, depth: usize) -> Vec<Statement<'t>> {
    let mut found = vec![];
    let indent = lines.get(*next).map_or(0, |line| line.indent);
    while let Some(line) = lines.get(*next).filter(|line| line.indent >= indent) {
        *next += 1;
        let opened = opening(line.text);
        let inside = match opened {
            None => None,
            Some((_, "")) => {
                let following = lines.get(*next);
                let deeper = following.is_some_and(|next| next.indent > line.indent);
                Some(if !deeper {
                    vec![]
                } else if depth < DEEPEST {
                    block(lines, next, depth + 1)
                } else {
                    let rest = lines.get(*next..).unwrap_or_default().iter();
                    *next += rest.take_while(|next| next.indent > line.indent).count();
                    vec![]
                })
            }
            Some((_, same)) => Some(vec![Statement {
                at: line.at + line.text.len() - same.len(),
                text: same,
                block: None,
            }]),
        };
        found.push(Statement {
            at: line.at,
            text: opened.map_or(line.text, |(head, _)| head),
            block: inside,
        });
    }
    found
}

/// What stands before the colon of a line that opens a block, and what follows in the same line.
fn opening(text: &str) -> Option<(&str, &str)> {
    if !OPENING.contains(&word(text)) {
        return None;
    }
    let mut letters = outside(text);
    // `:=` gives a name to something on the way.
    let (at, ..) = letters.find(|(at, letter, depth)| {
        *letter == ':' && *depth == 0 && !text[*at + 1..].starts_with('=')
    })?;
    let same = text[at + 1..].trim_start();
    let same = if same.starts_with('#') { "" } else { same };
    Some((text[..at].trim_end(), same))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The statements, those of blocks in brackets after what opens them.
    fn shown(statements: &[Statement<'_>]) -> String {
        let shown = statements.iter().map(|statement| {
            let block = statement.block.as_deref();
            let block = block.map_or_else(String::new, |block| format!("[{}]", shown(block)));
            format!("{}{block}", statement.text.replace('\n', "~"))
        });
        shown.collect::<Vec<_>>().join("|")
    }

    #[test]
    fn statements_stand_in_the_blocks_that_they_are_indented_in() {
        let text = "def f(a,\n  b=':'):  # why\n    '''doc\nx: y\n'''\n    if a[1:2]: b()\n    elif c:\n        \
            # no\n        d(\n1)\n\n        e\n    else:\n        with f as g:\n            h\n    i = \\\n  j\nk\n";
        let found = statements(text);
        assert_eq!(
            shown(&found),
            "def f(a,~  b=':')['''doc~x: y~'''|if a[1:2][b()]|elif c[d(~1)|e]|\
            else[with f as g[h]]|i = \\~  j]|k"
        );
        assert_eq!(found[1].at, text.len() - 2);
        let inside = found[0].block.as_deref().unwrap();
        let call = &inside[1].block.as_deref().unwrap()[0];
        assert!(text[call.at..].starts_with("b()\n"));
    }

    #[test]
    fn comments_and_names_given_on_the_way_open_nothing() {
        for (text, expected) in [
            (
                "def f(  # don't: (\n  a):\n    b\nc\n",
                "def f(  # don't: (~  a)[b]|c",
            ),
            ("if a := b(): c\n", "if a := b()[c]"),
            ("match = a  # b: c\nd\n", "match = a  # b: c|d"),
        ] {
            assert_eq!(shown(&statements(text)), expected, "{text}");
        }
    }

    #[test]
    fn blocks_that_are_too_deep_are_left_out() {
        let deep: String = (0..DEEPEST + 10)
            .map(|depth| format!("{}if a:\n", " ".repeat(depth)))
            .collect();
        let found = shown(&statements(&format!("{deep}b\n")));
        assert_eq!(found.matches("if a").count(), DEEPEST + 1);
        assert!(found.ends_with("|b"), "{found}");
        let hostile = format!("if a:\n '{}", "\\'".repeat(100_000));
        assert_eq!(statements(&hostile).len(), 1);
    }
}
