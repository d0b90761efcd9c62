//! Running all tests: here, and in a machine for each kernel of the matrix.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, bail};
use tempfile::NamedTempFile;

use crate::{
    command::{output, run as run_command},
    guest::{self, Contents, Finished},
    kernels::{HERE, KERNELS, Kernel, ORDINARY},
    matrix::Matrix,
    packages, parallel, root, target,
};

/// What the tests beside the code are called that ask the kernel's verifier.
const VERIFIER: &str = "verifier";

/// The longest that the tests of one executable may take, in minutes: several times of what they
/// do, and less than machines that run them for us wait.
const MOST_MINUTES: u64 = 30;

/// What is run here and in the machines.
#[derive(Debug)]
pub struct Build {
    /// The program under test, linked statically.
    pub probekit: PathBuf,
    /// The tests, linked statically.
    pub suite: PathBuf,
    /// The tests beside the code, linked statically.
    pub units: PathBuf,
    /// The folder of the programs that they trace.
    pub fixtures: PathBuf,
}

impl Build {
    /// Builds all of it.
    ///
    /// # Errors
    ///
    /// When something does not compile.
    pub fn new() -> anyhow::Result<Self> {
        packages::install(&["gcc", "g++", "binutils", "libc6-dev", "xz-utils"])?;
        let fixtures = target("fixtures");
        run_command(
            cargo(&[
                "run",
                "--quiet",
                "--package",
                "tests",
                "--bin",
                "fixtures",
                "--",
            ])
            .arg(&fixtures),
        )?;
        let triple = host_triple()?;
        let suite = ["test", "--no-run", "--package", "tests", "--test", "suite"];
        let units = ["test", "--no-run", "--package", "tools-cli", "--lib"];
        Ok(Self {
            probekit: static_program("tools-cli", "probekit")?,
            suite: built(
                statically(cargo(&suite).args(["--target", &triple]), &triple),
                "suite",
            )?,
            units: built(
                statically(cargo(&units).args(["--target", &triple]), &triple),
                "probekit",
            )?,
            fixtures,
        })
    }

    /// As a machine gets it.
    #[must_use]
    pub fn contents(&self) -> Contents {
        Contents {
            programs: vec![
                ("probekit", self.probekit.clone()),
                ("suite", self.suite.clone()),
                ("units", self.units.clone()),
            ],
            fixtures: self.fixtures.clone(),
        }
    }
}

/// Builds the program `name` of `package` for release, linked statically.
///
/// # Errors
///
/// When it does not compile.
pub fn static_program(package: &str, name: &str) -> anyhow::Result<PathBuf> {
    let triple = host_triple()?;
    let mut build = cargo(&["build", "--package", package, "--bin", name, "--release"]);
    built(statically(build.args(["--target", &triple]), &triple), name)
}

pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(arguments).current_dir(root());
    cargo
}

fn statically<'a>(cargo: &'a mut Command, triple: &str) -> &'a mut Command {
    let name = triple.to_uppercase().replace('-', "_");
    cargo.env(
        format!("CARGO_TARGET_{name}_RUSTFLAGS"),
        "-Ctarget-feature=+crt-static",
    )
}

pub(crate) fn host_triple() -> anyhow::Result<String> {
    let version = output(Command::new("rustc").arg("-vV").current_dir(root()))?;
    let line = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(line.context("rustc -vV tells no host")?.to_owned())
}

/// Has `cargo` build the target `name`, and asks it where the executable is: the folder depends on
/// the user's settings.
pub(crate) fn built(cargo: &mut Command, name: &str) -> anyhow::Result<PathBuf> {
    let messages = output(cargo.args(["--quiet", "--message-format=json-render-diagnostics"]))?;
    executable(&messages, name).with_context(|| format!("cargo names no executable of {name}"))
}

/// The executable of the target `name` in cargo's messages, which tell of other targets too.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    let mut messages = messages.lines().rev();
    messages.find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_wanted = message["target"]["name"] == name;
        message["executable"]
            .as_str()
            .filter(|_| is_wanted)
            .map(PathBuf::from)
    })
}

