//! trace's lines.

use std::io::{self, Write};

use chrono::Local;
use serde_json::{Map, Value as Json, json};

use super::{CommandName, Escaped, Value, push_escaped};

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
    pub function: &'a str,
    /// The message.
    pub message: &'a str,
    /// The values in it, by name.
    pub values: &'a mut dyn Iterator<Item = (&'a str, Value<'a>)>,
    /// The frames of the kernel's part of the stack: address and symbol.
    pub kernel_stack: &'a [(u64, String)],
    /// Those of the program's part.
    pub user_stack: &'a [(u64, String)],
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

    /// Writes an event.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn write(&self, out: &mut dyn Write, line: EventLine<'_>) -> io::Result<()> {
        if self.json {
            return self.write_json(out, line);
        }
        match self.time {
            Some(TimeColumn::SinceStart) => {
                write!(
                    out,
                    "{:<8.6} ",
                    seconds(line.time_ns.saturating_sub(self.start_ns))
                )?;
            }
            Some(TimeColumn::Unix) => {
                write!(out, "{:<17.6} ", seconds(self.unix_ns(line.time_ns)))?
            }
            Some(TimeColumn::Local) => {
                write!(out, "{:<8} ", self.local(line.time_ns).format("%H:%M:%S"))?
            }
            None => {}
        }
        if self.cpu {
            write!(out, "{:<3} ", line.cpu)?;
        }
        writeln!(
            out,
            "{:<7} {:<7} {:<15} {:<16} {}",
            line.pid,
            line.tid,
            line.comm,
            Escaped(line.function),
            line.message
        )?;
        for (address, symbol) in line.kernel_stack.iter().chain(line.user_stack) {
            if self.addresses {
                writeln!(out, "        {address:<16x} {symbol}")?;
            } else {
                writeln!(out, "        {symbol}")?;
            }
        }
        if !line.kernel_stack.is_empty() || !line.user_stack.is_empty() {
            writeln!(out)?;
        }
        Ok(())
    }

    fn write_json(&self, out: &mut dyn Write, line: EventLine<'_>) -> io::Result<()> {
        let time = self.local(line.time_ns);
        let mut object = Map::new();
        let mut set = |key: &str, value: Json| drop(object.insert(key.to_owned(), value));
        set(
            "time",
            time.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true)
                .into(),
        );
        set("pid", line.pid.into());
        set("tid", line.tid.into());
        set("comm", line.comm.text().into());
        set("cpu", line.cpu.into());
        set("probe", line.function.into());
        set("message", line.message.into());
        let values = line
            .values
            .map(|(name, value)| (name.to_owned(), json_value(&value)));
        set("values", Json::Object(values.collect()));
        for (key, stack) in [("kernel", line.kernel_stack), ("user", line.user_stack)] {
            if !stack.is_empty() {
                let frames = stack
                    .iter()
                    .map(|(address, symbol)| json!({"address": address, "symbol": symbol}));
                set(key, frames.collect());
            }
        }
        serde_json::to_writer(&mut *out, &object)?;
        writeln!(out)
    }

    fn unix_ns(&self, time_ns: u64) -> u64 {
        time_ns.saturating_add_signed(self.to_unix_ns)
    }

    fn local(&self, time_ns: u64) -> chrono::DateTime<Local> {
        let nanoseconds = i64::try_from(self.unix_ns(time_ns)).unwrap_or(i64::MAX);
        chrono::DateTime::from_timestamp_nanos(nanoseconds).with_timezone(&Local)
    }
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

fn json_value(value: &Value<'_>) -> Json {
    match value {
        Value::Integer(number) => (*number).into(),
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
