//! How much a condition of a requirement (PEP 508, "environment markers") costs to read. It becomes a
//! decision diagram, which grows exponentially where somebody wants it to, so that it is weighed first.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{LazyLock, Mutex, PoisonError};

/// Parentheses within parentheses; each costs call depth.
const DEEPEST: usize = 16;
/// Comparisons, and versions of lists of them. The longest honest ones name every platform or extra.
const MOST_COMPARISONS: u64 = 64;
/// Leaves of the decision tree. A diagram has no more paths.
const MOST_LEAVES: u64 = 256;
/// What all conditions together may cost: leaves by comparisons, each some half KiB that is never
/// given back.
const MOST_SPENT: u64 = 1 << 20;

/// Whether `requirement` has a condition that can be read in little time and memory, or none.
pub(crate) fn is_affordable(requirement: &str) -> bool {
    static SPENT: LazyLock<Mutex<Spent>> = LazyLock::new(Mutex::default);
    // Whatever a condition follows, it follows a semicolon.
    let Some((_, marker)) = requirement.split_once(';') else {
        return true;
    };
    let Some(cost) = cost(marker) else {
        return false;
    };
    let mut spent = SPENT.lock().unwrap_or_else(PoisonError::into_inner);
    spent.afford(marker, cost)
}

/// What was read. Conditions that are read again cost nothing.
#[derive(Debug, Default)]
struct Spent {
    markers: HashSet<u64>,
    hasher: RandomState,
    cost: u64,
}

impl Spent {
    fn afford(&mut self, marker: &str, cost: u64) -> bool {
        let hash = self.hasher.hash_one(marker);
        if self.markers.contains(&hash) {
            return true;
        }
        let affordable = self.cost + cost <= MOST_SPENT;
        if affordable {
            self.cost += cost;
            self.markers.insert(hash);
        }
        affordable
    }
}

/// Leaves by comparisons; `None`: too much.
fn cost(marker: &str) -> Option<u64> {
    let mut marker = Marker {
        tokens: tokens(marker).into_iter().peekable(),
        comparisons: 0,
    };
    let leaves = marker.chain(Joint::Or, DEEPEST)?.leaves();
    (leaves <= MOST_LEAVES).then(|| leaves * marker.comparisons)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joint {
    And,
    Or,
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    Joint(Joint),
    /// A quoted text of so many words.
    Quoted(u64),
    Word,
}

/// Anything between blanks, quotes, brackets and operators is a word.
fn tokens(marker: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = marker.trim_start();
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        rest = match first {
            '(' | ')' => {
                let bracket = if first == '(' {
                    Token::Open
                } else {
                    Token::Close
                };
                tokens.push(bracket);
                after
            }
            '\'' | '"' => {
                let (text, after) = after.split_once(first).unwrap_or((after, ""));
                tokens.push(Token::Quoted(text.split_whitespace().count() as u64));
                after
            }
            '<' | '>' | '=' | '!' | '~' => after,
            _ => {
                let ends = |c: char| c.is_whitespace() || "()'\"<>=!~".contains(c);
                let (word, after) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
                tokens.push(match word {
                    "and" => Token::Joint(Joint::And),
                    "or" => Token::Joint(Joint::Or),
                    _ => Token::Word,
                });
                after
            }
        }
        .trim_start();
    }
    tokens
}

/// What a part of a condition is made of.
#[derive(Debug, Clone, Copy)]
struct Shape {
    /// What joins its parts; `None`: it has one.
    joint: Option<Joint>,
    /// Its comparisons.
    single: u64,
    /// The leaves of its other parts, multiplied.
    product: u64,
}

impl Shape {
    /// The leaves of its decision tree, at most: a row of comparisons with one joint has one more than
    /// comparisons, and a path through two trees is one of each.
    fn leaves(self) -> u64 {
        (self.single + 1).saturating_mul(self.product)
    }
}

struct Marker<I: Iterator<Item = Token>> {
    tokens: std::iter::Peekable<I>,
    comparisons: u64,
}

