//! Running other programs.

use std::process::{Command, Output};

use anyhow::{Context as _, bail};

/// Runs `command` with its output shown.
///
/// # Errors
///
/// When it can't be run, or fails.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("failed to run {command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed: {status}");
    }
    Ok(())
}

/// Runs `command` and gives its standard output.
///
/// # Errors
///
/// When it can't be run, or fails; what it wrote is in the error.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .with_context(|| format!("failed to run {command:?}"))?;
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    if !status.success() {
        let stderr = String::from_utf8_lossy(&stderr);
        bail!("{command:?} failed: {status}\n{stdout}{stderr}");
    }
    Ok(stdout)
}
