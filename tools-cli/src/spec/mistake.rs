//! What can be wrong with a trace probe, beyond the spec it begins with.

use std::fmt;

use super::expr::Span;
use crate::snippet::{Snippet, escape};

/// Everything that is wrong with the text of a trace probe and was found at once.
///
/// Displayed one after the other, each after the first with `error: ` before it, as the first gets
/// it from whoever prints this.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Mistakes<P: fmt::Display + fmt::Debug>(pub Vec<Mistake<P>>);

impl<P: fmt::Display + fmt::Debug> fmt::Display for Mistakes<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "\nerror: " };
            write!(f, "{separator}{mistake}")?;
        }
        Ok(())
    }
}

/// One mistake: what is wrong, where, and what would be right there.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{problem}\n{snippet}")]
pub struct Mistake<P: fmt::Display + fmt::Debug> {
    /// What is wrong.
    pub problem: P,
    /// Where, and what would be right there.
    pub snippet: Snippet,
}

impl<P: fmt::Display + fmt::Debug> Mistake<P> {
    /// A mistake at `span` of `text`.
    #[must_use]
    pub fn new(text: &str, problem: P, span: Span, note: impl Into<String>) -> Self {
        Self {
            problem,
            snippet: Snippet {
                text: text.to_owned(),
                span: span.range(),
                note: note.into(),
            },
        }
    }
}

/// What is wrong with the text of a trace probe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceProblem {
    /// The spec at its beginning is wrong.
    #[error("{0}")]
    Spec(String),
    /// A character that C has no use for.
    #[error("unexpected character `{}`", escape(.0.encode_utf8(&mut [0; 4])))]
    Character(char),
    /// A text or a character constant without its closing quote.
    #[error("missing closing {0}")]
    Unclosed(&'static str),
    /// A number that is none, or too big.
    #[error("invalid number `{}`: {reason}", escape(.found))]
    Number {
        /// As it is written.
        found: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A character constant that is not one character.
    #[error("invalid character constant: {0}")]
    CharacterConstant(&'static str),
    /// An escape sequence that C does not have.
    #[error("unknown escape sequence `{}`", escape(.0))]
    Escape(String),
    /// Something else than what the grammar has there.
    #[error("expected {expected}, found {}", escape(.found))]
    Expected {
        /// What could have been there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A parenthesis or bracket without its other half.
    #[error("unmatched `{0}`")]
    Unmatched(char),
    /// An expression that is too deeply nested.
    #[error("expression nested too deeply")]
    TooDeep,
    /// An operator that changes something.
    #[error("`{0}` would change a value, and probes only read")]
    Assignment(&'static str),
    /// A `$name` that does not exist.
    #[error("unknown variable `${}`", escape(.0))]
    UnknownVariable(String),
    /// A conversion that formats don't have.
    #[error("unknown conversion `{}`", escape(.0))]
    UnknownConversion(String),
    /// A conversion without an expression.
    #[error("no expression for `{}`: the format has {wanted} and {given} follow", escape(.0), wanted = count(*.1, "conversion"), given = count(*.2, "expression"))]
    MissingArgument(String, usize, usize),
    /// An expression without a conversion.
    #[error("no conversion for `{}`: the format has {wanted} and {given} follow", escape(.0), wanted = count(*.1, "conversion"), given = count(*.2, "expression"))]
    MissingConversion(String, usize, usize),
}

/// `1 expression`, `2 expressions`.
fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