/// Runs the tests on `kernels` (all if none are named; `host` is this one), and prints the matrix.
///
/// # Errors
///
/// When something can't be built or booted. Tests that fail are told by the status.
pub fn run(kernels: &[String], filter: Option<&str>) -> anyhow::Result<ExitCode> {
    let wanted = |name: &str| kernels.is_empty() || kernels.iter().any(|kernel| kernel == name);
    let unknown = kernels
        .iter()
        .find(|name| *name != "host" && Kernel::named(name).is_err());
    if let Some(name) = unknown {
        bail!("there is no kernel {name}");
    }
    let mut matrix = Matrix::default();
    if wanted("host") && filter.is_none() {
        run_units(&mut matrix)?;
    }
    let build = Build::new()?;
    if wanted("host") {
        run_here(&build, filter, &mut matrix)?;
    }
    let is_wanted =
        |kernel: &Kernel| wanted(kernel.name) && !(kernels.is_empty() && kernel.is_extra);
    let kernels = KERNELS.into_iter().filter(is_wanted);
    run_in_machines(kernels.collect(), &build, filter, &mut matrix)?;
    print!("{matrix}");
    Ok(if matrix.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The tests beside the code, and those of real programs of this machine.
fn run_units(matrix: &mut Matrix) -> anyhow::Result<()> {
    let mut tests = cargo(&[
        "test",
        "--no-fail-fast",
        "--workspace",
        "--exclude",
        "probes-ebpf",
        "--exclude",
        "tests",
        "--exclude",
        "fuzz",
    ]);
    let text = both_outputs(&mut tests)?;
    matrix.add("host", &text, Some("unit"));
    Ok(())
}

/// What has the suite run the tests that `chosen` has it run, and of them only those whose names
/// contain `filter`; nothing if there are none. The suite itself runs those that any filter fits.
fn narrowed(
    build: &Build,
    chosen: &str,
    filter: Option<&str>,
) -> anyhow::Result<Option<Vec<String>>> {
    let chosen = chosen.split(' ');
    let Some(filter) = filter else {
        return Ok(Some(chosen.map(str::to_owned).collect()));
    };
    let mut suite = Command::new(&build.suite);
    let listed = output(suite.args(["--list", "--format=terse"]).args(chosen))?;
    let names = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"));
    let wanted: Vec<String> = names
        .filter(|name| name.contains(filter))
        .map(str::to_owned)
        .collect();
    Ok((!wanted.is_empty()).then(|| [vec!["--exact".to_owned()], wanted].concat()))
}

fn run_here(build: &Build, filter: Option<&str>, matrix: &mut Matrix) -> anyhow::Result<()> {
    if let Some(tests) = narrowed(build, HERE, filter)? {
        println!("running the suite on this kernel");
        let mut suite = Command::new(&build.suite);
        suite
            .arg("--test-threads=1")
            .args(tests)
            .env("PROBEKIT", &build.probekit)
            .env("PROBEKIT_FIXTURES", &build.fixtures);
        matrix.add("host", &both_outputs(&mut suite)?, None);
    }
    if filter.is_none_or(|filter| filter == VERIFIER) {
        println!("running the tests that ask this kernel's verifier");
        let mut units = Command::new(&build.units);
        units.args(["--ignored", "--test-threads=1", VERIFIER]);
        matrix.add("host", &both_outputs(&mut units)?, Some("unit"));
    }
    if filter.is_none() {
        println!("running the tests on programs of this machine");
        install_targets()?;
        let mut targets = cargo(&[
            "test",
            "--quiet",
            "--package",
            "tests",
            "--test",
            "targets",
            "--",
        ]);
        targets
            .args(["--test-threads=1", "--format=pretty"])
            .env("PROBEKIT", &build.probekit)
            .env("PROBEKIT_FIXTURES", &build.fixtures);
        matrix.add("host", &both_outputs(&mut targets)?, None);
    }
    Ok(())
}

/// PostgreSQL's server and a JDK, of whatever version, and a small program that Go has built.
fn install_targets() -> anyhow::Result<()> {
    if !Path::new("/usr/lib/postgresql").exists() {
        packages::install(&["postgresql"])?;
    }
    packages::install(&["gron", "zsh", "fish", "bsdutils"])?;
    if Command::new("java").arg("-version").output().is_err() {
        packages::install(&["default-jdk-headless"])?;
    }
    Ok(())
}

/// Runs the suite in as many machines at a time as this one has processors: each uses one.
fn run_in_machines(
    kernels: Vec<Kernel>,
    build: &Build,
    filter: Option<&str>,
    matrix: &mut Matrix,
) -> anyhow::Result<()> {
    let mut runs = Vec::new();
    for kernel in kernels {
        if let Some(command) = suite_command(build, kernel, filter)? {
            runs.push((kernel, command));
        }
    }
    let kernels: Vec<Kernel> = runs.iter().map(|(kernel, _)| *kernel).collect();
    guest::prepare(&kernels)?;
    let contents = build.contents();
    let results = parallel::map(&runs, |(kernel, command)| {
        println!("running the suite on {}", kernel.name);
        guest::run_in(*kernel, &contents, command)
    });
    for (kernel, finished) in kernels.iter().zip(results) {
        add_finished(kernel, &finished?, matrix);
    }
    Ok(())
}

/// The command for a machine with `kernel`; nothing if no test of it fits the filter.
fn suite_command(
    build: &Build,
    kernel: Kernel,
    filter: Option<&str>,
) -> anyhow::Result<Option<String>> {
    let tests = narrowed(build, kernel.tests, filter)?;
    let suite = tests.map(|tests| format!("suite --test-threads=1 {}", tests.join(" ")));
    // What trace compiles must pass the verifier of every kernel that lets us read memory.
    let asks_verifier = kernel.tests == ORDINARY && filter.is_none_or(|filter| filter == VERIFIER);
    let units = asks_verifier.then(|| format!("units --ignored --test-threads=1 {VERIFIER}"));
    let commands: Vec<String> = units.into_iter().chain(suite).collect();
    Ok((!commands.is_empty()).then(|| commands.join(" && ")))
}

fn add_finished(kernel: &Kernel, finished: &Finished, matrix: &mut Matrix) {
    matrix.add(kernel.name, &finished.output, None);
    if let Err(error) = guest::check_unharmed(finished) {
        matrix.fail(kernel.name, "kernel unharmed", &error.to_string());
    }
    if finished.status != Some(0) && matrix.failures_on(kernel.name) == 0 {
        matrix.fail(kernel.name, "suite ended", &finished.output);
    }
}

/// Runs a test executable; that tests fail is in what it writes. One that does not end is killed
/// after [`MOST_MINUTES`]: the test that it hangs in is the last that it writes of.
fn both_outputs(command: &mut Command) -> anyhow::Result<String> {
    run_limited(command, MOST_MINUTES * 60)
}

/// The same, after so many seconds.
fn run_limited(command: &Command, seconds: u64) -> anyhow::Result<String> {
    // Not pipes: what a test has left running would keep them open, and we would wait for it.
    let (results, messages) = (NamedTempFile::new()?, NamedTempFile::new()?);
    let status = limited(command, seconds)
        .stdin(Stdio::null())
        .stdout(results.reopen()?)
        .stderr(messages.reopen()?)
        .status()
        .with_context(|| format!("failed to run {command:?}"))?;
    let mut text = lossy(results.path())?;
    if !status.success() {
        text += &lossy(messages.path())?;
        text += &format!("\n{status}");
        text += "\ntest suite::ended ... FAILED\n";
    }
    Ok(text)
}

fn lossy(file: &Path) -> anyhow::Result<String> {
    Ok(String::from_utf8_lossy(&fs::read(file)?).into_owned())
}

/// `command`, killed with its process group after so many seconds.
fn limited(command: &Command, seconds: u64) -> Command {
    let mut limited = Command::new("timeout");
    limited
        .args(["--signal=KILL", &seconds.to_string()])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        limited.current_dir(folder);
    }
    limited
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_end_is_killed() {
        let mut sleep = Command::new("sleep");
        let text = run_limited(sleep.arg("1000"), 1).unwrap();
        assert!(text.ends_with("\ntest suite::ended ... FAILED\n"), "{text}");
    }

    #[test]
    fn what_it_wrote_before_it_was_killed_is_kept() {
        let mut shell = Command::new("sh");
        // Its time is over when this is told: `timeout` sets itself an alarm.
        let script = "echo \"test $NAME ... \"; pwd; kill -ALRM $PPID; sleep 1000";
        shell
            .args(["-c", script])
            .env("NAME", "a::b")
            .current_dir("/");
        let text = run_limited(&shell, 1000).unwrap();
        assert!(text.starts_with("test a::b ... \n/\n"), "{text}");
        assert!(text.ends_with("\ntest suite::ended ... FAILED\n"), "{text}");
    }

    #[test]
    fn what_is_left_running_is_not_waited_for() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 100 & echo $!"]);
        let pid = run_limited(&shell, 50).unwrap();
        let killed = Command::new("kill").arg(pid.trim()).status().unwrap();
        assert!(killed.success(), "it was still there");
    }

    #[test]
    fn executables_are_where_cargo_says() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"probekit"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"probekit"},"executable":"/elsewhere/release/probekit"}
{"reason":"compiler-artifact","target":{"name":"suite"},"executable":"/elsewhere/debug/deps/suite-1"}
{"reason":"build-finished","success":true}
"#;
        let path = |name| executable(messages, name);
        assert_eq!(path("probekit"), Some("/elsewhere/release/probekit".into()));
        assert_eq!(path("suite"), Some("/elsewhere/debug/deps/suite-1".into()));
        assert_eq!(path("fixtures"), None);
    }
}
