//! The programs that are traced, compiled by the C compiler of the machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use super::process::dies_with_us;
use crate::{command::run, packages, root, target};

/// No workload takes as long.
const LIMIT: Duration = Duration::from_secs(180);

/// The folder with them.
#[derive(Clone, Debug)]
pub struct Programs {
    /// Where they are.
    pub folder: PathBuf,
}

/// What a run of `loop` has told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Looped {
    /// Calls of all threads.
    pub calls: u64,
    /// CPU time of a call.
    pub ns_per_call: f64,
}

impl Programs {
    /// Compiles those that are older than their source, and copies the C library.
    ///
    /// # Errors
    ///
    /// When a compiler is missing or fails.
    pub fn build() -> anyhow::Result<Self> {
        packages::install(&["gcc", "libc6-dev"])?;
        let folder = target("bench").join("programs");
        fs::create_dir_all(&folder)?;
        let programs = Self { folder };
        programs.compile("loop", &["-O2", "-pthread"])?;
        // 52,000 functions take the optimiser a minute.
        programs.compile("symbols", &["-O0"])?;
        programs.copy_library()?;
        Ok(programs)
    }

    /// Those that somebody has built before.
    #[must_use]
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The program `name`.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn compile(&self, name: &str, options: &[&str]) -> anyhow::Result<()> {
        let source = root().join(format!("tests/bench/programs/{name}.c"));
        let program = self.path(name);
        let modified = |path: &Path| fs::metadata(path).and_then(|data| data.modified());
        if modified(&program).is_ok_and(|built| modified(&source).is_ok_and(|at| at < built)) {
            return Ok(());
        }
        eprintln!("compiling {name} ...");
        let mut compiler = Command::new("gcc");
        compiler
            .args([
                "-fno-omit-frame-pointer",
                "-fno-optimize-sibling-calls",
                "-o",
            ])
            .args([&program, &source])
            .arg("-I")
            .arg(root().join("tests/fixtures"));
        run(compiler.args(options))
    }

    /// Probes on all functions of the C library that every process uses would slow the whole
    /// machine, and a function that the kernel misreads would crash it.
    fn copy_library(&self) -> anyhow::Result<()> {
        let maps = fs::read_to_string("/proc/self/maps")?;
        let path = maps
            .lines()
            .filter_map(|line| line.split_whitespace().next_back())
            .find(|path| path.ends_with("/libc.so.6"))
            .context("this program is not linked with the C library")?;
        fs::copy(path, self.path("libc.so.6"))?;
        Ok(())
    }

    /// Runs `loop` to its end.
    ///
    /// # Errors
    ///
    /// When it fails.
    pub fn run_loop(&self, arguments: &[&str]) -> anyhow::Result<Looped> {
        looped(&finish(Command::new(self.path("loop")).args(arguments))?)
    }

    /// Calls `bench_leaf` from `count` stacks.
    ///
    /// # Errors
    ///
    /// When that fails.
    pub fn run_stacks(&self, count: u64) -> anyhow::Result<()> {
        finish(Command::new(self.path("symbols")).arg(count.to_string()))?;
        Ok(())
    }
}

/// What `command` writes until its end.
fn finish(command: &mut Command) -> anyhow::Result<String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = dies_with_us(command)
        .spawn()
        .with_context(|| format!("failed to run {}", command.get_program().display()))?;
    let deadline = Instant::now() + LIMIT;
    // It writes a line at most, which the pipe holds.
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            bail!("the traced program was still there after {LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let finished = child.wait_with_output()?;
    if !finished.status.success() {
        bail!("the traced program ended with {}", finished.status);
    }
    Ok(String::from_utf8_lossy(&finished.stdout).into_owned())
}

/// Reads `CALLS CPU_NANOSECONDS NANOSECONDS`.
fn looped(line: &str) -> anyhow::Result<Looped> {
    let numbers: Result<Vec<u64>, _> = line.split_whitespace().map(str::parse).collect();
    let Ok([calls, cpu_ns, _]) = numbers.as_deref() else {
        bail!("the traced program wrote {line:?}");
    };
    Ok(Looped {
        calls: *calls,
        ns_per_call: as_f64(*cpu_ns) / as_f64(*calls),
    })
}

/// Exact up to 2^53: months in nanoseconds.
#[must_use]
pub fn as_f64(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_loop_tells_is_time_of_a_call() {
        let told = looped("2000 250000 300000\n").expect("a line of numbers");
        assert_eq!(told.calls, 2000);
        assert!((told.ns_per_call - 125.0).abs() < 1e-9);
        assert!(looped("").is_err() && looped("1 2\n").is_err());
    }
}
