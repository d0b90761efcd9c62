//! trace's lines.

use std::{
    fmt::{self, Write as _},
    io::{self, Write},
};

use chrono::Local;
use serde_json::{Map, Value as Json, json};

use super::{
    CommandName, Escaped, EventCounts, Value,
    json::{Frame, push_line},
    push_escaped,
};
use crate::symbolize::Symbol;

/// What the first column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeColumn {
    /// Seconds since the start.
    SinceStart,
    /// Seconds since 1970.
    Unix,
    /// The time of day.
    Local,
}

/// The layout of lines.
#[derive(Clone, Copy, Debug)]
pub struct EventTable {
    /// Whether there is a time, and which.
    pub time: Option<TimeColumn>,
    /// Whether there is the CPU.
    pub cpu: bool,
    /// Whether frames of stacks have their addresses.
    pub addresses: bool,
    /// An object per event and line instead.
    pub json: bool,
    /// Whether equal events are counted: then there is nothing that tells them apart by time or
    /// CPU.
    pub aggregated: bool,
}

/// What the times of events are shown by.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// `CLOCK_MONOTONIC` at the start, in nanoseconds.
    pub start_ns: u64,
    /// What has to be added to `CLOCK_MONOTONIC` to get the time since 1970, in nanoseconds.
    pub to_unix_ns: i64,
}

/// An event, ready to be written.
pub struct EventLine<'a> {
    /// When it happened, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// The CPU.
    pub cpu: u32,
    /// The process.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
    /// Its name.
    pub comm: CommandName,
    /// The function or event.
    pub function: &'a FunctionName,
    /// The message.
    pub message: &'a str,
    /// The values in it; only objects have them.
    pub values: Vec<NamedValue<'a>>,
    /// The frames of the kernel's part of the stack: address and symbol.
    pub kernel_stack: &'a [(u64, Symbol)],
    /// Those of the program's part.
    pub user_stack: &'a [(u64, Symbol)],
}

/// A value of an event.
#[derive(Clone, Debug)]
pub struct NamedValue<'a> {
    /// What it is called.
    pub name: &'a str,
    /// What it is.
    pub value: Value<'a>,
    /// Whether it has a sign, if it is a number.
    pub is_signed: bool,
}

impl EventTable {
    /// Writes the names of the columns.
    ///
    /// # Errors
    ///
    /// When they can't be written.
    pub fn write_header(&self, out: &mut dyn Write, has_messages: bool) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        if self.aggregated {
            write!(out, "{}", EventCounts::header())?;
        }
        match self.time {
            Some(TimeColumn::Unix) => write!(out, "{:<17} ", "TIME")?,
            Some(_) => write!(out, "{:<8} ", "TIME")?,
            None => {}
        }
        if self.cpu {
            write!(out, "{:<3} ", "CPU")?;
        }
        let last = if has_messages { "-" } else { "" };
        writeln!(
            out,
            "{:<7} {:<7} {:<15} {:<16} {last}",
            "PID", "TID", "COMM", "FUNC"
        )
    }

    /// Appends an event's lines to `out`.
    pub fn write(
        &self,
        out: &mut String,
        columns: &mut Columns,
        clocks: Clocks,
        line: EventLine<'_>,
    ) {
        if self.json {
            return self.write_json(out, clocks, line);
        }
        // Writing into a string does not fail.
        let _ = self.write_time(out, clocks, line.time_ns);
        if self.cpu {
            let _ = write!(out, "{:<3} ", line.cpu);
        }
        out.push_str(columns.task(line.pid, line.tid, line.comm));
        out.push_str(&line.function.column);
        out.push(' ');
        out.push_str(line.message);
        out.push('\n');
        for (address, symbol) in line.kernel_stack.iter().chain(line.user_stack) {
            let _ = match self.addresses {
                true => writeln!(out, "        {address:<16x} {symbol}"),
                false => writeln!(out, "        {symbol}"),
            };
        }
        if !line.kernel_stack.is_empty() || !line.user_stack.is_empty() {
            out.push('\n');
        }
    }

    fn write_time(&self, out: &mut String, clocks: Clocks, time_ns: u64) -> fmt::Result {
        match self.time {
            Some(TimeColumn::SinceStart) => {
                let since_start = seconds(time_ns.saturating_sub(clocks.start_ns));
                write!(out, "{since_start:<8.6} ")
            }
            Some(TimeColumn::Unix) => write!(out, "{:<17.6} ", seconds(clocks.unix_ns(time_ns))),
            Some(TimeColumn::Local) => {
                write!(out, "{:<8} ", clocks.local(time_ns).format("%H:%M:%S"))
            }
            None => Ok(()),
        }
    }

    fn write_json(&self, out: &mut String, clocks: Clocks, line: EventLine<'_>) {
        let mut object = Map::new();
        let mut set = |key: &str, value: Json| drop(object.insert(key.to_owned(), value));
        if !self.aggregated {
            let time = clocks.local(line.time_ns);
            let time = time.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true);
            set("time", time.into());
            set("cpu", line.cpu.into());
        }
        set("pid", line.pid.into());
        set("tid", line.tid.into());
        set("comm", line.comm.text().into());
        set("probe", line.function.name.as_str().into());
        set("message", line.message.into());
        let values = line
            .values
            .into_iter()
            .map(|value| (value.name.to_owned(), json_value(&value)));
        set("values", Json::Object(values.collect()));
        for (key, stack) in [("kernel", line.kernel_stack), ("user", line.user_stack)] {
            if !stack.is_empty() {
                let frames = stack.iter();
                let frames =
                    frames.map(|(address, symbol)| json!(Frame::new(Some(*address), symbol)));
                set(key, frames.collect());
            }
        }
        push_line(out, &object);
    }
}

