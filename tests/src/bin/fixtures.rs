//! Builds the programs that the tests trace: `fixtures DIRECTORY`.

use std::{env, path::PathBuf};

use anyhow::Context as _;

fn main() -> anyhow::Result<()> {
    let directory = env::args_os().nth(1).context("usage: fixtures DIRECTORY")?;
    tests::fixtures::build(&PathBuf::from(directory))
}
