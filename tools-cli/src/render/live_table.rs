//! funccount's table as it is drawn over and over, as top does.

use std::{
    collections::HashMap,
    io::{self, Write},
    time::Duration,
};

use crossterm::{
    QueueableCommand as _,
    cursor::{Hide, MoveTo, Show},
    terminal::{
        Clear, ClearType, DisableLineWrap, EnableLineWrap, EnterAlternateScreen,
        LeaveAlternateScreen, size,
    },
};
use probes_common::{By, COMM_BYTES};

use super::{
    Escaped, Grouped, Row, RowGroup,
    count_table::{heading, write_group},
};

/// What a terminal is taken for that does not tell its size.
const USUAL_SIZE: (u16, u16) = (80, 24);

type RowKey = (String, Option<(u32, [u8; COMM_BYTES])>);

/// The rows so far, and the screen that they are on.
#[derive(Debug)]
pub struct LiveTable {
    title: String,
    by: Option<By>,
    totals: HashMap<RowKey, Total>,
}

/// What is known of a row.
#[derive(Clone, Copy, Debug)]
struct Total {
    group: Option<RowGroup>,
    /// Events in the last interval.
    last: u64,
    /// Events since the start.
    all: u64,
}

impl LiveTable {
    /// A table without rows.
    #[must_use]
    pub fn new(title: String, by: Option<By>) -> Self {
        Self {
            title,
            by,
            totals: HashMap::new(),
        }
    }

    /// Puts what the terminal shows aside.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn enter(&self, out: &mut dyn Write) -> io::Result<()> {
        out.queue(EnterAlternateScreen)?
            .queue(DisableLineWrap)?
            .queue(Hide)?
            .flush()
    }

    /// Shows again what the terminal showed before.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn leave(&self, out: &mut dyn Write) -> io::Result<()> {
        out.queue(EnableLineWrap)?
            .queue(LeaveAlternateScreen)?
            .queue(Show)?
            .flush()
    }

    /// Takes in the rows of an interval.
    pub fn add(&mut self, rows: &[Row<'_>]) {
        for total in self.totals.values_mut() {
            total.last = 0;
        }
        for row in rows.iter().filter(|row| row.count > 0) {
            let key = (row.name.to_owned(), row.group.map(RowGroup::order));
            let total = self.totals.entry(key).or_insert(Total {
                group: row.group,
                last: 0,
                all: 0,
            });
            total.last += row.count;
            total.all += row.count;
        }
    }

    /// Draws the rows over what is there, those with most events first, as many as fit; `interval`
    /// is the time that the last events came in.
    ///
    /// # Errors
    ///
    /// When they can't be written.
    pub fn draw(&self, out: &mut dyn Write, interval: Duration) -> io::Result<()> {
        let size = size().unwrap_or(USUAL_SIZE);
        let (columns, lines) = if size.0 == 0 || size.1 == 0 {
            USUAL_SIZE
        } else {
            size
        };
        out.queue(MoveTo(0, 0))?;
        let text = self.lines(interval, usize::from(lines) - 1)?;
        for line in text {
            let line: String = line.chars().take(columns.into()).collect();
            out.queue(Clear(ClearType::CurrentLine))?;
            writeln!(out, "{line}")?;
        }
        out.queue(Clear(ClearType::FromCursorDown))?.flush()
    }

    /// All rows with the events since the start, for [`CountTable`](super::CountTable).
    #[must_use]
    pub fn rows(&self) -> Vec<Row<'_>> {
        let rows = self.totals.iter().map(|((name, _), total)| Row {
            name,
            group: total.group,
            count: total.all,
        });
        rows.collect()
    }

    /// The first lines of the table.
    fn lines(&self, interval: Duration, most: usize) -> io::Result<Vec<String>> {
        let mut rows: Vec<(&RowKey, &Total)> = self.totals.iter().collect();
        rows.sort_by_key(|(key, total)| (u64::MAX - total.last, u64::MAX - total.all, *key));
        let group = self.by.map_or("", heading);
        let head = format!("{:<36} {group}{:>12} {:>16}", "FUNC", "COUNT/s", "COUNT");
        let mut lines = vec![self.title.clone(), String::new(), head];
        let seconds = interval.as_secs_f64().max(f64::MIN_POSITIVE);
        for ((name, _), total) in rows.into_iter().take(most.saturating_sub(lines.len())) {
            let mut line = format!("{:<36} ", Escaped(name)).into_bytes();
            if let (Some(by), Some(group)) = (self.by, total.group) {
                write_group(&mut line, by, group)?;
            }
            let rate = (total.last as f64 / seconds).round() as u64;
            write!(line, "{:>12} {:>16}", Grouped(rate), Grouped(total.all))?;
            lines.push(String::from_utf8_lossy(&line).into_owned());
        }
        lines.truncate(most);
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, count: u64) -> Row<'_> {
        Row {
            name,
            group: None,
            count,
        }
    }

    #[test]
    fn functions_of_one_name_share_a_row() {
        let mut table = LiveTable::new(String::new(), None);
        table.add(&[row("same", 2), row("same", 3)]);
        table.add(&[row("same", 20), row("same", 30)]);
        let lines = table.lines(Duration::from_secs(1), 10);
        let expected = format!("{:<36} {:>12} {:>16}", "same", "50", "55");
        assert_eq!(lines.expect("a vector takes all")[3..], [expected]);
    }

    #[test]
    fn the_busiest_come_first_and_totals_grow() {
        let mut table = LiveTable::new("Tracing".to_owned(), None);
        table.add(&[row("once", 900), row("now", 0), row("evil\x1b[2J", 1)]);
        table.add(&[row("once", 0), row("now", 5000), row("evil\x1b[2J", 2)]);
        let lines = table
            .lines(Duration::from_millis(500), 10)
            .expect("a vector takes all");
        let expected = [
            "Tracing".to_owned(),
            String::new(),
            format!("{:<36} {:>12} {:>16}", "FUNC", "COUNT/s", "COUNT"),
            format!("{:<36} {:>12} {:>16}", "now", "10,000", "5,000"),
            format!("{:<36} {:>12} {:>16}", "evil\\u{1b}[2J", "4", "3"),
            format!("{:<36} {:>12} {:>16}", "once", "0", "900"),
        ];
        assert_eq!(lines, expected);
        let few = table.lines(Duration::from_secs(1), 4);
        assert_eq!(few.expect("a vector takes all").len(), 4);
        let mut counts: Vec<u64> = table.rows().iter().map(|row| row.count).collect();
        counts.sort_unstable();
        assert_eq!(counts, [3, 900, 5000]);
    }
}
