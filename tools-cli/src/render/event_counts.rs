//! trace's lines, equal ones counted instead of repeated.

use std::{collections::HashMap, fmt::Write as _};

use serde_json::{Map, Value};

use super::json;

/// How often the same was told.
#[derive(Clone, Debug, Default)]
pub struct EventCounts {
    counts: HashMap<String, u64>,
}

impl EventCounts {
    /// The name of the column before the others.
    #[must_use]
    pub fn header() -> String {
        format!("{:<8} ", "COUNT")
    }

    /// Counts what was written of an event: its line, and those of its stack.
    pub fn add(&mut self, lines: &str) {
        match self.counts.get_mut(lines) {
            Some(count) => *count += 1,
            None => drop(self.counts.insert(lines.to_owned(), 1)),
        }
    }

    /// Appends what was counted to `out`, rarest first.
    pub fn write(&self, out: &mut String) {
        for (lines, count) in self.ascending() {
            // Writing into a string does not fail.
            let _ = write!(out, "{count:<8} {lines}");
        }
    }

    /// The same where lines are JSON objects: each gets its count.
    pub fn write_json(&self, out: &mut String) {
        for (lines, count) in self.ascending() {
            let Ok(mut object) = serde_json::from_str::<Map<String, Value>>(lines) else {
                continue;
            };
            object.insert("count".to_owned(), count.into());
            json::push_line(out, &object);
        }
    }

    fn ascending(&self) -> Vec<(&str, u64)> {
        let counts = self.counts.iter();
        let mut counts: Vec<_> = counts
            .map(|(lines, &count)| (lines.as_str(), count))
            .collect();
        counts.sort_unstable_by_key(|&(lines, count)| (count, lines));
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lines_are_counted_and_the_rarest_come_first() {
        let mut counts = EventCounts::default();
        for lines in ["b\n", "a\n    frame\n\n", "b\n", "c\n"] {
            counts.add(lines);
        }
        let mut out = String::new();
        counts.write(&mut out);
        let expected = "1        a\n    frame\n\n1        c\n2        b\n";
        assert_eq!(out, expected);
    }

    #[test]
    fn objects_get_their_count() {
        let mut counts = EventCounts::default();
        counts.add("{\"pid\":1}\n");
        counts.add("{\"pid\":1}\n");
        let mut out = String::new();
        counts.write_json(&mut out);
        assert_eq!(out, "{\"count\":2,\"pid\":1}\n");
    }
}
