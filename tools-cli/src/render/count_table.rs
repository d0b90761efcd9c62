//! funccount's table.

use std::io::{self, Write};

use chrono::{DateTime, Local};
use serde::Serialize;

use super::Escaped;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// bcc's columns.
    Text,
    /// An object per row and line.
    Json,
}

/// A probe and its count.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The probe's name.
    pub name: &'a str,
    /// Events in the interval.
    pub count: u64,
}

/// The layout of a table.
#[derive(Clone, Copy, Debug)]
pub struct CountTable {
    /// Text or JSON.
    pub format: Format,
    /// A line with the time before each table.
    pub timestamp: bool,
    /// Only that many rows, those with the highest counts.
    pub top: Option<usize>,
}

/// A row of the JSON format; documented in README.md, fields are only ever added.
#[derive(Serialize)]
struct JsonRow<'a> {
    time: String,
    probe: &'a str,
    count: u64,
}

impl CountTable {
    /// Writes the rows of an interval that ended at `time`, in ascending order, without zeros.
    ///
    /// # Errors
    ///
    /// When they can't be written.
    pub fn write(
        &self,
        out: &mut dyn Write,
        time: DateTime<Local>,
        mut rows: Vec<Row<'_>>,
    ) -> io::Result<()> {
        rows.retain(|row| row.count > 0);
        rows.sort_by_key(|row| (row.count, row.name));
        let first = self.top.map_or(0, |top| rows.len().saturating_sub(top));
        match self.format {
            Format::Text => self.write_text(out, time, &rows[first..])?,
            Format::Json => write_json(out, time, &rows[first..])?,
        }
        out.flush()
    }

    fn write_text(
        &self,
        out: &mut dyn Write,
        time: DateTime<Local>,
        rows: &[Row<'_>],
    ) -> io::Result<()> {
        writeln!(out)?;
        if self.timestamp {
            writeln!(out, "{}", time.format("%H:%M:%S"))?;
        }
        writeln!(out, "{:<36} {:>8}", "FUNC", "COUNT")?;
        for row in rows {
            writeln!(out, "{:<36} {:>8}", Escaped(row.name), row.count)?;
        }
        Ok(())
    }
}

fn write_json(out: &mut dyn Write, time: DateTime<Local>, rows: &[Row<'_>]) -> io::Result<()> {
    let time = time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    for row in rows {
        let row = JsonRow {
            time: time.clone(),
            probe: row.name,
            count: row.count,
        };
        serde_json::to_writer(&mut *out, &row)?;
        writeln!(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [Row<'static>; 4] = [
        Row {
            name: "vfs_write",
            count: 30,
        },
        Row {
            name: "vfs_open",
            count: 0,
        },
        Row {
            name: "vfs_read",
            count: 1_234_567_890,
        },
        Row {
            name: "evil\x1b[2J",
            count: 2,
        },
    ];

    fn render(table: CountTable) -> String {
        let mut out = Vec::new();
        let time = DateTime::parse_from_rfc3339("2026-11-23T08:09:10.5Z").expect("valid");
        table
            .write(&mut out, time.with_timezone(&Local), ROWS.to_vec())
            .expect("a vector takes all");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn text_has_the_columns_of_bcc() {
        let table = CountTable {
            format: Format::Text,
            timestamp: false,
            top: None,
        };
        assert_eq!(
            render(table),
            "\nFUNC                                    COUNT\n\
             evil\\u{1b}[2J                               2\n\
             vfs_write                                  30\n\
             vfs_read                             1234567890\n"
        );
    }

    #[test]
    fn top_keeps_the_highest_in_order() {
        let table = CountTable {
            format: Format::Text,
            timestamp: false,
            top: Some(2),
        };
        let text = render(table);
        let names: Vec<&str> = text
            .lines()
            .skip(2)
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert_eq!(names, ["vfs_write", "vfs_read"]);
    }

    #[test]
    fn json_has_an_object_per_row() {
        let table = CountTable {
            format: Format::Json,
            timestamp: false,
            top: Some(1),
        };
        let row: serde_json::Value = serde_json::from_str(&render(table)).expect("an object");
        assert_eq!(row["probe"], "vfs_read");
        assert_eq!(row["count"], 1_234_567_890_u64);
        assert!(row["time"].is_string());
    }
}
