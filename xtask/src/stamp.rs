//! The stamp beside the bytecode: a hash of the sources that it was compiled from.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

use crate::root;

/// Where the object and its stamp are kept.
#[must_use]
pub fn folder() -> PathBuf {
    root().join("tools-cli/bytecode")
}

/// The hash of the sources as they are now: their paths and contents, and the versions of the
/// crates that they are built on.
///
/// # Errors
///
/// When they can't be read.
pub fn of_sources() -> anyhow::Result<String> {
    let mut files = Vec::new();
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
    let lock = fs::read_to_string(root().join("Cargo.lock"))?;
    for package in lock
        .split("\n\n")
        .filter(|text| text.contains("name = \"aya-ebpf"))
    {
        hash.update(package.trim());
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
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
    fn the_bytecode_in_the_repository_is_that_of_the_sources() {
        super::check().expect("cargo xtask bytecode has been run");
    }
}
