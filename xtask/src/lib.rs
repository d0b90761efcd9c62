//! What the project does to itself: builds the bytecode, boots kernels, runs the tests on them.

pub mod bench;
pub mod bytecode;
pub mod command;
pub mod dist;
pub mod fuzz;
pub mod guest;
pub mod kernels;
pub mod matrix;
pub mod packages;
pub mod parallel;
pub mod qemu;
pub mod stamp;
pub mod suite;

use std::path::{Path, PathBuf};

/// The folder of the workspace.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or_else(|| Path::new("."))
}

/// A folder for what is built or downloaded, kept between runs.
#[must_use]
pub fn target(name: &str) -> PathBuf {
    root().join("target").join(name)
}
