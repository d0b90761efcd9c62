//! Running the readers of outside bytes on what a coverage-guided fuzzer makes up.
//!
//! The fuzzer is LLVM's libFuzzer. What cargo-fuzz does beyond the compiler's flags below is for
//! nightly compilers: sanitizers. The readers have next to no `unsafe`, so what there is to be found
//! are panics, among them failed assertions and overflows, and time and memory without a limit; the
//! pinned compiler finds those, and runs twice as many inputs in the same time.

use std::{
    fs,
    num::NonZero,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output},
    sync::{Mutex, PoisonError},
    thread,
};

use anyhow::{Context as _, bail};
use clap::Args;

use crate::{
    command::output,
    packages, root,
    suite::{built, cargo, host_triple},
    target,
};

/// What makes LLVM note which edges an input takes, and what values are compared to.
const COVERAGE: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// How long one input may take. Most take less than a millisecond, but the machine may be busy.
const TIME_LIMIT: &str = "-timeout=5";
const MEMORY_LIMIT: &str = "-rss_limit_mb=1024";

/// What to fuzz, and how.
#[derive(Args, Debug)]
pub struct Options {
    /// How long each target is run, behind the inputs that are kept
    #[arg(long, value_name = "NUMBER", default_value_t = 60)]
    seconds: u32,
    /// Instead of running them, keep the fewest inputs that reach all that was ever reached
    #[arg(long)]
    minimise: bool,
    /// Only these; the folders of tests/fuzz/corpus are their names
    targets: Vec<String>,
}

/// The program with all targets.
struct Fuzzer {
    program: PathBuf,
}

/// Runs the targets, as many at a time as there are processors.
///
/// # Errors
///
/// When the fuzzer can't be built or run. That it has found something is told by the status.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let targets = chosen(&options.targets)?;
    let fuzzer = Fuzzer::build()?;
    if options.minimise {
        for target in &targets {
            fuzzer.minimise(target)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let (queue, failures) = (Mutex::new(targets.iter()), Mutex::new(Vec::new()));
    let run_next = || {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let Some(target) = next else { return false };
        if let Err(error) = fuzzer.fuzz(target, options.seconds) {
            println!("{target}: {error:#}");
            let failures = failures.lock();
            failures
                .unwrap_or_else(PoisonError::into_inner)
                .push(target);
        }
        true
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| while run_next() {});
        }
    });
    let failures = failures
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    Ok(if failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The targets of these names, or all.
fn chosen(names: &[String]) -> anyhow::Result<Vec<String>> {
    let folders = fs::read_dir(kept(""))?;
    let known: Result<Vec<_>, _> = folders
        .map(|folder| folder.map(|folder| folder.file_name().to_string_lossy().into_owned()))
        .collect();
    let mut known = known?;
    known.sort_unstable();
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        bail!("there is no target {name}; there are {}", known.join(", "));
    }
    known.retain(|name| names.is_empty() || names.contains(name));
    Ok(known)
}

/// The inputs of a target that are in the repository.
fn kept(name: &str) -> PathBuf {
    root().join("tests/fuzz/corpus").join(name)
}

/// All inputs of a target that were ever found on this machine.
fn found(name: &str) -> anyhow::Result<PathBuf> {
    let folder = target("fuzz/corpus").join(name);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

impl Fuzzer {
    fn build() -> anyhow::Result<Self> {
        packages::install(&["g++", "libc6-dev"])?;
        let triple = host_triple()?;
        let mut build = cargo(&["build", "--package", "fuzz", "--profile", "fuzz"]);
        let name = triple.to_uppercase().replace('-', "_");
        // With a target of its own, so that build scripts are not compiled with the flags.
        build
            .args(["--target", &triple])
            .env(format!("CARGO_TARGET_{name}_RUSTFLAGS"), COVERAGE);
        Ok(Self {
            program: built(&mut build, "fuzz")?,
        })
    }

    fn command(&self, target: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("FUZZ_TARGET", target)
            .args([TIME_LIMIT, MEMORY_LIMIT]);
        command
    }

    /// Runs the inputs that are kept, and then others for some seconds.
    fn fuzz(&self, target: &str, seconds: u32) -> anyhow::Result<()> {
        let failing = crate::target("fuzz").join(format!("{target}-"));
        let mut command = self.command(target);
        command
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}", failing.display()))
            .arg("-print_final_stats=1")
            // What is new is added to the first folder.
            .args([found(target)?, kept(target)]);
        let Output { status, stderr, .. } = command
            .output()
            .with_context(|| format!("failed to run {}", self.program.display()))?;
        let text = String::from_utf8_lossy(&stderr);
        if !status.success() {
            bail!("{}", self.failure(target, &text));
        }
        let inputs = text
            .lines()
            .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
            .context("libFuzzer tells no number of inputs")?;
        println!("{target}: {} inputs did no harm", inputs.trim());
        Ok(())
    }

    /// What is wrong, and how to see it again.
    fn failure(&self, target: &str, text: &str) -> String {
        // Before it, libFuzzer tells of its progress.
        let is_progress = |line: &&str| line.starts_with(['#', '\t']) || line.starts_with("INFO:");
        let told: Vec<&str> = text.lines().filter(|line| !is_progress(line)).collect();
        let program = self.program.display();
        format!(
            "failed\n{}\nrun it again: FUZZ_TARGET={target} {program} FILE",
            told.join("\n")
        )
    }

    /// Keeps the fewest inputs that reach what those that are kept and those that were found do.
    fn minimise(&self, target: &str) -> anyhow::Result<()> {
        let fewest = tempfile::tempdir()?;
        let mut command = self.command(target);
        // How often an edge is taken would keep ten times as many.
        command.args(["-set_cover_merge=1", "-use_counters=0"]);
        output(
            command
                .arg(fewest.path())
                .args([found(target)?, kept(target)]),
        )?;
        let kept = kept(target);
        fs::remove_dir_all(&kept)?;
        fs::create_dir_all(&kept)?;
        let (mut inputs, mut bytes) = (0, 0);
        for input in fs::read_dir(fewest.path())? {
            let input = input?.path();
            bytes += copy_into(&input, &kept)?;
            inputs += 1;
        }
        println!("{target}: {inputs} inputs of {bytes} bytes are kept");
        Ok(())
    }
}

fn copy_into(file: &Path, folder: &Path) -> anyhow::Result<u64> {
    let name = file.file_name().context("a file has a name")?;
    Ok(fs::copy(file, folder.join(name))?)
}
