//! The stamp beside the bytecode: a hash of the sources that it was compiled from.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

use crate::{command::output, root, suite::cargo};

/// Where the object and its stamp are kept.
#[must_use]
pub fn folder() -> PathBuf {
    root().join("tools-cli/bytecode")
}

/// The hash of the sources as they are now: their paths and contents, the versions of the crates
/// that they are built on, and how they are compiled.
///
/// # Errors
///
/// When they can't be read.
pub fn of_sources() -> anyhow::Result<String> {
    // How it is compiled is told there.
    let mut files = vec![root().join("xtask/src/bytecode.rs")];
    for folder in ["probes-common", "probes-ebpf"] {
        collect(&root().join(folder), &mut files)?;
    }
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let name = file.strip_prefix(root())?.to_string_lossy().into_owned();
        let contents = fs::read(&file)?;
        hash.update(format!("{name}\n{}\n", contents.len()));
        hash.update(contents);
    }
    hash.update(crates()?.join("\n"));
    for header in ["[workspace.package]", "[profile.release]"] {
        hash.update(section(header)?);
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// The crates that the object is made of, and that make it; our own are among the sources.
fn crates() -> anyhow::Result<Vec<String>> {
    let tree = output(&mut cargo(&[
        "tree",
        "--locked",
        "--package",
        "probes-ebpf",
        "--edges",
        "no-dev",
        "--prefix",
        "none",
        "--no-dedupe",
        "--format",
        "{p}",
    ]))?;
    let ours = root().display().to_string();
    let crates = tree.lines().filter(|line| !line.contains(&ours));
    let crates: BTreeSet<String> = crates.map(str::to_owned).collect();
    Ok(crates.into_iter().collect())
}

/// What Cargo.toml says under this header: the edition, and how programs for use are optimised.
fn section(header: &str) -> anyhow::Result<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml"))?;
    let (_, section) = manifest
        .split_once(header)
        .with_context(|| format!("Cargo.toml has no {header}"))?;
    Ok(section.split("\n[").next().unwrap_or_default().to_owned())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        match path.is_dir() {
            true => collect(&path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}

/// Writes the stamp of the sources as they are now.
///
/// # Errors
///
/// When it can't be written.
pub fn write() -> anyhow::Result<()> {
    let stamp = format!("{}\n", of_sources()?);
    Ok(fs::write(folder().join("probes.stamp"), stamp)?)
}

/// Checks that the object is that of the sources.
///
/// # Errors
///
/// When it is not.
pub fn check() -> anyhow::Result<()> {
    let stamp = fs::read_to_string(folder().join("probes.stamp"))?;
    if stamp.trim() != of_sources()? {
        bail!("the bytecode is older than its sources; run: cargo xtask bytecode");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_stamp_is_of_all_that_the_object_is_made_of() {
        let crates = super::crates().expect("cargo tells");
        for name in [
            "aya-ebpf v",
            "aya-log-ebpf v",
            "aya-log-common v",
            "aya-log-ebpf-macros v",
        ] {
            assert!(crates.iter().any(|found| found.starts_with(name)), "{name}");
        }
        assert!(!crates.iter().any(|found| found.starts_with("probes-")));
        for (header, field) in [
            ("[workspace.package]", "edition"),
            ("[profile.release]", "lto"),
        ] {
            let section = super::section(header).expect("it is there");
            assert!(section.contains(field), "{section}");
        }
    }

    #[test]
    fn the_bytecode_in_the_repository_is_that_of_the_sources() {
        super::check().expect("cargo xtask bytecode has been run");
    }
}
