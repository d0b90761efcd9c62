//! Functions of the kernel, in a virtual machine: this program runs there too, and tells what it has
//! measured in one line.
//!
//! Our tool only: an interpreter, a compiler and kernel headers would be most of what the machine
//! has of memory.

use std::{collections::BTreeSet, env, fs, path::PathBuf, process::Command};

use anyhow::{Context as _, bail};

use super::{
    Bench,
    attach::attach_once,
    cost::{JOBS, Workload, measure_workloads},
    measurement::{Case, Measurement, in_turns},
    programs::Programs,
    rate::grouped,
    tracer::{Hook, Tool},
};
use crate::{command::run, guest, kernels::Kernel, suite};

/// The group's name.
pub const GROUP: &str = "kernel";
/// What every function of the kernel is called.
pub const ALL: &str = "all kernel functions (`*`)";

/// The newest kernel of the matrix that every emulator runs well, with all ways of attaching.
const KERNEL: &str = "6.12";
/// What begins the line.
const MEASURED: &str = "MEASURED ";
/// Numbers of functions beside all.
const COUNTS: [usize; 2] = [100, 1_000];
const MOST_ROUNDS: usize = 3;

/// Measures the group in a machine.
///
/// # Errors
///
/// When it can't be made, or does not tell.
pub fn measure(bench: &Bench) -> anyhow::Result<Vec<Measurement>> {
    let contents = guest::Contents {
        programs: vec![
            ("probekit", suite::static_program("tools-cli", "probekit")?),
            ("xtask", suite::static_program("xtask", "xtask")?),
        ],
        fixtures: bench.programs.folder.clone(),
    };
    let rounds = bench.rounds.min(MOST_ROUNDS);
    let quick = if bench.quick { " --quick" } else { "" };
    let command = format!("xtask bench --inside --rounds {rounds}{quick}");
    eprintln!("{GROUP}: {rounds} rounds in a machine with {KERNEL} ...");
    let finished = guest::run_in(Kernel::named(KERNEL)?, &contents, &command)?;
    guest::check_unharmed(&finished)?;
    told(&finished.output)
}

fn told(output: &str) -> anyhow::Result<Vec<Measurement>> {
    let line = output.lines().find_map(|line| line.strip_prefix(MEASURED));
    match line {
        Some(line) => Ok(serde_json::from_str(line)?),
        None => bail!("the machine told nothing:\n{output}"),
    }
}

/// Measures the group here, which is such a machine, and prints it.
///
/// # Errors
///
/// When this is no such machine.
pub fn inside(rounds: usize, quick: bool) -> anyhow::Result<()> {
    let path = |name| env::var_os(name).map(PathBuf::from).context(name);
    let bench = Bench {
        tools: vec![Tool::probekit(&path("PROBEKIT")?)],
        programs: Programs::at(path("PROBEKIT_FIXTURES")?),
        rounds,
        quick,
    };
    let mut measurements = measure_attaching(&bench)?;
    measurements.extend(measure_cost(&bench));
    println!("\n{MEASURED}{}", serde_json::to_string(&measurements)?);
    Ok(())
}

fn measure_attaching(bench: &Bench) -> anyhow::Result<Vec<Measurement>> {
    let functions = functions()?;
    let mut hooks = Vec::new();
    for count in COUNTS {
        let name = format!("{} kernel functions", grouped(count as u64));
        hooks.push((name, Hook::Kernel(spread(&functions, count))));
    }
    hooks.push((ALL.to_owned(), Hook::Kernel(vec!["*".to_owned()])));
    let mut cases = Vec::new();
    for (name, hook) in &hooks {
        for tool in &bench.tools {
            cases.push(Case::new(name, &tool.name, || attach_once(tool, hook)));
        }
    }
    Ok(in_turns(GROUP, &cases, bench.rounds))
}

fn measure_cost(bench: &Bench) -> Vec<Measurement> {
    let workload = Workload::new(
        "kernel function",
        &["getppid", bench.loop_time()],
        Hook::Kernel(vec!["__x64_sys_getppid".to_owned()]),
    );
    measure_workloads(bench, GROUP, &[workload], &JOBS)
}

/// Names of those that can be traced, each once; none that is one of several with it, as those of
/// the compiler's making are.
fn functions() -> anyhow::Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    run(Command::new("mount")
        .args(["-t", "tracefs", "none"])
        .arg(folder.path()))?;
    let listed = fs::read_to_string(folder.path().join("available_filter_functions"));
    run(Command::new("umount").arg(folder.path()))?;
    let listed = listed?;
    let is_plain = |name: &&str| !name.contains(['.', '[']);
    let names = listed
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let unique: BTreeSet<&str> = names.filter(is_plain).collect();
    Ok(unique.into_iter().map(str::to_owned).collect())
}

/// So many of `all`, from its begin to its end.
fn spread(all: &[String], count: usize) -> Vec<String> {
    let step = (all.len() / count).max(1);
    all.iter().step_by(step).take(count).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::measurement::Quantity;

    #[test]
    fn functions_are_spread_over_all() {
        let all: Vec<String> = (0..10).map(|n| n.to_string()).collect();
        assert_eq!(spread(&all, 3), ["0", "3", "6"]);
        assert_eq!(spread(&all, 20).len(), 10);
    }

    #[test]
    fn what_a_machine_tells_is_found_among_messages() -> anyhow::Result<()> {
        let measured = vec![Measurement::new(
            GROUP,
            ALL,
            "ours",
            Quantity::Live,
            vec![1.0],
        )];
        let line = serde_json::to_string(&measured)?;
        assert_eq!(
            told(&format!("round 1\n{MEASURED}{line}\nround 2\n"))?,
            measured
        );
        assert!(told("round 1\n").is_err());
        Ok(())
    }
}
