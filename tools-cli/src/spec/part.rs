//! A piece of the text that still knows where it came from.

use std::ops::Range;

use super::error::{Problem, SpecError};
use crate::snippet::Snippet;

/// A piece of the text of a probe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    whole: &'a str,
    start: usize,
    end: usize,
}

impl<'a> Part<'a> {
    pub(super) fn whole(text: &'a str) -> Self {
        Self {
            whole: text,
            start: 0,
            end: text.len(),
        }
    }

    pub(super) fn text(self) -> &'a str {
        &self.whole[self.start..self.end]
    }

    pub(super) fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The text before this part.
    pub(super) fn before(self) -> &'a str {
        &self.whole[..self.start]
    }

    /// The bytes of `range`, counted from the start of this part.
    pub(super) fn slice(self, range: Range<usize>) -> Self {
        Self {
            start: self.start + range.start,
            end: self.start + range.end,
            ..self
        }
    }

    /// What is before and after the first `:`.
    pub(super) fn split_at_colon(self) -> Option<(Self, Self)> {
        let colon = self.text().find(':')?;
        Some((
            self.slice(0..colon),
            self.slice(colon + 1..self.end - self.start),
        ))
    }

    /// All of the text that this is a part of.
    pub(super) fn whole_text(self) -> Self {
        Self::whole(self.whole)
    }

    /// This part and the colon before it, for a part that `split_at_colon` returned second.
    pub(super) fn with_colon_before(self) -> Self {
        Self {
            start: self.start.saturating_sub(1),
            ..self
        }
    }

    /// An error about this part, or about the colon beside it if it is empty.
    pub(super) fn error(self, problem: Problem, note: impl Into<String>) -> SpecError {
        let shown = if self.is_empty() {
            self.with_colon_before()
        } else {
            self
        };
        SpecError {
            problem,
            snippet: Snippet {
                text: self.whole.to_owned(),
                span: shown.start..shown.end,
                note: note.into(),
            },
        }
    }
}
