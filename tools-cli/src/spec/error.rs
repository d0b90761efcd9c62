//! What can be wrong with the text of a probe.

use std::fmt;

use crate::snippet::{Snippet, escape};

/// Why a text is not a probe, where in it, and what would be right.
///
/// Displayed as the message, then the text with the place marked and a help text beside the mark:
///
/// ```text
/// unknown kind `x`: expected p, r, t or u
///   x:foo:bar
///   ^ write `p:foo:bar`
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[error("{problem}\n{snippet}")]
pub struct SpecError {
    /// What is wrong.
    pub problem: Problem,
    /// Where, and what would be right there.
    pub snippet: Snippet,
}

/// What is wrong with the text of a probe.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Problem {
    /// There is no text.
    #[error("empty probe")]
    Empty,
    /// A space or other character that no name has.
    #[error("unexpected {} `{}`", if .0.is_control() { "control character" } else { "whitespace" },
        escape(.0.encode_utf8(&mut [0; 4])))]
    Character(char),
    /// Something other than a kind where a kind is expected.
    #[error("unknown kind `{}`: expected p, r, t or u", escape(.0))]
    UnknownKind(String),
    /// A kind without all the parts that follow it.
    #[error("too few parts after kind `{}`: expected `{}`", .0, .0.form())]
    TooFewParts(Kind),
    /// A kind with more parts than follow it.
    #[error("too many parts after kind `{}`: expected `{}`", .0, .0.form())]
    TooManyParts(Kind),
    /// Nothing where the named part is expected.
    #[error("empty {0}")]
    EmptyPart(&'static str),
    /// A function with `::` in its name and no program or library before it.
    #[error("no program or library before `{}`", escape(.0))]
    NoBinary(String),
    /// A program or library and no function after it.
    #[error("no function after `{}`", escape(.0))]
    NoFunction(String),
    /// `*` in the name of a program or library.
    #[error("`*` in the name of a program or library")]
    BinaryPattern,
    /// A colon in a function's name that is not part of a `::` between two names.
    #[error("unexpected `:` in a function's name")]
    Colon,
    /// What follows the `+` is no offset.
    #[error("invalid offset `{}`: {reason}", escape(.found))]
    Offset {
        /// The sign and what follows it.
        found: String,
        /// Why it is no offset.
        reason: &'static str,
    },
    /// An offset where there can't be one.
    #[error("unexpected offset `{}`: {reason}", escape(.found))]
    OffsetPlace {
        /// The `+` and the number.
        found: String,
        /// Why there can't be one.
        reason: &'static str,
    },
    /// A regular expression that is none.
    #[error("invalid regular expression: {}", escape(&.0.to_string()))]
    Regex(regex_lite::Error),
}

/// The word that a probe's text may begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `p`: a function's entry.
    Entry,
    /// `r`: a function's return.
    Return,
    /// `t`: a tracepoint.
    Tracepoint,
    /// `u`: a statically defined probe of a program or library.
    Usdt,
}

impl Kind {
    /// The kind that `word` stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "p" => Some(Self::Entry),
            "r" => Some(Self::Return),
            "t" => Some(Self::Tracepoint),
            "u" => Some(Self::Usdt),
            _ => None,
        }
    }

    /// How a probe of this kind is written in full.
    fn form(self) -> &'static str {
        match self {
            Self::Entry => "p:[library]:function",
            Self::Return => "r:[library]:function",
            Self::Tracepoint => "t:category:event",
            Self::Usdt => "u:library:[provider:]probe",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.form()[..1])
    }
}
