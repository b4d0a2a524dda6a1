//! The statements of a session, one after the other and as often as they are done, with what is known of
//! whether they are.

use super::blocks::Statement;
use super::condition::Scope;
use super::names::{Known, Names};
use super::text::{self, word};
use super::{BRIEF, Session};
use crate::stage::test_plan::environment::Doubt;

/// How statements end before the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With the session.
    Session,
    /// With the loop that they are in.
    Loop,
    /// With the round of that loop.
    Round,
}

impl End {
    /// Why what comes after is not run.
    fn doubt(self) -> Doubt {
        Doubt::never(match self {
            Self::Session => "the session ends before it",
            Self::Loop => "`break` ends the loop before it",
            Self::Round => "`continue` ends the round of the loop before it",
        })
    }
}

/// What stands before an `else`.
#[derive(Default)]
struct Chain {
    /// Whether those are conditions: `else` follows other blocks too.
    conditions: bool,
    /// A branch whose condition holds.
    taken: Option<String>,
    /// A condition before of which only running it would tell.
    unsure: Option<String>,
    /// Whether that is a loop which `break` ends.
    broken: bool,
}

impl<'t> Session<'t> {
    /// Reads statements that are run unless there is a `doubt`, and tells how they end without one.
    pub(super) fn walk(
        &mut self,
        statements: &[Statement<'t>],
        names: &mut Names,
        doubt: Option<&Doubt>,
    ) -> Option<End> {
        let mut ended: Option<End> = None;
        let mut chain = Chain::default();
        for statement in statements {
            let Some(left) = self.statements.checked_sub(1) else {
                break;
            };
            self.statements = left;
            if !self.spend(statement.text.len()) {
                break;
            }
            let kind = statement.kind();
            // What is last is done however the rest ended.
            let over = ended.filter(|_| kind != "finally").map(End::doubt);
            let now = over.or_else(|| doubt.cloned());
            let from = self.directory.clone();
            if statement.block.is_none() && is_hedged(statement.text) {
                let hedged = self.unsure(format!(
                    "only running it would tell whether `{}` is done",
                    brief(statement.text)
                ));
                let doubt = under(now.clone(), Some(hedged));
                self.calls(statement, names, doubt.as_ref());
            } else {
                self.calls(statement, names, now.as_ref());
            }
            let Some(block) = &statement.block else {
                if now.is_none() {
                    names.bind(statement.text, &self.writes, self.own);
                }
                if let Some(end) = self.end(statement.text, now.as_ref()) {
                    ended = Some(end);
                }
                continue;
            };
            let entered = self.directory != from;
            let header = brief(statement.text);
            if kind == "for"
                && let Some((variable, values)) = self.rounds(statement.text, names)
            {
                let end = self.repeat(block, names, variable, values, now.as_ref());
                chain = Chain {
                    broken: end == Some(End::Loop),
                    ..Chain::default()
                };
                if end == Some(End::Session) {
                    ended = end;
                }
                continue;
            }
            let inner = match kind {
                "if" | "elif" => {
                    if kind == "if" {
                        chain = Chain::default();
                    }
                    chain.conditions = true;
                    let scope = Scope {
                        names,
                        own: self.own,
                        python: self.python.as_deref(),
                    };
                    let holds = scope.holds(&statement.text[kind.len()..]);
                    self.branch(&mut chain, header, holds)
                }
                "else" if chain.conditions => self.branch(&mut chain, header, Some(true)),
                "else" if chain.broken => Some(End::Loop.doubt()),
                "with" | "try" | "finally" | "else" => None,
                "except" => Some(Doubt::never(format!("`{header}` is for errors"))),
                "while" | "for" => Some(self.unsure(format!(
                    "only running it would tell how often `{header}` is done"
                ))),
                _ => Some(self.unsure(format!(
                    "only running it would tell whether `{header}` is done"
                ))),
            };
            if !["if", "elif"].contains(&kind) {
                chain = Chain::default();
            }
            let inner = under(now, inner);
            let end = match kind {
                // Whatever ends a loop ends nothing around it.
                "while" | "for" => {
                    let end = self.round(block, names, inner.as_ref());
                    end.filter(|end| *end == End::Session)
                }
                _ => self.walk(block, names, inner.as_ref()),
            };
            if end.is_some() {
                ended = end;
            }
            if kind == "with" && entered {
                self.directory = from;
            }
        }
        ended
    }

    /// Reads the block of a loop for each of these values, and tells what ends it before the last of them.
    fn repeat(
        &mut self,
        block: &[Statement<'t>],
        names: &mut Names,
        variable: &str,
        values: Vec<String>,
        doubt: Option<&Doubt>,
    ) -> Option<End> {
        let mut over: Option<End> = None;
        for value in values {
            names.set(variable, Known::Text(value));
            let now = over.map(End::doubt).or_else(|| doubt.cloned());
            let end = self.round(block, names, now.as_ref());
            over = over.or(end.filter(|end| *end != End::Round));
        }
        names.forget(variable);
        over
    }

    /// Reads the block of a loop once.
    fn round(
        &mut self,
        block: &[Statement<'t>],
        names: &mut Names,
        doubt: Option<&Doubt>,
    ) -> Option<End> {
        self.loops.push(doubt.cloned());
        let end = self.walk(block, names, doubt);
        self.loops.pop();
        end
    }

    /// How a statement ends those around it, where it surely does. `now` is why it may not be done.
    fn end(&mut self, statement: &str, now: Option<&Doubt>) -> Option<End> {
        let kind = word(statement);
        let end = match kind {
            "break" => End::Loop,
            "continue" => End::Round,
            _ => return (now.is_none() && self.ends(statement)).then_some(End::Session),
        };
        // What is doubtful of the whole loop is nothing that one of its rounds depends on.
        if self.loops.last().is_some_and(|whole| whole.as_ref() == now) {
            return Some(end);
        }
        if let Some(doubt) = now
            && doubt.block.is_some()
        {
            let (name, why) = (self.name, &doubt.why);
            self.skip(format!(
                "`{kind}` in {name} of noxfile.py is not followed: {why}"
            ));
        }
        None
    }

    /// Why a branch is not run always, where it is not.
    fn branch(&mut self, chain: &mut Chain, header: String, holds: Option<bool>) -> Option<Doubt> {
        if let Some(taken) = &chain.taken {
            return Some(Doubt::never(format!("`{taken}` holds here")));
        }
        match holds {
            Some(true) => chain.taken = Some(header),
            Some(false) => {
                let why = format!("`{header}` does not hold here");
                return Some(Doubt::never(why));
            }
            None => chain.unsure = Some(header),
        }
        let unsure = chain.unsure.as_ref()?;
        let why = format!("only running it would tell what `{unsure}` comes to");
        Some(self.unsure(why))
    }

    /// A block of which nobody knows whether it is run.
    fn unsure(&mut self, why: String) -> Doubt {
        self.blocks += 1;
        Doubt {
            why,
            block: Some(self.blocks),
        }
    }

    /// The variable of a loop and the texts that it stands for, one after the other.
    fn rounds<'s>(&self, header: &'s str, names: &Names) -> Option<(&'s str, Vec<String>)> {
        let (variable, list) = text::split(header.strip_prefix("for")?, " in ")?;
        let variable = variable.trim();
        if variable.is_empty() || word(variable) != variable {
            return None;
        }
        match names.known(list, self.own)? {
            Known::List(values) => Some((variable, values)),
            Known::Text(_) => None,
        }
    }

    /// Whether a session ends with a statement.
    fn ends(&self, statement: &str) -> bool {
        let of_session = statement.strip_prefix(self.own);
        ["return", "raise"].contains(&word(statement))
            || of_session
                .is_some_and(|rest| rest.starts_with(".skip(") || rest.starts_with(".error("))
    }
}

/// Whether what a statement calls depends on something within itself.
fn is_hedged(statement: &str) -> bool {
    let operators = [" and ", " or ", " if ", "lambda"];
    statement.starts_with(['(', '[', '{'])
        || operators
            .iter()
            .any(|operator| text::split(statement, operator).is_some())
}

/// A doubt within another one.
fn under(outer: Option<Doubt>, inner: Option<Doubt>) -> Option<Doubt> {
    match (outer, inner) {
        (Some(outer), Some(inner)) if outer.block.is_some() => Some(inner),
        (Some(doubt), _) | (None, Some(doubt)) => Some(doubt),
        (None, None) => None,
    }
}

/// What a statement or the header of a block says, in one short line.
pub(super) fn brief(statement: &str) -> String {
    let line = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = line.char_indices().nth(BRIEF).map(|(end, _)| end);
    match end {
        Some(end) => format!("{}…", &line[..end]),
        None => line,
    }
}
