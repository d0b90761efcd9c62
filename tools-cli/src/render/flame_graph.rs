//! Flame graphs, drawn by inferno.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Write as _},
    path::Path,
};

use inferno::flamegraph::{self, Options};

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

    /// Draws the graph into a file.
    ///
    /// # Errors
    ///
    /// When the file can't be written.
    pub fn write(&self, path: &Path, title: &str) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        let mut options = Options::default();
        options.title = title.to_owned();
        options.count_name = "events".to_owned();
        let lines: Vec<String> = self
            .counts
            .iter()
            .map(|(stack, count)| format!("{stack} {count}"))
            .collect();
        flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut file)
            .map_err(io::Error::other)?;
        file.flush()
    }
}
