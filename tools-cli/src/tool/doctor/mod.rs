//! doctor: what this kernel and these privileges allow, and what to do about what they do not.

mod attaching;
mod kernel;
mod privileges;
mod programs;

use anyhow::Context as _;

use super::{Console, Status, UNWRITTEN};
use crate::render::{Format, Verdict, write_checks};

/// Checks everything.
///
/// # Errors
///
/// When the results can't be written.
pub fn run(format: Format, console: &mut Console<'_>) -> anyhow::Result<Status> {
    let working = console.progress.working("trying what works");
    let mut checks = kernel::checks();
    checks.extend(privileges::checks());
    checks.extend(attaching::checks());
    checks.extend(programs::checks());
    drop(working);
    let in_colour = console.colours.results;
    write_checks(console.results, format, in_colour, &checks).context(UNWRITTEN)?;
    let is_fit = checks.iter().all(|check| check.status != Verdict::Fail);
    Ok(if is_fit { Status::Done } else { Status::Unfit })
}

/// An error of ours as what was found and what would help, which it tells behind its last
/// semicolon.
fn parts(error: &str, otherwise: &str) -> (String, String) {
    match error.rsplit_once("; ") {
        Some((found, remedy)) => (found.to_owned(), remedy.to_owned()),
        None => (error.to_owned(), otherwise.to_owned()),
    }
}