impl<I: Iterator<Item = Token>> Marker<I> {
    /// Parts that are joined by `joint`; "and" binds closer than "or".
    fn chain(&mut self, joint: Joint, depth: usize) -> Option<Shape> {
        let mut chain = self.part(joint, depth)?;
        while self.tokens.next_if_eq(&Token::Joint(joint)).is_some() {
            let part = self.part(joint, depth)?;
            chain = chain.within(joint).join(part.within(joint));
        }
        Some(chain)
    }

    fn part(&mut self, joint: Joint, depth: usize) -> Option<Shape> {
        if joint == Joint::Or {
            return self.chain(Joint::And, depth);
        }
        if self.tokens.next_if_eq(&Token::Open).is_some() {
            let inner = self.chain(Joint::Or, depth.checked_sub(1)?)?;
            self.tokens.next_if_eq(&Token::Close);
            return Some(inner);
        }
        let mut single = 1;
        while let Some(token) = self
            .tokens
            .next_if(|token| matches!(token, Token::Word | Token::Quoted(_)))
        {
            if let Token::Quoted(words) = token {
                single = single.max(words);
            }
        }
        self.comparisons += single;
        (self.comparisons <= MOST_COMPARISONS).then_some(Shape {
            joint: None,
            single,
            product: 1,
        })
    }
}

impl Shape {
    /// The same as a part of what `joint` joins.
    fn within(self, joint: Joint) -> Self {
        let same = self.joint.is_none_or(|own| own == joint);
        Self {
            joint: Some(joint),
            single: if same { self.single } else { 0 },
            product: if same { self.product } else { self.leaves() },
        }
    }

    fn join(self, other: Self) -> Self {
        Self {
            joint: self.joint,
            single: self.single + other.single,
            product: self.product.saturating_mul(other.product),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(count: usize, joint: &str, part: impl Fn(usize) -> String) -> String {
        (0..count).map(part).collect::<Vec<_>>().join(joint)
    }

    #[test]
    fn honest_conditions_are_affordable() {
        // Of SQLAlchemy, of Poetry's lists of extras, of old lists of versions.
        let machines = ["aarch64", "ppc64le", "x86_64", "amd64", "AMD64", "win32"];
        let machines = joined(6, " or (", |at| {
            format!("platform_machine == \"{}\"", machines[at])
        });
        let greenlet = format!(
            "python_version < \"3.14\" and ({machines} or platform_machine == \"WIN32\")))))) and extra == 'asyncio'"
        );
        let extras = joined(40, " or ", |at| format!("extra == \"e{at}\""));
        let poetry =
            format!("(python_version >= \"3.8\" and python_version < \"4.0\") and ({extras})");
        let ranges = joined(5, " or ", |at| {
            format!("python_version == \"3.{at}\" and sys_platform == \"linux\"")
        });
        for (marker, leaves) in [
            (&*greenlet, 24),
            (&*poetry, 123),
            (&*ranges, 243),
            (
                "python_version in '2.6 2.7 3.2 3.3' and os_name not in \"nt dos\"",
                7,
            ),
            ("extra == 'x'", 2),
        ] {
            let cost = cost(marker).unwrap_or_else(|| panic!("{marker}"));
            assert_eq!(cost % leaves, 0, "{marker} costs {cost}");
        }
    }

    #[test]
    fn conditions_that_grow_exponentially_are_not() {
        let pairs = joined(16, " and ", |at| {
            format!("(extra=='a{at}' or extra=='b{at}')")
        });
        let terms = joined(16, " or ", |at| format!("extra=='a{at}'and extra=='b{at}'"));
        let long = joined(600, " or ", |at| format!("extra=='{at}'"));
        let versions = joined(600, " ", |at| format!("3.{at}"));
        let deep = format!("{}os_name=='a'", "(".repeat(4000));
        let versions = format!("python_version in '{versions}'");
        for marker in [pairs, terms, long, versions, deep] {
            assert_eq!(cost(&marker), None, "{marker}");
        }
    }

    #[test]
    fn what_was_read_before_costs_nothing() {
        let mut spent = Spent::default();
        assert!(spent.afford("a", MOST_SPENT));
        assert!(spent.afford("a", MOST_SPENT));
        assert!(!spent.afford("b", 1));
    }
}
