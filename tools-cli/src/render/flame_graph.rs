//! Flame graphs, drawn by inferno.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter},
    path::Path,
};

use inferno::flamegraph::{self, Options};

use super::Escaped;

/// What looks like a space and is none to inferno.
const NO_BREAK_SPACE: char = '\u{a0}';

/// Folded stacks of all intervals.
#[derive(Debug, Default)]
pub struct FlameGraph {
    counts: BTreeMap<String, u64>,
}

impl FlameGraph {
    /// Adds lines of frames, root first, and a count; equal stacks are added up.
    pub fn extend(&mut self, lines: impl IntoIterator<Item = String>) {
        for line in lines {
            if let Some((stack, count)) = line.rsplit_once(' ')
                && let Ok(count) = count.parse::<u64>()
            {
                *self.counts.entry(stack.to_owned()).or_default() += count;
            }
        }
    }

    /// Whether there is nothing to draw.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Draws the graph into a file.
    ///
    /// # Errors
    ///
    /// When the file can't be written, or there is nothing to draw.
    pub fn write(&self, path: &Path, title: &str) -> io::Result<()> {
        self.draw(title, BufWriter::new(File::create(path)?))
    }

    fn draw(&self, title: &str, mut out: impl io::Write) -> io::Result<()> {
        let mut options = Options::default();
        options.title = Escaped(title).to_string();
        options.count_name = "events".to_owned();
        let counts = self.counts.iter();
        let lines: Vec<String> = counts
            .map(|(stack, count)| format!("{} {count}", of_names_only(stack)))
            .collect();
        flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut out)
            .map_err(io::Error::other)?;
        out.flush()
    }
}

/// A stack in which inferno sees names and nothing else: it takes a line that starts with `# ` for a
/// comment, and a number at the end of a stack for a count to compare the other with.
fn of_names_only(stack: &str) -> String {
    let is_number = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    let stack = match stack.rsplit_once(' ') {
        Some((names, end)) if is_number(end) => format!("{names}{NO_BREAK_SPACE}{end}"),
        _ => stack.to_owned(),
    };
    match stack.strip_prefix("# ") {
        Some(rest) => format!("#{NO_BREAK_SPACE}{rest}"),
        None => stack,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(title: &str, lines: &[&str]) -> String {
        let mut graph = FlameGraph::default();
        graph.extend(lines.iter().map(|&line| line.to_owned()));
        let mut drawn = Vec::new();
        graph.draw(title, &mut drawn).expect("a vector takes all");
        String::from_utf8(drawn).expect("text")
    }

    #[test]
    fn numbers_and_signs_in_names_are_names() {
        let drawn = draw("", &["# x;main 1", "y;f 2.5 2", "y;g 1 3", "z 7 4"]);
        for shown in [
            "all (10 events, 100%)",
            "#\u{a0}x (1 events, 10.00%)",
            "f\u{a0}2.5 (2 events, 20.00%)",
            "g\u{a0}1 (3 events, 30.00%)",
            "z\u{a0}7 (4 events, 40.00%)",
        ] {
            assert!(drawn.contains(shown), "no {shown} in {drawn}");
        }
    }

    #[test]
    fn a_title_has_no_markup_and_no_control_characters() {
        let drawn = draw("</svg>\x1b&", &["x;main 1"]);
        assert!(drawn.contains("&lt;/svg&gt;\\u{1b}&amp;"), "{drawn}");
    }
}