impl Clocks {
    fn unix_ns(&self, time_ns: u64) -> u64 {
        time_ns.saturating_add_signed(self.to_unix_ns)
    }

    fn local(&self, time_ns: u64) -> chrono::DateTime<Local> {
        let nanoseconds = i64::try_from(self.unix_ns(time_ns)).unwrap_or(i64::MAX);
        chrono::DateTime::from_timestamp_nanos(nanoseconds).with_timezone(&Local)
    }
}

/// The columns that are the same for one event after the other of a thread.
#[derive(Debug, Default)]
pub struct Columns {
    of: Option<(u32, u32, CommandName)>,
    text: String,
}

impl Columns {
    fn task(&mut self, pid: u32, tid: u32, comm: CommandName) -> &str {
        if self.of != Some((pid, tid, comm)) {
            self.of = Some((pid, tid, comm));
            self.text = format!("{pid:<7} {tid:<7} {comm:<15} ");
        }
        &self.text
    }
}

/// The name of a function or event, also as its column: it is the same in many lines.
#[derive(Clone, Debug)]
pub struct FunctionName {
    name: String,
    column: String,
}

impl FunctionName {
    /// Makes the column of a name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            column: format!("{:<16}", Escaped(name)),
        }
    }
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

fn json_value(value: &NamedValue<'_>) -> Json {
    match &value.value {
        Value::Integer(number) => match value.is_signed {
            true => (*number).into(),
            false => number.cast_unsigned().into(),
        },
        Value::Text(text) => {
            let mut shown = String::new();
            match str::from_utf8(text) {
                Ok(text) => shown.push_str(text),
                Err(_) => push_escaped(&mut shown, text),
            }
            shown.into()
        }
        Value::Unreadable(_) => Json::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: EventTable = EventTable {
        time: None,
        cpu: false,
        addresses: false,
        json: false,
        aggregated: false,
    };

    const CLOCKS: Clocks = Clocks {
        start_ns: 1_000_000_000,
        to_unix_ns: 1_700_000_000_000_000_000,
    };

    fn written(table: EventTable, stack: &[(u64, Symbol)]) -> String {
        let mut out = String::new();
        let function = FunctionName::new("vfs_read");
        let value = |name, value, is_signed| NamedValue {
            name,
            value,
            is_signed,
        };
        let values = vec![
            value("n", Value::Integer(-1), true),
            value("size", Value::Integer(-1), false),
            value("file", Value::Integer(i64::MIN), false),
            value("text", Value::Text(b"a\xff"), false),
            value("gone", Value::Unreadable(None), true),
        ];
        let line = EventLine {
            time_ns: 1_250_000_000,
            cpu: 3,
            pid: 185,
            tid: 186,
            comm: CommandName(*b"evil\x1b\0\0\0\0\0\0\0\0\0\0\0"),
            function: &function,
            message: "n = 1",
            values,
            kernel_stack: stack,
            user_stack: &[],
        };
        table.write(&mut out, &mut Columns::default(), CLOCKS, line);
        out
    }

    fn vfs_read() -> Symbol {
        Symbol {
            name: Some("vfs_read".to_owned()),
            offset: 0,
            module: None,
            is_inlined: false,
        }
    }

    fn header(table: EventTable, has_messages: bool) -> String {
        let mut out = Vec::new();
        table
            .write_header(&mut out, has_messages)
            .expect("a vector takes all");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn columns_are_those_of_bcc() {
        assert_eq!(
            header(TABLE, true),
            "PID     TID     COMM            FUNC             -\n"
        );
        assert_eq!(
            written(TABLE, &[]),
            "185     186     evil\\u{1b}      vfs_read         n = 1\n"
        );
        let table = EventTable {
            time: Some(TimeColumn::SinceStart),
            cpu: true,
            ..TABLE
        };
        assert!(header(table, false).starts_with("TIME     CPU PID "));
        assert!(written(table, &[]).starts_with("0.250000 3   185     186 "));
        let table = EventTable {
            time: Some(TimeColumn::Unix),
            ..TABLE
        };
        assert!(written(table, &[]).starts_with("1700000001.250000 185 "));
    }

    #[test]
    fn stacks_are_below_their_event() {
        let stack = [(0xff, vfs_read())];
        assert!(written(TABLE, &stack).ends_with("n = 1\n        vfs_read+0x0\n\n"));
        let table = EventTable {
            addresses: true,
            ..TABLE
        };
        let expected = "\n        ff               vfs_read+0x0\n\n";
        assert!(written(table, &stack).ends_with(expected));
    }

    #[test]
    fn json_has_values_of_their_types() {
        let table = EventTable {
            json: true,
            ..TABLE
        };
        assert_eq!(header(table, true), "");
        let row: Json =
            serde_json::from_str(&written(table, &[(0xff, vfs_read())])).expect("an object");
        assert_eq!(row["comm"], "evil\u{1b}");
        assert_eq!(
            row["values"],
            json!({
                "n": -1,
                "size": u64::MAX,
                "file": 1_u64 << 63,
                "text": "a\\xff",
                "gone": null,
            })
        );
        assert_eq!(
            row["kernel"],
            json!([{"symbol": "vfs_read", "offset": 0, "address": 255}])
        );
        assert_eq!(row["probe"], "vfs_read");
        assert_eq!(row["cpu"], 3);
    }
}
