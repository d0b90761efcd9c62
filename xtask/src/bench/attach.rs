//! How long attaching and detaching take, and how both grow with the number of probes.

use super::{
    Bench,
    measurement::{Case, Measurement, Quantity, Sample, in_turns},
    process::Sink,
    tracer::{Hook, Job, Tool},
};

/// The group's name.
pub const GROUP: &str = "attach";

/// Patterns for functions of `symbols`, and how many they match.
const PATTERNS: [(&str, &str); 6] = [
    ("1 user function", "fn_00000"),
    ("10 user functions", "fn_0000*"),
    ("100 user functions", "fn_000*"),
    ("1,000 user functions", "fn_00*"),
    ("2,000 user functions", "pair_*"),
    ("10,000 user functions", "fn_0*"),
];
/// More rounds take minutes.
const MOST_ROUNDS: usize = 3;
/// With `--quick`, the first so many.
const QUICK: usize = 3;

/// Measures the group.
///
/// # Errors
///
/// None; what fails is in the measurements.
pub fn measure(bench: &Bench) -> anyhow::Result<Vec<Measurement>> {
    let program = bench.programs.path("symbols");
    let mut hooks: Vec<(&str, Hook)> = PATTERNS
        .iter()
        .map(|(name, pattern)| (*name, Hook::function(&program, pattern)))
        .collect();
    if bench.quick {
        hooks.truncate(QUICK);
    }
    hooks.push(("`t:syscalls:sys_enter_*`", Hook::SystemCall("*")));
    let mut cases = Vec::new();
    for (name, hook) in &hooks {
        for tool in &bench.tools {
            cases.push(Case::new(name, &tool.name, || attach_once(tool, hook)));
        }
    }
    let rounds = bench.rounds.min(MOST_ROUNDS);
    Ok(in_turns(GROUP, &cases, rounds))
}

/// Starts to count, and ends at once.
///
/// # Errors
///
/// When the tool fails.
pub fn attach_once(tool: &Tool, hook: &Hook) -> anyhow::Result<Vec<Sample>> {
    let running = tool.start(Job::Count, hook, Sink::Pipe)?;
    let live = running.live_after();
    let ended = tool.end(running)?;
    let mut samples = vec![
        Sample::new(Quantity::Live, live.as_nanos() as f64),
        Sample::new(Quantity::End, ended.took.as_nanos() as f64),
        Sample::new(Quantity::Peak, ended.peak_bytes as f64),
    ];
    let places = places(&ended.said).map(|places| Sample::new(Quantity::Places, places as f64));
    samples.extend(places);
    Ok(samples)
}

/// The number in `Tracing 12 functions for …`, `Attached 12 probes` and `Attaching 12 probes…`; the
/// last two have bpftrace's `BEGIN` too.
fn places(said: &str) -> Option<u64> {
    said.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let begins = ["Tracing", "Attached", "Attaching"];
        let with_begin = u64::from(words.next().filter(|word| begins.contains(word))? != "Tracing");
        let number: u64 = words.next()?.parse().ok()?;
        number.checked_sub(with_begin)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_what_a_tool_says_it_attached_to() {
        let ours = "Tracing 3534 functions for \"c:*\"... Hit Ctrl-C to end.\n";
        assert_eq!(places(ours), Some(3534));
        assert_eq!(places("WARNING: x\nAttached 11 probes\nlive\n"), Some(10));
        assert_eq!(places("Detaching...\n"), None);
    }
}
