//! Text from outside, made safe for a terminal and for columns.

use std::fmt;

use crate::snippet::escape;

/// Shows a text with its control characters as escapes: names of symbols and processes are chosen
/// by whoever made them, and must not move the cursor of whoever looks at them.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&escape(self.0).to_string())
    }
}

/// The same for a message of several lines, which stay lines.
#[must_use]
pub fn escape_lines(text: &str) -> String {
    let lines = text.split('\n').map(|line| Escaped(line).to_string());
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_shown_and_the_rest_is_left_alone() {
        let shown = |text| Escaped(text).to_string();
        assert_eq!(shown("vfs_read"), "vfs_read");
        assert_eq!(shown("a\x1b[31mb\n"), "a\\u{1b}[31mb\\n");
        assert_eq!(shown("größe\u{9b}"), "größe\\u{9b}");
        assert_eq!(shown("\u{202e}evil"), "\\u{202e}evil");
        assert_eq!(format!("{:<6}|", Escaped("\t")), "\\t    |");
        assert_eq!(escape_lines("a\x1b\n  b\n"), "a\\u{1b}\n  b\n");
    }
}
