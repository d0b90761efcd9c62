//! stackcount's table: as text, folded lines or JSON.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    io::{self, Write},
};

use chrono::{DateTime, Local};
use probes_common::COMM_BYTES;
use serde::Serialize;

use super::{Escaped, json};
use crate::symbolize::Symbol;

/// How stacks are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackFormat {
    /// A frame a line, as bcc does.
    Text,
    /// A stack a line, root first: what flamegraph.pl and inferno read.
    Folded,
    /// An object per stack and line.
    Json,
}

/// The layout of a table.
#[derive(Clone, Copy, Debug)]
pub struct StackTable {
    /// Text, folded lines or JSON.
    pub format: StackFormat,
    /// A line with the time before each table.
    pub timestamp: bool,
    /// Bytes from the start of the function behind its name.
    pub offsets: bool,
    /// Addresses before names, and modules behind them.
    pub verbose: bool,
    /// Something between the kernel's part and the program's.
    pub delimited: bool,
    /// A line with the command name and process below each stack.
    pub processes: bool,
}

/// A stack with its names, innermost frame first.
#[derive(Clone, Debug)]
pub struct StackRow<'a> {
    /// The process.
    pub pid: u32,
    /// Its command name.
    pub comm: CommandName,
    /// The frames of the kernel.
    pub kernel: Vec<NamedFrame<'a>>,
    /// Those of the program.
    pub user: Vec<NamedFrame<'a>>,
    /// Events in the interval.
    pub count: u64,
}

/// A frame with its name; several of an address where functions were inlined.
#[derive(Clone, Copy, Debug)]
pub struct NamedFrame<'a> {
    /// The address, where it is known.
    pub address: Option<u64>,
    /// The name.
    pub symbol: &'a Symbol,
}

/// A command name as the kernel has it: bytes that a process chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandName(pub [u8; COMM_BYTES]);

impl CommandName {
    /// As text.
    #[must_use]
    pub fn text(&self) -> String {
        let end = self.0.iter().position(|&byte| byte == 0);
        String::from_utf8_lossy(&self.0[..end.unwrap_or(COMM_BYTES)]).into_owned()
    }
}

impl fmt::Display for CommandName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(&self.text()).fmt(f)
    }
}

/// A row of the JSON format; documented in README.md, fields are only ever added.
#[derive(Serialize)]
struct JsonRow<'a> {
    time: &'a str,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comm: Option<String>,
    kernel: Vec<json::Frame<'a>>,
    user: Vec<json::Frame<'a>>,
}

impl StackTable {
    /// Writes the stacks of an interval that ended at `time`, in ascending order.
    ///
    /// # Errors
    ///
    /// When they can't be written.
    pub fn write(
        &self,
        out: &mut dyn Write,
        time: DateTime<Local>,
        rows: Vec<StackRow<'_>>,
    ) -> io::Result<()> {
        let mut rows = self.merge(rows);
        rows.sort_by_key(|row| (row.count, row.comm, row.pid));
        // Frames are many small writes.
        let mut out = io::BufWriter::with_capacity(1 << 16, out);
        match self.format {
            StackFormat::Text => self.write_text(&mut out, time, &rows)?,
            StackFormat::Folded => {
                for row in &rows {
                    writeln!(out, "{}", self.folded(row))?;
                }
            }
            StackFormat::Json => write_json(&mut out, time, &rows)?,
        }
        out.flush()
    }

