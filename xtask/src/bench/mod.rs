//! `cargo xtask bench`: this project's tools and others side by side, on the same workloads, in
//! turns, in one run.

pub mod attach;
pub mod bars;
pub mod cost;
pub mod growth;
pub mod kernel;
pub mod machine;
pub mod measurement;
pub mod peers;
pub mod plot;
pub mod process;
pub mod programs;
pub mod rate;
pub mod start;
pub mod statistics;
pub mod table;
pub mod tracer;

use std::{fs, path::Path};

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use self::{
    bars::{Bar, bars},
    machine::Machine,
    measurement::Measurement,
    programs::Programs,
    tracer::Tool,
};
use crate::{packages, root, suite};

/// What to measure, and how.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Only these groups: start, attach, cost, threads, rate, stacks, message, kernel
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// How often each tool has its turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub rounds: u16,
    /// Measure no other tools
    #[arg(long)]
    pub no_peers: bool,
    /// One short round with small sizes: whether it works, not how fast
    #[arg(long)]
    pub quick: bool,
    /// Keep the result, and the plot for the README, under tests/bench
    #[arg(long)]
    pub keep: bool,
    /// In a virtual machine: measure there, and tell what was measured
    #[arg(long, hide = true)]
    pub inside: bool,
}

/// What measurements need.
#[derive(Debug)]
pub struct Bench {
    /// The tool under test, and others.
    pub tools: Vec<Tool>,
    /// What they trace.
    pub programs: Programs,
    /// How often each has its turn.
    pub rounds: usize,
    /// Whether to take little time, not care.
    pub quick: bool,
}

impl Bench {
    /// How long `loop` runs.
    #[must_use]
    pub fn loop_time(&self) -> &'static str {
        if self.quick { "100ms" } else { "400ms" }
    }

    /// How many of `all` sizes that grow tenfold to measure.
    #[must_use]
    pub fn sizes(&self, all: usize) -> usize {
        if self.quick { all.min(2) } else { all }
    }
}

type Measure = fn(&Bench) -> anyhow::Result<Vec<Measurement>>;

/// All groups by name.
const GROUPS: [(&str, Measure); 8] = [
    (start::GROUP, start::measure),
    (attach::GROUP, attach::measure),
    (cost::GROUP, cost::measure),
    (cost::THREADS, cost::measure_threads),
    (rate::GROUP, rate::measure),
    (growth::STACKS, growth::measure_stacks),
    (growth::MESSAGE, growth::measure_messages),
    (kernel::GROUP, kernel::measure),
];

/// All that a run has found.
#[derive(Debug, Serialize)]
struct Report {
    day: String,
    machine: Machine,
    /// The load before and after.
    load: [f64; 2],
    rounds: usize,
    quick: bool,
    tools: Vec<String>,
    notes: Vec<String>,
    bars: Vec<Bar>,
    measurements: Vec<Measurement>,
}

/// Measures, and prints tables and JSON.
///
/// # Errors
///
/// When something can't be built, or an option is wrong. What a tool can't do is in the result.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let rounds = if options.quick {
        1
    } else {
        options.rounds.into()
    };
    if options.inside {
        return kernel::inside(rounds, options.quick);
    }
    let groups = chosen(&options.only)?;
    packages::install(&["util-linux"])?;
    let programs = Programs::build()?;
    let probekit = suite::static_program("tools-cli", "probekit")?;
    let mut tools = vec![Tool::probekit(&probekit)];
    let mut notes = Vec::new();
    if !options.no_peers {
        let (peers, told) = peers::install(&programs.folder)?;
        tools.extend(peers);
        notes.extend(told);
    }
    let bench = Bench {
        tools,
        programs,
        rounds,
        quick: options.quick,
    };
    let before = machine::load()?;
    let mut measurements = Vec::new();
    for (name, measure) in groups {
        match measure(&bench) {
            Ok(measured) => measurements.extend(measured),
            Err(error) => notes.push(format!("{name} was not measured: {error:#}")),
        }
    }
    let report = Report {
        day: machine::today()?,
        machine: Machine::this()?,
        load: [before, machine::load()?],
        rounds,
        quick: options.quick,
        tools: bench.tools.iter().map(|tool| tool.name.clone()).collect(),
        notes,
        bars: bars(&measurements),
        measurements,
    };
    show(&report, options.keep)
}

fn chosen(only: &[String]) -> anyhow::Result<Vec<(&'static str, Measure)>> {
    let names = || GROUPS.map(|(name, _)| name);
    if let Some(unknown) = only.iter().find(|name| !names().contains(&name.as_str())) {
        bail!(
            "there is no group {unknown}; there are {}",
            names().join(", ")
        );
    }
    let wanted = |name: &str| only.is_empty() || only.iter().any(|one| one == name);
    Ok(GROUPS
        .into_iter()
        .filter(|(name, _)| wanted(name))
        .collect())
}

fn show(report: &Report, keep: bool) -> anyhow::Result<()> {
    let text = text(report);
    println!("{text}");
    let json = serde_json::to_string_pretty(report)? + "\n";
    let folder = if keep {
        root().join("tests/bench/results")
    } else {
        crate::target("bench")
    };
    fs::create_dir_all(&folder)?;
    let base = folder.join(format!("{}-{}", report.day, report.machine.kernel));
    write(&base.with_added_extension("json"), &json)?;
    write(&base.with_added_extension("md"), &text)?;
    write(
        &folder.join("compared.svg"),
        &plot::compared(&report.measurements),
    )
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text)?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

/// The report in Markdown.
fn text(report: &Report) -> String {
    let Machine {
        kernel,
        cpu,
        cpus,
        memory_bytes,
    } = &report.machine;
    let [before, after] = report.load;
    let notes: String = report
        .notes
        .iter()
        .map(|note| format!("- {note}\n"))
        .collect();
    format!(
        "{}: Linux {kernel}, {cpus} × {cpu}, {} GB; load {before} before, {after} after; medians of up to \
         {} rounds of {}. In brackets: so many times probekit's.\n{notes}\n{}\n### bars\n\n{}",
        report.day,
        memory_bytes / 1_000_000_000,
        report.rounds,
        report.tools.join(", "),
        table::tables(&report.measurements),
        bars::table(&report.bars),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_chosen_by_name() {
        let names = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|&name| name.to_owned()).collect();
            chosen(&only).map(|groups| groups.iter().map(|(name, _)| *name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).expect("all").len(), GROUPS.len());
        assert_eq!(names(&["rate", "start"]).expect("two"), ["start", "rate"]);
        let error = names(&["speed"]).expect_err("no such group").to_string();
        assert!(
            error.starts_with("there is no group speed; there are start, "),
            "{error}"
        );
    }
}
