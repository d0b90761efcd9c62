//! How many events a second are printed, and what becomes of those that come faster.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
    time::{Duration, Instant},
};

use super::{
    Bench,
    measurement::{Case, Measurement, Quantity, Sample, in_turns},
    process::{Running, Sink, is_event},
    tracer::{Hook, Job, Message, Tool},
};

/// The group's name.
pub const GROUP: &str = "rate";
/// As fast as a thread makes them, to a file.
pub const TO_FILE: &str = "3,000,000 events of a thread, to a file";

/// More rounds take minutes.
const MOST_ROUNDS: usize = 3;

/// Measures the group.
///
/// # Errors
///
/// None; what fails is in the measurements.
pub fn measure(bench: &Bench) -> anyhow::Result<Vec<Measurement>> {
    let (events, limit) = if bench.quick {
        (100_000, 50_000)
    } else {
        (3_000_000, 1_000_000)
    };
    let count = events.to_string();
    let (one, all) = (&["getppid", &count][..], &["getppid", &count, "8"][..]);
    let of_one = format!("{} events of a thread", grouped(events));
    let to_file = format!("{of_one}, to a file");
    let to_pipe = format!("{of_one}, to a pipe");
    let first = format!("{of_one}, `-M {limit}`, to a pipe");
    let pressure = format!("{} events of each of 8 threads, to a file", grouped(events));
    let mut cases = Vec::new();
    for tool in &bench.tools {
        let name = &tool.name;
        let print_to_file = move |arguments| {
            let file = tempfile::NamedTempFile::new()?;
            print_all(bench, tool, arguments, Some(file.path()))
        };
        cases.push(Case::new(&to_file, name, move || print_to_file(one)));
        cases.push(Case::new(&to_pipe, name, move || {
            print_all(bench, tool, one, None)
        }));
        cases.push(Case::new(&first, name, move || {
            print_first(bench, tool, one, limit)
        }));
        cases.push(Case::new(&pressure, name, move || print_to_file(all)));
    }
    let rounds = bench.rounds.min(MOST_ROUNDS);
    Ok(in_turns(GROUP, &cases, rounds))
}

/// Traces `loop`, and waits for what the tool can print of it.
fn print_all(
    bench: &Bench,
    tool: &Tool,
    arguments: &[&str],
    file: Option<&Path>,
) -> anyhow::Result<Vec<Sample>> {
    let hook = Hook::SystemCall("getppid");
    let sink = file.map_or(Sink::Pipe, Sink::File);
    let running = tool.start(Job::Trace(Message::Thread), &hook, sink)?;
    let begin = Instant::now();
    let looped = bench.programs.run_loop(arguments)?;
    let took = time_to_print(begin, &running)?;
    let ended = tool.end(running)?;
    let printed = match file {
        Some(file) => events(file)?,
        None => ended.events,
    };
    let unaccounted = looped.calls.saturating_sub(printed + ended.told_lost);
    Ok(vec![
        Sample::new(Quantity::Rate, printed as f64 / took.as_secs_f64()),
        Sample::new(Quantity::Delivered, printed as f64 / looped.calls as f64),
        Sample::new(Quantity::ToldLost, ended.told_lost as f64),
        Sample::new(Quantity::Unaccounted, unaccounted as f64),
    ])
}

/// From `begin` to the tool's last output, or to now if it has written all before: then it was no
/// slower than the events came.
fn time_to_print(begin: Instant, running: &Running) -> anyhow::Result<Duration> {
    let looped = Instant::now();
    let last = running.settle()?.unwrap_or(looped);
    Ok(last.max(looped) - begin)
}

/// Until the tool ends by itself.
fn print_first(
    bench: &Bench,
    tool: &Tool,
    arguments: &[&str],
    limit: u64,
) -> anyhow::Result<Vec<Sample>> {
    let hook = Hook::SystemCall("getppid");
    let running = tool.start(Job::TraceFirst(limit), &hook, Sink::Pipe)?;
    let begin = Instant::now();
    bench.programs.run_loop(arguments)?;
    let took = time_to_print(begin, &running)?;
    let ended = tool.end(running)?;
    let printed = ended.events;
    Ok(vec![
        Sample::new(Quantity::Rate, printed as f64 / took.as_secs_f64()),
        Sample::new(Quantity::Delivered, printed as f64 / limit as f64),
    ])
}

/// The events in what a tool has printed.
fn events(file: &Path) -> anyhow::Result<u64> {
    let mut file = BufReader::with_capacity(256 << 10, File::open(file)?);
    let (mut events, mut line) = (0, Vec::new());
    while file.read_until(b'\n', &mut line)? > 0 {
        events += u64::from(is_event(&line));
        line.clear();
    }
    Ok(events)
}

/// With a comma at every third digit.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_events_are_counted() -> anyhow::Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        let ours = "PID TID COMM FUNC -\n7 7 loop sys_enter_getppid 7\n";
        let bpftrace = "Attached 2 probes\nlive\n7\n8\n\n";
        std::fs::write(file.path(), format!("{ours}{bpftrace}"))?;
        assert_eq!(events(file.path())?, 3);
        Ok(())
    }

    #[test]
    fn digits_are_grouped() {
        assert_eq!([1, 999, 3_000_000].map(grouped), ["1", "999", "3,000,000"]);
    }
}