    /// Stacks that would read the same are one, as when a function is called from two places in
    /// another.
    fn merge<'a>(&self, rows: Vec<StackRow<'a>>) -> Vec<StackRow<'a>> {
        if self.offsets || self.verbose || self.format == StackFormat::Json {
            return rows;
        }
        let mut merged: Vec<StackRow<'a>> = Vec::new();
        let mut numbers: HashMap<_, usize> = HashMap::new();
        for row in rows {
            let names = |frames: &[NamedFrame<'a>]| -> Vec<_> {
                let symbols = frames.iter().map(|frame| frame.symbol);
                symbols.map(Symbol::identity).collect()
            };
            let key = (row.pid, row.comm, names(&row.kernel), names(&row.user));
            match numbers.entry(key) {
                Entry::Occupied(number) => merged[*number.get()].count += row.count,
                Entry::Vacant(number) => {
                    number.insert(merged.len());
                    merged.push(row);
                }
            }
        }
        merged
    }

    /// A stack as a line: command name and frames, root first, then the count.
    #[must_use]
    pub fn folded(&self, row: &StackRow<'_>) -> String {
        let name = |frame: &NamedFrame<'_>| self.name(frame).replace(';', ":");
        let mut parts = vec![row.comm.to_string().replace(';', ":")];
        parts.extend(row.user.iter().rev().map(name));
        if self.delimited {
            parts.push("-".to_owned());
        }
        parts.extend(row.kernel.iter().rev().map(name));
        format!("{} {}", parts.join(";"), row.count)
    }

    fn write_text(
        &self,
        out: &mut dyn Write,
        time: DateTime<Local>,
        rows: &[StackRow<'_>],
    ) -> io::Result<()> {
        if self.timestamp {
            writeln!(out, "{}", time.format("%H:%M:%S"))?;
        }
        for row in rows {
            self.write_frames(out, &row.kernel)?;
            if self.delimited {
                writeln!(out, "    --")?;
            }
            self.write_frames(out, &row.user)?;
            if self.processes {
                writeln!(out, "    {} [{}]", row.comm, row.pid)?;
            }
            writeln!(out, "    {}\n", row.count)?;
        }
        Ok(())
    }

    fn write_frames(&self, out: &mut dyn Write, frames: &[NamedFrame<'_>]) -> io::Result<()> {
        for frame in frames {
            write!(out, "  ")?;
            if let Some(address) = frame.address.filter(|_| self.verbose) {
                write!(out, "{address:<16x} ")?;
            }
            writeln!(out, "{}", self.name(frame))?;
        }
        Ok(())
    }

    /// A frame in words. One without a name shows where it is, which is all that is known.
    fn name(&self, frame: &NamedFrame<'_>) -> String {
        let Symbol {
            name,
            offset,
            module,
            is_inlined,
        } = frame.symbol;
        let mut text = match name {
            Some(name) => Escaped(name).to_string(),
            None => format!("[unknown] {offset:#x}"),
        };
        if *is_inlined {
            text += " (inlined)";
        } else if name.is_some() && self.offsets {
            text += &format!("+{offset:#x}");
        }
        match module {
            Some(module) if self.verbose || name.is_none() => {
                format!("{text} [{}]", Escaped(module))
            }
            _ => text,
        }
    }
}

fn write_json(out: &mut dyn Write, time: DateTime<Local>, rows: &[StackRow<'_>]) -> io::Result<()> {
    let time = time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    for row in rows {
        let row = JsonRow {
            time: &time,
            count: row.count,
            pid: (row.pid != 0).then_some(row.pid),
            comm: (row.comm.0[0] != 0).then(|| row.comm.text()),
            kernel: json_frames(&row.kernel),
            user: json_frames(&row.user),
        };
        json::write_line(out, &row)?;
    }
    Ok(())
}

fn json_frames<'a>(frames: &[NamedFrame<'a>]) -> Vec<json::Frame<'a>> {
    let frames = frames.iter();
    frames
        .map(|frame| json::Frame::new(frame.address, frame.symbol))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(name: Option<&str>, offset: u64, module: Option<&str>) -> Symbol {
        Symbol {
            name: name.map(str::to_owned),
            offset,
            module: module.map(str::to_owned),
            is_inlined: false,
        }
    }

    fn render(table: StackTable, count: u64) -> String {
        let kernel = symbol(Some("vfs_read"), 0, None);
        let module = symbol(Some("ext4_read"), 0x10, Some("ext4"));
        let inlined = Symbol {
            is_inlined: true,
            ..symbol(Some("in;side\u{1b}"), 0, Some("/bin/x"))
        };
        let unknown = symbol(None, 0x1234, Some("/lib/y.so"));
        let named = |address, symbol| NamedFrame {
            address: Some(address),
            symbol,
        };
        let row = StackRow {
            pid: 7,
            comm: CommandName(*b"evil\x1b\n\0\0\0\0\0\0\0\0\0\0"),
            kernel: vec![named(0xffff_ffff_8100_0000, &kernel), named(0x20, &module)],
            user: vec![named(0x30, &inlined), named(0x40, &unknown)],
            count,
        };
        let mut out = Vec::new();
        let time = DateTime::parse_from_rfc3339("2026-11-23T08:09:10.5Z").expect("valid");
        let rows = vec![row.clone(), row];
        table
            .write(&mut out, time.with_timezone(&Local), rows)
            .expect("a vector takes all");
        String::from_utf8(out).expect("text")
    }

    const PLAIN: StackTable = StackTable {
        format: StackFormat::Text,
        timestamp: false,
        offsets: false,
        verbose: false,
        delimited: false,
        processes: false,
    };

    #[test]
    fn stacks_that_read_the_same_are_one() {
        assert_eq!(
            render(PLAIN, 2),
            "  vfs_read\n  ext4_read\n  in;side\\u{1b} (inlined)\n  [unknown] 0x1234 [/lib/y.so]\n\
             \x20   4\n\n"
        );
    }

    #[test]
    fn all_that_is_known_is_shown_on_request() {
        let table = StackTable {
            offsets: true,
            verbose: true,
            delimited: true,
            processes: true,
            ..PLAIN
        };
        let once = "  ffffffff81000000 vfs_read+0x0\n  20               ext4_read+0x10 [ext4]\n\
                    \x20   --\n  30               in;side\\u{1b} (inlined) [/bin/x]\n\
                    \x20 40               [unknown] 0x1234 [/lib/y.so]\n\
                    \x20   evil\\u{1b}\\n [7]\n    2\n\n";
        assert_eq!(render(table, 2), once.repeat(2));
    }

    #[test]
    fn folded_lines_have_the_root_first_and_no_stray_separators() {
        let table = StackTable {
            format: StackFormat::Folded,
            delimited: true,
            ..PLAIN
        };
        assert_eq!(
            render(table, 1),
            "evil\\u{1b}\\n;[unknown] 0x1234 [/lib/y.so];in:side\\u{1b} (inlined);-;ext4_read;\
             vfs_read 2\n"
        );
    }

    #[test]
    fn json_has_numbers_as_numbers() {
        let table = StackTable {
            format: StackFormat::Json,
            ..PLAIN
        };
        let text = render(table, 3);
        let row: serde_json::Value =
            serde_json::from_str(text.lines().next().expect("a line")).expect("an object");
        assert_eq!(row["count"], 3);
        assert_eq!(row["pid"], 7);
        assert_eq!(row["comm"], "evil\u{1b}\n");
        assert_eq!(row["kernel"][1]["module"], "ext4");
        assert_eq!(row["user"][0]["inlined"], true);
        assert_eq!(row["user"][1]["offset"], 0x1234);
        assert_eq!(row["user"][1].get("symbol"), None);
    }
}
