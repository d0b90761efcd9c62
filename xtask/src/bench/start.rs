//! From a tool's start to its first live probe and its first event, and its memory.

use std::{
    path::Path,
    process::{Child, Stdio},
};

use super::{
    Bench,
    attach::attach_once,
    measurement::{Case, Measurement, Quantity, Sample, in_turns},
    process::{Sink, dies_with_us},
    tracer::{Hook, Job, Message, Tool},
};

/// The group's name.
pub const GROUP: &str = "start";
/// A count of a function of the C library.
pub const COUNT_MALLOC: &str = "count `c:malloc`";
/// A message of the same.
pub const TRACE_MALLOC: &str = "trace `c:malloc \"size = %d\", arg1`";
/// All functions of the C library.
pub const COUNT_LIBRARY: &str = "count `c:*`";

/// Starts are short, and what the kernel has them wait for, whole ticks of it, varies most.
const TIMES_THE_ROUNDS: usize = 3;

/// Measures the group.
///
/// # Errors
///
/// None; what fails is in the measurements.
pub fn measure(bench: &Bench) -> anyhow::Result<Vec<Measurement>> {
    let malloc = Hook::Function {
        file: "c".to_owned(),
        name: "malloc".to_owned(),
    };
    // Not of the library that everybody uses; see `Programs`.
    let library = Hook::function(&bench.programs.path("libc.so.6"), "*");
    let ticker = bench.programs.path("loop");
    let (malloc, library, ticker) = (&malloc, &library, &ticker);
    let mut cases = Vec::new();
    for tool in &bench.tools {
        let count = move || attach_once(tool, malloc);
        cases.push(Case::new(COUNT_MALLOC, &tool.name, count));
        let trace = move || first_event(tool, malloc, ticker);
        cases.push(Case::new(TRACE_MALLOC, &tool.name, trace));
        let count = move || attach_once(tool, library);
        cases.push(Case::new(COUNT_LIBRARY, &tool.name, count));
    }
    let rounds = match bench.quick {
        true => 1,
        false => bench.rounds * TIMES_THE_ROUNDS,
    };
    Ok(in_turns(GROUP, &cases, rounds))
}

/// Traces while a program calls `malloc` every now and then.
fn first_event(tool: &Tool, hook: &Hook, ticker: &Path) -> anyhow::Result<Vec<Sample>> {
    let _ticker = Ticker::start(tool, ticker)?;
    let job = Job::Trace(Message::Size);
    let running = tool.start_until("size = ", job, hook, Sink::Pipe)?;
    let first = running.live_after().as_nanos() as f64;
    let ended = tool.end(running)?;
    Ok(vec![
        Sample::new(Quantity::FirstEvent, first),
        Sample::new(Quantity::Peak, ended.peak_bytes as f64),
    ])
}

/// Runs until it is dropped, with the C library that the tool sees.
struct Ticker(Child);

impl Ticker {
    fn start(tool: &Tool, program: &Path) -> anyhow::Result<Self> {
        let mut command = tool.beside(program);
        command.args(["ticker", "600000ms"]).stdout(Stdio::null());
        Ok(Self(dies_with_us(&mut command).spawn()?))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
