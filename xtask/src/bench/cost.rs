//! What an event costs the program that it happens in, alone and with more threads.

use std::path::Path;

use super::{
    Bench,
    measurement::{Case, Measurement, Quantity, Sample, in_turns},
    process::Sink,
    programs::Programs,
    tracer::{Hook, Job, Message, Tool},
};

/// The group of what one thread pays.
pub const GROUP: &str = "cost";
/// The group of what several threads pay.
pub const THREADS: &str = "threads";
/// A run without any tool.
pub const NO_TOOL: &str = "no tool";
/// A run with a BPF program that returns at once: the least that any tool can cost.
pub const EMPTY: &str = "empty program";

/// What is done with events, and what the table calls it.
pub const JOBS: [(&str, Job); 4] = [
    ("count", Job::Count),
    ("stack", Job::Stack),
    ("trace", Job::Trace(Message::Thread)),
    ("trace, condition false", Job::TraceFalse),
];

/// The workload: what `loop` does, and which probe it hits.
#[derive(Clone, Debug)]
pub struct Workload {
    /// What the table calls it.
    pub name: String,
    /// Arguments of `loop`.
    pub arguments: Vec<String>,
    /// Where its events are.
    pub hook: Hook,
}

impl Workload {
    /// `loop` with `arguments`.
    #[must_use]
    pub fn new(name: &str, arguments: &[&str], hook: Hook) -> Self {
        Self {
            name: name.to_owned(),
            arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
            hook,
        }
    }
}

/// Measures what one thread pays.
///
/// # Errors
///
/// None; what fails is in the measurements.
pub fn measure(bench: &Bench) -> anyhow::Result<Vec<Measurement>> {
    let program = bench.programs.path("loop");
    let workloads = user_workloads(&program, bench.loop_time());
    Ok(measure_workloads(bench, GROUP, &workloads, &JOBS))
}

/// Those that every kernel has.
fn user_workloads(program: &Path, time: &str) -> Vec<Workload> {
    let function = Hook::function(program, "bench_function");
    let usdt = Hook::Usdt(program.to_owned());
    vec![
        Workload::new(
            "system call tracepoint",
            &["getppid", time],
            Hook::SystemCall("getppid"),
        ),
        Workload::new("user function", &["function", time], function),
        Workload::new("USDT probe", &["usdt", time], usdt),
    ]
}

/// Measures what each of several threads pays.
///
/// # Errors
///
/// None; what fails is in the measurements.
pub fn measure_threads(bench: &Bench) -> anyhow::Result<Vec<Measurement>> {
    let workloads = ["1", "2", "8"].map(|threads| {
        Workload::new(
            &format!("system call tracepoint, threads: {threads}"),
            &["getppid", bench.loop_time(), threads],
            Hook::SystemCall("getppid"),
        )
    });
    let jobs = JOBS.split_at(3).0;
    Ok(measure_workloads(bench, THREADS, &workloads, jobs))
}

/// Each job of each tool on each workload, and what it costs over the empty program.
#[must_use]
pub fn measure_workloads(
    bench: &Bench,
    group: &str,
    workloads: &[Workload],
    jobs: &[(&str, Job)],
) -> Vec<Measurement> {
    let programs = &bench.programs;
    let mut cases = Vec::new();
    for workload in workloads {
        cases.push(Case::new(&workload.name, NO_TOOL, || {
            pay(programs, workload)
        }));
        let ours = bench.tools.iter().find(|tool| tool.is_ours());
        if let Some(tool) = ours {
            cases.push(Case::new(&workload.name, EMPTY, || {
                traced(programs, tool, Job::Empty, workload)
            }));
        }
        for (name, job) in jobs {
            let name = format!("{name}, {}", workload.name);
            for tool in &bench.tools {
                let run = || traced(programs, tool, *job, workload);
                cases.push(Case::new(&name, &tool.name, run));
            }
        }
    }
    let mut measurements = in_turns(group, &cases, bench.rounds);
    for workload in workloads {
        measurements.extend(over_empty(&measurements, &workload.name));
    }
    measurements
}

/// A call, without a tool.
fn pay(programs: &Programs, workload: &Workload) -> anyhow::Result<Vec<Sample>> {
    let arguments: Vec<&str> = workload.arguments.iter().map(String::as_str).collect();
    let looped = programs.run_loop(&arguments)?;
    Ok(vec![Sample::new(Quantity::PerCall, looped.ns_per_call)])
}

/// A call, while a tool traces it; what it prints goes to a file.
fn traced(
    programs: &Programs,
    tool: &Tool,
    job: Job,
    workload: &Workload,
) -> anyhow::Result<Vec<Sample>> {
    let file = tempfile::NamedTempFile::new()?;
    let running = tool.start(job, &workload.hook, Sink::File(file.path()))?;
    let samples = pay(programs, workload)?;
    tool.end(running)?;
    Ok(samples)
}

/// What each tool's calls cost more than those with the empty program of the same round.
fn over_empty(measurements: &[Measurement], workload: &str) -> Vec<Measurement> {
    let of = |measurement: &&Measurement| measurement.quantity == Some(Quantity::PerCall);
    let empty = measurements
        .iter()
        .filter(of)
        .find(|one| one.tool == EMPTY && one.case == workload);
    let Some(empty) = empty else {
        return Vec::new();
    };
    let suffix = format!(", {workload}");
    let costly = measurements
        .iter()
        .filter(of)
        .filter(|one| one.case.ends_with(&suffix));
    let over = costly.map(|one| {
        let pairs = one.samples.iter().zip(&empty.samples);
        let samples = pairs.map(|(with, without)| with - without).collect();
        Measurement::new(
            &one.group,
            &one.case,
            &one.tool,
            Quantity::OverEmpty,
            samples,
        )
    });
    over.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_over_the_empty_program_of_the_same_round() {
        let calls = |case: &str, tool: &str, samples: &[f64]| {
            Measurement::new(GROUP, case, tool, Quantity::PerCall, samples.to_vec())
        };
        // The machine was slower in the second round.
        let measured = [
            calls("USDT probe", NO_TOOL, &[1.0, 2.0]),
            calls("USDT probe", EMPTY, &[100.0, 200.0]),
            calls("user function", EMPTY, &[7.0, 7.0]),
            calls("count, USDT probe", "ours", &[110.0, 212.0]),
        ];
        let over = over_empty(&measured, "USDT probe");
        let expected = Measurement::new(
            GROUP,
            "count, USDT probe",
            "ours",
            Quantity::OverEmpty,
            vec![10.0, 12.0],
        );
        assert_eq!(over, [expected]);
    }
}
