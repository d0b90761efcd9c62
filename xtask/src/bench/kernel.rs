//! Functions of the kernel, in a virtual machine: this program runs there too, and tells what it has
//! measured in one line.
//!
//! Our tool only: an interpreter, a compiler and kernel headers would be most of what the machine
//! has of memory.

use std::{collections::BTreeMap, env, fs, path::PathBuf, process::Command};

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
    let kernel = Kernel::named(KERNEL)?;
    guest::prepare(&[kernel])?;
    let finished = guest::run_in(kernel, &contents, &command)?;
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
        let name = format!("about {} kernel functions", grouped(count as u64));
        hooks.push((name, Hook::Kernel(pattern(&functions, count)?)));
    }
    hooks.push((ALL.to_owned(), Hook::Kernel("*".to_owned())));
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
        Hook::Kernel("__x64_sys_getppid".to_owned()),
    );
    measure_workloads(bench, GROUP, &[workload], &JOBS)
}

/// Names of those that can be traced.
fn functions() -> anyhow::Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    let mut mount = Command::new("mount");
    run(mount.args(["-t", "tracefs", "none"]).arg(folder.path()))?;
    let listed = fs::read_to_string(folder.path().join("available_filter_functions"));
    run(Command::new("umount").arg(folder.path()))?;
    let listed = listed?;
    let words = listed
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    Ok(words.map(str::to_owned).collect())
}

/// A pattern that matches about `count` of `functions`: which ones there are depends on the kernel.
fn pattern(functions: &[String], count: usize) -> anyhow::Result<String> {
    const LONGEST_PREFIX: usize = 5;
    // Every probe runs through many of these, so that they are left out.
    const UNFIT: [&str; 5] = ["_", "bpf", "ftrace", "rcu", "trace"];

    let mut matches: BTreeMap<&str, usize> = BTreeMap::new();
    let is_fit = |name: &&String| !UNFIT.iter().any(|begin| name.starts_with(begin));
    for name in functions.iter().filter(is_fit) {
        for length in 1..=LONGEST_PREFIX {
            if let Some(prefix) = name.get(..length) {
                *matches.entry(prefix).or_default() += 1;
            }
        }
    }
    let closest = matches
        .into_iter()
        .min_by_key(|(_, matched)| matched.abs_diff(count));
    let (prefix, _) = closest.context("the kernel lists no functions")?;
    Ok(format!("{prefix}*"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::measurement::Quantity;

    #[test]
    fn a_pattern_matches_about_as_many_as_are_wanted() -> anyhow::Result<()> {
        let names = [
            "__tcp_1", "tcp_ack", "tcp_rcv", "tcp_v4", "udp_rcv", "vfs_read",
        ];
        let names = names.map(str::to_owned);
        assert_eq!(pattern(&names, 3)?, "t*");
        assert_eq!(pattern(&names, 1)?, "tcp_a*");
        assert!(pattern(&[], 1).is_err());
        Ok(())
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
