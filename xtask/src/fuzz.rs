//! Running the readers of outside bytes on what a coverage-guided fuzzer makes up.
//!
//! The fuzzer is LLVM's libFuzzer. What cargo-fuzz does beyond the compiler's flags below is for
//! nightly compilers: sanitizers. The readers have next to no `unsafe`, so what there is to be found
//! are panics, among them failed assertions and overflows, and time and memory without a limit; the
//! pinned compiler finds those, and runs twice as many inputs in the same time.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output},
};

use anyhow::{Context as _, bail};
use clap::Args;

use crate::{
    command::output,
    packages, parallel, root,
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

/// How many of each target's inputs are kept in the repository, and how much they are together.
const KEPT_UP_TO: usize = 64;
const KEPT_UP_TO_BYTES: u64 = 64 << 10;

/// What to fuzz, and how.
#[derive(Args, Debug)]
pub struct Options {
    /// How long each target is run, behind the inputs that are kept
    #[arg(long, value_name = "NUMBER", default_value_t = 60)]
    seconds: u32,
    /// Instead of running them, choose anew which inputs the repository keeps of all that were found
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
    let results = parallel::map(&targets, |target| {
        let result = fuzzer.fuzz(target, options.seconds);
        if let Err(error) = &result {
            println!("{target}: {error:#}");
        }
        result
    });
    Ok(if results.iter().all(Result::is_ok) {
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
            // Inputs count as new that come nearer to what they are compared to. Without it, a number
            // of two bytes that had to be met was not met in 3 million inputs; with it, in half a
            // million.
            .arg("-use_value_profile=1")
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

    /// Keeps few inputs of those that are kept and those that were found.
    fn minimise(&self, target: &str) -> anyhow::Result<()> {
        let work = tempfile::tempdir()?;
        let (list, merged) = (work.path().join("list"), work.path().join("merged"));
        fs::create_dir(&merged)?;
        let mut command = self.command(target);
        command
            // How often an edge is taken would keep ten times as many.
            .args(["-set_cover_merge=1", "-use_counters=0"])
            .arg(format!("-merge_control_file={}", list.display()));
        output(command.args([merged, found(target)?, kept(target)]))?;
        let inputs = most_telling(inputs_of(&fs::read_to_string(list)?)?);
        // What is kept now is among them, so nothing is taken away before they are copied.
        let chosen = work.path().join("chosen");
        fs::create_dir(&chosen)?;
        for input in &inputs {
            copy_into(&input.file, &chosen)?;
        }
        let kept = kept(target);
        fs::remove_dir_all(&kept)?;
        fs::create_dir(&kept)?;
        for input in fs::read_dir(chosen)? {
            copy_into(&input?.path(), &kept)?;
        }
        let bytes: u64 = inputs.iter().map(|input| input.bytes).sum();
        println!(
            "{target}: {} inputs of {bytes} bytes are kept",
            inputs.len()
        );
        Ok(())
    }
}

/// An input, and the edges that it takes.
struct Input {
    file: PathBuf,
    bytes: u64,
    edges: HashSet<u32>,
}

/// The inputs in the list that libFuzzer makes when it merges: how many there are, how many of them
/// are in the first folder, their files, then a line `FT NUMBER EDGE…` for each.
fn inputs_of(list: &str) -> anyhow::Result<Vec<Input>> {
    let mut lines = list.lines();
    let count = lines.next().context("the list is empty")?.parse()?;
    let files: Vec<&str> = lines.by_ref().skip(1).take(count).collect();
    let mut inputs = Vec::new();
    for line in lines {
        let mut words = line.split_ascii_whitespace();
        if words.next() != Some("FT") {
            continue;
        }
        let number: usize = words.next().context("no number")?.parse()?;
        let file = PathBuf::from(files.get(number).context("no file of that number")?);
        let edges: Result<_, _> = words.map(str::parse).collect();
        inputs.push(Input {
            bytes: file.metadata()?.len(),
            edges: edges?,
            file,
        });
    }
    Ok(inputs)
}

/// The inputs that take the most edges for their bytes that those before them do not take, as many as
/// are not too much for the repository.
fn most_telling(mut inputs: Vec<Input>) -> Vec<Input> {
    let (mut chosen, mut left) = (Vec::new(), KEPT_UP_TO_BYTES);
    while chosen.len() < KEPT_UP_TO {
        inputs.retain(|input| !input.edges.is_empty() && input.bytes <= left);
        // A file costs something besides its bytes; else many tiny ones would be chosen.
        let worth = |input: &Input| (input.edges.len() as u64) * 1_000_000 / (input.bytes + 512);
        let best = (0..inputs.len()).max_by_key(|&at| worth(&inputs[at]));
        let Some(best) = best.map(|at| inputs.swap_remove(at)) else {
            break;
        };
        for input in &mut inputs {
            input.edges.retain(|edge| !best.edges.contains(edge));
        }
        left -= best.bytes;
        chosen.push(best);
    }
    chosen
}

fn copy_into(file: &Path, folder: &Path) -> anyhow::Result<()> {
    fs::copy(
        file,
        folder.join(file.file_name().context("a file has a name")?),
    )?;
    Ok(())
}
