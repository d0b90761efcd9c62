//! funccount's table.

use std::io::{self, Write};

use chrono::{DateTime, Local};
use probes_common::{By, COMM_BYTES};
use serde::Serialize;

use super::{CommandName, Escaped, json};

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// bcc's columns.
    Text,
    /// An object per row and line.
    Json,
}

/// A probe, whoever it fired for if counts are broken down, and the count.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The probe's name.
    pub name: &'a str,
    /// Whoever it fired for.
    pub group: Option<RowGroup>,
    /// Events in the interval.
    pub count: u64,
}

/// A process, thread, CPU or command name.
#[derive(Clone, Copy, Debug)]
pub struct RowGroup {
    /// The number; 0 for a command name.
    pub id: u32,
    /// The command name, of the first event if counts are not by it.
    pub comm: CommandName,
}

/// The layout of a table.
#[derive(Clone, Copy, Debug)]
pub struct CountTable {
    /// Text or JSON.
    pub format: Format,
    /// What counts are broken down by.
    pub by: Option<By>,
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
    #[serde(flatten)]
    group: JsonGroup,
    count: u64,
}

/// What of a group a row has.
#[derive(Default, Serialize)]
struct JsonGroup {
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comm: Option<String>,
}

impl JsonGroup {
    fn new(by: By, group: RowGroup) -> Self {
        let comm = Some(group.comm.text());
        let empty = Self::default();
        match by {
            By::Process => Self {
                pid: Some(group.id),
                comm,
                ..empty
            },
            By::Thread => Self {
                tid: Some(group.id),
                comm,
                ..empty
            },
            By::Cpu => Self {
                cpu: Some(group.id),
                ..empty
            },
            By::Comm => Self { comm, ..empty },
        }
    }
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
        rows.sort_by_key(|row| (row.count, row.name, row.group.map(RowGroup::order)));
        let first = self.top.map_or(0, |top| rows.len().saturating_sub(top));
        match self.format {
            Format::Text => self.write_text(out, time, &rows[first..])?,
            Format::Json => self.write_json(out, time, &rows[first..])?,
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
        let group = self.by.map_or("", heading);
        writeln!(out, "{:<36} {group}{:>8}", "FUNC", "COUNT")?;
        for row in rows {
            write!(out, "{:<36} ", Escaped(row.name))?;
            if let (Some(by), Some(group)) = (self.by, row.group) {
                write_group(out, by, group)?;
            }
            writeln!(out, "{:>8}", row.count)?;
        }
        Ok(())
    }

    fn write_json(
        &self,
        out: &mut dyn Write,
        time: DateTime<Local>,
        rows: &[Row<'_>],
    ) -> io::Result<()> {
        let time = time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        for row in rows {
            let group = self.by.zip(row.group);
            let row = JsonRow {
                time: time.clone(),
                probe: row.name,
                group: group
                    .map_or_else(JsonGroup::default, |(by, group)| JsonGroup::new(by, group)),
                count: row.count,
            };
            json::write_line(out, &row)?;
        }
        Ok(())
    }
}

impl RowGroup {
    pub(super) fn order(self) -> (u32, [u8; COMM_BYTES]) {
        (self.id, self.comm.0)
    }
}

/// The heads of a group's columns, as wide as [`write_group`] has them.
pub(super) const fn heading(by: By) -> &'static str {
    match by {
        By::Process => "     PID COMM             ",
        By::Thread => "     TID COMM             ",
        By::Cpu => " CPU ",
        By::Comm => "COMM             ",
    }
}

pub(super) fn write_group(out: &mut dyn Write, by: By, group: RowGroup) -> io::Result<()> {
    let RowGroup { id, comm } = group;
    match by {
        By::Process | By::Thread => write!(out, "{id:>8} {comm:<16} "),
        By::Cpu => write!(out, "{id:>4} "),
        By::Comm => write!(out, "{comm:<16} "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [Row<'static>; 4] = [
        Row {
            name: "vfs_write",
            group: None,
            count: 30,
        },
        Row {
            name: "vfs_open",
            group: None,
            count: 0,
        },
        Row {
            name: "vfs_read",
            group: None,
            count: 1_234_567_890,
        },
        Row {
            name: "evil\x1b[2J",
            group: None,
            count: 2,
        },
    ];

    fn render(table: CountTable) -> String {
        render_rows(table, &ROWS)
    }

    fn render_rows(table: CountTable, rows: &[Row<'_>]) -> String {
        let mut out = Vec::new();
        let time = DateTime::parse_from_rfc3339("2026-11-23T08:09:10.5Z").expect("valid");
        table
            .write(&mut out, time.with_timezone(&Local), rows.to_vec())
            .expect("a vector takes all");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn text_has_the_columns_of_bcc() {
        let table = CountTable {
            format: Format::Text,
            by: None,
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
            by: None,
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
    fn whoever_it_fired_for_is_beside_the_probe() {
        let group = RowGroup {
            id: 77,
            comm: CommandName(*b"evil\x1b\0\0\0\0\0\0\0\0\0\0\0"),
        };
        let row = Row {
            name: "vfs_read",
            group: Some(group),
            count: 3,
        };
        for (by, head, text, keys) in [
            (
                By::Process,
                "     PID COMM                COUNT",
                "      77 evil\\u{1b}              3",
                &["pid", "comm"][..],
            ),
            (
                By::Thread,
                "     TID COMM                COUNT",
                "      77 evil\\u{1b}              3",
                &["tid", "comm"],
            ),
            (By::Cpu, " CPU    COUNT", "  77        3", &["cpu"]),
            (
                By::Comm,
                "COMM                COUNT",
                "evil\\u{1b}              3",
                &["comm"],
            ),
        ] {
            let mut table = CountTable {
                format: Format::Text,
                by: Some(by),
                timestamp: false,
                top: None,
            };
            assert_eq!(
                render_rows(table, &[row]),
                format!("\n{:<36} {head}\n{:<36} {text}\n", "FUNC", "vfs_read")
            );
            table.format = Format::Json;
            let text = render_rows(table, &[row]);
            let object: serde_json::Value = serde_json::from_str(&text).expect("an object");
            let object = object.as_object().expect("an object");
            assert_eq!(object.len(), 3 + keys.len(), "{text}");
            for key in keys {
                assert!(object[*key] == 77 || object[*key] == "evil\u{1b}", "{text}");
            }
        }
    }

    #[test]
    fn json_has_an_object_per_row() {
        let table = CountTable {
            format: Format::Json,
            by: None,
            timestamp: false,
            top: Some(1),
        };
        let row: serde_json::Value = serde_json::from_str(&render(table)).expect("an object");
        assert_eq!(row["probe"], "vfs_read");
        assert_eq!(row["count"], 1_234_567_890_u64);
        assert!(row["time"].is_string());
    }
}
