//! How cost grows: with the number of different stacks, and with the length of messages.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use super::{
    Bench,
    cost::{Workload, measure_workloads},
    measurement::{Case, Measurement, Quantity, Sample, in_turns},
    process::Sink,
    rate::grouped,
    tracer::{Hook, Job, Message, Tool},
};

/// The group of stacks.
pub const STACKS: &str = "stacks";
/// The group of messages.
pub const MESSAGE: &str = "message";

/// Numbers of different stacks; with `--quick`, the first two.
const COUNTS: [u64; 5] = [10, 100, 1_000, 10_000, 100_000];
/// Bytes of a message; with `--quick`, the first two.
const LENGTHS: [u32; 4] = [8, 64, 512, 4_000];
/// More rounds take minutes.
const MOST_ROUNDS: usize = 3;

/// What the table calls `count` stacks.
#[must_use]
pub fn stacks_case(count: u64) -> String {
    format!("{} stacks of 50,000 symbols", grouped(count))
}

/// Measures naming and printing stacks.
///
/// # Errors
///
/// None; what fails is in the measurements.
pub fn measure_stacks(bench: &Bench) -> anyhow::Result<Vec<Measurement>> {
    let mut cases = Vec::new();
    for count in COUNTS.into_iter().take(bench.sizes(COUNTS.len())) {
        for tool in &bench.tools {
            let run = move || count_stacks(bench, tool, count);
            cases.push(Case::new(&stacks_case(count), &tool.name, run));
        }
    }
    let rounds = bench.rounds.min(MOST_ROUNDS);
    Ok(in_turns(STACKS, &cases, rounds))
}

fn count_stacks(bench: &Bench, tool: &Tool, count: u64) -> anyhow::Result<Vec<Sample>> {
    let hook = Hook::function(&bench.programs.path("symbols"), "bench_leaf");
    let file = tempfile::NamedTempFile::new()?;
    let running = tool.start(Job::Stack, &hook, Sink::File(file.path()))?;
    bench.programs.run_stacks(count)?;
    let ended = tool.end(running)?;
    Ok(vec![
        Sample::new(Quantity::End, ended.took.as_nanos() as f64),
        Sample::new(Quantity::Peak, ended.peak_bytes as f64),
        Sample::new(Quantity::Stacks, printed_stacks(file.path())? as f64),
    ])
}

/// The stacks in what a tool has printed.
fn printed_stacks(file: &Path) -> anyhow::Result<u64> {
    let mut stacks = 0;
    for line in BufReader::new(File::open(file)?).split(b'\n') {
        stacks += u64::from(ends_stack(&String::from_utf8_lossy(&line?)));
    }
    Ok(stacks)
}

/// Whether a line ends a stack with its count: `    12` of ours and bcc's, `]: 12` of bpftrace's.
fn ends_stack(line: &str) -> bool {
    let count = line
        .strip_prefix("    ")
        .or_else(|| line.strip_prefix("]: "));
    count.is_some_and(|count| count.trim_end().parse::<u64>().is_ok())
}

/// Measures messages of different lengths.
///
/// # Errors
///
/// None; what fails is in the measurements.
pub fn measure_messages(bench: &Bench) -> anyhow::Result<Vec<Measurement>> {
    let lengths = LENGTHS.into_iter().take(bench.sizes(LENGTHS.len()));
    let measured = lengths.flat_map(|length| {
        let workload = Workload::new(
            &format!("`access`, {} bytes", grouped(length.into())),
            &["access", bench.loop_time(), "1", &length.to_string()],
            Hook::SystemCall("access"),
        );
        let job = ("trace", Job::Trace(Message::Path(length)));
        measure_workloads(bench, MESSAGE, &[workload], &[job])
    });
    Ok(measured.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_are_counted_in_each_tools_output() -> anyhow::Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        let ours = "  bench_leaf\n  main\n    1\n\n  next\n    12\n\nDetaching...\n";
        let bpftrace = "@[\n\n    bench_leaf+0\n    main+1\n]: 1\n@[\n    12\n";
        std::fs::write(file.path(), ours)?;
        assert_eq!(printed_stacks(file.path())?, 2);
        std::fs::write(file.path(), bpftrace.trim_end_matches("    12\n"))?;
        assert_eq!(printed_stacks(file.path())?, 1);
        Ok(())
    }
}
