//! A line of the user's text with the place of a mistake marked under it.

use std::{
    fmt::{self, Write as _},
    ops::Range,
};

/// A text, a place in it, and what to say about that place.
///
/// Displayed as two lines, indented by two columns, without a line end after the second:
///
/// ```text
///   x:foo:bar
///   ^ write `p:foo:bar`
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snippet {
    /// The text as the user wrote it.
    pub text: String,
    /// The bytes of `text` that are meant. An empty span marks the character it stands before, a
    /// span past the end marks the place after the last character.
    pub span: Range<usize>,
    /// What would be right there; may be empty.
    pub note: String,
}

impl Snippet {
    /// Columns before the mark, and columns under it, in the text as it is displayed.
    fn columns(&self) -> (usize, usize) {
        let Range { start, end } = self.span;
        let end = end.max(start.saturating_add(1));
        let (mut before, mut under) = (0, 0);
        for (at, character) in self.text.char_indices() {
            // By overlap, so that a span that cuts through a character marks all of it.
            if at + character.len_utf8() <= start {
                before += escaped(character).count();
            } else if at < end {
                under += escaped(character).count();
            }
        }
        (before, under.max(1))
    }
}

impl fmt::Display for Snippet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, under) = self.columns();
        writeln!(f, "  {}", escape(&self.text))?;
        // Not by a width of the format: that panics beyond 65,535 columns.
        write!(f, "  {}{}", " ".repeat(before), "^".repeat(under))?;
        if !self.note.is_empty() {
            write!(f, " {}", escape(&self.note))?;
        }
        Ok(())
    }
}

/// `text` fit for a terminal and for one line: characters that control, reorder or hide others are
/// shown as escapes such as `\n` or `\u{202e}`.
#[must_use]
pub fn escape(text: &str) -> impl fmt::Display + '_ {
    fmt::from_fn(move |f| {
        text.chars()
            .flat_map(escaped)
            .try_for_each(|c| f.write_char(c))
    })
}

/// Whether [`escape`] leaves the character as it is.
pub(crate) fn is_harmless(character: char) -> bool {
    // Most of all texts.
    matches!(character, ' '..='~') || escaped(character).eq([character])
}

fn escaped(character: char) -> impl Iterator<Item = char> {
    // `escape_debug` would also put a backslash before these, which are harmless and frequent in
    // regular expressions.
    let kept = matches!(character, '\\' | '\'' | '"').then_some(character);
    let shown = kept.is_none().then(|| character.escape_debug());
    kept.into_iter().chain(shown.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str, span: Range<usize>, note: &str) -> String {
        let (text, note) = (text.to_owned(), note.to_owned());
        Snippet { text, span, note }.to_string()
    }

    #[test]
    fn the_caret_is_under_the_span() {
        assert_eq!(render("abcdef", 1..3, "here"), "  abcdef\n   ^^ here");
        assert_eq!(render("abcdef", 0..6, ""), "  abcdef\n  ^^^^^^");
    }

    #[test]
    fn columns_are_characters_not_bytes() {
        assert_eq!(render("äöü:b", 7..8, "b"), "  äöü:b\n      ^ b");
        // A span that starts and ends within characters.
        assert_eq!(render("äöü", 1..3, ""), "  äöü\n  ^^");
    }

    #[test]
    fn nothing_raw_reaches_the_terminal_and_carets_follow_the_escapes() {
        assert_eq!(
            render("a\x1b[31m\u{202e}b", 9..10, "a\nb"),
            "  a\\u{1b}[31m\\u{202e}b\n                     ^ a\\nb"
        );
        assert_eq!(render("a\tb", 1..2, ""), "  a\\tb\n   ^^");
    }

    #[test]
    fn lines_longer_than_a_format_width_are_no_panic() {
        let rendered = render(&"a".repeat(70_000), 69_999..70_000, "");
        assert_eq!(rendered.lines().nth(1).map(str::len), Some(2 + 70_000));
    }

    #[test]
    fn quotes_and_backslashes_stay() {
        assert_eq!(escape(r#"\d'"$"#).to_string(), r#"\d'"$"#);
    }

    #[test]
    fn spans_that_are_empty_or_outside_still_mark_one_place() {
        assert_eq!(render("", 0..0, "x"), "  \n  ^ x");
        assert_eq!(render("abc", 1..1, "x"), "  abc\n   ^ x");
        assert_eq!(render("abc", 3..3, "x"), "  abc\n     ^ x");
        assert_eq!(render("abc", 9..12, "x"), "  abc\n     ^ x");
        assert_eq!(
            render("abc", usize::MAX..usize::MAX, "x"),
            "  abc\n     ^ x"
        );
    }
}
